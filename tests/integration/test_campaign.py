"""
A short random campaign (support/campaign.py): PGCAIRN_SEED and PGCAIRN_CAMPAIGN_RESTORES choose. The
steps are the same each time, so that a failure here is one of this version; scripts/campaign takes
others each time, and draws the second histories of which two are told here.
"""

import os
import unittest

from support.campaign import Campaign, World


class RandomCampaign(unittest.TestCase):
    def test_every_restore_holds_exactly_the_commits_that_belong(self):
        seed = os.environ.get("PGCAIRN_SEED") or "20261122"
        world = World(seed, segment_mb=1, library=False, events=0)
        self.addCleanup(world.doCleanups)
        world.setUp()
        wanted = int(os.environ.get("PGCAIRN_CAMPAIGN_RESTORES", "20"))
        campaign = Campaign(world, seed, wanted)
        campaign.events = [None, "over itself", None, None, "clone"]
        campaign.run()
        print(campaign.summary())
        self.assertEqual(sum(campaign.restored.values()), wanted)
        self.assertTrue(campaign.refused, "no target was refused")
        self.assertTrue(wanted < 20 or not campaign.events, "too few rounds for the second histories")
