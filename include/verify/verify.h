/*
 * verify.h - read everything of a cluster back and say what is wrong with it, as data.
 *
 *     CLEANUP(verify_report_done) VerifyReport report = {0};
 *     bool ok = verify_run(&cluster, &request, &report, err);
 *     ... show report->findings: also when ok is false, what was found until then is true ...
 *     if (ok && verify_worst(&report) > FINDING_DEGRADED)
 *         return error_set(err, ERR_CORRUPT, ...);
 *
 * A finding is what is wrong with what could be read. What could not be looked at (out of reach,
 * no permission, a signal) is an Error: nothing is known then, good or bad.
 *
 * Everything is read, unless the request says what may be believed. What was found good is
 * remembered in the repository (docs/format.md, chapter 7.4), and what was found bad is marked
 * there (7.5), until it is read good again; that it can't be is told in the report.
 */
#pragma once

#include "base/progress.h"
#include "repo/repo.h"

/* In the order of how bad it is. */
typedef enum FindingSeverity {
    FINDING_NOTE,         /* It does no harm, but the operator should know it. */
    FINDING_DEGRADED,     /* It was stored as it was taken, and what was taken was bad. */
    FINDING_INCONSISTENT, /* It is complete, but does not fit the others. */
    FINDING_MISSING,      /* It is not there, although others need it. */
    FINDING_DAMAGE,       /* A checksum failed, or it can't be decoded. */
} FindingSeverity;

const char *finding_severity_name(FindingSeverity severity);

typedef struct Finding {
    FindingSeverity severity;
    const char *object;   /* It is its name in the repository, from the root. */
    const char *what;     /* It says what is wrong with it. */
    const char *expected; /* It is "" where there is nothing to say. */
    const char *found;    /* It is "" where there is nothing to say. */
    const char *meaning;  /* It says what that costs: which backups, which times. */
} Finding;

typedef struct VerifyBelief {
    uint64_t segments, backups, packs;
    uint64_t bytes; /* They are stored bytes. */
    /* The one that was read longest ago was read then. TIME_US_NONE means that there is none. */
    TimeUs oldest_at;
} VerifyBelief;

typedef struct VerifyReport {
    Finding *findings; /* The worst come first, and then they are sorted by object. */
    size_t count;
    bool is_complete; /* Everything was looked at. */
    /* The next fields count what was read. */
    uint64_t objects;
    uint64_t bytes;     /* They are stored bytes. */
    uint64_t bytes_raw; /* They were decompressed and checked. */
    uint64_t backups, packs, frames, segments, histories, records;
    /*
     * It counts what was not read, because an earlier verification found it good and it has not
     * changed.
     */
    VerifyBelief believed;
    /* It says why what was found good is not remembered, or is "" when it is. */
    char unremembered[256];
    /* It says why what was found bad, or good again, is not marked, or is "" when it is. */
    char unmarked[256];
    Arena arena;
} VerifyReport;

typedef struct VerifyRequest {
    /* Only this backup and the WAL that makes it consistent are verified. NULL means everything. */
    const char *backup;
    unsigned jobs;
    Progress *progress; /* It may be NULL. */
    /*
     * Segments and backups that were found good by then or later are not read, if they are still
     * the same objects by what listings say of them. 0 means that all are read.
     */
    TimeUs believe_since;
    /*
     * Only the stored bytes of packs and WAL objects are read and compared with their checksums:
     * nothing is decompressed. What is found good this way is not remembered, and takes no mark
     * back. What is found bad is marked.
     */
    bool is_stored_only;
    TimeUs now; /* 0 means that the clock is read. */
} VerifyRequest;

/*
 * ERR_NOT_FOUND: no such backup. ERR_UNREACHABLE, ERR_IO, ERR_INTERRUPTED: something could not be
 * looked at; report holds what was found before.
 */
bool verify_run(const Cluster *cluster, const VerifyRequest *request, VerifyReport *report,
                Error *err) MUST_CHECK;
FindingSeverity verify_worst(const VerifyReport *report); /* FINDING_NOTE when there is none */
void verify_report_done(VerifyReport *report);            /* for CLEANUP() */
