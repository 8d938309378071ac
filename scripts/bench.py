#!/usr/bin/env python3
"""What scripts/bench measures; see there."""

import argparse
import atexit
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

BIN = pathlib.Path(os.environ.get("PG_BIN", "/usr/lib/postgresql/15/bin"))
USER = "postgres" if os.getuid() == 0 else None


def run(*command, check=True, **options):
    """Run as the unprivileged user; wall and CPU seconds (its own and its children's)."""
    return measured(*command, check=check, **options)[:3]


def measured(*command, check=True, **options):
    """The same, and the largest resident size of one of its processes in MiB (from about 15 on: what
    this harness has when it forks counts)."""
    command = [str(part) for part in command]
    began = time.monotonic()
    child = subprocess.Popen(command, user=USER, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - began
    if check and child.returncode != 0:
        sys.exit(f"bench: {' '.join(command)} returned {child.returncode}\n{output}")
    return output.strip(), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


class Bench:
    def __init__(self, wish, folder):
        self.wish, self.folder = wish, folder
        self.data, self.wal = folder / "data", folder / "wal"
        self.tool = folder / "pgcairn"
        self.repo, self.rest = folder / "repo", folder / "pgbackrest"
        self.rest_conf = folder / "pgbackrest.conf"
        self.results = {}

    def sql(self, query):
        return run(BIN / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-U", "postgres", "-d", "postgres", "-c", query)[0]

    def pgbackrest(self, *arguments):
        return run("pgbackrest", f"--config={self.rest_conf}", "--stanza=main", *arguments)

    def prepare(self):
        run("mkdir", self.wal, self.rest, self.rest / "repo", self.rest / "log", self.rest / "lock", self.rest / "spool")
        self.rest_conf.write_text(
            f"[global]\nrepo1-path={self.rest}/repo\nlog-path={self.rest}/log\nlock-path={self.rest}/lock\nspool-path={self.rest}/spool\n"
            f"repo1-bundle=y\nrepo1-retention-full=99\ncompress-type=zst\ncompress-level=1\nprocess-max=2\nstart-fast=y\nlog-level-console=error\nlog-level-file=off\n"
            f"[main]\npg1-path={self.data}\npg1-socket-path={self.folder}\npg1-user=postgres\npg1-port=5432\n", encoding="ascii")
        self.rest_conf.chmod(0o644)
        run(BIN / "initdb", "--data-checksums", "--auth=trust", "--username=postgres", "--pgdata", self.data)
        push = (f"cp -n %p {self.wal}/%f && {self.tool} archive-push --repo={self.repo} %p && "
                f"pgbackrest --config={self.rest_conf} --stanza=main archive-push %p")
        settings = {"listen_addresses": "", "unix_socket_directories": self.folder, "shared_buffers": "1GB", "max_wal_size": "4GB",
                    "checkpoint_timeout": "30min", "autovacuum": "off", "archive_mode": "on", "archive_command": push}
        text = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        run("sh", "-c", 'printf %s "$1" >> "$2"', "sh", text, self.data / "postgresql.conf")
        run(self.tool, "init", f"--repo={self.repo}", f"--data={self.data}")
        # The stanza must be there before the first segment is archived, and wants a running server.
        run(BIN / "pg_ctl", "start", "-w", "-s", "-D", self.data, "-l", self.folder / "server.log")
        atexit.register(run, BIN / "pg_ctl", "stop", "-w", "-s", "-m", "immediate", "-D", self.data, check=False)
        self.pgbackrest("stanza-create")
        run(BIN / "pgbench", "-i", "-q", "-s", self.wish.scale, "-h", self.folder, "-U", "postgres", "postgres")
        # A part that hardly compresses, and many small relations.
        self.sql(f"create table mix as select g, md5(g::text) || md5((g * 7)::text) || gen_random_uuid() what, random() r from generate_series(1, {self.wish.scale * 30000}) g")
        self.sql("do $$ begin for i in 1..1000 loop execute format('create table small_%s (id int primary key, t text)', i); end loop; end $$")
        run(BIN / "pgbench", "-n", "-c", "2", "-t", max(3000, self.wish.segments * 100), "-h", self.folder, "-U", "postgres", "postgres")
        self.sql("select pg_switch_wal()")
        self.sql("checkpoint")
        while self.sql("select exists (select from pg_ls_archive_statusdir() where name like '%.ready')") == "t":
            time.sleep(0.5)
        self.segments = sorted(path for path in self.wal.iterdir() if len(path.name) == 24)[-self.wish.segments:]
        self.size = int(run("du", "-sb", self.data / "base")[0].split()[0])
        print(f"cluster of {self.size / 2**20:.0f} MiB in {sum(len(files) for _, _, files in os.walk(self.data))} files, "
              f"{len(self.segments)} segments, {os.cpu_count()} cores, {self.wish.runs} runs each", flush=True)

    def alternate(self, what, contestants, unit=1):
        """Run each contestant once a round; the first one is ours. Seconds per unit."""
        taken = {name: [] for name in contestants}
        for _ in range(self.wish.runs):
            for name, contest in contestants.items():
                run("sync")
                wall, cpu = contest()
                taken[name].append((wall / unit, cpu / unit))
        ours = statistics.median(wall for wall, _ in next(iter(taken.values())))
        print(f"\n{what}\n  {'':34}{'median s':>10}{'min':>9}{'max':>9}{'CPU s':>9}   ours / theirs")
        self.results[what] = {}
        for name, runs in taken.items():
            walls, cpus = [wall for wall, _ in runs], [cpu for _, cpu in runs]
            median = statistics.median(walls)
            self.results[what][name] = {"wall_s": walls, "cpu_s": cpus}
            print(f"  {name:34}{median:10.4f}{min(walls):9.4f}{max(walls):9.4f}{statistics.median(cpus):9.4f}   {ours / median:8.2f}", flush=True)

    def backup(self):
        conninfo = f"host={self.folder} user=postgres dbname=postgres"

        def ours():
            _, wall, cpu = run(self.tool, "backup", "--full", f"--repo={self.repo}", f"--data={self.data}", f"--conninfo={conninfo}", "--jobs=2", "--no-progress")
            return wall, cpu

        def theirs():
            _, wall, cpu = self.pgbackrest("--type=full", "backup")
            return wall, cpu

        def stream():
            path = self.folder / "basebackup"
            shutil.rmtree(path, ignore_errors=True)
            _, wall, cpu = run(BIN / "pg_basebackup", "-h", self.folder, "-U", "postgres", "-D", path, "-Ft", "--compress=server-zstd:level=1,workers=2", "-X", "none", "-c", "fast")
            return wall, cpu  # CPU of the client only: the server compresses

        def floor():
            path = self.folder / "floor.zst"
            path.unlink(missing_ok=True)
            _, wall, cpu = run("sh", "-c", f"tar -C {self.data} -cf - --exclude=./pg_wal . | zstd -q -1 -T2 -o {path} && sync {path}")
            return wall, cpu

        self.alternate("full backup", {"pgcairn backup": ours, "pgbackrest backup": theirs, "pg_basebackup server-zstd:1": stream,
                                       "tar | zstd -1 -T2, fsynced": floor})

    def vacate(self, where):
        """Out of the way and its space given back, but no file is deleted: ext4 without a journal looks
        at every inode deleted in the last minutes before it takes another one (recently_deleted() in
        fs/ext4/ialloc.c), and whoever restores next would pay for what the harness removed."""
        if where.exists():
            aside = where.rename(pathlib.Path(tempfile.mkdtemp(prefix="old-", dir=self.folder)) / where.name)
            for path in aside.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    os.truncate(path, 0)
            run("sync")

    def restore(self):
        where = self.folder / "restored"

        def ours():
            self.vacate(where)
            _, wall, cpu = run(self.tool, "restore", f"--repo={self.repo}", f"--data={where}", "--target=immediate", "--jobs=2", "--no-progress")
            return wall, cpu

        def theirs():
            self.vacate(where)
            run("mkdir", "-m", "700", where)
            _, wall, cpu = self.pgbackrest(f"--pg1-path={where}", "--type=immediate", "restore")
            return wall, cpu

        self.alternate("restore (files, no replay)", {"pgcairn restore": ours, "pgbackrest restore": theirs})
        self.vacate(where)

    def push(self):
        repo, plain = self.folder / "push-repo", self.folder / "push-plain"

        def each(command):
            wall = cpu = 0.0
            for segment in self.segments:
                _, wall_one, cpu_one = run(*command(segment))
                wall, cpu = wall + wall_one, cpu + cpu_one
            return wall, cpu

        def ours():
            shutil.rmtree(repo, ignore_errors=True)
            run(self.tool, "init", f"--repo={repo}", f"--data={self.data}")
            return each(lambda segment: (self.tool, "archive-push", f"--repo={repo}", segment))

        def theirs():
            for path in (self.rest / "repo/archive/main").glob("15-1/*"):
                shutil.rmtree(path)
            return each(lambda segment: ("pgbackrest", f"--config={self.rest_conf}", "--stanza=main", "archive-push", segment))

        def copy():
            shutil.rmtree(plain, ignore_errors=True)
            run("mkdir", plain)
            return each(lambda segment: ("sh", "-c", f"cp {segment} {plain}/ && sync {plain}/{segment.name} {plain}"))

        self.alternate("archive-push, per segment", {"pgcairn archive-push": ours, "pgbackrest archive-push": theirs, "cp + fsync": copy}, len(self.segments))

    def get(self):
        into = self.folder / "got"

        def each(command):
            wall = cpu = 0.0
            for segment in self.segments:
                into.unlink(missing_ok=True)
                _, wall_one, cpu_one = run(*command(segment))
                if into.stat().st_size != segment.stat().st_size:
                    sys.exit(f"bench: {segment.name} came back with another size")
                wall, cpu = wall + wall_one, cpu + cpu_one
            return wall, cpu

        self.alternate("archive-get, per segment", {
            "pgcairn archive-get": lambda: each(lambda segment: (self.tool, "archive-get", f"--repo={self.folder}/push-repo", segment.name, into)),
            "pgbackrest archive-get": lambda: each(lambda segment: ("pgbackrest", f"--config={self.rest_conf}", "--stanza=main", "archive-get", segment.name, into)),
            "cp": lambda: each(lambda segment: ("cp", segment, into)),
        }, len(self.segments))

    def cached(self, *folders):
        """MiB of these folders' files that the page cache holds."""
        files = [path for folder in folders for path in pathlib.Path(folder).rglob("*") if path.is_file()]
        total = 0
        for start in range(0, len(files), 500):
            total += sum(int(line) for line in subprocess.run(
                ["fincore", "-b", "-n", "-o", "RES", *files[start : start + 500]], capture_output=True, text=True, check=True).stdout.split())
        return total / 2**20

    def cache(self):
        """What a backup does to a page cache in which a part of the cluster is warm (needs root)."""
        print(f"\npage cache, MiB, and pgbench's latency\n  {'':24}{'cluster before':>16}{'after':>8}{'repository after':>18}{'latency ms before':>19}{'during':>8}{'after':>8}")
        self.results["cache"] = {}
        for name, repo, command in (
            ("pgcairn backup", self.repo, [self.tool, "backup", "--full", f"--repo={self.repo}", f"--data={self.data}",
                                           f"--conninfo=host={self.folder} user=postgres dbname=postgres", "--jobs=2", "--no-progress"]),
            ("pgbackrest backup", self.rest, ["pgbackrest", f"--config={self.rest_conf}", "--stanza=main", "--type=full", "backup"]),
        ):
            run("sync")
            pathlib.Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")
            self.latency(10)  # warms what the load needs
            before_ms, before = self.latency(15), self.cached(self.data / "base")
            backup = subprocess.Popen([str(word) for word in command], user=USER, cwd="/", stdout=subprocess.DEVNULL)
            during_ms = self.latency(15)
            if backup.wait() != 0:
                sys.exit(f"bench: {name} failed")
            after, stored = self.cached(self.data / "base"), self.cached(repo)
            after_ms = self.latency(15)
            print(f"  {name:24}{before:16.0f}{after:8.0f}{stored:18.0f}{before_ms:19.3f}{during_ms:8.3f}{after_ms:8.3f}", flush=True)
            self.results["cache"][name] = {"before": before, "after": after, "repository": stored, "latency_ms": [before_ms, during_ms, after_ms]}

    def latency(self, seconds):
        """Mean of pgbench's read-only transactions at a rate that the machine bears easily."""
        output = run(BIN / "pgbench", "-n", "-S", "-c", "1", "-R", "500", "-T", seconds, "-h", self.folder, "-U", "postgres", "postgres")[0]
        return float(next(line for line in output.splitlines() if line.startswith("latency average")).split("=")[1].split()[0])

    def memory(self):
        """Peak resident size of one run each; run at two --scale ten times apart to see what it depends on."""
        where = self.folder / "restored"
        conninfo = f"host={self.folder} user=postgres dbname=postgres"
        files = sum(len(names) for _, _, names in os.walk(self.data))
        print(f"\npeak memory, MiB (cluster of {self.size / 2**20:.0f} MiB in {files} files)")
        self.results["memory"] = {"bytes": self.size, "files": files}
        for name, command in (
            ("backup", [self.tool, "backup", "--full", f"--repo={self.repo}", f"--data={self.data}", f"--conninfo={conninfo}", "--jobs=2", "--no-progress"]),
            ("restore", [self.tool, "restore", f"--repo={self.repo}", f"--data={where}", "--target=immediate", "--jobs=2", "--no-progress"]),
            ("archive-push", [self.tool, "archive-push", f"--repo={self.repo}", self.segments[0]]),
            ("archive-get", [self.tool, "archive-get", f"--repo={self.repo}", self.segments[0].name, self.folder / "got"]),
            ("verify", [self.tool, "verify", f"--repo={self.repo}", "--jobs=2", "--no-progress"]),
        ):
            peak = measured(*command)[3]
            self.results["memory"][name] = peak
            print(f"  {name:24}{peak:8.1f}", flush=True)
        shutil.rmtree(where, ignore_errors=True)

    def startup(self):
        count = 50

        def many(*command):
            wall = cpu = 0.0
            for _ in range(count):
                _, wall_one, cpu_one = run(*command)
                wall, cpu = wall + wall_one, cpu + cpu_one
            return wall, cpu

        self.alternate("start-up (the harness itself takes a part)", {
            "pgcairn --version": lambda: many(self.tool, "--version"),
            "pgbackrest version": lambda: many("pgbackrest", "version"),
            "/bin/true": lambda: many("/bin/true"),
        }, count)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--scale", type=int, default=100)
    parser.add_argument("--segments", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default="backup,restore,push,get,startup,memory,cache")
    parser.add_argument("--json", type=pathlib.Path)
    wish = parser.parse_args()

    folder = pathlib.Path(tempfile.mkdtemp(prefix="pgcairn-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    if USER:
        shutil.chown(folder, USER)
    bench = Bench(wish, folder)
    shutil.copy(wish.tool, bench.tool)
    bench.prepare()
    for what in wish.only.split(","):
        getattr(bench, what)()
    if wish.json:
        wish.json.write_text(json.dumps(bench.results, indent=1), encoding="ascii")


main()
