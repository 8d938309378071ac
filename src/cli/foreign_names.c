#include "foreign_names.h"

typedef struct ForeignName {
    const char *name;
    const char *here; /* It is the command, or NULL when there is none. Then see hint. */
    const char *hint;
} ForeignName;

static const char nothing_goes[] =
    "there is no such command yet: pgcairn removes neither backups nor WAL";

/* pgBackRest, Barman, WAL-G, restic, pg_probackup, and what people try. */
static const ForeignName commands[] = {
    {"info", "list", NULL},
    {"show", "list", NULL},
    {"ls", "list", NULL},
    {"snapshots", "list", NULL},
    {"backups", "list", NULL},
    {"backup-list", "list", NULL},
    {"list-backup", "list", NULL},
    {"list-backups", "list", NULL},
    {"list-server", "list", NULL},
    {"list-servers", "list", NULL},
    {"show-backup", "list", NULL},
    {"create", "init", NULL},
    {"stanza-create", "init", NULL},
    {"add-instance", "init", NULL},
    {"register", "init", NULL},
    {"dump", "backup", NULL},
    {"backup-push", "backup", NULL},
    {"recover", "restore", NULL},
    {"backup-fetch", "restore", NULL},
    {"check", "status", NULL},
    {"health", "status", NULL},
    {"monitor", "status", NULL},
    {"validate", "verify", NULL},
    {"check-backup", "verify", NULL},
    {"wal-push", "archive-push", NULL},
    {"put-wal", "archive-push", NULL},
    {"wal-archive", "archive-push", NULL},
    {"wal-fetch", "archive-get", NULL},
    {"get-wal", "archive-get", NULL},
    {"wal-restore", "archive-get", NULL},
    {"receive-wal", "receive", NULL},
    {"wal-receive", "receive", NULL},
    {"quarantine", "wal-quarantine", NULL},
    {"follow", "watch", NULL},
    {"history", "log", NULL},
    {"drops", NULL, "`pgcairn log --drops` tells what was dropped, and when"},
    {"expire", NULL, nothing_goes},
    {"forget", NULL, nothing_goes},
    {"delete", NULL, nothing_goes},
    {"remove", NULL, nothing_goes},
    {"prune", NULL, nothing_goes},
    {"purge", NULL, nothing_goes},
    {NULL, NULL, NULL},
};

static const ForeignName options[] = {
    {"type", NULL,
     "leave it out: a backup shares what did not change, and is complete; --full shares nothing"},
    {"source", NULL, "leave it out: files are read from this host's disks"},
    {"stanza", NULL, "a cluster is chosen with --cluster=NAME"},
    {"server", NULL, "a cluster is chosen with --cluster=NAME"},
    {"instance", NULL, "a cluster is chosen with --cluster=NAME"},
    {"pgdata", NULL, "the data directory is named with --data=DIR"},
    {"pg1-path", NULL, "the data directory is named with --data=DIR"},
    {"set", NULL, "a backup is chosen with --backup=ID"},
    {"process-max", NULL, "threads are set with --jobs=N"},
    {NULL, NULL, NULL},
};

static bool give_hint(const ForeignName *names, const char *name, size_t size, Error *err)
{
    for (const ForeignName *known = names; known->name != NULL; known++) {
        if (strlen(known->name) != size || strncmp(known->name, name, size) != 0)
            continue;
        if (known->here != NULL) {
            error_hint(err, "here that is `pgcairn %s`", known->here);
        } else {
            error_hint(err, "%s", known->hint);
        }
        return true;
    }
    return false;
}

bool foreign_command_hint(const char *name, Error *err)
{
    return give_hint(commands, name, strlen(name), err);
}

bool foreign_option_hint(const char *name, size_t size, Error *err)
{
    return give_hint(options, name, size, err);
}
