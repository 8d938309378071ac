"""scripts/bench --only cache: what a backup does to the cache that the server lives on.

The server has 128 MB of shared_buffers; pgbench's accounts are larger and hot, the cache of the
operating system holds them. The rest of the cluster, a copy of them among it, is cold. Server, load
and backup run in one memory cgroup that has room for what is hot and little more (needs root): so a
backup that pushes pages out shows in the server's reads from disk and in the latency of its clients.
Without a cgroup nothing has to go on a machine with plenty of memory; then the table shows only what
is in the cache.
"""

import os
import pathlib
import subprocess
import sys

SHARED_BUFFERS_MB = 128
SPARE_MB = 200  # of the cgroup, besides what is hot and shared_buffers: processes, WAL, catalogs
RATE = 300  # transactions a second: the machine bears them easily, also under a backup
SECONDS = 15


class MemoryGroup:
    """This process and what it starts from now on, with a limit that counts cached files, too."""

    def __init__(self, limit):
        self.path = self.home = None
        root = pathlib.Path("/sys/fs/cgroup")
        two = "memory" in (root / "cgroup.controllers").read_text().split() if (root / "cgroup.controllers").exists() else False
        base, file = (root, "memory.max") if two else (root / "memory", "memory.limit_in_bytes")
        try:
            for line in pathlib.Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
                number, controllers, path = line.split(":", 2)
                if (two and number == "0") or "memory" in controllers.split(","):
                    self.home = base / path.lstrip("/")
            self.path = base / f"pgcairn-bench-{os.getpid()}"
            self.path.mkdir()
            (self.path / file).write_text(str(limit), encoding="ascii")
            self.move(self.path)
        except OSError as problem:
            print(f"bench: no memory cgroup ({problem}): nothing has to leave the cache", flush=True)
            self.close()

    def move(self, group):
        (group / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")

    def close(self):
        if self.path is not None and self.path.exists():
            if self.home is not None and self.home.exists():
                self.move(self.home)
            self.path.rmdir()
        self.path = None


def files_of(*folders):
    return [path for folder in folders for path in pathlib.Path(folder).rglob("*") if path.is_file() and not path.is_symlink()]


def cached_mb(files):
    """MiB of these files that the page cache holds."""
    total = 0
    for start in range(0, len(files), 500):
        # A file may have gone since it was listed: what fincore says of the others counts.
        found = subprocess.run(["fincore", "-b", "-n", "-o", "RES", *files[start : start + 500]],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        total += sum(int(line) for line in found.stdout.split())
    return total / 2**20


def forget(files):
    """Out of the page cache: these files and nobody else's."""
    os.sync()
    for path in files:
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def percentile(sorted_values, share):
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))]


class CacheBench:
    """A part of Bench: needs its run, sql, wish, folder, data, tool, repo, rest, rest_conf, start and stop."""

    def cache(self):
        self.sql("create table cold as select * from pgbench_accounts")
        self.sql("checkpoint")
        self.wait_archived()
        hot_mb = int(self.sql("select pg_relation_size('pgbench_accounts') + pg_relation_size('pgbench_accounts_pkey')")) / 2**20
        whole_mb = sum(path.stat().st_size for path in files_of(self.data / "base")) / 2**20
        limit_mb = hot_mb + SHARED_BUFFERS_MB + SPARE_MB
        self.stop()
        group = MemoryGroup(int(limit_mb * 2**20)) if os.getuid() == 0 else None
        limited = group is not None and group.path is not None
        print(f"\npage cache: {hot_mb:.0f} of the cluster's {whole_mb:.0f} MiB are hot, shared_buffers {SHARED_BUFFERS_MB} MB, "
              + (f"memory limit {limit_mb:.0f} MiB" if limited else "no memory limit"))
        print(f"  {'':34}{'hit ratio':>10}{'disk MiB':>9}{'p50 ms':>9}{'p95 ms':>10}{'mean ms':>10}{'hot cached':>12}{'cold':>7}{'repository':>12}")
        self.results["cache"] = {"hot_mb": hot_mb, "limit_mb": limit_mb if limited else None}
        try:
            for name, repo, command in self.cache_contestants():
                self.cache_of(name, repo, [str(word) for word in command])
        finally:
            self.stop(check=False)
            if group is not None:
                group.close()
            self.start()
            self.sql("drop table cold")

    def cache_contestants(self):
        conninfo = f"host={self.folder} user=postgres dbname=postgres"
        return (
            ("no backup", self.repo, ["sleep", 5]),
            ("pgcairn", self.repo, [self.tool, "backup", f"--repo={self.repo}", f"--data={self.data}", f"--conninfo={conninfo}", "--jobs=2", "--no-progress", "--full"]),
            ("pgbackrest", self.rest / "repo", ["pgbackrest", f"--config={self.rest_conf}", "--stanza=main", "--type=full", "backup"]),
        )

    def cache_of(self, name, repo, command):
        """Warm the server, look, back up under load, look again: a row each."""
        forget(files_of(self.data, repo))
        self.start(f"-c shared_buffers={SHARED_BUFFERS_MB}MB")
        hot, cold = self.hot_files()
        self.sql("select sum(abalance) from pgbench_accounts")
        self.sql("set enable_seqscan = off; set enable_bitmapscan = off; select count(*) from pgbench_accounts where aid > 0")
        self.load(SECONDS, 0)
        rows = {"before": self.look(hot, cold, repo)}
        backup = subprocess.Popen(command, user="postgres" if os.getuid() == 0 else None, cwd="/", stdout=subprocess.DEVNULL)
        rows["during"] = self.look(hot, cold, repo)
        if backup.wait() != 0:
            sys.exit(f"bench: {name} failed")
        rows["after"] = self.look(hot, cold, repo)
        self.stop()
        for when, row in rows.items():
            print(f"  {name + ', ' + when:34}{row['hit_ratio']:10.4f}{row['disk_mb']:9.1f}{row['p50_ms']:9.3f}{row['p95_ms']:10.3f}{row['mean_ms']:10.3f}"
                  f"{row['hot_cached_mb']:12.0f}{row['cold_cached_mb']:7.0f}{row['repository_cached_mb']:12.0f}", flush=True)
        self.results["cache"][name] = rows

    def hot_files(self):
        """Files of the hot relations, and all others."""
        paths = self.sql("select pg_relation_filepath('pgbench_accounts'), pg_relation_filepath('pgbench_accounts_pkey')").split("|")
        files = files_of(self.data / "base", self.data / "global")
        hot = [path for path in files if any(str(path.relative_to(self.data)).split(".")[0] == wanted for wanted in paths)]
        return hot, [path for path in files if path not in hot]

    def look(self, hot, cold, repo):
        """What is in the page cache, then what the load finds there."""
        row = {"hot_cached_mb": cached_mb(hot), "cold_cached_mb": cached_mb(cold), "repository_cached_mb": cached_mb(files_of(repo))}
        hits, reads, disk = self.counters()
        latencies = sorted(self.load(SECONDS, RATE))
        more_hits, more_reads, more_disk = self.counters()
        touched = more_hits - hits + more_reads - reads
        return row | {"hit_ratio": (more_hits - hits) / max(1, touched), "disk_mb": (more_disk - disk) / 2**20,
                      "p50_ms": percentile(latencies, 0.5), "p95_ms": percentile(latencies, 0.95), "mean_ms": sum(latencies) / len(latencies)}

    def counters(self):
        """Blocks of the hot table and its index found in shared_buffers and read; bytes that the server had
        from disk (its ended processes are counted with their parent)."""
        self.sql("select pg_stat_force_next_flush()")
        hits, reads = self.sql("select heap_blks_hit + idx_blks_hit, heap_blks_read + idx_blks_read from pg_statio_user_tables"
                               " where relname = 'pgbench_accounts'").split("|")
        pid = int((self.data / "postmaster.pid").read_text(encoding="ascii").split()[0])
        try:
            text = pathlib.Path(f"/proc/{pid}/io").read_text(encoding="ascii")
        except PermissionError:
            return int(hits), int(reads), 0
        return int(hits), int(reads), next(int(line.split()[1]) for line in text.splitlines() if line.startswith("read_bytes"))

    def load(self, seconds, rate):
        """Read single hot rows; milliseconds that each took, counted from when it was due."""
        prefix = self.folder / "latency"
        self.run(self.bin / "pgbench", "-n", "-S", "-c", "1", *(["-R", rate] if rate else []), "-T", seconds,
                 "--log", f"--log-prefix={prefix}", "-h", self.folder, "-U", "postgres", "postgres")
        taken = []
        for log in self.folder.glob("latency.*"):
            taken += [int(line.split()[2]) / 1000 for line in log.read_text(encoding="ascii").splitlines()]
            log.unlink()
        return taken
