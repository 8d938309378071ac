"""What the checks of scripts/ need to know of a C file in the house's layout."""

import re

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
COMMENT_OR_TEXT = re.compile(r"/\*.*?\*/|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
# A function with its body: what stands before its name, the name, its parameters.
DEFINITION = re.compile(r"^(?![#\s{}])([^\n;={}]*?)\b(\w+)\(([^;{}]*?)\)[^;{}()]*\n\{", re.MULTILINE)


def without(pattern, text):
    """The same text with blanks in place of what matches: lines keep their numbers."""
    return pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
