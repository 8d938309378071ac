"""
A few days of a cluster with a policy (support/days.py); PGCAIRN_DAYS and PGCAIRN_SEED choose, scripts/days
does sixty. The steps are the same each time, so that a failure here is one of this version.
"""

import os

from support.cluster import ToolTest
from support.days import Days


class FewDays(ToolTest):
    def test_every_kept_instant_is_restored_and_no_more_is_kept_than_the_policy_says(self):
        days = Days(self, int(os.environ.get("PGCAIRN_DAYS", "5")), os.environ.get("PGCAIRN_SEED") or "20261122",
                    tell=lambda *what, **how: None)
        days.go()
        for what in ("backups", "expired", "restores", "damaged", "promoted"):
            self.assertTrue(days.counts[what], f"{what}: {days.counts}")
        self.assertTrue(days.counts["full"] or not days.has_small_disk, str(days.counts))
