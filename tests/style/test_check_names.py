#!/usr/bin/env python3
"""scripts/check-names.py finds each kind of name that stands for two things, and leaves the others alone."""

import unittest

from scripted import ScriptTest

FUNCTION = "%s bool %s(int fd,\n          int more)\n{\n    return true;\n}\n"


class CheckNames(ScriptTest):
    script = "check-names.py"

    def test_a_static_function_of_two_files_is_refused(self):
        self.refuse({"src/push/a.c": FUNCTION % ("static", "judge_it"), "src/get/b.c": FUNCTION % ("static", "judge_it")},
                    "judge_it() is defined in src/get/b.c, src/push/a.c")
        self.refuse({"src/push/a.c": FUNCTION % ("static", "judge_it"), "include/get/b.h": FUNCTION % ("static inline", "judge_it")}, "judge_it()")
        self.refuse({"src/push/a.c": FUNCTION % ("static", "judge_it"), "src/get/b.c": (FUNCTION % ("", "judge_it")).lstrip()}, "judge_it()")

    def test_a_static_function_of_a_single_word_is_refused(self):
        self.refuse({"src/push/a.c": FUNCTION % ("static", "judge")}, "src/push/a.c: judge()")
        self.accept({"src/push/a.c": (FUNCTION % ("", "judge")).lstrip()})

    def test_calls_declarations_and_comments_are_none(self):
        self.accept({"src/push/a.c": FUNCTION % ("static", "judge_it"),
                     "src/get/b.c": "/*\nstatic bool judge_it(int fd)\n{\n*/\nbool judge_it(int fd);\nstatic bool x_y(void)\n{\n    return judge_it(1);\n}\n"})

    def test_one_of_two_by_the_preprocessor_is_allowed(self):
        self.accept({"src/push/a.c": "#if X\n" + FUNCTION % ("static", "judge_it") + "#else\n" + FUNCTION % ("static", "judge_it") + "#endif\n"})

    def test_a_type_of_two_files_is_refused(self):
        for other in ("typedef struct {\n    int x;\n} Line;\n", "enum Line { A };\n", "typedef bool (*Line)(void *context);\n"):
            with self.subTest(other=other):
                self.refuse({"src/push/a.c": "typedef struct Line {\n    int x;\n} Line;\n", "src/get/b.c": other},
                            "type Line is defined in src/get/b.c, src/push/a.c")
        self.accept({"src/push/a.c": "typedef struct Line {\n    int x;\n} Line;\n", "include/push/b.h": "typedef struct Line Line;\n"})

    def test_files_of_one_base_name_are_of_one_room(self):
        self.refuse({"src/push/plan.c": "", "src/get/plan.c": ""}, "plan is a file of get, push")
        self.refuse({"src/command/log.c": "", "include/base/log.h": ""}, "log is a file of base, command")
        self.refuse({"src/command/watch.c": "", "src/incident/watch.c": ""}, "watch is a file of command, incident")
        self.accept({"src/push/plan.c": "", "include/push/plan.h": "", "src/command/verify.c": "", "src/verify/verify.c": "",
                     "src/incident/watch.c": "", "src/recovery/watch.c": ""})

    def test_nothing_to_look_at_is_a_mistake(self):
        self.refuse({"README.md": ""}, "no sources here")


if __name__ == "__main__":
    unittest.main()
