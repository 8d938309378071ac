#!/usr/bin/env python3
"""scripts/check-circles.py finds files that call each other, directly or around a corner, and leaves the others alone."""

import unittest

from scripted import ScriptTest


def function(name, body="", static=False):
    return f"{'static ' if static else ''}bool {name}(int fd,\n          int more)\n{{\n    {body}\n    return true;\n}}\n\n"


class CheckCircles(ScriptTest):
    script = "check-circles.py"

    def test_two_files_that_call_each_other_are_refused(self):
        self.refuse({"src/push/a.c": function("one", "two(1, 2);"), "src/push/b.c": function("two", "one(1, 2);")},
                    "src/push/a.c: a circle: src/push/a.c calls src/push/b.c (two), which calls src/push/a.c (one)")

    def test_what_stands_in_a_text_is_not_a_call_even_after_a_quote_in_it(self):
        self.accept({"src/push/a.c": function("one", 'f("say \\"two\\" two");'), "src/push/b.c": function("two", "one(1, 2);")})

    def test_a_function_that_is_handed_on_is_a_call(self):
        self.refuse({"src/push/a.c": function("one", "walk(two);"), "src/push/b.c": function("two", "one(1, 2);")}, "a circle")

    def test_a_circle_around_a_corner_is_refused_once(self):
        status, output = self.check({"src/push/a.c": function("one", "two(1, 2);"), "src/push/b.c": function("two", "three(1, 2);"),
                                "src/push/c.c": function("three", "one(1, 2);"), "src/push/d.c": function("four", "one(1, 2);")})
        self.assertEqual((status, output.count("a circle")), (1, 1))
        self.assertIn("src/push/c.c (three), which calls src/push/a.c (one)", output)

    def test_one_way_is_allowed(self):
        self.accept({"src/push/a.c": function("one", "two(1, 2);"), "src/push/b.c": function("two"), "src/push/c.c": function("three", "one(1, 2);")})

    def test_other_folders_comments_texts_and_own_functions_of_the_name_do_not_count(self):
        self.accept({"src/push/a.c": function("one", "two(1, 2);"), "src/get/b.c": function("two", "one(1, 2);")})
        self.accept({"src/push/a.c": function("one", "two(1, 2);"), "src/push/b.c": function("two", "/* one() */ say(\"one\");")})
        self.accept({"src/push/a.c": function("one", "two(1, 2);"), "src/push/b.c": function("one", static=True) + function("two", "one(1, 2);")})

    def test_no_sources_are_a_mistake(self):
        self.refuse({"README.md": ""}, "no sources here")


if __name__ == "__main__":
    unittest.main()
