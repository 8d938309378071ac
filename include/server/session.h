/*
 * session.h - a connection to a running server, by libpq.
 *
 * libpq is loaded when the first session is opened (dlopen), so that the server's hooks, which
 * need none, start in a millisecond.
 */
#pragma once

#include "base/buffer.h"
#include "base/memory.h"
#include "base/time.h"
#include "postgres/backup_label.h"

#include <sys/types.h>

typedef struct Session Session;

/*
 * conninfo: a libpq connection string or URI, NULL for libpq's own defaults and environment.
 * Timeouts that could end a backup are set to 0, keepalives on, application_name is pgcairn.
 * ERR_UNREACHABLE when the server doesn't answer (or is starting), ERR_POSTGRES when it refuses.
 */
Session *session_open(const char *conninfo, Error *err) MUST_CHECK;
void session_freep(Session **session); /* for CLEANUP(); a backup in progress is aborted */

/*
 * Called a few times a second while an answer is waited for: a spread checkpoint takes minutes, and
 * who holds a lease renews it meanwhile. False ends the waiting with err. NULL: nothing to do.
 */
typedef bool SessionWait(void *context, Error *err);
void session_while_waiting(Session *session, SessionWait *wait, void *context);

/*
 * From now on texts are the bytes that the server has, in whatever encoding. So paths are as the
 * file system has them, and a database in LATIN1 changes none of them.
 */
bool session_take_bytes(Session *session, Error *err) MUST_CHECK;

typedef struct ServerIdentity {
    unsigned version_number; /* It is, for example, 150018. */
    unsigned major;
    uint64_t system_identifier;
    uint32_t timeline; /* It is the timeline of the last checkpoint. */
    bool in_recovery;
    bool archiving;              /* archive_mode is not off. */
    const char *archive_command; /* It is "" when there is none. */
    const char *wal_level;
    const char *data_directory; /* It is "" when the role may not see it. */
    const char *config_file, *hba_file, *ident_file;
    uint32_t wal_segment_size;
    bool has_checksums;
} ServerIdentity;

/* Strings go into arena. ERR_VERSION outside 13..18. */
bool session_identify(Session *session, Arena *arena, ServerIdentity *identity,
                      Error *err) MUST_CHECK;

/* Non-exclusive start by the functions of this server's version; returns the start LSN. */
bool session_backup_start(Session *session, const char *label, bool fast, Lsn *start,
                          Error *err) MUST_CHECK;

typedef struct BackupStop {
    Lsn stop;                   /* The BACKUP_END record ends here. */
    const char *label;          /* It is byte for byte what the server returned. */
    const char *tablespace_map; /* It is "" when there are no tablespaces. */
} BackupStop;

/* Stop without waiting for the archive; strings go into arena. */
bool session_backup_stop(Session *session, Arena *arena, BackupStop *stop, Error *err) MUST_CHECK;

/* Where the server is writing WAL now; on a standby where it is replaying. */
bool session_insert_lsn(Session *session, Lsn *lsn, Error *err) MUST_CHECK;

/*
 * One row, one query, as text: values[i] in arena, NULL for SQL NULL. ERR_POSTGRES with the
 * server's message; *found false when there is no row.
 */
bool session_row(Session *session, const char *query, Arena *arena, const char **values,
                 size_t count, bool *found, Error *err) MUST_CHECK;

/* The same for every row, in order; values hold until the function returns. False from it: stop. */
typedef bool SessionRowFunction(void *context, const char *const *values, Error *err);
bool session_rows(Session *session, const char *query, size_t count, SessionRowFunction *on_row,
                  void *context, Error *err) MUST_CHECK;

/* Runs a statement and ignores its answer, if it has one. */
bool session_run(Session *session, const char *statement, Error *err) MUST_CHECK;
