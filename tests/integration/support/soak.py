"""
`status` under load while the repository fails now and then, judged from outside: pg_waldump of the
server's own WAL tells every commit and when it was, the names of the archived files tell which of them
are in the repository. From both follows, for each call, between which bounds the exposure lies.

By archive_command, or, as the seed draws it, by `receive --wal-spool` alone as the synchronous standby:
then its spool fills up during the faults, it is killed and started again in the midst of them, and at
last it and the server are lost at once, while the repository is away. What clients were told is then in
the spool or in the repository.

    python3 -m support.soak [MINUTES] [SEED [archive_command|spool]]      (scripts/soak builds and calls it)
"""

import bisect
import calendar
import collections
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

from support.archive import archived
from support.cluster import ClusterTest, ToolTest, make_directory
from support.hook import Hook
from support.oracle import Oracle, assert_content, check_indexes
from support.processes import BIN, TOOL, USER, attempt, clean_environment, identity, run, wait_for
from support.version import SWITCH_WAL

LEVELS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
LIMIT_S = 600
NAME = "pgcairn_receive"
SLACK_S = 0.02  # times are told to the millisecond
COMMIT = re.compile(r"len \(rec/tot\): *\d+/ *(\d+), tx: +(\d+), lsn: (\w+)/(\w+), .*desc: COMMIT "
                    r"(\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+\.\d+) UTC")

Sample = collections.namedtuple("Sample", "before begun answer ended after")
Committed = collections.namedtuple("Committed", "place end time xid")


class Faults:
    """What can happen to a repository, and how it is mended."""

    def __init__(self, soak):
        self.soak, self.repo = soak, soak.repo
        self.away = soak.repo.with_name("away")
        self.ballast = soak.repo.with_name("ballast")
        self.wal = self.repo / "main" / "wal" / "0000000100000000"

    def names(self):
        found = ["away", "read only", "unreadable"]
        if not self.soak.receives:
            found += ["slow", "hanging"]  # the hook
        if self.soak.mounted:
            found.append("full")
        if self.soak.mounted == "ext4":
            found.append("frozen")
        return found

    @contextlib.contextmanager
    def fault(self, name):
        begin, end = {
            "away": (lambda: self.repo.rename(self.away), lambda: self.away.rename(self.repo)),
            "read only": (lambda: self.wal.chmod(0o500), lambda: self.wal.chmod(0o700)),
            "unreadable": (lambda: self.repo.chmod(0), lambda: self.repo.chmod(0o700)),
            "slow": (lambda: self.soak.push.delay(1), lambda: self.soak.push.delay(0)),
            "hanging": (lambda: self.soak.push.hold(), lambda: self.soak.push.hold(False)),
            "full": (self.fill, lambda: self.ballast.unlink(missing_ok=True)),
            "frozen": (lambda: run("fsfreeze", "-f", self.soak.mount_point, user=None),
                       lambda: run("fsfreeze", "-u", self.soak.mount_point, user=None)),
        }[name]
        begin()
        try:
            yield
        finally:
            end()

    def fill(self):
        """To the last block."""
        size, done = 1 << 30, 0
        with open(self.ballast, "wb") as file:
            while size >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), done, size)
                    done += size
                except OSError:
                    size //= 2


class Soak(ClusterTest):
    """Load, faults and a call of `status` after the other: ClusterTest is used for what it has."""

    segment_mb = 1

    def __init__(self, seed, rpo_s, rate=0, pause_s=1.0, frozen=True, receives=False, tell=lambda line: None):
        super().__init__()
        self.receives, self.receiver, self.is_lost = receives, None, False
        self.random, self.seed = random.Random(f"soak {seed}"), seed
        self.rpo_s, self.rate, self.pause_s, self.tell = rpo_s, rate, pause_s, tell
        self.wants_ext4 = frozen
        self.mounted = None
        self.known_archived = 0
        self.samples, self.happened = [], collections.Counter()
        self.failure, self.stopping = None, threading.Event()

    def say(self, *words):
        self.tell(" ".join([time.strftime("%H:%M:%S", time.gmtime()), *map(str, words)]))

    # -- setting up -----------------------------------------------------------------------------

    def setUp(self):
        ToolTest.setUp(self)
        self.mount()
        self.push = Hook(self.path / "push", spool=make_directory(self.path / "spool"), retries=0)
        archiving = {} if self.receives else {
            "archive_mode": "on", "archive_timeout": "10min",
            "archive_command": f"{self.push} archive-push --repo={self.repo} %p"}
        self.cluster = self.server("primary").create(
            segment_mb=self.segment_mb, wal_level="replica", autovacuum="off", max_wal_senders=10,
            wal_keep_size="64GB", max_wal_size="2GB", **archiving)
        self.tool("init", f"--data={self.cluster.data}")
        self.cluster.start()
        run(BIN / "pgbench", "-i", "-q", "-h", self.cluster.socket, "-p", self.cluster.port, "-U",
            "postgres", "postgres")
        if self.receives:
            self.begin_to_receive()
        self.tool("backup", f"--data={self.cluster.data}")
        self.first_segment = self.next_segment = int(self.cluster.sql(
            "select pg_walfile_name(pg_current_wal_lsn())")[-8:], 16)
        self.faults = Faults(self)

    # -- receive --------------------------------------------------------------------------------

    def begin_to_receive(self):
        self.spool, self.log = self.path / "receive-spool", self.path / "receive.log"
        self.addCleanup(self.end_receiver)
        self.cluster.sql("create table filler (content text)")
        self.start_receiver()
        self.cluster.wait_until("select count(*) > 0 from pg_stat_replication where state = 'streaming'")
        self.cluster.reconfigure(synchronous_standby_names=NAME)

    def start_receiver(self):
        words = [TOOL, "receive", f"--repo={self.repo}", f"--conninfo={self.cluster.conninfo()}",
                 "--interval=200ms", "--synchronous", "--retries=0", f"--wal-spool={self.spool}",
                 "--wal-spool-size=4MiB"]
        with open(self.log, "ab") as log:
            self.receiver = subprocess.Popen(
                list(map(str, words)), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                env=clean_environment(), **identity())

    def end_receiver(self):
        if self.receiver and self.receiver.poll() is None:
            self.receiver.kill()
            self.receiver.wait(LIMIT_S)

    def check_receiver(self):
        ended = self.receiver.poll()
        assert ended is None, f"receive ended: {ended}\n{self.receive_log()}"

    def kill_receiver(self):
        self.check_receiver()
        self.end_receiver()
        self.happened["kill -9 of receive"] += 1
        self.start_receiver()

    def receive_log(self, size=3000):
        return self.log.read_text(encoding="utf-8", errors="replace")[-size:]

    def spooled(self):
        return [path for folder in ("wal", "open") for path in (self.spool / "main" / folder).rglob("*")
                if path.is_file() and ".history" not in path.name]

    def fill_spool(self, until):
        """What this writes does not wait for receive; the clients' commits do, once it is full."""
        since = self.receive_log(1 << 30).count("the spool is full")
        while time.monotonic() < until and self.receive_log(1 << 30).count("the spool is full") == since:
            self.cluster.sql("set synchronous_commit = local; insert into filler select md5(random()::text)"
                             " || md5(random()::text) from generate_series(1, 5000)")

    def lose_host(self):
        """Server and receive at once, while what was acknowledged last is in the spool alone."""
        self.wait_answer(lambda answer: answer["exposure"]["state"] == "none" or
                         answer["exposure"]["age_s"] < self.rpo_s / 4, "room in the spool")
        self.say("the host is lost while the repository is away")
        with self.faults.fault("away"):
            self.oracle.wait_commits(20, LIMIT_S)
            self.stopping.set()
            self.asking.join(LIMIT_S)
            self.check_receiver()
            self.end_receiver()
            self.cluster.crash()
            self.is_lost = True
            self.left = sum(path.stat().st_size for path in self.spooled())
            assert self.left, "the spool is empty"

    def move_spool(self):
        """The repository is back, the server is not."""
        self.start_receiver()

        def is_moved():
            self.check_receiver()
            return not self.spooled()
        wait_for(is_moved, f"an empty spool\n{self.receive_log()}", LIMIT_S)
        self.end_receiver()

    def mount(self):
        """A small file system of its own for the repository, where that can be."""
        self.mount_point = make_directory(self.path / "disk")
        self.repo = self.mount_point / "repo"
        if not USER:
            return
        if self.wants_ext4:
            image = self.path / "image"
            run("truncate", "-s", "6G", image, user=None)
            run("mkfs.ext4", "-q", "-E", "lazy_itable_init=1", image, user=None)
            if attempt("mount", "-o", "loop", image, self.mount_point, user=None).returncode == 0:
                self.mounted = "ext4"
        if not self.mounted and attempt("mount", "-t", "tmpfs", "-o", "size=256m", "none",
                                        self.mount_point, user=None).returncode == 0:
            self.mounted = "tmpfs"
        if self.mounted:
            self.addCleanup(attempt, "umount", "--lazy", self.mount_point, user=None)
            run("chown", USER, self.mount_point, user=None)

    # -- the whole ------------------------------------------------------------------------------

    def run_soak(self, story):
        """story() makes the faults, under load and with `status` asked all the time."""
        with Oracle(self.cluster, self.path / "commits", pause_s=0.01) as self.oracle:
            bench = subprocess.Popen(
                [str(BIN / "pgbench"), "-n", "-c", "2", *(["-R", str(self.rate)] if self.rate else []),
                 "-T", "100000", "-h", str(self.cluster.socket), "-p", str(self.cluster.port), "-U",
                 "postgres", "postgres"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, cwd="/", env=clean_environment(), **identity())
            self.asking = threading.Thread(target=self.ask_on, daemon=True)
            self.asking.start()
            begun = time.monotonic()
            try:
                story()
            except BaseException:
                if self.receives:  # commits would wait for ever
                    self.cluster.crash()
                raise
            finally:
                self.stopping.set()
                self.asking.join(LIMIT_S)
                bench.kill()
                bench.wait(60)
        self.elapsed_s = time.monotonic() - begun
        if self.failure:
            raise self.failure
        if not self.is_lost:
            self.cluster.sql(f"select {SWITCH_WAL}")
            wait_for(lambda: self.ask()[1]["exposure"]["state"] == "none", "everything is archived", LIMIT_S)
        self.read_commits()
        for sample in self.samples:
            try:
                self.check(sample)
            except AssertionError as wrong:
                raise AssertionError(f"{wrong}\n{sample}") from None
        self.compare()

    def compare(self):
        """The host is lost: what was acknowledged is in the repository."""
        if self.is_lost:
            self.move_spool()
        else:
            self.cluster.crash()
        restored = self.restore(port=5437, timeout_s=LIMIT_S)
        restored.reconfigure(synchronous_standby_names="")
        assert_content(restored, self.oracle.numbers(), self.oracle.in_doubt())
        check_indexes(restored)
        self.rows = len(self.oracle.numbers())
        restored.stop("immediate")

    def random_faults(self, seconds):
        """The story of the long runs."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.failure:
            name = self.random.choice(self.faults.names())
            lasts = self.random.uniform(0.2, 1.5) * self.rpo_s
            self.say(f"{name} for {lasts:.0f} s")
            with self.faults.fault(name):
                self.happened[name] += 1
                lasts = min(lasts, max(1, until - time.monotonic()))
                # One that waits for a frozen file system can't be killed.
                if self.receives and name != "frozen" and self.random.random() < 0.6:
                    self.stopping.wait(lasts / 2)
                    self.kill_receiver()
                    lasts /= 2
                if self.receives and name != "frozen" and self.random.random() < 0.4:
                    self.fill_spool(time.monotonic() + lasts)
                self.stopping.wait(lasts)
            self.say("mended")
            if self.random.random() < 0.7:
                self.wait_answer(lambda answer: answer["exposure"]["state"] == "none" or
                                 answer["exposure"]["age_s"] < self.rpo_s / 4, "the archive has caught up")
            self.stopping.wait(self.random.uniform(0, 0.2) * self.rpo_s)
        if self.receives and not self.failure:
            self.lose_host()

    def wait_answer(self, question, what):
        """Until `status` has answered so, from now on."""
        since = len(self.samples)

        def found():
            if self.failure:
                raise self.failure
            return any(question(sample.answer) for sample in self.samples[since:])
        wait_for(found, f"{what}\n{self.samples[-1:]}\n{self.cluster.log_tail()}", LIMIT_S)

    # -- asking ---------------------------------------------------------------------------------

    def ask(self):
        done = self.attempt("status", "--json", f"--data={self.cluster.data}", f"--rpo={self.rpo_s}s",
                            timeout_s=LIMIT_S)
        return done.returncode, json.loads(done.stdout)

    def ask_on(self):
        try:
            while not self.stopping.is_set():
                before, begun = self.archived_to(), time.time()
                status, answer = self.ask()
                ended, after = time.time(), self.archived_to()
                assert answer["status"] == LEVELS[status], (status, answer)
                self.samples.append(Sample(before, begun, answer, ended, after))
                self.stopping.wait(self.pause_s)
        except Exception as problem:  # pylint: disable=broad-except
            self.failure = problem

    def archived_to(self):
        """Where the archive's gapless part ends, by the names of its files."""
        def is_there(number):
            name = f"main/wal/0000000100000000/0000000100000000{number:08X}.wal"
            return any(os.path.exists(place / name) for place in (self.repo, self.faults.away, self.repo))
        def to():
            while is_there(self.next_segment):
                self.next_segment += 1
            return self.next_segment * (self.segment_mb << 20) + self.reach_of_pieces()
        # A piece takes the place of others, and a segment that of its pieces: look until nothing changes.
        found = to()
        while found != (found := max(found, to())):
            pass
        self.known_archived = max(self.known_archived, found)
        return self.known_archived

    def reach_of_pieces(self):
        """How far pieces reach without a gap in the first segment that is not there as a whole."""
        name, pieces, reach = f"0000000100000000{self.next_segment:08X}.", [], 0
        for place in (self.repo, self.faults.away):
            with contextlib.suppress(OSError):
                pieces += [entry[len(name):].split("-") for entry in os.listdir(place / "main" / "open")
                           if entry.startswith(name) and len(entry) == len(name) + 17]
        for begin, end in sorted((int(begin, 16), int(end, 16)) for begin, end in pieces):
            if begin <= reach:
                reach = max(reach, end)
        return reach

    # -- judging --------------------------------------------------------------------------------

    def read_commits(self):
        """Every commit of the server's WAL, by PostgreSQL's own reader."""
        start = self.first_segment * (self.segment_mb << 20)
        # A dead server's WAL ends where pg_waldump finds no more records.
        end = [] if self.is_lost else [f"--end={self.cluster.sql('select pg_current_wal_flush_lsn()')}"]
        self.commits = []
        with subprocess.Popen(
                [str(BIN / "pg_waldump"), f"--path={self.cluster.data / 'pg_wal'}", "--rmgr=Transaction",
                 f"--start={start >> 32:X}/{start & 0xFFFFFFFF:X}", *end], cwd="/", text=True,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=clean_environment(TZ="UTC"),
                **identity()) as dump:
            for line in dump.stdout:
                found = COMMIT.search(line)
                if found:
                    size, xid, high, low, *instant = found.groups()
                    place = int(high, 16) << 32 | int(low, 16)
                    self.commits.append(Committed(place, place + int(size), instant_of(instant), int(xid)))
        self.places = [commit.place for commit in self.commits]
        # From the end on: the earliest time at and behind each.
        self.earliest = [0.0] * len(self.commits)
        least = float("inf")
        for at in range(len(self.commits) - 1, -1, -1):
            least = min(least, self.commits[at].time)
            self.earliest[at] = least
        place_of = {commit.xid: commit.place for commit in self.commits}
        lost = [commit for commit in self.oracle.commits if commit.xid not in place_of]
        assert not lost, f"acknowledged, and not in the server's WAL: {lost[:5]}"
        # When what was known to be flushed: by the acknowledgements of the clients.
        self.known_at, self.known_to, reach = [], [], 0
        for commit in sorted(self.oracle.commits, key=lambda commit: commit.acknowledged):
            reach = max(reach, place_of[commit.xid])
            self.known_at.append(commit.acknowledged)
            self.known_to.append(reach)

    def first_beyond(self, end):
        """Index of the first commit of which the archive that ends there has not every byte."""
        at = bisect.bisect_left(self.places, end)
        return at - 1 if at and self.commits[at - 1].end > end else at

    def bounds(self, sample):
        """(least, most) that the exposure can be; least 0: there may be none; most None: there is none."""
        at, least = self.first_beyond(sample.after), 0
        known = bisect.bisect_left(self.known_at, sample.begun)
        if known and at < len(self.commits) and self.places[at] <= self.known_to[known - 1]:
            least = sample.begun - self.commits[at].time
        at = self.first_beyond(sample.before)
        most = sample.ended - self.earliest[at] if at < len(self.commits) else None
        return least, most

    def check(self, sample):
        answer, exposure = sample.answer, sample.answer["exposure"]
        level, topics = answer["status"], {(finding["topic"], finding["level"])
                                           for finding in answer["findings"]}
        least, most = self.bounds(sample)
        by_repository = exposure["state"] in ("none", "known") and exposure["by"] == "repository"
        if not by_repository:
            assert level in ("UNKNOWN", "CRITICAL"), "the repository was not asked, and it does not say so"
        if exposure["state"] == "none":
            assert least <= SLACK_S, f"an exposure of {least:.3f} s is not told"
        if exposure["state"] in ("known", "at most"):
            seconds = exposure["age_s"]
            assert seconds >= least - SLACK_S, f"told {seconds:.3f} s, and it is {least:.3f} s at least"
            if seconds >= self.rpo_s and exposure["state"] == "known":
                assert ("exposure", "CRITICAL") in topics, "beyond the objective, and not critical"
        if exposure["state"] == "known" and by_repository:
            assert most is not None and seconds <= most + SLACK_S, f"told {seconds:.3f} s, at most {most}"
            wanted = ("CRITICAL" if seconds >= self.rpo_s else "WARNING" if seconds >= self.rpo_s / 2
                      else None)
            told = {finding for topic, finding in topics if topic == "exposure"}
            assert told == ({wanted} if wanted else set()), f"{seconds:.3f} s is {wanted}, and told: {told}"

    # -- the summary ----------------------------------------------------------------------------

    def levels(self):
        return collections.Counter(sample.answer["status"] for sample in self.samples)

    def decided(self):
        """Calls of which it was known from outside that there was an exposure, and how long it was."""
        return sum(least > 0 and most is not None and most - least < self.rpo_s / 4
                   for least, most in map(self.bounds, self.samples))

    def summary(self):
        states = collections.Counter(
            f"{sample.answer['exposure']['state']} by {sample.answer['exposure'].get('by')}"
            for sample in self.samples)
        known = [sample for sample in self.samples if sample.answer["exposure"]["state"] == "known"
                 and sample.answer["exposure"]["by"] == "repository"]
        still = [sample for sample in known if sample.before == sample.after]
        off = [max(bounds[1] - sample.answer["exposure"]["age_s"], 0)
               for sample in still for bounds in (self.bounds(sample),)]
        worst = max((sample.answer["exposure"]["age_s"] for sample in known), default=0)
        told = sum(sample.ended - sample.begun for sample in self.samples) / max(len(self.samples), 1)

        def table(counter):
            return ", ".join(f"{name} {number}" for name, number in sorted(counter.items()))
        return "\n".join([
            f"seed {self.seed}: {self.elapsed_s:.0f} s, objective {self.rpo_s} s, repository on "
            f"{self.mounted or 'the same file system'}",
            f"  faults:   {table(self.happened)}",
            f"  commits:  {len(self.commits)} in the WAL, {len(self.oracle.commits)} written down by "
            f"clients; {len(archived(self.repo))} files archived; calls of the hook by exit status "
            f"{table(self.push.ended())}",
            f"  status:   {len(self.samples)} calls, {told:.3f} s each on average: {table(self.levels())}",
            f"  exposure: {table(states)}; at most {worst:.1f} s",
            f"  against the bounds known from outside: never below, never above; the middle one of "
            f"{len(off)} calls during which the archive stood still is "
            f"{sorted(off)[len(off) // 2] if off else 0:.3f} s from the exposure at the call's end",
            *([f"  receive:  alone and synchronous; its spool was full "
               f"{self.receive_log(1 << 30).count('the spool is full')} times, and held {self.left} bytes when "
               "it and the server were lost"] if self.receives else []),
            f"  restored: all {self.rows} rows of acknowledged commits"])


def instant_of(fields):
    """Seconds since 1970."""
    *whole, seconds = fields
    return calendar.timegm((*map(int, whole), 0)) + float(seconds)


def main():
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 5
    seed = sys.argv[2] if len(sys.argv) > 2 else str(random.SystemRandom().randrange(10**6))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    drawn = random.Random(f"soak {seed}/way").choice(("archive_command", "spool"))
    way = sys.argv[3] if len(sys.argv) > 3 else drawn
    print(f"seed {seed}, WAL by {'receive --wal-spool' if way == 'spool' else way}", flush=True)
    soak = Soak(seed, rpo_s=20, receives=way == "spool", tell=lambda line: print(line, flush=True))
    try:
        soak.setUp()
        soak.run_soak(lambda: soak.random_faults(minutes * 60))
        print(soak.summary())
    finally:
        soak.doCleanups()


if __name__ == "__main__":
    main()
