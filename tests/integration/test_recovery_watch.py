"""Recoveries of a real server, started, watched and promoted; WAL comes by a plain cp."""

import os
import pathlib
import re
import signal
import subprocess
import unittest

from support.cluster import ManualRecovery, ToolTest, make_directory
from support.processes import (BIN, TOOL, attempt, clean_environment, command_line, descendants, identity,
                               is_alive, run, wait_for)
from support.version import MAJOR, REPLAY_IS_PAUSED

DRIVER = pathlib.Path(os.environ.get("DRIVERS", ".")) / "driver_recovery"


class Watched(subprocess.Popen):
    """The driver at work; .lines is what it has said so far."""

    def __init__(self, *words):
        super().__init__([str(word) for word in (DRIVER, *words)], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, env=clean_environment(), cwd="/",
                         **identity())
        self.lines = []

    def until(self, pattern):
        """Read on to the first line that matches."""
        for line in self.stdout:
            self.lines.append(line.rstrip("\n"))
            if re.search(pattern, line):
                return self.lines[-1]
        raise AssertionError(f"no line matches {pattern}:\n" + "\n".join(self.lines))

    def end(self, expect=0):
        self.lines += self.communicate(timeout=300)[0].splitlines()
        if self.returncode != expect:
            raise AssertionError(f"ended with {self.returncode}:\n" + "\n".join(self.lines))
        return self.lines


class RecoveryTest(ToolTest):

    @classmethod
    def setUpClass(cls):
        """One archive and one base backup for all tests of the class; none may change them."""
        super().setUpClass()
        world = ToolTest()
        cls.addClassCleanup(world.doCleanups)
        world.setUp()
        cls.archive = make_directory(world.path / "archive")
        cls.cluster = world.server("primary").create(
            segment_mb=1, wal_level="replica", archive_mode="on",
            archive_command=f"cp %p {cls.archive}/%f").start()
        cls.base = ManualRecovery(world, cls.cluster)
        cls.cluster.sql("create table mark (n int)")
        cls.cluster.fill_segment()
        cls.cluster.sql("insert into mark values (1)")
        cls.cluster.sql("select pg_create_restore_point('here')")
        cls.cluster.sql("insert into mark values (2)")
        cls.last = cls.cluster.fill_segment()
        cls.cluster.stop()
        cls.copy = f"cp {cls.archive}/%f %p"

    def recovering(self, restore_command=None, **settings):
        self.restored = self.base.cluster("restored", restore_command or self.copy, test=self,
                                          **settings)
        return self.restored

    def run_driver(self, server, target="-", stall_ms=240000, settings=()):
        watched = Watched("run", BIN, server.data, server.log, target, stall_ms,
                          f"port={server.port}", *settings)
        self.addCleanup(watched.stdout.close)
        self.addCleanup(watched.wait)
        self.addCleanup(lambda: watched.poll() is None and watched.kill())
        return watched

    def watch(self, server, conninfo="-", log="-", target="-", stall_ms=240000, timeout_ms=240000):
        return attempt(DRIVER, "watch", server.data, conninfo, log, target, stall_ms, timeout_ms)

    def replayed(self, line):
        return re.search(r"replayed=(\S+)", line).group(1)


class Ends(RecoveryTest):
    """Each way in which a recovery can end."""

    def test_target_reached_by_shutdown(self):
        for hot_standby in ("on", "off"):
            with self.subTest(hot_standby=hot_standby):
                server = self.recovering(recovery_target_name="here", hot_standby=hot_standby,
                                         recovery_target_action="shutdown")
                lines = self.run_driver(server).end()
                self.assertRegex(lines[-2], "^target reached ")
                self.assertRegex(lines[-1], "^end target reached")
                control = server.control()
                self.assertEqual(control["Database cluster state"], "shut down in recovery")
                self.assertEqual(self.replayed(lines[-2]),
                                 control["Minimum recovery ending location"])
                self.assertTrue(any(line.startswith("starting ") for line in lines), lines)

                # Later looks see the same, and a target further on was not reached.
                said = self.watch(server).stdout
                self.assertRegex(said, "^target reached ")
                target = control["Minimum recovery ending location"]
                self.assertRegex(self.watch(server, target=target).stdout, "^target reached ")
                beyond = "FF/0"
                said = self.watch(server, target=beyond).stdout
                self.assertRegex(said, "^failed ")
                self.assertIn(f"the server was stopped at {target}, before its target at FF/0", said)
                run("rm", "-rf", server.path)

    def test_paused_then_promoted(self):
        server = self.recovering(recovery_target_name="here", recovery_target_action="pause")
        lines = self.run_driver(server).end()
        self.assertRegex(lines[-2], r"^paused .* last_commit=2\d{3}-")
        self.assertEqual(server.sql(f"select {REPLAY_IS_PAUSED}"), "t")
        self.assertEqual(self.replayed(lines[-2]), server.sql("select pg_last_wal_replay_lsn()"))
        self.assertRegex(self.watch(server).stdout, "^paused ")

        run(DRIVER, "promote", server.data, "-", 240000)
        self.assertEqual(server.sql("select pg_is_in_recovery(), count(*), max(n) from mark"),
                         "f|1|1")
        self.assertRegex(self.watch(server).stdout, "^open .* timeline=2 ")
        done = attempt(DRIVER, "promote", server.data, "-", 240000)
        self.assertEqual(done.returncode, 4)
        self.assertIn("open already", done.stderr)

        run(DRIVER, "stop", server.data, 240000)
        self.assertIsNone(server.pid())
        run(DRIVER, "stop", server.data, 240000)
        self.assertRegex(self.watch(server).stdout, "^not running ")

    def test_promoted_by_its_action(self):
        server = self.recovering(recovery_target_name="here", recovery_target_action="promote")
        lines = self.run_driver(server).end()
        self.assertRegex(lines[-2], "^open .* timeline=2 ")
        self.assertEqual(server.sql("select count(*), max(n) from mark"), "1|1")

    def test_end_of_the_archive_without_target(self):
        server = self.recovering()
        lines = self.run_driver(server).end()
        self.assertRegex(lines[-2], "^open .* timeline=2 ")
        self.assertEqual(server.sql("select count(*), max(n) from mark"), "2|2")

    def test_target_never_reached(self):
        server = self.recovering(recovery_target_name="nowhere")
        lines = self.run_driver(server).end()
        self.assertRegex(lines[-4], "^failed ")
        self.assertRegex(lines[-3], "^reason FATAL:  recovery ended before configured recovery "
                                    "target was reached$")
        self.assertIn("earlier target", lines[-2])
        # Whoever comes later, without having seen it, is told the same.
        said = self.watch(server, log=server.log).stdout
        self.assertRegex(said, "^failed ")
        self.assertIn("recovery ended before configured", said)

    def test_target_inside_the_backup(self):
        server = self.recovering(recovery_target_time="2001-01-01 00:00:00+00",
                                 restore_command=f"test %f = {self.last} && exit 1; {self.copy}")
        lines = self.run_driver(server).end()
        self.assertRegex(lines[-1], "^end ")
        # docs/postgres-facts.md 0.4: the server goes on to consistency and stops later than asked, or fails.
        self.assertRegex(lines[-2], "^(paused|open|advice)")

    def test_stopping_restore_command(self):
        server = self.recovering(f"test %f = {self.last} && exit 255; {self.copy}")
        lines = self.run_driver(server).end()
        self.assertRegex(lines[-4], "^failed ")
        self.assertIn(f'could not restore file "{self.last}" from archive', lines[-3])
        self.assertIn("on purpose", lines[-2])

    def test_settings_that_the_server_refuses(self):
        server = self.recovering(shared_preload_libraries="nonsense")
        lines = self.run_driver(server).end()
        self.assertRegex(lines[-3], 'could not access file "nonsense"')
        self.assertIn("not installed on this host", lines[-2])

        server.configure(shared_preload_libraries="", no_such_thing="1")
        lines = self.run_driver(server).end()
        self.assertRegex(lines[-3], "contains errors")

        server.configure(no_such_thing="")
        os.truncate(server.data / "postgresql.conf", 0)
        with open(server.data / "postgresql.conf", "w", encoding="utf-8") as conf:
            conf.write("recovery_target = 'immediate'\nrecovery_target_name = 'here'\n"
                       f"restore_command = 'false'\nunix_socket_directories = '{server.socket}'\n"
                       "listen_addresses = ''\n")
        lines = self.run_driver(server).end()
        self.assertRegex("\n".join(lines), "multiple recovery targets")

    def test_a_parameter_lower_than_it_was_on_the_primary(self):
        server = self.recovering(max_connections=20)
        lines = self.run_driver(server).end()
        self.assertRegex(lines[-3], "^reason FATAL: .*" + (
            "because of insufficient parameter settings" if MAJOR >= 14 else
            "max_connections = 20 is a lower setting than on the"))
        self.assertIn("at least as high", lines[-2])
        server.configure(max_connections=40)
        self.assertRegex(self.run_driver(server).end()[-1], "^end open")

    def test_killed_server(self):
        server = self.recovering(f"test %f = {self.last} && exec sleep 600; {self.copy}")
        driver = self.run_driver(server)
        driver.until(f"segment={self.last} waiting=1|^replaying")
        wait_for(server.pid, "the lock file")
        server.crash()
        lines = driver.end()
        self.assertRegex(lines[-1], "^end failed")
        self.assertRegex("\n".join(lines), "reason ")


class Courses(RecoveryTest):
    """What is seen on the way."""

    def blocked(self, **settings):
        """A recovery that waits for its last segment until the file `go` appears."""
        go = self.path / "go"
        command = (f"if [ %f = {self.last} ]; then while [ -d {go.parent} ] && ! [ -e {go} ]; do sleep 0.1; done; fi; "
                   f"{self.copy}")
        return self.recovering(command, **settings), go

    def test_stall_names_the_segment(self):
        for hot_standby in ("on", "off"):
            with self.subTest(hot_standby=hot_standby):
                server, go = self.blocked(recovery_target_name="here", hot_standby=hot_standby,
                                          recovery_target_action="shutdown")
                driver = self.run_driver(server, target="FF/0", stall_ms=1500)
                # Where there is much else to do it may take its time before, too.
                line = driver.until(f" stalled .*segment={self.last} waiting=1")
                self.assertRegex(line, "^(replaying|reaching consistency) stalled ")
                self.assertNotEqual(self.replayed(line), "0/0")
                run("touch", go)
                driver.end()
                self.assertTrue(any(line.startswith("end ") for line in driver.lines))
                run("rm", "-rf", server.path, go)

    def test_a_running_replay_is_not_promoted(self):
        server, go = self.blocked()
        driver = self.run_driver(server)
        driver.until("^(replaying|reaching)")
        done = attempt(DRIVER, "promote", server.data, "-", 240000)
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertIn("has not come to its target", done.stderr)
        self.assertFalse((server.data / "promote").exists())
        run("touch", go)
        self.assertRegex(driver.end()[-1], "^end open")

    def test_a_server_stopped_on_the_way_has_not_reached_its_target(self):
        server, _ = self.blocked(recovery_target_name="here", recovery_target_action="shutdown")
        driver = self.run_driver(server, target="FF/0")
        driver.until("^replaying")
        run(DRIVER, "stop", server.data, 240000)
        lines = driver.end()
        self.assertRegex(lines[-1], "^end failed")

    def test_a_signal_ends_the_watching_and_not_the_server(self):
        server, go = self.blocked()
        driver = self.run_driver(server)
        driver.until("^replaying")
        driver.send_signal(signal.SIGTERM)
        driver.end(expect=12)
        self.assertIsNotNone(server.pid())
        done = self.watch(server, timeout_ms=3000)
        self.assertEqual(done.returncode, 13)
        self.assertRegex(done.stdout, "(?m)^replaying ")
        self.assertIn("not over after", done.stderr)

        # Attached anew, its end is seen; its log is found though nobody said where it is.
        attached = Watched("watch", server.data, "-", "-", "-", 240000, 240000)
        self.addCleanup(attached.stdout.close)
        attached.until("^replaying")
        run("kill", "-9", server.pid())
        lines = attached.end()
        self.assertRegex(lines[-1], "^end failed")

    def test_attached_to_a_failing_server_its_own_words_are_found(self):
        server, go = self.blocked(recovery_target_name="nowhere")
        driver = self.run_driver(server)
        driver.until("^replaying")
        driver.send_signal(signal.SIGTERM)
        driver.end(expect=12)
        attached = Watched("watch", server.data, "-", "-", "-", 240000, 240000)
        self.addCleanup(attached.stdout.close)
        attached.until("^replaying")
        run("touch", go)
        lines = attached.end()
        self.assertRegex("\n".join(lines), "reason FATAL:  recovery ended before configured")

    def test_words_are_found_in_the_collectors_log_too(self):
        server = self.recovering(recovery_target_name="nowhere", logging_collector="on",
                                 log_directory="log")
        lines = self.run_driver(server).end()
        self.assertRegex(lines[-3], "recovery ended before configured")

    def test_words_that_the_collector_has_not_written_yet_are_waited_for(self):
        server, go = self.blocked(recovery_target_name="nowhere", logging_collector="on",
                                  log_directory="log")
        driver = self.run_driver(server)
        driver.until("^replaying")
        postmaster = server.pid()
        collector, = [pid for pid in descendants(postmaster) if b"logger" in command_line(pid)]
        os.kill(collector, signal.SIGSTOP)
        run("touch", go)
        wait_for(lambda: not is_alive(postmaster), "the server's end", pause_s=0.01)
        os.kill(collector, signal.SIGCONT)
        self.assertRegex(driver.end()[-3], "recovery ended before configured")

    def test_nothing_that_runs(self):
        server = self.recovering()
        self.assertRegex(self.watch(server).stdout, "^not running ")
        self.assertEqual(attempt(DRIVER, "promote", server.data, "-", 1000).returncode, 4)
        (server.data / "global" / "pg_control").unlink()
        self.assertEqual(self.watch(server).returncode, 6)

    def test_a_connection_to_another_server_is_noticed(self):
        server, go = self.blocked(recovery_target_name="here")
        driver = self.run_driver(server)
        driver.until("^replaying")
        run("touch", go)
        driver.end()
        self.addCleanup(self.cluster.stop)
        self.cluster.start()
        done = self.watch(server, conninfo=self.cluster.conninfo())
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("another server", done.stderr)
        done = self.watch(server, conninfo=server.conninfo())
        self.assertRegex(done.stdout, "^paused ")

    @unittest.skipIf(os.getuid() != 0, "only root can be somebody else")
    def test_root_looks_as_the_owner_of_the_data_directory(self):
        server = self.recovering(recovery_target_name="here")
        (server.data / "pg_hba.conf").write_text("local all all peer\n", encoding="ascii")
        driver = self.run_driver(server)
        self.assertRegex(driver.end()[-1], "^end paused")
        # Debian's default, and nobody named a role: root has none.
        watched = attempt(TOOL, "watch", f"--data={server.data}", user=None)
        self.assertRegex(watched.stdout, "paused", watched.stderr)
        run(TOOL, "promote", f"--data={server.data}", user=None)
        self.assertRegex(self.watch(server).stdout, "^open ")
        server.stop()

    def test_a_started_server_is_not_started_again(self):
        server = self.recovering(recovery_target_name="here")
        self.run_driver(server).end()
        lines = self.run_driver(server).end(expect=4)
        self.assertIn("runs on", "\n".join(lines))
