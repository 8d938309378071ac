"""The archive_library: same contract as archive_command, one process for many segments."""

import os
import pathlib
import signal
import stat
import subprocess
import unittest

from support.cluster import ClusterTest
from support.oracle import Oracle, assert_content
from support.processes import (BIN, TOOL, clean_environment, descendants, identity, is_alive,
                               state_and_parent, wait_for)
from support.version import MAJOR

MODULE = os.environ.get("MODULE")


def command_line(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


@unittest.skipIf(MAJOR < 15, "archive modules exist from PostgreSQL 15 on")
@unittest.skipIf(MODULE is None, "built without the module: -Darchive_library=enabled")
class LibraryTest(ClusterTest):
    segment_mb = 1

    def setUp(self):
        super().setUp()
        self.cluster.stop()
        self.cluster.configure(archive_command="", archive_library=MODULE, log_min_messages="warning",
                               **{"pgcairn.program": TOOL, "pgcairn.repo": self.repo})
        self.cluster.start()

    def stored(self, segment, repo=None):
        return list(((repo or self.repo) / "main" / "wal").rglob(f"{segment}*"))

    def archiver(self):
        return int(self.cluster.sql("select pid from pg_stat_activity where backend_type = 'archiver'"))

    def pushers(self):
        """Processes of the tool that work for this server."""
        return [pid for pid in descendants(self.cluster.pid())
                if "--requests" in command_line(pid) and is_alive(pid)]

    def wake_archiver(self):
        """Behind three failures it sleeps for a minute; another segment ends that."""
        self.cluster.sql("insert into t values (1); select pg_switch_wal()")

    def wait_failed(self, pattern):
        wait_for(lambda: pattern in self.cluster.log.read_text(encoding="utf-8", errors="replace"),
                 f"\"{pattern}\" in the server's log\n{self.cluster.log_tail()}")
        self.cluster.wait_until("select failed_count > 0 from pg_stat_archiver")

    def program(self, text):
        """A program in the tool's place."""
        path = self.path / "program"
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        self.path.chmod(0o755)
        self.cluster.reconfigure(**{"pgcairn.program": path})
        return path

    def switch(self):
        """A segment that waits for the archiver."""
        return self.cluster.sql("create table if not exists t (n int); insert into t values (1);"
                                "select pg_walfile_name(pg_switch_wal() - 1)")

    def is_done(self, segment):
        return (self.cluster.data / "pg_wal/archive_status" / f"{segment}.done").exists()


class ArchiveLibrary(LibraryTest):

    def test_what_it_archived_restores_every_acknowledged_commit(self):
        with Oracle(self.cluster, self.path / "commits") as oracle:
            oracle.wait_commits(10)
            self.tool("backup", f"--data={self.cluster.data}")
            oracle.wait_commits(100)
        self.cluster.switch_wal()
        self.cluster.stop()
        restored = self.restore()
        assert_content(restored, oracle.numbers(), oracle.in_doubt())

    def test_one_process_takes_all_segments(self):
        first = self.cluster.fill_segment()
        pids = self.pushers()
        self.assertEqual(len(pids), 1)
        for _ in range(5):
            self.assertTrue(self.stored(self.cluster.fill_segment()))
        self.assertEqual(self.pushers(), pids)
        self.assertTrue(self.stored(first))

    def test_a_process_that_died_between_two_segments_is_replaced(self):
        archiver = self.archiver()
        for _ in range(3):
            segment = self.cluster.fill_segment()
            self.assertTrue(self.stored(segment))
            os.kill(self.pushers()[0], signal.SIGKILL)
        self.assertTrue(self.stored(self.cluster.fill_segment()))
        self.assertEqual(self.archiver(), archiver)
        self.assertEqual(self.cluster.sql("select failed_count from pg_stat_archiver"), "0")

    def test_a_process_that_dies_at_work_is_a_failure_and_the_server_goes_on(self):
        archiver = self.archiver()
        mark = self.path / "mark"
        self.program(f"if [ -e {mark} ]; then exec {TOOL} \"$@\"; fi\nread line\nkill -9 $$")
        segment = self.cluster.sql("create table t as select generate_series(1, 9) n; "
                                   "select pg_walfile_name(pg_switch_wal() - 1)")
        self.wait_failed("gave no answer: it was ended by signal 9")
        self.assertEqual(self.stored(segment), [])
        self.assertFalse((self.cluster.data / "pg_wal/archive_status" / f"{segment}.done").exists())
        mark.touch()
        self.wake_archiver()
        self.cluster.wait_archived(segment)
        self.assertTrue(self.stored(segment))
        self.assertEqual(self.archiver(), archiver)

    def test_only_a_plain_zero_is_a_success(self):
        answers = self.path / "answers"
        for answer in ("", "1", "0 but", "4 refused"):
            answers.write_text(answer + "\n", encoding="utf-8")
            answers.chmod(0o644)
            self.cluster.sql("select pg_stat_reset_shared('archiver')")
            self.program(f"while read line; do cat {answers}; done")
            segment = self.cluster.sql("create table if not exists t (n int); insert into t values (1);"
                                       "select pg_walfile_name(pg_switch_wal() - 1)")
            with self.subTest(answer):
                self.wait_failed("pgcairn could not archive")
                self.assertFalse(
                    (self.cluster.data / "pg_wal/archive_status" / f"{segment}.done").exists())

    def test_an_answer_that_nobody_asked_for_is_not_the_next_files(self):
        go, said = self.path / "go", self.path / "said"
        # One success too many, which lies there when the next file is asked for.
        self.program(f"if [ ! -e {said} ]; then read line; echo 0\n"
                     f"while [ ! -e {go} ]; do sleep 0.05; done; echo 0; touch {said}; fi\n"
                     "while read line; do echo 4 refused; done")
        first = self.switch()
        self.cluster.wait_archived(first)
        go.touch()
        wait_for(said.exists, "the answer too many")
        second = self.switch()
        self.wait_failed("pgcairn could not archive")
        self.assertFalse(self.is_done(second))

    def test_more_than_an_answer_is_no_success(self):
        self.program("while read line; do printf '0\\n0\\n'; done")
        segment = self.switch()
        self.wait_failed("printed more than its answer")
        self.assertFalse(self.is_done(segment))

    def test_a_changed_configuration_file_takes_it_to_another_repository(self):
        config = self.path / "pgcairn.conf"
        config.write_text(f"repo = {self.repo}\n", encoding="utf-8")
        config.chmod(0o644)
        self.path.chmod(0o755)
        other = self.path / "other"
        self.tool("init", f"--data={self.cluster.data}", repo=other)
        self.cluster.reconfigure(**{"pgcairn.repo": "", "pgcairn.config": config})
        wait_for(lambda: any(f"--config={config}" in command_line(pid) for pid in self.pushers())
                 or not self.cluster.fill_segment(), "a process with that file")
        config.write_text(f"repo = {other}\n", encoding="utf-8")
        segment = self.cluster.fill_segment()
        self.assertTrue(self.stored(segment, other))
        self.assertFalse(self.stored(segment))
        self.assertEqual(self.cluster.sql("select failed_count from pg_stat_archiver"), "0")

    def test_a_repository_that_is_away_is_told_and_then_caught_up(self):
        away = self.path / "away"
        os.rename(self.repo, away)
        segment = self.cluster.sql("create table t as select generate_series(1, 9) n; "
                                   "select pg_walfile_name(pg_switch_wal() - 1)")
        self.wait_failed("pgcairn could not archive")
        self.assertTrue((self.cluster.data / "pg_wal/archive_status" / f"{segment}.ready").exists())
        os.rename(away, self.repo)
        self.wake_archiver()
        self.cluster.wait_archived(segment)
        self.assertTrue(self.stored(segment))

    def test_a_program_that_is_not_there_is_told(self):
        self.cluster.reconfigure(**{"pgcairn.program": "/nowhere/pgcairn"})
        self.cluster.sql("create table t as select generate_series(1, 9) n; select pg_switch_wal()")
        self.wait_failed("/nowhere/pgcairn")
        self.assertEqual(self.cluster.sql("select count(*) from t"), "9")

    def test_a_reload_takes_it_to_another_repository(self):
        self.cluster.fill_segment()
        other = self.path / "other"
        self.tool("init", f"--data={self.cluster.data}", repo=other)
        self.cluster.configure(**{"pgcairn.repo": other})
        self.cluster.sql("select pg_reload_conf()")
        segment = self.cluster.fill_segment()
        wait_for(lambda: self.stored(segment, other) or self.stored(self.cluster.fill_segment(), other),
                 "a segment in the other repository")

    def test_nothing_is_left_when_the_server_stops(self):
        for mode in ("fast", "immediate", "smart"):
            with self.subTest(mode):
                self.cluster.fill_segment()
                pids = self.pushers()
                self.assertEqual(len(pids), 1)
                self.cluster.stop(mode)
                wait_for(lambda: not any(map(is_alive, pids)), f"end of {pids}")
                self.cluster.start()

    def test_a_shutdown_archives_what_is_ready(self):
        self.cluster.fill_segment()
        self.cluster.sql("create table t as select generate_series(1, 50000) n")
        self.cluster.stop()
        ready = list((self.cluster.data / "pg_wal/archive_status").glob("*.ready"))
        self.assertEqual(ready, [])


class Stubborn(LibraryTest):
    """Its process does not end when it should, or does not answer."""

    def setUp(self):
        super().setUp()
        self.pids = self.path / "pids"
        self.addCleanup(self.end_all)

    def end_all(self):
        """Of what was left behind, too: a process is only found by what it has written down."""
        for pid in self.noted():
            if str(self.path / "program") in command_line(pid):
                os.kill(pid, signal.SIGKILL)

    def noted(self):
        return [int(line) for line in self.pids.read_text(encoding="ascii").split()] if self.pids.exists() else []

    def stubborn(self):
        """The tool, in the hands of a process that survives the end of its input and SIGTERM."""
        self.program(f"echo $$ >> {self.pids}\ntrap '' TERM\n{TOOL} \"$@\"\n"
                     "while :; do sleep 1; done")
        wait_for(lambda: self.noted() or not self.cluster.fill_segment(), "the process")
        [pid] = self.noted()
        self.assertTrue(is_alive(pid))
        return pid

    def refuse_kills(self):
        """No signal reaches it: it might as well hang in the kernel."""
        self.cluster.stop()
        self.cluster.environment = {"LD_PRELOAD": f"{os.environ['DRIVERS']}/kill_refused.so",
                                    "KILL_REFUSED": "program"}
        self.cluster.start()

    def log(self):
        return self.cluster.log.read_text(encoding="utf-8", errors="replace")

    def assert_goes_on(self, archiver):
        """The segment that comes next is archived, by the same archiver, and nothing has failed."""
        self.assertTrue(self.stored(self.cluster.fill_segment()))
        self.assertEqual(self.archiver(), archiver)
        self.assertEqual(self.cluster.sql("select failed_count from pg_stat_archiver"), "0")

    def test_one_that_does_not_go_is_killed(self):
        pid = self.stubborn()
        archiver = self.archiver()
        self.cluster.reconfigure(**{"pgcairn.program": TOOL})
        wait_for(lambda: not is_alive(pid) or not self.cluster.fill_segment(), "its end")
        self.assertNotIn("is left alone", self.log())
        self.assert_goes_on(archiver)

    def test_one_that_can_not_be_killed_is_left_alone_and_told(self):
        self.refuse_kills()
        pid = self.stubborn()
        archiver = self.archiver()
        self.cluster.reconfigure(**{"pgcairn.program": TOOL})
        told = f"process {pid} does not end, and is left alone"
        wait_for(lambda: told in self.log() or not self.cluster.fill_segment(), "a warning")
        self.assert_goes_on(archiver)
        self.assertTrue(is_alive(pid))
        self.cluster.stop()

    def test_a_shutdown_does_not_wait_for_one_that_can_not_be_killed(self):
        self.refuse_kills()
        pid = self.stubborn()
        self.cluster.stop()
        self.assertIn(f"process {pid} does not end, and is left alone", self.log())
        self.assertTrue(is_alive(pid))
        self.assertEqual(list((self.cluster.data / "pg_wal/archive_status").glob("*.ready")), [])

    def stopped(self):
        """The process, stopped, and a segment that it does not answer for."""
        self.cluster.fill_segment()
        [pid] = self.pushers()
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(self.let_go, pid)
        wait_for(lambda: state_and_parent(pid)[0] in "Tt", "its stop")
        return pid, self.switch()

    def let_go(self, pid):
        if "--requests" in command_line(pid):
            os.kill(pid, signal.SIGKILL)

    def test_while_one_gives_no_answer_the_server_works_and_nothing_counts_as_archived(self):
        pid, segment = self.stopped()
        self.assertEqual(self.cluster.sql("insert into t values (2); select count(*) from t"), "2")
        self.assertFalse(self.is_done(segment))
        self.assertEqual(self.stored(segment), [])
        os.kill(pid, signal.SIGCONT)
        self.cluster.wait_archived(segment)
        self.assertTrue(self.stored(segment))
        self.assertEqual(self.pushers(), [pid])

    def test_an_immediate_shutdown_does_not_wait_for_an_answer(self):
        pid, segment = self.stopped()
        self.cluster.stop("immediate")
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: not is_alive(pid), "its end, since nobody asks any more")
        self.cluster.start()
        self.cluster.wait_archived(segment)
        self.assertTrue(self.stored(segment))

    def test_a_fast_shutdown_waits_for_an_answer_as_it_does_for_archive_command(self):
        pid, segment = self.stopped()
        with subprocess.Popen([str(BIN / "pg_ctl"), "stop", "--wait", "--timeout=240", "--silent",
                               f"--pgdata={self.cluster.data}", "--mode=fast"], cwd="/",
                              env=clean_environment(), **identity()) as stop:
            wait_for(lambda: "shutting down" in self.log(), "the shutdown")
            self.assertFalse(self.is_done(segment))
            os.kill(pid, signal.SIGKILL)  # another one takes its place
            self.assertEqual(stop.wait(300), 0)
        self.cluster.process.wait(60)
        self.assertTrue(self.stored(segment))
        self.assertEqual(list((self.cluster.data / "pg_wal/archive_status").glob("*.ready")), [])
