/*
 * left_segment.h - the segment in the middle of which a timeline was left.
 *
 * A standby that archives for itself (archive_mode = always) and follows another server's promotion
 * marks what it has received of that segment to be archived, under its plain name
 * (walreceiver.c, WalReceiverMain). Its WAL ends where the history of the new timeline says so, and
 * goes on in the new timeline's segment, which begins with the same bytes.
 */
#pragma once

#include "wal/wal_object.h"

/* Whether a history beside the file says that the timeline of its name was left at this place. */
bool left_segment_is(const char *path, const WalName *name, uint32_t segment_size, Lsn at);

/* Where it was left, when the WAL in the file ends just there; 0: it is not such a segment. */
bool left_segment_find(const Cluster *cluster, const char *path, int fd, const WalName *name,
                       Lsn *left_at, Error *err) MUST_CHECK;

/*
 * Whether the archive has an object of this name with the same WAL up to there, read whole,
 * verified and made durable. What comes after is nobody's, or of whoever went on on that timeline.
 * ERR_EXISTS: it has other WAL. False in *is_stored: there is none, or it is damaged.
 */
bool left_segment_look(const Cluster *cluster, const char *name, const char *path, int fd,
                       uint64_t size, WalTrailer *trailer, bool *is_stored, Error *err) MUST_CHECK;
