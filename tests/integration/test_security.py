"""
What another user of the host could make root do through the tool: nothing.

Root calls every command on a cluster of the server's user; that user owns the data directory and the
repository, and is the attacker.
"""

import collections
import concurrent.futures
import os
import pathlib
import pwd
import re
import stat
import sys
import threading
import time
import unittest

from support.archive import put
from support.cluster import ClusterTest, ToolTest, copy_of_running, make_directory
from support.processes import TOOL, USER, attempt, run
from support.shared import SharedClusterTest

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "security.md"
# What tells whose a directory is and follows no link.
HARMLESS = re.compile(r"O_PATH|AT_SYMLINK_NOFOLLOW|AT_EMPTY_PATH|^readlinkat|^execve\(\"[^\"]*pgcairn\"")


# What the attacker runs: each path and a link beside it change places, on and on, until root is through.
EXCHANGER = """
import ctypes, os, sys
libc, uid, stop, paths = ctypes.CDLL(None), int(sys.argv[1]), sys.argv[2], [path.encode() for path in sys.argv[3:]]
count = 0
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
while not os.path.exists(stop):
    for path in paths:
        count += libc.renameat2(-100, path, -100, path + b".link", 2) == 0
print(count)
"""
ROUNDS = int(os.environ.get("PGCAIRN_RACES", "2"))


def as_root(command, *arguments, **how):
    return attempt(TOOL, command, *arguments, user=None, **how)


def rows_of_the_table():
    """Command and what root acts as, from the table of docs/security.md."""
    text = DOCS.read_text(encoding="utf-8").split("## Each command")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `([a-z-]+)` \|[^|]*\| ([^|]*?) \|", text, re.MULTILINE))


@unittest.skipUnless(USER, "takes root")
class RootBecomesTheOwner(SharedClusterTest):
    """One server and one backup for all of it: only what is tried differs."""

    owner = pwd.getpwnam(USER).pw_uid if USER else None

    @classmethod
    def set_up_shared(cls, world):
        world.cluster.sql("create table content as select 1 as number")
        world.tool("backup", f"--data={world.cluster.data}", f"--conninfo={world.cluster.conninfo()}")
        cls.segment = world.cluster.switch_wal()

    def calls(self):
        """Each command as root would call it: words, and the exit statuses that are fine."""
        repo, data = f"--repo={self.repo}", f"--data={self.cluster.data}"
        conninfo = f"--conninfo={self.cluster.conninfo()}"
        wal = self.cluster.data / "pg_wal"
        copy = self.path / "copy" / "data"
        make_directory(copy.parent)
        return {
            "init": (["init", repo, data], {0}),
            "backup": (["backup", repo, data, conninfo], {0}),
            "archive-push": (["archive-push", repo, wal / self.segment], {0, 14}),
            "archive-get": (["archive-get", repo, self.segment, self.path / "copy" / "segment"], {0}),
            "restore": (["restore", repo, f"--data={copy}", "--as-copy", "--target=immediate"], {0}),
            "watch": (["watch", data, conninfo], {0, 4, 6, 7, 13}),
            "promote": (["promote", data, conninfo, "--timeout=1s"], {0, 4, 6, 7, 13}),
            "advance": (["advance", repo, data, conninfo, "--target-lsn=0/1"], {4, 6, 13}),
            "drill": (["drill", repo, f"--scratch={copy.parent}/scratch", "--dry-run"], {0}),
            "duties": (["duties", repo], {0, 3}),
            "run-duties": (["run-duties", repo, data, conninfo, "--budget=1s"], {0, 2, 3}),
            "incident": (["incident", "open", "a test", repo], {0}),
            "list": (["list", repo], {0}),
            "log": (["log", repo], {0}),
            "verify": (["verify", repo], {0}),
            "status": (["status", repo, data, conninfo], {0, 1, 2}),
            "expire": (["expire", repo, "--keep-min=5"], {0}),
            "remove": (["remove", self.newest(), repo], {0, 4}),
            "pin": (["pin", self.newest(), repo], {0}),
            "unpin": (["unpin", self.newest(), repo], {0}),
            "wal-quarantine": (["wal-quarantine", repo], {0, 4, 6}),
            "receive": (["receive", repo, data, conninfo, "--until-lsn=0/1"], {0, 2, 4, 6, 10}),
        }

    def newest(self):
        return max(path.name for path in (pathlib.Path(self.repo) / "main" / "backup").iterdir())

    def traced(self, name, words):
        log = self.path / f"trace-{name}"
        done = attempt("strace", "-f", "-y", "-s", "300", "-e", "trace=%file,setresuid,setuid,setreuid",
                       "-o", log, TOOL, *words, user=None)
        lines = [line.split(None, 1)[1] for line in log.read_text(errors="replace").splitlines() if " " in line]
        return done, lines

    def test_every_command_leaves_root_before_it_touches_what_the_user_owns(self):
        calls, table = self.calls(), rows_of_the_table()
        told = re.findall(r"^  ([a-z-]+) +\S", attempt(TOOL, "--help").stdout.split("Begin with")[0], re.MULTILINE)
        self.assertEqual(sorted(told), sorted(table), "docs/security.md tells of other commands")
        self.assertEqual(sorted(told), sorted(calls), "this test calls other commands")
        for name, (words, statuses) in calls.items():
            with self.subTest(command=name):
                done, lines = self.traced(name, words)
                self.assertIn(done.returncode, statuses, done.stdout + done.stderr)
                switches = [i for i, line in enumerate(lines)
                            if re.match(rf"setresuid\({self.owner}, {self.owner}, {self.owner}\) += 0", line)]
                self.assertEqual(len(switches), 1, f"{name} has not become the owner once")
                before = [line for line in lines[:switches[0]] if re.search(rf"{self.path}|{self.world.path}", line) and not HARMLESS.search(line)]
                self.assertEqual(before, [], f"{name} touched the user's files as root")
                again = [line for line in lines[switches[0] + 1:]
                         if re.match(r"set\w*uid\(", line) and "= -1 EPERM" not in line]
                self.assertEqual(again, [], f"{name} changed its user again")
        foreign = [str(path) for place in (self.path, self.world.path) for path in place.rglob("*")
                   if os.lstat(path).st_uid != self.owner and not path.name.startswith(("trace-", "server.log"))]
        self.assertEqual(foreign, [], "root left files of its own")

    def test_a_third_users_place_is_not_entered(self):
        mallory = pwd.getpwnam("games").pw_uid
        place = pathlib.Path("/tmp") / f"{self.path.name}-mallory"
        place.mkdir(mode=0o755)
        self.addCleanup(attempt, "rm", "-rf", place, user=None)
        (place / "link").symlink_to(self.cluster.data)
        os.chown(place, mallory, mallory)
        os.lchown(place / "link", mallory, mallory)

        done = as_root("status", f"--repo={self.repo}", f"--data={place}/link")

        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
        self.assertIn("could lead root anywhere", done.stderr)

    def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(self):
        data = self.path / "data"
        copy_of_running(self.cluster.data, data)
        (data / "postmaster.pid").unlink()
        for name in ("postmaster.pid", "global/pg_control", "pgcairn.recovery", "PG_VERSION"):
            path = data / name
            if path.exists():
                path.rename(f"{path}.kept")
            os.mkfifo(path)
            for words in (["status", f"--repo={self.repo}"], ["promote", "--timeout=1s"]):
                with self.subTest(file=name, command=words[0]):
                    done = as_root(words[0], *words[1:], f"--data={data}", timeout_s=60)
                    self.assertNotEqual(done.returncode, 0)
            path.unlink()
            if pathlib.Path(f"{path}.kept").exists():
                pathlib.Path(f"{path}.kept").rename(path)

    def test_links_of_the_users_lead_root_nowhere(self):
        secret = self.path.with_name(f"{self.path.name}-secret")
        secret.write_text("root's own\n", encoding="utf-8")
        secret.chmod(0o600)
        self.addCleanup(secret.unlink)
        trap = self.path.with_name(f"{self.path.name}-trap")
        trap.mkdir(mode=0o755)
        self.addCleanup(attempt, "rm", "-rf", trap, user=None)
        ident = self.cluster.data / "pg_ident.conf"
        run("mv", ident, f"{ident}.kept")
        self.addCleanup(run, "mv", f"{ident}.kept", ident)
        run("ln", "-s", secret, ident)
        repo = self.path / "repo"
        run("cp", "-a", self.repo, repo)
        for number in range(256):
            folder = repo / "main" / "pack" / f"{number:02x}"
            if not folder.exists():
                run("ln", "-s", trap, folder)

        as_root("backup", f"--repo={repo}", f"--data={self.cluster.data}", f"--conninfo={self.cluster.conninfo()}",
                "--wal-wait=1s")

        self.assertEqual(os.listdir(trap), [])
        self.assertNotIn("root's own", run("grep", "-ra", "root's own", repo, expect=1))

    def exchange(self, data, victim, ends):
        """The user's loop: directories of the target are links to another one for a moment."""
        count = 0
        while not ends.is_set():
            for name in ("base/1", "base/5", "global", "pg_wal"):
                path = data / name
                try:
                    path.rename(f"{path}.away")
                except OSError:
                    continue  # not there yet
                try:
                    path.symlink_to(victim)
                    time.sleep(0.003)  # files are made through it now, by who follows it
                    path.unlink()
                    os.rename(f"{path}.away", path)
                    count += 1
                except OSError:
                    pass  # made anew meanwhile
        return count

    def test_a_restore_is_not_led_out_of_its_tree(self):
        victim = make_directory(self.path / "victim")
        put(victim / "precious", b"theirs")
        before = os.lstat(victim / "precious")
        ways = {"openat2": [], "part by part": ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=openat2", "-e",
                                                "inject=openat2:error=ENOSYS", "--"]}
        for way, words in ways.items():
            for attacked in (True, False) if words else (True,):
                with self.subTest(way=way, attacked=attacked), concurrent.futures.ThreadPoolExecutor() as pool:
                    data = self.path / f"raced-{way[0]}-{attacked}"
                    ends = threading.Event()
                    loop = pool.submit(self.exchange, data, victim, ends) if attacked else None
                    try:
                        done = attempt(*words, TOOL, "restore", f"--repo={self.repo}", f"--data={data}", "--as-copy",
                                       "--target=immediate", user=None)
                    finally:
                        ends.set()
                    if attacked:
                        self.assertGreater(loop.result(), 0)
                    else:
                        self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertNotIn(done.returncode, (1, 70, -6, -11), done.stderr)
                    self.assertEqual(os.listdir(victim), ["precious"])
                    self.assertEqual((victim / "precious").read_bytes(), b"theirs")
                    self.assertEqual(os.lstat(victim / "precious").st_mode, before.st_mode)

    def exchanged(self, victims):
        """A data directory and a repository of which every part that root's way leads through is exchanged for a link."""
        data, repo = self.path / "exchanged", self.path / "exchanged-repo"
        copy_of_running(self.cluster.data, data)
        (data / "postmaster.pid").unlink()
        run("cp", "-a", self.repo, repo)
        (data / "recovery.signal").touch()
        wal = next((repo / "main" / "wal").iterdir())
        paths = [data / "pg_wal", data / "global", data, wal, repo / "main" / "wal", repo / "main" / "backup",
                 repo / "main" / "pack", repo / "main", repo]
        for number, path in enumerate(paths):
            run("ln", "-s", victims[number % len(victims)], f"{path}.link")
        return data, repo, paths

    @staticmethod
    def untouched(victim):
        """Names, owners, modes, and when each was changed last."""
        found = [(path.name, os.lstat(path)) for path in (victim, *sorted(victim.iterdir()))]
        return [(name, status.st_uid, status.st_gid, status.st_mode, status.st_size, status.st_ctime_ns) for name, status in found]

    def calls_to_exchanged(self, data, repo, number):
        repo = f"--repo={repo}"
        calls = [["archive-push", repo, data / "pg_wal" / self.segment], ["archive-get", repo, self.segment, data / "pg_wal" / "RECOVERYXLOG"],
                 ["status", repo, f"--data={data}"], ["list", repo], ["verify", repo], ["wal-quarantine", repo, "--timeline=1", "--yes"],
                 ["init", repo, f"--data={data}"], ["watch", f"--data={data}"]]
        if number % 10 == 0:
            calls += [["restore", repo, f"--data={data}", "--force", "--as-copy", "--target=immediate"],
                      ["restore", repo, f"--data={data}", "--move-aside", "--as-copy", "--target=immediate"],
                      ["backup", repo, f"--data={self.cluster.data}", f"--conninfo={self.cluster.conninfo()}", "--wal-wait=0"]]
        return calls

    def test_whoever_exchanges_directories_leads_root_nowhere(self):
        """PGCAIRN_RACES=1000 tries it a thousand times; the figures are in docs/security.md."""
        victims, before = [], {}
        for name, owner in (("root", 0), ("games", pwd.getpwnam("games").pw_uid)):
            victim = self.path.with_name(f"{self.path.name}-{name}")
            victim.mkdir(mode=0o755)
            (victim / "precious").write_text("theirs\n", encoding="utf-8")
            for path in (victim / "precious", victim):
                os.chown(path, owner, owner)
            self.addCleanup(attempt, "rm", "-rf", victim, user=None)
            victims.append(victim)
            before[victim] = self.untouched(victim)
        data, repo, paths = self.exchanged(victims)
        stop = self.path / "stop"
        ended = collections.Counter()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            loop = pool.submit(attempt, sys.executable, "-c", EXCHANGER, self.owner, stop, *paths, user=None, timeout_s=6 * 3600)
            try:
                for number in range(ROUNDS):
                    for words in self.calls_to_exchanged(data, repo, number):
                        done = as_root(*words, timeout_s=120)
                        ended[words[0], done.returncode] += 1
                        self.assertNotIn(done.returncode, (70, -6, -11), done.stderr)
                        for victim in victims:
                            self.assertEqual(self.untouched(victim), before[victim], words)
            finally:
                stop.touch()
        self.assertGreater(int(loop.result().stdout), 0)
        print(f"{ROUNDS} rounds, {loop.result().stdout.strip()} exchanges:", dict(sorted(ended.items())))

    def test_the_server_knows_nothing_of_roots_environment(self):
        restored = self.restored()
        done = as_root("restore", f"--repo={self.repo}", f"--data={restored.data}", "--as-copy", "--start",
                       "--target=immediate", environment={"PGPORT": restored.port, "AWS_SECRET_ACCESS_KEY": "sesame",
                                                          "PGPASSWORD": "sesame", "LD_LIBRARY_PATH": "/sesame"})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        environment = pathlib.Path(f"/proc/{restored.pid()}/environ").read_bytes()
        self.assertNotIn(b"sesame", environment)
        status = pathlib.Path(f"/proc/{restored.pid()}/status").read_text(encoding="utf-8")
        self.assertRegex(status, r"NoNewPrivs:\s+1")
        self.assertRegex(status, r"CapEff:\s+0+\n")


@unittest.skipUnless(USER, "takes root")
class WhoseIsIt(ToolTest):
    """Where there is no directory yet, or one of root's."""

    def restore(self, data, *options):
        return as_root("restore", f"--repo={self.repo}", f"--data={data}", *options)

    def test_root_is_nobodys_owner(self):
        place = self.path.with_name(f"{self.path.name}-root")
        place.mkdir(mode=0o700)
        self.addCleanup(attempt, "rm", "-rf", place, user=None)

        there = self.restore(place)
        self.assertEqual(there.returncode, 4, there.stderr)
        self.assertIn("belongs to root: PostgreSQL does not run as root", there.stderr)
        absent = self.restore(place / "new")
        self.assertEqual(absent.returncode, 4, absent.stderr)
        hint = re.search(r"install -d -o postgres -g postgres -m 0700 [^\s`]+", absent.stderr).group(0)
        run(*hint.split(), user=None)
        self.assertEqual((place / "new").stat().st_uid, pwd.getpwnam("postgres").pw_uid)
        place.chmod(0o755)
        # Now it is the repository that is missing, and no longer an owner.
        self.assertEqual(self.restore(place / "new").returncode, 7)

    def root_place(self, name, mode):
        place = self.path.with_name(f"{self.path.name}-{name}")
        place.mkdir()
        place.chmod(mode)
        self.addCleanup(attempt, "rm", "-rf", place, user=None)
        return place

    def test_root_stays_root_only_where_all_is_roots(self):
        """A repository that the server's user can write is his, whoever made it."""
        group = pwd.getpwnam(USER).pw_gid
        place = self.root_place("repo", 0o755)
        os.chown(place, 0, group)

        def listed(*options):
            return as_root("list", f"--repo={place}", *options)

        def refused(word):
            done = listed()
            self.assertEqual(done.returncode, 4, done.stdout + done.stderr)
            self.assertIn(word, done.stderr)
            self.assertIn("--user=NAME", done.stderr)

        self.assertEqual(listed().returncode, 6)  # no repository: that far it came
        place.chmod(0o2770)
        refused(f"{place} can be written by others")
        self.assertEqual(listed(f"--user={USER}").returncode, 6)
        place.chmod(0o755)
        deep = place / "main" / "wal"
        deep.mkdir(parents=True)
        self.assertEqual(listed().returncode, 6)
        os.chown(deep, group, group)
        refused(f"{deep} belongs to another user")
        os.chown(deep, 0, 0)
        (deep / "link").symlink_to("/etc")
        refused(f"{deep}/link is a symbolic link")

    def test_a_relative_path_does_not_come_to_mean_another_place(self):
        """Where its user can't be, as in /root, the command goes to / for what it starts."""
        home = self.root_place("home", 0o700)
        run("install", "-d", "-o", USER, "-m", "0700", home / "pg", user=None)
        done = as_root("watch", "--data=pg", cwd=home)
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertIn(f"user {USER} may not enter the directory that pg begins in", done.stderr)

    def test_who_writes_the_configuration_decides_for_himself_only(self):
        place = self.root_place("conf", 0o755)
        games = pwd.getpwnam("games").pw_uid
        config = place / "pgcairn.conf"
        config.write_text(f"repo = {self.repo}\n", encoding="utf-8")
        owner = os.stat(self.path).st_uid
        for uid, mode, status in ((0, 0o600, 7), (owner, 0o600, 7), (games, 0o600, 4), (0, 0o666, 4), (owner, 0o666, 4)):
            os.chown(config, uid, owner)
            config.chmod(mode)
            with self.subTest(uid=uid, mode=oct(mode)):
                done = as_root("list", f"--config={config}")
                self.assertEqual(done.returncode, status, done.stderr)
                self.assertIn("hint:" if status == 4 else "repository", done.stderr)
        config.unlink()
        os.mkfifo(config)
        os.chown(config, owner, owner)
        pipe = as_root("list", f"--config={config}", timeout_s=20)
        self.assertEqual(pipe.returncode, 2, pipe.stderr)
        self.assertIn("not a regular file", pipe.stderr)

    def test_user_does_not_take_what_is_anothers(self):
        data = make_directory(self.path / "data")
        done = self.restore(data, "--user=games")
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertIn(f"belongs to user {USER}, not to games", done.stderr)
        missing = self.restore(data, "--user=no-such-user")
        self.assertEqual(missing.returncode, 6, missing.stderr)
        other = attempt(TOOL, "list", f"--repo={self.repo}", "--user=games")
        self.assertEqual(other.returncode, 4, other.stderr)
        self.assertIn("only root can work for another user", other.stderr)


@unittest.skipUnless(USER, "takes root")
class SharedByAGroup(ClusterTest):
    """A repository of a user of its own, into which the server's user archives by its group."""

    segment_mb = 1

    def setUp(self):
        super().setUp()
        self.shared = self.path / "shared"
        group = pwd.getpwnam(USER).pw_gid
        run("install", "-d", "-o", "backup", "-g", str(group), "-m", "2770", self.shared, user=None)
        self.path.chmod(0o755)
        self.tool("init", f"--data={self.cluster.data}", repo=self.shared)
        self.cluster.reconfigure(archive_command=f"{TOOL} archive-push --repo={self.shared} %p")

    def by_backup(self, command, *options):
        """As the repository's own user, who is in the server's group."""
        account, group = pwd.getpwnam("backup"), pwd.getpwnam(USER).pw_gid
        return attempt("setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", f"--groups={group}",
                       TOOL, command, f"--repo={self.shared}", *options, user=None)

    def test_one_archives_and_the_other_verifies_and_restores(self):
        self.cluster.sql("create table content as select 1 as number")
        self.tool("backup", f"--data={self.cluster.data}", f"--conninfo={self.cluster.conninfo()}", repo=self.shared)
        self.cluster.switch_wal()
        verified = self.by_backup("verify")
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
        home = self.path / "home"
        run("install", "-d", "-o", "backup", "-m", "0700", home, user=None)
        restored = self.by_backup("restore", f"--data={home}/data", "--as-copy", "--target=immediate")
        self.assertEqual(restored.returncode, 0, restored.stdout + restored.stderr)
        # By root, the data directory's owner does the work, in the repository of another.
        again = as_root("backup", f"--repo={self.shared}", f"--data={self.cluster.data}",
                        f"--conninfo={self.cluster.conninfo()}")
        self.assertEqual(again.returncode, 0, again.stdout + again.stderr)
        for path in self.shared.rglob("*"):
            mode = stat.S_IMODE(path.stat().st_mode)
            self.assertEqual(mode & 0o7777, 0o2770 if path.is_dir() else 0o640, path)
        self.one_leads_the_other_nowhere(home)

    def one_leads_the_other_nowhere(self, home):
        """A link that the server's user leaves in the repository does not lead its owner to what is his alone."""
        theirs = home / "theirs"
        run("install", "-d", "-o", "backup", "-m", "0700", theirs, user=None)
        kept = self.shared / "kept"
        for folder, words in (("wal", ["list"]), ("known", ["verify"]), ("wal", ["wal-quarantine", "--timeline=1", "--yes"]), (".", ["list"])):
            place = self.shared / "main" / folder
            with self.subTest(folder=folder, command=words[0]):
                was_there = place.exists()
                if was_there:
                    run("mv", place, kept)
                run("ln", "-s", theirs, place)
                done = self.by_backup(*words)
                self.assertEqual(done.returncode, 4, done.stdout + done.stderr)
                self.assertIn("a symbolic link is followed in a repository only when", done.stderr)
                self.assertEqual(os.listdir(theirs), [])
                run("rm", place)
                if was_there:
                    run("mv", kept, place)
        # Its owner may keep a part elsewhere, for himself.
        wal = self.shared / "main" / "wal"
        run("mv", wal, f"{wal}.elsewhere")
        run("ln", "-s", f"{wal}.elsewhere", wal)
        self.assertEqual(attempt(TOOL, "list", f"--repo={self.shared}").returncode, 0)
        os.lchown(wal, 0, 0)
        self.assertEqual(self.by_backup("list").returncode, 0)


class Passwords(ToolTest):
    """A password is in nothing that the tool says."""

    def test_what_libpq_cannot_read_is_not_repeated(self):
        strings = ["password=two sesame", "postgresql://u:sesame@[::1/x", "host=127.0.0.1 port=1 password=sesame",
                   "password='sesame", "sesame"]
        for string in strings:
            with self.subTest(string=string):
                done = self.attempt("init", f"--conninfo={string}", "--log-level=debug")
                self.assertNotEqual(done.returncode, 0)
                self.assertNotIn("sesame", done.stdout + done.stderr)

    def test_an_option_that_is_not_known_keeps_its_value(self):
        done = self.attempt("backup", "--conninf=password=sesame")
        self.assertEqual(done.returncode, 2)
        self.assertNotIn("sesame", done.stdout + done.stderr)

    def test_a_file_that_everybody_reads_is_warned_of(self):
        config = self.path / "pgcairn.conf"
        config.write_text("conninfo = host=/nowhere password=sesame\n", encoding="utf-8")
        for mode, warned in ((0o644, True), (0o640, False), (0o600, False)):
            config.chmod(mode)
            if USER:
                account = pwd.getpwnam(USER)
                os.chown(config, account.pw_uid, account.pw_gid)
            done = self.attempt("init", f"--config={config}")
            self.assertEqual("everybody on this host can read the password" in done.stderr, warned, done.stderr)
            self.assertNotIn("sesame", done.stdout + done.stderr)


class Names(ClusterTest):
    """What a database user names reaches the terminal of whoever looks."""

    segment_mb = 1
    EVIL = "ok\x1b[2J\nFORGED 1/00 line\u202e"

    def test_no_name_forges_a_line_or_reaches_the_terminal(self):
        self.cluster.sql(f"select pg_create_restore_point($evil${self.EVIL}$evil$)")
        self.tool("backup", f"--data={self.cluster.data}", f"--conninfo={self.cluster.conninfo()}",
                  "--label=c1 \u009b2J")
        self.cluster.switch_wal()
        for words in (["log"], ["list"], ["log", "--json"], ["list", "--json"],
                      ["restore", f"--data={self.path}/x", f"--target-name={self.EVIL}", "--dry-run"]):
            with self.subTest(words=words[0]):
                done = self.attempt(*words)
                said = done.stdout + done.stderr
                self.assertNotRegex(said, "[\x01-\x08\x0b-\x1f\x7f\u0080-\u009f\u202e]")
                self.assertNotRegex(said, r"(?m)^\s*FORGED")
        self.assertIn(r"ok\x1b[2J\nFORGED 1/00 line\u202e", self.attempt("log").stdout)


if __name__ == "__main__":
    unittest.main()
