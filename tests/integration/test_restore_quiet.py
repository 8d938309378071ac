"""Targets on a server at rest: the last records before them changed no page, so nothing that the
restored server flushes at its shutdown tells pg_control how far replay came."""

from support.shared import SharedClusterTest


class Quiet(SharedClusterTest):
    @classmethod
    def set_up_shared(cls, world):
        cluster = world.cluster
        cluster.sql("create table content as select 1 as number")
        world.tool("backup", f"--data={cluster.data}", "--checkpoint=fast")
        cluster.sql("checkpoint")
        cluster.sql("select pg_create_restore_point('before the upgrade')")
        cls.lsn = cluster.sql("select pg_current_wal_insert_lsn()")
        cluster.sql("select pg_create_restore_point('another')")
        cluster.sql("insert into content values (2)")
        cluster.switch_wal()

    def reach(self, *arguments, state):
        restored = self.restore("--start", "--as-copy", *arguments)
        self.assertEqual(restored.answer["state"], state)
        self.assertTrue(restored.answer["verified"])
        self.assertEqual(restored.answer["reached_lsn"], restored.answer["replay_end_lsn"])
        return restored

    def test_a_restore_point_behind_a_checkpoint_and_shutdown(self):
        self.reach("--target-name=before the upgrade", "--target-action=shutdown",
                   state="target reached")

    def test_a_restore_point_behind_a_checkpoint_and_pause(self):
        restored = self.reach("--target-name=before the upgrade", state="paused")
        self.assertEqual(restored.sql("select number from content"), "1")

    def test_a_restore_point_behind_a_checkpoint_and_promote(self):
        restored = self.reach("--target-name=before the upgrade", "--target-action=promote",
                              state="open")
        self.assertEqual(restored.sql("select number from content"), "1")

    def test_a_position_behind_a_checkpoint(self):
        restored = self.reach(f"--target-lsn={self.lsn}", state="paused")
        self.assertEqual(restored.sql("select number from content"), "1")
