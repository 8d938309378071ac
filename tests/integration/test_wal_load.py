"""
WAL under load: every program that carries it is killed at every fault point while clients commit
(support/kills.py); scripts/soak does it for longer.
"""

import os
import unittest

from support.hook import fault_points
from support.kills import MODULE, Round, Settings
from support.version import MAJOR


class Killed(unittest.TestCase):
    seed = os.environ.get("PGCAIRN_SEED") or "20261122"

    def round(self, **how):
        one = Round(self.seed, Settings(self.seed, segment_mb=1, rate=50, hits=(1, 1, 2), **how), print)
        self.addCleanup(one.doCleanups)
        one.setUp()
        one.run_round()
        print(one.summary())


class Command(Killed):
    def test_killed_everywhere_nothing_is_lost(self):
        self.assertGreater(len(fault_points("push.", "get.", "receive.", "piece.")), 12)
        self.round(library=False, push_ahead=3, receive="asynchronous", spool=False)


@unittest.skipIf(MAJOR < 15 or MODULE is None, "there is no archive_library")
class Library(Killed):
    def test_killed_everywhere_nothing_is_lost(self):
        self.round(library=True, push_ahead=8, receive="synchronous", spool=True, fill_spool=False)


if __name__ == "__main__":
    unittest.main()
