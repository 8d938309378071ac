#include "worker.h"

#include "base/bytes.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/tree.h"
#include "stores.h"
#include "stream/digest.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

enum { PAGE = 8192, SEGMENT_BLOCKS = 131072 };

/* A repository in memory, a data directory with one file, a worker. */
typedef struct Fixture {
    char *path;
    Repo repo;
    Cluster cluster;
    CopyContext context;
    Worker worker;
    ManifestEntry entry;
    bool is_gone;
    Scan scan; /* what it follows */
    Error err;
} Fixture;

static const PackWriterSetup pack_setup = {.pack_size = PACK_SIZE_DEFAULT, .index_step = 1};

static int setup(void **state)
{
    Fixture *fixture = mem_alloc(sizeof *fixture);
    bool created;

    *state = fixture;
    fixture->path = text_format("/tmp/test-worker-XXXXXX");
    if (mkdtemp(fixture->path) == NULL || chdir(fixture->path) != 0 || mkdir("base", 0700) != 0 ||
        mkdir("base/5", 0700) != 0)
        return -1;
    if (!repo_create(&fixture->repo, storage_memory_new(), &created, &fixture->err) ||
        !cluster_register(&fixture->repo, "main", 4711, 15, 16 << 20, &fixture->cluster, &created,
                          &fixture->err))
        return -1;
    fixture->context = (CopyContext){.data = fixture->path,
                                     .data_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                                     .entries = &fixture->entry,
                                     .is_gone = &fixture->is_gone,
                                     .scan = &fixture->scan,
                                     .cluster = &fixture->cluster,
                                     .compression = {.codec = CODEC_ZSTD, .level = 1},
                                     .page_size = PAGE,
                                     .relation_segment_blocks = SEGMENT_BLOCKS,
                                     .rule = {.has_checksums = true, .start = 0x500000000}};
    PackWriterSetup packs = pack_setup;
    packs.cluster = &fixture->cluster;
    worker_init(&fixture->worker, &fixture->context, &packs);
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    Error err = {0};

    worker_done(&fixture->worker);
    fd_done(&fixture->context.data_fd);
    repo_done(&fixture->repo);
    bool ok = chdir("/") == 0 && tree_remove(fixture->path, &err);
    mem_free(fixture->path);
    mem_free(fixture);
    return ok ? 0 : -1;
}

/* size bytes of pages with good checksums; content that does not compress to nothing. */
static uint8_t *make_pages(size_t size, uint32_t first_block)
{
    size_t pages = (size + PAGE - 1) / PAGE;
    uint8_t *content = mem_alloc(pages * PAGE + 1);

    for (size_t i = 0; i < pages; i++) {
        uint8_t *page = content + i * PAGE;
        put_le32(page + 4, 1000);
        put_le16(page + 12, 24);
        put_le16(page + 14, 24);
        put_le16(page + 16, PAGE);
        put_le16(page + 18, 0x2004);
        for (size_t at = 24; at < PAGE; at += 8)
            put_le64(page + at, (i * 1000003 + at) * 0x9E3779B97F4A7C15U >> (at % 40));
        put_le16(page + 8, page_checksum(page, PAGE, first_block + (uint32_t)i));
    }
    return content;
}

static void save(const char *path, const uint8_t *content, size_t size)
{
    CLEANUP(fd_done) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    Error err = {0};

    assert_true(file_write_all(fd, content, size, path, &err));
}

static void run(Fixture *fixture, CopyJob *job)
{
    if (!worker_run(&fixture->worker, job, &fixture->err))
        fail_msg("%s: %s", fixture->err.context, fixture->err.message);
    assert_true(pack_writer_close(fixture->worker.packs, &fixture->err));
}

static void run_file(Fixture *fixture, const char *path, uint64_t scanned_size, CopyJob *job)
{
    static const uint32_t order[] = {0};

    fixture->entry = (ManifestEntry){.kind = ENTRY_FILE, .path = path, .size = scanned_size};
    *job = (CopyJob){.kind = JOB_FILES, .count = 1, .order = order};
    run(fixture, job);
}

static const char *pack_id(const Fixture *fixture, uint32_t index)
{
    size_t count;
    const PackInfo *packs = pack_writer_packs(fixture->worker.packs, &count);

    assert_true(index < count);
    return packs[index].id;
}

static void read_frame(Fixture *fixture, uint32_t pack, const Frame *frame, void *raw)
{
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    CLEANUP(buffer_done) Buffer scratch = {0};

    if (!pack_read_frame(&fixture->cluster, pack_id(fixture, pack), frame, codec, &scratch, raw,
                         &fixture->err))
        fail_msg("%s", fixture->err.message);
}

/* Rebuild a range from the repository alone, as a restore would; appended to content. */
static bool read_range(Fixture *fixture, const ManifestRange *range, Buffer *content)
{
    const Frame *at = &range->fragments[0].table;
    CLEANUP(buffer_done) Buffer bytes = {0}, extent = {0};
    CLEANUP(page_table_done) PageTable table = {0};
    uint64_t *hashes = mem_alloc(RANGE_PAGES * sizeof hashes[0]);

    buffer_reserve(&bytes, at->raw_size);
    read_frame(fixture, at->pack, at, bytes.data);
    assert_true(page_table_decode(&table, bytes.data, at->raw_size, &fixture->err));
    assert_int_equal(table.range, range->index);
    assert_int_equal(table.range_size, range->size);
    assert_int_equal(table.is_settled, range->is_settled);
    assert_int_equal(table.page_count, (range->size + PAGE_BYTES - 1) / PAGE_BYTES);
    buffer_reserve(&extent, EXTENT_SIZE);
    for (uint32_t i = 0; i < table.page_count; i++) {
        const PageEntry *place = &table.entries[i];
        uint64_t left = range->size - (uint64_t)i * PAGE_BYTES;
        size_t length = left < PAGE_BYTES ? (size_t)left : PAGE_BYTES;

        assert_int_equal(table.pages[i], i);
        if (place->slot == 0)
            read_frame(fixture, at->pack, &table.extents[place->extent], extent.data);
        const uint8_t *page = extent.data + place->slot * (size_t)PAGE_BYTES;
        assert_true(xxh3_of(fixture->repo.hash_seed, page, length) == place->hash);
        assert_int_equal(crc32c_update(0, page, length), place->crc32c);
        hashes[i] = place->hash;
        buffer_append(content, page, length);
    }
    assert_true(range_hash(fixture->repo.hash_seed, range->size, hashes, table.page_count) ==
                range->hash);
    mem_free(hashes);
    return table.is_settled;
}

/* What is in the repository under this entry is exactly `size` bytes at expected. */
static void assert_stored(Fixture *fixture, const uint8_t *expected, size_t size)
{
    const ManifestEntry *entry = &fixture->entry;
    CLEANUP(buffer_done) Buffer content = {0};

    assert_int_equal(entry->size, size);
    assert_int_equal(entry->crc32c, crc32c_update(0, expected, size));
    if (!entry->is_small) {
        for (uint32_t i = 0; i < entry->range_count; i++)
            (void)read_range(fixture, &entry->ranges[i], &content);
    } else if (size > 0) {
        buffer_reserve(&content, size);
        read_frame(fixture, entry->content.pack, &entry->content, content.data);
        content.size = entry->content.raw_size;
        assert_true(xxh3_of(fixture->repo.hash_seed, expected, size) == entry->content_hash);
    }
    assert_int_equal(content.size, size);
    if (size > 0)
        assert_memory_equal(content.data, expected, size);
}

static void a_file_of_any_size_comes_back(void **state)
{
    static const size_t sizes[] = {
        0,
        1,
        PAGE - 1,
        PAGE,
        SMALL_FILE_SIZE - 1,
        SMALL_FILE_SIZE,
        SMALL_FILE_SIZE + 1,
        SMALL_FILE_SIZE + PAGE,
        EXTENT_SIZE - PAGE,
        EXTENT_SIZE,
        EXTENT_SIZE + 1,
        3 * EXTENT_SIZE + PAGE + 100,
        RANGE_SIZE - 1,
        RANGE_SIZE,
        RANGE_SIZE + PAGE + 7,
    };

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        assert_int_equal(setup(state), 0);
        Fixture *fixture = *state;
        uint8_t *content = make_pages(sizes[i], 0);
        CopyJob job;

        save("base/5/16384", content, sizes[i]);
        /* The scan saw something else; what counts is what is there. */
        run_file(fixture, "base/5/16384", i % 2 == 0 ? sizes[i] : 5, &job);
        assert_false(fixture->is_gone);
        assert_int_equal(job.note_count, 0);
        assert_int_equal(fixture->entry.is_small, sizes[i] <= SMALL_FILE_SIZE);
        assert_stored(fixture, content, sizes[i]);
        for (uint32_t r = 0; r < fixture->entry.range_count; r++) {
            assert_int_equal(fixture->entry.ranges[r].is_settled,
                             fixture->entry.ranges[r].size % PAGE == 0);
        }
        mem_free(content);
        assert_int_equal(teardown(state), 0);
    }
}

static void codecs_store_the_same(void **state)
{
    static const Compression all[] = {
        {CODEC_NONE, 0}, {CODEC_ZSTD, 1}, {CODEC_LZ4, 1}, {CODEC_GZIP, 1}};

    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        assert_int_equal(setup(state), 0);
        Fixture *fixture = *state;
        size_t size = 2 * EXTENT_SIZE + PAGE;
        uint8_t *content = make_pages(size, 0);
        CopyJob job;

        memset(content + EXTENT_SIZE, 0, EXTENT_SIZE); /* new pages */
        fixture->context.compression = all[i];
        save("base/5/16384", content, size);
        run_file(fixture, "base/5/16384", size, &job);
        assert_stored(fixture, content, size);
        mem_free(content);
        assert_int_equal(teardown(state), 0);
    }
}

/* A range job reads up to the size at the scan: more comes from WAL, less is what is there. */
static void a_range_of_a_file_that_grew_or_shrank(void **state)
{
    static const struct {
        size_t scanned, found, stored;
    } cases[] = {
        {RANGE_SIZE + 4 * PAGE, RANGE_SIZE + 4 * PAGE, 4 * PAGE},
        {RANGE_SIZE + 4 * PAGE, RANGE_SIZE + 9 * PAGE, 4 * PAGE},
        {RANGE_SIZE + 4 * PAGE, RANGE_SIZE + 3 * PAGE, 3 * PAGE},
        {RANGE_SIZE + 4 * PAGE, RANGE_SIZE + 100, 100},
        {RANGE_SIZE + 4 * PAGE, RANGE_SIZE, 0},
        {RANGE_SIZE + 4 * PAGE, PAGE, 0},
        {RANGE_SIZE + 4 * PAGE, 0, 0},
    };
    uint8_t *content = make_pages(RANGE_SIZE + 9 * PAGE, SEGMENT_BLOCKS);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(setup(state), 0);
        Fixture *fixture = *state;
        CopyJob job = {.kind = JOB_RANGE, .range = 1};
        CLEANUP(buffer_done) Buffer stored = {0};

        save("base/5/16384.1", content, cases[i].found);
        fixture->entry =
            (ManifestEntry){.kind = ENTRY_FILE, .path = "base/5/16384.1", .size = cases[i].scanned};
        run(fixture, &job);
        assert_false(job.is_gone);
        assert_int_equal(job.note_count, 0); /* block numbers count from the fork's begin */
        assert_int_equal(job.result.size, cases[i].stored);
        assert_int_equal(job.result.crc32c,
                         crc32c_update(0, content + RANGE_SIZE, cases[i].stored));
        if (cases[i].stored > 0) {
            (void)read_range(fixture, &job.result, &stored);
            assert_memory_equal(stored.data, content + RANGE_SIZE, cases[i].stored);
        }
        assert_int_equal(teardown(state), 0);
    }
    mem_free(content);
}

static void bad_pages_are_noted_and_stored_as_they_are(void **state)
{
    Fixture *fixture = *state;
    size_t size = 2 * EXTENT_SIZE;
    uint8_t *content = make_pages(size, 0);
    CopyJob job;

    content[3 * PAGE + 100] ^= 1;
    content[EXTENT_SIZE + PAGE + 100] ^= 1;
    save("base/5/16384", content, size);
    run_file(fixture, "base/5/16384", size, &job);
    assert_int_equal(job.note_count, 2);
    assert_int_equal(job.notes[0].block, 3);
    assert_int_equal(job.notes[1].block, EXTENT_PAGES + 1);
    assert_false(fixture->entry.ranges[0].is_settled);
    assert_stored(fixture, content, size);
    mem_free(job.notes);
    mem_free(content);
}

static void pages_of_other_files_are_not_judged(void **state)
{
    static const char *const paths[] = {"base/5/PG_VERSION", "base/5/16384x", "pg_control.old"};
    Fixture *fixture = *state;
    size_t size = SMALL_FILE_SIZE + PAGE;
    uint8_t *content = mem_alloc(size);

    memset(content, 0xa5, size);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        CopyJob job;
        save(paths[i], content, size);
        run_file(fixture, paths[i], size, &job);
        assert_int_equal(job.note_count, 0);
        assert_false(fixture->entry.ranges[0].is_settled);
        assert_stored(fixture, content, size);
    }
    mem_free(content);
}

static void what_has_vanished_is_gone(void **state)
{
    Fixture *fixture = *state;
    CopyJob job;

    run_file(fixture, "base/5/16384", 8192, &job);
    assert_true(fixture->is_gone);

    fixture->is_gone = false;
    assert_int_equal(mkfifo("base/5/16385", 0600), 0);
    run_file(fixture, "base/5/16385", 8192, &job);
    assert_true(fixture->is_gone);

    fixture->is_gone = false;
    assert_int_equal(symlink("/etc/passwd", "link"), 0);
    run_file(fixture, "link", 8192, &job);
    assert_true(fixture->is_gone);

    fixture->entry = (ManifestEntry){.path = "base/5/16387", .size = RANGE_SIZE + 1};
    job = (CopyJob){.kind = JOB_RANGE, .range = 1};
    run(fixture, &job);
    assert_true(job.is_gone);
}

/* Of what the server opens the scan has followed a link, or none may be there now. */
static void a_link_is_followed_only_to_what_the_scan_saw(void **state)
{
    Fixture *fixture = *state;
    static const uint32_t order[] = {0};
    struct stat info;
    CopyJob job;

    save("elsewhere", (const uint8_t *)"content", 7);
    save("another", (const uint8_t *)"foreign", 7);
    assert_int_equal(stat("elsewhere", &info), 0);
    assert_int_equal(symlink("../../elsewhere", "base/5/16386"), 0);
    FollowedLink link = {.path = "base/5/16386", .device = info.st_dev, .inode = info.st_ino};
    fixture->scan = (Scan){.followed = &link, .followed_count = 1};
    run_file(fixture, "base/5/16386", 7, &job);
    assert_false(fixture->is_gone);
    assert_int_equal(fixture->entry.crc32c, crc32c_update(0, "content", 7));

    for (size_t known = 0; known <= 1; known++) {
        Error err = {0};
        assert_int_equal(unlink("base/5/16386"), 0);
        assert_int_equal(symlink("../../another", "base/5/16386"), 0);
        fixture->scan.followed_count = known;
        fixture->entry = (ManifestEntry){.path = "base/5/16386", .size = 7};
        job = (CopyJob){.kind = JOB_FILES, .count = 1, .order = order};
        assert_false(worker_run(&fixture->worker, &job, &err));
        assert_int_equal(err.code, ERR_REFUSED);
    }
}

static void a_file_that_may_not_be_read_is_an_error(void **state)
{
    Fixture *fixture = *state;
    static const uint32_t order[] = {0};
    CopyJob job = {.kind = JOB_FILES, .count = 1, .order = order};

    if (geteuid() == 0)
        skip(); /* root may read everything */
    save("base/5/16384", (const uint8_t *)"x", 1);
    assert_int_equal(chmod("base/5/16384", 0), 0);
    fixture->entry = (ManifestEntry){.path = "base/5/16384", .size = 1};
    assert_false(worker_run(&fixture->worker, &job, &fixture->err));
    assert_int_equal(fixture->err.code, ERR_IO);
}

static void the_rate_limit_holds(void **state)
{
    Fixture *fixture = *state;
    size_t size = 2 * EXTENT_SIZE;
    uint8_t *content = make_pages(size, 0);
    CopyJob job;

    save("base/5/16384", content, size);
    atomic_store(&fixture->context.rate.free_at, 0);
    fixture->context.rate.bytes_per_s = 8 << 20;
    TimeUs began = time_monotonic();
    run_file(fixture, "base/5/16384", size, &job);
    run_file(fixture, "base/5/16384", size, &job);
    /* Four extents at 8 MiB/s: the last one begins 3/8 s after the first. */
    assert_true(time_monotonic() - began >= 370000);
    mem_free(content);
}

#define WORKER_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_any_size_comes_back),
        cmocka_unit_test(codecs_store_the_same),
        cmocka_unit_test(a_range_of_a_file_that_grew_or_shrank),
        WORKER_TEST(bad_pages_are_noted_and_stored_as_they_are),
        WORKER_TEST(pages_of_other_files_are_not_judged),
        WORKER_TEST(what_has_vanished_is_gone),
        WORKER_TEST(a_link_is_followed_only_to_what_the_scan_saw),
        WORKER_TEST(a_file_that_may_not_be_read_is_an_error),
        WORKER_TEST(the_rate_limit_holds),
    };

    interrupt_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
