/*
 * scratch.h - where a drill works, and how nothing of it stays.
 *
 *     DIR/pgcairn.drill/
 *         record        whose it is: text, durable before anything else is made
 *         data/         the data directory
 *         tablespace/   OID/ for each
 *         socket/       0700: nobody else can connect
 *         conf/         postgresql.conf, pg_hba.conf, pg_ident.conf of our own
 *         server.log
 *
 * One drill at a time: it holds a lock (flock(2)) on DIR/pgcairn.drill, which goes when the process
 * does, however that comes. Whoever gets the lock finds what a killed drill left behind, ends the
 * server that runs there, and removes it all. Nothing else in DIR is looked at.
 *
 * Which processes are to end is never guessed: those whose working directory is the drill's data
 * directory, as PostgreSQL's are from the first instruction on, and the one in the record when pid,
 * start time and boot are the same.
 */
#pragma once

#include "base/error.h"
#include "base/memory.h"

#include <sys/types.h>

#define SCRATCH_NAME "pgcairn.drill"

typedef struct Scratch {
    const char *place; /* It is DIR/pgcairn.drill, resolved. */
    const char *data, *tablespaces, *socket, *conf, *log;
    int fd;     /* It is `place`, open and locked. -1 means that it is not taken. */
    bool keeps; /* What is there stays after the drill. */
    Arena arena;
} Scratch;

#define SCRATCH_NONE ((Scratch){.fd = -1})

/*
 * Make DIR if it is missing, take the lock, remove what a killed drill left. ERR_BUSY: another one
 * works there. ERR_REFUSED: DIR/pgcairn.drill is something else, or the path is too long for a
 * socket.
 */
bool scratch_take(Scratch *scratch, const char *directory, Error *err) MUST_CHECK;

/* Only the names; nothing is made or locked. ERR_IO. */
bool scratch_name(Scratch *scratch, const char *directory, Error *err) MUST_CHECK;

/* A server of the drill was started: what the record says about it is durable once this returns. */
bool scratch_note_server(const Scratch *scratch, pid_t pid, Error *err) MUST_CHECK;

/* End the server, remove everything, give back the lock. */
bool scratch_remove(Scratch *scratch, Error *err) MUST_CHECK;
/* For CLEANUP(): the same, best effort; the next drill, or --clean, does what could not be done. */
void scratch_done(Scratch *scratch);

/* `drill --clean`. *found: there was something. ERR_BUSY while a drill works there. */
bool scratch_clean(const char *directory, bool *found, Error *err) MUST_CHECK;
