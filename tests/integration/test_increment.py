"""
A backup shares what did not change with an earlier one, and is complete by itself: what comes out of
an increment is byte for byte what comes out of a full backup of the same quiet instant.
"""

import os
import random
import shutil
import unittest

from support import golden
from support.cluster import make_directory
from support.processes import run
from test_backup import BackupTest

# What the two backups, and the restores, have each for themselves.
OWN = {"backup_label", "global/pg_control", "backup_manifest", "postgresql.auto.conf", "pgcairn.recovery",
       "recovery.signal"}
WORK = """
    create table t{n} as select g as n, repeat('x', 90) as what from generate_series(1, 3000) g;
    create index on t{n} (n);
    update kept set what = what || '.' where n % {modulus} = 0;
    delete from grown where n > {cut};
    insert into grown select g, repeat('y', 200) from generate_series({cut}, 9000) g;
"""
STEPS = ("vacuum full kept", "truncate grown",
         "reindex table kept", "alter table kept set tablespace elsewhere", "vacuum freeze kept",
         "drop table t0", "create database copied template shop", "cluster kept using kept_pkey")


class Rounds(BackupTest):
    segment_mb = 1
    settings = {"autovacuum": "off", "checkpoint_timeout": "1h"}

    def clock(self, seconds):
        """Of the tool alone. A file that changed just before it is read counts as changed the next time."""
        return {"LD_PRELOAD": f"{os.environ['DRIVERS']}/clock_shift.so", "CLOCK_SHIFT_S": str(seconds)}

    def tree(self, backup):
        place = make_directory(self.path / f"of-{backup}")
        oid = self.cluster.sql("select oid from pg_tablespace where spcname = 'elsewhere'")
        self.tool("restore", f"--data={place}/data", f"--backup={backup}", "--target=immediate", "--as-copy",
                  f"--tablespace={oid}={make_directory(place / 'elsewhere')}")
        found = golden.tree(place / "data")
        shutil.rmtree(place)
        return {path: what for path, what in found.items() if path not in OWN and not path.startswith("pg_wal/")}

    def assert_same(self, increment, full):
        one, other = self.tree(increment), self.tree(full)
        self.assertEqual({path: (one.get(path), other.get(path)) for path in one.keys() | other.keys()
                          if one.get(path) != other.get(path)}, {})

    def two_backups(self, seconds):
        """An increment, and a full one, with nothing in between."""
        increment = self.backup(environment=self.clock(seconds))
        full = self.backup("--full", environment=self.clock(seconds))
        self.assertIsNone(full["base"])
        self.assertEqual((full["shared_bytes"], full["read_bytes"] >= full["bytes"] - 8192), (0, True))
        return increment, full

    def backup(self, *arguments, expect=0, environment=None):
        return self.tool_json("backup", f"--data={self.cluster.data}", "--jobs=2", *arguments, expect=expect,
                              environment=environment or self.clock(0))

    def work(self, number, chance):
        self.cluster.sql("vacuum (truncate) grown")
        self.cluster.sql(WORK.format(n=number, modulus=chance.randrange(2, 400), cut=chance.randrange(1, 9000)))
        self.cluster.sql(chance.choice(STEPS) if number != 3 else "drop database if exists copied")

    def begin(self):
        self.cluster.tablespace("elsewhere")
        self.cluster.sql("create database shop")
        self.cluster.sql("create table kept as select g as n, md5(g::text) as what from generate_series(1, 20000) g")
        self.cluster.sql("alter table kept add primary key (n)")
        self.cluster.sql("create table grown as select g as n, 'y' as what from generate_series(1, 9000) g")
        self.cluster.sql("create table never as select g as n, md5(g::text) as what from generate_series(1, 30000) g")

    def test_an_increment_is_what_a_full_backup_is(self):
        chance = random.Random(int(os.environ.get("SEED", "7")))
        self.begin()
        first = self.backup(environment=self.clock(100))
        self.assertEqual((first["base"], first["changes_by"]), (None, "all"))
        for number in range(int(os.environ.get("ROUNDS", "2"))):
            self.work(number, chance)
            increment, full = self.two_backups(200 + 100 * number)
            self.assertIsNotNone(increment["base"])
            self.assertLess(increment["new_bytes"], full["new_bytes"])
            self.assert_same(increment["backup"], full["backup"])
        self.nothing_changed(increment["backup"], full)
        self.what_removing_frees()
        self.tool("verify")
        self.from_a_snapshot()

    def nothing_changed(self, before, full):
        """Next to nothing is stored, and what nobody wrote to is not even read; then everything is."""
        idle = self.backup(environment=self.clock(600))
        self.assertEqual((idle["base"], idle["changes_by"], idle["times_not_used"]),
                         (full["backup"], "wal", None))
        self.assertGreater(idle["ranges_unread"], 3)
        self.assertLess(idle["read_bytes"], full["read_bytes"] * 0.8)
        self.assertLess(idle["new_bytes"], full["new_bytes"] / 50)
        self.assert_same(idle["backup"], before)
        checked = self.backup("--check-unchanged", environment=self.clock(601))
        self.assertEqual((checked["ranges_unread"], checked["surprises"]), (0, 0))
        self.assertLess(checked["new_bytes"], full["new_bytes"] / 50)
        self.assertIn("--no-reuse-unread", self.backup("--no-reuse-unread", environment=self.clock(602))["times_not_used"])
        self.assertIn("clock has gone back", self.backup(environment=self.clock(0))["times_not_used"])

    def what_removing_frees(self):
        """Only what no other backup refers to; and what one says it stored is in its own packs."""
        listed = self.listed()
        stored = sum(path.stat().st_size for path in (self.repo / "main" / "pack").rglob("*") if path.is_file())
        self.assertEqual(sum(item["stored_bytes"] for item in listed), stored)
        for item in listed:
            self.assertLessEqual(item["freed_bytes"], item["stored_bytes"])
            self.assertEqual(item["bytes"], item["new_bytes"] + item["shared_bytes"])
        self.assertEqual(listed[-1]["freed_bytes"], listed[-1]["stored_bytes"])
        self.assertEqual(self.tool_json("list", f"--backup={listed[1]['backup']}"), listed[1])
        shown = self.tool("list", f"--backup={listed[1]['backup']}")
        for words in (f"base       {listed[0]['backup']}", "removing   would free", "timeline 1"):
            self.assertIn(words, shown)
        self.tool_fails(6, "has no backup", "list", "--backup=20261122T031500Z-aaaaaa")

    def from_a_snapshot(self):
        """The data directory as it was before the last backup: it says so, and compares every page."""
        self.cluster.stop()
        run("cp", "-a", self.cluster.data, self.path / "snapshot")
        self.cluster.start(archive_command="true")
        self.work(3, random.Random(1))
        self.backup("--wal-wait=1ms", expect=3, environment=self.clock(700))
        self.cluster.stop()
        run("rm", "-rf", self.cluster.data)
        run("mv", self.path / "snapshot", self.cluster.data)
        self.cluster.start(archive_command="true")
        again = self.backup("--wal-wait=1ms", expect=3, environment=self.clock(800))
        self.assertIn("set back", again["times_not_used"])


if __name__ == "__main__":
    unittest.main()
