"""Prepared transactions in the segment in which timelines change: found by a random campaign."""

from support.cluster import ClusterTest
from support.processes import wait_for
from support.shared import server_log


class PreparedAtTheFork(ClusterTest):
    """
    Timeline 2 left timeline 1 in a segment in which a transaction was prepared before. A server
    that recovers reads that segment as timeline 2's, and then looks for the transaction in timeline
    1's: at the shutdown checkpoint with which timeline 2 begins, and at the end of recovery.
    """

    settings = {"max_prepared_transactions": 10}
    segment_mb = 1

    def setUp(self):
        super().setUp()
        self.cluster.sql("create table t (n int)")
        self.tool("backup", f"--data={self.cluster.data}", "--checkpoint=fast")
        self.cluster.sql("begin; insert into t values (1); prepare transaction 'one'")
        self.before = self.lsn()
        self.cluster.sql("insert into t values (2)")
        self.fork = self.lsn()
        self.cluster.sql("insert into t values (3)")
        self.cluster.switch_wal()
        self.cluster.stop()

        second = self.restore(f"--target-lsn={self.fork}", "--target-exclusive",
                              "--target-action=promote", name="second", port=5434)
        second.sql("insert into t values (4)")
        second.switch_wal()
        wait_for(lambda: (self.repo / "main/wal/00000002.history.wal").exists(),
                 "history archived")
        second.stop()

    def lsn(self):
        return self.cluster.sql("select pg_current_wal_insert_lsn()")

    def copy(self, *target, name):
        return self.restore("--as-copy", *target, name=name)

    def assert_holds(self, restored, *rows):
        self.assertEqual(restored.sql("select n from t order by n").split(), [str(n) for n in rows])
        self.assertEqual(restored.sql("select gid from pg_prepared_xacts"), "one",
                         server_log(restored))

    def test_a_recovery_across_the_fork_keeps_it(self):
        restored = self.copy(name="copy")
        self.assert_holds(restored, 2, 4)
        restored.sql("commit prepared 'one'")
        self.assertEqual(restored.sql("select n from t order by n").split(), ["1", "2", "4"])

    def test_a_pause_behind_the_fork_keeps_it(self):
        restored = self.copy("--target-time=2038-01-01 00:00+00", "--target-action=pause",
                             name="copy")
        self.assertEqual(restored.sql("select n from t order by n").split(), ["2", "4"])

    def test_a_target_before_the_fork_is_reached_along_the_timeline_that_owns_it(self):
        for number, action in enumerate(("promote", "shutdown")):
            restored = self.copy(f"--target-lsn={self.before}", "--target-exclusive",
                                 "--target-timeline=2", f"--target-action={action}",
                                 name=f"copy-{number}")
            if action == "shutdown":
                self.tool("promote", f"--data={restored.data}", environment={"PGPORT": 5433})
            self.assert_holds(restored)
            restored.sql("commit prepared 'one'")
            restored.stop()

    def test_the_first_record_behind_the_fork_stops_only_the_child(self):
        """Before it nothing of timeline 1 may be replayed either: not the row behind the fork."""
        restored = self.copy(f"--target-lsn={self.fork}", "--target-exclusive",
                             "--target-action=promote", name="copy")
        self.assert_holds(restored, 2)
