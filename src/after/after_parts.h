/*
 * after_parts.h - the checks, one file for a kind or two.
 */
#pragma once

#include "after/after.h"
#include "server/session.h"

/* While the list is gone through. */
typedef struct AfterLook {
    const AfterRequest *request;
    CheckList *list;
    AfterSight *sight;
    unsigned major;
    Session *session; /* It is connected to the server, in the database that conninfo names. */
} AfterLook;

/* A check's question failed: the reason is the result, but for ERR_INTERRUPTED. */
bool after_unknown(AfterLook *look, CheckKind kind, const Error *attempt, Error *err) MUST_CHECK;

/* CHECK_DATABASES, CHECK_PROBES. Each returns false with ERR_INTERRUPTED only. */
bool after_databases(AfterLook *look, Error *err) MUST_CHECK;
bool after_probes(AfterLook *look, Error *err) MUST_CHECK;
bool after_content(AfterLook *look, Error *err) MUST_CHECK;
/* CHECK_ARCHIVE: ends the segment that is being written, and waits for it in the repository. */
bool after_archive(AfterLook *look, Error *err) MUST_CHECK;
bool after_standbys(AfterLook *look, Error *err) MUST_CHECK;
bool after_status(AfterLook *look, Error *err) MUST_CHECK;

/*
 * Pure: what a finding of `status` means for a restore. A backup that is damaged or suspect was so
 * before, and the restore has avoided it. That a new one is to be taken is a check of its own.
 */
CheckResult result_of_finding(HealthLevel level, const char *topic);

/* Pure: names of `wanted` (commas between) that are not among `there` (the same). */
const char *names_missing(const char *wanted, const char *there, Arena *arena);
