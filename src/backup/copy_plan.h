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
    uint32_t block;    /* in the relation fork */
    Lsn lsn;           /* of a page whose LSN was ahead of what was known; 0: the page is bad */
    UnreadBy surprise; /* instead: it has changed, and this said that it had not */
} PageNote;

typedef struct CopyJob {
    JobKind kind;
    uint32_t first; /* JOB_FILES: in CopyPlan.order; JOB_RANGE: the entry */
    uint32_t count; /* JOB_FILES */
    uint32_t range; /* JOB_RANGE */
    const uint32_t *order;
    /* results */
    ManifestRange result; /* JOB_RANGE */
    bool is_gone;         /* the file has vanished */
    bool is_unread; /* something, if only a page, was taken over from the base without being read */
    bool must_read; /* set before: nothing is */
    PageNote *notes; /* freed by whoever takes the job back */
    size_t note_count;
} CopyJob;

typedef struct CopyPlan {
    CopyJob *jobs; /* ranges first, by entry and number; then batches */
    size_t job_count;
    size_t range_job_count;
    uint32_t *order; /* entries of the batches */
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
