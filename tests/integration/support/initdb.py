"""
What initdb makes, made once for all classes of a run and copied from then on.

A copy gets a system identifier of its own, as from initdb: in pg_control and in the segments of WAL,
which carry it, too. Nothing else that initdb writes tells two clusters apart but the nonce for
password authentication, which no test uses.
"""

import fcntl
import os
import pathlib
import shutil
import struct
import time

from support.processes import BIN, run
from support.version import MAJOR

# The place that run.py makes for a run, below which the servers' user may write. Without it, as
# when a test is run by unittest alone, each cluster is made by initdb.
TEMPLATES = os.environ.get("TEMPLATES")
CONTROL = "global/pg_control"
IDENTIFIER = struct.Struct("<Q")
WAL_IDENTIFIER_AT = 24  # in the long page header that begins each segment (xlog_internal.h)


def initdb(data, segment_mb, checksums):
    """A new cluster in the directory `data`, which is not there yet."""
    if TEMPLATES is None:
        make(data, segment_mb, checksums)
        return
    copy = template(segment_mb, checksums)
    run("cp", "-R", copy, data)
    set_identifier(pathlib.Path(data), fresh_identifier())


def make(data, segment_mb, checksums):
    run(BIN / "initdb", f"--pgdata={data}", "--auth=trust", "--username=postgres", "--no-sync",
        "--no-locale", "--encoding=UTF8", f"--wal-segsize={segment_mb}",
        *(["--data-checksums"] if checksums else ["--no-data-checksums"] if MAJOR >= 18 else []))


def template(segment_mb, checksums):
    """The directory to copy; whoever comes first makes it, and the others wait."""
    place = pathlib.Path(TEMPLATES)
    path = place / f"{segment_mb}-{'checksums' if checksums else 'plain'}"
    with open(place / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            begun = place / "begun"
            shutil.rmtree(begun, ignore_errors=True)
            make(begun, segment_mb, checksums)
            begun.rename(path)
    return path


def fresh_identifier():
    """As BootStrapXLOG() makes one (xlog.c): the time and a process."""
    now_us = time.time_ns() // 1000
    return (now_us // 1_000_000) << 32 | (now_us % 1_000_000) << 12 | os.getpid() & 0xFFF


def set_identifier(data, identifier):
    control = bytearray((data / CONTROL).read_bytes())
    before = control[:IDENTIFIER.size]
    end = checksum_at(control)
    IDENTIFIER.pack_into(control, 0, identifier)
    struct.pack_into("<I", control, end, crc32c(control[:end]))
    (data / CONTROL).write_bytes(control)
    for segment in (data / "pg_wal").glob("0*"):
        with open(segment, "r+b") as wal:
            wal.seek(WAL_IDENTIFIER_AT)
            if wal.read(IDENTIFIER.size) == before:  # not one that is still all zeros
                wal.seek(WAL_IDENTIFIER_AT)
                wal.write(IDENTIFIER.pack(identifier))


def checksum_at(control):
    """Where pg_control's CRC stands: it is the last member, at another place in each version."""
    for end in range(IDENTIFIER.size, 512, 4):
        if crc32c(control[:end]) == struct.unpack_from("<I", control, end)[0]:
            return end
    raise AssertionError("no checksum in pg_control")


def crc32c(content):
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
