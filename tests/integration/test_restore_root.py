"""Run by root, as at 3 a.m. on a new host: the server, which is not root, can use all of it."""

import os
import pathlib
import pwd
import unittest

from support.cluster import ClusterTest, make_directory
from support.processes import TOOL, USER, run


@unittest.skipUnless(USER, "takes root")
class RestoreByRoot(ClusterTest):
    segment_mb = 1
    outside = ("postgresql.conf", "pg_hba.conf", "pg_ident.conf")

    def setUp(self):
        super().setUp()
        etc = make_directory(make_directory(self.path / "etc") / "main")
        self.cluster.stop()
        for name in self.outside:
            run("mv", self.cluster.data / name, etc / name)
        conf = etc if "postgresql.conf" in self.outside else self.cluster.data
        with open(conf / "postgresql.conf", "a", encoding="utf-8") as text:
            text.write(f"hba_file = '{etc}/pg_hba.conf'\nident_file = '{etc}/pg_ident.conf'\n")
            if conf is etc:
                text.write(f"data_directory = '{self.cluster.data}'\n")
        self.cluster.start(**({"config_file": etc / "postgresql.conf"} if conf is etc else {}))
        self.cluster.sql("create table content as select 1 as number")
        self.tool("backup", f"--data={self.cluster.data}", f"--conninfo={self.cluster.conninfo()}")
        self.cluster.switch_wal()
        run("mv", etc, self.path / "gone")

    def test_the_server_starts_with_what_root_restored(self):
        restored = self.restored()
        run(TOOL, "restore", f"--repo={self.repo}", f"--data={restored.data}", "--as-copy", "--start",
            "--target=immediate", environment={"PGPORT": restored.port}, user=None)
        self.assertEqual(restored.sql("select number from content"), "1")
        self.assertIn(str(restored.path), restored.sql("show hba_file"))
        self.assertIn(str(restored.path), restored.sql("show ident_file"))
        owner = pwd.getpwnam(USER).pw_uid
        foreign = [path for path in pathlib.Path(restored.path).rglob("*")
                   if os.lstat(path).st_uid != owner]
        self.assertEqual(foreign, [])


class RestoreByRootWithItsOwnConfiguration(RestoreByRoot):
    outside = ("pg_hba.conf", "pg_ident.conf")
