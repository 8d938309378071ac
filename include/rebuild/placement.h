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
    const char *was;     /* It was here at the backup. */
    const char *path;    /* It will be here. */
    const char *version; /* It is PATH/PG_15_202209061. All of it is ours. */
    bool is_gone_over;   /* It may hold files already, which are kept or make way. */
} PlannedTablespace;

/* Files belong to the user that restores; each has the mode that the manifest tells. */
typedef struct Placement {
    const char *data;               /* It is the absolute path of the data directory. */
    uint32_t data_mode;             /* It is the mode of the data directory: 0700 or 0750. */
    PlannedTablespace *tablespaces; /* They are in the order of their oids. */
    size_t tablespace_count;
    /* Configuration from outside goes here. NULL means that it goes nowhere. */
    const char *extra_directory;
    /* Configuration goes back to where it was: extra_directory is "/". */
    bool puts_back;
    /* They are the cluster's. NULL means that there are none. */
    const char *debian_directory, *debian_version, *debian_name;
    /* It has the open directories while files are written into them. Otherwise it is NULL. */
    HeldPlaces *held;
} Placement;
