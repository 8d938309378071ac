/*
 * pack_directory.h - a pack's directory, read and checked with all that is around its frames.
 */
#pragma once

#include "pack_format.h"

/*
 * Header, trailer and directory are intact, frames follow one another without gap, and the object
 * has `size` bytes. ERR_NOT_FOUND, ERR_CORRUPT, ERR_VERSION.
 */
bool pack_directory_load(const Cluster *cluster, const char *pack_id, uint64_t size,
                         PackTrailer *trailer, Buffer *directory, Error *err) MUST_CHECK;
