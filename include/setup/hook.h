/*
 * hook.h - what archive-push and archive-get share: the repository, opened with retries.
 *
 * The server calls them for every segment, so they open nothing that they don't need.
 */
#pragma once

#include "cli/options.h"
#include "repo/repo.h"

typedef struct Hook {
    Repo repo;
    Cluster cluster; /* refers to repo: a Hook stays where it is */
    unsigned threads;
} Hook;

/* Zeroed before. What does not answer is tried again --retries times, with growing pauses. */
bool hook_open(Hook *hook, const Options *options, Error *err) MUST_CHECK;
void hook_done(Hook *hook); /* for CLEANUP() */
