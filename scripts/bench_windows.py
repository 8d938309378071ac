"""scripts/bench --only windows: what an answer about a long archive costs, and what remembering it saves.

A server of its own with segments of 1 MiB, so that --wal-objects (10,000) of them are made quickly;
each holds a commit. list, status, restore --dry-run and verify, with nothing remembered and with
all of it; where strace is there, also how many files are opened for an answer.
"""

import os
import re
import shutil
import time

PORT = 5439


class WindowsBench:
    """A part of Bench: needs its run, bin, wish, folder, tool and alternate."""

    def windows(self):
        data, repo = self.folder / "windows" / "data", self.folder / "windows" / "repo"
        self.run("mkdir", data.parent)
        self.run(self.bin / "initdb", "--no-sync", "--wal-segsize=1", "--auth=trust", "--username=postgres", "--pgdata", data)
        settings = {"listen_addresses": "", "unix_socket_directories": self.folder, "port": PORT, "fsync": "off",
                    "autovacuum": "off", "archive_mode": "on", "max_wal_size": "2GB",
                    "archive_command": f"{self.tool} archive-push --repo={repo} --push-ahead=64 --spool={data.parent}/spool %p"}
        text = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        self.run("sh", "-c", 'printf %s "$1" >> "$2"', "sh", text, data / "postgresql.conf")
        self.run("mkdir", data.parent / "spool")
        self.run(self.tool, "init", f"--repo={repo}", f"--data={data}")
        self.run(self.bin / "pg_ctl", "start", "-w", "-s", "-t", "600", "-D", data, "-l", data.parent / "log")
        try:
            self.make_history(data, repo)
            self.tell_windows(data, repo)
        finally:
            self.run(self.bin / "pg_ctl", "stop", "-w", "-s", "-m", "immediate", "-D", data)

    def windows_sql(self, query):
        return self.run(self.bin / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", str(PORT), "-U", "postgres", "-d", "postgres", "-c", query)[0]

    def make_history(self, data, repo):
        self.run(self.tool, "backup", f"--repo={repo}", f"--data={data}", f"--conninfo=host={self.folder} port={PORT} user=postgres dbname=postgres")
        self.windows_sql("create table t (n int)")
        script = self.folder / "windows" / "switch.sql"
        self.run("sh", "-c", f"echo 'insert into t values (1); select pg_switch_wal();' > {script}")
        self.run(self.bin / "pgbench", "-n", "-c", "1", "-t", str(self.wish.wal_objects), "-f", script, "-h", self.folder, "-p", str(PORT), "-U", "postgres", "postgres")
        while self.windows_sql("select exists (select from pg_ls_archive_statusdir() where name like '%.ready')") == "t":
            time.sleep(0.5)
        # What was stored in the last seconds is not remembered.
        past = time.time() - 3600
        for path in repo.rglob("*"):
            if path.is_file():
                os.utime(path, (past, past))

    def answers(self, data, repo):
        conninfo = f"host={self.folder} port={PORT} user=postgres dbname=postgres"
        fresh = self.folder / "windows" / "fresh"
        return {"list": (self.tool, "list", f"--repo={repo}", "--json"),
                "status": (self.tool, "status", f"--repo={repo}", f"--data={data}", f"--conninfo={conninfo}", "--json"),
                "restore --dry-run": (self.tool, "restore", f"--repo={repo}", f"--data={fresh}", "--dry-run", "--json"),
                "verify": (self.tool, "verify", f"--repo={repo}", "--json"),
                "verify --reread-after=30d": (self.tool, "verify", f"--repo={repo}", "--json", "--reread-after=30d")}

    def tell_windows(self, data, repo):
        known, kept = repo / "main" / "known", self.folder / "windows" / "known"
        self.run(self.tool, "verify", f"--repo={repo}")
        self.run("cp", "-a", known, kept)
        for name, command in self.answers(data, repo).items():
            def ask(remembers, command=command):
                self.run("rm", "-rf", known)
                if remembers:
                    self.run("cp", "-a", kept, known)
                _, wall, cpu = self.run(*command, check=False)
                return wall, cpu

            self.alternate(f"{name}, {self.wish.wal_objects} segments{self.opened(command, known, kept)}",
                           {"remembered": lambda ask=ask: ask(True), "nothing remembered": lambda ask=ask: ask(False)})

    def opened(self, command, known, kept):
        """How many objects an answer opens, with and without."""
        if shutil.which("strace") is None:
            return ""
        counts = []
        for remembers in (True, False):
            self.run("rm", "-rf", known)
            if remembers:
                self.run("cp", "-a", kept, known)
            log = self.folder / "windows" / "opens"
            self.run("strace", "-f", "-e", "trace=openat,openat2", "-o", log, *command, check=False)
            text = log.read_text(encoding="utf-8", errors="replace")
            counts.append(len(re.findall(rf'openat2?\([^"]*"[^"]*(?:\.wal|/known/[^"]*)"', text)))
        return f" (opens {counts[0]} objects of WAL, else {counts[1]})"
