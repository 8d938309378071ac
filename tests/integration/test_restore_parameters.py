"""Parameters that were raised on the primary after the backup: the restored configuration has the old
ones, with which a server is no hot standby where the WAL says that they are too low now."""

import json
import unittest

from support.cluster import ClusterTest
from support.processes import wait_for
from support.version import MAJOR


class RaisedParameters(ClusterTest):
    segment_mb = 1

    def setUp(self):
        super().setUp()
        self.cluster.sql("create table content as select 1 as number")
        self.tool("backup", f"--data={self.cluster.data}", "--checkpoint=fast")
        self.cluster.sql("insert into content values (2)")
        for raised in ({"max_connections": 120}, {"max_connections": 110, "max_prepared_transactions": 7}):
            self.cluster.stop()
            self.cluster.configure(**raised).start()
            self.cluster.sql("select pg_switch_wal()")
        self.cluster.sql("insert into content values (3)")
        self.lsn = self.cluster.sql("select pg_current_wal_insert_lsn()")
        self.cluster.sql("insert into content values (4)")
        self.cluster.switch_wal()

    def begin(self, restored):
        restored.spawn()
        wait_for(restored.pid, "the lock file")

    def test_the_recovery_gets_what_it_needs_and_the_configuration_stays(self):
        plan = json.loads(self.tool("restore", f"--data={self.path}/none", f"--target-lsn={self.lsn}", "--dry-run",
                                    "--json"))
        self.assertTrue([note for note in plan["notes"] if "max_connections=120, max_prepared_transactions=7; " in note],
                        plan["notes"])
        self.assertGreater(plan["space"][0]["needed_bytes"], plan["bytes"])
        restored = self.restore(f"--target-lsn={self.lsn}", "--as-copy")
        self.assertIn("max_connections=120", restored.said)
        self.assertIn("max_prepared_transactions=7", restored.said)
        self.assertEqual(restored.sql("select pg_is_in_recovery()"), "t")
        self.tool("promote", "--data", restored.data, "--conninfo", restored.conninfo())
        self.assertEqual(restored.sql("select number from content order by 1"), "1\n2\n3")
        self.assertEqual(restored.sql("show max_connections"), "120")
        self.assertNotIn("max_connections = '120'",
                         (restored.data / "postgresql.auto.conf").read_text(encoding="utf-8"))
        # An open database does not need it.
        restored.stop()
        restored.start()
        self.assertNotEqual(restored.sql("show max_connections"), "120")

    @unittest.skipIf(MAJOR < 14, "13 does not pause, it ends")
    def test_the_pause_is_no_target_and_no_place_to_promote(self):
        restored = self.restored()
        done = json.loads(self.tool("restore", "--data", restored.data, f"--target-lsn={self.lsn}",
                                    "--as-copy", "--json"))
        self.assertEqual(done["raised_parameters"],
                         ["max_connections=120", "max_prepared_transactions=7"])
        # Whoever starts it himself, and without them.
        self.begin(restored)
        where = ("--data", restored.data, "--conninfo", restored.conninfo())
        self.tool_fails(13, "paused before its target: .*insufficient", "watch", *where)
        done = self.tool_fails(4, "paused before its target: .*insufficient", "promote", *where)
        self.assertRegex(done.stderr, "at least as high")
        self.assertEqual(restored.sql("select pg_is_in_recovery()"), "t")

        # What the advice says helps: it goes on to its target.
        restored.stop()
        restored.configure(max_connections=120, max_prepared_transactions=7)
        self.begin(restored)
        self.tool("watch", *where)
        self.tool("promote", *where)
        self.assertEqual(restored.sql("select number from content order by 1"), "1\n2\n3")


class LoweredConfiguration(ClusterTest):
    segment_mb = 1

    def test_what_waited_for_a_restart_at_the_backup_is_too_low_for_its_wal(self):
        self.cluster.configure(max_connections=30)  # it runs with 40
        self.cluster.sql("create table content as select 1 as number")
        self.tool("backup", f"--data={self.cluster.data}", "--checkpoint=fast")
        self.cluster.sql("select pg_create_restore_point('here')")
        self.cluster.switch_wal()
        restored = self.restore("--target-name=here", "--as-copy")
        self.assertEqual(restored.sql("select number, current_setting('max_connections') from content"),
                         "1|40")
