"""
What many writers did, written down outside the database: every transaction with its xid, the stretch
of WAL in which its commit must lie, its commit time, and what it changed.

A transaction is in the ledger before its COMMIT is sent. One that is never acknowledged is in doubt:
whether it happened is seen in the WAL later, and from then on it must be so everywhere.
"""

import collections
import contextlib
import dataclasses
import itertools
import random
import subprocess
import threading
import time

from support.processes import clean_environment, identity

PAYLOAD = "repeat(md5(number::text || '/' || version), 10)"
SCHEMA = """
    create table rows (number bigint primary key, version int not null, payload text not null);
    create table bulk (number bigint not null, line int not null, payload text not null);
    create index on bulk (number)"""


@dataclasses.dataclass
class End:
    """An acknowledged end: its record begins in [lower, upper)."""
    state: str  # committed, rolled back
    lower: int
    upper: int
    time: int   # of the commit, in microseconds since 1970, as the server tells it


@dataclasses.dataclass
class Transaction:
    number: int
    timeline: int  # where it began
    xid: int
    effects: list
    begun: int     # insert position of the WAL after its changes
    # By timeline: a prepared one that a recovery brings back may end once more, and otherwise.
    ends: dict = dataclasses.field(default_factory=dict)


class State:
    """What a database holds: transactions are applied in the order of their commits."""

    def __init__(self):
        self.rows, self.bulk, self.tables = {}, {}, set()

    def apply(self, effects):
        for kind, *values in effects:
            if kind == "put":
                self.rows[values[0]] = values[1]
            elif kind == "delete":
                del self.rows[values[0]]
            elif kind == "bulk":
                self.bulk[values[0]] = values[1]
            elif kind == "create":
                self.tables.add(values[0])
            else:
                self.tables.remove(values[0])

    def differences(self, other):
        """Texts: what `other` has too little, too much, or otherwise."""
        for what in ("rows", "bulk", "tables"):
            mine, others = getattr(self, what), getattr(other, what)
            mine, others = (set(part.items() if isinstance(part, dict) else part)
                            for part in (mine, others))
            for name, part in (("missing", mine - others), ("not expected", others - mine)):
                if part:
                    yield f"{len(part)} {what} {name}: {sorted(part)[:8]}"


def state_of(cluster):
    """What a restored database holds; a payload that is not its row's shows as version -1."""
    answer = cluster.sql(f"""
        select 'row', number::text, case when payload = {PAYLOAD} then version else -1 end from rows
        union all
        select 'bulk', number::text, count(*) from bulk group by number
        union all
        select 'table', tablename::text, 0 from pg_tables where tablename like 'made\\_%'""")
    state = State()
    for kind, name, value in (line.split("|") for line in answer.splitlines()):
        if kind == "row":
            state.rows[int(name)] = int(value)
        elif kind == "bulk":
            state.bulk[int(name)] = int(value)
        else:
            state.tables.add(name)
    return state


class Ledger:
    """All transactions of a campaign, whichever server they ran on; also a file, line by line."""

    def __init__(self, path):
        self.transactions = {}  # (timeline, xid) -> Transaction
        self.file = open(path, "a", encoding="utf-8")
        self._numbers = itertools.count(1)
        self._guard = threading.Lock()

    def number(self):
        with self._guard:
            return next(self._numbers)

    def note(self, transaction):
        with self._guard:
            key = transaction.timeline, transaction.xid
            known = self.transactions.get(key)
            # A crash loses the xid of a transaction of which nothing had been written out, be it
            # open or rolled back; never that of one which was committed.
            assert not known or all(end.state != "committed" for end in known.ends.values()), \
                f"xid given twice: {known}, {transaction}"
            self.transactions[key] = transaction
            self.file.write(f"{transaction}\n")
            self.file.flush()

    def prepared(self, names):
        """Those that the server calls so."""
        by_name = {name_of(t): t for t in self.transactions.values()}
        return [by_name[name] for name in names]

    def counts(self):
        """By what their clients know of them."""
        return collections.Counter(
            "/".join(sorted({end.state for end in t.ends.values()})) or "in doubt"
            for t in self.transactions.values())


def name_of(transaction):
    return f"prepared {transaction.timeline} {transaction.number}"


def lsn_of(text):
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


class Lost(Exception):
    """The session ended: the server was killed, or a statement failed."""


class Session:
    """One psql, statement by statement."""

    def __init__(self, cluster):
        self.process = subprocess.Popen(
            cluster.psql(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd="/", env=clean_environment(), **identity())

    def ask(self, statements):
        """Run them; fields of the last one's single row."""
        try:
            self.process.stdin.write(f"{statements}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Lost(self.process.stderr.read()) from None
        line = self.process.stdout.readline()
        if not line.endswith("\n"):
            raise Lost(self.process.stderr.read())
        return line.rstrip("\n").split("|")

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(180)
        self.process.stdout.close()
        self.process.stderr.close()

    # -- transactions ---------------------------------------------------------------------------

    def open(self, timeline, number, statements, effects):
        """Everything but its end."""
        xid, lsn = self.ask(f"begin; {statements}; "
                            "select pg_current_xact_id(), pg_current_wal_insert_lsn();")
        return Transaction(number, timeline, int(xid), effects, lsn_of(lsn))

    def end(self, transaction, statement, state, timeline, lower=None):
        """Send its end and write down the acknowledgement."""
        lsn, instant = self.ask(f"""{statement}; select pg_current_wal_insert_lsn(),
            (extract(epoch from pg_xact_commit_timestamp('{transaction.xid}'))*1000000)::bigint;"""
                                .replace("\n", " "))
        transaction.ends[timeline] = End(state, transaction.begun if lower is None else lower,
                                         lsn_of(lsn), int(instant) if instant else 0)

    def prepare(self, transaction):
        self.ask(f"prepare transaction '{name_of(transaction)}'; select 1;")

    def end_prepared(self, transaction, commits, timeline):
        lower = lsn_of(self.ask("select pg_current_wal_insert_lsn();")[0])
        self.end(transaction, f"{'commit' if commits else 'rollback'} prepared "
                 f"'{name_of(transaction)}'", "committed" if commits else "rolled back", timeline,
                 lower)


class Writer(threading.Thread):
    """Transactions of all sorts. It touches only what it made and had acknowledged itself."""

    def __init__(self, load, seed):
        super().__init__(daemon=True)
        self.load, self.random = load, random.Random(seed)
        self.rows, self.tables = {}, []
        self.failure = None

    def run(self):
        session = Session(self.load.cluster)
        try:
            while not self.load.stopping.is_set():
                self.one(session)
                time.sleep(self.random.random() * 0.008)
        except Lost as lost:
            self.failure = str(lost)
        except Exception as problem:  # pylint: disable=broad-except
            self.failure = f"in the writer itself: {problem!r}"
        finally:
            session.close()

    def one(self, session):
        number = self.load.ledger.number()
        statements, effects = self.changes(number)
        transaction = session.open(self.load.timeline, number, statements, effects)
        self.load.ledger.note(transaction)
        chance = self.random.random()
        if chance < 0.12:
            session.end(transaction, "rollback", "rolled back", self.load.timeline)
        elif chance < 0.24 and is_alone(effects):
            session.prepare(transaction)
            if self.random.random() < 0.7:
                self.finish_prepared(session, transaction)
        else:
            session.end(transaction, "commit", "committed", self.load.timeline)
            self.remember(effects)

    def finish_prepared(self, session, transaction):
        time.sleep(self.random.random() * 0.01)
        commits = self.random.random() < 0.7
        session.end_prepared(transaction, commits, self.load.timeline)
        if commits:
            self.remember(transaction.effects)

    def remember(self, effects):
        for kind, *values in effects:
            if kind == "put":
                self.rows[values[0]] = values[1]
            elif kind == "delete":
                self.rows.pop(values[0])
            elif kind == "create":
                self.tables.append(values[0])
            elif kind == "drop":
                self.tables.remove(values[0])

    def changes(self, number):
        """(SQL, its effects once it is committed)"""
        put = insert(number, 0)
        choice = self.random.random()
        if choice < 0.2:
            other = self.load.ledger.number()
            return (f"{put}; savepoint a; {insert(other, 7)}; rollback to a; savepoint b; "
                    f"{insert(other, 0)}; release b", [("put", number, 0), ("put", other, 0)])
        if choice < 0.32 and self.rows:
            old = self.random.choice(list(self.rows))
            version = self.rows[old] + 1
            return (f"{put}; update rows set version = {version}, payload = md5.payload from "
                    f"(select {PAYLOAD} payload from (values ({old}, {version})) v(number, version)) "
                    f"md5 where number = {old}", [("put", number, 0), ("put", old, version)])
        if choice < 0.42 and self.rows:
            old = self.random.choice(list(self.rows))
            return (f"{put}; delete from rows where number = {old}",
                    [("put", number, 0), ("delete", old)])
        if choice < 0.47:
            return (f"create table made_{number} as select generate_series(1, 20) x; {put}",
                    [("create", f"made_{number}"), ("put", number, 0)])
        if choice < 0.5 and self.tables:
            table = self.random.choice(self.tables)
            return f"drop table {table}; {put}", [("drop", table), ("put", number, 0)]
        if choice < 0.6:
            lines = self.random.choice((5, 50, 400))
            return (f"insert into bulk select {number}, n, repeat(md5(n::text), 5) "
                    f"from generate_series(1, {lines}) n", [("bulk", number, lines)])
        return put, [("put", number, 0)]


def is_alone(effects):
    """Whether it only adds rows, so that nobody waits for it while it is prepared."""
    return all(kind == "bulk" or (kind == "put" and values[1] == 0) for kind, *values in effects)


def insert(number, version):
    return (f"insert into rows select number, version, {PAYLOAD} "
            f"from (values ({number}, {version})) v(number, version)")


class Load:
    """Some writers at work on a server, until stop()."""

    def __init__(self, cluster, ledger, timeline, seed, writers=3):
        self.cluster, self.ledger, self.timeline = cluster, ledger, timeline
        self.stopping, self.is_killed = threading.Event(), False
        self.writers = [Writer(self, f"{seed}/{n}") for n in range(writers)]

    def __enter__(self):
        for writer in self.writers:
            writer.start()
        return self

    def stop(self, killed=False):
        """Let each finish its transaction; one that failed fails the test, unless the server died."""
        self.is_killed = self.is_killed or killed
        self.stopping.set()
        for writer in self.writers:
            writer.join(180)
            assert not writer.is_alive(), "a writer did not end within 180 s"
            if writer.failure and (not self.is_killed or "writer itself" in writer.failure):
                raise AssertionError(f"a writer failed: {writer.failure}")

    def __exit__(self, kind, *_):
        self.stop(killed=kind is not None)
