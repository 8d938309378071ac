/*
 * skeleton.h - the directories and links of a cluster, and files that are left empty: all of it but
 * what takes something from the backup.
 */
#pragma once

#include "pack/manifest.h"
#include "rebuild/placement.h"

/* Directories with their modes, and the links to tablespaces. They come before every file. */
bool skeleton_make(const Placement *placement, const Manifest *manifest, Error *err) MUST_CHECK;

/* The files of databases that are left empty (ENTRY_HOLLOW), once the directories are there. */
bool skeleton_make_hollow(const Placement *placement, const Manifest *manifest, bool is_synced,
                          Error *err) MUST_CHECK;

/* fsync of every directory, for file systems where syncfs does not serve. */
bool skeleton_sync(const Placement *placement, const Manifest *manifest, Error *err) MUST_CHECK;
