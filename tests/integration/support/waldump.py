"""What is in a repository's WAL by pg_waldump's word, and instants to the microsecond."""

import datetime
import re
import subprocess

from support.archive import archived, content_of, object_of, put
from support.ledger import lsn_of
from support.processes import BIN, clean_environment, identity

END = re.compile(r"tx: +(\d+), lsn: ([0-9A-F]+/[0-9A-F]+), prev \S+, desc: (COMMIT|ABORT)\w* "
                 r"(?:(\d+): )?(\d+-\d+-\d+ \d+:\d+:\d+\.\d{6}) UTC")
EPOCH = datetime.datetime(1970, 1, 1)


def microseconds(text):
    """Since 1970, of "2026-11-22 13:30:00.123456", whatever follows."""
    return round((datetime.datetime.fromisoformat(text[:26]) - EPOCH) / datetime.timedelta(microseconds=1))


def instant(value):
    return (EPOCH + datetime.timedelta(microseconds=value)).isoformat(" ", "microseconds") + "+00"


def ends_of_transactions(repo, folder, timeline=1):
    """
    [(lsn, kind, xid, time)] of every end of a transaction in this timeline's archived segments, in
    order; they are unpacked into the folder, which is made.
    """
    folder.mkdir(mode=0o755)
    names = [name for name in archived(repo) if re.fullmatch(f"{timeline:08X}[0-9A-F]{{16}}", name)]
    for name in names:
        put(folder / name, content_of(object_of(repo, name)))
    done = subprocess.run([BIN / "pg_waldump", "--rmgr=Transaction", f"--path={folder}",
                           f"--timeline={timeline}", names[0], names[-1]],
                          capture_output=True, text=True, check=False,
                          env=clean_environment(TZ="UTC"), **identity())
    found = [(lsn_of(match[2]), match[3], int(match[4] or match[1]), microseconds(match[5]))
             for match in END.finditer(done.stdout)]
    if not found:
        raise AssertionError(f"pg_waldump: {done.stderr}")
    return found
