"""What the server cannot do without is in a backup, or there is none: links, tablespaces, catalogs."""

import os
import shutil
import subprocess

from support.cluster import make_directory
from support.processes import TOOL, USER, attempt, clean_environment, identity, run
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
        if MAJOR >= 15:  # a directory where a link should be, as a copy in a link's place makes it
            run(*world.cluster.psql(), "-c", "set allow_in_place_tablespaces = on", "-c",
                "create tablespace here location ''", "-c", "create table placed tablespace here as select 8 i")

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
        link = cluster.data / "pg_tblspc" / cluster.sql("select oid from pg_tablespace where spcname = 'far'")
        self.addCleanup(run, "ln", "-sfn", self.place, link)
        run("ln", "-sfn", os.path.relpath(self.place, link.parent), link)
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
        unreadable = cluster.data / "snapshots"
        unreadable.mkdir(mode=0)
        (cluster.data / "notes").touch(mode=0)
        self.addCleanup((cluster.data / "notes").unlink)
        self.addCleanup(unreadable.rmdir)
        if USER:
            shutil.chown(unreadable, "root")
        done = self.attempt("backup", f"--data={cluster.data}", "--checkpoint=fast", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        for name in ("snapshots", "notes"):
            self.assertRegex(done.stderr, f"not copied: neither the server nor its backup may read it.*{name}")
        for name in linked:
            self.assertRegex(done.stderr, f"symbolic link is followed.*{name}")
        space = self.path / "space"
        restored = self.restore("--as-copy", "--start", f"--tablespace={self.place}={space}")
        self.assertIn(f"base/{oid} -> {self.path / 'elsewhere-0'}",
                      " ".join(restored.answer["notes"]))
        self.assertEqual(restored.sql("select sum(i) from t", "shop"), "500500")
        self.assertEqual(restored.sql("select sum(i) from moved"), "500500")
        self.assertFalse((restored.data / "base" / oid).is_symlink())
        if MAJOR >= 15:
            self.assertEqual(restored.sql("select i from placed"), "8")

    def test_a_tablespace_is_where_it_is_whatever_the_encoding(self):
        cluster = self.cluster
        cluster.sql("create database latin encoding 'LATIN1' template template0 lc_collate 'C' lc_ctype 'C'")
        place = make_directory(self.path / "données")
        run(*cluster.psql("latin"), "-c", f"create tablespace accented location '{place}'",
            environment={"PGCLIENTENCODING": "LATIN1"})  # these bytes, whatever they mean
        self.addCleanup(cluster.sql, "drop tablespace accented")
        taken = self.tool_json("backup", f"--data={cluster.data}", "--checkpoint=fast",
                               f"--conninfo={cluster.conninfo('latin')}")
        manifest = self.repo / "main" / "backup" / taken["backup"] / "manifest"
        lines = run("zstd", "-dqc", manifest).splitlines()
        links = [line.split("\t")[2] for line in lines if line[:2] in ("l\t", "t\t")]
        self.assertEqual(links.count(str(place)), 2, links)

    def test_what_is_printed_never_goes_into_a_file(self):
        """Started without standard output, input and error, whose numbers the next files would get."""
        words = ["backup", f"--repo={self.repo}", f"--data={self.cluster.data}", "--checkpoint=fast"]
        done = attempt("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", TOOL, *words)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(len(self.tool_json("list")["backups"]), len(self.before) + 1)
        self.tool("verify")

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

    def test_a_database_copied_from_one_that_is_gone_or_changed_is_no_backup(self):
        """Replay copies the template's directory anew, from what the backup has of it."""
        how = "strategy file_copy" if MAJOR >= 15 else ""
        self.cluster.sql("create database pattern")
        for template, base, then, expect, message in (
                ("template0", "postgres", "select 1", 0, "^"),
                ("shop", "shop", "create table later (i int)", 4, "was changed before the backup ended"),
                ("pattern", "postgres", "drop database pattern", 4, "was dropped before the backup|another one dropped")):
            with self.subTest(template):
                process = self.begin()
                self.cluster.sql(f"create database of_{template} template {template} {how}")
                self.cluster.sql(then, base)
                self.assertRegex(self.go_on(process, expect), message)
        self.assertEqual(len(self.tool_json("list")["backups"]), len(self.before) + 1)



class Unlogged(SharedClusterTest):
    def session(self, query):
        """psql at work on it, and stopped at the end of the test."""
        process = subprocess.Popen([*self.cluster.psql(), "-c", query], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, text=True, cwd="/",
                                   env=clean_environment(), **identity())
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def test_an_index_that_is_built_all_the_while_stops_no_recovery(self):
        """Its main fork is there before the backup, its init fork comes long after it."""
        cluster = self.cluster
        cluster.sql("""create unlogged table volatile as select generate_series(1, 1000) i;
                       create function slow(i int) returns int language plpgsql immutable as
                       $$ begin perform pg_advisory_xact_lock_shared(7); return i; end $$""")
        gate = self.session("select pg_advisory_lock(7); select pg_sleep(1000)")
        cluster.wait_until("select count(*) = 1 from pg_locks where locktype = 'advisory'")
        build = self.session("create index waiting on volatile (slow(i))")
        cluster.wait_until("select count(*) = 1 from pg_locks "
                           "where locktype = 'advisory' and not granted")
        self.tool("backup", f"--data={cluster.data}", "--checkpoint=fast")
        target = cluster.sql("select pg_current_wal_insert_lsn()")
        cluster.sql("create table later ()")
        gate.kill()
        gate.wait(60)
        cluster.sql("select pg_terminate_backend(pid) from pg_locks"
                    " where locktype = 'advisory' and granted")
        self.assertEqual(build.wait(60), 0)
        cluster.switch_wal()
        before = self.restore("--as-copy", "--start", f"--target-lsn={target}",
                              "--target-action=promote", name="before", port=5434)
        self.assertNotIn("being built at the backup", before.said)
        self.assertEqual(before.sql("select count(*) from volatile"), "0")
        restored = self.restore("--as-copy", "--start")
        self.assertIn("being built at the backup", restored.said)
        self.assertEqual(restored.sql("select count(*) from volatile"), "0")
        restored.sql("insert into volatile values (3)")
        self.assertEqual(restored.sql("set enable_seqscan = off; "
                                      "select i from volatile where slow(i) = 3"), "3")
