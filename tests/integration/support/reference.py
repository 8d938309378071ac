"""
What a restore must give, computed without pgcairn: from a plain copy of the WAL, read by
pg_waldump, by the rules of the server's recovery (xlogrecovery.c) and of the choice of a backup
(docs/architecture.md). The ledger of the clients is held against it.
"""

import array
import bisect
import calendar
import collections
import copy
import dataclasses
import os
import re
import subprocess
import time

from support.ledger import State, lsn_of
from support.processes import BIN, clean_environment, identity

LINE = re.compile(r"rmgr: (\w+) .*?tx: +(\d+), lsn: ([0-9A-F]+/[0-9A-F]+), prev \S+, desc: (.*)")
END = re.compile(r"(COMMIT|ABORT)(?:_PREPARED)? (?:(\d+): )?(\d+-\d+-\d+ \d+:\d+:\d+)\.(\d{6}) UTC")
PREPARE = re.compile(r"PREPARE gid (.*): (\d+-\d+-\d+ \d+:\d+:\d+)\.(\d{6}) UTC")
SEGMENT = re.compile("[0-9A-F]{24}")

# kind: commit, abort, prepare (gid in name), point (name), backup end (its start LSN in name)
Event = collections.namedtuple("Event", "lsn kind xid time name")
Target = collections.namedtuple("Target", "kind value exclusive", defaults=(None, False))


@dataclasses.dataclass
class Backup:
    id: str
    timeline: int
    start: int
    stop: int
    begun: float
    ended: float


@dataclasses.dataclass
class Outcome:
    """What must come of a restore. status 0: every record before `limit` is replayed."""
    status: int
    why: str = ""
    limit: int = 0
    backup: Backup | None = None
    timeline: int = 0
    takes_end: bool = False
    stop: int | None = None  # start of the record at which replay stops
    told_timeline: int = 0   # along which it gets there


def microseconds(seconds, fraction):
    return calendar.timegm(time.strptime(seconds, "%Y-%m-%d %H:%M:%S")) * 10**6 + int(fraction)


class Undecided(Exception):
    """The reference can't tell: another target is taken."""


class Branch:
    """The records of a timeline path, as far as the archive has them."""

    def __init__(self, timeline, steps):
        self.timeline = timeline
        self.steps = steps            # [(timeline, end)], the last one's end is None
        self.starts = array.array("Q")  # of every record
        self.events = []
        self.event_starts = array.array("Q")
        self.whole = 0, 0             # records and events that are in whole segments
        self.read = None              # the first segment that is not whole, and what there is of it
        self.is_gap = False           # nothing of its last timeline is archived yet

    def timeline_at(self, lsn):
        return next(t for t, end in self.steps if end is None or lsn < end)

    def end_of(self, timeline):
        """Where this path leaves the timeline: None at the last one's end; 0 when it is not on it."""
        return dict(self.steps).get(timeline, 0)

    def from_lsn(self, lsn):
        """Its events at and behind this LSN."""
        return self.events[bisect.bisect_left(self.event_starts, lsn):]

    def record_from(self, lsn):
        """Start of the first record at or behind this LSN, None if there is none."""
        at = bisect.bisect_left(self.starts, lsn)
        return self.starts[at] if at < len(self.starts) else None

    def has_record(self, first, limit):
        """Whether a record begins in [first, limit)."""
        start = self.record_from(first)
        return start is not None and start < limit

    def inherit(self, parent, lsn):
        """Take over the parent's records before this LSN."""
        self.starts = parent.starts[:bisect.bisect_left(parent.starts, lsn)]
        count = bisect.bisect_left(parent.event_starts, lsn)
        self.events, self.event_starts = parent.events[:count], parent.event_starts[:count]
        self.whole = len(self.starts), count

    def forget_open(self):
        """What was read from a segment that is not whole: it may be by now."""
        records, events = self.whole
        self.starts, self.events = self.starts[:records], self.events[:events]
        self.event_starts = self.event_starts[:events]

    def beyond(self, lsn):
        """Only its records at and after this LSN."""
        rest = copy.copy(self)
        rest.starts = self.starts[bisect.bisect_left(self.starts, lsn):]
        rest.events = self.from_lsn(lsn)
        return rest

    def add(self, line, end=None):
        found = LINE.match(line)
        if not found:
            return
        manager, xid, lsn, text = found.groups()
        lsn = lsn_of(lsn)
        if (self.starts and lsn <= self.starts[-1]) or (end is not None and lsn >= end):
            return
        self.starts.append(lsn)
        event = None
        if manager == "Transaction":
            end, prepare = END.match(text), PREPARE.match(text)
            if prepare:
                event = Event(lsn, "prepare", int(xid), microseconds(*prepare.group(2, 3)), prepare[1])
            if end:
                event = Event(lsn, end[1].lower(), int(end[2] or xid), microseconds(*end.group(3, 4)), None)
        elif manager == "XLOG" and text.startswith("RESTORE_POINT "):
            event = Event(lsn, "point", 0, 0, text.removeprefix("RESTORE_POINT "))
        elif manager == "XLOG" and text.startswith("BACKUP_END "):
            event = Event(lsn, "backup end", 0, 0, lsn_of(text.removeprefix("BACKUP_END ")))
        if event:
            self.events.append(event)
            self.event_starts.append(lsn)


class Reference:
    """plain: directory with a copy of every archived file; archived(): names that pgcairn has."""

    def __init__(self, plain, scratch, archived, ledger, segment_size):
        self.plain, self.scratch, self.archived = plain, scratch, archived
        self.ledger, self.size = ledger, segment_size
        self.backups, self.branches, self.names = [], {}, set()
        self.tail = None  # folder with segments that only a data directory has
        self.fresh = set()      # timelines whose branch is read, and
        self.restorable = {}    # backups looked at, since refresh()
        self.forks = {}

    def with_tail(self, folder):
        """The same, and besides what a data directory has that is archived nowhere."""
        other = copy.copy(self)
        other.tail, other.scratch = folder, folder
        other.branches = {timeline: copy.copy(branch) for timeline, branch in self.branches.items()}
        for branch in other.branches.values():
            branch.inherit(branch, branch.starts[-1] + 1 if branch.starts else 0)
            branch.whole = self.branches[branch.timeline].whole
        other.refresh()
        return other

    def refresh(self):
        """Look at the archive as it is now: nothing may be written to it until it is used."""
        self.names = set(self.archived())
        if self.tail:
            self.names |= {path.name for path in self.tail.iterdir() if SEGMENT.fullmatch(path.name)}
        self.newest = max(int(name[:8], 16) for name in self.names)
        # What initdb wrote is not archived.
        first = min(name for name in self.names if SEGMENT.fullmatch(name))
        self.first = int(first[8:16], 16) * (2**32 // self.size) + int(first[16:], 16)
        self.fresh, self.restorable = set(), {}
        self.forks = collections.defaultdict(list)
        for name in sorted(self.names):
            if name.endswith(".history"):
                timeline = int(name[:8], 16)
                parent, fork = self.steps(timeline)[-2]
                self.forks[parent].append((timeline, fork))

    def file_of(self, name):
        mine = self.tail / name if self.tail else None
        return mine if mine and mine.exists() else self.plain / name

    def timelines(self):
        """Every timeline that the archive knows, the newest first."""
        return sorted({int(name[:8], 16) for name in self.names} |
                      {backup.timeline for backup in self.backups}, reverse=True)

    # -- paths ----------------------------------------------------------------------------------

    def steps(self, timeline):
        steps = []
        if timeline > 1:
            history = (self.plain / f"{timeline:08X}.history").read_text(encoding="utf-8")
            for line in history.splitlines():
                words = line.split("\t")
                if words[0].isdigit():
                    steps.append((int(words[0]), lsn_of(words[1])))
        # A switch that goes back (a recovery to a point before its timeline began) clips the others.
        for i in range(len(steps) - 1, 0, -1):
            steps[i - 1] = (steps[i - 1][0], min(steps[i - 1][1], steps[i][1]))
        return steps + [(timeline, None)]

    def segment_name(self, number, timeline):
        per_high = 2**32 // self.size
        return f"{timeline:08X}{number // per_high:08X}{number % per_high:08X}"

    def timeline_of_segment(self, steps, number):
        """A segment in which timelines change is the newer one's."""
        owner = steps[0][0]
        for (_, end), (timeline, _) in zip(steps, steps[1:]):
            if number >= end // self.size:
                owner = timeline
        return owner

    def left_open(self, timeline, number):
        """
        What there is of a segment that never became whole: (file, where it counts no more). A
        .partial may go on after the fork; whoever began in it has a copy of what is before.
        """
        name = self.segment_name(number, timeline)
        if name in self.names:
            yield self.file_of(name), None
            return
        if f"{name}.partial" in self.names:
            yield self.file_of(f"{name}.partial"), None
        for child, fork in self.forks[timeline]:
            if fork // self.size == number:
                for file, end in self.left_open(child, number):
                    yield file, fork if end is None else min(fork, end)

    def has_wal(self, branch):
        """Whether anything of its last timeline is archived."""
        fork = branch.steps[-2][1]
        return any(SEGMENT.fullmatch(name) and int(name[:8], 16) == branch.timeline
                   for name in self.names) or any(
            end is None or end > fork for _, end in self.left_open(branch.timeline, fork // self.size))

    def branch(self, timeline):
        """The path of this timeline, read as far as the archive goes; None: there is none."""
        if timeline in self.fresh:
            return self.branches[timeline]
        if timeline > 1 and f"{timeline:08X}.history" not in self.names:
            return None
        known = self.branches.get(timeline)
        branch = known or Branch(timeline, self.steps(timeline))
        is_gap = len(branch.steps) > 1 and not self.has_wal(branch)
        if known is None or branch.is_gap or is_gap:
            branch = Branch(timeline, self.steps(timeline))
        if is_gap:
            # Only its history is there: all that is known lies before the fork, on its parent.
            parent, fork = branch.steps[-2]
            branch.inherit(self.branch(parent), fork)
            branch.is_gap = True
        else:
            if len(branch.steps) > 1 and not branch.starts:
                # From the segment before the fork on it is read anew: a record may straddle.
                parent, fork = branch.steps[-2]
                branch.inherit(self.branch(parent), (fork // self.size - 1) * self.size)
            self.read_on(branch)
        self.branches[timeline] = branch
        self.fresh.add(timeline)
        return branch

    def read_on(self, branch):
        records = branch.whole[0]
        number = branch.starts[records - 1] // self.size if records else self.first
        whole = []
        while True:
            timeline = self.timeline_of_segment(branch.steps, number)
            name = self.segment_name(number, timeline)
            if name not in self.names:
                break
            whole.append((number, self.file_of(name)))
            number += 1
        left = list(self.left_open(branch.timeline, number)) if timeline == branch.timeline else []
        if branch.read == (number, left):
            return
        branch.read = number, left
        branch.forget_open()
        folder = self.scratch / f"path-{branch.timeline}"
        folder.mkdir(exist_ok=True)
        self.dump(branch, folder, whole, number * self.size)
        branch.whole = len(branch.starts), len(branch.events)
        for file, end in left:
            self.dump(branch, folder, [(number, file)], end)

    def link(self, folder, number, file):
        place = folder / self.segment_name(number, 1)
        place.unlink(missing_ok=True)
        os.symlink(file, place)

    def dump(self, branch, folder, segments, end):
        """Read on behind its last record, at most to this place; WAL ends with an error."""
        for number, file in segments:
            self.link(folder, number, file)
        if segments:
            # For a file that is not there it would wait 5 s; one of another place is an error at once.
            self.link(folder, segments[-1][0] + 1, segments[-1][1])
        start = branch.starts[-1] if branch.starts else self.first * self.size
        with subprocess.Popen([str(BIN / "pg_waldump"), "-t", "1", "-p", str(folder), "-s",
                               f"{start >> 32:X}/{start & 0xFFFFFFFF:X}"], cwd="/", text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              env=clean_environment(TZ="UTC"), **identity()) as dump:
            for line in dump.stdout:
                branch.add(line, end)

    # -- the server's rules ---------------------------------------------------------------------

    @staticmethod
    def stop_of(branch, target, redo):
        """
        (start of the record at which replay from redo on stops, the limit): records that begin
        before the limit are replayed. (None, 0): no record stops it.
        """
        after = not target.exclusive
        if target.kind == "lsn":
            stop = branch.record_from(max(target.value, redo))
            return (None, 0) if stop is None else (stop, stop + after)
        for event in branch.from_lsn(redo):
            if target.kind == "time" and event.kind in ("commit", "abort") and (
                    event.time > target.value or (target.exclusive and event.time == target.value)):
                return event.lsn, event.lsn
            if target.kind == "xid" and event.kind in ("commit", "abort") and \
                    event.xid == target.value:
                return event.lsn, event.lsn + after
            if target.kind == "name" and event.kind == "point" and event.name == target.value:
                return event.lsn, event.lsn + 1
        return None, 0

    # -- the choice of a backup -----------------------------------------------------------------

    def is_restorable(self, backup):
        if backup.id not in self.restorable:
            self.restorable[backup.id] = self.has_wal_of(backup)
        return self.restorable[backup.id]

    def has_wal_of(self, backup):
        steps = self.steps(backup.timeline)
        return all(self.segment_name(number, self.timeline_of_segment(steps, number)) in self.names
                   for number in range(backup.start // self.size, (backup.stop - 1) // self.size + 1))

    def candidates(self, branch, wished):
        """Restorable backups on this path, the newest first."""
        found = []
        for backup in self.backups:
            end = branch.end_of(backup.timeline)
            if (end is None or (end and backup.stop <= end)) and wished in (None, backup.id) and \
                    self.is_restorable(backup):
                found.append(backup)
        return sorted(found, key=lambda backup: backup.stop, reverse=True)

    def expect(self, target, timeline=None, wished=None):
        """What `restore` must do."""
        if wished and wished not in {backup.id for backup in self.backups}:
            return Outcome(6, "no such backup")
        branch, candidates = None, []
        for number in [timeline] if timeline else self.timelines():
            branch = self.branch(number)
            candidates = self.candidates(branch, wished) if branch else []
            if candidates:
                break
        if not candidates:
            return Outcome(6, "no backup leads there")
        outcome = None
        for backup in candidates:
            outcome = self.judge(branch, target, backup)
            outcome.backup, outcome.timeline = backup, branch.timeline
            outcome.told_timeline = self.told_timeline(branch, target, backup, outcome)
            if outcome.why != "before the backup's end" and outcome.why != "not seen":
                break
        if not timeline and self.another_is_meant(branch, target, outcome, wished):
            return Outcome(4, "another branch may be meant")
        return outcome

    # -- several branches -----------------------------------------------------------------------

    @staticmethod
    def part(one, other):
        """Where two paths part; None: they don't."""
        begin = 0
        steps = [[(timeline, end) for (timeline, end), (_, before) in
                  zip(path.steps, [(0, 0), *path.steps]) if end is None or end > before]
                 for path in (one, other)]
        for (timeline, end), (other_timeline, other_end) in zip(*steps):
            if timeline != other_timeline:
                return begin
            if end != other_end:
                return min(place for place in (end, other_end) if place is not None)
            begin = end
        return None

    def replayed_beyond(self, branch, target, place, outcome):
        """Whether what is restored along the branch holds something from beyond this place."""
        if outcome.status:
            return False
        limit = outcome.limit
        if target.kind == "time":
            return any(event.kind == "commit" and event.lsn < limit
                       for event in branch.from_lsn(max(place, outcome.backup.start)))
        if target.kind == "immediate":
            return limit > place
        return branch.has_record(place, limit)

    def holds(self, branch, target, place):
        """Whether the target is on the branch beyond the place where it parts from another."""
        if target.kind in ("latest", "immediate"):
            return False
        stop, limit = self.stop_of(branch, target, place)
        if target.kind == "time":
            limit = self.end(branch) if stop is None else limit
            return any(event.kind == "commit" and event.lsn < limit
                       for event in branch.from_lsn(place))
        return stop is not None and branch.has_record(place, limit)

    def another_is_meant(self, branch, target, outcome, wished):
        """A restore that was not told its timeline is refused where it could be the wrong one."""
        newest = self.candidates(branch, None)[:1]
        last = next(([event.time] for event in reversed(branch.events) if event.kind == "commit"), [])
        for number in self.timelines():
            other = self.branch(number)
            place = self.part(branch, other) if other else None
            if place is None or (wished and not self.candidates(other, wished)):
                continue
            commits = [event.time for event in other.from_lsn(place) if event.kind == "commit"]
            work = commits + self.prepared_beyond(other, place)
            here = self.replayed_beyond(branch, target, place, outcome)
            shared = not outcome.status and outcome.stop is not None and outcome.stop < place
            if self.holds(other, target, place) and not shared and \
                    not (target.kind == "time" and (here or self.is_beyond_gap(branch, target, commits))):
                return True
            if outcome.status:
                continue
            if (here or target.kind == "latest") and work and (not last or max(work) > last[0]):
                return True
            # In a campaign whatever is on an older timeline is older than the newest one's beginning,
            # which is not known as long as none of its WAL is archived.
            rival = [backup for backup in self.candidates(other, None)[:1] if backup.stop > place]
            if branch.is_gap and rival and (here or (target.kind == "immediate" and not wished)) and \
                    (not newest or rival[0].ended > newest[0].ended):
                return True
        return False

    @staticmethod
    def is_beyond_gap(branch, target, commits):
        """What is not archived yet may hold what was committed until then."""
        return branch.is_gap and (not commits or target.value > max(commits))

    def told_timeline(self, branch, target, backup, outcome):
        """Of the recovery: what stops before a fork is reached along the parent, if that is whole."""
        if target.kind == "latest" or outcome.status:
            return branch.timeline
        stop = outcome.stop if outcome.stop is not None else self.end(branch) - 1
        forks = [(parent, child, end) for (parent, end), (child, _) in
                 zip(branch.steps, branch.steps[1:])]
        for parent, child, fork in reversed(forks):
            before = backup.stop <= fork if target.kind == "immediate" else (
                stop < fork or self.stops_on_parent(branch, parent, fork, target, backup, outcome))
            # A record that straddles two segments needs both: the reference does not see its end.
            if self.segment_name(fork // self.size, parent) not in self.names and before and \
                    stop // self.size >= fork // self.size - 1:
                raise Undecided
            if not before or backup.timeline > parent:
                return child
        return branch.steps[0][0]

    def stops_on_parent(self, branch, parent, fork, target, backup, outcome):
        """Whether the same is replayed along the parent, which stops there as well."""
        along = self.branch(parent)
        if outcome.takes_end or branch.has_record(fork, outcome.limit):
            return False
        stop, limit = self.stop_of(along, target, backup.start)
        return stop is not None and not along.has_record(fork, limit)

    def judge(self, branch, target, backup):
        if target.kind == "latest":
            return Outcome(8, "a gap") if branch.is_gap else Outcome(0, limit=self.end(branch))
        if target.kind == "immediate":
            return Outcome(0, limit=backup.stop)
        if target.kind == "lsn" and target.value < backup.stop:
            return Outcome(4, "before the backup's end")
        if target.kind == "time" and self.is_too_early(branch, target, backup):
            return Outcome(4, "before the backup's end")
        stop, limit = self.stop_of(branch, target, backup.start)
        if stop is not None and stop < backup.stop:
            return Outcome(4, "before the backup's end")
        if stop is not None:
            return Outcome(0, limit=limit, stop=stop)
        if branch.is_gap:
            return Outcome(8, "a gap" if target.kind in ("time", "lsn") else "not seen")
        if target.kind == "time":
            return Outcome(0, limit=self.end(branch), takes_end=True)
        return Outcome(6, "behind the archive's end" if target.kind == "lsn" else "not seen")

    def is_too_early(self, branch, target, backup):
        """Not before the last end of a transaction inside; without any, not before it stopped."""
        inside = [event.time for event in branch.from_lsn(backup.start)
                  if event.lsn < backup.stop and event.kind in ("commit", "abort")]
        if inside:
            return target.value < max(inside)
        if backup.begun * 10**6 <= target.value <= backup.ended * 10**6:
            raise Undecided
        return target.value < backup.begun * 10**6

    @staticmethod
    def end(branch):
        return branch.starts[-1] + 1

    # -- what belongs ---------------------------------------------------------------------------

    def transaction_of(self, branch, event):
        """Whose end this is, in the ledger; None when it was none of the writers'."""
        timeline = branch.timeline_at(event.lsn)
        for number, end in reversed(branch.steps):
            if number > timeline:
                continue
            found = self.ledger.transactions.get((number, event.xid))
            if found and (number == timeline or found.begun <= end):
                return found
        return None

    def state_at(self, branch, limit):
        """The state when every record before the limit has been replayed."""
        state = State()
        for event in branch.events[:bisect.bisect_left(branch.event_starts, limit)]:
            found = self.transaction_of(branch, event) if event.kind == "commit" else None
            if found:
                state.apply(found.effects)
        return state

    @staticmethod
    def prepared_at(branch, limit):
        """The transactions, as (gid, xid), that are prepared and not ended there."""
        open_ones = {}
        for event in branch.events[:bisect.bisect_left(branch.event_starts, limit)]:
            if event.kind == "prepare":
                open_ones[event.xid] = event.name
            elif event.kind in ("commit", "abort"):
                open_ones.pop(event.xid, None)
        return {(name, xid) for xid, name in open_ones.items()}

    @staticmethod
    def prepared_beyond(branch, place):
        """When what is prepared beyond this place, and open where the branch ends, was prepared."""
        beyond = branch.from_lsn(place)
        ended = {event.xid for event in beyond if event.kind in ("commit", "abort")}
        return [event.time for event in beyond if event.kind == "prepare" and event.xid not in ended]

    def check_ledger(self, branch):
        """
        Whatever a client was told is in the WAL, where and when it was told; nothing that was told
        to be rolled back is committed; what is in doubt is committed once or not at all.
        """
        ends = {}
        for event in branch.events:
            if event.kind not in ("commit", "abort"):
                continue
            found = self.transaction_of(branch, event)
            if not found:
                continue
            assert found.number not in ends, f"it ended twice: {found} at {event}, {ends[found.number]}"
            ends[found.number] = event
            told = found.ends.get(branch.timeline_at(event.lsn))
            wanted = {"committed": "commit", "rolled back": "abort"}.get(told and told.state)
            assert wanted in (None, event.kind), f"the client was told otherwise: {found}, {event}"
        for found in self.ledger.transactions.values():
            for timeline, told in found.ends.items():
                self.check_acknowledged(branch, found, timeline, told, ends)

    def check_acknowledged(self, branch, found, timeline, told, ends):
        end = branch.end_of(timeline)
        last = self.end(branch) if end is None else min(end, self.end(branch))
        if end == 0 or told.upper > last or told.state != "committed":
            return  # on another branch, or not archived
        event = ends.get(found.number)
        assert event, f"an acknowledged commit is not in the WAL: {found}"
        assert told.lower <= event.lsn < told.upper, f"elsewhere in the WAL: {found}, {event}"
        assert told.time == event.time, f"at another time: {found}, {event}"

    def check_backups(self, branch):
        """Each backup of this path ends with the server's record of it."""
        ends = {event.name: event.lsn for event in branch.events if event.kind == "backup end"}
        for backup in self.candidates(branch, None):
            assert backup.start in ends, f"the WAL has no end of backup {backup}"
            assert ends[backup.start] < backup.stop, f"the backup ends elsewhere: {backup}"
