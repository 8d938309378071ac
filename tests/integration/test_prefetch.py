"""
archive-get fetches ahead: into pg_wal/pgcairn.prefetch, for a server that recovers and for nobody else.

Whether a segment was taken from there or fetched is told by the fault points that a call passed, never
by the time it took. Tests wait for the process that fetches by the lock that it holds.
"""

import fcntl
import os
import pathlib
import shutil
import signal
import threading
import unittest

from support.archive import archived, changed, content_of, flip, object_of, put, record
from support.cluster import ArchiveTest, ManualRecovery, make_directory
from support.oracle import Oracle, assert_content, check_structure
from support.processes import TOOL, USER, attempt, is_alive, run, state_and_parent, wait_for

ABSENT = 1
STOP = 255
TAKEN, FETCHED = "prefetch.after-take", "get.after-rename"
POINTS = ("prefetch.before-fetch", "prefetch.before-seal", "prefetch.before-publish",
          "prefetch.after-publish")
MIB = 1 << 20


def fetchers(spool):
    """Processes that fetch into this directory: by its descriptor, also when it was removed."""
    found = []
    for process in pathlib.Path("/proc").iterdir():
        try:
            if not process.name.isdigit() or (process / "comm").read_text().strip() != "pgcairn-ahead":
                continue
            links = [os.readlink(link) for link in (process / "fd").iterdir()]
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if any(link.removesuffix(" (deleted)") == str(spool) for link in links):
            found.append(int(process.name))
    return found


def is_locked(spool):
    try:
        with open(spool / "state", "rb") as state:
            fcntl.flock(state, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


class PrefetchTest(ArchiveTest):
    """An archive of small segments, and a data directory that recovers from it, played by the test."""

    segments_wanted = 14

    @classmethod
    def build(cls, world):
        for _ in range(cls.segments_wanted):
            world.cluster.fill_segment()
        world.cluster.stop()
        cls.segments = [name for name in archived(world.repo) if len(name) == 24]

    def setUp(self):
        super().setUp()
        self.data = self.recovering(self.data_copy())
        self.addCleanup(self.end_fetchers)

    def recovering(self, data):
        put(data / "recovery.signal", b"")
        shutil.rmtree(data / "pg_wal")
        make_directory(data / "pg_wal")
        return data

    def spool(self, data=None):
        return (data or self.data) / "pg_wal" / "pgcairn.prefetch"

    def end_fetchers(self):
        for pid in fetchers(self.spool()):
            os.kill(pid, signal.SIGKILL)

    def settled(self, data=None):
        """Wait until nobody fetches."""
        spool = self.spool(data)
        wait_for(lambda: not is_locked(spool), f"end of those who fetch into {spool}")

    def ready(self, data=None):
        """What lies ready once nobody fetches: the names of the segments, sorted."""
        self.settled(data)
        spool = self.spool(data)
        names = os.listdir(spool) if spool.exists() else []
        self.assertEqual([name for name in names if name.startswith("fetch-")], [])
        return sorted(name[:24] for name in names if name != "state")

    def sealed(self, name, data=None):
        found = list(self.spool(data).glob(f"{name}.*"))
        self.assertEqual(len(found), 1, f"{name} in {os.listdir(self.spool(data))}")
        return found[0]

    def get(self, name, *options, data=None, target="pg_wal/RECOVERYXLOG", repo=None, fault=None):
        """As the server calls it. Gives the exit status; self.how is how the file came."""
        data = data or self.data
        log = self.path / "passed"
        log.unlink(missing_ok=True)
        environment = {"PGCAIRN_FAULT_LOG": log, **({"PGCAIRN_FAULT": fault} if fault else {})}
        (data / target).unlink(missing_ok=True)
        done = self.attempt("archive-get", "--hole-wait=0s", "--retries=0", *options, name, target,
                            repo=repo, cwd=data, environment=environment)
        self.said = done.stdout + done.stderr
        points = log.read_text(encoding="ascii").split() if log.exists() else []
        self.how = [point for point in points if point in (TAKEN, FETCHED)]
        self.assertEqual((data / target).exists(), done.returncode == 0, self.said)
        return done.returncode

    def assert_given(self, name, *options, how=None, data=None, target="pg_wal/RECOVERYXLOG", **where):
        self.assertEqual(self.get(name, *options, data=data, target=target, **where), 0, self.said)
        self.assertEqual(((data or self.data) / target).read_bytes(),
                         content_of(object_of(self.repo, name)))
        if how is not None:
            self.assertEqual(self.how, [how])

    def fill(self, first=0, *options, data=None, **where):
        """The request for this segment, and the wait for what is fetched behind it."""
        self.assert_given(self.segments[first], *options, how=FETCHED, data=data, **where)
        self.settled(data)


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
        done = self.attempt("archive-get", self.segments[0], "pg_wal/RECOVERYXLOG", cwd=self.data, user=None)
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


class Process(PrefetchTest):
    """The process that fetches: whoever ends it, and whenever, nobody is the worse for it."""

    def stopped(self, point="prefetch.before-publish", name=None):
        """A request, and its process stopped at a point; gives its id."""
        self.assert_given(name or self.segments[0], fault=f"{point}:stop", how=FETCHED)
        pid = wait_for(lambda: fetchers(self.spool()), "a process that fetches")[0]
        wait_for(lambda: state_and_parent(pid)[0] == "T", f"stop of process {pid}")
        self.addCleanup(lambda: is_alive(pid) and os.kill(pid, signal.SIGKILL))
        return pid

    def assert_ends(self, pid):
        wait_for(lambda: not is_alive(pid), f"end of process {pid}")

    def test_killed_anywhere_it_leaves_nothing_that_counts(self):
        for point in POINTS:
            for count in (1, 2, 3):
                with self.subTest(point=point, count=count):
                    shutil.rmtree(self.spool(), ignore_errors=True)
                    self.assert_given(self.segments[0], fault=f"{point}:crash:{count}", how=FETCHED)
                    self.settled()
                    for path in self.spool().glob("0*"):
                        self.assertEqual(path.read_bytes(), content_of(object_of(self.repo, path.name[:24])))
                    for name in self.segments[1:4]:
                        self.assert_given(name)
                        self.settled()
                    self.ready()

    def test_what_fails_is_of_no_consequence(self):
        for point in POINTS:
            with self.subTest(point=point):
                shutil.rmtree(self.spool(), ignore_errors=True)
                self.assert_given(self.segments[0], fault=f"{point}:fail", how=FETCHED)
                self.ready()
                self.assert_given(self.segments[1])
                self.settled()

    def test_a_request_killed_or_failing_at_its_hand_over(self):
        for point in ("prefetch.before-take", TAKEN):
            self.settled()  # who fetches into what is being removed would remove what comes next
            shutil.rmtree(self.spool(), ignore_errors=True)
            self.fill()
            name = self.segments[1]
            environment = {"PGCAIRN_FAULT": f"{point}:crash"}
            done = self.attempt("archive-get", name, "pg_wal/RECOVERYXLOG", cwd=self.data,
                                environment=environment)
            self.assertEqual(done.returncode, -signal.SIGKILL)
            self.assert_given(name)
            self.settled()
            self.assert_given(self.segments[2], fault=f"{point}:fail")
            self.assertIn(FETCHED, self.how)

    def test_it_holds_nothing_that_anybody_waits_for(self):
        pid = self.stopped()  # which has read all that the request said, to its end
        links = {os.readlink(link) for link in pathlib.Path(f"/proc/{pid}/fd").iterdir()}
        self.assertLessEqual({str(self.spool()), str(self.spool() / "state"), "/dev/null"}, links)
        # The log of fault points is the test's, opened for a moment by each thread that passes one.
        allowed = ("/dev/null", str(self.spool()), str(self.repo), str(self.path / "passed"), "anon_inode:")
        self.assertEqual([link for link in links if not link.startswith(allowed)], [])
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        self.assertEqual(int(fields[2]), os.getpgrp())
        self.assertGreater(int(fields[16]), os.nice(0))

    def test_sigterm_ends_it(self):
        for number in (signal.SIGTERM, signal.SIGQUIT):
            with self.subTest(signal=number):
                shutil.rmtree(self.spool(), ignore_errors=True)
                pid = self.stopped()
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)
                self.assert_ends(pid)
                self.fill()
                self.ready()

    def test_one_is_enough(self):
        pid = self.stopped()
        for name in self.segments[1:4]:
            self.assert_given(name, how=FETCHED)
            self.assertEqual(fetchers(self.spool()), [pid])
        os.kill(pid, signal.SIGCONT)
        self.settled()
        # It went on behind the requests that were made meanwhile.
        ready = self.ready()
        self.assertEqual(ready, self.segments[4:4 + len(ready)])
        self.assertTrue(ready)

    def test_a_directory_removed_under_it_stays_so(self):
        for point in POINTS:
            with self.subTest(point=point):
                pid = self.stopped(point)
                self.assertEqual(self.get("00000002.history", target="pg_wal/RECOVERYHISTORY"), ABSENT)
                self.assertFalse(self.spool().exists())
                os.kill(pid, signal.SIGCONT)
                self.assert_ends(pid)
                self.assertFalse(self.spool().exists())

    def test_the_repository_exchanged_before_it_begins(self):
        other = self.path / "other"
        self.tool("init", f"--data={self.cluster.data}", repo=other)
        for name in self.segments[1:4]:
            self.tool("archive-push", put(self.path / name, content_of(object_of(self.repo, name))),
                      repo=other)
        away = self.path / "away"
        pid = self.stopped("prefetch.begin")
        self.repo.rename(away)
        other.rename(self.repo)
        os.kill(pid, signal.SIGCONT)
        self.assert_ends(pid)
        self.assertEqual(self.ready(), [])


class RealTest(ArchiveTest):
    """A server that really recovers. What each request did is in self.calls()."""

    count = 30

    @classmethod
    def build(cls, world):
        world.cluster.sql("create table filler (number int, payload text)")
        cls.oracle = Oracle(world.cluster, world.path / "commits")
        cls.base = ManualRecovery(world, world.cluster)
        with cls.oracle:
            for _ in range(cls.count):
                cls.oracle.wait_commits(5)
                world.cluster.fill_segment(500)
        world.cluster.switch_wal()
        world.cluster.stop()
        cls.segments = [name for name in archived(world.repo) if len(name) == 24]
        cls.victim = cls.segments[len(cls.segments) // 2]

    def command(self, *options, fault=""):
        """Waits for who fetches and notes what the request did. Files make it stop (255), or wait."""
        script = put(self.path / "restore.sh", f"""#!/bin/sh
[ -e {self.path}/block-$1 ] && exit 255
while [ -e {self.path}/hold-$1 ]; do
    : > {self.path}/at-door
    sleep 0.05
done
spool=pg_wal/pgcairn.prefetch
[ -e $spool/state ] && [ ! -e {self.path}/no-wait ] && flock -s $spool/state true
export PGCAIRN_FAULT_LOG={self.path}/points.$1.$$ {fault}
{TOOL} archive-get --repo={self.repo} --hole-wait=0s --retries=0 {" ".join(options)} "$1" "$2"
status=$?
how=none
grep -qs {FETCHED} $PGCAIRN_FAULT_LOG && how=fetched
grep -qs {TAKEN} $PGCAIRN_FAULT_LOG && how=taken
echo "$1 $status $how" >> {self.path}/calls
exit $status
""".encode())
        return f"sh {script} %f %p"

    def calls(self):
        """(name, status, how) of each request."""
        return [line.split() for line in (self.path / "calls").read_text(encoding="ascii").splitlines()]

    def taken(self):
        return [name for name, _, how in self.calls() if how == "taken"]

    def recovery(self, name="copy", *options, fault="", **settings):
        copy = self.base.cluster(name, self.command(*options, fault=fault), test=self, **settings)
        self.spool = copy.data / "pg_wal" / "pgcairn.prefetch"
        return copy

    def opens(self, copy):
        copy.start()
        copy.wait_until("select not pg_is_in_recovery()")

    def assert_whole(self, copy):
        assert_content(copy, self.oracle.numbers())
        check_structure(copy)
        self.assertFalse(self.spool.exists())

    def assert_stops(self, copy):
        copy.spawn()
        self.assertNotEqual(copy.wait_exit(), 0)
        self.assertEqual(copy.control()["Database cluster state"], "in archive recovery")


class Recovery(RealTest):
    def test_every_commit_comes_back_by_segments_that_lay_ready(self):
        copy = self.recovery()
        self.opens(copy)
        self.assert_whole(copy)
        # All but the first one, and what a server asks for twice.
        self.assertGreater(len(self.taken()), len(self.segments) - 6)

    def test_without_it_too(self):
        copy = self.recovery("copy", "--prefetch=0")
        self.opens(copy)
        self.assert_whole(copy)
        self.assertEqual(self.taken(), [])

    def test_without_waiting_for_anything(self):
        put(self.path / "no-wait", b"")
        copy = self.recovery()
        self.opens(copy)
        self.assert_whole(copy)

    def test_to_a_target(self):
        commit = self.oracle.commits[len(self.oracle.commits) // 2]
        copy = self.recovery(recovery_target_xid=commit.xid, recovery_target_action="promote")
        self.opens(copy)
        self.assertFalse(self.spool.exists())
        self.assertTrue(self.taken())
        rows = {int(line) for line in copy.sql("select number from oracle").split()}
        self.assertIn(commit.number, rows)
        self.assertLess(len(rows), len(self.oracle.numbers()))
        check_structure(copy)

    def test_a_pause_and_a_promotion(self):
        commit = self.oracle.commits[len(self.oracle.commits) // 2]
        copy = self.recovery(recovery_target_xid=commit.xid, recovery_target_action="pause")
        copy.start()
        copy.wait_until("select pg_last_wal_replay_lsn() is not null and "
                        "exists (select from oracle where number = %d)" % commit.number)
        copy.sql("select pg_wal_replay_resume()")
        copy.wait_until("select not pg_is_in_recovery()")
        self.assertFalse(self.spool.exists())

    def test_a_standby_and_its_promotion(self):
        copy = self.base.cluster("copy", self.command(), test=self, signal_file="standby.signal",
                                 wal_retrieve_retry_interval="100ms")
        self.spool = copy.data / "pg_wal" / "pgcairn.prefetch"
        copy.start()
        copy.wait_until(f"select count(*) = {len(self.oracle.numbers())} from oracle")
        self.assertTrue(self.taken())
        copy.sql("select pg_promote()")
        copy.wait_until("select not pg_is_in_recovery()")
        self.assert_whole(copy)

    def test_a_standby_is_promoted_while_the_repository_is_away(self):
        """As when it died with the primary's host. Stopped then, the server would open on timeline 1."""
        copy = self.base.cluster("copy", self.command(), test=self, signal_file="standby.signal",
                                 wal_retrieve_retry_interval="100ms")
        self.spool = copy.data / "pg_wal" / "pgcairn.prefetch"
        put(self.path / f"hold-{self.victim}", b"")
        copy.start()
        wait_for((self.path / "at-door").exists, f"request for {self.victim}")
        self.assertTrue(self.spool.exists())
        away = self.path / "away"
        self.repo.rename(away)
        (self.path / f"hold-{self.victim}").unlink()
        copy.sql("select pg_promote()")
        copy.wait_until("select not pg_is_in_recovery()")
        self.assertFalse(self.spool.exists())
        self.assertIn(["00000001.history", "1", "none"], self.calls())
        self.assertTrue((copy.data / "pg_wal" / "00000002.history").exists())
        check_structure(copy)
        away.rename(self.repo)

    def test_damage_in_the_middle_stops_there(self):
        copy = self.recovery()
        with changed(object_of(self.repo, self.victim)):
            flip(object_of(self.repo, self.victim), 1000)
            self.assert_stops(copy)
        name, status, how = self.calls()[-1]
        self.assertEqual((name, status, how), (self.victim, "255", "none"))
        before = [name for name in self.segments if name < self.victim]
        self.assertEqual({status for name, status, _ in self.calls() if name in before}, {"0"})
        self.opens(copy)
        self.assert_whole(copy)

    def test_a_hole_stops_until_it_is_filled(self):
        copy = self.recovery()
        with changed(object_of(self.repo, self.victim)):
            object_of(self.repo, self.victim).unlink()
            self.assert_stops(copy)
        self.assertEqual(self.calls()[-1][:2], [self.victim, "255"])
        self.opens(copy)
        self.assert_whole(copy)

    def test_a_repository_that_goes_away_stops_it_and_never_ends_it(self):
        copy = self.recovery()
        put(self.path / f"block-{self.victim}", b"")
        self.assert_stops(copy)
        away = self.path / "away"
        self.repo.rename(away)
        (self.path / f"block-{self.victim}").unlink()
        self.assert_stops(copy)
        self.assertEqual(self.calls()[-1][1], "255")
        away.rename(self.repo)
        self.opens(copy)
        self.assert_whole(copy)

    def test_a_copied_data_directory_recovers_by_itself(self):
        copy = self.recovery()
        put(self.path / f"block-{self.victim}", b"")
        self.assert_stops(copy)
        self.assertTrue(list(self.spool.glob("0*")))
        other = self.server("other", port=5434)
        run("cp", "-a", copy.data, other.data)
        other.configure(unix_socket_directories=other.socket)
        (self.path / f"block-{self.victim}").unlink()
        self.opens(other)
        assert_content(other, self.oracle.numbers())
        self.assertFalse((other.data / "pg_wal" / "pgcairn.prefetch").exists())
        self.opens(copy)
        self.assert_whole(copy)


class Killed(RealTest):
    def stopped(self, copy):
        """The server runs, and who fetches for it is stopped; gives its id."""
        copy.spawn()
        pid = wait_for(lambda: fetchers(self.spool), "a process that fetches")[0]
        wait_for(lambda: state_and_parent(pid)[0] == "T", f"stop of process {pid}")
        self.addCleanup(lambda: is_alive(pid) and os.kill(pid, signal.SIGKILL))
        return pid

    def recovery_with(self, fault):
        put(self.path / "no-wait", b"")
        return self.recovery(fault=f"PGCAIRN_FAULT=$(cat {put(self.path / 'fault', fault.encode())})")

    def test_who_fetches_is_killed_again_and_again(self):
        for point in POINTS:
            with self.subTest(point=point):
                copy = self.recovery(f"copy-{point}", fault=f"PGCAIRN_FAULT={point}:crash:2")
                self.opens(copy)
                self.assert_whole(copy)
                copy.stop()

    def test_the_server_is_killed_and_who_fetches_ends_by_itself(self):
        copy = self.recovery_with("prefetch.before-publish:stop")
        held = put(self.path / f"hold-{self.segments[4]}", b"")
        pid = self.stopped(copy)
        wait_for((self.path / "at-door").exists, f"request for {self.segments[4]}")
        copy.crash()
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: not is_alive(pid), f"end of process {pid}")
        # It ended what it had begun, long before the request at the door, and began nothing more.
        self.assertLess(max((path.name for path in self.spool.glob("0*")), default=""), self.segments[5])
        held.unlink()
        put(self.path / "fault", b"none:fail")
        self.opens(copy)
        self.assert_whole(copy)

    def test_a_shutdown_ends_it(self):
        for mode in ("immediate", "fast"):
            with self.subTest(mode=mode):
                copy = self.recovery_with("prefetch.before-publish:stop")
                put(self.path / f"block-{self.victim}", b"")
                pid = self.stopped(copy)
                group = os.getpgid(pid)
                self.assertEqual(os.getsid(pid), group)
                self.assertNotEqual(group, copy.process.pid)
                copy.stop(mode)
                os.kill(pid, signal.SIGCONT)
                wait_for(lambda: not is_alive(pid), f"end of process {pid}")
                shutil.rmtree(copy.path)

    def test_with_who_fetches_stopped_for_ever(self):
        """Requests wait for nobody, and the end of the recovery does not either."""
        copy = self.recovery_with("prefetch.before-publish:stop")
        pid = self.stopped(copy)
        copy.wait_ready()
        copy.wait_until("select not pg_is_in_recovery()")
        self.assert_whole(copy)
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: not is_alive(pid), f"end of process {pid}")
        self.assertFalse(self.spool.exists())


class Forks(RealTest):
    """Timeline 2 leaves 1 in the middle, timeline 3 leaves 2; each is recovered to."""

    count = 8

    def test_each_timeline_by_its_own_segments(self):
        expected = {1: self.oracle.numbers()}
        middle = self.oracle.commits[len(self.oracle.commits) // 2]
        second = self.recovery("second", recovery_target_xid=middle.xid, recovery_target_action="promote",
                               archive_mode="on", archive_command=self.archive_command())
        self.opens(second)
        self.go_on(second, 800001)
        name = second.sql("select pg_create_restore_point('fork')") and "fork"
        second.fill_segment(500)
        early = {int(line) for line in second.sql("select number from oracle").split()}
        self.go_on(second, 810001)
        expected[2] = {int(line) for line in second.sql("select number from oracle").split()}
        second.switch_wal()
        second.stop()
        third = self.recovery("third", recovery_target_timeline="2", recovery_target_name=name,
                              recovery_target_action="promote", archive_mode="on",
                              archive_command=self.archive_command())
        self.opens(third)
        assert_content(third, early)
        self.go_on(third, 820001)
        expected[3] = {int(line) for line in third.sql("select number from oracle").split()}
        third.switch_wal()
        third.stop()
        for timeline, numbers in expected.items():
            with self.subTest(timeline=timeline):
                (self.path / "calls").unlink()
                copy = self.recovery(f"copy-{timeline}", f"--recovery-timeline={timeline}",
                                     recovery_target_timeline=timeline)
                self.opens(copy)
                assert_content(copy, numbers)
                check_structure(copy)
                self.assertFalse(self.spool.exists())
                self.assertTrue(self.taken())
                self.assertEqual([call for call in self.calls() if call[1] not in "01"], [])
                copy.stop()

    def go_on(self, server, first):
        for number in range(first, first + 1000, 100):
            server.sql(f"insert into oracle select number, repeat(md5(number::text), 10) from "
                       f"generate_series({number}, {number + 99}) number")
            if number % 400 == 1:
                server.fill_segment(500)


if __name__ == "__main__":
    unittest.main()
