"""
WAL of another history is kept out of the archive, and taken out of the way when it got in: copies of a
data directory that were started beside the original, ahead of it or promoted.
"""

import json
import re

from support.archive import archived
from support.cluster import ClusterTest, copy_of_running
from support.processes import wait_for


class Copies(ClusterTest):
    segment_mb = 1
    settings = {"archive_timeout": 0, "wal_keep_size": "1GB"}

    def setUp(self):
        super().setUp()
        self.cluster.sql("create table n (id int primary key)")
        self.tool("backup", f"--data={self.cluster.data}")
        self.insert(self.cluster, 1)

    def insert(self, server, *numbers):
        """Each in a segment of its own."""
        for number in numbers:
            server.sql(f"insert into n values ({number}); select pg_switch_wal()")

    def numbers(self, server):
        return [int(line) for line in server.sql("select id from n order by id").split()]

    def segments(self, server, after):
        """Whole segments and histories that the server has written since the archive's last one."""
        current = server.sql("select pg_walfile_name(pg_current_wal_insert_lsn())")
        return [path for path in sorted((server.data / "pg_wal").iterdir())
                if re.fullmatch("[0-9A-F]{24}", path.name) and after < path.name < current]

    def copy(self, name, port):
        """A copy of the stopped server, which archives nothing."""
        twin = self.server(name, socket=self.cluster.socket, port=port)
        copy_of_running(self.cluster.data, twin.data)
        return twin.configure(archive_command="/bin/true")

    def refused(self, path, *words):
        before = archived(self.repo)
        done = self.attempt("archive-push", path)
        self.assertEqual(done.returncode, 4, done.stdout + done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertEqual(archived(self.repo), before)
        return done.stderr

    def test_a_copy_that_is_ahead_can_not_go_on_where_the_original_is(self):
        self.cluster.stop()
        twin, alike = self.copy("twin", 5434), self.copy("alike", 5435)
        self.cluster.start()
        self.insert(self.cluster, 2, 3)
        last = self.cluster.switch_wal()

        # More work than the original had, and just as much: only its transactions differ.
        twin.start()
        twin.sql("insert into n select generate_series(100, 150)")
        self.insert(twin, 200, 201, 202, 203)
        error = self.refused(self.segments(twin, last)[0], "another history", f"--from={last}")
        alike.start()
        self.insert(alike, 102, 103)
        alike.sql("select pg_switch_wal()")
        self.insert(alike, 104)
        self.refused(self.segments(alike, last)[0], "another history")
        # A copy that went on by itself, and was promoted: neither its history nor its WAL.
        self.insert(alike, 106)
        alike.stop()
        (alike.data / "standby.signal").touch()
        alike.start()
        alike.sql("select pg_promote()")
        self.insert(alike, 107)
        self.refused(alike.data / "pg_wal" / "00000002.history", "history")
        # What the hint says can be typed, and changes nothing.
        hint = re.search("`pgcairn (wal-quarantine --repo=[^`]*)`", error)[1].split()
        self.assertIn("nothing was changed", self.tool(*hint))

        self.insert(self.cluster, 4)
        self.cluster.switch_wal()
        self.assertEqual(self.numbers(self.restore(port=5440)), [1, 2, 3, 4])
        self.tool("verify")

    def test_what_got_in_is_set_aside_and_the_original_goes_on(self):
        self.cluster.stop()
        twin = self.copy("twin", 5434)
        with open(self.cluster.data / "postgresql.conf", encoding="utf-8") as conf:
            archive = [line for line in conf if line.startswith("archive_command")][-1]
        with open(twin.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(archive.replace(str(self.cluster.data), str(twin.data)))
        twin.start()
        self.insert(twin, 100, 101)
        twin.switch_wal()
        twin.stop()
        self.cluster.start()
        self.insert(self.cluster, 2, 3, 4)
        failed = wait_for(lambda: self.cluster.sql("select last_failed_wal from pg_stat_archiver"),
                          "a refusal")
        answer = self.attempt("status", f"--data={self.cluster.data}").stdout
        self.assertIn("other WAL than this server", answer)
        shown = re.search("`pgcairn (wal-quarantine [^`]*)`", answer)[1].split()

        plan = json.loads(self.tool(*shown, "--json"))
        self.assertEqual([plan["is_done"], plan["timelines"], plan["first_segment"]], [False, [1], failed])
        self.assertGreaterEqual(plan["commits"], 2)
        self.assertNotEqual(plan["before"]["windows"], plan["after"]["windows"])
        before = archived(self.repo)
        done = json.loads(self.tool(*shown, "--json", "--yes"))
        self.assertEqual(done["after"], plan["after"])
        self.assertEqual(set(archived(self.repo)), {name for name in before if name < failed})

        self.cluster.stop()
        self.cluster.start()
        self.cluster.switch_wal()
        self.assertEqual(self.numbers(self.restore(port=5440)), [1, 2, 3, 4])
        self.tool("verify")
        self.tool_fails(15, "with other content", "wal-quarantine", f"--undo={done['id']}", "--yes")
        self.assertEqual(json.loads(self.tool("wal-quarantine", "--json"))[0]["objects"], done["objects"])
