/*
 * page.h - data pages: header and checksum.
 *
 * Sources: storage/bufpage.h, storage/checksum_impl.h (identical 13..18). Which pages may be
 * judged while the server runs: see page_check().
 */
#pragma once

#include "postgres/wal_name.h"

typedef enum PageVerdict {
    PAGE_GOOD, /* The checksum holds, or the page is new (all zero). */
    /* Its LSN is at or after the backup's start. It may be torn, but WAL rewrites it. */
    PAGE_NEWER,
    PAGE_BAD, /* The checksum or the header is wrong. Read it again before you believe it. */
} PageVerdict;

typedef struct PageRule {
    /* data_checksum_version in pg_control is not 0. When it is false, only headers are judged. */
    bool has_checksums;
    Lsn start; /* Pages with an LSN at or after it are PAGE_NEWER. 0 means that none are. */
    /* A page with an LSN beyond it is garbage, and PAGE_BAD. 0 means that it is not known. */
    Lsn insert;
} PageRule;

/* page_size bytes at page; block is the number within the relation fork, over all segments. */
PageVerdict page_check(const void *page, uint32_t page_size, uint32_t block, const PageRule *rule);

Lsn page_lsn(const void *page);
bool page_is_zero(const void *page, size_t size);
uint16_t page_checksum(const void *page, uint32_t page_size, uint32_t block);
