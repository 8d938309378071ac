"""A cluster after pg_upgrade: a name of its own, and nothing of either is lost.

PGCAIRN_OLD_BIN names the programs of the server before the upgrade; PG_BIN has those after it. Without it
only what needs no other server is tried. scripts/test versions goes from 13 to 15 and from 17 to 18.
"""

import json
import os
import pathlib
import unittest

from support.archive import archived
from support.cluster import ClusterTest, ToolTest, quoted
from support.processes import BIN, TOOL, attempt, run, wait_for

OLD_BIN = os.environ.get("PGCAIRN_OLD_BIN")
REFUSED = 4


class Server:
    """One of either version."""

    def __init__(self, programs, path, port):
        self.programs = pathlib.Path(programs)
        self.data = path / "data"
        self.path = path
        self.port = port

    def create(self, repo, cluster):
        run("mkdir", "-m", "0700", self.path)
        run(self.programs / "initdb", f"--pgdata={self.data}", "--auth=trust", "--username=postgres", "--no-sync",
            "--no-locale", "--encoding=UTF8", "--wal-segsize=1", "--data-checksums")
        settings = {"listen_addresses": "", "unix_socket_directories": self.path, "fsync": "off",
                    "archive_mode": "on", "restore_command": "false",
                    "archive_command": f"'{TOOL}' archive-push --repo='{repo}' --cluster={cluster} '%p'"}
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.writelines(f"{name} = {quoted(value)}\n" for name, value in settings.items())
        return self

    def control(self, action, *options):
        run(self.programs / "pg_ctl", action, "--wait", "--silent", f"--pgdata={self.data}", *options)

    def start(self):
        self.control("start", "--log", self.path / "log", "--options", f"-p {self.port}")

    def sql(self, text):
        return run(self.programs / "psql", "-XAtq", "-h", self.path, "-p", self.port, "-U", "postgres", "-d",
                   "postgres", "-c", text)

    def keep(self, number):
        """Something that must stay. Not a table: pg_dump 18.6 says of a column of 17.12 what 18.6 does not know."""
        self.sql(f"select lo_from_bytea({number}, 'kept')")

    def promote(self):
        """One timeline further, as a standby that becomes the primary."""
        self.control("stop", "--mode=fast")
        run("touch", self.data / "standby.signal")
        self.start()
        self.control("promote")
        self.sql("select pg_switch_wal()")

    def is_archived(self):
        waiting = list((self.data / "pg_wal/archive_status").glob("*.ready"))
        return not waiting


@unittest.skipUnless(OLD_BIN, "PGCAIRN_OLD_BIN is not set: no server to upgrade from")
class Upgraded(ToolTest):
    def setUp(self):
        super().setUp()
        run("chmod", "0700", self.path)

    def server_of(self, programs, name, port):
        server = Server(programs, self.path / name, port)
        self.addCleanup(attempt, server.programs / "pg_ctl", "stop", "--mode=immediate", f"--pgdata={server.data}")
        return server

    def backup(self, server, cluster):
        self.tool("backup", f"--cluster={cluster}", f"--data={server.data}",
                  f"--conninfo=host={server.path} port={server.port} user=postgres dbname=postgres")

    def restored_rows(self, server, cluster, name):
        """What a restore to the end of the archive, with the programs of that version, has."""
        place = self.server_of(server.programs, name, 5440)
        run("mkdir", "-m", "0700", place.path)
        self.tool("restore", f"--cluster={cluster}", f"--data={place.data}", "--target=latest",
                  "--target-action=promote")
        with open(place.data / "postgresql.auto.conf", "a", encoding="utf-8") as conf:
            conf.write(f"unix_socket_directories = {quoted(place.path)}\narchive_mode = off\n")
        place.start()
        wait_for(lambda: place.sql("select pg_is_in_recovery()").strip() == "f", "the recovery ends")
        rows = place.sql("select string_agg(oid::text, ',' order by oid) from pg_largeobject_metadata").strip()
        place.control("stop", "--mode=immediate")
        return rows

    def test_both_names_go_through_a_promotion_and_restore(self):
        old = self.server_of(OLD_BIN, "old", 5435).create(self.repo, "main")
        self.tool("init", "--cluster=main", f"--data={old.data}")
        old.start()
        old.keep(1)
        self.backup(old, "main")
        old.keep(2)
        old.promote()
        old.keep(3)
        old.sql("select pg_switch_wal()")
        wait_for(old.is_archived, "the old server's WAL is archived")
        old.control("stop", "--mode=fast")

        new = self.server_of(BIN, "new", 5436).create(self.repo, "next")
        run("sh", "-c", 'cd "$0" && { "$@" || { cat data/pg_upgrade_output.d/*/log/*dump_*.log; exit 1; }; }', new.path, BIN / "pg_upgrade", "--username=postgres",
            f"--old-bindir={OLD_BIN}", f"--new-bindir={BIN}", f"--old-datadir={old.data}",
            f"--new-datadir={new.data}", f"--socketdir={new.path}", timeout_s=600)
        said = attempt(TOOL, "init", f"--repo={self.repo}", "--cluster=main", f"--data={new.data}")
        self.assertEqual(said.returncode, REFUSED, said.stderr)

        # Whoever forgets the new name is told it, and nothing of the new server gets into the old archive.
        before = archived(self.repo)
        new.start()
        new.keep(4)
        segment = sorted(path for path in (new.data / "pg_wal").iterdir() if len(path.name) == 24)[0]
        said = attempt(TOOL, "archive-push", f"--repo={self.repo}", "--cluster=main", segment)
        self.assertEqual(said.returncode, REFUSED, said.stderr)
        self.assertIn("--upgrade=main", said.stderr)
        self.assertEqual(archived(self.repo), before)
        for _ in range(2):  # the second call finds it all done
            self.tool("init", "--cluster=next", "--upgrade=main", f"--data={new.data}")
        said = attempt(TOOL, "archive-push", f"--repo={self.repo}", "--cluster=main", segment)
        self.assertIn("--cluster=next", said.stderr)

        self.backup(new, "next")
        new.keep(5)
        new.promote()
        new.keep(6)
        new.sql("select pg_switch_wal()")
        wait_for(new.is_archived, "the new server's WAL is archived")
        new.control("stop", "--mode=fast")
        for cluster in ("main", "next"):
            self.assertTrue((self.repo / cluster / "wal").exists())
            self.assertEqual(len(list((self.repo / cluster / "wal").rglob("00000002.history*"))), 1)
            self.tool("verify", f"--cluster={cluster}")
        links = {cluster: json.loads(self.tool("list", f"--cluster={cluster}", "--json"))
                 for cluster in ("main", "next")}
        self.assertEqual((links["main"]["successor"], links["main"]["predecessor"]), ("next", None))
        self.assertEqual((links["next"]["successor"], links["next"]["predecessor"]), (None, "main"))
        self.assertEqual(self.restored_rows(old, "main", "old-again"), "1,2,3")
        self.assertEqual(self.restored_rows(new, "next", "new-again"), "1,2,3,4,5,6")


class Mistyped(ClusterTest):
    def test_no_repository_comes_of_it(self):
        nowhere = self.path / "nowhere"
        said = attempt(TOOL, "init", f"--repo={nowhere}", "--cluster=next", "--upgrade=main",
                       f"--data={self.cluster.data}")
        self.assertNotEqual(said.returncode, 0)
        self.assertFalse(nowhere.exists(), said.stderr)


if __name__ == "__main__":
    unittest.main()
