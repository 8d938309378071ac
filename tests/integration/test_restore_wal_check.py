"""WAL that was damaged in the repository: found before anything is replaced, and before replay."""

from support.archive import flip, object_of
from support.cluster import ClusterTest
from test_restore_refusals import fingerprint


class DamagedWal(ClusterTest):
    segment_mb = 1
    settings = {"wal_keep_size": "64MB"}

    def setUp(self):
        super().setUp()
        self.tool("backup", f"--data={self.cluster.data}", "--checkpoint=fast")
        self.cluster.sql("create table content as select 1 as number")
        self.cluster.sql("select pg_create_restore_point('here')")
        self.cluster.fill_segment(200)
        self.damaged = self.cluster.fill_segment(200)
        self.cluster.sql("insert into content values (2)")
        # Planning itself reads the last segments, for the last commit.
        for _ in range(3):
            self.cluster.fill_segment(200)
        self.cluster.stop()
        flip(object_of(self.repo, self.damaged), 300)

    def mend(self):
        """As the hint says, from where it still is."""
        self.tool("archive-push", self.cluster.data / "pg_wal" / self.damaged)

    def test_a_cluster_is_not_replaced_before_the_wal_for_it_is_known_to_be_there(self):
        before = fingerprint(self.cluster.path)
        for choice in ("--force", "--move-aside"):
            with self.subTest(choice):
                done = self.tool_fails(8, "WAL that this recovery needs", "restore",
                                       f"--data={self.cluster.data}", choice)
                self.assertIn(f"another copy of {self.damaged} mends it", done.stderr)
                self.assertEqual(fingerprint(self.cluster.path), before)
        self.mend()
        self.tool("restore", f"--data={self.cluster.data}", "--force", "--start")
        self.assertEqual(self.cluster.sql("select number from content order by 1"), "1\n2")

    def test_elsewhere_it_ends_the_copying_and_the_same_command_goes_on_once_it_is_mended(self):
        restored = self.restore(expect=8)
        self.assertRegex(restored.said, f"WAL that this recovery needs.*{self.damaged}")
        self.assertFalse((restored.data / "global" / "pg_control").exists())
        self.mend()
        self.tool("restore", f"--data={restored.data}", "--start",
                  environment={"PGPORT": restored.port})
        self.assertEqual(restored.sql("select number from content order by 1"), "1\n2")

    def test_what_the_target_does_not_need_is_not_in_the_way(self):
        restored = self.restore("--target-name=here")
        self.assertEqual(restored.sql("select number from content"), "1")

    def test_without_the_check_replay_meets_it_and_nothing_is_opened(self):
        restored = self.restore("--no-wal-check", expect=13)
        self.assertIsNone(restored.pid())
        self.assertIn(restored.control()["Database cluster state"],
                      ("in archive recovery", "shut down in recovery"))
