"""What archive-get fetches ahead, seen from outside, and its requests, played by a test."""

import fcntl
import os
import pathlib
import shutil
import signal

from support.archive import content_of, object_of, put
from support.cluster import SegmentsTest, make_directory
from support.processes import wait_for

TAKEN, FETCHED = "prefetch.after-take", "get.after-rename"
POINTS = ("prefetch.before-fetch", "prefetch.before-seal", "prefetch.before-publish",
          "prefetch.after-publish")


def fetchers(spool):
    """Processes that fetch into this directory: by its descriptor, also when it was removed."""
    found = []
    for process in pathlib.Path("/proc").iterdir():
        try:
            if not process.name.isdigit() or (process / "comm").read_text().strip() != "pgcairn-ahead":
                continue
            links = [os.readlink(link) for link in (process / "fd").iterdir()]
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if any(link.removesuffix(" (deleted)") == str(spool) for link in links):
            found.append(int(process.name))
    return found


def is_locked(spool):
    try:
        with open(spool / "state", "rb") as state:
            fcntl.flock(state, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


class PrefetchTest(SegmentsTest):
    """An archive of small segments, and a data directory that recovers from it, played by the test."""

    segments_wanted = 14

    def setUp(self):
        super().setUp()
        self.data = self.recovering(self.data_copy())
        self.addCleanup(self.end_fetchers)

    def recovering(self, data):
        put(data / "recovery.signal", b"")
        shutil.rmtree(data / "pg_wal")
        make_directory(data / "pg_wal")
        return data

    def spool(self, data=None):
        return (data or self.data) / "pg_wal" / "pgcairn.prefetch"

    def end_fetchers(self):
        for pid in fetchers(self.spool()):
            os.kill(pid, signal.SIGKILL)

    def settled(self, data=None):
        """Wait until nobody fetches."""
        spool = self.spool(data)
        wait_for(lambda: not is_locked(spool), f"end of those who fetch into {spool}")

    def ready(self, data=None):
        """What lies ready once nobody fetches: the names of the segments, sorted."""
        self.settled(data)
        spool = self.spool(data)
        names = os.listdir(spool) if spool.exists() else []
        self.assertEqual([name for name in names if name.startswith("fetch-")], [])
        return sorted(name[:24] for name in names if name != "state")

    def sealed(self, name, data=None):
        found = list(self.spool(data).glob(f"{name}.*"))
        self.assertEqual(len(found), 1, f"{name} in {os.listdir(self.spool(data))}")
        return found[0]

    def get(self, name, *options, data=None, target="pg_wal/RECOVERYXLOG", repo=None, fault=None):
        """As the server calls it. Gives the exit status; self.how is how the file came."""
        data = data or self.data
        log = self.path / "passed"
        log.unlink(missing_ok=True)
        environment = {"PGCAIRN_FAULT_LOG": log, **({"PGCAIRN_FAULT": fault} if fault else {})}
        (data / target).unlink(missing_ok=True)
        done = self.attempt("archive-get", "--hole-wait=0s", "--retries=0", *options, name, target,
                            repo=repo, cwd=data, environment=environment)
        self.said = done.stdout + done.stderr
        points = log.read_text(encoding="ascii").split() if log.exists() else []
        self.how = [point for point in points if point in (TAKEN, FETCHED)]
        self.assertEqual((data / target).exists(), done.returncode == 0, self.said)
        return done.returncode

    def assert_given(self, name, *options, how=None, data=None, target="pg_wal/RECOVERYXLOG", **where):
        self.assertEqual(self.get(name, *options, data=data, target=target, **where), 0, self.said)
        self.assertEqual(((data or self.data) / target).read_bytes(),
                         content_of(object_of(self.repo, name)))
        if how is not None:
            self.assertEqual(self.how, [how])

    def fill(self, first=0, *options, data=None, **where):
        """The request for this segment, and the wait for what is fetched behind it."""
        self.assert_given(self.segments[first], *options, how=FETCHED, data=data, **where)
        self.settled(data)
