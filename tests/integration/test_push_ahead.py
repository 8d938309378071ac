"""archive-push pushes what waits behind the file asked for, and answers for it: never a false success."""

import collections
import json
import os
import re
import shutil
import signal
import unittest

from support.archive import archived, content_of, flip, object_of
from support.cluster import ArchiveTest, ClusterTest, make_directory
from support.processes import TOOL, run, wait_for
from support.version import SWITCH_WAL

WAITING = 6


class WaitingSegments(ArchiveTest):
    """A copy of a server's pg_wal in which six segments wait, an archive without them, a spool."""

    @classmethod
    def build(cls, world):
        cls.segments = [world.cluster.fill_segment(200) for _ in range(WAITING)]

    def setUp(self):
        super().setUp()
        self.data = self.data_copy()
        self.wal = self.data / "pg_wal"
        self.spool = make_directory(self.path / "spool")
        self.ready()
        self.forget()

    def ready(self):
        """All of them wait, and nothing else."""
        for path in (self.wal / "archive_status").iterdir():
            path.unlink()
        run("touch", *(self.wal / "archive_status" / f"{name}.ready" for name in self.segments))

    def forget(self):
        """The archive has none of them, and there are no notes."""
        for name in self.segments:
            object_of(self.repo, name).unlink(missing_ok=True)
        for path in self.spool.iterdir():
            shutil.rmtree(path)

    def words(self, name, ahead=3):
        return ["archive-push", f"--spool={self.spool}", f"--push-ahead={ahead}", "--json",
                self.wal / name]

    def push(self, name, ahead=3, **how):
        """What the call says of it: stored, acknowledged, ..."""
        return json.loads(self.tool(*self.words(name, ahead), **how))["outcome"]

    def there(self):
        return [name for name in archived(self.repo) if name in self.segments]

    def notes(self):
        return sorted(path.name for path in self.spool.rglob("*") if path.is_file())

    def assert_whole(self):
        self.assertEqual(self.there(), self.segments)
        for name in self.segments:
            self.assertEqual(content_of(object_of(self.repo, name)), (self.wal / name).read_bytes())

    def server_asks(self, ahead=3):
        """For one after the other, as the archiver does; gives the outcomes."""
        outcomes = []
        for name in self.segments:
            ready = self.wal / "archive_status" / f"{name}.ready"
            self.assertTrue(ready.exists())
            outcomes.append(self.push(name, ahead))
            ready.rename(ready.with_suffix(".done"))
        return outcomes


class Answers(WaitingSegments):
    def test_what_waits_is_pushed_along_and_answered(self):
        self.assertEqual(self.push(self.segments[0]), "stored")
        self.assertEqual(self.there(), self.segments[:4])
        self.assertEqual(self.notes(), self.segments[1:4])
        self.forget()

        self.assertEqual(self.server_asks(), ["stored"] + 3 * ["acknowledged"] + ["stored", "acknowledged"])
        self.assert_whole()
        self.assertEqual(self.notes(), [])

    def test_nothing_is_pushed_along_when_it_is_turned_off_or_has_no_spool(self):
        self.assertEqual(self.push(self.segments[0], ahead=0), "stored")
        self.assertEqual(self.there(), self.segments[:1])
        inside = self.data / "spool"
        nowhere = self.path / "not" / "there"
        for number, spool in enumerate((inside, nowhere), 1):
            done = self.attempt("archive-push", f"--spool={spool}", self.wal / self.segments[number])
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("no segments are pushed ahead", done.stderr)
        self.assertEqual(self.there(), self.segments[:3])
        self.assertFalse(inside.exists())

    def test_what_does_not_wait_is_not_pushed(self):
        (self.wal / "archive_status" / f"{self.segments[1]}.ready").unlink()
        self.push(self.segments[0], ahead=8)
        self.assertEqual(self.there(), [self.segments[0], *self.segments[2:]])

    def test_a_failure_ahead_is_the_business_of_its_own_call(self):
        content = (self.wal / self.segments[2]).read_bytes()
        (self.wal / self.segments[2]).write_bytes(b"\0" * len(content))

        self.assertEqual(self.push(self.segments[0]), "stored")
        self.assertEqual(self.there(), self.segments[:2])  # none behind it: that would be a hole
        self.tool_fails(4, self.segments[2], *self.words(self.segments[2]))
        (self.wal / self.segments[2]).write_bytes(content)
        self.server_asks()
        self.assert_whole()


class NeverAFalseSuccess(WaitingSegments):
    def setUp(self):
        super().setUp()
        self.before = self.path / "before"
        run("cp", "-a", self.repo, self.before)
        self.push(self.segments[0])
        self.assertEqual(self.notes(), self.segments[1:4])

    def test_the_repository_was_rolled_back(self):
        shutil.rmtree(self.repo)
        self.before.rename(self.repo)

        self.assertEqual(self.push(self.segments[1]), "stored")
        self.assertEqual(self.there(), self.segments[1:5])
        self.assertEqual(self.server_asks(), ["stored"] + 4 * ["acknowledged"] + ["stored"])
        self.assert_whole()

    def test_the_repository_was_exchanged(self):
        self.repo.rename(self.path / "old")
        self.tool("init", f"--data={self.data}")

        self.assertEqual(self.server_asks(), ["stored"] + 3 * ["acknowledged"] + ["stored", "acknowledged"])
        self.assert_whole()

    def test_the_repository_is_away(self):
        away = self.path / "away"
        self.repo.rename(away)
        self.tool_fails(7, "repository", *self.words(self.segments[1]), "--retries=0")
        away.rename(self.repo)
        self.assertEqual(self.push(self.segments[1]), "acknowledged")

    def test_the_object_is_gone_or_damaged(self):
        object_of(self.repo, self.segments[1]).unlink()
        self.assertEqual(self.push(self.segments[1]), "stored")
        flip(object_of(self.repo, self.segments[2]), -100)
        self.assertEqual(self.push(self.segments[2]), "repaired")
        self.assertEqual(content_of(object_of(self.repo, self.segments[2])),
                         (self.wal / self.segments[2]).read_bytes())

    def test_the_data_directory_is_a_copy(self):
        clone = self.path / "clone"
        run("cp", "-a", self.data, clone)
        self.wal = clone / "pg_wal"

        self.assertEqual(self.push(self.segments[1]), "already there")  # read whole and compared

        # It has gone its own way: same name, same size, other content.
        path = self.wal / self.segments[2]
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        self.tool_fails(15, "other content", *self.words(self.segments[2]))

    def test_the_file_was_replaced(self):
        path = self.wal / self.segments[1]
        times = path.stat()
        content = bytearray(path.read_bytes())
        content[100000] ^= 1
        path.write_bytes(content)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # same inode, size, mtime
        self.tool_fails(15, "other content", *self.words(self.segments[1]))

    def test_a_note_is_used_once(self):
        self.assertEqual(self.push(self.segments[1]), "acknowledged")
        self.assertEqual(self.push(self.segments[1]), "already there")

    def test_a_spool_that_others_can_write_is_not_believed(self):
        folder = next(path for path in self.spool.rglob("main"))
        folder.chmod(0o777)
        self.assertEqual(self.push(self.segments[1]), "already there")


class Crash(WaitingSegments):
    def test_killed_anywhere_nothing_is_lost_and_no_hole_is_left(self):
        log = self.path / "passed"
        self.tool(*self.words(self.segments[0]), environment={"PGCAIRN_FAULT_LOG": log})
        hits = collections.Counter(log.read_text(encoding="ascii").split() if log.exists() else [])
        if not hits:
            self.skipTest("the tool was built without fault points")
        self.assertLessEqual({"acknowledgement.before-publish", "acknowledgement.after-publish"}, set(hits))
        for point, count in sorted(hits.items()):
            for number in sorted({1, 2, count}):
                with self.subTest(point=point, hit=number):
                    self.ready()
                    self.forget()
                    done = self.attempt(*self.words(self.segments[0]),
                                        environment={"PGCAIRN_FAULT": f"{point}:crash:{number}"})
                    # Threads share out the work as it comes: a later time need not come again.
                    self.assertIn(done.returncode, (0, -signal.SIGKILL) if number > 1 else
                                  (-signal.SIGKILL,), done.stderr)
                    there = self.there()
                    self.assertEqual(there, self.segments[:len(there)], "a hole")
                    noted = [name for name in self.notes() if ".tmp-" not in name]
                    self.assertLessEqual(set(noted), set(there), "a note of what is not there")
                    self.server_asks()
                    self.assert_whole()
                    self.assertEqual(self.notes(), [])


class Server(ClusterTest):
    segment_mb = 1
    settings = {"wal_keep_size": "512MB"}

    def archive_command(self):
        self.spool = make_directory(self.path / "spool")
        return (f"{TOOL} archive-push --repo={self.repo} --spool={self.spool} --retries=0 "
                f"--log-level=debug %p")

    def test_the_archiver_catches_up_by_answers(self):
        away = self.path / "away"
        self.repo.rename(away)
        self.cluster.sql("create table filler (payload text)")
        segments = []
        for _ in range(20):
            self.cluster.sql("insert into filler select repeat('x', 1000) from generate_series(1, 100)")
            segments.append(self.cluster.sql(f"select {SWITCH_WAL}"))
        wait_for(lambda: "archive command failed" in self.cluster.log_tail(100000), "a failed call")
        away.rename(self.repo)

        for name in segments:
            self.cluster.wait_archived(name)
        said = self.cluster.log_tail(100000)
        outcomes = collections.Counter(re.findall(r" archived file=\S+ outcome=(\S+)", said))
        self.assertGreater(outcomes["acknowledged"], outcomes["stored"], outcomes)
        for name in segments:
            self.assertEqual(content_of(object_of(self.repo, name)),
                             (self.cluster.data / "pg_wal" / name).read_bytes())


if __name__ == "__main__":
    unittest.main()
