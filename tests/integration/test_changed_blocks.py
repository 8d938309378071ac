"""Which blocks changed, by the lists beside archived WAL, beside the files of the stopped server."""

import os
import pathlib
import re

from support.cluster import ClusterTest
from support.processes import BIN, run
from support.version import MAJOR

DRIVER = pathlib.Path(os.environ.get("DRIVERS", ".")) / "driver_changed"
PAGE, FILE_PAGES = 8192, 131072
PLACES = ((r"global", lambda match: (1664, 0)), (r"base/(\d+)", lambda match: (1663, int(match[1]))),
          (r"pg_tblspc/(\d+)/PG_[0-9_]+/(\d+)", lambda match: (int(match[1]), int(match[2]))))
REFERENCE = re.compile(r"rel (\d+)/(\d+)/(\d+)(?: fork (\w+))? blk (\d+)")
FORKS = {"": 0, "main": 0, "fsm": 1, "vm": 2, "init": 3}


class ChangedBlocks(ClusterTest):
    segment_mb = 1
    settings = {"max_prepared_transactions": 5, "autovacuum": "off", "wal_keep_size": "1GB"}

    def script(self, *lines):
        run(*self.cluster.psql(), stdin="\n".join(lines))

    def main_forks(self):
        """Content of each file of a logged relation's main fork."""
        found = {}
        for folder, _, names in os.walk(self.cluster.data, followlinks=True):
            path = pathlib.Path(folder)
            for pattern, place_of in PLACES:
                place = re.fullmatch(pattern, str(path.relative_to(self.cluster.data)))
                for name in names if place else ():
                    file = re.fullmatch(r"(\d+)(?:\.(\d+))?", name)
                    if file and f"{file[1]}_init" not in names:
                        found[(*place_of(place), int(file[1]), int(file[2] or 0))] = (path / name).read_bytes()
        return found

    def stopped(self):
        self.cluster.stop()
        return self.cluster.control()["Latest checkpoint's REDO location"], self.main_forks()

    def ask(self, begin, end, files):
        """Of each file the answer's word and the blocks."""
        asked = "".join(f"{' '.join(map(str, key[:3]))} {key[3] * FILE_PAGES} {max(1, len(content) // PAGE)}\n"
                        for key, content in files.items())
        head, *lines = run(DRIVER, self.repo, "main", 1, begin, end, self.cluster.data / "pg_wal",
                           stdin=asked).splitlines()
        self.assertTrue(head.endswith(" known"), head)
        answers = (line.split() for line in lines)
        return head, {(*map(int, words[:3]), int(words[3]) // FILE_PAGES): (words[4], set(map(int, words[5:])))
                      for words in answers}

    def change_much(self):
        place = self.path / "place"
        run("mkdir", "-m", "0700", place)
        ways = ("", " strategy = file_copy", " strategy = wal_log") if MAJOR >= 15 else ("",)
        self.script(f"create tablespace far location '{place}';",
                    *(f"create database d{number} template = other{way};" for number, way in enumerate(ways)),
                    "alter database d0 set tablespace far; drop database other;",
                    "update t set body = 'x' where n % 100 = 0; delete from t where n > 15000; vacuum t;",
                    "insert into t select n, 'y', point(n, n) from generate_series(20001, 25000) n;",
                    "vacuum full v; alter table moved set tablespace far;",
                    "begin; truncate cut; insert into cut values (1); rollback; truncate cut;",
                    "insert into cut select n from generate_series(1, 3000) n;",
                    "begin; update v set n = n + 1 where n < 9; prepare transaction 'one';",
                    "create index on t using gist (place); create index on cut using hash (n);")
        self.cluster.crash()
        self.cluster.start()
        self.script("commit prepared 'one';", "insert into sp values ('z'); select count(*) from sp;",
                    "select pg_logical_emit_message(false, 'x', repeat('l', 3000000));")

    def test_no_page_that_changed_is_left_out(self):
        self.script("create database other;", "create table t (n int primary key, body text, place point);",
                    "insert into t select n, md5(n::text), point(n, n) from generate_series(1, 20000) n;",
                    "create table v as select n from generate_series(1, 9000) n; create table cut as table v;",
                    "create table still as table v; create table moved as table v; create table sp (x text);",
                    "create index on sp using spgist (x); create unlogged table u as table v; vacuum freeze;")
        begin, old = self.stopped()
        self.cluster.start()
        self.change_much()
        still = self.cluster.sql("select pg_relation_filenode('still')")
        end, new = self.stopped()

        head, answers = self.ask(begin, end, new)
        changed = 0
        for key, content in new.items():
            word, named = answers[key]
            before = old.get(key, b"")
            if still == str(key[2]):
                self.assertEqual((word, named), ("none", set()))
            for at in range(0, min(len(before), len(content)), PAGE):
                if before[at:at + PAGE] != content[at:at + PAGE]:
                    changed += 1
                    self.assertIn(key[3] * FILE_PAGES + at // PAGE, named, f"{key} {word} {head}")
        self.assertGreater(changed, 100)
        self.assertLess(int(re.search(r"read=(\d+)", head)[1]), 3, head)
        self.compare_lists()

    def compare_lists(self):
        """Each list beside pg_waldump's references of the records that begin and end in the segment."""
        compared = 0
        for path in sorted((self.cluster.data / "pg_wal").glob("0" * 7 + "1*")):
            if not (self.repo / "main/wal" / path.name[:16] / f"{path.name}.wal").exists():
                continue
            *lines, _ = run(DRIVER, self.repo, "main", 1, "0/0", "0/0", "-", path.name).splitlines()
            # It ends with an error where the segment ends in the middle of a record.
            dump = run("sh", "-c", '"$0" --path "$1" "$2" 2>/dev/null || true', BIN / "pg_waldump", path.parent,
                       path.name)
            expected = {(int(space), int(database), int(relation), FORKS[fork], int(block))
                        for line in dump.splitlines() for space, database, relation, fork, block in
                        REFERENCE.findall(line)}
            expected |= {(int(space), int(database), int(relation), 0, 0)
                         for line in dump.splitlines() if "rmgr: SPGist" in line
                         for space, database, relation, *_ in REFERENCE.findall(line)}
            self.assertEqual({tuple(map(int, line.split())) for line in lines}, expected, path.name)
            compared += 1
        self.assertGreater(compared, 20)
