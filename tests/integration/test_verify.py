"""verify on the repository of a real server: good is 0, and each harm is named with what it means."""

import contextlib
import json
import pathlib
import re
import shutil
import tempfile

from support.archive import archived, changed, flip, freeze, object_of, put, thaw
from support.cluster import ClusterTest, ToolTest
from support.oracle import Oracle
from support.processes import USER, run

INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


class Verify(ClusterTest):
    """
    Two backups with WAL between and behind them. verify needs no server: the repository is made
    once, by the first test, and every other one does its harm to a copy.
    """

    kept = None

    def setUp(self):
        if self.kept is None:
            super().setUp()
            self.build()
        else:
            ToolTest.setUp(self)
            run("cp", "-a", self.kept["repo"], self.repo)
        for name in ("first", "second", "between", "behind"):
            setattr(self, name, self.kept[name])

    def build(self):
        with Oracle(self.cluster, self.path / "commits") as oracle:
            oracle.wait_commits(20)
            self.cluster.sql("create table large as select n, repeat(md5(n::text), 20) "
                             "from generate_series(1, 20000) n")
            first = self.backup()
            oracle.wait_commits(20)
            between = [self.cluster.fill_segment() for _ in range(3)]
            oracle.wait_commits(20)
            second = self.backup()
            oracle.wait_commits(20)
            behind = [self.cluster.fill_segment() for _ in range(3)]
        self.cluster.stop()  # what it archives at its end is there, too
        place = tempfile.mkdtemp(prefix="pgcairn-kept-")
        self.addClassCleanup(shutil.rmtree, place, ignore_errors=True)
        if USER:
            shutil.chown(place, USER, USER)
        repo = pathlib.Path(place) / "repo"
        run("cp", "-a", self.repo, repo)
        type(self).kept = {"repo": repo, "first": first, "second": second, "between": between,
                           "behind": behind}

    def backup(self):
        return self.tool_json("backup", f"--data={self.cluster.data}")["backup"]

    def objects(self, folder):
        """Every object of a kind, the largest last."""
        found = [path for path in (self.repo / "main" / folder).rglob("*") if path.is_file()]
        return sorted(found, key=lambda path: path.stat().st_size)

    def name_of(self, path):
        return str(pathlib.Path(path).relative_to(self.repo))

    def findings(self, *arguments, expect=8):
        """What is worse than a note: object to finding. The exit status must say so."""
        report = self.tool_json("verify", *arguments, expect=expect)
        self.assertEqual(report["status"], {0: "good", 8: "damaged"}[expect])
        return {item["object"]: item for item in report["findings"] if item["severity"] != "note"}

    def good(self, *arguments):
        self.assertEqual(self.findings(*arguments, expect=0), {})


class Findings(Verify):
    def test_a_good_repository_is_exit_0_and_everything_was_read(self):
        report = self.tool_json("verify")
        self.assertEqual(report["status"], "good")
        self.assertEqual(report["findings"], [])
        self.assertEqual(report["cluster"], "main")
        checked = report["checked"]
        self.assertEqual(checked["backups"], 2)
        self.assertEqual(checked["packs"], len(self.objects("pack")))
        segments = [name for name in archived(self.repo) if len(name) == 24]
        self.assertEqual(checked["segments"], len(segments))
        stored = sum(path.stat().st_size for folder in ("pack", "wal", "backup", "registration")
                     for path in self.objects(folder))
        self.assertGreaterEqual(checked["bytes"], stored)
        self.assertGreater(checked["raw_bytes"], (len(segments) << 24) + (20000 * 640))

        text = self.tool("verify", "--jobs=1")
        self.assertIn("All of it is good", text)
        self.assertEqual(len([path for path in self.objects("journal") if "-verify-" in path.name]), 2)
        for one in (self.first, self.second):
            report = self.tool_json("verify", f"--backup={one}")
            self.assertEqual((report["backup"], report["checked"]["backups"]), (one, 1))
        self.tool_fails(6, "there is no backup", "verify", "--backup=20000101T000000Z-aaaaaa")

    def test_a_flipped_bit_in_a_segment_is_named_with_the_instants_it_costs(self):
        segment = object_of(self.repo, self.between[1])
        for offset in (0, 100, segment.stat().st_size // 2, -1, -1000, -2040):
            with self.subTest(offset=offset), changed(segment):
                flip(segment, offset)
                finding = self.findings()[self.name_of(segment)]
                self.assertEqual(finding["severity"], "damage")
                self.assertIn(f"Recovery from backup {self.first} can't go past", finding["meaning"])
                self.assertRegex(finding["meaning"],
                                 f"of {INSTANT}: instants after that and before {INSTANT}, "
                                 f"when backup {self.second} ended, can't be reached")
        self.good()

    def test_a_flipped_bit_in_a_pack_names_the_backup(self):
        for pack in self.objects("pack"):
            size = pack.stat().st_size
            for offset in (8, 100, size // 2, -1, -70):
                with self.subTest(pack=pack.name, offset=offset), changed(pack):
                    flip(pack, offset)
                    finding = self.findings()[self.name_of(pack)]
                    self.assertEqual(finding["severity"], "damage")
                    self.assertRegex(finding["meaning"],
                                     f"Backup ({self.first}|{self.second}) can't be restored")

    def test_stored_bytes_alone_are_read_and_it_says_so(self):
        text = self.tool("verify", "--stored")
        self.assertIn("what they hold was not looked at", text)
        self.assertIn("`pgcairn verify` looks at all of it", text)
        self.assertNotIn("All of it is good", text)
        answer = self.tool_json("verify", "--stored")
        self.assertEqual((answer["status"], answer["is_stored_only"]), ("stored-good", True))
        self.assertLess(answer["checked"]["raw_bytes"], 1000)  # histories and pieces
        self.assertGreater(answer["checked"]["bytes"], 0)
        duties = json.loads(self.attempt("duties", "--list", "--json").stdout)["duties"]
        self.assertIsNone({duty["duty"]: duty for duty in duties}["verify"]["last_time"])
        for path in (self.objects("pack")[0], object_of(self.repo, self.between[1])):
            with changed(path):
                flip(path, path.stat().st_size // 2)
                bad = self.tool_json("verify", "--stored", expect=8)
                self.assertIn(self.name_of(path), {item["object"] for item in bad["findings"]})
        # One good look at stored bytes takes no word back; a whole one does.
        self.assertEqual(self.tool_json("verify", "--stored")["status"], "stored-good")
        self.assertEqual(self.attempt("list").returncode, 8)
        self.good()
        self.assertEqual(self.attempt("list").returncode, 0)

    def test_a_flipped_bit_in_a_manifest_or_record_is_found(self):
        manifest = self.repo / "main" / "backup" / self.second / "manifest"
        for path in (manifest, *self.objects("journal")):
            size = path.stat().st_size
            for offset in (0, size // 2, size - 1):
                with self.subTest(path=path.name, offset=offset), changed(path):
                    flip(path, offset)
                    self.assertIn(self.name_of(path), self.findings())
        with changed(manifest):
            flip(manifest, 50)
            self.assertIn(f"Backup {self.second} can't be restored",
                          self.findings()[self.name_of(manifest)]["meaning"])
        self.good()

    def test_a_removed_segment_is_a_hole_with_the_instants_behind_it(self):
        hole = object_of(self.repo, self.behind[0])
        with changed(hole, object_of(self.repo, self.behind[1])):
            hole.unlink()
            object_of(self.repo, self.behind[1]).unlink()
            findings = self.findings()
            self.assertEqual(list(findings), [self.name_of(hole)])
            finding = findings[self.name_of(hole)]
            self.assertEqual(finding["severity"], "missing")
            self.assertIn(f"2 WAL segments are missing: {self.behind[0]} to {self.behind[1]}",
                          finding["what"])
            for backup in (self.first, self.second):
                self.assertIn(backup, finding["meaning"])
            self.assertRegex(finding["meaning"],
                             f"last commit that is known before it is of {INSTANT}: instants after "
                             f"that can't be reached. The archive holds commits up to {INSTANT}")
            text = self.tool("verify", expect=8)
            self.assertRegex(text, r"missing  main/wal/.*\n  what ")
            self.good(f"--backup={self.first}")
        self.good()

    def test_wal_that_a_backup_needs_and_a_pack_that_is_gone(self):
        listed = {item["backup"]: item for item in self.tool_json("list")["backups"]}
        low = int(listed[self.second]["start_lsn"].split("/")[1], 16) >> 24
        segment = object_of(self.repo, f"0000000100000000{low:08X}")
        with changed(segment):
            segment.unlink()
            for arguments in ([], [f"--backup={self.second}"]):
                self.assertIn(f"Backup {self.second} can't be restored",
                              self.findings(*arguments)[self.name_of(segment)]["meaning"])
        pack = self.objects("pack")[-1]
        with changed(pack):
            pack.unlink()
            self.assertEqual(self.findings()[self.name_of(pack)]["severity"], "missing")
        self.good()

    def test_two_segments_that_changed_places_are_both_named(self):
        one, other = (object_of(self.repo, name) for name in self.between[:2])
        with changed(one, other):
            first, second = one.read_bytes(), other.read_bytes()
            put(one, second)
            put(other, first)
            self.assertLessEqual({self.name_of(one), self.name_of(other)}, set(self.findings()))

    def test_what_is_not_ours_is_a_note_and_exit_0(self):
        put(self.repo / "main" / "wal" / "README", b"do not touch\n")
        report = self.tool_json("verify")
        self.assertEqual([(item["severity"], item["object"]) for item in report["findings"]],
                         [("note", "main/wal/README")])
        self.assertEqual(report["status"], "good")

    def test_out_of_reach_is_exit_7_and_no_finding(self):
        away = self.path / "away"
        self.repo.rename(away)
        self.tool_fails(7, "repository directory", "verify")
        away.rename(self.repo)
        self.good()

    def test_reading_is_enough(self):
        freeze(self.repo)
        self.addCleanup(thaw, self.repo)
        done = self.attempt("verify", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["status"], "good")

    def test_a_file_that_may_not_be_read_is_an_error_and_no_finding(self):
        segment = object_of(self.repo, self.behind[0])
        with contextlib.ExitStack() as stack:
            run("chmod", "000", segment)
            stack.callback(run, "chmod", "600", segment)
            done = self.attempt("verify", "--json")
        self.assertIn(done.returncode, (7, 14), done.stderr)
        report = json.loads(done.stdout)
        self.assertEqual((report["status"], report["findings"]), ("incomplete", []))

    def restore_answer(self, *options):
        return self.attempt("restore", f"--data={self.path}/restored", "--dry-run", *options)

    def test_what_was_found_bad_is_remembered_until_it_is_good_again(self):
        state = lambda: {item["backup"]: item["state"]
                         for item in json.loads(self.attempt("list", "--json").stdout)["backups"]}
        # What the second backup stored: the first one's is shared, and would take both with it.
        pack = max(self.objects("pack"), key=lambda path: path.stat().st_mtime_ns)
        whole = pack.read_bytes()
        flip(pack, pack.stat().st_size // 2)
        self.assertEqual(set(state().values()), {"restorable"})
        self.tool_fails(8, "pack", "verify")
        bad = [backup for backup, word in state().items() if word == "damaged"]
        self.assertEqual(len(bad), 1)
        self.assertEqual(self.attempt("list").returncode, 8)
        self.assertEqual(self.attempt("status").returncode, 2)
        # Passed over, refused by name, and tried with the word for it.
        passed = self.restore_answer()
        self.assertEqual(passed.returncode, 0, passed.stderr)
        self.assertIn(f"{bad[0]} is damaged and was passed over", passed.stdout + passed.stderr)
        named = self.restore_answer(f"--backup={bad[0]}")
        self.assertEqual(named.returncode, 8)
        self.assertIn("--allow-damaged", named.stderr)
        self.assertEqual(
            self.restore_answer(f"--backup={bad[0]}", "--allow-damaged").returncode, 0)
        # Mended, and read again.
        put(pack, whole)
        self.assertIn("damaged", state().values())
        self.tool("verify")
        self.assertEqual(set(state().values()), {"restorable"})

    def test_who_may_not_write_is_told_that_nothing_is_remembered(self):
        pack = self.objects("pack")[-1]
        flip(pack, pack.stat().st_size // 2)
        freeze(self.repo)
        try:
            done = self.attempt("verify")
            answer = json.loads(self.attempt("verify", "--json").stdout)
        finally:
            thaw(self.repo)
        self.assertEqual(done.returncode, 8)
        self.assertIn("could not be remembered", done.stdout)
        self.assertFalse(answer["remembered"])

    def test_a_manifest_that_is_gone_is_missed(self):
        shutil.rmtree(self.repo / "main" / "backup" / self.first)
        done = self.attempt("verify")
        self.assertEqual(done.returncode, 8)
        self.assertIn(f"Backup {self.first} can't be restored", done.stdout)
        self.assertIn(f"{self.first} is damaged", self.attempt("list").stdout)
        entry = re.search(r"remove (main/journal/\S+), too", done.stdout)[1]
        (self.repo / entry).unlink()
        self.tool("verify")
        self.assertNotIn(self.first, self.attempt("list").stdout)

    def test_a_renamed_cluster_is_told_its_name(self):
        (self.repo / "main").rename(self.repo / "other")
        done = self.attempt("list", "--cluster=other")
        self.assertEqual(done.returncode, 8)
        self.assertIn('give it its name "main" back', done.stderr)

    def test_the_rate_limit_holds(self):
        stored = sum(path.stat().st_size for path in self.objects("wal"))
        report = self.tool_json("verify", f"--rate-limit={max(stored, 1 << 20)}")
        self.assertGreater(report["checked"]["elapsed_s"], 0.8)


class Timelines(ClusterTest):
    """A restored server that goes on, on a timeline of its own, into the same archive."""

    def test_a_new_timeline_is_good_and_its_parts_are_missed_when_gone(self):
        self.tool("backup", f"--data={self.cluster.data}")
        self.cluster.fill_segment()
        self.cluster.stop()
        restored = self.restore()
        restored.sql("alter system set archive_mode = on")
        restored.sql(f"alter system set archive_command = '{self.archive_command()}'")
        restored.stop()
        restored.start()
        restored.wait_until("select not pg_is_in_recovery()")
        segments = [restored.fill_segment() for _ in range(2)]
        self.assertTrue(all(re.match("00000002", name) for name in segments), segments)
        fork = next(name for name in archived(self.repo)
                    if name.startswith("00000002") and len(name) == 24)

        report = self.tool_json("verify")
        self.assertEqual([item for item in report["findings"] if item["severity"] != "note"], [])
        self.assertEqual(report["checked"]["histories"], 1)
        for name, words in ((fork, "first of its timeline"), ("00000002.history", None)):
            path = object_of(self.repo, name)
            with self.subTest(gone=name), changed(path):
                path.unlink()
                found = {item["object"]: item
                         for item in self.tool_json("verify", expect=8)["findings"]}
                finding = found[str(path.relative_to(self.repo))]
                self.assertEqual(finding["severity"], "missing")
                if words:
                    self.assertEqual(finding["found"], f"it is the {words}")
