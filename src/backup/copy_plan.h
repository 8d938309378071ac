/*
 * copy_plan.h - the jobs of a backup: batches of files, and ranges of large relation files.
 *
 * Only a relation file is split: its ranges may be read at different times, WAL makes one state of
 * them. Any other file is read in one go, whatever its size.
 */
#pragma once

#include "scan.h"
#include "unread.h"

typedef enum JobKind { JOB_FILES, JOB_RANGE } JobKind;

/*
 * A page that the main thread must decide about, or tell of. An LSN in the future of the server
 * gives garbage away; what "future" is can only be asked after the page was read, and the session
 * is the main thread's.
 */
typedef struct PageNote {
    uint32_t entry;
    uint32_t block; /* It counts from the beginning of the relation fork. */
    /* It is the page's LSN when that was ahead of what was known. 0 means that the page is bad. */
    Lsn lsn;
    /* If set, the page has changed, although this source said that it had not. */
    UnreadBy surprise;
} PageNote;

typedef struct CopyJob {
    JobKind kind;
    /* It is an index into CopyPlan.order for JOB_FILES, and the entry for JOB_RANGE. */
    uint32_t first;
    uint32_t count; /* It is used by JOB_FILES. */
    uint32_t range; /* It is used by JOB_RANGE. */
    const uint32_t *order;
    /* The fields below are results. */
    ManifestRange result; /* It is used by JOB_RANGE. */
    bool is_gone;         /* The file has vanished. */
    bool is_unread;       /* At least a page was taken over from the base without being read. */
    bool must_read;       /* It is set before the job runs, and then everything is read. */
    PageNote *notes;      /* Whoever takes the job back frees them. */
    size_t note_count;
} CopyJob;

typedef struct CopyPlan {
    CopyJob *jobs; /* Ranges come first, by entry and number, and then batches. */
    size_t job_count;
    size_t range_job_count;
    uint32_t *order; /* It has the entries of the batches. */
} CopyPlan;

void plan_make(CopyPlan *plan, const Scan *scan);
void copy_plan_done(CopyPlan *plan); /* for CLEANUP() */

void job_note(CopyJob *job, const PageNote *note);

/*
 * Put ranges of split files together: sizes, CRCs. A file that became shorter while it was read
 * ends at the first range that was short: WAL brings what was written after that end later.
 * Strings and arrays go into scan->arena.
 */
void plan_finish(const CopyPlan *plan, Scan *scan);
