/*
 * stall.h - a recovery that makes no progress: whether it is the archive that it waits for.
 */
#pragma once

#include "repo/repo.h"

/*
 * Of the segment that is being replayed or waited for: "has it", "does not have it, and has later
 * ones: a hole", "does not have it, nor a later one"; or why that is not known. "" without a
 * segment. cluster NULL: the repository is not known. In the arena, or constant.
 */
const char *stall_in_words(const Cluster *cluster, const char *segment, Arena *arena);
