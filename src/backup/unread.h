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

/* Each range is read at least once in this many backups. */
enum { UNREAD_ROUNDS = 30, UNREAD_WAL_ROUNDS = 64 };

/* A directory below which files are on one file system: the data directory, a tablespace. */
typedef struct UnreadRoot {
    const char *path; /* It is "." or, for example, "pg_tblspc/16400". */
    const char *line; /* It is what the manifest says of this root. */
    bool is_trusted;  /* Its kind of file system keeps ctime. */
    bool is_as_before;
    uint64_t device;
} UnreadRoot;

typedef struct UnreadRule {
    bool is_on;
    const char *why_not; /* It says in a sentence about the base why the rule is off, or is "". */
    bool checks_all;     /* What would be taken over is read and compared. */
    /* It knows what the WAL since the base names. When it is NULL, the WAL is not used. */
    const ChangedBlocks *changed;
    const char *wal_why_not; /* It says in a sentence why the WAL is not used, or is "". */
    bool may_be_stale;       /* The base did not read what no WAL named. */
    bool has_bad_pages;      /* The base has bad pages, which each backup must report. */
    TimeUs base_started;     /* The base started then, by this host's clock. */
    TimeUs now;
    uint64_t round;
    UnreadRoot *roots; /* The data directory comes first. */
    size_t root_count;
} UnreadRule;

/* What may speak against it, of the base and of now. */
typedef struct UnreadFacts {
    const ManifestHeader *base;
    bool is_forbidden; /* An option forbids it. */
    bool is_set_back;
    const char *machine_id, *boot_id, *data_directory;
    uint32_t timeline;
    uint32_t checksums, block_size;
    TimeUs now;
    TimeUs store_ahead; /* The store's clock is now ahead of this host's by this much. */
    /* When the base was stored, it was ahead by this much at most. TIME_US_NONE means unknown. */
    TimeUs store_was_ahead;
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
