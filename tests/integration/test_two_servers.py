"""
More than one history in one archive: servers that share a system identifier, forks, a recovery upon
another one; and an archive that goes away in the middle of a recovery.
"""

import re
import time

from support.archive import archived, put
from support.cluster import ClusterTest, copy_of_running
from support.oracle import Oracle, assert_content, check_indexes, difference
from support.processes import BIN, TOOL, run, wait_for

TWIN_NUMBERS = 10**6
WARNING, CRITICAL = 1, 2


class SplitBrain(ClusterTest):
    """Two servers believe that they are the one, and archive into one place at the same time."""

    segment_mb = 1
    settings = {"wal_keep_size": "1GB", "archive_timeout": 0}

    def setUp(self):
        super().setUp()
        self.oracle = Oracle(self.cluster, self.path / "commits", pause_s=0.01)
        with self.oracle:
            self.tool("backup", f"--data={self.cluster.data}")
            self.oracle.wait_commits(20)
        self.cluster.switch_wal()
        self.shared = self.oracle.numbers()

    def twin(self):
        """A server from a copy of the first, which is down or a standby's."""
        twin = self.server("twin", socket=self.cluster.socket, port=5434)
        copy_of_running(self.cluster.data, twin.data)
        (twin.data / "postmaster.pid").unlink(missing_ok=True)
        return twin

    def write_on_both(self, one, other):
        """Until one of them has been refused, and the other has archived more since; (winner, loser)."""
        oracles = [Oracle(one, self.path / "commits-one", first_number=TWIN_NUMBERS, pause_s=0.01),
                   Oracle(other, self.path / "commits-other", first_number=2 * TWIN_NUMBERS, pause_s=0.01)]
        with oracles[0], oracles[1]:
            def refused():
                for server in (one, other):
                    server.sql("select pg_switch_wal()")
                return [server for server in (one, other) if re.search(
                    "pgcairn: error: (.*\n)*?.*other content", server.log.read_text(encoding="utf-8"))]
            losers = wait_for(refused, "a refusal", pause_s=0.3)
            winner = other if one in losers else one
            last = winner.sql("select last_archived_wal from pg_stat_archiver")
            for _ in range(3):
                winner.sql("select pg_switch_wal()")
                time.sleep(0.3)
            winner.wait_until(f"select last_archived_wal > '{last}' from pg_stat_archiver")
            oracles[0].wait_commits(5)
            oracles[1].wait_commits(5)
        loser = one if winner is other else other
        self.assertEqual(losers, [loser], "both were refused")
        return winner, loser, oracles[winner is other], oracles[loser is other]

    def assert_is_the_winners(self, winner, loser, kept, lost):
        """All of the one, nothing of the other, and the other says so."""
        done = self.attempt("status", f"--data={loser.data}")
        self.assertIn(done.returncode, (WARNING, CRITICAL), done.stdout)
        self.assertIn("archiving fails", done.stdout)
        winner.switch_wal()
        for server in (winner, loser):
            server.crash()
        restored = self.restore(port=5437)
        assert_content(restored, self.shared | kept.numbers(), kept.in_doubt())
        _, foreign = difference(restored, self.shared | kept.numbers())
        self.assertFalse(foreign & lost.numbers())
        check_indexes(restored)
        self.tool("verify")

    def test_one_of_two_copies_is_refused_and_the_archive_is_the_others(self):
        self.cluster.stop()
        twin = self.twin().start()
        self.cluster.start()
        self.assert_is_the_winners(*self.write_on_both(self.cluster, twin))

    def test_one_of_two_promoted_standbys_is_refused(self):
        """Both begin timeline 2, at different places."""
        standbys = []
        for name, port in (("first", 5435), ("second", 5436)):
            standby = self.server(name, socket=self.cluster.socket, port=port)
            self.base(standby)
            standby.configure(primary_conninfo=self.cluster.conninfo())
            standby.start()
            standby.wait_until("select status = 'streaming' from pg_stat_wal_receiver")
            standbys.append(standby)
        first, second = standbys
        first.sql("select pg_promote()")
        with Oracle(self.cluster, self.path / "more", first_number=5 * TWIN_NUMBERS) as more:
            more.wait_commits(10)
        lsn = self.cluster.sql("select pg_current_wal_flush_lsn()")
        second.wait_until(f"select pg_last_wal_replay_lsn() >= '{lsn}'")
        self.cluster.stop()
        second.sql("select pg_promote()")
        for standby in standbys:
            standby.wait_until("select not pg_is_in_recovery()")
        winner, loser, kept, lost = self.write_on_both(first, second)
        if winner is second:
            self.shared |= more.numbers()
        self.assert_is_the_winners(winner, loser, kept, lost)

    def base(self, standby):
        run(BIN / "pg_basebackup", "-h", self.cluster.socket, "-p", self.cluster.port, "-U", "postgres",
            "-D", standby.data, "-X", "stream", "--checkpoint=fast")
        run("touch", standby.data / "standby.signal")


class Forks(ClusterTest):
    """Timeline 2 left the first, timeline 3 left it earlier, timeline 4 left the second."""

    segment_mb = 1

    def advance(self, server, count=10):
        """Commits on this server, all of them archived; gives their numbers."""
        self.numbers = getattr(self, "numbers", 0) + 1000
        oracle = Oracle(server, self.path / f"commits-{self.numbers}", first_number=self.numbers)
        with oracle:
            oracle.wait_commits(count)
        server.switch_wal()
        return oracle.numbers()

    def mark(self, server):
        name = f"point {server.sql('select pg_current_wal_insert_lsn()')}"
        server.sql(f"select pg_create_restore_point('{name}')")
        return name

    def go_back(self, server, name, *options):
        """The server is lost, and its database goes on from that point."""
        server.crash()
        self.again = getattr(self, "again", 5440) + 1
        restored = self.restore(f"--target-name={name}", "--target-action=promote", *options,
                                name=f"server-{self.again}", port=self.again)
        return restored

    def test_each_timeline_holds_what_was_committed_on_it(self):
        self.tool("backup", f"--data={self.cluster.data}")
        a = self.advance(self.cluster)
        early = self.mark(self.cluster)
        b = self.advance(self.cluster)
        late = self.mark(self.cluster)
        c = self.advance(self.cluster)

        second = self.go_back(self.cluster, late)
        assert_content(second, a | b)
        d = self.advance(second)
        middle = self.mark(second)
        e = self.advance(second)
        third = self.go_back(second, early)
        assert_content(third, a)
        f = self.advance(third)
        fourth = self.go_back(third, middle, "--target-timeline=2")
        assert_content(fourth, a | b | d)
        g = self.advance(fourth)
        self.tool("backup", f"--data={fourth.data}", f"--conninfo={fourth.conninfo()}")
        fourth.crash()

        self.assertEqual([name for name in archived(self.repo) if name.endswith(".history")],
                         [f"0000000{number}.history" for number in (2, 3, 4)])
        for timeline, rows in ((1, a | b | c), (2, a | b | d | e), (3, a | f), (4, a | b | d | g)):
            with self.subTest(timeline=timeline):
                copy = self.restore("--as-copy", f"--target-timeline={timeline}",
                                    name=f"copy-{timeline}", port=5450 + timeline)
                assert_content(copy, rows)
                copy.stop("immediate")
        self.tool("verify")


class GoneInRecovery(ClusterTest):
    """The repository is taken away while a server recovers from it, and comes back."""

    segment_mb = 1

    def test_recovery_stops_and_goes_on_when_it_is_back(self):
        oracle = Oracle(self.cluster, self.path / "commits")
        with oracle:
            self.tool("backup", f"--data={self.cluster.data}")
            for _ in range(12):
                oracle.wait_commits(10)
                self.cluster.fill_segment(200)
        self.cluster.switch_wal()
        self.cluster.crash()
        wal = [name for name in archived(self.repo) if len(name) == 24]
        victim, away, once = wal[len(wal) // 2], self.path / "away", put(self.path / "once", b"")
        script = put(self.path / "restore.sh", f"""#!/bin/sh
[ "$1" = {victim} ] && [ -e {once} ] && rm {once} && mv {self.repo} {away}
shift
exec "$@"
""".encode())
        restored = self.restored()
        self.tool("restore", f"--data={restored.data}", "--as-copy")
        conf = restored.data / "postgresql.auto.conf"
        text = conf.read_text(encoding="utf-8")
        self.assertIn(f"'{TOOL} archive-get", text)
        put(conf, text.replace(f"'{TOOL} archive-get", f"'sh {script} %f {TOOL} archive-get").encode())

        restored.spawn()
        self.assertNotEqual(restored.wait_exit(), 0)
        log = restored.log.read_text(encoding="utf-8", errors="replace")
        self.assertFalse(once.exists(), "it never asked for the segment")
        self.assertNotIn("archive recovery complete", log)
        self.assertTrue((restored.data / "recovery.signal").exists())
        restored.spawn()  # it is still away
        self.assertNotEqual(restored.wait_exit(), 0)

        away.rename(self.repo)
        restored.start()
        restored.wait_until("select not pg_is_in_recovery()")
        assert_content(restored, oracle.numbers())
        check_indexes(restored)
