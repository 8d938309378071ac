"""`watch` and `promote` on recoveries that pgcairn did not prepare: WAL comes by a plain cp."""

import json
import signal
import subprocess

from support.processes import TOOL, attempt, clean_environment, identity, run, wait_for
from support.version import REPLAY_IS_PAUSED
from test_recovery_watch import RecoveryTest


class WatchAndPromote(RecoveryTest):

    def recover(self, **settings):
        """A server that is on its way; nobody of ours has started it."""
        return self.spawned(self.recovering(**settings))

    def spawned(self, server):
        """Before its lock file is there nothing runs, as far as anybody can tell."""
        server.spawn()
        wait_for(server.pid, "the lock file")
        return server

    def see(self, server, *options, expect=0):
        done = attempt(TOOL, "watch", f"--data={server.data}", *options)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def promote(self, server, *options, expect=0):
        done = attempt(TOOL, "promote", f"--data={server.data}", *options)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr + server.log_tail())
        return done

    def test_a_pause_is_seen_and_ended(self):
        server = self.recover(recovery_target_name="here", recovery_target_action="pause")
        lines = self.see(server, "--json").stdout.splitlines()
        records = [json.loads(line) for line in lines]
        self.assertEqual([record["state"] for record in records[-2:]], ["paused", "paused"])
        self.assertEqual([record["end"] for record in records[-2:]], [False, True])
        self.assertEqual(records[-1]["replayed_lsn"], server.sql("select pg_last_wal_replay_lsn()"))
        self.assertIsNotNone(records[-1]["last_commit_time"])
        self.assertEqual(records[-1]["pid"], server.pid())

        said = self.see(server)
        self.assertIn("recovery: paused\n", said.stdout)
        self.assertIn("on timeline 1\n", said.stdout)
        self.assertIn("state=paused", said.stderr)

        self.assertIn("is open on timeline 2", self.promote(server).stdout)
        self.assertEqual(server.sql("select pg_is_in_recovery(), max(n) from mark"), "f|1")
        self.assertIn("recovery: open\n", self.see(server).stdout)
        self.assertIn("open already", self.promote(server, expect=4).stderr)

    def paused_by_hand(self, **settings):
        """A recovery that somebody has paused before its last segment, in which its target lies."""
        go = self.path / "go"
        server = self.recover(
            restore_command=f"while [ %f = {self.last} ] && [ -d {self.path} ] && ! [ -e {go} ]; "
                            f"do sleep 0.1; done; {self.copy}", **settings)
        server.wait_ready()
        server.sql("select pg_wal_replay_pause()")
        run("touch", go)
        server.wait_until(f"select {REPLAY_IS_PAUSED}")
        wait_for(lambda: "recovery has paused" in server.log_tail(), "the pause")
        return server

    def test_a_pause_by_hand_is_no_target_and_is_not_promoted(self):
        # The server would go on to the target, and open there without a pause.
        for settings, target in (({"recovery_target_name": "here"}, ""),
                                 ({"recovery_target_lsn": "FF/0"}, ", its target is at FF/0")):
            with self.subTest(**settings):
                server = self.paused_by_hand(**settings)
                at = server.sql("select pg_last_wal_replay_lsn()")
                reason = f"somebody has paused replay at {at} (pg_wal_replay_pause){target}"
                self.assertIn(reason, self.see(server, expect=13).stderr)
                done = self.promote(server, expect=4)
                self.assertIn(reason, done.stderr)
                self.assertIn("pg_wal_replay_resume() lets it go on", done.stderr)
                self.assertEqual(server.sql("select pg_is_in_recovery(), pg_last_wal_replay_lsn()"),
                                 f"t|{at}")
                if not target:
                    # What the advice says helps.
                    server.sql("select pg_wal_replay_resume()")
                    server.wait_until(f"select {REPLAY_IS_PAUSED} and exists (select from mark)")
                    self.see(server)
                    self.assertIn("is open on timeline 2", self.promote(server).stdout)
                    self.assertEqual(server.sql("select count(*), max(n) from mark"), "1|1")
                server.destroy()
                run("rm", "-rf", server.path, self.path / "go")

    def test_a_server_that_stopped_at_its_target_is_started_and_opened(self):
        server = self.recovering(recovery_target_name="here", recovery_target_action="shutdown")
        server.spawn(port=server.port, lock_timeout="1234")
        self.assertEqual(server.wait_exit(), 0)
        said = self.see(server).stdout
        self.assertIn("recovery: target reached\n", said)
        self.assertIn(f"look first   pgcairn watch --start --data={server.data}\n", said)
        self.assertIn(f"open it      pgcairn promote --data={server.data}\n", said)

        # As an interrupted restore leaves it: one more start, to a pause.
        self.assertIn("began", self.see(server, "--start", expect=4).stderr)
        run("touch", server.data / "pgcairn.recovery")
        self.assertIn("recovery: paused\n", self.see(server, "--start").stdout)
        self.assertEqual(server.sql("select pg_is_in_recovery(), max(n) from mark"), "t|1")
        self.assertIn("recovery: paused\n", self.see(server, "--start").stdout)  # nothing to do
        server.stop()
        self.assertIn("recovery: paused\n", self.see(server, "--start").stdout)
        server.stop()

        answer = json.loads(self.promote(server, "--json").stdout)
        self.assertEqual([answer["state"], answer["timeline"], answer["pid"]],
                         ["open", 2, server.pid()])
        self.assertEqual(server.sql("select pg_is_in_recovery(), max(n) from mark"), "f|1")
        # As it was started before.
        self.assertEqual(server.sql("show lock_timeout"), "1234ms")
        server.stop()
        self.assertIn("no server runs", self.see(server, expect=6).stderr)

    def test_a_server_that_lets_nobody_in_is_told_of_and_not_waited_for(self):
        server = self.recovering(recovery_target_name="here", recovery_target_action="pause")
        (server.data / "pg_hba.conf").write_text("local all all reject\n", encoding="ascii")
        self.spawned(server)
        said = self.see(server, "--stall=2s", expect=10).stderr
        self.assertIn("accepts connections, but not ours", said)
        self.assertIn("rejects connection", said)
        self.assertIn("--conninfo", said)

    def test_settings_are_cleared_where_we_wrote_them_and_nowhere_else(self):
        for is_ours in (False, True):
            with self.subTest(is_ours=is_ours):
                server = self.recovering(recovery_target_name="here")
                auto = server.data / "postgresql.auto.conf"
                auto.write_text("# mine\nRestore_Command = 'false'\nwork_mem = '5MB'\n",
                                encoding="ascii")
                run("sed", "-i", f"s|false|{self.copy}|", auto)
                if is_ours:
                    run("touch", server.data / "pgcairn.recovery")
                self.spawned(server)
                self.see(server)
                self.promote(server)
                self.assertEqual("Restore_Command" in auto.read_text(encoding="ascii"), not is_ours)
                self.assertIn("work_mem", auto.read_text(encoding="ascii"))
                self.assertFalse((server.data / "pgcairn.recovery").exists())
                server.destroy()
                run("rm", "-rf", server.path)

    def test_a_failure_comes_with_the_servers_words(self):
        # It must not have failed before there is somebody who watches.
        go = self.path / "go"
        server = self.recovering(f"while [ -d {self.path} ] && ! [ -e {go} ]; do sleep 0.1; done; "
                                 f"{self.copy}", recovery_target_name="nowhere")
        self.spawned(server)
        with subprocess.Popen([TOOL, "watch", f"--data={server.data}", "--json", "--interval=100ms",
                               f"--server-log={server.log}"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, cwd="/", env=clean_environment(),
                              **identity()) as watch:
            watch.stdout.readline()
            run("touch", go)
            _, said = watch.communicate(timeout=180)
        self.assertEqual(watch.returncode, 13, said)
        self.assertIn("recovery ended before configured recovery target was reached", said)
        self.assertIn("choose an earlier target", said)
        done = self.promote(server, expect=4)
        self.assertIn("no server runs", done.stderr)
        self.assertFalse((server.data / "promote").exists())

    def test_a_stall_is_told_until_somebody_has_enough(self):
        server = self.recovering(f"test %f = {self.last} && exec sleep 600; {self.copy}")
        self.spawned(server)
        with subprocess.Popen([TOOL, "watch", f"--data={server.data}", "--json", "--stall=1s",
                               "--interval=200ms"], stdout=subprocess.PIPE, text=True, cwd="/",
                              env=clean_environment(), **identity()) as watch:
            for line in watch.stdout:
                record = json.loads(line)
                # Where there is much else to do it may stand still before, too.
                if record["stalled"] and record["segment"] == self.last:
                    break
            self.assertEqual([record["segment"], record["waiting"]], [self.last, True])
            watch.send_signal(signal.SIGTERM)
            watch.communicate(timeout=180)
        self.assertEqual(watch.returncode, 12)
        self.assertIsNotNone(server.pid())

    def test_a_target_by_lsn_gives_what_is_left(self):
        go = self.path / "go"
        server = self.recovering(f"while [ %f = {self.last} ] && [ -d {self.path} ] && ! [ -e {go} ]; "
                                 f"do sleep 0.1; done; {self.copy}", recovery_target_lsn="0/FFFFFFFF")
        self.spawned(server)
        records = []
        with subprocess.Popen([TOOL, "watch", f"--data={server.data}", "--json", "--interval=100ms"],
                              stdout=subprocess.PIPE, text=True, cwd="/", env=clean_environment(),
                              **identity()) as watch:
            for line in watch.stdout:
                records.append(json.loads(line))
                if "left_bytes" in records[-1]:
                    run("touch", go)
        self.assertEqual(watch.returncode, 13)
        self.assertIn("0/FFFFFFFF", {record["target_lsn"] for record in records})
        self.assertTrue(any("left_bytes" in record for record in records))
        self.assertFalse(any(record.get("at_most") for record in records))

    def test_what_is_no_data_directory(self):
        done = attempt(TOOL, "watch", f"--data={self.path}/nowhere")
        self.assertEqual(done.returncode, 6, done.stderr)
        done = attempt(TOOL, "promote", f"--data={self.path}/nowhere")
        self.assertEqual(done.returncode, 6, done.stderr)
