"""restore --only-database: the others are left empty, replay goes over them, and nobody gets in."""

import subprocess
import unittest

from support.processes import attempt
from support.shared import SharedClusterTest
from support.version import MAJOR


class OneDatabase(SharedClusterTest):
    """
    One server with three databases, a tablespace that two of them use, and a backup; then WAL that does to the
    others whatever WAL can do. Without checksums VACUUM's records have no image of the page.
    """

    settings = {"checksums": False}

    @classmethod
    def set_up_shared(cls, world):
        cluster = world.cluster
        cls.place = cluster.tablespace("far")
        for name in ("shop", "Wiki \"2\"", "gone", "elsewhere"):
            cluster.sql(f"create database {cls.quoted(name)}{' tablespace far' if name == 'elsewhere' else ''}")
        for name in ("shop", "Wiki \"2\"", "gone", "elsewhere"):
            cluster.sql("""create table t (n int primary key, text text);
                           insert into t select n, repeat(md5(n::text), 20) from generate_series(1, 3000) n;
                           create index on t using hash (n);
                           create table far (n int, text text) tablespace far;
                           insert into far select n, md5(n::text) from generate_series(1, 3000) n;
                           create unlogged table u as select 1 as n""", name)
        cls.backup = world.tool_json("backup", f"--data={cluster.data}", "--checkpoint=fast")["backup"]
        cls.trouble(cluster)
        cls.wanted = cluster.sql(cls.CONTENT, "shop")
        cluster.sql("select pg_create_restore_point('all_done')")
        cluster.switch_wal()

    CONTENT = "select (select sum(hashtext(t::text)) from t), (select sum(hashtext(f::text)) from far f), " \
              "(select count(*) from later)"

    @staticmethod
    def quoted(name):
        return '"' + name.replace('"', '""') + '"'

    @classmethod
    def trouble(cls, cluster):
        for name in ("shop", "Wiki \"2\"", "gone", "elsewhere"):
            for statement in ("checkpoint", "vacuum (freeze) t", "update t set text = 'x' where n % 3 = 0",
                              "delete from t where n % 5 = 0", "vacuum t", "checkpoint",
                              "update t set text = 'y' where n % 4 = 0", "vacuum full far", "reindex table t",
                              "create table later as select * from t where n < 1000", "truncate far",
                              "insert into far select n, 'late' from generate_series(1, 2000) n",
                              "vacuum full pg_class"):
                cluster.sql(statement, name)
        cluster.sql("drop database gone")
        cluster.sql("create database made")
        cluster.sql("create table t as select 1 as n", "made")
        copy = cls.quoted('Wiki "2"')
        cluster.sql(f"create database copied template {copy}" + (" strategy file_copy" if MAJOR >= 15 else ""))

    def words(self, place):
        return [f"--tablespace={self.place}={place}", f"--socket={self.cluster.socket}", "--port=5433", "--as-copy"]

    def get_in(self, server, name):
        return attempt(*server.psql(name), "-c", "select 1")

    def test_one_is_brought_back_and_nobody_gets_into_the_others(self):
        place = self.path / "far"
        plan = self.tool_json("restore", f"--data={self.path}/data", *self.words(place), "--only-database=shop", "--dry-run")
        self.assertEqual(sorted(plan["only_databases"]["brought_back"]), ["postgres", "shop", "template0", "template1"])
        self.assertEqual(sorted(plan["only_databases"]["left_empty"]), ['Wiki "2"', "elsewhere", "gone"])
        self.assertGreater(plan["only_databases"]["bytes_not_written"], 20 << 20)
        server = self.restore(*self.words(place), "--only-database=shop", "--target-name=all_done", "--start",
                              "--target-action=promote")
        self.addCleanup(server.destroy)
        self.assertEqual(server.sql(self.CONTENT, "shop"), self.wanted)
        self.assertEqual(server.sql("select n from t", "made"), "1")
        self.assertEqual(server.sql("show ignore_invalid_pages"), "on")
        server.stop()
        server.start()
        self.assertEqual(server.sql("show ignore_invalid_pages"), "off")
        for name in ('Wiki "2"', "elsewhere", "copied"):
            done = self.get_in(server, name)
            self.assertIn("left-empty-by-pgcairn", done.stderr)
        self.assertEqual(server.sql("select 1", "shop"), "1")
        self.assertNotIn("PANIC", server.log_tail(1000))
        used = int(subprocess.run(["du", "-sk", server.data, place], capture_output=True, text=True, check=True)
                   .stdout.split()[0])
        self.assertGreater(used, 0)


if __name__ == "__main__":
    unittest.main()
