"""pg_wal on a file system of its own that is mounted in the data directory."""

import unittest

from support.cluster import ClusterTest
from support.processes import USER, attempt, run


@unittest.skipUnless(USER, "takes root")
class MountedWal(ClusterTest):
    segment_mb = 1

    def setUp(self):
        super().setUp()
        self.cluster.sql("create table content as select 1 as number")
        self.tool("backup", f"--data={self.cluster.data}", "--checkpoint=fast")
        self.cluster.stop()
        wal = self.cluster.data / "pg_wal"
        run("mv", wal, self.path / "wal")
        run("mkdir", "-m", "0700", wal)
        if attempt("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", wal, user=None).returncode != 0:
            self.skipTest("nothing can be mounted here")
        self.addCleanup(lambda: [attempt("umount", "--lazy", path / "pg_wal", user=None)
                                 for path in self.cluster.path.glob("data*") if path.is_dir()])
        run("chown", USER, wal, user=None)
        run("chmod", "0700", wal, user=None)
        run("cp", "-a", f"{self.path}/wal/.", wal)
        self.cluster.start().sql("insert into content values (2)")
        self.cluster.stop()

    def test_force_refuses_before_it_touches_anything(self):
        self.tool_fails(4, "pg_wal is the root of a mount", "restore",
                        f"--data={self.cluster.data}", "--force")
        self.tool_fails(4, "pg_wal is the root of a mount", "restore",
                        f"--data={self.cluster.data}", "--force", "--discard-wal")
        self.cluster.start()
        self.assertEqual(self.cluster.sql("select number from content order by 1"), "1\n2")

    def test_move_aside_takes_it_along_and_replays_its_tail(self):
        self.tool("restore", f"--data={self.cluster.data}", "--move-aside", "--start")
        self.assertEqual(self.cluster.sql("select number from content order by 1"), "1\n2")
