/*
 * invalid_pages.h - pages that replay found to be wrong, while the server was told to go on all the
 * same (ignore_invalid_pages, for databases that are left empty: restore --only-database).
 *
 * It says of each: "page 5 of relation base/16385/2619 is uninitialized", or "does not exist"
 * (xlogutils.c, report_invalid_page()). Of a database that is brought back that would have ended
 * the recovery, and must not pass for a success.
 */
#pragma once

#include "base/error.h"

/* So that they can be read: for -c, NULL-terminated. */
extern const char *const invalid_pages_settings[];

/*
 * The relation that a line of the log complains of: its path, in `relation`, of `size` bytes.
 * False: it complains of none.
 */
bool invalid_page_in_line(const char *line, char *relation, size_t size);

/* Of one run, and of the file that the server writes to (with invalid_pages_settings). */
typedef struct InvalidPagesRequest {
    const char *data, *log_path;
    uint64_t log_from;    /* The file had this many bytes before. */
    const uint32_t *oids; /* These databases are left empty, so nothing in them counts. */
    size_t oid_count;
} InvalidPagesRequest;

/* ERR_RECOVERY, naming the first; ERR_IO when the log can't be read. */
bool invalid_pages_check(const InvalidPagesRequest *request, Error *err) MUST_CHECK;
