#!/usr/bin/env python3
"""What scripts/bench measures; see there."""

import argparse
import atexit
import json
import os
import pathlib
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from bench_builds import BuildsBench
from bench_cache import CacheBench
from bench_forecast import ForecastBench
from bench_increment import IncrementBench
from bench_wal import WalBench
from bench_windows import WindowsBench

BIN = pathlib.Path(os.environ.get("PG_BIN", "/usr/lib/postgresql/15/bin"))
USER = "postgres" if os.getuid() == 0 else None


def run(*command, check=True, cwd="/", **options):
    """Run as the unprivileged user; wall and CPU seconds (its own and its children's)."""
    command = [str(part) for part in command]
    began = time.monotonic()
    child = subprocess.Popen(command, user=USER, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - began
    if check and child.returncode != 0:
        sys.exit(f"bench: {' '.join(command)} returned {child.returncode}\n{output}")
    return output.strip(), wall, usage.ru_utime + usage.ru_stime


class Bench(WalBench, CacheBench, WindowsBench, BuildsBench, ForecastBench, IncrementBench):
    run = staticmethod(run)
    bin = BIN
    user = USER

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

    def start(self, options=""):
        run(BIN / "pg_ctl", "start", "-w", "-s", "-t", "600", "-D", self.data, "-l", self.folder / "server.log", "-o", options)

    def stop(self, mode="fast", check=True):
        run(BIN / "pg_ctl", "stop", "-w", "-s", "-t", "600", "-m", mode, "-D", self.data, check=check)

    def wait_archived(self):
        while self.sql("select exists (select from pg_ls_archive_statusdir() where name like '%.ready')") == "t":
            time.sleep(0.2)

    def archived(self, start=""):
        """The segments from this one on that all archives have."""
        return sorted(path for path in self.wal.iterdir() if len(path.name) == 24 and path.name >= start)

    def write(self, transactions):
        """The WAL of so many transactions of pgbench, twice at once; made inside the server, without
        waiting for the disk, since nobody measures how long that takes."""
        body = f"""do $$
declare accounts int := 100000 * {self.wish.scale}; one int; sum int;
begin
  set synchronous_commit = off;
  for i in 1..{transactions} loop
    one := 1 + floor(random() * accounts); sum := floor(random() * 10001) - 5000;
    update pgbench_accounts set abalance = abalance + sum where aid = one;
    perform abalance from pgbench_accounts where aid = one;
    update pgbench_tellers set tbalance = tbalance + sum where tid = 1 + one % (10 * {self.wish.scale});
    update pgbench_branches set bbalance = bbalance + sum where bid = 1 + one % {self.wish.scale};
    insert into pgbench_history (tid, bid, aid, delta, mtime) values (1 + one % 10, 1 + one % {self.wish.scale}, one, sum, now());
    commit;
  end loop;
end $$"""
        psql = [str(BIN / "psql"), "-Xq", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-U", "postgres", "-d", "postgres", "-c", body]
        both = [subprocess.Popen(psql, user=USER, cwd="/") for _ in range(2)]
        if [child.wait() for child in both] != [0, 0]:
            sys.exit("bench: the transactions failed")

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
        self.start()
        atexit.register(self.stop, "immediate", check=False)
        self.pgbackrest("stanza-create")
        run(BIN / "pgbench", "-i", "-q", "-s", self.wish.scale, "-h", self.folder, "-U", "postgres", "postgres")
        # A part that hardly compresses, and many small relations.
        self.sql(f"create table mix as select g, md5(g::text) || md5((g * 7)::text) || gen_random_uuid() what, random() r from generate_series(1, {self.wish.scale * 30000}) g")
        self.sql("do $$ begin for i in 1..1000 loop execute format('create table small_%s (id int primary key, t text)', i); end loop; end $$")
        self.write(3000)
        self.sql("select pg_switch_wal()")
        self.sql("checkpoint")
        self.wait_archived()
        self.segments = self.archived()
        self.size = int(run("du", "-sb", self.data / "base")[0].split()[0])
        print(f"cluster of {self.size / 2**20:.0f} MiB in {sum(len(files) for _, _, files in os.walk(self.data))} files, "
              f"{os.cpu_count()} cores, {self.wish.runs} runs each", flush=True)

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
            _, wall, cpu = run(self.tool, "backup", f"--repo={self.repo}", f"--data={self.data}", f"--conninfo={conninfo}", "--jobs=2", "--no-progress", "--full")
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

    def delta(self):
        """What is there is restored, and so many of its pages changed, the same for both; then each goes
        over it. Besides the time: what is written, as the kernel counts it for the process and its children."""
        first, second = self.folder / "delta-ours", self.folder / "delta-theirs"
        run(self.tool, "backup", f"--repo={self.repo}", f"--data={self.data}", f"--conninfo=host={self.folder} user=postgres dbname=postgres", "--jobs=2", "--no-progress")
        self.pgbackrest("--type=full", "backup")
        run("mkdir", "-m", "700", second)
        run(self.tool, "restore", f"--repo={self.repo}", f"--data={first}", "--target=immediate", "--jobs=2", "--no-progress")
        self.pgbackrest(f"--pg1-path={second}", "--type=immediate", "restore")
        for pages in (0, 600, 60000):
            written = {first: [], second: []}

            def over(where, command, wanted=pages, counted=written):
                self.change_pages(where, wanted)
                run("sync")
                report = self.folder / "output-blocks"
                _, wall, cpu = run("/usr/bin/time", "-q", "-f", "%O", "-o", report, *command)
                counted[where].append(int(report.read_text(encoding="ascii").split()[-1]) * 512)
                return wall, cpu

            def ours():
                return over(first, [self.tool, "restore", f"--repo={self.repo}", f"--data={first}", "--target=immediate", "--delta", "--discard-wal",
                                    "--jobs=2", "--no-progress"])

            def theirs():
                return over(second, ["pgbackrest", f"--config={self.rest_conf}", "--stanza=main", f"--pg1-path={second}", "--type=immediate",
                                     "--delta", "restore"])

            what = f"restore --delta over {pages} changed pages"
            self.alternate(what, {"pgcairn restore --delta": ours, "pgbackrest restore --delta": theirs})
            told = {name: statistics.median(counted) for name, counted in zip(("ours", "theirs"), written.values())}
            self.results[what]["written_bytes"] = told
            print(f"  written: {told['ours'] / 2**20:.1f} and {told['theirs'] / 2**20:.1f} MiB", flush=True)
        self.vacate(first)
        self.vacate(second)

    def change_pages(self, where, count):
        """So many pages of relations, drawn with a seed that stays."""
        chance = random.Random(count)
        files = [(path, path.stat().st_size // 8192) for path in sorted((where / "base").rglob("*")) if path.is_file()]
        files = [(path, pages) for path, pages in files if pages > 16]
        for path, _ in chance.choices(files, [pages for _, pages in files], k=count):
            with open(path, "r+b") as file:
                file.seek(chance.randrange(path.stat().st_size // 8192) * 8192 + 100)
                file.write(os.urandom(100))

    def memory(self):
        """Peak resident size of one run each, as the kernel counts it; with --files also with so many more
        files in the data directory, step by step, and what each of these costs."""
        added, rows = 0, []
        print(f"\npeak memory, MiB (cluster of {self.size / 2**20:.0f} MiB)\n  {'files':>10}" + "".join(f"{name:>14}" for name in self.memory_commands()))
        for wanted in self.wish.files:
            self.add_files(added, wanted)
            added = wanted
            files = sum(len(names) for _, _, names in os.walk(self.data))
            peaks = {name: self.peak(command) for name, command in self.memory_commands().items()}
            self.vacate(self.folder / "restored")
            print(f"  {files:10}" + "".join(f"{peak:14.1f}" for peak in peaks.values()), flush=True)
            rows.append({"files": files, **peaks})
            if len(rows) > 1:
                more = files - rows[-2]["files"]
                print(f"  {'B a file':>10}" + "".join(f"{(peaks[name] - rows[-2][name]) * 2**20 / more:14.0f}" for name in peaks), flush=True)
        self.results["memory"] = {"bytes": self.size, "runs": rows}

    def memory_commands(self):
        conninfo = f"host={self.folder} user=postgres dbname=postgres"
        return {
            "backup": [self.tool, "backup", f"--repo={self.repo}", f"--data={self.data}", f"--conninfo={conninfo}", "--jobs=2", "--no-progress", "--full"],
            "restore": [self.tool, "restore", f"--repo={self.repo}", f"--data={self.folder}/restored", "--target=immediate", "--jobs=2", "--no-progress"],
            "verify": [self.tool, "verify", f"--repo={self.repo}", "--jobs=2", "--no-progress"],
            "list": [self.tool, "list", f"--repo={self.repo}"],
            "archive-push": [self.tool, "archive-push", f"--repo={self.repo}", self.segments[0]],
            "archive-get": [self.tool, "archive-get", f"--repo={self.repo}", self.segments[0].name, self.folder / "got"],
        }

    def peak(self, command):
        """MiB. Measured by time(1), which is small: wait4() here would count what Python has when it forks."""
        report = self.folder / "peak"
        run("/usr/bin/time", "-q", "-f", "%M", "-o", report, *command)
        return int(report.read_text(encoding="ascii").split()[-1]) / 1024

    def add_files(self, have, wanted):
        """Small files named like relations: the server does not know of them, a backup takes all there is.
        Some thousands of them share a content, as empty relations do."""
        database = pathlib.Path(self.sql("select 'base/' || oid from pg_database where datname = current_database()"))
        for number in range(have, wanted):
            path, first = (self.data / database / str(4000000000 + n) for n in (number, number - number % 10000))
            if path == first:
                path.write_bytes(os.urandom(100))
                if USER:
                    shutil.chown(path, USER, USER)
            else:
                os.link(first, path)

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
    parser.add_argument("--files", type=lambda text: [int(number) for number in text.split(",")], default=[0])
    parser.add_argument("--wal-objects", type=int, default=10000)
    parser.add_argument("--only", default="backup,restore,push,get,answers,sustained,replay,startup,memory,cache")
    parser.add_argument("--before", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path)
    wish = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pgcairn-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    if USER:
        shutil.chown(folder, USER)
    bench = Bench(wish, folder)
    shutil.copy(wish.tool, bench.tool)
    for module in pathlib.Path(wish.tool).parent.rglob("pgcairn_archive.so"):
        shutil.copy(module, folder)
    bench.prepare()
    for what in wish.only.split(","):
        getattr(bench, what)()
    if wish.json:
        wish.json.write_text(json.dumps(bench.results, indent=1), encoding="ascii")


main()
