"""Programs run by tests: as the right user, with a time limit, and never silently."""

import os
import pathlib
import pwd
import signal
import subprocess
import time

from support.json_rule import check_answer

BIN = pathlib.Path(os.environ.get("PG_BIN", "/usr/lib/postgresql/15/bin"))
TOOL = os.environ.get("TOOL", "pgcairn")
# PostgreSQL refuses to run as root, so everything that touches its files runs as this user then.
USER = "postgres" if os.getuid() == 0 else None
# Limits are for what hangs: a loaded machine may take a hundred times as long as an idle one.
TIMEOUT_S = float(os.environ.get("TEST_TIMEOUT_S", "300"))


def clean_environment(**extra):
    """Ours, without what would steer the programs under test from outside."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("PGCAIRN_", "PG")) and name not in ("TOOL", "XDG_RUNTIME_DIR")}
    # Where the tool looks for a server's programs; those of Debian it finds by itself.
    if BIN.parent.parent != pathlib.Path("/usr/lib/postgresql"):
        kept["PATH"] = f"{BIN}:{kept['PATH']}"
    if USER:
        account = pwd.getpwnam(USER)
        kept.update(HOME=account.pw_dir, USER=USER, LOGNAME=USER)
    # What is looked at once a database is back takes a second each time; test_after_restore asks for it.
    kept["PGCAIRN_CHECKS"] = "none"
    # Sanitizers report what a tool leaks or breaks by its exit status; keep what the caller set.
    kept.update(LC_ALL="C.UTF-8", **{name: str(value) for name, value in extra.items()})
    return kept


def identity(user=USER):
    """Arguments for subprocess that make the child run as `user`, in that user's groups."""
    if user is None:
        return {}
    account = pwd.getpwnam(user)
    return {"user": account.pw_uid, "group": account.pw_gid,
            "extra_groups": os.getgrouplist(user, account.pw_gid)}


def attempt(*command, timeout_s=TIMEOUT_S, environment=None, cwd="/", stdin=None, user=USER):
    """Run a program to its end, whatever it answers. Taking too long is a failure of the test."""
    words = [str(part) for part in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", cwd=str(cwd),
                              check=False, timeout=timeout_s, input=stdin,
                              env=clean_environment(**(environment or {})), **identity(user))
    except subprocess.TimeoutExpired as late:
        said = "".join(part if isinstance(part, str) else part.decode(errors="replace")
                       for part in (late.stdout, late.stderr) if part)
        raise AssertionError(f"no end within {timeout_s} s: {' '.join(words)}\n{said}") from None
    if "--json" in words:
        check_answer(done.stdout)
    return done


def run(*command, expect=0, **how):
    """Run a program; fail the test with its output when the exit status is not `expect`."""
    done = attempt(*command, **how)
    if done.returncode != expect:
        raise AssertionError(f"{' '.join(map(str, command))}\nreturned {done.returncode}, not "
                             f"{expect}:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def wait_for(question, what, timeout_s=180, pause_s=0.05):
    """Ask until the answer is true and return it; fail the test when it does not come in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(pause_s)


def state_and_parent(pid):
    """Of a process: the letter of its state and its parent; ("X", 0) when there is none."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    state, parent = stat.rpartition(")")[2].split()[:2]
    return state, int(parent)


def command_line(pid):
    """What the process was called with, as bytes; empty when it is gone, as any may be by now."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def is_alive(pid):
    """Whether the process exists and is no zombie."""
    return state_and_parent(pid)[0] not in "ZX"


def children(pid):
    return [int(name) for name in os.listdir("/proc")
            if name.isdigit() and state_and_parent(name)[1] == pid]


def descendants(pid):
    """Every process below this one, as far as it can be seen now."""
    return [each for child in children(pid) for each in (child, *descendants(child))]


def freeze_tree(pid):
    """
    Stop a process and all below it, parents before their children: once a parent is stopped it has
    no more of them. Gives all of them.
    """
    frozen, pending = [], [pid]
    while pending:
        victim = pending.pop()
        try:
            os.kill(victim, signal.SIGSTOP)
        except ProcessLookupError:
            continue
        wait_for(lambda: state_and_parent(victim)[0] in "TtZX", f"stop of process {victim}",
                 pause_s=0.002)
        frozen.append(victim)
        pending += children(victim)
    return frozen


def kill_tree(pid):
    """kill -9 a process and all below it, and wait until the last one is gone."""
    victims = freeze_tree(pid)
    for victim in victims:
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            pass
    wait_for(lambda: not any(is_alive(victim) for victim in victims), f"death of {victims}")
    return victims
