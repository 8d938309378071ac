/*
 * residency.h - leave the page cache as it was found (law 11).
 *
 * A backup reads everything once. What it brings into the cache would push out what the server
 * needs, so it is dropped again, but for what was there before: that is the server's.
 *
 * cachestat(2) counts, and settles it for a file that is cached whole or not at all; mincore(2)
 * tells each page, of the others and before Linux 6.5. preadv2(RWF_NOWAIT) would too, but starts
 * read-ahead itself since Linux 5.10, so the next look would take our own read-ahead for the
 * server's pages.
 */
#pragma once

#include "repo/frame.h"

typedef struct Residency {
    /* It has a byte for each page of the range. Bit 0 says that the page was cached. */
    uint8_t *pages;
    uint64_t begin; /* The range begins here in the file. */
    size_t size;
    bool is_known;         /* When it is false, nothing is dropped. */
    bool is_count_refused; /* cachestat(2) failed once, and is not called again. */
} Residency;

void residency_init(Residency *residency); /* room for RANGE_SIZE bytes */
void residency_done(Residency *residency);

/* Remember what of [begin, begin + size) of the file is cached; before the first read of it. */
void residency_look(Residency *residency, int fd, uint64_t begin, size_t size);

/* Whether all of it was cached; false also when that is not known. */
bool residency_is_cached(const Residency *residency, uint64_t offset, size_t size);

/* Drop what was not. Never drops a page that was there: that would also write dirty ones out. */
void residency_restore(const Residency *residency, int fd, uint64_t offset, size_t size);
