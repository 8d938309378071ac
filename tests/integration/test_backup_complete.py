"""What the server cannot do without is in a backup, or there is none: links, tablespaces, catalogs."""

from support.cluster import make_directory
from support.processes import run
from support.shared import SharedClusterTest
from support.version import MAJOR
from test_meanwhile import Meanwhile


class Complete(Meanwhile, SharedClusterTest):
    """One server, whose files are moved about while it is up or down."""

    settings = {"max_wal_size": "128MB"}

    @classmethod
    def set_up_shared(cls, world):
        cls.place = world.cluster.tablespace("far")
        world.cluster.sql("create database shop")
        world.cluster.sql("create table t as select i from generate_series(1, 1000) i", "shop")
        world.cluster.sql("create table moved tablespace far as select generate_series(1, 1000) i")

    def begin(self):
        """A backup that has listed all there is, and copied nothing yet."""
        return self.stopped_at("backup.after-scan", "backup", f"--data={self.cluster.data}",
                               "--checkpoint=fast")

    def refused(self, message):
        self.tool_fails(4, message, "backup", f"--data={self.cluster.data}", "--checkpoint=fast")
        self.assertEqual(self.tool_json("list")["backups"], self.before)

    def setUp(self):
        super().setUp()
        self.before = self.tool_json("list")["backups"]

    def test_what_the_server_follows_a_link_to_is_taken_and_told(self):
        cluster = self.cluster
        oid = cluster.sql("select oid from pg_database where datname = 'shop'")
        relation = cluster.sql("select pg_relation_filepath('moved')")
        linked = [f"base/{oid}", relation, "pg_multixact/members", "global/pg_filenode.map",
                  "postgresql.conf", "PG_VERSION"]
        cluster.stop()
        for number, name in enumerate(linked):
            there = self.path / f"elsewhere-{number}"
            run("mv", cluster.data / name, there)
            run("ln", "-s", there, cluster.data / name)
            self.addCleanup(run, "mv", "-T", there, cluster.data / name)
            self.addCleanup(run, "rm", cluster.data / name)
        self.addCleanup(cluster.start)
        self.addCleanup(cluster.stop)
        cluster.start()
        done = self.attempt("backup", f"--data={cluster.data}", "--checkpoint=fast", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        for name in linked:
            self.assertRegex(done.stderr, f"symbolic link is followed.*{name}")
        space = self.path / "space"
        restored = self.restore("--as-copy", "--start", f"--tablespace={self.place}={space}")
        self.assertIn(f"base/{oid} -> {self.path / 'elsewhere-0'}", restored.said)
        self.assertEqual(restored.sql("select sum(i) from t", "shop"), "500500")
        self.assertEqual(restored.sql("select sum(i) from moved"), "500500")
        self.assertFalse((restored.data / "base" / oid).is_symlink())

    def test_a_link_that_leads_nowhere_is_no_backup(self):
        link = self.cluster.data / "base" / "99999"
        link.symlink_to("/nowhere")
        self.addCleanup(link.unlink)
        self.refused("base/99999 is a symbolic link that leads nowhere")

    def test_a_tablespace_out_of_sight_is_no_backup(self):
        away = self.path / "away"
        for is_empty in (False, True):
            with self.subTest(is_empty=is_empty):
                run("mv", self.place, away)
                if is_empty:  # a mount point
                    make_directory(self.place)
                self.refused(f"{self.place}/PG_.* of tablespace .* is missing: the server has it")
                run("rm", "-rf", self.place)
                run("mv", away, self.place)
        process = self.begin()
        run("mv", self.place, away)
        said = self.go_on(process, 4)
        run("mv", away, self.place)
        self.assertRegex(said, "is missing: the server has it")
        self.assertEqual(self.tool_json("list")["backups"], self.before)

    def test_what_comes_and_goes_meanwhile_is_no_alarm(self):
        cluster = self.cluster
        if MAJOR >= 15:  # before, a template that goes is one that a new database may have had
            cluster.sql("create database doomed")
        leaving = cluster.tablespace("leaving")
        process = self.begin()
        cluster.sql("drop database if exists doomed")
        cluster.sql("drop tablespace leaving")
        cluster.sql("create database fresh tablespace far")
        cluster.sql("create table catalogued as select 7 i")
        cluster.sql("vacuum full pg_class")
        cluster.sql("vacuum full pg_database")
        cluster.sql("checkpoint")
        self.go_on(process, 0)
        self.assertTrue(leaving.exists())
        cluster.switch_wal()
        restored = self.restore("--as-copy", "--start",
                                f"--tablespace={self.place}={self.path / 'other'}", name="after")
        self.assertEqual(restored.sql("select i from catalogued", "postgres"), "7")
        self.assertEqual(restored.sql("select 1", "fresh"), "1")

    def test_a_database_that_moves_meanwhile_is_no_backup(self):
        """Replay would copy its old directory, of which the backup has what was there still."""
        self.cluster.sql("create database touring")
        process = self.begin()
        self.cluster.sql("alter database touring set tablespace far")
        self.assertRegex(self.go_on(process, 4), "moved to another tablespace while the backup ran")
        self.assertEqual(self.tool_json("list")["backups"], self.before)
