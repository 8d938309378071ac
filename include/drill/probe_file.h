/*
 * probe_file.h - the operator's own probes: an SQL file that says what is expected.
 *
 *     -- probe: orders of the last day are there
 *     -- database: shop
 *     -- expect: t
 *     SELECT max(created) > now() - interval '1 day' FROM orders;
 *
 *     -- probe: no customer is lost
 *     -- database: shop
 *     -- at-least: 120000
 *     SELECT count(*) FROM customer;
 *
 * A probe goes on to the next "-- probe:". Its answer is the first value of the last statement's
 * first row. expect: the very text, as psql -At shows it. at-least, at-most: a number's bounds,
 * both included. Without any of them it must only not fail. database: "postgres" without one.
 * The session is read-only.
 */
#pragma once

#include "base/error.h"
#include "base/memory.h"

typedef struct SqlProbe {
    const char *name, *database, *sql;
    const char *expect;             /* NULL means that any answer will do. */
    const char *at_least, *at_most; /* NULL means that there is no bound. */
    unsigned line;                  /* The probe begins on this line. */
} SqlProbe;

typedef struct ProbeFile {
    SqlProbe *items;
    size_t count;
    Arena arena;
} ProbeFile;

/* file: for messages. ERR_USAGE, naming file and line. */
bool probe_file_parse(const char *text, const char *file, ProbeFile *probes, Error *err) MUST_CHECK;
bool probe_file_read(const char *path, ProbeFile *probes, Error *err) MUST_CHECK;
void probe_file_done(ProbeFile *probes); /* for CLEANUP() */

/*
 * Whether an answer is what was expected. *why says why not, in the arena. answer NULL: SQL NULL,
 * or no row (has_row tells).
 */
bool sql_probe_holds(const SqlProbe *probe, bool has_row, const char *answer, Arena *arena,
                     const char **why);
