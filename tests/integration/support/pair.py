"""
One story told twice: the same commits, archived by a plain cp and by pgcairn, the same harm done to
both archives. The tests assert that the server, fed by cp, opens without what was committed (or with
what never was), and that with pgcairn it does not.
"""

import re
import shutil

from support.archive import object_of, put
from support.cluster import ClusterTest, ManualRecovery, make_directory
from support.oracle import Oracle, assert_content, difference
from support.processes import USER, run, wait_for
from support.shared import SharedClusterTest, server_log

WAL_NAME = re.compile("[0-9A-F]{24}")
ROW = re.compile(rb"[0-9a-f]{64}")  # what rows are made of: not a header, a CRC or the space behind a record


class TwoArchives(ClusterTest):
    """self.cluster archives into self.repo by pgcairn and into self.plain by cp."""

    segment_mb = 1

    def setUp(self):
        super().setUp()
        make_directory(self.plain)

    @property
    def plain(self):
        return self.path / "plain"

    def archive_command(self):
        return f"cp %p {self.plain}/%f && {super().archive_command()}"


class PairTest(SharedClusterTest):
    """
    Made once for the class: a copy of the data directory by hand (self.base), a backup by pgcairn, and
    commits in several segments behind both; then the server is stopped. Every test has a copy of
    either archive: self.plain and self.repo.
    """

    segments_wanted = 5

    @classmethod
    def setUpClass(cls):
        cls.world = TwoArchives()
        cls.world.settings = cls.settings
        cls.addClassCleanup(cls.world.doCleanups)
        cls.world.setUp()
        cls.set_up_shared(cls.world)

    @classmethod
    def set_up_shared(cls, world):
        cls.take_backups(world)
        with cls.oracle:
            for _ in range(cls.segments_wanted):
                cls.oracle.wait_commits(10)
                world.cluster.fill_segment()
        world.cluster.switch_wal()
        world.cluster.stop()
        cls.segments = cls.names_in(world.plain)
        cls.victim = cls.segments[len(cls.segments) // 2]

    @classmethod
    def take_backups(cls, world):
        world.cluster.sql("create table filler (number int, payload text)")
        cls.oracle = Oracle(world.cluster, world.path / "commits", writers=1)
        cls.base = ManualRecovery(world, world.cluster)
        cls.backup = world.tool_json("backup", f"--data={world.cluster.data}")["backup"]

    @staticmethod
    def names_in(plain):
        return sorted(path.name for path in plain.iterdir() if WAL_NAME.fullmatch(path.name))

    def setUp(self):
        super().setUp()
        self.plain, self.repo = self.path / "plain", self.path / "repo"
        for archive, source in ((self.plain, self.world.plain), (self.repo, self.world.repo)):
            run("cp", "-a", source, archive)

    # -- harm done to both ----------------------------------------------------------------------

    def both(self, name):
        """Where a WAL file is in either archive."""
        return self.plain / name, object_of(self.repo, name)

    def remove(self, *names):
        """Take WAL files out of both archives; gives what brings them back."""
        return self.harm([path for name in names for path in self.both(name)],
                         lambda path, content: path.unlink())

    def flip(self, *paths, at=0.4):
        """Damage one byte of each file; of plain WAL one that is in a row, and nothing else tells."""
        def damage(path, content):
            wrong = bytearray(content)
            place = int(len(wrong) * at)
            if path.parent == self.plain and WAL_NAME.fullmatch(path.name):
                place = (ROW.search(content, place) or ROW.search(content)).start() + 32
            wrong[place] ^= 0x10
            put(path, bytes(wrong))
        return self.harm(paths, damage)

    def swap(self, first, second):
        for one, two in zip(self.both(first), self.both(second)):
            aside = one.with_name("aside")
            one.rename(aside)
            two.rename(one)
            aside.rename(two)

    @staticmethod
    def harm(paths, action):
        good = {path: path.read_bytes() for path in paths}
        for path, content in good.items():
            action(path, content)

        def heal():
            for path, content in good.items():
                put(path, content)
        return heal

    # -- what comes of it -----------------------------------------------------------------------

    def by_cp(self, command=None, name="by-cp", **settings):
        """A server that recovers from the copy made by hand and the archive made by cp."""
        return self.base.cluster(name, command or f"cp {self.plain}/%f %p", test=self, **settings)

    def assert_opens(self, server, *said):
        """The server opened the database, with no more than these words in its log."""
        server.start()
        server.wait_until("select not pg_is_in_recovery()")
        ready = "database system is ready to accept connections"  # written a moment after it is true
        wait_for(lambda: ready in server.log.read_text(encoding="utf-8", errors="replace"), ready)
        log = server.log.read_text(encoding="utf-8", errors="replace")
        for words in said:
            self.assertRegex(log, words)
        self.assertNotRegex(log, "FATAL:  (?!the database system is)|PANIC")

    def assert_harm(self, server, missing=False, foreign=False, must=None):
        """It is open, and the oracle says what is wrong with it."""
        lost, strange = difference(server, self.oracle.numbers() if must is None else must)
        self.assertEqual((bool(lost), bool(strange)), (missing, foreign), (lost, strange))

    def assert_refused(self, expect, message, *options):
        """`restore` says no before it has touched anything."""
        name = f"refused-{len(list(self.path.glob('refused-*')))}"
        said = self.restore("--start", "--as-copy", *options, expect=expect, name=name)
        self.assertRegex(said.said, message)
        self.assertFalse(said.data.exists(), "something was restored")

    def restored_before(self, prefix="", retries="--retries=0"):
        """A restore that was fine: only the server has not been started yet. Its restore_command is
        made less patient than it is, so that tests end, and begins with `prefix`."""
        restored = self.restore("--as-copy", name="by-pgcairn")
        conf = restored.data / "postgresql.auto.conf"
        lines = [line if not line.startswith("restore_command") else
                 line.replace("= '", f"= '{prefix}").replace(
                     " archive-get ", f" archive-get --hole-wait=100ms {retries} ")
                 for line in conf.read_text(encoding="utf-8").splitlines()]
        put(conf, "\n".join([*lines, ""]).encode())
        self.assertIn("--hole-wait=100ms", conf.read_text(encoding="utf-8"))
        return restored

    def assert_stops(self, restored, message):
        """The server ended without opening the database, and its log says why."""
        restored.log.unlink(missing_ok=True)
        restored.spawn()
        self.assertNotEqual(restored.wait_exit(), 0)
        log = restored.log.read_text(encoding="utf-8", errors="replace")
        self.assertRegex(log, message)
        self.assert_never_opened(restored, log)

    def assert_never_opened(self, restored, log=None):
        self.assertIsNone(restored.pid())
        self.assertTrue((restored.data / "recovery.signal").exists())
        for words in ("archive recovery complete", "selected new timeline"):
            self.assertNotIn(words, log or server_log(restored))

    def assert_whole(self, restored, must=None):
        """Started (again), it recovers to the end and holds every commit and nothing else."""
        if restored.pid() is None:
            restored.start()
        restored.wait_until("select not pg_is_in_recovery()")
        assert_content(restored, self.oracle.numbers() if must is None else must)


def copy_directory(source, target):
    """As a careless operator restores: rm -rf, cp -a, and no question asked."""
    for path in target.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    run("cp", "-a", f"{source}/.", target, user=USER)
