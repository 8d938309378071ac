#!/usr/bin/env python3
"""Run the integration tests, several classes at once; print each result and its time.

    tests/integration/run.py --build DIRECTORY [--jobs N] [--counts FILE] [--module FILE] [--strict] [PATTERN...]

Each test class runs in a process of its own. PATTERN picks tests whose id contains it. The program
under test is copied to a folder that an unprivileged user can reach. FILE gets a line "PASSED FAILED"
and a line for each test that failed.

A class that failed beside others runs once more by itself, if there are no more than three: who has two
processors for four servers can be too slow for a test. What passes then is told as UNSTABLE, which asks
for the test to be mended. --strict leaves that out.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
SECOND_TRIES_MAX = 3
# What takes longest begins first, so that no core waits for it at the end.
LONGEST = ("test_campaign", "test_wal_load", "test_backup.Interruptions", "test_receive_spool.Away",
           "test_trouble.FailingDevice", "test_windows.Exact")


def classes(patterns):
    """Ids of all test classes (module.Class) and, with patterns, of the tests that match."""
    sys.path.insert(0, str(HERE))
    found = {}
    pending = [unittest.TestLoader().discover(str(HERE), top_level_dir=str(HERE))]
    while pending:
        item = pending.pop()
        if isinstance(item, unittest.TestSuite):
            pending.extend(item)
        elif not patterns or any(pattern in item.id() for pattern in patterns):
            found.setdefault(item.id().rsplit(".", 1)[0], []).append(item.id())
    return found


Result = collections.namedtuple("Result", "name passed failed failures elapsed_s output")


def end_late(process):
    """Of a class that takes too long: where it is (each thread's stack), and nothing left of it."""
    from support.processes import freeze_tree  # pylint: disable=import-outside-toplevel
    victims = freeze_tree(process.pid)
    process.send_signal(signal.SIGABRT)  # faulthandler writes the stacks
    process.send_signal(signal.SIGCONT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    for victim in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


def run_class(name, tests, environment, timeout_s):
    started = time.monotonic()
    command = [sys.executable, "-X", "faulthandler", "-m", "unittest", "-v", *tests]
    with tempfile.TemporaryFile() as log:
        # A file, not a pipe: what a class leaves behind would keep it open.
        with subprocess.Popen(command, cwd=HERE, env=environment, stdin=subprocess.DEVNULL,
                              stdout=log, stderr=log) as process:
            late = ""
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                end_late(process)
                late = f"\n{name}: not done within {timeout_s} s"
        log.seek(0)
        output = log.read().decode(errors="replace") + late
    ran = re.search(r"^Ran (\d+) tests?", output, re.M)
    total = int(ran.group(1)) if ran else 0
    end = re.findall(r"^(?:OK|FAILED) \((.*)\)$", output, re.M)[-1:]
    counts = {word: int(number) for word, number in re.findall(r"(\w+)=(\d+)", "".join(end))}
    bad = counts.get("failures", 0) + counts.get("errors", 0)
    skipped = counts.get("skipped", 0)
    failures = re.findall(r"^(?:FAIL|ERROR): (.+)$", output, re.M)
    if late:
        begun = re.findall(r"^(test_\w+) \(", output, re.M)
        failures.append(f"{begun[-1] if begun else 'its start'} ({late.strip()})")
    elif (process.returncode != 0 or total + skipped == 0) and not failures:
        # Without tests, or one that could not be loaded or died.
        failures.append(f"{name}: ended with status {process.returncode}")
    bad = max(bad, len(failures))
    return Result(name, max(total - bad - skipped, 0), bad, failures, time.monotonic() - started, output)


def tell(done):
    print(f"{'FAIL' if done.failed else 'ok  '}  {done.name}  {done.passed} passed, "
          f"{done.failed} failed  [{done.elapsed_s:.0f} s]", flush=True)
    if done.failed:
        print("\n".join(done.output.splitlines()[-120:]), flush=True)


def usable_folder():
    """For temporary files: one that the servers' user can reach, and short, since sockets lie in it."""
    folder = pathlib.Path(tempfile.gettempdir()).resolve()
    is_open = all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents))
    return str(folder) if len(str(folder)) <= 40 and (is_open or os.getuid() != 0) else "/tmp"


def templates_in(folder):
    """A place where the servers' user keeps what initdb made (support/initdb.py)."""
    from support.processes import USER  # pylint: disable=import-outside-toplevel
    path = pathlib.Path(folder, "templates")
    path.mkdir()
    if USER:
        shutil.chown(path, USER, USER)
    return str(path)


def main():
    # Started in the background or by nohup we ignore signals, and so would the programs under test.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o022)  # what a test writes, the servers' user must be able to read
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    # Tests wait half of their time. A container may see many processors and get the time of few.
    parser.add_argument("--jobs", type=int, default=min(len(os.sched_getaffinity(0)) + 2, 8))
    parser.add_argument("--counts", type=pathlib.Path)
    parser.add_argument("--timeout", type=int, default=1800,
                        help="seconds for one class, which takes one or two minutes on an idle machine")
    parser.add_argument("--module", type=pathlib.Path, help="the archive_library (default: the build's)")
    parser.add_argument("--strict", action="store_true", help="no second try")
    parser.add_argument("patterns", nargs="*")
    wish = parser.parse_args()
    wish.build = wish.build.resolve()

    results, unstable = {}, []
    tempfile.tempdir = usable_folder()
    with tempfile.TemporaryDirectory(prefix="pgcairn-bin-") as folder:
        os.chmod(folder, 0o755)
        for program in ["pgcairn", *wish.build.glob("tests/drivers/*"), *wish.build.glob("driver_*")]:
            path = wish.build / program
            if path.is_file():
                os.chmod(shutil.copy(path, folder), 0o755)  # whatever the builder's umask was
        environment = {**os.environ, "TOOL": f"{folder}/pgcairn", "DRIVERS": folder,
                       "TMPDIR": tempfile.tempdir, "TEMPLATES": templates_in(folder)}
        module = wish.module or wish.build / "src/module/pgcairn_archive.so"
        if module.is_file():
            environment["MODULE"] = shutil.copy(module, folder)
            os.chmod(environment["MODULE"], 0o755)
        with concurrent.futures.ThreadPoolExecutor(wish.jobs) as pool:
            wanted = classes(wish.patterns)
            jobs = [pool.submit(run_class, name, tests, environment, wish.timeout)
                    for name, tests in sorted(wanted.items(),
                                              key=lambda item: (not item[0].startswith(LONGEST), item[0]))]
            for job in concurrent.futures.as_completed(jobs):
                done = job.result()
                results[done.name] = done
                tell(done)
        again = [done for done in results.values() if done.failed]
        if not wish.strict and len(again) <= SECOND_TRIES_MAX:
            for first in again:
                print(f"      {first.name} once more, by itself", flush=True)
                second = run_class(first.name, wanted[first.name], environment, wish.timeout)
                tell(second)
                results[first.name] = second
                unstable += [] if second.failed else first.failures
    passed = sum(done.passed for done in results.values())
    failed = sum(done.failed for done in results.values())
    failures = [failure for done in results.values() for failure in done.failures]
    for failure in unstable:
        print(f"UNSTABLE  {failure}")
    for failure in failures:
        print(f"FAIL  {failure}")
    print(f"integration: {passed} passed, {failed} failed")
    if wish.counts:
        wish.counts.write_text("\n".join([f"{passed} {failed}", *failures, ""]), encoding="utf-8")
    sys.exit(bool(failed or not passed))


main()
