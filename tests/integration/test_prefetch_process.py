"""The process that fetches ahead: what it holds, how it ends, killed and failing everywhere."""

import os
import pathlib
import shutil
import signal

from support.archive import ABSENT, content_of, object_of, put
from support.prefetch import FETCHED, POINTS, TAKEN, PrefetchTest, fetchers
from support.processes import is_alive, state_and_parent, wait_for


class Process(PrefetchTest):
    """The process that fetches: whoever ends it, and whenever, nobody is the worse for it."""

    def stopped(self, point="prefetch.before-publish", name=None):
        """A request, and its process stopped at a point; gives its id."""
        self.assert_given(name or self.segments[0], fault=f"{point}:stop", how=FETCHED)
        pid = wait_for(lambda: fetchers(self.spool()), "a process that fetches")[0]
        wait_for(lambda: state_and_parent(pid)[0] == "T", f"stop of process {pid}")
        self.addCleanup(lambda: is_alive(pid) and os.kill(pid, signal.SIGKILL))
        return pid

    def assert_ends(self, pid):
        wait_for(lambda: not is_alive(pid), f"end of process {pid}")

    def test_killed_anywhere_it_leaves_nothing_that_counts(self):
        for point in POINTS:
            for count in (1, 2, 3):
                with self.subTest(point=point, count=count):
                    shutil.rmtree(self.spool(), ignore_errors=True)
                    self.assert_given(self.segments[0], fault=f"{point}:crash:{count}", how=FETCHED)
                    self.settled()
                    for path in self.spool().glob("0*"):
                        self.assertEqual(path.read_bytes(), content_of(object_of(self.repo, path.name[:24])))
                    for name in self.segments[1:4]:
                        self.assert_given(name)
                        self.settled()
                    self.ready()

    def test_what_fails_is_of_no_consequence(self):
        for point in POINTS:
            with self.subTest(point=point):
                shutil.rmtree(self.spool(), ignore_errors=True)
                self.assert_given(self.segments[0], fault=f"{point}:fail", how=FETCHED)
                self.ready()
                self.assert_given(self.segments[1])
                self.settled()

    def test_a_request_killed_or_failing_at_its_hand_over(self):
        for point in ("prefetch.before-take", TAKEN):
            self.settled()  # who fetches into what is being removed would remove what comes next
            shutil.rmtree(self.spool(), ignore_errors=True)
            self.fill()
            name = self.segments[1]
            environment = {"PGCAIRN_FAULT": f"{point}:crash"}
            done = self.attempt("archive-get", name, "pg_wal/RECOVERYXLOG", cwd=self.data,
                                environment=environment)
            self.assertEqual(done.returncode, -signal.SIGKILL)
            self.assert_given(name)
            self.settled()
            self.assert_given(self.segments[2], fault=f"{point}:fail")
            self.assertIn(FETCHED, self.how)

    def test_it_holds_nothing_that_anybody_waits_for(self):
        pid = self.stopped()  # which has read all that the request said, to its end
        links = {os.readlink(link) for link in pathlib.Path(f"/proc/{pid}/fd").iterdir()}
        self.assertLessEqual({str(self.spool()), str(self.spool() / "state"), "/dev/null"}, links)
        # The log of fault points is the test's, opened for a moment by each thread that passes one; in /proc
        # it looks, for a moment too, whether somebody lives.
        allowed = ("/dev/null", "/proc/", str(self.spool()), str(self.repo), str(self.path / "passed"),
                   "anon_inode:")
        self.assertEqual([link for link in links if not link.startswith(allowed)], [])
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        self.assertEqual(int(fields[2]), os.getpgrp())
        self.assertGreater(int(fields[16]), os.nice(0))

    def test_sigterm_ends_it(self):
        for number in (signal.SIGTERM, signal.SIGQUIT):
            with self.subTest(signal=number):
                shutil.rmtree(self.spool(), ignore_errors=True)
                pid = self.stopped()
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)
                self.assert_ends(pid)
                self.settled()  # its first thread can be gone while the others still end
                self.fill()
                self.ready()

    def test_one_is_enough(self):
        pid = self.stopped()
        for name in self.segments[1:4]:
            self.assert_given(name, how=FETCHED)
            self.assertEqual(fetchers(self.spool()), [pid])
        os.kill(pid, signal.SIGCONT)
        self.settled()
        # It went on behind the requests that were made meanwhile.
        ready = self.ready()
        self.assertEqual(ready, self.segments[4:4 + len(ready)])
        self.assertTrue(ready)

    def test_a_directory_removed_under_it_stays_so(self):
        for point in POINTS:
            with self.subTest(point=point):
                pid = self.stopped(point)
                self.assertEqual(self.get("00000002.history", target="pg_wal/RECOVERYHISTORY"), ABSENT)
                self.assertFalse(self.spool().exists())
                os.kill(pid, signal.SIGCONT)
                self.assert_ends(pid)
                self.assertFalse(self.spool().exists())

    def test_the_repository_exchanged_before_it_begins(self):
        other = self.path / "other"
        self.tool("init", f"--data={self.cluster.data}", repo=other)
        for name in self.segments[1:4]:
            self.tool("archive-push", put(self.path / name, content_of(object_of(self.repo, name))),
                      repo=other)
        away = self.path / "away"
        pid = self.stopped("prefetch.begin")
        self.repo.rename(away)
        other.rename(self.repo)
        os.kill(pid, signal.SIGCONT)
        self.assert_ends(pid)
        self.assertEqual(self.ready(), [])
