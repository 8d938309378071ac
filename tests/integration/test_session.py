"""A real server asked through libpq: identity, start and stop of a backup, refusals, signals."""

import os
import pathlib
import re
import signal
import subprocess
import time

from support.cluster import ToolTest
from support.processes import attempt, clean_environment, identity, run, wait_for
from support.version import BACKUP_FUNCTIONS, BACKUP_START, MAJOR

DRIVER = pathlib.Path(os.environ.get("DRIVERS", ".")) / "driver_postgres"
TIMEOUTS = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout",
            *(["idle_session_timeout"] if MAJOR >= 14 else []),
            *(["transaction_timeout"] if MAJOR >= 17 else [])]


def driver(*words, expect=0, **how):
    return run(DRIVER, *words, expect=expect, **how)


class Session(ToolTest):

    def setUp(self):
        super().setUp()
        # Timeouts that would end any session that didn't switch them off for itself.
        self.cluster = self.server("primary").create(wal_level="replica").start()
        for name in TIMEOUTS:
            self.cluster.sql(f"alter database template1 set {name} = '5s'")
        self.template = self.cluster.conninfo("template1")

    def fails(self, expect, message, *words, **how):
        done = attempt(DRIVER, *words, **how)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        self.assertRegex(done.stderr, message)
        return done

    def test_identity_is_that_of_the_server(self):
        control = self.cluster.control()
        said = driver("identify", self.cluster.conninfo()).split("\n")
        version = self.cluster.sql("show server_version_num")
        self.assertEqual(said, [version, str(int(version) // 10000),
                                control["Database system identifier"], "1", "0", "0", "",
                                "replica", str(self.cluster.data), str(16 << 20), "1"])

    def test_a_role_that_may_not_see_everything_gets_what_it_may_see(self):
        self.cluster.sql("create role backup login")
        conninfo = f"host={self.cluster.socket} user=backup dbname=postgres"
        said = driver("identify", conninfo).split("\n")
        self.assertEqual(said[8], "")
        self.fails(10, f"permission denied for function {BACKUP_START}(.|\n)*EXECUTE",
                   "backup", conninfo, "x", "fast")

        self.cluster.sql(f"grant execute on function {BACKUP_FUNCTIONS} to backup;"
                         "grant pg_read_all_settings to backup")
        self.assertIn("LABEL: x", driver("backup", conninfo, "x", "fast"))
        self.assertEqual(driver("identify", conninfo).split("\n")[8], str(self.cluster.data))

    def test_timeouts_of_the_database_are_off(self):
        for name in TIMEOUTS:
            self.assertEqual(driver("row", self.template, f"select current_setting('{name}')"), "0")
        self.assertEqual(driver("row", self.template, "select 'slept' from pg_sleep(6)"), "slept")
        self.assertEqual(driver("row", self.template, "select current_setting('application_name')"),
                         "pgcairn")
        self.assertEqual(driver("row", self.template, "select null"), "(null)")
        self.assertEqual(driver("row", self.template, "select 1 where false"), "(no row)")

    def test_backup_gives_label_and_map(self):
        tablespace = self.cluster.tablespace("fast")
        said = driver("backup", self.cluster.conninfo(), "it's a label", "fast")
        start = re.search(r"^start (\S+)$", said, re.M).group(1)
        self.assertIn(f"label start {start}\n", said)
        self.assertIn(f"START WAL LOCATION: {start} (file ", said)
        self.assertIn("LABEL: it's a label\nSTART TIMELINE: 1\n", said)
        self.assertRegex(said, rf"\n[0-9]+ {re.escape(str(tablespace))}$")

    def test_labels_that_would_forge_lines_are_refused(self):
        self.fails(2, "control character", "backup", self.cluster.conninfo(),
                   "x\nSTART TIMELINE: 7", "fast")
        self.fails(2, "1024", "backup", self.cluster.conninfo(), "x" * 1025, "fast")
        driver("backup", self.cluster.conninfo(), "x" * 1024, "fast")

    def test_refusals_are_in_the_servers_words(self):
        self.fails(10, 'role "nobody" does not exist', "row",
                   f"host={self.cluster.socket} user=nobody dbname=postgres", "select 1")
        self.fails(10, 'database "nothing" does not exist', "row", self.cluster.conninfo("nothing"),
                   "select 1")
        self.fails(10, 'relation "nothing" does not exist', "row", self.cluster.conninfo(),
                   "select * from nothing")
        self.fails(2, "connection string", "row", "host=x nonsense=1", "select 1")
        self.fails(7, "No such file or directory", "row", "host=/nowhere user=x dbname=x",
                   "select 1")

    def test_who_has_no_role_is_told_how_to_log_in(self):
        done = attempt(DRIVER, "row", f"host={self.cluster.socket}", "select 1",
                       user=None)
        self.assertEqual(done.returncode, 10)
        self.assertIn("--conninfo", done.stderr)

    def test_the_database_is_postgres_when_none_is_named(self):
        self.assertEqual(driver("row", f"host={self.cluster.socket} user=postgres",
                                "select current_database()"), "postgres")
        self.assertEqual(driver("row", f"host={self.cluster.socket} user=postgres",
                                "select current_database()",
                                environment={"PGDATABASE": "template1"}), "template1")

    def test_a_signal_ends_a_spread_checkpoint_at_once(self):
        self.cluster.sql("create table many as select n from generate_series(1, 300000) n")
        child = subprocess.Popen([DRIVER, "backup", self.cluster.conninfo(), "x", "spread"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 env=clean_environment(), **identity())
        with child:
            self.cluster.wait_until("select count(*) = 1 from pg_stat_activity"
                                    f" where query like '%{BACKUP_START}%' and pid <> pg_backend_pid()")
            time.sleep(0.3)
            self.assertIsNone(child.poll(), "the checkpoint was over too soon for this test")
            child.send_signal(signal.SIGTERM)
            _, said = child.communicate(timeout=120)  # the checkpoint would take 270 s
        self.assertEqual(child.returncode, 12, said)
        self.cluster.wait_until("select count(*) = 0 from pg_stat_activity"
                                " where application_name = 'pgcairn'")

    def test_a_server_that_goes_away_is_told(self):
        child = subprocess.Popen([DRIVER, "row", self.cluster.conninfo(), "select pg_sleep(600)"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 env=clean_environment(), **identity())
        with child:
            wait_for(lambda: self.cluster.sql("select count(*) from pg_stat_activity where query"
                                              " like '%sleep%' and pid <> pg_backend_pid()") == "1",
                     "the session")
            self.cluster.stop("immediate")
            _, said = child.communicate(timeout=180)
        self.assertEqual(child.returncode, 7, said)
