"""pgcairn log: what happened when, from the archive; and that it leads to the restore that helps."""

import json
import re

from support.archive import flip, object_of
from support.cluster import ClusterTest
from support.processes import BIN, attempt, run
from support.version import MAJOR

COMMIT = re.compile(r"rmgr: Transaction.*?tx:\s*(\d+), lsn: (\S+), prev \S+ desc: COMMIT(_PREPARED)? "
                    r"(?:(\d+): )?(\S+ \S+) UTC")


class LogTest(ClusterTest):

    segment_mb = 1
    settings = {"max_prepared_transactions": 5, "autovacuum": "off"}

    def transaction(self, *statements, database="postgres"):
        """Run them in one transaction; its xid."""
        lines = ("begin", *statements, "select 'xid=' || txid_current()", "commit")
        done = run(*self.cluster.psql(database), stdin="".join(f"{line};\n" for line in lines))
        return int(re.search(r"xid=(\d+)", done).group(1))

    def log(self, *options, expect=0):
        """All lines of the answer; the last is the end."""
        lines = [json.loads(line) for line in
                 self.tool("log", "--json", *options, expect=expect).splitlines()]
        self.assertEqual(lines[-1]["kind"], "end")
        return lines[:-1], lines[-1]

    def commit_of(self, lines, xid):
        found = [line for line in lines if line["kind"] == "commit" and line["xid"] == xid]
        self.assertEqual(len(found), 1, f"xid {xid}: {found}")
        return found[0]

    def fates(self, line):
        """Relation (or file number, as "?") and what became of it."""
        return sorted((file["relation"] or "?", file["fate"]) for file in line["files"])


class Drops(LogTest):
    """Everything that removes files, told apart."""

    def setUp(self):
        super().setUp()
        self.cluster.sql("""
            create table orders (id serial primary key, note text);
            insert into orders (note) select md5(n::text) from generate_series(1, 5000) n;
            create schema sales; create table sales.plain as select n from generate_series(1, 100) n;
            create table vacuumed (n int primary key); insert into vacuumed values (1);
            create table kept (n int); create table sub1 (n int); create table sub2 (n int);
            create table prep (n int); create table a (n int); create table c (n int);
            create table held (n int); create table gone1 (n int primary key, note text);
            create table gone2 (n int); create table gone3 (n int);
            create view v as select 1; create unlogged table quick (n int)""")
        self.cluster.sql("create database gone")
        self.cluster.sql("create table there as select 7 as n", "gone")
        self.tool("backup", f"--data={self.cluster.data}")

    def test_what_a_commit_removed_is_told_and_leads_to_the_restore_that_has_it(self):
        for _ in range(2):  # segments in which --drops finds nothing to look for
            self.cluster.switch_wal()
            self.cluster.sql("insert into prep values (1)")
        self.cluster.switch_wal()
        late = self.transaction("create table late (n int)")
        before = self.transaction("insert into kept values (1)")
        orders = self.transaction("drop table orders")
        truncated = self.transaction("truncate sales.plain")
        altered = self.transaction("alter table sales.plain alter n type bigint")
        dropped_late = self.transaction("drop table late")
        own = self.transaction("create table own (n int primary key)", "insert into own values (1)",
                               "drop table own")
        subtransaction = self.transaction("savepoint s", "drop table sub1", "release s")
        undone = self.transaction("savepoint s", "drop table sub2", "rollback to s",
                                  "insert into kept values (2)")
        swapped = self.transaction("drop table a", "create table b (n int)")
        both = self.transaction("truncate kept", "drop table c")
        unlogged = self.transaction("truncate quick")
        view = self.transaction("drop view v")
        self.cluster.sql("begin; drop table prep; prepare transaction 'one'")
        prepared = int(self.cluster.sql("select transaction from pg_prepared_xacts"))
        self.cluster.sql("commit prepared 'one'")
        self.cluster.sql("begin; drop table kept; rollback")
        self.cluster.sql("vacuum full vacuumed")
        self.cluster.sql("insert into vacuumed values (2)")
        self.cluster.sql("select pg_create_restore_point('before the end')")
        self.cluster.sql("drop database gone")
        self.cluster.switch_wal()

        lines, end = self.log()
        self.check_against_waldump(lines)
        self.assertTrue(end["end_of_archive"])
        self.assertEqual(end["gaps"], 0)
        for xid in (late, before, own, undone):
            self.assertEqual(self.commit_of(lines, xid)["files"], [])
            self.assertNotIn("undo", self.commit_of(lines, xid))
            self.assertEqual(self.commit_of(lines, xid)["database"], "postgres")
        found = self.commit_of(lines, orders)
        self.assertEqual([fate for fate in self.fates(found) if "toast" not in fate[0]],
                         [("orders", "dropped"), ("orders_id_seq", "dropped"),
                          ("orders_pkey", "dropped")])
        self.assertEqual(len(found["files"]), 5)
        self.assertEqual(found["database"], "postgres")
        unclear = "replaced" if MAJOR >= 15 else "unclear"
        self.assertEqual(self.fates(self.commit_of(lines, truncated)), [("plain", unclear)])
        self.assertEqual(self.commit_of(lines, truncated)["files"][0]["schema"], "sales")
        self.assertEqual(self.fates(self.commit_of(lines, altered)), [("?", unclear)])
        self.assertEqual(self.fates(self.commit_of(lines, dropped_late)), [("?", "dropped")])
        self.assertEqual(self.fates(self.commit_of(lines, subtransaction)), [("sub1", "dropped")])
        self.assertEqual(self.fates(self.commit_of(lines, prepared)), [("prep", "dropped")])
        self.assertTrue(self.commit_of(lines, prepared)["prepared"])
        certain = "dropped" if MAJOR >= 15 else "unclear"
        self.assertEqual(self.fates(self.commit_of(lines, swapped)), [("a", certain)])
        self.assertEqual(self.fates(self.commit_of(lines, both)), [("c", certain), ("kept", unclear)])
        self.assertEqual(self.fates(self.commit_of(lines, unlogged)), [("quick", unclear)])
        self.assertEqual(self.commit_of(lines, view)["files"], [])
        if MAJOR >= 15:
            self.assertEqual(self.commit_of(lines, view)["relations_dropped"], 1)
        full = [line for line in lines if line["kind"] == "commit" and
                ("vacuumed", unclear) in self.fates(line)]
        self.assertEqual(len(full), 1)
        self.assertEqual({fate for _, fate in self.fates(full[0])}, {unclear})
        self.assertIn("before the end", [line.get("name") for line in lines])

        self.tool("verify")  # the bits in the trailers that chose the segments, too

        drops, end = self.log("--drops")
        self.assertEqual(drops, [line for line in lines if "undo" in line])
        self.assertLess(end["segments_read"], end["segments"])
        text = self.tool("log", "--drops")
        self.assertRegex(text, rf"xid {orders} +dropped 5 relations of database postgres: "
                               r"orders(_id_seq)?, orders(_id_seq)?, orders_pkey, pg_toast\S+, pg_toast\S+ +"
                               rf"\[--target-xid={orders} --target-exclusive\]")
        gone = [line for line in drops if line["databases"]]
        self.assertEqual([database["database"] for database in gone[0]["databases"]], ["gone"])
        self.assertTrue(gone[0]["databases"][0]["dropped"])
        self.check_restores(orders, gone[0]["undo"])

    def test_a_relation_keeps_its_name_when_it_got_another_file_since_the_backup(self):
        self.cluster.sql("truncate gone1, gone2, gone3")
        one = self.transaction("drop table gone1")
        beside = self.transaction("create table new1 (n int)", "drop table gone2")
        mixed = self.transaction("truncate c", "drop table gone3", "create table new2 (n int)")
        self.cluster.sql("truncate c")
        mixed2 = self.transaction("truncate c", "drop table a")
        self.cluster.switch_wal()
        lines, _ = self.log()
        text = {xid: next(line for line in self.tool("log").splitlines() if f"xid {xid} " in line)
                for xid in (one, beside, mixed, mixed2)}
        if MAJOR < 15:  # its commits list no oids
            self.assertRegex(text[one], r"dropped 4 relations of database postgres: file \d+, ")
            self.assertRegex(text[beside], r"dropped, truncated or rewrote 1 relation of .*: file \d+ ")
            return
        self.assertRegex(text[one], r"dropped 4 relations of database postgres: gone1, gone1_pkey, "
                                    r"pg_toast\S+, pg_toast\S+  \[")
        self.assertRegex(text[beside], r"dropped 1 relation of database postgres: gone2  \[")
        self.assertEqual({fate for _, fate in self.fates(self.commit_of(lines, beside))}, {"dropped"})
        self.assertEqual([relation["relation"] for relation in self.commit_of(lines, beside)["relations"]],
                         ["gone2"])
        # c by its file; of the file without a name nothing is claimed but by the oid.
        self.assertRegex(text[mixed], r" dropped 1 relation of database postgres: gone3; "
                                      r"truncated or rewrote 1 relation of database postgres: c  \[")
        self.assertRegex(text[mixed2], r" dropped 1 relation of database postgres: a; dropped, truncated "
                                       r"or rewrote 1 relation of database postgres: file \d+  \[")

    def test_what_a_prepared_transaction_did_is_known_after_a_restart_too(self):
        self.cluster.sql("begin; truncate kept; truncate held; prepare transaction 'one'")
        prepared = int(self.cluster.sql("select transaction from pg_prepared_xacts"))
        self.cluster.stop()
        self.cluster.start()
        self.cluster.sql("commit prepared 'one'")
        self.cluster.switch_wal()
        lines, _ = self.log()
        self.assertEqual({fate for _, fate in self.fates(self.commit_of(lines, prepared))},
                         {"replaced" if MAJOR >= 15 else "unclear"})

    def check_against_waldump(self, lines):
        """Every commit that pg_waldump shows, and no other; at its place and time."""
        run("mkdir", "-m", "0755", self.path / "wal")
        for segment in self.repo.rglob("0*.wal"):
            if re.fullmatch("[0-9A-F]{24}.wal", segment.name):
                run("zstd", "-dqf", segment, "-o", self.path / "wal" / segment.stem)
        names = sorted(path.name for path in (self.path / "wal").iterdir())
        done = attempt(BIN / "pg_waldump", "--path", self.path / "wal", names[0], names[-1],
                       environment={"TZ": "UTC"})
        expected = [(int(match.group(4) or match.group(1)), match.group(2).lstrip("0") or "0",
                     match.group(5)[:23].rstrip("0").rstrip("."))
                    for match in map(COMMIT.match, done.stdout.splitlines()) if match]
        self.assertGreater(len(expected), 20)
        found = [(line["xid"], line["lsn"], line["time"][:23].replace("T", " ").rstrip("0Z").rstrip("."))
                 for line in lines if line["kind"] == "commit"]
        place = lambda lsn: tuple(int(part or "0", 16) for part in lsn.split("/"))
        self.assertEqual([(xid, place(lsn)) for xid, lsn, _ in found],
                         [(xid, place(lsn)) for xid, lsn, _ in expected])
        self.assertEqual([time[:19] for _, _, time in found], [time[:19] for _, _, time in expected])

    def check_restores(self, orders, undo):
        restored = self.restore(f"--target-xid={orders}", "--target-exclusive", "--as-copy",
                                "--target-action=promote")
        self.assertEqual(restored.sql("select count(*) from orders"), "5000")
        self.assertEqual(restored.sql("select count(*) from kept"), "1")
        restored.stop()
        beside = self.restore(f"--target-lsn={undo['target_lsn']}", "--target-exclusive", "--as-copy",
                              "--target-action=promote", name="beside", port=5434)
        self.assertEqual(beside.sql("select n from there", "gone"), "7")
        self.assertEqual(beside.sql("select count(*) from vacuumed"), "2")
        # What the commit's xid alone would have given: a database without its files.
        self.assertNotIn("target_xid", undo)


class Windows(LogTest):
    """Times and places, holes and damage."""

    def fill(self):
        """Segments with a commit each; gives (xid, segment) of each."""
        made = []
        for number in range(6):
            xid = self.transaction("create table if not exists t (n int)",
                                   f"insert into t select {number} from generate_series(1, 100)")
            made.append((xid, self.cluster.switch_wal()))
        return made

    def xids(self, *options, expect=0):
        lines, _ = self.log(*options, expect=expect)
        return [line["xid"] for line in lines if line["kind"] == "commit"]

    def test_instants_and_positions_choose(self):
        made = [xid for xid, _ in self.fill()]
        lines, _ = self.log()
        times = {line["xid"]: (line["time_exact"], line["lsn"]) for line in lines
                 if line["kind"] == "commit"}
        exact = {xid: self.tool("log", f"--from={times[xid][1]}", "--limit=1").split("  ")[0]
                 for xid in made}
        self.assertEqual(exact, {xid: times[xid][0] for xid in made})
        self.assertEqual(self.xids(f"--from={exact[made[2]]}", f"--to={exact[made[4]]}"), made[2:5])
        self.assertEqual(self.xids(f"--from={times[made[1]][1]}", f"--to={times[made[3]][1]}"),
                         made[1:3])
        self.assertEqual(self.xids(f"--from={exact[made[5]]}"), made[5:])
        _, end = self.log(f"--from={exact[made[4]]}")
        self.assertLessEqual(end["segments_read"], 4)
        self.assertEqual(self.xids("--from=2999-01-01 00:00Z"), [])
        self.assertIn("there is more", self.tool("log", "--limit=2"))
        self.tool_fails(2, "zone", "log", "--from=2026-01-01 10:00")
        self.tool_fails(2, "before --from", "log", "--from=0/5000000", "--to=0/4000000")
        self.tool_fails(6, "timeline 7", "log", "--timeline=7")

    def test_names_that_cannot_be_had_are_said_to_be_missing(self):
        made = [xid for xid, _ in self.fill()]
        server = f"--conninfo={self.cluster.conninfo()}"
        self.assertIn("database 5" if MAJOR >= 15 else "database 1", self.tool("log"))
        self.assertIn("committed in database postgres", self.tool("log", server))
        self.cluster.stop()
        done = self.tool_fails(3, "names are missing", "log", server)
        self.assertIn(f"xid {made[5]} ", done.stdout)

    def test_what_is_missing_or_damaged_is_said_and_the_rest_is_shown(self):
        made = self.fill()
        objects = {path.stem: path for path in self.repo.rglob("0*.wal")}
        objects[made[1][1]].unlink()
        damaged = objects[made[3][1]]
        damaged.write_bytes(damaged.read_bytes()[:60] + b"damage" + damaged.read_bytes()[66:])
        missing = {made[1][0], made[3][0]}

        done = self.tool_fails(8, "missing or damaged at 2 places", "log")
        self.assertIn(f"WAL IS MISSING: {made[1][1]}", done.stdout)
        self.assertIn(f"WAL IS DAMAGED: {made[3][1]}", done.stdout)
        lines, end = self.log(expect=8)
        xids = [line["xid"] for line in lines if line["kind"] == "commit"]
        self.assertEqual([xid for xid, _ in made if xid not in missing],
                         [xid for xid in xids if xid >= made[0][0]])
        self.assertEqual([line["first_segment"] for line in lines if line["kind"] == "gap"],
                         [made[1][1], made[3][1]])
        self.assertEqual(end["gaps"], 2)
        kinds = [line["kind"] for line in lines]
        self.assertLess(kinds.index("gap"), len(kinds) - 3)  # where it belongs, not at the end
        # What is asked for lies behind: it is all there.
        text = self.tool("log", f"--from={lines[-1]['lsn']}", "--limit=1").split("  ")[0]
        self.assertEqual(self.xids(f"--from={text}"), [made[5][0]])

    def test_a_timeline_is_followed_over_its_fork(self):
        self.tool("backup", f"--data={self.cluster.data}")
        made = self.fill()
        restored = self.restore(f"--target-xid={made[2][0]}", "--target-action=promote")
        restored.sql("create table on_2 (n int)")
        restored.switch_wal()
        restored.stop()
        xids = self.xids()
        self.assertIn(made[2][0], xids)
        self.assertNotIn(made[4][0], xids)
        lines, end = self.log()
        self.assertEqual(end["timeline"], 2)
        self.assertEqual([(line["timeline"], line["from_timeline"]) for line in lines
                          if line["kind"] == "timeline"], [(2, 1)])
        self.assertIn(made[4][0], self.xids("--timeline=1"))
        # Nothing but its history, as for a while after every recovery: what it took over is there.
        early = self.path / "early"
        run("cp", "-a", self.repo, early)
        for segment in (early / "main" / "wal").glob("00000002*/*"):
            segment.unlink()
        text = self.tool("log", repo=early)
        self.assertRegex(text, "\nTimeline 2 begins at 0/[0-9A-F]+; none of its WAL is in the archive yet")
        told = [int(xid) for xid in re.findall(r"xid (\d+) ", text)]
        self.assertEqual([xid for xid, _ in made if xid in told], [xid for xid, _ in made[:3]])
        *_, end = self.tool("log", "--json", repo=early).splitlines()
        self.assertTrue(json.loads(end)["end_of_archive"])
        self.assertEqual(json.loads(end)["timeline"], 2)
        # Without its history the newest timeline is not passed over for an older one.
        history = object_of(self.repo, "00000002.history")
        flip(history, 3)
        self.assertIn("look for 00000002.history", self.tool_fails(8, "timeline 2", "log").stderr)
        history.unlink()
        done = self.tool_fails(8, "timeline 2 is in the repository, and its history, which says where", "log")
        self.assertIn("look for 00000002.history", done.stderr)
        self.assertIn(made[4][0], self.xids("--timeline=1"))

    def test_what_is_only_in_pieces_of_a_segment_is_told_too(self):
        self.cluster.sql("create table t (n int)")
        self.cluster.switch_wal()
        dropped = self.transaction("drop table t")
        end = self.cluster.sql("select pg_current_wal_flush_lsn()")
        self.tool("receive", f"--conninfo={self.cluster.conninfo()}", f"--until-lsn={end}",
                  timeout_s=120)
        lines, last = self.log("--drops")
        self.assertEqual(self.fates(self.commit_of(lines, dropped)), [("?", "dropped")])
        self.assertEqual(last["gaps"], 0)
        self.assertRegex(self.tool("log", "--drops"), "ends with [0-9A-F]{24}, which is still being "
                                                      "written, at 0/")
