#!/usr/bin/env python3
"""Run the integration tests, several classes at once; print each result and its time.

    tests/integration/run.py --build DIRECTORY [--jobs N] [--counts FILE] [--module FILE] [PATTERN...]

Each test class runs in a process of its own. PATTERN picks tests whose id contains it. The program
under test is copied to a folder that an unprivileged user can reach.
"""

import argparse
import concurrent.futures
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


def run_class(name, tests, environment, timeout_s):
    started = time.monotonic()
    command = [sys.executable, "-m", "unittest", "-v", *tests]
    try:
        done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True,
                              timeout=timeout_s, check=False)
        output, status = done.stderr + done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        output = (late.stderr or b"").decode(errors="replace") + f"\n{name}: not done within {timeout_s} s"
        status = -1
    ran = re.search(r"^Ran (\d+) tests?", output, re.M)
    bad = sum(int(number) for number in re.findall(r"(?:failures|errors)=(\d+)", output))
    skipped = sum(int(number) for number in re.findall(r"skipped=(\d+)", output))
    total = int(ran.group(1)) if ran else 0
    if status != 0 and bad == 0:
        bad = 1
    if total == 0 and bad == 0:
        bad = 1  # a class without tests, or one that could not be loaded
    return name, max(total - bad - skipped, 0), bad, time.monotonic() - started, output


def main():
    # Started in the background or by nohup we ignore signals, and so would the programs under test.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--jobs", type=int, default=(os.cpu_count() or 2) + 1)
    parser.add_argument("--counts", type=pathlib.Path)
    parser.add_argument("--timeout", type=int, default=420, help="seconds for one class")
    parser.add_argument("--module", type=pathlib.Path, help="the archive_library (default: the build's)")
    parser.add_argument("patterns", nargs="*")
    wish = parser.parse_args()

    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="pgcairn-bin-") as folder:
        os.chmod(folder, 0o755)
        for program in ["pgcairn", *wish.build.glob("tests/drivers/*"), *wish.build.glob("driver_*")]:
            path = wish.build / program
            if path.is_file():
                shutil.copy(path, folder)
        environment = {**os.environ, "TOOL": f"{folder}/pgcairn", "DRIVERS": folder}
        module = wish.module or wish.build / "src/module/pgcairn_archive.so"
        if module.is_file():
            environment["MODULE"] = shutil.copy(module, folder)
        with concurrent.futures.ThreadPoolExecutor(wish.jobs) as pool:
            jobs = [pool.submit(run_class, name, tests, environment, wish.timeout)
                    for name, tests in sorted(classes(wish.patterns).items())]
            for job in concurrent.futures.as_completed(jobs):
                name, good, bad, elapsed_s, output = job.result()
                passed, failed = passed + good, failed + bad
                print(f"{'FAIL' if bad else 'ok  '}  {name}  {good} passed, {bad} failed  [{elapsed_s:.0f} s]", flush=True)
                if bad:
                    print("\n".join(output.splitlines()[-120:]), flush=True)
    print(f"integration: {passed} passed, {failed} failed")
    if wish.counts:
        wish.counts.write_text(f"{passed} {failed}\n", encoding="ascii")
    sys.exit(bool(failed or not passed))


main()
