#!/usr/bin/env python3
"""Fail when a name stands for two things: a backtrace, a grep and a fuzzy "open file" say whose something is by its name alone.

Looked at, in src and include:
  - a static function's name has two words at least: what is done, and to what or by whom;
  - it is defined in one file only, and no function of another file has it either;
  - two structs, unions, enums or typedefs never share a name;
  - two files of different rooms never share a base name, but for a command's file (command/ and incident/ are named by the
    words that an operator types) beside the room that does its work.

Allowed twice is what the preprocessor chooses between: definitions of one name in one file, and a function of internal linkage only
where its other definitions are for other machines (ONE_OF_THEM).
"""

import collections
import pathlib
import re
import sys

from c_source import COMMENT, DEFINITION, without

TYPES = [
    re.compile(r"\b(?:struct|union|enum)\s+(\w+)\s*\{"),
    re.compile(r"^\}\s*(\w+);", re.MULTILINE),
    re.compile(r"^typedef\s[^;{]*\(\*?(\w+)\)\(", re.MULTILINE),
]
NOT_NAMES = {"__attribute__", "bool"}
ONE_OF_THEM = {"crc32c_machine"}  # stream/crc32c_x86.c, _arm.c, _other.c: the build takes one of them
WORDS = {"command", "incident"}  # rooms whose files are called like the words of the command line
WORK = {"promote": "recovery", "watch": "recovery"}  # whose work is not in a room of their own name


def code_of(path):
    """The file without its comments."""
    return without(COMMENT, path.read_text(encoding="utf-8"))


def functions(files):
    """Complaints about static functions whose name another file defines, too."""
    owners = collections.defaultdict(set)
    static = set()
    for path, code in files.items():
        for start, name, _ in DEFINITION.findall(code):
            if name not in NOT_NAMES | ONE_OF_THEM:
                owners[name].add(str(path))
                if re.match(r"static\b", start):
                    static.add(name)
    for name, paths in owners.items():
        if len(paths) > 1 and name in static:
            yield f"{name}() is defined in {', '.join(sorted(paths))}: say in the name whose it is"


def single_words(files):
    for path, code in files.items():
        for start, name, _ in DEFINITION.findall(code):
            if re.match(r"static\b", start) and "_" not in name and name not in NOT_NAMES:
                yield f"{path}: {name}(): say in the name whose it is"


def types(files):
    owners = collections.defaultdict(set)
    for path, code in files.items():
        for pattern in TYPES:
            for name in pattern.findall(code):
                owners[name].add(str(path))
    for name, paths in owners.items():
        if len(paths) > 1:
            yield f"type {name} is defined in {', '.join(sorted(paths))}"


def base_names(files):
    rooms = collections.defaultdict(set)
    for path in files:
        rooms[path.stem].add(path.parent.name)
    for name, found in rooms.items():
        work = WORK.get(name, name)
        if len(found - WORDS) > 1 or len(found & WORDS) > 1 or (len(found) > 1 and found - WORDS != {work}):
            yield f"{name} is a file of {', '.join(sorted(found))}: one of them wants another name"


def main():
    paths = [*pathlib.Path("src").rglob("*.[ch]"), *pathlib.Path("include").rglob("*.h")]
    files = {path: code_of(path) for path in sorted(paths)}
    errors = [] if files else ["no sources here: run in the folder that holds src and include"]
    errors += sorted([*functions(files), *single_words(files), *types(files), *base_names(files)])
    print("\n".join(errors), end="\n" if errors else "")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
