#!/usr/bin/env python3
"""scripts/check-words.py finds each kind of phrase that it bans, where people read, and leaves the others alone."""

import unittest

from scripted import ScriptTest


class CheckWords(ScriptTest):
    script = "check-words.py"

    def test_banned_words_are_found_in_messages_and_documents(self):
        for words in ("WAL is missing behind 0/5000060", "what comes behind is lost", "it is no regular file",
                      "it can't be had", "the file is another one", "for who knows", "it waits for ever",
                      "it appears and disappears", "of no use", "even so, also when it fails"):
            for path, text in (("src/a/b.c", f'error_set(err, "x: {words}");\n'), ("docs/a.md", f"So {words}.\n"),
                               ("README.md", f"{words}\n")):
                status, output = self.check({path: text})
                self.assertEqual(status, 1, words)
                self.assertIn(f"{path}:1: ", output)

    def test_a_message_in_several_literals_is_read_as_one(self):
        status, output = self.check({"src/a/b.c": '\n\nf("WAL is missing %" PRIu64\n  " times, and what is "\n  "behind it");\n'})
        self.assertEqual(status, 1, output)
        self.assertIn("src/a/b.c:3: ", output)

    def test_comments_are_english_too(self):
        for path, text in (("src/a/b.c", "/* what lies\n * behind it */\n"), ("tests/a/b.c", "/* a pipe is no file */\n"),
                           ("include/a/b.h", "/* for who reads */\n")):
            status, said = self.check({path: text})
            self.assertEqual((status, path in said), (1, True), text)
        self.assertEqual(self.check({"src/a/b.c": "int a;\n", "tests/a/b.c": 'f("is no file");\n'}), (0, ""))

    def test_english_comments_and_quotes_are_left_alone(self):
        for path, text in (("src/a/b.c", 'f("slot is 12 MiB behind");\n'), ("src/a/b.c", 'f("there is no backup");\n'),
                           ("src/a/b.c", "/* true also when it is another one */\n"), ("src/a/b.c", 'f("it is no longer");\n'),
                           ("docs/a.md", "The server says `it is no file`.\n"),
                           ("docs/a.md", "A killed run leaves such a file behind.\n")):
            self.assertEqual(self.check({path: text}), (0, ""), text)

    def test_nothing_to_look_at_is_a_mistake(self):
        self.assertEqual(self.check({"x": ""})[0], 1)


if __name__ == "__main__":
    unittest.main()
