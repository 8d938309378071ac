"""A recovery to a point in time, and then another one: the first has left but a history so far."""

from support.cluster import ClusterTest
from support.processes import wait_for


class SoonAfterARecovery(ClusterTest):
    """
    The server was restored to an instant and opened; of its new timeline nothing but the history is
    archived. Whoever finds now that an earlier instant would have been better must get it.
    """

    segment_mb = 1

    def setUp(self):
        super().setUp()
        self.cluster.sql("create table t (n int)")
        self.backup = self.tool_json("backup", f"--data={self.cluster.data}",
                                     "--checkpoint=fast")["backup"]
        self.xid = self.cluster.sql("begin; insert into t values (1); "
                                    "select pg_current_xact_id(); commit")
        self.earlier = self.lsn()
        self.cluster.sql("insert into t values (2)")
        self.fork = self.lsn()
        self.lost = self.cluster.sql("begin; insert into t values (3); "
                                     "select pg_current_xact_id(); commit")
        self.behind = self.lsn()
        self.cluster.switch_wal()
        self.cluster.stop()
        self.second = self.restore(f"--target-lsn={self.fork}", "--target-exclusive",
                                   "--target-action=promote", name="second", port=5434)
        wait_for(lambda: (self.repo / "main/wal/00000002.history.wal").exists(), "history archived")
        self.assertEqual(list((self.repo / "main/wal").glob("00000002*/*")), [])

    def lsn(self):
        return self.cluster.sql("select pg_current_wal_insert_lsn()")

    def assert_gives(self, rows, *target):
        copy = self.restore("--as-copy", "--target-action=promote", *target,
                            name=f"copy-{len(list(self.path.iterdir()))}")
        self.assertEqual(copy.sql("select n from t order by n").split(), rows)
        copy.stop()

    def test_what_lies_before_the_fork_is_reached(self):
        self.assert_gives(["1"], f"--target-lsn={self.earlier}", "--target-exclusive")
        self.assert_gives(["1"], f"--target-xid={self.xid}")
        self.assert_gives([], "--target=immediate", "--target-timeline=2")

    def test_what_lies_behind_it_is_not_taken_from_the_parent(self):
        for target in (["--target-time=2038-01-01 00:00+00"], []):
            self.tool_fails(8, "missing", "restore", f"--data={self.path}/none", "--dry-run", *target)
        for target in ([f"--target-xid={self.lost}"], [f"--target-lsn={self.fork}"],
                       [f"--target-lsn={self.behind}", "--target-exclusive"]):
            done = self.tool_fails(4, "lies on timeline 1, beyond", "restore",
                                   f"--data={self.path}/none", "--dry-run", *target)
            self.assertIn("--target-timeline=1 (last commit", done.stderr)
        self.assert_gives(["1", "2", "3"], f"--target-lsn={self.behind}", "--target-exclusive",
                          "--target-timeline=1")
