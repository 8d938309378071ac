"""`drill`: a restore that is tried, looked at, kept as evidence, and gone."""

import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import unittest

from support.archive import archived, flip, object_of
from support.cluster import make_directory
from support.hook import fault_points
from support.processes import BIN, TOOL, USER, attempt, clean_environment, identity, run, wait_for
from support.shared import SharedClusterTest

# kill -9 leaves the page cache alone: where the files are changes nothing but the time it takes.
if os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > 2 << 30:
    tempfile.tempdir = "/dev/shm"

PROBES = """-- probe: the orders are there
-- expect: {expected}
select count(*) from orders where number <= 200;
-- probe: nothing can be written
-- at-least: 200
select count(*) from orders
"""


def listing(path):
    """Names, sizes and times of all that is below."""
    return sorted((str(each), each.lstat().st_size, each.lstat().st_mtime_ns)
                  for each in path.rglob("*"))


def processes_below(path):
    """Pids whose working directory is below: servers of a drill, and what they have started."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            where = os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            continue
        if where.startswith(str(path)):
            found.append(int(pid))
    return found


class DrillTest(SharedClusterTest):
    """One archive: two backups, restore points, a tablespace, commits in several segments."""

    @classmethod
    def set_up_shared(cls, world):
        cluster = world.cluster
        cluster.tablespace("fast")
        cluster.sql("create table orders (number serial primary key, what text);"
                    "insert into orders (what) select 'old' from generate_series(1, 200);"
                    "create unlogged table scratchpad (x int); create table far (x int) tablespace fast")
        cls.fast = cluster.sql("select oid from pg_tablespace where spcname = 'fast'")
        world.tool("backup", f"--data={cluster.data}")
        for number in range(3):
            for _ in range(4):
                cluster.sql("insert into orders (what) values ('new')")
            cluster.sql(f"select pg_create_restore_point('point {number}')")
            cluster.switch_wal()
        world.tool("backup", f"--data={cluster.data}")
        cluster.switch_wal()

    def setUp(self):
        super().setUp()
        self.scratch = make_directory(self.path / "scratch")
        (self.scratch / "others").write_text("not the drill's", encoding="utf-8")
        self.probes = self.path / "probes.sql"

    def drill(self, *arguments, expect=0, **how):
        return self.tool_json("drill", f"--scratch={self.scratch}", *arguments, expect=expect, **how)

    def assert_nothing_is_left(self):
        self.assertEqual(processes_below(self.scratch), [])
        self.assertEqual([each.name for each in self.scratch.iterdir()], ["others"])

    def found(self, answer, result):
        return [f"{probe['name']} {probe['database']}: {probe['text']}" for probe in answer["probes"]
                if probe["result"] == result]


class Drills(DrillTest):

    def test_the_newest_state_is_tried_told_and_kept(self):
        self.probes.write_text(PROBES.format(expected=200), encoding="utf-8")
        original = listing(self.cluster.data / "base")
        before = set(archived(self.repo))

        answer = self.drill("--read-all", f"--probes={self.probes}")

        self.assertEqual((answer["verdict"], answer["status"]), ("passed", 0))
        self.assertEqual(self.found(answer, "failed") + self.found(answer, "host"), [])
        self.assertEqual(self.found(answer, "noted"),
                         ["unlogged postgres: unlogged, so empty after every recovery and in every "
                          "backup: public.scratchpad"])
        passed = "\n".join(self.found(answer, "passed"))
        for words in ("connect postgres", "connect template1", "the orders are there postgres: 200",
                      "nothing can be written postgres: 212", r"amcheck postgres: \d+ btree indexes",
                      r"library postgres: \d+ can be loaded", r"tables postgres: \d+ tables read"):
            self.assertRegex(passed, words)
        for phase in ("plan_s", "rebuild_s", "replay_s", "probe_s", "clean_s"):
            self.assertGreater(answer["phases"][phase], 0)
        self.assert_nothing_is_left()
        self.assertEqual(listing(self.cluster.data / "base"), original)
        self.assertEqual(set(archived(self.repo)), before)

        kept = self.tool_json("drill", f"--show={answer['drill']}")
        self.assertEqual(kept["last_commit_time_exact"], answer["last_commit_time_exact"])
        self.assertEqual(kept["probes"], answer["probes"])
        self.assertIn("redo starts", kept["server_log"])
        self.assertIn("archive_mode=off", kept["settings"])
        self.assertIn(answer["drill"], self.tool("drill", "--list"))
        self.assertRegex(self.tool("list"), f"{answer['backup']} +proven")
        self.tool("verify")
        repo = self.path / "repo"
        run("cp", "-a", self.repo, repo)
        flip(repo / "main" / "evidence" / answer["drill"] / "log", 40)
        self.assertIn(f"evidence/{answer['drill']}/log", self.tool("verify", repo=repo, expect=8))
        self.tool_fails(8, "read the log of drill", "drill", f"--show={answer['drill']}", repo=repo)

    def test_a_wrong_answer_makes_a_backup_suspect_and_a_right_one_proven(self):
        first, newest = (backup["backup"] for backup in self.tool_json("list")["backups"])
        where = [f"--data={self.path / 'data'}", "--dry-run", "--as-copy",
                 f"--tablespace={self.fast}={self.path}/fast"]
        self.probes.write_text(PROBES.format(expected=199), encoding="utf-8")

        self.tool_fails(13, "expected 199, found 200", "drill", f"--scratch={self.scratch}",
                        f"--probes={self.probes}")

        self.assertEqual([bool(backup["suspect"]) for backup in self.tool_json("list")["backups"]], [False, True])
        plan = self.tool_json("restore", *where)
        self.assertEqual(plan["backup"], first)
        self.assertIn(f"backup {newest} is suspect and was passed over", str(plan))
        status = self.attempt("status", f"--data={self.cluster.data}")
        self.assertEqual(status.returncode, 2, status.stdout)
        self.assertIn(f"backup {newest} is suspect", status.stdout)
        self.assertEqual(self.drill(f"--backup={newest}", "--target=immediate")["verdict"], "passed")
        self.assertEqual([backup["suspect"] for backup in self.tool_json("list")["backups"]], [None, None])
        self.assertEqual(self.tool_json("restore", *where)["backup"], newest)

    def test_a_seed_stands_for_one_instant(self):
        drawn = {}
        for seed in range(8):
            first, again = (self.drill("--dry-run", f"--seed={seed}") for _ in range(2))
            self.assertEqual(first, again)
            drawn[seed] = first["target"]
        self.assertGreater(len(set(drawn.values())), 3)
        self.assertEqual({self.drill("--dry-run", "--target=random")["seed"] is None for _ in range(2)},
                         {False})
        self.assert_nothing_is_left()

        # Of a backup that is drawn, too, the instant is one of those that can be reached from it.
        planned = next(plan for plan in (self.drill("--dry-run", f"--seed={seed}", "--backup=random")
                                         for seed in range(1, 50)) if plan["last_commit_before_time_exact"])
        seed = planned["seed"]
        tried = self.drill(f"--seed={seed}", "--backup=random")
        self.assertEqual(tried["last_commit_time_exact"], planned["last_commit_before_time_exact"])
        self.assertEqual((tried["seed"], tried["target"]), (seed, planned["target"]))
        self.assertEqual(self.found(tried, "failed"), [])

    def test_what_is_not_a_drills_is_refused_and_left(self):
        self.tool_fails(2, "--seed chooses the target", "drill", f"--scratch={self.scratch}",
                        "--seed=1", "--target=latest")
        self.tool_fails(2, "drill needs --scratch", "drill")
        place = self.scratch / "pgcairn.drill"
        make_directory(place)
        (place / "photos").write_text("mine", encoding="utf-8")
        for words in ((), ("--clean",)):
            self.tool_fails(4, "was not made by a drill", "drill", f"--scratch={self.scratch}", *words)
        self.assertEqual((place / "photos").read_text(encoding="utf-8"), "mine")

    def test_killed_anywhere_it_is_cleaned_up(self):
        points = [point for point in fault_points() if point.startswith("drill.")]
        self.assertGreaterEqual(len(points), 7)
        for number, point in enumerate(points):
            with self.subTest(point):
                done = self.attempt("drill", f"--scratch={self.scratch}",
                                    environment={"PGCAIRN_FAULT": f"{point}:crash"})
                self.assertEqual(done.returncode, -signal.SIGKILL, done.stderr)
                if number % 3 == 0:
                    self.tool("drill", f"--scratch={self.scratch}", "--clean")
                    self.assert_nothing_is_left()
        answer = self.drill()  # whatever the last one has left
        self.assertEqual(answer["verdict"], "passed")
        self.assert_nothing_is_left()

    def test_a_second_drill_waits_for_none_and_a_signal_leaves_nothing(self):
        process = subprocess.Popen([TOOL, "drill", f"--repo={self.repo}", f"--scratch={self.scratch}"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/",
                                   env=clean_environment(PGCAIRN_FAULT="drill.before-probes:stop"),
                                   **identity())
        self.addCleanup(process.wait, 60)
        self.addCleanup(process.kill)
        wait_for(lambda: "T" in (self.state_of(process.pid)), "the drill stopped")
        for words in ((), ("--clean",)):
            self.tool_fails(5, "another drill works", "drill", f"--scratch={self.scratch}", *words)
        self.assert_copy_is_private()
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        said = process.communicate(timeout=120)[1]
        self.assertEqual(process.returncode, 12, said)
        self.assert_nothing_is_left()

    def state_of(self, pid):
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0]

    def assert_copy_is_private(self):
        """The server of the drill, while it stands: no network address, nothing of the original's."""
        ask = [BIN / "psql", "-XAtq", "-h", self.scratch / "pgcairn.drill/socket", "-U", "postgres",
               "-d", "postgres", "-c"]
        self.assertEqual(run(*ask, "select name || '=' || setting from pg_settings where name in"
                             " ('archive_mode', 'listen_addresses', 'archive_command',"
                             " 'max_logical_replication_workers') order by 1").split(),
                         ["archive_command=(disabled)", "archive_mode=off", "listen_addresses=",
                          "max_logical_replication_workers=0"])
        mode = os.stat(self.scratch / "pgcairn.drill/socket").st_mode & 0o777
        self.assertEqual(mode, 0o700)
        tablespaces = run(*ask, "select pg_tablespace_location(oid) from pg_tablespace where spcname = 'fast'")
        self.assertTrue(tablespaces.startswith(str(self.scratch)), tablespaces)

# What a server would do that took the original's settings for its own. Each that is a word of a
# program leaves a file of that name.
TRAPS = {
    "archive_command": "touch {traps}/archive_command",
    "archive_cleanup_command": "touch {traps}/archive_cleanup_command",
    "recovery_end_command": "touch {traps}/recovery_end_command",
    "ssl_passphrase_command": "touch {traps}/ssl_passphrase_command",
    "ssl": "on", "huge_pages": "on", "shared_buffers": "4TB",  # it would not start
    "primary_conninfo": "host=127.0.0.1 port={port}", "primary_slot_name": "slot",
    "synchronous_standby_names": "*",
    "external_pid_file": "{traps}/pid", "log_directory": "{traps}", "logging_collector": "on",
    "listen_addresses": "127.0.0.1", "unix_socket_directories": "{traps}",
    "shared_preload_libraries": "plpgsql, ours",
    "dynamic_library_path": "{traps}.lib:$libdir", "session_preload_libraries": "pgcairn_no_such",
    "temp_tablespaces": "no_such", "log_statement": "all", "zero_damaged_pages": "on",
    "recovery_min_apply_delay": "1h", "restart_after_crash": "on",
}
# What a role or a database has set for itself comes after the server's own command line.
OWN_TRAPS = {
    "session_preload_libraries": "pgcairn_no_such", "local_preload_libraries": "pgcairn_no_such",
    "statement_timeout": "1ms", "lock_timeout": "1ms", "default_transaction_read_only": "off",
    "zero_damaged_pages": "on", "log_statement": "all", "log_min_error_statement": "debug5",
    "temp_tablespaces": "no_such",
}
TRY_OUT = """
create extension dblink;
create function try_out(target text) returns text language plpgsql as $$
declare found text;
begin
    select * into found from dblink(target, 'show data_directory') as t(x text);
    return found;
exception when others then return 'refused';
end $$;
create subscription follows connection 'host=127.0.0.1 port={port}' publication p
    with (connect = false, slot_name = 'slot');
update pg_subscription set subenabled = true;
create function touch() returns event_trigger language plpgsql as $$ begin
    copy (select 1) to program 'touch {traps}/event_trigger'; end $$;
"""
OUTSIDE = """-- probe: a secret question about other hosts
-- database: shop
-- expect: refused
select try_out('host=127.0.0.1 port={port} dbname=x user=x connect_timeout=2');
-- probe: a server of no name is the copy itself
-- database: shop
-- expect: t
select try_out('dbname=postgres user=other') like '%/pgcairn.drill/data';
-- probe: nothing can be written
-- database: shop
-- expect: f
select pg_catalog.current_setting('transaction_read_only') = 'off'
"""


class Traps(DrillTest):
    """A cluster whose every setting would do harm in a copy: nobody notices the drill."""

    @classmethod
    def set_up_shared(cls, world):
        cluster = world.cluster
        cls.traps = make_directory(world.path / "traps")
        (make_directory(world.path / "traps.lib") / "ours.so").touch()
        cls.listener = socket.create_server(("127.0.0.1", 0))
        cls.addClassCleanup(cls.listener.close)
        cls.words = {"traps": cls.traps, "port": cls.listener.getsockname()[1]}
        cluster.stop()
        cluster.start(max_logical_replication_workers=0)
        cluster.sql("create database shop")
        cluster.sql(TRY_OUT.format(**cls.words), database="shop")
        major = int(cluster.sql("show server_version_num")) // 10000
        cluster.sql("create event trigger at_ddl on ddl_command_end execute function touch()", database="shop")
        if major >= 17:
            cluster.sql("create event trigger at_login on login execute function touch();"
                        "alter event trigger at_login enable always", database="shop")
        lines = {name: value.format(**cls.words) for name, value in TRAPS.items()}
        if major >= 18:
            lines["io_method"] = "io_uring"
        cluster.sql("alter role postgres connection limit 1;"
                    + "".join(f"alter role postgres in database shop set {name} = '{value}';"
                              f"alter database shop set {name} = '{value}';"
                              for name, value in OWN_TRAPS.items()))
        for name, value in lines.items():
            cluster.sql(f"alter system set {name} = '{value}'")
        (cluster.data / "more.conf").write_text(
            "".join(f"{name} = '{value}'\n" for name, value in lines.items()), encoding="utf-8")
        with open(cluster.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write("include_if_exists = 'more.conf'\n")
        for path in cls.traps.iterdir():
            path.unlink()
        cluster.sql("create role other superuser login")
        cluster.sql("update pg_database set datallowconn = false where datname = 'template1'")
        world.tool("backup", f"--data={cluster.data}")
        cluster.sql("alter role postgres nologin")  # not in the files, but in the WAL
        run(BIN / "psql", "-XAtq", "-h", cluster.socket, "-U", "other", "-d", "postgres", "-c",
            "select pg_switch_wal()")
        wait_for(lambda: len(list((cluster.data / "pg_wal/archive_status").glob("*.ready"))) == 0,
                 "all is archived")

    def test_nobody_notices_it(self):
        self.probes.write_text(OUTSIDE.format(**self.words), encoding="utf-8")
        log = self.path / "connects"
        words = ["strace", "-f", "-qq", "--seccomp-bpf", "-s", "300", "-e", "trace=connect", "-o", log, TOOL]

        done = attempt(*words, "drill", "--json", f"--repo={self.repo}", f"--scratch={self.scratch}",
                       f"--probes={self.probes}", environment={"ASAN_OPTIONS": "detect_leaks=0"})

        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual(self.found(answer, "failed") + self.found(answer, "host"), [])
        self.assertIs(answer["has_network"], False)
        self.assertEqual(list(self.traps.iterdir()), [])
        self.listener.setblocking(False)
        self.assertRaises(BlockingIOError, self.listener.accept)
        connects = re.findall(r"connect\(\d+, (.*)", log.read_text(encoding="utf-8"))
        self.assertGreater(len(connects), 5)
        ours = f'{{sa_family=AF_UNIX, sun_path="{self.scratch}/pgcairn.drill/socket/.s.PGSQL.5432"}}'
        self.assertEqual([each for each in connects if not each.startswith(ours) and "/nscd/" not in each], [])
        kept = self.tool_json("drill", f"--show={answer['drill']}")
        self.assertNotIn("secret question", kept["server_log"])
        self.assertNotIn("try_out", kept["server_log"])
        self.assert_nothing_is_left()


def swap_items(path):
    """The second and the third entry of a btree's first leaf change places."""
    with open(path, "r+b") as file:
        file.seek(8192 + 24 + 4)
        second, third = struct.unpack("II", file.read(8))
        file.seek(8192 + 24 + 4)
        file.write(struct.pack("II", third, second))


def from_the_future(path):
    """The first row of a table was made by a transaction that there has not been yet."""
    with open(path, "r+b") as file:
        file.seek(24)
        where = struct.unpack("I", file.read(4))[0] & 0x7fff
        file.seek(where)
        file.write(struct.pack("I", 1 << 30))


class Planted(DrillTest):
    """A cluster with a fault of each kind, which a backup takes along."""

    @classmethod
    def set_up_shared(cls, world):
        cluster = world.cluster
        cls.has_versions = cluster.sql("select current_setting('server_version_num')::int >= 150000") == "t"
        cluster.sql("create table orders (number serial primary key, what text);"
                    "insert into orders (what) select 'old' from generate_series(1, 200);"
                    "create function gone() returns int language c as '$libdir/plpgsql', 'plpgsql_call_handler';"
                    "update pg_proc set probin = '$libdir/pgcairn_no_such_library' where proname = 'gone'")
        if cls.has_versions:
            cluster.sql("update pg_database set datcollversion = '1.0' where datname = 'template1'")
        cls.has_heaps = cluster.sql("select current_setting('server_version_num')::int >= 140000") == "t"
        cluster.sql("create table gone as select 1 as x; create table torn as select 1 as x;"
                    "create table future as select 1 as x")
        path, cls.torn, future = (cluster.sql(f"select pg_relation_filepath('{name}')")
                                  for name in ("orders_pkey", "torn", "future"))
        cluster.sql("alter system set shared_preload_libraries = 'plpgsql, pgcairn_no_such_job'")
        cluster.stop()
        swap_items(cluster.data / path)
        from_the_future(cluster.data / future)
        for how in ("--disable", "--enable"):  # the checksums are right again: the disk did not do it
            run(BIN / "pg_checksums", how, "-N", "-D", cluster.data)
        flip(cluster.data / cls.torn, 8190)
        cluster.start(shared_preload_libraries="")
        world.tool("backup", f"--data={cluster.data}", expect=3)  # it says itself that a page is bad
        # What a backup would refuse, and comes with the WAL.
        cluster.sql("update pg_class set relfilenode = 4000000 where relname = 'gone';"
                    "insert into pg_tablespace select 4000001, 'lost', 10, null, null")
        cls.first = cluster.switch_wal()
        cluster.sql("insert into orders (what) values ('between')")
        cls.middle = cluster.switch_wal()
        cluster.sql("insert into orders (what) values ('after')")
        cluster.switch_wal()

    def test_each_fault_is_found(self):
        self.probes.write_text(PROBES.format(expected=199), encoding="utf-8")

        done = self.attempt("drill", "--json", f"--scratch={self.scratch}", f"--probes={self.probes}")

        self.assertEqual(done.returncode, 13, done.stdout + done.stderr)
        self.assertIn("probes failed", done.stderr)
        listed = self.tool_json("drill", "--list")["drills"]
        kept = self.tool_json("drill", f"--show={listed[-1]['drill']}")
        self.assertEqual(kept["verdict"], "failed")
        failed = "\n".join(self.found(kept, "failed"))
        self.assertRegex(failed, 'amcheck postgres: public.orders_pkey: item order invariant violated')
        self.assertRegex(failed, "the orders are there postgres: expected 199, found 200")
        self.assertRegex(failed, "tablespace None: not there, and all that was in them is missing: lost")
        self.assertRegex(failed, r"files postgres: missing: public.gone \(base/[0-9]+/4000000\)")
        self.assertRegex(failed, f"pages None: {self.torn}: 1 of 1 pages are damaged, the first is block 0")
        if self.has_heaps:
            self.assertRegex(failed, "amcheck postgres: public.future: block 0, item 1: xmin [0-9]+ equals or exceeds")
        backup = self.tool_json("list")["backups"][0]
        self.assertRegex(backup["suspect"], "drill found it bad at .*probes failed, the first")
        status = self.attempt("status", f"--data={self.cluster.data}")
        self.assertEqual(status.returncode, 2, status.stdout + status.stderr)
        self.assertIn("is suspect: drill found it bad", status.stdout)
        self.assertIn("is suspect", self.tool("restore", f"--data={self.path / 'data'}", "--dry-run"))
        host = "\n".join(self.found(kept, "host"))
        self.assertRegex(host, "library postgres: .*no_such_library: could not access file")
        self.assertRegex(host, "the original preloads pgcairn_no_such_job, which is not on this host")
        self.assertNotIn("preloads plpgsql", host)
        if self.has_versions:
            self.assertRegex(host, "collation template1: .*sorted by version 1.0, this host has")
        self.assert_nothing_is_left()

    def test_missing_wal_is_found(self):
        repo = self.path / "repo"
        run("cp", "-a", self.world.repo, repo)
        object_of(repo, self.middle).unlink()
        self.repo = repo

        self.tool_fails(8, self.middle, "drill", f"--scratch={self.scratch}")

        self.assertEqual(self.tool_json("drill", "--list")["drills"][-1]["verdict"], "failed")
        self.assert_nothing_is_left()

    def test_a_tablespace_that_replay_would_make_elsewhere_is_refused(self):
        place = self.cluster.tablespace("later")
        self.cluster.switch_wal()
        files = listing(place)

        self.tool_fails(4, f"tablespace \\d+ was created after the backup: replay would create it at {place}",
                        "drill", f"--scratch={self.scratch}")

        self.assertEqual(listing(place), files)
        self.assert_nothing_is_left()


if __name__ == "__main__":
    unittest.main()
