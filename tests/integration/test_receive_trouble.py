"""
pgcairn receive when its server, the network, its slot or the repository give trouble: what clients
were told is committed is in the repository, or receive says what is wrong.
"""

import contextlib
import json
import os
import select
import shutil
import socket
import threading

from support.archive import archived, content_of, object_of
from support.oracle import Oracle, assert_content
from support.processes import BIN, USER, run, wait_for
from support.cluster import make_directory
from test_receive import NAME, SLOT, ReceiveTest


class Wire:
    """
    The network between receive and the server: a socket that hands on what comes, and that can be
    cut after so many bytes of the server, or at once.
    """

    def __init__(self, test, cluster):
        self.directory = make_directory(test.path / "wire")
        self.target = str(cluster.socket / f".s.PGSQL.{cluster.port}")
        self.conninfo = f"host={self.directory} port={cluster.port} user=postgres dbname=postgres"
        self.cuts = []  # after so many bytes of the next connections; without one they stay
        self.cut_count = 0
        self.is_up = True
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path = self.directory / f".s.PGSQL.{cluster.port}"
        self._listener.bind(str(path))
        if USER:
            shutil.chown(path, USER, USER)
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()
        test.addCleanup(self._listener.close)

    def _serve(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # the test is over
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client):
        with client, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            if not self.is_up:
                return
            try:
                server.connect(self.target)
                self._pump(client, server, self.cuts.pop(0) if self.cuts else None)
            except OSError:
                pass  # one of both is gone: so is the other

    def _pump(self, client, server, left):
        """Hand on both ways, until one of them ends, the wire is cut or `left` bytes came."""
        while self.is_up:
            ready, _, _ = select.select([client, server], [], [], 0.1)
            for source, target in ((client, server), (server, client)):
                if source not in ready:
                    continue
                data = source.recv(65536 if left is None or source is client else min(left, 65536))
                if not data:
                    return
                target.sendall(data)
                if source is server and left is not None:
                    left -= len(data)
                    if left == 0:
                        self.cut_count += 1
                        return


class TroubleTest(ReceiveTest):
    def start_synchronous(self, *options, **how):
        """receive as the synchronous standby, behind a backup."""
        receiver = self.receiver("--synchronous", *options, **how).wait_said("streaming WAL")
        self.backup()
        self.cluster.reconfigure(synchronous_standby_names=NAME)
        return receiver

    def wait_all_wait(self, writers=2):
        """No commit is acknowledged any more: every writer waits for the synchronous standby."""
        self.cluster.wait_until(f"select count(*) >= {writers} from pg_stat_activity"
                                " where wait_event = 'SyncRep'")

    def slot(self, column):
        return self.cluster.sql(f"select {column} from pg_replication_slots"
                                f" where slot_name = '{SLOT}'")

    def oracle(self, name, first_number=1, **how):
        return Oracle(self.cluster, self.path / name, first_number=first_number, **how)


class Repository(TroubleTest):
    def test_commits_wait_while_the_repository_is_away_and_none_is_lost(self):
        receiver = self.start_synchronous("--retries=0")
        away = self.path / "away"
        with self.oracle("commits") as oracle:
            oracle.wait_commits(30)
            self.repo.rename(away)
            self.wait_all_wait()
            receiver.wait_said("not receiving for now")
            away.rename(self.repo)
            oracle.wait_commits(30)

            self.repo.rename(away)
            self.wait_all_wait()
            self.lose_server(receiver)
        away.rename(self.repo)

        assert_content(self.restore(), oracle.numbers(), oracle.in_doubt())
        self.tool("verify")


class Server(TroubleTest):
    def test_an_immediate_shutdown_under_load_loses_nothing(self):
        receiver = self.start_synchronous()
        oracles = []
        for turn in range(3):
            with self.oracle(f"commits-{turn}", 1 + 100000 * turn) as oracle:
                oracle.wait_commits(30)
                self.cluster.stop("immediate")
            oracles.append(oracle)
            self.cluster.start()
        with self.oracle("last", 900000) as last:
            last.wait_commits(30)
            self.lose_server(receiver)
        oracles.append(last)

        assert_content(self.restore(), set().union(*(oracle.numbers() for oracle in oracles)),
                       set().union(*(oracle.in_doubt() for oracle in oracles)))
        self.tool("verify")

    def test_it_follows_when_another_server_becomes_the_primary(self):
        """One conninfo names both; receive is never touched."""
        standby = self.server("standby", socket=self.cluster.socket, port=5434)
        run(BIN / "pg_basebackup", "-h", self.cluster.socket, "-p", self.cluster.port, "-U",
            "postgres", "-D", standby.data, "-R", "-X", "stream", "--checkpoint=fast")
        standby.start()
        receiver = self.receiver("--synchronous", conninfo=(
            f"host={self.cluster.socket},{standby.socket} port={self.cluster.port},{standby.port}"
            " user=postgres dbname=postgres target_session_attrs=read-write")).wait_said("streaming WAL")
        self.backup()
        self.cluster.reconfigure(synchronous_standby_names=f"2 ({NAME}, walreceiver)")
        with self.oracle("commits") as oracle:
            oracle.wait_commits(40)
            self.cluster.crash()
        receiver.wait_said("not receiving for now")
        standby.sql("select pg_promote()")
        receiver.wait_said("streaming WAL timeline=2")
        self.cluster = standby
        standby.reconfigure(synchronous_standby_names=NAME)
        with self.oracle("later", 100000) as later:
            later.wait_commits(40)
            self.lose_server(receiver)

        self.assertIn("00000002.history", archived(self.repo))
        assert_content(self.restore(), oracle.numbers() | later.numbers(),
                       oracle.in_doubt() | later.in_doubt())
        self.tool("verify")

    def test_timelines_that_came_and_went_while_it_was_away_are_taken_in(self):
        """Promoted twice behind its back, with a segment and more on each timeline."""
        self.receive_all()
        self.backup_once()
        with self.oracle("commits") as oracle:
            oracle.wait_commits(20)
        for _ in range(2):
            self.cluster.sql("select pg_switch_wal()")
            self.cluster.stop()
            run("touch", self.cluster.data / "standby.signal")
            self.cluster.start(max_wal_senders=10)
            self.cluster.sql("select pg_promote()")
            self.cluster.wait_until("select not pg_is_in_recovery()")
            with self.oracle(f"on-{self.timeline()}", 100000 * self.timeline()) as later:
                later.wait_commits(20)
            oracle.commits += later.commits
        self.receive_all()
        self.cluster.crash()

        self.assertEqual([name for name in archived(self.repo) if name.endswith(".history")],
                         ["00000002.history", "00000003.history"])
        assert_content(self.restore(), oracle.numbers())
        self.tool("verify")

    def timeline(self):
        return int(self.cluster.sql("select pg_walfile_name(pg_current_wal_lsn())")[:8])

    def backup_once(self):
        receiver = self.receiver().wait_said("streaming WAL")
        self.backup()
        self.assertEqual(receiver.end(), 0, receiver.said())


class Network(TroubleTest):
    def test_cut_in_the_middle_of_messages_it_goes_on_without_a_gap(self):
        wire = Wire(self, self.cluster)
        # Within messages of every kind: of the first answers, of WAL, near the ends of segments.
        wire.cuts = [1500, 9000, 70001, 1048576, 1500007]
        cuts = len(wire.cuts)
        receiver = self.receiver("--synchronous", conninfo=wire.conninfo)
        with self.oracle("commits") as oracle:
            def write():
                self.insert(1500)
                receiver.assert_runs()
                return wire.cut_count == cuts
            wait_for(write, "all cuts")
            oracle.wait_commits(20)
        self.wait_acknowledged(self.cluster.sql("select pg_current_wal_flush_lsn()"))
        self.assertEqual(receiver.end(), 0, receiver.said())

        names = archived(self.repo)
        first, last = int(names[0], 16), int(names[-1], 16)
        self.assertEqual([int(name, 16) for name in names], list(range(first, last + 1)))
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                self.assertEqual(content_of(object_of(self.repo, name)),
                                 (self.cluster.data / "pg_wal" / name).read_bytes())
        self.tool("verify")

    def test_an_end_of_the_walsender_under_load_loses_nothing(self):
        receiver = self.start_synchronous()
        with self.oracle("commits") as oracle:
            for _ in range(4):
                oracle.wait_commits(15)
                self.cluster.sql("set synchronous_commit = local;"
                                 " select pg_terminate_backend(pid) from pg_stat_replication")
            oracle.wait_commits(15)
            self.lose_server(receiver)
        assert_content(self.restore(), oracle.numbers(), oracle.in_doubt())

    def test_commits_wait_while_the_network_is_away_and_none_is_lost(self):
        wire = Wire(self, self.cluster)
        receiver = self.start_synchronous(conninfo=wire.conninfo)
        with self.oracle("commits") as oracle:
            oracle.wait_commits(20)
            wire.is_up = False
            receiver.wait_said("not receiving for now")
            self.wait_all_wait()
            wire.is_up = True
            oracle.wait_commits(20)
            wire.is_up = False
            self.wait_all_wait()
            self.lose_server(receiver)
        assert_content(self.restore(), oracle.numbers(), oracle.in_doubt())


class Slots(TroubleTest):
    def test_a_slot_lost_under_a_running_receiver_ends_it_and_status_says_so(self):
        wire = Wire(self, self.cluster)
        receiver = self.receiver(conninfo=wire.conninfo).wait_said("streaming WAL")
        self.wait_acknowledged(self.insert())
        wire.is_up = False
        self.cluster.wait_until("select not active from pg_replication_slots")
        self.cluster.reconfigure(max_slot_wal_keep_size="1MB", max_wal_size="2MB",
                                 min_wal_size="2MB", wal_keep_size="0")

        def lose():
            self.insert(3000)
            self.cluster.sql("checkpoint")
            return self.slot("wal_status") == "lost"
        wait_for(lose, "loss of the slot")
        receiver.assert_runs()
        wire.is_up = True

        self.assertEqual(receiver.wait_exit(), 4, receiver.said())
        self.assertIn("is lost", receiver.said())
        self.assertIn("pg_drop_replication_slot", receiver.said())
        done = self.attempt("status", "--json", f"--data={self.cluster.data}")
        self.assertNotEqual(done.returncode, 0, done.stdout)
        [advice] = [finding["next"] for finding in json.loads(done.stdout)["findings"]
                    if finding["what"] == f"slot {SLOT} has lost WAL that it still needed"]
        self.assertIn("drop it (SELECT pg_drop_replication_slot(", advice)

    def test_two_that_create_one_slot_at_once_get_one_and_the_other_is_told(self):
        fifo = self.path / "points"
        os.mkfifo(fifo)
        os.chmod(fifo, 0o666)
        # Nobody reads: it waits at the first point, which is where it is about to create the slot.
        late = self.receiver(environment={"PGCAIRN_FAULT_LOG": fifo})
        self.cluster.wait_until("select count(*) = 1 from pg_stat_activity where application_name ="
                                f" '{NAME}' and state = 'idle' and query ~ 'pg_replication_slots'")
        self.receiver().wait_said("streaming WAL")
        threading.Thread(target=self.read_all, args=(fifo,), daemon=True).start()

        self.assertEqual(late.wait_exit(), 5, late.said())
        self.assertRegex(late.said(), "in use, by the server's process [0-9]+")

    @staticmethod
    def read_all(fifo):
        """Until nobody is left who could write: opened both ways it never ends by itself."""
        with open(os.open(fifo, os.O_RDWR), "rb") as file:
            while file.readline():
                pass

    def test_two_with_slots_of_their_own_fill_one_archive(self):
        one = self.start_synchronous()
        two = self.receiver("--synchronous", "--slot=second", "--application-name=second")
        two.wait_said("streaming WAL")
        self.cluster.reconfigure(synchronous_standby_names=f"ANY 1 ({NAME}, second)")
        with self.oracle("commits") as oracle:
            for _ in range(3):
                oracle.wait_commits(20)
                self.cluster.sql("set synchronous_commit = local; select pg_switch_wal()")
            one.kill()
            oracle.wait_commits(20)
            self.lose_server(two)

        assert_content(self.restore(), oracle.numbers(), oracle.in_doubt())
        self.tool("verify")
