"""The build of all mutants: a copy of the working tree whose sources have switches in them."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

from . import listed, source

ROOT = listed.ROOT
HEADER = pathlib.Path(__file__).with_name("mutant.h")
MUTANTS_MAX = 1 << 16  # as in mutant.h
BUILDS_MAX = 8  # each leaves out what the one before could not compile
FAILED = re.compile(r"tree/(src/\S+\.c):(\d+):\d+: error:")


def run(*command, **more):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace",
                          check=False, **more)


def tracked():
    said = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).stdout
    return sorted(name for name in said.split("\0") if name and (ROOT / name).is_file())


def all_mutants(entries, wanted=lambda file: True):
    """Those of every source that is wanted, by file."""
    files = [name for name in tracked() if re.fullmatch(r"(?:src|include)/.*\.[ch]", name)]
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in files}
    types = source.Types(texts.values())
    found = {}
    for name, text in texts.items():
        if name.endswith(".c") and wanted(name):
            mutants = source.mutants_of(name, text, types, listed.by_hand(entries, name))
            if mutants is None:
                sys.exit(f"mutate: the brackets of {name} do not match")
            found[name] = mutants
    return found


class Workplace:
    """A folder that stays: a second run compiles only what has changed."""

    def __init__(self, folder):
        self.folder, self.tree, self.build = folder, folder / "tree", folder / "build"
        self.skipped = set()  # numbers of those that do not compile
        folder.mkdir(parents=True, exist_ok=True)

    def fill(self, by_file):
        """Copy the tree, switches and all. A file that is as before keeps its time, for ninja's sake."""
        self.numbered = {}
        next_number = 1
        for name, mutants in by_file.items():
            self.numbered[name] = list(enumerate(mutants, next_number))
            next_number += len(mutants)
        if next_number > MUTANTS_MAX:
            sys.exit(f"mutate: {next_number} mutants are more than mutant.h has room for")
        self._put(self.folder / "mutant.h", HEADER.read_bytes())
        names = tracked()
        for name in names:
            self._put(self.tree / name, self._content(name))
            shutil.copymode(ROOT / name, self.tree / name)
        for path in self.tree.rglob("*"):
            if path.is_file() and str(path.relative_to(self.tree)) not in names:
                path.unlink()

    def _content(self, name):
        content = (ROOT / name).read_bytes()
        if name not in self.numbered:
            return content
        kept = [pair for pair in self.numbered[name] if pair[0] not in self.skipped]
        return source.with_switches(content.decode(), kept).encode()

    @staticmethod
    def _put(path, content):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_bytes() != content:
            path.write_bytes(content)

    def compile(self, target="all"):
        if not (self.build / "build.ninja").is_file():
            done = run("meson", "setup", self.build, self.tree, "-Dfault_points=true", "-Dhardening=false",
                       "-Doptimization=1", "-Ddebug=false", "-Dtests=enabled", *self._module_options(),
                       f"-Dc_args=-w -include {self.folder}/mutant.h", env={**os.environ, "CC": "gcc"})
            if done.returncode != 0:
                sys.exit(f"mutate: meson setup failed:\n{done.stdout[-3000:]}")
        for _ in range(BUILDS_MAX):
            done = run("ninja", "-C", self.build, "-k", "0", target)
            if done.returncode == 0:
                return
            if not self._leave_out(FAILED.findall(done.stdout)):
                break
        sys.exit(f"mutate: this does not compile:\n{done.stdout[-3000:]}")

    @staticmethod
    def _module_options():
        include = os.environ.get("SERVER_INCLUDE", "/usr/include/postgresql/15/server")
        if (pathlib.Path(include) / "postgres.h").is_file():
            return ["-Darchive_library=enabled", f"-Dserver_include={include}"]
        return ["-Darchive_library=disabled"]

    def _leave_out(self, places):
        """The mutants at these (file, line)s."""
        before = len(self.skipped)
        for name in {name for name, _ in places}:
            lines = {int(line) for other, line in places if other == name}
            text = (ROOT / name).read_text(encoding="utf-8")
            for number, mutant in self.numbered.get(name, ()):
                first = text.count("\n", 0, mutant.begin) + 1
                last = text.count("\n", 0, mutant.end) + 1
                if any(first <= line <= last for line in lines):
                    self.skipped.add(number)
            self._put(self.tree / name, self._content(name))
        return len(self.skipped) > before

    def digest(self):
        """Of all that may change a result."""
        total = hashlib.sha256(HEADER.read_bytes())
        for top in ("src", "include", "tests/unit", "tests/fuzz"):
            for path in sorted((self.tree / top).rglob("*")):
                if path.is_file():
                    total.update(str(path.relative_to(self.tree)).encode() + b"\0" + path.read_bytes())
        return total.hexdigest()[:16]

    def unit_tests(self):
        """name: command, as meson runs them."""
        said = run("meson", "introspect", self.build, "--tests").stdout
        return {test["name"]: test["cmd"] for test in json.loads(said)
                if any(suite.endswith(":unit") for suite in test["suite"])}
