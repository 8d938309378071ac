/*
 * placement.h - where the files of a backup are put, and how.
 *
 * With a manifest it is all that skeleton.h, held_places.h and rebuild.h need to put the backup's
 * files into a place: what is restored, and what was there before, is none of their business.
 * Filled by restore/preflight.c and restore/configuration.c; its strings are in the plan's arena.
 */
#pragma once

#include "base/base.h"

typedef struct HeldPlaces HeldPlaces;

typedef struct PlannedTablespace {
    uint32_t oid;
    const char *was;     /* where it was at the backup */
    const char *path;    /* where it will be */
    const char *version; /* PATH/PG_15_202209061: all of it that is ours */
    bool is_gone_over;   /* it may hold files already, which count or make way */
} PlannedTablespace;

/* Files belong to the user that restores; each has the mode that the manifest tells. */
typedef struct Placement {
    const char *data;               /* the data directory, absolute */
    uint32_t data_mode;             /* ... and its mode: 0700 or 0750 */
    PlannedTablespace *tablespaces; /* In the order of their oids. */
    size_t tablespace_count;
    const char *extra_directory; /* where configuration from outside goes; NULL: nowhere */
    bool puts_back;              /* ... to where it was: extra_directory is "/" */
    const char *debian_directory, *debian_version, *debian_name; /* the cluster's; NULL: none */
    HeldPlaces *held; /* where is written, opened, while that is at work; else NULL */
} Placement;
