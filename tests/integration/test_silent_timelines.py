"""
Two timelines in one archive: the second left the first early, and the first went on. What belongs to
the second is the truth; a plain cp lets the server take the abandoned branch.
"""

import os
import time

from support.archive import object_of, put
from support.pair import PairTest
from test_restore_targets import utc

OWN = range(900001, 900101)  # numbers committed on timeline 2


class Timelines(PairTest):
    segments_wanted = 4

    @classmethod
    def set_up_shared(cls, world):
        super().set_up_shared(world)
        commits = cls.oracle.commits
        fork = commits[len(commits) // 3]
        second = cls.base.cluster(
            "second", f"cp {world.plain}/%f %p", archive_mode="on",
            archive_command=world.archive_command(), recovery_target_xid=fork.xid,
            recovery_target_action="promote").start()
        second.wait_until("select not pg_is_in_recovery()")
        second.sql("insert into oracle select n, repeat(md5(n::text), 10) "
                   f"from generate_series({OWN[0]}, {OWN[-1]}) n")
        for _ in range(2):
            second.fill_segment()
        cls.truth = {int(line) for line in second.sql("select number from oracle").split()}
        second.stop()
        cls.child = [name for name in cls.names_in(world.plain) if name.startswith("00000002")]

    def setUp(self):
        super().setUp()
        self.assertTrue(set(OWN) < self.truth)
        self.assertGreater(len(self.oracle.numbers() - self.truth), 10)
        self.assertGreater(len(self.child), 1)

    def test_undamaged_both_tell_the_truth(self):
        by_cp = self.by_cp()
        self.assert_opens(by_cp)
        self.assert_harm(by_cp, must=self.truth)
        by_cp.stop()
        self.assert_whole(self.restored_before(), self.truth)

    def test_all_segments_of_the_new_timeline_are_missing(self):
        """A promoted server's history is archived at once, its first segment only when it is full."""
        by_pgcairn = self.restored_before()
        heal = self.remove(*self.child)

        by_cp = self.by_cp()
        self.assert_opens(by_cp, 'restored log file "00000002.history"', "archive recovery complete")
        self.assert_harm(by_cp, missing=True, foreign=True, must=self.truth)
        by_cp.stop()

        self.assert_stops(by_pgcairn, f"{self.child[0]}")
        self.assert_refused(8, self.child[0])
        heal()
        self.assert_whole(by_pgcairn, self.truth)

    def test_the_first_segment_of_the_new_timeline_is_missing(self):
        by_pgcairn = self.restored_before()
        heal = self.remove(self.child[0])

        by_cp = self.by_cp()
        self.assert_opens(by_cp, f'restored log file "00000001{self.child[0][8:]}"',
                          "archive recovery complete")
        self.assert_harm(by_cp, missing=True, foreign=True, must=self.truth)
        by_cp.stop()

        self.assert_stops(by_pgcairn, f"{self.child[0]}")
        self.assert_refused(8, self.child[0])
        heal()
        self.assert_whole(by_pgcairn, self.truth)

    def test_the_history_cannot_be_read(self):
        """It is there: permissions, say, after a move to another host."""
        by_pgcairn = self.restored_before()
        histories = self.plain / "00000002.history", object_of(self.repo, "00000002.history")
        for path in histories:
            os.chmod(path, 0)

        by_cp = self.by_cp()
        self.assert_opens(by_cp, "cp: cannot open '.*00000002.history' for reading: Permission denied",
                          "selected new timeline ID: 2")  # which is taken
        self.assert_harm(by_cp, missing=True, foreign=True, must=self.truth)
        by_cp.stop()

        self.assert_stops(by_pgcairn, "00000002.history")
        self.assert_refused(14, "00000002.history")
        for path in histories:
            os.chmod(path, 0o600)
        self.assert_whole(by_pgcairn, self.truth)

    def test_the_history_is_missing_or_damaged(self):
        """Segments of timeline 2 are there, and nothing that says where it left timeline 1."""
        by_pgcairn = self.restored_before()
        heal = self.remove("00000002.history")

        by_cp = self.by_cp()
        self.assert_opens(by_cp, "selected new timeline ID: 2")  # which is taken
        self.assert_harm(by_cp, missing=True, foreign=True, must=self.truth)
        by_cp.stop()

        for what in ("missing", "damaged"):
            with self.subTest(history=what):
                self.assert_stops(by_pgcairn, "pgcairn: error: .*(.|\n)*00000002.history")
                self.assert_refused(8, "00000002.history")
                self.assert_refused(8, "00000002.history", f"--target-time={utc(time.time())}")
                self.tool_fails(8, "timeline 2 is there, and its history is missing", "list")
                older = self.restore("--dry-run", "--target-timeline=1", name=f"plan-{what}")
                self.assertEqual(older.answer["timeline"], 1)  # since it was asked for
                heal()
                heal = self.flip(object_of(self.repo, "00000002.history"))
        heal()
        self.assert_whole(by_pgcairn, self.truth)

    def test_no_backup_leads_to_the_newest_timeline(self):
        """The parent's is not taken instead, unless it is asked for."""
        history = object_of(self.repo, "00000002.history")
        history.unlink()
        self.tool("archive-push", put(self.path / "00000002.history",
                                      b"1\t0/100028\tlong before the backup\n"))
        for name in self.child:
            object_of(self.repo, name).unlink()

        self.assert_refused(6, "no restorable backup leads to timeline 2, the newest")
        for choice in ("--target-timeline=1", f"--backup={self.backup}"):
            plan = self.restore("--dry-run", choice, name=f"plan{choice}")
            self.assertEqual(plan.answer["timeline"], 1)
