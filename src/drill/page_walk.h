/*
 * page_walk.h - every page of every relation's file: is its checksum right, and its head?
 *
 * A server may run there: a page that is wrong is read again, until it is right or stays the same.
 * Maps of free space (_fsm) are left out: a torn one is put right by the server itself when it
 * meets it (freespace.c, RBM_ZERO_ON_ERROR).
 */
#pragma once

#include "base/error.h"
#include "base/memory.h"

enum { PAGE_FINDINGS_MAX = 20 };

typedef struct PageWalk {
    const char *data; /* It is the data directory. */
    uint64_t files, pages, bad_files;
    bool has_checksums; /* When it is false, only page headers are judged. */
    /* They are about the first bad files, one line each. */
    const char *findings[PAGE_FINDINGS_MAX];
    size_t told;
    Arena arena;
} PageWalk;

/* What is found is data; ERR_IO, ERR_CORRUPT (pg_control), ERR_INTERRUPTED. */
bool page_walk(PageWalk *walk, Error *err) MUST_CHECK;
void page_walk_done(PageWalk *walk); /* for CLEANUP() */
