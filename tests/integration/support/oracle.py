"""
What was committed, by the client's own record.

A writer inserts numbered rows and writes a number into a local file only after the server has
acknowledged its commit. Tests compare a restored database with that file, never with the database
that was backed up.
"""

import collections
import itertools
import pathlib
import subprocess
import threading
import time

from support.processes import BIN, clean_environment, identity, run
from support.version import MAJOR

TABLE = "oracle"
# The content of a row follows from its number, so a row that came back wrong is noticed too.
PAYLOAD = "repeat(md5(number::text), 10)"

# sent and acknowledged: the client's clock, in seconds since 1970. The server's commit time lies
# between them.
Commit = collections.namedtuple("Commit", "number xid sent acknowledged")


class Oracle:
    """
    with Oracle(cluster, path / "commits") as oracle:
        ...                                 # commits go on meanwhile
    oracle.commits                          # all that was acknowledged
    """

    def __init__(self, cluster, path, writers=2, pause_s=0.0, first_number=1):
        self.cluster = cluster
        self.path = pathlib.Path(path)
        self.pause_s = pause_s
        self.commits = []
        self.sent = set()
        self.failure = None
        self._numbers = itertools.count(first_number)
        self._guard = threading.Lock()  # of commits, sent, the file and the numbers
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._write, daemon=True) for _ in range(writers)]
        cluster.sql(f"""create table if not exists {TABLE}
                        (number bigint primary key, payload text not null)""")
        self._file = open(self.path, "a", encoding="utf-8")

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Let every writer finish what it began. A writer that failed is a failure of the test,
        unless the test had it killed (then in_doubt() has its last number)."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(180)
            if thread.is_alive():
                raise AssertionError("a writer did not end within 180 s")
        self._file.close()

    def in_doubt(self):
        """Numbers that were sent and never acknowledged: may be there, may be not."""
        with self._guard:
            return self.sent - {commit.number for commit in self.commits}

    def numbers(self):
        with self._guard:
            return {commit.number for commit in self.commits}

    def at(self, instant):
        """(must, may): what a database at this instant (seconds since 1970) holds for certain, and
        what it may hold besides, since it was committed around that very moment."""
        with self._guard:
            must = {commit.number for commit in self.commits if commit.acknowledged <= instant}
            known = {commit.number for commit in self.commits}
            may = {commit.number for commit in self.commits
                   if commit.sent <= instant < commit.acknowledged} | (self.sent - known)
        return must, may

    def wait_commits(self, count, timeout_s=180):
        """Wait until so many more commits were acknowledged."""
        wanted = len(self.commits) + count
        deadline = time.monotonic() + timeout_s
        while len(self.commits) < wanted:
            if self.failure or time.monotonic() > deadline:
                raise AssertionError(f"only {len(self.commits)} of {wanted} commits: {self.failure}")
            time.sleep(0.02)

    def _write(self):
        with subprocess.Popen(self.cluster.psql(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, cwd="/", env=clean_environment(),
                              **identity()) as session:
            try:
                while not self._stopping.is_set():
                    self._commit_one(session)
                    time.sleep(self.pause_s)
                session.stdin.close()
            except (BrokenPipeError, EOFError) as broken:
                self.failure = f"{broken}: {session.stderr.read()}"
                session.kill()

    def _commit_one(self, session):
        with self._guard:
            number = next(self._numbers)
            self.sent.add(number)
        sent = time.time()
        session.stdin.write(
            f"begin; insert into {TABLE} select number, {PAYLOAD} from (values ({number})) v(number);\n"
            f"select pg_current_xact_id();\ncommit;\nselect 'acknowledged {number}';\n")
        session.stdin.flush()
        xid = session.stdout.readline()
        answer = session.stdout.readline()
        if answer.strip() != f"acknowledged {number}":
            raise EOFError(f"no acknowledgement of {number}")
        commit = Commit(number, int(xid), sent, time.time())
        with self._guard:
            self._file.write("{} {} {:.6f} {:.6f}\n".format(*commit))
            self._file.flush()
            self.commits.append(commit)


def read_commits(path):
    """The commits in an oracle's file."""
    with open(path, encoding="utf-8") as file:
        return [Commit(int(number), int(xid), float(sent), float(acknowledged))
                for number, xid, sent, acknowledged in (line.split() for line in file)]


def difference(restored, must, may=()):
    """(missing, foreign): numbers of `must` that are not there; such that belong to neither."""
    must, may = set(must), set(may)
    rows = {int(line) for line in restored.sql(f"select number from {TABLE}").split()}
    return must - rows, rows - must - may


def assert_content(restored, must, may=()):
    """The restored database holds every number of `must` and none besides `must` and `may`."""
    missing, extra = difference(restored, must, may)
    if missing or extra:
        raise AssertionError(f"{len(missing)} acknowledged commits are missing {sorted(missing)[:10]}, "
                             f"{len(extra)} don't belong there {sorted(extra)[:10]}")
    wrong = restored.sql(f"select count(*) from {TABLE} where payload <> {PAYLOAD}")
    if wrong != "0":
        raise AssertionError(f"{wrong} rows came back with another content")


def check_indexes(cluster):
    """What pg_amcheck would do with every btree."""
    for database in cluster.sql("select datname from pg_database where datallowconn").split("\n"):
        cluster.sql("create extension if not exists amcheck", database)
        cluster.sql("""select bt_index_parent_check(i.indexrelid, true) from pg_index i
                       join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam
                       where a.amname = 'btree' and c.relpersistence <> 't'
                       and c.relkind = 'i' and i.indisvalid""", database)


def check_structure(cluster):
    """pg_amcheck over every database: heaps, indexes, and each against the other."""
    if MAJOR < 14:  # has no pg_amcheck, and nothing that checks heaps
        check_indexes(cluster)
        return
    run(BIN / "pg_amcheck", "-h", cluster.socket, "-p", cluster.port, "-U", "postgres", "--all",
        "--install-missing", "--heapallindexed", timeout_s=300)


def verify_backup(data):
    """PostgreSQL's own check of restored files against backup_manifest, before the first start."""
    kept = [f"--ignore={path.name}" for path in pathlib.Path(data).glob("pgcairn.restore-pg_wal-*")]
    run(BIN / "pg_verifybackup", "--no-parse-wal", *kept, data, timeout_s=300)
