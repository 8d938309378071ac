"""
Days of a cluster with a policy, one in a few seconds (support/days_clock.c): backups several times a
day, two hosts that expire at once, kills at fault points, promotions, a damaged pack, a full disk. After
each day `verify` is good, every instant of the window can be restored, random instants and backups hold
exactly what the oracle says, and what is kept is what the policy says.

    python3 -m support.days DAYS SEED      (scripts/days does that)
"""

import datetime
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import time

from support.cluster import Cluster, ToolTest, make_directory
from support.hook import fault_points
from support.processes import TOOL, USER, attempt, clean_environment, identity, run, wait_for
from support.version import SWITCH_WAL

HERE = pathlib.Path(__file__).resolve().parent
DAY_S = 86400
NS = 10**9
WINDOW_DAYS = 3
POLICY = (f"--keep-window={WINDOW_DAYS}d", "--keep-min=2", "--keep-daily=7", "--keep-weekly=4",
          "--keep-monthly=3", "--grace=1d")
BACKUPS_A_DAY = (1, 2, 3)
# Where a killed run leaves something for others to meet.
POINTS = ("backup.", "manifest.", "pack.", "expire.", "lease.", "known.", "mark.", "posix.")
PROMOTIONS = (0.25, 0.6)  # of all days
DAMAGE, FULL = 0.4, 0.75
KILLED = (-9, 137)


class Clock:
    """The simulated clock of all programs that are started with its environment."""

    def __init__(self, path):
        self.file = open(path, "wb+")
        self.pairs = 0
        self.left_out = 0
        self.file.truncate(8 + 16 * 4000)
        self.environment = {"LD_PRELOAD": self.build(path.parent), "DAYS_CLOCK": path}
        path.chmod(0o644)

    @staticmethod
    def build(folder):
        library = folder / "days_clock.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, HERE / "days_clock.c"], check=True)
        return library

    def leave_out(self, seconds):
        self.left_out += int(seconds * NS)
        self.file.seek(8 + 16 * self.pairs)
        self.file.write(struct.pack("<qq", time.time_ns(), self.left_out))
        self.pairs += 1
        self.file.seek(0)
        self.file.write(struct.pack("<Q", self.pairs))
        self.file.flush()

    def now(self):
        return time.time() + self.left_out / NS


class Days:
    def __init__(self, test, days, seed, tell=print):
        self.test, self.days, self.tell = test, days, tell
        self.random = random.Random(f"days {seed}")
        self.path, self.repo = test.path, test.path / "repo"
        self.path.chmod(0o755)
        self.clock = Clock(self.path / "clock")
        self.rows = self.sum = 0
        self.instants = []  # (time, rows, sum): what was committed until then, and nothing until the next
        self.backups = {}   # id: (rows, sum)
        self.damaged = None
        self.counts = {"backups": 0, "killed": 0, "expired": 0, "restores": 0, "damaged": 0, "full": 0, "promoted": 0}
        self.has_small_disk = self.mount()
        self.cluster = Cluster(make_directory(self.path / "primary"))
        self.cluster.environment = self.clock.environment
        test.addCleanup(self.cluster.destroy)
        self.cluster.create(segment_mb=1, wal_level="replica", archive_mode="on", max_wal_size="8MB", min_wal_size="4MB",
                            archive_command=f"{TOOL} archive-push --repo={self.repo} %p")
        self.tool("init", f"--data={self.cluster.data}")
        self.cluster.start()
        self.cluster.sql("create table steps (n int, day int)")

    # -- the tool, in these days ----------------------------------------------------------------

    def attempt(self, command, *words, host="one", fault=None):
        environment = {**self.clock.environment, "DAYS_HOST": host}
        if fault:
            environment["PGCAIRN_FAULT"] = f"{fault}:crash"
        return attempt(TOOL, command, f"--repo={self.repo}", *words, environment=environment)

    def tool(self, command, *words, expect=0):
        done = self.attempt(command, *words)
        self.check(done.returncode == expect, f"{command} {words}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def check(self, holds, what):
        if not holds:
            listed = self.attempt("list")
            raise AssertionError(f"day {self.day_text()}: {what}\n{listed.stdout}{listed.stderr}")

    def day_text(self):
        return datetime.datetime.fromtimestamp(self.clock.now(), datetime.timezone.utc).isoformat()

    def mount(self):
        if os.getuid() != 0:
            self.repo.mkdir()
            return False
        make_directory(self.repo)
        done = attempt("mount", "-t", "tmpfs", "-o", f"size=2g,mode=0700,uid={USER},gid={USER}", "none", self.repo, user=None)
        if done.returncode == 0:
            self.test.addCleanup(attempt, "umount", "-l", self.repo, user=None)
        return done.returncode == 0

    # -- what goes on ---------------------------------------------------------------------------

    def write(self, day):
        """Some commits; what is there then is one instant, with quiet around it."""
        for _ in range(self.random.randint(1, 3)):
            number = self.random.randint(1, 10**6)
            self.cluster.sql(f"insert into steps values ({number}, {day}); update steps set n = n where day < {day} - 2")
            self.rows, self.sum = self.rows + 1, self.sum + number
        self.clock.leave_out(self.random.randint(60, 600))
        self.instants.append((self.clock.now(), self.rows, self.sum))
        self.clock.leave_out(self.random.randint(60, 600))

    def archive(self):
        """So that an instant is followed by something that says that it is over."""
        self.cluster.sql("create table if not exists after_it (n int); insert into after_it values (1)")
        segment = self.cluster.sql(f"select {SWITCH_WAL}")
        done = self.cluster.data / "pg_wal" / "archive_status" / f"{segment}.done"
        # An archiver that failed three times sleeps for a minute; a reload wakes it.
        wait_for(lambda: done.exists() or not done.with_suffix(".ready").exists() or
                 not self.cluster.sql("select pg_reload_conf()"), f"{segment} archived", pause_s=0.2)

    def backup(self):
        fault = self.random.choice(self.points("backup")) if self.random.random() < 0.2 else None
        words = ("--json", f"--data={self.cluster.data}", f"--conninfo={self.cluster.conninfo()}")
        done = self.attempt("backup", *words, fault=fault)
        if done.returncode in KILLED:
            self.counts["killed"] += 1
            self.clock.leave_out(1200)
            done = self.attempt("backup", *words)
        self.check(done.returncode == 0, f"backup: {done.returncode}\n{done.stdout}{done.stderr}")
        self.backups[json.loads(done.stdout)["backup"]] = (self.rows, self.sum)
        self.counts["backups"] += 1

    def points(self, command):
        own = fault_points(*POINTS)
        return sorted(point for point in own if command == "expire" or not point.startswith("expire."))

    def expire(self):
        """Both hosts at once; one of them may be killed."""
        at_work = []
        for host in ("one", "two"):
            environment = {**self.clock.environment, "DAYS_HOST": host}
            if host == "two" and self.random.random() < 0.5:
                environment["PGCAIRN_FAULT"] = self.random.choice(self.points("expire")) + ":crash"
            at_work.append(subprocess.Popen([TOOL, "expire", f"--repo={self.repo}", *POLICY], stdout=subprocess.PIPE,
                                            stderr=subprocess.STDOUT, text=True, cwd="/",
                                            env=clean_environment(**environment), **identity()))
        for process in at_work:
            said = process.communicate(timeout=300)[0]
            # 5: the other one is at work; 4: nothing goes while a backup is damaged.
            wanted = (0, 5, *KILLED) + ((4,) if self.damaged else ())
            self.check(process.returncode in wanted, f"expire: {process.returncode}\n{said}")
            self.counts["killed"] += process.returncode in KILLED
        self.counts["expired"] += 1

    def promote(self):
        """In place, as a switchover: a standby for a moment, then a timeline of its own."""
        self.archive()
        self.cluster.stop()
        (self.cluster.data / "standby.signal").touch()
        shutil.chown(self.cluster.data / "standby.signal", USER, USER) if USER else None
        self.cluster.start()
        self.cluster.sql("select pg_promote()")
        self.cluster.wait_until("select not pg_is_in_recovery()")
        self.counts["promoted"] += 1

    def damage(self):
        """A bit of a pack that some backup needs; the next backup must not lean on it."""
        packs = sorted(path for path in (self.repo / "main" / "pack").rglob("*") if path.is_file())
        pack = self.random.choice(packs)
        content = bytearray(pack.read_bytes())
        content[self.random.randrange(len(content) // 4, len(content) // 2)] ^= 16
        pack.chmod(0o600)
        pack.write_bytes(content)
        self.damaged = pack
        done = self.attempt("verify")
        self.check(done.returncode == 8, f"verify of a damaged pack: {done.returncode}\n{done.stdout}")
        self.counts["damaged"] += 1

    def mend(self):
        """A day later: the backups that need it are given up, one by one; the rest is good."""
        for row in self.listed()["backups"]:
            if row["state"] == "damaged":
                self.tool("remove", row["backup"])
                self.backups.pop(row["backup"], None)
        for _ in range(3):
            self.clock.leave_out(1.1 * DAY_S)
            self.backup()
            self.expire()
        self.damaged = None

    def fill_disk(self):
        """Archiving stops, room is made, archiving goes on: nothing was lost."""
        used = int(run("du", "-sk", self.repo, user=None).split()[0])
        run("mount", "-o", f"remount,size={used + 8}k", self.repo, user=None)
        self.write(0)
        self.cluster.sql(f"insert into after_it select 1 from generate_series(1, 50000); select {SWITCH_WAL}")
        done = self.attempt("backup", "--full", f"--data={self.cluster.data}", f"--conninfo={self.cluster.conninfo()}")
        self.check(done.returncode == 14, f"backup on a full disk: {done.returncode}\n{done.stderr}")
        done = self.attempt("expire", *POLICY[:-1], "--now", "--grace=0s", "--yes")
        self.check(done.returncode == 0, f"expire on a full disk: {done.returncode}\n{done.stdout}{done.stderr}")
        run("mount", "-o", "remount,size=2g", self.repo, user=None)
        self.archive()
        self.counts["full"] += 1

    # -- what must hold -------------------------------------------------------------------------

    def listed(self):
        done = self.attempt("list", "--json")
        # 8: it names a backup that is damaged.
        self.check(done.returncode in ((0, 3, 8) if self.damaged else (0, 3)), f"list: {done.returncode}\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def look(self):
        """verify, the window, what is kept."""
        said = self.tool("verify")
        self.check("All of it is good" in said, said)
        listed = self.listed()
        windows = [(window["from_time"], window["until_time"]) for window in listed["windows"]]
        windows = [tuple(datetime.datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp() for at in each)
                   for each in windows if None not in each]
        inside = [each for each in self.instants if any(begin <= each[0] <= end for begin, end in windows)]
        for each in self.instants[:-1]:
            begun = min((begin for begin, _ in windows), default=0)
            if each[0] > max(self.clock.now() - WINDOW_DAYS * DAY_S, self.instants[0][0]) and each[0] > begun:
                self.check(each in inside, f"instant {each} is not in {windows}")
        there = [row["backup"] for row in listed["backups"]]
        going = {row["backup"] for row in listed["keeping"] if row["goes_time"]}
        self.check_kept([backup for backup in there if backup not in going])
        return inside, there

    def check_kept(self, kept):
        """The last two, one of each of the last seven days that had one, and no more than the rules allow."""
        mine = sorted(self.backups)
        self.check(set(mine[-2:]) <= set(kept), f"the last two of {mine[-4:]} are not among {kept}")
        days = {}
        for backup in mine:
            days.setdefault(backup[:8], backup)
        for day in sorted(days)[-7:]:
            self.check(any(backup[:8] == day for backup in kept), f"nothing of {day} is kept: {kept}")
        most = (WINDOW_DAYS + 2) * max(BACKUPS_A_DAY) + 2 + 7 + 4 + 3 + 2
        self.check(len(kept) <= most, f"{len(kept)} backups are kept, {most} at most by the policy: {kept}")

    def content_of(self, *words):
        """Rows and sum of what is restored by these words."""
        copy = Cluster(make_directory(self.path / "copy"), socket=self.cluster.socket, port=5433)
        copy.environment = self.clock.environment
        try:
            done = attempt(TOOL, "restore", f"--repo={self.repo}", f"--data={copy.data}", "--as-copy", "--start", *words,
                           environment={**self.clock.environment, "PGPORT": 5433, "PGCAIRN_CHECKS": "none"})
            self.check(done.returncode == 0, f"restore {words}: {done.returncode}\n{done.stdout}{done.stderr}")
            return tuple(int(value) for value in
                         copy.sql("select count(*), coalesce(sum(n), 0) from steps").split("|"))
        finally:
            copy.destroy()
            shutil.rmtree(copy.path)

    def restore_some(self, inside, there):
        if inside:
            at, *wanted = self.random.choice(inside)
            text = datetime.datetime.fromtimestamp(at, datetime.timezone.utc).isoformat()
            found = self.content_of(f"--target-time={text}")
            self.check(found == tuple(wanted), f"at {text} there were {wanted}, restored are {found}")
            self.counts["restores"] += 1
        backup = self.random.choice([each for each in there if each in self.backups])
        found = self.content_of(f"--backup={backup}", "--target=immediate")
        self.check(found == self.backups[backup], f"backup {backup} has {self.backups[backup]}, restored are {found}")
        self.counts["restores"] += 1

    # -- days -----------------------------------------------------------------------------------

    def day(self, number):
        began = self.clock.now()
        count = self.random.choice(BACKUPS_A_DAY)
        for _ in range(count):
            self.write(number)
            self.archive()
            self.backup()
            self.clock.leave_out(DAY_S / count - 3600)
        if number in [int(self.days * part) for part in PROMOTIONS]:
            self.promote()
        if self.damaged:
            self.mend()
        if number == int(self.days * DAMAGE):
            self.damage()
            self.backup()
        if number == int(self.days * FULL) and self.has_small_disk:
            self.fill_disk()
        self.write(number)
        self.archive()
        self.expire()
        rest = began + DAY_S - self.clock.now()
        if rest > 0:
            self.clock.leave_out(rest)

    def go(self):
        for number in range(1, self.days + 1):
            self.day(number)
            if self.damaged:
                continue
            inside, there = self.look()
            self.restore_some(inside, there)
            size = int(run("du", "-sk", self.repo, user=None).split()[0])
            wal = len(list((self.repo / "main" / "wal").rglob("*.wal")))
            self.tell(f"day {number}: {self.day_text()[:16]} {len(there)} backups, {wal} segments, {size} KiB, "
                      f"{len(inside)} of {len(self.instants)} instants in reach", flush=True)
        self.tell(", ".join(f"{name} {count}" for name, count in self.counts.items()), flush=True)


class World(ToolTest):
    def runTest(self):
        pass


def main():
    seed = sys.argv[2] if len(sys.argv) > 2 else str(random.randrange(10**6))
    world = World()
    world.setUp()
    print(f"seed {seed}", flush=True)
    try:
        Days(world, int(sys.argv[1]), seed).go()
    finally:
        world.doCleanups()


if __name__ == "__main__":
    main()
