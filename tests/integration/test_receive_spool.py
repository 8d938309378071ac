"""
pgcairn receive --wal-spool: what is acknowledged is in the spool or in the repository, and goes from
one into the other whatever is killed or away meanwhile.
"""

import json
import signal

from support.archive import archived, flip
from support.cluster import copy_of_running, make_directory
from support.oracle import Oracle, assert_content
from support.processes import run, wait_for
import test_receive
from test_receive import AT_BEGINNING, NAME, ReceiveTest


class SpoolTest(ReceiveTest):
    def setUp(self):
        super().setUp()
        self.spool = self.path / "spool"
        self.away = self.path / "away"

    def options(self, *more):
        return (f"--wal-spool={self.spool}", "--synchronous", "--retries=0", *more)

    def start(self, *more, **how):
        return self.receiver(*self.options(*more), **how).wait_said("streaming WAL")

    def start_synchronous(self, *more):
        """receive as the synchronous standby, behind a backup."""
        receiver = self.start(*more)
        self.backup()
        self.cluster.reconfigure(synchronous_standby_names=NAME)
        return receiver

    def spooled(self):
        """Names of all WAL in the spool: whole segments and pieces."""
        return sorted(path.name for folder in ("wal", "open")
                      for path in (self.spool / "main" / folder).rglob("*")
                      if path.is_file() and ".history" not in path.name)

    def wait_moved(self):
        """A receiver that finds no server moves what is in the spool all the same."""
        receiver = self.receiver(*self.options()).wait_said("not receiving for now")
        self.assertEqual(self.spooled(), [], receiver.said())
        receiver.kill()

    def lose_server(self, receiver):
        super().lose_server(receiver)
        if self.away.exists():
            self.away.rename(self.repo)
        self.wait_moved()


class Away(SpoolTest):
    def test_commits_go_on_while_the_repository_is_away_and_survive_both(self):
        receiver = self.start_synchronous()
        with Oracle(self.cluster, self.path / "commits") as oracle:
            oracle.wait_commits(20)
            self.repo.rename(self.away)
            receiver.wait_said("the repository takes no WAL for now")
            for _ in range(3):
                oracle.wait_commits(20)
                self.cluster.sql("set synchronous_commit = local; select pg_switch_wal()")
            oracle.wait_commits(20)
            self.assertGreaterEqual(len([name for name in self.spooled() if "wal" in name]), 2)
            self.lose_server(receiver)

        assert_content(self.restore(), oracle.numbers(), oracle.in_doubt())
        self.tool("verify")

    def test_a_repository_that_is_back_gets_everything_while_commits_go_on(self):
        receiver = self.start_synchronous()
        self.repo.rename(self.away)
        receiver.wait_said("the repository takes no WAL for now")
        with Oracle(self.cluster, self.path / "commits") as oracle:
            for _ in range(3):
                oracle.wait_commits(20)
                self.cluster.sql("set synchronous_commit = local; select pg_switch_wal()")
            last = self.cluster.sql("select pg_walfile_name(pg_current_wal_flush_lsn())")
            self.away.rename(self.repo)
            receiver.wait_said("the repository takes WAL again")
            wait_for(lambda: archived(self.repo) and archived(self.repo)[-1] >= f"{int(last, 16) - 1:024X}",
                     f"{last} in the repository")
            oracle.wait_commits(20)
        # A signal lets pieces go, and no whole segment: that takes longer.
        wait_for(lambda: not any(name.endswith(".wal") for name in self.spooled()), "a move")
        self.assertEqual(receiver.end(), 0, receiver.said())
        self.assertEqual(self.spooled(), [])
        self.cluster.crash()

        assert_content(self.restore(), oracle.numbers())
        self.tool("verify")

    def test_a_connection_that_breaks_meanwhile_is_made_again(self):
        receiver = self.start_synchronous()
        with Oracle(self.cluster, self.path / "commits") as oracle:
            oracle.wait_commits(10)
            self.repo.rename(self.away)
            receiver.wait_said("the repository takes no WAL for now")
            for _ in range(3):
                oracle.wait_commits(10)
                self.cluster.sql("set synchronous_commit = local;"
                                 " select pg_terminate_backend(pid) from pg_stat_replication")
            oracle.wait_commits(10)
            self.lose_server(receiver)
        assert_content(self.restore(), oracle.numbers(), oracle.in_doubt())

    def test_a_full_spool_acknowledges_nothing_until_there_is_room(self):
        receiver = self.start("--wal-spool-size=4MiB")
        self.insert()
        self.repo.rename(self.away)

        def fill():
            self.cluster.sql("insert into t select n, string_agg(md5(random()::text), '') from"
                             " generate_series(1, 1000) n, generate_series(1, 30) group by n")
            receiver.assert_runs()
            return "the spool is full" in receiver.said()
        wait_for(fill, "a full spool")
        lsn = self.insert(3000)
        size = sum(path.stat().st_size for path in self.spool.rglob("*") if path.is_file())
        self.assertLess(size, 6 << 20)
        self.assertEqual(self.cluster.sql("select count(*) from pg_replication_slots where "
                                          f"restart_lsn >= '{lsn}'"), "0")
        self.away.rename(self.repo)
        receiver.wait_said("the spool has room again")
        self.wait_acknowledged(lsn)
        self.assertEqual(receiver.end(), 0, receiver.said())
        self.tool("verify")

    def test_status_does_not_take_what_is_spooled_for_safe(self):
        receiver = self.start_synchronous()
        self.wait_acknowledged(self.insert())
        self.repo.rename(self.away)
        receiver.wait_said("the repository takes no WAL for now")
        lsn = self.insert()  # comes back, since it is in the spool
        self.wait_acknowledged(lsn)
        receiver.kill()
        self.away.rename(self.repo)

        done = self.attempt("status", "--json", f"--data={self.cluster.data}")
        self.assertEqual(json.loads(done.stdout)["exposure"]["state"], "known", done.stdout)

    def test_until_lsn_ends_with_an_empty_spool(self):
        self.insert(3000)
        self.receive_all(*self.options())
        self.assertEqual(self.spooled(), [])
        self.assertNotEqual(self.pieces(), [])
        self.tool("verify")


class RepositoryAwayAtStart(SpoolTest):
    """The spool says whose it is, so it needs nobody else to take WAL to safety."""

    def setUp(self):
        super().setUp()
        self.receive_all(*self.options())
        self.assertEqual(self.spooled(), [])

    def start_without(self):
        receiver = self.receiver(*self.options()).wait_said("the repository takes no WAL for now")
        return receiver.wait_said("streaming WAL")

    def test_commits_are_safe_and_go_into_the_repository_later(self):
        receiver = self.start_synchronous()
        receiver.kill()
        self.repo.rename(self.away)
        oracles = []
        for number in (1, 10**6):  # with an empty spool, and with one that is not
            receiver = self.start_without()
            with Oracle(self.cluster, self.path / f"commits-{number}", first_number=number) as oracle:
                oracle.wait_commits(30)
                if oracles:
                    receiver.kill()
                    self.cluster.crash()
            receiver.kill()
            self.assertNotEqual(self.spooled(), [])
            oracles.append(oracle)
        self.away.rename(self.repo)
        self.wait_moved()
        assert_content(self.restore(), oracles[0].numbers() | oracles[1].numbers(),
                       oracles[0].in_doubt() | oracles[1].in_doubt())
        self.tool("verify")

    def test_what_the_archive_lacks_is_looked_for_once_it_is_back(self):
        """The slot was made anew and begins later; the server happens to have what is between."""
        self.cluster.reconfigure(wal_keep_size="1GB")
        before = archived(self.repo)
        self.cluster.sql("select pg_drop_replication_slot('pgcairn')")
        for _ in range(3):
            self.insert()
            self.cluster.sql("select pg_switch_wal()")
        self.cluster.sql("checkpoint")
        self.cluster.sql("select pg_create_physical_replication_slot('pgcairn', true)")
        self.repo.rename(self.away)
        receiver = self.start_without()
        self.insert(3000)
        self.wait_acknowledged(self.insert())
        self.away.rename(self.repo)
        receiver.wait_said("the repository takes WAL again")
        receiver.wait_said("(?s)streaming WAL.*streaming WAL")
        last = int(self.cluster.sql("select pg_walfile_name(pg_current_wal_flush_lsn())"), 16) - 1
        wait_for(lambda: archived(self.repo) and int(archived(self.repo)[-1], 16) >= last, "all segments")
        self.wait_acknowledged(self.insert())
        self.assertEqual(receiver.end(), 0, receiver.said())
        numbers = [int(name, 16) for name in archived(self.repo)]
        self.assertEqual(numbers, list(range(numbers[0], last + 1)), before)
        self.assertNotIn("not receiving for now", receiver.said())  # by the same connection
        self.tool("verify")

    def test_an_empty_directory_in_its_place_gets_nothing(self):
        """Its file system is not mounted."""
        self.repo.rename(self.away)
        make_directory(self.repo)
        receiver = self.start_without()
        self.insert(5000)
        self.wait_acknowledged(self.insert())
        self.assertEqual(list(self.repo.rglob("*")), [], receiver.said())
        self.repo.rmdir()
        self.away.rename(self.repo)
        receiver.wait_said("the repository takes WAL again")
        self.assertEqual(receiver.end(), 0, receiver.said())
        self.assertEqual(self.spooled(), [])

    def test_another_repository_in_its_place_ends_it_and_gets_nothing(self):
        self.repo.rename(self.away)
        receiver = self.start_without()
        self.tool("init", f"--data={self.cluster.data}", repo=self.path / "other")
        (self.path / "other").rename(self.repo)
        before = sorted(self.repo.rglob("*"))
        self.assertEqual(receiver.wait_exit(), 4, receiver.said())
        self.assertRegex(receiver.said(), "holds another repository")
        self.assertEqual(sorted(self.repo.rglob("*")), before)
        self.assertNotEqual(self.spooled(), [])

    def test_what_it_can_not_know_is_refused(self):
        self.repo.rename(self.away)
        said = "receive", f"--conninfo={self.cluster.conninfo()}", "--retries=0", "--until-lsn=0/1"
        with self.subTest("whose a new spool would be"):
            self.tool_fails(7, "at the first run with the spool", *said,
                            f"--wal-spool={self.path / 'new'}")
            self.assertFalse((self.path / "new").exists())
        with self.subTest("without a spool"):
            self.tool_fails(7, "mounted", *said)
        with self.subTest("another cluster's name"):
            self.tool_fails(4, 'is the spool of cluster "main", and this is "second"', *said,
                            f"--wal-spool={self.spool}", "--cluster=second")
        with self.subTest("another cluster's server"):
            self.cluster.stop()
            other = self.server("other", port=5444).create(segment_mb=1)
            other.start()
            self.tool_fails(4, "system identifier", "receive", f"--conninfo={other.conninfo()}", "--retries=0",
                            f"--wal-spool={self.spool}")
            self.assertEqual(other.sql("select count(*) from pg_replication_slots"), "0")


class Exchanged(SpoolTest):
    """Both places are reached by links, which change in one step."""

    def setUp(self):
        super().setUp()
        self.spool = self.link("spool", "first-spool")
        self.real = self.repo.rename(self.path / "first-repo")
        self.repo = self.link("repo", "first-repo")

    def link(self, name, target):
        (make_directory(self.path / target) if not (self.path / target).exists() else None)
        new = self.path / f"{name}.new"
        new.symlink_to(self.path / target)
        return new.rename(self.path / name)

    def wait_said_or_acknowledged(self, receiver, words, lsn):
        """Without a guard the wrong thing happens, and at once."""
        def happened():
            return words in receiver.said() or self.cluster.sql(
                f"select coalesce(bool_or(flush_lsn >= '{lsn}'), false) from pg_stat_replication") == "t"
        wait_for(happened, f"{words} in:\n{receiver.said()}")
        self.assertIn(words, receiver.said())

    def test_what_an_empty_directory_took_is_not_acknowledged(self):
        receiver = self.receiver("--retries=0", "--synchronous").wait_said("streaming WAL")
        self.wait_acknowledged(self.insert())
        self.link("repo", "empty")
        self.wait_said_or_acknowledged(receiver, "the repository is not at", self.insert())
        self.link("repo", "first-repo")
        self.wait_acknowledged(self.insert())
        self.assertEqual(receiver.end(), 0, receiver.said())
        self.tool("verify")

    def test_what_it_took_does_not_leave_the_spool(self):
        receiver = self.start(environment={"PGCAIRN_FAULT": "spool.before-remove:stop"})
        name = self.cluster.sql("select pg_walfile_name(pg_current_wal_lsn())")
        self.insert(3000)
        self.cluster.sql("select pg_switch_wal()")
        self.insert()
        wait_for(lambda: receiver.state() == "T", f"a stop\n{receiver.said()}")
        self.link("repo", "empty")
        receiver.process.send_signal(signal.SIGCONT)
        receiver.wait_said("the repository takes no WAL for now")
        self.assertIn(f"{name}.wal", self.spooled())
        self.link("repo", "first-repo")
        wait_for(lambda: f"{name}.wal" not in self.spooled(), "a move")
        self.assertEqual(receiver.end(), 0, receiver.said())
        self.tool("verify")

    def test_another_spool_in_its_place_ends_it(self):
        receiver = self.start()
        self.wait_acknowledged(self.insert())
        self.link("spool", "other-spool")
        lsn = self.insert()
        self.wait_said_or_acknowledged(receiver, "is another directory than when this began", lsn)
        self.assertEqual(receiver.wait_exit(), 4, receiver.said())


class LargeSegments(SpoolTest):
    segment_mb = 16

    def test_sigterm_moves_what_is_open_whatever_its_size(self):
        self.cluster.sql("select pg_switch_wal()")
        self.receive_all(*self.options())
        receiver = self.receiver(f"--wal-spool={self.spool}", "--interval=1h").wait_said("streaming WAL")
        lsn = self.insert(20000)
        self.cluster.wait_until(f"select bool_or(write_lsn >= '{lsn}') from pg_stat_replication")

        self.assertEqual(receiver.end(), 0, receiver.said())

        self.assertEqual(self.spooled(), [])
        self.assertNotEqual(self.pieces(), [])
        self.tool("verify")


class Killed(test_receive.Synchronous):
    """As without a spool; and what is in it goes into the repository when the server is gone."""

    prefixes = ("receive.", "piece.", "spool.")
    rare = AT_BEGINNING + ("spool.before-mark", "spool.after-mark", "spool.before-clear")

    def receiver(self, *options, **how):
        return super().receiver(f"--wal-spool={self.path / 'spool'}", *options, **how)

    def prepare_restore(self):
        receiver = self.receiver("--synchronous").wait_said("not receiving for now")
        left = [path for folder in ("wal", "open") for path in
                (self.path / "spool" / "main" / folder).rglob("*-*") if path.is_file()]
        self.assertEqual(left, [], receiver.said())
        receiver.kill()


class Rare(SpoolTest):
    def test_killed_at_its_beginning_and_while_it_is_emptied_it_goes_on(self):
        for point in ("spool.before-mark", "spool.after-mark"):
            receiver = self.receiver(*self.options(),
                                     environment={"PGCAIRN_FAULT": f"{point}:crash"})
            self.assertEqual(receiver.wait_exit(), -signal.SIGKILL, receiver.said())
        receiver = self.start_synchronous()
        with Oracle(self.cluster, self.path / "commits") as oracle:
            oracle.wait_commits(40)
            receiver.kill()
            self.cluster.crash()
        for point in ("spool.before-clear", "piece.before-remove", "piece.after-remove",
                      "piece.before-remove"):
            self.assertNotEqual(self.spooled(), [])
            receiver = self.receiver(*self.options(),
                                     environment={"PGCAIRN_FAULT": f"{point}:crash"})
            self.assertEqual(receiver.wait_exit(), -signal.SIGKILL, receiver.said())
        self.wait_moved()
        assert_content(self.restore(), oracle.numbers(), oracle.in_doubt())
        self.tool("verify")


class Foreign(SpoolTest):
    def refused(self, status, message, *options, **how):
        return self.tool_fails(status, message, "receive", f"--conninfo={self.cluster.conninfo()}",
                               f"--wal-spool={self.spool}", *options, **how)

    def test_what_is_no_spool_of_this_cluster_is_refused(self):
        self.receive_all(*self.options())
        with self.subTest("of another repository"):
            other = self.path / "other"
            self.tool("init", f"--data={self.cluster.data}", repo=other)
            self.refused(4, "it is the spool of cluster", repo=other)
        with self.subTest("of another cluster of this repository"):
            self.tool("init", f"--data={self.cluster.data}", "--cluster=second")
            self.refused(4, "it is the spool of cluster", "--cluster=second", "--until-lsn=0/1")
        with self.subTest("the repository itself"):
            before = sorted(self.repo.rglob("*"))
            self.spool = self.repo
            self.refused(4, "it is not a spool, and holds", "--until-lsn=0/1")
            self.assertEqual(sorted(self.repo.rglob("*")), before)
        with self.subTest("a directory in which others may write"):
            self.spool = make_directory(self.path / "open")
            run("chmod", "0777", self.spool)
            self.refused(4, "nobody else may write there", "--until-lsn=0/1")
        with self.subTest("a relative path"):
            self.spool = "spool"
            self.refused(2, "absolute path")
        with self.subTest("too small"):
            self.spool = self.path / "small"
            self.refused(2, "4MiB to 16TiB", "--wal-spool-size=4194303")

    def test_one_receiver_at_a_time_uses_it(self):
        self.start()
        self.refused(5, "another receive uses the spool", "--slot=second")

    def test_other_content_in_the_repository_is_an_error_and_the_spool_is_kept(self):
        """As when a server was set back to a copy, and both have sent WAL."""
        self.receive_all(*self.options())
        copy = make_directory(self.path / "copy")
        copy_of_running(self.cluster.data, copy / "data")
        self.insert(3000)
        self.receive_all()
        self.cluster.crash()
        self.cluster.data.rename(self.path / "lost")
        run("cp", "-a", copy / "data", self.cluster.data)
        (self.cluster.data / "postmaster.pid").unlink()
        self.cluster.start()
        self.cluster.sql("insert into t select n, 'other' from generate_series(1, 3000) n")
        before = archived(self.repo), self.pieces()

        done = self.refused(15, "other content", "--until-lsn=" + self.cluster.sql(
            "select pg_current_wal_flush_lsn()"))

        self.assertEqual((archived(self.repo), self.pieces()), before, done.stderr)
        self.assertNotEqual(self.spooled(), [])

    def test_a_damaged_segment_in_the_spool_is_an_error_and_goes_nowhere(self):
        receiver = self.start()
        self.repo.rename(self.away)
        self.insert(8000)
        self.wait_acknowledged(self.cluster.sql("select pg_current_wal_flush_lsn()"))
        receiver.kill()
        self.away.rename(self.repo)
        whole = sorted(path for path in (self.spool / "main" / "wal").rglob("*") if path.is_file())[0]
        name = whole.name[:24]
        flip(whole, 5000)

        self.refused(8, "spool")

        self.assertNotIn(name, archived(self.repo))
        self.assertTrue(whole.exists())
