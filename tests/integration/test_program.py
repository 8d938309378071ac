"""The program as a shell sees it: what it prints, and above all what it exits with."""

import json
import os
import signal
import subprocess
import unittest

from support.cluster import ToolTest
from support.processes import TOOL, attempt, clean_environment, identity, run, wait_for

COMMANDS = ["init", "backup", "archive-push", "archive-get", "restore", "watch", "promote", "list"]
SEGMENT = "00000001000000000000002A"


class Program(ToolTest):
    """No server and no repository: only the command line."""

    def call(self, *arguments, environment=None):
        return attempt(TOOL, *arguments, environment={"PGCAIRN_CONFIG": "/dev/null", **(environment or {})},
                       cwd=self.path)

    def test_version_is_one_line(self):
        done = self.call("--version")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "pgcairn 0.1.0\n", ""))

    def test_start_up_is_cheap(self):
        """It is paid per WAL segment. The least processor time of many runs, which no load adds to."""
        def once():
            process = subprocess.Popen([TOOL, "--version"], stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.assertEqual(process.returncode, 0)
            return usage.ru_utime + usage.ru_stime
        self.assertLess(min(once() for _ in range(40)), 0.02)

    def test_help_is_there_for_every_command(self):
        overview = self.call("--help")
        self.assertEqual((overview.returncode, overview.stderr), (0, ""))
        for command in COMMANDS:
            with self.subTest(command=command):
                self.assertIn(f"\n  {command} ", overview.stdout)
                done = self.call(command, "--help")
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertTrue(done.stdout.startswith(f"pgcairn {command} - "))
                self.assertIn("\n  --repo=ADDRESS", done.stdout)
                self.assertLessEqual(max(map(len, done.stdout.splitlines())), 90)

    def test_mistakes_are_usage_errors_with_a_hint(self):
        for arguments, message, hint in [
                ([], "no command", "`pgcairn --help` lists the commands"),
                (["bakup"], 'unknown command "bakup"', "did you mean backup?"),
                (["list"], "list needs --repo", "PGCAIRN_REPO"),
                (["list", "--jsn", "--repo=r"], "list has no option --jsn", "did you mean --json?"),
                (["backup", "--repo=r", "--data=d", "--jobs=0"], "--jobs must be 1 to 64", "pgcairn backup --help")]:
            with self.subTest(arguments=arguments):
                done = self.call(*arguments)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn(f"pgcairn: error: {message}", done.stderr)
                self.assertRegex(done.stderr, "\n  hint:  .*" + hint.replace("?", r"\?"))

    def test_machines_get_one_line_of_json(self):
        done = self.call("list", "--repo", self.path / "nothing\nhere", "--log-format=json")
        self.assertNotEqual(done.returncode, 0)
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1)
        told = json.loads(lines[0])
        self.assertEqual((told["message"], told["level"], told["command"], told["status"]),
                         ("failed", "error", "list", done.returncode))
        self.assertTrue(told["cause"])

    def test_a_terminal_gets_no_control_characters(self):
        done = self.call("list", "--repo", self.path / "nothing\x1b[31m\nhere")
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("\x1b", done.stderr)
        self.assertTrue(done.stderr.startswith("pgcairn: error: "))

    def test_an_answer_that_nobody_takes_is_a_failure(self):
        for arguments in ["--version"], ["--help"], ["backup", "--help"]:
            with self.subTest(arguments=arguments), open("/dev/full", "w", encoding="utf-8") as full:
                done = subprocess.run([TOOL, *arguments], stdout=full, stderr=subprocess.PIPE, check=False)
                self.assertEqual(done.returncode, 14)

    def test_the_file_is_read_and_its_mistakes_are_refused(self):
        file = self.path / "pgcairn.conf"
        file.write_text("jbos = 3\n", encoding="utf-8")
        file.chmod(0o644)
        done = self.call("list", "--repo=r", f"--config={file}")
        self.assertEqual(done.returncode, 2)
        self.assertIn(f'{file}:1: unknown key "jbos"', done.stderr)
        self.assertIn('did you mean "jobs"?', done.stderr)


class ArchiveGetStatus(ToolTest):
    """1 ends a recovery: no mistake may come out as anything that the server takes for it."""

    def call(self, *arguments, environment=None):
        return attempt(TOOL, *arguments, environment={"PGCAIRN_CONFIG": "/dev/null", **(environment or {})},
                       cwd=self.path)

    def test_whatever_is_wrong_is_255(self):
        bad_file = self.path / "bad.conf"
        bad_file.write_text("rubbish\n", encoding="utf-8")
        bad_file.chmod(0o644)
        for arguments, environment in [
                (["archive-get"], {}),
                (["archive-get", SEGMENT, "p"], {}),
                (["archive-get", "--bogus", SEGMENT, "p"], {}),
                (["archive-get", f"--repo={self.path}/none", SEGMENT, "p"], {}),
                (["archive-get", "--repo=strange://x", SEGMENT, "p"], {}),
                (["archive-get", "--repo=r", SEGMENT], {}),
                (["archive-get", "--repo=r", SEGMENT, "p", "q"], {}),
                (["archive-get", "--repo=r", "--retries=x", SEGMENT, "p"], {}),
                (["archive-get", "--repo=r", "--config=/no/such/file", SEGMENT, "p"], {}),
                (["archive-get", "--repo=r", f"--config={bad_file}", SEGMENT, "p"], {}),
                (["archive-get", "--repo=r", SEGMENT, "p"], {"PGCAIRN_JOBS": "many"}),
                (["archive-get", "--help", SEGMENT, "p"], {}),
                (["--repo=r", "archive-get", "--bogus", SEGMENT, "p"], {}),
                (["archive_get", "--repo=r", SEGMENT, "p"], {}),
                (["get", "--repo=r", "00000002.history", "p"], {}),
                (["list", "--repo=r", SEGMENT, "p"], {})]:
            with self.subTest(arguments=arguments, environment=environment):
                self.assertEqual(self.call(*arguments, environment=environment).returncode, 255)

    def test_people_may_ask_for_help(self):
        self.assertEqual(self.call("archive-get", "--help").returncode, 0)


class Signals(ToolTest):
    """A configuration file that is a pipe holds the program at a known place."""

    def setUp(self):
        super().setUp()
        self.pipe = self.path / "config"
        run("mkfifo", self.pipe)

    def held(self, *arguments):
        process = subprocess.Popen([TOOL, *arguments, f"--repo={self.repo}", f"--config={self.pipe}"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=clean_environment(), cwd="/", **identity())
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)

        def is_held():
            self.assertIsNone(process.poll(), "ended before it read its configuration")
            with open(f"/proc/{process.pid}/status", encoding="utf-8") as status:
                said = dict(line.split(":", 1) for line in status.read().splitlines())
            # It has its handlers, and waits for whoever writes into the pipe.
            return int(said["SigCgt"], 16) & 1 << signal.SIGTERM - 1 and said["State"].strip()[0] == "S"
        wait_for(is_held, "waiting for the configuration")
        return process

    def end(self, process, number):
        os.kill(process.pid, number)
        return process.wait(180)

    def test_archive_get_dies_of_sigterm(self):
        self.assertEqual(self.end(self.held("archive-get", SEGMENT, "p"), signal.SIGTERM), -signal.SIGTERM)

    def test_archive_get_interrupted_otherwise_stops_the_server(self):
        for number in signal.SIGINT, signal.SIGHUP:
            with self.subTest(signal=number):
                self.assertEqual(self.end(self.held("archive-get", SEGMENT, "p"), number), 255)

    def test_archive_get_aborting_stops_the_server(self):
        self.assertEqual(self.end(self.held("archive-get", SEGMENT, "p"), signal.SIGABRT), -signal.SIGABRT)

    def test_archive_push_is_a_counted_failure_whatever_happens(self):
        self.assertEqual(self.end(self.held("archive-push", "p"), signal.SIGABRT), 70)
        status = self.end(self.held("archive-push", "p"), signal.SIGTERM)
        self.assertTrue(0 < status <= 125, status)


if __name__ == "__main__":
    unittest.main()
