/*
 * safe_copy.h - the settings under which a restored cluster can be started without doing anything
 * to anybody: what it must not reach, run, wait for or hide.
 *
 * They stand on the server's command line, which beats every file, and the restored configuration
 * is not read at all: it names paths of another host, libraries, and programs. What a role or a
 * database has set for itself beats the command line; so a session says the rest (safe_session()).
 */
#pragma once

#include "base/error.h"
#include "base/memory.h"
#include "postgres/wal_summary.h"

typedef struct SafeCopy {
    unsigned major;
    const char *data, *socket, *conf; /* `conf` is the directory of our own three files. */
    /* It is shared_preload_libraries, or "" when there are none. */
    const char *preload;
    /* It is the dynamic_library_path of the original. NULL means the usual one. */
    const char *library_path;
    WalParameters minima; /* The WAL asks at least this of a hot standby. */
    /* It adds to them, as "name=value". The list ends with NULL, or is NULL. */
    const char *const *raised;
    uint64_t memory; /* We may use this many bytes. 0 means that this is not known. */
} SafeCopy;

/* "name=value" for -c, NULL-terminated, in the arena. Pure. */
const char *const *safe_copy_settings(const SafeCopy *copy, Arena *arena);

/* postgresql.conf, pg_hba.conf and pg_ident.conf; the directory is private and there. */
bool safe_copy_write_files(const char *conf, Error *err) MUST_CHECK;

/*
 * DATA/postgresql.auto.conf keeps only what tells the server how to recover: whatever ALTER SYSTEM
 * has set on the original is left out. *dropped lists it: names with commas between, in the arena.
 */
bool safe_copy_strip_auto_conf(const char *data, Arena *arena, const char **dropped,
                               Error *err) MUST_CHECK;

enum { SAFE_PORT = 5432 };

typedef struct SafeSession {
    const char *socket, *role, *database;
    unsigned major;
    bool is_read_only;
} SafeSession;

/*
 * A connection string for a session in the copy, in the arena. What a role or a database has set
 * for itself counts for nothing where it could load a library, end a question, write, pass over
 * damage or put the words of a statement into the log.
 */
const char *safe_session(const SafeSession *session, Arena *arena);
