/*
 * unread.h - what is taken over from the base without being read, and what proves it unchanged: the
 * times of its file, or the WAL since the base (unread_wal.h). Where neither does it is read.
 *
 * By times: a file whose size, times of content and of state, and inode are what they were when the
 * base read it has not been written to: the time of state (ctime) can't be set by anybody. That
 * holds on a local file system that keeps it, on the same machine, in the same place, while the
 * clock does not go back, and since the machine was started: a power failure can take away the new
 * times of a file and leave what was written to it, and a server with full_page_writes = off does
 * not write that again. Only main forks of relations, only ranges that the base calls settled.
 *
 * Both are checked: each backup reads a part of what is taken for unchanged all the same, another
 * one each time. The first page that is not as it was said ends the trust in both: all is read.
 */
#pragma once

#include "backup_run.h"
#include "changed/changed_blocks.h"

#include <sys/stat.h>

/* By what a range, or pages of it, are taken for unchanged. */
typedef enum UnreadBy { UNREAD_BY_NOTHING, UNREAD_BY_TIMES, UNREAD_BY_WAL } UnreadBy;

/* Each range is read at least once in so many backups. */
enum { UNREAD_ROUNDS = 30, UNREAD_WAL_ROUNDS = 64 };

/* A directory below which files are on one file system: the data directory, a tablespace. */
typedef struct UnreadRoot {
    const char *path; /* "." or "pg_tblspc/16400" */
    const char *line; /* what the manifest says of it */
    bool is_trusted;  /* of a kind of file system that keeps ctime */
    bool is_as_before;
    uint64_t device;
} UnreadRoot;

typedef struct UnreadRule {
    bool is_on;
    const char *why_not;          /* it is off: a sentence about the base; "" */
    bool checks_all;              /* what would be taken over is read and compared */
    const ChangedBlocks *changed; /* what the WAL since the base names; NULL: it is not asked */
    const char *wal_why_not;      /* ... why it is not: a sentence; "" */
    bool may_be_stale;            /* the base did not read what no WAL named */
    bool has_bad_pages;           /* the base has: pages that must be told of each time */
    TimeUs base_started;          /* by this host's clock */
    TimeUs now;
    uint64_t round;
    UnreadRoot *roots; /* the data directory first */
    size_t root_count;
} UnreadRule;

/* What may speak against it, of the base and of now. */
typedef struct UnreadFacts {
    const ManifestHeader *base;
    bool is_forbidden; /* by an option */
    bool is_set_back;
    const char *machine_id, *boot_id, *data_directory;
    uint32_t timeline;
    uint32_t checksums, block_size;
    TimeUs now;
    TimeUs
        store_ahead; /* the store's clock against this host's now, and when the base was stored: */
    TimeUs store_was_ahead; /* at most so much; TIME_US_NONE: not known */
} UnreadFacts;

/*
 * Why nothing can be taken over by times, or by what the WAL names, for people; NULL: nothing
 * speaks against it. Pure.
 */
const char *unread_objection(const UnreadFacts *facts);
const char *unread_wal_objection(const UnreadFacts *facts);

/* Of a file that was opened and looked at now, before anything of it was read. Pure. */
bool unread_file_is_unchanged(const UnreadRule *rule, const ManifestEntry *base,
                              const struct stat *info);
/* Whether it is the very file that the base read, whatever is in it by now. Pure. */
bool unread_is_as_before(const UnreadRule *rule, const ManifestEntry *base,
                         const struct stat *info);
/* Whether its size or times are others than when the base read it. Pure. */
bool unread_was_written(const ManifestEntry *base, const struct stat *info);
/* Whether it is this range's turn to be read all the same. Pure. */
bool unread_is_due(const UnreadRule *rule, UnreadBy by, const char *path, uint32_t range);

/* Looks at the file systems; gives the manifest's source_fs. Arrays and strings in run->arena. */
const char *unread_find_roots(BackupRun *run, UnreadRule *rule);
/* Those of which the base's manifest says the same. */
void unread_compare_roots(UnreadRule *rule, const char *base_text);
