"""What others do between two steps of a run; needs a build with fault points, where it stops itself."""

import os
import signal
import subprocess

from support.cluster import ClusterTest, make_directory
from support.processes import (TOOL, clean_environment, identity, run, state_and_parent, wait_for)
from test_restore_refusals import fingerprint


class Meanwhile:
    """For a test that has a repository."""

    def stopped_at(self, point, command, *arguments):
        """The tool at work, which has stopped itself there."""
        process = subprocess.Popen(
            [TOOL, command, f"--repo={self.repo}", *map(str, arguments)], text=True, cwd="/",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**clean_environment(), "PGCAIRN_FAULT": f"{point}:stop"}, **identity())
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        wait_for(lambda: state_and_parent(process.pid)[0] in "TtZX", f"the stop at {point}")
        if process.poll() == 0:
            self.skipTest("built without fault points")
        if process.poll() is not None:
            self.fail(f"it ended instead: {process.communicate()}")
        return process

    def go_on(self, process, expect):
        os.kill(process.pid, signal.SIGCONT)
        _, said = process.communicate(timeout=300)
        self.assertEqual(process.returncode, expect, said)
        return said


class MeanwhileTest(Meanwhile, ClusterTest):
    segment_mb = 1

    def backup(self):
        return self.tool_json("backup", f"--data={self.cluster.data}", "--checkpoint=fast")["backup"]


class Backup(MeanwhileTest):
    def begin(self, point):
        return self.stopped_at(point, "backup", f"--data={self.cluster.data}", "--checkpoint=fast",
                               "--jobs=1")

    def assert_no_backup(self):
        self.assertEqual(self.tool_json("list")["backups"], [])

    def test_a_lease_that_is_lost_while_the_manifest_is_written_withdraws_the_backup(self):
        process = self.begin("backup.before-manifest")
        for lease in (self.repo / "main" / "lease").iterdir():
            lease.unlink()
        said = self.go_on(process, 5)
        self.assertIn("the backup was withdrawn", said)
        self.assert_no_backup()
        self.backup()

    def test_the_last_one_is_not_withdrawn_when_others_went_because_of_it(self):
        first = self.backup()
        process = self.begin("backup.after-manifest")
        stopped = {backup["backup"] for backup in self.tool_json("list")["backups"]} - {first}
        wait_for(lambda: {backup["state"] for backup in self.tool_json("list")["backups"]} == {"restorable"},
                 "the WAL of both")
        for lease in (self.repo / "main" / "lease").iterdir():
            lease.unlink()
        self.tool("expire", "--keep-min=1", "--now", "--grace=0s", "--yes")
        self.assertIn("whole all the same", self.go_on(process, 0))
        self.assertEqual({backup["backup"]: backup["state"] for backup in self.tool_json("list")["backups"]},
                         {backup: "restorable" for backup in stopped})
        self.assertFalse(list((self.repo / "main").glob("condemned/*")))
        self.tool("verify")

    def test_a_pack_that_was_cut_or_removed_since_it_was_written_is_no_backup(self):
        for status, harm in ((8, lambda pack: os.truncate(pack, pack.stat().st_size - 1)),
                             (6, lambda pack: pack.unlink())):
            with self.subTest(status=status):
                process = self.begin("pack.after-commit")
                for pack in (self.repo / "main" / "pack").glob("*/*"):
                    pack.chmod(0o600)
                    harm(pack)
                self.assertIn("pack", self.go_on(process, status))
                self.assert_no_backup()
        self.backup()


class Restore(MeanwhileTest):
    def begin(self, data, *options):
        self.backup()
        self.cluster.switch_wal()
        return self.stopped_at("restore.before-take", "restore", f"--data={data}", *options)

    def test_a_directory_that_was_not_there_and_is_now_is_left_alone(self):
        data = self.path / "restored"
        process = self.begin(data)
        self.cluster.stop()
        run("cp", "-a", self.cluster.data, data)
        before = fingerprint(data)
        self.assertIn("has changed since the restore was planned", self.go_on(process, 5))
        self.assertEqual(fingerprint(data), before)
        self.exchanged_once_it_is_taken()

    def exchanged_once_it_is_taken(self):
        data, away = self.path / "exchanged", self.path / "away"
        process = self.stopped_at("restore.before-rebuild", "restore", f"--data={data}")
        data.rename(away)
        make_directory(data)
        self.assertIn("is not the directory any more", self.go_on(process, 5))
        self.assertEqual(os.listdir(data), [])
        self.assertTrue((away / "base").exists())
        self.assertFalse((away / "global/pg_control").exists())

    def test_a_server_that_was_started_since_is_left_alone(self):
        self.backup()
        self.cluster.switch_wal()
        self.cluster.sql("create table kept as select 42 as x")
        self.cluster.stop()
        process = self.stopped_at("restore.before-take", "restore", f"--data={self.cluster.data}",
                                  "--force", "--discard-wal")
        self.cluster.start()
        self.assertIn("a server runs on", self.go_on(process, 4))
        self.assertEqual(self.cluster.sql("select x from kept"), "42")
        self.cluster.stop()
        self.cluster.start()
        self.assertEqual(self.cluster.sql("select x from kept"), "42")
