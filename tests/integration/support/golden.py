"""tests/golden: what an earlier pgcairn has stored, and what was to be read from it then."""

import hashlib
import json
import os
import pathlib
import shutil
import sys

from support.archive import archived, object_of
from support.cluster import make_directory
from support.processes import USER, run

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "golden"
UNPACK = GOLDEN.parents[1] / "scripts" / "unpack"
MAGICS = {b"\x28\xb5": "zstd", b"\x04\x22": "lz4", b"\x1f\x8b": "gzip"}


def expected():
    return json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))


def extract(repo):
    """With the times of storing, which is what known/ speaks of."""
    make_directory(repo)
    with open(GOLDEN / "repository.tar.gz", "rb") as packed:
        copy = repo.parent / "golden.tar.gz"
        copy.write_bytes(packed.read())
    copy.chmod(0o644)
    run("tar", "-xzf", copy, "--no-same-owner", f"--directory={repo}")


def picked(items, *keys):
    return [{key: item[key] for key in keys} for item in items]


def facts(ask):
    """
    What list, verify and wal-quarantine say of the repository, but for the words: ask(command,
    *options) gives an answer in JSON. First what is remembered: verify makes that anew.
    """
    believed = ask("verify", "--reread-after=3650d")["believed"]
    listed = ask("list")
    verified = ask("verify")
    return {
        "backups": picked(listed["backups"], "backup", "state", "timeline", "start_lsn", "stop_lsn", "bytes", "files",
                          "label"),
        "windows": picked(listed["windows"], "backup", "timeline", "from_lsn", "until_lsn", "until_time_exact",
                          "last_segment"),
        "branches": picked(listed["branches"], "timeline", "parent", "last_commit_lsn", "last_commit_xid"),
        "wal": picked(listed["wal"], "timeline", "first_segment", "last_segment", "segments"),
        "status": verified["status"],
        "findings": picked(verified["findings"], "severity", "object"),
        "checked": picked([verified["checked"]], "backups", "packs", "frames", "segments", "histories", "raw_bytes"),
        "believed": picked([believed], "backups", "packs", "segments"),
        "quarantine": picked(ask("wal-quarantine"), "id", "timeline", "objects", "bytes"),
    }


def program_of(path):
    """The stock program that reads a WAL object."""
    with open(path, "rb") as stored:
        return MAGICS[stored.read(2)]


def wal_of(repo, content_of):
    """SHA-256 of each archived file, as content_of(object, program) reads it."""
    objects = {name: object_of(repo, name) for name in archived(repo)}
    return {name: hashlib.sha256(content_of(path, program_of(path))).hexdigest()
            for name, path in objects.items()}


def tree(top):
    """Path, size and SHA-256 of every file, through the links of tablespaces."""
    found = {}
    for folder, _, files in os.walk(top, followlinks=True):
        for path in (pathlib.Path(folder) / name for name in files):
            content = path.read_bytes()
            found[str(path.relative_to(top))] = f"{len(content)} {hashlib.sha256(content).hexdigest()}"
    return found


def unpack(place, repo, backup):
    """By scripts/unpack, which knows nothing but docs/format.md: into place/BACKUP."""
    copy = place / "unpack"
    shutil.copy(UNPACK, copy)
    copy.chmod(0o755)
    run("/usr/bin/python3" if USER else sys.executable, copy, repo, "main", backup, place / backup)
    return place / backup
