#include "server_log.h"

static const char no_certificate[] =
    "a file that ssl_cert_file and its like name is not on this host, and no backup has what lies "
    "outside the data directory: bring it there, or set ssl = off, then start the server again";

/* Parts of the server's messages (access/xlogrecovery.c and others), the more special ones first.
 */
static const struct {
    const char *part;
    const char *advice;
} known[] = {
    {"recovery ended before configured recovery target was reached",
     "all WAL that there is was replayed and the target was not in it: choose an earlier target, "
     "or restore with --target=latest to keep everything"},
    {"requested recovery stop point is before consistent recovery point",
     "the target lies before the end of this backup: restore an older backup"},
    {"WAL ends before end of online backup",
     "WAL that the backup itself needs is missing: bring it into the archive, or restore another "
     "backup"},
    {"WAL ends before consistent recovery point",
     "WAL that the backup itself needs is missing: bring it into the archive, or restore another "
     "backup"},
    {"is not a child of this server",
     "the target's timeline does not continue this backup's: name another with --target-timeline, "
     "or restore another backup"},
    {"does not contain minimum recovery point",
     "the target's timeline forks before the end of this backup: restore an older backup"},
    {"recovery target timeline",
     "the history of the target's timeline is not in the archive: bring it there, or name another "
     "timeline with --target-timeline"},
    {"insufficient parameter settings",
     "set the parameters named in the server's log at least as high as they were on the primary "
     "(or hot_standby = off), then start the server again: it goes on"},
    {"is a lower setting than on the", /* 13 says it of one parameter, and ends */
     "set this parameter at least as high as it was on the primary (or hot_standby = off), then "
     "start the server again: it goes on"},
    {"could not restore file",
     "restore_command stopped the recovery on purpose, since to go on would have lost commits: its "
     "own message stands in the server's log before this one; then start the server again"},
    {"restore_command", "set restore_command, or restore again with pgcairn, which does"},
    {"multiple recovery targets",
     "an old recovery_target setting is left in postgresql.conf or an included file: remove it"},
    {"database files are incompatible", "the server programs are of another version or build than "
                                        "the data: name theirs with --pg-bin"},
    {"wal_level=minimal", "WAL was written with wal_level=minimal, which can't be replayed: "
                          "restore a backup taken later"},
    {"checkpoint record",
     "the WAL at the backup's start is missing or damaged: bring it into the archive, or restore "
     "another backup; never remove backup_label"},
    {"unexpected directory entry",
     "a tablespace is a directory in place of a link: start it once with -c "
     "allow_in_place_tablespaces=on"},
    {"wrong ownership", "the data directory must belong to the user that runs the server"},
    {"invalid permissions", "the data directory must have mode 0700 or 0750"},
    {"already exists",
     "another server runs there, or left its lock file: look before you remove it"},
    {"could not create lock file",
     "the directory for its socket is missing here, or may not be written: create it, or restore "
     "with --socket=DIRECTORY"},
    {"could not create any",
     "another server uses the same port or socket: restore with --port=N, or --as-copy"},
    {"could not bind", "another server uses the same port: restore with --port=N"},
    {"could not access file",
     "a library that the settings load is not installed on this host: install the extension, or "
     "take it out of shared_preload_libraries"},
    {"could not load server certificate file", no_certificate},
    {"could not load private key file", no_certificate},
    {"could not access private key file", no_certificate},
    {"could not load root certificate file", no_certificate},
    {"unrecognized configuration parameter", "correct the setting named in the server's log"},
    {"contains errors", "correct the settings named in the server's log"},
    {"configuration file", "name the configuration file: it is not in the data directory"},
    {"could not resize shared memory segment",
     "/dev/shm is too small: mount it larger (mount -o remount,size=1G /dev/shm; a container: "
     "--shm-size), or set dynamic_shared_memory_type = mmap; then start the server again"},
    {"could not open shared memory segment",
     "/dev/shm can't be used: mount it, or set dynamic_shared_memory_type = mmap; then start the "
     "server again"},
    {"could not map anonymous shared memory",
     "the settings ask for more memory, or for more huge pages, than this host has: lower "
     "shared_buffers, or set huge_pages = try; then start the server again"},
    {"shared memory", "the settings ask for more memory than this host has: lower shared_buffers"},
    {"No space left on device", "make room, then start the server again: it goes on"},
    {"has wrong size", "the archive handed out a file of the wrong size: verify the archive"},
};

const char *recovery_advice(const char *reason, int exit_status, PgState state)
{
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (strstr(reason, known[i].part) != NULL)
            return known[i].advice;
    }
    if (exit_status == 128 + 9) {
        return "the server was killed: see the kernel's log for lack of memory, then start it "
               "again: it goes on";
    }
    if (state == PG_IN_ARCHIVE_RECOVERY) {
        return "see the server's log; once the reason is gone start the server again: it goes on "
               "from its last restartpoint";
    }
    return "see the server's log";
}
