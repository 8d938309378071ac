/*
 * receive_marker.h - the record in a spool that says whose it is. docs/format.md, chapter 6.3.
 *
 * It is all that is known of repository and cluster when receive begins while the repository is
 * away: archive_receive_recall() reads it.
 */
#pragma once

#include "repo/repo.h"

/*
 * The spool at storage is for target: says so in an empty one. ERR_REFUSED: it is another one's, or
 * none and not empty.
 */
bool receive_marker_claim(Storage *storage, const Cluster *target, Error *err) MUST_CHECK;

/* Name, system identifier, version and segment size. */
bool receive_marker_is_same(const Cluster *a, const Cluster *b);
