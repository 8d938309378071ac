#!/usr/bin/env python3
"""Fail when a program or library lacks what makes a bug harder to use.

    scripts/check-hardening.py FILE...

Looks at the file as it would be installed, not at the flags it was built with: full RELRO, a
position-independent executable, no executable stack, stack protector, checked libc calls.
"""

import re
import subprocess
import sys

# With _FORTIFY_SOURCE=2 these become the checked __..._chk, but where the compiler sees that they fit.
UNCHECKED = re.compile(r"\bUND (printf|fprintf|snprintf|vsnprintf|vprintf|vasprintf|dprintf)@")


def readelf(*arguments):
    return subprocess.run(["readelf", "-W", *arguments], check=True, capture_output=True, text=True,
                          env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}).stdout


def missing(path):
    header, segments, dynamic, symbols = (readelf(flag, path) for flag in ("-h", "-l", "-d", "-s"))
    stack = next((line for line in segments.splitlines() if "GNU_STACK" in line), "RWE")
    wanted = {
        "a position-independent file": "Type:" in header and "DYN" in header,
        "RELRO": "GNU_RELRO" in segments,
        "all symbols bound at the start (full RELRO)": "BIND_NOW" in dynamic or "NOW" in dynamic,
        "a stack that is not executable": "RWE" not in stack,
        "the stack protector": "__stack_chk_fail" in symbols,
        "checked calls of libc (_FORTIFY_SOURCE)": "_chk@" in symbols or not UNCHECKED.search(symbols),
    }
    return [what for what, there in wanted.items() if not there]


def main():
    bad = [f"{path} lacks {what}" for path in sys.argv[1:] for what in missing(path)]
    if len(sys.argv) < 2:
        bad = ["which files?"]
    print("\n".join(bad) if bad else f"{len(sys.argv) - 1} files are hardened")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
