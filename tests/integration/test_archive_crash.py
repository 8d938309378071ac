"""
kill -9 of init, archive-push and archive-get at every fault point there is: readers never see half,
nobody is told "no such file" of what was acknowledged, and the next run succeeds at once.
"""

import pathlib
import re
import shutil
import signal
import unittest

from support.archive import archived, content_of, flip, object_of
from support.cluster import ArchiveTest, make_directory

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "src"
TIMES = range(1, 40)  # more often than any point is reached in one run


def fault_points():
    """Every name in the sources: a new one is tested without being listed anywhere."""
    found = set()
    for path in SOURCES.rglob("*.c"):
        found |= set(re.findall(r'FAULT_POINT\("([^"]+)"', path.read_text(encoding="utf-8")))
    return sorted(found)


class ArchiveCrash(ArchiveTest):
    @classmethod
    def build(cls, world):
        cls.segments = [world.cluster.fill_segment() for _ in range(3)]
        cls.source = world.cluster.data / "pg_wal" / cls.segments[1]

    def setUp(self):
        super().setUp()
        self.object = object_of(self.repo, self.segments[1])
        self.target = make_directory(self.path / "desk") / "RECOVERYXLOG"

    def crash(self, point, time, command, *arguments):
        """Whether the tool was killed there; if not it must have succeeded."""
        done = self.attempt(command, *arguments,
                            environment={"PGCAIRN_FAULT": f"{point}:crash:{time}"})
        if done.returncode == 0:
            return False
        self.assertEqual(done.returncode, -signal.SIGKILL, done.stdout + done.stderr)
        return True

    def assert_readers_see_all_or_nothing(self):
        self.target.unlink(missing_ok=True)
        done = self.attempt("archive-get", "--hole-wait=0s", self.segments[1], self.target)
        # Later segments are there: without it this is a hole, never "no such file".
        self.assertIn(done.returncode, (0, 255), done.stderr)
        if done.returncode == 0:
            self.assertEqual(self.target.read_bytes(), self.source.read_bytes())

    def assert_next_push_succeeds(self):
        self.tool("archive-push", self.source)
        self.assertEqual(content_of(self.object), self.source.read_bytes())
        self.assertEqual(archived(self.repo).count(self.segments[1]), 1)

    def crash_everywhere(self, prepare, command, *arguments, check):
        """At each point, each time it is reached; gives the points that were."""
        reached = set()
        for point in fault_points():
            for time in TIMES:
                prepare()
                if not self.crash(point, time, command, *arguments):
                    break
                reached.add(point)
                with self.subTest(point=point, time=time):
                    check()
        return reached

    def require_fault_points(self):
        if not self.crash("wal-object.before-commit", 1, "archive-push", "--cluster=probe",
                          self.source):
            self.skipTest("the tool was built without fault points")

    def setUpProbe(self):
        self.tool("init", "--cluster=probe", f"--data={self.cluster.data}")
        self.require_fault_points()

    def check_push(self):
        self.assert_readers_see_all_or_nothing()
        self.assert_next_push_succeeds()

    def test_push_of_a_new_segment(self):
        self.setUpProbe()
        reached = self.crash_everywhere(lambda: self.object.unlink(missing_ok=True),
                                        "archive-push", self.source, check=self.check_push)
        self.assertLessEqual({"wal-object.before-commit", "wal-object.after-commit",
                              "file.before-publish", "file.after-publish"}, reached)

    def test_push_into_a_new_folder(self):
        self.setUpProbe()
        wal = self.repo / "main" / "wal"
        rest = [name for name in self.segments if name != self.segments[1]]

        def prepare():
            shutil.rmtree(wal, ignore_errors=True)

        def check():
            self.assert_next_push_succeeds()
            for name in rest:
                self.tool("archive-push", self.source.with_name(name))
            self.assert_readers_see_all_or_nothing()

        reached = self.crash_everywhere(prepare, "archive-push", self.source, check=check)
        self.assertIn("wal-object.after-commit", reached)

    def test_push_over_a_damaged_object(self):
        self.setUpProbe()

        def prepare():
            self.tool("archive-push", self.source)
            flip(self.object, 300)

        reached = self.crash_everywhere(prepare, "archive-push", self.source, check=self.check_push)
        self.assertLessEqual({"push.before-set-aside", "push.after-set-aside",
                              "set-aside.before-remove", "set-aside.after-remove"}, reached)

    def test_push_of_the_last_segment_never_becomes_absent(self):
        """Once it was acknowledged, a repair that dies between two steps does not make it the end."""
        self.setUpProbe()
        last = self.segments[-1]
        stored, source = object_of(self.repo, last), self.source.with_name(last)

        def prepare():
            self.tool("archive-push", source)
            flip(stored, 300)

        def check():
            done = self.attempt("archive-get", "--hole-wait=0s", last, self.target)
            self.assertIn(done.returncode, (0, 255), done.stderr)
            self.tool("archive-push", source)
            self.tool("archive-get", last, self.target)

        reached = self.crash_everywhere(prepare, "archive-push", source, check=check)
        self.assertIn("set-aside.after-remove", reached)

    def test_get(self):
        self.setUpProbe()

        def check():
            if self.target.exists():  # renamed already: then it is whole
                self.assertEqual(self.target.read_bytes(), self.source.read_bytes())
            self.tool("archive-get", self.segments[1], self.target)
            self.assertEqual(self.target.read_bytes(), self.source.read_bytes())

        reached = self.crash_everywhere(lambda: self.target.unlink(missing_ok=True), "archive-get",
                                        self.segments[1], self.target, check=check)
        self.assertIn("get.before-rename", reached)

    def test_init(self):
        self.setUpProbe()
        self.repo = self.path / "fresh"

        def check():
            self.tool("init", f"--data={self.cluster.data}")
            self.tool("archive-push", self.source)

        reached = self.crash_everywhere(lambda: shutil.rmtree(self.repo, ignore_errors=True),
                                        "init", f"--data={self.cluster.data}", check=check)
        self.assertLessEqual({"registration.before-commit", "registration.after-commit"}, reached)


if __name__ == "__main__":
    unittest.main()
