/*
 * page_set.h - some of the pages of a range, by their numbers in it.
 */
#pragma once

#include "repo/frame.h"

enum { PAGE_SET_WORDS = RANGE_PAGES / 64 };

typedef struct PageSet {
    uint64_t words[PAGE_SET_WORDS];
} PageSet; /* zeroed: none */

/* page: less than RANGE_PAGES. */
void page_set_add(PageSet *set, uint32_t page);
bool page_set_has(const PageSet *set, uint32_t page);
uint32_t page_set_count(const PageSet *set);
/* How many writes the pages take, when pages that follow one another are written together. */
uint32_t page_set_run_count(const PageSet *set);

/* Such a run; zeroed: before the first one. */
typedef struct PageRun {
    uint32_t first, count;
} PageRun;
/* The next one, by its place; false: there is none. */
bool page_set_next_run(const PageSet *set, PageRun *run);

/*
 * Adds the pages, from `first` on, whose bytes are not those that the hashes are of (of the whole
 * range, see range_reader_hashes()): what is local against what was backed up. size: up to the end
 * of the range, whose last page may be short.
 */
void page_set_add_differing(PageSet *set, uint32_t first, const void *bytes, size_t size,
                            const uint64_t *hashes, uint64_t seed);
