/*
 * pages.h - judge the pages of a relation file while the server writes to it.
 *
 * docs/postgres-facts.md 2.2: a page whose LSN is at or after the backup's start may be torn, WAL
 * rewrites it whole. Another page whose checksum is wrong is read again: when its bytes change the
 * server is writing it at this moment, and WAL has it too; when they stay as they are, it is bad.
 */
#pragma once

#include "copy_plan.h"
#include "postgres/page.h"

typedef struct PageJudge {
    int fd;
    const char *path; /* Messages show it. */
    uint32_t entry;   /* It goes into notes. */
    uint32_t page_size;
    const PageRule *rule;
    Lsn insert_seen;  /* LSNs beyond it are noted. */
    uint8_t *scratch; /* It has page_size bytes. */
    CopyJob *job;     /* It gets the notes. */
    bool is_settled;  /* It becomes false at the first page that is not good. Begin with true. */
    size_t bad_count; /* Begin with 0. */
    /* It is file_read_at(), except in tests. */
    bool (*read)(int fd, void *to, size_t size, uint64_t offset, size_t *got, const char *path,
                 Error *err);
} PageJudge;

/*
 * Judge the whole pages of size bytes at raw, which are at `offset` of the file and begin with
 * block first_block of the fork. Pages that were read again are replaced in raw. What is left at
 * the end, shorter than a page, can't be judged.
 */
bool pages_judge(PageJudge *judge, uint8_t *raw, size_t size, uint64_t offset, uint32_t first_block,
                 Error *err) MUST_CHECK;
