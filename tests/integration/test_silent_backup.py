"""Damage in a backup and in what is backed up: copies know nothing of it, pgcairn says so."""

import os

from support.archive import content_of, list_of_blocks, object_of
from support.cluster import ClusterTest
from support.pair import PairTest
from support.processes import BIN, attempt, run

CONTENT = "repeat(md5(n::text), 8)"


def make_table(cluster):
    """A table that nothing touches afterwards; gives the path of its file below the data directory."""
    cluster.sql(f"create table asset as select n, {CONTENT} as p from generate_series(1, 2000) n")
    cluster.sql("vacuum freeze asset")
    cluster.sql("checkpoint")
    return cluster.sql("select pg_relation_filepath('asset')")


def flip_byte(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x02]))


class StoredObjects(PairTest):
    """One byte of something stored is wrong. Page checksums are off, as initdb of this version has it
    unless told otherwise."""

    settings = {"checksums": False}
    segments_wanted = 2

    @classmethod
    def take_backups(cls, world):
        cls.asset = make_table(world.cluster)
        super().take_backups(world)
        cls.newer = world.tool_json("backup", f"--data={world.cluster.data}")["backup"]

    def objects(self, *parts):
        found = sorted(path for path in self.repo.joinpath(*parts).rglob("*") if path.is_file())
        self.assertTrue(found, parts)
        return found

    def test_a_byte_of_the_backup(self):
        packs = self.objects("main", "pack")
        by_cp = self.by_cp()
        flip_byte(by_cp.data / self.asset, 8192 * 5 + 7000)
        self.assert_opens(by_cp)
        self.assert_harm(by_cp)  # nothing that the oracle looks at
        wrong = by_cp.sql(f"select n from asset where p <> {CONTENT}").split()
        self.assertEqual(len(wrong), 1, "a row that nobody ever wrote")
        by_cp.stop()

        heal = self.flip(*packs)
        said = self.restore("--start", "--as-copy", expect=8, name="by-pgcairn")
        self.assertRegex(said.said, "pack")
        self.assertFalse((said.data / "global" / "pg_control").exists())
        refused = attempt(BIN / "postgres", "-D", said.data)
        self.assertNotEqual(refused.returncode, 0)
        heal()
        by_pgcairn = self.restore("--start", "--as-copy", name="by-pgcairn-again")
        self.assert_whole(by_pgcairn)
        self.assertEqual(by_pgcairn.sql(f"select count(*) from asset where p <> {CONTENT}"), "0")

    def test_a_byte_of_the_manifest(self):
        """The newest backup's: an older one is as good and is taken, which is said. With none left
        there is nothing to restore. `list` reads the head of each manifest: of the lines of files
        it tells what verify found."""
        older, newer = (self.repo / "main" / "backup" / backup / "manifest"
                        for backup in (self.backup, self.newer))
        for at in (0, 0.1, 0.5, 0.9, 0.999999):
            with self.subTest(at=at):
                heal = self.flip(newer, at=at)
                is_seen = at in (0, 0.999999)  # in its head, in its trailer
                self.assertEqual(f"{self.newer} is damaged" in self.attempt("list").stderr, is_seen)
                self.tool("list", expect=8 if is_seen else 0)
                plan = self.restore("--dry-run", name=f"plan-{at}")
                self.assertEqual(plan.answer["backup"], self.backup)
                self.assertRegex(str(plan.answer["notes"]), f"{self.newer} is damaged and was passed")
                self.assert_refused(8, f"{self.newer} is damaged", f"--backup={self.newer}")
                heal_older = self.flip(older, at=at)
                self.assert_refused(8, "none of the 2 backups can be restored")
                heal()
                heal_older()
        self.assertEqual(self.restore("--dry-run", name="plan").answer["backup"], self.newer)

    def test_a_byte_of_what_says_whose_archive_it_is(self):
        """repository and registration: nothing works on without them, and no server is misled."""
        segment = self.segments[-1]
        fetched = self.path / "fetched"
        for path in (self.repo / "repository", *self.objects("main", "registration")):
            for at in (0, 0.3, 0.6, 0.95):
                with self.subTest(path=path.name, at=at):
                    heal = self.flip(path, at=at)
                    for expect, command in (
                            (255, ["archive-get", "--retries=0", segment, fetched]),
                            (8, ["archive-push", "--retries=0",
                                 self.cluster.data / "pg_wal" / segment]),
                            (8, ["backup", f"--data={self.cluster.data}"]),
                            (8, ["restore", f"--data={self.path}/x", "--dry-run"]),
                            (8, ["list"])):
                        done = self.attempt(*command)
                        self.assertEqual(done.returncode, expect, f"{command} {done.stderr}")
                    self.assertFalse(fetched.exists())
                    heal()
        self.tool("archive-get", segment, fetched)

    def test_a_byte_of_a_segment_everywhere(self):
        """The server itself is asked in test_silent_archive. What lists the blocks of the WAL is not needed
        for it: with a wrong byte there the segment is given as it was."""
        stored = object_of(self.repo, self.victim)
        good, blocks = content_of(stored), list_of_blocks(stored.read_bytes())
        for at in (0, 0.1, 0.5, 0.9, 0.99, 0.999999):
            with self.subTest(at=at):
                heal = self.flip(stored, at=at)
                is_beside = int(stored.stat().st_size * at) in blocks
                self.tool("archive-get", self.victim, self.path / "fetched", expect=0 if is_beside else 255)
                self.assertTrue(not is_beside or (self.path / "fetched").read_bytes() == good)
                heal()
        self.tool("archive-get", self.victim, self.path / "fetched")


class BadPages(ClusterTest):
    """A page of a table went bad on the server's own disk."""

    segment_mb = 1

    def setUp(self):
        super().setUp()
        file = make_table(self.cluster)
        self.cluster.stop()
        flip_byte(self.cluster.data / file, 8192 * 2 + 5000)
        self.cluster.start()
        self.file = file

    def test_a_copy_takes_it_along_in_silence(self):
        copy = self.server("by-cp", port=5434)
        done = attempt(BIN / "pg_basebackup", "-h", self.cluster.socket, "-U", "postgres", "-D",
                       copy.data, "--no-verify-checksums", "--checkpoint=fast", "--no-sync")
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))
        run(BIN / "pg_verifybackup", copy.data)  # nothing to say either
        copy.configure(unix_socket_directories=copy.socket, archive_mode="off").start()
        done = attempt(*copy.psql(), "-c", "select count(*) from asset")
        self.assertRegex(done.stderr, "invalid page in block 2 of relation")

    def test_pgcairn_names_it(self):
        self.tool_fails(8, f"bad page: block 2 of {self.file}", "backup",
                        f"--data={self.cluster.data}", "--bad-pages=fail")
        self.assertEqual(self.tool_json("list")["backups"], [])

        done = self.attempt("backup", f"--data={self.cluster.data}")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn(f"{self.file} block 2", done.stdout)
        backup, = self.tool_json("list")["backups"]
        self.assertEqual(backup["bad_page_count"], 1)
        self.assertTrue(os.listdir(self.repo / "main" / "journal"))

        # Whoever restores it is told again: the files alone, and with the replay.
        self.tool_fails(3, "1 of its pages had a wrong checksum", "restore", f"--data={self.path / 'files'}")
        self.assertRegex(self.restore("--target=immediate", "--target-action=promote", "--as-copy", expect=3).said,
                         "1 of its pages had a wrong checksum")


class NextBackup(ClusterTest):
    """All that is stored of a backup has a wrong byte: the next backup must not build on it."""

    segment_mb = 1

    def test_the_next_backup_is_as_good_as_the_first(self):
        file = make_table(self.cluster)
        first = self.tool_json("backup", f"--data={self.cluster.data}")["backup"]
        for path in (self.repo / "main" / "pack").rglob("*"):
            if path.is_file():
                for offset in range(100, path.stat().st_size, 4096):
                    flip_byte(path, offset)
        manifest = self.repo / "main" / "backup" / first / "manifest"
        flip_byte(manifest, 100)

        second = self.tool_json("backup", f"--data={self.cluster.data}")["backup"]

        states = {item["backup"]: item["state"] for item in self.tool_json("list", expect=8)["backups"]}
        self.assertEqual(states, {first: "damaged", second: "restorable"})
        restored = self.restore("--as-copy")
        self.assertRegex(restored.said, f"{first} is damaged and was passed over")
        self.assertEqual(restored.sql(f"select count(*) from asset where p <> {CONTENT}"), "0")
        self.assertTrue((restored.data / file).exists())
