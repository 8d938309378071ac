"""
Law 1 and 3 by the system calls themselves: what a success rests on is on disk before it is told.

support/strace.py judges; its own judgement is tested first. scripts/mutate takes every sync out of
the sources, one after another (tests/mutants.txt), and shows that a test here fails then.
"""

import json
import os
import pathlib
import re
import shutil
import tempfile
import unittest

from support import strace
from support.archive import flip, object_of
from support.cluster import make_directory
from support.processes import TOOL, USER, attempt, run
from support.shared import SharedClusterTest

CONTROL = r"/global/pg_control$"


def judged(*calls, root="/r", **rules):
    """The verdict on a log of one process that ends with a success."""
    lines = [call if call[:1].isdigit() else f"1 {call}" for call in calls]
    return strace.Trace("\n".join([*lines, "1 exit_group(0) = ?"]), [root],
                        device_of=lambda path: "/", **rules)


OPEN = 'openat(AT_FDCWD</>, "/r/a.tmp-0123456789abcdef", O_WRONLY|O_CREAT|O_EXCL, 0600) = 3</r/a.tmp-0123456789abcdef>'
WRITE = 'write(3</r/a.tmp-0123456789abcdef>, ""..., 5) = 5'
SYNC = "fsync(3</r/a.tmp-0123456789abcdef>) = 0"
LINK = 'link("/r/a.tmp-0123456789abcdef", "/r/a") = 0'
RENAME = 'rename("/r/a.tmp-0123456789abcdef", "/r/a") = 0'
UNLINK = 'unlink("/r/a.tmp-0123456789abcdef") = 0'
SYNC_FOLDER = "fsync(4</r>) = 0"
MKDIR = 'mkdir("/r/d", 0700) = 0'


class Judge(unittest.TestCase):
    """The judge itself: what it lets pass, and that it finds each kind of haste."""

    def test_the_right_order_is_no_violation(self):
        for publish in ([LINK, UNLINK], [LINK], [RENAME]):
            trace = judged(OPEN, WRITE, SYNC, *publish, SYNC_FOLDER)
            self.assertEqual(trace.violations, [])
            self.assertEqual(trace.published, ["/r/a"])

    def test_each_haste_is_found(self):
        partial = ["1 fsync(3</r/a.tmp-0123456789abcdef> <unfinished ...>",
                   '2 write(3</r/a.tmp-0123456789abcdef>, ""..., 5) = 5',
                   "1 <... fsync resumed>) = 0"]
        cases = {
            "no fsync": ([OPEN, WRITE, LINK, UNLINK, SYNC_FOLDER], "content is dirty"),
            "fsync after the publish": ([OPEN, WRITE, LINK, SYNC, SYNC_FOLDER], "content is dirty"),
            "fsync before the last write": ([OPEN, WRITE, SYNC, WRITE, RENAME, SYNC_FOLDER],
                                            "content is dirty"),
            "a write during the fsync": ([OPEN, *partial, RENAME, SYNC_FOLDER], "content is dirty"),
            "fsync failed": ([OPEN, WRITE, SYNC.replace("= 0", "= -1 EIO (I/O error)"), RENAME,
                              SYNC_FOLDER], "content is dirty"),
            "no sync of the folder": ([OPEN, WRITE, SYNC, RENAME], "published: /r/a"),
            "folder synced before the publish": ([OPEN, WRITE, SYNC, SYNC_FOLDER, LINK],
                                                 "published: /r/a"),
            "another folder synced": ([OPEN, WRITE, SYNC, LINK, "fsync(4</r/x>) = 0"],
                                      "published: /r/a"),
            "new directory": ([MKDIR], "new directory: /r/d"),
            "written in place": ([OPEN.replace(".tmp-0123456789abcdef", ""), SYNC_FOLDER,
                                  'write(3</r/a>, ""..., 5) = 5'], "content of /r/a"),
            "attributes after the fsync": ([OPEN, WRITE, SYNC, RENAME, SYNC_FOLDER,
                                            "fchown(3</r/a>, 1, 1) = 0"], "content of /r/a"),
            "removed": (['unlink("/r/old") = 0'], "removed: /r/old"),
            "renamed to another folder": (['rename("/r/x/old", "/r/y/old") = 0',
                                           "fsync(4</r/y>) = 0"], "renamed away: /r/x/old"),
            "the name is taken": ([OPEN, WRITE, SYNC, LINK.replace("= 0", "= -1 EEXIST (x)"),
                                   UNLINK], "without a sync"),
        }
        for name, (calls, message) in cases.items():
            with self.subTest(name):
                self.assertRegex("\n".join(judged(*calls).violations), message)

    def test_what_relies_on_the_rest_must_come_after_it(self):
        before = ['openat(AT_FDCWD</>, "/r/p", O_WRONLY|O_CREAT, 0600) = 5</r/p>',
                  'write(5</r/p>, ""..., 5) = 5']
        after = ["fsync(5</r/p>) = 0", SYNC_FOLDER]
        publish = [OPEN, WRITE, SYNC, RENAME]
        removal = ['unlink("/r/old") = 0']

        for act, rule in ((publish, {"relies": "/a$"}), (removal, {"removal_relies": "/old$"})):
            good = judged(*before, *after, *act, SYNC_FOLDER, **rule)
            late = judged(*before, *act, *after, **rule)
            self.assertEqual(good.violations, [])
            self.assertRegex("\n".join(late.violations), "not durable is content of /r/p")

    def test_a_file_is_synced_only_through_an_older_descriptor(self):
        late = ('openat(AT_FDCWD</>, "/r/a.tmp-0123456789abcdef", O_RDONLY) = 6'
                '</r/a.tmp-0123456789abcdef>')
        self.assertNotEqual(judged(OPEN, WRITE, late, SYNC.replace("3<", "6<"), RENAME,
                                   SYNC_FOLDER).violations, [])

    def test_a_whole_file_system_is_synced_only_through_an_older_descriptor(self):
        opened = 'openat(AT_FDCWD</>, "/r", O_RDONLY|O_DIRECTORY) = 7</r>'
        for calls, is_good in (([opened, OPEN, WRITE, "syncfs(7</r>) = 0", RENAME, SYNC_FOLDER], True),
                               ([OPEN, WRITE, opened, "syncfs(7</r>) = 0", RENAME, SYNC_FOLDER], False),
                               ([opened, OPEN, WRITE, "syncfs(7</r>) = -1 EIO (x)", RENAME,
                                 SYNC_FOLDER], False)):
            self.assertEqual(judged(*calls).violations == [], is_good, calls)


class TracedTest(SharedClusterTest):
    """A cluster with a tablespace, a file of several extents, and configuration of its own place."""

    @classmethod
    def set_up_shared(cls, world):
        cluster = world.cluster
        conf = make_directory(world.path / "conf")
        run("cp", cluster.data / "pg_hba.conf", conf)
        cluster.configure(hba_file=conf / "pg_hba.conf")
        cluster.stop()
        cluster.start()
        cls.tablespace_path = cluster.tablespace("fast")
        cluster.sql("create table t as select n, repeat(md5(n::text), 20) from generate_series(1, 2000) n;"
                    "create table u tablespace fast as select * from t")
        cls.segment = cluster.fill_segment(200)

    def traced(self, *words, expect=0, roots=None, inject=(), **rules):
        """Run the tool under strace; it must end with this status and without a haste."""
        log = self.path / "calls"
        options = [word for what in inject for word in ("-e", f"inject={what}")]
        done = attempt(*strace.command(log, *options), TOOL, *words)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        trace = strace.Trace(log.read_text(encoding="utf-8"), roots or [self.path, self.repo], **rules)
        self.assertEqual(trace.violations, [], "\n".join(trace.violations))
        return trace

    def assert_synced(self, trace, *paths):
        for path in paths:
            self.assertIn(os.path.realpath(path), trace.synced)

    def assert_published(self, trace, *patterns):
        for pattern in patterns:
            self.assertTrue([path for path in trace.published if re.search(pattern, path)],
                            f"{pattern} in {trace.published}")


class Init(TracedTest):
    def setUp(self):
        super().setUp()
        self.repo = self.path / "new" / "folder" / "repo"
        self.words = ["init", f"--repo={self.repo}", f"--data={self.cluster.data}"]

    def test_a_new_repository_is_durable_with_all_its_folders(self):
        trace = self.traced(*self.words, relies="/registration/0001$")

        self.assert_published(trace, "/repo/repository$", "/repo/main/registration/0001$")

    def test_what_a_killed_run_left_is_made_durable_before_it_is_called_there(self):
        self.traced(*self.words)

        trace = self.traced(*self.words)

        self.assertEqual(trace.published, [])
        self.assert_synced(trace, self.repo.parent, self.repo, self.repo / "repository",
                           self.repo / "main", self.repo / "main/registration",
                           self.repo / "main/registration/0001")

    def test_a_name_that_another_run_took_is_synced_before_anything_else(self):
        # The second link() is the repository's own object; the first ones are the store's probe.
        for number in range(1, 6):
            with self.subTest(link=number):
                shutil.rmtree(self.repo, ignore_errors=True)
                log = self.path / "calls"
                attempt(*strace.command(log, "-e", f"inject=link,linkat:error=EEXIST:when={number}"),
                        TOOL, *self.words)
                trace = strace.Trace(log.read_text(encoding="utf-8"), [self.path])
                self.assertEqual([text for text in trace.violations if "without a sync" in text], [])


class Push(TracedTest):
    def setUp(self):
        super().setUp()
        self.source = self.path / self.segment
        run("cp", "-p", self.archived_source(), self.source)
        self.repo = self.path / "other"
        self.tool("init", f"--data={self.cluster.data}")
        self.object = object_of(self.repo, self.segment)

    def archived_source(self):
        source = self.path / "source"
        self.tool("archive-get", self.segment, source)
        return source

    def push(self, **rules):
        return self.traced("archive-push", f"--repo={self.repo}", self.source, **rules)

    def test_a_segment_and_its_new_folders_are_durable_before_success(self):
        self.assert_published(self.push(), self.object.name)

    def test_a_segment_that_is_there_is_made_durable_before_it_counts(self):
        self.push()

        trace = self.push()

        self.assertEqual(trace.published, [])
        self.assert_synced(trace, self.object, self.object.parent, self.object.parent.parent,
                           self.repo / "main", self.repo)

    def test_folders_that_a_killed_run_left_are_made_durable(self):
        make_directory(self.object.parent.parent)
        make_directory(self.object.parent)

        self.assert_synced(self.push(), self.object.parent, self.object.parent.parent,
                           self.repo / "main", self.repo)

    def test_a_damaged_object_goes_only_once_its_copy_is_durable(self):
        self.push()
        flip(self.object, 100)

        trace = self.push(removal_relies=r"/wal/.*\.wal$")

        self.assert_published(trace, r"\.damaged-", rf"{self.object.name}$")
        self.assertIn(str(self.object), trace.removed)
        # Gone for good before the good one takes the name.
        self.assertGreaterEqual(trace.synced.count(str(self.object.parent)), 3)


class Backup(TracedTest):
    def test_everything_is_durable_before_the_manifest_and_the_manifest_before_success(self):
        trace = self.traced("backup", f"--repo={self.repo}", f"--data={self.cluster.data}",
                            f"--conninfo={self.cluster.conninfo()}", "--jobs=2",
                            roots=[self.repo], relies="/backup/[^/]+/manifest$")

        self.assert_published(trace, r"/pack/.*", "/lease/", "/manifest$", "/journal/")


class Restore(TracedTest):
    @classmethod
    def set_up_shared(cls, world):
        words = ["backup", f"--data={world.cluster.data}",
                 f"--conninfo={world.cluster.conninfo()}", "--json"]
        world.cluster.sql("select 1")
        cls.plain = json.loads(world.tool(*words))["backup"]
        super().set_up_shared(world)
        world.tool(*words)
        world.cluster.switch_wal()

    def setUp(self):
        super().setUp()
        self.data = self.path / "restored" / "data"
        self.place = self.path / "restored" / "fast"

    def restored_by(self, *words, data=None, place=None, **rules):
        rules.setdefault("relies", CONTROL)
        rules.setdefault("removal_relies", "pgcairn.restore$")
        trace = self.traced("restore", f"--repo={self.repo}", f"--data={data or self.data}",
                            f"--tablespace={self.tablespace_path}={place or self.place}", *words,
                            roots=[(data or self.data).parent.parent, self.repo], **rules)
        self.assert_published(trace, CONTROL, "/postgresql.auto.conf$", "/recovery.signal$",
                              "/backup_label$", "/pgcairn.restore$", "/backup_manifest$")
        return trace

    def test_a_new_directory_is_durable_before_it_can_be_started(self):
        self.restored_by()

        self.assertTrue((self.data / "global/pg_control").exists())

    def test_places_that_were_there_are_durable_too(self):
        for path in (self.data.parent, self.data, self.place):
            make_directory(path)

        # Of a backup without tablespaces and configuration from outside, whose places would sync it.
        trace = self.traced("restore", f"--repo={self.repo}", f"--data={self.data}",
                            f"--backup={self.plain}", "--target=immediate", relies=CONTROL)

        self.assert_synced(trace, self.data.parent)

    def test_where_a_whole_file_system_cannot_be_synced_every_file_is(self):
        shm = pathlib.Path("/dev/shm")
        if strace.device_by_mounts()(str(shm)) != str(shm) or shutil.disk_usage(shm).free < 60 << 20:
            self.skipTest("/dev/shm is no file system of its own here, or too small")
        folder = pathlib.Path(tempfile.mkdtemp(prefix="pgcairn-", dir=shm))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        if USER:
            shutil.chown(folder, USER, USER)
        for name in ("new", "there"):
            with self.subTest(name):
                data, place = folder / name / "x" / "data", folder / name / "y" / "fast"
                if name == "there":
                    for path in (folder / name, data.parent, place.parent, data, place):
                        make_directory(path)
                trace = self.restored_by(data=data, place=place)
                self.assert_synced(trace, data.parent, data / "base", data / "global",
                                   data / "pg_wal", place, place.parent)
                shutil.rmtree(folder / name)

    def old_directory(self):
        """A stopped cluster of the same identity, with WAL that is nowhere else."""
        run("mkdir", "-m", "0700", self.data.parent)
        self.tool("restore", f"--data={self.data}", f"--tablespace={self.tablespace_path}={self.place}")
        self.tool("archive-get", self.segment, self.data / "pg_wal" / self.segment)

    def test_a_directory_is_cleared_only_once_its_control_file_and_wal_are_safely_away(self):
        self.old_directory()

        trace = self.restored_by("--force", relies=CONTROL + r"|/pg_control\.pgcairn-old$|/data\.pgcairn-wal",
                                 removal_relies=r"/restored/(data|fast)/")

        self.assert_published(trace, "pg_control.pgcairn-old$")

    def test_a_directory_moved_aside_is_durably_away(self):
        self.old_directory()

        self.restored_by("--move-aside")


if __name__ == "__main__":
    unittest.main()
