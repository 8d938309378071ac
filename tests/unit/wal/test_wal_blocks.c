#include "wal/wal_blocks.h"

#include "../postgres/wal_builder.h"
#include "base/memory.h"
#include "wal_block_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint64_t seed = 77;

/* What stands for a block in a record: images are of zeros. */
typedef struct Part {
    uint32_t relation; /* 0: the same */
    uint32_t block;
    uint8_t fork;
    uint16_t image; /* bytes of it, 0: none */
    uint8_t image_info;
    uint16_t data;
} Part;

static void part_header(Buffer *body, uint8_t id, const Part *part, bool has_hole_size)
{
    uint8_t bytes[32] = {id, (uint8_t)(part->fork | (part->image > 0 ? 0x10 : 0) |
                                       (part->relation == 0 ? 0x80 : 0))};
    size_t size = 4;

    put_le16(bytes + 2, part->data);
    if (part->image > 0) {
        put_le16(bytes + 4, part->image);
        bytes[8] = part->image_info;
        size = has_hole_size ? 11 : 9;
    }
    if (part->relation != 0) {
        put_le32(bytes + size, 1663);
        put_le32(bytes + size + 4, 5);
        put_le32(bytes + size + 8, part->relation);
        size += 12;
    }
    put_le32(bytes + size, part->block);
    buffer_append(body, bytes, size + 4);
}

static void put_zeros(Buffer *body, size_t size)
{
    const size_t before = body->size;

    buffer_reserve(body, before + size);
    memset(body->data + before, 0, size);
    body->size = before + size;
}

/* Record of the parts, with main data or without. */
static WalRecord record_of(Buffer *bytes, unsigned major, const Part *parts, size_t count,
                           uint8_t main_size)
{
    CLEANUP(wal_builder_done)
    WalBuilder wal = wal_builder_begin(major, 1 << 20, 1 << 20, 1);
    CLEANUP(buffer_done) Buffer body = {0};
    size_t data = 0;
    WalRecord record;

    for (size_t i = 0; i < count; i++) {
        const uint8_t compressed = major >= 15 ? 0x1C : 0x02;

        part_header(&body, (uint8_t)i, &parts[i],
                    (parts[i].image_info & 1) != 0 && (parts[i].image_info & compressed) != 0);
        data += (size_t)parts[i].image + parts[i].data;
    }
    if (main_size > 0)
        buffer_append(&body, (uint8_t[]){255, main_size}, 2);
    put_zeros(&body, data + main_size);
    const Lsn lsn = wal_builder_body(&wal, 10, 0, body.data, body.size);
    bytes->size = 0;
    buffer_append(bytes, wal.bytes.data + (lsn - wal.start), 24 + body.size);
    assert_true(wal_record_decode(bytes->data, bytes->size, lsn, &record));
    return record;
}

static void assert_blocks(WalBlocks *blocks, const char *expected)
{
    CLEANUP(buffer_done) Buffer text = {0};
    size_t at = 0;
    WalBlockRun run;

    while (wal_blocks_next(blocks, &at, &run)) {
        for (size_t i = 0; i < run.count; i++)
            buffer_print(&text, "%u/%u:%u ", run.file.number, (unsigned)run.fork,
                         wal_block_of(&run, i));
    }
    buffer_append(&text, "", 1);
    assert_string_equal((const char *)text.data, expected);
}

static void assert_no_effect(const WalBlocks *blocks)
{
    size_t count;

    (void)wal_blocks_effects(blocks, &count);
    assert_int_equal(count, 0);
}

static void every_block_of_a_record_is_found(void **state)
{
    static const struct {
        Part parts[4];
        size_t count;
        uint8_t main_size;
        const char *expected;
    } cases[] = {
        {{{0}}, 0, 10, ""},
        {{{16384, 7, 0, 0, 0, 0}}, 1, 3, "16384/0:7 "},
        {{{16384, 7, 0, 0, 0, 5}, {0, 9, 0, 0, 0, 0}}, 2, 3, "16384/0:7 16384/0:9 "},
        {{{16384, 9, 0, 0, 0, 5}, {0, 9, 2, 0, 0, 0}}, 2, 3, "16384/0:9 16384/2:9 "},
        {{{20000, 1, 0, 0, 0, 0}, {16384, 7, 2, 0, 0, 0}, {0, 6, 2, 0, 0, 1}},
         3,
         0,
         "16384/2:6 16384/2:7 20000/0:1 "},
        /* Images are zeros, which look like a reference with id 0. */
        {{{16384, 7, 0, 600, 1, 0}, {16385, 8, 0, 600, 0, 0}}, 2, 0, "16384/0:7 16385/0:8 "},
        {{{16384, 7, 0, 600, 1 | 4, 0}, {16385, 8, 0, 600, 8, 0}}, 2, 0, "16384/0:7 16385/0:8 "},
        {{{16384, 7, 0, 600, 1 | 2, 30}, {16385, 8, 0, 60, 2, 0}}, 2, 9, "16384/0:7 16385/0:8 "},
        {{{16384, UINT32_MAX - 1, 3, 0, 0, 0}}, 1, 0, "16384/3:4294967294 "},
    };
    static const unsigned majors[] = {13, 14, 15, 18};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (size_t m = 0; m < ARRAY_SIZE(majors); m++) {
            CLEANUP(wal_blocks_freep)
            WalBlocks *blocks = wal_blocks_new(pg_version_of_major(majors[m]));
            CLEANUP(buffer_done) Buffer bytes = {0};
            const WalRecord record =
                record_of(&bytes, majors[m], cases[i].parts, cases[i].count, cases[i].main_size);

            wal_blocks_add(blocks, &record);
            wal_blocks_add(blocks, &record);
            assert_blocks(blocks, cases[i].expected);
            assert_no_effect(blocks);
        }
    }
}

/* Wherever a segment ends in it, from its first byte on. */
static void a_record_is_joined_from_what_both_segments_keep(void **state)
{
    static const Part parts[] = {
        {16384, 7, 0, 3000, 1, 0}, {0, 9, 0, 0, 0, 5}, {20000, 1, 2, 40, 5, 0}};
    CLEANUP(buffer_done) Buffer bytes = {0};
    const WalRecord record = record_of(&bytes, 15, parts, ARRAY_SIZE(parts), 100);

    (void)state;
    for (uint32_t have = 1; have < record.total_size; have++) {
        CLEANUP(wal_blocks_freep) WalBlocks *blocks = wal_blocks_new(pg_version_of_major(15));
        const uint32_t rest = record.total_size - have;
        const WalCut tail = {bytes.data, have < WAL_RECORD_HEAD ? have : WAL_RECORD_HEAD};
        const WalCut head = {bytes.data + have, rest < WAL_RECORD_HEAD ? rest : WAL_RECORD_HEAD};

        wal_blocks_join(blocks, tail, head, have);
        assert_blocks(blocks, "16384/0:7 16384/0:9 20000/2:1 ");
        assert_no_effect(blocks);
    }
}

static void assert_unknown(const WalBlocks *blocks)
{
    size_t count;
    const WalEffect *effects = wal_blocks_effects(blocks, &count);

    assert_int_equal(count, 1);
    assert_int_equal(effects[0].kind, EFFECT_UNKNOWN);
}

static void what_is_cut_too_short_is_not_known(void **state)
{
    static const Part parts[] = {{16384, 7, 0, 3000, 1, 0}};
    static const struct {
        uint32_t have, rest;
    } cases[] = {{4, 0}, {20, 3}, {30, 100}, {23, 1000}};
    CLEANUP(buffer_done) Buffer bytes = {0};

    (void)state;
    (void)record_of(&bytes, 15, parts, ARRAY_SIZE(parts), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(wal_blocks_freep) WalBlocks *blocks = wal_blocks_new(pg_version_of_major(15));

        wal_blocks_join(blocks, (WalCut){bytes.data, cases[i].have},
                        (WalCut){bytes.data + cases[i].have, cases[i].rest}, cases[i].have);
        assert_unknown(blocks);
    }
}

static void a_joined_record_with_a_wrong_checksum_is_not_known(void **state)
{
    static const Part parts[] = {{16384, 7, 0, 0, 0, 40}};
    CLEANUP(wal_blocks_freep) WalBlocks *blocks = wal_blocks_new(pg_version_of_major(15));
    CLEANUP(buffer_done) Buffer bytes = {0};

    (void)state;
    (void)record_of(&bytes, 15, parts, ARRAY_SIZE(parts), 0);
    bytes.data[bytes.size - 1] ^= 1;
    wal_blocks_join(blocks, (WalCut){bytes.data, 30},
                    (WalCut){bytes.data + 30, (uint32_t)bytes.size - 30}, 30);
    assert_unknown(blocks);
}

static void references_that_can_not_be_are_not_known(void **state)
{
    static const Part same[] = {{0, 7, 0, 0, 0, 0}};
    static const Part fork[] = {{16384, 7, 4, 0, 0, 0}};
    const Part *const cases[] = {same, fork};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(wal_blocks_freep) WalBlocks *blocks = wal_blocks_new(pg_version_of_major(15));
        CLEANUP(buffer_done) Buffer bytes = {0};
        const WalRecord record = record_of(&bytes, 15, cases[i], 1, 1);

        wal_blocks_add(blocks, &record);
        assert_unknown(blocks);
    }
}

static void an_sp_gist_record_names_the_metapage_too(void **state)
{
    static const Part parts[] = {{16384, 7, 0, 0, 0, 0}, {0, 9, 0, 0, 0, 0}};
    CLEANUP(wal_blocks_freep) WalBlocks *blocks = wal_blocks_new(pg_version_of_major(15));
    CLEANUP(buffer_done) Buffer bytes = {0};
    WalRecord record = record_of(&bytes, 15, parts, ARRAY_SIZE(parts), 1);

    (void)state;
    record.rmgr = 16;
    wal_blocks_add(blocks, &record);
    assert_blocks(blocks, "16384/0:0 16384/0:7 16384/0:9 ");
}

static void fill(WalBlocks *blocks, unsigned relations, unsigned many)
{
    CLEANUP(buffer_done) Buffer bytes = {0};

    for (unsigned i = 0; i < many; i++) {
        const Part part = {.relation = 16384 + (i * 7919U) % relations * 1000,
                           .block = (i * 2654435761U) >> (i % 3 * 9),
                           .fork = (uint8_t)(i % 11 == 0 ? 2 : 0)};
        const WalRecord record = record_of(&bytes, 15, &part, 1, 1);

        wal_blocks_add(blocks, &record);
    }
}

static char *text_of(WalBlocks *blocks)
{
    CLEANUP(buffer_done) Buffer text = {0};
    size_t at = 0, count;
    WalBlockRun run;
    const WalEffect *effects = wal_blocks_effects(blocks, &count);

    while (wal_blocks_next(blocks, &at, &run)) {
        for (size_t i = 0; i < run.count; i++)
            buffer_print(&text, "%u/%u/%u %u %u\n", run.file.tablespace, run.file.database,
                         run.file.number, (unsigned)run.fork, wal_block_of(&run, i));
    }
    for (size_t i = 0; i < count; i++)
        buffer_print(&text, "%u %u/%u/%u %u %u\n", (unsigned)effects[i].kind,
                     effects[i].file.tablespace, effects[i].file.database, effects[i].file.number,
                     (unsigned)effects[i].fork, effects[i].block);
    buffer_print(&text, "%u %u", wal_blocks_head(blocks).size, wal_blocks_tail(blocks).size);
    return text_format("%s", (const char *)text.data);
}

static void add_effects(WalBlocks *blocks, WalBuilder *wal)
{
    uint8_t truncate[20] = {3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 7};
    uint8_t create[16] = {1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 1};
    uint8_t database[16] = {9, 0, 0, 0, 8};
    const struct {
        uint8_t rmgr, info;
        const uint8_t *data;
        size_t size;
    } records[] = {{2, 0x21, truncate, 20}, {2, 0x11, create, 16}, {4, 0x01, database, 16}};

    for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
        const Lsn lsn = wal_builder_record(wal, records[i].rmgr, records[i].info, 0,
                                           records[i].data, records[i].size);
        WalRecord record;

        assert_true(wal_record_decode(wal->bytes.data + (lsn - wal->start),
                                      wal->bytes.size - (size_t)(lsn - wal->start), lsn, &record));
        wal_blocks_add(blocks, &record);
    }
}

static void decode_returns_what_encode_wrote(void **state)
{
    static const unsigned counts[] = {0, 1, 10, 3000};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        CLEANUP(wal_blocks_freep) WalBlocks *blocks = wal_blocks_new(pg_version_of_major(15));
        CLEANUP(wal_blocks_freep) WalBlocks *decoded = NULL;
        CLEANUP(wal_builder_done)
        WalBuilder wal = wal_builder_begin(15, 1 << 20, 1 << 20, 1);
        CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
        CLEANUP(buffer_done) Buffer out = {0};
        Error err = {0};

        fill(blocks, 40, counts[i]);
        if (i % 2 == 1)
            add_effects(blocks, &wal);
        assert_true(wal_blocks_encode(blocks, seed, codec, &out, &err));
        assert_true(wal_blocks_decode(pg_version_of_major(15), out.data, out.size, seed, codec,
                                      &decoded, &err));
        CLEANUP(text_freep) char *before = text_of(blocks);
        CLEANUP(text_freep) char *after = text_of(decoded);
        assert_string_equal(before, after);
        fill(decoded, 40, 20); /* more can be added */
        fill(blocks, 40, 20);
        CLEANUP(text_freep) char *more = text_of(blocks);
        CLEANUP(text_freep) char *and_more = text_of(decoded);
        assert_string_equal(more, and_more);
    }
}

/* The table in docs/format.md, chapter 6.4. */
static void fields_are_where_the_format_says(void **state)
{
    static const uint8_t content[] = {0xff, 0x0c, 5, 0x80, 0x80, 1, 0, 2, 7, 1, /* main fork */
                                      0,    0,    0, 2,    1,    0};            /* map */
    CLEANUP(wal_blocks_freep) WalBlocks *blocks = wal_blocks_new(pg_version_of_major(15));
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    static const Part parts[] = {{16384, 9, 0, 0, 0, 0}, {0, 7, 0, 0, 0, 0}, {0, 0, 2, 0, 0, 0}};
    CLEANUP(buffer_done) Buffer bytes = {0};
    CLEANUP(buffer_done) Buffer out = {0};
    const WalRecord record = record_of(&bytes, 15, parts, ARRAY_SIZE(parts), 1);
    uint8_t raw[sizeof content];
    Error err = {0};

    (void)state;
    wal_blocks_add(blocks, &record);
    assert_true(wal_blocks_encode(blocks, seed, codec, &out, &err));
    assert_memory_equal(out.data, "PGCNCHNG", 8);
    assert_int_equal(get_le16(out.data + 8), 1);
    assert_int_equal(get_le16(out.data + 10), 0);
    assert_int_equal(get_le32(out.data + 12), out.size - 64);
    assert_int_equal(get_le32(out.data + 16), sizeof content);
    assert_int_equal(get_le32(out.data + 20), 2);
    assert_int_equal(get_le32(out.data + 24), 0);
    assert_int_equal(get_le32(out.data + 32), 3);
    assert_true(
        codec_decompress(codec, CODEC_ZSTD, out.data + 64, out.size - 64, raw, sizeof raw, &err));
    assert_memory_equal(raw, content, sizeof content);
}

/* Nothing that is not an intact list is believed, nor makes trouble. */
static void any_changed_byte_is_an_error_or_another_list(void **state)
{
    CLEANUP(wal_blocks_freep) WalBlocks *blocks = wal_blocks_new(pg_version_of_major(15));
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    CLEANUP(buffer_done) Buffer out = {0};
    Error err = {0};

    (void)state;
    fill(blocks, 5, 100);
    assert_true(wal_blocks_encode(blocks, seed, codec, &out, &err));
    for (size_t i = 0; i < out.size; i++) {
        CLEANUP(wal_blocks_freep) WalBlocks *decoded = NULL;
        Error attempt = {0};

        out.data[i] ^= 0x11;
        const bool ok = wal_blocks_decode(pg_version_of_major(15), out.data, out.size, seed, codec,
                                          &decoded, &attempt);
        assert_true(!ok || i >= WAL_BLOCKS_HEADER_SIZE);
        assert_true(ok || attempt.code == ERR_CORRUPT || attempt.code == ERR_VERSION);
        out.data[i] ^= 0x11;
    }
    for (size_t size = 0; size < out.size; size++) {
        CLEANUP(wal_blocks_freep) WalBlocks *decoded = NULL;
        Error attempt = {0};

        assert_false(wal_blocks_decode(pg_version_of_major(15), out.data, size, seed, codec,
                                       &decoded, &attempt));
    }
}

static void too_many_blocks_are_given_up(void **state)
{
    BlockStore *store = mem_alloc(sizeof *store);
    const uint8_t file[12] = {1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0};

    (void)state;
    for (uint32_t i = 0; i < 3 * 1000 * 1000; i++)
        block_store_add(store, file, 0, i % 100000 * 3);
    assert_false(store->is_full);
    block_store_sort(store);
    assert_int_equal(store->count, 100000);
    for (uint32_t i = 0; i <= WAL_BLOCKS_MAX; i++)
        block_store_add(store, file, 0, i * 3);
    assert_true(store->is_full && store->count <= WAL_BLOCKS_MAX);
    block_store_done(store);
    mem_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_block_of_a_record_is_found),
        cmocka_unit_test(a_record_is_joined_from_what_both_segments_keep),
        cmocka_unit_test(what_is_cut_too_short_is_not_known),
        cmocka_unit_test(a_joined_record_with_a_wrong_checksum_is_not_known),
        cmocka_unit_test(references_that_can_not_be_are_not_known),
        cmocka_unit_test(an_sp_gist_record_names_the_metapage_too),
        cmocka_unit_test(decode_returns_what_encode_wrote),
        cmocka_unit_test(fields_are_where_the_format_says),
        cmocka_unit_test(any_changed_byte_is_an_error_or_another_list),
        cmocka_unit_test(too_many_blocks_are_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
