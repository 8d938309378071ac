"""restore --only-database: the others are left empty, replay goes over them, and nobody gets in."""

import unittest

from support.processes import BIN, attempt, run
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
            for statement in ("checkpoint", "vacuum t", "vacuum (freeze) far", "update t set text = 'x' where n % 3 = 0",
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
        return [f"--tablespace={self.place}={place}", f"--socket={self.cluster.socket}", "--port=5433",
                f"--backup={self.backup}", "--only-database=shop"]

    def restored_shop(self):
        plan = self.tool_json("restore", f"--data={self.path}/data", *self.words(self.path / "far"), "--dry-run")
        found = plan["only_databases"]
        self.assertEqual(sorted(found["brought_back"]), ["postgres", "shop", "template0", "template1"])
        self.assertEqual(sorted(found["left_empty"]), ['Wiki "2"', "elsewhere", "gone"])
        self.assertGreater(found["bytes_not_written"], 20 << 20)
        restored = self.restore(*self.words(self.path / "far"), "--target-name=all_done", "--start",
                                "--target-action=promote", "--checks=databases")
        # Those that are empty on purpose are not held against it.
        check, = restored.answer["checks"]
        self.assertEqual(check["result"], "passed", check)
        self.assertRegex(check["text"], "^[34] of [5-9] let us in")
        return restored

    def assert_nobody_gets_in(self, server):
        """A server that let somebody in would panic (relcache.c)."""
        for name in ('Wiki "2"', "elsewhere", "copied"):
            done = attempt(*server.psql(name), "-c", "select 1")
            self.assertIn("left-empty-by-pgcairn", done.stderr)
        self.assertEqual(server.sql("select 1", "shop"), "1")
        self.assertNotIn("PANIC", server.log_tail(1000))

    def test_one_is_brought_back_and_nobody_gets_into_the_others(self):
        server = self.restored_shop()
        self.assertEqual(server.sql(self.CONTENT, "shop"), self.wanted)
        self.assertEqual(server.sql("select n from t", "made"), "1")
        server.stop()
        server.start()
        self.assertEqual(server.sql("show ignore_invalid_pages"), "off")
        self.assert_nobody_gets_in(server)
        self.tool_fails(4, "left empty", "backup", f"--data={server.data}", "--checkpoint=fast")
        for name in ('Wiki "2"', "elsewhere", "copied"):
            server.sql(f"drop database {self.quoted(name)}")
        self.tool("backup", f"--data={server.data}", "--checkpoint=fast")

    def test_its_files_are_what_they_are_said_to_be_and_take_no_room(self):
        words = [f"--data={self.path}/data", f"--tablespace={self.place}={self.path}/far", f"--backup={self.backup}"]
        self.tool_fails(6, "there were: .*shop.*Wiki", "restore", *words, "--only-database=shops")
        self.tool_fails(2, "--only-database does not go with --delta", "restore", *words, "--only-database=shop", "--delta")
        killed = self.attempt("restore", *words, environment={"PGCAIRN_FAULT": "restore.after-rebuild:crash"})
        self.assertLess(killed.returncode, 0)
        answer = self.tool_json("restore", *words, "--only-database=elsewhere")
        self.assertEqual(answer["found"], "a restore that did not end")
        used = sum(path.stat().st_blocks * 512 for place in ("data", "far") for path in (self.path / place).rglob("*"))
        self.assertLess(used, answer["bytes"] + (4 << 20))
        if MAJOR >= 13:
            run(BIN / "pg_verifybackup", "--no-parse-wal", self.path / "data")


if __name__ == "__main__":
    unittest.main()
