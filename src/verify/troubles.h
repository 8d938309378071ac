/*
 * troubles.h - what is wrong, collected until it can be said what it means.
 */
#pragma once

#include "verify_run.h"

/* Whether a failure tells something of the object (a finding), or only that it was not seen. */
bool is_finding(const Error *err);

Trouble *trouble_add(VerifyRun *run, FindingSeverity severity, const char *object, const char *what,
                     const char *expected, const char *found);
/* The same for an object that could not be read: err says why. */
Trouble *trouble_of_error(VerifyRun *run, const char *object, const Error *err);
void trouble_means(VerifyRun *run, Trouble *trouble, const char *meaning);
void trouble_at_backup(Trouble *trouble, size_t backup);
void trouble_at_pack(Trouble *trouble, size_t pack);
void trouble_at_wal(Trouble *trouble, uint32_t timeline, uint64_t first, uint64_t last);
void trouble_at_timeline(Trouble *trouble, uint32_t timeline);
/* Into the report, sorted, once each has its meaning. */
void troubles_publish(VerifyRun *run);
void troubles_done(VerifyRun *run);
