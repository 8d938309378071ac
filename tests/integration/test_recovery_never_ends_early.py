"""
Law 7 on a real server: whatever is wrong with the archive, a recovering server stops and does not
open without work that was committed; once the archive is whole again, the same recovery goes on.
"""

import unittest

from support.archive import archived, changed, flip, object_of, put
from support.cluster import ArchiveTest, ManualRecovery
from support.oracle import Oracle, assert_content, check_structure
from support.processes import TOOL


class RecoveryNeverEndsEarly(ArchiveTest):
    @classmethod
    def build(cls, world):
        world.cluster.sql("create table filler (number int, payload text)")
        cls.oracle = Oracle(world.cluster, world.path / "commits")
        cls.base = ManualRecovery(world, world.cluster)
        with cls.oracle:
            for _ in range(8):
                cls.oracle.wait_commits(20)
                world.cluster.fill_segment()
        world.cluster.switch_wal()
        world.cluster.stop()
        cls.segments = [name for name in archived(world.repo) if len(name) == 24]
        cls.victim = cls.segments[len(cls.segments) // 2]

    def recovery(self, name="copy", restore_command=None, **settings):
        return self.base.cluster(name, restore_command or
                                 self.restore_command("--hole-wait=200ms", "--retries=1"),
                                 test=self, **settings)

    def assert_opens_with_all(self, copy):
        copy.start()
        copy.wait_until("select not pg_is_in_recovery()")
        assert_content(copy, self.oracle.numbers())
        check_structure(copy)

    def assert_stops(self, copy, reason):
        """The server ended by itself, said why, and was never open."""
        copy.log.unlink(missing_ok=True)
        copy.spawn()
        self.assertNotEqual(copy.wait_exit(), 0)
        log = copy.log.read_text(encoding="utf-8", errors="replace")
        self.assertRegex(log, reason)
        self.assertRegex(log, f"restored log file \"{self.segments[0][:16]}")
        self.assertNotIn("archive recovery complete", log)
        self.assertNotIn("selected new timeline", log)
        self.assertEqual(copy.control()["Database cluster state"], "in archive recovery")
        self.assertTrue((copy.data / "recovery.signal").exists())

    def test_a_whole_archive_opens_with_every_commit(self):
        self.assert_opens_with_all(self.recovery())

    def test_a_hole_stops_until_it_is_filled(self):
        copy = self.recovery()
        stored = object_of(self.repo, self.victim)
        with changed(stored):
            stored.unlink()
            self.assert_stops(copy, f"hole in the archive(.|\n)*{self.victim}")
            self.assert_stops(copy, "hole in the archive")
        self.assert_opens_with_all(copy)

    def test_damage_stops_until_it_is_repaired(self):
        copy = self.recovery()
        stored = object_of(self.repo, self.victim)
        with changed(stored):
            flip(stored, 1000)
            self.assert_stops(copy, f"{self.victim}")
        self.assert_opens_with_all(copy)

    def test_damage_of_the_last_segment_stops(self):
        copy = self.recovery()
        stored = object_of(self.repo, self.segments[-1])
        with changed(stored):
            flip(stored, 100)
            self.assert_stops(copy, self.segments[-1])
        self.assert_opens_with_all(copy)

    def test_an_outage_in_the_middle_stops_until_it_is_over(self):
        outage = put(self.path / "outage", b"")
        script = put(self.path / "restore.sh", f"""#!/bin/sh
repo={self.repo}
[ "$1" = {self.victim} ] && [ -e {outage} ] && repo=/nonexistent
exec {TOOL} archive-get --repo=$repo --retries=1 "$1" "$2"
""".encode())
        copy = self.recovery(restore_command=f"sh {script} %f %p")
        self.assert_stops(copy, "nonexistent")
        outage.unlink()
        self.assert_opens_with_all(copy)

    def test_a_repository_that_goes_away_stops(self):
        copy = self.recovery()
        away = self.path / "away"
        self.repo.rename(away)
        copy.spawn()
        self.assertNotEqual(copy.wait_exit(), 0)
        self.assertNotIn("archive recovery complete", copy.log.read_text(encoding="utf-8"))
        away.rename(self.repo)
        self.assert_opens_with_all(copy)

    def test_a_standby_is_not_stopped(self):
        copy = self.base.cluster("standby",
                                 self.restore_command("--hole-wait=200ms", "--retries=0"),
                                 test=self, signal_file="standby.signal",
                                 wal_retrieve_retry_interval="200ms")
        stored = object_of(self.repo, self.victim)
        with changed(stored):
            stored.unlink()
            copy.start()
            copy.wait_until("select pg_is_in_recovery()")
            before = copy.sql("select count(*) from oracle")
            self.assertLess(int(before), len(self.oracle.numbers()))
            self.assertIsNone(copy.process.poll())
        copy.wait_until(f"select count(*) = {len(self.oracle.numbers())} from oracle")
        self.assertEqual(copy.sql("select pg_is_in_recovery()"), "t")

    def test_a_missing_timeline_stops_before_its_parents_branch_is_taken(self):
        """Timeline 2 left timeline 1 early; its first segment is missing, its history is there."""
        middle = self.oracle.commits[len(self.oracle.commits) // 3]
        second = self.recovery("second", archive_mode="on", wal_keep_size="64MB",
                               archive_command=self.archive_command(),
                               recovery_target_xid=middle.xid, recovery_target_action="promote")
        second.start()
        second.wait_until("select not pg_is_in_recovery()")
        second.sql("insert into oracle select n, repeat(md5(n::text), 10) "
                   "from generate_series(900001, 900100) n")
        second.fill_segment()
        second.fill_segment()
        expected = {int(line) for line in second.sql("select number from oracle").split()}
        self.assertLess(len(expected) - 100, len(self.oracle.numbers()))
        second.stop()
        child = [name for name in archived(self.repo) if name[:8] == "00000002" and len(name) == 24]

        for what, missing in {"first": child[:1], "all": child}.items():
            with self.subTest(missing=what):
                copy = self.recovery(f"third-{what}", recovery_target_timeline="2")
                with changed(*(object_of(self.repo, name) for name in missing)):
                    for name in missing:
                        object_of(self.repo, name).unlink()
                    self.assert_stops(copy, child[0])
                copy.start()
                copy.wait_until("select not pg_is_in_recovery()")
                assert_content(copy, expected)
                copy.stop()

    def test_a_missing_history_does_not_reuse_its_timeline(self):
        """A recovery that may not see 00000002.history would become a second timeline 2."""
        second = self.recovery("second", archive_mode="on", archive_command=self.archive_command())
        second.start()
        second.wait_until("select not pg_is_in_recovery()")
        second.fill_segment()
        second.stop()
        history = object_of(self.repo, "00000002.history")
        copy = self.recovery("third", recovery_target_timeline="1")
        with changed(history):
            history.unlink()
            copy.spawn()
            self.assertNotEqual(copy.wait_exit(), 0)
            log = copy.log.read_text(encoding="utf-8", errors="replace")
            self.assertRegex(log, "history is missing")
            self.assertNotIn("archive recovery complete", log)
        self.assert_opens_with_all(copy)
        self.assertEqual(copy.sql("select timeline_id from pg_control_checkpoint()"), "3")


if __name__ == "__main__":
    unittest.main()
