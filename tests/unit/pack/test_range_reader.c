#include "pack/range_reader.h"

#include "pack/page_table.h"
#include "stores.h"
#include "stream/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { VERSIONS = RANGE_FRAGMENTS_MAX, FEW = 6, PAGES_MAX = 700 };

/* A repository in memory, and one range as it was at each of several backups. */
typedef struct Fixture {
    Repo repo;
    Cluster cluster;
    Manifest manifest;
    PackInfo packs[VERSIONS];
    uint32_t random;
    uint8_t *content; /* the truth */
    size_t size;
    Fragment fragments[VERSIONS];
    ManifestRange range;
} Fixture;

static uint32_t next_random(Fixture *fixture)
{
    fixture->random = fixture->random * 1664525 + 1013904223;
    return fixture->random >> 8;
}

static void fill(Fixture *fixture, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        fixture->content[i] = (uint8_t)(next_random(fixture) & 0x1f);
}

static void setup_fixture(Fixture *fixture, uint32_t seed)
{
    bool created;
    Error err = {0};

    *fixture = (Fixture){.random = seed};
    assert_true(repo_create(&fixture->repo, storage_memory_new(), &created, &err));
    assert_true(cluster_register(&fixture->repo, "main", 4711, 15, 16 << 20, &fixture->cluster,
                                 &created, &err));
    fixture->content = mem_alloc((size_t)PAGES_MAX * PAGE_BYTES);
    fixture->manifest.packs = fixture->packs;
}

static void fixture_done(Fixture *fixture)
{
    mem_free(fixture->content);
    repo_done(&fixture->repo);
}

static size_t page_size(const Fixture *fixture, uint32_t page)
{
    size_t rest = fixture->size - (size_t)page * PAGE_BYTES;

    return rest < PAGE_BYTES ? rest : PAGE_BYTES;
}

/* What a backup would store: the pages in `changed`, as extents and a page table, in a new pack. */
static void store_fragment(Fixture *fixture, uint32_t number, const bool *changed)
{
    CLEANUP(pack_writer_freep)
    PackWriter *writer = pack_writer_new(&(PackWriterSetup){.cluster = &fixture->cluster,
                                                            .pack_size = 1 << 20,
                                                            .first_index = number,
                                                            .index_step = 1});
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    CLEANUP(buffer_done) Buffer stored = {0};
    CLEANUP(buffer_done) Buffer raw = {0};
    Compression compression = {.codec = CODEC_LZ4, .level = 1};
    Frame *extents = mem_alloc(PAGES_MAX * sizeof *extents);
    uint32_t *pages = mem_alloc(PAGES_MAX * sizeof *pages);
    PageEntry *entries = mem_alloc(PAGES_MAX * sizeof *entries);
    PageTable table = {
        .range_size = fixture->size, .extents = extents, .pages = pages, .entries = entries};
    uint32_t count = (uint32_t)((fixture->size + PAGE_BYTES - 1) / PAGE_BYTES);
    size_t packs;
    Error err = {0};

    for (uint32_t page = 0; page <= count; page++) {
        if (raw.size > 0 && (page == count || raw.size >= (size_t)EXTENT_PAGES * PAGE_BYTES)) {
            stored.size = 0;
            assert_true(codec_compress(codec, compression, raw.data, raw.size, &stored, &err));
            assert_true(pack_writer_add(writer, FRAME_EXTENT, "base/5/1", 0, compression.codec,
                                        stored.data, stored.size, raw.size,
                                        &extents[table.extent_count++], &err));
            raw.size = 0;
        }
        if (page == count || !changed[page])
            continue;
        size_t size = page_size(fixture, page);
        const uint8_t *bytes = fixture->content + (size_t)page * PAGE_BYTES;
        pages[table.page_count] = page;
        entries[table.page_count++] =
            (PageEntry){.hash = xxh3_of(fixture->repo.hash_seed, bytes, size),
                        .crc32c = crc32c_update(0, bytes, size),
                        .extent = (uint16_t)table.extent_count,
                        .slot = (uint16_t)(raw.size / PAGE_BYTES)};
        buffer_append(&raw, bytes, size);
    }
    CLEANUP(buffer_done) Buffer encoded = {0};
    page_table_encode(&table, &encoded);
    assert_true(pack_writer_add(writer, FRAME_PAGE_TABLE, "base/5/1", 0, CODEC_NONE, encoded.data,
                                encoded.size, encoded.size, &fixture->fragments[number].table,
                                &err));
    fixture->fragments[number].data_pack = number;
    assert_true(pack_writer_close(writer, &err));
    const PackInfo *written = pack_writer_packs(writer, &packs);
    assert_int_equal(packs, 1);
    fixture->packs[number] = written[0];
    fixture->manifest.pack_count = number + 1;
    mem_free(extents);
    mem_free(pages);
    mem_free(entries);
}

static void describe_range(Fixture *fixture, uint8_t fragments)
{
    uint64_t hashes[PAGES_MAX];
    uint32_t count = (uint32_t)((fixture->size + PAGE_BYTES - 1) / PAGE_BYTES);

    for (uint32_t page = 0; page < count; page++) {
        hashes[page] =
            xxh3_of(fixture->repo.hash_seed, fixture->content + (size_t)page * PAGE_BYTES,
                    page_size(fixture, page));
    }
    fixture->range =
        (ManifestRange){.size = fixture->size,
                        .hash = range_hash(fixture->repo.hash_seed, fixture->size, hashes, count),
                        .fragment_count = fragments,
                        .fragments = fixture->fragments};
}

/* The first backup holds everything. */
static void store_first(Fixture *fixture, size_t size)
{
    bool changed[PAGES_MAX];

    memset(changed, true, sizeof changed);
    fixture->size = size;
    fill(fixture, 0, size);
    store_fragment(fixture, 0, changed);
    describe_range(fixture, 1);
}

/* Random pages change; the file is cut, or grows; the last page of either size has changed. */
static void store_next(Fixture *fixture, uint32_t number)
{
    bool changed[PAGES_MAX] = {0};
    size_t old_size = fixture->size;
    size_t size = 1 + next_random(fixture) % ((size_t)PAGES_MAX * PAGE_BYTES);

    for (uint32_t i = 0; i < 40; i++) {
        uint32_t page = next_random(fixture) % PAGES_MAX;
        if ((size_t)page * PAGE_BYTES >= (size < old_size ? size : old_size))
            continue;
        fill(fixture, (size_t)page * PAGE_BYTES, (size_t)page * PAGE_BYTES + 100);
        changed[page] = true;
    }
    if (size > old_size)
        fill(fixture, old_size, size);
    for (size_t at = (size < old_size ? size : old_size) / PAGE_BYTES;
         at * PAGE_BYTES < size && at < PAGES_MAX; at++)
        changed[at] = true;
    fixture->size = size;
    store_fragment(fixture, number, changed);
    describe_range(fixture, (uint8_t)(number + 1));
}

typedef struct Collected {
    Buffer bytes;
} Collected;

static bool collect(void *context, uint8_t **data, size_t size, uint64_t offset, Error *err)
{
    Collected *collected = context;

    (void)err;
    assert_int_equal(offset, collected->bytes.size);
    assert_true(size <= EXTENT_SIZE);
    buffer_append(&collected->bytes, *data, size);
    return true;
}

static bool read_range(Fixture *fixture, Collected *collected, RangeContent *content, Error *err)
{
    CLEANUP(range_reader_freep)
    RangeReader *reader = range_reader_new(&fixture->cluster, &fixture->manifest);

    collected->bytes.size = 0;
    return range_reader_read(reader, &fixture->range, collect, collected, content, err);
}

static void assert_reads(Fixture *fixture)
{
    Collected collected = {0};
    RangeContent content;
    Error err = {0};

    if (!read_range(fixture, &collected, &content, &err))
        fail_msg("%s: %s", err.context, err.message);
    assert_int_equal(collected.bytes.size, fixture->size);
    assert_memory_equal(collected.bytes.data, fixture->content, fixture->size);
    assert_int_equal(content.crc32c, crc32c_update(0, fixture->content, fixture->size));
    assert_true(content.bytes_read > 0);
    buffer_done(&collected.bytes);
}

static void a_range_of_one_fragment_comes_back_whatever_its_size(void **state)
{
    static const size_t sizes[] = {
        1, 8191, 8192, 8193, 1 << 20, (1 << 20) + 1, 3 * (1 << 20) - 5000};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        Fixture fixture;
        setup_fixture(&fixture, (uint32_t)i);
        store_first(&fixture, sizes[i]);
        assert_reads(&fixture);
        fixture_done(&fixture);
    }
}

static void the_overlay_of_fragments_is_the_file_after_each_change_cut_and_growth(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 12; seed++) {
        Fixture fixture;
        setup_fixture(&fixture, seed * 7919);
        store_first(&fixture, 1 + next_random(&fixture) % ((size_t)PAGES_MAX * PAGE_BYTES));
        const uint32_t versions = seed == 1 ? VERSIONS : FEW;
        for (uint32_t number = 1; number < versions; number++) {
            store_next(&fixture, number);
            if (number < FEW || number + 1 == versions)
                assert_reads(&fixture);
        }
        fixture_done(&fixture);
    }
}

/* Cut to one page, grown again: what the first backup had after the cut must not come back. */
static void pages_of_before_a_cut_do_not_come_back(void **state)
{
    Fixture fixture;
    bool changed[PAGES_MAX] = {0};
    Collected collected = {0};
    RangeContent content;
    Error err = {0};

    (void)state;
    setup_fixture(&fixture, 5);
    store_first(&fixture, 4 * PAGE_BYTES);
    fixture.size = PAGE_BYTES;
    store_fragment(&fixture, 1, changed);
    fixture.size = 4 * PAGE_BYTES;
    store_fragment(&fixture, 2, changed); /* a backup that forgot to store the regrown pages */
    describe_range(&fixture, 3);

    assert_false(read_range(&fixture, &collected, &content, &err));

    assert_int_equal(err.code, ERR_CORRUPT);
    assert_non_null(strstr(err.message, "no fragment holds page 1"));
    buffer_done(&collected.bytes);
    fixture_done(&fixture);
}

/* Takes the pages that are wanted to where they belong, and no others. */
typedef struct Picked {
    const Fixture *fixture;
    const PageSet *wanted;
    uint32_t pages;
} Picked;

static bool pick(void *context, uint8_t **data, size_t size, uint64_t offset, Error *err)
{
    Picked *picked = context;

    (void)err;
    assert_true(size <= EXTENT_SIZE && offset % PAGE_BYTES == 0);
    assert_memory_equal(*data, picked->fixture->content + offset, size);
    for (uint32_t page = (uint32_t)(offset / PAGE_BYTES); (size_t)page * PAGE_BYTES < offset + size;
         page++) {
        assert_true(page_set_has(picked->wanted, page));
        picked->pages++;
    }
    return true;
}

static void wanted_pages_alone_are_read(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 20; seed++) {
        Fixture fixture;
        PageSet wanted = {0};
        RangeContent all, some;
        Error err = {0};

        setup_fixture(&fixture, seed * 104729);
        store_first(&fixture, (size_t)PAGES_MAX * PAGE_BYTES - 77);
        for (uint32_t number = 1; number < 1 + seed % FEW; number++)
            store_next(&fixture, number);
        uint32_t count = (uint32_t)((fixture.size + PAGE_BYTES - 1) / PAGE_BYTES);
        for (uint32_t i = 0; i < seed % 5; i++)
            page_set_add(&wanted, i == 1 ? count - 1 : next_random(&fixture) % count);
        CLEANUP(range_reader_freep)
        RangeReader *reader = range_reader_new(&fixture.cluster, &fixture.manifest);
        Picked picked = {.fixture = &fixture, .wanted = &wanted};

        assert_true(range_reader_open(reader, &fixture.range, &err));
        const uint64_t tables = range_reader_bytes_read(reader);
        assert_true(range_reader_read_pages(reader, &wanted, pick, &picked, &some, &err));

        assert_int_equal(picked.pages, page_set_count(&wanted));
        if (page_set_count(&wanted) == 0)
            assert_int_equal(some.bytes_read, tables);
        for (uint32_t page = 0; page < count; page++) {
            assert_int_equal(range_reader_hashes(reader)[page],
                             xxh3_of(fixture.repo.hash_seed,
                                     fixture.content + (size_t)page * PAGE_BYTES,
                                     page_size(&fixture, page)));
        }
        Collected collected = {0};
        assert_true(read_range(&fixture, &collected, &all, &err));
        assert_true(some.bytes_read <= all.bytes_read);
        if (seed % FEW == 0 && count > 4 * EXTENT_PAGES)
            assert_true(page_set_count(&wanted) > 2 || 2 * some.bytes_read < all.bytes_read);
        buffer_done(&collected.bytes);
        range_reader_freep(&reader);
        fixture_done(&fixture);
    }
}

static void any_changed_byte_of_a_pack_in_use_is_noticed(void **state)
{
    Fixture fixture;
    CLEANUP(buffer_done) Buffer object = {0};
    Error err = {0};

    (void)state;
    setup_fixture(&fixture, 77);
    store_first(&fixture, 20 * PAGE_BYTES + 17);
    CLEANUP(text_freep) char *name = layout_pack("main", fixture.packs[0].id);
    assert_true(storage_read(fixture.repo.storage, name, SIZE_MAX, &object, &err));
    const Frame *table = &fixture.fragments[0].table;
    /* From the first frame to the end of the page table: header and directory are not read here. */
    for (size_t at = 80; at < table->offset + table->stored_size; at += 97) {
        Collected collected = {0};
        RangeContent content;
        Error damage = {0};
        object.data[at] ^= 0x10;
        assert_true(
            storage_put(fixture.repo.storage, name, WRITE_REPLACE, object.data, object.size, &err));
        assert_false(read_range(&fixture, &collected, &content, &damage));
        assert_int_equal(damage.code, ERR_CORRUPT);
        object.data[at] ^= 0x10;
        buffer_done(&collected.bytes);
    }
    assert_true(
        storage_put(fixture.repo.storage, name, WRITE_REPLACE, object.data, object.size, &err));
    assert_reads(&fixture);
    fixture_done(&fixture);
}

static void a_manifest_that_says_otherwise_is_noticed(void **state)
{
    Fixture fixture;
    Collected collected = {0};
    RangeContent content;

    (void)state;
    setup_fixture(&fixture, 3);
    store_first(&fixture, 5 * PAGE_BYTES);
    for (int i = 0; i < 4; i++) {
        ManifestRange good = fixture.range;
        Fragment good_fragment = fixture.fragments[0];
        Error err = {0};
        if (i == 0) {
            fixture.range.hash ^= 1;
        } else if (i == 1) {
            fixture.range.size -= 1;
        } else if (i == 2) {
            fixture.range.index = 1;
        } else {
            fixture.fragments[0].table.pack = 1;
        }
        assert_false(read_range(&fixture, &collected, &content, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
        fixture.range = good;
        fixture.fragments[0] = good_fragment;
    }
    buffer_done(&collected.bytes);
    assert_reads(&fixture);
    fixture_done(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_of_one_fragment_comes_back_whatever_its_size),
        cmocka_unit_test(the_overlay_of_fragments_is_the_file_after_each_change_cut_and_growth),
        cmocka_unit_test(pages_of_before_a_cut_do_not_come_back),
        cmocka_unit_test(wanted_pages_alone_are_read),
        cmocka_unit_test(any_changed_byte_of_a_pack_in_use_is_noticed),
        cmocka_unit_test(a_manifest_that_says_otherwise_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
