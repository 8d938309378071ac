"""
A backup reads only the blocks that the WAL since its base names, and is complete all the same: after
random work of each kind its tree is byte for byte that of a full backup at the same quiet instant.
PGCAIRN_SEED, PGCAIRN_INCREMENT_ROUNDS: other work, and more of it, told of line by line. A block that is
not named is found out; PGCAIRN_AUDIT=1: in the turn of its range, and not by --check-unchanged.
"""

import hashlib
import os
import pathlib
import random
import shutil

from support.cluster import make_directory
from support.processes import run
from support.version import MAJOR
from test_backup import BackupTest

# What each restore has for itself.
OWN = {"backup_label", "tablespace_map", "global/pg_control", "backup_manifest", "postgresql.auto.conf",
       "pgcairn.recovery", "recovery.signal", "postmaster.opts"}
BEGIN = """
    create table kept (n int, what text, place point, words text[]) with (fillfactor = 90);
    insert into kept select g, md5(g::text), point(g, g), array[md5(g::text), 'x'] from generate_series(1, 30000) g;
    alter table kept add primary key (n);
    create index kept_gist on kept using gist (place); create index kept_gin on kept using gin (words);
    create index kept_spgist on kept using spgist (what); create index kept_brin on kept using brin (n);
    create index kept_hash on kept using hash (what);
    create table never as select g as n, md5(g::text) as what from generate_series(1, 60000) g;
    create table grown as select g as n, repeat('y', 90) as what from generate_series(1, 30000) g;
    create table moved as table never; create unlogged table fleeting as table never;
    create sequence counted; vacuum (freeze, analyze);
"""


class IncrementByWal(BackupTest):
    segment_mb = 1
    settings = {"autovacuum": "off", "checkpoint_timeout": "1h", "max_prepared_transactions": 5, "wal_keep_size": "0",
                "min_wal_size": "2MB"}

    def script(self, text, database="postgres"):
        run(*self.cluster.psql(database), stdin=text)

    def back_up(self, *arguments, expect=0):
        return self.backup("--jobs=2", *arguments, expect=expect)

    # -- what happens between two backups ----------------------------------------------------------

    def few_rows(self, chance):
        self.cluster.sql(f"update kept set what = what || '.' where n % {chance.randrange(100, 9000)} = 0")

    def hints(self, chance):
        self.cluster.sql(f"update kept set place = point(n, 1) where n % {chance.randrange(10, 900)} = 0")
        self.cluster.sql("checkpoint")
        self.script("select count(*) from kept; select nextval('counted') from generate_series(1, 100)")

    def regrown(self, chance):
        cut = chance.randrange(1, 30000)
        self.cluster.sql(f"delete from grown where n > {cut}")
        self.cluster.sql("vacuum (truncate) grown")
        if chance.random() < 0.7:
            self.cluster.sql(f"insert into grown select g, repeat('z', 90) from generate_series({cut}, 30000) g")

    def truncated(self, chance):
        self.script("begin; truncate grown; insert into grown values (1, 'no'); rollback")
        if chance.random() < 0.5:
            self.cluster.sql("truncate grown; insert into grown select g, 'new' from generate_series(1, 20000) g")

    def anew(self, chance):
        self.cluster.sql(chance.choice(("vacuum full kept", "reindex table kept", "cluster kept using kept_pkey",
                                        "vacuum (freeze) kept")))

    def database(self, chance):
        name = f"d{chance.randrange(10**9)}"
        way = chance.choice(("", " strategy = file_copy", " strategy = wal_log")) if MAJOR >= 15 else ""
        self.cluster.sql(f"create database {name} template shop{way}")
        self.cluster.sql("update stock set n = n + 1 where n % 50 = 0", name)
        if chance.random() < 0.5:
            self.cluster.sql(f"alter database {name} set tablespace elsewhere")
        if chance.random() < 0.6:
            self.cluster.sql(f"drop database {name}")

    def elsewhere(self, chance):
        self.cluster.sql(f"alter table moved set tablespace {chance.choice(('elsewhere', 'pg_default'))}")
        self.cluster.sql("update moved set n = -n where n % 1000 = 0")

    def prepared(self, chance):
        name = f"p{chance.randrange(10**9)}"
        self.script(f"begin; create table {name} as table never; update kept set n = n where n < 50;"
                         f"prepare transaction '{name}'")
        if chance.random() < 0.5:
            self.cluster.crash()
            self.cluster.start()
        self.cluster.sql(chance.choice(("commit", "rollback")) + f" prepared '{name}'")

    def unlogged(self, chance):
        self.script(chance.choice((
            "insert into fleeting select g, 'u' from generate_series(1, 2000) g",
            "alter table fleeting set logged; alter table fleeting set unlogged",
            "drop table if exists once; create unlogged table once as table never; alter table once set logged")))

    def crashed(self, chance):
        self.cluster.sql(f"update never set n = n where n % {chance.randrange(3000, 9000)} = 0")
        self.cluster.crash()
        self.cluster.start()

    def promoted(self, _):
        self.cluster.stop()
        (self.cluster.data / "standby.signal").touch()
        shutil.chown(self.cluster.data / "standby.signal", *self.owner())
        self.cluster.start(restore_command="false")
        self.cluster.sql("select pg_promote()")
        self.cluster.wait_until("select not pg_is_in_recovery()")

    def without_wal(self, _):
        """What is written with wal_level = minimal is in no WAL."""
        self.cluster.stop()
        self.cluster.start(wal_level="minimal", archive_mode="off", max_wal_senders=0)
        self.script("begin; create table bulk (n int, what text); insert into bulk select g, 'bulk' from"
                         " generate_series(1, 20000) g; commit; drop table bulk; update never set n = n where n < 9")
        self.cluster.stop()
        self.cluster.start()

    ordinary = (few_rows, hints, regrown, truncated, anew, database, elsewhere, prepared, unlogged, crashed)
    breaks = (promoted, without_wal)

    def owner(self):
        about = self.cluster.data.stat()
        return about.st_uid, about.st_gid

    # -- the comparison ----------------------------------------------------------------------------

    def tree(self, backup):
        place = make_directory(self.path / f"of-{backup}")
        oid = self.cluster.sql("select oid from pg_tablespace where spcname = 'elsewhere'")
        self.tool("restore", f"--data={place}/data", f"--backup={backup}", "--target=immediate", "--as-copy",
                  f"--tablespace={oid}={make_directory(place / 'elsewhere')}")
        found = {}
        for folder, _, names in os.walk(place / "data", followlinks=True):
            for name in names:
                path = pathlib.Path(folder) / name
                found[str(path.relative_to(place / "data"))] = hashlib.sha256(path.read_bytes()).hexdigest()
        shutil.rmtree(place)
        return {path: what for path, what in found.items() if path not in OWN and not path.startswith("pg_wal/")}

    def assert_same(self, increment, full):
        one, other = self.tree(increment), self.tree(full)
        self.assertEqual({path: (one.get(path), other.get(path)) for path in one.keys() | other.keys()
                          if one.get(path) != other.get(path)}, {})

    def begin(self):
        self.cluster.tablespace("elsewhere")
        self.script(BEGIN)
        self.cluster.sql("create database shop")
        self.cluster.sql("create table stock as select g as n, md5(g::text) as what from generate_series(1, 20000) g",
                         "shop")
        return self.back_up()

    def rounds(self, count, chance):
        """Each increment has the one before for its base; the full one beside it leaves again."""
        base = self.begin()
        by_wal = unnamed = 0
        for number in range(count):
            steps = [chance.choice(self.ordinary) for _ in range(chance.randrange(1, 4))]
            if number and chance.random() < 0.15:
                steps.append(chance.choice(self.breaks))
            for step in steps:
                step(self, chance)
            did = " ".join(step.__name__ for step in steps)
            with self.subTest(round=number, did=did):
                increment = self.back_up()
                self.assertEqual((increment["base"], increment["surprises"]), (base["backup"], 0))
                full = self.back_up("--full")
                self.assert_same(increment["backup"], full["backup"])
            if "PGCAIRN_INCREMENT_ROUNDS" in os.environ:
                print(number, did, increment["changes_by"], increment["wal_not_used"], increment["unnamed_bytes"],
                      increment["read_bytes"], increment["wal_segments"], increment["wal_read_count"], flush=True)
            shutil.rmtree(self.repo / "main" / "backup" / full["backup"])
            by_wal += increment["changes_by"] == "wal"
            unnamed += increment["unnamed_bytes"]
            base = increment
        return by_wal, unnamed

    def test_an_increment_by_wal_is_what_a_full_backup_is(self):
        count = int(os.environ.get("PGCAIRN_INCREMENT_ROUNDS", "4"))
        by_wal, unnamed = self.rounds(count, random.Random(int(os.environ.get("PGCAIRN_SEED") or "11")))
        self.assertGreaterEqual(by_wal, count // 2)
        self.assertGreater(unnamed, by_wal << 20)


class Withheld(BackupTest):
    """A list lacks a block that its segment's WAL names: as if there were a fault in pgcairn."""

    segment_mb = 1

    def withhold(self):
        """Of a file of which another block is named: one that was written to, and of which none is, is read."""
        self.cluster.sql("update asset set m = m + 1 where n = 10000")
        self.cluster.switch_wal()
        self.cluster.reconfigure(
            archive_command=f"env PGCAIRN_FAULT=wal-object.withhold-block:fail {self.archive_command()}")
        self.cluster.sql("update asset set m = m + 1 where n = 50000")  # the last one is withheld
        self.cluster.switch_wal()
        self.cluster.reconfigure(archive_command=self.archive_command())

    def file_of(self, backup, path):
        place = self.path / f"of-{backup}"
        self.tool("restore", f"--data={place}", f"--backup={backup}", "--target=immediate", "--as-copy")
        return (place / path).read_bytes()

    def test_a_block_that_no_list_names_is_found_out(self):
        self.cluster.sql("create table asset (n int, m int) with (fillfactor = 50)")
        self.cluster.sql("insert into asset select g, 0 from generate_series(1, 100000) g")
        self.cluster.sql("vacuum freeze asset")
        path = self.cluster.sql("select pg_relation_filepath('asset')")
        block = self.cluster.sql("select (ctid::text::point)[0]::int from asset where n = 50000")
        self.backup()
        self.withhold()
        misled = self.backup()
        self.assertEqual((misled["changes_by"], misled["surprises"]), ("wal", 0))
        self.assertIn("the WAL names", self.tool("list", f"--backup={misled['backup']}"))
        live = (self.cluster.data / path).read_bytes()
        stale = self.file_of(misled["backup"], path)
        self.assertEqual([number for number in range(len(live) // 8192)
                          if live[number * 8192:][:8192] != stale[number * 8192:][:8192]], [int(block)])
        self.found_out(path, block)
        self.assertEqual(self.file_of(self.listed()[-1]["backup"], path), live)
        self.assertIn("that no WAL since then names, by the lists of", self.tool("backup", f"--data={self.cluster.data}"))

    def found_out(self, path, block):
        options = [] if os.environ.get("PGCAIRN_AUDIT") else ["--check-unchanged"]
        for _ in range(64):
            done = self.attempt("backup", f"--data={self.cluster.data}", *options)
            if done.returncode == 3 or options:
                break
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
        self.assertRegex(done.stderr, f"block {block} of {path} is not as backup .* has it, and {'no WAL' if options else ''}")
