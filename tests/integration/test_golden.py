"""
What an earlier pgcairn has stored is read by this one, and says the same: tests/golden/make tells
what is in it. A test here that fails means that this build misreads backups that there are.
"""

import hashlib
import shutil
import time
import unittest

from support import golden
from support.archive import content_of
from support.cluster import ToolTest, make_directory
from support.processes import wait_for
from support.version import MAJOR

# Written by restore, not read from the backup.
OURS = {"postgresql.auto.conf", "recovery.signal", "pgcairn.recovery", "backup_manifest"}
PLACE = "/tmp/pgcairn-golden"


class Golden(ToolTest):
    def setUp(self):
        super().setUp()
        self.expected = golden.expected()
        golden.extract(self.repo)

    def elsewhere(self, backup):
        """The option that puts the backup's tablespace below our own directory."""
        oid = next(path.split("/")[1] for path in self.expected["trees"][backup] if path.startswith("pg_tblspc/"))
        return f"--tablespace={oid}={make_directory(self.path / f'away-{backup}')}"

    def test_it_is_listed_verified_and_remembered_as_it_was(self):
        found, wanted = golden.facts(self.tool_json), self.expected["facts"]
        self.assertEqual(wanted["believed"][0]["backups"], 2)
        if time.time() < (self.repo / "repository").stat().st_mtime + 60:
            del wanted["believed"]  # a clock that is behind believes nothing that comes later
        for what in wanted:
            self.assertEqual(found[what], wanted[what], what)

    def test_every_wal_file_is_handed_out_as_it_was_pushed(self):
        self.assertEqual(golden.wal_of(self.repo, content_of), self.expected["wal"])
        place = make_directory(self.path / "got")
        for name, wanted in self.expected["wal"].items():
            self.tool("archive-get", name, place / name)
            self.assertEqual(hashlib.sha256((place / name).read_bytes()).hexdigest(), wanted, name)

    def test_each_backup_is_restored_as_it_was(self):
        for backup, wanted in self.expected["trees"].items():
            data = self.path / f"data-{backup}"
            self.tool("restore", f"--data={data}", f"--backup={backup}", "--target=immediate", "--as-copy",
                      self.elsewhere(backup))
            found = golden.tree(data)
            self.assertEqual({path: found.get(path) for path in wanted.keys() - OURS},
                             {path: wanted[path] for path in wanted.keys() - OURS})

    def test_each_backup_is_unpacked_by_the_description_as_it_was(self):
        self.addCleanup(shutil.rmtree, PLACE, ignore_errors=True)
        for backup, wanted in self.expected["trees"].items():
            self.assertEqual(golden.tree(golden.unpack(self.path, self.repo, backup)), wanted)

    @unittest.skipUnless(MAJOR == 15, "it is a cluster of PostgreSQL 15")
    def test_a_server_recovers_from_it_to_the_end_of_the_archive(self):
        """Over two timelines, to the last commit in the pieces of an open segment."""
        server = self.server("restored", port=5439)
        first = self.expected["backups"][0]
        self.tool("restore", f"--data={server.data}", "--start", "--checks=none", "--as-copy", f"--port={server.port}",
                  f"--socket={server.socket}", f"--backup={first}", self.elsewhere(first))
        wait_for(lambda: server.sql("select pg_is_in_recovery()") == "f", "the end of recovery")
        self.assertEqual(server.sql("select string_agg(n::text, ',' order by n) from away"), "1,4,5,6")
        self.assertEqual(server.sql("select count(*), min(n), max(n) from numbers"), "1500|1|10200")
        self.assertEqual(server.sql("select count(*) from numbers where what <> md5(n::text)"), "0")
        self.assertEqual(server.sql("select count(*), max(length(what)) from large"), "400|700")


if __name__ == "__main__":
    unittest.main()
