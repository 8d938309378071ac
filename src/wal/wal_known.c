#include "wal/wal_known.h"

#include "base/bytes.h"
#include "base/fault.h"
#include "base/random.h"
#include "repo/envelope.h"
#include "repo/layout.h"

#include <assert.h>
#include <inttypes.h>

enum {
    HEAD_SIZE = SKIPPABLE_HEADER_SIZE + WAL_KNOWN_HEADER_SIZE,
    ENTRIES_SIZE_MAX = WAL_KNOWN_SEGMENTS * WAL_KNOWN_ENTRY_SIZE,
    /* Incompressible bytes grow by less than this. */
    OBJECT_SIZE_MAX = HEAD_SIZE + ENTRIES_SIZE_MAX + (ENTRIES_SIZE_MAX >> 6),
};

static const EnvelopeShape header_shape = {.what = "cache of WAL trailers",
                                           .magic = "PGCNKNOW",
                                           .size = WAL_KNOWN_HEADER_SIZE,
                                           .version = 1,
                                           .reserved = {{64, 8}}};

/* Mostly zeros: a higher level gains little. */
static const Compression compression = {.codec = CODEC_ZSTD, .level = 1};

WalStretch wal_stretch_of(uint32_t timeline, uint64_t segment)
{
    return (WalStretch){.timeline = timeline, .first = segment - segment % WAL_KNOWN_SEGMENTS};
}

WalKnownHome wal_known_home(const Cluster *cluster)
{
    return (WalKnownHome){.cluster = cluster->name,
                          .system_identifier = cluster->system_identifier,
                          .major = cluster->major,
                          .segment_size = cluster->wal_segment_size,
                          .seed = cluster->repo->hash_seed};
}

void wal_known_add(Buffer *entries, const WalKnownEntry *entry)
{
    uint8_t head[WAL_KNOWN_ENTRY_SIZE - WAL_TRAILER_SIZE];

    put_le64(head, entry->segment);
    put_le64(head + 8, entry->stored_size);
    put_le64(head + 16, (uint64_t)entry->stored_at);
    put_le64(head + 24, (uint64_t)entry->verified_at);
    buffer_append(entries, head, sizeof head);
    buffer_append(entries, entry->trailer, WAL_TRAILER_SIZE);
}

size_t wal_known_count(const Buffer *entries)
{
    return entries->size / WAL_KNOWN_ENTRY_SIZE;
}

WalKnownEntry wal_known_at(const Buffer *entries, size_t index)
{
    const uint8_t *at = entries->data + index * WAL_KNOWN_ENTRY_SIZE;

    assert(index < wal_known_count(entries));
    return (WalKnownEntry){.segment = get_le64(at),
                           .stored_size = get_le64(at + 8),
                           .stored_at = (TimeUs)get_le64(at + 16),
                           .verified_at = (TimeUs)get_le64(at + 24),
                           .trailer = at + WAL_KNOWN_ENTRY_SIZE - WAL_TRAILER_SIZE};
}

bool wal_known_find(const Buffer *entries, uint64_t segment, WalKnownEntry *entry)
{
    size_t low = 0;
    size_t high = wal_known_count(entries);

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const WalKnownEntry found = wal_known_at(entries, middle);

        if (found.segment == segment) {
            *entry = found;
            return true;
        }
        if (found.segment < segment) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

static bool are_in_order(WalStretch stretch, const Buffer *entries)
{
    uint64_t next = stretch.first;

    for (size_t i = 0; i < wal_known_count(entries); i++) {
        const uint64_t segment = wal_known_at(entries, i).segment;

        if (segment < next || segment - stretch.first >= WAL_KNOWN_SEGMENTS)
            return false;
        next = segment + 1;
    }
    return true;
}

static void put_header(const WalKnownHome *home, WalStretch stretch, uint8_t *header)
{
    envelope_begin(&header_shape, 0, header);
    put_le32(header + 12, stretch.timeline);
    put_le64(header + 16, home->system_identifier);
    put_le64(header + 24, stretch.first);
    put_le32(header + 48, home->segment_size);
    put_le32(header + 52, home->major);
    put_le64(header + 56, xxh3_of(home->seed, home->cluster, strlen(home->cluster)));
}

bool wal_known_encode(const WalKnownHome *home, WalStretch stretch, const Buffer *entries,
                      Buffer *object, Error *err)
{
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    const size_t begin = object->size;
    uint8_t head[HEAD_SIZE] = {0};
    uint8_t *header = head + SKIPPABLE_HEADER_SIZE;

    assert(entries->size > 0 && entries->size <= ENTRIES_SIZE_MAX &&
           are_in_order(stretch, entries));
    buffer_append(object, head, sizeof head);
    if (!codec_compress(codec, compression, entries->data, entries->size, object, err))
        return false;

    const uint8_t *frame = object->data + begin + HEAD_SIZE;
    const size_t stored = object->size - begin - HEAD_SIZE;
    skippable_begin(WAL_KNOWN_HEADER_SIZE, head);
    put_header(home, stretch, header);
    put_le32(header + 32, (uint32_t)wal_known_count(entries));
    put_le32(header + 36, (uint32_t)stored);
    put_le64(header + 40, xxh3_of(home->seed, frame, stored));
    envelope_seal(&header_shape, home->seed, header);
    memcpy(object->data + begin, head, sizeof head);
    return true;
}

static bool known_check_header(const WalKnownHome *home, const uint8_t *object, size_t size,
                               Error *err)
{
    if (size < HEAD_SIZE || !skippable_is_at(WAL_KNOWN_HEADER_SIZE, object))
        return error_set(err, ERR_CORRUPT, "not a %s", header_shape.what);
    return envelope_check(&header_shape, home->seed, object + SKIPPABLE_HEADER_SIZE,
                          WAL_KNOWN_HEADER_SIZE, err);
}

/* Of this cluster, and about the segments that its name says? */
static bool known_check_identity(const WalKnownHome *home, WalStretch stretch,
                                 const uint8_t *header, Error *err)
{
    uint8_t expected[WAL_KNOWN_HEADER_SIZE] = {0};

    put_header(home, stretch, expected);
    return (memcmp(header + 12, expected + 12, 20) == 0 &&
            memcmp(header + 48, expected + 48, 16) == 0) ||
           error_set(err, ERR_CORRUPT, "it is about other WAL");
}

bool wal_known_decode(const WalKnownHome *home, WalStretch stretch, const void *object, size_t size,
                      Buffer *entries, Error *err)
{
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    const uint8_t *header = (const uint8_t *)object + SKIPPABLE_HEADER_SIZE;
    const uint8_t *frame = (const uint8_t *)object + HEAD_SIZE;

    if (!known_check_header(home, object, size, err) ||
        !known_check_identity(home, stretch, header, err))
        return false;
    const uint32_t count = get_le32(header + 32);
    if (count == 0 || count > WAL_KNOWN_SEGMENTS || get_le32(header + 36) != size - HEAD_SIZE)
        return error_set(err, ERR_CORRUPT, "its sizes are impossible");
    const uint64_t computed = xxh3_of(home->seed, frame, size - HEAD_SIZE);
    if (!stored_checksum_check(computed, get_le64(header + 40), err))
        return false;
    entries->size = 0;
    buffer_reserve(entries, (size_t)count * WAL_KNOWN_ENTRY_SIZE);
    if (!codec_decompress(codec, CODEC_ZSTD, frame, size - HEAD_SIZE, entries->data,
                          (size_t)count * WAL_KNOWN_ENTRY_SIZE, err))
        return false;
    entries->size = (size_t)count * WAL_KNOWN_ENTRY_SIZE;
    return are_in_order(stretch, entries) ||
           error_set(err, ERR_CORRUPT, "its entries are not in order");
}

/* As wal_object_trailer() asks of what it reads. */
bool wal_known_trailer(const WalKnownHome *home, WalStretch stretch, const WalKnownEntry *entry,
                       WalTrailer *trailer, Error *err)
{
    WalTrailer found;

    if (!wal_trailer_decode(&found, entry->trailer, home->seed, err))
        return false;
    const Lsn record = found.summary.reader.first_record;
    if (found.kind != WAL_SEGMENT || found.timeline != stretch.timeline ||
        found.system_identifier != home->system_identifier ||
        found.segment_size != home->segment_size ||
        (record != 0 && wal_segment_of(record, found.segment_size) != entry->segment))
        return error_set(err, ERR_CORRUPT, "it holds the trailer of another segment");
    *trailer = found;
    return true;
}

bool wal_known_store(const Cluster *cluster, WalStretch stretch, const Buffer *entries, Error *err)
{
    CLEANUP(text_freep) char *object = NULL;
    CLEANUP(buffer_done) Buffer bytes = {0};
    const WalKnownHome home = wal_known_home(cluster);
    uint64_t number;

    if (!random_u64(&number, err))
        return false;
    object = layout_known_wal(cluster->name, stretch.timeline, stretch.first, number);
    return (wal_known_encode(&home, stretch, entries, &bytes, err) &&
            FAULT_POINT("known.before-commit", err) &&
            storage_put(cluster->repo->storage, object, WRITE_NEW, bytes.data, bytes.size, err) &&
            FAULT_POINT("known.after-commit", err)) ||
           error_context(err, "store \"%s\"", object);
}

bool wal_known_read(const Cluster *cluster, WalStretch stretch, const char *object, Buffer *entries,
                    Error *err)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    const WalKnownHome home = wal_known_home(cluster);
    bool ok = storage_read(cluster->repo->storage, object, OBJECT_SIZE_MAX, &bytes, err);

    /* ERR_REFUSED: larger than any is. */
    if (!ok && err->code == ERR_REFUSED)
        err->code = ERR_CORRUPT;
    ok = ok && wal_known_decode(&home, stretch, bytes.data, bytes.size, entries, err);
    return ok || error_context(err, "read \"%s\"", object);
}

bool wal_known_remove(const Cluster *cluster, const char *object, Error *err)
{
    return (FAULT_POINT("known.before-remove", err) &&
            storage_remove(cluster->repo->storage, object, err) &&
            FAULT_POINT("known.after-remove", err)) ||
           error_context(err, "remove \"%s\"", object);
}
