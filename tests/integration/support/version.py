"""What tests must know of the server's major version: names that differ between 13 and 18."""

import re

from support.processes import BIN, run

MAJOR = int(re.search(r"\(PostgreSQL\) (\d+)", run(BIN / "postgres", "--version")).group(1))

# 15 renamed both; the names of functions, as messages and GRANT want them.
BACKUP_START = "pg_backup_start" if MAJOR >= 15 else "pg_start_backup"
BACKUP_STOP = "pg_backup_stop" if MAJOR >= 15 else "pg_stop_backup"
BACKUP_FUNCTIONS = ("pg_backup_start(text, boolean), pg_backup_stop(boolean)" if MAJOR >= 15 else
                    "pg_start_backup(text, boolean, boolean), pg_stop_backup(boolean, boolean)")
# A condition for SQL. 13 can't tell a pause that was asked for from one that has come.
REPLAY_IS_PAUSED = ("pg_get_wal_replay_pause_state() = 'paused'" if MAJOR >= 14 else
                    "pg_is_wal_replay_paused()")
# The call that closes the current segment, and gives its name. Where there is nothing to close it
# gives the start of the next one, whose name is not that of the last one from 17 on.
SWITCH_WAL = f"pg_walfile_name(pg_switch_wal(){' - 1' if MAJOR >= 14 else ''})"


def backup_start(label):
    """The call that begins a base backup with a fast checkpoint."""
    return f"{BACKUP_START}('{label}', true{'' if MAJOR >= 15 else ', false'})"


def backup_stop():
    """The call that ends it and does not wait for the archive: lsn, labelfile, spcmapfile."""
    return f"{BACKUP_STOP}(false{'' if MAJOR >= 15 else ', false'})"
