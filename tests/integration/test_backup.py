"""Base backups of a real server: what is taken, what is refused, and what interruptions leave."""

import json
import os
import shutil
import signal
import subprocess
import time
import unittest

from support.cluster import ClusterTest, copy_of_running, make_directory, quoted
from support.oracle import Oracle
from support.processes import (TOOL, USER, clean_environment, freeze_tree, identity, kill_tree, run,
                               wait_for)
from support.version import BACKUP_FUNCTIONS, MAJOR


class BackupTest(ClusterTest):
    """Helpers; each test class below is small, so that they run beside each other."""

    def backup(self, *arguments, expect=0):
        return self.tool_json("backup", f"--data={self.cluster.data}", *arguments, expect=expect)

    def begin_backup(self, *arguments):
        """A backup so slow (20 s) that it is still copying when the test does something to it."""
        process = subprocess.Popen(
            [TOOL, "backup", f"--repo={self.repo}", f"--data={self.cluster.data}", "--json",
             "--rate-limit=1MiB", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd="/", env=clean_environment(), **identity())
        self.addCleanup(self.end, process)
        wait_for(lambda: process.poll() is not None or self.has_begun(), "backup copies")
        self.assertIsNone(process.poll(), process.communicate() if process.poll() is not None else "")
        return process

    def has_begun(self):
        """The copy is under way once a pack is being written: start and scan are behind us."""
        return any((self.repo / "main" / "pack").rglob("*.tmp-*"))

    @staticmethod
    def end(process):
        if process.poll() is None:
            kill_tree(process.pid)
        process.communicate()

    def finish(self, process, expect=0, timeout_s=300):
        """Wait for a backup begun before; its answer and what it logged."""
        answer, log = process.communicate(timeout=timeout_s)
        self.assertEqual(process.returncode, expect, answer + log)
        return answer, log

    def listed(self, expect=0):
        return self.tool_json("list", expect=expect)["backups"]

    def manifest(self, backup):
        """The lines of a backup's manifest as lists of fields, by the stock decompressor."""
        path = self.repo / "main" / "backup" / backup / "manifest"
        return [line.split("\t") for line in run("zstd", "-dqc", path).splitlines()]

    def entries(self, backup):
        """path: [kind, path, ...] of the manifest's entries; ranges left out."""
        return {fields[1]: fields for fields in self.manifest(backup) if fields[0] in "dlfFx"}

    def journal(self):
        return [path.read_text(encoding="utf-8").splitlines()
                for path in sorted((self.repo / "main" / "journal").iterdir())
                if "-backup-" in path.name]


class Content(BackupTest):
    # A spread checkpoint takes its share of this; tests have not got five minutes.
    settings = {"checkpoint_timeout": "30s", "checkpoint_completion_target": "0.1"}

    def test_backup_under_load_is_whole_and_restorable(self):
        with Oracle(self.cluster, self.path / "commits") as oracle:
            oracle.wait_commits(20)
            first = self.backup()
            oracle.wait_commits(20)
            second = self.backup("--jobs=1", "--compress=lz4", "--checkpoint=spread")
        for taken in (first, second):
            self.assertEqual(taken["bad_page_count"], 0)
            self.assertFalse(taken["waiting_for_wal"])
            self.assertGreater(taken["bytes"], taken["stored_bytes"])
        self.assertNotEqual(first["start_lsn"], second["start_lsn"])
        found = self.listed()
        self.assertEqual([item["backup"] for item in found], [first["backup"], second["backup"]])
        self.assertEqual({item["state"] for item in found}, {"restorable"})
        for item, taken in zip(found, (first, second)):
            for name in ("start_lsn", "stop_lsn", "bytes", "stored_bytes", "files", "timeline"):
                self.assertEqual(item[name], taken[name])

    def test_takes_what_belongs_and_nothing_else(self):
        place = self.cluster.tablespace("elsewhere")
        self.cluster.sql("""create table kept as select n from generate_series(1, 1000) n;
                            create unlogged table volatile as select n from generate_series(1, 1000) n;
                            create table moved tablespace elsewhere as
                            select n from generate_series(1, 1000) n;
                            create temp table passing as select 1;""")
        kept, volatile, moved = (self.cluster.sql(f"select pg_relation_filepath('{name}')")
                                 for name in ("kept", "volatile", "moved"))
        (self.cluster.data / "strange name").write_text("x", encoding="utf-8")
        taken = self.backup()

        entries = self.entries(taken["backup"])
        self.assertEqual(entries[kept][0], "f")
        self.assertNotIn(volatile, entries)
        self.assertIn(f"{volatile}_init", entries)
        self.assertIn(moved, entries)
        link = "/".join(moved.split("/")[:2])
        self.assertEqual(entries[link], ["l", link, str(place)])
        self.assertIn("global/pg_control", entries)
        self.assertIn("strange%20name", entries)
        for name in ("postmaster.pid", "postmaster.opts", "backup_label", "global/pg_internal.init"):
            self.assertNotIn(name, entries)
        for directory in ("pg_wal", "pg_notify", "pg_replslot", "pg_subtrans", "pg_dynshmem"):
            self.assertEqual(entries[directory][0], "d")
            # Of pg_wal the directories that the server wants are kept, and no file of any.
            self.assertEqual([path for path in entries if path.startswith(f"{directory}/")
                              and entries[path][0] != "d"], [])
        self.assertIn("pg_wal/archive_status", entries)
        self.assertEqual("pg_wal/summaries" in entries, MAJOR >= 17)

    @unittest.skipIf(MAJOR >= 15, "statistics are in shared memory")
    def test_temporary_statistics_are_left_out_wherever_they_are(self):
        place = make_directory(self.cluster.data / "elsewhere")
        for setting in ("elsewhere", "./elsewhere/", str(place)):
            self.cluster.stop()
            self.cluster.configure(stats_temp_directory=setting).start()
            wait_for(lambda: list(place.iterdir()), "statistics")
            entries = self.entries(self.backup()["backup"])
            self.assertEqual([path for path in entries if path.startswith("elsewhere")],
                             ["elsewhere"], setting)

    @unittest.skipIf(MAJOR < 17, "WAL is not summarized")
    def test_summaries_of_wal_are_left_out_and_made_anew(self):
        self.cluster.configure(summarize_wal="on")
        self.cluster.sql("select pg_reload_conf()")
        summaries = self.cluster.data / "pg_wal" / "summaries"
        self.cluster.sql("checkpoint")
        wait_for(lambda: list(summaries.glob("*.summary")), "a summary of WAL")
        entries = self.entries(self.backup()["backup"])
        self.assertEqual([path for path in entries if path.startswith("pg_wal/summaries")],
                         ["pg_wal/summaries"])
        restored = self.restore("--as-copy")
        self.assertEqual(restored.sql("show summarize_wal"), "on")
        restored.sql("checkpoint")
        wait_for(lambda: list((restored.data / "pg_wal" / "summaries").glob("*.summary")),
                 "a summary of the restored cluster's WAL")

    def test_configuration_outside_the_data_directory_is_taken(self):
        outside = self.path / "etc"
        run("mkdir", "-m", "0700", outside)
        included = outside / "more.conf"
        hba = outside / "pg_hba.conf"
        run("cp", self.cluster.data / "pg_hba.conf", hba)
        run("sh", "-c", f"echo 'work_mem = 8MB' > {included}")
        self.cluster.stop()
        with open(self.cluster.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(f"hba_file = {quoted(hba)}\ninclude = {quoted(included)}\n")
        self.cluster.start()
        entries = self.entries(self.backup()["backup"])
        self.assertEqual(entries[str(hba)][0], "x")
        self.assertEqual(entries[str(included)][0], "x")
        self.assertEqual(int(entries[str(hba)][5]), hba.stat().st_size)

    def test_files_that_vanish_are_no_matter(self):
        self.cluster.sql("""do $$ begin for i in 1..50 loop
                            execute format('create table zz%s as select n from
                                            generate_series(1, 100) n', i); end loop; end $$""")
        process = self.begin_backup()
        frozen = freeze_tree(process.pid)  # until they are gone
        self.cluster.sql("""do $$ begin for i in 1..50 loop
                            execute format('drop table zz%s', i); end loop; end $$""")
        self.cluster.sql("checkpoint")
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        answer, _ = self.finish(process)
        taken = json.loads(answer)
        self.assertGreater(taken["left_out"], 0)
        self.assertEqual(self.listed()[0]["state"], "restorable")

    def test_journal_tells_of_success_and_failure(self):
        taken = self.backup()
        self.tool_fails(4, "archive_mode|data directory", "backup", f"--data={self.path}",
                        f"--conninfo={self.cluster.conninfo()}")
        done, failed = self.journal()
        self.assertIn("status=0", done)
        self.assertIn(f"backup={taken['backup']}", done)
        self.assertIn("status=4", failed)

    def test_a_string_that_names_no_place_leads_to_the_server_of_data(self):
        where = f"--data={self.cluster.data}"
        for given in ("dbname=template1 user=postgres", "postgresql://postgres@/template1"):
            self.tool("backup", where, f"--conninfo={given}")
            said = self.attempt("status", where, f"--conninfo={given}")
            self.assertRegex(said.stdout, r"server +timeline 1")

    def test_for_people(self):
        said = self.tool("backup", f"--data={self.cluster.data}")
        self.assertRegex(said, r'backup \d{8}T\d{6}Z-[a-z2-7]{6} of cluster "main"')
        self.assertRegex(said, "whole in the archive")
        listed = self.tool("list")
        self.assertRegex(listed, "restorable")
        self.assertRegex(listed, "Every instant in these windows can be restored")


class BadPages(BackupTest):
    def damage(self, table="victim", block=2):
        self.cluster.sql(f"create table {table} as select n, repeat('x', 200) p "
                         "from generate_series(1, 1000) n; checkpoint")
        file = self.cluster.sql(f"select pg_relation_filepath('{table}')")
        self.cluster.stop()
        with open(self.cluster.data / file, "r+b") as data:
            data.seek(block * 8192 + 5000)
            byte = data.read(1)
            data.seek(-1, os.SEEK_CUR)
            data.write(bytes([byte[0] ^ 0x40]))
        self.cluster.start()
        return file

    def test_warn_keeps_the_backup_and_names_them(self):
        file = self.damage()
        taken = self.backup(expect=3)
        self.assertEqual(taken["bad_pages"], [{"file": file, "block": 2}])
        self.assertEqual(taken["bad_page_count"], 1)
        self.assertEqual(self.listed()[0]["bad_page_count"], 1)
        self.assertIn(f"bad_page=2 {file}", self.journal()[0])
        done = self.attempt("backup", f"--data={self.cluster.data}")
        self.assertEqual(done.returncode, 3)
        self.assertIn(f"{file} block 2", done.stdout)
        self.assertRegex(done.stderr, "1 of its pages is bad")

    def test_fail_leaves_no_backup(self):
        file = self.damage()
        self.tool_fails(8, f"bad page: block 2 of {file}", "backup", f"--data={self.cluster.data}",
                        "--bad-pages=fail")
        self.assertEqual(self.listed(), [])

    def test_a_free_space_map_is_no_loss(self):
        self.cluster.sql("create table victim as select n from generate_series(1, 20000) n")
        self.cluster.sql("vacuum victim")
        self.cluster.sql("checkpoint")
        file = self.cluster.sql("select pg_relation_filepath('victim')") + "_fsm"
        self.cluster.stop()
        with open(self.cluster.data / file, "r+b") as data:
            data.seek(100)
            data.write(b"\xff\xff\xff\xff")
        self.cluster.start()
        done = self.attempt("backup", f"--data={self.cluster.data}", "--bad-pages=fail")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, f"bad page in a map.*{file}")


class Interruptions(BackupTest):
    def test_a_second_run_is_told_who_is_at_work(self):
        process = self.begin_backup()
        self.tool_fails(5, rf"\b{process.pid}\b", "backup", f"--data={self.cluster.data}")
        self.assertIsNone(process.poll())
        os.kill(process.pid, signal.SIGTERM)
        self.finish(process, expect=12)
        self.assertEqual(self.listed(), [])
        self.backup()

    def test_a_killed_run_leaves_nothing_in_the_way(self):
        for _ in range(2):
            process = self.begin_backup()
            time.sleep(0.3)
            process.kill()
            process.communicate()
            self.assertEqual(self.listed(), [])
        taken = self.backup()
        self.assertEqual([item["backup"] for item in self.listed()], [taken["backup"]])

    def test_a_server_that_crashes_takes_the_backup_with_it(self):
        process = self.begin_backup()
        self.cluster.crash()
        _, log = self.finish(process, expect=process.wait(180))
        self.assertIn(process.returncode, (7, 10), log)
        self.assertEqual(self.listed(), [])
        self.cluster.start()
        self.backup()

    def test_a_terminated_session_is_noticed(self):
        process = self.begin_backup()
        self.cluster.sql("select pg_terminate_backend(pid) from pg_stat_activity "
                         "where application_name like 'pgcairn%'")
        _, log = self.finish(process, expect=process.wait(180))
        self.assertIn(process.returncode, (7, 10), log)
        self.assertEqual(self.listed(), [])


    def test_a_lost_lease_leaves_no_backup(self):
        process = self.begin_backup()
        for lease in (self.repo / "main" / "lease").iterdir():
            lease.unlink()
        _, log = self.finish(process, expect=5)
        self.assertIn("another run has taken the lease over", log)
        self.assertNotIn("was committed", log)  # it was noticed before, not withdrawn behind it
        self.assertEqual(self.listed(), [])
        self.backup()

    def test_a_backup_that_could_not_be_kept_is_withdrawn(self):
        self.tool_fails(14, "withdrawn", "backup", f"--data={self.cluster.data}", "--checkpoint=fast",
                        environment={"PGCAIRN_FAULT": "backup.after-manifest:fail"})
        self.assertEqual(self.listed(), [])
        self.backup()


    def test_whatever_name_is_not_known_to_be_durable_is_no_backup(self):
        for hit in range(1, 30):
            done = self.attempt("backup", f"--data={self.cluster.data}", "--checkpoint=fast",
                                environment={"PGCAIRN_FAULT": f"file.after-publish:fail:{hit}"})
            taken = len(self.listed())
            if done.returncode == 0:
                break
            self.assertEqual(done.returncode, 14, done.stderr)
            self.assertEqual(taken, 0, f"hit {hit}: {done.stderr}")
        self.assertEqual((done.returncode, taken), (0, 1))
        self.assertGreater(hit, 3)  # lease, packs, manifest: each was met


class Refusals(BackupTest):
    def refused(self, message, *arguments, expect=4):
        self.tool_fails(expect, message, "backup", *(arguments or [f"--data={self.cluster.data}"]))
        self.assertEqual(self.listed(), [])

    def test_a_server_that_does_not_archive(self):
        self.cluster.reconfigure(archive_command="")
        self.refused("archive_command is empty")
        self.cluster.stop()
        self.cluster.configure(archive_mode="off").start()
        self.refused("archive_mode is off")
        self.cluster.stop()
        self.cluster.configure(wal_level="minimal", max_wal_senders=0).start()
        self.refused("too little WAL for a restore")

    def test_another_cluster(self):
        other = self.server("other", port=5499).create(wal_level="replica", archive_mode="on",
                                                       archive_command="true").start()
        self.refused("system identifier", f"--data={other.data}")
        self.refused("data directory", f"--data={other.data}",
                     f"--conninfo={self.cluster.conninfo()}")

    def test_a_copy_of_the_data_directory(self):
        copy = self.path / "copy"
        copy_of_running(self.cluster.data, copy)
        self.refused("data directory", f"--data={copy}", f"--conninfo={self.cluster.conninfo()}")
        # Even where the server's own path means nothing to us, as in a container.
        self.cluster.sql("create role nosy login; grant execute on function "
                         f"{BACKUP_FUNCTIONS}, pg_control_system() to nosy")
        nosy = self.cluster.conninfo().replace("user=postgres", "user=nosy")
        self.refused("last checkpoint", f"--data={copy}", f"--conninfo={nosy}")

    def test_no_server(self):
        self.cluster.stop()
        self.refused("no server runs", expect=7)

    def test_a_repository_in_the_data_directory(self):
        outside, inside = self.path / "moved", self.cluster.data / "repo"
        self.tool("init", f"--data={self.cluster.data}", repo=outside)
        run("mv", outside, inside)
        self.tool_fails(4, "inside the data directory", "backup", f"--data={self.cluster.data}",
                        repo=inside)

    def test_a_label_that_would_forge_a_line(self):
        self.refused("control character", f"--data={self.cluster.data}",
                     "--label=a\nSTART TIMELINE: 7", expect=2)


class WaitingForWal(BackupTest):
    def test_a_backup_waits_for_its_wal_and_becomes_restorable(self):
        self.cluster.sql("alter system set archive_command = 'false'")
        self.cluster.sql("select pg_reload_conf()")
        self.cluster.wait_until("select current_setting('archive_command') = 'false'")
        taken = self.backup("--wal-wait=500ms", expect=3)
        self.assertTrue(taken["waiting_for_wal"])
        self.assertGreaterEqual(taken["elapsed_wal_s"], 0.5)
        waiting, = self.listed(expect=3)
        self.assertEqual((waiting["backup"], waiting["state"]), (taken["backup"], "waiting for WAL"))
        self.assertRegex(self.attempt("list").stdout, "waiting for WAL")

        self.cluster.sql("alter system reset archive_command")
        self.cluster.sql("select pg_reload_conf()")
        wait_for(lambda: self.attempt("list").returncode == 0, "WAL arrives")
        self.assertEqual(self.listed()[0]["state"], "restorable")

    def test_a_signal_ends_the_waiting_and_not_the_backup(self):
        self.cluster.sql("alter system set archive_command = 'false'")
        self.cluster.sql("select pg_reload_conf()")
        self.cluster.wait_until("select current_setting('archive_command') = 'false'")
        process = subprocess.Popen(
            [TOOL, "backup", f"--repo={self.repo}", f"--data={self.cluster.data}", "--json",
             "--wal-wait=1h"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, cwd="/", env=clean_environment(), **identity())
        self.addCleanup(self.end, process)
        wait_for(lambda: list((self.repo / "main").glob("backup/*/manifest")), "committed")
        time.sleep(0.2)
        os.kill(process.pid, signal.SIGTERM)
        answer, _ = self.finish(process, expect=3)
        self.assertTrue(json.loads(answer)["waiting_for_wal"])


class Listing(BackupTest):
    def test_an_empty_repository(self):
        self.assertEqual(self.listed(), [])
        self.assertRegex(self.tool("list"), "no backup yet")

    def test_a_damaged_manifest_is_shown_and_told(self):
        first = self.backup()
        second = self.backup()
        manifest = self.repo / "main" / "backup" / first["backup"] / "manifest"
        content = bytearray(manifest.read_bytes())
        content[100] ^= 1
        manifest.write_bytes(content)
        found = {item["backup"]: item["state"] for item in self.listed(expect=8)}
        self.assertEqual(found, {first["backup"]: "damaged", second["backup"]: "restorable"})
        done = self.attempt("list")
        self.assertEqual(done.returncode, 8)
        self.assertIn(first["backup"], done.stderr)

    def test_a_hole_is_told(self):
        self.backup()
        hole = self.cluster.fill_segment()
        self.cluster.fill_segment()
        window, = self.tool_json("list")["windows"]
        self.assertFalse(window["ends_in_hole"])
        path, = (self.repo / "main" / "wal").glob(f"*/{hole}.wal")
        path.unlink()
        listed = self.tool_json("list", expect=8)
        self.assertTrue(listed["windows"][0]["ends_in_hole"])

    def test_no_such_repository_or_cluster(self):
        self.tool_fails(6, "cluster", "list", "--cluster=other")
        (self.path / "empty").mkdir()
        if USER:
            shutil.chown(self.path / "empty", USER, USER)
        self.tool_fails(6, "init", "list", repo=self.path / "empty")


class Timelines(BackupTest):
    def test_history_is_stored_with_the_backup_when_the_archive_lacks_it(self):
        self.backup()
        self.cluster.stop()
        (self.cluster.data / "standby.signal").touch()
        if USER:
            shutil.chown(self.cluster.data / "standby.signal", USER, USER)
        self.cluster.start()
        self.tool_fails(4, "standby", "backup", f"--data={self.cluster.data}")
        self.cluster.sql("select pg_promote()")
        self.cluster.wait_until("select not pg_is_in_recovery()")
        history = self.repo / "main" / "wal" / "00000002.history.wal"
        wait_for(history.exists, "history archived")
        text = run("zstd", "-dqc", history)
        history.unlink()
        taken = self.backup()
        self.assertEqual(taken["timeline"], 2)
        self.assertEqual(run("zstd", "-dqc", history), text)
        self.assertEqual([item["timeline"] for item in self.listed()], [1, 2])
        # Another server's, of the same number: its WAL may be in the archive, too.
        history.unlink()
        other = make_directory(self.path / "other") / "00000002.history"
        other.write_text(text.replace("no recovery target", "another recovery target") + "\n",
                         encoding="utf-8")
        self.tool("archive-push", other)
        foreign = history.read_bytes()
        self.tool_fails(15, "another 00000002.history than the server", "backup",
                        f"--data={self.cluster.data}", "--checkpoint=fast")
        self.assertEqual(history.read_bytes(), foreign)
        self.assertEqual(len(self.listed()), 2)
        # A damaged one is set aside, and the server's stored anew.
        history.write_bytes(foreign[:20] + bytes([foreign[20] ^ 1]) + foreign[21:])
        self.backup()
        self.assertEqual(run("zstd", "-dqc", history), text)
        self.assertEqual(len(list(history.parent.glob("00000002.history.wal.damaged-*"))), 1)
