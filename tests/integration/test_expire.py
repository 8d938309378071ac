"""
Retention on a real archive: what the policy lets go goes in two phases, killed anywhere it is gone on
with, and what is left can be restored. The rules themselves are tested in tests/unit/retention.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

from support.archive import archived
from support.hook import fault_points
from support.processes import TOOL, clean_environment, identity, run, state_and_parent, wait_for
from support.shared import SharedClusterTest

if os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > 4 << 30:
    tempfile.tempdir = "/dev/shm"

AT_ONCE = ("--now", "--grace=0s", "--yes")


class ExpireTest(SharedClusterTest):
    """Four backups with WAL between them, and a row for each that tells them apart."""

    segment_mb = 1

    @classmethod
    def set_up_shared(cls, world):
        cls.backups = []
        world.cluster.sql("create table steps (n int)")
        for step in range(4):
            world.cluster.sql(f"insert into steps values ({step})")
            taken = world.tool_json("backup", f"--data={world.cluster.data}", f"--conninfo={world.cluster.conninfo()}")
            world.assertFalse(taken["has_policy"])
            cls.backups.append(taken["backup"])
            world.cluster.fill_segment(100)
        world.cluster.switch_wal()

    def setUp(self):
        super().setUp()
        self.repo = self.path / "repo"
        run("cp", "-a", self.world.repo, self.repo)

    def there(self):
        found = {path.parent.name for path in (self.repo / "main" / "backup").glob("*/manifest")}
        return [backup for backup in self.backups if backup in found]

    def objects(self, folder):
        place = self.repo / "main" / folder
        return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())

    def expire(self, *words, expect=0):
        return json.loads(self.tool("expire", *words, "--json", expect=expect))


class Policy(ExpireTest):
    def test_from_no_policy_to_the_last_restore(self):
        before = self.objects("")
        done = self.expire()
        self.assertIn("no policy", done["obstacle"])
        self.assertEqual([n for n in self.objects("") if not n.startswith("journal")],
                         [n for n in before if not n.startswith("journal")])

        # What would be done is told, each backup and all WAL; nothing is changed.
        plan = self.expire("--keep-min=1", "--dry-run")
        self.assertEqual([b["verdict"] for b in plan["backups"]], ["remove"] * 3 + ["keep"])
        self.assertEqual(plan["backups"][3]["rules"], ["minimum", "newest restorable"])
        self.assertEqual(self.objects("condemned"), [])

        # list and status say the same, and when the next one goes where none goes now.
        for answer in (json.loads(self.tool("list", "--json", "--keep-min=1"))["policy"],
                       json.loads(self.attempt("status", "--json", "--keep-min=1").stdout)["space"]["policy"]):
            self.assertEqual((answer["backups"], answer["next"]), (3, self.backups[0]))
            self.assertEqual((answer["backup_bytes"], answer["wal_bytes"]),
                             (plan["backup_bytes"], plan["wal_bytes"]))
        in_nine_days = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 9 * 86400))
        for said in (self.tool("list", "--keep-window=9d"), self.attempt("status", "--keep-window=9d").stdout):
            self.assertIn(f"olicy: {self.backups[0]} goes next, about {in_nine_days}, with a backup every 1 d", said)
        self.assertNotIn("olicy: ", self.tool("list"))

        # First phase: named, and all there.
        self.tool("pin", self.backups[0], "--reason=before the move")
        done = self.expire("--keep-min=1")
        self.assertEqual(done["condemned"]["backups"], self.backups[1:3])
        self.assertEqual(self.there(), self.backups)
        self.assertIsNotNone(done["next_time"])
        keeping = {row["backup"]: row for row in json.loads(self.tool("list", "--json"))["keeping"]}
        self.assertEqual(sorted(keeping), sorted(self.backups[:3]))
        self.assertTrue(keeping[self.backups[0]]["pinned"])
        self.assertIsNotNone(keeping[self.backups[1]]["goes_time"])
        self.assertEqual(self.expire("--keep-min=1")["condemned"]["backups"], [])
        self.tool("verify")

        # Brought back, and by that kept; the other one goes.
        self.tool("expire", f"--spare={self.backups[1]}")
        done = self.expire("--keep-min=1", *AT_ONCE)
        self.assertEqual(done["removed"]["backups"], [self.backups[2]])
        self.assertEqual(self.there(), [self.backups[0], self.backups[1], self.backups[3]])
        self.assertEqual(self.objects("condemned"), [])

        # What was removed is not missing, and the last one can't be removed by hand.
        self.tool("verify")
        self.tool("list")
        self.tool("unpin", self.backups[0])
        self.tool("unpin", self.backups[1])
        self.tool("remove", self.backups[3])
        self.tool("expire", f"--spare={self.backups[3]}")
        self.expire("--keep-min=1", *AT_ONCE)
        self.assertEqual(self.there()[-1], self.backups[3])

    def break_manifest(self, backup):
        manifest = self.repo / "main" / "backup" / backup / "manifest"
        content = bytearray(manifest.read_bytes())
        content[len(content) // 3] ^= 16
        manifest.chmod(0o600)
        manifest.write_bytes(content)

    def test_a_damaged_backup_is_given_up_in_whatever_state_it_was(self):
        # Two, one of which the policy had condemned before it was found to be damaged.
        self.expire("--keep-min=3")
        for backup in self.backups[:2]:
            self.break_manifest(backup)
        self.tool("verify", expect=8)
        self.assertIn("is damaged", self.expire("--keep-min=1", *AT_ONCE, expect=4)["obstacle"])
        for backup in self.backups[:2]:
            done = json.loads(self.tool("remove", backup, "--json"))
            self.assertEqual(done["condemned"]["backups"], [backup])
        # Said again, it says when; and nothing stands in the way of the policy any more.
        self.assertIn("goes with the first run after", self.tool("remove", self.backups[0]))
        self.assertEqual(self.expire("--keep-min=1")["condemned"]["backups"], self.backups[2:3])
        self.assertEqual(self.there(), self.backups)
        self.expire("--keep-min=1", *AT_ONCE)
        self.assertEqual(self.there(), self.backups[3:])
        self.assertEqual(self.objects("condemned"), [])
        self.tool("verify")

    def test_leftovers_go_each_by_its_rule(self):
        wal = next((self.repo / "main" / "wal").glob("*/*[0-9A-F].wal"))
        old, young = wal.with_name(wal.name + ".damaged-0123abcd"), wal.with_name(wal.name + ".damaged-89abcdef")
        entry = self.repo / "main" / "journal" / "20200101T000000.000Z-backup-01234567"
        foreign = self.repo / "main" / "journal" / "README"
        unfinished = [wal.with_name(f"{wal.name}.tmp-{digits}") for digits in ("0" * 16, "1" * 16, "1" * 15)]
        for path in (old, young, entry, foreign, *unfinished):
            path.write_bytes(b"x")
        for path, days in ((old, 40), (wal, 35), (entry, 900), (foreign, 900),
                           (unfinished[0], 2), (unfinished[2], 2)):
            os.utime(path, (time.time() - days * 86400,) * 2)
        for path in (self.repo, *self.repo.rglob("*")):
            os.chown(path, os.stat(self.world.repo).st_uid, -1)
        self.expire("--keep-min=4")
        self.assertEqual([path.exists() for path in (old, young, entry, foreign, wal)],
                         [False, True, False, True, True])
        # Of a run that was killed; one of today may still be written, and of another name is not ours.
        self.assertEqual([path.exists() for path in unfinished], [False, True, True])

    def test_what_is_left_restores_to_its_end(self):
        self.expire("--keep-min=2", *AT_ONCE)
        self.assertEqual(self.there(), self.backups[2:])
        for backup in self.there():
            copy = self.restore(f"--backup={backup}", "--as-copy", "--start", name=backup)
            self.assertEqual(copy.sql("select count(*) from steps"), "4")
            copy.destroy()


class ExpireProcess(ExpireTest):
    def begin(self, fault):
        process = subprocess.Popen(
            [TOOL, "expire", f"--repo={self.repo}", "--keep-min=1", *AT_ONCE], text=True, cwd="/",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=clean_environment(PGCAIRN_FAULT=fault), **identity())
        self.addCleanup(process.kill)
        return process

    def stop_at(self, point, number=1):
        process = self.begin(f"{point}:stop:{number}")
        wait_for(lambda: state_and_parent(process.pid)[0] in "TtZX", f"the stop at {point}")
        return process

    def begin_anew(self):
        shutil.rmtree(self.repo)
        run("cp", "-a", self.world.repo, self.repo)

    def assert_whole(self):
        """Nothing that is kept is broken, whatever is half done."""
        self.assertIn(self.backups[3], self.there())
        listed = json.loads(self.attempt("list", "--json").stdout)["backups"]
        self.assertEqual({backup["state"] for backup in listed}, {"restorable"})
        self.tool("verify")

    def assert_done(self):
        self.expire("--keep-min=1", *AT_ONCE)
        self.assertEqual(self.there(), [self.backups[3]])
        self.assertEqual(self.objects("condemned"), [])
        self.assert_whole()


def expire_points():
    return sorted(point for point in fault_points() if point.startswith("expire.") and point != "expire.after-spare")


class Stopped(ExpireProcess):
    def go_on(self, process):
        process.send_signal(signal.SIGCONT)
        said = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 5, said)
        self.assertIn("it was pinned meanwhile", said[1])

    def test_what_was_spared_or_pinned_meanwhile_stays(self):
        # Between the look at everything and the first removal.
        process = self.stop_at("expire.before-manifest")
        self.tool("pin", self.backups[0])
        self.go_on(process)
        self.assertEqual(self.there(), self.backups)
        # Between the last look and the removal: what was seen holds for ten seconds.
        self.tool("unpin", self.backups[0])
        process = self.stop_at("expire.after-check")
        self.tool("pin", self.backups[0])
        time.sleep(11)
        self.go_on(process)
        self.assertEqual(self.there(), self.backups)

    def test_what_was_removed_is_not_the_end_of_the_wal(self):
        first = self.segments()[0]
        self.expire("--keep-min=1", *AT_ONCE)
        self.assertNotIn(first, self.segments())
        self.assertGreater(len(self.segments()), 1)
        said = self.attempt("archive-get", first, str(self.path / "out"))
        self.assertNotIn(said.returncode, (0, 1))
        self.assertIn("retention has removed it", said.stderr)

    def segments(self):
        return sorted(path.name[:24] for path in (self.repo / "main" / "wal").rglob("*.wal"))


class TwoAtOnce(ExpireProcess):
    """As from two hosts: one takes the other's lease over once that has ended, or its holder is dead."""

    def test_both_killed_at_every_point(self):
        died = 0
        for point in expire_points():
            with self.subTest(point=point):
                self.begin_anew()
                both = [self.begin(f"{point}:crash:{number}") for number in (1, 2)]
                for process in both:
                    said = process.communicate(timeout=60)
                    self.assertIn(process.returncode, (-signal.SIGKILL, 0, 5), said)
                    died += process.returncode == -signal.SIGKILL
                self.assert_whole()
                self.assert_done()
        self.assertGreaterEqual(died, len(expire_points()) - 2)

    def test_one_sleeps_at_every_point_while_the_other_does_it_all(self):
        for point in expire_points():
            with self.subTest(point=point):
                self.begin_anew()
                sleeper = self.stop_at(point)
                self.assertIsNone(sleeper.poll())
                long_ago = time.time() - 660
                for lease in (self.repo / "main" / "lease").iterdir():
                    os.utime(lease, (long_ago, long_ago))
                self.attempt("expire", "--keep-min=1", *AT_ONCE,
                             environment={"PGCAIRN_FAULT": f"{point}:crash:2"})
                self.assert_whole()
                self.assert_done()
                sleeper.send_signal(signal.SIGCONT)
                said = sleeper.communicate(timeout=60)
                self.assertIn(sleeper.returncode, (0, 5), said)
                self.assert_whole()
                self.assert_done()


class Killed(ExpireTest):
    def test_at_every_point_and_gone_on_with(self):
        points = expire_points()
        self.assertGreater(len(points), 7)
        for point in points:
            for number in (1, 2):
                with self.subTest(point=point, number=number):
                    shutil.rmtree(self.repo)
                    run("cp", "-a", self.world.repo, self.repo)
                    done = self.attempt("expire", "--keep-min=1", *AT_ONCE, 
                                        environment={"PGCAIRN_FAULT": f"{point}:crash:{number}"})
                    self.assertIn(done.returncode, (-signal.SIGKILL, 0))
                    self.assertIn(self.backups[3], self.there())
                    listed = json.loads(self.attempt("list", "--json").stdout)["backups"]
                    left = {backup["backup"]: backup["state"] for backup in listed}
                    self.assertEqual(set(left.values()), {"restorable"}, left)
                    self.expire("--keep-min=1", *AT_ONCE)
                    self.assertEqual(self.there(), [self.backups[3]])
                    self.assertEqual(self.objects("condemned"), [])
                    self.tool("verify")
        self.assertGreater(len(archived(self.repo)), 0)
        self.expire_after_a_backup()

    def expire_after_a_backup(self):
        self.repo = self.world.repo
        self.assertIn("No policy says", self.tool("list"))
        # Four backups within a minute say nothing about a day; a part of the WAL that is older does.
        self.assertIsNone(json.loads(self.tool("list", "--json"))["bytes_per_day"])
        first = min((self.repo / "main" / "wal").glob("*/*.wal"))
        os.utime(first, (time.time() - 86400,) * 2)
        grows = "it grows by at least .* a day, and the disk is full in at most"
        self.assertRegex(self.tool("list"), f"No policy says what is kept: nothing is removed; {grows}")
        self.assertGreater(json.loads(self.tool("list", "--json"))["full_in_s"], 0)
        self.assertRegex(self.tool("backup", f"--data={self.cluster.data}", f"--conninfo={self.cluster.conninfo()}"),
                         f"no policy says what is kept, nothing is removed; {grows}")
        said = self.tool("backup", f"--data={self.cluster.data}", f"--conninfo={self.cluster.conninfo()}",
                         "--expire", "--keep-min=1")
        self.assertIn(f"condemned  {len(self.backups) + 1} backups", said)
        self.assertNotIn("nothing is removed", said)
        for command in ("backup", "status"):
            said = self.attempt(command, f"--data={self.cluster.data}", f"--conninfo={self.cluster.conninfo()}").stdout
            self.assertIn("no policy says what is kept", said)
        listed = self.tool("list", "--keep-min=1")
        self.assertNotIn("No policy says", listed)
        for backup in self.backups:
            self.assertIn(f"{backup} goes with the first expire after", listed)
        steps = json.loads(self.tool("expire", "--keep-min=2", "--simulate=30d", "--every=1d", "--json"))["steps"]
        self.assertEqual([step["backups"] for step in steps][-10:], [2] * 10)
