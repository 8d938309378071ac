"""
`status` under load while the repository fails in every way there is (support/soak.py); scripts/soak
does it for minutes, at random.
"""

import os
import unittest

from support.soak import Soak


class ShortSoak(unittest.TestCase):
    def test_the_exposure_is_right_throughout_and_nothing_is_lost(self):
        self.soak = Soak(os.environ.get("PGCAIRN_SEED") or "20261122", rpo_s=4, rate=100, pause_s=0.3,
                         frozen=False, tell=print)
        self.addCleanup(self.soak.doCleanups)
        self.soak.setUp()
        self.soak.run_soak(self.story)
        print(self.soak.summary())
        self.assertGreater(self.soak.decided(), 5, "the outside knows too little")

    def story(self):
        """Each fault lasts until `status` has said what there is to be said of it."""
        for name in self.soak.faults.names():
            with self.soak.faults.fault(name):
                self.soak.happened[name] += 1
                if name in ("away", "unreadable"):
                    self.soak.wait_answer(lambda answer: answer["status"] == "UNKNOWN", name)
                elif name == "slow":
                    self.soak.wait_answer(lambda answer: True, name)
                else:
                    self.soak.wait_answer(lambda answer: ("exposure", "CRITICAL") in {
                        (finding["topic"], finding["level"]) for finding in answer["findings"]}, name)
            # The archiver comes back within a minute, or with the next segment.
            self.soak.cluster.sql("select pg_switch_wal()")
            self.soak.wait_answer(lambda answer: answer["status"] in ("OK", "WARNING") and
                                  answer["exposure"].get("age_s", 0) < self.soak.rpo_s, f"the end of {name}")


if __name__ == "__main__":
    unittest.main()
