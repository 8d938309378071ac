"""Real servers recover from what is fetched ahead, whatever becomes of those who fetch."""

import os
import shutil
import signal

from support.archive import archived, changed, flip, object_of, put
from support.cluster import ArchiveTest, ManualRecovery
from support.oracle import Oracle, assert_content, check_structure
from support.prefetch import FETCHED, POINTS, TAKEN, fetchers
from support.processes import TOOL, is_alive, run, state_and_parent, wait_for


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
