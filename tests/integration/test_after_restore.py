"""What is looked at once a database is back: by restore, promote and watch; told, and kept in the journal."""

import json

from support.cluster import ClusterTest
from support.processes import TOOL, attempt
from support.version import MAJOR


DEFAULT = {"PGCAIRN_CHECKS": "all"}


class AfterRestore(ClusterTest):
    segment_mb = 1

    def results(self, answer):
        found = {}
        for check in answer["checks"]:
            found.setdefault(check["check"], []).append((check["result"], check["text"]))
        return found

    def here(self, command, *arguments, expect=0):
        done = attempt(TOOL, command, f"--data={self.cluster.data}", *arguments, environment=DEFAULT)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def journal(self, operation):
        """The newest entry of this kind, as its lines."""
        entries = sorted((self.repo / "main" / "journal").glob(f"*-{operation}-*"))
        return entries[-1].read_text(encoding="utf-8").splitlines() if entries else []

    def test_a_paused_restore_is_looked_at_and_promote_closes_it(self):
        cluster = self.cluster
        self.tool("backup", f"--data={cluster.data}")
        cluster.sql("create table n (id int)")
        cluster.sql("select pg_create_restore_point('here')")
        cluster.sql("select pg_create_physical_replication_slot('a_standby')")
        cluster.sql("insert into n values (1)")
        cluster.sql("insert into n values (2)")
        cluster.switch_wal()
        cluster.stop()
        probes = self.path / "probes.sql"
        probes.write_text("-- probe: rows\n-- expect: 0\nselect count(*) from n;\n", encoding="ascii")

        self.tool("incident", "open", "rows are wrong", "--began=-1min")
        where = ["--repo", self.repo, "--move-aside", "--start", "--json", "--target-name=here"]
        answer = json.loads(self.here("restore", *where, f"--probes={probes}").stdout)
        found = self.results(answer)
        self.assertEqual(found["databases"], [("passed", "2 of 2 let us in")])
        self.assertEqual(found["probes"], [("passed", "rows: 0")])
        self.assertEqual(found["archive"], [("to do", "once it is open: archive, standbys, backup, status")])
        self.assertIsNone(answer["closing"]["rto_s"])
        self.assertIn("as_copy=no", self.journal("restore"))

        # What is not as expected is exit status 3, and the promotion stands.
        probes.write_text("-- probe: rows\n-- expect: 7\nselect count(*) from n;\n", encoding="ascii")
        failed = self.here("promote", "--json", f"--probes={probes}", "--expect-slots=a_standby",
                           "--expect-standbys=b", "--backup-after", expect=3)
        self.assertIn('the check "probes" failed: rows: expected 7, found 0', failed.stderr)
        answer = json.loads(failed.stdout)
        found = self.results(answer)
        self.assertEqual((answer["state"], answer["timeline"]), ("open", 2))
        self.assertEqual(found["answer"][0][0], "passed")
        self.assertEqual(found["probes"], [("failed", "rows: expected 7, found 0")])
        self.assertEqual(found["archive"][0][0], "passed", found)
        name = found["archive"][0][1].split()[0]
        self.assertTrue((self.repo / "main" / "wal" / name[:16] / f"{name}.wal").exists())
        self.assertTrue(name.startswith("00000002"))
        self.assertEqual(found["standbys"], [("failed", "replication slots are missing: a_standby"),
                                             ("failed", "standbys are not connected: b"),
                                             ("noted", "no backup has replication slots, and these were there "
                                                       "before: a_standby")])
        self.assertEqual(found["backup"], [("passed", "the first backup of this timeline is taken")])
        self.assertEqual(len(self.tool_json("list")["backups"]), 2)
        self.assertNotIn("failed", [result for result, _ in found["status"]])

        # What it has cost: two commits, and the time since the incident began.
        closing = answer["closing"]
        self.assertEqual(closing["commits_lost"], 2)
        self.assertGreater(closing["rpo_s"], 0)
        self.assertLess(closing["last_commit_time"], closing["last_commit_lost_time"])
        self.assertGreater(closing["rto_s"], 60)
        self.assertFalse(closing["is_rto_missed"])
        for phase in ("files_s", "second_start_s", "promote_s", "looked_at_s"):
            self.assertGreater(closing["phases"][phase], 0, closing)

        kept = self.journal("aftermath")
        self.assertIn("status=3", kept)
        self.assertIn("commits_lost=2", kept)
        self.assertIn("check=probes failed: rows: expected 7, found 0", kept)
        promoted = self.journal("promote")
        self.assertIn("state=open", promoted)
        self.assertTrue([line for line in promoted if line.startswith("phase_promote_us=")])
        incident = self.tool("incident", "show")
        self.assertIn("lost        2 commits that the archive has", incident)
        self.assertRegex(incident, r"TIMELINE(.|\n)*pgcairn restore to (.|\n)*pgcairn promote: (.|\n)*"
                                   r"checks after pgcairn promote: .*exit status 3")

        # A copy has none of the later ones, and brings nothing back.
        copy = self.attempt("restore", f"--data={self.path}/copy/data", "--as-copy", "--start", "--json",
                            "--target-timeline=2", "--checks=all,content", environment=DEFAULT)
        self.addCleanup(attempt, "pg_ctl", "-D", f"{self.path}/copy/data", "-m", "immediate", "stop")
        self.assertEqual(copy.returncode, 0, copy.stderr)
        self.assertEqual(list(self.results(json.loads(copy.stdout))), ["answer", "databases", "content"])
        self.assertIn("as_copy=yes", self.journal("restore"))
        self.assertEqual(self.tool_json("incident", "show")["restores"], 1)

    def test_archiving_that_fails_is_told_with_what_the_server_says(self):
        cluster = self.cluster
        cluster.reconfigure(archive_command="false archive-push", synchronous_standby_names="nobody",
                            synchronous_commit="local")
        if MAJOR >= 15:
            cluster.sql("update pg_database set datcollversion = '1.0' where datname = 'postgres'")
        self.tool("backup", f"--data={cluster.data}", "--wal-wait=0s", expect=3)
        cluster.reconfigure(archive_command=self.archive_command())
        cluster.switch_wal()
        cluster.stop()
        done = self.here("restore", "--repo", self.repo, "--move-aside", "--start", "--archive-wait=3s",
                         expect=3)
        self.assertRegex(done.stdout, r"archive +failed +00000002[0-9A-F]+ is not in the repository after \d\.\d s: the "
                                      r"server has failed \d times, the last time with 00000002")
        self.assertRegex(done.stdout, r"status +to do +once WAL of this timeline gets into the archive")
        self.assertRegex(done.stdout, r"standbys +failed +synchronous_standby_names is 'nobody'")
        if MAJOR >= 15:
            self.assertRegex(done.stdout, r"databases +noted +sorted by another version .*: postgres \(1.0, this host has")
        self.assertIn("no commit is known to be lost", done.stdout)
        self.assertIn('the check "archive" failed', done.stderr)
        # Those that nobody wants are not made.
        cluster.stop()
        done = self.here("restore", "--repo", self.repo, "--force", "--start", "--checks=answer",
                         "--discard-wal", "--json")
        self.assertEqual(list(self.results(json.loads(done.stdout))), ["answer"])
