/*
 * unread.h - ranges that are taken over from the base without being read: what proves them
 * unchanged.
 *
 * A file whose size, times of content and of state, and inode are what they were when the base read
 * it has not been written to: the time of state (ctime) can't be set by anybody. That holds on a
 * local file system that keeps it, on the same machine, in the same place, while the clock does not
 * go back, and since the machine was started: a power failure can take away the new times of a file
 * and leave what was written to it, and a server with full_page_writes = off does not write that
 * again. Only main forks of relations, only ranges that the base calls settled. And it is
 * checked: each backup reads a part of them all the same, another one each time.
 */
#pragma once

#include "backup_run.h"

#include <sys/stat.h>

/* Each range is read at least once in so many backups. */
enum { UNREAD_ROUNDS = 30 };

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
    const char *why_not; /* it is off: a sentence about the base; "" */
    bool checks_all;     /* what would be taken over is read and compared */
    TimeUs base_started; /* by this host's clock */
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
    uint32_t checksums, block_size;
    TimeUs now;
    TimeUs
        store_ahead; /* the store's clock against this host's now, and when the base was stored: */
    TimeUs store_was_ahead; /* at most so much; TIME_US_NONE: not known */
} UnreadFacts;

/* Why nothing can be taken over unread, for people; NULL: nothing speaks against it. Pure. */
const char *unread_objection(const UnreadFacts *facts);

/* Of a file that was opened and looked at now, before anything of it was read. Pure. */
bool unread_file_is_unchanged(const UnreadRule *rule, const ManifestEntry *base,
                              const struct stat *info);
/* Whether it is this range's turn to be read all the same. Pure. */
bool unread_is_due(const UnreadRule *rule, const char *path, uint32_t range);

/* Looks at the file systems; gives the manifest's source_fs. Arrays and strings in run->arena. */
const char *unread_find_roots(BackupRun *run, UnreadRule *rule);
/* Those of which the base's manifest says the same. */
void unread_compare_roots(UnreadRule *rule, const char *base_text);
