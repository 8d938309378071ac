#!/usr/bin/env python3
"""Print "PASSED FAILED" of a meson test log, counting each cmocka test by itself."""

import json
import re
import sys


def main(path):
    passed = failed = 0
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
    if passed + failed == 0:
        sys.exit("no test was run")
    print(passed, failed)


main(sys.argv[1])
