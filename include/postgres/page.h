/*
 * page.h - data pages: header and checksum.
 *
 * Sources: storage/bufpage.h, storage/checksum_impl.h (identical 13..18). Which pages may be
 * judged while the server runs: see page_check().
 */
#pragma once

#include "postgres/wal_name.h"

typedef enum PageVerdict {
    PAGE_GOOD,  /* checksum holds, or a new (all zero) page */
    PAGE_NEWER, /* its LSN is at or after the backup's start: WAL rewrites it, may be torn */
    PAGE_BAD,   /* checksum or header wrong: read it again before believing it */
} PageVerdict;

typedef struct PageRule {
    bool has_checksums; /* pg_control: data_checksum_version != 0; else only headers are judged */
    Lsn start;          /* pages with an LSN at or after it are PAGE_NEWER; 0: none are */
    Lsn insert;         /* an LSN beyond it is garbage: PAGE_BAD; 0: not known */
} PageRule;

/* page_size bytes at page; block is the number within the relation fork, over all segments. */
PageVerdict page_check(const void *page, uint32_t page_size, uint32_t block, const PageRule *rule);

Lsn page_lsn(const void *page);
bool page_is_zero(const void *page, size_t size);
uint16_t page_checksum(const void *page, uint32_t page_size, uint32_t block);
