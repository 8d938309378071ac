"""`status`: the exposure against what really is in the repository, and what else is to be told."""

import json
import os
import shutil
import signal
import subprocess
import time

from support.cluster import ClusterTest, copy_of_running
from support.processes import TOOL, children, clean_environment, identity, run, state_and_parent, wait_for
from support.version import SWITCH_WAL
from test_receive import Receiver

OK, WARNING, CRITICAL, UNKNOWN = range(4)


class StatusTest(ClusterTest):
    """One backup is there; nothing but the tests commits."""

    settings = {"autovacuum": "off", "archive_timeout": "10min"}
    segment_mb = 1

    def setUp(self):
        super().setUp()
        self.cluster.sql("create table mark (n int)")
        self.tool("backup", f"--data={self.cluster.data}")
        self.wait_none()

    def status(self, *options, expect=OK, data=True):
        """The answer as JSON; the exit status must be the one that is expected."""
        where = [f"--data={self.cluster.data}"] if data else []
        done = self.attempt("status", "--json", *where, *options)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual(answer["status"], ("OK", "WARNING", "CRITICAL", "UNKNOWN")[expect])
        return answer

    def wait_none(self):
        """Whatever the server still had to archive is archived."""
        self.wait_state("none")

    def wait_state(self, state, *options):
        def look():
            done = self.attempt("status", "--json", f"--data={self.cluster.data}", *options)
            answer = json.loads(done.stdout)
            return answer if answer["exposure"]["state"] == state else None
        return wait_for(look, f"exposure {state}", pause_s=0.2)

    def commit(self, number=1, cluster=None):
        """(xid, client's clock before and after the commit)."""
        before = time.time()
        xid = (cluster or self.cluster).sql(
            f"insert into mark values ({number}) returning txid_current()")
        return int(xid), before, time.time()

    def findings(self, answer, topic):
        return [finding for finding in answer["findings"] if finding["topic"] == topic]

    def assert_finding(self, answer, topic, level, words):
        for finding in self.findings(answer, topic):
            if finding["level"] == level and words in finding["what"]:
                return finding
        raise AssertionError(f"no {level} of {topic} that says {words!r}: {answer['findings']}")

    def reload(self, **settings):
        self.cluster.configure(**settings)
        self.cluster.sql("select pg_reload_conf()")
        for name, value in settings.items():
            self.cluster.wait_until(f"select current_setting('{name}') = $${value}$$")


class Exposure(StatusTest):

    def test_an_idle_database_has_none_and_a_commit_ages_until_it_is_archived(self):
        # WAL that holds no commit: checkpoints, running transactions, one that was rolled back.
        self.cluster.sql("checkpoint")
        self.cluster.sql("begin; insert into mark values (0); select pg_current_xact_id(); rollback")
        self.cluster.sql("checkpoint")
        answer = self.status()
        self.assertEqual(answer["exposure"]["state"], "none")
        self.assertEqual(answer["exposure"]["age_s"], 0)
        self.assertGreater(answer["server"]["insert_lsn"], answer["repository"]["until_lsn"])
        # Nothing was restored yet, so nobody knows how long it takes; of the duties one is done.
        self.assertIsNone(answer["forecast"])
        # What is free is that of the repository's file system; nothing can be said of a day yet.
        space, place = answer["space"], os.statvfs(self.repo)
        self.assertEqual(space["size_bytes"], place.f_blocks * place.f_frsize)
        self.assertTrue(0 < space["free_bytes"] < space["size_bytes"] and space["next_backup_bytes"] > 0, space)
        self.assertEqual([space["full_in_s"], space["backups"]["bytes_per_day"], space["wal"]["bytes_per_day"]],
                         [None, None, None])
        self.assertEqual([space["has_policy"], self.status("--keep-min=2")["space"]["has_policy"]], [False, True])
        self.assertEqual([(duty["duty"], duty["last_time"] is None, duty["is_due"]) for duty in answer["duties"]],
                         [("backup", False, False), ("verify", True, False), ("restore", True, False),
                          ("drill", True, False)])
        self.assert_finding(self.status("--duty-verify=100ms", expect=WARNING), "duty", "WARNING",
                            "verify is overdue: it was never done")
        # Whoever comes by does what is due, and nothing else; then that is in the record.
        done = json.loads(self.tool("run-duties", f"--data={self.cluster.data}", "--duty-verify=100ms", "--json"))
        self.assertEqual([(duty["outcome"], duty["status"]) for duty in done["duties"]],
                         [("not due", None), ("done", 0), ("not due", None), ("not due", None)])
        listed = json.loads(self.tool("duties", "--list", "--json"))["duties"]
        self.assertIsNotNone(listed[1]["last_time"])
        put_off = json.loads(self.attempt("run-duties", f"--data={self.cluster.data}", "--duty-verify=1ms",
                                          "--budget=1ms", "--json").stdout)
        self.assertEqual(put_off["duties"][1]["outcome"], "put off")

        # Two at once do nothing twice: the second is told who is at work.
        words = ["run-duties", f"--data={self.cluster.data}", "--duty-backup=10ms"]
        first = subprocess.Popen([TOOL, *words, f"--repo={self.repo}"], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, **identity(),
                                 env=clean_environment(PGCAIRN_FAULT="backup.before-manifest:stop"))
        child, = wait_for(lambda: [pid for pid in children(first.pid) if state_and_parent(pid)[0] == "T"], "the stop")
        # The backup comes after the server's processes, and no longer after than it is told to.
        self.assertEqual(os.getpriority(os.PRIO_PROCESS, child), max(5, os.getpriority(os.PRIO_PROCESS, 0)))
        self.tool_fails(5, "another run is at work", *words)
        os.kill(child, signal.SIGCONT)
        self.assertEqual(first.wait(60), 0)

        # An incident collects what was done since it began.
        self.tool_fails(6, "no incident is open", "incident", "close", "unknown")
        self.tool("incident", "open", "a test", "--severity=SEV1", "--began=-1h")
        self.tool("incident", "update", "looking")
        closed = json.loads(self.tool("incident", "close", "a test, too", "--json"))
        self.assertEqual([closed["severity"], closed["is_closed"], closed["cause"], closed["restores"]],
                         ["SEV1", True, "a test, too", 0])
        self.assertEqual([one["operation"] for one in closed["operations"]], ["backup", "verify", "backup"])
        self.assertEqual([note["event"] for note in closed["notes"]], ["open", "update", "close"])
        self.tool("verify")  # knows its objects
        self.assertIn("RESOLUTION\n", self.tool("incident", "show"))

        xid, before, after = self.commit()
        self.commit(2)  # the oldest counts
        for _ in range(2):
            asked = time.time()
            answer = self.status()
            exposure = answer["exposure"]
            self.assertEqual([exposure["state"], exposure["xid"], exposure["by"]],
                             ["known", xid, "repository"])
            self.assertGreaterEqual(exposure["age_s"], asked - after)
            self.assertLessEqual(exposure["age_s"], time.time() - before)
            time.sleep(1.1)
        segment = self.cluster.sql("select pg_walfile_name(pg_current_wal_lsn())")
        self.assertEqual(exposure["segment"], segment)
        # Beyond the objective it is critical, from half of it on a warning.
        self.assert_finding(self.status("--rpo=1s", expect=CRITICAL), "exposure", "CRITICAL",
                            "beyond the objective")

        self.cluster.switch_wal()
        answer = self.status("--rpo=15min")
        self.assertEqual(answer["exposure"]["state"], "none")
        self.assertEqual(answer["repository"]["last_segment"], segment)
        said = self.tool("status", f"--data={self.cluster.data}")
        self.assertTrue(said.startswith('OK: cluster "main": every commit is in the repository\n'),
                        said)

    def test_half_of_the_objective_is_a_warning(self):
        _, _, after = self.commit()
        time.sleep(max(0, after + 1 - time.time()))
        rpo = 2 * (time.time() - after) - 0.1  # a little less than twice its age, which grows
        done = self.attempt("status", f"--data={self.cluster.data}", f"--rpo={int(rpo * 1000)}ms")
        self.assertIn(done.returncode, (WARNING, CRITICAL))  # the latter on a very slow machine
        self.assertIn("the objective of", done.stdout)
        self.assertEqual(self.status("--rpo=1000000s")["exposure"]["state"], "known")

    def test_a_failing_archiver_is_a_warning_and_critical_once_the_objective_is_missed(self):
        self.reload(archive_command="false")
        _, _, after = self.commit()
        self.cluster.sql(f"select {SWITCH_WAL}")
        self.cluster.wait_until("select failed_count > 0 from pg_stat_archiver")
        answer = self.status(expect=WARNING)
        self.assert_finding(answer, "archiver", "WARNING", "archiving fails")
        self.assertTrue(answer["archiver"]["is_failing"])
        self.assertEqual(answer["waiting"]["segments"], 1)
        self.assertIsNone(answer["waiting"]["growth_bytes_per_s"])
        self.assertIsNone(answer["waiting"]["full_in_s"])
        self.assertEqual(answer["exposure"]["state"], "known")

        # Two more segments: the pile grows, at a rate that was measured and not guessed.
        for number in range(2):
            self.commit(number)
            self.cluster.sql(f"select {SWITCH_WAL}")
        time.sleep(max(0, after + 1.1 - time.time()))
        waiting = self.status("--rpo=1s", expect=CRITICAL)["waiting"]
        self.assertEqual(waiting["segments"], 3)
        self.assertEqual(waiting["bytes"], 3 << 20)
        rate = waiting["growth_bytes_per_s"]
        self.assertAlmostEqual(rate, (2 << 20) / waiting["oldest_s"], delta=rate / 100 + 1)
        self.assertAlmostEqual(waiting["full_in_s"] * rate, waiting["free_bytes"],
                               delta=waiting["free_bytes"] / 100)

        # The server's statistics and its mark on the last segment may come a moment later than the segments.
        self.reload(archive_command=self.archive_command())
        ready = self.cluster.data / "pg_wal/archive_status"
        wait_for(lambda: not list(ready.glob("*.ready")), "all segments are marked as archived")
        wait_for(lambda: self.attempt("status", f"--data={self.cluster.data}").returncode == OK,
                 "all is well again")
        answer = self.status()
        self.assertEqual([answer["exposure"]["state"], answer["waiting"]["segments"]], ["none", 0])

    def test_what_the_server_only_believes_to_be_archived_is_not(self):
        self.reload(archive_command="true")
        xid, _, _ = self.commit()
        segment = self.cluster.switch_wal()
        self.cluster.wait_until(
            f"select last_archived_wal >= '{segment}' from pg_stat_archiver")
        self.commit(2)
        answer = self.status(expect=CRITICAL)
        self.assert_finding(answer, "archiver", "CRITICAL", f"counts {segment} as archived")
        self.assert_finding(answer, "settings", "WARNING", "archive_command is not pgcairn's")
        # pg_wal may have lost that segment already; what is known then is a bound.
        self.assertIn(answer["exposure"]["state"], ("known", "at most"))
        if answer["exposure"]["state"] == "known":
            self.assertEqual(answer["exposure"]["xid"], xid)

        # The segment is gone from pg_wal: nobody knows any more what was in it.
        run("rm", self.cluster.data / "pg_wal" / segment)
        answer = self.status(expect=CRITICAL)
        self.assertEqual(answer["exposure"]["state"], "at most")
        self.assertIn("neither in the archive nor in pg_wal", answer["exposure"]["reason"])
        time.sleep(1.1)  # the bound is an age: it passes half of the objective with time
        answer = self.status("--rpo=1s", expect=CRITICAL)
        self.assert_finding(answer, "exposure", "UNKNOWN", "exposure unknown, at most")
        # Nor is that the end of what a server has that can't be asked.
        self.cluster.stop("immediate")
        self.assertEqual(self.status(expect=WARNING)["exposure"]["state"], "at most")

    def test_without_the_repository_it_is_unknown_unless_the_server_proves_worse(self):
        _, _, after = self.commit()
        away = self.path / "away"
        self.repo.rename(away)
        answer = self.status(expect=UNKNOWN)
        self.assertFalse(answer["repository"]["answers"])
        self.assertEqual([answer["exposure"]["state"], answer["exposure"]["by"]],
                         ["known", "archiver"])
        self.assertGreaterEqual(answer["exposure"]["age_s"], 0)

        self.cluster.sql(f"select {SWITCH_WAL}")
        self.cluster.wait_until("select failed_count > 0 from pg_stat_archiver")
        time.sleep(max(0, after + 1.1 - time.time()))
        answer = self.status("--rpo=1s", expect=CRITICAL)
        self.assert_finding(answer, "exposure", "CRITICAL", "by the server's own account")
        self.assertEqual(answer["waiting"]["segments"], 1)

        away.rename(self.repo)
        self.wait_none()

    def test_a_stopped_server_still_shows_what_it_has_not_archived(self):
        self.reload(archive_command="false")
        xid, _, _ = self.commit()
        self.cluster.crash()
        answer = self.status(expect=WARNING)
        self.assertEqual([answer["exposure"]["state"], answer["exposure"]["xid"]], ["known", xid])
        self.assert_finding(answer, "server", "WARNING", "does not answer")
        self.assertIsNone(answer["archiver"])

        self.cluster.configure(archive_command=self.archive_command())
        self.cluster.start()
        self.cluster.switch_wal()
        self.cluster.stop()
        answer = self.status(expect=WARNING)
        self.assertEqual(answer["exposure"]["state"], "none")

    def test_an_archive_that_is_ahead_of_its_server_is_told(self):
        self.cluster.stop()
        back = self.server("back", socket=self.cluster.socket, port=5433)
        run("cp", "-a", self.cluster.data, back.data)
        self.cluster.start()
        self.commit()
        self.cluster.switch_wal()
        self.cluster.stop()
        # The data directory as it was before, say a snapshot of the disk.
        back.configure(archive_command="false").start()
        answer = self.status(f"--data={back.data}", data=False, expect=CRITICAL)
        # It may have written a record by itself meanwhile, which is another one than the archive's.
        self.assert_finding(answer, "archive", "CRITICAL", "this server")
        self.assertEqual(answer["exposure"]["state"], "none")

    def remember_folders(self):
        """What is in the archive's folders now, as a run in two hours would write it down."""
        if shutil.which("faketime") is None:
            return
        run("faketime", "-f", "+2h", TOOL, "verify", f"--repo={self.repo}", environment={"NO_FAKE_STAT": "1"})
        self.assertEqual(len(list((self.repo / "main" / "known").glob("folders.*"))), 1)

    def test_a_hole_exposes_all_that_comes_behind_it(self):
        xid, _, _ = self.commit()
        missing = self.cluster.switch_wal()
        self.commit(2)
        self.cluster.switch_wal()
        self.remember_folders()
        self.assertFalse(self.status()["repository"]["is_hole"])
        run("rm", self.repo / "main" / "wal" / missing[:16] / f"{missing}.wal")
        answer = self.status(expect=CRITICAL)
        self.assert_finding(answer, "archive", "CRITICAL", "WAL is missing after")
        self.assertTrue(answer["repository"]["is_hole"])
        self.assertIn(answer["exposure"]["state"], ("known", "at most"))
        if answer["exposure"]["state"] == "known":
            self.assertEqual(answer["exposure"]["xid"], xid)
        # A backup behind it opens a new window; the old one is still to be told.
        self.tool("backup", f"--data={self.cluster.data}")
        answer = self.wait_state("none")
        self.assertEqual(answer["status"], "WARNING")
        self.assert_finding(answer, "archive", "WARNING", "can't be restored")


class Minimal(StatusTest):
    settings = {**StatusTest.settings, "max_prepared_transactions": 2}

    def test_what_was_prepared_is_exposed_and_wal_level_minimal_ends_all_restores(self):
        self.cluster.sql("begin; insert into mark values (1); prepare transaction 'one'")
        exposure = self.status()["exposure"]
        self.assertEqual([exposure["state"], exposure["kind"]], ["known", "PREPARE TRANSACTION"])
        self.cluster.switch_wal()
        self.wait_none()
        self.cluster.sql("rollback prepared 'one'")
        self.assertEqual(self.status()["exposure"]["kind"], "ROLLBACK PREPARED")
        self.cluster.switch_wal()
        self.wait_none()

        self.restart(wal_level="minimal", max_wal_senders="0", archive_mode="off")
        self.assert_finding(self.status(expect=CRITICAL), "settings", "CRITICAL", "wal_level is minimal")
        xid, _, _ = self.commit()
        self.restart(wal_level="replica", archive_mode="on")
        self.cluster.switch_wal()
        # All of it is in the archive, and no restore gets there.
        answer = self.status(expect=CRITICAL)
        self.assert_finding(answer, "archive", "CRITICAL", "wal_level=minimal")
        self.assertEqual([answer["exposure"]["state"], answer["exposure"]["xid"]], ["known", xid])
        self.tool("backup", f"--data={self.cluster.data}")
        self.wait_none()
        answer = self.status()
        self.assertEqual(self.findings(answer, "archive"), [])

        # A day and a half is enough for any backup, unless another age was said.
        self.assert_finding(self.status("--backup-age=1ms", expect=WARNING), "backup", "WARNING",
                            "the newest backup")
        self.assertEqual(self.findings(self.status("--backup-age=0"), "backup"), [])

    def restart(self, **settings):
        self.cluster.stop()
        self.cluster.configure(**settings)
        self.cluster.start()


class Reach(StatusTest):
    """With less than everything in reach."""

    def test_the_repository_alone_tells_what_it_can(self):
        answer = self.status(data=False, expect=UNKNOWN)
        self.assertIn("neither --data nor --conninfo", answer["exposure"]["reason"])
        self.assertEqual([answer["backups"], answer["windows"]], [1, 1])
        self.assertIsNone(answer["slots"])
        self.assertIsNone(answer["waiting"]["segments"])
        self.tool("status", f"--conninfo=host={self.path} port=1", expect=UNKNOWN)

    def test_a_server_elsewhere_is_read_through_sql_or_bounded(self):
        self.cluster.sql("create role watcher login")
        self.cluster.switch_wal()
        conninfo = f"--conninfo=host={self.cluster.socket} port={self.cluster.port} user=watcher " \
                   "dbname=postgres"

        def look(*options, expect=OK):
            return self.status(conninfo, *options, data=False, expect=expect)

        # No record behind the archive's end: that much the position says.
        self.assertEqual(look()["exposure"]["state"], "none")

        xid, before, _ = self.commit()
        exposure = look()["exposure"]
        self.assertEqual(exposure["state"], "at most")
        self.assertGreaterEqual(exposure["age_s"], 0)
        self.assertIsNone(look()["waiting"]["segments"])
        time.sleep(1.1)
        answer = look("--rpo=1s", expect=UNKNOWN)
        self.assertGreaterEqual(answer["exposure"]["age_s"], 1)

        self.cluster.sql("""
            grant execute on function pg_read_binary_file(text, bigint, bigint, boolean),
                                      pg_ls_archive_statusdir() to watcher""")
        answer = look("--rpo=1s", expect=CRITICAL)
        self.assertEqual([answer["exposure"]["state"], answer["exposure"]["xid"]], ["known", xid])
        self.assertLessEqual(answer["exposure"]["age_s"], time.time() - before)
        self.assertEqual(answer["waiting"]["segments"], 0)
        self.cluster.switch_wal()
        self.cluster.sql("checkpoint")
        self.assertEqual(look()["exposure"]["state"], "none")

    def test_what_is_no_answer_is_unknown(self):
        data = f"--data={self.cluster.data}"
        for words, message in (([data, "--bogus"], "unknown option|--bogus"),
                               ([data, "--rpo=soon"], "--rpo"),
                               ([data, "--cluster=other"], "other")):
            done = self.attempt("status", *words)
            self.assertEqual(done.returncode, UNKNOWN, done.stdout + done.stderr)
            self.assertRegex(done.stdout + done.stderr, message)
        other = self.server("other").create()
        done = self.attempt("status", f"--data={other.data}")
        self.assertEqual(done.returncode, UNKNOWN, done.stdout)
        self.assertIn("system identifier", done.stderr)
        other.start()
        done = self.attempt("status", f"--data={self.cluster.data}",
                            f"--conninfo={other.conninfo()}")
        self.assertEqual(done.returncode, UNKNOWN, done.stdout)
        self.assertIn("another server", done.stderr)


    def test_ages_are_by_the_servers_clock(self):
        self.commit()

        def look(shift, expect):
            done = self.attempt(
                "status", "--json", f"--data={self.cluster.data}", environment={
                    "LD_PRELOAD": f"{os.environ['DRIVERS']}/clock_shift.so", "CLOCK_SHIFT_S": shift})
            self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
            return json.loads(done.stdout)

        for shift, words in ((7300, "2 h behind this host's"), (-7300, "2 h ahead of this host's")):
            answer = look(shift, WARNING)
            self.assert_finding(answer, "clock", "WARNING", words)
            self.assertEqual(answer["exposure"]["state"], "known")
            self.assertLess(answer["exposure"]["age_s"], 3600)
            self.assertAlmostEqual(answer["server"]["clock_ahead_s"], -shift, delta=60)

        # Without the server there is only this host's clock. (A clean stop would archive the rest.)
        self.cluster.crash()
        answer = look(-7300, WARNING)
        self.assert_finding(answer, "clock", "WARNING", "in the future of the server's clock")
        self.assertEqual(answer["exposure"]["age_s"], 0)
        self.assertGreaterEqual(look(7300, CRITICAL)["exposure"]["age_s"], 7000)


class Settings(StatusTest):

    def test_settings_that_do_not_fit_the_objective_are_told(self):
        self.assertEqual(self.findings(self.status(), "settings"), [])
        self.assert_finding(self.status("--rpo=5min", expect=WARNING), "settings", "WARNING",
                            "archive_timeout is 10 min, the objective 5 min")
        self.reload(archive_timeout="0")
        self.assert_finding(self.status(expect=WARNING), "settings", "WARNING",
                            "archive_timeout is 0")
        self.reload(archive_timeout="10min", archive_command="")
        self.assert_finding(self.status(expect=WARNING), "settings", "WARNING",
                            "archive_command is empty")
        # A script of another name is believed once what it archived is here.
        script = self.path / "push"
        script.write_text(f"#!/bin/sh\nexec {self.archive_command().replace('%p', '')} \"$1\"\n",
                          encoding="ascii")
        script.chmod(0o755)
        self.reload(archive_command=f"{script} %p")
        self.commit()
        self.cluster.switch_wal()
        self.assertEqual(self.findings(self.status(), "settings"), [])
        self.cluster.stop()
        self.cluster.configure(archive_mode="off")
        self.cluster.start()
        self.assert_finding(self.status(expect=WARNING), "settings", "WARNING",
                            "archive_mode is off")

    def test_slots_that_hold_back_wal_are_told(self):
        self.reload(max_wal_size="2MB")
        self.cluster.sql("select pg_create_physical_replication_slot('forgotten', true)")
        self.assertEqual(self.findings(self.status(), "slot"), [])
        for number in range(4):
            self.commit(number)
            self.cluster.switch_wal()
        answer = self.status(expect=WARNING)
        self.assert_finding(answer, "slot", "WARNING", "slot forgotten holds back")
        [slot] = answer["slots"]
        self.assertEqual([slot["name"], slot["is_active"], slot["is_ours"]],
                         ["forgotten", False, False])
        self.assertGreater(slot["held_bytes"], 3 << 20)
        self.cluster.sql("select pg_drop_replication_slot('forgotten')")
        # Ours is told at once: somebody meant it to be read.
        self.cluster.sql("select pg_create_physical_replication_slot('pgcairn', true)")
        self.assert_finding(self.status(expect=WARNING), "slot", "WARNING",
                            "pgcairn receive is not connected")


class Received(StatusTest):

    def test_what_receive_has_stored_is_not_exposed(self):
        self.reload(archive_timeout="0")  # nothing waits for a segment to be full
        receiver = Receiver(self)
        self.cluster.wait_until("select coalesce(bool_or(active), false) from pg_replication_slots")
        self.commit()
        open_segment = self.cluster.sql("select pg_walfile_name(pg_current_wal_lsn())")
        self.wait_none()
        answer = self.status()
        self.assertTrue(answer["repository"]["has_pieces"])
        self.assertLess(answer["repository"]["last_segment"], open_segment)
        self.assertEqual([(slot["is_ours"], slot["is_active"]) for slot in answer["slots"]],
                         [(True, True)])
        said = self.tool("status", f"--data={self.cluster.data}")
        self.assertIn(" and into the next one", said)

        receiver.end()
        xid, _, _ = self.commit(2)
        answer = self.status(expect=WARNING)
        self.assertEqual([answer["exposure"]["state"], answer["exposure"]["xid"]], ["known", xid])
        self.assert_finding(answer, "slot", "WARNING", "pgcairn receive is not connected")
        self.assert_finding(answer, "settings", "WARNING", "archive_timeout is 0")


class Timelines(StatusTest):

    def test_a_new_timeline_counts_once_it_is_archived(self):
        self.commit()
        self.cluster.switch_wal()
        self.cluster.stop()
        restored = self.restore()
        data = self.cluster.data
        try:
            self.cluster.data = restored.data
            answer = self.wait_state("none", f"--conninfo={restored.conninfo()}")
            self.assertEqual(answer["server"]["timeline"], 2)
            xid, _, _ = self.commit(2, restored)
            answer = self.status()
            self.assertEqual([answer["exposure"]["state"], answer["exposure"]["xid"]],
                             ["known", xid])
            self.assertEqual(answer["exposure"]["segment"][:8], "00000002")
            restored.switch_wal()
            self.assertEqual(self.status()["exposure"]["state"], "none")
            # No recovery finds a timeline without its history: then all of it is exposed.
            run("rm", self.repo / "main" / "wal" / "00000002.history.wal")
            answer = self.status(expect=WARNING)
            self.assert_finding(answer, "archive", "WARNING", "history of timeline 2")
            self.assertEqual([answer["exposure"]["state"], answer["exposure"]["xid"]],
                             ["known", xid])
        finally:
            self.cluster.data = data

    def test_a_standby_tells_what_it_received(self):
        self.cluster.switch_wal()
        standby = self.restored("standby")
        self.tool("restore", f"--data={standby.data}", "--as-copy")
        (standby.data / "recovery.signal").rename(standby.data / "standby.signal")
        standby.configure(primary_conninfo=self.cluster.conninfo())
        standby.start(port=standby.port)
        standby.wait_until("select status = 'streaming' from pg_stat_wal_receiver")
        xid, _, after = self.commit()
        standby.wait_until("select count(*) = 1 from mark")
        where = [f"--data={standby.data}"]
        answer = self.status(*where, data=False)
        self.assertTrue(answer["server"]["in_recovery"])
        self.assertEqual([answer["exposure"]["state"], answer["exposure"]["xid"]], ["known", xid])
        self.assertGreaterEqual(time.time() - after, 0)
        self.assertEqual(self.findings(answer, "settings"), [])

        self.cluster.switch_wal()
        self.assertEqual(self.status(*where, data=False)["exposure"]["state"], "none")
        # Whether it is connected is not for every role to see.
        self.cluster.sql("create role watcher login; "
                         "grant execute on function pg_ls_archive_statusdir(), "
                         "pg_read_binary_file(text, bigint, bigint, boolean) to watcher")
        self.cluster.switch_wal()
        standby.wait_until("select count(*) = 1 from pg_roles where rolname = 'watcher'")
        conninfo = f"--conninfo=host={standby.socket} port={standby.port} user=watcher dbname=postgres"
        answer = self.status(conninfo, data=False, expect=UNKNOWN)
        self.assertIn("only a role with pg_monitor", answer["exposure"]["reason"])
        self.cluster.sql("grant pg_monitor to watcher")
        self.cluster.switch_wal()
        standby.wait_until("select pg_has_role('watcher', 'pg_monitor', 'member')")
        self.assertEqual(self.status(conninfo, data=False)["exposure"]["state"], "none")
        # It hears nothing more: what its primary commits it can't know.
        self.cluster.stop()
        standby.wait_until("select not exists (select from pg_stat_wal_receiver)")
        answer = self.status(*where, data=False, expect=UNKNOWN)
        self.assertIn("hears nothing from its primary", answer["exposure"]["reason"])

    def test_a_standby_whose_primary_fell_silent_tells_a_bound(self):
        """Its connection stands, and nothing comes: not what was committed since, nor its end."""
        self.cluster.stop()
        standby = self.server("standby", socket=self.cluster.socket, port=5434)
        copy_of_running(self.cluster.data, standby.data)
        self.cluster.start()
        run("touch", standby.data / "standby.signal")
        clock = self.path / "clock"  # as many bytes as seconds
        run("touch", clock)
        shifted = {"LD_PRELOAD": f"{os.environ['DRIVERS']}/clock_shift.so", "CLOCK_SHIFT_FILE": clock}
        standby.environment = shifted
        standby.configure(primary_conninfo=self.cluster.conninfo(), wal_receiver_timeout="0")
        standby.start()
        standby.wait_until("select status = 'streaming' from pg_stat_wal_receiver")

        def look(*options):
            done = self.attempt("status", "--json", f"--data={standby.data}", *options, environment=shifted)
            return done.returncode, json.loads(done.stdout)

        self.cluster.switch_wal()
        standby.wait_until("select pg_last_wal_replay_lsn() >= "
                           f"'{self.cluster.sql('select pg_current_wal_flush_lsn()')}'")
        walsender = int(self.cluster.sql("select pid from pg_stat_replication"))
        os.kill(walsender, signal.SIGSTOP)
        try:
            wait_for(lambda: state_and_parent(walsender)[0] in "Tt", "the walsender's stop")
            silent_since = time.time()
            xid, _, _ = self.commit(20)

            def bounded():
                os.truncate(clock, clock.stat().st_size + 3600)  # an hour goes by
                status, answer = look()
                return answer if (status, answer["exposure"]["state"]) == (UNKNOWN, "at most") else None
            answer = wait_for(bounded, "a bound of the exposure")
            self.assertIn("has heard nothing from its primary", answer["exposure"]["reason"])
            self.assertGreaterEqual(answer["exposure"]["age_s"], 3600 - 1)
            # It holds: the commit is younger than that.
            true = self.status()["exposure"]
            self.assertEqual(true["xid"], xid)
            self.assertLessEqual(true["age_s"], answer["exposure"]["age_s"])
            self.assertGreaterEqual(answer["exposure"]["age_s"],
                                    time.time() - silent_since - 60)
            # Within half of the objective it is enough to know that all is well.
            status, answer = look("--rpo=1000000s")
            self.assertEqual([status, answer["exposure"]["state"]], [OK, "at most"])
        finally:
            os.kill(walsender, signal.SIGCONT)
        standby.wait_until("select count(*) = 1 from mark")
        status, answer = look("--rpo=1000000s")
        self.assertEqual([status, answer["exposure"]["state"], answer["exposure"]["xid"]],
                         [OK, "known", xid])


class SplitBrain(StatusTest):
    """Two servers went on from one place; the archive is that of the one that came first."""

    def setUp(self):
        super().setUp()
        self.commit()  # on both
        self.cluster.stop()
        self.twin = self.server("twin", socket=self.cluster.socket, port=5434)
        copy_of_running(self.cluster.data, self.twin.data)
        self.cluster.start()
        for number in range(10, 13):
            self.commit(number)
            self.cluster.switch_wal()
        self.wait_none()
        self.twin.start()

    def of_twin(self, *options, expect=CRITICAL):
        return self.status(f"--data={self.twin.data}", *options, data=False, expect=expect)

    def assert_exposed(self, answer, xid):
        self.assertEqual([answer["exposure"]["state"], answer["exposure"]["xid"]], ["known", xid])
        self.assert_finding(answer, "archive", "CRITICAL", "holds other WAL than this server")
        self.assertLessEqual(answer["repository"]["differs_from_lsn"], answer["exposure"]["lsn"])

    def ahead(self):
        """The twin writes beyond the end of the archive."""
        for number in range(30, 36):
            self.commit(number, self.twin)
            self.twin.sql(f"select {SWITCH_WAL}")
        self.twin.sql("checkpoint")

    def test_all_that_a_refused_server_wrote_since_they_parted_is_exposed(self):
        # It has written nothing yet: what it holds is the other's, too.
        self.assertEqual(self.of_twin()["exposure"]["state"], "none")
        xid, before, after = self.commit(20, self.twin)
        asked = time.time()
        answer = self.of_twin()  # behind the archive's end
        self.assert_exposed(answer, xid)
        self.assertGreaterEqual(answer["exposure"]["age_s"], asked - after)
        self.assertLessEqual(answer["exposure"]["age_s"], time.time() - before)
        self.ahead()
        self.twin.wait_until("select failed_count > 0 from pg_stat_archiver")
        answer = self.of_twin()
        self.assertGreater(int(answer["server"]["flushed_lsn"].split("/")[1], 16),
                           int(answer["repository"]["until_lsn"].split("/")[1], 16))
        self.assert_exposed(answer, xid)
        self.assert_finding(answer, "archiver", "WARNING", "archiving fails")
        conninfo = f"--conninfo={self.twin.conninfo()}"
        self.assert_exposed(self.status(conninfo, data=False, expect=CRITICAL), xid)
        said = self.attempt("status", f"--data={self.twin.data}").stdout
        self.assertTrue(said.startswith("CRITICAL: "), said)
        self.assertEqual(self.status()["exposure"]["state"], "none")
        self.assertEqual(self.status()["repository"]["differs_from_lsn"], None)
        self.twin.crash()
        self.assert_exposed(self.of_twin(), xid)

    def test_a_server_that_only_believes_to_archive_is_not_believed(self):
        self.twin.reconfigure(archive_command="true", wal_keep_size="1GB")
        xid, _, _ = self.commit(20, self.twin)
        self.ahead()
        self.twin.wait_until("select not exists (select from pg_ls_archive_statusdir() "
                             "where name like '%.ready')")
        self.assert_exposed(self.of_twin(), xid)

    def test_two_promoted_standbys_have_two_histories_of_one_timeline(self):
        for server in (self.cluster, self.twin):
            server.stop()
        self.cluster.configure(recovery_target_timeline="latest")
        first, second = self.server("first", socket=self.cluster.socket, port=5435), self.twin
        copy_of_running(self.cluster.data, first.data)
        run("rm", "-r", second.data)
        copy_of_running(self.cluster.data, second.data)
        self.cluster.start()
        for standby in (first, second):
            run("touch", standby.data / "standby.signal")
            standby.configure(primary_conninfo=self.cluster.conninfo())
            standby.start()
        self.promote(first)
        self.commit(20, first)
        first.switch_wal()
        self.commit(20)  # of the old primary, which the second has and the first has not
        self.cluster.switch_wal()
        lsn = self.cluster.sql("select pg_current_wal_flush_lsn()")
        second.wait_until(f"select pg_last_wal_replay_lsn() >= '{lsn}'")
        self.promote(second)
        self.cluster.stop()
        xid, _, _ = self.commit(30, second)
        self.ahead()
        answer = self.of_twin()
        self.assertTrue(answer["repository"]["is_other_history"])
        self.assert_finding(answer, "archive", "CRITICAL", "history of timeline 2 that is not this server's")
        self.assertEqual([answer["exposure"]["state"], answer["exposure"]["xid"]], ["known", xid])
        answer = self.status(f"--data={first.data}", data=False, expect=WARNING)
        self.assertEqual(answer["exposure"]["state"], "none")
        self.assertFalse(answer["repository"]["is_other_history"])
        # What the old primary still committed and archived is not on the first one's timeline.
        self.assert_finding(answer, "archive", "WARNING", "timeline 1 has later commits than timeline 2")

    def promote(self, standby):
        standby.sql("select pg_promote()")
        standby.wait_until("select not pg_is_in_recovery()")
