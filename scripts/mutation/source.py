"""What can be taken out of a C file: its mutants, found with a small tokenizer.

A mutant is an expression that a switch can turn into another one while the program runs:

    if       the condition of an `if` whose body returns or sets an error; never true any more
    operand  one operand of && or || ; left out
    sync     a call that makes something durable; not done, and taken for a success
    compare  a call that compares; always equal
    by hand  what an entry of tests/mutants.txt says, word for word

Written for the style of this house, not for C in general: functions begin at the left margin, brackets
match in spite of the preprocessor's lines. What does not compile is left out by who builds.
"""

import dataclasses
import functools
import re

TOKEN = re.compile(
    r"""(?P<blank>\s+|//[^\n]*|/\*.*?\*/|(?:(?<=\n)|(?<=\A))[ \t]*\#(?:[^\n\\]|\\.)*)
      | (?P<word>[A-Za-z_]\w*)
      | (?P<number>\.?\d(?:[eEpP][+-]|[\w.])*)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<sign>\.\.\.|<<=|>>=|->|\+\+|--|&&|\|\||<<|>>|[-+*/%&|^<>=!]=|[^\s\w])""",
    re.X | re.S)
ASSIGNMENTS = {"=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="}
BOUNDS = ASSIGNMENTS | {"?", ":", ",", ";", "{", "}", "return", "else", "do", "case"}
OPEN, CLOSE = {"(": ")", "[": "]", "{": "}"}, {")", "]", "}"}
NO_CALLS = {"if", "while", "for", "switch", "return", "sizeof"}
SYNC = re.compile(r"(?:\w+_)?(?:fsync|fdatasync|syncfs|sync)(?:_\w+)?|sync_file_range")
NO_SYNC = re.compile(r"has_no_sync|hide_sync")
COMPARE = re.compile(r"memcmp|strn?(?:case)?cmp|(?:\w+_)?(?:equals?|same|matches)(?:_\w+)?")


@dataclasses.dataclass
class Token:
    kind: str
    text: str
    begin: int
    end: int


@dataclasses.dataclass(frozen=True)
class Mutant:
    file: str
    function: str
    kind: str
    text: str    # the expression, with single blanks
    nth: int     # among those with the same file, function, kind and text, from 1
    begin: int = dataclasses.field(compare=False)
    end: int = dataclasses.field(compare=False)
    before: str = dataclasses.field(compare=False)  # put around it; the first %d in it is the switch's number
    after: str = dataclasses.field(compare=False)

    @property
    def name(self):
        nth = f" ({self.nth})" if self.nth > 1 else ""
        return f"{self.file}: {self.function}: {self.kind}: {self.text}{nth}"


def tokens_of(text):
    found, at = [], 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if match.lastgroup != "blank":
            found.append(Token(match.lastgroup, match.group(), at, match.end()))
        at = match.end()
    return found


def pairs_of(tokens):
    """Where each bracket's other one is; None when they don't match."""
    pairs, open_ones = {}, []
    for at, token in enumerate(tokens):
        if token.kind == "sign" and token.text in OPEN:
            open_ones.append(at)
        elif token.kind == "sign" and token.text in CLOSE:
            if not open_ones or OPEN[tokens[open_ones[-1]].text] != token.text:
                return None
            pairs[at] = open_ones.pop()
            pairs[pairs[at]] = at
    return None if open_ones else pairs


def functions_of(tokens, pairs):
    """(name, first, last) of each body; the braces are those two."""
    at = 0
    while at < len(tokens):
        if tokens[at].text == "{":
            before = pairs.get(at - 1, 0) - 1 if tokens[at - 1].text == ")" else -1
            if before >= 0 and tokens[before].kind == "word":
                yield tokens[before].text, at, pairs[at]
        at = pairs[at] + 1 if tokens[at].text in OPEN else at + 1


@functools.lru_cache(maxsize=None)
def flat(text):
    return re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)).strip()


class Body:
    """One function's body, and what was found in it."""

    def __init__(self, text, tokens, pairs, bounds, types):
        self.text, self.tokens, self.pairs, self.types = text, tokens, pairs, types
        self.first, self.last = bounds
        self.found = []  # (kind, first token, last token, before, after)

    def words(self, first, last):
        return self.tokens[first:last + 1]

    def add(self, kind, first, last, before, after):
        """A fault point is no part of what is delivered: nothing is told by its absence."""
        name = self.tokens[first + 1 if self.tokens[first].text == "!" else first]
        if name.text != "FAULT_POINT":
            self.found.append((kind, first, last, before, after))

    def collect(self):
        for at in range(self.first, self.last):
            token = self.tokens[at]
            if token.text == "if" and self.tokens[at + 1].text == "(":
                self._condition(at + 1)
        self._chains(self.first, self.last)
        for at in range(self.first, self.last):
            if self.tokens[at].kind == "word" and self.tokens[at + 1].text == "(":
                self._call(at)
        return self.found

    # ---- if ----

    def _condition(self, opening):
        closing = self.pairs[opening]
        body = self.words(closing + 1, self._statement_end(closing + 1))
        if any(word.text == "return" or word.text.startswith("error_") for word in body if word.kind == "word"):
            self.add("if", opening + 1, closing - 1, "!MUTANT(%d) && (", ")")

    def _statement_end(self, at):
        is_body = not self.tokens[at].text.startswith(("static", "_Static"))
        while self.tokens[at].text != ";" and not (is_body and self.tokens[at].text == "{"):
            at = self.pairs[at] + 1 if self.tokens[at].text in OPEN else at + 1
        return self.pairs[at] if self.tokens[at].text == "{" else at

    # ---- && and || ----

    def _chains(self, first, last):
        """The chains between two brackets, and those within inner ones."""
        start, at = first + 1, first + 1
        while at <= last:
            token = self.tokens[at]
            if token.text in ("static", "static_assert", "_Static_assert"):
                at, start = self._statement_end(at), self._statement_end(at) + 1
            elif at == last or token.text in BOUNDS and token.text != "{":
                self._chain(start, at - 1)
                start = at + 1
            elif token.text in OPEN:
                if self.tokens[at - 1].text != "assert":
                    self._chains(at, self.pairs[at])
                at = self.pairs[at]
                if token.text == "{":
                    start = at + 1
            at += 1

    def _split(self, first, last, operator):
        parts, start, at = [], first, first
        while at <= last:
            if self.tokens[at].text in OPEN:
                at = self.pairs[at]
            elif self.tokens[at].text == operator:
                parts.append((start, at - 1))
                start = at + 1
            at += 1
        return [*parts, (start, last)]

    def _chain(self, first, last):
        if first > last:
            return
        either = self._split(first, last, "||")
        for begin, end in either:
            if len(either) > 1:
                self.add("operand", begin, end, "(!MUTANT(%d) && (", "))")
            both = self._split(begin, end, "&&")
            for inner, outer in both if len(both) > 1 else []:
                self.add("operand", inner, outer, "(MUTANT(%d) || (", "))")

    # ---- calls ----

    def _call(self, at):
        name = self.tokens[at].text
        is_sync = SYNC.fullmatch(name) and not NO_SYNC.fullmatch(name)
        if not is_sync and not COMPARE.fullmatch(name) or self._is_declaration(at):
            return
        first, last = self._object_of(at), self.pairs[at + 1]
        kind = self.types.get(name, "int" if name in self.types.plain else "bool")
        if kind == "void":
            self.add("sync" if is_sync else "compare", first, last, "(MUTANT(%d) ? (void)0 : ", ")")
            return
        value = {"int": "0", "bool": "1"}.get(kind)
        if value and (is_sync or not self._is_whole(first, last, kind)):
            self.add("sync" if is_sync else "compare", first, last, f"(MUTANT(%d) ? {value} : ", ")")

    def _is_declaration(self, at):
        before = self.tokens[at - 1]
        return before.kind == "word" and before.text not in NO_CALLS | {"else", "do"}

    def _object_of(self, at):
        """The first token of `a->b[i].call`."""
        while self.tokens[at - 1].text in ("->", "."):
            at -= 2
            while self.tokens[at].text in CLOSE:
                at = self.pairs[at] - 1
        return at

    def _is_whole(self, first, last, kind):
        """Whether it alone makes a condition or an operand that another mutant leaves out alike."""
        is_negated = self.tokens[first - 1].text == "!"
        begin = first - 1 if is_negated else first
        end, differs = last, is_negated and kind == "bool"
        if self.tokens[last + 1].text in ("==", "!=") and self.tokens[last + 2].text == "0":
            end = last + 2
            differs = self.tokens[last + 1].text == "!="
        for other, one, two, before, _ in self.found:
            if (one, two) == (begin, end) and other in ("if", "operand"):
                return differs == before.strip("( ").startswith("!")
        return False


class Types:
    """What our functions give back, as far as it is bool, void or int."""

    plain = {"fsync", "fdatasync", "syncfs", "sync_file_range", "memcmp", "strcmp", "strncmp",
             "strcasecmp", "strncasecmp"}
    DECLARED = re.compile(r"^(?:static |extern |inline )*(bool|void|int|\w+) (\**)(\w+)\(", re.M)

    def __init__(self, texts):
        self.known = {}
        for text in texts:
            for kind, stars, name in self.DECLARED.findall(text):
                if name not in self.plain:
                    self.known[name] = kind if not stars else "pointer"

    def get(self, name, default):
        return self.known.get(name, default)


def find_by_hand(text, tokens, bounds, entry):
    """Where an entry's words stand in a function: all the places."""
    wanted = [token.text for token in tokens_of(entry["without"])]
    first, last = bounds
    for at in range(first + 1, last - len(wanted) + 1):
        if [token.text for token in tokens[at:at + len(wanted)]] == wanted:
            yield at, at + len(wanted) - 1


def by_hand_around(entry):
    if entry["without"].endswith(";"):
        return "{ if (MUTANT(%d)) { " + entry["with"] + " } else { ", " } }"
    return "(MUTANT(%d) ? (" + entry["with"] + ") : (", "))"


def mutants_of(file, text, types, by_hand=()):
    """All of a file in the order of its functions; None when its brackets can't be understood."""
    tokens = tokens_of(text)
    pairs = pairs_of(tokens)
    if pairs is None:
        return None
    mutants, seen = [], {}
    for name, first, last in functions_of(tokens, pairs):
        found = Body(text, tokens, pairs, (first, last), types).collect()
        for entry in by_hand:
            if entry["function"] == name:
                found += [("by hand", one, two, *by_hand_around(entry))
                          for one, two in find_by_hand(text, tokens, (first, last), entry)]
        for kind, one, two, before, after in found:
            begin, end = tokens[one].begin, tokens[two].end
            key = (name, kind, flat(text[begin:end]))
            seen[key] = seen.get(key, 0) + 1
            mutants.append(Mutant(file, *key, seen[key], begin, end, before, after))
    return mutants


def with_switches(text, numbered):
    """The file with all mutants in it: (number, mutant) each."""
    places = []
    for order, (number, mutant) in enumerate(numbered):
        size = mutant.end - mutant.begin
        # At one place: what ends there first, the innermost before; then what begins, the outermost before.
        places.append((mutant.begin, 1, -size, order, mutant.before.replace("%d", str(number), 1)))
        places.append((mutant.end, 0, size, -order, mutant.after))
    parts, at = [], 0
    for place, *_, inserted in sorted(places):
        parts += [text[at:place], inserted]
        at = place
    return "".join(parts) + text[at:]
