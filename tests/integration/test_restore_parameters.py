"""Parameters that were raised on the primary after the backup: the restored server has the old ones,
becomes a hot standby, and pauses where the WAL says that they are too low now."""

import unittest

from support.cluster import ClusterTest
from support.version import MAJOR


@unittest.skipIf(MAJOR < 14, "13 does not pause, it ends")
class RaisedParameters(ClusterTest):
    segment_mb = 1

    def setUp(self):
        super().setUp()
        self.cluster.sql("create table content as select 1 as number")
        self.tool("backup", f"--data={self.cluster.data}", "--checkpoint=fast")
        self.cluster.sql("insert into content values (2)")
        self.cluster.stop()
        self.cluster.configure(max_connections=90).start()
        self.cluster.sql("insert into content values (3)")
        self.lsn = self.cluster.sql("select pg_current_wal_insert_lsn()")
        self.cluster.sql("insert into content values (4)")
        self.cluster.switch_wal()

    def test_the_pause_is_no_target_and_no_place_to_promote(self):
        restored = self.restore(f"--target-lsn={self.lsn}", "--as-copy", expect=13)
        self.assertRegex(restored.said, 'ended as "paused", not as "target reached": .*'
                                        "insufficient parameter settings")
        self.assertRegex(restored.said, "at least as high")
        where = ("--data", restored.data, "--conninfo", restored.conninfo())
        self.tool_fails(13, "paused before its target", "watch", *where)
        self.tool_fails(4, "paused before its target: .*insufficient", "promote", *where)
        self.assertEqual(restored.sql("select pg_is_in_recovery()"), "t")

        # What the advice says helps: it goes on to its target.
        restored.stop()
        restored.configure(max_connections=90)
        self.tool("promote", *where, environment={"PGPORT": restored.port})
        self.assertEqual(restored.sql("select number from content order by 1"), "1\n2\n3")
