"""scripts/bench --only push,get,answers,sustained,replay: WAL into the archive and out of it.

push, get   one segment after another, each by a process of its own, as the server calls it
answers     calls whose work an earlier one has done: a segment that was pushed along, or fetched ahead;
            through a shell, as the server makes them
sustained   a server that has segments waiting, and an archive_command (or the module) is set: until
            the last of them is archived
replay      a recovery over segments fetched by each restore_command, against hard links: the redo time
            that the server itself tells
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time


class WalBench:
    """A part of Bench: needs its run, sql, wish, folder, data, tool, repo, rest, start, stop and segments."""

    def need_segments(self, start=""):
        """As many segments from this one on as are wished, in everybody's archive."""
        while len(self.archived(start)) < self.wish.segments:
            self.write(5000)
        self.sql("select pg_switch_wal()")
        self.sql("checkpoint")
        self.wait_archived()
        self.segments = self.archived(start)[-self.wish.segments :]

    # ---- one segment at a time

    def push(self):
        repo, plain = self.folder / "push-repo", self.folder / "push-plain"
        self.need_segments()

        def each(command):
            wall = cpu = 0.0
            for segment in self.segments:
                _, wall_one, cpu_one = self.run(*command(segment))
                wall, cpu = wall + wall_one, cpu + cpu_one
            return wall, cpu

        def ours():
            shutil.rmtree(repo, ignore_errors=True)
            self.run(self.tool, "init", f"--repo={repo}", f"--data={self.data}")
            return each(lambda segment: (self.tool, "archive-push", f"--repo={repo}", segment))

        def theirs():
            self.empty_rest()
            return each(lambda segment: ("pgbackrest", f"--config={self.rest_conf}", "--stanza=main", "archive-push", segment))

        def copy():
            self.fresh(plain)
            return each(lambda segment: ("sh", "-c", f"cp {segment} {plain}/ && sync {plain}/{segment.name} {plain}"))

        def by_hand():
            self.fresh(plain)
            return each(lambda segment: ("sh", "-c", f"zstd -q -1 -T1 -o {plain}/{segment.name} {segment} && sync {plain}/{segment.name} {plain}"))

        self.alternate("archive-push, per segment", {"pgcairn archive-push": ours, "pgbackrest archive-push": theirs,
                                                     "zstd -1, written, fsynced": by_hand, "cp + fsync": copy}, len(self.segments))

    def get(self):
        into = self.folder / "got"
        self.need_segments()

        def each(command):
            wall = cpu = 0.0
            for segment in self.segments:
                into.unlink(missing_ok=True)
                _, wall_one, cpu_one = self.run(*command(segment))
                if into.stat().st_size != segment.stat().st_size:
                    sys.exit(f"bench: {segment.name} came back with another size")
                wall, cpu = wall + wall_one, cpu + cpu_one
            return wall, cpu

        self.alternate("archive-get, per segment", {
            "pgcairn archive-get": lambda: each(lambda segment: (self.tool, "archive-get", f"--repo={self.repo}", segment.name, into)),
            "pgbackrest archive-get": lambda: each(lambda segment: ("pgbackrest", f"--config={self.rest_conf}", "--stanza=main", "archive-get", segment.name, into)),
            "cp": lambda: each(lambda segment: ("cp", segment, into)),
        }, len(self.segments))

    # ---- calls whose work is done

    def answers(self):
        start = self.sql("select pg_walfile_name(pg_current_wal_lsn())")
        self.base_of_replay()
        self.need_segments(start)
        names = [segment.name for segment in self.archived(start)][: min(self.wish.segments, 32)]
        data, spool, repo = self.waiting_directory(names), self.folder / "spool", self.folder / "answers-repo"
        push = f"--pg1-path={data} --archive-async archive-push"
        get = f"--pg1-path={self.folder}/replay-base --archive-async --archive-get-queue-max=1GiB archive-get"
        rest = f"pgbackrest --config={self.rest_conf} --stanza=main"
        nothing = {"/bin/true": lambda: self.call_each(data, names, lambda name: "/bin/true", lambda name: True)}

        def pushed():
            self.fresh(spool)
            shutil.rmtree(repo, ignore_errors=True)
            self.run(self.tool, "init", f"--repo={repo}", f"--data={self.data}")
            return self.call_each(data, names, lambda name: f"{self.tool} archive-push --repo={repo} --spool={spool} pg_wal/{name}",
                                  lambda name: any(spool.glob(f"*/main/{name}")))

        def rest_pushed():
            self.empty_rest()
            return self.call_each(data, names, lambda name: f"{rest} {push} pg_wal/{name}",
                                  lambda name: (self.rest / f"spool/archive/main/out/{name}.ok").exists())

        def fetched():
            ahead = self.folder / "replay-base/pg_wal/pgcairn.prefetch"
            shutil.rmtree(ahead, ignore_errors=True)
            return self.call_each(self.folder / "replay-base", names, lambda name: f"{self.tool} archive-get --repo={self.repo} {name} pg_wal/RECOVERYXLOG",
                                  lambda name: any(ahead.glob(f"{name}.*")))

        def rest_fetched():
            shutil.rmtree(self.rest / "spool/archive", ignore_errors=True)
            return self.call_each(self.folder / "replay-base", names, lambda name: f"{rest} {get} {name} pg_wal/RECOVERYXLOG",
                                  lambda name: (self.rest / f"spool/archive/main/in/{name}").exists())

        count = len(names) - 1
        self.alternate("archive-push, pushed along before", {"pgcairn archive-push": pushed, "pgbackrest, asynchronous": rest_pushed, **nothing}, count)
        self.alternate("archive-get, fetched ahead", {"pgcairn archive-get": fetched, "pgbackrest, asynchronous": rest_fetched, **nothing}, count)
        shutil.rmtree(self.folder / "replay-base", ignore_errors=True)

    def waiting_directory(self, names):
        """As much of a data directory as says that these segments wait to be archived."""
        data = self.folder / "waiting"
        self.run("mkdir", "-p", data / "pg_wal/archive_status", data / "global")
        self.run("cp", self.data / "PG_VERSION", data)
        self.run("cp", self.data / "global/pg_control", data / "global")
        for name in names:
            self.run("cp", self.wal / name, data / "pg_wal")
            self.run("touch", data / f"pg_wal/archive_status/{name}.ready")
        return data

    def call_each(self, directory, names, command, is_ready):
        """Call for each; the first call, which does the work of the others, does not count, nor the wait for it."""
        wall = cpu = 0.0
        for name in names:
            limit = time.monotonic() + 60
            while name != names[0] and not is_ready(name):
                if time.monotonic() > limit:
                    sys.exit(f"bench: {name} is not ready within a minute")
                time.sleep(0.002)
            (directory / "pg_wal/RECOVERYXLOG").unlink(missing_ok=True)  # the server takes it away, too
            wall_one, cpu_one = self.call(command(name), directory)
            if name != names[0]:
                wall, cpu = wall + wall_one, cpu + cpu_one
        return wall, cpu

    def call(self, command, directory):
        """As the server's system(3): it waits for the shell alone, not for whoever has its output open."""
        began = time.monotonic()
        child = subprocess.Popen(["sh", "-c", command], user=self.user, cwd=directory, stdout=subprocess.DEVNULL)
        _, child.returncode, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - began
        if child.returncode != 0:
            sys.exit(f"bench: {command} returned {child.returncode}")
        return wall, usage.ru_utime + usage.ru_stime

    # ---- a server with a backlog

    def fresh(self, folder):
        shutil.rmtree(folder, ignore_errors=True)
        self.run("mkdir", folder)

    def empty_rest(self):
        """Of pgbackrest's archive nothing but its own record stays; nor do acknowledgements of its spool."""
        for path in (self.rest / "repo/archive/main").glob("15-1/*"):
            shutil.rmtree(path)
        shutil.rmtree(self.rest / "spool/archive", ignore_errors=True)

    def spool(self):
        """What lets a later call answer for a segment that an earlier one has pushed, or has fetched: as far
        as this build offers it."""
        def offered(command):
            return self.run(self.tool, command, "--help")[0]

        push, get = offered("archive-push"), offered("archive-get")
        return ([f"--spool={self.folder}/spool"] if "--spool=" in push else [],
                [f"--spool={self.folder}/spool"] if "--spool=" in get else [])

    def pusher(self, repo):
        return " ".join(str(word) for word in (self.tool, "archive-push", f"--repo={repo}", *self.spool()[0], "%p"))

    def backlog(self):
        """Segments that wait in pg_wal, made while nothing archives."""
        self.configure({"wal_keep_size": "64GB", "archive_command": ""})
        self.sql("select pg_switch_wal()")
        status = self.data / "pg_wal/archive_status"
        before = {path.name for path in status.iterdir()}
        waiting = []
        while len(waiting) < self.wish.segments:
            self.write(5000)
            waiting = sorted(path.name for path in status.glob("*.ready") if path.name not in before and len(path.stem) == 24)
        return [path.removesuffix(".ready") for path in waiting[: self.wish.segments]]

    def sustained(self):
        waiting, status, repo = self.backlog(), self.data / "pg_wal/archive_status", self.folder / "sustained-repo"
        plain = self.folder / "sustained-plain"
        rest = f"pgbackrest --config={self.rest_conf} --stanza=main archive-push %p"
        at_once = f"{rest} --archive-async"
        module = self.tool.parent / "pgcairn_archive.so"

        def archived(prepare, **settings):
            """Seconds from the archiver's wake-up until the last segment is archived, and CPU seconds of the
            archiver and of what it started and waited for."""
            prepare()
            self.configure(settings)
            archiver = self.archiver()
            before = self.cpu_of(archiver)
            self.mark_waiting(status, waiting)
            began = time.monotonic()
            os.kill(archiver, signal.SIGHUP)  # as a reload does: it looks for work
            self.wait_done(status, waiting)
            wall, cpu = time.monotonic() - began, self.cpu_of(archiver) - before
            self.configure({name: "" if name == "archive_command" else None for name in settings})
            return wall, cpu

        def new_repo():
            shutil.rmtree(repo, ignore_errors=True)
            shutil.rmtree(self.folder / "spool", ignore_errors=True)
            self.run("mkdir", self.folder / "spool")
            self.run(self.tool, "init", f"--repo={repo}", f"--data={self.data}")

        contestants = {
            "pgcairn archive_command": lambda: archived(new_repo, archive_command=self.pusher(repo)),
            "pgbackrest": lambda: archived(self.empty_rest, archive_command=rest),
            "pgbackrest, asynchronous": lambda: archived(self.empty_rest, archive_command=at_once),
            "pgbackrest, asynchronous, zstd 3": lambda: archived(self.empty_rest, archive_command=f"{at_once} --compress-level=3"),
            "cp + fsync": lambda: archived(lambda: self.fresh(plain), archive_command=f"cp %p {plain}/%f && sync {plain}/%f {plain}"),
        }
        if module.exists():
            config = self.folder / "pgcairn.conf"
            config.write_text("".join(option.removeprefix("--").replace("=", " = ") + "\n" for option in self.spool()[0]), encoding="ascii")
            config.chmod(0o644)
            # ALTER SYSTEM knows a module's settings only once it is loaded.
            text = f"pgcairn.program = '{self.tool}'\npgcairn.repo = '{repo}'\npgcairn.config = '{config}'\n"
            self.run("sh", "-c", 'printf %s "$1" >> "$2"', "sh", text, self.data / "postgresql.conf")
            contestants["pgcairn archive_library"] = lambda: archived(new_repo, archive_library=module)
        self.alternate(f"{len(waiting)} segments that wait, per segment", contestants, len(waiting))
        # Now into the archives that the others use, in which there would be a hole.
        self.mark_waiting(status, waiting)
        self.configure({"archive_command": None, "wal_keep_size": None})
        self.wait_archived()

    def configure(self, settings):
        """None: the default again. The archiver of another module is another process; the server waits ten
        seconds before it starts that."""
        old = self.archiver()
        for name, value in settings.items():
            self.sql(f"alter system reset {name}" if value is None else f"alter system set {name} = '{value}'")
        self.sql("select pg_reload_conf()")
        if any(name.startswith("archive_library") for name in settings):
            limit = time.monotonic() + 60
            while self.archiver() in (old, None) and time.monotonic() < limit:
                time.sleep(0.2)
        time.sleep(1)

    def mark_waiting(self, status, names):
        """Nothing else may be waiting: what was pushed meanwhile stays pushed."""
        for path in status.glob("*.ready"):
            path.rename(path.with_suffix(".done"))
        for name in names:
            (status / f"{name}.done").rename(status / f"{name}.ready")

    def wait_done(self, status, names):
        limit = time.monotonic() + 600
        while any((status / f"{name}.ready").exists() for name in names):
            if time.monotonic() > limit:
                sys.exit(f"bench: not archived within ten minutes:\n{(self.folder / 'server.log').read_text(encoding='utf-8')[-2000:]}")
            time.sleep(0.005)

    def archiver(self):
        found = self.sql("select pid from pg_stat_activity where backend_type = 'archiver'")
        return int(found) if found else None

    def cpu_of(self, pid):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(") ", 1)[1].split()
        return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")

    # ---- replay

    def replay(self):
        """Every recovery begins with the same data directory and ends behind the same segment."""
        start = self.sql("select pg_walfile_name(pg_current_wal_lsn())")
        self.base_of_replay()
        links = self.replay_segments(start)
        print(f"\nreplay: {len(links)} segments", flush=True)
        plain = links[0].parent
        out = self.spool()[1]
        get = " ".join(str(word) for word in (self.tool, "archive-get", f"--repo={self.repo}", *out, "%f", "%p"))
        rest = f"pgbackrest --config={self.rest_conf} --pg1-path={self.folder}/replayed --stanza=main archive-get %f \"%p\""
        self.alternate(f"redo of {len(links)} segments", {
            "pgcairn archive-get": lambda: self.redo(get),
            "pgcairn, nothing fetched ahead": lambda: self.redo(get.replace(" %f", " --prefetch=0 %f")),
            "hard links": lambda: self.redo(f"ln {plain}/%f %p"),
            "cp": lambda: self.redo(f"cp {plain}/%f %p"),
            "pgbackrest": lambda: self.redo(rest),
            "pgbackrest, asynchronous": lambda: self.redo(f"{rest} --archive-async --archive-get-queue-max=1GiB"),
        })
        shutil.rmtree(self.folder / "replay-base", ignore_errors=True)

    def base_of_replay(self):
        base = self.folder / "replay-base"
        conninfo = f"host={self.folder} user=postgres dbname=postgres"
        self.run(self.tool, "backup", f"--repo={self.repo}", f"--data={self.data}", f"--conninfo={conninfo}", "--jobs=2", "--no-progress")
        self.run(self.tool, "restore", f"--repo={self.repo}", f"--data={base}", "--target=latest", "--jobs=2", "--no-progress")

    def replay_segments(self, start):
        """As many segments as wished, archived by everybody; hard links to them in a folder of their own."""
        linked = self.folder / "replay-links"
        linked.mkdir()
        os.chmod(linked, 0o755)
        self.need_segments(start)
        for path in self.archived(start):
            os.link(path, linked / path.name)
        return sorted(linked.iterdir())

    def redo(self, command):
        """Recover a copy of the base with this restore_command; seconds of redo as the server tells them, and
        of CPU: its own."""
        where, log = self.folder / "replayed", self.folder / "replayed.log"
        shutil.rmtree(where / "pg_wal", ignore_errors=True)  # links among it: vacate() empties files
        self.vacate(where)
        self.run("cp", "-a", self.folder / "replay-base", where)
        for name in ("pgcairn.recovery", "pgcairn.restore"):
            (where / name).unlink(missing_ok=True)
        shutil.rmtree(self.folder / "spool", ignore_errors=True)
        shutil.rmtree(self.rest / "spool/archive", ignore_errors=True)
        self.run("mkdir", "-p", self.folder / "spool")
        log.unlink(missing_ok=True)
        # What was linked must not be written to: nothing is recycled, and nobody may connect.
        settings = {"restore_command": command, "recovery_target_timeline": "current", "archive_mode": "off", "wal_recycle": "off",
                    "unix_socket_directories": where, "recovery_target": "", "recovery_target_time": "", "recovery_target_action": "pause"}
        text = "".join("{} = '{}'\n".format(name, str(value).replace("'", "''")) for name, value in settings.items())
        self.run("sh", "-c", 'printf %s "$1" >> "$2"; touch "$3"; sync', "sh", text, where / "postgresql.auto.conf", where / "recovery.signal")
        self.run(self.bin / "pg_ctl", "start", "-W", "-s", "-D", where, "-l", log)
        line = self.wait_redo(where, log)
        self.run(self.bin / "pg_ctl", "stop", "-w", "-s", "-m", "immediate", "-D", where, check=False)
        if any(path.stat().st_size != self.segments[0].stat().st_size for path in (self.folder / "replay-links").iterdir()):
            sys.exit("bench: a recovery changed a segment that it had as a link")
        user, system, elapsed = (float(number) for number in re.search(r"user: ([0-9.]+) s, system: ([0-9.]+) s, elapsed: ([0-9.]+) s", line).groups())
        return elapsed, user + system

    def wait_redo(self, where, log):
        limit = time.monotonic() + 1800
        while True:
            text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
            found = re.search(r"redo done at .*", text)
            if found:
                return found.group()
            if "FATAL" in text or time.monotonic() > limit:
                sys.exit(f"bench: recovery did not come to its end:\n{text[-3000:]}")
            time.sleep(0.1)
