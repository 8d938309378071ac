#!/usr/bin/env python3
"""Print "PASSED FAILED" of a meson test log, counting each cmocka test by itself, and below it a line
for each test that failed."""

import json
import re
import sys


def failures(test, text):
    """What of a meson test has failed: the names that cmocka lists, or how it ended."""
    name = test["name"].rsplit(" / ", 1)[-1]
    listed = re.findall(r"^\[  FAILED  \] (?!\d+ test)(\S.*)$", text, re.M)
    if test["result"] != "FAIL":  # TIMEOUT, ERROR: all that was not done is missing in the text
        return [f"{name}: {test['result']} after {test['duration']:.0f} s"]
    return [f"{name}: {what}" for what in dict.fromkeys(listed)] or [name]


def main(path):
    passed = failed = 0
    names = []
    with open(path, encoding="utf-8") as log:
        for line in log:
            test = json.loads(line)
            # cmocka writes to stderr, "[  PASSED  ] 12 test(s)."
            text = test.get("stdout", "") + test.get("stderr", "")
            counted = re.findall(r"\[  (PASSED|FAILED)  \] (\d+) test\(s\)", text)
            good = sum(int(number) for word, number in counted if word == "PASSED")
            bad = sum(int(number) for word, number in counted if word == "FAILED")
            if test["result"] == "OK":
                passed += good or 1
            else:
                passed += good
                failed += bad or 1
                names += failures(test, text)
    if passed + failed == 0:
        sys.exit("no test was run")
    print(passed, failed)
    for name in names:
        print(name)


main(sys.argv[1])
