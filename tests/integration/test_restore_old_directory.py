"""The directory that a restore replaces is looked at first: what only it has is found, and what is
of another history neither gets into the archive nor is lost without a word."""

import hashlib
import time

from support.cluster import ClusterTest
from support.processes import run, wait_for
from support.shared import server_log
from test_restore_targets import utc


class OldDirectoryTest(ClusterTest):
    segment_mb = 1

    def setUp(self):
        super().setUp()
        self.cluster.sql("create table n (id int primary key)")
        self.tool("backup", f"--data={self.cluster.data}", "--checkpoint=fast")

    def add(self, *numbers, server=None, switch=False):
        for number in numbers:
            (server or self.cluster).sql(f"insert into n values ({number})")
            if switch:
                (server or self.cluster).sql("select pg_switch_wal()")

    def ids(self, server=None):
        return [int(line) for line in
                (server or self.cluster).sql("select id from n order by id").split()]

    def here(self, *arguments, expect=0, data=None, **how):
        done = self.attempt("restore", f"--data={data or self.cluster.data}", *arguments, **how)
        self.assertEqual(done.returncode, expect,
                         f"{done.stdout}{done.stderr}\n{server_log(self.cluster)}")
        return done

    def archive(self):
        """Every object of WAL, with its content."""
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                for path in (self.repo / "main" / "wal").rglob("*") if path.is_file()}

    def elsewhere(self, name, port):
        copy = self.restore("--as-copy", name=name, port=port)
        numbers = self.ids(copy)
        copy.stop()
        return numbers

    def instant(self):
        time.sleep(0.05)
        now = time.time()
        time.sleep(0.05)
        return now


class Tail(OldDirectoryTest):
    def test_every_kind_of_target_is_found_in_segments_that_were_never_archived(self):
        self.add(1, 2)
        self.cluster.switch_wal()
        self.add(3, 4)
        instant = self.instant()
        xid = self.cluster.sql("select xmin from n where id = 4")
        lsn = self.cluster.sql("select pg_current_wal_insert_lsn()")
        self.cluster.sql("select pg_create_restore_point('before')")
        self.cluster.sql("delete from n")
        self.cluster.crash()
        targets = (f"--target-time={utc(instant)}", f"--target-xid={xid}", f"--target-lsn={lsn}",
                   "--target-name=before")
        for target in targets:
            with self.subTest(target):
                told = self.here(target, "--move-aside", "--dry-run").stdout
                self.assertIn("that the archive does not have", told)
                self.assertNotIn("nothing later is archived", told)
        for target, kept in ((targets[0], "--move-aside"), (targets[3], "--force")):
            with self.subTest(target + kept):
                told = self.here(target, kept, "--start").stdout
                self.assertEqual(self.ids(), [1, 2, 3, 4])
                if kept == "--move-aside":
                    self.assertIn("it may hold the only copy of", told)
                self.cluster.stop("immediate")
        # What the first one put aside still has what came after: the second one was not opened.
        self.here("--delta", "--start")
        self.assertEqual(self.ids(), [])


class UnknownTimelines(OldDirectoryTest):
    def test_two_recoveries_that_the_archive_saw_nothing_of(self):
        self.add(1, 2, 3)
        first = self.instant()
        self.add(4)
        self.cluster.switch_wal()
        self.cluster.stop()
        run("chmod", "-R", "a-w", self.repo)
        self.addCleanup(run, "chmod", "-R", "u+w", self.repo)
        self.here(f"--target-time={utc(first)}", "--force", "--start", "--target-action=promote")
        self.add(100, 101, switch=True)
        self.cluster.stop("immediate")
        told = self.here("--move-aside", "--dry-run").stdout
        self.assertIn("on timeline 2", told)
        self.here("--move-aside", "--start")
        self.assertEqual(self.ids(), [1, 2, 3, 100, 101])
        self.add(200, 201, switch=True)
        self.cluster.stop("immediate")
        self.here("--delta", "--start")
        self.assertEqual(self.ids(), [1, 2, 3, 100, 101, 200, 201])
        # The new server archives all of it once it can, and then the repository alone has it.
        run("chmod", "-R", "u+w", self.repo)
        self.add(300)
        self.cluster.switch_wal()
        wait_for(lambda: {"00000002.history.wal", "00000003.history.wal", "00000004.history.wal"} <=
                 set(self.archive()), "the histories")
        self.cluster.stop()
        self.assertEqual(self.elsewhere("alone", 5440), [1, 2, 3, 100, 101, 200, 201, 300])


class Ahead(OldDirectoryTest):
    def test_a_directory_that_no_wal_leads_to_is_not_replaced_by_less(self):
        self.add(1, 2)
        self.cluster.switch_wal()
        self.cluster.stop()
        self.cluster.configure(max_wal_size="2MB", min_wal_size="2MB", wal_keep_size="0")
        self.cluster.start(archive_mode="off")
        self.add(3, 4, 5, 6, 7, switch=True)
        for _ in range(2):
            self.cluster.sql("select pg_switch_wal(); checkpoint")
        self.add(8)
        self.cluster.crash()
        for kept in ("--force", "--delta", "--move-aside"):
            told = self.here(kept, "--start", expect=4).stderr
            self.assertIn("is further than the archive", told)
            self.assertIn("--discard-wal", told)
        self.cluster.start(archive_mode="off")
        self.assertEqual(self.ids(), [1, 2, 3, 4, 5, 6, 7, 8])
        self.cluster.stop()
        self.here("--force", "--discard-wal", "--start")
        self.assertEqual(self.ids(), [1, 2])


class Copies(OldDirectoryTest):
    def clone(self, name, port):
        copy = self.restored(name, port)
        self.cluster.stop()
        run("cp", "-a", self.cluster.data, copy.data)
        self.cluster.start()
        return copy.configure(archive_command="false").start()

    def test_what_a_copy_wrote_stays_out_of_the_archive(self):
        self.add(1, 2)
        clone = self.clone("clone", 5441)
        self.add(3, 4, switch=True)
        self.cluster.switch_wal()
        self.add(1000, 1001, 1002, server=clone, switch=True)
        clone.crash()
        promoted = self.restore("--as-copy", "--target-action=promote",
                                f"--target-xid={self.cluster.sql('select xmin from n where id = 2')}",
                                name="promoted", port=5442)
        self.add(2000, 2001, server=promoted, switch=True)
        promoted.crash()
        before = self.archive()
        for copy, words in ((clone, "parts from the archive's at"), (promoted, "timeline 2")):
            with self.subTest(words):
                told = self.here("--force", "--target-timeline=1", data=copy.data, expect=4).stderr
                self.assertIn(words, told)
                self.assertRegex(told, "[23] commits until")
                self.here("--force", "--as-copy", "--discard-wal", "--start", data=copy.data,
                          environment={"PGPORT": copy.port})
                self.assertEqual(self.ids(copy), [1, 2, 3, 4])
                copy.stop()
        self.assertEqual(self.archive(), before)
        self.add(5)
        self.cluster.switch_wal()
        self.assertEqual(self.elsewhere("production", 5443), [1, 2, 3, 4, 5])

    def test_an_original_is_not_replaced_by_what_its_clone_archived(self):
        self.add(1, 2)
        clone = self.clone("clone", 5441)
        self.cluster.reconfigure(archive_command="false")
        clone.reconfigure(archive_command=self.archive_command())
        self.add(1000, server=clone, switch=True)
        clone.switch_wal()
        clone.stop()
        self.add(3, 4, switch=True)
        self.cluster.crash()
        told = self.here("--move-aside", "--start", expect=4).stderr
        self.assertIn("parts from the archive's at", told)
        self.cluster.start()
        self.assertEqual(self.ids(), [1, 2, 3, 4])
