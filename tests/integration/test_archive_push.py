"""archive-push as the server calls it: what gets in, what doesn't, and what a success means."""

import pathlib
import unittest

from support.archive import archived, content_of, flip, freeze, object_of, put, thaw
from support.cluster import ArchiveTest, ClusterTest, make_directory
from support.oracle import Oracle
from support.pair import ROW
from support.processes import BIN, run, wait_for
from support.version import SWITCH_WAL, backup_start, backup_stop


class UnderLoad(ClusterTest):
    settings = {"wal_keep_size": "2GB"}

    def test_every_segment_arrives_byte_for_byte(self):
        with Oracle(self.cluster, self.path / "commits") as oracle:
            oracle.wait_commits(50)
            segments = [self.cluster.fill_segment(20000) for _ in range(4)]
            oracle.wait_commits(50)
        segments.append(self.cluster.switch_wal())

        names = archived(self.repo)
        self.assertLessEqual(set(segments), set(names))
        self.assertGreaterEqual(len(names), 5)
        for name in names:
            with self.subTest(segment=name):
                self.assertEqual(content_of(object_of(self.repo, name)),
                                 (self.cluster.data / "pg_wal" / name).read_bytes())
        self.assertEqual(self.cluster.sql("select failed_count from pg_stat_archiver"), "0")

    def test_every_codec_is_read_by_its_stock_program(self):
        segment = self.cluster.fill_segment()
        source = self.cluster.data / "pg_wal" / segment
        for codec, program in {"zstd": "zstd", "zstd:9": "zstd", "none": "zstd", "lz4": "lz4",
                               "gzip": "gzip", "gzip:1": "gzip"}.items():
            with self.subTest(codec=codec):
                object_of(self.repo, segment).unlink()
                self.tool("archive-push", f"--compress={codec}", source)
                stored = object_of(self.repo, segment)
                self.assertEqual(content_of(stored, program), source.read_bytes())
                fetched = self.path / "fetched"
                self.tool("archive-get", segment, fetched)
                self.assertEqual(fetched.read_bytes(), source.read_bytes())


    def test_a_repository_out_of_reach_is_counted_by_the_server_and_loses_nothing(self):
        away = self.path / "away"
        self.repo.rename(away)

        self.cluster.sql("create table more as select generate_series(1, 1000)")
        name = self.cluster.sql(f"select {SWITCH_WAL}")
        self.cluster.wait_until("select failed_count > 0 from pg_stat_archiver")

        self.assertTrue((self.cluster.data / "pg_wal" / "archive_status" / f"{name}.ready").exists())
        away.rename(self.repo)
        self.cluster.wait_archived(name)  # the archiver pauses for a minute when it has failed thrice


class Push(ArchiveTest):
    """A few small segments are archived; then files are pushed by hand."""

    @classmethod
    def build(cls, world):
        cluster = world.cluster
        cluster.switch_wal()  # a segment of its own for all the rows, wherever the server's WAL begins
        cls.segment = cluster.fill_segment()
        cluster.sql(f"select {backup_start('x')}; select {backup_stop()}")
        cls.backup_file = wait_for(lambda: next((cluster.data / "pg_wal").glob("*.backup"), None),
                                   "a .backup file")
        cluster.wait_archived(cls.backup_file.name)
        cls.source = cluster.data / "pg_wal" / cls.segment

    def setUp(self):
        super().setUp()
        self.object = object_of(self.repo, self.segment)
        self.desk = make_directory(self.path / "desk")

    def on_desk(self, name, content):
        return put(self.desk / name, content)

    def outcome(self, path):
        return self.tool_json("archive-push", path)["outcome"]

    def test_pushing_again_is_a_success_and_changes_nothing(self):
        before = self.object.stat()

        for _ in range(3):
            self.assertEqual(self.outcome(self.source), "already there")

        after = self.object.stat()
        self.assertEqual((before.st_ino, before.st_mtime_ns), (after.st_ino, after.st_mtime_ns))

    def test_a_relative_path_is_meant_from_the_data_directory(self):
        done = self.attempt("archive-push", f"pg_wal/{self.segment}", cwd=self.cluster.data)

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout + done.stderr, "")

    def test_other_content_is_refused_and_nothing_overwritten(self):
        stored = self.object.read_bytes()
        other = bytearray(self.source.read_bytes())
        other[len(other) // 3] ^= 1
        path = self.on_desk(self.segment, bytes(other))

        self.tool_fails(15, "other content", "archive-push", path)

        self.assertEqual(self.object.read_bytes(), stored)

    def test_other_content_is_refused_even_if_the_stored_object_is_damaged(self):
        flip(self.object, 100)
        stored = self.object.read_bytes()
        other = bytearray(self.source.read_bytes())
        other[len(other) // 3] ^= 1
        path = self.on_desk(self.segment, bytes(other))

        self.tool_fails(15, "other content", "archive-push", path)

        self.assertEqual(self.object.read_bytes(), stored)

    def test_a_damaged_stored_object_is_set_aside_and_stored_anew(self):
        good = self.object.read_bytes()
        damages = {
            "one byte of a frame": good[:200] + bytes([good[200] ^ 1]) + good[201:],
            "one byte of the trailer": good[:-900] + bytes([good[-900] ^ 1]) + good[-899:],
            "cut in the middle": good[:len(good) // 2],
            "cut by one byte": good[:-1],
            "a byte too much": good + b"\0",
            "empty": b"",
            "all zero": bytes(len(good)),
        }
        for what, damaged in damages.items():
            with self.subTest(damage=what):
                put(self.object, damaged)

                answer = self.tool_json("archive-push", self.source)

                self.assertEqual(answer["outcome"], "repaired")
                self.assertEqual(content_of(self.object), self.source.read_bytes())
                self.assertEqual((self.repo / answer["aside"]).read_bytes(), damaged)
                self.assertEqual(self.outcome(self.source), "already there")

    def test_a_repair_is_told(self):
        flip(self.object, 100)

        done = self.attempt("archive-push", self.source)

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, "damaged.*set aside")
        self.assertTrue(list((self.repo / "main" / "journal").glob("*archive-push*")))

    def test_another_clusters_segment_is_refused(self):
        stranger = self.server("stranger", port=5434).create(segment_mb=1).start()
        stranger.sql("create table strange as select generate_series(1, 1000)")
        name = stranger.sql(f"select {SWITCH_WAL}")

        self.tool_fails(4, "system identifier", "archive-push", stranger.data / "pg_wal" / name)

        fresh = "0000000100000000000000FF"
        path = self.on_desk(fresh, (stranger.data / "pg_wal" / name).read_bytes())
        self.tool_fails(4, "system identifier", "archive-push", path)
        self.assertFalse(object_of(self.repo, fresh).exists())

    def test_content_must_be_what_the_name_says(self):
        content = self.source.read_bytes()
        wrong_names = ["0000000100000000000000FE", "000000010000000100000001"]
        for name in wrong_names:
            with self.subTest(name=name):
                self.tool_fails(4, "its content belongs at", "archive-push",
                                self.on_desk(name, content))
                self.assertFalse(object_of(self.repo, name).exists())

    def test_what_is_no_wal_file_is_refused(self):
        for name in ("segment", "00000001000000000000000", self.segment.lower() + "a",
                     "000000010000000000001000", "000000000000000000000002", "x.history",
                     self.segment + ".tmp"):
            with self.subTest(name=name):
                path = self.on_desk(name, self.source.read_bytes())
                self.tool_fails(4, "not the name of a WAL file", "archive-push", path)

    def test_a_segment_of_the_wrong_size_is_refused(self):
        content = self.source.read_bytes()
        name = "0000000100000000000000FD"
        for wrong in (content[:-1], content + b"\0", content[:8192], b""):
            with self.subTest(size=len(wrong)):
                self.tool_fails(4, "bytes", "archive-push", self.on_desk(name, wrong))

    def test_a_header_that_is_none_is_refused(self):
        content = self.source.read_bytes()
        name = self.sourceless()
        for offset in (0, 1, 8, 12, 24, 31, 32, 36):
            with self.subTest(offset=offset):
                wrong = bytearray(self.renumbered(content, name))
                wrong[offset] ^= 0x10
                self.tool_fails(4, ".", "archive-push", self.on_desk(name, bytes(wrong)))
        self.assertFalse(object_of(self.repo, name).exists())

    def sourceless(self):
        """A segment's name that the archive does not have."""
        return "0000000100000000000000FC"

    def renumbered(self, content, name):
        """The content with the page address of this name in its first header."""
        start = int(name[8:16], 16) << 32 | int(name[16:], 16) << 20
        return content[:8] + start.to_bytes(8, "little") + content[16:]

    def test_a_padded_piece_is_refused_under_the_plain_name(self):
        content = self.source.read_bytes()
        self.object.unlink()
        end = len(content.rstrip(b"\0"))  # where the switch record ends
        for cut in (40, 8192, 8192 + 24, end // 2, end // 2 + 3, end // 16 * 8, end - 30):
            with self.subTest(cut=cut):
                piece = content[:cut] + bytes(len(content) - cut)

                self.tool_fails(4, "only zeros follow", "archive-push",
                                self.on_desk(self.segment, piece))

                self.assertFalse(self.object.exists())
                self.tool("archive-push", self.on_desk(f"{self.segment}.partial", piece))
                stored = object_of(self.repo, f"{self.segment}.partial")
                self.assertEqual(content_of(stored), piece)
                stored.unlink()
        self.assertEqual(self.outcome(self.source), "stored")

    def test_wal_that_is_invalid_in_the_middle_is_kept_and_told(self):
        broken = bytearray(self.source.read_bytes())
        self.object.unlink()
        # In a row: the space between two records is nobody's.
        row = ROW.search(broken, 8192 * 5)
        self.assertIsNotNone(row, f"no row in {self.segment}: {len(ROW.findall(broken))} in all of it")
        broken[row.start() + 32] ^= 0xFF

        done = self.attempt("archive-push", self.on_desk(self.segment, bytes(broken)))

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, "invalid in the middle")
        self.assertEqual(content_of(self.object), bytes(broken))

    def test_a_backup_history_file_of_the_server_arrives(self):
        file = self.backup_file

        stored = object_of(self.repo, file.name)

        self.assertEqual(content_of(stored), file.read_bytes())
        other = self.on_desk(file.name, file.read_bytes() + b"\n")
        self.tool_fails(15, "other content", "archive-push", other)
        moved = file.name[:-len("00000028.backup")] + "00000030.backup"
        self.tool_fails(4, "its name says", "archive-push",
                        self.on_desk(moved, file.read_bytes()))

    def test_history_files_must_read_and_stay_what_they_are(self):
        text = b"1\t0/5000000\tno recovery target specified\n"
        self.assertEqual(self.outcome(self.on_desk("00000002.history", text)), "stored")
        self.assertEqual(self.outcome(self.on_desk("00000002.history", text)), "already there")
        self.assertEqual(content_of(object_of(self.repo, "00000002.history")), text)

        other = self.on_desk("00000002.history", text.replace(b"5000000", b"6000000"))
        self.tool_fails(15, "other content", "archive-push", other)
        for name, wrong in {"00000003.history": b"one 0/5000000\n", "00000004.history": b"",
                            "00000005.history": b"5\t0/5000000\tx\n",
                            "00000006.history": b"1\t0/5000000\tx\0\n",
                            "00000001.history": b"1\t0/5000000\tx\n"}.items():
            with self.subTest(name=name):
                self.tool_fails(4, ".", "archive-push", self.on_desk(name, wrong))
                self.assertFalse(object_of(self.repo, name).exists())

    def test_a_parents_segment_is_a_childs_first_only_where_its_history_says_so(self):
        content = self.source.read_bytes()
        child = "00000002" + self.segment[8:]
        start = int(self.segment[16:], 16) << 20
        path = self.on_desk(child, content)

        self.tool_fails(4, "no history of timeline 2", "archive-push", path)
        for fork in (start - 8, start + (1 << 20)):
            self.on_desk("00000002.history", f"1\t0/{fork:X}\tx\n".encode())
            self.tool_fails(4, "does not begin here", "archive-push", path)
        self.assertFalse(object_of(self.repo, child).exists())

        self.on_desk("00000002.history", f"1\t0/{start + 8000:X}\tx\n".encode())
        self.assertEqual(self.outcome(path), "stored")

    def test_a_history_in_the_archive_will_do(self):
        child = "00000002" + self.segment[8:]
        fork = (int(self.segment[16:], 16) << 20) + 8000
        self.tool("archive-push",
                  self.on_desk("00000002.history", f"1\t0/{fork:X}\tx\n".encode()))
        (self.desk / "00000002.history").unlink()

        self.tool("archive-push", self.on_desk(child, self.source.read_bytes()))

    def test_a_repository_out_of_reach_fails(self):
        self.tool_fails(7, ".", "archive-push", "--retries=0", self.source,
                        repo=self.path / "nowhere")

    def test_a_repository_that_cannot_be_written_fails(self):
        path = self.source
        self.object.unlink()
        freeze(self.repo)
        self.addCleanup(thaw, self.repo)

        done = self.attempt("archive-push", "--retries=0", path)

        self.assertIn(done.returncode, (7, 14), done.stderr)
        self.assertFalse(self.object.exists())
        thaw(self.repo)
        self.assertEqual(self.outcome(path), "stored")

    def test_it_never_exits_above_125(self):
        for arguments in ([], ["--no-such-option", "x"], ["/nowhere/" + self.segment],
                          [self.source, "too-many"]):
            with self.subTest(arguments=arguments):
                done = self.attempt("archive-push", *arguments)
                self.assertTrue(1 < done.returncode <= 125, done.returncode)

    def test_an_unregistered_cluster_name_fails(self):
        self.tool_fails(6, "no cluster", "archive-push", "--cluster=other", self.source)

    def test_nothing_temporary_stays_in_the_repository(self):
        flip(self.object, 50)
        self.tool("archive-push", self.source)
        self.tool("archive-push", self.source)

        names = [path.name for path in pathlib.Path(self.repo).rglob("*") if path.is_file()]

        self.assertEqual([name for name in names if ".tmp" in name or name.startswith(".")], [])


ROWS = "insert into t select n, encode(sha256(n::text::bytea), 'hex') from generate_series(1, 1000) n"


class ArchivingStandby(ClusterTest):
    """
    archive_mode=always: a standby that follows another one's promotion wants archived, under the plain
    name, what it has of the segment in which the timeline was left.
    """

    segment_mb = 1
    settings = {"wal_keep_size": "64MB", "wal_recycle": "off"}

    def standby(self, name, port, **settings):
        standby = self.restored(name, port)
        run(BIN / "pg_basebackup", "-D", standby.data, "-d", self.cluster.conninfo(), "-c", "fast")
        run("touch", standby.data / "standby.signal")
        standby.configure(primary_conninfo=self.cluster.conninfo(), **settings)
        return standby.start()

    def wait_replayed(self, standby, source):
        end = source.sql("select pg_current_wal_insert_lsn()")
        standby.wait_until(f"select pg_last_wal_replay_lsn() >= '{end}'")

    def wait_past_the_fork(self, standby):
        status = standby.data / "pg_wal/archive_status"
        wait_for(lambda: list(status.glob("00000002" + "?" * 16 + ".done")) and
                 not list(status.glob("00000001*.ready")),
                 f"the standby's archiver gets past the fork\n{standby.log_tail()}")

    def test_it_gets_past_a_promotion_elsewhere_and_nothing_is_missing(self):
        self.cluster.sql("create table t (n int, hash text)")
        promoted = self.standby("promoted", 5433, archive_mode="off")
        follower = self.standby("follower", 5434, archive_mode="always")
        self.cluster.fill_segment()
        self.cluster.sql(ROWS)
        for standby in (promoted, follower):
            self.wait_replayed(standby, self.cluster)
        promoted.sql("select pg_promote()")
        history = (promoted.data / "pg_wal/00000002.history").read_text(encoding="ascii")
        left = promoted.sql("select '00000001' || "
                            f"substr(pg_walfile_name('{history.split()[1]}'), 9)")
        follower.reconfigure(primary_conninfo=promoted.conninfo())
        promoted.sql(f"{ROWS}; select pg_switch_wal()")
        promoted.sql(f"{ROWS}; select pg_switch_wal()")
        self.wait_replayed(follower, promoted)
        self.assertEqual(follower.sql("select count(*) from t"), "3000")
        self.wait_past_the_fork(follower)
        stored, whole = object_of(self.repo, f"{left}.partial"), object_of(self.repo, left)
        self.assertTrue(stored.exists())
        self.assertFalse(whole.exists())

        # The same once more, and with other bytes behind the end: a recycled file has them.
        piece = follower.data / "pg_wal" / left
        content = bytearray(piece.read_bytes())
        self.tool("archive-push", piece)
        put(piece, bytes(content[:-1]) + b"x")
        self.tool("archive-push", piece)
        self.assertFalse(whole.exists())
        # Other WAL before the end is another server's, and not to be taken for this one's.
        row = ROW.search(content)
        stranger = make_directory(self.path / "stranger") / f"{left}.partial"
        put(stranger, bytes(content[:row.start()]) + b"X" + bytes(content[row.start() + 1:]))
        run("rm", stored)
        self.tool("archive-push", stranger)
        self.tool_fails(15, "with other WAL", "archive-push", piece)
        # The old primary goes on, and archives the whole segment: that holds it as well.
        run("rm", stored)
        self.cluster.sql(ROWS)
        self.assertEqual(self.cluster.switch_wal(), left)
        self.tool("archive-push", piece)
        self.assertFalse(stored.exists())


class Init(ClusterTest):
    segment_mb = 1

    def objects(self):
        """All that is in the repository but what the server archives meanwhile."""
        return sorted(path for path in self.repo.rglob("*") if "wal" not in path.parts)

    def test_a_second_run_changes_nothing(self):
        before = self.objects()

        answer = self.tool_json("init", f"--data={self.cluster.data}")
        by_server = self.tool_json("init", f"--conninfo={self.cluster.conninfo()}")

        self.assertFalse(answer["repository_created"] or answer["cluster_registered"])
        self.assertEqual(answer, by_server)
        self.assertEqual(answer["system_identifier"],
                         self.cluster.control()["Database system identifier"])
        self.assertRegex(self.tool("init", f"--data={self.cluster.data}"), "already registered")
        self.assertEqual(self.objects(), before)

    def test_another_cluster_under_the_name_is_refused(self):
        stranger = self.server("stranger").create(segment_mb=1)

        self.tool_fails(4, "--cluster=NAME", "init", f"--data={stranger.data}")
        self.tool("init", "--cluster=other", f"--data={stranger.data}")

        self.cluster.fill_segment()  # the first one archives as ever

    def test_which_cluster_it_is_must_be_said(self):
        self.tool_fails(2, "--data", "init")
        self.tool_fails(2, ".", "init", "--cluster=../x", f"--data={self.cluster.data}")
        self.tool_fails(6, ".", "init", f"--data={self.path}")
        self.tool_fails(7, ".", "init", f"--conninfo=host={self.path} port=9")

    def test_no_repository_comes_of_a_mistake(self):
        elsewhere = self.path / "elsewhere"
        self.attempt("init", f"--data={self.path}", repo=elsewhere)
        self.attempt("init", "--cluster=../x", f"--data={self.cluster.data}", repo=elsewhere)
        self.assertFalse(elsewhere.exists())


if __name__ == "__main__":
    unittest.main()
