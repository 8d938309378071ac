/*
 * wal_reference.h - which blocks a WAL record is about.
 *
 * A record says in front of everything else which blocks of relations replaying it may change, of
 * whatever resource manager it is, an extension's too: they come before all other parts
 * (xloginsert.c, XLogRecordAssemble). Source: access/xlogrecord.h, xlogreader.c (DecodeXLogRecord).
 *
 * Inline, since the archiver looks at each record of each segment.
 */
#pragma once

#include "base/bytes.h"
#include "postgres/wal_changes.h"

enum {
    REFERENCE_ID_MAX = 32, /* It is XLR_MAX_BLOCK_ID. */
    REFERENCE_FORK_MASK = 0x0F,
    REFERENCE_HAS_IMAGE = 0x10,
    REFERENCE_SAME_RELATION = 0x80,
    REFERENCE_FORK_MAX = 3, /* It is MAX_FORKNUM. */

    IMAGE_HAS_HOLE = 0x01,
    IMAGE_COMPRESSED_TO_14 = 0x02,
    IMAGE_COMPRESSED = 0x1C, /* From 15 on there is one bit for each codec. */

    RELATION_FILE_SIZE = 12, /* It holds three oids. */
};

/* What is in front of a record's data for one block. */
typedef struct WalReference {
    uint32_t size;      /* The reference takes this many bytes, including its id. */
    uint32_t data_size; /* Among the data, this many bytes belong to it: an image and more. */
    /* It points to three oids. NULL means that the relation is that of the reference before. */
    const uint8_t *file;
    uint32_t block;
    uint8_t fork;
} WalReference;

/* Which bits of an image's info say that it is compressed. */
static inline unsigned wal_image_compressed(const PgVersion *version)
{
    return version->major >= 15 ? IMAGE_COMPRESSED : IMAGE_COMPRESSED_TO_14;
}

/* Reads the one that begins here. False when it does not fit into that many bytes. */
static inline bool wal_reference_at(const uint8_t *at, size_t left, unsigned compressed,
                                    WalReference *reference)
{
    uint32_t size = 4;
    uint32_t data_size;

    if (left < 4)
        return false;
    data_size = get_le16(at + 2);
    if ((at[1] & REFERENCE_HAS_IMAGE) != 0) {
        if (left < 9)
            return false;
        data_size += get_le16(at + 4);
        size += (at[8] & compressed) != 0 && (at[8] & IMAGE_HAS_HOLE) != 0 ? 7 : 5;
    }
    const bool has_file = (at[1] & REFERENCE_SAME_RELATION) == 0;
    reference->file = has_file ? at + size : NULL;
    size += has_file ? RELATION_FILE_SIZE + 4 : 4;
    if (left < size)
        return false;
    reference->size = size;
    reference->data_size = data_size;
    reference->block = get_le32(at + size - 4);
    reference->fork = at[1] & REFERENCE_FORK_MASK;
    return true;
}

static inline RelationFile relation_file_at(const uint8_t *bytes)
{
    return (RelationFile){
        .tablespace = get_le32(bytes),
        .database = get_le32(bytes + 4),
        .number = get_le32(bytes + 8),
    };
}
