"""docs/runbook.md: what it says to type is read from the page, and typed."""

import pathlib
import re
import shutil
import time

from support.cluster import ClusterTest, ToolTest
from support.processes import BIN, TOOL, attempt, run
from test_restore_targets import utc

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "runbook.md"
BLOCK = re.compile(r"(?:^ *<!-- run: (?P<name>[a-z-]+) -->\n)?^(?P<indent> *)```sh\n(?P<lines>.*?)^ *```$",
                   re.MULTILINE | re.DOTALL)
CALL = re.compile(r"pgcairn [a-z]+(?:-[a-z]+)*\b(?![-.(]) .*")


def commands_of(text):
    """The lines of a block as a shell takes them: continued ones joined, comments cut off."""
    joined = re.sub(r"\\\n", " ", text)
    lines = [re.sub(r"\s+#.*", "", line).strip() for line in joined.splitlines()]
    return [line for line in lines if line]


def blocks():
    """Pairs of a name (None: only parsed) and the commands."""
    return [(found["name"], commands_of(found["lines"])) for found in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))]


def block(name, whole=False):
    """The commands of one block; whole: its lines as they stand, whatever language they are in."""
    if not whole:
        lines, = [lines for one, lines in blocks() if one == name]
        return lines
    text = PAGE.read_text(encoding="utf-8")
    indent, lines = re.search(rf"^( *)<!-- run: {name} -->\n *```[a-z]*\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL).groups()
    return [line.removeprefix(indent) for line in lines.splitlines()]


def calls():
    """Every call of pgcairn on the page: in blocks of commands, in other blocks, in sentences."""
    text = PAGE.read_text(encoding="utf-8")
    for found in re.findall(r"^ *```[a-z]*\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
        yield from (line for line in commands_of(found) if line.startswith("pgcairn "))
    for line in re.findall(r"(?:(?<!_)command: |ExecStart=|command: \[).*", text):
        words = re.sub(r'["\];]| && |exec |/usr/local/bin/', lambda found: "\n" if "&" in found[0] or found[0] == ";"
                       else "", line)
        yield from (CALL.search(part)[0] for part in words.splitlines() if CALL.search(part))
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for span in re.findall(r"`([^`]+)`", prose):
        if CALL.fullmatch(" ".join(span.split())):
            yield " ".join(span.split())


class Page(ToolTest):
    """No server: each call must be one that the program understands."""

    def test_every_call_is_parsed_by_the_program_itself(self):
        found = list(calls())
        self.assertGreater(len(found), 50)
        (self.path / "shop.sql").write_text("-- probe: one\nselect 1;\n", encoding="ascii")
        # An address that no store has: whoever gets so far has understood all the rest.
        environment = {"PGCAIRN_REPO": "nowhere://runbook", "PGCAIRN_DATA": self.path / "none",
                       "PATH": f"{pathlib.Path(TOOL).parent}:/usr/bin:/bin"}
        for call in found:
            with self.subTest(call=call):
                typed = re.sub(r"--repo=(R2?|COPY)\b", "--repo=nowhere://runbook", call)
                typed = re.sub(r"=(D|ELSEWHERE|COPY|SCRATCH|DIR)\b", f"={self.path}/none", typed)
                typed = re.sub(r"=(N|T|NAME)\b", "=8", typed).replace("=shop.sql", f"={self.path}/shop.sql")
                typed = typed.replace("=ID", "=20261122T031500Z-k3v7qa").replace("'NAME@2'", "n").replace("=LSN", "=0/1")
                done = attempt("sh", "-c", typed, environment=environment)
                self.assertTrue(done.returncode != 2 or "nowhere" in done.stderr, f"{typed}\n{done.stderr}")
                self.assertNotIn(done.returncode, (126, 127), done.stderr)
        self.assertEqual(list(self.path.glob("none*")), [])

    def test_what_is_marked_is_what_is_carried_out(self):
        names = [name for name, _ in blocks() if name]
        self.assertEqual(len(names), len(set(names)))
        played = set()
        for name in ("test_runbook.py", "test_patroni.py", "test_pod.py"):
            text = pathlib.Path(__file__).with_name(name).read_text(encoding="utf-8")
            played |= set(re.findall(r"(?:self\.play|self\.type|= block)\(\"([a-z-]+)\"", text))
        self.assertEqual(played, set(names), "blocks that are marked and not played, or the other way round")


class Scenarios(ClusterTest):
    """One server meets everything, one thing after the other."""

    segment_mb = 1
    settings = {"archive_timeout": "10min"}

    def play(self, name, expect=(0,), **values):
        """Type the commands of the block; gives what they said."""
        lines, = [lines for one, lines in blocks() if one == name]
        said = ""
        for line in lines:
            typed = re.sub(r"--repo=R\b", f"--repo={self.repo}", line)
            typed = re.sub(r"(=| )D\b", rf"\g<1>{self.cluster.data}", typed)
            for word, value in {"SCRATCH": self.path / "scratch", **values}.items():
                typed = re.sub(rf"=(')?{re.escape(word)}(?!\w)", lambda found, value=value: f"={found[1] or ''}{value}", typed)
            done = attempt("sh", "-c", typed, environment={
                "PGCAIRN_CHECKS": "all", "PATH": f"{pathlib.Path(TOOL).parent}:{BIN}:/usr/bin:/bin"})
            self.assertIn(done.returncode, expect, f"{name}: {typed}\n{done.stdout}{done.stderr}")
            said += done.stdout
        return said

    def instant(self):
        time.sleep(0.05)
        now = utc(time.time())
        time.sleep(0.05)
        return now

    def rows(self, server=None):
        return (server or self.cluster).sql("select string_agg(n::text, ' ' order by n) from orders")

    def test_it_holds_what_it_says(self):
        cluster = self.cluster
        cluster.sql("create table orders as select n from generate_series(1, 3) n")

        # Duties: nothing was done yet, so the first one line takes the backup.
        self.play("duties")
        self.play("daily", expect=(0, 1))
        self.assertIn("passed", self.play("weekly"))
        self.assertIn("estimate", self.play("monthly", ELSEWHERE=self.path / "elsewhere" / "data"))
        self.play("incident")
        self.assertIn("Every instant in these windows", self.play("list"))

        # A dropped table; and the first restore was not what was wanted.
        before = self.instant()
        cluster.sql("drop table orders")
        cluster.sql("create table orders as select 7 as n")
        wanted = self.instant()
        cluster.sql("delete from orders")
        cluster.switch_wal()
        number, = re.findall(r"--target-xid=(\d+)", self.play("dropped-look", **{"2026-11-22 14:00+01": "-1h"}))
        self.assertIn("(removes tables)", self.play("dropped-plan", **{"2026-11-22 14:29:58+01": before}))
        said = self.play("dropped-restore", N=number)
        self.assertEqual(self.rows(), "1 2 3")
        self.assertRegex(said, r"archive +passed +00000002")
        self.assertRegex(said, r"backup +passed ")
        self.play("second-try", **{"2026-11-22 14:35+01": wanted})
        self.assertEqual(self.rows(), "7")

        self.play("full-repository")
        self.play("full-repository-now")
        self.assertGreater(len(self.tool_json("list")["backups"]), 1)  # of these days nothing goes
        first = self.tool_json("list")["backups"][0]["backup"]
        self.tool("remove", first)
        self.assertIn(f"{first} goes with the first expire after", self.play("removed-wrongly", ID=first))
        self.tool("expire", "--keep-min=1", "--now", "--grace=0s", "--yes")
        self.assertIn(first, [backup["backup"] for backup in self.tool_json("list")["backups"]])
        self.tool("unpin", first)

        # Corrupted pages: the newest backup has one, the one before and its WAL have it whole.
        good = self.tool_json("backup", f"--data={cluster.data}")["backup"]
        cluster.sql("insert into orders values (8)")
        cluster.sql("checkpoint")
        with open(cluster.data / cluster.sql("select pg_relation_filepath('orders')"), "r+b") as file:
            file.seek(8000)
            file.write(b"not what was there")
        self.tool("backup", f"--data={cluster.data}", expect=3)
        copy = self.server("copy", socket=self.path / "copy" / "data", port=cluster.port)
        self.assertIn("bad pages", self.play("corrupted-look", ID=good, COPY=copy.data))
        self.assertEqual(self.rows(copy), "7 8")
        copy.stop()
        self.play("corrupted-restore", ID=good)
        self.assertEqual(self.rows(), "7 8")

        # The disk, then the site, then the repository.
        cluster.switch_wal()
        cluster.crash()
        shutil.rmtree(cluster.data)
        for path in self.path.rglob(".s.PGSQL.*"):  # another host knows nothing of the old one's
            path.unlink()
        self.assertRegex(self.play("lost-host"), r"archive +passed")
        self.assertEqual(self.rows(), "7 8")
        self.play("incident-end")
        cluster.stop()
        run("cp", "-a", self.repo, self.path / "site")
        self.repo.rename(self.path / "gone")
        other = self.server("elsewhere", socket=cluster.socket, port=cluster.port)
        self.play("lost-site", COPY=self.path / "site", ELSEWHERE=other.data, expect=(0, 3))  # of the bad page
        self.assertEqual(self.rows(other), "7 8")
        other.stop()
        cluster.start()
        self.assertIn("restorable", self.play("lost-repository", expect=(0, 1)))
