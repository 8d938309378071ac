"""Which unit tests notice which mutants.

Each test function is run alone, once, to see which mutants it passes; then each mutant against those
that pass it, until one fails. What was found is written down at once: a run that was stopped goes on
where it was, and the next run begins with the test that noticed a mutant the last time.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import threading
import time

OTHERS_MAX = 16  # tests of other layers that a mutant is tried with, the quickest; all of its own layer's
ALONE_MAX = 6  # tests that are run one by one before whole programs are, which then cost less
MEMORY_MAX = 8 << 30
TESTED = re.compile(r"^ok \d+ - (\w+)", re.M)


@dataclasses.dataclass
class Test:
    program: str
    name: str  # empty: the program is not of cmocka, and one test
    command: list
    seconds: float = 0
    passes: frozenset = frozenset()

    @property
    def label(self):
        return f"{self.program} {self.name}".strip()

    def run(self, mutant=None, reached=None, limit_s=600.0):
        """True: passed. Limited in CPU time, so that a busy machine is no time-out; what hangs, in real time."""
        environment = {**os.environ, "MUTANT_TEST": self.name or "*"}
        if mutant:
            environment["MUTANT"] = str(mutant)
        if reached:
            environment["MUTANT_REACHED"] = str(reached)
        process = subprocess.Popen(self.command, env=environment, stdin=subprocess.DEVNULL, cwd="/tmp",
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        with contextlib.suppress(OSError):  # it may have ended, or be another user by now
            resource.prlimit(process.pid, resource.RLIMIT_CPU, (int(limit_s) + 1, int(limit_s) + 1))
        try:
            return process.wait(4 * limit_s + 10) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def tests_of(program, command):
    """Its test functions that pass; None when the whole program fails, switches off."""
    done = subprocess.run(command, env={**os.environ, "CMOCKA_MESSAGE_OUTPUT": "TAP"}, capture_output=True,
                          text=True, errors="replace", check=False, cwd="/tmp", stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        return None
    names = TESTED.findall(done.stdout + done.stderr)
    return [Test(program, name, command) for name in names or [""]]


class Trial:
    """All in one folder: record.json and results.jsonl."""

    def __init__(self, folder, digest, jobs):
        self.folder, self.digest, self.jobs = pathlib.Path(folder), digest, jobs
        self.lock = threading.Lock()
        self.tests = []
        for what, limit in ((resource.RLIMIT_AS, MEMORY_MAX), (resource.RLIMIT_CORE, 0)):
            resource.setrlimit(what, (limit, limit))

    # ---- what passes what ----

    def record(self, programs, mutants_max):
        started = time.monotonic()
        known = self._load_record()
        if known is not None:
            self.tests = known
            return
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            found = dict(zip(programs, pool.map(lambda name: tests_of(name, programs[name]), programs)))
            for name in (name for name in found if found[name] is None):
                print(f"mutate: {name} fails without any mutant: left out", flush=True)
            tests = [test for tests in found.values() for test in tests or ()]
            kept = list(pool.map(lambda test: self._record_one(test, mutants_max), tests))
        for test in (test for test, is_kept in zip(tests, kept) if not is_kept):
            print(f"mutate: {test.label} fails by itself: left out", flush=True)
        self.tests = [test for test, is_kept in zip(tests, kept) if is_kept]
        print(f"{len(self.tests)} tests recorded, {time.monotonic() - started:.0f} s", flush=True)
        self._save_record()

    def _record_one(self, test, mutants_max):
        path = self.folder / f"reached.{threading.get_ident()}"
        path.write_bytes(bytes(mutants_max))
        started = time.monotonic()
        passed = test.run(reached=path)
        test.seconds = time.monotonic() - started
        test.passes = frozenset(number for number, byte in enumerate(path.read_bytes()) if byte)
        path.unlink()
        return passed

    def _load_record(self):
        try:
            record = json.loads((self.folder / "record.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if record["digest"] != self.digest:
            return None
        return [Test(**{**test, "passes": frozenset(test["passes"])}) for test in record["tests"]]

    def _save_record(self):
        record = {"digest": self.digest,
                  "tests": [{**dataclasses.asdict(test), "passes": sorted(test.passes)} for test in self.tests]}
        (self.folder / "record.json").write_text(json.dumps(record), encoding="utf-8")

    # ---- what notices what ----

    def results(self):
        """(of these sources, of earlier ones): name: who noticed it, empty when nobody did."""
        now, before = {}, {}
        try:
            lines = (self.folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
        except OSError:
            lines = []
        for line in lines:
            if line.endswith("}"):  # the last one may have been cut
                result = json.loads(line)
                (now if result["digest"] == self.digest else before)[result["mutant"]] = result["by"]
        return now, before

    def try_all(self, mutants):
        """(number, name, file, function) each."""
        done, hints = self.results()
        by_number = collections.defaultdict(list)
        for test in self.tests:
            for number in test.passes:
                by_number[number].append(test)
        self.whole = {}
        for test in self.tests:
            whole = self.whole.setdefault(test.program, Test(test.program, "", test.command))
            whole.seconds += test.seconds
        self.last_killers = collections.defaultdict(list)
        self.hints, self.by_number = hints, by_number
        waiting = [mutant for mutant in mutants if mutant[1] not in done and by_number[mutant[0]]]
        started, self.count = time.monotonic(), 0
        with open(self.folder / "results.jsonl", "a", encoding="utf-8") as self.log, \
                concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            for _ in pool.map(self._try_one, waiting):
                self.count += 1
                if self.count % 500 == 0:
                    print(f"{self.count} of {len(waiting)} mutants, {time.monotonic() - started:.0f} s", flush=True)

    def _try_one(self, mutant):
        number, name, file, function = mutant
        killer = ""
        for test in self._order(number, name, file, function):
            if not test.run(mutant=number, limit_s=3 * test.seconds + 1):
                killer = test.label
                break
        with self.lock:
            if killer:
                recent = self.last_killers[file, function]
                recent[:] = [killer, *(label for label in recent if label != killer)][:5]
            self.log.write(json.dumps({"digest": self.digest, "mutant": name, "by": killer}) + "\n")
            self.log.flush()

    def _order(self, number, name, file, function):
        """The runs to try it with: first what is likely to notice, at last whole programs."""
        layer = pathlib.Path(file).parent.name
        own = f"{layer}/{pathlib.Path(file).stem}"
        with self.lock:
            recent = list(self.last_killers[file, function])
        hint = self.hints.get(name) or ""

        def key(test):
            place = recent.index(test.label) if test.label in recent else len(recent)
            return (test.label != hint, place, test.program != own, test.program != hint,
                    not test.program.startswith(layer + "/"), test.seconds)

        ordered = sorted(self.by_number[number], key=key)
        others = [test for test in ordered if not test.program.startswith(layer + "/")]
        left_out = {id(test) for test in others[OTHERS_MAX:]}
        chosen = [test for test in ordered if id(test) not in left_out]
        return [*chosen[:ALONE_MAX], *self._gathered(chosen[ALONE_MAX:])]

    def _gathered(self, tests):
        programs = collections.defaultdict(list)
        for test in tests:
            programs[test.program].append(test)
        for name, some in programs.items():
            whole = self.whole[name]
            if len(some) > 2 and whole.seconds < 3 * sum(test.seconds for test in some):
                yield whole
            else:
                yield from some
