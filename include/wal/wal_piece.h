/*
 * wal_piece.h - the WAL segment that a server is still writing, as far as it is in the repository.
 * docs/format.md, chapter 6.2.
 *
 * A piece is a range of bytes of one segment, an immutable object of its own. Pieces may overlap
 * (a larger one takes the place of smaller ones, which are removed after it); where they do they
 * have the same content. What counts is the gapless stretch from the segment's first byte on. Once
 * the whole segment is archived its pieces mean nothing any more.
 */
#pragma once

#include "wal/wal_object.h"

enum {
    WAL_PIECE_HEADER_SIZE = 72,
    /* A piece has at most this many bytes of it, so that a reader's memory is bounded. */
    WAL_PIECE_RAW_MAX = 4 << 20,
};

/* Bytes [from, to) of a segment. Plain data. */
typedef struct WalPiece {
    uint32_t timeline;
    uint64_t segment;
    uint32_t from, to; /* They are offsets in the segment. */
} WalPiece;

/* What encoding and decoding need besides the piece. */
typedef struct WalPieceHome {
    uint64_t system_identifier;
    unsigned major;
    uint32_t segment_size;
    uint64_t seed;
} WalPieceHome;

WalPieceHome wal_piece_home(const Cluster *cluster);

/* The object's bytes appended to out. */
bool wal_piece_encode(const WalPieceHome *home, const WalPiece *piece, const void *raw,
                      CodecContext *codec, Buffer *out, Error *err) MUST_CHECK;
/* The raw bytes in raw (its old content is dropped). ERR_CORRUPT, ERR_VERSION. */
bool wal_piece_decode(const WalPieceHome *home, const WalPiece *piece, const void *object,
                      size_t size, CodecContext *codec, Buffer *raw, Error *err) MUST_CHECK;

/* Durable when it returns. ERR_EXISTS: there is an object of this name. */
bool wal_piece_store(const Cluster *cluster, const WalPiece *piece, const void *raw,
                     CodecContext *codec, Error *err) MUST_CHECK;
/* ERR_NOT_FOUND when it is gone, as after its segment was archived. ERR_CORRUPT. */
bool wal_piece_read(const Cluster *cluster, const WalPiece *piece, CodecContext *codec, Buffer *raw,
                    Error *err) MUST_CHECK;
bool wal_piece_remove(const Cluster *cluster, const WalPiece *piece, Error *err) MUST_CHECK;

typedef struct WalPieceList {
    WalPiece *items; /* They are sorted by timeline, segment, from and to. */
    size_t count;
    Arena arena;
} WalPieceList;

/* All pieces of the cluster; what has another name is left out. ERR_UNREACHABLE. */
bool wal_pieces_load(WalPieceList *list, const Cluster *cluster, Error *err) MUST_CHECK;
void wal_pieces_done(WalPieceList *list); /* for CLEANUP() */

/*
 * The piece that reaches farthest of those of this segment that hold the byte at `offset`; NULL:
 * none does.
 */
const WalPiece *wal_pieces_at(const WalPieceList *list, uint32_t timeline, uint64_t segment,
                              uint32_t offset);
/* How far the gapless stretch from the segment's first byte reaches: an offset, 0 when none. */
uint32_t wal_pieces_reach(const WalPieceList *list, uint32_t timeline, uint64_t segment);

/*
 * Read and verify that stretch and give it to sink, in order; *size is how far it went. Pieces that
 * vanish meanwhile, since a larger one or the whole segment took their place, are read from there.
 * ERR_NOT_FOUND: they vanished without a trace. ERR_CORRUPT.
 */
bool wal_pieces_read(const Cluster *cluster, const WalPieceList *list, uint32_t timeline,
                     uint64_t segment, WalSink *sink, void *context, uint32_t *size,
                     Error *err) MUST_CHECK;
