"""archive-get: 0 is "here it is", 1 "proven absent, and none after it", 255 everything else."""

import contextlib
import shutil
import signal
import subprocess
import threading
import time
import unittest

from support.archive import ABSENT, STOP, archived, changed, content_of, flip, list_of_blocks, object_of, put, record
from support.cluster import ManualRecovery, SegmentsTest, make_directory
from support.processes import TOOL, clean_environment, identity, run
from support.version import SWITCH_WAL


class GetTest(SegmentsTest):
    """An archive of some small segments, and a place to fetch to."""

    def setUp(self):
        super().setUp()
        self.desk = make_directory(self.path / "desk")
        self.target = self.desk / "RECOVERYXLOG"

    def after(self, name, count=1):
        """The segment's name `count` further on (within one high half)."""
        return f"{name[:16]}{int(name[16:], 16) + count:08X}"

    def get(self, name, *options, repo=None, data=None):
        """The exit status; what the tool said is in self.said. No half file is ever there."""
        self.target.unlink(missing_ok=True)
        if data is not None:
            options = (f"--data={data}", *options)
        done = self.attempt("archive-get", "--hole-wait=0s", "--retries=0", *options, name,
                            self.target, repo=repo)
        self.said = done.stdout + done.stderr
        self.assertEqual(self.target.exists(), done.returncode == 0, self.said)
        self.assertEqual([path.name for path in self.desk.glob("xlogtemp*")], [])
        return done.returncode

    def assert_stops(self, name, message, *options, **where):
        self.assertEqual(self.get(name, *options, **where), STOP, self.said)
        self.assertRegex(self.said, message)

    def assert_absent(self, name, *options, **where):
        self.assertEqual(self.get(name, *options, **where), ABSENT, self.said)

    def assert_given(self, name, *options, **where):
        self.assertEqual(self.get(name, *options, **where), 0, self.said)
        self.assertEqual(self.target.read_bytes(), content_of(object_of(self.repo, name)))

    @contextlib.contextmanager
    def without(self, *names):
        """The archive lacks these files meanwhile."""
        objects = [object_of(self.repo, name) for name in names]
        with changed(*objects):
            for path in objects:
                path.unlink()
            yield


class Segments(GetTest):
    def test_all_that_is_there_comes_byte_for_byte(self):
        for name in self.segments:
            with self.subTest(segment=name):
                self.assert_given(name)
                source = self.cluster.data / "pg_wal" / name
                if source.exists():
                    self.assertEqual(self.target.read_bytes(), source.read_bytes())

    def test_what_lies_behind_the_end_is_absent(self):
        self.assert_absent(self.after(self.segments[-1]))
        self.assert_absent(self.after(self.segments[-1], 100))

    def test_a_hole_stops(self):
        for hole in (self.segments[1:2], self.segments[1:4]):
            with self.subTest(hole=hole), self.without(*hole):
                for name in hole:
                    self.assert_stops(name, f"hole.*{self.after(hole[-1])}")
        self.assert_given(self.segments[1])

    def test_the_last_ones_missing_is_the_end(self):
        with self.without(*self.segments[-2:]):
            self.assert_absent(self.segments[-2])

    def test_a_hole_is_looked_at_again_for_a_bounded_time(self):
        with self.without(self.segments[2]):
            started = time.monotonic()
            self.assert_stops(self.segments[2], "hole", "--hole-wait=1500ms")
            self.assertGreater(time.monotonic() - started, 1.4)

    def test_a_hole_that_is_just_being_filled_is_none(self):
        name = self.segments[2]
        stored = object_of(self.repo, name)
        away = self.path / "away"
        stored.rename(away)
        filler = threading.Timer(1.0, lambda: away.rename(stored))
        started = time.monotonic()
        filler.start()
        self.addCleanup(filler.join)

        self.assert_given(name, "--hole-wait=180s")

        self.assertGreater(time.monotonic() - started, 0.9)

    def test_damage_stops(self):
        name = self.segments[1]
        stored = object_of(self.repo, name)
        size = stored.stat().st_size
        good = stored.read_bytes()
        blocks = list_of_blocks(good)
        for offset in (0, 4, 100, blocks.start // 2, blocks.start - 20, blocks.start - 1, -2048, -2000, -1000, -1, -8):
            with self.subTest(flipped=offset), changed(stored):
                flip(stored, offset)
                self.assert_stops(name, ".")
        # Which blocks the WAL is about is nothing that a recovery needs: `verify` tells of it.
        for offset in (blocks.start + 8, blocks.start + 80, blocks.stop - 1):
            with self.subTest(flipped_beside=offset), changed(stored):
                flip(stored, offset)
                self.assert_given(name)
                self.tool("verify", expect=8)
        for length in (0, 1, size // 2, size - 2056, size - 1):
            with self.subTest(cut=length), changed(stored):
                put(stored, good[:length])
                self.assert_stops(name, ".")
        with self.subTest("longer"), changed(stored):
            put(stored, good + b"\0")
            self.assert_stops(name, ".")
        self.assert_given(name)

    def test_damage_of_the_last_one_stops_too(self):
        name = self.segments[-1]
        flip(object_of(self.repo, name), 300)
        self.assert_stops(name, ".")

    def test_a_repository_out_of_reach_stops(self):
        away = self.path / "away"
        self.repo.rename(away)
        for name in (self.segments[0], self.after(self.segments[-1]), "00000002.history"):
            with self.subTest(name=name):
                self.assert_stops(name, ".")
        make_directory(self.repo)  # as an unmounted file system leaves it
        for name in (self.segments[0], self.after(self.segments[-1]), "00000002.history"):
            with self.subTest(name=name, place="empty"):
                self.assert_stops(name, ".")

    def test_a_lost_archive_folder_stops_nothing_that_was_not_there(self):
        # The cluster is registered and its WAL gone: nothing proves that there ever was any, but
        # a folder that can't be read is no proof of absence.
        folder = self.repo / "main" / "wal" / self.segments[0][:16]
        run("chmod", "0", folder)
        self.addCleanup(run, "chmod", "700", folder)
        self.assert_stops(self.segments[0], ".")
        self.assert_stops(self.after(self.segments[-1]), ".")

    def test_two_swapped_objects_stop(self):
        first, second = (object_of(self.repo, name) for name in self.segments[1:3])
        with changed(first, second):
            one, two = first.read_bytes(), second.read_bytes()
            put(first, two)
            put(second, one)
            self.assert_stops(self.segments[1], ".")
            self.assert_stops(self.segments[2], ".")

    def test_another_clusters_object_stops(self):
        stranger = self.server("stranger", port=5434).create(segment_mb=1).start()
        self.tool("init", "--cluster=other", f"--data={stranger.data}")
        stranger.sql("create table x as select generate_series(1, 1000)")
        name = stranger.sql(f"select {SWITCH_WAL}")
        self.tool("archive-push", "--cluster=other", stranger.data / "pg_wal" / name)
        foreign = object_of(self.repo, name, "other").read_bytes()

        mine = object_of(self.repo, name)
        mine.parent.mkdir(exist_ok=True)
        put(mine, foreign)

        self.assert_stops(name, "system identifier")

    def test_a_segment_set_aside_and_not_stored_anew_is_not_absent(self):
        stored = object_of(self.repo, self.segments[-1])
        stored.rename(stored.with_name(stored.name + ".damaged-0badcafe"))

        self.assert_stops(self.segments[-1], "damaged")

    def test_partial_and_backup_files_are_given_or_absent(self):
        partial = self.after(self.segments[-1], 5) + ".partial"
        self.assert_absent(partial)
        self.assert_absent(self.segments[0] + ".00000028.backup")
        content = bytearray(content_of(object_of(self.repo, self.segments[-1])))
        start = int(partial[16:24], 16) << 20
        content[8:16] = start.to_bytes(8, "little")
        self.tool("archive-push", put(self.desk / partial, bytes(content)))
        self.assert_given(partial)
        self.assertEqual(self.get(partial[:24]), ABSENT, self.said)

    def test_a_mistake_in_the_call_stops(self):
        name = self.segments[0]
        for arguments in ([], [name], [name, self.target, "more"], ["--nonsense", name, self.target],
                          ["not-a-segment", self.target], [name.lower() + "x", self.target],
                          [name, "/nowhere/RECOVERYXLOG"], [name, self.desk],
                          ["--cluster=unknown", name, self.target],
                          ["--recovery-timeline=x", name, self.target],
                          ["--config=/nowhere", name, self.target]):
            with self.subTest(arguments=arguments):
                done = self.attempt("archive-get", *arguments)
                self.assertEqual(done.returncode, STOP, done.stdout + done.stderr)
        done = subprocess.run([TOOL, "archive-get", name, str(self.target)], capture_output=True,
                              text=True, env=clean_environment(), cwd="/", check=False, **identity())
        self.assertEqual(done.returncode, STOP, done.stderr)

    def test_sigterm_is_what_it_dies_of(self):
        with self.without(self.segments[2]):
            child = subprocess.Popen(
                [TOOL, "archive-get", f"--repo={self.repo}", "--hole-wait=600s", self.segments[2],
                 str(self.target)], env=clean_environment(), cwd="/", stderr=subprocess.DEVNULL,
                **identity())
            self.addCleanup(child.kill)
            time.sleep(1)
            self.assertIsNone(child.poll())

            child.send_signal(signal.SIGTERM)

            self.assertEqual(child.wait(180), -signal.SIGTERM)
        self.assertEqual(list(self.desk.iterdir()), [])


class Standby(GetTest):
    def test_nothing_stops_a_standby(self):
        data = make_directory(self.path / "standby")
        put(data / "standby.signal", b"")
        hole, damaged = self.segments[1], self.segments[3]
        flip(object_of(self.repo, damaged), 300)
        with self.without(hole):
            self.assert_absent(hole, data=data)
            self.assertRegex(self.said, "hole")
            self.assert_absent(damaged, data=data)
            self.assert_absent(self.after(self.segments[-1]), data=data)
            self.assert_given(self.segments[0], data=data)
        self.assert_absent(self.segments[0], data=data, repo=self.path / "nowhere")
        (data / "standby.signal").unlink()
        put(data / "recovery.signal", b"")
        self.assert_stops(self.segments[0], ".", data=data, repo=self.path / "nowhere")

    def test_the_current_directory_is_the_data_directory_unless_told_otherwise(self):
        data = make_directory(self.path / "standby")
        put(data / "standby.signal", b"")
        put(data / "PG_VERSION", b"15\n")
        command = ["archive-get", "--retries=0", self.segments[0], self.target]

        done = self.attempt(*command, cwd=data, repo=self.path / "nowhere")
        self.assertEqual(done.returncode, ABSENT, done.stderr)
        done = self.attempt(*command, cwd="/", repo=self.path / "nowhere")
        self.assertEqual(done.returncode, STOP, done.stderr)


class Histories(GetTest):
    segments_wanted = 2

    def push_history(self, timeline, parents="1"):
        fork = (int(self.segments[-1][16:], 16) << 20) + 8000
        text = "".join(f"{parent}\t0/{fork + 8 * index:X}\tx\n"
                       for index, parent in enumerate(parents.split()))
        self.tool("archive-push", put(self.desk / f"{timeline:08X}.history", text.encode()))

    def test_timeline_one_never_has_one(self):
        self.assert_absent("00000001.history")

    def test_none_is_absent_when_nothing_speaks_of_the_timeline(self):
        self.assert_absent("00000002.history")
        self.push_history(2)
        self.assert_given("00000002.history")
        self.assert_absent("00000003.history")

    def test_a_higher_history_proves_that_it_existed(self):
        self.push_history(4)
        for name in ("00000002.history", "00000003.history"):
            self.assert_stops(name, "this history is missing")
        self.assert_absent("00000005.history")

    def test_one_that_was_set_aside_is_in_the_way_of_no_recovery_that_was_told_its_timeline(self):
        for number in (2, 3, 4):
            self.push_history(number)
        data = self.data_copy()
        self.tool("wal-quarantine", "--timeline=3", "--yes")
        for told, absent in (("2", True), ("4", True), ("latest", False), ("current", False)):
            put(data / "postgresql.auto.conf", f"recovery_target_timeline = '{told}'\n".encode())
            with self.subTest(recovery_target_timeline=told):
                if absent:
                    self.assert_absent("00000003.history", data=data)
                else:
                    self.assert_stops("00000003.history", "this history is missing", data=data)
                self.assert_given("00000002.history", data=data)
        # What was lost, and not set aside, is no free number.
        object_of(self.repo, "00000002.history").unlink()
        put(data / "postgresql.auto.conf", b"recovery_target_timeline = '1'\n")
        self.assert_stops("00000002.history", "this history is missing", data=data)
        put(data / "postgresql.auto.conf", b"recovery_target_timeline = '4'\n")
        self.assert_absent("00000002.history", data=data)
        # One that is on the path is needed.
        self.push_history(5, "1 4")
        object_of(self.repo, "00000004.history").unlink()
        put(data / "postgresql.auto.conf", b"recovery_target_timeline = '5'\n")
        self.assert_stops("00000004.history", "this history is missing", data=data)

    def test_wal_of_the_timeline_proves_that_it_existed(self):
        self.push_history(3, "1 2")
        child = "00000003" + self.segments[-1][8:]
        self.tool("archive-push", put(self.desk / child,
                                      content_of(object_of(self.repo, self.segments[-1]))))
        object_of(self.repo, "00000003.history").unlink()

        self.assert_stops("00000002.history", "this history is missing")
        self.assert_stops("00000003.history", "this history is missing")
        self.assert_absent("00000004.history")

    def test_a_damaged_or_swapped_one_stops(self):
        self.push_history(2)
        self.push_history(3, "1 2")
        two, three = (object_of(self.repo, f"0000000{number}.history") for number in (2, 3))
        with changed(two, three):
            one, other = two.read_bytes(), three.read_bytes()
            put(two, other)
            put(three, one)
            self.assert_stops("00000002.history", ".")
            self.assert_stops("00000003.history", ".")
        for offset in range(0, two.stat().st_size, 97):
            with self.subTest(offset=offset), changed(two):
                flip(two, offset)
                self.assert_stops("00000002.history", ".")


class Forks(GetTest):
    """
    The primary goes on on timeline 1 while a copy of it was recovered to an earlier point and is
    on timeline 2; both archive into one repository.
    """

    @classmethod
    def build(cls, world):
        base = ManualRecovery(world, world.cluster)
        world.cluster.fill_segment()
        world.cluster.sql("select pg_create_restore_point('fork')")
        for _ in range(4):
            world.cluster.fill_segment()
        world.cluster.stop()
        copy = base.cluster("copy", world.restore_command(), archive_mode="on",
                            archive_command=world.archive_command(),
                            recovery_target_name="fork", recovery_target_action="promote").start()
        copy.wait_until("select not pg_is_in_recovery()")
        for _ in range(3):
            copy.fill_segment()
        copy.stop()
        names = [name for name in archived(world.repo) if len(name) == 24]
        cls.parent = [name for name in names if name.startswith("00000001")]
        cls.child = [name for name in names if name.startswith("00000002")]
        cls.fork = cls.child[0][8:]
        cls.behind = [name for name in cls.parent if name[8:] > cls.fork]

    def test_the_archive_is_what_these_tests_are_about(self):
        self.assertGreater(len(self.behind), 1)
        self.assertGreater(len(self.child), 2)

    def test_each_path_gives_its_own(self):
        for timeline, own in (("1", self.parent),
                              ("2", self.child + [n for n in self.parent if n[8:] <= self.fork])):
            for name in own:
                with self.subTest(timeline=timeline, name=name):
                    self.assert_given(name, f"--recovery-timeline={timeline}")

    def test_a_parents_segment_behind_the_fork_is_never_handed_out(self):
        for name in self.behind:
            self.assert_stops(name, "does not belong", "--recovery-timeline=2")
        with self.without(self.behind[0]):
            self.assert_stops(self.behind[0], "does not belong", "--recovery-timeline=2")

    def test_the_end_of_each_path_is_absent(self):
        self.assert_absent(self.after(self.child[-1]), "--recovery-timeline=2")
        self.assert_absent(self.after(self.parent[-1]), "--recovery-timeline=1")

    def test_a_childs_missing_first_segment_stops(self):
        with self.without(self.child[0]):
            self.assert_stops(self.child[0], "hole|begins here", "--recovery-timeline=2")
        with self.without(*self.child):
            self.assert_stops(self.child[0], "timeline 2 begins here", "--recovery-timeline=2")
            self.assert_stops(self.child[1], "timeline 2 begins here", "--recovery-timeline=2")

    def test_a_child_that_is_only_in_pg_wal_is_left_to_the_server(self):
        """The tail that restore keeps: the server reads it when the archive has no such file."""
        data = self.data_copy()
        first, second, third = self.child[:3]
        tail = content_of(object_of(self.repo, first))
        wrong = content_of(object_of(self.repo, second))
        options = ("--recovery-timeline=2",)
        with self.without(*self.child):
            self.assert_stops(first, "begins here", *options, data=data)
            put(data / "pg_wal" / first, wrong)
            self.assert_stops(first, "begins here", *options, data=data)
            put(data / "pg_wal" / first, tail)
            self.assert_absent(first, *options, data=data)
            self.assert_absent(second, *options, data=data)
            self.assert_stops(third, "begins here", *options, data=data)
            self.assert_stops(first, "begins here", *options)
        with self.without(first):
            # Whole, and never archived: no hole for the server, which reads it there.
            self.assert_absent(first, *options, data=data)
            put(data / "pg_wal" / "archive_status" / f"{first}.done", b"")
            self.assert_stops(first, "hole|begins here", *options, data=data)
        # Nobody can say that timeline 2 exists but pg_wal, which the server asks next.
        history = content_of(object_of(self.repo, "00000002.history"))
        with self.without("00000002.history", *self.child):
            put(data / "pg_wal" / "00000002.history", history)
            self.assert_absent("00000002.history", *options, data=data)
            self.assert_absent(first, data=data)

    def test_the_last_of_the_parent_missing_is_a_hole_on_the_childs_path(self):
        last = max(name for name in self.parent if name[8:] < self.fork)
        with self.without(last):
            self.assert_stops(last, "hole", "--recovery-timeline=2")

    def test_a_childs_missing_history_stops(self):
        with self.without("00000002.history"):
            self.assert_stops("00000002.history", "this history is missing")
            self.assert_stops(self.behind[0], "history of timeline 2", "--recovery-timeline=2")
            self.assert_stops(self.after(self.child[-1]), "history of timeline 2",
                              "--recovery-timeline=2")

    def test_without_a_pin_the_settings_of_the_data_directory_say_the_path(self):
        data = self.data_copy()  # on timeline 1
        behind = self.behind[0]
        # latest, the default, is timeline 2
        self.assert_stops(behind, "does not belong", data=data)
        for value, given in {"latest": False, "current": True, "1": True, "2": False,
                             "0x2": False}.items():
            with self.subTest(recovery_target_timeline=value):
                put(data / "postgresql.auto.conf",
                    f"recovery_target_timeline = '{value}'\n".encode())
                if given:
                    self.assert_given(behind, data=data)
                else:
                    self.assert_stops(behind, "does not belong", data=data)
                self.assert_given(self.parent[0], data=data)

    def test_another_clusters_data_directory_stops(self):
        stranger = self.server("stranger").create(segment_mb=1)
        self.assert_stops(self.parent[0], "system identifier", data=stranger.data)


class Promoting(GetTest):
    """A server that opens has removed its signal files, and must not be stopped any more."""

    segments_wanted = 1

    def setUp(self):
        super().setUp()
        self.data = self.data_copy()
        self.nowhere = self.path / "nowhere"
        for number in (2, 3):
            put(self.data / "pg_wal" / f"0000000{number}.history", f"{number - 1}\t0/5000000\tx\n".encode())

    def status(self, name, target="pg_wal/RECOVERYHISTORY", repo=None):
        done = self.attempt("archive-get", "--retries=0", "--hole-wait=0s", name, target,
                            repo=repo or self.nowhere, cwd=self.data)
        return done.returncode

    def test_of_timeline_1_nothing_need_be_known(self):
        for signal_file in (None, "recovery.signal"):
            with self.subTest(signal_file=signal_file):
                if signal_file:
                    put(self.data / signal_file, b"")
                self.assertEqual(self.status("00000001.history"), 1)

    def test_its_copy_in_pg_wal_will_do(self):
        self.assertEqual(self.status("00000003.history"), 1)
        flip(object_of(self.repo, self.segments[0]), 300)
        self.tool("archive-push", self.data / "pg_wal" / "00000003.history")
        flip(object_of(self.repo, "00000003.history"), -1)
        self.assertEqual(self.status("00000003.history", repo=self.repo), 1)

    def test_without_one_or_for_anybody_else_it_stops(self):
        self.assertEqual(self.status("00000004.history"), 255)
        self.assertEqual(self.status("00000003.history", "pg_wal/00000003.history.new"), 255)
        self.assertEqual(self.status(self.segments[0]), 255)
        put(self.data / "recovery.signal", b"")
        self.assertEqual(self.status("00000003.history"), 255)


class Planned(GetTest):
    """What restore has seen of the archive, for a recovery without a target."""

    segments_wanted = 4

    def setUp(self):
        super().setUp()
        self.data = self.data_copy()
        put(self.data / "postgresql.auto.conf", b"recovery_target_timeline = '1'\n")
        self.plan(self.segments[2])

    def plan(self, archive_end, settings="recovery_target_timeline=1"):
        put(self.data / "pgcairn.recovery", record("recovery", timeline=1, bound="", archive_end=archive_end,
                                                   settings=settings))

    def test_an_archive_that_had_more_has_not_come_to_its_end(self):
        with self.without(*self.segments[1:]):
            self.assert_stops(self.segments[1], "when this recovery was planned", data=self.data)
            self.assert_stops(self.segments[2], "when this recovery was planned", data=self.data)
            self.assert_absent(self.segments[3], data=self.data)
            self.assert_absent(self.segments[1])  # nobody told it of a plan
        shutil.rmtree(self.repo / "main" / "wal")
        self.assert_stops(self.segments[0], "when this recovery was planned", data=self.data)

    def test_it_says_nothing_of_another_recovery_or_when_it_makes_no_sense(self):
        settings = "recovery_target_timeline=1"
        with self.without(*self.segments[1:]):
            for archive_end, told in (("", settings), ("rubbish", settings), ("00000002.history", settings),
                                      (self.segments[2], "recovery_target_timeline=2")):
                with self.subTest(archive_end=archive_end, settings=told):
                    self.plan(archive_end, told)
                    self.assert_absent(self.segments[1], data=self.data)


class Bound(GetTest):
    """What restore leaves for archive-get: the last segment that the target needs."""

    segments_wanted = 7

    def setUp(self):
        super().setUp()
        self.data = self.data_copy()
        self.bound = self.segments[3]
        self.set_targets("recovery_target_lsn = '0/5000000'", "recovery_target_timeline = '1'",
                      "recovery_target_action = 'shutdown'")
        self.plan("recovery_target_lsn=0/5000000\nrecovery_target_timeline=1")

    def set_targets(self, *lines):
        put(self.data / "postgresql.auto.conf", "\n".join(lines).encode() + b"\n")

    def plan(self, settings, bound=None):
        put(self.data / "pgcairn.recovery",
            record("recovery", timeline=1, bound=self.bound if bound is None else bound,
                   settings=settings))

    def test_a_hole_behind_the_bound_is_none(self):
        with self.without(self.segments[4], self.segments[2]):
            self.assert_absent(self.segments[4], data=self.data)
            self.assert_given(self.segments[5], data=self.data)
            self.assert_stops(self.segments[2], "hole", data=self.data)
            self.assert_stops(self.segments[4], "hole")

    def test_damage_behind_the_bound_is_not_in_the_way(self):
        for name in (self.segments[3], self.segments[4]):
            flip(object_of(self.repo, name), 300)
        self.assert_absent(self.segments[4], data=self.data)
        self.assert_stops(self.segments[3], ".", data=self.data)

    def test_an_outage_stops_all_the_same(self):
        self.assert_stops(self.segments[4], ".", data=self.data, repo=self.path / "nowhere")

    def test_other_settings_than_those_of_the_plan_void_it(self):
        other = [
            ["recovery_target_lsn = '0/6000000'", "recovery_target_timeline = '1'"],
            ["recovery_target_lsn = '0/5000000'"],
            ["recovery_target_lsn = '0/5000000'", "recovery_target_timeline = 'latest'"],
            ["recovery_target_lsn = '0/5000000'", "recovery_target_timeline = '1'",
             "recovery_target_inclusive = 'off'"],
            ["recovery_target_lsn = '0/5000000'", "recovery_target_timeline = '1'",
             "recovery_target_lsn = ''"],
            ["recovery_target_time = '2030-01-01'", "recovery_target_timeline = '1'"],
            [],
        ]
        with self.without(self.segments[4]):
            for lines in other:
                with self.subTest(settings=lines):
                    self.set_targets(*lines)
                    self.assert_stops(self.segments[4], "hole", data=self.data)

    def test_settings_that_say_the_same_keep_it(self):
        with self.without(self.segments[4]):
            for lines in (
                    ["RECOVERY_TARGET_TIMELINE=1", "recovery_target_lsn='0/5000000' # comment"],
                    ["recovery_target_lsn = '0/7'", "recovery_target_timeline = 1",
                     "recovery_target_action = pause", "recovery_target_lsn = '0/5000000'"]):
                with self.subTest(settings=lines):
                    self.set_targets(*lines)
                    self.assert_absent(self.segments[4], data=self.data)

    def test_a_plan_without_a_target_bounds_nothing(self):
        self.set_targets("recovery_target_timeline = '1'")
        self.plan("recovery_target_timeline=1")
        with self.without(self.segments[4]):
            self.assert_stops(self.segments[4], "hole", data=self.data)

    def test_a_plan_of_another_timeline_bounds_nothing(self):
        with self.without(self.segments[4]):
            self.assert_absent(self.segments[4], "--recovery-timeline=1", data=self.data)
            fork = (int(self.segments[-1][16:], 16) << 20) + 8000
            self.tool("archive-push", put(self.desk / "00000002.history",
                                          f"1\t0/{fork:X}\tx\n".encode()))
            self.assert_stops(self.segments[4], "hole", "--recovery-timeline=2", data=self.data)

    def test_a_damaged_or_senseless_plan_bounds_nothing(self):
        good = (self.data / "pgcairn.recovery").read_bytes()
        settings = "recovery_target_lsn=0/5000000\nrecovery_target_timeline=1"
        with self.without(self.segments[4]):
            put(self.data / "pgcairn.recovery", good.replace(self.bound.encode(), b"0" * 23 + b"1"))
            self.assert_stops(self.segments[4], "hole", data=self.data)
            for bound in ("", "rubbish", "00000002.history"):
                with self.subTest(bound=bound):
                    self.plan(settings, bound)
                    self.assert_stops(self.segments[4], "hole", data=self.data)

    def test_a_target_on_the_servers_command_line_voids_it(self):
        opts = self.data / "postmaster.opts"
        with self.without(self.segments[4]):
            put(opts, b'/usr/bin/postgres "-D" "/x" "-c" "recovery_target_action=pause"\n')
            self.assert_absent(self.segments[4], data=self.data)
            put(opts, b'/usr/bin/postgres "-D" "/x" "-c" "recovery_target_time=2030-01-01"\n')
            self.assert_stops(self.segments[4], "hole", data=self.data)


if __name__ == "__main__":
    unittest.main()
