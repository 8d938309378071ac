/*
 * skeleton.h - the directories and links of a cluster: all of it but the files.
 */
#pragma once

#include "rebuild/restore_plan.h"

/* Directories with their modes, and the links to tablespaces. They come before every file. */
bool skeleton_make(const RestorePlan *plan, Error *err) MUST_CHECK;

/* fsync of every directory, for file systems where syncfs does not serve. */
bool skeleton_sync(const RestorePlan *plan, Error *err) MUST_CHECK;
