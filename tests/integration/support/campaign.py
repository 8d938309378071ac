"""
A random campaign: writers at work, and at random base backups, segment switches, checkpoints,
restore points, crashes, and recoveries to a point in the past from which work goes on, so that the
archive holds several timelines. In between, restores to random targets of all kinds; what they must
give is computed by support/reference.py, without pgcairn. support/second_histories.py has what makes two histories of one.

    python3 -m support.campaign [RESTORES] [SEED]      (scripts/campaign builds and calls it)

Every choice follows from the seed. What the writers do at the same time does not, so a second run
takes the same steps on another database.
"""

import collections
import contextlib
import ctypes
import datetime
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback

from support.archive import archived
from support.cluster import ClusterTest, make_directory
from support.ledger import SCHEMA, Ledger, Load, Session, lsn_of, state_of
from support.oracle import check_structure
from support.processes import TOOL, attempt, clean_environment, identity, run, wait_for
from support.reference import Backup, Reference, Target, Undecided
from support.second_histories import SecondHistories
from support.shared import server_log
from support.version import MAJOR

MODULE = os.environ.get("MODULE")
SCRATCH_PORT = 6000
PR_SET_CHILD_SUBREAPER = 36
KINDS = ("time", "time exclusive", "xid", "xid exclusive", "lsn", "lsn exclusive", "name",
         "immediate", "latest")
STEPS = {"work": 3, "backup": 4, "switch": 3, "checkpoint": 2, "point": 3, "fill": 3, "crash": 2,
         "restart": 1, "vacuum": 1}


class World(ClusterTest):
    """
    The first server, and how it archives, which is drawn unless it is wanted. Every archived file is
    kept plainly, too: by cp before pgcairn gets it, or, where that has no place, from pg_wal.
    """

    def __init__(self, seed, **wanted):
        super().__init__()
        chance = random.Random(f"{seed}/world")
        self.segment_mb = chance.choice((1, 1, 1, 16, 64))
        self.push_ahead = chance.choice((None, 0, 3, 8))
        self.library = chance.random() < 0.4
        self.receive = chance.random() < 0.5
        self.prefetch = chance.choice((None, None, 0, 4))  # segments
        self.events = 0.25  # chance of a second history in a round
        self.__dict__.update(wanted)
        self.library = self.library and MODULE is not None and MAJOR >= 15
        self.settings = {"max_prepared_transactions": 100, "track_commit_timestamp": "on",
                         "autovacuum": "off", "archive_timeout": 0, "wal_keep_size": "256GB",
                         "max_wal_senders": 10}

    def __str__(self):
        return (f"segments of {self.segment_mb} MB, {'archive_library' if self.library else 'archive_command'}, "
                f"push ahead {self.push_ahead}, {'receive, ' if self.receive else ''}prefetch {self.prefetch}")

    def setUp(self):
        if self.library:
            self.settings |= {"archive_library": MODULE}
        super().setUp()

    @property
    def size(self):
        return self.segment_mb << 20

    @property
    def plain(self):
        return self.path / "plain"

    def archive_command(self):
        """As the server is made: of a library its settings, too."""
        make_directory(self.plain)
        ahead = []
        if self.push_ahead is not None:
            ahead = [f"PGCAIRN_SPOOL={make_directory(self.path / 'spool')}",
                     f"PGCAIRN_PUSH_AHEAD={self.push_ahead}"]
        if not self.library:
            return (f"cp %p {self.plain}/.%f && mv {self.plain}/.%f {self.plain}/%f && "
                    f"{' '.join(ahead)} {super().archive_command()}")
        program = self.path / "program"
        program.write_text(f"#!/bin/sh\n{' '.join(ahead)} exec {TOOL} \"$@\"\n", encoding="utf-8")
        program.chmod(0o755)
        self.settings |= {"pgcairn.program": program, "pgcairn.repo": self.repo}
        return ""

    def push_command(self, spool):
        """An archive_command that keeps nothing plainly, as drawn."""
        ahead = "" if self.push_ahead is None else (
            f"PGCAIRN_SPOOL={make_directory(spool)} PGCAIRN_PUSH_AHEAD={self.push_ahead} ")
        return ahead + super().archive_command()

    def keep_plain(self, cluster):
        """What is archived of this server and not yet kept."""
        for name in archived(self.repo) if self.library else ():
            source = cluster.data / "pg_wal" / name
            if source.exists() and not (self.plain / name).exists():
                run("cp", source, self.plain / name)

    def environment(self):
        """Of a recovery's archive-get."""
        if self.prefetch is None or "--prefetch" not in attempt(TOOL, "archive-get", "--help").stdout:
            return {}
        return {"PGCAIRN_PREFETCH": f"{self.prefetch * self.segment_mb}MiB"}


class Campaign(SecondHistories):
    def __init__(self, world, seed, restores, tell=lambda line: None):
        self.world, self.seed, self.wanted, self.tell = world, seed, restores, tell
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.cluster, self.timeline = world.cluster, 1
        self.ledger = Ledger(world.path / "ledger")
        self.reference = Reference(world.plain, world.path, lambda: archived(world.repo),
                                   self.ledger, world.size)
        self.receiver = None
        self.points = []   # names of restore points
        self.steps = 0
        self.random = None
        self.log = []
        self.count = collections.Counter()
        self.restored = collections.Counter()
        self.refused = collections.Counter()
        self.names = 0
        self.events = []  # schedule of second histories, one for each round

    def say(self, *words):
        line = " ".join(map(str, words))
        self.log.append(f"{time.strftime('%H:%M:%S', time.gmtime())} {self.steps:4} {line}")
        self.tell(self.log[-1])

    # -- the whole ------------------------------------------------------------------------------

    def run(self):
        try:
            self.begin_step("begin")
            self.say(str(self.world))
            self.cluster.sql(SCHEMA)
            self.disturb("point")
            if self.random.random() < 0.5:
                self.disturb("work")
            self.backup()
            while sum(self.restored.values()) < self.wanted:
                self.round()
            self.begin_step("end")
            self.say("verify")
            self.world.tool("verify")
        except Exception as problem:
            self.end_receiving()
            raise AssertionError(
                f"{problem}\nPGCAIRN_SEED={self.seed}, in {self.world.path}. The steps:\n"
                + "\n".join(self.log[-60:])) from problem

    def round(self):
        """Some work and disturbance, then restores while nothing is written."""
        self.begin_step("round")
        for _ in range(self.random.choice((1, 1, 2))):
            self.burst()
        if self.random.random() < 0.2 and self.reference.backups:
            self.rewind()
            if self.random.random() < 0.6:
                self.burst()
        self.second_history()
        if self.random.random() < 0.5:
            self.cluster.switch_wal()
        self.settle()
        self.look()
        done = sum(self.restored.values())
        for _ in range(self.random.choice((1, 2, 3))):
            if sum(self.restored.values()) < self.wanted:
                self.restore()
        for _ in range(2):
            self.refusal()
        self.window()
        assert sum(self.restored.values()) > done or self.count["fruitless"] < 50, "no target is found"

    def begin_step(self, name):
        self.steps += 1
        self.random = random.Random(f"{self.seed}/{self.steps}/{name}")

    # -- disturbances ---------------------------------------------------------------------------

    def burst(self):
        """Writers at work, something happening to the server meanwhile."""
        step = self.random.choices(list(STEPS), list(STEPS.values()))[0]
        self.begin_step(step)
        writers = self.random.choice((1, 2, 3, 4))
        self.receive()
        load = Load(self.cluster, self.ledger, self.timeline, f"{self.seed}/{self.steps}", writers)
        with load:
            time.sleep(self.random.uniform(0.05, 0.3))
            self.disturb(step)
            if step == "crash":
                load.stop(killed=True)
            time.sleep(self.random.uniform(0, 0.1))
        if step in ("crash", "restart"):
            if step == "restart":
                self.cluster.stop()
            self.cluster.start()
        if self.random.random() < 0.5:
            self.end_prepared()

    def disturb(self, step):
        self.count[step] += 1
        if step == "work":
            time.sleep(self.random.uniform(0.05, 0.3))
        elif step == "backup":
            self.backup()
        elif step == "switch":
            self.say("switch", self.cluster.sql("select pg_walfile_name(pg_switch_wal())"))
        elif step == "checkpoint":
            self.cluster.sql("checkpoint")
        elif step == "point":
            # Now and then a name once more: the first one behind a backup counts.
            if not self.points or self.random.random() < 0.8:
                self.points.append(f"point {len(self.points)}")
            name = self.random.choice(self.points[-3:])
            self.say("restore point", name, self.cluster.sql(
                f"select pg_create_restore_point('{name}')"))
        elif step == "fill":
            rows = self.random.choice((300, 3000, 9000))
            self.cluster.sql(f"""create table if not exists filler (number int, payload text);
                                 insert into filler select n, repeat(md5(n::text), 8)
                                 from generate_series(1, {rows}) n;
                                 {'truncate filler' if rows == 9000 else 'select 1'}""")
        elif step == "vacuum":
            self.cluster.sql("vacuum (freeze)")
        elif step == "crash":
            self.say("crash")
            self.crash()

    def crash(self):
        victims = self.cluster.crash()
        # A server that the tool started is nobody's child, and its zombie looks alive to the next one.
        for victim in victims:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(victim, 0)

    def backup(self):
        begun = time.time()
        answer = json.loads(self.world.tool(
            "backup", f"--data={self.cluster.data}", f"--conninfo={self.cluster.conninfo()}",
            "--checkpoint=fast", "--json"))
        backup = Backup(answer["backup"], answer["timeline"], lsn_of(answer["start_lsn"]),
                        lsn_of(answer["stop_lsn"]), begun, time.time())
        assert backup.timeline == self.timeline, f"{backup} is not of timeline {self.timeline}"
        assert not answer["bad_page_count"], answer
        self.reference.backups.append(backup)
        self.say("backup", backup.id, "timeline", backup.timeline, answer["start_lsn"], answer["stop_lsn"])

    def end_prepared(self):
        """Prepared transactions that nobody minds: end some of them."""
        names = self.cluster.sql("select gid from pg_prepared_xacts order by gid").splitlines()
        session = Session(self.cluster)
        for transaction in self.ledger.prepared(names):
            if self.random.random() < 0.6:
                session.end_prepared(transaction, self.random.random() < 0.6, self.timeline)
        session.close()

    def receive(self):
        """Now and then it runs beside the archiver, and is killed before its next run."""
        self.end_receiving()
        if not self.world.receive or self.random.random() < 0.3:
            return
        with open(self.world.path / "receive.log", "ab") as log:
            self.receiver = subprocess.Popen(
                [TOOL, "receive", f"--repo={self.world.repo}", f"--conninfo={self.cluster.conninfo()}",
                 "--interval=100ms"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                env=clean_environment(), **identity())
        self.count["runs of receive"] += 1

    def end_receiving(self):
        if self.receiver and self.receiver.poll() is None:
            self.receiver.kill()
        if self.receiver:
            status = self.receiver.wait(60)
            # 5: the server has not noticed yet that the last one is dead. 7: it is gone itself.
            assert status in (-signal.SIGKILL, 5, 7), f"receive ended with {status}"
        self.receiver = None

    def look(self):
        """
        What the archive holds, for the reference. Of segments that are in pieces it knows nothing, so
        a segment of which receive has stored a part is ended.
        """
        self.end_receiving()
        whole = set(archived(self.world.repo))
        if self.cluster.pid() and any(
                path.name[:24] not in whole for path in (self.world.repo / "main" / "open").glob("0*")):
            self.cluster.switch_wal()
            self.settle()
        self.world.keep_plain(self.cluster)
        self.reference.refresh()

    def settle(self):
        """Wait until all that is to be archived is archived; nobody writes."""
        status = self.cluster.data / "pg_wal" / "archive_status"
        wait_for(lambda: not list(status.glob("*.ready")),
                 f"everything archived\n{self.cluster.log_tail()}")

    def rewind(self, accepts=lambda outcome: outcome.status == 0, timelines=(None, None), switches=None,
               fixed=None):
        """
        A disaster: the server is lost, and what it had not archived with it. Another one is
        restored to a point in the past and takes its place; the timeline is abandoned there. Gives
        the outcome; None: no such target, and the server goes on. fixed: to this target.
        """
        self.begin_step("rewind")
        if self.world.receive:
            self.look()
        if self.random.random() < 0.5:
            self.crash()
        else:
            self.cluster.stop()
        self.look()
        target, outcome, options = self.find_target(accepts, kinds=[
            kind for kind in KINDS if kind != "latest" or self.random.random() < 0.3],
            timelines=timelines, fixed=fixed)
        if target is None:
            self.cluster.start()
            return None
        self.count["rewind"] += 1
        branch = self.reference.branch(outcome.timeline)
        server = self.run_restore(target, outcome, options, "promote", f"server-{self.steps}",
                                  port=self.cluster.port + 1)
        self.compare(server, branch, outcome)
        shutil.rmtree(self.cluster.data)
        self.took_over(server, switches)
        return outcome

    # -- targets --------------------------------------------------------------------------------

    def find_target(self, accepts, kinds=KINDS, timelines=(None, None), fixed=None):
        """A random target, or this one, whose outcome is as wanted: (target, outcome, options)."""
        for _ in range(200):
            kind = self.random.choice(kinds)
            timeline = self.random.choice((*timelines, *self.reference.timelines()))
            backup = self.random.choice((None, None, *self.reference.backups[-8:]))
            exclusive = kind.endswith(" exclusive")
            branch = self.reference.branch(self.random.choice(self.reference.timelines()))
            target = fixed or self.draw(kind.split()[0], branch, exclusive)
            try:
                outcome = self.reference.expect(target, timeline, backup and backup.id)
            except Undecided:
                continue
            if accepts(outcome):
                options = [f"--target-timeline={timeline}"] if timeline else []
                options += [f"--backup={backup.id}"] if backup else []
                return target, outcome, options
        self.count["fruitless"] += 1
        return None, None, None

    def draw(self, kind, branch, exclusive):
        return Target(kind, self.value_for(kind, branch), exclusive)

    def value_for(self, kind, branch):
        event = self.random.choice(branch.events)
        if kind == "time":
            ends = [e for e in branch.events if e.time]
            chosen = self.random.choice(ends).time
            return self.random.choice((chosen, chosen, chosen - 1, chosen + 1,
                                       chosen + self.random.randrange(2 * 10**6),
                                       ends[-1].time + self.random.randrange(10**6),
                                       ends[0].time - self.random.randrange(10**6)))
        if kind == "xid":
            ends = [e for e in branch.events if e.kind in ("commit", "abort")]
            return self.random.choice(ends).xid + (self.random.random() < 0.1)
        if kind == "lsn":
            lsn = self.random.choice(branch.starts)
            backup = self.random.choice(self.reference.backups)
            return self.random.choice((lsn, lsn, lsn + 1, lsn + self.random.randrange(self.world.size),
                                       event.lsn, event.lsn + 1, backup.stop, branch.starts[-1]))
        if kind == "name":
            return self.random.choice(self.points) if self.points else "point 0"
        return None

    @staticmethod
    def words(target):
        if target.kind in ("latest", "immediate"):
            return [f"--target={target.kind}"]
        value = target.value
        if target.kind == "time":
            value = (time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(value // 10**6)) +
                     f".{value % 10**6:06}+00")
        elif target.kind == "lsn":
            value = f"{value >> 32:X}/{value & 0xFFFFFFFF:X}"
        return [f"--target-{target.kind}={value}",
                *(["--target-exclusive"] if target.exclusive else [])]

    # -- restores -------------------------------------------------------------------------------

    def restore(self):
        self.begin_step("restore")
        # In turn, so that every kind comes up however few restores there are.
        kind = KINDS[sum(self.restored.values()) % len(KINDS)]
        target, outcome, options = self.find_target(lambda outcome: outcome.status == 0, [kind])
        if target is None:
            return
        branch = self.reference.branch(outcome.timeline)
        action = self.random.choice(("promote", "shutdown", "pause"))
        server = self.run_restore(target, outcome, ["--as-copy", *options], action,
                                  f"copy-{self.steps}", SCRATCH_PORT)
        if action == "shutdown" and target.kind != "latest":
            assert server.pid() is None, "a server runs although it should have been shut down"
            self.world.tool("promote", f"--data={server.data}", environment={"PGPORT": SCRATCH_PORT})
            action = "promote"
        self.compare(server, branch, outcome)
        if action == "promote" and self.random.random() < 0.2:
            # Who checks an index from its parents' side waits for whoever may write to the table.
            for gid in server.sql("select gid from pg_prepared_xacts").splitlines():
                server.sql(f"rollback prepared '{gid}'")
            check_structure(server)
            self.count["checks of structure"] += 1
        server.destroy()
        shutil.rmtree(server.path)
        self.restored[target.kind + (" exclusive" if target.exclusive else "")] += 1
        self.count["restores of an abandoned timeline"] += outcome.timeline != self.timeline

    def run_restore(self, target, outcome, options, action, name=None, port=None, server=None):
        """
        Restore and start, a new server or over this one's directory; what the tool says of it must be
        what the reference says.
        """
        words = [*self.words(target), *options]
        self.say("restore", *words, action, f"-> timeline {outcome.timeline}, backup "
                 f"{outcome.backup.id}, before {outcome.limit >> 32:X}/{outcome.limit & 0xFFFFFFFF:X}")
        server = server or self.world.server(name, socket=self.world.cluster.socket, port=port)
        done = self.world.attempt("restore", f"--data={server.data}", "--json", "--start",
                                  f"--target-action={action}", *words,
                                  environment={"PGPORT": server.port, **self.world.environment()},
                                  timeout_s=300)
        assert done.returncode == 0, (f"restore returned {done.returncode}:\n{done.stdout}"
                                      f"{done.stderr}\n{server_log(server)}")
        answer = server.answer = json.loads(done.stdout)
        opens = action == "promote" or target.kind == "latest"
        state = "open" if opens else "paused" if action == "pause" else "target reached"
        wanted = {"verified": True, "backup": outcome.backup.id, "timeline": outcome.told_timeline,
                  "takes_archive_end": outcome.takes_end, "state": state}
        said = {key: answer[key] for key in wanted}
        assert said == wanted, f"the tool says {said}, expected {wanted}"
        self.compare_last_commit(answer, outcome)
        return server

    def compare_last_commit(self, answer, outcome):
        branch = self.reference.branch(outcome.timeline)
        commits = [event for event in branch.from_lsn(outcome.backup.start)
                   if event.kind == "commit" and event.lsn < outcome.limit]
        told = answer["last_before"]
        if commits and told and told.get("xid") is not None:
            assert told["xid"] == commits[-1].xid, (
                f"the last commit is {commits[-1]}, the tool says {told}")

    def compare(self, server, branch, outcome):
        """The restored database holds exactly what belongs; the WAL what the clients were told."""
        self.reference.check_ledger(branch)
        self.reference.check_backups(branch)
        expected = self.reference.state_at(branch, outcome.limit)
        found = list(expected.differences(state_of(server)))
        assert not found, "the restored database is another one: " + "; ".join(found)
        self.compare_prepared(server, branch, outcome)
        self.count["rows compared"] += len(expected.rows)

    def compare_prepared(self, server, branch, outcome):
        """A server in recovery shows none, an open one each that was not ended, whoever began it."""
        if server.sql("select pg_is_in_recovery()") == "t":
            return
        found = {(gid, int(xid)) for gid, xid in (line.split("|") for line in server.sql(
            "select gid, transaction from pg_prepared_xacts").splitlines())}
        expected = self.reference.prepared_at(branch, outcome.limit)
        assert found == expected, f"prepared transactions {found}, expected {expected}"
        self.count["prepared transactions compared"] += len(expected)

    def refusal(self):
        """A target that can't be reached: no before anything is touched."""
        self.begin_step("refusal")
        kind = self.random.choice(KINDS)
        target, outcome, options = self.find_target(lambda outcome: outcome.status != 0, [kind],
                                                    [None] * 5 + [self.reference.newest + 5])
        if target is None:
            return
        words = [*self.words(target), *options]
        self.say("refusal", *words, f"-> {outcome.status} ({outcome.why})")
        server = self.world.server(f"refused-{self.steps}", port=SCRATCH_PORT)
        done = self.world.attempt("restore", f"--data={server.data}", "--json", "--start",
                                  "--as-copy", *words, environment={"PGPORT": SCRATCH_PORT})
        assert done.returncode == outcome.status, (
            f"restore returned {done.returncode}, expected {outcome.status} ({outcome.why}):\n"
            f"{done.stdout}{done.stderr}")
        assert not list(server.path.iterdir()), "something was written before it was refused"
        server.path.rmdir()
        self.refused[f"{outcome.status} {outcome.why}"] += 1

    def window(self):
        """Every instant of what `list` calls a recovery window can be restored."""
        self.begin_step("window")
        windows = [window for window in self.world.tool_json("list")["windows"]
                   if window["until_time"]]
        if not windows:
            return
        window = self.random.choice(windows)
        first, last = (microseconds(window[name]) for name in ("from_time", "until_time"))
        # They are told to the millisecond.
        if first + 2000 >= last:
            return
        target = Target("time", self.random.randrange(first + 1000, last - 1000))
        try:
            outcome = self.reference.expect(target, window["timeline"])
        except Undecided:
            return
        assert outcome.status == 0, f"{target} is in no window, {outcome}, and listed as one: {window}"
        answer = self.world.tool_json("restore", f"--data={self.world.path}/none", "--dry-run",
                                      f"--target-timeline={window['timeline']}", *self.words(target))
        assert answer["backup"] == outcome.backup.id, f"{answer}, expected {outcome}"
        self.count["instants of windows"] += 1

    # -- the summary ----------------------------------------------------------------------------

    def summary(self):
        def table(counter):
            return ", ".join(f"{name} {number}" for name, number in sorted(counter.items()))
        return "\n".join([
            f"{self.world}",
            f"seed {self.seed}: {sum(self.restored.values())} restores, "
            f"{sum(self.refused.values())} refusals, {self.count['rewind']} continued in the past",
            f"  restores:  {table(self.restored)}",
            f"  refusals:  {table(self.refused)}",
            f"  timelines: {self.timeline}, backups {len(self.reference.backups)}, "
            f"segments {sum(len(name) == 24 for name in self.reference.names)}, left in the middle "
            f"{sum(name.endswith('.partial') for name in self.reference.names)}",
            f"  happened:  {table(self.count)}",
            f"  transactions: {table(self.ledger.counts())}"])


def microseconds(text):
    """Of a time as the tool tells it, 2026-11-22T10:06:16.961Z, since 1970."""
    return round(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 10**6)


def main():
    restores = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    seed = sys.argv[2] if len(sys.argv) > 2 else str(random.SystemRandom().randrange(10**6))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    world = World(seed)
    status = 1
    try:
        world.setUp()
        campaign = Campaign(world, seed, restores, tell=lambda line: print(line, flush=True))
        campaign.run()
        print(campaign.summary())
        status = 0
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
        keep = os.environ.get("PGCAIRN_CAMPAIGN_KEEP")
        if keep and world.cluster:
            attempt("cp", "-a", world.path, pathlib.Path(keep) / f"campaign-{seed}", user=None)
        if world.cluster and "campaign" in locals():
            print(campaign.summary())
    finally:
        world.doCleanups()
    sys.exit(status)


if __name__ == "__main__":
    main()
