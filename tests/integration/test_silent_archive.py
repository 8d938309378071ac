"""What can happen to an archive: a plain cp lets the server open the database, pgcairn does not."""

from support.pair import PairTest
from support.shared import server_log


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

        # Its trailer is good, and that is all that the plan of a restore reads; then comes the check.
        words = f"(damaged|bad checksum).*\n.*{self.victim}"
        refused = self.restore("--start", "--as-copy", expect=8, name="refused")
        self.assertRegex(refused.said, words)
        self.assertFalse((refused.data / "global" / "pg_control").exists())
        stopped = self.restore("--start", "--as-copy", "--no-wal-check", expect=13, name="stopped")
        self.assertRegex(stopped.said, "stopped the recovery on purpose")
        self.assertRegex(server_log(stopped), words)
        self.assert_never_opened(stopped)
        self.assert_stops(by_pgcairn, words)
        heal()
        self.assert_whole(by_pgcairn)


class Outage(PairTest):
    """The archive goes away while the server recovers: the moment it asks for the victim."""

    def test_the_archive_goes_away(self):
        outage = self.path / "outage"
        outage.touch()

        def gone(archive):
            return f"if [ %f = {self.victim} ] && [ -e {outage} ]; then mv {archive} {archive}-away; fi; "

        by_cp = self.by_cp(f"{gone(self.plain)} cp {self.plain}/%f %p")
        self.assert_opens(by_cp, f"cp: cannot stat '.*{self.victim}'", "archive recovery complete")
        self.assert_harm(by_cp, missing=True)
        by_cp.stop()

        by_pgcairn = self.restored_before(gone(self.repo), "--retries=1")
        self.assert_stops(by_pgcairn, "pgcairn: error: (.|\n)*could not restore file")
        self.assert_refused(7, ".")
        outage.unlink()
        self.repo.with_name("repo-away").rename(self.repo)
        self.assert_whole(by_pgcairn)

    def test_a_short_outage_is_waited_for(self):
        """By cp it is as bad as a long one."""
        plain, away = self.plain, self.path / "away"
        by_cp = self.by_cp(f"if [ %f = {self.victim} ]; then mv {plain} {away}; cp {plain}/%f %p; "
                           f"mv {away} {plain}; exit 1; fi; cp {plain}/%f %p")
        self.assert_opens(by_cp, f"cp: cannot stat '.*{self.victim}'", "archive recovery complete")
        self.assert_harm(by_cp, missing=True)
        by_cp.stop()

        # Until the tool has met it, as its log says.
        log = self.path / "by-pgcairn" / "server.log"
        back = (f"while [ -e {away} ] && ! grep -q \"trying again\" {log}; do sleep 0.1; done; "
                f"sleep 0.3; mv {away} {self.repo}")
        by_pgcairn = self.restored_before(
            f"if [ %f = {self.victim} ]; then mv {self.repo} {away}; ({back}) & fi; ",
            "--retries=20 --log-level=debug")
        self.assertEqual(by_pgcairn.log, log)
        self.assert_whole(by_pgcairn)
        self.assertRegex(log.read_text(encoding="utf-8"), "trying again")
        self.assertRegex(log.read_text(encoding="utf-8"), f'restored log file "{self.victim}"')
