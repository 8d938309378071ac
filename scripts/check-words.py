#!/usr/bin/env python3
"""Fail when a message, a hint, a help text or a document says what a native reader stumbles over.

Looked at: string literals and comments of src and include, comments of tests, README.md and docs/*.md. ALLOWED is what
a comment may say: it is not read in the middle of the night. What stands in a document between
backticks is left alone: it quotes a server or a program. BANNED has the words, as regular expressions, and what to say.
"""

import pathlib
import re
import sys

from c_source import COMMENT, without

BANNED = [
    # "12 MiB behind", "left behind" and "the code behind it" are English; in the WAL, what comes later lies after or beyond.
    (r"(?<!left )(?<!ahead of or )\bbehind (the|it|its|that|them|these|those|a|an|each|this|%|\d|an LSN)\b(?! host)", "after, or beyond"),
    (r"\b(is|are|lies|lie|comes|come|begins|ends|stands|stand|missing|damaged|committed|one|ones) behind\b", "after, or beyond"),
    (r"(?<![Tt]here )\b(is|are|was|were) no (?!longer\b|more\b|use\b|room\b|less\b)", "is not a"),
    (r"\b(can't|cannot|not to|to|could|can) be had\b", "is (not) available"),
    (r"\b(is|was|are|be|holds|by now,?) another one\b", "is different, has other content"),
    (r"\bof no use\b", "can't be used"),
    (r"\bappears? and disappears?\b|\bcomes? and goes?\b", "another process keeps storing and removing it"),
    (r"\bsomebody else'?s? (works|is at work)\b", "another process"),
    (r"\bsays? of (its|his|their) \w+ what can't be\b", "is impossible"),
    (r"\bspeak of two\b", "are about two different"),
    (r"\b(for|to|by|of) who (?!m\b)", "whoever, those who"),
    (r"\balso (when|if)\b", "even when, even if"),
    (r"\bmakes? no harm\b", "does no harm"),
    (r"\bbelieves? to be\b", "thinks that it is"),
    (r"\bfor ever\b", "forever"),
    (r"\bwhat is known of WAL\b", "the cache of WAL trailers"),
    (r"\bat no time that has a name\b", "shows a time that can't be written"),
    (r"\bhas not what\b|\bhas what .{1,60} has not\b", "lacks, differs"),
]
ALLOWED = re.compile(r"also (when|if)$|\bbelieves? to be$|another one$")
LITERALS = re.compile(r'"(?:[^"\\\n]|\\.)*"(?:\s*(?:PRI\w+\s*)?"(?:[^"\\\n]|\\.)*")*')
COMMENT_MARK = "\0"
BANNER = re.compile(r"/\* ?-{2,} ")
QUOTED = re.compile(r"`[^`]*`", re.DOTALL)


def texts_of(path, text):
    """Pairs of a line number and what a person reads there."""
    if path.suffix == ".md":
        yield from enumerate(without(QUOTED, text).splitlines(), 1)
        return
    for found in COMMENT.finditer(text):
        yield text.count("\n", 0, found.start()) + 1, COMMENT_MARK + re.sub(r"\n\s*\* ?", " ", found[0])
    if path.parts[0] == "tests":
        return
    code = without(COMMENT, text)
    for found in LITERALS.finditer(code):
        parts = re.findall(r'"((?:[^"\\\n]|\\.)*)"', found[0])
        yield code.count("\n", 0, found.start()) + 1, "".join(parts)


def complaints(path):
    for number, line in texts_of(path, path.read_text(encoding="utf-8")):
        for pattern, instead in BANNED:
            found = re.search(pattern, line)
            if found and not (line.startswith(COMMENT_MARK) and ALLOWED.search(found[0])):
                yield f'{path}:{number}: "{found[0].strip()}": say {instead}'
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if path.suffix != ".md" and BANNER.search(line):
            yield f"{path}:{number}: a title over a block: the block wants to be a function or a file"


def main():
    files = [path for top in ("src", "include", "tests") for end in ("*.c", "*.h") for path in pathlib.Path(top).rglob(end)]
    files += [*pathlib.Path("docs").glob("*.md"), *pathlib.Path(".").glob("README.md")]
    errors = [] if files else ["nothing here: run in the folder that holds src and docs"]
    for path in sorted(files):
        errors += complaints(path)
    print("\n".join(errors), end="\n" if errors else "")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
