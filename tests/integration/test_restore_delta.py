"""restore --delta: what is there counts by its content alone, and comes to what a full restore gives."""

import os
import pathlib
import random
import shutil
import signal
import stat
import subprocess
import time
import unittest

from support.processes import TOOL, USER, clean_environment, identity, run
from support.shared import SharedClusterTest

# Runs that are killed at any instant, each over what the one before has left; drawn by PGCAIRN_SEED.
KILLS = int(os.environ.get("PGCAIRN_DELTA_KILLS", "6"))
SEED = int(os.environ.get("PGCAIRN_SEED", "1"))
LARGE = 200 << 10  # more than a frame of a pack
# What a restore writes itself, with the instant or its own place in it.
OWN = ("backup_manifest", "pgcairn.recovery", "postgresql.auto.conf")
# ... or at that instant.
TIMELESS = ("global/pg_control", "backup_label", "recovery.signal")


def tree(data):
    """Everything that a restore brings, tablespaces by their links."""
    found = {}
    for folder, folders, files in os.walk(data, followlinks=False):
        for name in folders + files:
            path = pathlib.Path(folder, name)
            look, below = path.lstat(), str(path.relative_to(data))
            what = [stat.S_IFMT(look.st_mode), stat.S_IMODE(look.st_mode), look.st_uid, look.st_gid]
            if path.is_symlink():
                found[below] = (stat.S_IFLNK,)
                for inner, value in tree(path.resolve()).items():
                    found[f"{below}/{inner}"] = value
                continue
            if path.is_file() and below not in OWN:
                what += [look.st_nlink, below in TIMELESS or look.st_mtime_ns // 1000, path.read_bytes()]
            found[below] = tuple(what)
    return found


class Delta(SharedClusterTest):
    """
    One server, two backups, two timelines: each test begins with a restored directory that it damages.
    """

    @classmethod
    def set_up_shared(cls, world):
        cluster = world.cluster
        cls.place = cluster.tablespace("far")
        cluster.sql("""create table wide as select n, md5(n::text) || repeat('x', 200) as text
                       from generate_series(1, 40000) n;
                       create table far (n int, text text) tablespace far;
                       insert into far select n, repeat(md5(n::text), 10) from generate_series(1, 10000) n;
                       create table gone as select n from generate_series(1, 1000) n""")
        zeros = cluster.data / "base" / "zeros"
        zeros.write_bytes(bytes(30 << 20) + b"middle" + bytes(34 << 20) + b"end")  # of two ranges
        if USER:
            shutil.chown(zeros, USER, USER)
        cls.first = cls.take_backup(world)
        cls.point = cluster.sql("select pg_create_restore_point('one')")
        cluster.sql("""drop table gone; update wide set n = -n where n % 500 = 0; checkpoint;
                       create table fresh as select n, md5(n::text) from generate_series(1, 20000) n;
                       insert into far select n, 'more' from generate_series(1, 50000) n""")
        cls.second = cls.take_backup(world)
        cluster.switch_wal()
        cls.whole = {}

    @classmethod
    def take_backup(cls, world):
        return world.tool_json("backup", f"--data={world.cluster.data}", "--checkpoint=fast")["backup"]

    def setUp(self):
        super().setUp()
        self.data, self.far = self.path / "data", self.path / "far"

    def words(self, backup, data=None, far=None):
        return [f"--data={data or self.data}", f"--tablespace={self.place}={far or self.far}",
                f"--backup={backup}", "--target=immediate"]

    def plain(self, backup):
        self.tool("restore", *self.words(backup))

    def delta(self, backup, *more, **options):
        return self.tool_json("restore", *self.words(backup), "--delta", *more, **options)

    def wanted(self, backup):
        """What a full restore gives."""
        if backup not in self.whole:
            data, far = self.path / f"whole-{backup}", self.path / f"whole-far-{backup}"
            self.tool("restore", *self.words(backup, data, far))
            self.whole[backup] = tree(data)
        return self.whole[backup]

    def assert_whole(self, backup):
        for kept in self.far.glob("PG_*.pgcairn-*"):  # by a --force that was killed: it is for the operator to remove
            shutil.rmtree(kept)
        found, wanted = tree(self.data), self.wanted(backup)
        self.assertEqual(sorted(found), sorted(wanted))
        for path, what in wanted.items():
            self.assertTrue(found[path] == what, f"{path}: {found[path][:6]} and not {what[:6]}")
        self.assertFalse((self.data / "pgcairn.restore").exists())

    def files(self, least=0, below="base"):
        """Relation files, the tablespace's too."""
        return sorted(path for place in (self.data / below, self.far) for path in place.rglob("*")
                      if path.is_file() and path.stat().st_size >= least)

    def damage(self, chance):
        """What an administrator, a disk or a program can do to a directory; gives names to look at."""
        large, small = self.files(LARGE), self.files()
        self.assertGreater(len(large), 3)
        for path in large:
            with open(path, "r+b") as file:
                for _ in range(chance.randrange(4)):
                    file.seek(chance.randrange(path.stat().st_size))
                    file.write(os.urandom(1 + chance.randrange(20000)))
        cut, grown, holed = chance.sample(large, 3)
        os.truncate(cut, chance.randrange(cut.stat().st_size))
        with open(grown, "ab") as file:
            file.write(os.urandom(chance.choice((1, 8192, 100000))))
        with open(holed, "r+b") as file:
            file.truncate(8192)
            file.truncate(holed.stat().st_size + 8192 * 1000)
        one, other = chance.sample(large, 2)
        os.rename(one, self.path / "swap")
        os.rename(other, one)
        os.rename(self.path / "swap", other)
        names = chance.sample(small, 12)
        names[0].unlink()
        names[0].mkdir()
        (names[0] / "inside").write_text("a file made a directory")
        names[1].write_bytes(b"other content")
        names[2].unlink()
        names[2].symlink_to("/etc/passwd")
        names[3].chmod(0o644)
        os.utime(names[4], ns=(0, 10**18))
        names[5].unlink()
        os.mkfifo(names[5])
        os.truncate(names[6], 0)
        second = [self.path / f"second-{path.name}" for path in (names[7], cut)]
        for path, name in zip((names[7], cut), second):
            name.unlink(missing_ok=True)
            os.link(path, name)
        shutil.copy2(names[9], names[8])
        names[10].unlink()
        (self.data / "extra").mkdir()
        (self.data / "extra" / "file").write_text("extra")
        (self.data / "base" / "99999").write_text("extra")
        next(self.far.glob("PG_*")).joinpath("stray").write_text("stray")
        shutil.rmtree(self.data / "pg_multixact")
        (self.data / "pg_multixact").symlink_to("/tmp")
        (self.data / "pg_subtrans").rmdir()
        (self.data / "pg_subtrans").write_text("a directory made a file")
        (self.data / "global").chmod(0o755)
        (self.data / "pg_stat").chmod(0o500)
        (self.data / "standby.signal").touch()
        if USER:
            run("chown", "-R", f"{USER}:", self.data, self.far, user=None)
        self.kept = {path: path.read_bytes() for path in second}

    def assert_second_names_untouched(self):
        for path, content in self.kept.items():
            self.assertTrue(path.read_bytes() == content, path)
            self.assertEqual(path.stat().st_nlink, 1)

    def test_after_any_damage_it_is_what_a_full_restore_gives(self):
        self.plain(self.first)
        for seed in range(3):
            backup = (self.first, self.second)[seed % 2]
            # What the first step has read is kept for the second, or there is no memory to keep it.
            environment = {"PGCAIRN_FAULT": "restore.keep-pages:fail"} if seed == 1 else None
            with self.subTest(seed=seed):
                self.damage(random.Random(seed))
                answer = self.delta(backup, *(["--jobs=3"] if seed else ["--jobs=1"]), environment=environment)
                self.assert_whole(backup)
                self.assert_second_names_untouched()
                self.assertGreater(answer["delta"]["pages_written"], 0)
                self.assertGreater(answer["delta"]["removed"], 5)

    # In the order in which a run passes them.
    POINTS = ("restore.after-marker", "restore.before-rename", "restore.after-rename", "restore.control-away",
              "restore.wal-kept", "restore.before-rebuild", "restore.after-range", "restore.after-file",
              "restore.after-rebuild", "restore.before-control")

    def kill(self, chance, point, words):
        """kill -9 there; says whether the run came so far. What is left is the old directory, or marked."""
        hit = chance.choice((1, 2, 5, 20)) if point in ("restore.after-range", "restore.after-file") else 1
        done = self.attempt("restore", *words, environment={"PGCAIRN_FAULT": f"{point}:crash:{hit}"})
        self.assertIn(done.returncode, (-signal.SIGKILL, 0), done.stderr)
        control = self.data / "global" / "pg_control"
        if done.returncode and point not in ("restore.after-marker", "restore.before-rename"):
            self.assertNotEqual(control.exists(), (self.data / "pgcairn.restore").exists(), point)
        return done.returncode != 0

    def test_a_killed_one_goes_on_and_so_does_a_killed_plain_restore(self):
        chance = random.Random(11)
        killed = self.kill(chance, "restore.after-range", self.words(self.first))
        for backup in (self.second, self.first):
            for point in (*self.POINTS, *chance.sample(self.POINTS, 3), "restore.after-rebuild"):
                killed += self.kill(chance, point, [*self.words(backup), "--delta"])
            answer = self.delta(backup)
            self.assertEqual(answer["found"], "a restore that did not end")
            self.assertGreater(answer["delta"]["files_kept"], 100)
            self.assert_whole(backup)
            self.damage(chance)
        self.assertGreater(killed, 18)

    def kill_after(self, seconds, words):
        """kill -9 after a while; says whether it was still at work."""
        with subprocess.Popen([TOOL, "restore", f"--repo={self.repo}", *map(str, words)], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, cwd="/", env=clean_environment(), **identity()) as process:
            try:
                self.assertEqual(process.wait(seconds), 0, process.stderr.read())
                return False
            except subprocess.TimeoutExpired:
                process.kill()
                return True

    def test_killed_at_any_instant_it_goes_on(self):
        chance = random.Random(SEED)
        self.plain(self.first)
        self.damage(chance)
        begin = time.monotonic()
        self.delta(self.second)
        whole = time.monotonic() - begin
        killed = turn = 0
        while turn < KILLS or killed <= KILLS // 3:
            self.assertLess(turn, 10 * KILLS, "hardly any run was killed")
            turn += 1
            backup = chance.choice((self.first, self.second))
            words = self.words(backup) + (["--delta"] if chance.randrange(4) else ["--force"])
            killed += self.kill_after(chance.random() * whole, words)
            # It is what it was, with pg_control, or says that it is not; or it is kept (--force).
            self.assertTrue(any(list(self.path.glob(f"data*/{name}")) for name in
                                ("global/pg_control", "global/pg_control.pgcairn-old", "pgcairn.restore")),
                            f"seed {SEED}, turn {turn}")
            if chance.randrange(5) == 0:
                self.delta(backup)
                self.assert_whole(backup)
                self.damage(chance)
        self.delta(self.first)
        self.assert_whole(self.first)

    @unittest.skipUnless(USER, "takes root")
    def test_what_can_not_be_removed_is_found_before_anything_is_touched(self):
        self.plain(self.first)
        (self.data / "base" / "of-root").mkdir()
        (self.data / "base" / "of-root" / "file").touch()
        self.tool_fails(4, "belongs to another user", "restore", *self.words(self.first), "--delta")
        self.assertTrue((self.data / "global" / "pg_control").exists())

    def test_where_nothing_differs_nothing_is_written(self):
        self.plain(self.second)
        before = {path: path.stat() for path in [*self.files(), self.data / "backup_manifest"]}
        plan = self.tool_json("restore", *self.words(self.second), "--delta", "--dry-run")
        self.assertEqual(plan["old_directory"], "overwritten")
        answer = self.delta(self.second)
        self.assertEqual((answer["delta"]["pages_written"], answer["moved_to"]), (0, None))
        self.assertGreater(answer["delta"]["pages_compared"], (64 << 20) // 8192)
        self.assertEqual({path: path.stat()[:-3] for path in before},
                         {path: found[:-3] for path, found in before.items()})
        self.assertEqual({path: path.stat().st_ctime_ns for path in before},
                         {path: found.st_ctime_ns for path, found in before.items()})
        self.assert_whole(self.second)
        self.assertLess(answer["written_bytes"], 100000)
        # One that lists something else is written anew.
        with open(self.data / "backup_manifest", "r+b") as file:
            file.seek(1000)
            file.write(b"xxx")
        (self.data / "postgresql.conf").chmod(0o600)
        self.delta(self.second)
        self.assertNotIn(b"xxx", (self.data / "backup_manifest").read_bytes())
