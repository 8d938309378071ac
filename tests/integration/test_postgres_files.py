"""A real server's files: pages, pg_control, postmaster.pid; and a manifest written for them."""

import os
import pathlib

from support.cluster import ToolTest
from support.processes import BIN, attempt, run
from support.version import MAJOR

DRIVER = pathlib.Path(os.environ.get("DRIVERS", ".")) / "driver_postgres"


def driver(*words, expect=0, **how):
    return run(DRIVER, *words, expect=expect, **how)


class Pages(ToolTest):
    """Every page that PostgreSQL wrote is good, and a changed byte is noticed in its page alone."""

    def setUp(self):
        super().setUp()
        self.cluster = self.server("primary").create(autovacuum="on").start()
        fast = self.cluster.tablespace("fast")
        run(BIN / "pgbench", "-h", self.cluster.socket, "-U", "postgres", "-i", "-q", "-s", "5",
            "--unlogged-tables", "postgres")
        run(BIN / "pgbench", "-h", self.cluster.socket, "-U", "postgres", "-n", "-t", "200", "-c",
            "4", "postgres")
        self.cluster.sql("""
            create table elsewhere tablespace fast as
                select n, repeat(md5(n::text), 20) as text from generate_series(1, 20000) n;
            create index on elsewhere using gin (to_tsvector('simple', text)) tablespace fast;
            create index on elsewhere using brin (n);
            create index on elsewhere using hash (n);
            create sequence numbers; select nextval('numbers')""")
        self.cluster.sql("vacuum analyze")
        self.file = self.cluster.sql("select pg_relation_filepath('elsewhere')")
        self.assertTrue(fast.is_dir())
        self.cluster.stop()

    def counts(self, expect_bad):
        lines = driver("pages", self.cluster.data).splitlines()
        found = dict(line.split() for line in lines[-2:])
        self.assertEqual(int(found["bad"]), expect_bad, lines)
        return int(found["good"]), lines[:-2]

    def test_every_page_is_good_and_one_changed_byte_makes_one_bad(self):
        good, bad = self.counts(0)
        self.assertGreater(good, 10000)
        self.assertEqual(bad, [])
        # The server's own tool counts the same pages, all of them but the new ones of no content.
        said = run(BIN / "pg_checksums", "--check", self.cluster.data)
        self.assertRegex(said, rf"(?m)^Blocks scanned: +{good}$")

        path = self.cluster.data / self.file
        with open(path, "r+b") as file:
            file.seek(17 * 8192 + 4321)
            byte = file.read(1)[0]
            file.seek(17 * 8192 + 4321)
            file.write(bytes([byte ^ 1]))
        _, bad = self.counts(1)
        self.assertEqual(bad, [f"{self.file} 17"])

    def test_control_is_what_pg_controldata_says(self):
        state, system, checkpoint, timeline, checksums = driver(
            "control", self.cluster.data).splitlines()
        control = self.cluster.control()
        self.assertEqual(state, control["Database cluster state"])
        self.assertEqual(system, control["Database system identifier"])
        self.assertEqual(checkpoint, control["Latest checkpoint location"])
        self.assertEqual(timeline, control["Latest checkpoint's TimeLineID"])
        self.assertEqual(checksums, control["Data page checksum version"])

    def test_pg_verifybackup_accepts_the_manifest_and_notices_a_change(self):
        control = self.cluster.control()
        copy = self.path / "copy"
        run("cp", "-a", self.cluster.data, copy)
        for name in ("postmaster.opts", "base/pgsql_tmp"):
            run("rm", "-rf", copy / name)
        for name in copy.glob("**/pg_internal.init"):
            name.unlink()
        for name in ("pg_subtrans", "pg_stat_tmp", "pg_notify", "pg_replslot", "pg_dynshmem",
                     "pg_serial", "pg_snapshots"):
            run("find", copy / name, "-type", "f", "-delete")
        odd = copy / 'odd "name"\\\n\t€'
        odd.write_text("x", encoding="utf-8")
        undecodable = os.fsencode(copy) + b"/\xff\xfe"
        with open(undecodable, "wb") as file:
            file.write(b"y")
        manifest = driver("manifest", copy, MAJOR, control["Database system identifier"], 1,
                          control["Latest checkpoint's REDO location"],
                          control["Latest checkpoint location"])
        (copy / "backup_manifest").write_text(manifest + "\n", encoding="utf-8")

        done = attempt(BIN / "pg_verifybackup", "-n", copy)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

        odd.write_text("z", encoding="utf-8")
        done = attempt(BIN / "pg_verifybackup", "-n", copy)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("checksum mismatch", done.stderr)

    def test_a_running_server_is_told_from_a_dead_one(self):
        self.assertEqual(driver("lock", self.cluster.data), "none")

        self.cluster.start()
        pid, port, socket, status, alive, title = (
            driver("lock", self.cluster.data) + "\n").split("\n")[:6]
        self.assertEqual([int(pid), port, socket], [self.cluster.pid(), "5432",
                                                    str(self.cluster.socket)])
        self.assertEqual([status, alive, title], ["2", "1", ""])

        self.cluster.crash()
        self.assertEqual(driver("lock", self.cluster.data).split("\n")[4], "0")
