"""What restore refuses, before anything is touched, and what it then says."""

import hashlib
import json
import os
import pathlib
import shutil
import time

from support.archive import object_of
from support.cluster import make_directory
from support.ledger import lsn_of
from support.oracle import Oracle
from support.processes import run
from support.shared import SharedClusterTest
from support.version import MAJOR
from support.waldump import ends_of_transactions, instant, microseconds
from test_restore_targets import utc


def fingerprint(path):
    """Names, types, sizes, times and content of everything below."""
    lines = []
    for folder, _, files in sorted(os.walk(path)):
        state = os.lstat(folder)
        lines.append(f"{folder} {state.st_mode} {state.st_mtime_ns}")
        for name in sorted(files):
            full = os.path.join(folder, name)
            state = os.lstat(full)
            content = b"" if os.path.islink(full) else pathlib.Path(full).read_bytes()
            lines.append(f"{full} {state.st_mode} {state.st_uid} {state.st_mtime_ns} "
                         f"{hashlib.sha256(content).hexdigest()}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class RestoreRefusalTest(SharedClusterTest):
    """Two backups with commits between and behind them; the server goes on running."""

    @classmethod
    def set_up_shared(cls, world):
        cluster = world.cluster
        cls.tablespace = cluster.tablespace("elsewhere")
        cluster.sql("create table far (x int) tablespace elsewhere; insert into far values (1)")
        cls.before_all = time.time()
        with Oracle(cluster, world.path / "commits") as oracle:
            oracle.wait_commits(10)
            cls.first = cls.take(world)
            oracle.wait_commits(10)
            cls.middle = time.time()
            cls.switched = cluster.switch_wal()
            oracle.wait_commits(10)
            cls.second = cls.take(world)
            oracle.wait_commits(10)
            cluster.switch_wal()
            oracle.wait_commits(5)
        cls.oracle = oracle
        cls.last = cluster.switch_wal()
        cls.oid = cluster.sql("select oid from pg_tablespace where spcname = 'elsewhere'")

    @staticmethod
    def take(world):
        return world.tool_json("backup", f"--data={world.cluster.data}", "--checkpoint=fast")["backup"]

    def move(self, name="moved"):
        return f"--tablespace={self.oid}={self.path / name}"

    def refuse(self, expect, message, *arguments, data=None, repo=None, moved=True):
        data = data or self.path / "target"
        where = [self.move()] if moved else []
        return self.tool_fails(expect, message, "restore", f"--data={data}", *where, *arguments,
                               repo=repo)

    def occupied(self):
        """A data directory of this cluster in which no server runs."""
        data = self.path / "occupied"
        self.tool("restore", f"--data={data}", f"--tablespace={self.tablespace}={self.path}/first")
        return data


class Target(RestoreRefusalTest):
    def test_a_time_before_the_end_of_the_backup_names_the_earliest_possible(self):
        done = self.refuse(4, "earliest possible", f"--target-time={utc(self.before_all)}")
        earliest = done.stderr.split("earliest possible is ")[1].split("\n")[0].strip()
        self.tool("restore", f"--data={self.path}/target", self.move(), "--dry-run",
                  f"--target-time={earliest}")
        self.assertFalse((self.path / "target").exists())

    def test_a_time_needs_a_zone(self):
        self.refuse(2, "zone", "--target-time=2026-11-22 14:30:00")

    def test_one_target_only(self):
        self.refuse(2, "exclude each other", "--target-xid=1000", "--target-name=x")
        self.refuse(2, "--target-exclusive", "--target-name=x", "--target-exclusive")
        self.refuse(2, "not a transaction id", "--target-xid=1")
        self.refuse(2, "timeline", "--target-timeline=0x1", "--target=immediate")

    def test_what_is_not_in_the_archive_is_not_found(self):
        self.refuse(6, "transaction 4000000 is not in the archive", "--target-xid=4000000")
        self.refuse(6, "restore point \"never\"", "--target-name=never")
        self.refuse(6, "LSN F/0 is not in the archive", "--target-lsn=F/0")
        self.refuse(6, "timeline 7", "--target-timeline=7")

    def test_a_backup_that_is_not_there_or_too_new_for_the_target(self):
        self.refuse(6, "no backup", "--backup=20200101T000000Z-aaaaaa")
        self.refuse(4, "lies before the end of backup", f"--backup={self.second}",
                    f"--target-time={utc(self.middle)}")
        plan = self.tool_json("restore", f"--data={self.path}/target", self.move(), "--dry-run",
                              f"--target-time={utc(self.middle)}")
        self.assertEqual(plan["backup"], self.first)
        plan = self.tool_json("restore", f"--data={self.path}/target", self.move(), "--dry-run")
        self.assertEqual(plan["backup"], self.second)
        plan = self.tool_json("restore", f"--data={self.path}/target", self.move(), "--dry-run",
                              f"--backup={self.first}")
        self.assertEqual(plan["backup"], self.first)


class Place(RestoreRefusalTest):
    def test_an_address_where_nothing_is_is_not_waited_for(self):
        """The patience of these commands, 7.75 s, shows in what they say of each long pause."""
        nothing = self.path / "nothing"
        for words in (("restore", f"--data={self.path}/target"), ("verify",),
                      ("backup", f"--data={self.cluster.data}")):
            with self.subTest(words=words):
                done = self.tool_fails(7, f"repository directory {nothing}: No such file", *words, repo=nothing)
                self.assertIn("mounted?", done.stderr)
                self.assertNotIn("trying again", done.stderr)

    def test_a_running_server_is_never_touched(self):
        for choice in ([], ["--force"], ["--move-aside"], ["--force", "--discard-wal"]):
            self.refuse(4, "a server runs on", *choice, data=self.cluster.data)
        self.assertEqual(self.cluster.sql("select count(*) from far"), "1")

    def test_an_occupied_directory_takes_an_explicit_choice(self):
        data = self.occupied()
        before = fingerprint(data)
        done = self.refuse(4, "holds a data directory of this cluster", data=data)
        self.assertIn(f"pgcairn watch --start --data={data}", done.stderr)
        self.assertIn("--move-aside", done.stderr)
        self.refuse(2, "exclude one another", "--force", "--move-aside", data=data)
        self.assertEqual(fingerprint(data), before)

    def test_what_is_no_data_directory_is_never_emptied(self):
        link = self.path / "link to nowhere"
        link.symlink_to("/nowhere")
        self.refuse(4, "is a symbolic link that leads nowhere", data=link)
        home = make_directory(self.path / "home")
        run("cp", "/etc/passwd", home / "diary")
        before = fingerprint(home)
        for choice in ([], ["--force"], ["--move-aside"]):
            self.refuse(4, "neither empty nor a PostgreSQL data directory", *choice, data=home)
        self.assertEqual(fingerprint(home), before)

    def test_another_cluster_is_not_overwritten(self):
        other = self.server("other").create()
        before = fingerprint(other.data)
        self.refuse(4, "another cluster", "--force", data=other.data)
        self.assertEqual(fingerprint(other.data), before)
        self.tool("restore", f"--data={other.data}", self.move(), "--move-aside", "--dry-run")
        self.assertEqual(fingerprint(other.data), before)

    def test_a_tablespace_that_a_server_uses_must_be_moved(self):
        done = self.refuse(4, "is used by the server on", moved=False)
        self.assertIn(f"--tablespace={self.oid}=PATH", done.stderr)
        self.assertEqual(self.cluster.sql("select x from far"), "1")

    def test_a_tablespace_must_not_meet_the_data_directory_or_be_unknown(self):
        for place in ("target/inside", "target"):
            self.refuse(4, "inside one another", self.move(place), moved=False)
        self.refuse(2, "no such tablespace", "--tablespace=99=/tmp/x")
        self.refuse(2, "PATH begins with /", f"--tablespace={self.oid}=here", moved=False)

    def test_a_version_directory_with_content_is_somebodys(self):
        place = make_directory(self.path / "moved")
        version = make_directory(
            place / f"PG_{MAJOR}_{self.cluster.control()['Catalog version number']}")
        run("touch", version / "file")
        self.refuse(4, "is in use", "--force")
        self.assertTrue((version / "file").exists())

    def test_a_dry_run_changes_nothing(self):
        data = self.occupied()
        before = fingerprint(data), fingerprint(self.repo), sorted(os.listdir(self.path))
        for choice in ("--force", "--move-aside"):
            text = self.tool("restore", f"--data={data}", self.move(), choice, "--dry-run",
                             f"--target-time={utc(self.middle)}")
            self.assertIn(self.first, text)
            self.assertIn("after it", text)
        after = fingerprint(data), fingerprint(self.repo), sorted(os.listdir(self.path))
        self.assertEqual(before, after)


class Archive(RestoreRefusalTest):
    """A repository of its own for each test, to be damaged."""

    def setUp(self):
        super().setUp()
        self.damaged = self.path / "repo-copy"
        run("cp", "-a", self.repo, self.damaged)

    def segments(self):
        return sorted(p for p in (self.damaged / "main" / "wal").rglob("*.wal")
                      if len(p.name) == len("000000010000000000000001.wal"))

    def test_latest_does_not_end_silently_before_a_hole(self):
        hole = self.segments()[-2]
        hole.unlink()
        done = self.refuse(8, f"segment {hole.stem} is missing", repo=self.damaged)
        self.assertIn("--target-lsn=", done.stderr)
        lsn = done.stderr.split("--target-lsn=")[1].split()[0]
        plan = self.tool_json("restore", f"--data={self.path}/target", self.move(), "--dry-run",
                              f"--target-lsn={lsn}", repo=self.damaged)
        self.assertNotEqual(plan["replay_end_lsn"], None)
        # What lies before the hole is not the hole's business.
        self.tool("restore", f"--data={self.path}/target", self.move(), "--dry-run",
                  f"--target-time={utc(self.middle)}", repo=self.damaged)
        self.refuse(8, "is missing", f"--target-time={utc(time.time())}", repo=self.damaged)

    def dry_run(self, *target, expect=0):
        done = self.attempt("restore", f"--data={self.path}/target", self.move(), "--dry-run", "--json",
                            *target, repo=self.damaged)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return json.loads(done.stdout) if expect == 0 else done.stderr

    def test_a_target_in_a_hole_names_the_nearest_instants_on_both_sides(self):
        first, second = self.tool_json("list")["backups"]
        ends = ends_of_transactions(self.repo, self.path / "plain")
        size = 1 << 20
        hole = int(self.switched[8:16], 16) * 4096 + int(self.switched[16:], 16) + 1
        name = f"00000001{hole >> 12:08X}{hole & 0xFFF:08X}"
        commits = [end for end in ends if end[1] == "COMMIT"]
        before = [end for end in commits if lsn_of(first["start_lsn"]) <= end[0] < hole * size]
        inside = [end for end in commits if hole * size <= end[0] < (hole + 1) * size][1]
        newest = max(before, key=lambda end: end[3])
        object_of(self.damaged, name).unlink()
        listed = self.attempt("list", "--json", repo=self.damaged)
        self.assertEqual(listed.returncode, 8)
        earliest = microseconds(json.loads(listed.stdout)["windows"][1]["from_time_exact"])
        in_second = [at for lsn, _, _, at in ends if lsn_of(second["start_lsn"]) <= lsn < lsn_of(second["stop_lsn"])]
        self.assertEqual(max(in_second, default=earliest), earliest)

        behind = f"can be reached from {instant(earliest)} ({second['stop_lsn']}) on, with backup {self.second}"
        for target in (f"--target-time={instant(inside[3])}", f"--target-xid={inside[2]}",
                       f"--target-lsn={inside[0] >> 32:X}/{inside[0] & 0xFFFFFFFF:X}"):
            said = self.dry_run(target, expect=8)
            self.assertIn(f"segment {name} is missing although later WAL is there", said)
            self.assertIn(behind, said)
            self.assertIn(instant(newest[3]), said)
        # And they can.
        said = self.dry_run(f"--target-time={instant(inside[3])}", expect=8)
        at_the_hole = self.dry_run("--target-lsn=" + said.split("--target-lsn=")[1].split()[0])
        self.assertEqual(at_the_hole["last_before"]["xid"], before[-1][2])
        self.assertEqual(at_the_hole["backup"], self.first)
        just_before = self.dry_run(f"--target-time={instant(newest[3] - 1)}")
        self.assertEqual(just_before["first_after"]["xid"], newest[2])
        self.assertEqual(self.dry_run(f"--target-time={instant(earliest)}")["backup"], self.second)
        self.dry_run(f"--target-time={instant(earliest - 1)}", expect=8)
        # Others may have committed in the hole at that time, or before: list says how it is meant.
        self.dry_run(f"--target-time={instant(newest[3])}", expect=8)
        listed = self.attempt("list", repo=self.damaged)
        self.assertEqual(listed.returncode, 8)
        self.assertIn(instant(newest[3]), listed.stdout)
        self.assertIn('"until" is the last commit before: times earlier', listed.stdout)
        self.assertNotIn('"until" is', self.tool("list"))

        # A second hole, behind the second backup: of a position it is known which one it is.
        last = self.segments()[-2]
        last.unlink()
        number = int(last.stem[8:16], 16) * 4096 + int(last.stem[16:], 16)
        at = number * size + 0x100
        said = self.dry_run(f"--target-lsn={at >> 32:X}/{at & 0xFFFFFFFF:X}", expect=8)
        self.assertIn(f"segment {last.stem} is missing", said)
        self.assertNotIn("can be reached from", said)

    def test_a_backup_without_its_wal_is_not_restorable(self):
        for segment in self.segments():
            segment.unlink()
        self.refuse(6, "none of the 2 backups can be restored", repo=self.damaged)
        self.refuse(4, "can't be restored", f"--backup={self.first}", repo=self.damaged)

    def test_a_damaged_pack_stops_the_restore_and_leaves_nothing_to_start(self):
        packs = sorted((self.damaged / "main" / "pack").rglob("*"), key=lambda p: p.stat().st_size)
        saved = packs[-1].read_bytes()
        for pack in packs:
            if pack.is_file():
                content = bytearray(pack.read_bytes())
                for at in range(80, len(content) - 64, 4096):
                    content[at] ^= 1
                pack.write_bytes(content)
        done = self.refuse(8, "pack", repo=self.damaged)
        self.assertTrue((self.path / "target" / "pgcairn.restore").exists(), done.stdout + done.stderr)
        self.assertFalse((self.path / "target" / "global" / "pg_control").exists())
        self.assertTrue(saved)
        # The same command goes on once the repository is whole again.
        shutil.rmtree(self.damaged)
        run("cp", "-a", self.repo, self.damaged)
        self.tool("restore", f"--data={self.path}/target", self.move(), repo=self.damaged)
        self.assertFalse((self.path / "target" / "pgcairn.restore").exists())
