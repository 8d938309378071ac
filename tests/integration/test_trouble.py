"""
What goes wrong around the tool: full disks, lost rights, failing devices, signals, a server that
dies, clocks that jump. Each time: the exit status tells, half of anything is never visible, nothing
that was there is harmed, and the next run works.
"""

import os
import json
import pathlib
import random
import shutil
import signal
import subprocess
import time
import unittest

from support.archive import content_of, freeze, object_of, put, record, thaw
from support.cluster import make_directory
from support.processes import TOOL, USER, attempt, clean_environment, identity, run, wait_for
from support.shared import SharedClusterTest

SEED = int(os.environ.get("TEST_SEED", "20261122"))
LIBFAKETIME = "faketime"


class TroubleTest(SharedClusterTest):
    @classmethod
    def set_up_shared(cls, world):
        world.cluster.sql("create table t as select n, repeat(md5(n::text), 30)"
                          " from generate_series(1, 3000) n")
        cls.backup_words = ["backup", f"--data={world.cluster.data}",
                            f"--conninfo={world.cluster.conninfo()}", "--jobs=2"]
        world.tool(*cls.backup_words)
        cls.segments = [world.cluster.fill_segment(100) for _ in range(2)]

    def setUp(self):
        super().setUp()
        self.source = self.path / self.segments[0]
        self.tool("archive-get", self.segments[0], self.source)
        self.target = self.path / "restored"

    def other_archive(self, path=None):
        """A repository of this test, without a backup and without WAL."""
        self.repo = path or self.path / "other"
        self.tool("init", f"--data={self.cluster.data}")
        self.object = object_of(self.repo, self.segments[0])

    def archive_into(self, repo):
        """The server archives there from now on, until the test ends."""
        command = f"{TOOL} archive-push --repo={repo} %p"
        self.cluster.sql(f"alter system set archive_command = '{command}'")
        self.addCleanup(lambda: (self.cluster.sql("alter system reset archive_command"),
                                 self.cluster.sql("select pg_reload_conf()")))
        self.cluster.sql("select pg_reload_conf()")
        self.cluster.wait_until(f"select current_setting('archive_command') = '{command}'")

    def backups(self):
        def listed():
            done = self.attempt("list", "--json")
            # 3: the last one's WAL is on its way; 6: there is none.
            self.assertIn(done.returncode, (0, 3, 6), done.stderr)
            return done if done.returncode != 3 else None

        done = wait_for(listed, "the WAL of every backup")
        return [each["backup"] for each in json.loads(done.stdout or '{"backups": []}')["backups"]]

    def assert_push_was_all_or_nothing(self):
        self.assertEqual([path.name for path in self.object.parent.glob("*") if ".tmp-" not in path.name],
                         [self.object.name] if self.object.exists() else [])
        if self.object.exists():
            self.assertEqual(content_of(self.object), self.source.read_bytes())

    def assert_push_works(self):
        self.tool("archive-push", self.source)
        self.assertEqual(content_of(self.object), self.source.read_bytes())

    def restore_words(self):
        return ["restore", f"--data={self.target}"]

    def assert_not_startable(self):
        self.assertFalse((self.target / "global" / "pg_control").exists())

    def assert_restore_works(self):
        self.tool(*self.restore_words())
        self.assertTrue((self.target / "global" / "pg_control").exists())
        self.assertFalse((self.target / "pgcairn.restore").exists())


@unittest.skipIf(os.getuid() != 0, "only root can mount a small file system")
class Mounted(TroubleTest):
    def small(self, size):
        """A file system of its own, of this size, that belongs to the server's user."""
        place = make_directory(self.path / "small")
        if attempt("mount", "-t", "tmpfs", "-o", f"size={size},mode=0700,uid={USER},gid={USER}", "none",
                   place, user=None).returncode != 0:
            self.skipTest("nothing can be mounted here")
        self.addCleanup(attempt, "umount", "-l", place, user=None)
        return place

    def remount(self, place, option):
        run("mount", "-o", f"remount,{option}", place, user=None)

    def test_push_to_a_full_disk(self):
        small = self.small("2m")
        self.other_archive(small / "repo")
        filler = small / "filler"
        attempt("dd", "if=/dev/zero", f"of={filler}", "bs=4k")

        done = self.tool_fails(14, "full", "archive-push", self.source)

        self.assertIn("make room", done.stderr)
        self.assert_push_was_all_or_nothing()
        self.assertEqual(self.attempt("archive-get", self.segments[0], self.path / "x").returncode, 1)
        filler.unlink()
        self.assert_push_works()

    def test_backup_to_a_full_disk(self):
        small = self.small("2m")
        self.other_archive(small / "repo")
        self.archive_into(self.repo)

        self.tool_fails(14, "full", *self.backup_words)

        self.assertEqual(self.backups(), [])
        self.remount(small, "size=100m")
        self.tool(*self.backup_words)
        self.assertEqual(len(self.backups()), 1)

    def reserve(self):
        return sorted(path.name for path in (self.repo / "main" / "reserve").iterdir())

    def fill_up(self, small):
        """Not one block is left."""
        for size in ("64k", "4k"):
            attempt("dd", "if=/dev/zero", f"of={small / 'filler'}", f"bs={size}", "oflag=append", "conv=notrunc")
        self.assertEqual(os.statvfs(small).f_bavail, 0)

    def test_room_is_made_on_a_full_disk(self):
        small = self.small("40m")
        self.other_archive(small / "repo")
        self.archive_into(self.repo)
        for _ in range(3):
            self.tool(*self.backup_words, "--full")
        first, second, last = self.backups()
        whole = self.reserve()
        self.assertEqual(len(whole), 16)
        self.fill_up(small)

        # The backup fails, and what the policy lets go is condemned; what is pinned is not.
        self.tool("pin", second, "--reason=to be looked at")
        self.tool_fails(14, "full", *self.backup_words, "--full", "--expire", "--keep-min=1")
        self.assertLess(len(self.reserve()), 16)
        self.assertIn(f"{first} goes with the first expire", self.tool("list"))
        self.assertEqual(self.backups(), [first, second, last])
        self.fill_up(small)
        self.tool("unpin", second)
        self.tool("expire", "--keep-min=1", "--now", "--grace=0s", "--yes")

        self.assertEqual(self.backups(), [last])
        self.tool("verify")
        (small / "filler").unlink()
        self.tool(*self.backup_words)
        self.assertEqual(self.reserve(), whole)

    def test_restore_to_a_disk_too_small_is_refused_and_changes_nothing(self):
        self.target = self.small("8m") / "restored"

        self.tool_fails(4, "room|space", *self.restore_words())

        self.assertFalse(self.target.exists())

    def test_a_disk_that_fills_up_during_the_restore(self):
        small = self.small("60m")
        self.target = small / "restored"
        log = self.path / "calls"
        # As if another program had taken the space: the tool looks before, not all the time.
        for call in ("fallocate", "pwrite64", "write"):
            done = attempt("strace", "-f", "-qq", "-o", log, "-e", f"trace={call}", "-e",
                           f"inject={call}:error=ENOSPC:when=40+", TOOL, *self.restore_words(),
                           f"--repo={self.repo}")
            if done.returncode == 0:
                self.assertNotIn("INJECTED", log.read_text())  # no thread made that many calls
                shutil.rmtree(self.target)
                continue
            with self.subTest(call):
                self.assertEqual(done.returncode, 14, done.stderr)
                self.assertIn("No space left", done.stderr)
                self.assert_not_startable()
                self.assert_restore_works()
                shutil.rmtree(self.target)

    def test_a_repository_mounted_read_only_can_be_read(self):
        small = self.small("100m")
        run("cp", "-a", self.repo, small / "repo")
        self.repo = small / "repo"
        self.object = object_of(self.repo, "0" * 24)
        self.remount(small, "ro")
        new = put(self.path / self.segments[0].replace("00000001", "00000001", 1), self.source.read_bytes())

        self.tool("list")
        self.tool("archive-get", self.segments[0], self.path / "got")
        self.assert_restore_works()
        # What is there already needs no writing to be true.
        self.tool("archive-push", new)
        self.tool_fails(14, "[Rr]ead-only", *self.backup_words)
        object_path = object_of(self.repo, self.segments[1])
        self.remount(small, "rw")
        object_path.unlink()
        self.remount(small, "ro")
        last = self.path / self.segments[1]
        attempt("cp", self.world.cluster.data / "pg_wal" / self.segments[1], last)
        self.tool("archive-get", self.segments[1], last, repo=self.world.repo)
        self.tool_fails(14, "[Rr]ead-only", "archive-push", last)


class NoPermission(TroubleTest):
    def test_a_repository_that_may_not_be_written(self):
        self.other_archive()
        freeze(self.repo)
        self.addCleanup(thaw, self.repo)

        for words in (["archive-push", self.source], self.backup_words):
            self.tool_fails(14, "Permission denied", *words)

        thaw(self.repo)
        self.assert_push_works()

    def test_a_folder_that_may_not_be_read_is_never_taken_for_an_empty_one(self):
        copy = self.path / "copy"
        run("cp", "-a", self.repo, copy)
        self.repo = copy
        for folder in ("main", "main/wal", "main/wal/0000000100000000"):
            with self.subTest(folder):
                os.chmod(copy / folder, 0)
                try:
                    done = self.attempt("archive-get", "--hole-wait=0s", "0000000100000000000000FF",
                                        self.path / "got")
                    self.assertEqual(done.returncode, 255, done.stderr)
                    self.assertEqual(self.attempt("archive-push", self.source).returncode, 14)
                    self.assertEqual(self.attempt("list").returncode, 14)
                finally:
                    os.chmod(copy / folder, 0o750)
        self.tool("list")

    def test_a_place_that_may_not_be_written(self):
        place = make_directory(self.path / "place")
        self.target = place / "restored"
        os.chmod(place, 0o500)

        done = self.attempt(*self.restore_words())
        self.assertIn(done.returncode, (4, 14), done.stderr)
        self.assertIn("Permission denied", done.stderr)

        os.chmod(place, 0o700)
        self.assert_restore_works()


    @unittest.skipUnless(USER, "only root can give a directory to somebody else")
    def test_a_place_of_another_user_is_refused(self):
        self.target = self.path / "theirs"
        self.target.mkdir()
        os.chmod(self.target, 0o777)

        done = self.attempt(*self.restore_words())
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertIn("belongs to another user", done.stderr)
        self.assertEqual(list(self.target.iterdir()), [])


class FailingDevice(TroubleTest):
    """EIO at the n-th call of a kind, for every n that a run comes to (thinned out when many)."""

    def failing(self, words, call, number, error="EIO"):
        log = self.path / "calls"
        return attempt("strace", "-f", "-qq", "-o", log, "-e", f"trace={call}", "-e",
                       f"inject={call}:error={error}:when={number}", TOOL, *words,
                       f"--repo={self.repo}")

    def each(self, words, call, check, ready=lambda: None, most=12):
        """Every n that changes the outcome; gives how many did."""
        ready()
        log = self.path / "count"
        attempt("strace", "-f", "-qq", "-o", log, "-e", f"trace={call}", TOOL, *words,
                f"--repo={self.repo}")
        total = sum(f" {call}(" in line for line in log.read_text().splitlines())
        failed = 0
        for number in sorted({1 + (total - 1) * i // max(most - 1, 1) for i in range(most)}):
            with self.subTest(call=call, number=number, of=total):
                ready()
                done = self.failing(words, call, number)
                if done.returncode == 127 and "shared libraries" in done.stderr:
                    continue  # the program did not even begin
                self.assertNotIn(done.returncode, (1, 70), done.stderr)
                failed += done.returncode != 0
                check(done)
        return failed

    def test_push(self):
        self.other_archive()

        def ready():
            shutil.rmtree(self.repo / "main" / "wal", ignore_errors=True)

        def check(done):
            self.assertIn(done.returncode, (0, 14), done.stderr)
            if done.returncode == 0:
                self.assertTrue(self.object.exists())
            elif "Input/output" not in done.stderr:
                self.fail(done.stderr)
            self.assert_push_was_all_or_nothing()
            self.assert_push_works()

        words = ["archive-push", self.source]
        self.assertGreaterEqual(self.each(words, "fsync", check, ready), 5)
        self.assertGreaterEqual(self.each(words, "write", check, ready), 1)
        self.assertGreaterEqual(self.each(words, "pread64", check, ready), 2)
        # A rename that replaces nothing takes the place of a link that can't be made.
        self.assertEqual(self.each(words, "linkat", check, ready), 0)

    def test_a_push_over_what_is_there_fails_when_it_cannot_be_made_durable(self):
        self.other_archive()
        self.tool("archive-push", self.source)

        def check(done):
            self.assertEqual(done.returncode, 14, done.stderr)

        self.assertGreaterEqual(self.each(["archive-push", self.source], "fsync", check), 4)

    def test_get(self):
        got = self.path / "RECOVERYXLOG"

        def check(done):
            self.assertIn(done.returncode, (0, 255), done.stderr)
            self.assertEqual(got.exists(), done.returncode == 0)
            if got.exists():
                self.assertEqual(got.read_bytes(), self.source.read_bytes())

        for call, least in (("pread64", 0), ("write", 1), ("renameat", 1)):
            self.assertGreaterEqual(
                self.each(["archive-get", "--hole-wait=0s", self.segments[0], got], call, check,
                          lambda: got.unlink(missing_ok=True)), least, call)

    def test_backup(self):
        def check(done):
            now = self.backups()
            if done.returncode == 0:
                self.assertEqual(len(now), len(known) + 1)
            else:
                self.assertIn(done.returncode, (10, 14), done.stderr)
            known[:] = now

        known = self.backups()
        for call in ("fsync", "write", "pread64"):
            known[:] = self.backups()
            count = self.each(self.backup_words, call, check, lambda: known.__setitem__(slice(None), self.backups()), most=5)
            self.assertGreaterEqual(count, 1, call)
        self.tool(*self.backup_words)
        self.assert_restore_works()

    def test_restore(self):
        def check(done):
            if done.returncode == 0:
                self.assertTrue((self.target / "global" / "pg_control").exists())
                return
            self.assertIn(done.returncode, (4, 14), done.stderr)
            if (self.target / "global" / "pg_control").exists():
                return # the failure came after the last step
            self.assert_restore_works()

        # A read that fails may be tried again; what the disk did not take may not.
        for call, least in (("fsync", 1), ("pwrite64", 1), ("write", 1), ("pread64", 0), ("renameat", 1)):
            self.assertGreaterEqual(
                self.each(self.restore_words(), call, check,
                          lambda: shutil.rmtree(self.target, ignore_errors=True), most=4), least, call)


class Signals(TroubleTest):
    """SIGTERM at random instants. TEST_SEED picks others; TEST_SIGNALS how many."""

    count = int(os.environ.get("TEST_SIGNALS", "6"))

    def setUp(self):
        super().setUp()
        self.random = random.Random(f"{SEED} {self.id()}")

    def interrupted(self, words, instant_s):
        process = subprocess.Popen([TOOL, *map(str, words), f"--repo={self.repo}"], cwd="/",
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env=clean_environment(), **identity())
        time.sleep(instant_s)
        process.terminate()
        said = process.communicate(timeout=300)
        return process.returncode, said[0] + said[1]

    def at_random(self, words, ready, check, ends=(0, 12, -signal.SIGTERM)):
        ready()
        begin = time.monotonic()
        self.tool(*words)
        took = time.monotonic() - begin
        for number in range(self.count):
            instant = took * (number + self.random.random()) / self.count
            with self.subTest(instant=instant, of=took, seed=SEED):
                ready()
                status, said = self.interrupted(words, instant)
                # Death by the signal: it came before the program could take care of it.
                self.assertIn(status, ends, said)
                check(status)

    def test_backup(self):
        known = []

        def ready():
            known[:] = self.backups()

        def check(status):
            # A signal while it waits for the WAL: the backup is there, and whole, already.
            came = len(self.backups()) - len(known)
            self.assertIn(came, (1,) if status in (0, 3) else (0, 1))
            self.tool(*self.backup_words)

        self.at_random(self.backup_words, ready, check, ends=(0, 3, 12, -signal.SIGTERM))

    def test_push(self):
        self.other_archive()

        def check(status):
            self.assertTrue(status != 0 or self.object.exists())
            self.assert_push_was_all_or_nothing()
            self.assert_push_works()

        self.at_random(["archive-push", self.source],
                       lambda: self.object.unlink(missing_ok=True), check)

    def test_get_dies_of_the_signal(self):
        got = self.path / "RECOVERYXLOG"

        def check(status):
            self.assertEqual(got.exists() and got.stat().st_size > 0, status == 0)

        self.at_random(["archive-get", self.segments[0], got],
                       lambda: got.unlink(missing_ok=True), check, ends=(0, -signal.SIGTERM))

    def test_restore(self):
        def check(status):
            if status == 0:
                self.assertTrue((self.target / "global" / "pg_control").exists())
            else:
                self.assert_not_startable()
                self.assert_restore_works()

        self.at_random(self.restore_words(),
                       lambda: shutil.rmtree(self.target, ignore_errors=True), check)


class ServerKilled(TroubleTest):
    def test_a_server_that_dies_during_the_backup(self):
        known = self.backups()
        process = subprocess.Popen([TOOL, *map(str, self.backup_words), f"--repo={self.repo}",
                                    "--rate-limit=1MiB"], cwd="/", stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, env=clean_environment(),
                                   **identity())
        backend = "select count(*) > 0 from pg_stat_activity where application_name ~ 'pgcairn'"
        wait_for(lambda: self.cluster.sql(backend) == "t", "the backup's session")
        time.sleep(1)
        self.assertIsNone(process.poll(), "the backup ended before the server was killed")

        self.cluster.crash()
        said = "".join(process.communicate(timeout=300))

        self.assertIn(process.returncode, (7, 10), said)
        self.assertRegex(said, "server|connection")
        self.cluster.start()
        self.assertEqual(self.backups(), known)
        self.tool(*self.backup_words)
        self.assertEqual(len(self.backups()), len(known) + 1)


class Clocks(TroubleTest):
    def at(self, offset, *words, expect=0):
        """Run the tool with another clock than the store has."""
        if shutil.which(LIBFAKETIME) is None:
            self.skipTest("faketime is not installed")
        return run(LIBFAKETIME, "-f", offset, TOOL, *words, f"--repo={self.repo}", expect=expect)

    def test_the_newest_backup_is_the_one_that_stopped_last_whatever_the_clock_said(self):
        for offset in ("-2d", "+2d", "-1d"):
            with self.subTest(offset):
                self.at(offset, *self.backup_words)
                newest = max(pathlib.Path(self.repo, "main", "backup").iterdir(),
                             key=lambda path: path.stat().st_mtime_ns).name

                self.assertEqual(self.backups()[-1], newest)
                shutil.rmtree(self.target, ignore_errors=True)
                answer = json.loads(self.tool(*self.restore_words(), "--json"))
                self.assertEqual(answer["backup"], newest)

    def test_push_and_get_do_not_look_at_the_clock(self):
        self.other_archive()
        for offset in ("-20y", "+10y"):
            self.at(offset, "archive-push", self.source)
            self.at(offset, "archive-get", self.segments[0], self.path / "got")
            self.object.unlink()

    def foreign_lease(self, age_s, taken="2026-11-22T10:00:00.000Z"):
        """The lease of a run on another host, as old as the store says."""
        path = pathlib.Path(self.repo, "main", "lease", "00000000000000aa.00000001")
        put(path, record("lease", purpose="backup", host="elsewhere", boot_id="another", pid=4711,
                         process_start=1, timeline=1, start="0/0", taken=taken, tool="0"))
        os.utime(path, (time.time() - age_s,) * 2)
        self.addCleanup(path.unlink, missing_ok=True)
        return path

    def test_a_lease_ends_by_the_stores_clock_alone(self):
        for offset in ("-3d", "+0", "+3d"):
            for taken in ("2001-01-01T00:00:00.000Z", "2099-01-01T00:00:00.000Z"):
                with self.subTest(offset=offset, taken=taken):
                    lease = self.foreign_lease(age_s=30, taken=taken)
                    self.at(offset, *self.backup_words, expect=5)
                    self.assertTrue(lease.exists())

                    self.foreign_lease(age_s=700, taken=taken)
                    self.at(offset, *self.backup_words)
                    self.assertFalse(lease.exists())


if __name__ == "__main__":
    unittest.main()
