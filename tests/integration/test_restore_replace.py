"""Restores over what is there: no WAL is lost, and nothing half done can be started."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import time
import unittest

from support.cluster import ClusterTest, make_directory, quoted
from support.oracle import Oracle, assert_content, check_structure, verify_backup
from support.processes import (BIN, TOOL, USER, attempt, clean_environment, identity, run, wait_for)
from support.shared import server_log
from test_restore_refusals import fingerprint
from test_restore_targets import settings_of, utc


class ReplaceTest(ClusterTest):
    segment_mb = 1

    def backup(self):
        return self.tool_json("backup", f"--data={self.cluster.data}", "--checkpoint=fast")["backup"]

    def restore_here(self, *arguments, expect=0):
        """Over the data directory of the cluster itself."""
        done = self.attempt("restore", f"--data={self.cluster.data}", "--json", *arguments)
        self.assertEqual(done.returncode, expect, f"{done.stdout}{done.stderr}\n"
                                                  f"{server_log(self.cluster)}")
        return done

    def kept(self, what):
        return sorted(self.cluster.path.glob(f"data.pgcairn-{what}*"))

    def nothing_goes_beside(self):
        """As in a volume's root: the directory can't be renamed, so what is in it is removed."""
        os.chmod(self.cluster.path, 0o555)
        self.addCleanup(os.chmod, self.cluster.path, 0o755)

    def commit_beyond_the_archive(self):
        """A backup and commits in the archive; more commits in segments that are not; kill -9."""
        with Oracle(self.cluster, self.path / "commits") as oracle:
            oracle.wait_commits(10)
            self.backup()
            oracle.wait_commits(10)
            self.archived = oracle.numbers()
            self.cluster.switch_wal()
            self.cluster.reconfigure(archive_command="false")
            oracle.wait_commits(20)
            for _ in range(2):
                self.cluster.sql("select pg_switch_wal()")
                oracle.wait_commits(20)
        self.cluster.crash()
        self.oracle = oracle


class Wal(ReplaceTest):
    def test_latest_over_a_crashed_cluster_has_every_acknowledged_commit(self):
        self.commit_beyond_the_archive()
        self.restore_here("--force", "--start")
        assert_content(self.cluster, self.oracle.numbers(), self.oracle.in_doubt())
        check_structure(self.cluster)
        # The old pg_wal is still there, beside the data directory.
        self.assertEqual(len(self.kept("pg_wal")), 1)
        self.assertTrue(list(self.kept("pg_wal")[0].glob("0000000100000000*")))

    def test_moved_aside_the_old_directory_stays_whole_and_its_tail_is_replayed(self):
        place = self.cluster.tablespace("elsewhere")
        self.cluster.sql("create table far (x int) tablespace elsewhere; insert into far values (7)")
        self.commit_beyond_the_archive()
        before = fingerprint(self.cluster.data / "base")
        answer = self.restore_here("--move-aside", "--start").stdout
        assert_content(self.cluster, self.oracle.numbers(), self.oracle.in_doubt())
        self.assertEqual(self.cluster.sql("select x from far"), "7")
        aside = self.kept("2")[0]
        self.assertIn(str(aside), answer)
        self.assertTrue((aside / "global" / "pg_control").exists())
        self.assertEqual(len(list(place.iterdir())), 2)
        self.cluster.stop()
        os.rename(self.cluster.data, self.cluster.path / "new")
        os.rename(aside, self.cluster.data)
        self.assertEqual(fingerprint(self.cluster.data / "base"), before)

    def test_discard_wal_gives_up_what_was_not_archived(self):
        self.commit_beyond_the_archive()
        self.restore_here("--force", "--discard-wal", "--start")
        assert_content(self.cluster, self.archived, self.oracle.numbers() | self.oracle.in_doubt())
        rows = int(self.cluster.sql("select count(*) from oracle"))
        self.assertLess(rows, len(self.oracle.commits))
        self.assertEqual(self.kept("pg_wal"), [])

    def test_what_an_unknown_restore_had_kept_beside_the_place_is_replayed(self):
        self.commit_beyond_the_archive()
        os.rename(self.cluster.data, f"{self.cluster.data}.pgcairn-20200101T000000.000Z")
        answer = self.restore_here("--start")
        self.assertIn("was kept by an earlier restore", answer.stdout)
        assert_content(self.cluster, self.oracle.numbers(), self.oracle.in_doubt())

    def test_what_another_cluster_had_kept_beside_the_place_is_left_alone(self):
        self.commit_beyond_the_archive()
        other = self.server("other").create(segment_mb=1).start()
        other.stop()
        shutil.rmtree(self.cluster.data)
        os.rename(other.data, f"{self.cluster.data}.pgcairn-20200101T000000.000Z")
        answer = self.restore_here("--start")
        self.assertNotIn("was kept by an earlier restore", answer.stderr)
        assert_content(self.cluster, self.archived, self.oracle.numbers() | self.oracle.in_doubt())

    def test_a_lost_pg_control_does_not_cost_the_wal(self):
        self.commit_beyond_the_archive()
        (self.cluster.data / "global" / "pg_control").unlink()
        self.restore_here("--force", "--start")
        assert_content(self.cluster, self.oracle.numbers(), self.oracle.in_doubt())

    def test_the_timeline_of_a_copy_that_does_not_archive_stays_out_of_the_archive(self):
        self.backup()
        self.cluster.switch_wal()
        self.cluster.stop()
        copy = self.restore("--as-copy")
        copy.sql("create table only_here as select generate_series(1, 20000)")
        for _ in range(3):
            copy.sql("insert into only_here values (0); select pg_switch_wal()")
        copy.stop()
        self.tool_fails(4, "--discard-wal", "restore", f"--data={copy.data}", "--force")
        self.tool("restore", f"--data={copy.data}", "--force", "--discard-wal", "--as-copy")
        self.assertEqual(list((self.repo / "main" / "wal").rglob("00000002*")), [])

    def test_wal_written_with_wal_level_minimal_is_not_replayed_over(self):
        self.backup()
        self.cluster.sql("select pg_create_restore_point('before')")
        self.cluster.stop()
        self.cluster.configure(wal_level="minimal", archive_mode="off", max_wal_senders=0).start()
        # Its rows are in no WAL.
        self.cluster.sql("begin; create table loaded (x int); insert into loaded select * from "
                         "generate_series(1, 5000); commit")
        self.cluster.stop()
        self.cluster.configure(wal_level="replica", archive_mode="on", max_wal_senders=10).start()
        self.cluster.sql("create table behind as select 1 as x")
        self.cluster.switch_wal()
        target = self.path / "target"
        self.tool_fails(8, "wal_level=minimal", "restore", f"--data={target}")
        self.assertFalse(target.exists())
        self.tool_fails(8, "wal_level=minimal", "list")
        self.tool("restore", f"--data={target}", "--target-name=before", "--dry-run")

    def test_an_unreachable_target_leaves_the_old_directory_as_it_was(self):
        self.commit_beyond_the_archive()
        before = fingerprint(self.cluster.data)
        self.restore_here("--force", "--target-xid=4000000", expect=6)
        self.assertEqual(fingerprint(self.cluster.data), before)
        self.cluster.start()
        assert_content(self.cluster, self.oracle.numbers(), self.oracle.in_doubt())


class Interrupted(ReplaceTest):
    def setUp(self):
        super().setUp()
        self.cluster.sql("""create table filler as select n, md5(n::text) as text
                            from generate_series(1, 60000) n""")

    def interrupt(self, *arguments, with_signal=signal.SIGKILL):
        """Kill a slow restore over the cluster's own directory once it is rebuilding."""
        process = subprocess.Popen(
            [TOOL, "restore", f"--repo={self.repo}", f"--data={self.cluster.data}",
             "--rate-limit=1MiB", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd="/", env=clean_environment(), **identity())
        self.addCleanup(process.communicate)
        wait_for(lambda: process.poll() is not None or self.rebuilds(process.pid), "the rebuild")
        self.assertIsNone(process.poll())
        busy = self.attempt("restore", f"--data={self.cluster.data}", "--force")
        self.assertEqual((busy.returncode, "is restoring into" in busy.stderr), (5, True),
                         busy.stderr)
        process.send_signal(with_signal)
        process.communicate(timeout=300)
        return process.returncode

    def rebuilds(self, pid):
        try:
            marker = (self.cluster.data / "pgcairn.restore").read_text(encoding="utf-8")
        except FileNotFoundError:
            return False
        return f"pid={pid}\n" in marker and (self.cluster.data / "base").exists() and not (
            self.cluster.data / "global" / "pg_control").exists()

    def test_what_kill_9_leaves_can_not_be_started_and_loses_no_wal(self):
        self.commit_beyond_the_archive()
        self.interrupt("--force")
        self.assertFalse((self.cluster.data / "global" / "pg_control").exists())
        done = attempt(BIN / "postgres", "-D", self.cluster.data, "-c", "config_file=/dev/null")
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, "pg_control|PG_VERSION")
        # Twice, and then to the end by the plain command: the tail is still found.
        self.interrupt()
        self.restore_here("--start")
        assert_content(self.cluster, self.oracle.numbers(), self.oracle.in_doubt())
        self.assertEqual(self.cluster.sql("select count(*) from filler"), "60000")
        check_structure(self.cluster)

    def test_two_restores_at_once_do_not_meet(self):
        self.backup()
        self.cluster.switch_wal()
        self.cluster.stop()
        both = [subprocess.Popen(
            [TOOL, "restore", f"--repo={self.repo}", f"--data={self.cluster.data}", "--force"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/",
            env=clean_environment(), **identity()) for _ in range(2)]
        said = [process.communicate(timeout=300)[1] for process in both]
        results = sorted(process.returncode for process in both)
        # One of them does it. The other finds it at work, or comes after it and does it again.
        self.assertIn(results, ([0, 0], [0, 4], [0, 5]), said)
        verify_backup(self.cluster.data)

    def test_a_directory_without_its_control_file_says_what_it_is(self):
        self.backup()
        self.cluster.switch_wal()
        self.cluster.stop()
        self.nothing_goes_beside()
        self.attempt("restore", f"--data={self.cluster.data}", "--force",
                     environment={"PGCAIRN_FAULT": "restore.control-away:crash"})
        self.assertFalse((self.cluster.data / "global" / "pg_control").exists())
        self.assertTrue((self.cluster.data / "base").exists())
        self.restore_here()  # the plain command knows that it may go on
        verify_backup(self.cluster.data)

    def test_sigterm_ends_it_with_its_own_status(self):
        self.backup()
        self.cluster.switch_wal()
        self.cluster.stop()
        self.assertEqual(self.interrupt("--force", with_signal=signal.SIGTERM), 12)
        self.assertFalse((self.cluster.data / "global" / "pg_control").exists())


class Crashes(ReplaceTest):
    """kill -9 at each instant at which something becomes visible; needs a build with fault points."""

    # Where a data directory that could be started is left: with its pg_control, old or new.
    COMPLETE = ("restore.after-marker", "restore.after-control", "restore.before-remove-old",
                "restore.old-wal-kept")
    BOTH = ("restore.before-rebuild", "restore.after-rebuild", "restore.before-control",
            "restore.after-control")
    RENAMED = BOTH + ("restore.before-remove-old", "restore.old-wal-kept")
    IN_PLACE = ("restore.after-marker", "restore.control-away", "restore.wal-kept") + BOTH

    def crash_at(self, points):
        control = self.cluster.data / "global" / "pg_control"
        for point in points:
            with self.subTest(point):
                done = self.attempt("restore", f"--data={self.cluster.data}", "--force",
                                    environment={"PGCAIRN_FAULT": f"{point}:crash"})
                if not done.stderr and done.returncode == 0 and point in self.BOTH:
                    self.skipTest("built without fault points")
                self.assertEqual(done.returncode, -signal.SIGKILL, done.stderr)
                self.assertEqual(control.exists(), point in self.COMPLETE, done.stderr)
                self.restore_here(*(["--force"] if control.exists() else []))
                verify_backup(self.cluster.data)
        os.chmod(self.cluster.path, 0o755)
        self.restore_here("--force", "--start")
        assert_content(self.cluster, self.oracle.numbers(), self.oracle.in_doubt())

    def test_the_next_run_succeeds_and_no_commit_is_lost_whatever_the_instant(self):
        self.commit_beyond_the_archive()
        self.crash_at(self.RENAMED)
        check_structure(self.cluster)
        # Of the old directories only those are left that a killed restore had not come to remove.
        self.assertLessEqual(len(self.kept("2")), len(self.RENAMED))

    def test_nor_where_the_old_directory_must_go_first(self):
        self.commit_beyond_the_archive()
        self.nothing_goes_beside()
        self.tool_fails(4, "--server-log", "restore", f"--data={self.cluster.data}", "--force", "--start")
        self.crash_at(self.IN_PLACE)
        # The WAL that had to be kept in the directory was brought out of it when that could be done.
        self.assertEqual(list(self.cluster.data.glob("pgcairn.restore-pg_wal-*")), [])
        self.assertTrue([path for kept in self.kept("pg_wal") for path in kept.glob("0*")])


class Faithful(ReplaceTest):
    def test_modes_times_and_content_are_those_of_the_original(self):
        self.cluster.stop()  # whose files come and go otherwise
        run("chmod", "-R", "g+rX", self.cluster.data)
        self.cluster.start()
        self.cluster.sql("create table wide as select n, md5(n::text) from generate_series(1, 200000) n")
        self.cluster.sql("checkpoint")
        odd = self.cluster.data / "odd name 'x' %f"
        run("sh", "-c", 'printf hello > "$0"; chmod 0640 "$0"', odd)
        database = self.cluster.sql(
            "select 'base/' || oid from pg_database where datname = 'postgres'")
        self.backup()
        self.cluster.switch_wal()
        restored = self.restored()
        self.tool("restore", f"--data={restored.data}", "--jobs=3")
        verify_backup(restored.data)
        self.assertEqual(stat.S_IMODE(os.stat(restored.data).st_mode), 0o750)
        for name in ("backup_manifest", "pgcairn.recovery", "backup_label"):
            self.assertEqual(stat.S_IMODE(os.stat(restored.data / name).st_mode), 0o640, name)
        for path in ("base", database, "global", "pg_wal", "pg_wal/archive_status", odd.name,
                     "PG_VERSION", "postgresql.conf", f"{database}/PG_VERSION"):
            was, now = os.stat(self.cluster.data / path), os.stat(restored.data / path)
            self.assertEqual((was.st_mode, was.st_uid, was.st_gid),
                             (now.st_mode, now.st_uid, now.st_gid), path)
            if stat.S_ISREG(was.st_mode):
                self.assertEqual(was.st_mtime_ns // 1000, now.st_mtime_ns // 1000, path)
        self.assertEqual((restored.data / odd.name).read_text(encoding="utf-8"), "hello")

    def test_tablespaces_go_where_they_are_told(self):
        place = self.cluster.tablespace("elsewhere")
        self.cluster.sql("""create table far (x int) tablespace elsewhere;
                            insert into far select generate_series(1, 50000)""")
        self.backup()
        self.cluster.switch_wal()
        restored = self.restored()
        moved = self.path / "new" / "place"
        self.attempt("restore", f"--data={restored.data}", f"--tablespace={place}={moved}",
                     "--start", "--as-copy", environment={"PGPORT": 5433})
        self.assertEqual(restored.sql("select count(*) from far"), "50000")
        self.assertEqual(restored.sql("""select pg_tablespace_location(oid) from pg_tablespace
                                         where spcname = 'elsewhere'"""), str(moved))
        self.assertFalse((restored.data / "tablespace_map").exists())
        # The original still works on its own files.
        self.cluster.sql("insert into far values (-1)")
        self.assertEqual(restored.sql("select count(*) from far"), "50000")
        check_structure(restored)

    def test_configuration_from_outside_the_data_directory_is_used_where_it_is_put(self):
        etc = make_directory(self.path / "etc")
        self.cluster.stop()
        for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
            run("mv", self.cluster.data / name, etc / name)
        with open(etc / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(f"data_directory = '{self.cluster.data}'\nhba_file = '{etc}/pg_hba.conf'\n"
                       f"ident_file = '{etc}/pg_ident.conf'\nrecovery_target_xid = '999'\n")
        large = "# a line of a large file, as some have it for each of their customers\n" * 4000
        with open(etc / "pg_hba.conf", "a", encoding="utf-8") as conf:
            conf.write(large)
        self.cluster.start(config_file=etc / "postgresql.conf")
        self.backup()
        self.cluster.sql("create table here as select 1 as x")
        lsn = self.cluster.sql("select pg_current_wal_insert_lsn()")
        self.cluster.switch_wal()
        restored = self.restore(f"--target-lsn={lsn}", "--target-exclusive", "--as-copy")
        self.assertEqual(restored.sql("select x from here"), "1")
        config = restored.sql("show config_file")
        self.assertIn("data.pgcairn-config-", config)
        self.assertTrue(config.endswith(f"{etc}/postgresql.conf"), config)
        with open(restored.sql("show hba_file"), encoding="utf-8") as conf:
            self.assertTrue(conf.read().endswith(large))
        self.assertEqual(restored.sql("show data_directory"), str(restored.data))
        verify = self.tool("promote", f"--data={restored.data}")
        self.assertIn("open", verify)
        self.assertNotIn("recovery", settings_of(restored))

    def test_leftovers_of_an_earlier_recovery_do_no_harm(self):
        self.cluster.configure(recovery_target_xid="12345", recovery_target_inclusive="off",
                               recovery_end_command="false", recovery_target_timeline="99")
        for name, value in (("recovery_target_name", "old"), ("restore_command", "exit 255"),
                            ("recovery_target_action", "shutdown"), ("work_mem", "7MB")):
            self.cluster.sql(f"alter system set {name} = {quoted(value)}")
        with Oracle(self.cluster, self.path / "commits") as oracle:
            oracle.wait_commits(10)
            self.backup()
            oracle.wait_commits(10)
            instant = time.time()
            oracle.wait_commits(10)
        self.cluster.switch_wal()
        restored = self.restore(f"--target-time={utc(instant)}", "--target-action=promote",
                                "--as-copy")
        must, may = oracle.at(instant)
        assert_content(restored, must, may)
        self.assertEqual(restored.sql("show work_mem"), "7MB")
        self.assertNotIn("recovery", settings_of(restored))
        self.assertNotIn("restore_command", settings_of(restored))


@unittest.skipUnless(USER, "takes root")
class ByRoot(ReplaceTest):
    def test_files_get_the_owner_they_had_and_the_server_runs_as_that_user(self):
        self.backup()
        self.cluster.sql("create table last_one as select 1 as x")
        self.cluster.switch_wal()
        data = self.path / "deep" / "er" / "data"
        restored = self.restored("elsewhere")
        restored.data = data
        done = self.attempt("restore", f"--data={data}", "--start", "--as-copy", "--json",
                            user=None, environment={"PGPORT": 5433})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(restored.sql("select x from last_one"), "1")
        restored.stop()
        for folder, folders, files in os.walk(data):
            for name in folders + files:
                path = os.path.join(folder, name)
                self.assertEqual(os.lstat(path).st_uid, os.stat(self.cluster.data).st_uid, path)
        verify_owner = pwd.getpwuid(os.stat(data).st_uid).pw_name
        self.assertEqual(verify_owner, USER)
        # Root restoring over it again: what was left half done by root can be gone on with.
        done = self.attempt("restore", f"--data={data}", "--force", user=None)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        verify_backup(data)


class Timelines(ReplaceTest):
    """After a first PITR there are two histories; the archive tells them apart."""

    def test_each_timeline_can_be_recovered(self):
        with Oracle(self.cluster, self.path / "commits") as oracle:
            oracle.wait_commits(10)
            self.backup()
            oracle.wait_commits(10)
            instant = time.time()
            oracle.wait_commits(10)
        self.cluster.switch_wal()
        self.cluster.stop()
        second = self.restore(f"--target-time={utc(instant)}", "--target-action=promote",
                              name="second")
        second.sql("create table second_history as select 42 as answer")
        second.switch_wal()
        second.stop()
        must, may = oracle.at(instant)
        # Killed when the parent's segment of the fork was there already: the same again goes on.
        killed = self.path / "killed"
        words = ["restore", f"--data={killed}", "--target-timeline=2"]
        self.attempt(*words, environment={"PGCAIRN_FAULT": "restore.before-control:crash"})
        self.tool(*words)
        verify_backup(killed)

        newest = self.restore("--as-copy", name="newest", port=5434)
        self.assertEqual(newest.sql("select answer from second_history"), "42")
        assert_content(newest, must, may)
        first = self.restore("--as-copy", "--target-timeline=1", name="first", port=5435)
        assert_content(first, oracle.numbers(), oracle.in_doubt())
        self.assertEqual(first.sql("select to_regclass('second_history') is null"), "t")
        # The last transaction of the abandoned branch is on timeline 1 only, and the tool says so.
        last = oracle.commits[-1]
        target = self.path / "nowhere"
        done = self.tool_fails(4, "lies on timeline 1, beyond .* where timeline 2", "restore",
                               f"--data={target}", f"--target-xid={last.xid}")
        self.assertIn("--target-timeline=1", done.stderr)
        back = self.restore("--as-copy", f"--target-xid={last.xid}", "--target-timeline=1",
                            "--target-action=promote", name="back", port=5436)
        self.assertEqual(back.sql(f"select count(*) from oracle where number = {last.number}"), "1")
