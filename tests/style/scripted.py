"""A script of scripts/ run over a small project that a test makes."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"


class ScriptTest(unittest.TestCase):
    """script: its name; files: {path: text} of the project, which it is run in."""

    script = None

    def check(self, files):
        """Its status, and all that it said."""
        with tempfile.TemporaryDirectory() as folder:
            for path, text in files.items():
                target = pathlib.Path(folder, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
            result = subprocess.run([sys.executable, str(SCRIPTS / self.script)], cwd=folder, capture_output=True, text=True,
                                    check=False)
            return result.returncode, result.stdout + result.stderr

    def accept(self, files):
        self.assertEqual(self.check(files), (0, ""))

    def refuse(self, files, message):
        status, output = self.check(files)
        self.assertEqual(status, 1)
        self.assertIn(message, output)
