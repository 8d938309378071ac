#!/usr/bin/env python3
"""scripts/check-fields.py tells fragments from sentences in comments of fields and constants, and looks nowhere else."""

import unittest

from scripted import ScriptTest

FRAGMENTS = ("bytes per second, 0: none", "Bytes per second.", "It is in bytes", "Where it begins.", "It is a path; NULL: none.",
             "0: not known.", "The newest of all.")
SENTENCES = ("It is in bytes. 0 means that there is no limit.", '"a/b" is one.', "`restore` takes it.", "See lease_take().",
             "It isn't there.", "storage_open() sets it.", "Where nothing is known, it is 0.", "It is PIPE_BUF: more is not needed.")


class CheckFields(ScriptTest):
    script = "check-fields.py"

    def test_fragments_are_found_in_structs_enums_and_lines_of_constants(self):
        for words in FRAGMENTS:
            for text in (f"struct A {{\n    int b; /* {words} */\n}};\n", f"typedef enum A {{\n    /* {words} */\n    B,\n}} A;\n",
                         f"int c;\n#define A 5 /* {words} */\n", f"\nconst char *a(int b); /* {words} */\n"):
                status, output = self.check({"src/a/b.h": text})
                self.assertEqual((status, "src/a/b.h:2: " in output), (1, True), text + output)

    def test_sentences_pass(self):
        for words in SENTENCES:
            text = f"struct A {{\n    int b; /* {words} */\n    union {{\n        /* {words} */\n        int c;\n    }};\n}};\n"
            self.assertEqual(self.check({"include/a/b.h": text}), (0, ""), words)

    def test_a_comment_of_several_lines_is_one(self):
        text = "struct A {\n    /*\n     * It is the\n     * newest.\n     */\n    int b;\n};\n"
        self.assertEqual(self.check({"include/a/b.h": text}), (0, ""))

    def test_a_nested_struct_does_not_end_the_outer_one(self):
        text = "struct A {\n    struct {\n        int b;\n    } c;\n    int d; /* bytes */\n};\n"
        status, output = self.check({"src/a/b.c": text})
        self.assertEqual((status, "src/a/b.c:5: " in output), (1, True), output)

    def test_other_comments_are_left_alone(self):
        text = 'void f(void); /* for CLEANUP() */\n\n/* all of it */\nstruct A g(void)\n{\n    h("struct {"); /* bytes */\n}\n'
        self.assertEqual(self.check({"src/a/b.c": text}), (0, ""))

    def test_nothing_to_look_at_is_a_mistake(self):
        self.assertEqual(self.check({"x": ""})[0], 1)


if __name__ == "__main__":
    unittest.main()
