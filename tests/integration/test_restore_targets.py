"""Every kind of recovery target on a real server, from both sides: what belongs there is there, what
does not is not. The truth is the client's file of acknowledged commits."""

import json
import re
import time

from support.oracle import Oracle, assert_content, check_structure, verify_backup
from support.processes import BIN, run, wait_for
from support.shared import SharedClusterTest
from support.version import REPLAY_IS_PAUSED


def utc(instant):
    """An operator's time, with its zone, to the microsecond."""
    whole = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(int(instant)))
    return f"{whole}.{int(instant * 1000000) % 1000000:06d}+00"


class Moment:
    """Something that happened at the server between two readings of our clock."""

    def __init__(self, action):
        self.begin = time.time()
        self.value = action()
        self.end = time.time()


class RestoreTargetTest(SharedClusterTest):
    """A backup under load, then a restore point, a time, an LSN and a transaction; load all along."""

    @classmethod
    def set_up_shared(cls, world):
        cluster = world.cluster
        with Oracle(cluster, world.path / "commits", writers=2, pause_s=0.005) as oracle:
            oracle.wait_commits(20)
            cls.backup = world.tool_json("backup", f"--data={cluster.data}",
                                         "--checkpoint=fast")["backup"]
            oracle.wait_commits(20)
            cls.point = Moment(lambda: cluster.sql("select pg_create_restore_point('the point')"))
            oracle.wait_commits(20)
            cls.lsn = Moment(lambda: cluster.sql("select pg_current_wal_insert_lsn()"))
            oracle.wait_commits(20)
            cls.instant = time.time()
            oracle.wait_commits(20)
            cls.again = Moment(lambda: cluster.sql("select pg_create_restore_point('the point')"))
            cls.held = cls.drop(cluster, "held", "select pg_sleep(0.3)")
            cluster.switch_wal()
            oracle.wait_commits(20)
        # The commits of several clients need not stand in the WAL in the order of their times; those
        # of one client do.
        with Oracle(cluster, world.path / "commits", writers=1, pause_s=0.005,
                    first_number=1000000) as alone:
            alone.wait_commits(10)
        cls.alone = alone.commits[5]
        oracle.commits += alone.commits
        oracle.sent |= alone.sent
        cls.oracle = oracle
        cls.gone = cls.drop(cluster, "gone")
        cluster.switch_wal()
        cluster.stop()

    @staticmethod
    def drop(cluster, table, *meanwhile):
        """The number of the transaction that drops this new table."""
        cluster.sql(f"create table {table} as select 1 as n")
        statements = ["begin", f"drop table {table}", "select 'xid', txid_current()", *meanwhile, "commit"]
        # One by one: until 14 psql shows the last answer of a string of statements only.
        said = run(*cluster.psql(), *(word for one in statements for word in ("-c", one)))
        return re.search(r"xid\|(\d+)", said)[1]

    def assert_between(self, restored, begin, end):
        """All that was acknowledged before `begin`, nothing that was sent after `end`."""
        must = {c.number for c in self.oracle.commits if c.acknowledged < begin}
        may = {c.number for c in self.oracle.commits if c.sent <= end}
        self.assertTrue(must and len(may) < len(self.oracle.commits), "the test decides nothing")
        assert_content(restored, must, may)

    def reach(self, *target, state="paused", name="restored"):
        # As a copy: what one test promotes must not give the next one another timeline.
        restored = self.restore("--start", "--as-copy", *target, name=name)
        self.assertEqual(restored.answer["state"], state)
        self.assertTrue(restored.answer["verified"])
        self.assertEqual(restored.answer["reached_lsn"], restored.answer["replay_end_lsn"])
        return restored


class Time(RestoreTargetTest):
    def test_all_that_was_committed_until_then_and_nothing_later(self):
        restored = self.reach(f"--target-time={utc(self.instant)}")
        must, may = self.oracle.at(self.instant)
        assert_content(restored, must, may)
        check_paused(self, restored)

    def test_exclusive_leaves_out_the_commit_of_that_very_microsecond(self):
        kind = "--jobs=3"  # no other test measures that
        plan = self.restore(f"--target-time={utc(self.alone.acknowledged)}", "--dry-run", kind,
                            name="plan").answer
        self.assertIsNone(plan["estimate"])
        last = plan["last_before"]
        self.assertEqual(last["xid"], self.alone.xid)
        number = self.alone.number
        target = f"--target-time={last['time_exact']}"

        with_it = self.reach(target, kind)
        self.assertEqual(with_it.answer["last_before"]["xid"], last["xid"])
        self.assertEqual(count(with_it, number), "1")
        with_it.stop()
        without_it = self.reach(target, "--target-exclusive", kind, name="without")
        # The first one was measured, phase by phase: that is what the second is expected to take.
        estimate = without_it.answer["estimate"]
        self.assertEqual([estimate["restores"], estimate["p90_s"], estimate["is_beyond_measured"]],
                         [1, None, False])
        self.assertEqual(list(estimate["phases"]), ["plan_s", "files_s", "sync_s", "start_s", "replay_s",
                                                    "checkpoint_s", "second_start_s"])
        self.assertAlmostEqual(estimate["p50_s"], with_it.answer["elapsed_s"],
                               delta=0.2 * with_it.answer["elapsed_s"] + 0.1)
        self.assertEqual(without_it.answer["first_after"]["xid"], last["xid"])
        self.assertEqual(count(without_it, number), "0")
        others = {int(n) for n in without_it.sql("select number from oracle").split()}
        self.assertEqual({c.number for c in self.oracle.commits
                          if c.acknowledged < self.alone.sent}, others)


class Advance(RestoreTargetTest):
    """The target of a recovery that stands at one is moved on."""

    def advance(self, restored, *options, expect=0):
        done = self.attempt("advance", f"--data={restored.data}", *options,
                            environment={"PGPORT": restored.port})
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr + restored.log_tail())
        return done

    def test_a_recovery_goes_on_to_a_later_target_and_never_back(self):
        first, position = "--target-name=the point", f"--target-lsn={self.lsn.value}"
        restored = self.reach(first, "--target-action=pause")
        before = restored.answer["reached_lsn"]

        # Refused, and nothing is changed: no target, its own one, one from before, an unknown one.
        self.assertIn("needs a target", self.advance(restored, expect=2).stderr)
        said = self.advance(restored, first, expect=4).stderr
        self.assertIn(f"and {before} was replayed already", said)
        self.advance(restored, "--target-name=no such point", expect=6)
        self.advance(restored, "--target=immediate", expect=2)
        plan = json.loads(self.advance(restored, position, "--dry-run", "--json").stdout)
        self.assertEqual([plan["replayed_lsn"], plan["opens"]], [before, False])
        self.assertEqual(restored.sql("select pg_last_wal_replay_lsn()"), before)

        told = self.advance(restored, position)
        self.assertIn(f"goes on to   {plan['target_lsn']} on timeline 1", told.stdout)
        self.assertIn("recovery: paused\n", told.stdout)
        self.assertEqual(restored.sql("select pg_last_wal_replay_lsn()"), plan["target_lsn"])
        self.assert_between(restored, self.lsn.begin, self.again.begin)

        # Down, as after `--target-action=shutdown` or a reboot; and to a time.
        restored.stop()
        ends = [json.loads(line) for line in
                self.advance(restored, f"--target-time={utc(self.instant)}", "--json").stdout.splitlines()]
        self.assertEqual([ends[-1]["state"], ends[-1]["end"]], ["paused", True])
        assert_content(restored, *self.oracle.at(self.instant))

        # What is there after the last target opens it, and nothing more is to be moved.
        self.assertIn("recovery: open\n", self.advance(restored, "--target=latest").stdout)
        assert_content(restored, {commit.number for commit in self.oracle.commits})
        self.assertFalse((restored.data / "pgcairn.recovery").exists())
        self.assertNotIn("recovery_target", (restored.data / "postgresql.auto.conf").read_text("utf-8"))
        self.advance(restored, position, expect=4)
        check_structure(restored)


class Transaction(RestoreTargetTest):
    def chosen(self):
        after = [c for c in self.oracle.commits if c.sent > self.lsn.end]
        return after[len(after) // 2]

    def test_inclusive_ends_behind_its_commit(self):
        commit = self.chosen()
        restored = self.reach(f"--target-xid={commit.xid}")
        self.assert_between(restored, commit.sent, commit.acknowledged)
        self.assertEqual(count(restored, commit.number), "1")

    def test_exclusive_ends_before_its_commit(self):
        commit = self.chosen()
        restored = self.reach(f"--target-xid={commit.xid}", "--target-exclusive")
        self.assert_between(restored, commit.sent, commit.acknowledged)
        self.assertEqual(count(restored, commit.number), "0")


    def test_before_a_drop_its_table_can_be_read(self):
        restored = self.reach(f"--target-xid={self.gone}", "--target-exclusive")
        self.assertIsNone(restored.answer["locked"])
        self.assertEqual(restored.sql("set lock_timeout = '20s'; select n from gone"), "1")
        every = {c.number for c in self.oracle.commits}
        assert_content(restored, every, every)

    def test_what_is_locked_at_the_target_is_named(self):
        restored = self.reach(f"--target-xid={self.held}", "--target-exclusive")
        self.assertEqual(restored.answer["locked"], "held in database postgres")
        self.assertEqual(restored.sql("select relation::regclass from pg_locks where granted and "
                                      "locktype = 'relation' and mode = 'AccessExclusiveLock'"),
                         "held")


class Position(RestoreTargetTest):
    @classmethod
    def set_up_shared(cls, world):
        super().set_up_shared(world)
        cls.shutdown = world.cluster.control()["Latest checkpoint location"]
        world.cluster.start().sql("create table later (n int)")
        world.cluster.switch_wal()
        world.cluster.stop()

    def test_a_checkpoint_of_a_shutdown_is_the_last_record_also_of_the_second_start(self):
        for action, state in (("pause", "paused"), ("promote", "open")):
            with self.subTest(action=action):
                restored = self.reach(f"--target-lsn={self.shutdown}", f"--target-action={action}", state=state,
                                      name=f"to-{action}")
                assert_content(restored, {commit.number for commit in self.oracle.commits})
                self.assertEqual(restored.sql("select to_regclass('later') is null"), "t")
                restored.destroy()

    def test_an_lsn_exclusive_is_all_before_it(self):
        restored = self.reach(f"--target-lsn={self.lsn.value}", "--target-exclusive")
        self.assert_between(restored, self.lsn.begin, self.lsn.end)

    def test_an_lsn_inclusive_has_one_record_more(self):
        before = self.restore(f"--target-lsn={self.lsn.value}", "--target-exclusive", "--dry-run",
                              name="plan")
        restored = self.reach(f"--target-lsn={self.lsn.value}")
        self.assertNotEqual(restored.answer["reached_lsn"], before.answer["replay_end_lsn"])
        self.assert_between(restored, self.lsn.begin, self.again.begin)

    def test_the_first_restore_point_of_a_name_counts(self):
        restored = self.reach("--target-name=the point")
        self.assert_between(restored, self.point.begin, self.point.end)


class Ends(RestoreTargetTest):
    def test_immediate_is_the_end_of_the_backup(self):
        restored = self.reach("--target=immediate", "--target-action=promote", state="open")
        numbers = {int(n) for n in restored.sql("select number from oracle").split()}
        self.assertLess(len(numbers), len(self.oracle.commits))
        must = {c.number for c in self.oracle.commits[:20]}
        self.assertTrue(must <= numbers)
        check_structure(restored)

    def test_latest_is_every_commit_that_was_acknowledged(self):
        restored = self.restore("--start", "--as-copy")
        self.assertEqual(restored.answer["state"], "open")
        self.assertTrue(restored.answer["verified"])
        self.assertEqual(restored.answer["new_timeline"], 2)
        assert_content(restored, self.oracle.numbers(), self.oracle.in_doubt())
        check_structure(restored)
        self.assertNotIn("recovery", settings_of(restored))

    def test_a_time_after_the_last_commit_takes_the_end_of_the_archive_and_says_so(self):
        restored = self.reach(f"--target-time={utc(time.time())}")
        self.assertTrue(restored.answer["takes_archive_end"])
        assert_content(restored, self.oracle.numbers(), self.oracle.in_doubt())


class Action(RestoreTargetTest):
    def target(self):
        return f"--target-time={utc(self.instant)}"

    def test_promote_opens_at_the_target(self):
        restored = self.reach(self.target(), "--target-action=promote", state="open")
        must, may = self.oracle.at(self.instant)
        assert_content(restored, must, may)
        self.assertEqual(restored.sql("select pg_is_in_recovery()"), "f")
        restored.sql("create table written_after_promotion (x int)")
        self.assertNotIn("recovery", settings_of(restored))
        check_structure(restored)

    def test_shutdown_leaves_it_stopped_at_the_target(self):
        restored = self.reach(self.target(), "--target-action=shutdown", state="target reached")
        self.assertIsNone(restored.pid())
        self.assertEqual(restored.control()["Database cluster state"], "shut down in recovery")
        self.assertEqual(restored.control()["Minimum recovery ending location"],
                         restored.answer["reached_lsn"])

    def test_without_start_the_directory_passes_pg_verifybackup_and_recovers_by_itself(self):
        restored = self.restore(self.target())
        self.assertIsNone(restored.pid())
        verify_backup(restored.data)
        self.assertFalse((restored.data / "pgcairn.restore").exists())
        restored.start()
        wait_for(lambda: restored.sql(f"select {REPLAY_IS_PAUSED}") == "t",
                 "the server pauses")
        must, may = self.oracle.at(self.instant)
        assert_content(restored, must, may)
        # Whoever stops it there and starts it again finds it at the same place, and is told so.
        where = (f"--data={restored.data}", f"--conninfo={restored.conninfo()}")
        self.tool("watch", *where)
        reached = restored.sql("select pg_last_wal_replay_lsn()")
        restored.stop()
        restored.start()
        wait_for(lambda: restored.sql(f"select {REPLAY_IS_PAUSED}") == "t", "the server pauses again")
        self.assertIn(f"replayed to  {reached} ", self.tool("watch", *where))

    def test_what_opened_by_itself_is_rid_of_its_settings_by_promote(self):
        restored = self.restore("--as-copy")
        restored.start()
        restored.wait_until("select not pg_is_in_recovery()")
        self.assertIn("restore_command", settings_of(restored))
        where = (f"--data={restored.data}", f"--conninfo={restored.conninfo()}")
        self.assertIn("is open on timeline", self.tool("promote", *where))
        self.assertNotIn("restore_command", settings_of(restored))
        self.assertFalse((restored.data / "pgcairn.recovery").exists())
        self.tool_fails(4, "open already", "promote", *where)


class Elsewhere(RestoreTargetTest):
    """A server that ends somewhere else than it was told to, by its own account all in order."""

    def programs(self, name, edit):
        """The server's programs; `postgres` changes its settings by sed before it starts."""
        folder = self.path / name
        folder.mkdir()
        for program in BIN.iterdir():
            (folder / program.name).symlink_to(program)
        (folder / "postgres").unlink()
        (folder / "postgres").write_text(
            f"#!/bin/sh\n[ \"$1\" = --version ] || sed -i \"{edit}\" postgresql.auto.conf || exit 99\n"
            f"exec {BIN}/postgres \"$@\"\n", encoding="utf-8")
        (folder / "postgres").chmod(0o755)
        folder.chmod(0o755)
        return folder

    def fail(self, name, edit, *target):
        programs = self.programs(f"{name}-bin", edit)
        restored = self.restore("--start", "--as-copy", f"--pg-bin={programs}", *target, name=name,
                                expect=13)
        self.assertFalse((restored.answer or {}).get("verified"), restored.answer)
        return restored

    def test_stopping_before_or_behind_the_target_is_a_failure_and_nothing_is_opened(self):
        for name, other in (("before", self.point.value), ("behind", self.again.value)):
            with self.subTest(name):
                edit = f"s,^recovery_target_lsn .*,recovery_target_lsn = '{other}',"
                restored = self.fail(name, edit, f"--target-lsn={self.lsn.value}", "--target-exclusive",
                                     "--target-action=promote")
                self.assertIsNone(restored.pid())
                self.assertEqual(restored.control()["Database cluster state"], "shut down in recovery")

    def test_a_second_start_that_pauses_behind_the_verified_target_is_a_failure(self):
        # Only the second start is to pause, so only then the target is moved.
        edit = (":a;N;\\$!ba;/recovery_target_action = 'pause'/s,recovery_target_lsn = '[^']*',"
                f"recovery_target_lsn = '{self.again.value}',")
        restored = self.fail("second", edit, f"--target-lsn={self.lsn.value}")
        self.assertRegex(restored.said, "the server paused at .*, the target is at")
        self.assertEqual(restored.sql("select pg_is_in_recovery()"), "t")

    def test_opening_before_the_end_of_the_archive_is_a_failure(self):
        edit = r"\$ a recovery_target = 'immediate'\nrecovery_target_action = 'promote'"
        restored = self.fail("early", edit)
        self.assertIn("the server opened at", restored.said)


def count(restored, number):
    return restored.sql(f"select count(*) from oracle where number = {number}")


def settings_of(cluster):
    return (cluster.data / "postgresql.auto.conf").read_text(encoding="utf-8")


def check_paused(test, restored):
    test.assertEqual(restored.sql("select pg_is_in_recovery()"), "t")
    test.assertEqual(restored.sql(f"select {REPLAY_IS_PAUSED}"), "t")
