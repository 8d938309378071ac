/*
 * skeleton.h - the directories and links of a cluster: all of it but the files.
 */
#pragma once

#include "pack/manifest.h"
#include "rebuild/placement.h"

/* Directories with their modes, and the links to tablespaces. They come before every file. */
bool skeleton_make(const Placement *placement, const Manifest *manifest, Error *err) MUST_CHECK;

/* fsync of every directory, for file systems where syncfs does not serve. */
bool skeleton_sync(const Placement *placement, const Manifest *manifest, Error *err) MUST_CHECK;
