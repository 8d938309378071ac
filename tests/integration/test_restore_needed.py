"""What a restore replaces: never what is needed later, and never the only good copy for nothing."""

import os
import shutil
import subprocess
import unittest

from support.archive import flip
from support.cluster import make_directory
from support.processes import TOOL, USER, attempt, clean_environment, identity, run
from support.shared import SharedClusterTest
from test_restore_refusals import fingerprint


class Needed(SharedClusterTest):
    """One server, stopped once what takes a running one is done."""

    @classmethod
    def set_up_shared(cls, world):
        cluster = world.cluster
        cluster.sql("create table t as select n, repeat(md5(n::text), 9) from generate_series(1, 5000) n")
        world.tool("backup", f"--data={cluster.data}")
        cls.refuse_spool(world)
        cluster.stop()

    @classmethod
    def refuse_spool(cls, world):
        place = make_directory(world.cluster.data / "spool")
        world.tool_fails(4, "the spool at", "receive", f"--data={world.cluster.data}", f"--wal-spool={place}",
                         "--until-lsn=0/1")
        place.rmdir()

    def refused(self, message, *arguments, repo=None):
        """However it is replaced."""
        before = fingerprint(self.cluster.data / "base")
        for choice in ("--force", "--move-aside"):
            self.tool_fails(4, message, "restore", f"--data={self.cluster.data}", choice, *arguments,
                            repo=repo)
        self.assertEqual(fingerprint(self.cluster.data / "base"), before)

    def place(self):
        place = make_directory(self.cluster.data / "backups")
        self.addCleanup(shutil.rmtree, place)
        return place

    def test_what_is_needed_later_is_never_replaced(self):
        place = self.place()
        inside = place / "repo"
        run("cp", "-a", self.repo, inside)
        self.refused(f"the repository is {inside}", repo=inside)
        link = self.path / "link"
        run("ln", "-s", inside, link)
        self.refused(f"the repository is {inside}", repo=link)
        # Another's, of which nothing was said.
        self.refused(f"a repository of pgcairn is {inside}")
        if USER and attempt("unshare", "--mount", "true", user=None).returncode == 0:
            self.refused_mounted(place, inside)
        shutil.rmtree(inside)

        # A spool, whichever receive works with it.
        spool = make_directory(place / "spool")
        run("sh", "-c", f"echo 'pgcairn spool 1' > {spool}/receive-spool")
        self.refused("a spool of pgcairn receive")
        shutil.rmtree(spool)
        conf = place / "pgcairn.conf"
        run("sh", "-c", f"echo 'jobs = 2' > {conf}")
        self.refused("the configuration file is", f"--config={conf}")
        conf.unlink()
        run("cp", TOOL, place / "tool")
        done = attempt(place / "tool", "restore", f"--repo={self.repo}", f"--data={self.cluster.data}", "--force")
        self.assertEqual((done.returncode, "this program is" in done.stderr), (4, True), done.stderr)
        (place / "tool").unlink()
        with open(place / "messages", "w", encoding="utf-8") as out:
            done = subprocess.run([TOOL, "restore", f"--repo={self.repo}", f"--data={self.cluster.data}", "--force"],
                                  stdout=out, stderr=subprocess.PIPE, text=True, check=False,
                                  env=clean_environment(), **identity())
        self.assertEqual((done.returncode, "output goes to" in done.stderr), (4, True), done.stderr)

    def refused_mounted(self, place, inside):
        """One volume at two places; and a mount in the directory, which goes along with it."""
        elsewhere = make_directory(self.path / "mounted")
        outside = make_directory(self.path / "outside")
        run("cp", "-a", self.repo, outside / "repo")
        words = f"restore --data={self.cluster.data}"
        for at, source, repo, choice in ((elsewhere, place, elsewhere / "repo", "--force"),
                                         (elsewhere, place, elsewhere / "repo", "--move-aside"),
                                         (place, outside, inside, "--move-aside")):
            done = attempt("unshare", "--mount", "sh", "-c",
                           f"mount --bind {source} {at} && {TOOL} {words} {choice} --repo={repo}", user=None)
            self.assertEqual((done.returncode, f"the repository is {inside}" in done.stderr), (4, True),
                             done.stderr)

    def test_nothing_is_restored_into_what_is_needed(self):
        link = self.path / "to the repository"
        run("ln", "-s", self.repo, link)
        for place in (self.repo / "main" / "data", link / "new" / "data"):
            self.tool_fails(4, "would be in the repository", "restore", f"--data={place}")
            self.assertFalse(place.parent.name == "new" and place.parent.exists() or place.exists())

    def test_a_repository_is_made_where_nothing_else_is(self):
        data = self.cluster.data
        self.tool_fails(4, "would be in the data directory", "init", f"--data={data}", repo=data / "repo")
        self.assertFalse((data / "repo").exists())
        version = make_directory(make_directory(self.path / "space") / "PG_15_202209061")
        self.tool_fails(4, "would be in the tablespace", "init", f"--data={data}", repo=version / "repo")
        self.tool_fails(4, "/etc is not empty and is not a repository", "init", f"--data={data}", repo="/etc")
        place = make_directory(self.path / "fresh")
        make_directory(place / "lost+found")
        self.tool("init", f"--data={data}", repo=place)
        self.tool("init", f"--data={data}", repo=place)
        if USER and attempt("unshare", "--mount", "true", user=None).returncode == 0:
            inside, mounted = self.place(), make_directory(self.path / "second")
            done = attempt("unshare", "--mount", "sh", "-c", f"mount --bind {inside} {mounted} && "
                           f"{TOOL} init --data={data} --repo={mounted}/repo", user=None)
            self.assertEqual((done.returncode, str(inside) in done.stderr), (4, True), done.stderr)

    def test_a_damaged_backup_costs_nothing(self):
        damaged = self.path / "damaged"
        run("cp", "-a", self.repo, damaged)
        packs = [path for path in (damaged / "main" / "pack").rglob("*") if path.is_file()]
        flip(max(packs, key=lambda path: path.stat().st_size), 300000)
        data, home = self.cluster.data, self.cluster.path
        # Where it can't be renamed, what is needed of the backup is read first, and nothing is touched.
        for path in (data / "base").rglob("[0-9]*"):
            if path.is_file() and path.stat().st_size:
                with open(path, "r+b") as file:
                    file.write(b"changed!")
        before = fingerprint(data)
        os.chmod(home, 0o555)
        self.addCleanup(os.chmod, home, 0o755)
        plan = self.tool_json("restore", f"--data={data}", "--force", "--dry-run")
        self.assertEqual(plan["old_directory"], "overwritten")
        for word in ("--force", "--delta"):
            done = self.tool_fails(8, "pack", "restore", f"--data={data}", word, repo=damaged)
            self.assertIn("compare the old directory with the backup, before it is overwritten", done.stderr)
        self.assertEqual(fingerprint(data), before)
        # Else it is whole under another name, which is told.
        os.chmod(home, 0o755)
        plan = self.tool_json("restore", f"--data={data}", "--force", "--dry-run")
        self.assertEqual(plan["old_directory"], "removed last")
        done = self.tool_fails(8, "it is whole, as", "restore", f"--data={data}", "--force", repo=damaged)
        kept = next(home.glob("data.pgcairn-2*"))
        self.assertIn(str(kept), done.stderr)
        shutil.rmtree(data)
        os.rename(kept, data)
        self.assertEqual(fingerprint(data), before)

    def test_a_link_and_lost_and_found_are_no_obstacle(self):
        link = self.path / "the-data"
        run("ln", "-s", self.cluster.data, link)
        outside = make_directory(self.path / "logs")
        run("touch", outside / "precious")
        run("ln", "-s", outside, self.cluster.data / "log")
        plan = self.tool_json("restore", f"--data={link}", "--force", "--dry-run")
        self.assertTrue([note for note in plan["notes"] if f"was a link to {outside}" in note], plan)
        self.assertEqual(plan["data"], str(self.cluster.data))
        (self.cluster.data / "log").unlink()
        self.assertTrue((outside / "precious").exists())


class Tablespaces(SharedClusterTest):
    """A copy has the links of its original, which need not run."""

    @classmethod
    def set_up_shared(cls, world):
        cluster = world.cluster
        cls.place = cluster.tablespace("far")
        cluster.sql("create table t (x int) tablespace far; insert into t values (1)")
        cls.oid = cluster.sql("select oid from pg_tablespace where spcname = 'far'")
        world.tool("backup", f"--data={cluster.data}")
        cluster.switch_wal()
        cluster.stop()

    def test_what_a_link_leads_to_is_removed_only_when_it_is_proven_to_be_its_own(self):
        cluster = self.cluster
        copy = make_directory(self.path / "copied") / "data"
        run("cp", "-a", cluster.data, copy)
        before = fingerprint(self.place)
        moved = f"--tablespace={self.oid}={self.path / 'moved'}"

        def notes(data, *arguments):
            return " ".join(self.tool_json("restore", f"--data={data}", *arguments, "--force", "--dry-run")["notes"])

        self.assertIn(f"it belongs to {cluster.data}", notes(copy, moved))
        done = self.tool_fails(4, f"location {self.place} is in use", "restore", f"--data={copy}", "--force")
        self.assertIn("or, if no other cluster uses it, `mv ", done.stderr)
        self.tool_fails(4, "would be in the repository", "restore", f"--data={self.path / 'fresh'}",
                        f"--tablespace={self.oid}={self.repo / 'main'}")
        # The original is away: nothing says that the copy may have it.
        os.rename(cluster.data, cluster.path / "away")
        self.assertIn("nothing proves that it belongs to", notes(copy, moved))
        self.tool("restore", f"--data={copy}", "--force", moved)
        self.assertEqual(fingerprint(self.place), before)
        os.rename(cluster.path / "away", cluster.data)
        # What this restore has made is its own, started or not, and stays known as that when it is killed.
        self.assertNotIn("tablespace location", notes(copy, moved))
        # Another user's.
        if USER:
            link = cluster.data / "pg_tblspc" / "99999"
            theirs = self.path / "theirs"
            shutil.copytree(self.place, theirs)
            run("chmod", "-R", "a+rX", theirs, user=None)
            run("chown", "-R", "games", theirs, user=None)
            os.symlink(theirs, link)
            self.assertIn(f"{theirs} stays as it is: it belongs to another user", notes(cluster.data))
            link.unlink()
        # The original's is its own, also beside a copy that somebody has made to be safe.
        run("cp", "-a", cluster.data, cluster.path / "data.safe")
        self.assertNotIn("tablespace location", notes(cluster.data))
        self.tool("restore", f"--data={cluster.data}", "--force", "--start")
        self.assertEqual(cluster.sql("select x from t"), "1")


if __name__ == "__main__":
    unittest.main()
