"""
Every command that changes something is killed, and made to fail, at every fault point it passes: the
first and the last time it passes it, the hooks each time. Half of anything is never visible, nobody is
told "no such file" of what was acknowledged, and the next run succeeds at once.

The points are found in the sources by grep; PGCAIRN_FAULT_LOG tells which of them a run passes.
"""

import collections
import hashlib
import json
import os
import shutil
import signal
import tempfile
import unittest

from support.archive import content_of, flip, object_of, put
from support.cluster import make_directory
from support.hook import fault_points
from support.processes import BIN, attempt, wait_for
from support.shared import SharedClusterTest

# kill -9 leaves the page cache alone: where the files are changes nothing but the time it takes.
if os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > 4 << 30:
    tempfile.tempdir = "/dev/shm"


def passed_elsewhere(point):
    """test_receive.py kills `receive`, which runs until it is told to end, at its points;
    test_prefetch_process.py the process that archive-get leaves behind; test_drill.py `drill`;
    test_expire.py `expire`. A backup that is withdrawn comes by them in test_meanwhile.py."""
    return (point.startswith(("receive.", "piece.", "spool.", "prefetch.", "drill.", "expire.")) or point.endswith("-open")
            or point in ("backup.after-withdrawn", "backup.before-withdraw"))


class CrashTest(SharedClusterTest):
    """Scenarios: how to make the place ready, the command, and what must hold afterwards."""

    every_time = False  # that a point is passed
    actions = ("crash", "fail")

    @classmethod
    def set_up_shared(cls, world):
        cluster = world.cluster
        cls.old_place = cluster.tablespace("fast")
        cluster.sql("create table t as select n, repeat(md5(n::text), 20) from generate_series(1, 2000) n;"
                    "create table u tablespace fast as select * from t")
        cls.backup_words = ["backup", f"--data={cluster.data}", f"--conninfo={cluster.conninfo()}",
                            "--jobs=2"]
        world.tool(*cls.backup_words)
        cls.segments = [cluster.fill_segment(100) for _ in range(2)]

    def setUp(self):
        super().setUp()
        self.log = self.path / "passed"
        self.target = self.path / "restored" / "data"
        self.place = self.path / "restored" / "fast"
        self.source = self.path / self.segments[0]
        self.tool("archive-get", self.segments[0], self.source)

    # -- scenarios ------------------------------------------------------------------------------

    def ready_init(self):
        self.repo = self.path / "new" / "repo"
        shutil.rmtree(self.repo.parent, ignore_errors=True)
        return ["init", f"--data={self.cluster.data}"]

    def ready_first(self):
        """Nothing is there, not even a folder."""
        self.fresh_archive()
        return ["archive-push", self.source]

    def ready_push(self):
        """Its successor is there already: without it, this is a hole and not the end."""
        self.ready_first()
        later = self.path / self.segments[1]
        if not later.exists():
            self.tool("archive-get", later.name, later, repo=self.world.repo)
        self.tool("archive-push", later)
        return ["archive-push", self.source]

    def ready_repair(self):
        """It is the last one, and damaged."""
        self.ready_first()
        self.tool("archive-push", self.source)
        flip(object_of(self.repo, self.segments[0]), 300)
        return ["archive-push", self.source]

    def ready_ahead(self):
        """In a pg_wal where the second segment waits behind the first."""
        self.fresh_archive()
        for folder in ("server", "spool"):
            shutil.rmtree(self.path / folder, ignore_errors=True)
            make_directory(self.path / folder)
        wal = make_directory(self.path / "server" / "pg_wal")
        make_directory(wal / "archive_status")
        for segment in self.segments:
            self.tool("archive-get", segment, wal / segment, repo=self.world.repo)
            put(wal / "archive_status" / f"{segment}.ready", b"")
        return ["archive-push", f"--spool={self.path / 'spool'}", wal / self.segments[0]]

    def ready_get(self):
        self.got = self.path / "RECOVERYXLOG"
        self.got.unlink(missing_ok=True)
        return ["archive-get", self.segments[0], self.got]

    def ready_backup(self):
        return self.backup_words

    def ready_verify(self):
        """Something is remembered, which is replaced; what was stored just now would not be."""
        self.fresh_archive()
        for segment in self.segments:
            self.tool("archive-get", segment, self.path / segment, repo=self.world.repo)
            self.tool("archive-push", self.path / segment)
        for path in self.repo.rglob("*"):
            if path.is_file():
                os.utime(path, (10**9, 10**9))
        self.tool("verify")
        return ["verify"]

    def ready_quarantine(self):
        self.fresh_archive()
        for segment in self.segments:
            self.tool("archive-get", segment, self.path / segment, repo=self.world.repo)
            self.tool("archive-push", self.path / segment)
        return ["wal-quarantine", f"--from={self.segments[0]}", "--yes"]

    def ready_undo(self):
        self.ready_quarantine()
        done = self.tool_json("wal-quarantine", f"--from={self.segments[0]}", "--yes")
        return ["wal-quarantine", f"--undo={done['id']}", "--yes"]

    def restore_words(self):
        return ["restore", f"--data={self.target}", f"--tablespace={self.old_place}={self.place}"]

    def ready_restore(self):
        if (self.path / "restored").exists():
            os.chmod(self.path / "restored", 0o755)
        shutil.rmtree(self.path / "restored", ignore_errors=True)
        return self.restore_words()

    def ready_force(self):
        self.ready_restore()
        make_directory(self.target.parent)
        self.tool(*self.restore_words())
        return [*self.restore_words(), "--force"]

    def ready_aside(self):
        return [*self.ready_force()[:-1], "--move-aside"]

    def ready_in_place(self):
        """Nothing can be put beside the directory, as in a volume's root."""
        words = self.ready_force()
        os.chmod(self.path / "restored", 0o555)
        return words

    def fresh_archive(self):
        self.repo = self.path / "other"
        shutil.rmtree(self.repo, ignore_errors=True)
        self.tool("init", f"--data={self.cluster.data}")

    # -- doing it -------------------------------------------------------------------------------

    def passed(self, words):
        """How often an undisturbed run passes each point."""
        self.log.unlink(missing_ok=True)
        self.tool(*words, environment={"PGCAIRN_FAULT_LOG": self.log})
        return collections.Counter(self.log.read_text(encoding="ascii").split())

    def everywhere(self, ready, check, known=()):
        """At all points but the known ones, which another scenario passes."""
        hits = {point: count for point, count in self.passed(ready()).items() if point not in known}
        self.assertTrue(hits, "no fault point was passed: is the tool built with -Dfault_points?")
        for point, count in sorted(hits.items()):
            for action in self.actions:
                numbers = range(1, count + 1) if self.every_time and action == "crash" else {1, count}
                for number in sorted(numbers):
                    with self.subTest(point=point, action=action, hit=number):
                        self.disturb(ready(), point, action, number, check)

    def disturb(self, words, point, action, number, check):
        done = self.attempt(*words, environment={"PGCAIRN_FAULT": f"{point}:{action}:{number}"})
        said = f"{done.returncode}: {done.stdout}{done.stderr}"
        if action == "crash":
            # Threads share out the work as it comes: the last time need not come again.
            self.assertIn(done.returncode, (-signal.SIGKILL, 0) if number > 1 else (-signal.SIGKILL,),
                          said)
        else:
            # 0: what failed was of no consequence, and all is as it should be.
            failure = 255 if words[0] == "archive-get" else 14
            self.assertIn(done.returncode, (failure, 0), said)
            if done.returncode:
                self.assertIn("fault injected", done.stderr)
        check(words, done.returncode)


class Reach(CrashTest):
    def test_every_point_in_the_sources_is_passed_by_a_command(self):
        reached = set()
        for ready in (self.ready_init, self.ready_first, self.ready_push, self.ready_repair, self.ready_ahead,
                      self.ready_get, self.ready_backup, self.ready_restore, self.ready_force, self.ready_aside,
                      self.ready_in_place, self.ready_verify, self.ready_quarantine, self.ready_undo):
            if ready in (self.ready_get, self.ready_backup, self.ready_restore):
                self.repo = self.world.repo
            reached |= set(self.passed(ready()))

        self.assertGreater(len(fault_points()), 30)
        self.assertEqual({point for point in fault_points() if not passed_elsewhere(point)},
                         {point for point in reached if not passed_elsewhere(point)})


class Init(CrashTest):
    every_time = True

    def test_init(self):
        def check(words, status):
            self.assertIn(self.attempt("list").returncode, (0, 6, 7))
            self.tool(*words)
            self.tool("archive-push", self.source)

        self.everywhere(self.ready_init, check)


class Push(CrashTest):
    every_time = True

    def check(self, words, status):
        self.check_known(words, status, (0, 255))

    def check_first(self, words, status):
        # Nothing follows, so what was never acknowledged may be "not there"; what was may not.
        self.check_known(words, status, (0, 1, 255))

    def check_known(self, _, status, answers):
        content = self.source.read_bytes()
        got = self.path / "got"
        got.unlink(missing_ok=True)
        done = self.attempt("archive-get", "--hole-wait=0s", self.segments[0], got)
        self.assertIn(done.returncode, (0,) if status == 0 else answers, done.stderr)
        self.assertEqual(got.exists(), done.returncode == 0)
        if got.exists():
            self.assertEqual(got.read_bytes(), content)
        self.tool("archive-push", self.source)
        self.assertEqual(content_of(object_of(self.repo, self.segments[0])), content)

    def test_push_into_an_empty_archive(self):
        self.everywhere(self.ready_first, self.check_first)

    def test_push_with_a_later_segment_there(self):
        self.everywhere(self.ready_push, self.check)

    def test_repair_of_the_last_segment(self):
        self.everywhere(self.ready_repair, self.check)

    def test_push_ahead(self):
        def check(words, status):
            self.check_first(words, status)
            second = words[-1].parent / self.segments[1]
            self.tool(*words[:-1], second)  # by a note or not: from now on it is there
            self.assertEqual(content_of(object_of(self.repo, self.segments[1])), second.read_bytes())

        self.everywhere(self.ready_ahead, check)

    def test_get(self):
        def check(words, status):
            self.assertTrue(status != 0 or self.got.exists())
            if self.got.exists():
                self.assertEqual(self.got.read_bytes(), self.source.read_bytes())
            self.tool(*words)
            self.assertEqual(self.got.read_bytes(), self.source.read_bytes())

        self.everywhere(self.ready_get, check)


class Backup(CrashTest):
    def backups(self):
        def listed():
            done = self.attempt("list", "--json")
            # 3: the server has not archived the WAL of the last one yet.
            self.assertIn(done.returncode, (0, 3), done.stderr)
            return done if done.returncode == 0 else None

        answer = json.loads(wait_for(listed, "the WAL of every backup").stdout)
        self.assertEqual({backup["state"] for backup in answer["backups"]}, {"restorable"})
        return {backup["backup"] for backup in answer["backups"]}

    def test_backup(self):
        known = self.backups()

        def check(words, status):
            now = self.backups()
            self.assertTrue(known <= now and len(now - known) <= 1, f"{known} {now}")
            self.assertTrue(status != 0 or now != known)
            # One of a run that was killed or failed, but that is listed, is as good as any.
            for backup in now - known:
                shutil.rmtree(self.path / "restored", ignore_errors=True)
                self.tool(*self.restore_words(), f"--backup={backup}")
            # At once: a dead holder's lease is taken over.
            self.tool(*words)
            known.update(now)
            self.assertEqual(len(self.backups() - known), 1)
            known.update(self.backups())

        self.everywhere(self.ready_backup, check)

        self.tool(*self.ready_restore())
        self.tool("verify", timeout_s=300)


class Verify(CrashTest):
    def test_verify(self):
        """What is remembered is always true: whatever became of it, the next run is as good."""
        def check(words, status):
            answer = json.loads(self.tool("verify", "--reread-after=1d", "--json"))
            self.assertEqual((answer["status"], answer["checked"]["segments"],
                              answer["believed"]["segments"]), ("good", 0, len(self.segments)))
            self.tool(*words)
            left = [path.name for path in (self.repo / "main" / "known").iterdir() if ".tmp-" not in path.name]
            self.assertEqual(len(left), 1)

        self.everywhere(self.ready_verify, check)


class Quarantine(CrashTest):
    """Of a segment its bytes are always somewhere, and what is left in the archive has no hole."""

    actions = ("crash",)

    def places(self, segment):
        """Where its object is: in the archive, set aside (perhaps twice)."""
        found = [path for path in self.repo.rglob(f"{segment}.wal")]
        for path in found:
            self.assertEqual(content_of(path), (self.path / segment).read_bytes())
        return ["quarantine" if "quarantine" in path.parts else "wal" for path in found]

    def check(self):
        first, second = (self.places(segment) for segment in self.segments)
        self.assertTrue(first and second)
        self.assertTrue("wal" in first or "wal" not in second, "a hole")

    def test_set_aside(self):
        def check(words, status):
            self.check()
            # The next run takes the rest, if there is any.
            done = self.attempt(*words)
            self.assertIn(done.returncode, (0, 6), done.stderr)
            for segment in self.segments:
                self.assertEqual(set(self.places(segment)), {"quarantine"})
            # All of it can be put back, however many runs it took, the last one first.
            for part in reversed(json.loads(self.tool("wal-quarantine", "--json"))):
                self.tool("wal-quarantine", f"--undo={part['id']}", "--yes")
            for segment in self.segments:
                self.assertEqual(self.places(segment), ["wal"])
            self.assertEqual(json.loads(self.tool("wal-quarantine", "--json")), [])

        self.everywhere(self.ready_quarantine, check)

    def test_put_back(self):
        def check(words, status):
            self.check()
            done = self.attempt(*words)
            self.assertIn(done.returncode, (0, 6), done.stderr)
            for segment in self.segments:
                self.assertEqual(self.places(segment), ["wal"])
            self.tool("verify")

        self.everywhere(self.ready_undo, check)


class Restored(CrashTest):
    """Restores into a new directory, over an old one, and beside it."""

    def tree(self):
        """What a finished restore has written, but for what tells of this very run."""
        found = {}
        for root in (self.target, self.place):
            for path in root.rglob("*"):
                name = str(path.relative_to(self.path))
                if ".pgcairn-" in name or "pgcairn.restore-" in name or path.name in ("backup_manifest", "pgcairn.recovery",
                                                        "pgcairn.restore"):
                    continue
                content = hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b""
                found[name] = (content, path.stat().st_mode, path.stat().st_uid)
        return found

    def check(self, words, status):
        control = self.target / "global" / "pg_control"
        if not control.exists() and self.target.exists():
            done = attempt(BIN / "postgres", "-D", self.target)
            self.assertNotEqual(done.returncode, 0, "half a restore was started")
        is_finished = control.exists() and not words[-1].startswith(("--force", "--move"))
        if is_finished:
            self.assertEqual(self.tree(), self.whole)
        # What is finished is a data directory like any other: to replace it takes a word.
        self.tool(*words, expect=4 if is_finished else 0)
        self.assertEqual(self.tree(), self.whole)
        self.assertTrue(is_finished or not (self.target / "pgcairn.restore").exists())
        self.assertEqual(list(self.target.rglob("*.tmp-*")), [])

    def everywhere_restored(self, ready, known=()):
        self.tool(*ready())
        self.whole = self.tree()
        self.assertIn("restored/data/global/pg_control", self.whole)
        self.everywhere(ready, self.check, known)


class RestoreNew(Restored):
    def test_restore_into_a_new_directory(self):
        self.everywhere_restored(self.ready_restore)


class RestoreForce(Restored):
    def test_restore_over_an_old_directory(self):
        self.everywhere_restored(self.ready_force)


class RestoreInPlace(Restored):
    def test_restore_over_an_old_directory_that_can_not_be_renamed(self):
        self.everywhere_restored(self.ready_in_place, known=self.passed(self.ready_force()))


class RestoreAside(Restored):
    def test_restore_beside_an_old_directory(self):
        self.everywhere_restored(self.ready_aside)


if __name__ == "__main__":
    unittest.main()
