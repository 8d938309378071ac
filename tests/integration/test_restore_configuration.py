"""Configuration that is elsewhere, included, linked, named otherwise: backed up, restored, used."""

import os
import shutil

from support.cluster import make_directory, quoted
from support.processes import USER, run
from support.shared import SharedClusterTest


def write(path, text, mode="w"):
    with open(path, mode, encoding="utf-8") as file:
        file.write(text)
    if USER:
        shutil.chown(path, USER, USER)


class Elsewhere(SharedClusterTest):
    """postgresql.conf outside the data directory, with all that it can name."""

    @classmethod
    def set_up_shared(cls, world):
        cluster, cls.etc = world.cluster, make_directory(world.path / "etc")
        etc = cls.etc
        for name in ("absolute", "linked", "empty.d", "more.d"):
            make_directory(etc / name)
        cluster.stop()
        files = {
            "absolute/a.conf": "work_mem = 5MB\n",
            "linked/b.conf": "maintenance_work_mem = 6MB\n",
            "more.d/10.conf": "# only a comment\n",
            "more.d/20.conf": "temp_buffers = 7MB\n",
            "the names": "postgres\n",
            "access.rules": 'local all @"the names" trust\nlocal all all reject\n',
            "identity": "# none\n",
        }
        main = (cluster.data / "postgresql.conf").read_text(encoding="utf-8") + f"""
data_directory = {quoted(cluster.data)}
hba_file = {quoted(etc / "access.rules")}
ident_file = {quoted(etc / "identity")}
include {quoted(etc / "absolute/a.conf")}
include_dir 'conf.d'
include_dir 'empty.d'
include_dir {quoted(etc / "more.d")}
include_if_exists 'nothing.conf'
Recovery_Target_Time = '2001-01-01 00:00:00+00'
Recovery_Target_Action = shutdown
RECOVERY_TARGET_INCLUSIVE = off
Recovery_Target_Timeline = 7
"""
        for name, text in {**files, "server.conf": main}.items():
            write(etc / name, text)
        run("ln", "-s", etc / "linked", etc / "conf.d")
        run("rm", cluster.data / "postgresql.conf", cluster.data / "pg_hba.conf")
        cluster.start(config_file=etc / "server.conf")
        world.tool("backup", f"--conninfo={cluster.conninfo()}", "--checkpoint=fast")
        cluster.sql("create table t as select 1 i")
        cls.xid = cluster.sql("with new as (insert into t values (2) returning i) "
                              "select pg_current_xact_id() from new")
        cluster.sql("insert into t values (3)")
        cluster.switch_wal()
        cluster.stop()

    def assert_configured(self, server, rows, is_original=False):
        def shown(name):
            return server.sql(f"show {name}")
        self.assertEqual(shown("data_directory"), str(server.data))
        self.assertEqual([shown(name) for name in ("work_mem", "maintenance_work_mem", "temp_buffers")],
                         ["5MB", "6MB", "7MB"])
        for name in ("config_file", "hba_file", "ident_file"):
            self.assertEqual(shown(name).startswith(f"{self.etc}/"), is_original, shown(name))
        self.assertEqual(server.sql("select sum(i) from t"), rows)
        hba = server.sql("select bool_or(error is not null) from pg_hba_file_rules")
        self.assertEqual(hba, "f")

    def test_the_restored_directory_is_started_whatever_the_configuration_names(self):
        was = os.listdir(self.cluster.data)
        restored = self.restore("--as-copy", "--start", f"--target-xid={self.xid}",
                                "--target-action=promote")
        self.assert_configured(restored, "3")
        self.assertEqual(os.listdir(self.cluster.data), was)
        restored.stop()

    def test_on_another_host_it_is_restored_and_used(self):
        away = self.path / "away"
        run("mv", self.etc, away)
        self.addCleanup(run, "mv", away, self.etc)
        restored = self.restore("--as-copy")
        self.assertTrue((restored.data / "global" / "pg_control").exists())
        self.assertIn("one file was made of it", restored.said)
        started = self.restore("--as-copy", "--start", name="started")
        self.assert_configured(started, "6")
        started.stop()

    def test_in_its_place_the_configuration_is_used_where_it_lies_if_it_is_the_same(self):
        for is_same in (True, False):
            if not is_same:
                write(self.etc / "absolute" / "a.conf", "work_mem = 9MB\n", "a")
            with self.subTest(is_same=is_same):
                restored = self.restore("--move-aside", "--start", port=5432, data=self.cluster)
                notes = " ".join(restored.answer["notes"])
                self.assertEqual("used where it is" in notes, is_same)
                self.assert_configured(self.cluster, "6", is_original=is_same)
            self.cluster.stop()
