"""What somebody meets who tries the program for the first time, and in the first minutes of an incident."""

import json
import re
import unittest

from support.processes import TOOL, attempt, run
from support.shared import SharedClusterTest


class BesideARunningServer(SharedClusterTest):
    """The original runs all the time."""

    @classmethod
    def set_up_shared(cls, world):
        world.tool("backup", f"--data={world.cluster.data}")
        world.cluster.sql("create table kept as select 7 as x")
        world.cluster.sql("create table steps (n int)")
        cls.points = {}
        for number, name in enumerate(["p", "p", "p@2", "p", "q"]):
            world.cluster.sql(f"insert into steps values ({number})")
            cls.points[number] = world.cluster.sql(f"select pg_create_restore_point('{name}')")
        world.cluster.fill_segment()
        world.cluster.fill_segment()

    def plan(self, *words, expect=0):
        done = self.attempt("restore", "--dry-run", "--json", f"--data={self.path}/new", *words)
        self.assertEqual(done.returncode, expect, done.stderr)
        return json.loads(done.stdout)

    def test_one_of_several_restore_points_of_a_name_is_picked_by_its_number(self):
        for name, number in (("p", 0), ("p@1", 0), ("p@3", 3), ("q@1", 4), ("q", 4),
                             ("p@2", 2)):  # which is the whole name of another one
            with self.subTest(name=name):
                self.assertEqual(self.plan(f"--target-name={name}")["replay_end_lsn"], self.points[number])
        note, = [note for note in self.plan("--target-name=p@3")["notes"] if "3 restore points" in note]
        self.assertIn("this is @3", note)
        self.assertEqual(len(re.findall(r"@\d at 0/[0-9A-F]+ of 2", note)), 3)
        self.assertFalse([note for note in self.plan("--target-name=q")["notes"] if "restore points" in note])
        self.assertIn("\"p@4\" is not in the archive", self.plan("--target-name=p@4", expect=6)["message"])
        # log suggests what can be typed as it stands: by the place where the number is a name.
        said = re.findall(r"restore point \"p\" +\[(.*)\]", self.tool("log"))
        self.assertEqual([words.split("=")[0] for words in said], ["--target-name", "--target-lsn", "--target-name"])
        self.assertEqual([self.plan(words.replace("'", ""))["replay_end_lsn"] for words in said],
                         [self.points[number] for number in (0, 1, 3)])
        copy = self.restored()
        self.tool("restore", f"--data={copy.data}", "--as-copy", "--start", "--target-name=p@3",
                  f"--socket={copy.path}")
        copy.socket, copy.port = copy.path, 5432
        self.assertEqual(copy.sql("select string_agg(n::text, ' ' order by n) from steps"), "0 1 2 3")

    def test_a_dry_run_over_a_running_server_shows_the_plan_and_what_is_in_the_way(self):
        words = ["restore", f"--data={self.cluster.data}", "--dry-run", "--start"]
        plan = self.tool(*words, "--move-aside")
        self.assertIn(f"in the way   a server runs on {self.cluster.data} (process {self.cluster.pid()})", plan)
        self.assertIn("then       start, verify, promote", plan)
        answer = self.tool_json(*words, "--force")
        self.assertEqual(len(answer["in_the_way"]), 1)
        undecided = self.tool_fails(4, "holds a data directory of this cluster", *words)
        self.assertIn("in the way   a server runs", undecided.stdout)
        self.assertEqual(self.tool_fails(4, "a server runs on", "restore", "--force",
                                         f"--data={self.cluster.data}").stdout, "")
        self.assertEqual(self.cluster.sql("select x from kept"), "7")

    def test_a_plan_counts_the_wal_that_is_replayed_and_no_more(self):
        everything, immediate = self.plan(), self.plan("--target=immediate")
        self.assertLess(immediate["wal_segments"], everything["wal_segments"])
        self.assertLess(immediate["wal_stored_bytes"], everything["wal_stored_bytes"] / 2)

    def test_a_time_to_come_is_asked_back(self):
        plan = self.tool("restore", "--dry-run", f"--data={self.path}/new", "--target-time=2099-01-01 00:00 UTC")
        self.assertRegex(plan, "its newest commit is of 2")
        self.assertIn("this time is still to come", plan)

    def test_a_copy_starts_beside_its_original(self):
        copy = self.restored()
        # What is no copy would want the original's place, and finds none: that is said at once.
        taken, port = f"another server on {self.cluster.data} has the socket", {"PGPORT": self.cluster.port}
        self.tool_fails(4, taken, "restore", "--start", f"--data={copy.data}", environment=port)
        self.assertFalse(copy.data.exists())
        planned = self.tool_fails(4, taken, "restore", "--start", "--dry-run", f"--data={copy.data}",
                                  environment=port).stdout
        self.assertIn("in the way   the restored server could not listen", planned)
        free, = re.findall(r"--port=\d+", planned)
        self.assertIn("then       start", self.tool("restore", "--start", "--dry-run", f"--data={copy.data}", free))
        said = self.tool("restore", "--as-copy", "--start", f"--data={copy.data}",
                         environment={"PGPORT": self.cluster.port})
        copy.socket, copy.port = copy.data, self.cluster.port
        self.assertIn(f"host={copy.data} port={copy.port}", said)
        self.assertEqual(copy.sql("select x from kept"), "7")
        self.assertEqual(copy.sql("show listen_addresses"), "")
        self.assertEqual(self.cluster.sql("select x from kept"), "7")
        copy.stop()
        again = self.tool("restore", "--as-copy", "--start", "--move-aside", f"--data={copy.data}",
                          "--port=5999", f"--socket={copy.path}")
        copy.socket, copy.port = copy.path, 5999
        self.assertEqual(copy.sql("show port"), "5999")
        self.assertIn(f"to remove  {copy.data}.pgcairn-", again)

    def test_the_next_command_can_be_typed_as_it_stands(self):
        copy = self.restored()
        said = self.tool("restore", "--as-copy", f"--data={copy.data}", "--port=5998",
                         f"--socket={copy.path}")
        copy.socket, copy.port = copy.path, 5998
        line, = [line for line in said.splitlines() if line.startswith("  next ")]
        done = attempt("sh", "-c", line.removeprefix("  next ").strip() + " -w")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(copy.sql("select x from kept"), "7")


class Shell(SharedClusterTest):
    """Pipes, JSON, names."""

    @classmethod
    def set_up_shared(cls, world):
        cls.backup = world.tool_json("backup", "--label=before the upgrade", f"--data={world.cluster.data}")["backup"]
        world.cluster.sql("create table t (n int)")
        world.cluster.switch_wal()

    def test_a_pipe_that_nobody_reads_is_no_error(self):
        repo = f"--repo={self.repo}"
        for words in (["--version"], ["--help"], ["list", repo], ["list", "--json", repo], ["log", repo],
                      ["log", "--json", repo], ["verify", repo],
                      ["restore", "--dry-run", repo, f"--data={self.path}/new"]):
            with self.subTest(words=words):
                # The reader is gone before the first byte is written.
                done = attempt("bash", "-c", 'set -o pipefail; { sleep .2; "$@"; } | exec true', "x", TOOL, *words)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
        full = attempt("bash", "-c", '"$@" >/dev/full', "x", TOOL, "list", repo)
        self.assertEqual(full.returncode, 14)
        self.assertIn("No space left on device", full.stderr)

    def test_an_error_is_one_object_when_json_was_asked_for(self):
        for words, status in ((["list", "--jsn", "--json"], 2), (["list", "--json", "--cluster=other"], 6),
                              (["restore", "--json", f"--data={self.cluster.data}"], 4)):
            with self.subTest(words=words):
                done = self.attempt(*words)
                self.assertEqual(done.returncode, status, done.stderr)
                answer = json.loads(done.stdout)
                self.assertEqual((answer["command"], answer["code"], answer["status"]), (words[0], status, status))
                self.assertIn(answer["message"], done.stderr)
                self.assertTrue(answer["hint"])
        monitored = self.attempt("status", "--json", "--bogus")
        self.assertEqual((monitored.returncode, json.loads(monitored.stdout)["status"]), (3, 3))

    def test_the_clusters_of_a_repository_are_found_by_the_tool(self):
        one = self.tool_json("list")
        many = self.path / "many"
        run("cp", "-a", self.repo, many)
        self.tool("init", f"--data={self.cluster.data}", "--cluster=copy", repo=many)
        both = self.tool_json("list", repo=many)["clusters"]
        self.assertEqual([cluster["cluster"] for cluster in both], ["copy", "main"])
        self.assertEqual(both[1], one)
        self.assertEqual(self.tool_json("list", "--cluster=main", repo=many), one)
        self.assertRegex(self.tool("list", repo=many), r'cluster "copy"(.|\n)*cluster "main"')
        done = self.tool_fails(6, "has no cluster \"lost\"", "restore", "--cluster=lost", f"--data={self.path}/new")
        self.assertIn("it holds main: --cluster=main", done.stderr)


    def test_list_fits_a_terminal_of_80_columns_and_shows_labels(self):
        listed = self.tool("list")
        self.assertLessEqual(max(map(len, listed.splitlines())), 80, listed)
        self.assertIn(f'{self.backup} "before the upgrade"', listed)
        newest, = self.tool_json("list")["backups"]
        self.assertEqual(newest["label"], "before the upgrade")

    def test_people_read_their_own_clock_and_machines_utc(self):
        at = "2099-11-22 14:30:00+01"
        words = ["restore", "--dry-run", f"--data={self.path}/new", f"--target-time={at}"]
        plan = self.tool(*words, environment={"TZ": "America/New_York"})
        self.assertIn("time 2099-11-22 08:30:00.000000-05\n             that is 2099-11-22 13:30:00.000000+00", plan)
        answer = json.loads(self.tool(*words, "--json", environment={"TZ": "America/New_York"}))
        self.assertEqual(answer["target"], "time 2099-11-22 13:30:00.000000+00")
        self.assertTrue(answer["last_before"]["time_exact"].endswith("+00"))


if __name__ == "__main__":
    unittest.main()
