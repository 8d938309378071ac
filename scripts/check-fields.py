#!/usr/bin/env python3
"""Fail when a comment of a field, an enum value or a constant is not a sentence.

Looked at: comments in the body of a struct, union or enum of src and include, and those in the line of a constant or of
a `const` result. A sentence begins with a capital (or with a name, a number, a quotation), ends with a full stop, and
has a verb: one of VERBS, or a form with "n't". "bytes; 0: none" is not one; "It is in bytes. 0 means that there is no
limit." is. What can't be found out this way, that a sentence is plain and says something, is left to whoever reads it.
"""

import pathlib
import re
import sys

from c_source import COMMENT, COMMENT_OR_TEXT

BODY = re.compile(r"\b(?:struct|union|enum)\b(?:\s+__attribute__\(\([^()]*\)\))?\s*\w*\s*\{")
CONSTANT = re.compile(r"\s*#\s*define\s+\S+\s+\S|(?:static )?const\b.*;\s*$")
BEGIN = re.compile(r"[A-Z0-9\"'`/<*_-]|[a-z]+[-_>.(\[]|[a-z]+\d")
FULL_STOP = re.compile(r"[.?…][)\"]?$")
RELATIVE = re.compile(r"(?:Where|When|How|Whether|Why|Those)\b[^,.]*[.;]")
SHORTHAND = re.compile(r"(?:^|[;,.] )(?:[A-Z][A-Z_]+|\d+|\"\"|-1): ")
VERBS = set(
    """
    is are was were be has have had does do did can may must will would should could
    accepts adds allocates announces appears applies archives ascend ascends ask asked asks become becomes began
    begin begins belong belongs borrows bound calls came change come comes complete completes compress compresses
    connects contain count counts cuts covers decides differ differed end ended ends enter exist exists failed fill fills
    follows forbids gave get gets give gives go goes got grow grows guard guards happens helps hold holds includes
    inserts keep keeps know knows lack lacks lasts lead leads leaves left let lets lie lies limits listens lists load make
    makes marked mean means messages name named names need needs own owns part parts pauses points preloads
    publishes put ran reached reaches read reads rebuilds refer refers refuses removed removes renews replays
    reports rests return returns runs said say says see sees sends sets shares show shows skip sort sorts stand
    stands start started starts stays stop stopped stops store stored stores streams take takes tell tells took touches
    transfer try use uses wait waits weighs went work works write writes
    """.split()
)


def masked(text):
    """The same text without comments and texts; places keep their numbers."""
    return COMMENT_OR_TEXT.sub(lambda found: re.sub(r"[^\n]", " " if found[0].startswith("/*") else "x", found[0]), text)


def bodies(code):
    for found in BODY.finditer(code):
        depth = 0
        for at in range(found.end() - 1, len(code)):
            depth += {"{": 1, "}": -1}.get(code[at], 0)
            if depth == 0:
                yield found.end(), at
                break


def field_comments(text):
    """Pairs of a line number and the words of a comment."""
    spans = list(bodies(masked(text)))
    for found in COMMENT.finditer(text):
        before = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
        if CONSTANT.match(before) or any(begin <= found.start() < end for begin, end in spans):
            words = re.sub(r"\s*\\?\n\s*\*? ?", " ", found[0][2:-2]).strip()
            yield text.count("\n", 0, found.start()) + 1, words


def fault(words):
    """What is wrong with a comment; None: nothing."""
    if words in ("clang-format off", "clang-format on"):
        return None
    if not BEGIN.match(words):
        return "a sentence begins with a capital"
    if not FULL_STOP.search(words):
        return "a sentence ends with a full stop"
    if RELATIVE.fullmatch(words) or SHORTHAND.search(words):
        return 'half a sentence: say "It is ...", "0 means that ..."'
    known = set(re.findall(r"[a-z']+", words.lower()))
    if not known & VERBS and not any(word.endswith("n't") for word in known):
        return "no verb that is known here: make it a sentence, or add its verb to VERBS in scripts/check-fields.py"
    return None


def main():
    files = [path for top in ("src", "include") for end in ("*.c", "*.h") for path in pathlib.Path(top).rglob(end)]
    errors = [] if files else ["nothing here: run in the folder that holds src and include"]
    for path in sorted(files):
        for number, words in field_comments(path.read_text(encoding="utf-8")):
            wrong = fault(words)
            if wrong:
                errors.append(f'{path}:{number}: "{words}": {wrong}')
    print("\n".join(errors), end="\n" if errors else "")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
