#!/usr/bin/env python3
"""The story that scripts/demo tells; see there."""

import argparse
import atexit
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

BIN = pathlib.Path(os.environ.get("PG_BIN", "/usr/lib/postgresql/15/bin"))
USER = "postgres" if os.getuid() == 0 else None  # PostgreSQL refuses to run as root
COLOR = sys.stdout.isatty() and "NO_COLOR" not in os.environ
BEGAN = time.monotonic()


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOR else text


def say(text):
    print(f"\n{paint('1;36', f'{time.monotonic() - BEGAN:6.1f} s  {text}')}", flush=True)


def note(text):
    print(f"          {text}", flush=True)


def run(*command, show=False, check=True):
    """Run as the unprivileged user; with show, print the command and let its output through."""
    command = [str(part) for part in command]
    if show:
        print(paint("1", "        $ " + " ".join(["pgcairn", *command[1:]] if command[0].endswith("pgcairn") else command)), flush=True)
    done = subprocess.run(command, user=USER, cwd="/", check=False, text=True,
                          stdout=None if show else subprocess.PIPE, stderr=None if show else subprocess.STDOUT)
    if check and done.returncode != 0:
        sys.exit(f"demo: {' '.join(command)} returned {done.returncode}\n{done.stdout or ''}")
    return (done.stdout or "").strip()


class Server:
    def __init__(self, folder, tool):
        self.folder, self.tool = folder, tool
        self.data, self.log, self.repo = folder / "data", folder / "server.log", folder / "repository"
        self.tablespace = folder / "fast-disk"
        atexit.register(self.stop, "immediate", False)

    def create(self):
        run("mkdir", self.tablespace)
        run(BIN / "initdb", "--data-checksums", "--auth=trust", "--username=postgres", "--encoding=UTF8",
            "--locale=C.UTF-8", "--pgdata", self.data)
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self.folder,
            "shared_buffers": "256MB",
            "max_wal_size": "1GB",
            "archive_mode": "on",
            "archive_command": f"{self.tool} archive-push --repo={self.repo} %p",
            "log_timezone": "UTC",
        }
        text = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        run("sh", "-c", 'printf %s "$1" >> "$2"', "sh", text, self.data / "postgresql.conf")

    def start(self):
        run(BIN / "pg_ctl", "start", "--wait", "--silent", "--pgdata", self.data, "--log", self.log)

    def stop(self, mode="fast", check=True):
        if (self.data / "postmaster.pid").exists():
            run(BIN / "pg_ctl", "stop", "--wait", "--silent", "--mode", mode, "--pgdata", self.data, check=check)

    def sql(self, *statements, database="shop"):
        """Run statements in one session; what the last ones printed."""
        arguments = [word for statement in statements for word in ("-c", statement)]
        return run(BIN / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-U", "postgres", "-d", database, *arguments)


class Orders(threading.Thread):
    """A shop that takes orders and keeps its own book of what the database acknowledged."""

    def __init__(self, server, book):
        super().__init__(daemon=True)
        self.server, self.book = server, book
        self.done = threading.Event()
        self.refused_at = None

    def run(self):
        psql = subprocess.Popen([str(BIN / "psql"), "-XAtq", "-h", str(self.server.folder), "-U", "postgres", "-d", "shop"],
                                user=USER, cwd="/", text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)
        with open(self.book, "w", encoding="ascii") as book:
            number = 0
            while not self.done.is_set():
                number += 1
                what = hashlib.sha256(str(number).encode()).hexdigest()
                psql.stdin.write(f"insert into orders values ({number}, '{what}') returning number;\n")
                psql.stdin.flush()
                answer = psql.stdout.readline().strip()
                if answer != str(number):
                    self.refused_at = answer
                    break
                book.write(f"{number}|{what}\n")
                book.flush()
                time.sleep(0.002)
        psql.stdin.close()
        psql.wait()


def book_checksum(book):
    text = "\n".join(sorted(book.read_text(encoding="ascii").splitlines(), key=lambda line: int(line.split("|")[0])))
    return hashlib.md5(text.encode()).hexdigest(), text.count("\n") + bool(text)


def wait_for(what, condition, timeout_s=120):
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"demo: {what}: not within {timeout_s} s")
        time.sleep(0.1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--scale", type=int, default=20)
    parser.add_argument("--keep", action="store_true", help="leave the directory for a look around")
    wish = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    folder = pathlib.Path(tempfile.mkdtemp(prefix="pgcairn-demo-"))
    if not wish.keep:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tool = folder / "pgcairn"
    shutil.copy(wish.tool, tool)
    folder.chmod(0o755)
    if USER:
        shutil.chown(folder, USER)
    server = Server(folder, tool)
    repo = f"--repo={server.repo}"
    times = {}

    def timed(name, *command, **options):
        began = time.monotonic()
        result = run(*command, **options)
        times[name] = time.monotonic() - began
        return result

    say(f"A real server: {run(BIN / 'postgres', '--version')}, data checksums on, a tablespace, WAL archived by pgcairn")
    server.create()
    run(tool, "init", repo, f"--data={server.data}", show=True)
    server.start()
    server.sql("create database shop", database="postgres")
    server.sql(f"create tablespace fast location '{server.tablespace}'")
    run(BIN / "pgbench", "-i", "-q", "-s", wish.scale, "--index-tablespace=fast", "-h", folder, "-U", "postgres", "shop")
    server.sql("create table orders (number int primary key, what text not null) tablespace fast")
    server.sql("create table settings (name text primary key, value text); insert into settings values ('theme', 'light')")
    note(f"database of {server.sql('select pg_size_pretty(sum(pg_database_size(oid))) from pg_database')}")

    say("Load: pgbench on two connections, and a shop that keeps its own book of acknowledged orders")
    load = subprocess.Popen([str(BIN / "pgbench"), "-n", "-c", "2", "-R", "600", "-T", "600", "-h", str(folder), "-U", "postgres", "shop"],
                            user=USER, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(load.kill)
    book = folder / "book-of-orders"
    orders = Orders(server, book)
    orders.start()
    time.sleep(2)

    say("A base backup while all this goes on")
    timed("base backup", tool, "backup", repo, f"--data={server.data}", f"--conninfo=host={folder} user=postgres dbname=postgres",
          "--no-progress", show=True)

    say("Can it be restored? A drill to a random instant: a copy that nobody notices, recovered, looked at, and gone")
    scratch = f"--scratch={folder / 'scratch'}"
    run(tool, "drill", repo, scratch, "--seed=1", "--no-progress", show=True)

    say("Somebody ships a migration to the wrong server: it drops the table of orders")
    began_at = server.sql("select now()")
    server.sql("begin", "update settings set value = 'dark' where name = 'theme'", "drop table orders", "commit")
    wait_for("the shop to notice", lambda: orders.refused_at is not None)
    note(f"the shop: {orders.refused_at}")
    time.sleep(2)
    server.sql("select pg_switch_wal()")
    last = server.sql("select pg_walfile_name(pg_current_wal_lsn() - 1)")
    server.sql("checkpoint")
    wait_for("archiving", lambda: server.sql(f"select last_archived_wal >= '{last}' or not exists (select from pg_ls_archive_statusdir() where name like '%.ready') from pg_stat_archiver") == "t")
    load.kill()
    load.wait()

    say("... and while everybody looks at that, the host goes down and takes its disks along")
    server.stop("immediate")
    shutil.rmtree(server.data)
    shutil.rmtree(server.tablespace)

    say("The operator asks: what is there, and when did it happen?")
    run(tool, "list", repo, show=True)
    run(tool, "log", repo, "--drops", f"--from={began_at}", show=True)
    lines = map(json.loads, run(tool, "log", repo, "--drops", "--json", f"--from={began_at}").splitlines())
    drop = next(line for line in lines if any(file["relation"] == "orders" for file in line.get("files", ())))
    xid = drop["undo"]["target_xid"]
    note(f"so the transaction to do without is {xid}")

    say("What would a restore do?")
    target = [f"--target-xid={xid}", "--target-exclusive", "--target-action=promote"]
    run(tool, "restore", repo, f"--data={server.data}", *target, "--dry-run", show=True)
    plan = json.loads(run(tool, "restore", repo, f"--data={server.data}", *target, "--dry-run", "--json", "--log-level=error"))
    forecast = plan["estimate"]

    say("Restore, start, watch the replay to its end")
    timed("restore, replay, open", tool, "restore", repo, f"--data={server.data}", *target, "--start", f"--server-log={server.log}",
          "--no-progress", show=True)

    say("Is it all there?")
    expected, count = book_checksum(book)
    found = server.sql("select md5(string_agg(number || '|' || what, E'\\n' order by number)) from orders")
    rows = int(server.sql("select count(*) from orders"))
    theme = server.sql("select value from settings where name = 'theme'")
    balance = server.sql("select (select sum(abalance) from pgbench_accounts) = (select sum(bbalance) from pgbench_branches)"
                         " and (select sum(bbalance) from pgbench_branches) = (select sum(tbalance) from pgbench_tellers)"
                         " and (select sum(tbalance) from pgbench_tellers) = (select coalesce(sum(delta), 0) from pgbench_history)")
    server.sql("create extension amcheck")
    run(BIN / "pg_amcheck", "--heapallindexed", "-h", folder, "-U", "postgres", "-d", "shop")
    checks = [
        (f"orders: {rows} rows, {count} acknowledged", rows == count),
        (f"checksum of orders {found}, of the shop's book {expected}", found == expected),
        ("the migration's other change is gone too (theme is light)", theme == "light"),
        ("pgbench's accounts, tellers, branches and history agree", balance == "t"),
        ("pg_amcheck --heapallindexed found nothing", True),
        ("the server accepts writes", server.sql("select pg_is_in_recovery()") == "f"),
    ]
    for text, holds in checks:
        note(("yes   " if holds else "NO    ") + text)
    server.stop()

    say("And the day after: a drill of the same instant, in which each row is read")
    timed("drill", tool, "drill", repo, scratch, *target[:-1], "--target-timeline=1", "--read-all", "--no-progress", show=True)
    run(tool, "drill", repo, "--list", show=True)

    say("The story in numbers")
    size = sum(path.stat().st_size for path in server.repo.rglob("*") if path.is_file())
    note(f"base backup under load   {times['base backup']:6.1f} s")
    note(f"restore, replay, open    {times['restore, replay, open']:6.1f} s   from the command to a database that answers")
    note(f"      forecast before    {forecast['p50_s']:6.1f} s   from the drill after the backup")
    note(f"drill of that instant    {times['drill']:6.1f} s   each row read, nothing left but its evidence")
    note(f"repository               {size / 2**20:6.1f} MiB")
    note(f"acknowledged orders      {count:6d}     lost {count - rows}")
    if not all(holds for _, holds in checks):
        sys.exit("demo: the restored database is not what it must be")
    note(paint("1;32", "Nothing was lost."))


main()
