"""Two histories in one archive: which one a restore follows, and what is said of the other."""

import re
import time

from support.cluster import ClusterTest
from support.shared import SharedClusterTest

COPY = ("--as-copy", "--start", "--target-action=promote")
CRITICAL = 2


def rows(server):
    return [int(line) for line in server.sql("select n from t order by n").split()]


def insert(server, *numbers):
    """Each in a transaction of its own; the last one's xid."""
    for number in numbers:
        xid = server.sql(f"insert into t values ({number}) returning pg_current_xact_id()")
    return int(xid)


def clock(server):
    """An instant between what was committed before and what comes."""
    instant = server.sql("select clock_timestamp() from pg_sleep(0.02)").strip()
    time.sleep(0.02)
    return instant


def options_of(done):
    """What the hint of a refusal says can be typed."""
    return re.findall(r"--target-timeline=\d+", done.stderr)


class TooEarlyAtFirst(SharedClusterTest):
    """
    Somebody restored in place to an instant that was too early, opened it, and it was used. Timeline 1
    has 4, 5 and 6 beyond the place, timeline 2 has 101 and 102.
    """

    @classmethod
    def set_up_shared(cls, world):
        server = world.cluster
        server.sql("create table t (n int)")
        world.tool("backup", f"--data={server.data}")
        insert(server, 1, 2, 3)
        cls.third = clock(server)
        insert(server, 4, 5)
        cls.fifth = clock(server)
        cls.xid = insert(server, 6)
        server.sql("select pg_create_restore_point('on 1')")
        server.switch_wal()
        server.stop()
        world.tool("restore", f"--data={server.data}", f"--target-time={cls.third}", "--move-aside", *COPY[1:])
        cls.later = insert(server, 101, 102)
        server.sql("select pg_create_restore_point('on 2')")
        server.switch_wal()

    def dry_run(self, *arguments):
        return self.restore("--dry-run", *arguments, name=f"none{arguments}").answer

    def refused(self, message, *arguments):
        return self.tool_fails(4, message, "restore", f"--data={self.path}/none", *arguments)

    def test_the_newest_is_followed_and_what_the_other_has_is_told(self):
        plan = self.dry_run()
        self.assertEqual(plan["timeline"], 2)
        other, = plan["other_branches"]
        self.assertEqual((other["timeline"], other["commits"]), (1, 3))
        self.assertIn("not in it  timeline 1 ", self.tool("restore", f"--data={self.path}/none", "--dry-run"))
        self.assertEqual(rows(self.restore(*COPY)), [1, 2, 3, 101, 102])

    def test_an_instant_that_was_given_up_is_reached_as_the_refusal_says(self):
        done = self.refused("lies on timeline 1, beyond", f"--target-time={self.fifth}")
        self.assertEqual(options_of(done), ["--target-timeline=1"])
        server = self.restore(f"--target-time={self.fifth}", *options_of(done), *COPY)
        self.assertEqual(rows(server), [1, 2, 3, 4, 5])
        self.assertEqual([branch["timeline"] for branch in server.answer["other_branches"]], [2])

    def test_what_a_restore_has_put_there_says_nothing_of_a_branch(self):
        place = f"--data={self.path}/killed"
        for how in ([], ["--move-aside"]):  # ... what the first one has begun
            self.attempt("restore", place, *how, environment={"PGCAIRN_FAULT": "restore.before-control:crash"})
            self.assertTrue(list((self.path / "killed/pg_wal").glob("00000001*")))
            answer = self.tool_json("restore", place, *how, "--dry-run")
            self.assertEqual((answer["timeline"], answer["directory"]), (2, None))
        self.tool("restore", place)
        # Nobody has opened it, nor the next one: nothing was committed there.
        self.assertEqual(self.tool_json("restore", place, "--force", "--dry-run")["timeline"], 2)
        looked = self.restore(f"--target-time={self.third}", "--target-timeline=1", *COPY[:2])
        looked.stop()
        self.assertTrue((looked.data / "recovery.signal").exists())
        self.assertEqual(self.tool_json("restore", f"--data={looked.data}", "--force", "--dry-run")["timeline"], 2)

    def test_what_is_before_the_fork_needs_no_choice(self):
        plan = self.dry_run(f"--target-time={self.third}")
        self.assertEqual(plan["other_branches"], [])
        self.assertEqual(plan["last_before"]["lsn"], self.dry_run(
            f"--target-time={self.third}", "--target-timeline=1")["last_before"]["lsn"])

    def test_a_name_or_transaction_is_found_where_it_is(self):
        self.refused("lies on timeline 1, beyond", "--target-name=on 1")
        self.assertEqual(self.dry_run("--target-name=on 2")["timeline"], 2)
        # Both timelines give out the numbers that follow.
        both = self.refused("is on timeline 2, and another one on timeline 1", f"--target-xid={self.later}")
        self.assertEqual(sorted(options_of(both)), ["--target-timeline=1", "--target-timeline=2"])
        for option, rest in zip(sorted(options_of(both)), ("first", "second")):
            with self.subTest(rest=rest):
                self.assertEqual(self.dry_run(f"--target-xid={self.later}", option)["last_before"]["xid"], self.later)

    def test_a_timeline_that_is_not_there(self):
        self.tool_fails(6, "there is no timeline 7; there are 1, 2\n", "restore", f"--data={self.path}/none",
                        "--target-timeline=7")

    def test_list_tells_both(self):
        answer = self.tool_json("list")
        self.assertEqual((answer["newest_timeline"], answer["restore_is_ambiguous"]), (2, False))
        first, second = answer["branches"]
        self.assertEqual((first["timeline"], first["commits_beyond"], first["last_commit_xid"]), (1, 3, self.xid))
        self.assertEqual((second["timeline"], second["parent"], second["last_commit_xid"]), (2, 1, self.later))
        self.assertEqual(first["parts_lsn"], second["begin_lsn"])
        self.assertIn("More than one history", self.tool("list"))


class Stray(ClusterTest):
    """A test restore was opened beside production and archives, too; production goes on."""

    segment_mb = 1

    def assert_asked_when_started_by_hand(self):
        """A server that nobody's plan leads follows the newest timeline, whoever began that."""
        data = self.path / "by-hand"
        self.tool("restore", f"--data={data}", "--as-copy", "--target-timeline=1")
        (data / "pgcairn.recovery").unlink()
        settings = data / "postgresql.auto.conf"
        plain = "".join(line for line in settings.read_text().splitlines(True)
                        if not line.startswith("recovery_target_timeline"))
        file = data / "pg_wal" / "RECOVERYHISTORY"
        for value, status in (("", 255), ("latest", 255), ("1", 0), ("2", 0), ("current", 0)):
            with self.subTest(recovery_target_timeline=value):
                settings.write_text(plain + (f"recovery_target_timeline = '{value}'\n" if value else ""))
                done = self.attempt("archive-get", f"--data={data}", "00000002.history", file)
                self.assertEqual(done.returncode, status, done.stderr)
                self.assertEqual("recovery_target_timeline = '1' or '2'" in done.stderr, status == 255)

    def test_production_is_not_hidden(self):
        self.cluster.sql("create table t (n int)")
        self.tool("backup", f"--data={self.cluster.data}")
        insert(self.cluster, 1, 2)
        early = clock(self.cluster)
        insert(self.cluster, 3)
        self.cluster.switch_wal()
        stray = self.restore(f"--target-time={early}", "--target-action=promote", name="stray")
        insert(stray, 1000)
        stray.switch_wal()
        stray.stop()
        insert(self.cluster, 4)
        between = clock(self.cluster)
        insert(self.cluster, 5)
        self.cluster.switch_wal()

        status = self.tool("status", f"--data={self.cluster.data}", expect=CRITICAL)
        self.assertIn("would not follow the server's timeline 1 but timeline 2", status)
        self.assertNotIn("every commit is in the repository", status)
        self.assertIn("timeline 1 has what timeline 2, the newest, lacks", self.tool("verify"))
        self.assertTrue(self.tool_json("list")["restore_is_ambiguous"])
        for target in ([], [f"--target-time={between}"]):
            done = self.tool_fails(4, "timeline 1 has later commits", "restore", f"--data={self.path}/none", *target)
            self.assertEqual(options_of(done), ["--target-timeline=1", "--target-timeline=2"])
        production = self.restore("--as-copy", "--target-timeline=1", name="production", port=5434)
        self.assertEqual(rows(production), [1, 2, 3, 4, 5])
        self.assert_asked_when_started_by_hand()

        # Either can be set aside; what both have is not counted as lost. Then nothing is to be asked.
        self.assertEqual(self.tool_json("wal-quarantine", "--beyond-fork=2")["commits"], 3)
        done = self.tool_json("wal-quarantine", "--timeline=2", "--yes")
        self.assertEqual([done["commits"], done["histories"]], [1, 1])
        self.assertIn("every commit is in the repository",
                      self.attempt("status", f"--data={self.cluster.data}").stdout)
        self.assertFalse(self.tool_json("list")["restore_is_ambiguous"])
        self.tool("restore", f"--data={self.path}/none", f"--target-time={between}", "--dry-run")


class TwoForksAtOnePlace(ClusterTest):
    """
    The second attempt was started by hand along the first one's timeline, to the very place where that
    began: its history names the place twice.
    """

    segment_mb = 1

    def test_a_second_attempt_is_not_in_the_way_of_restores(self):
        self.cluster.sql("create table t (n int)")
        self.tool("backup", f"--data={self.cluster.data}")
        insert(self.cluster, 1)
        place = self.cluster.sql("select pg_current_wal_insert_lsn()")
        insert(self.cluster, 2)
        self.cluster.switch_wal()
        self.cluster.stop()
        first = self.restore(f"--target-lsn={place}", "--target-exclusive", "--target-action=promote", name="first")
        insert(first, 100)
        first.switch_wal()
        first.stop()
        second = self.restored("second", port=5434)
        self.tool("restore", f"--data={second.data}", "--target-timeline=2")
        conf = second.data / "postgresql.auto.conf"
        lines = [line for line in conf.read_text(encoding="utf-8").splitlines()
                 if not re.match(r"recovery_target\w* = ''", line)]
        conf.write_text("\n".join([*lines, f"recovery_target_lsn = '{place}'", "recovery_target_inclusive = off",
                                   "recovery_target_action = promote", ""]), encoding="utf-8")
        second.start()
        second.wait_until("select not pg_is_in_recovery()")
        insert(second, 200)
        second.switch_wal()
        history = (second.data / "pg_wal" / "00000003.history").read_text(encoding="utf-8")
        self.assertEqual([line.split("\t")[:2] for line in history.splitlines() if line],
                         [["1", place], ["2", place]])
        self.assertEqual(self.tool_json("restore", f"--data={self.path}/none", "--dry-run")["timeline"], 3)
        self.assertEqual(rows(self.restore("--as-copy", name="third", port=5435)), [1, 200])
