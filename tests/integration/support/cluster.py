"""A real PostgreSQL for tests: its own directory, its own socket, gone afterwards."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from support.archive import archived
from support.initdb import initdb
from support.processes import (BIN, TOOL, USER, attempt, clean_environment, identity, is_alive,
                               kill_tree, run, wait_for)
from support.version import SWITCH_WAL, backup_start, backup_stop


def quoted(value):
    """A value as it must stand in postgresql.conf."""
    return "'" + str(value).replace("\\", "\\\\").replace("'", "''") + "'"


class Cluster:
    """One server. Unix socket only, so that tests running at once do not meet."""

    def __init__(self, path, socket=None, port=5432):
        self.path = pathlib.Path(path)
        self.data = self.path / "data"
        self.log = self.path / "server.log"
        self.socket = pathlib.Path(socket or path)
        self.port = port
        self.process = None
        self.environment = {}  # what the server gets besides the usual one

    # -- making one -----------------------------------------------------------------------------

    def create(self, segment_mb=16, checksums=True, **settings):
        initdb(self.data, segment_mb, checksums)
        # fsync off: tests kill processes, never the machine, and the page cache survives that.
        # autovacuum off: no commits, no WAL and no files but those that a test has made.
        ours = {"listen_addresses": "", "unix_socket_directories": self.socket, "fsync": "off",
                "max_connections": 40, "shared_buffers": "32MB", "lc_messages": "C",
                "autovacuum": "off"}
        return self.configure(**{**ours, **settings})

    def configure(self, **settings):
        """Add lines to postgresql.conf; the last line of a name wins."""
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.writelines(f"{name} = {quoted(value)}\n" for name, value in settings.items())
        return self

    def tablespace(self, name):
        """CREATE TABLESPACE in a fresh directory beside the data directory; gives its path."""
        path = self.path / f"tablespace-{name}"
        make_directory(path)
        self.sql(f"create tablespace {name} location '{path}'")
        return path

    # -- running it -----------------------------------------------------------------------------

    def start(self, **settings):
        """Start and wait until it answers queries (read-only ones, when it stays in recovery)."""
        self.spawn(**settings)
        self.wait_ready()
        return self

    def spawn(self, **settings):
        """Start the server itself, not by pg_ctl: its exit status is what tests look at."""
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [str(BIN / "postgres"), "-D", str(self.data), "-p", str(self.port), *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
                env=clean_environment(**self.environment), **identity())
        return self.process

    def wait_ready(self, timeout_s=180):
        def answers():
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n"
                                     f"{self.log_tail()}")
            return attempt(BIN / "psql", "-XAtq", "-h", self.socket, "-p", self.port, "-U",
                           "postgres", "-d", "postgres", "-c", "select 1").returncode == 0
        wait_for(answers, f"server on {self.data} answers\n{self.log_tail()}", timeout_s)

    def wait_exit(self, timeout_s=180):
        """The exit status of a server that ends by itself (or was told to)."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"server on {self.data} still runs after {timeout_s} s:\n"
                                 f"{self.log_tail()}") from None

    def pid(self):
        """The postmaster's, by its lock file; None when no such process is there."""
        try:
            pid = int((self.data / "postmaster.pid").read_text(encoding="utf-8").split()[0])
        except (FileNotFoundError, NotADirectoryError, IndexError, ValueError):
            return None
        return pid if is_alive(pid) else None

    def stop(self, mode="fast"):
        """Stop whatever server runs on this data directory, also one that the tool started."""
        run(BIN / "pg_ctl", "stop", "--wait", "--timeout=240", "--pgdata", self.data, "--mode", mode,
            "--silent")
        if self.process is not None:
            self.process.wait(60)

    def crash(self):
        """kill -9 of every process of the server, as a power failure would (files stay)."""
        victims = kill_tree(self.pid())
        if self.process is not None:
            self.process.wait(60)
        return victims

    def destroy(self):
        """For cleanups: nothing of this server is left running, however the test ended."""
        pid = self.pid()
        if pid is not None:
            os.kill(pid, signal.SIGQUIT)
            deadline = time.monotonic() + 10
            while is_alive(pid) and time.monotonic() < deadline:
                if self.process is not None:
                    self.process.poll()
                time.sleep(0.05)
            if is_alive(pid):
                kill_tree(pid)
        if self.process is not None:
            if self.process.poll() is None:
                kill_tree(self.process.pid)
            self.process.wait(60)

    # -- asking it ------------------------------------------------------------------------------

    def psql(self, database="postgres"):
        return [str(BIN / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", str(self.socket),
                "-p", str(self.port), "-U", "postgres", "-d", database]

    def conninfo(self, database="postgres"):
        return f"host={self.socket} port={self.port} user=postgres dbname={database}"

    def sql(self, query, database="postgres"):
        return run(*self.psql(database), "-c", query)

    def wait_until(self, query, timeout_s=180):
        """Ask until the answer is true; fail the test when it has not become true in time."""
        wait_for(lambda: self.sql(query) == "t", f"true answer to: {query}\n{self.log_tail()}",
                 timeout_s)

    def reconfigure(self, **settings):
        """Settings that a running server takes over; gives back once new sessions have them, so that
        the other processes have been told."""
        self.configure(**settings)
        self.sql("select pg_reload_conf()")
        for name, value in settings.items():
            self.wait_until(f"select current_setting('{name}') = $${value}$$")
        return self

    def log_tail(self, lines=40):
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return "(no server log)"
        return "\n".join(text.splitlines()[-lines:])

    def control(self):
        """What pg_controldata says, by its labels."""
        lines = run(BIN / "pg_controldata", self.data).splitlines()
        return {name.strip(): value.strip() for name, _, value in
                (line.partition(":") for line in lines)}

    # -- WAL ------------------------------------------------------------------------------------

    def switch_wal(self, timeout_s=180):
        """Close the current WAL segment, wait until it is archived, and give its name."""
        segment = self.sql(f"select {SWITCH_WAL}")
        self.wait_archived(segment, timeout_s)
        return segment

    def wait_archived(self, name, timeout_s=180):
        """Wait until the server takes this WAL file for archived (or has recycled it since)."""
        status = self.data / "pg_wal" / "archive_status" / f"{name}.done"
        file = self.data / "pg_wal" / name
        wait_for(lambda: status.exists() or not file.exists(),
                 f"{name} archived\n{self.log_tail()}", timeout_s)

    def fill_segment(self, rows=2000):
        """Write some WAL, close the segment, wait for the archive; gives the segment's name."""
        self.sql(f"""create table if not exists filler (number int, payload text);
                     insert into filler select n, repeat(md5(n::text), 8)
                     from generate_series(1, {rows}) n""")
        return self.switch_wal()


def copy_of_running(source, target):
    """
    cp -a of a data directory whose server runs: that files vanish meanwhile is part of it (manual,
    "Making a Base Backup Using the Low Level API").
    """
    done = attempt("cp", "-a", source, target)
    wrong = [line for line in done.stderr.splitlines() if "No such file or directory" not in line]
    if wrong or done.returncode not in (0, 1):
        raise AssertionError(f"cp -a {source} {target} returned {done.returncode}:\n{done.stderr}")


def make_directory(path):
    """A private directory that belongs to whom the server runs as."""
    run("mkdir", "-m", "0700", path)
    return pathlib.Path(path)


class ToolTest(unittest.TestCase):
    """A private directory, a repository address in it, and the tool; no server yet."""

    def setUp(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="pgcairn-"))
        self.addCleanup(shutil.rmtree, self.path, ignore_errors=True)
        if USER:
            shutil.chown(self.path, USER, USER)
        self.repo = self.path / "repo"

    def server(self, name, **where):
        """A Cluster whose directory exists and that is gone when the test ends."""
        cluster = Cluster(make_directory(self.path / name), **where)
        self.addCleanup(cluster.destroy)
        return cluster

    def attempt(self, command, *arguments, repo=None, **how):
        """Run the tool and give all it said, whatever its exit status is."""
        return attempt(TOOL, command, f"--repo={repo or self.repo}", *arguments, **how)

    def tool(self, command, *arguments, expect=0, repo=None, **how):
        """Run the tool; its answer (stdout), when the exit status is `expect`."""
        return run(TOOL, command, f"--repo={repo or self.repo}", *arguments, expect=expect, **how)

    def tool_fails(self, expect, message, command, *arguments, **how):
        """The tool must end with this status and say something that matches `message`."""
        done = self.attempt(command, *arguments, **how)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        self.assertRegex(done.stderr, message)
        return done

    def tool_json(self, command, *arguments, **how):
        return json.loads(self.tool(command, "--json", *arguments, **how))

    def archive_command(self):
        return f"{TOOL} archive-push --repo={self.repo} %p"

    def restore_command(self, *options):
        return " ".join([TOOL, "archive-get", f"--repo={self.repo}", *map(str, options), "%f", "%p"])


class ClusterTest(ToolTest):
    """self.cluster runs and archives into self.repo, which has no backup yet."""

    settings = {}
    segment_mb = 16

    def setUp(self):
        super().setUp()
        self.cluster = self.server("primary").create(
            segment_mb=self.segment_mb, wal_level="replica", archive_mode="on",
            archive_command=self.archive_command(), **self.settings)
        self.tool("init", f"--data={self.cluster.data}")
        self.cluster.start()

    def restored(self, name="restored", port=5433):
        """
        The Cluster that a restore will make: not there yet. It keeps the settings of the one that
        was backed up, so it shares its socket directory and is told apart by its port (PGPORT).
        """
        return self.server(name, socket=self.cluster.socket, port=port)

    def restore(self, *arguments, name="restored", port=5433, expect=0, timeout_s=300):
        """
        `restore --start` into a new directory; gives the running server. What the tool said is in
        .said of it.
        """
        restored = self.restored(name, port)
        done = self.attempt("restore", f"--data={restored.data}", "--start", *arguments,
                            environment={"PGPORT": port}, timeout_s=timeout_s)
        if done.returncode != expect:
            raise AssertionError(f"restore {arguments} returned {done.returncode}, not {expect}:\n"
                                 f"{done.stdout}{done.stderr}\n{restored.log_tail()}")
        restored.said = done.stdout + done.stderr
        return restored


class ArchiveTest(ToolTest):
    """
    An archive that was made once for the class (build()); every test has its own copy of the
    repository in self.repo. The server that filled it, self.cluster, is stopped and not to be
    changed; self.data_copy() gives a data directory that may be.
    """

    settings = {"wal_keep_size": "256MB"}
    segment_mb = 1

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        world = ClusterTest()
        world.settings, world.segment_mb = cls.settings, cls.segment_mb
        cls.addClassCleanup(world.doCleanups)
        world.setUp()
        cls.build(world)
        if world.cluster.pid():
            world.cluster.stop()
        cls.world = world
        cls.cluster = world.cluster

    @classmethod
    def build(cls, world):
        """Fill the archive: world is a ClusterTest that is set up."""
        raise NotImplementedError

    def setUp(self):
        super().setUp()
        run("cp", "-a", self.world.repo, self.repo)

    def data_copy(self):
        data = self.path / "data"
        run("cp", "-a", self.cluster.data, data)
        return data


class SegmentsTest(ArchiveTest):
    """An archive of small segments: their names are in self.segments."""

    segments_wanted = 5

    @classmethod
    def build(cls, world):
        for _ in range(cls.segments_wanted):
            world.cluster.fill_segment()
        world.cluster.stop()
        cls.segments = [name for name in archived(world.repo) if len(name) == 24]


class ManualRecovery:
    """
    A copy of a cluster's data directory taken by hand (low-level backup API and cp), to recover
    with whatever restore_command a test wants: for tests of archive-get that need no `restore`.
    """

    def __init__(self, test, cluster):
        self.test = test
        self.source = test.path / "manual-base"
        label = self._copy(cluster)
        (self.source / "backup_label").write_text(label, encoding="utf-8")
        if USER:
            shutil.chown(self.source / "backup_label", USER, USER)

    def _copy(self, cluster):
        session = subprocess.Popen(cluster.psql(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   text=True, cwd="/", env=clean_environment(), **identity())
        with session:
            session.stdin.write(f"select {backup_start('manual')};\n")
            session.stdin.flush()
            session.stdout.readline()
            copy_of_running(cluster.data, self.source)
            session.stdin.write(f"select labelfile from {backup_stop()};\n")
            session.stdin.close()
            label = session.stdout.read()
        for leftover in ("postmaster.pid", "postmaster.opts"):
            (self.source / leftover).unlink(missing_ok=True)
        shutil.rmtree(self.source / "pg_wal")
        make_directory(self.source / "pg_wal")
        return label.rstrip("\n") + "\n"

    def cluster(self, name, restore_command, port=5433, signal_file="recovery.signal", test=None,
                **settings):
        """
        A new data directory, configured to recover, not started: in the place of `test`, when that
        is another one than made the base.
        """
        restored = (test or self.test).server(name, port=port)
        run("cp", "-a", self.source, restored.data)
        run("touch", restored.data / signal_file)
        return restored.configure(**{"unix_socket_directories": restored.socket,
                                     "archive_mode": "off", "restore_command": restore_command,
                                     **settings})
