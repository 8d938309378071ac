"""
What makes a second history, or nearly: steps of a random campaign (support/campaign.py) in which a
server is restored over its own directory that is ahead of the archive, a copied directory archives
as if it were the original, and more than one copy is opened.
"""

import hashlib
import json
import shutil
import time

from support.archive import archived
from support.cluster import make_directory
from support.ledger import Load, lsn_of
from support.processes import run, wait_for
from support.reference import SEGMENT, Target, Undecided
from support.shared import server_log

BESIDE_PORT = 6100
EVENTS = ("over itself", "clone", "second try", "same place", "stray", "lost archive")


def listing(repo):
    """
    Every archived object, whatever it is, with its size and when it was written; not what a killed
    push was writing, which has no name yet.
    """
    return {str(path.relative_to(repo)): (path.stat().st_size, path.stat().st_mtime_ns)
            for folder in ("wal", "open") for path in (repo / "main" / folder).rglob("*")
            if path.is_file() and ".tmp-" not in path.name}


def contents(repo):
    """What is in every archived object."""
    return {name: hashlib.sha256((repo / name).read_bytes()).hexdigest() for name in listing(repo)}


def plan_of(answer):
    """What is told of a restore that belongs to it alone."""
    told = json.loads(answer)
    return {key: told.get(key) for key in ("code", "backup", "timeline", "target", "last_before")}


class SecondHistories:
    """Of a Campaign."""

    def second_history(self):
        """In each round: the next one of the schedule, or now and then one of them."""
        self.begin_step("second history")
        if not self.reference.backups:
            return
        event = self.events.pop(0) if self.events else None
        if self.random.random() < self.world.events:
            event = self.random.choice(EVENTS)
        if event:
            self.say("event:", event)
            getattr(self, event.replace(" ", "_"))()
            self.count[f"event {event}"] += 1

    # -- in place, over a directory that is ahead -------------------------------------------------

    def over_itself(self):
        """
        The server is killed while it acknowledges commits that are archived nowhere, now and then in
        its timeline's first segment, and restored over its own directory.
        """
        if self.random.random() < 0.4:
            self.rewind(switches=False)
        self.begin_step("over itself")
        if self.world.receive:
            self.end_receiving()
            self.cluster.switch_wal()  # of pieces the reference knows nothing
        self.settle()
        self.look()
        self.crash_unarchived()
        self.look()
        tail = self.keep_tail()
        plain, self.reference = self.reference, self.reference.with_tail(tail)
        try:
            self.restore_over_itself(plain)
        finally:
            self.reference = plain
        self.keep_archived(tail)
        self.took_over()

    def crash_unarchived(self):
        """In some of these the repository is away, so that whole segments are not archived either."""
        away = self.random.random() < 0.5
        repo, aside = self.world.repo, self.world.path / "repository-away"
        load = Load(self.cluster, self.ledger, self.timeline, f"{self.seed}/{self.steps}",
                    self.random.choice((1, 2, 4)))
        if away:
            repo.rename(aside)
        try:
            with load:
                time.sleep(self.random.uniform(0.1, 0.4))
                if away:
                    self.disturb(self.random.choice(("switch", "point", "fill")))
                    time.sleep(self.random.uniform(0, 0.2))
                self.say("crash with commits archived nowhere", "(repository away)" if away else "")
                self.crash()
                load.stop(killed=True)
        finally:
            if away:
                aside.rename(repo)

    def keep_tail(self):
        """Copies, by cp, of all WAL that only the data directory has."""
        tail = make_directory(self.world.path / f"tail-{self.steps}")
        for path in sorted((self.cluster.data / "pg_wal").iterdir()):
            if path.name in self.reference.names or not SEGMENT.fullmatch(path.name[:24]) or \
                    path.name[24:] not in ("", ".partial"):
                continue
            if path.name.startswith(f"{self.timeline:08X}") or path.name[24:]:
                run("cp", path, tail / path.name)
        return tail

    def keep_archived(self, tail):
        """What the restore itself archived went past the copy that the archiver makes."""
        for name in archived(self.world.repo):
            if (tail / name).exists() and not (self.world.plain / name).exists():
                run("cp", tail / name, self.world.plain / name)

    def restore_over_itself(self, plain):
        known = plain.branch(self.timeline)
        end = plain.end(known) if known and not known.is_gap else 0
        branch = self.reference.branch(self.timeline)
        assert not branch.is_gap, "the directory's own WAL was not read"
        self.check_all_acknowledged(branch)
        target, outcome, options = self.target_beyond(branch, end)
        how = self.random.choice(("--move-aside", "--force"))
        self.count["restored to a place that only the directory had"] += outcome.limit > end
        server = self.run_restore(target, outcome, [how, *options], "promote", server=self.cluster)
        self.compare(server, branch, outcome)
        for aside in self.cluster.path.glob("data.pgcairn-*"):
            if aside.is_dir():
                shutil.rmtree(aside)

    def check_all_acknowledged(self, branch):
        """The killed server's own WAL has whatever it acknowledged on this timeline."""
        self.reference.check_ledger(branch)
        committed = {event.xid for event in branch.from_lsn(branch.steps[-2][1] if len(branch.steps) > 1 else 0)
                     if event.kind == "commit"}
        for found in self.ledger.transactions.values():
            told = found.ends.get(self.timeline)
            assert not told or told.state != "committed" or found.xid in committed, \
                f"acknowledged and not in the server's own WAL: {found}"

    def target_beyond(self, branch, end):
        """A target among what only the directory has, and its outcome on the directory's branch."""
        rest = branch.beyond(end)
        for _ in range(100):
            kind = self.random.choice(("latest", "time", "xid", "lsn", "name")) \
                if rest.events and rest.starts else "latest"
            exclusive = kind not in ("latest", "name") and self.random.random() < 0.3
            try:
                target = self.draw(kind, rest, exclusive)
                timeline = self.random.choice((None, self.timeline))
                outcome = self.reference.expect(target, timeline)
            except (Undecided, IndexError):
                continue
            if outcome.status == 0 and outcome.timeline == self.timeline and (
                    outcome.limit > end or kind == "latest"):
                return target, outcome, [f"--target-timeline={timeline}"] if timeline else []
        target = self.draw("latest", rest, False)
        return (target, self.reference.expect(target, self.timeline),
                [f"--target-timeline={self.timeline}"])

    def took_over(self, server=None, switches=None):
        """A restored server is the one that goes on, on the timeline that it began."""
        self.cluster = server or self.cluster
        self.timeline = self.cluster.answer["new_timeline"]
        assert self.timeline == self.reference.newest + 1, f"the new timeline is {self.timeline}"
        self.say("goes on with timeline", self.timeline)
        # Whoever chooses a timeline next must see that this one is taken.
        self.wait_history(self.cluster, self.timeline)
        if self.random.random() < 0.3 if switches is None else switches:
            self.cluster.switch_wal()

    def wait_history(self, server, timeline):
        wait_for(lambda: f"{timeline:08X}.history" in archived(self.world.repo),
                 f"history of timeline {timeline} archived\n{server_log(server)}")

    # -- a directory that was copied --------------------------------------------------------------

    def clone(self):
        """
        A copy of the stopped or killed server's directory archives, too, and writes more than the
        original: nothing of it gets into the archive, neither by its archiver nor when it is
        refreshed in place.
        """
        self.begin_step("clone")
        self.settle()
        self.end_receiving()
        if self.random.random() < 0.5:
            self.crash()
        else:
            self.cluster.stop()
        clone = self.world.server(f"clone-{self.steps}", socket=self.world.cluster.socket,
                                  port=BESIDE_PORT)
        run("cp", "-a", self.cluster.data, clone.data)
        (clone.data / "postmaster.pid").unlink(missing_ok=True)
        if self.world.library:
            clone.configure(archive_library="")
        clone.configure(archive_command=self.world.push_command(self.world.path / f"spool-{self.steps}"))
        self.cluster.start()
        parted = lsn_of(self.cluster.sql("select pg_current_wal_insert_lsn()"))
        self.burst()
        self.cluster.switch_wal()
        self.settle()
        self.look()
        before = listing(self.world.repo)
        self.run_clone(clone)
        assert listing(self.world.repo) == before, "a clone's WAL is in the archive"
        self.refresh_clone(clone, parted)
        assert listing(self.world.repo) == before, "refreshing a clone changed the archive"
        clone.destroy()
        shutil.rmtree(clone.path)

    def run_clone(self, clone):
        clone.start()
        clone.sql("create table only_here as select n, md5(n::text) from generate_series(1, 3000) n")
        for number in range(self.random.choice((2, 5, 9))):
            clone.sql(f"insert into only_here values ({number}); select pg_switch_wal()")
        clone.wait_until("select failed_count > 0 from pg_stat_archiver")
        self.say("clone wrote to", clone.sql("select pg_walfile_name(pg_current_wal_lsn())"), "and failed at",
                 clone.sql("select last_failed_wal from pg_stat_archiver"))
        if self.random.random() < 0.5:
            clone.crash()
        else:
            clone.stop()

    def refresh_clone(self, clone, parted):
        """To a place that the copy never was at: one before they part needs no word."""
        target, outcome, options = self.find_target(
            lambda outcome: outcome.status == 0 and outcome.limit > parted, ["latest", "time", "xid"],
            [self.timeline])
        options += [f"--target-timeline={self.timeline}"] if not options else []
        outcome = self.reference.expect(target, outcome.timeline, *[
            word.split("=")[1] for word in options if word.startswith("--backup=")])
        words = [self.random.choice(("--move-aside", "--force")), "--as-copy", *options]
        done = self.world.attempt("restore", f"--data={clone.data}", "--start", *words, *self.words(target),
                                  environment={"PGPORT": clone.port})
        assert done.returncode == 4, (f"the clone's own commits are given up without a word: "
                                      f"{done.returncode}\n{done.stdout}{done.stderr}")
        branch = self.reference.branch(outcome.timeline)
        server = self.run_restore(target, outcome, [*words, "--discard-wal"], "promote", server=clone)
        self.compare(server, branch, outcome)

    # -- several that are opened ------------------------------------------------------------------

    def second_try(self):
        """Opened too early, used, and then restored once more, to the same place or further on."""
        first = self.rewind()
        if first is None:
            return
        self.burst()
        self.settle()
        old = self.timeline

        def is_further(outcome):
            return outcome.status == 0 and outcome.timeline == first.timeline and \
                outcome.limit >= first.limit
        if self.rewind(accepts=is_further, timelines=[first.timeline]) is None:
            self.say("nothing further on")
        else:
            self.say(f"timeline {old} was the wrong one, {self.timeline} forks beside it")

    def same_place(self):
        """
        Opened three times at one place, with or without use in between: along the first timeline,
        or along the one that was opened there before.
        """
        first = self.rewind(accepts=lambda outcome: outcome.status == 0 and outcome.stop is not None)
        if first is None:
            return
        target = Target("lsn", first.stop, exclusive=first.limit == first.stop)
        for number in (2, 3):
            if self.random.random() < 0.6:
                self.burst()
            self.settle()
            again = self.rewind(lambda outcome: outcome.status == 0 and outcome.limit == first.limit,
                                [first.timeline, self.timeline], fixed=target)
            self.say(f"opened at {target} for the {number}. time" if again else "it can't be reached again")

    def stray(self):
        """A restored copy is opened beside production and archives, and production goes on."""
        self.begin_step("stray")
        if self.world.receive:
            self.end_receiving()
            self.cluster.switch_wal()
        self.settle()
        self.look()
        target, outcome, options = self.find_target(lambda outcome: outcome.status == 0)
        branch = self.reference.branch(outcome.timeline)
        stray = self.run_restore(target, outcome, options, "promote", f"stray-{self.steps}", BESIDE_PORT)
        self.compare(stray, branch, outcome)
        timeline = stray.answer["new_timeline"]
        assert timeline == self.reference.newest + 1, f"the new timeline is {timeline}"
        self.wait_history(stray, timeline)
        with Load(stray, self.ledger, timeline, f"{self.seed}/{self.steps}", 2):
            time.sleep(self.random.uniform(0.1, 0.3))
        stray.switch_wal()
        stray.stop()
        self.world.keep_plain(stray)
        self.say("a stray began timeline", timeline, "beside", self.timeline)
        shutil.rmtree(stray.path)
        self.burst()
        self.cluster.switch_wal()
        self.settle()
        self.look()
        if self.random.random() < 0.7:
            self.take_out(timeline)

    def take_out(self, timeline):
        """What the stray has archived is set aside, and put back: all is as it was."""
        asked = [("restore", f"--data={self.world.path}/none", "--dry-run", "--json", *words)
                 for words in ([], [f"--target-timeline={self.timeline}"], [f"--target-timeline={timeline}"])]
        asked.append(("verify", "--json"))

        def answers():
            done = [self.world.attempt(*words) for words in asked]
            return [(one.returncode, plan_of(one.stdout)) for one in done]
        before, objects = answers(), contents(self.world.repo)
        done = self.world.tool_json("wal-quarantine", f"--timeline={timeline}", "--yes")
        without, left = answers(), contents(self.world.repo)
        gone = {name for name in objects if name not in left}
        assert gone and all(f"{timeline:08X}" in name for name in gone), f"set aside: {gone}"
        assert {name: objects[name] for name in left} == left, "what stays was changed"
        assert without[2][0] == 6, f"a timeline that was set aside: {without[2]}"
        assert without[1] == before[1], f"the timeline that stays: {without[1]}, before {before[1]}"
        assert without[3][0] == 0, f"verify of what stays: {without[3]}"
        self.world.tool("wal-quarantine", f"--undo={done['id']}", "--yes")
        assert contents(self.world.repo) == objects, "what was put back is not what there was"
        assert answers() == before, f"not as before: {answers()}, {before}"
        self.count["set aside and put back"] += 1

    # -- an archive that went back ----------------------------------------------------------------

    def lost_archive(self):
        """
        An older copy of the repository is put in its place, the server goes on, and the right one
        comes back. What was archived meanwhile has a hole before it: no restore opens less.
        """
        self.begin_step("lost archive")
        self.end_receiving()
        self.cluster.switch_wal()
        self.settle()
        self.look()
        repo, right, wrong = (self.world.path / name for name in ("repo", "repository-right",
                                                                 "repository-wrong"))
        run("cp", "-a", repo, wrong)
        self.work_and_switch(2)
        repo.rename(right)
        wrong.rename(repo)
        try:
            self.work_and_switch(2)
            self.assert_hole_is_told()
        finally:
            repo.rename(wrong)
            right.rename(repo)
        self.archive_again(wrong)
        shutil.rmtree(wrong)
        self.look()

    def work_and_switch(self, times):
        """Commits in so many segments, archived to whatever repository is there."""
        for number in range(times):
            with Load(self.cluster, self.ledger, self.timeline, f"{self.seed}/{self.steps}/{number}", 2):
                time.sleep(0.1)
            self.cluster.switch_wal()
        self.settle()

    def assert_hole_is_told(self):
        done = self.world.attempt("restore", f"--data={self.world.path}/none", "--json", "--as-copy",
                                  f"--target-timeline={self.timeline}")
        assert done.returncode == 8, (f"restore from an archive with a hole returned {done.returncode}\n"
                                      f"{done.stdout}{done.stderr}")
        said = self.world.attempt("status", f"--data={self.cluster.data}",
                                  f"--conninfo={self.cluster.conninfo()}")
        assert said.returncode == 2, f"status of an archive with a hole: {said.stdout}{said.stderr}"
        verified = self.world.attempt("verify")
        assert verified.returncode == 8, f"verify returned {verified.returncode}: {verified.stdout}"

    def archive_again(self, wrong):
        """Into the right repository, what the server takes for archived: from its pg_wal."""
        for name in sorted(set(archived(wrong)) - set(archived(self.world.repo))):
            self.world.tool("archive-push", self.cluster.data / "pg_wal" / name)
            self.count["archived again"] += 1
