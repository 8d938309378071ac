"""A restore beside the original, on its host: what replay would do to the original's files."""

from support.cluster import ClusterTest


class NewTablespace(ClusterTest):
    """One that was created after the backup: replay creates it where the WAL says."""

    segment_mb = 1

    def setUp(self):
        super().setUp()
        self.tool("backup", f"--data={self.cluster.data}", "--checkpoint=fast")
        self.before = self.cluster.sql("select pg_current_wal_insert_lsn()")
        self.place = self.cluster.tablespace("later")
        self.cluster.sql("create table far (x int) tablespace later; insert into far values (7)")
        self.cluster.switch_wal()

    def files(self):
        return sorted(str(path) for path in self.place.rglob("*"))

    def test_replay_does_not_write_into_the_tablespace_of_the_original(self):
        restored = self.restored()
        files = self.files()

        for option in ("--dry-run", "--start"):
            self.tool_fails(4, f"tablespace \\d+ at {self.place}, which is in use", "restore",
                            f"--data={restored.data}", "--as-copy", option)
        self.assertFalse(restored.data.exists())
        self.assertEqual(self.files(), files)
        self.cluster.stop()  # its files are no less its own
        self.tool_fails(4, "in use", "restore", f"--data={restored.data}", "--as-copy")

    def test_a_target_before_it_and_a_later_backup_can_be_restored(self):
        restored = self.restore(f"--target-lsn={self.before}", "--as-copy")
        self.assertEqual(restored.sql("select to_regclass('far') is null"), "t")
        restored.stop()

        self.tool("backup", f"--data={self.cluster.data}", "--checkpoint=fast")
        self.cluster.switch_wal()
        moved = self.path / "moved"
        beside = self.restore(f"--tablespace={self.place}={moved}", "--as-copy", name="beside")
        self.assertEqual(beside.sql("select x from far"), "7")

    def test_the_original_itself_can_be_replaced(self):
        self.cluster.stop()
        for choice in ("--move-aside", "--force"):
            with self.subTest(choice):
                self.tool("restore", f"--data={self.cluster.data}", choice, "--start")
                self.assertEqual(self.cluster.sql("select x from far"), "7")
                self.cluster.stop()

    def test_a_location_that_nobody_uses_is_free(self):
        self.cluster.sql("drop table far")
        self.cluster.sql("drop tablespace later")
        self.cluster.switch_wal()
        restored = self.restore("--as-copy")
        self.assertEqual(restored.sql("select count(*) from pg_tablespace where spcname = 'later'"), "0")
