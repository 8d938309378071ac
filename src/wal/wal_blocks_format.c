#include "wal_blocks_format.h"

#include "base/memory.h"
#include "repo/envelope.h"
#include "stream/digest.h"

#include <assert.h>

/* docs/format.md, chapter 6.4. */
static const EnvelopeShape header_shape = {
    .what = "list of changed blocks",
    .magic = "PGCNCHNG",
    .size = WAL_BLOCKS_HEADER_SIZE,
    .version = 1,
    .reserved = {{36, 20}},
};

enum {
    VARINT_MAX = 5, /* A number of 32 bits has at most this many bytes. */
    OWNER_NUMBERS = 4,
    EFFECT_NUMBERS = 5,
    /* No entry takes more, so this limit holds before anything is allocated. */
    RAW_SIZE_MAX = VARINT_MAX * (WAL_BLOCKS_MAX + (OWNER_NUMBERS + 1) * OWNERS_MAX) +
                   (1 + VARINT_MAX * EFFECT_NUMBERS) * WAL_EFFECTS_MAX + 2 * WAL_RECORD_HEAD,
};

static const Compression compression = {.codec = CODEC_ZSTD, .level = 1};

/* How many numbers a kind of effect is told by. */
static const uint8_t effect_numbers[] = {
    [EFFECT_CUT] = 5, [EFFECT_DATABASE] = 2, [EFFECT_TABLESPACE] = 1, [EFFECT_UNKNOWN] = 0};

/* 7 bits a byte, the lowest first; the highest bit says that more follow. */
static void put_varint(Buffer *out, uint32_t number)
{
    uint8_t bytes[VARINT_MAX];
    size_t size = 0;

    for (; number >= 0x80; number >>= 7)
        bytes[size++] = (uint8_t)(number | 0x80);
    bytes[size++] = (uint8_t)number;
    buffer_append(out, bytes, size);
}

/* Each as the difference to the one before while those in front of it are the same. */
static void put_fork_owner(Buffer *out, const uint32_t before[OWNER_NUMBERS],
                           const uint32_t numbers[OWNER_NUMBERS])
{
    bool is_same = true;

    for (size_t i = 0; i < OWNER_NUMBERS; i++) {
        put_varint(out, is_same ? numbers[i] - before[i] : numbers[i]);
        is_same = is_same && numbers[i] == before[i];
    }
}

static void put_run(Buffer *out, uint32_t before[OWNER_NUMBERS], const WalBlockRun *run)
{
    const uint32_t numbers[OWNER_NUMBERS] = {run->file.tablespace, run->file.database,
                                             run->file.number, run->fork};
    uint32_t next = 0;

    put_fork_owner(out, before, numbers);
    memcpy(before, numbers, sizeof numbers);
    put_varint(out, (uint32_t)run->count);
    for (size_t i = 0; i < run->count; i++) {
        put_varint(out, wal_block_of(run, i) - next);
        next = wal_block_of(run, i) + 1;
    }
}

static void put_effect(Buffer *out, const WalEffect *effect)
{
    const uint32_t numbers[EFFECT_NUMBERS] = {effect->file.tablespace, effect->file.database,
                                              effect->file.number, effect->fork, effect->block};
    const uint8_t kind = (uint8_t)effect->kind;

    buffer_append(out, &kind, 1);
    for (size_t i = 0; i < effect_numbers[effect->kind]; i++)
        put_varint(out, numbers[i]);
}

static uint32_t put_content(WalBlocks *blocks, Buffer *raw)
{
    uint32_t before[OWNER_NUMBERS] = {0};
    uint32_t run_count = 0;
    size_t at = 0;
    WalBlockRun run;

    for (; wal_blocks_next(blocks, &at, &run); run_count++)
        put_run(raw, before, &run);
    for (size_t i = 0; i < blocks->effect_count; i++)
        put_effect(raw, &blocks->effects[i]);
    buffer_append(raw, blocks->head.bytes, blocks->head.size);
    buffer_append(raw, blocks->tail.bytes, blocks->tail.size);
    return run_count;
}

bool wal_blocks_encode(WalBlocks *blocks, uint64_t seed, CodecContext *codec, Buffer *out,
                       Error *err)
{
    CLEANUP(buffer_done) Buffer raw = {0};
    uint8_t header[WAL_BLOCKS_HEADER_SIZE] = {0};
    const size_t begin = out->size;

    assert(!wal_blocks_is_full(blocks));
    const uint32_t run_count = put_content(blocks, &raw);
    buffer_append(out, header, sizeof header);
    if (!codec_compress(codec, compression, raw.data, raw.size, out, err))
        return false;
    envelope_begin(&header_shape, 0, header);
    put_le32(header + 12, (uint32_t)(out->size - begin - sizeof header));
    put_le32(header + 16, (uint32_t)raw.size);
    put_le32(header + 20, run_count);
    put_le32(header + 24, (uint32_t)blocks->effect_count);
    put_le16(header + 28, (uint16_t)blocks->head.size);
    put_le16(header + 30, (uint16_t)blocks->tail.size);
    put_le32(header + 32, (uint32_t)blocks->store.count);
    envelope_seal(&header_shape, seed, header);
    memcpy(out->data + begin, header, sizeof header);
    return true;
}

/* What is left of the content. */
typedef struct Reading {
    const uint8_t *at, *end;
} Reading;

static bool get_varint(Reading *reading, uint32_t *number)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 7 * VARINT_MAX && reading->at < reading->end; shift += 7) {
        const uint8_t byte = *reading->at++;

        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *number = (uint32_t)value;
            return value <= UINT32_MAX;
        }
    }
    return false;
}

static bool get_fork_owner(Reading *reading, const BlockOwner *before, BlockOwner *owner)
{
    const uint32_t old[OWNER_NUMBERS] = {before->file.tablespace, before->file.database,
                                         before->file.number, before->fork};
    uint32_t numbers[OWNER_NUMBERS];
    bool is_same = true;

    for (size_t i = 0; i < OWNER_NUMBERS; i++) {
        if (!get_varint(reading, &numbers[i]))
            return false;
        numbers[i] += is_same ? old[i] : 0;
        is_same = is_same && numbers[i] == old[i];
    }
    *owner = (BlockOwner){
        .file = {.tablespace = numbers[0], .database = numbers[1], .number = numbers[2]},
        .fork = numbers[3]};
    return owner->fork <= REFERENCE_FORK_MAX;
}

static bool get_run(Reading *reading, BlockStore *store, BlockOwner *owner)
{
    uint64_t next = 0;
    uint32_t count;

    if (!get_fork_owner(reading, owner, owner) || !block_store_append_owner(store, owner) ||
        !get_varint(reading, &count) || count == 0)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t distance;

        if (!get_varint(reading, &distance) || next + distance > UINT32_MAX ||
            !block_store_append(store, (uint32_t)next + distance))
            return false;
        next += (uint64_t)distance + 1;
    }
    return true;
}

static bool get_effect(Reading *reading, WalBlocks *blocks)
{
    uint32_t numbers[EFFECT_NUMBERS] = {0};
    const unsigned kind = reading->at < reading->end ? *reading->at++ : 0;

    if (kind < EFFECT_CUT || kind > EFFECT_UNKNOWN)
        return false;
    for (size_t i = 0; i < effect_numbers[kind]; i++) {
        if (!get_varint(reading, &numbers[i]))
            return false;
    }
    if (numbers[3] > REFERENCE_FORK_MAX)
        return false;
    wal_blocks_add_effect(blocks, &(WalEffect){.kind = (WalEffectKind)kind,
                                               .file = {.tablespace = numbers[0],
                                                        .database = numbers[1],
                                                        .number = numbers[2]},
                                               .fork = (ForkKind)numbers[3],
                                               .block = numbers[4]});
    return true;
}

static bool get_cut(Reading *reading, uint32_t size, KeptCut *cut)
{
    if (size > WAL_RECORD_HEAD || size > (size_t)(reading->end - reading->at))
        return false;
    memcpy(cut->bytes, reading->at, size);
    cut->size = size;
    reading->at += size;
    return true;
}

static bool get_content(Reading *reading, const uint8_t *header, WalBlocks *blocks)
{
    BlockOwner owner = {0};

    for (uint32_t left = get_le32(header + 20); left > 0; left--) {
        if (!get_run(reading, &blocks->store, &owner))
            return false;
    }
    blocks->store.is_sorted = true;
    for (uint32_t left = get_le32(header + 24); left > 0; left--) {
        if (!get_effect(reading, blocks))
            return false;
    }
    return get_cut(reading, get_le16(header + 28), &blocks->head) &&
           get_cut(reading, get_le16(header + 30), &blocks->tail) && reading->at == reading->end &&
           blocks->store.count == get_le32(header + 32) && !blocks->store.is_full;
}

bool wal_blocks_decode(const PgVersion *version, const uint8_t *bytes, size_t size, uint64_t seed,
                       CodecContext *codec, WalBlocks **blocks, Error *err)
{
    CLEANUP(wal_blocks_freep) WalBlocks *decoded = wal_blocks_new(version);
    CLEANUP(buffer_done) Buffer raw = {0};

    if (!envelope_check(&header_shape, seed, bytes, size, err))
        return false;
    const uint32_t raw_size = get_le32(bytes + 16);
    if (get_le32(bytes + 12) != size - WAL_BLOCKS_HEADER_SIZE || raw_size > RAW_SIZE_MAX)
        return error_set(err, ERR_CORRUPT, "%s has wrong sizes", header_shape.what);
    buffer_reserve(&raw, (size_t)raw_size + 1);
    if (!codec_decompress(codec, CODEC_ZSTD, bytes + WAL_BLOCKS_HEADER_SIZE,
                          size - WAL_BLOCKS_HEADER_SIZE, raw.data, raw_size, err))
        return error_context(err, "%s", header_shape.what);
    if (!get_content(&(Reading){.at = raw.data, .end = raw.data + raw_size}, bytes, decoded))
        return error_set(err, ERR_CORRUPT, "%s contradicts itself", header_shape.what);
    *blocks = TAKE(decoded);
    return true;
}
