"""The segment in the middle of which a timeline was left: its WAL is there for that timeline, too."""

import time

from support.cluster import ClusterTest
from support.processes import BIN, run, wait_for
from support.shared import server_log


class LeftSegment(ClusterTest):
    """
    One server, promoted in place twice, so that timelines 1, 2 and 3 have one segment in common:
    whole it is only of timeline 3. A transaction was prepared in it on timeline 1.
    """

    settings = {"max_prepared_transactions": 5, "archive_timeout": 0}
    segment_mb = 1
    copies = 0

    def setUp(self):
        super().setUp()
        self.xids = {}
        self.cluster.sql("create table t (n int)")
        self.tool("backup", f"--data={self.cluster.data}", "--checkpoint=fast")
        self.insert(1)
        self.cluster.switch_wal()
        self.insert(2)
        self.cluster.sql("begin; insert into t values (77); prepare transaction 'pp'")
        self.insert(3)
        self.before = self.now()
        self.insert(4)
        self.promote(2)
        self.insert(5)
        self.middle = self.now()
        self.insert(6)
        self.promote(3)
        self.insert(7)
        self.cluster.switch_wal()
        self.cluster.stop()

    def insert(self, number):
        self.cluster.sql(f"insert into t values ({number})")
        self.xids[number] = self.cluster.sql(f"select xmin from t where n = {number}")

    def now(self):
        time.sleep(0.05)
        now = self.cluster.sql("select clock_timestamp()")
        time.sleep(0.05)
        return now

    def promote(self, timeline):
        """After a crash, so that WAL ends where it was written."""
        self.cluster.stop("immediate")
        run("touch", self.cluster.data / "standby.signal")
        self.cluster.start(restore_command=self.restore_command())
        run(BIN / "pg_ctl", "promote", "-w", "-D", self.cluster.data)
        self.cluster.wait_until("select not pg_is_in_recovery()")
        wait_for((self.repo / f"main/wal/{timeline:08X}.history.wal").exists, "history archived")

    def partials(self):
        return sorted(self.repo.rglob("*.partial.wal"))

    def assert_restores(self, rows, *options):
        self.copies += 1
        restored = self.restore("--as-copy", "--target-action=promote", *options,
                                name=f"copy-{self.copies}")
        self.assertEqual(restored.sql("select n from t order by n").split(),
                         [str(row) for row in rows], server_log(restored))
        self.assertEqual(restored.sql("select gid from pg_prepared_xacts"), "pp")
        restored.sql("commit prepared 'pp'")
        restored.stop("immediate")

    def assert_one_window(self):
        """What timeline 3 goes on with is not told again for those that it left."""
        windows = self.tool_json("list")["windows"]
        self.assertEqual([window["timeline"] for window in windows], [3])

    def assert_logged(self, timeline, number):
        """The commit of this number, the last one before timeline 3 began."""
        xid = self.xids[number]
        self.assertIn(f"xid {xid} ", self.tool("log", f"--timeline={timeline}"))

    def test_each_timeline_has_it_up_to_where_it_was_left(self):
        wait_for(lambda: len(self.partials()) == 2, "both .partial files archived")
        self.assert_restores([1, 2, 3, 4], "--target-timeline=1")
        self.assert_restores([1, 2, 3], f"--target-time={self.before}")
        self.assert_restores([1, 2, 3, 4, 5], "--target-timeline=2", f"--target-time={self.middle}")
        self.tool("verify")
        self.assert_one_window()
        self.assert_logged(2, 6)

        # Nothing but the grandchild's segment is left of it.
        for partial in self.partials():
            partial.unlink()
        self.assert_restores([1, 2, 3, 4], "--target-timeline=1")
        self.assert_restores([1, 2, 3, 4, 5, 6], "--target-timeline=2")
        self.assert_one_window()
        self.assert_logged(2, 6)
