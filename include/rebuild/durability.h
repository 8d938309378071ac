/*
 * durability.h - everything a restore wrote is on the disk before pg_control says so.
 *
 * Where syncfs(2) reports write errors (Linux 5.8) and the file system is known to wait for all it
 * has, one call for each file system replaces an fsync for each file; its descriptor must be open
 * before the first write, or an error that came before goes unseen. Elsewhere each file is fsynced.
 */
#pragma once

#include "base/held.h"

#include <sys/types.h>

enum { DURABILITY_SYSTEMS_MAX = 80 };

typedef struct Durability {
    int fds[DURABILITY_SYSTEMS_MAX];
    dev_t devices[DURABILITY_SYSTEMS_MAX];
    size_t count;
    /* Whoever writes a file must fsync it, and every directory must be fsynced, too. */
    bool by_file;
} Durability;

/* A directory on a file system that will be written to. */
bool durability_add(Durability *durability, const HeldDirectory *directory, Error *err) MUST_CHECK;
/* Nothing to do when by_file is set. */
bool durability_sync(Durability *durability, Error *err) MUST_CHECK;
void durability_done(Durability *durability); /* for CLEANUP() */
