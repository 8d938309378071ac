/*
 * backed_up_file.h - one file out of a backup, without a restore.
 */
#pragma once

#include "pack/manifest.h"

/*
 * The entry with this path, of whatever kind: in the data directory, or, where it is absolute, of
 * what was outside. NULL when there is none.
 */
const ManifestEntry *backed_up_entry_find(const Manifest *manifest, const char *path);
/* A file of the data directory; NULL when there is none. */
const ManifestEntry *backed_up_file_find(const Manifest *manifest, const char *path);

/* Its content, every byte verified; appended to out. ERR_CORRUPT, ERR_UNREACHABLE. */
bool backed_up_file_read(const Cluster *cluster, const Manifest *manifest,
                         const ManifestEntry *entry, Buffer *out, Error *err) MUST_CHECK;
