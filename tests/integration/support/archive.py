"""Looking into a repository from outside: with the stock programs, and with a saboteur's hands."""

import contextlib
import hashlib
import os
import pathlib
import shutil
import subprocess

from support.processes import USER, attempt, run

# Exit statuses of archive-get: proven absent, and none after it; recovery must stop.
ABSENT = 1
STOP = 255


def object_of(repo, name, cluster="main"):
    """Where the archived WAL file of this name is, by docs/format.md, chapter 1."""
    folder = pathlib.Path(repo) / cluster / "wal"
    if not name.endswith(".history"):
        folder = folder / name[:16]
    return folder / f"{name}.wal"


def content_of(path, program="zstd"):
    """What the stock program makes of an archived WAL file."""
    # gzip looks at the name's end unless it reads standard input.
    with open(path, "rb") as stored:
        done = subprocess.run([program, "-dqc"], stdin=stored, capture_output=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{program} -dc < {path}: {done.stderr.decode()}")
    return done.stdout


def archived(repo, cluster="main"):
    """Names of the archived files, sorted."""
    return sorted(path.name.removesuffix(".wal")
                  for path in (pathlib.Path(repo) / cluster / "wal").rglob("*.wal"))


def list_of_blocks(content):
    """Where a WAL object of zstd, lz4 or none has the list of blocks (docs/format.md, 6.1 and 6.4)."""
    trailer = content[-2048:]
    begin, size = (int.from_bytes(trailer[at:at + length], "little") for at, length in ((992, 8), (1000, 4)))
    return range(begin, begin + size)


def put(path, content):
    """A file of the server's user."""
    path = pathlib.Path(path)
    if path.exists():
        os.chmod(path, 0o600)
    path.write_bytes(content)
    if USER:
        shutil.chown(path, USER, USER)
    return path


def flip(path, offset):
    """Damage one byte (negative offsets count from the end)."""
    content = bytearray(pathlib.Path(path).read_bytes())
    content[offset] ^= 0x40
    put(path, bytes(content))


@contextlib.contextmanager
def changed(*paths):
    """Whatever happens to these files inside, afterwards they are as they were."""
    before = {path: path.read_bytes() for path in map(pathlib.Path, paths)}
    try:
        yield
    finally:
        for path, content in before.items():
            path.parent.mkdir(exist_ok=True)
            put(path, content)


def record(kind, **fields):
    """The text of a record (docs/format.md, chapter 3); values must need no escapes but LF and %."""
    lines = [f"pgcairn {kind} 1"]
    lines += [f"{key}={str(value).replace('%', '%25')}".replace("\n", "%0A")
              for key, value in fields.items()]
    text = "\n".join(lines) + "\n"
    return (text + f"sha256={hashlib.sha256(text.encode()).hexdigest()}\n").encode()


def freeze(path):
    """Take everybody's write permission away, all the way down."""
    run("chmod", "-R", "a-w", path)


def thaw(path):
    attempt("chmod", "-R", "u+w", path)
