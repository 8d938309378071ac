#!/usr/bin/env python3
"""What scripts/mutate finds in a source, and what it makes of it."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from mutation import listed, source  # pylint: disable=wrong-import-position

TEXT = '''#include <string.h>
#define MACRO(x) \\
    (x && 1)
static bool is_same(const char *a, const char *b); /* if (comment) return; */
bool push(const char *a, bool b, int *c)
{
    static const int two = 1 && 1;
    if (a == NULL || (b && *c > 0))
        return false;
    if (b)
        *c = '"' + 2;
    for (int i = 0; i < 3 && *c == 0; i++)
        *c += b ? 1 || two : 0;
    if (strcmp(a, "}\\"{") != 0 && *c != 5) {
        error_set("no");
    }
    return is_same(a, "x") && FAULT_POINT("here") && strcmp(a, "y") == 0;
}
'''


def found(text=TEXT, by_hand=()):
    return source.mutants_of("src/push.c", text, source.Types([text]), by_hand)


class Mutants(unittest.TestCase):
    def test_those_that_there_are_in_a_function(self):
        self.assertEqual([(mutant.kind, mutant.text, mutant.nth) for mutant in found()], [
            ("if", "a == NULL || (b && *c > 0)", 1),
            ("if", 'strcmp(a, "}\\"{") != 0 && *c != 5', 1),
            ("operand", "b", 1),
            ("operand", "*c > 0", 1),
            ("operand", "a == NULL", 1),
            ("operand", "(b && *c > 0)", 1),
            ("operand", "i < 3", 1),
            ("operand", "*c == 0", 1),
            ("operand", "1", 1),
            ("operand", "two", 1),
            ("operand", 'strcmp(a, "}\\"{") != 0', 1),
            ("operand", "*c != 5", 1),
            ("operand", 'is_same(a, "x")', 1),
            ("operand", 'strcmp(a, "y") == 0', 1),
            # Not those of the last line: to take two for equal is to leave the operand out.
            ("compare", 'strcmp(a, "}\\"{")', 1),
        ])

    def test_syncs_are_taken_for_a_success(self):
        mutants = found("bool storage_sync(int s);\nbool f(int fd, int s)\n{\n    if (fsync(fd) != 0)\n"
                        "        return false;\n    return s->driver->sync(s);\n}\n")
        self.assertEqual([(mutant.kind, mutant.text, mutant.before) for mutant in mutants], [
            ("if", "fsync(fd) != 0", "!MUTANT(%d) && ("),
            ("sync", "fsync(fd)", "(MUTANT(%d) ? 0 : "),
            ("sync", "s->driver->sync(s)", "(MUTANT(%d) ? 1 : "),
        ])

    def test_one_that_is_listed_by_its_text(self):
        entry = {"file": "src/push.c", "function": "push", "without": "i < 3", "with": "true", "fails": "x", "law": "1"}
        mutants = found(by_hand=[entry])
        self.assertEqual([mutant.text for mutant in mutants if listed.matches(entry, mutant)], ["i < 3"])
        self.assertEqual(listed.complaint(entry, mutants, {"test_a.B.test_x"}), "")
        self.assertIn("no test", listed.complaint(entry, mutants, {"test_a.B.y"}))
        self.assertIn("nothing", listed.complaint({**entry, "without": "i < 4"}, mutants, {"x"}))

    def test_brackets_that_do_not_match_are_told(self):
        self.assertIsNone(found("int f(void)\n{\n    return (1;\n}\n"))


class Switches(unittest.TestCase):
    def test_each_changes_what_it_says(self):
        text = ("#include <stdio.h>\n#include <stdlib.h>\nstatic int chosen;\n#define MUTANT(n) (chosen == (n))\n"
                "static int f(int a, int b, int c)\n{\n    if (a && (b || c))\n        return 1;\n    return 0;\n}\n"
                "int main(int count, char **words)\n{\n    (void)count;\n    chosen = atoi(words[1]);\n"
                '    printf("%d%d%d%d", f(1, 1, 0), f(1, 0, 1), f(0, 1, 0), f(1, 0, 0));\n    return 0;\n}\n')
        mutants = found(text)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "f.c"
            path.write_text(source.with_switches(text, list(enumerate(mutants, 1))), encoding="utf-8")
            subprocess.run(["cc", "-o", f"{folder}/f", path], check=True)
            said = [subprocess.run([f"{folder}/f", str(number)], capture_output=True, text=True, check=True).stdout
                    for number in range(len(mutants) + 1)]
        names = [mutant.text for mutant in mutants]
        self.assertEqual(dict(zip(["none", *names], said)), {
            "none": "1100", "a && (b || c)": "0000", "a": "1110", "(b || c)": "1101", "b": "0100", "c": "1000"})


unittest.main()
