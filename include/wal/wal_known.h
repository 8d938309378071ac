/*
 * wal_known.h - what was read of archived segments once, so that it need not be read again: copies
 * of their trailers, many in one object. docs/format.md, chapter 7.4.
 *
 * An entry speaks of one object: of this size, stored at this time. When the listing says anything
 * else of it, the entry means nothing. Nobody needs these objects: without them all is read.
 */
#pragma once

#include "wal/wal_object.h"

enum {
    WAL_KNOWN_SEGMENTS = 2048, /* One object is about at most this many segments of one timeline. */
    WAL_KNOWN_ENTRY_SIZE = 32 + WAL_TRAILER_SIZE,
    WAL_KNOWN_HEADER_SIZE = 80,
};

/* Segments of one timeline, from `first`, a multiple of WAL_KNOWN_SEGMENTS, on. */
typedef struct WalStretch {
    uint32_t timeline;
    uint64_t first;
} WalStretch;

typedef struct WalKnownEntry {
    uint64_t segment;
    uint64_t stored_size; /* It is the size of the object, as listings tell it. */
    TimeUs stored_at;     /* It was stored then, as listings tell it. */
    /*
     * The object was read in full and found good then. TIME_US_NONE means that only its trailer was
     * read.
     */
    TimeUs verified_at;
    const uint8_t *trailer; /* It has WAL_TRAILER_SIZE bytes, as they are in the object. */
} WalKnownEntry;

WalStretch wal_stretch_of(uint32_t timeline, uint64_t segment);

/* Entries, as they are before compression. Ascending by segment, each within the stretch. */
void wal_known_add(Buffer *entries, const WalKnownEntry *entry);
size_t wal_known_count(const Buffer *entries);
WalKnownEntry wal_known_at(const Buffer *entries, size_t index);
bool wal_known_find(const Buffer *entries, uint64_t segment, WalKnownEntry *entry);

/* What encoding and decoding need besides. */
typedef struct WalKnownHome {
    const char *cluster;
    uint64_t system_identifier;
    unsigned major;
    uint32_t segment_size;
    uint64_t seed;
} WalKnownHome;
WalKnownHome wal_known_home(const Cluster *cluster);

bool wal_known_encode(const WalKnownHome *home, WalStretch stretch, const Buffer *entries,
                      Buffer *object, Error *err) MUST_CHECK;
/* ERR_CORRUPT, ERR_VERSION. */
bool wal_known_decode(const WalKnownHome *home, WalStretch stretch, const void *object, size_t size,
                      Buffer *entries, Error *err) MUST_CHECK;
/* The trailer of an entry: ERR_CORRUPT unless it can be that of this segment of this cluster. */
bool wal_known_trailer(const WalKnownHome *home, WalStretch stretch, const WalKnownEntry *entry,
                       WalTrailer *trailer, Error *err) MUST_CHECK;

/* Under a name that nobody has. Durable when it returns. */
bool wal_known_store(const Cluster *cluster, WalStretch stretch, const Buffer *entries,
                     Error *err) MUST_CHECK;
/* object: a name from a listing. ERR_NOT_FOUND: it was replaced meanwhile. */
bool wal_known_read(const Cluster *cluster, WalStretch stretch, const char *object, Buffer *entries,
                    Error *err) MUST_CHECK;
bool wal_known_remove(const Cluster *cluster, const char *object, Error *err) MUST_CHECK;
