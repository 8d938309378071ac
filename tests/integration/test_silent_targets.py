"""What an operator may ask for at 3 a.m.: the server takes it in its own way, pgcairn asks back."""

import time

from support.archive import put
from support.oracle import Oracle, difference
from support.pair import PairTest, TwoArchives, copy_directory
from support.cluster import ManualRecovery
from support.processes import freeze_tree, kill_tree
from support.shared import SharedClusterTest
from test_restore_targets import utc

EARLY = 800001  # committed before the backups


class Targets(PairTest):
    segments_wanted = 4

    @classmethod
    def take_backups(cls, world):
        world.cluster.sql("""create table oracle (number bigint primary key, payload text not null)""")
        cls.before = time.time()
        time.sleep(0.05)
        world.cluster.sql(f"insert into oracle values ({EARLY}, repeat(md5('{EARLY}'), 10))")
        super().take_backups(world)

    def truth(self):
        return self.oracle.numbers() | {EARLY}

    def middle(self):
        """An instant between two commits, which is one in any case: they are one after another."""
        commit = self.oracle.commits[len(self.oracle.commits) // 2]
        return commit.acknowledged, {c.number for c in self.oracle.commits
                                     if c.acknowledged <= commit.acknowledged} | {EARLY}

    def test_a_time_before_the_end_of_the_backup(self):
        """What was committed after the time asked for is there all the same."""
        target = utc(self.before)
        by_cp = self.by_cp(recovery_target_time=target, recovery_target_action="promote")
        self.assert_opens(by_cp, "recovery stopping before commit of transaction")
        self.assert_harm(by_cp, foreign=True, must=set())
        by_cp.stop()

        self.assert_refused(4, "earliest possible", f"--target-time={target}")

    def test_a_time_after_the_last_commit(self):
        """Everything is in the archive, and the server ends with an error instead of opening."""
        target = utc(time.time())
        by_cp = self.by_cp(recovery_target_time=target, recovery_target_action="promote")
        by_cp.spawn()
        self.assertNotEqual(by_cp.wait_exit(), 0)
        self.assertRegex(by_cp.log.read_text(encoding="utf-8"),
                         "FATAL:  recovery ended before configured recovery target was reached")

        by_pgcairn = self.restore("--start", "--as-copy", f"--target-time={target}",
                                  "--target-action=promote", name="by-pgcairn")
        self.assertTrue(by_pgcairn.answer["takes_archive_end"])
        self.assert_whole(by_pgcairn, self.truth())

    def test_a_time_without_a_zone(self):
        """It was meant in UTC; the server's zone is an hour or two ahead of it."""
        instant, must = self.middle()
        text = utc(instant).removesuffix("+00")
        by_cp = self.by_cp(recovery_target_time=text, recovery_target_action="promote",
                           timezone="Europe/Vienna")
        self.assert_opens(by_cp, "starting point-in-time recovery to", "archive recovery complete")
        self.assert_harm(by_cp, missing=True, must=must)
        by_cp.stop()

        self.assert_refused(2, "zone", f"--target-time={text}")
        by_pgcairn = self.restore("--start", "--as-copy", f"--target-time={text}+00",
                                  "--target-action=promote", name="by-pgcairn")
        self.assert_whole(by_pgcairn, must)


class RunningServer(SharedClusterTest):
    """Somebody restores over a data directory in which the server runs and people work."""

    @classmethod
    def setUpClass(cls):
        cls.world = TwoArchives()
        cls.addClassCleanup(cls.world.doCleanups)
        cls.world.setUp()
        cls.base = ManualRecovery(cls.world, cls.world.cluster)
        cls.world.tool("backup", f"--data={cls.world.cluster.data}")

    def test_a_restore_over_a_running_server(self):
        oracle = Oracle(self.cluster, self.path / "commits", writers=1)
        oracle.__enter__()
        self.addCleanup(oracle.stop)
        oracle.wait_commits(10)
        self.cluster.switch_wal()
        oracle.wait_commits(10)

        for choice in ([], ["--force"], ["--move-aside"], ["--force", "--discard-wal"]):
            self.tool_fails(4, "a server runs on", "restore", f"--data={self.cluster.data}", *choice)
            oracle.wait_commits(5)  # nobody has noticed anything
        self.cluster.reconfigure(archive_command="false")  # it is a little behind, as it always is
        oracle.wait_commits(5)
        acknowledged = oracle.numbers()
        self.assertEqual(difference(self.cluster, acknowledged)[0], set())

        # Nothing stops the copy. The server is stopped for its time, since it would take away and make
        # files under the hands of rm and cp, and give the test another outcome each time.
        freeze_tree(self.cluster.process.pid)
        copy_directory(self.base.source, self.cluster.data)
        kill_tree(self.cluster.process.pid)
        self.cluster.process.wait(60)  # a zombie still holds the lock of the socket
        oracle.stop()
        put(self.cluster.data / "recovery.signal", b"")
        self.cluster.configure(restore_command=f"cp {self.world.plain}/%f %p", archive_mode="off")
        self.cluster.start()
        self.cluster.wait_until("select not pg_is_in_recovery()")
        rows = {int(line) for line in self.cluster.sql("select number from oracle").split()}
        self.assertTrue(rows)
        self.assertTrue(acknowledged - rows, "nothing was lost")
