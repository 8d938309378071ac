"""
pgcairn receive: WAL streamed into the repository, acknowledged only once it is durable there.
"""

import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import unittest

from support.archive import archived, content_of, flip, object_of, put
from support.cluster import ClusterTest, ToolTest, copy_of_running, make_directory
from support.oracle import Oracle, assert_content
from support.processes import BIN, TOOL, clean_environment, identity, run, wait_for

SLOT = "pgcairn"
NAME = "pgcairn_receive"


# Passed once, before the stream; in this order.
AT_BEGINNING = ("receive.before-slot", "receive.after-slot", "receive.before-history",
                "receive.after-history")
SOURCES = pathlib.Path(__file__).resolve().parents[2] / "src"


def fault_points():
    return {point for path in SOURCES.rglob("*.c") for point in
            re.findall(r'FAULT_POINT\(\s*"([^"]+)"', path.read_text(encoding="utf-8"))}


class Receiver:
    """A running `pgcairn receive`, and what it says."""

    def __init__(self, test, *options, conninfo=None, environment=None):
        self.log = test.path / f"receive-{id(self)}.log"
        words = [TOOL, "receive", f"--repo={test.repo}",
                 f"--conninfo={conninfo or test.cluster.conninfo()}", "--interval=200ms",
                 "--log-level=debug", *options]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                list(map(str, words)), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                env=clean_environment(**(environment or {})), **identity())
        test.addCleanup(self.kill)

    def said(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_said(self, words, timeout_s=180):
        wait_for(lambda: re.search(words, self.said()) or self.assert_runs(),
                 f"{words} in:\n{self.said()}", timeout_s)
        return self

    def assert_runs(self):
        if self.process.poll() is not None:
            raise AssertionError(f"receive ended with {self.process.returncode}:\n{self.said()}")

    def wait_exit(self, timeout_s=180):
        return self.process.wait(timeout_s)

    def state(self):
        """As proc(5) says: "T" is stopped."""
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii", errors="replace")
        return stat.rpartition(")")[2].split()[0]

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.wait_exit()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)


class ReceiveTest(ClusterTest):
    """No archive_command: all that is in the archive came through receive."""

    segment_mb = 1
    archives = False  # by archive_command, too

    def setUp(self):
        ToolTest.setUp(self)
        archiving = {"archive_mode": "on", "archive_command": self.archive_command()}
        self.cluster = self.server("primary").create(
            segment_mb=self.segment_mb, wal_level="replica", max_wal_senders=10,
            **(archiving if self.archives else {}))
        self.tool("init", f"--data={self.cluster.data}")
        self.cluster.start()
        self.cluster.sql("create table t (n int, payload text)")

    def receiver(self, *options, **how):
        return Receiver(self, *options, **how)

    def pieces(self):
        return sorted(path.name for path in (self.repo / "main" / "open").glob("*-????????"))

    def insert(self, rows=10):
        self.cluster.sql(f"insert into t select n, repeat(md5(n::text), 8) from generate_series(1, {rows}) n")
        return self.cluster.sql("select pg_current_wal_flush_lsn()")

    def wait_acknowledged(self, lsn, name=NAME):
        self.cluster.wait_until(f"select coalesce(bool_or(flush_lsn >= '{lsn}'), false)"
                                f" from pg_stat_replication where application_name = '{name}'")

    def receive_all(self, *options):
        """Everything up to now, by a run that ends by itself."""
        lsn = self.cluster.sql("select pg_current_wal_flush_lsn()")
        return self.tool("receive", f"--conninfo={self.cluster.conninfo()}", f"--until-lsn={lsn}",
                         "--log-level=debug", *options)


    def backup(self):
        self.tool("backup", f"--data={self.cluster.data}", f"--conninfo={self.cluster.conninfo()}")

    def lose_server(self, receiver):
        """The primary is gone for ever, and what received from it: the repository is all there is."""
        receiver.kill()
        self.cluster.crash()


class Streaming(ReceiveTest):
    def test_whole_segments_and_the_open_one_are_stored_and_acknowledged(self):
        receiver = self.receiver().wait_said("streaming WAL")
        for _ in range(3):
            self.insert(5000)
        lsn = self.insert()
        self.wait_acknowledged(lsn)

        stored = archived(self.repo)
        self.assertGreaterEqual(len(stored), 3)
        for name in stored:
            file = self.cluster.data / "pg_wal" / name
            if file.exists():
                self.assertEqual(content_of(object_of(self.repo, name)), file.read_bytes())
        self.assertEqual({name[:24] for name in self.pieces()},
                         {self.cluster.sql("select pg_walfile_name(pg_current_wal_flush_lsn())")})
        self.assertEqual(receiver.end(), 0, receiver.said())
        self.tool("verify")

    def test_pieces_read_by_the_stock_program_are_the_beginning_of_the_segment(self):
        self.insert()
        self.receive_all()
        name = self.cluster.sql("select pg_walfile_name(pg_current_wal_flush_lsn())")

        content = b"".join(content_of(self.repo / "main" / "open" / piece)
                           for piece in self.pieces())

        file = (self.cluster.data / "pg_wal" / name).read_bytes()
        self.assertGreater(len(content), 8192)
        self.assertEqual(content, file[:len(content)])

    def test_sigterm_stores_and_acknowledges_the_rest(self):
        receiver = self.receiver("--interval=1h").wait_said("streaming WAL")
        lsn = self.insert(100)
        self.cluster.wait_until(f"select bool_or(write_lsn >= '{lsn}') from pg_stat_replication")
        self.assertEqual(self.pieces(), [])

        self.assertEqual(receiver.end(), 0, receiver.said())

        self.assertNotEqual(self.pieces(), [])
        self.assertEqual(self.cluster.sql("select restart_lsn >= "
                                          f"'{lsn}' from pg_replication_slots"), "t")

    def test_nothing_is_acknowledged_before_it_is_stored(self):
        self.receiver("--interval=1h").wait_said("streaming WAL")
        lsn = self.insert(100)
        self.cluster.wait_until(f"select bool_or(write_lsn >= '{lsn}') from pg_stat_replication")
        self.assertEqual(self.cluster.sql("select count(*) from pg_stat_replication where "
                                          f"flush_lsn >= '{lsn}'"), "0")
        self.assertEqual(self.cluster.sql("select count(*) from pg_replication_slots where "
                                          f"restart_lsn >= '{lsn}'"), "0")

    def test_the_next_run_goes_on_and_removes_the_pieces_of_what_is_whole(self):
        self.insert()
        self.receive_all()
        first = self.pieces()
        self.assertNotEqual(first, [])
        self.insert()
        self.receive_all()
        self.assertEqual(self.pieces()[0], first[0])  # goes on, and does not begin anew

        self.insert(3000)
        self.cluster.sql("select pg_switch_wal()")
        self.insert()
        self.receive_all()

        self.assertIn(first[0][:24], archived(self.repo))
        self.assertNotIn(first[0][:24], {name[:24] for name in self.pieces()})
        self.tool("verify")

    def test_a_damaged_piece_is_stored_anew(self):
        self.insert(100)
        self.receive_all()
        piece = self.repo / "main" / "open" / self.pieces()[0]
        flip(piece, -20)
        self.tool_fails(8, "finding", "verify")

        self.insert()
        self.receive_all()

        self.tool("verify")

    def test_a_piece_with_other_content_is_an_error_and_kept(self):
        """As when the server lost WAL that it had sent, or a copy of it writes on."""
        self.insert(100)
        self.receive_all()
        copy = make_directory(self.path / "copy")
        copy_of_running(self.cluster.data, copy / "data")
        self.insert(100)
        self.receive_all()
        before = self.pieces()
        self.cluster.crash()
        self.cluster.data.rename(self.path / "lost")
        run("cp", "-a", copy / "data", self.cluster.data)
        (self.cluster.data / "postmaster.pid").unlink()
        self.cluster.start()
        self.cluster.sql("insert into t select n, 'other' from generate_series(1, 3000) n")

        self.tool_fails(15, "other content", "receive", f"--conninfo={self.cluster.conninfo()}",
                        "--until-lsn=" + self.cluster.sql("select pg_current_wal_flush_lsn()"))

        self.assertEqual(self.pieces(), before)

    def test_systemd_is_told(self):
        place = self.path / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
            inbox.bind(str(place))
            os.chmod(place, 0o777)
            inbox.settimeout(180)
            receiver = self.receiver(environment={"NOTIFY_SOCKET": place,
                                                  "WATCHDOG_USEC": "1000000"})

            def wait_told(words):
                heard = ""
                while words not in heard:
                    heard = inbox.recv(4096).decode()

            wait_told("READY=1")
            wait_told("WATCHDOG=1")
            receiver.process.send_signal(signal.SIGTERM)
            wait_told("STOPPING=1")
            self.assertEqual(receiver.wait_exit(), 0)


class LargeSegments(ReceiveTest):
    """Larger than what is held in memory: the beginning is stored in pieces before the rest comes."""

    segment_mb = 64

    def test_a_segment_that_does_not_fit_into_memory_is_received_whole(self):
        self.cluster.sql("select pg_switch_wal()")
        receiver = self.receiver("--interval=1h").wait_said("streaming WAL")
        name = self.cluster.sql("select pg_walfile_name(pg_current_wal_insert_lsn())")
        self.insert(100000)
        lsn = self.cluster.sql("select pg_current_wal_flush_lsn()")
        self.cluster.wait_until(f"select bool_or(write_lsn >= '{lsn}') from pg_stat_replication")
        stored = [piece for piece in self.pieces() if piece.startswith(name)]
        self.assertEqual([piece[25:] for piece in stored[:4]],
                         [f"{n << 22:08X}-{n + 1 << 22:08X}" for n in range(4)])

        self.cluster.sql("select pg_switch_wal()")
        lsn = self.insert()
        self.cluster.wait_until("select bool_or(write_lsn >= "
                                f"'{lsn}') from pg_stat_replication")
        receiver.assert_runs()
        memory = int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(
            f"/proc/{receiver.process.pid}/status").read_text(encoding="ascii")).group(1))
        self.assertEqual(receiver.end(), 0, receiver.said())

        self.assertEqual(content_of(object_of(self.repo, name)),
                         (self.cluster.data / "pg_wal" / name).read_bytes())
        self.assertEqual([piece for piece in self.pieces() if piece.startswith(name)], [])
        self.assertLess(memory, 64 * 1024)  # KiB


class Together(ReceiveTest):
    """archive_command and receive fill one archive."""

    archives = True

    def test_both_routes_may_fill_one_archive(self):
        receiver = self.receiver().wait_said("streaming WAL")
        self.backup()
        with Oracle(self.cluster, self.path / "commits") as oracle:
            for _ in range(4):
                oracle.wait_commits(20)
                self.cluster.fill_segment()
        self.wait_acknowledged(self.cluster.sql("select pg_current_wal_flush_lsn()"))

        self.assertEqual(self.cluster.sql("select failed_count from pg_stat_archiver"), "0")
        self.assertEqual(receiver.end(), 0, receiver.said())
        self.tool("verify")
        self.cluster.crash()
        assert_content(self.restore(), oracle.numbers())

    def test_pieces_that_archive_command_left_behind_are_removed(self):
        self.insert()
        self.receive_all()
        left = self.pieces()
        self.assertNotEqual(left, [])
        self.cluster.switch_wal()

        self.receive_all()

        self.assertEqual({name[:24] for name in left} & {name[:24] for name in self.pieces()}, set())


class Recovery(ReceiveTest):
    """What is only in pieces is replayed, and by a recovery only."""

    def setUp(self):
        super().setUp()
        self.process = self.receiver().wait_said("streaming WAL")
        self.backup()

    def commit_some(self):
        with Oracle(self.cluster, self.path / "commits") as oracle:
            oracle.wait_commits(60)
        self.wait_acknowledged(self.cluster.sql("select pg_current_wal_flush_lsn()"))
        return oracle

    def test_a_restore_reaches_the_end_of_the_pieces(self):
        oracle = self.commit_some()
        self.lose_server(self.process)

        window = self.tool_json("list")["windows"][-1]
        newest = max(commit.acknowledged for commit in oracle.commits)
        restored = self.restore()

        assert_content(restored, oracle.numbers())
        self.assertNotEqual(self.pieces(), [])
        self.assertIsNotNone(window)
        self.assertGreater(newest, 0)
        # It archives into the same repository, on a timeline of its own.
        self.tool("verify")

    def test_a_target_in_the_pieces_is_found(self):
        oracle = self.commit_some()
        self.lose_server(self.process)
        target = oracle.commits[40]

        restored = self.restore(f"--target-xid={target.xid}", "--target-action=promote")

        said = restored.said
        self.assertIn(str(target.xid), said)
        present = {int(line) for line in restored.sql("select number from oracle").split()}
        self.assertIn(target.number, present)
        self.assertLess(len(present), len(oracle.commits))

    def fetch(self, signal_file=None, **how):
        """archive-get of the open segment, as a server with this signal file asks."""
        data = self.path / "asking"
        run("rm", "-rf", data)
        run("cp", "-a", self.cluster.data, data)
        for name in ("recovery.signal", "standby.signal"):
            (data / name).unlink(missing_ok=True)
        if signal_file:
            put(data / signal_file, b"")
        run("rm", "-f", data / "pg_wal" / self.open_segment)
        self.target = data / "pg_wal" / "RECOVERYXLOG"
        return self.attempt("archive-get", f"--data={data}", "--hole-wait=0s", self.open_segment,
                            self.target, **how)

    def test_only_a_recovery_gets_a_segment_that_is_not_whole(self):
        self.commit_some()
        self.open_segment = self.pieces()[0][:24]
        self.lose_server(self.process)

        done = self.fetch()
        self.assertEqual(done.returncode, 255, done.stderr)
        self.assertIn("recovery.signal", done.stderr)
        self.assertEqual(self.fetch(signal_file="standby.signal").returncode, 1)
        done = self.fetch(signal_file="recovery.signal")
        self.assertEqual(done.returncode, 0, done.stderr)
        content = self.target.read_bytes()
        self.assertEqual(len(content), 1 << 20)
        reach = int(self.pieces()[-1][-8:], 16)
        original = (self.cluster.data / "pg_wal" / self.open_segment).read_bytes()
        self.assertEqual(content[:reach], original[:reach])
        self.assertEqual(content[reach:].strip(b"\0"), b"")

        for point in ("get.before-rename-open", "get.after-rename-open"):
            with self.subTest(point):
                done = self.fetch(signal_file="recovery.signal",
                                  environment={"PGCAIRN_FAULT": f"{point}:crash"})
                self.assertEqual(done.returncode, -signal.SIGKILL, done.stderr)
                if self.target.exists():
                    self.assertEqual(self.target.read_bytes(), content)
        with self.subTest("archive-push does not take it for a whole one"):
            padded = put(self.path / self.open_segment, content)
            self.tool_fails(4, "piece of a segment", "archive-push", padded)
        with self.subTest("a damaged piece stops the recovery"):
            piece = self.repo / "main" / "open" / self.pieces()[0]
            before = piece.read_bytes()
            flip(piece, -20)
            self.assertEqual(self.fetch(signal_file="recovery.signal").returncode, 255)
            put(piece, before)
        with self.subTest("a missing piece is a hole"):
            piece.rename(self.path / "first")
            if self.pieces():
                self.assertEqual(self.fetch(signal_file="recovery.signal").returncode, 255)
                self.tool_fails(8, "finding", "verify")
            (self.path / "first").rename(piece)
        with self.subTest("with a later segment there it is a hole"):
            later = self.open_segment[:16] + f"{int(self.open_segment[16:], 16) + 1:08X}"
            stored = object_of(self.repo, archived(self.repo)[0])
            run("cp", "-a", stored, object_of(self.repo, later))
            self.assertEqual(self.fetch(signal_file="recovery.signal").returncode, 255)

    def test_the_tail_in_pg_wal_is_not_replaced_by_less(self):
        oracle = self.commit_some()
        self.assertEqual(self.process.end(), 0)
        with Oracle(self.cluster, self.path / "more", first_number=10000) as more:
            more.wait_commits(20)
        self.cluster.crash()

        done = self.attempt("restore", f"--data={self.cluster.data}", "--move-aside", "--start",
                            timeout_s=180)

        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        assert_content(self.cluster, oracle.numbers() | more.numbers(),
                       oracle.in_doubt() | more.in_doubt())


class Trouble(ReceiveTest):
    def test_it_reconnects_when_the_server_was_restarted(self):
        receiver = self.receiver().wait_said("streaming WAL")
        self.cluster.stop()
        receiver.wait_said("not receiving for now")
        self.cluster.start()
        self.wait_acknowledged(self.insert())
        self.cluster.crash()
        self.cluster.start()
        self.wait_acknowledged(self.insert())
        self.assertEqual(receiver.end(), 0, receiver.said())

    def test_a_repository_that_is_gone_for_a_while_loses_nothing(self):
        receiver = self.receiver().wait_said("streaming WAL")
        self.insert()
        away = self.path / "away"
        self.repo.rename(away)
        for _ in range(3):
            lsn = self.insert(3000)
        receiver.wait_said("not receiving for now")
        self.assertEqual(self.cluster.sql("select count(*) from pg_replication_slots where "
                                          f"restart_lsn >= '{lsn}'"), "0")
        away.rename(self.repo)
        self.wait_acknowledged(lsn)
        receiver.assert_runs()
        self.tool("verify")

    def test_a_signal_ends_it_while_it_waits(self):
        receiver = self.receiver().wait_said("streaming WAL")
        self.cluster.stop()
        receiver.wait_said("not receiving for now")
        self.assertEqual(receiver.end(), 0, receiver.said())

    def test_the_server_of_another_cluster_is_refused(self):
        other = self.server("other", port=5440).create(max_wal_senders=5).start()
        self.tool_fails(4, "system identifier", "receive", f"--conninfo={other.conninfo()}")
        self.assertEqual(other.sql("select count(*) from pg_replication_slots"), "0")

    def refused(self, status, message, *options):
        return self.tool_fails(status, message, "receive", f"--conninfo={self.cluster.conninfo()}",
                               *options)

    def test_slots_of_others_are_refused(self):
        with self.subTest("one that another receiver uses"):
            self.receiver().wait_said("streaming WAL")
            self.refused(5, "in use, by the server's process [0-9]+")
        with self.subTest("a name that is none"):
            self.refused(2, "slot name", "--slot=Not-one")
        with self.subTest("a logical one"):
            self.cluster.configure(wal_level="logical")
            self.cluster.stop()
            self.cluster.start()
            self.cluster.sql("select pg_create_logical_replication_slot('other', 'pgoutput')")
            self.refused(4, "a logical one", "--slot=other")

    def test_a_slot_that_was_lost_is_an_error_with_a_remedy(self):
        self.receive_all()
        self.cluster.configure(max_slot_wal_keep_size="1MB", max_wal_size="2MB", min_wal_size="2MB",
                               wal_keep_size="0")
        self.cluster.sql("select pg_reload_conf()")
        for _ in range(6):
            self.insert(3000)
            self.cluster.sql("checkpoint")
        self.assertEqual(self.cluster.sql("select wal_status from pg_replication_slots"), "lost")

        done = self.refused(4, "is lost")
        self.assertIn("pg_drop_replication_slot", done.stderr)

        with self.subTest("with a new one it goes on behind the hole, and says so"):
            self.cluster.sql("select pg_drop_replication_slot('pgcairn')")
            lsn = self.insert()
            done = self.attempt("receive", f"--conninfo={self.cluster.conninfo()}",
                                f"--until-lsn={lsn}")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("the archive lacks WAL", done.stderr)


class Synchronous(ReceiveTest):
    """With receive as the synchronous standby no acknowledged commit is ever lost."""

    prefixes = ("receive.", "piece.")  # of its fault points
    rare = AT_BEGINNING

    def prepare_restore(self):
        """After the loss of server and receiver."""

    def setUp(self):
        super().setUp()
        self.backup_with_receiver()
        self.cluster.reconfigure(synchronous_standby_names=NAME)

    def backup_with_receiver(self):
        receiver = self.receiver().wait_said("streaming WAL")
        self.backup()
        self.assertEqual(receiver.end(), 0)

    def points(self):
        """Which fault points a run passes that stores pieces and segments, and goes on from them."""
        log = self.path / "points"
        receiver = self.receiver("--synchronous", environment={"PGCAIRN_FAULT_LOG": log})
        with Oracle(self.cluster, self.path / "probe", first_number=1) as oracle:
            oracle.wait_commits(60)
            self.cluster.sql("set synchronous_commit = local; select pg_switch_wal()")
            oracle.wait_commits(60)
        self.assertEqual(receiver.end(), 0, receiver.said())
        self.probe = oracle
        return sorted(set(log.read_text(encoding="ascii").split()) - set(self.rare))

    def test_killed_at_every_point_it_loses_no_acknowledged_commit(self):
        points = self.points()
        self.assertLessEqual({point for point in fault_points()
                              if point.startswith(self.prefixes)} - set(self.rare), set(points))
        self.assertLessEqual({"wal-object.before-commit", "wal-object.after-commit"}, set(points))

        with Oracle(self.cluster, self.path / "commits", first_number=100000) as oracle:
            for point in points:
                for hit in (1, 7):
                    self.die_at(point, hit)
            receiver = self.receiver("--synchronous").wait_said("streaming WAL")
            oracle.wait_commits(20)
            receiver.kill()
            # The writers now wait for a commit that nobody acknowledges: the server dies with it.
            self.cluster.crash()

        self.prepare_restore()
        restored = self.restore()
        assert_content(restored, oracle.numbers() | self.probe.numbers(),
                       oracle.in_doubt() | self.probe.in_doubt())
        self.tool("verify")

    def die_at(self, point, hit):
        receiver = self.receiver("--synchronous",
                                 environment={"PGCAIRN_FAULT": f"{point}:crash:{hit}"})

        def ended():
            if receiver.process.poll() is None:
                self.cluster.sql("set synchronous_commit = local; select pg_switch_wal()")
                time.sleep(0.2)
            return receiver.process.poll() is not None

        wait_for(ended, f"death at {point}, {hit} times:\n{receiver.said()}", 120)
        self.assertEqual(receiver.process.returncode, -signal.SIGKILL, receiver.said())

    def test_a_commit_waits_until_it_is_in_the_repository(self):
        receiver = self.receiver("--synchronous").wait_said("streaming WAL")
        with Oracle(self.cluster, self.path / "commits") as oracle:
            oracle.wait_commits(100)
            receiver.kill()
            self.cluster.crash()
        self.prepare_restore()
        assert_content(self.restore(), oracle.numbers(), oracle.in_doubt())

    def test_a_star_in_synchronous_standby_names_means_us_too(self):
        self.cluster.reconfigure(synchronous_standby_names="*")
        receiver = self.receiver("--interval=1h").wait_said("streaming WAL")
        self.insert()
        receiver.wait_said("mode=synchronous")


class Timelines(ReceiveTest):
    def standby(self, port=5434):
        standby = self.server("standby", socket=self.cluster.socket, port=port)
        run(BIN / "pg_basebackup", "-h", self.cluster.socket, "-p", self.cluster.port, "-U",
            "postgres", "-D", standby.data, "-R", "-X", "stream", "--checkpoint=fast")
        return standby.start()

    def test_a_promotion_is_followed_and_the_history_stored(self):
        """The stream comes from the standby that is promoted: its timeline ends under our eyes."""
        standby = self.standby()
        lsn = self.insert(100)
        receiver = self.receiver(conninfo=standby.conninfo()).wait_said("streaming WAL")
        self.wait_replayed(standby, lsn)
        self.cluster.stop()
        standby.sql("select pg_promote()")
        receiver.wait_said("streaming WAL timeline=2")
        self.cluster = standby
        lsn = self.insert(3000)
        self.wait_acknowledged(lsn)
        self.assertIn("00000002.history", archived(self.repo))
        self.assertEqual(receiver.end(), 0, receiver.said())
        self.tool("verify")

    def wait_replayed(self, standby, lsn):
        standby.wait_until(f"select pg_last_wal_replay_lsn() >= '{lsn}'")

    def test_after_a_failover_the_new_primary_is_streamed_and_everything_restored(self):
        standby = self.standby()
        receiver = self.receiver().wait_said("streaming WAL")
        self.backup()
        with Oracle(self.cluster, self.path / "commits") as oracle:
            oracle.wait_commits(40)
        lsn = self.cluster.sql("select pg_current_wal_flush_lsn()")
        self.wait_acknowledged(lsn)
        self.wait_replayed(standby, lsn)
        self.assertEqual(receiver.end(), 0, receiver.said())
        self.cluster.crash()
        standby.sql("select pg_promote()")
        standby.wait_until("select not pg_is_in_recovery()")
        self.cluster = standby
        receiver = self.receiver().wait_said("streaming WAL timeline=2")
        with Oracle(standby, self.path / "later", first_number=1000) as later:
            later.wait_commits(40)
        self.wait_acknowledged(standby.sql("select pg_current_wal_flush_lsn()"))
        self.lose_server(receiver)

        restored = self.restore()

        assert_content(restored, oracle.numbers() | later.numbers())
        self.tool("verify")

    def test_killed_while_it_stores_a_history_it_does_so_the_next_time(self):
        standby = self.standby()
        self.cluster.stop()
        standby.sql("select pg_promote()")
        standby.wait_until("select not pg_is_in_recovery()")
        self.cluster = standby
        for point in AT_BEGINNING:
            receiver = self.receiver(environment={"PGCAIRN_FAULT": f"{point}:crash"})
            self.assertEqual(receiver.wait_exit(), -signal.SIGKILL, receiver.said())
        self.receive_all()
        self.assertIn("00000002.history", archived(self.repo))

    def test_the_same_timeline_of_another_promotion_is_refused(self):
        standby = self.standby()
        other = self.server("twin", socket=self.cluster.socket, port=5436)
        self.cluster.stop()
        copy_of_running(standby.data, other.data)
        (other.data / "postmaster.pid").unlink()
        other.configure(primary_conninfo="")
        for twin in (standby, other.start()):
            twin.sql("select pg_promote()")
            twin.wait_until("select not pg_is_in_recovery()")
        self.cluster = standby
        self.receive_all()
        self.cluster = other
        other.sql("select pg_switch_wal()")

        self.tool_fails(15, "other content", "receive", f"--conninfo={other.conninfo()}",
                        "--until-lsn=" + other.sql("select pg_current_wal_flush_lsn()"))


if __name__ == "__main__":
    unittest.main()
