"""
Recovery windows to the microsecond, by pg_waldump's word and not ours; and what is remembered of
the archive, so that it need not be read again: the same answers, and never a wrong one.
"""

import concurrent.futures
import json
import os
import re
import shutil
import time

from support.archive import archived, content_of, flip, freeze, object_of, put, thaw
from support.cluster import SWITCH_WAL
from support.ledger import lsn_of
from support.oracle import Oracle
from support.processes import TOOL, run
from support.shared import SharedClusterTest
from support.waldump import ends_of_transactions, instant, microseconds

PAST = time.time() // 1 - 3600


def settle(repo):
    """As if all of it had been stored an hour ago: only that is remembered."""
    for path in repo.rglob("*"):
        if path.is_file():
            os.utime(path, (PAST, PAST))


class WindowTest(SharedClusterTest):
    """A backup, commits of several clients at once, and enough segments to be worth remembering."""

    settings = {"autovacuum": "off", "synchronous_commit": "off"}

    @classmethod
    def set_up_shared(cls, world):
        cluster = world.cluster
        cluster.sql("create table switches (n int)")
        with Oracle(cluster, world.path / "commits", writers=4) as oracle:
            oracle.wait_commits(10)
            cls.backup = world.tool_json("backup", f"--data={cluster.data}", "--rate-limit=10MiB")["backup"]
            oracle.wait_commits(100)
            for _ in range(70):
                cluster.sql("insert into switches values (1)")
                last = cluster.sql(f"select {SWITCH_WAL}")
            oracle.wait_commits(20)
        cluster.wait_archived(last)
        cls.remembered = cls.remembered_by_backup(world)
        cluster.stop()  # what it archives at its end is there, too

    @classmethod
    def remembered_by_backup(cls, world):
        """What a backup into a copy of the repository leaves in known/."""
        copy = world.path / "copy"
        run("cp", "-a", world.repo, copy)
        settle(copy)
        # Its own WAL is archived elsewhere, so it is not waited for.
        world.tool("backup", f"--data={world.cluster.data}", "--wal-wait=0s", repo=copy, expect=3)
        return {path.name: path.read_bytes() for path in (copy / "main" / "known").iterdir()}

    def setUp(self):
        super().setUp()
        self.repo = self.path / "repo"
        run("cp", "-a", self.world.repo, self.repo)
        self.known = self.repo / "main" / "known"

    def settle(self):
        settle(self.repo)

    def segments(self):
        return [name for name in archived(self.repo) if len(name) == 24]

    def dry_run(self, *target, expect=0):
        done = self.attempt("restore", f"--data={self.path}/none", "--dry-run", "--json", *target)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return json.loads(done.stdout) if done.stdout else done.stderr

    def answers(self):
        """All that is answered from trailers, but for what is new in every run."""
        listed = self.tool_json("list")
        runs = [self.dry_run(), self.dry_run(f"--target-time={instant(self.until() - 1)}")]
        for one in runs:
            one.pop("notes", None)
            for place in one.get("space", ()):  # others write on that disk, too
                place.pop("free_bytes", None)
        return [listed, runs]

    def until(self):
        return microseconds(self.tool_json("list")["windows"][-1]["until_time_exact"])


class Exact(WindowTest):
    def ends(self):
        found = ends_of_transactions(self.repo, self.path / "plain")
        self.assertGreater(len(found), 200)
        return found

    def test_the_window_begins_and_ends_with_the_commits_of_the_archive(self):
        ends = self.ends()
        window, = self.tool_json("list")["windows"]
        backup, = self.tool_json("list")["backups"]
        start, stop = lsn_of(backup["start_lsn"]), lsn_of(backup["stop_lsn"])
        inside = [at for lsn, _, _, at in ends if start <= lsn < stop]
        commits = [at for lsn, kind, _, at in ends if kind == "COMMIT" and lsn >= start]

        self.assertEqual(microseconds(window["until_time_exact"]), max(commits))
        if inside:
            self.assertEqual(microseconds(window["from_time_exact"]), max(inside))
        else:
            self.assertEqual(window["from_time"], backup["stop_time"])
        listed = self.tool("list")
        self.assertIn(window["until_time_exact"], listed)
        self.assertIn(window["from_time_exact"], listed)

    def expected(self, ends, start, target):
        """The commits around the place where the server would stop: the first end of a transaction
        from redo on that is later than the target (recoveryStopsBefore())."""
        commits = [(lsn, xid) for lsn, kind, xid, _ in ends if kind == "COMMIT"]
        stop = next((lsn for lsn, _, _, at in ends if lsn >= start and at > target), None)
        before = [xid for lsn, xid in commits if lsn >= start and (stop is None or lsn < stop)]
        after = [xid for lsn, xid in commits if stop is not None and lsn >= stop]
        return stop is None, before[-1], after[0] if after else None

    def check(self, ends, start, target):
        answer = self.dry_run(f"--target-time={instant(target)}")
        xid = {side: answer[side] and answer[side]["xid"] for side in ("last_before", "first_after")}
        self.assertEqual((answer["takes_archive_end"], xid["last_before"], xid["first_after"]),
                         self.expected(ends, start, target), instant(target))
        return answer

    def test_a_microsecond_decides_which_commits_belong_whatever_is_remembered(self):
        ends = self.ends()
        backup, = self.tool_json("list")["backups"]
        window, = self.tool_json("list")["windows"]
        start, stop = lsn_of(backup["start_lsn"]), lsn_of(backup["stop_lsn"])
        first = microseconds(window["from_time_exact"])
        times = sorted(at for lsn, kind, _, at in ends if kind == "COMMIT" and lsn >= stop and at > first)
        sample = times[:3] + times[10:-10:len(times) // 8] + times[-3:]

        for remembers in (False, True):
            if remembers:
                self.settle()
                self.tool("verify")
                self.assertTrue(list(self.known.iterdir()))
            for at in sample:
                for target in (at - 1, at, at + 1):
                    self.check(ends, start, target)
            # Both ends of what list tells, and a microsecond beside them.
            self.check(ends, start, first)
            self.assertIn(f"the earliest possible is {instant(first)}",
                          self.refused(first - 1))
            self.assertFalse(self.check(ends, start, max(times) - 1)["takes_archive_end"])
            self.assertTrue(self.check(ends, start, max(times))["takes_archive_end"])
            self.assertTrue(self.check(ends, start, max(times) + 1)["takes_archive_end"])

    def refused(self, target):
        return self.dry_run(f"--target-time={instant(target)}", expect=4)["message"]


class Remembered(WindowTest):
    def opened(self, *words):
        """Objects of WAL that the command opened."""
        log = self.path / "opened"
        log.unlink(missing_ok=True)
        run("strace", "-f", "-qq", "-e", "trace=openat,openat2", "-o", log, TOOL, *words)
        return set(re.findall(r'"(?:[^"]*/)?([0-9A-F]{24})\.wal"', log.read_text(encoding="utf-8")))

    def verified(self, *arguments, expect=0):
        return self.tool_json("verify", *arguments, expect=expect)

    def test_what_verify_found_good_is_neither_read_again_nor_answered_otherwise(self):
        self.settle()
        before = self.answers()
        # From the one on in which the backup begins.
        self.assertGreater(len(self.opened("list", f"--repo={self.repo}")), len(self.segments()) - 10)
        first = self.verified()
        self.assertEqual(first["believed"], {"segments": 0, "backups": 0, "packs": 0, "bytes": 0,
                                             "oldest_time": None})
        self.assertEqual(first["checked"]["segments"], len(self.segments()))
        after = self.answers()
        self.assertEqual(before, after)
        self.assertLessEqual(len(self.opened("list", f"--repo={self.repo}")), 4)

        again = self.verified("--reread-after=1d")
        self.assertEqual(again["status"], "good")
        self.assertEqual(again["checked"]["segments"], 0)
        self.assertEqual(again["checked"]["packs"], 0)
        self.assertEqual(again["believed"]["segments"], len(self.segments()))
        self.assertEqual(again["believed"]["backups"], 1)
        self.assertIsNotNone(again["believed"]["oldest_time"])
        text = self.tool("verify", "--reread-after=1d")
        self.assertRegex(text, rf"not read  {len(self.segments())} segments, 1 backups in \d+ packs")
        self.assertIn("All that was read is good, and the rest was when it was read last.", text)
        # Who does not ask for it reads everything, as ever.
        self.assertEqual(self.verified()["checked"]["segments"], len(self.segments()))

    def test_a_backup_remembers_the_trailers_which_verify_does_not_believe(self):
        self.assertEqual(len(self.remembered), 1)
        self.settle()
        before = self.answers()
        self.known.mkdir()
        for name, content in self.remembered.items():
            put(self.known / name, content)
        self.assertEqual(self.answers(), before)
        # But for the segments that were archived after the backup.
        self.assertLess(len(self.opened("list", f"--repo={self.repo}")), 20)
        self.assertEqual(self.verified("--reread-after=1d")["believed"]["segments"], 0)

    def test_anything_that_changed_is_read(self):
        self.settle()
        self.verified()
        names = self.segments()
        copied = object_of(self.repo, names[10])
        put(copied, copied.read_bytes())  # the same content, stored anew
        os.utime(copied, (time.time() + 86400, time.time() + 86400))  # by a clock that is ahead
        flip(object_of(self.repo, names[20]), 100)
        object_of(self.repo, names[30]).unlink()
        report = self.verified("--reread-after=1d", expect=8)
        self.assertEqual(report["checked"]["segments"], 2)
        found = {item["object"]: item["severity"] for item in report["findings"]}
        self.assertEqual(found, {f"main/wal/{names[20][:16]}/{names[20]}.wal": "damage",
                                 f"main/wal/{names[30][:16]}/{names[30]}.wal": "missing"})
        # What was bad is read again and told again; the other is never old enough to be believed.
        self.assertEqual(self.verified("--reread-after=1d", expect=8)["checked"]["segments"], 2)

    def test_rot_that_no_listing_shows_is_found_by_reading_and_never_believed_again(self):
        self.settle()
        self.verified()
        segment = object_of(self.repo, self.segments()[20])
        times = segment.stat()
        flip(segment, 100)
        os.utime(segment, ns=(times.st_atime_ns, times.st_mtime_ns))
        self.assertEqual(self.verified("--reread-after=1d")["status"], "good")
        self.verified(expect=8)
        for _ in range(2):
            report = self.verified("--reread-after=1d", expect=8)
            self.assertEqual(report["checked"]["segments"], 1)

    def closed_segment(self):
        """One that a switch ended, behind another: where a record straddles two, both are read whole."""
        names = self.segments()
        for before, name in zip(names[18:], names[19:]):
            if all(content_of(object_of(self.repo, one)).endswith(bytes(8192)) for one in (before, name)):
                return name
        return self.fail("no segment was ended by a switch")

    def test_a_restore_that_is_no_dry_run_reads_the_trailers_itself(self):
        self.settle()
        self.verified()
        segment = object_of(self.repo, self.closed_segment())
        times = segment.stat()
        flip(segment, -1000)
        os.utime(segment, ns=(times.st_atime_ns, times.st_mtime_ns))
        self.assertEqual(self.dry_run()["backup"], self.backup)
        target = self.path / "target" / "data"
        self.tool_fails(8, "WAL is damaged", "restore", f"--data={target}")
        self.assertFalse(target.exists())

    def test_a_copy_is_believed_only_if_it_kept_its_times(self):
        self.settle()
        self.verified()
        other = self.path / "copy"
        run("cp", "-r", self.repo, other)
        report = self.tool_json("verify", "--reread-after=1d", repo=other)
        self.assertEqual(report["checked"]["segments"], len(self.segments()))
        self.assertEqual(report["believed"]["segments"], 0)

    def test_a_repository_that_cant_be_written_is_answered_for_all_the_same(self):
        self.settle()
        before = self.answers()
        freeze(self.repo)
        self.addCleanup(thaw, self.repo)
        done = self.attempt("verify", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual("what was found good is not remembered" in done.stderr, not self.known.exists())
        self.assertEqual(self.answers()[1], before[1])

    def test_runs_side_by_side_and_pushes_meanwhile_disturb_nothing(self):
        self.settle()
        names = self.segments()
        plain = self.path / names[-1]
        put(plain, content_of(object_of(self.repo, names[-1])))
        object_of(self.repo, names[-1]).unlink()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            runs = [pool.submit(self.attempt, "verify", "--json") for _ in range(3)]
            pushed = pool.submit(self.attempt, "archive-push", plain)
            asked = [pool.submit(self.attempt, "list", "--json") for _ in range(3)]
        for done in [*runs, pushed, *asked]:
            self.assertEqual(done.result().returncode, 0, done.result().stderr)
        # Of several objects about one stretch, whichever run wrote them, each is true.
        report = self.verified("--reread-after=1d")
        self.assertGreaterEqual(report["believed"]["segments"], len(names) - 1)
        self.assertLessEqual(report["checked"]["segments"], 1)
        self.verified()
        self.assertEqual(len([path for path in self.known.iterdir() if "-" in path.name[:9]]), 1)

    def test_what_is_remembered_may_be_damaged_or_taken_away(self):
        self.settle()
        self.verified()
        before = self.answers()
        for path in self.known.iterdir():
            flip(path, path.stat().st_size // 2)
        self.assertEqual(self.answers(), before)
        self.assertEqual(self.verified("--reread-after=1d")["believed"]["segments"], 0)
        self.assertEqual(self.verified("--reread-after=1d")["checked"]["segments"], 0)
        shutil.rmtree(self.known)
        self.assertEqual(self.answers(), before)
        self.assertEqual(self.verified("--reread-after=1d")["believed"]["segments"], 0)


if __name__ == "__main__":
    import unittest

    unittest.main()
