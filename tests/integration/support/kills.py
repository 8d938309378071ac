"""
kill -9 at random fault points under load: of archive-push (as archive_command or below the
archive_library), of receive and of archive-get (a standby's, and that of the recovery at the end),
all at the same time, while clients commit. In between the whole server dies, too, and at last it is
lost. What is restored must hold every commit that was acknowledged as archived, and be a prefix of
what was committed. receive may have a spool: then the repository is away for it again and again until
the spool is full, and what is in the spool when the host is lost is moved by one killed run after the
other.

    python3 -m support.kills [MINUTES] [SEED]      (scripts/soak --kills builds and calls it)

Points, hits and settings follow from the seed; when a program passes a point does not.
"""

import collections
import contextlib
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import threading
import time

from support.archive import archived, content_of, flip, object_of
from support.cluster import ClusterTest, ManualRecovery, ToolTest, make_directory
from support.hook import Hook, fault_points
from support.oracle import Oracle, assert_content, check_indexes, difference
from support.processes import (BIN, TOOL, attempt, clean_environment, descendants, freeze_tree, identity,
                               run, wait_for)
from support.version import MAJOR

MODULE = os.environ.get("MODULE")
NAME = "pgcairn_receive"
# Passed once each, in this order, when receive meets a server for the first time.
AT_BEGINNING = ("receive.before-slot", "receive.after-slot", "receive.before-history",
                "receive.after-history")
# Begins the names of those that a process passes which archive-get leaves behind. How much it fetches
# follows from how fast it is and the replay, so nothing can be demanded; test_prefetch_process.py meets them all.
BEHIND = "prefetch."
# Likewise once, by a receive that meets its spool for the first time.
AT_SPOOL = ("spool.before-mark", "spool.after-mark")
OPEN = "-open"  # ends the names of points passed by a recovery that gets to what is only in pieces
LIMIT_S = 1500  # for what hangs


class Settings:
    """What a round is like."""

    def __init__(self, seed, **wanted):
        chance = random.Random(f"{seed}/settings")
        self.segment_mb = chance.choice((1, 1, 16))
        self.library = chance.random() < 0.5
        self.push_ahead = chance.choice((0, 3, 8))
        self.receive = chance.choice((None, "asynchronous", "synchronous"))
        # Drawn last, so that what a seed drew before stays.
        self.spool = chance.random() < 0.6
        self.fill_spool = True
        self.rate = 0           # of pgbench, transactions a second; 0: as fast as it goes
        self.hits = (1, 2, 3)
        self.__dict__.update(wanted)
        self.library = self.library and MODULE is not None and MAJOR >= 15
        self.spool = self.spool and self.receive is not None

    def __str__(self):
        return ", ".join(f"{name} {value}" for name, value in vars(self).items())


class Load:
    """pgbench, and two clients that write down what was acknowledged."""

    def __init__(self, cluster, path, first_number, rate):
        self.cluster, self.rate = cluster, rate
        self.oracle = Oracle(cluster, path, first_number=first_number, pause_s=0.005)

    def __enter__(self):
        self.bench = subprocess.Popen(
            [str(BIN / "pgbench"), "-n", "-c", "2", "-T", "100000", *(["-R", str(self.rate)] if self.rate else []),
             "-h", str(self.cluster.socket), "-p", str(self.cluster.port), "-U", "postgres", "postgres"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
            env=clean_environment(), **identity())
        self.oracle.__enter__()
        return self

    def end_bench(self):
        if self.bench.poll() is None:
            self.bench.kill()
        self.bench.wait(60)

    def __exit__(self, kind, *_):
        """The server is dead: nobody waits for anything any more."""
        if kind and self.cluster.pid():
            self.cluster.crash()
        self.end_bench()
        self.oracle.stop()


class Round(ClusterTest):
    """One server's life: ClusterTest is used for what it has, not as a test."""

    def __init__(self, seed, settings, tell=lambda line: None):
        super().__init__()
        self.seed, self.how, self.tell = seed, settings, tell
        self.segment_mb = settings.segment_mb
        self.stopping = threading.Event()
        self.failures = []
        self.killed = {kind: [] for kind in ("push", "get", "receive", "server", "spool", "recovery")}
        self.left = {}     # of each kind: how many points it has yet to be killed at
        self.rare = set()  # what was passed once, and then no more
        self.damaged = set()
        self.loads = []
        self.receiver = None
        self.wants_door = False  # what comes next is not passed while the repository is away
        self.happened = collections.Counter()  # to the repository as receive with a spool sees it

    def say(self, *words):
        self.tell(" ".join([time.strftime("%H:%M:%S", time.gmtime()), *map(str, words)]))

    # -- setting up -----------------------------------------------------------------------------

    def setUp(self):
        ToolTest.setUp(self)
        self.push = Hook(self.path / "push", gently=True, spool=make_directory(self.path / "spool"),
                         push_ahead=self.how.push_ahead)
        self.get = Hook(self.path / "get")
        self.recovery = Hook(self.path / "recovery")
        self.spool = self.path / "receive-spool"
        # By another name, so that it can be away for receive alone: no push may fail here.
        self.door = self.path / "door"
        self.door.symlink_to(self.repo)
        self.push.hold()
        archiving = ({"archive_command": "", "archive_library": MODULE, "pgcairn.program": self.push,
                      "pgcairn.repo": self.repo} if self.how.library else
                     {"archive_command": f"{self.push} archive-push --repo={self.repo} %p"})
        self.cluster = self.server("primary").create(
            segment_mb=self.segment_mb, wal_level="replica", archive_mode="on", max_wal_senders=10,
            wal_keep_size="64GB", max_connections=100, **archiving)
        self.tool("init", f"--data={self.cluster.data}")
        self.begin_timeline_2()
        run(BIN / "pgbench", "-i", "-q", "-h", self.cluster.socket, "-p", self.cluster.port, "-U",
            "postgres", "postgres")

    def begin_timeline_2(self):
        """So that there is a history to be stored."""
        run("touch", self.cluster.data / "standby.signal")
        self.cluster.start()
        self.cluster.sql("select pg_promote()")
        self.cluster.wait_until("select not pg_is_in_recovery()")
        self.cluster.sql("create table filler (content text)")
        self.first_segment = int(self.cluster.sql("select pg_walfile_name(pg_current_wal_lsn())")[8:], 16)

    # -- the whole ------------------------------------------------------------------------------

    def run_round(self):
        self.say("round", self.seed, str(self.how))
        threads = [threading.Thread(target=self.guarded, args=(body,), daemon=True) for body in
                   (self.kill_pushes, self.kill_gets, self.nudge)]
        try:
            with self.load(1):
                if self.how.receive:
                    self.kill_receivers_at_begin()
                    bodies = (self.kill_receivers, *((self.shut_door,) if self.how.spool else ()))
                    threads += [threading.Thread(target=self.guarded, args=(body,), daemon=True)
                                for body in bodies]
                self.kill_first_push()
                self.tool("backup", f"--data={self.cluster.data}", "--wal-wait=15min", timeout_s=LIMIT_S)
                self.base = ManualRecovery(self, self.cluster)
                for thread in threads:
                    thread.start()
                self.wait_left(0.5)
                self.say("kill -9 of the server")
                self.cluster.crash()
                self.killed["server"].append("crash")
            self.cluster.start()
            with self.load(2) as load:
                self.wait_left(0)
                load.oracle.wait_commits(20, LIMIT_S)
                self.lose_host(load, threads)
        finally:
            self.stopping.set()
            for thread in threads:
                if thread.ident:
                    thread.join(LIMIT_S)
            self.end_receiver()
        self.check_failures()
        self.check_lists()
        self.check_archive()
        self.recover()

    def load(self, number):
        load = Load(self.cluster, self.path / f"commits-{number}", number * 10**7, self.how.rate)
        self.loads.append(load)
        return load

    def guarded(self, body):
        try:
            body()
        except Exception as problem:  # pylint: disable=broad-except
            self.failures.append(problem)
            self.stopping.set()

    def check_failures(self):
        if self.failures:
            raise self.failures[0]

    def wait_left(self, share):
        """Until of every kind no more than this share of the points is left."""
        def is_done():
            self.check_failures()
            kinds = ("push", "get", *(["receive"] if self.how.receive else []))
            return all(kind in self.left and self.left[kind] <= share * self.left[f"all {kind}"]
                       for kind in kinds)
        wait_for(is_done, f"kills: {self.left}\n{self.cluster.log_tail()}", LIMIT_S)

    def nudge(self):
        """Segments come to an end also when little is written; while the server is dead it waits."""
        while not self.stopping.wait(0.4 if self.segment_mb == 1 else 2):
            with contextlib.suppress(AssertionError):
                self.cluster.sql("select pg_switch_wal()")

    # -- one after the other --------------------------------------------------------------------

    def bag(self, kind, demanded, known=set):
        """
        Points in random order until each has had its turn, those that must be passed first; also such
        as turn up meanwhile.
        """
        chance, done = random.Random(f"{self.seed}/{kind}"), set()
        while not self.stopping.is_set():
            points = sorted(demanded - done) or sorted(known() - done)
            self.left[f"all {kind}"] = len(demanded | known() | done) + 1
            self.left[kind] = len((demanded | known()) - done) + 1  # 0: its caller is done, too
            if not points:
                break
            point = chance.choice(points)
            done.add(point)
            yield point, chance.choice(self.how.hits)

    def wait_died(self, kind, hook, point, hit, spare, progress, meanwhile):
        """
        Whether the hook was killed there. As segments come and go less is asked for, and in the end
        nothing: receive may have mended what was damaged for it.
        """
        before, patience = len(hook.died()), 6 + spare
        since = progress()
        self.arm(kind, hook, point, hit, spare)

        def has_died():
            return len(hook.died()) > before or (
                point.startswith(BEHIND) and hit == 1 and hook.has_passed(point))

        def happened():
            nonlocal since, patience, hit
            meanwhile()
            if self.stopping.is_set() or has_died():
                return "end"
            if progress() < since + patience:
                return None
            if hit == 1 and (patience == 15 or point.startswith(BEHIND)):
                return "never"
            since, patience, hit = progress(), 15, 1
            self.arm(kind, hook, point, hit)
            return None
        wait_for(happened, f"death of {kind} at {point}, {hit} times\n{self.cluster.log_tail()}", LIMIT_S,
                 0.1)
        hook.disarm()
        if has_died():
            self.note(kind, point, hit)
            return True
        self.say(kind, "did not come to", point)
        return point not in self.demanded(kind)

    def arm(self, kind, hook, point, hit, spare=0):
        hook.arm(point, hit, spare)
        if kind == "push" and self.how.library:
            self.end_child()

    def end_child(self):
        """What works for the archive_library reads what it is armed with when it starts."""
        for pid in descendants(self.cluster.pid() or 0):
            with contextlib.suppress(OSError):
                if b"--requests" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)  # the script first, so that it notes nothing

    def note(self, kind, point, hit):
        self.killed[kind].append(point)
        self.say("killed", kind, "at", point, hit)

    # -- push -----------------------------------------------------------------------------------

    def kill_first_push(self):
        """It makes the folders that the others find."""
        self.push.arm("posix.after-make-folders")
        self.push.hold(False)
        wait_for(self.push.died, "death of the first push\n" + self.cluster.log_tail(), LIMIT_S)
        self.note("push", "posix.after-make-folders", 1)

    def demanded(self, kind):
        """What it must have been killed at, by the sources."""
        if kind == "push":
            return fault_points("push.", "wal-object.", "set-aside.") | (
                fault_points("acknowledgement.") if self.how.push_ahead else set())
        if kind == "receive":
            return fault_points("receive.", "piece.", "wal-object.",
                                *(("spool.",) if self.how.spool else ())) if self.how.receive else set()
        points = fault_points("get.")
        if kind == "get" or not self.how.receive:
            return {point for point in points if not point.endswith(OPEN)}
        return points

    def kill_pushes(self):
        chance = random.Random(f"{self.seed}/spared pushes")

        def known():
            return self.push.passed() - {"posix.after-make-folders"}
        for count, (point, hit) in enumerate(self.bag("push", self.demanded("push"), known)):
            # Once for real: then the archiver ends with it.
            self.push.gently(count != 3 or self.how.library)
            while not self.stopping.is_set() and not self.kill_push(point, hit, chance):
                pass
        self.push.hold(False)
        # What we damaged ourselves must not be what is missing in the end.
        wait_for(lambda: self.stopping.is_set() or self.damaged <= set(self.marked("done")),
                 f"repair of {self.damaged}\n{self.cluster.log_tail()}", LIMIT_S)
        self.left["push"] = 0

    def kill_push(self, point, hit, chance):
        """Make the place ready for it, and wait for it; False: once more."""
        spare = chance.choice((0, 0, 1, 2))
        if point.startswith(("push.", "set-aside.", "posix.")):
            hit, spare = 1, 0
            self.pile_up(1, self.damage)
        elif hit > 1 or point.startswith("acknowledgement."):
            spare = 0
            self.pile_up(3)
        return self.wait_died("push", self.push, point, hit, spare, lambda: len(self.marked("done")),
                              lambda: self.push.hold(False))

    def marked(self, how):
        """Segments that the server has marked as done or ready, the oldest first."""
        status = self.cluster.data / "pg_wal" / "archive_status"
        return sorted(path.stem for path in status.glob(f"*.{how}") if len(path.stem) == 24)

    def pile_up(self, count, then=lambda name: None):
        """Let so many segments wait, and no push be at work; then do something about the first."""
        self.push.hold()
        if self.how.library:
            self.end_child()
        wait_for(lambda: self.stopping.is_set() or self.push.is_waiting() and len(self.marked("ready")) > count,
                 f"segments that wait\n{self.cluster.log_tail()}", LIMIT_S)
        if not self.stopping.is_set():
            then(self.marked("ready")[0])

    def damage(self, name):
        """It is in the archive, but not as it was stored."""
        self.damaged.add(name)
        self.tool("archive-push", "--push-ahead=0", self.cluster.data / "pg_wal" / name)
        flip(object_of(self.repo, name), -100)

    # -- get ------------------------------------------------------------------------------------

    def kill_gets(self):
        """Of a standby that has nothing but the archive: its server dies with it, and comes again."""
        standby = self.base.cluster("standby", f"{self.get} archive-get --repo={self.repo} %f %p",
                                    signal_file="standby.signal", wal_retrieve_retry_interval="200ms")
        chance = random.Random(f"{self.seed}/spared gets")

        def keep_running():
            if standby.process is None or standby.process.poll() is not None:
                standby.spawn()

        def let_run():
            self.get.hold(False)
            keep_running()
        for point, hit in self.bag("get", self.demanded("get"), self.get.passed):
            is_done = False
            while not is_done and not self.stopping.is_set():
                if point.startswith(BEHIND):
                    self.fall_behind(6, keep_running)
                    hit, spare = 1, 0
                else:
                    spare = chance.randrange(4)
                is_done = self.wait_died("get", self.get, point, hit, spare,
                                         lambda: len(archived(self.repo)), let_run)
        standby.destroy()
        self.left["get"] = 0

    def fall_behind(self, count, meanwhile):
        """The standby waits at the door until the archive has so many segments more."""
        self.get.hold()
        wanted = len(archived(self.repo)) + count

        def has_come():
            meanwhile()
            return self.stopping.is_set() or len(archived(self.repo)) >= wanted
        wait_for(has_come, f"{count} segments\n{self.cluster.log_tail()}", LIMIT_S, 0.1)

    # -- receive --------------------------------------------------------------------------------

    def start_receiver(self, fault=None):
        words = [TOOL, "receive", f"--repo={self.door if self.how.spool else self.repo}",
                 f"--conninfo={self.cluster.conninfo()}", "--interval=200ms"]
        if self.how.spool:
            words += [f"--wal-spool={self.spool}", f"--wal-spool-size={4 * self.segment_mb}MiB", "--retries=0"]
        if self.how.receive == "synchronous":
            words.append("--synchronous")
        environment = {"PGCAIRN_FAULT_LOG": self.path / "receive-passed"}
        if fault:
            environment["PGCAIRN_FAULT"] = fault
        with open(self.path / "receive.log", "ab") as log:
            self.receiver = subprocess.Popen(
                list(map(str, words)), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                env=clean_environment(**environment), **identity())
        return self.receiver

    def end_receiver(self):
        if self.receiver and self.receiver.poll() is None:
            self.receiver.kill()
            self.receiver.wait(60)

    def receive_log(self):
        path = self.path / "receive.log"
        return path.read_text(encoding="utf-8", errors="replace")[-3000:] if path.exists() else ""

    def received(self):
        """What receive has passed but for its beginning, of which some comes never again."""
        path = self.path / "receive-passed"
        passed = set(path.read_text(encoding="ascii").split()) if path.exists() else set()
        return {point for point in passed - set(AT_BEGINNING + AT_SPOOL)
                if point != "posix.after-make-folders" and not point.endswith("-make-directory")}

    def receive_until_death(self, point, hit, patience=40):
        # What leaves the spool leaves it for the repository.
        self.wants_door = point.startswith("spool.")
        since = len(archived(self.repo))
        process = self.start_receiver(f"{point}:crash:{hit}")

        def happened():
            return (self.stopping.is_set() or process.poll() is not None or
                    len(archived(self.repo)) > since + patience)
        wait_for(happened, f"death of receive at {point}, {hit} times\n{self.receive_log()}", LIMIT_S, 0.1)
        if process.poll() == -signal.SIGKILL:
            self.note("receive", point, hit)
            return True
        if process.poll() is None:
            self.end_receiver()
        elif process.returncode not in (5, 7):  # the server is away, or has not noticed the last death
            raise AssertionError(f"receive ended with {process.returncode} and was to die at {point}:\n"
                                 f"{self.receive_log()}")
        return False

    def kill_receivers_at_begin(self):
        for point in (AT_SPOOL if self.how.spool else ()) + AT_BEGINNING:
            while not self.receive_until_death(point, 1):
                pass

    def kill_receivers(self):
        if self.how.receive == "synchronous":
            self.cluster.reconfigure(synchronous_standby_names=NAME)
        demanded = self.demanded("receive") - set(AT_BEGINNING + AT_SPOOL)
        for point, hit in self.bag("receive", demanded, self.received):
            tries = 0
            # What was passed when something was damaged, say, is hardly passed again.
            patience = 40 if point in demanded else 8
            while not self.stopping.is_set() and not self.receive_until_death(point, hit, patience):
                tries += 1
                hit = 1
                if tries == 3 and point not in demanded:
                    self.rare.add(("receive", point))
                    break
        if not self.stopping.is_set():
            self.start_receiver()
        self.left["receive"] = 0

    def shut_door(self):
        """
        The repository is away for receive, at times until its spool is full. It may be killed and
        started in between: the spool is all that it needs.
        """
        chance, log = random.Random(f"{self.seed}/door"), self.path / "receive.log"

        def said(words):
            return log.read_text(encoding="utf-8", errors="replace").count(words) if log.exists() else 0

        def wait_archived(count, enough=lambda: False):
            wanted = len(archived(self.repo)) + count
            wait_for(lambda: self.stopping.is_set() or self.wants_door or enough() or
                     len(archived(self.repo)) >= wanted,
                     f"{count} segments\n{self.cluster.log_tail()}", LIMIT_S, 0.1)
        while not self.stopping.wait(0.1):
            if self.wants_door:
                continue
            full = said("the spool is full")
            self.door.unlink()
            self.happened["away"] += 1
            if self.how.fill_spool and self.segment_mb == 1 and chance.random() < 0.5:
                wait_archived(80, lambda before=full: said("the spool is full") > before or self.fill_spool())
            else:
                wait_archived(chance.choice((1, 2)))
            self.happened["full"] += said("the spool is full") > full
            self.door.symlink_to(self.repo)
            wait_archived(chance.choice((1, 3, 5)))

    def fill_spool(self):
        """A bit more. It does not wait for receive, as commits do once the spool is full."""
        with contextlib.suppress(AssertionError):  # the server may be dead for now
            self.cluster.sql("set synchronous_commit = local; insert into filler select md5(random()::text)"
                             " || md5(random()::text) from generate_series(1, 3000)")

    # -- the end --------------------------------------------------------------------------------

    def open_pieces(self):
        """Segments of which the archive has pieces, and not the whole; what is in the spool goes there."""
        stored = set(archived(self.repo)) | {path.name[:24] for path in self.spool.rglob("*.wal")}
        return {path.name[:24] for place in (self.repo, self.spool)
                for path in (place / "main" / "open").glob("*-????????")} - stored

    def lose_host(self, load, threads):
        """Server and receiver at once; with receive at an instant when the last segment is in pieces."""
        self.stopping.set()
        for thread in threads:
            thread.join(LIMIT_S)
        self.check_failures()
        if self.how.receive:
            load.end_bench()  # so that a segment is not filled in between
            while True:
                self.end_receiver()
                self.receive_to_the_last()
                frozen = freeze_tree(self.cluster.pid())
                if self.open_pieces():
                    break
                for pid in reversed(frozen):
                    os.kill(pid, signal.SIGCONT)
        self.say("the host is lost")
        self.cluster.crash()
        if self.how.spool:
            self.move_spool()

    def move_spool(self):
        """The server is gone; what it was told to be durable goes into the repository, whatever dies."""
        for point in sorted(fault_points("piece.", "spool.") - set(AT_SPOOL)):
            if self.spooled() and self.move_spool_until(f"{point}:crash"):
                self.note("spool", point, 1)
        assert not self.move_spool_until(None) and not self.spooled()

    def move_spool_until(self, fault):
        """Until the spool is empty, or receive dies; says which."""
        process = self.start_receiver(fault)

        def is_over():
            assert process.poll() in (None, -signal.SIGKILL), self.receive_log()
            return process.poll() is not None or not self.spooled()
        wait_for(is_over, f"an empty spool, or death: {fault}\n{self.receive_log()}", LIMIT_S, 0.1)
        self.end_receiver()
        return fault is not None and bool(self.spooled())

    def spooled(self):
        return [path for folder in ("wal", "open") for path in (self.spool / "main" / folder).rglob("*")
                if path.is_file() and ".history" not in path.name]

    def receive_to_the_last(self):
        """It dies with WAL that it has received and not stored."""
        receiver = self.start_receiver("piece.before-commit:crash:5")

        def is_dead():
            self.flushed = max(self.flushed, self.flushed_to())
            return receiver.poll() is not None
        wait_for(is_dead, f"death of the last receive\n{self.receive_log()}", LIMIT_S, 0.2)

    def flushed_to(self):
        """What has been acknowledged to the server."""
        lsn = self.cluster.sql("select coalesce(max(flush_lsn), '0/0') from pg_stat_replication where "
                               f"application_name = '{NAME}'")
        high, low = lsn.split("/")
        return int(high, 16) << 32 | int(low, 16)

    flushed = 0

    # -- what must hold -------------------------------------------------------------------------

    def check_lists(self):
        """Every point by which the sources say that it can be killed was one at which it was."""
        for kind in ("push", "get", "receive"):
            missing = self.demanded(kind) - set(self.killed[kind])
            assert not missing, f"{kind} was not killed at {sorted(missing)}"
        failed = set(self.push.ended()) - {0}
        assert not failed, f"a push failed: {self.push.ended()}\n{self.cluster.log_tail(100)}"

    def check_archive(self):
        """Whatever the server was told to be archived is there, and is that file."""
        stored, wal = set(archived(self.repo)), self.cluster.data / "pg_wal"
        done = {path.stem for path in (wal / "archive_status").glob("*.done")}
        assert done <= stored, f"archived, and not there: {sorted(done - stored)}"
        for name in sorted(done):
            if (wal / name).exists():
                assert content_of(object_of(self.repo, name)) == (wal / name).read_bytes(), name
        segment = self.first_segment
        while self.segment_name(segment) in done:
            segment += 1
        self.acknowledged = max(self.start_of(segment), self.flushed)
        self.tool("verify", timeout_s=LIMIT_S)

    def segment_name(self, number):
        per_high = 4096 // self.segment_mb
        return f"00000002{number // per_high:08X}{number % per_high:08X}"

    def start_of(self, number):
        return number * (self.segment_mb << 20)

    def places(self):
        """xid -> where its commit record begins, in the dead server's WAL, by PostgreSQL's own reader."""
        first = self.start_of(self.first_segment)
        done = attempt(BIN / "pg_waldump", f"--path={self.cluster.data / 'pg_wal'}", "--timeline=2",
                       "--rmgr=Transaction", f"--start={first >> 32:X}/{first & 0xFFFFFFFF:X}",
                       timeout_s=LIMIT_S)
        found = re.findall(r"tx:\s+(\d+), lsn: (\w+)/(\w+), .*desc: COMMIT ", done.stdout)
        return {int(xid): int(high, 16) << 32 | int(low, 16) for xid, high, low in found}

    def judge(self, server):
        """Nothing is missing, nothing is foreign, and nothing is left out in the middle."""
        places = self.places()
        commits = [commit for load in self.loads for commit in load.oracle.commits]
        doubt = {number for load in self.loads for number in load.oracle.in_doubt()}
        lost = [commit for commit in commits if commit.xid not in places]
        assert not lost, f"acknowledged, and not in the server's own WAL: {lost[:5]}"
        everything = {commit.number for commit in commits}
        must = everything if self.how.receive == "synchronous" else {
            commit.number for commit in commits if places[commit.xid] < self.acknowledged}
        assert must, "nothing was archived"
        assert_content(server, must, everything | doubt)
        missing, _ = difference(server, everything)
        there = [places[commit.xid] for commit in commits if commit.number not in missing]
        gaps = [commit for commit in commits if commit.number in missing and
                places[commit.xid] < max(there)]
        assert not gaps, f"left out, and later ones are there: {gaps[:5]}"
        sums = server.sql("""select coalesce(sum(abalance), 0) from pgbench_accounts union
                             select coalesce(sum(bbalance), 0) from pgbench_branches union
                             select coalesce(sum(tbalance), 0) from pgbench_tellers union
                             select coalesce(sum(delta), 0) from pgbench_history""")
        assert len(sums.split()) == 1, f"half a transaction: {sums}"
        check_indexes(server)
        self.say(f"{len(commits)} commits acknowledged, {len(must)} of them must be there, "
                 f"{len(everything - missing)} are")

    def recover(self):
        """A recovery whose archive-get is killed at each point, then `restore --start` by itself."""
        killed = self.restored("killed", port=5436)
        self.tool("restore", f"--data={killed.data}", "--as-copy", timeout_s=LIMIT_S)
        conf = killed.data / "postgresql.auto.conf"
        text = conf.read_text(encoding="utf-8")
        assert f"'{TOOL} archive-get" in text, text
        conf.write_text(text.replace(f"'{TOOL} archive-get", f"'{self.recovery} archive-get"),
                        encoding="utf-8")
        killed.configure(synchronous_standby_names="")
        self.stopping = threading.Event()
        demanded = self.demanded("recovery")
        # What is in pieces is asked for as long as pg_wal does not have it, so that comes first; the
        # others are passed by the first call of all, for the history, whatever lies ready.
        for point in sorted(demanded, key=lambda point: (not point.endswith(OPEN), point)):
            before = len(self.recovery.died())
            self.recovery.arm(point)
            if not self.dies(killed):
                break
            assert len(self.recovery.died()) > before, f"it died by itself\n{killed.log_tail()}"
            self.note("recovery", point, 1)
        missing = demanded - set(self.killed["recovery"])
        assert not missing, f"a recovery was not killed at {sorted(missing)}"
        self.recovery.disarm()
        if killed.process.poll() is not None:
            assert not self.dies(killed), f"it died\n{killed.log_tail()}"
        self.judge(killed)
        killed.stop()
        restored = self.restore(name="restored", port=5437, timeout_s=LIMIT_S)
        restored.reconfigure(synchronous_standby_names="")
        self.judge(restored)
        restored.stop("immediate")

    @staticmethod
    def dies(server):
        """Started, the server either ends with its archive-get or opens."""
        server.spawn()

        def state():
            if server.process.poll() is not None:
                return "dead"
            done = attempt(*server.psql(), "-c", "select pg_is_in_recovery()")
            return "open" if done.stdout.strip() == "f" else None
        return wait_for(state, f"end of a recovery\n{server.log_tail()}", LIMIT_S, 0.2) == "dead"

    def summary(self):
        kills = ", ".join(f"{kind} {len(points)}" for kind, points in self.killed.items() if points)
        commits = sum(len(load.oracle.commits) for load in self.loads)
        door = ", ".join(f"{name} {count} times" for name, count in sorted(self.happened.items()))
        return (f"seed {self.seed}: killed {kills}; {commits} commits acknowledged, "
                f"{len(archived(self.repo))} files archived" + (f"; repository/spool {door}" if door else ""))


def main():
    """Rounds until the time is over; each has settings of its own."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10
    seed = sys.argv[2] if len(sys.argv) > 2 else str(random.SystemRandom().randrange(10**6))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    until, number = time.monotonic() + minutes * 60, 0
    while number == 0 or time.monotonic() < until:
        number += 1
        one = Round(f"{seed}/{number}", Settings(f"{seed}/{number}"), lambda line: print(line, flush=True))
        try:
            one.setUp()
            one.run_round()
        finally:
            print(one.summary(), flush=True)
            one.doCleanups()
    print(f"{number} rounds, and nothing was lost")


if __name__ == "__main__":
    main()
