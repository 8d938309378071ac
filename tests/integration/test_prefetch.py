"""
archive-get fetches ahead: into pg_wal/pgcairn.prefetch, for a server that recovers and for nobody else.

Whether a segment was taken from there or fetched is told by the fault points that a call passed, never
by the time it took. Tests wait for the process that fetches by the lock that it holds.
"""

import os
import pathlib
import pwd
import shutil
import threading
import unittest

from support.archive import ABSENT, STOP, changed, content_of, flip, object_of, put, record
from support.cluster import make_directory
from support.prefetch import FETCHED, TAKEN, PrefetchTest
from support.processes import TOOL, USER, attempt, run

MIB = 1 << 20


class Filling(PrefetchTest):
    def test_what_follows_lies_ready_whole(self):
        self.fill()
        ready = self.ready()

        self.assertEqual(ready, self.segments[1:1 + len(ready)])
        self.assertGreaterEqual(len(ready), 2)
        for name in ready:
            self.assertEqual(self.sealed(name).read_bytes(), content_of(object_of(self.repo, name)))

    def test_it_is_handed_over_by_rename_and_more_is_fetched(self):
        self.fill()
        for name in self.segments[1:]:
            inode = self.sealed(name).stat().st_ino
            self.assert_given(name, how=TAKEN)
            self.assertEqual((self.data / "pg_wal" / "RECOVERYXLOG").stat().st_ino, inode)
            self.settled()
        self.assertEqual(self.ready(), [])
        self.assertEqual(self.get(self.segments[-1][:16] + "000000F0"), ABSENT, self.said)
        self.assertFalse(self.spool().exists())

    def test_a_request_that_comes_again_is_answered_again(self):
        self.fill()
        self.assert_given(self.segments[1], how=TAKEN)
        self.settled()
        self.assert_given(self.segments[1], how=FETCHED)
        self.settled()
        self.assert_given(self.segments[0], how=FETCHED)
        self.assert_given(self.segments[1])

    def test_requests_at_once_all_get_it(self):
        for number in range(1, 6):
            if number == 1:
                self.fill()
            self.settled()
            name = self.segments[number]
            words = [TOOL, "archive-get", f"--repo={self.repo}", name, "pg_wal/RECOVERYXLOG"]
            answers = []
            threads = [threading.Thread(target=lambda: answers.append(
                attempt(*words, cwd=self.data).returncode)) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(answers, [0] * 6)
            self.assertEqual((self.data / "pg_wal" / "RECOVERYXLOG").read_bytes(),
                             content_of(object_of(self.repo, name)))
        self.settled()
        self.assertEqual([name for name in os.listdir(self.data / "pg_wal") if name.startswith("xlogtemp")],
                         [])

    def test_a_left_over_file_is_replaced(self):
        self.fill()
        put(self.data / "pg_wal" / "RECOVERYXLOG", b"what a killed server left")
        done = self.attempt("archive-get", self.segments[1], "pg_wal/RECOVERYXLOG", cwd=self.data)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.data / "pg_wal" / "RECOVERYXLOG").read_bytes(),
                         content_of(object_of(self.repo, self.segments[1])))

    def test_the_size_bounds_it(self):
        for size, most in {"0": 0, "1023KiB": 0, "1MiB": 1, "3MiB": 3}.items():
            with self.subTest(size=size):
                shutil.rmtree(self.spool(), ignore_errors=True)
                self.fill(0, f"--prefetch={size}")
                self.assertEqual(self.ready(), self.segments[1:1 + most])

    def test_switched_off_it_removes_what_lies_there(self):
        self.fill()
        self.assert_given(self.segments[1], "--prefetch=0", how=FETCHED)
        self.assertFalse(self.spool().exists())

    def test_more_lies_ready_when_requests_come_faster(self):
        """A segment that was not ready, and could have been, doubles what is fetched."""
        self.fill()
        before = len(self.ready())
        for path in self.spool().glob(f"{self.segments[1]}.*"):
            path.unlink()
        self.fill(1)
        self.assertGreater(len(self.ready()), before)

    def test_a_hole_is_not_jumped_over_and_no_answer(self):
        with changed(object_of(self.repo, self.segments[3])):
            object_of(self.repo, self.segments[3]).unlink()
            self.fill()
            self.assertNotIn(self.segments[3], self.ready())
            self.assert_given(self.segments[1])
            self.assert_given(self.segments[2])
            self.assertEqual(self.get(self.segments[3]), STOP, self.said)
            self.assertIn("hole", self.said)
        self.assert_given(self.segments[3], how=FETCHED)

    def test_damage_stops_there_and_not_elsewhere(self):
        for offset in (100, 1000, -1000, -1):
            with self.subTest(offset=offset), changed(object_of(self.repo, self.segments[3])):
                shutil.rmtree(self.spool(), ignore_errors=True)
                flip(object_of(self.repo, self.segments[3]), offset)
                self.fill()
                self.assertNotIn(self.segments[3], self.ready())
                self.assertEqual([self.get(name) for name in self.segments[1:4]], [0, 0, STOP])

    def test_another_segment_under_the_name_is_not_fetched(self):
        with changed(object_of(self.repo, self.segments[2])):
            put(object_of(self.repo, self.segments[2]), object_of(self.repo, self.segments[5]).read_bytes())
            self.fill()
            self.assertNotIn(self.segments[2], self.ready())
            self.assertEqual(self.get(self.segments[2]), STOP, self.said)

    def test_nothing_is_fetched_after_a_failure(self):
        with changed(object_of(self.repo, self.segments[0])):
            flip(object_of(self.repo, self.segments[0]), 300)
            self.assertEqual(self.get(self.segments[0]), STOP)
        self.assertFalse(self.spool().exists())

    def test_the_last_request_of_a_recovery_removes_it(self):
        for name in ("00000002.history", "00000001.history"):
            self.fill()
            self.assertTrue(self.ready())
            self.assertEqual(self.get(name, target="pg_wal/RECOVERYHISTORY"), ABSENT, self.said)
            self.assertFalse(self.spool().exists())

    def test_what_is_not_wanted_any_more_is_removed(self):
        self.fill()
        put(self.spool() / "fetch-0123456789abcdef", b"of a killed one")
        put(self.spool() / "anything", b"else")
        self.fill(8)
        self.assertEqual(self.ready()[0], self.segments[9])
        self.assertFalse((self.spool() / "anything").exists())


class Lost(PrefetchTest):
    """An archive that no longer has what it gave to this recovery: its end is not the WAL's."""

    def setUp(self):
        super().setUp()
        self.fill()
        for name in self.segments[1:4]:
            self.assert_given(name)
        self.settled()
        shutil.rmtree(self.path / "whole", ignore_errors=True)
        run("cp", "-a", self.repo, self.path / "whole")

    def back(self):
        shutil.rmtree(self.repo)
        (self.path / "whole").rename(self.repo)

    def assert_goes_on_to_the_end(self):
        for name in self.segments[4:]:
            self.assert_given(name)
        self.assertEqual(self.get(self.segments[-1][:16] + "000000F0"), ABSENT, self.said)
        self.assertFalse(self.spool().exists())

    def assert_refused_behind_what_lay_ready(self):
        for name in self.segments[4:]:
            if self.get(name) != 0:
                break
        self.assertEqual(self.get(name), STOP, self.said)  # also when it is asked again
        self.assertIn("has lost WAL", self.said)
        self.assertEqual(self.get("00000002.history", target="pg_wal/RECOVERYHISTORY"), STOP, self.said)
        self.assertTrue(self.spool().exists())

    def test_without_any_wal(self):
        shutil.rmtree(self.repo / "main" / "wal")
        self.assert_refused_behind_what_lay_ready()
        self.back()
        self.assert_goes_on_to_the_end()

    def test_set_back_to_an_older_copy(self):
        for name in self.segments[2:]:
            object_of(self.repo, name).unlink()
        self.assert_refused_behind_what_lay_ready()
        # The server starts again from an older place, which the copy has.
        self.assert_given(self.segments[1], how=FETCHED)
        self.assertEqual(self.get(self.segments[2]), STOP, self.said)
        self.back()
        self.assert_goes_on_to_the_end()

    def test_whoever_wants_the_copy_removes_the_directory(self):
        for name in self.segments[2:]:
            object_of(self.repo, name).unlink()
        self.assert_refused_behind_what_lay_ready()
        shutil.rmtree(self.spool())
        self.assertEqual(self.get(self.segments[2]), ABSENT, self.said)


class Believing(PrefetchTest):
    """What lies ready counts only if it is exactly what was put there."""

    def assert_not_taken(self, name, *options, **where):
        self.assert_given(name, *options, how=FETCHED, **where)

    def test_a_file_that_was_touched(self):
        self.fill()
        os.utime(self.sealed(self.segments[1]))
        self.assert_not_taken(self.segments[1])

    def test_a_file_that_was_written_to(self):
        self.fill()
        with open(self.sealed(self.segments[1]), "r+b") as file:
            file.seek(500000)
            file.write(b"rubbish")
        self.assert_not_taken(self.segments[1])

    def test_a_file_of_another_size(self):
        self.fill()
        path = self.sealed(self.segments[1])
        times = path.stat()
        os.truncate(path, MIB - 8192)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        self.assert_not_taken(self.segments[1])

    def test_another_file_in_its_place(self):
        self.fill()
        path = self.sealed(self.segments[1])
        copy = self.path / "copy"
        run("cp", "-p", path, copy)
        copy.rename(path)
        self.assert_not_taken(self.segments[1])

    def test_a_file_with_a_second_link(self):
        self.fill()
        path = self.sealed(self.segments[1])
        os.link(path, self.data / "link")
        self.assert_not_taken(self.segments[1])

    def test_a_symbolic_link(self):
        self.fill()
        path = self.sealed(self.segments[1])
        path.rename(self.path / "elsewhere")
        path.symlink_to(self.path / "elsewhere")
        self.assert_not_taken(self.segments[1])

    def test_a_file_under_another_segments_name(self):
        self.fill()
        first, second = self.sealed(self.segments[1]), self.sealed(self.segments[2])
        second.unlink()
        first.rename(first.with_name(f"{self.segments[2]}.{first.name.split('.')[1]}"))
        self.assert_not_taken(self.segments[2])

    def test_a_copied_data_directory(self):
        self.fill()
        copy = self.path / "copy"
        run("cp", "-a", self.data, copy)
        self.assertEqual(self.ready(copy), self.ready())
        self.assert_not_taken(self.segments[1], data=copy)
        self.settled(copy)
        self.assert_given(self.segments[2], data=copy, how=TAKEN)
        self.assert_given(self.segments[1], how=TAKEN)

    def test_another_repository(self):
        self.fill()
        other = self.path / "other"
        self.tool("init", f"--data={self.cluster.data}", repo=other)
        for name in self.segments[:4]:
            source = put(self.path / name, content_of(object_of(self.repo, name)))
            self.tool("archive-push", source, repo=other)
        self.assert_not_taken(self.segments[1], repo=other)
        self.settled()
        self.assert_given(self.segments[2], repo=other, how=TAKEN)

    def test_another_cluster_of_the_repository_with_the_same_identifier(self):
        self.fill()
        self.tool("init", "--cluster=clone", f"--data={self.cluster.data}")
        source = put(self.path / self.segments[1], content_of(object_of(self.repo, self.segments[1])))
        self.tool("archive-push", "--cluster=clone", source)
        self.assert_not_taken(self.segments[1], "--cluster=clone")

    @unittest.skipIf(os.getuid() != 0, "only root can make another boot id")
    def test_another_boot(self):
        self.fill()
        boot = put(self.path / "boot_id", b"00000000-1111-2222-3333-444444444444\n")
        os.chmod(boot, 0o644)
        log = put(self.path / "passed", b"")
        script = (f"mount --bind {boot} /proc/sys/kernel/random/boot_id || exit 77; cd {self.data}; "
                  f"exec setpriv --reuid={USER} --regid={USER} --clear-groups {TOOL} archive-get "
                  f"--repo={self.repo} {self.segments[1]} pg_wal/RECOVERYXLOG")
        done = attempt("unshare", "-m", "sh", "-c", script, user=None,
                       environment={"PGCAIRN_FAULT_LOG": log})
        if done.returncode == 77 or "unshare" in done.stderr:
            self.skipTest("nothing can be mounted here")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn(TAKEN, log.read_text(encoding="ascii").split())
        self.assertIn(FETCHED, log.read_text(encoding="ascii").split())

    def test_a_directory_that_others_may_write_to(self):
        self.fill()
        os.chmod(self.spool(), 0o770)
        self.assert_not_taken(self.segments[1])
        self.assert_not_taken(self.segments[2])

    def test_a_link_in_place_of_the_directory(self):
        self.fill()
        self.spool().rename(self.path / "elsewhere")
        self.spool().symlink_to(self.path / "elsewhere")
        self.assert_not_taken(self.segments[1])

    def test_rubbish_in_its_state_costs_nothing_but_a_fresh_start(self):
        self.fill()
        for rubbish in (b"", b"x", b"\0" * 80, b"\xff" * 80, os.urandom(4096)):
            with self.subTest(size=len(rubbish)):
                with open(self.spool() / "state", "r+b") as state:
                    state.truncate()
                    state.write(rubbish)
                self.assert_given(self.segments[1])
                self.settled()
                self.assert_given(self.segments[0])
                self.settled()


class NotForOthers(PrefetchTest):
    def assert_plain(self, name, target, data=None, *options):
        self.assertEqual(self.get(name, *options, data=data, target=target), 0, self.said)
        self.assertEqual(self.how, [FETCHED])

    def test_only_a_server_that_recovers_and_asks_for_itself(self):
        name = self.segments[1]
        desk = make_directory(self.path / "desk")
        elsewhere = self.recovering(self.data_copy_to("elsewhere"))
        plain = self.data_copy_to("plain")
        for target, data, options in (
                (f"pg_wal/{name}", self.data, []),            # pg_rewind
                (desk / "RECOVERYXLOG", self.data, []),       # an operator
                ("pg_wal/RECOVERYXLOG", plain, []),           # not in recovery
                ("pg_wal/RECOVERYHISTORY", plain, []),        # where a server's last request goes
                (self.data / "pg_wal" / "RECOVERYXLOG", elsewhere, [])):
            with self.subTest(target=str(target)):
                self.assert_plain(name, target, data, *options)
                self.assertFalse(self.spool(data).exists())
        self.fill()
        self.assert_plain(name, f"pg_wal/{name}")
        self.assertIn(name, self.ready())
        self.assertEqual(self.get("00000002.history", target="pg_wal/00000002.history"), ABSENT)
        self.assertIn(name, self.ready())

    def data_copy_to(self, name):
        data = self.path / name
        run("cp", "-a", self.cluster.data, data)
        return data

    @unittest.skipIf(USER is None, "another user can be had by root only")
    def test_not_for_another_user(self):
        """One of the same group, who may write there. Root is the owner, and fetches ahead as he does."""
        run("chmod", "-R", "g+rwX", self.path)
        group = pwd.getpwnam(USER).pw_gid
        done = attempt("setpriv", f"--reuid={pwd.getpwnam('games').pw_uid}", f"--regid={group}", "--clear-groups",
                       TOOL, "archive-get", f"--repo={self.repo}", self.segments[0], "pg_wal/RECOVERYXLOG",
                       cwd=self.data, user=None)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(self.spool().exists())

    def test_a_standby_too(self):
        (self.data / "recovery.signal").unlink()
        put(self.data / "standby.signal", b"")
        self.fill()
        self.assert_given(self.segments[1], how=TAKEN)

    def test_a_pg_wal_on_another_file_system_is_where_it_lies(self):
        if os.stat("/dev/shm").st_dev == self.data.stat().st_dev or not os.access("/dev/shm", os.W_OK):
            self.skipTest("there is no other file system")
        wal = pathlib.Path("/dev/shm") / f"{self.path.name}-wal"
        self.addCleanup(shutil.rmtree, wal, ignore_errors=True)
        make_directory(wal)
        shutil.rmtree(self.data / "pg_wal")
        (self.data / "pg_wal").symlink_to(wal)
        self.fill()
        self.assertTrue((wal / "pgcairn.prefetch" / "state").exists())
        self.assert_given(self.segments[1], how=TAKEN)

    def test_an_absolute_destination(self):
        self.assert_given(self.segments[0], f"--data={self.data}",
                          target=self.data / "pg_wal" / "RECOVERYXLOG", how=FETCHED)
        self.settled()
        self.assert_given(self.segments[1], how=TAKEN)


class Limits(PrefetchTest):
    def test_nothing_behind_the_bound(self):
        settings = "recovery_target_lsn=0/5000000\nrecovery_target_timeline=1"
        put(self.data / "postgresql.auto.conf",
            b"recovery_target_lsn = '0/5000000'\nrecovery_target_timeline = '1'\n")
        put(self.data / "pgcairn.recovery",
            record("recovery", timeline=1, bound=self.segments[2], settings=settings))
        self.fill()
        self.assertEqual(self.ready(), self.segments[1:3])
        for number, how in ((1, TAKEN), (2, TAKEN), (3, FETCHED)):
            self.assert_given(self.segments[number], how=how)
        self.assertEqual(self.ready(), [])

    def push_history(self):
        """Timeline 2 leaves 1 in the third segment, and the archive has nothing else of it."""
        fork = (int(self.segments[2][16:], 16) << 20) + 8000
        self.tool("archive-push", put(self.path / "00000002.history", f"1\t0/{fork:X}\tx\n".encode()))

    def test_what_lies_ready_of_another_path_is_not_handed_over(self):
        self.fill()
        self.push_history()
        self.assertIn(self.segments[3], self.ready())
        self.assertEqual(self.get(self.segments[3], "--recovery-timeline=2"), STOP, self.said)
        self.assertIn("does not belong", self.said)
        self.assertIn(self.segments[3], self.ready())

    def test_nothing_of_the_parent_behind_the_fork(self):
        self.push_history()
        self.fill(0, "--recovery-timeline=2")
        self.assertEqual(self.ready(), self.segments[1:2])

    @unittest.skipIf(os.getuid() != 0, "only root can mount a small file system")
    def test_a_part_of_a_small_disk_stays_free(self):
        wal = self.data / "pg_wal"
        if attempt("mount", "-t", "tmpfs", "-o", f"size=5500k,mode=0700,uid={USER},gid={USER}", "none", wal,
                   user=None).returncode != 0:
            self.skipTest("nothing can be mounted here")
        self.addCleanup(attempt, "umount", "-l", wal, user=None)
        self.addCleanup(self.end_fetchers)
        for number, name in enumerate(self.segments[:8]):
            self.assert_given(name)
            self.settled()
            status = os.statvfs(wal)
            self.assertGreaterEqual(status.f_bavail, status.f_blocks // 10)
            self.assertLess(len(self.ready()), 5)
            # A disk that is full but for the segment asked for.
            if number == 4:
                for path in self.spool().glob("0*"):
                    path.unlink()
                (wal / "RECOVERYXLOG").unlink()
                put(wal / "filler", b"x" * (os.statvfs(wal).f_bavail * os.statvfs(wal).f_frsize - MIB - 8192))
                self.assert_given(self.segments[5], how=FETCHED)
                self.assertEqual(self.ready(), [])
                (wal / "filler").unlink()


class LargeSegments(PrefetchTest):
    segment_mb = 64
    segments_wanted = 4
    settings = {"wal_keep_size": "256MB", "min_wal_size": "128MB", "max_wal_size": "512MB"}

    def test_as_many_as_the_size_allows(self):
        for size, most in {"63MiB": 0, "64MiB": 1, "191MiB": 2}.items():
            with self.subTest(size=size):
                shutil.rmtree(self.spool(), ignore_errors=True)
                self.fill(0, f"--prefetch={size}")
                self.assertEqual(self.ready(), self.segments[1:1 + most])
        self.assert_given(self.segments[1], how=TAKEN)
