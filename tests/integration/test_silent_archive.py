"""What can happen to an archive: a plain cp lets the server open the database, pgcairn does not."""

import threading
import time

from support.pair import PairTest
from support.processes import wait_for


class Damage(PairTest):
    def test_a_segment_is_missing(self):
        by_pgcairn = self.restored_before()
        heal = self.remove(self.victim)

        by_cp = self.by_cp()
        self.assert_opens(by_cp, f"cp: cannot stat '.*{self.victim}'", "archive recovery complete")
        self.assert_harm(by_cp, missing=True)
        by_cp.stop()

        self.assert_refused(8, f"segment {self.victim} is missing")
        self.assert_stops(by_pgcairn, f"hole in the archive(.|\n)*{self.victim}")
        heal()
        self.assert_whole(by_pgcairn)

    def test_two_segments_are_swapped(self):
        by_pgcairn = self.restored_before()
        other = self.segments[self.segments.index(self.victim) + 1]
        self.swap(self.victim, other)

        by_cp = self.by_cp()
        self.assert_opens(by_cp, "unexpected pageaddr", "archive recovery complete")
        self.assert_harm(by_cp, missing=True)
        by_cp.stop()

        self.assert_refused(8, f"WAL is damaged at .*{self.victim}.*holds another WAL file")
        self.assert_stops(by_pgcairn, self.victim)
        self.swap(self.victim, other)
        self.assert_whole(by_pgcairn)

    def test_a_bit_of_a_segment_is_flipped(self):
        by_pgcairn = self.restored_before()
        heal = self.flip(*self.both(self.victim))

        by_cp = self.by_cp()
        self.assert_opens(by_cp, "incorrect resource manager data checksum",
                          "archive recovery complete")
        self.assert_harm(by_cp, missing=True)
        by_cp.stop()

        self.assert_refused(8, f"(damaged|bad checksum)(.|\n)*{self.victim}")
        self.assert_stops(by_pgcairn, f"(damaged|bad checksum).*\n.*{self.victim}")
        heal()
        self.assert_whole(by_pgcairn)


class Outage(PairTest):
    """The archive goes away while the server recovers."""

    def when_asked(self, server, action):
        """Do it in a thread as soon as the server has fetched the segment before the victim."""
        before = self.segments[self.segments.index(self.victim) - 1]

        def wait():
            wait_for(lambda: server.log.exists() and f'restored log file "{before}"' in
                     server.log.read_text(encoding="utf-8", errors="replace"), before, 60, 0.01)
            action()
        thread = threading.Thread(target=wait)
        self.addCleanup(thread.join)
        thread.start()

    def test_the_archive_goes_away(self):
        away = self.path / "away"
        by_cp = self.by_cp(f"sleep 0.2; cp {self.plain}/%f %p")
        self.when_asked(by_cp, lambda: self.plain.rename(away))
        self.assert_opens(by_cp, f"cp: cannot stat '.*{self.victim}'", "archive recovery complete")
        self.assert_harm(by_cp, missing=True)
        by_cp.stop()

        by_pgcairn = self.restored_before("sleep 0.2; ", "--retries=1")
        self.when_asked(by_pgcairn, lambda: self.repo.rename(self.path / "repo-away"))
        self.assert_stops(by_pgcairn, "pgcairn: error: (.|\n)*could not restore file")
        self.assert_refused(7, ".")
        (self.path / "repo-away").rename(self.repo)
        self.assert_whole(by_pgcairn)

    def test_a_short_outage_is_waited_for(self):
        """By cp it is as bad as a long one."""
        def outage(archive):
            away = archive.with_name("away")
            archive.rename(away)
            time.sleep(0.6)
            away.rename(archive)

        by_cp = self.by_cp(f"sleep 0.2; cp {self.plain}/%f %p")
        self.when_asked(by_cp, lambda: outage(self.plain))
        self.assert_opens(by_cp, "archive recovery complete")
        self.assert_harm(by_cp, missing=True)
        by_cp.stop()

        by_pgcairn = self.restored_before("sleep 0.2; ", "--retries=5")
        self.when_asked(by_pgcairn, lambda: outage(self.repo))
        self.assert_whole(by_pgcairn)
        self.assertRegex(by_pgcairn.log.read_text(encoding="utf-8"), f'restored log file "{self.victim}"')
