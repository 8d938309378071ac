#!/usr/bin/env python3
"""Fail when two .c files of one folder call each other, directly or around a corner: then neither can be read, or moved, alone.

A file calls another when it names a function that is not its own and that only the other one defines; what is declared where does not
count. A circle is untied by giving what both need a file of its own, or by asking for it as an argument.
"""

import collections
import pathlib
import re
import sys

from c_source import COMMENT_OR_TEXT, DEFINITION

ALLOWED = {  # files that may be in a circle, and why
    "src/stream/crc32c.c": "crc32c_machine() is what the build chose for this processor, and falls back on the table",
}


def calls_of(folder):
    """{file: {other file of the folder: its functions that are named there}}"""
    code = {path.as_posix(): COMMENT_OR_TEXT.sub(" ", path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.c"))}
    public, own = collections.defaultdict(set), collections.defaultdict(set)
    for path, text in code.items():
        for before, name, _ in DEFINITION.findall(text):
            own[path].add(name)
            if not before.startswith("static "):
                public[name].add(path)
    calls = {path: collections.defaultdict(set) for path in code}
    for path, text in code.items():
        for name in set(re.findall(r"\b[a-z]\w*\b", text)) - own[path]:
            for other in public.get(name, ()):
                calls[path][other].add(name)
    return calls


def circle_of(calls, start):
    """The shortest way from a file back to itself: [file, ..., file]; None."""
    ways, seen = [[start]], set()
    while ways:
        way = ways.pop(0)
        for other in sorted(calls[way[-1]]):
            if other == start:
                return [*way, start]
            if other not in seen:
                seen.add(other)
                ways.append([*way, other])
    return None


def complaints(folder):
    """A line for each circle of the folder."""
    calls, told, lines = calls_of(folder), set(), []
    for start in sorted(calls):
        way = None if start in ALLOWED or start in told else circle_of(calls, start)
        if way is None or any(path in ALLOWED for path in way):
            continue
        told.update(way)
        steps = [f"{there} ({', '.join(sorted(calls[here][there])[:3])})" for here, there in zip(way, way[1:])]
        lines.append(f"{start}: a circle: {start} calls {', which calls '.join(steps)}")
    return lines


def main():
    folders = sorted(path for path in pathlib.Path("src").glob("*/") if path.is_dir())
    errors = [] if folders else ["no sources here: run in the folder that holds src"]
    for folder in folders:
        errors += complaints(folder)
    print("\n".join(errors), end="\n" if errors else "")
    sys.exit(bool(errors))


main()
