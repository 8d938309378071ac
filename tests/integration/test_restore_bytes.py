"""
Files of awkward sizes come back byte for byte, with their modes and times: written directly or
through the page cache, on a disk or in memory, by a disk that is slow, refuses or fails.
"""

import os
import pathlib
import random
import re
import shutil
import tempfile

from support.cluster import make_directory
from support.processes import TOOL, USER, attempt
from support.shared import SharedClusterTest

SIZES = [around + off for around in (512, 4096, 8192, 128 << 10, 1 << 20, 3 << 20)
         for off in (-1, 0, 1)] + [0, 1, (64 << 20) + 1]
MODES = (0o600, 0o640, 0o400, 0o644)


def content(size):
    """Every page is another one, and each compresses."""
    return b"".join(b"%08d%08x" % (size, page) * 512 for page in range(size // 8192 + 1))[:size]


def look(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns // 1000)
            for path in sorted(folder.iterdir())}


def takes_direct_writes(folder):
    try:
        os.close(os.open(folder / "direct", os.O_WRONLY | os.O_CREAT | os.O_DIRECT))
    except OSError:
        return False
    (folder / "direct").unlink()
    return True


class Bytes(SharedClusterTest):
    @classmethod
    def set_up_shared(cls, world):
        odd = make_directory(world.cluster.data / "odd")
        for number, size in enumerate(sorted(SIZES)):
            path = odd / f"{size}"
            path.write_bytes(content(size))
            path.chmod(MODES[number % len(MODES)])
            if USER:
                shutil.chown(path, USER, USER)
            os.utime(path, ns=(0, random.Random(size).randrange(10**18, 17 * 10**17)))
        world.cluster.sql("select 1")
        world.tool("backup", f"--data={world.cluster.data}")
        cls.wanted = look(odd)

    def setUp(self):
        super().setUp()
        self.target = self.path / "restored"

    def words(self):
        return ["restore", f"--repo={self.repo}", f"--data={self.target}", "--target=immediate"]

    def assert_as_it_was(self):
        found = look(self.target / "odd")
        self.assertEqual(list(found), list(self.wanted))
        for name, wanted in self.wanted.items():
            with self.subTest(size=name):
                self.assertEqual(len(found[name][0]), len(wanted[0]))
                self.assertTrue(found[name] == wanted, "it differs")

    def injected(self, what, *words):
        """The restore, with something done to its pwrite64 calls; counted for each thread."""
        self.log = self.path / "calls"
        return attempt("strace", "-f", "-qq", "-o", self.log, "-e", "trace=pwrite64", "-e",
                       f"inject=pwrite64:{what}", TOOL, *self.words(), *words)

    def assert_done(self, done):
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(self.log.read_text(), "INJECTED|DELAYED")
        self.assert_as_it_was()

    def test_on_a_disk(self):
        for jobs in (1, 7):
            with self.subTest(jobs=jobs):
                self.target = self.path / f"restored-{jobs}"
                self.tool(*self.words()[:1], *self.words()[2:], f"--jobs={jobs}")
                self.assert_as_it_was()

    def test_in_memory(self):
        shm = pathlib.Path("/dev/shm")
        if not os.access(shm, os.W_OK) or shutil.disk_usage(shm).free < 1 << 30:
            self.skipTest("/dev/shm has no room here")
        folder = pathlib.Path(tempfile.mkdtemp(prefix="pgcairn-", dir=shm))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        if USER:
            shutil.chown(folder, USER, USER)
        self.target = folder / "restored"

        self.tool(*self.words()[:1], *self.words()[2:])

        self.assert_as_it_was()

    def test_a_disk_that_is_slow_is_waited_for(self):
        self.assert_done(self.injected("delay_enter=10000"))

    def test_direct_writes_that_are_refused_after_all_go_through_the_cache(self):
        if not takes_direct_writes(self.path):
            self.skipTest("no direct writes here")
        self.assert_done(self.injected("error=EINVAL:when=1"))

    def test_a_direct_write_that_is_cut_short_is_done_again(self):
        if not takes_direct_writes(self.path):
            self.skipTest("no direct writes here")
        # Never the whole of a direct write: those are multiples of 4096.
        self.assert_done(self.injected("retval=512:when=3"))

    def test_the_very_last_write_that_fails_is_told(self):
        self.injected("delay_enter=1", "--jobs=1")
        calls = re.findall(r"^(\d+) +pwrite64\(", self.log.read_text(), re.M)
        self.assertEqual(len(set(calls)), 1, "one thread writes")
        shutil.rmtree(self.target)

        done = self.injected(f"error=EIO:when={len(calls)}", "--jobs=1")

        self.assertEqual(done.returncode, 14, done.stderr)
        self.assertRegex(done.stderr, r"write .*/odd/\d+: Input/output error")
        self.assertFalse((self.target / "global/pg_control").exists())
        self.assertTrue((self.target / "pgcairn.restore").exists())
        self.tool(*self.words()[:1], *self.words()[2:])
        self.assert_as_it_was()
