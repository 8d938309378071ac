"""The WAL reader beside pg_waldump: every record of varied WAL, on a real server."""

import os
import pathlib
import re

from support.cluster import ToolTest
from support.processes import BIN, attempt, run, wait_for
from support.version import MAJOR, backup_start, backup_stop

DRIVERS = pathlib.Path(os.environ.get("DRIVERS", "."))
DRIVER = DRIVERS / "driver_wal"
RMGRS = ["XLOG", "Transaction", "Storage", "CLOG", "Database", "Tablespace", "MultiXact", "RelMap",
         "Standby", "Heap2", "Heap", "Btree", "Hash", "Gin", "Gist", "Sequence", "SPGist", "BRIN",
         "CommitTs", "ReplicationOrigin", "Generic", "LogicalMessage"]
LINE = re.compile(r"rmgr: (\S+)\s+len \(rec/tot\):\s*\d+/\s*(\d+), tx:\s*(\d+), "
                  r"lsn: ([0-9A-F]+/[0-9A-F]+), prev ([0-9A-F]+/[0-9A-F]+), desc: (.*)")


def place(text):
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def event_of(rmgr, desc):
    """What our reader must say of this record, or ""."""
    words = desc.split()
    if rmgr == "Transaction" and words[0] in ("COMMIT", "ABORT"):
        return f"{words[0]} {' '.join(words[1:3])}"
    if rmgr == "Transaction" and words[0] in ("COMMIT_PREPARED", "ABORT_PREPARED"):
        return f"{words[0]} {words[1].rstrip(':')} {' '.join(words[2:4])}"
    if rmgr == "XLOG" and words[0] == "RESTORE_POINT":
        return f"RESTORE_POINT {desc.split(' ', 1)[1]}"
    if rmgr == "XLOG" and words[0] == "BACKUP_END":
        return f"BACKUP_END {place(words[1]):X}"
    if rmgr == "XLOG" and words[0] == "PARAMETER_CHANGE":
        values = dict(word.split("=") for word in words[1:])
        names = ("max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_xacts",
                 "max_locks_per_xact")
        level = {"minimal": 0, "replica": 1, "logical": 2}[values["wal_level"]]
        flags = [f"{name}={int(values[name] == 'on')}" for name in ("wal_log_hints",
                                                                   "track_commit_timestamp")]
        return " ".join(["PARAMETERS", *(f"{name}={values[name]}" for name in names),
                         f"wal_level={level}", *flags])
    if rmgr == "XLOG" and words[0] == "FPW_CHANGE":
        return "FPW_OFF" if words[1] == "false" else ""
    if rmgr == "XLOG" and words[0] in ("CHECKPOINT_SHUTDOWN", "CHECKPOINT_ONLINE"):
        timeline, previous = (re.search(rf"; {name} (\d+);", desc).group(1)
                              for name in ("tli", "prev tli"))
        if words[0] == "CHECKPOINT_SHUTDOWN" and timeline != previous:
            return f"TIMELINE {timeline} {previous}"
        return f"CHECKPOINT {timeline}"
    if rmgr == "XLOG" and words[0] == "END_OF_RECOVERY":
        timeline, previous = re.search(r"tli (\d+); prev tli (\d+)", desc).groups()
        return f"TIMELINE {timeline} {previous}"
    return ""


def fields_of_waldump(text):
    for line in text.splitlines():
        match = LINE.match(line)
        if not match:
            raise AssertionError(f"what is this? {line}")
        rmgr, total, xid, lsn, prev, desc = match.groups()
        event = event_of(rmgr, desc)
        # Ours names the transaction also where pg_waldump has it only in front.
        if event.startswith(("COMMIT ", "ABORT ")):
            word, when = event.split(" ", 1)
            event = f"{word} {xid} {when}"
        yield place(lsn), place(prev), int(total), int(xid), RMGRS.index(rmgr), event


def time_as_waldump(event):
    """Ours says "+00" and always six digits; pg_waldump prints them likewise but for the zone."""
    return event[:-3] if event.endswith("+00") else event


def fields_of_driver(text):
    lines = text.splitlines()
    for line in lines[:-1]:
        lsn, prev, total, xid, rmgr, _, *event = line.split(" ", 6)
        yield (place(lsn), place(prev), int(total), int(xid), int(rmgr),
               time_as_waldump(event[0]) if event else "")



def relation(path):
    """base/5/16384 as tablespace/database/number; a fork's name goes."""
    parts = re.sub("_(init|fsm|vm)$", "", path).split("/")
    if parts[0] == "global":
        return f"1664/0/{parts[1]}"
    if parts[0] == "base":
        return f"1663/{parts[1]}/{parts[2]}"
    return f"{parts[1]}/{parts[3]}/{parts[4]}"


def end_of_transaction(desc, xid):
    word = desc.split()[0]
    if "PREPARED" in word:
        xid = re.match(r"\S+ (\d+):", desc).group(1)
    found = [word.replace("_PREPARED", ""), str(xid)]
    parts = dict(part.strip().split(": ", 1) for part in desc.split(";")[1:] if ": " in part)
    found += [relation(path) for path in parts.get("rels", "").split()]
    found += [f"sub:{number}" for number in parts.get("subxacts", "").split()]
    found += [f"object:{item}" for item in parts.get("dropped stats", "").split()]
    return found


def changes_of(rmgr, xid, desc):
    """What wal_changes must say of this record."""
    words = desc.split()
    if rmgr == "Transaction" and re.match("(COMMIT|ABORT)", desc):
        return end_of_transaction(desc, xid)
    if rmgr == "Storage" and words[0] == "CREATE":
        return ["CREATE", relation(words[1])]
    if rmgr == "Storage" and words[0] == "TRUNCATE":
        return ["SHRINK", relation(words[1]), words[3]]
    if rmgr == "Database" and words[0] == "DROP":
        return ["DROP_DATABASE", words[2].split("/")[1]]
    if rmgr == "Tablespace" and words[0] == "DROP":
        return ["DROP_TABLESPACE", words[1]]
    if rmgr == "Standby" and words[0] == "RUNNING_XACTS":
        values = dict(zip(words[1::2], words[2::2]))
        return ["RUNNING", values["nextXid"], values["oldestRunningXid"].rstrip(";")]
    if rmgr == "Heap" and words[0] == "TRUNCATE":
        return ["TRUNCATE", re.search(r"nrelids:? (\d+)", desc).group(1)]
    blocks = re.search(r"blkref #\d+: rel (\d+)/(\d+)/(\d+).*? blk (\d+)", desc)
    if rmgr == "Heap" and blocks and blocks.group(1) == "1664" and words[0] in ("DELETE", "INPLACE"):
        item = re.search(r"\boff:? (\d+)", desc).group(1)
        return [words[0], f"{blocks.group(3)}/{blocks.group(4)}/{item}"]
    return ["BLOCK", blocks.group(2)] if blocks else None


class Waldump(ToolTest):

    def setUp(self):
        super().setUp()
        self.archive = self.path / "archive"
        run("mkdir", self.archive)
        self.cluster = self.server("primary").create(
            segment_mb=1, wal_level="logical", wal_compression="on", archive_mode="on",
            archive_command=f"cp %p {self.archive}/%f", max_prepared_transactions=10,
            track_commit_timestamp="on", autovacuum="on", max_wal_size="4MB", min_wal_size="2MB",
            checkpoint_timeout="30s", timezone="UTC", log_timezone="UTC").start()

    def script(self, *lines):
        """Each line in one session, as a statement of its own, so that savepoints work."""
        run(*self.cluster.psql(), stdin="\n".join(lines))

    def write_all_kinds(self):
        bench = ["-h", self.cluster.socket, "-U", "postgres"]
        run(BIN / "pgbench", *bench, "-i", "-q", "-s", "1", "postgres")
        run(BIN / "pgbench", *bench, "-n", "-t", "400", "-c", "4", "postgres")
        self.script(
            "create table t (n int primary key, body text);",
            "alter table t alter body set storage external;",
            "begin; insert into t values (1, 'a'); savepoint s; insert into t values (2, 'b');",
            "rollback to s; insert into t values (3, 'c'); release s; commit;",
            "begin; insert into t values (4, 'd'); rollback;",
            "begin; insert into t values (5, 'e'); prepare transaction 'one'; commit prepared 'one';",
            "begin; insert into t values (6, 'f'); prepare transaction 'two'; rollback prepared 'two';",
            "begin; create table dropped (n int); drop table t; savepoint x; create index on dropped (n);",
            "prepare transaction 'with everything';",
            "rollback prepared 'with everything';",
            "begin; create table kept as select 1 as n; alter table kept add column m int default 7;",
            "prepare transaction 'ddl'; commit prepared 'ddl';")
        self.script(
            "select pg_create_restore_point('before the storm');",
            "select pg_create_restore_point(repeat('n', 63));",
            "insert into t select 100 + n, repeat(md5(n::text), 400) from generate_series(1, 300) n;",
            "create sequence numbers; select nextval('numbers') from generate_series(1, 100);",
            "create index on t using gin (to_tsvector('simple', left(body, 500)));",
            "create index on t using hash (n); create index on t using brin (n);",
            "create index on t using gist (point(n, n));",
            "create index on t using spgist (left(body, 10));",
            "update t set body = body || 'x' where n % 2 = 0; delete from t where n % 3 = 0;",
            "vacuum t; checkpoint; update t set n = n + 1000; vacuum full t; truncate kept;",
            "select pg_logical_emit_message(false, 'huge', repeat('h', 2500000));",
            "select pg_logical_emit_message(true, 'large', repeat('l', 9000));",
            "create database other; alter database other set work_mem = '8MB'; drop database other;",
            f"create database other template template0 {'strategy file_copy' if MAJOR >= 15 else ''};",
            "drop database other;",
            "select pg_switch_wal();", "select txid_current();", "select pg_switch_wal();")
        # So many subtransactions that the commit is a record of many pages, and the commit log grows.
        self.script("create table many (n int);",
                    "do $$ begin for i in 1..33000 loop begin insert into many values (i);"
                    " exception when others then null; end; end loop; end $$;",
                    "select pg_switch_wal();")

        place = self.path / "place"
        run("mkdir", "-m", "0700", place)
        self.script(
            f"create tablespace elsewhere location '{place}';",
            "create table far (n int primary key) tablespace elsewhere;",
            "begin; savepoint s; drop table far; release s; create unlogged table u (n int);",
            "create table gone (n int); drop table gone; prepare transaction 'drops';",
            "commit prepared 'drops';",
            "drop tablespace elsewhere;",
            "alter table t set unlogged; alter table t set logged; cluster t using t_pkey;",
            "delete from t where n > 500; vacuum t;",
            "comment on database postgres is 'x'; comment on database postgres is null;")

    def write_rare_kinds(self):
        self.script(
            "create extension bloom; create table rare (n int primary key, body text, many int[]);",
            "create index on rare using bloom (n); create index on rare using gin (many);",
            "create index ranges on rare using brin (n) with (pages_per_range = 1);",
            "insert into rare select n, 'x', array[1] from generate_series(1, 12000) n;",
            # A lock by the transaction, an update by its subtransaction: a multixact each.
            "do $$ begin for i in 1..2100 loop perform 1 from rare where n = i for key share;"
            " begin update rare set body = 'y' where n = i; exception when others then null; end;"
            " end loop; end $$;",
            "insert into rare values (1) on conflict do nothing;",
            "insert into rare values (100001) on conflict do nothing;",
            "select gin_clean_pending_list('rare_many_idx'); delete from rare where n % 10 > 0;",
            "vacuum rare; select brin_desummarize_range('ranges', 0);",
            "vacuum full pg_class; vacuum full pg_database;")
        self.script(
            "create table from_far (n int); select pg_replication_origin_create('far');",
            "select pg_replication_origin_advance('far', '0/123');",
            "select pg_replication_origin_session_setup('far');",
            *(f"begin; select pg_replication_origin_xact_setup('0/{n}56', '2026-01-01 00:00Z'); {what};"
              for n, what in enumerate((
                  "savepoint s; insert into from_far values (1); release s; commit",
                  "truncate from_far; prepare transaction 'far'; commit prepared 'far'",
                  "create table later (n int); prepare transaction 'far'; rollback prepared 'far'",
                  "drop table from_far; commit"), 4)),
            "select pg_replication_origin_session_reset(); select pg_replication_origin_drop('far');")
        for codec in ("pglz", "lz4", "zstd", "off") if MAJOR >= 15 else ("off",):
            self.script("checkpoint;", f"set wal_compression = {codec};",
                        f"update rare set body = '{codec}'; update t set body = '{codec}' where n < 100;")

    def change_settings(self):
        self.cluster.stop()
        self.cluster.configure(max_connections=50, wal_log_hints="on",
                               wal_compression="lz4" if MAJOR >= 15 else "on")
        self.cluster.start()
        # The checkpointer logs this one when it reads the file anew, latest at a checkpoint.
        self.cluster.configure(full_page_writes="off")
        self.script("select pg_reload_conf();", "select pg_sleep(1);", "checkpoint;")
        self.script("insert into t select 20000 + n, 'z' from generate_series(1, 2000) n;",
                    f"select {backup_start('label')};", f"select {backup_stop()};",
                    "checkpoint; update t set body = 'y';")
        self.cluster.crash()
        self.cluster.start()
        run(BIN / "pgbench", "-h", self.cluster.socket, "-U", "postgres", "-n", "-t", "100", "-c",
            "2", "postgres")

    def begin_timeline_2(self):
        self.cluster.stop()
        run("touch", self.cluster.data / "recovery.signal")
        self.cluster.configure(restore_command=f"cp {self.archive}/%f %p")
        self.cluster.start()
        self.cluster.wait_until("select not pg_is_in_recovery()")
        self.script("insert into t select 40000 + n, 'z' from generate_series(1, 20000) n;")
        self.cluster.switch_wal()

    def segments(self, timeline):
        """Those that cp is done with."""
        return sorted(path for path in self.archive.glob(f"{timeline:08X}*")
                      if re.fullmatch("[0-9A-F]{24}", path.name) and path.stat().st_size == 1 << 20)

    def driver(self, *words):
        return run(DRIVER, words[0], MAJOR, *words[1:])

    def dump(self, timeline):
        """The segments that are archived now, and what pg_waldump says of them."""
        files = self.segments(timeline)
        # It ends with an error where the WAL ends.
        done = attempt(BIN / "pg_waldump", "--path", self.archive, f"--timeline={timeline}",
                       files[0].name, files[-1].name, environment={"TZ": "UTC"})
        self.assertTrue(done.stdout, done.stderr)
        return files, done.stdout

    def compare(self, files, dump):
        """Both must say the same of each record; gives how many there were and their events."""
        expected = list(fields_of_waldump(dump))
        text = self.driver("print", *files)
        found = list(fields_of_driver(text))
        for ours, theirs in zip(found, expected):
            if "UTC" in theirs[-1]:
                theirs = (*theirs[:-1], theirs[-1].replace(" UTC", "").rstrip(";"))
            self.assertEqual(ours[:-1], theirs[:-1])
            self.assertEqual(ours[-1].replace(".000000", ""),
                             theirs[-1].rstrip(";").replace(".000000", ""))
        self.assertEqual(len(found), len(expected), text.splitlines()[-1])
        return [fields[-1] for fields in found], text.splitlines()[-1]

    def compare_changes(self, files, dump):
        """What records do to files and databases, as pg_waldump tells it; gives the words seen."""
        theirs_all = dump.splitlines()
        ours = run(DRIVERS / "driver_wal_changes", MAJOR, *files).splitlines()
        seen = set()
        for line, theirs in zip(ours, theirs_all):
            rmgr, _, xid, lsn, _, desc = LINE.match(theirs).groups()
            found = line.split()
            expected = changes_of(rmgr, xid, desc)
            self.assertEqual(place(found[0]), place(lsn))
            if rmgr == "XLOG" and "CHECKPOINT_SHUTDOWN" in desc:
                next_xid = re.search(r"; xid \d+:(\d+);", desc).group(1)
                self.assertIn("oldest running xid 0;", desc)
                expected = ["RUNNING", next_xid, "0"]
            self.assertEqual(found[1:], expected or [], theirs)
            seen.update(word.split(":")[0] for word in found[1:] if word[0].isalpha())
        self.assertEqual(len(ours), len(theirs_all))
        return seen

    def check_ends(self, timeline):
        """What a segment alone says of its ends fits what its neighbours say."""
        lines = self.driver("ends", *self.segments(timeline)).splitlines()
        names = ("end", "first", "first_prev", "last", "last_end", "head", "tail", "missing")
        previous = None
        straddling = 0
        for line in lines:
            words = line.split()[1:]
            state = {name: words[words.index(name) + 1] for name in names}
            self.assertIn(state["end"], ("open", "switch"), line)
            if previous:
                if previous["tail"] != "0/0":
                    straddling += 1
                    self.assertEqual(state["head"], previous["missing"], line)
                    if state["first"] != "0/0":
                        self.assertEqual(state["first_prev"], previous["tail"], line)
                elif previous["first"] != "0/0":
                    self.assertEqual(state["head"], "0", line)
                    self.assertEqual(state["first_prev"], previous["last"], line)
            previous = state
        return straddling

    def test_every_record_is_as_pg_waldump_says(self):
        self.write_all_kinds()
        self.write_rare_kinds()
        self.change_settings()
        self.cluster.switch_wal()
        files, dump = self.dump(1)
        events, end = self.compare(files, dump)
        self.assertRegex(end, "^end (open|switch) ")
        self.assertGreater(len(events), 100000)
        self.assertEqual({match[1] for match in map(LINE.match, dump.splitlines())}, set(RMGRS))
        for kind in ("COMMIT", "ABORT", "COMMIT_PREPARED", "ABORT_PREPARED", "RESTORE_POINT",
                     "BACKUP_END", "PARAMETERS", "FPW_OFF", "CHECKPOINT"):
            self.assertTrue(any(event.startswith(f"{kind} ") or event == kind for event in events),
                            kind)
        self.assertGreater(self.check_ends(1), 10)
        self.assertEqual(
            self.compare_changes(files, dump) - {"object"},
            {"COMMIT", "ABORT", "sub", "CREATE", "SHRINK", "DROP_DATABASE", "DROP_TABLESPACE",
             "RUNNING", "TRUNCATE", "DELETE", "INPLACE", "BLOCK"})

        self.begin_timeline_2()
        events, _ = self.compare(*self.dump(2))
        self.assertTrue(any(event.startswith("TIMELINE 2 1") for event in events))
        self.check_ends(2)

    def test_a_segment_padded_with_zeros_is_no_whole_one(self):
        self.script("create table t as select n, md5(n::text) from generate_series(1, 30000) n;",
                    "select pg_switch_wal();")
        whole = wait_for(lambda: next(iter(self.segments(1)), None), "a whole segment")
        bytes_ = whole.read_bytes()
        padded = self.path / whole.name
        for cut in [8192 * pages for pages in range(1, 127, 7)] + [100000, 123456, 500001]:
            padded.write_bytes(bytes_[:cut] + bytes(len(bytes_) - cut))
            padded.chmod(0o644)
            line = self.driver("ends", padded)
            self.assertIn(" end broken ", line)
            self.assertIn(" zero 1 ", line)

