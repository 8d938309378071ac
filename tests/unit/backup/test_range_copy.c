#include "worker.h"

#include "../walk/archive_builder.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/tree.h"
#include "fragment_plan.h"
#include "stores.h"
#include "stream/digest.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

enum { PAGES_MAX = 400, PACKS_MAX = 400 };

static const char path[] = "base/5/16384";

/* A repository in memory, one file, and what the last backup of it was. */
typedef struct Fixture {
    char *place;
    Repo repo;
    Cluster cluster;
    Scan scan;
    ManifestEntry entry; /* of the last one: the base of the next */
    PackInfo packs[PACKS_MAX];
    bool is_usable[PACKS_MAX];
    size_t pack_count;
    Arena arena;
    uint8_t *content;
    size_t size;
    uint32_t random;
    Compression compression;
    bool has_checksums;
    const UnreadRule *unread; /* NULL: every file is read */
    bool may_have_notes;      /* of pages beside surprises */
    Lsn base_start;
} Fixture;

/* What one backup did. */
typedef struct Made {
    uint64_t bytes_new, bytes_read, ranges_unread, bytes_unnamed;
    size_t packs;
    size_t surprises;
    bool is_distrusted;
} Made;

static uint32_t random_below(Fixture *fixture, uint32_t limit)
{
    fixture->random = fixture->random * 1664525 + 1013904223;
    return (fixture->random >> 8) % limit;
}

static int setup(void **state)
{
    Fixture *fixture = mem_alloc(sizeof *fixture);
    bool created;
    Error err = {0};

    *state = fixture;
    fixture->random = 7;
    fixture->compression = (Compression){.codec = CODEC_LZ4, .level = 1};
    fixture->has_checksums = true;
    fixture->content = mem_alloc((size_t)PAGES_MAX * PAGE_BYTES);
    fixture->place = text_format("/tmp/test-range-copy-XXXXXX");
    return mkdtemp(fixture->place) != NULL && chdir(fixture->place) == 0 &&
                   mkdir("base", 0700) == 0 && mkdir("base/5", 0700) == 0 &&
                   repo_create(&fixture->repo, storage_memory_new(), &created, &err) &&
                   cluster_register(&fixture->repo, "main", 4711, 15, 16 << 20, &fixture->cluster,
                                    &created, &err)
               ? 0
               : -1;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    Error err = {0};
    bool ok = chdir("/") == 0 && tree_remove(fixture->place, &err);

    repo_done(&fixture->repo);
    arena_done(&fixture->arena);
    mem_free(fixture->content);
    mem_free(fixture->place);
    mem_free(fixture);
    return ok ? 0 : -1;
}

/* A page with a good checksum, whatever is in it. */
static void make_page(Fixture *fixture, uint32_t number)
{
    uint8_t *page = fixture->content + (size_t)number * PAGE_BYTES;

    memset(page, 0, PAGE_BYTES);
    put_le32(page + 4, 1000);
    put_le16(page + 12, 24);
    put_le16(page + 14, 24);
    put_le16(page + 16, PAGE_BYTES);
    put_le16(page + 18, 0x2004);
    put_le64(page + 24, (uint64_t)random_below(fixture, 1 << 24) << 24 | number);
    put_le16(page + 8, page_checksum(page, PAGE_BYTES, number));
}

static void resize(Fixture *fixture, size_t size)
{
    const uint32_t first = frame_page_count(fixture->size);

    for (uint32_t page = first; page < frame_page_count(size); page++)
        make_page(fixture, page);
    fixture->size = size;
}

static void save(const Fixture *fixture)
{
    CLEANUP(fd_done) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    Error err = {0};

    assert_true(file_write_all(fd, fixture->content, fixture->size, path, &err));
}

/* As copy.c numbers them: those of the base keep their number here, new ones come after them. */
static void number_packs(const Fixture *fixture, ManifestRange *range)
{
    for (uint8_t i = 0; i < range->fragment_count; i++) {
        uint32_t *const packs[] = {&range->fragments[i].table.pack, &range->fragments[i].data_pack};

        for (size_t j = 0; j < ARRAY_SIZE(packs); j++) {
            if ((*packs[j] & PACK_OF_BASE) != 0) {
                *packs[j] &= ~PACK_OF_BASE;
            } else {
                *packs[j] += (uint32_t)fixture->pack_count;
            }
        }
    }
}

/* The entry outlives the worker that made it. */
static void keep_entry(Fixture *fixture, const ManifestEntry *entry)
{
    fixture->entry = *entry;
    fixture->entry.ranges =
        arena_alloc(&fixture->arena, entry->range_count * sizeof entry->ranges[0]);
    for (uint32_t i = 0; i < entry->range_count; i++) {
        ManifestRange *range = &fixture->entry.ranges[i];
        const size_t size = entry->ranges[i].fragment_count * sizeof range->fragments[0];

        *range = entry->ranges[i];
        range->fragments = arena_alloc(&fixture->arena, size);
        memcpy(range->fragments, entry->ranges[i].fragments, size);
        number_packs(fixture, range);
    }
}

static Made back_up(Fixture *fixture, bool has_base)
{
    static const uint32_t order[] = {0};
    ManifestEntry entry = {.kind = ENTRY_FILE, .path = path, .size = fixture->size};
    bool is_gone = false;
    BaseBackup base = {.is_there = true,
                       .is_usable = fixture->is_usable,
                       .manifest = {.header = {.start = fixture->base_start},
                                    .packs = fixture->packs,
                                    .pack_count = fixture->pack_count,
                                    .entries = &fixture->entry,
                                    .entry_count = 1}};
    CopyContext context = {.data = fixture->place,
                           .data_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                           .entries = &entry,
                           .is_gone = &is_gone,
                           .scan = &fixture->scan,
                           .cluster = &fixture->cluster,
                           .base = has_base ? &base : NULL,
                           .unread = fixture->unread,
                           .compression = fixture->compression,
                           .page_size = PAGE_BYTES,
                           .relation_segment_blocks = 131072,
                           .rule = {.has_checksums = fixture->has_checksums, .start = 0x500000000}};
    const PackWriterSetup setup = {
        .cluster = &fixture->cluster, .pack_size = PACK_SIZE_DEFAULT, .index_step = 1};
    CLEANUP(worker_done) Worker worker;
    CopyJob job = {.kind = JOB_FILES, .count = 1, .order = order};
    Error err = {0};
    Made made = {0};

    if (fixture->unread == NULL) /* else its times are what matters */
        save(fixture);
    worker_init(&worker, &context, &setup);
    if (!worker_run(&worker, &job, &err) || !pack_writer_close(worker.packs, &err))
        fail_msg("%s: %s", err.context, err.message);
    for (size_t i = 0; i < job.note_count; i++)
        made.surprises += job.notes[i].surprise != UNREAD_BY_NOTHING;
    assert_true(fixture->may_have_notes || job.note_count == made.surprises);
    made.is_distrusted = atomic_load(&context.is_distrusted);
    mem_free(job.notes);
    keep_entry(fixture, &entry);
    const PackInfo *packs = pack_writer_packs(worker.packs, &made.packs);
    for (size_t i = 0; i < made.packs; i++) {
        fixture->is_usable[fixture->pack_count] = true;
        fixture->packs[fixture->pack_count++] = packs[i];
    }
    made.bytes_new = worker.bytes_new;
    made.bytes_read = worker.bytes_read;
    made.ranges_unread = worker.ranges_unread;
    made.bytes_unnamed = worker.bytes_unnamed;
    fd_done(&context.data_fd);
    return made;
}

static bool append_piece(void *context, uint8_t **data, size_t size, uint64_t offset, Error *err)
{
    (void)offset, (void)err;
    buffer_append(context, *data, size);
    return true;
}

/* What a restore makes of the last backup is the file, byte for byte. */
static void assert_restores(Fixture *fixture)
{
    const Manifest manifest = {.packs = fixture->packs, .pack_count = fixture->pack_count};
    CLEANUP(range_reader_freep)
    RangeReader *reader = range_reader_new(&fixture->cluster, &manifest);
    const ManifestRange *range = &fixture->entry.ranges[0];
    CLEANUP(buffer_done) Buffer restored = {0};
    uint32_t live[RANGE_FRAGMENTS_MAX] = {0};
    RangeContent content;
    Error err = {0};

    assert_int_equal(fixture->entry.range_count, 1);
    if (!range_reader_read(reader, range, append_piece, &restored, &content, &err))
        fail_msg("%s: %s", err.context, err.message);
    assert_int_equal(restored.size, fixture->size);
    assert_memory_equal(restored.data, fixture->content, fixture->size);
    assert_int_equal(range->crc32c, crc32c_update(0, fixture->content, fixture->size));
    assert_int_equal(range->crc32c, fixture->entry.crc32c);
    for (uint32_t page = 0; page < frame_page_count(range->size); page++)
        live[range_reader_owner(reader, page)]++;
    for (uint8_t i = 0; i < range->fragment_count; i++)
        assert_int_equal(range->fragments[i].live, live[i]);
    assert_true(range->fragment_count <= FRAGMENTS_LIMIT);
}

static void only_pages_that_differ_are_stored(void **state)
{
    Fixture *fixture = *state;

    resize(fixture, 300 * PAGE_BYTES);
    assert_int_equal(back_up(fixture, false).bytes_new, 300 * PAGE_BYTES);
    assert_restores(fixture);

    Made made = back_up(fixture, true);
    assert_int_equal(made.bytes_new, 0);
    assert_int_equal(made.packs, 0);
    assert_int_equal(made.bytes_read, 300 * PAGE_BYTES);
    assert_restores(fixture);

    make_page(fixture, 0);
    make_page(fixture, 127);
    make_page(fixture, 128);
    make_page(fixture, 299);
    assert_int_equal(back_up(fixture, true).bytes_new, 4 * PAGE_BYTES);
    assert_int_equal(fixture->entry.ranges[0].fragment_count, 2);
    assert_restores(fixture);
}

static void a_cut_and_a_growth_are_followed_at_each_step(void **state)
{
    Fixture *fixture = *state;

    resize(fixture, 300 * PAGE_BYTES);
    (void)back_up(fixture, false);
    resize(fixture, 200 * PAGE_BYTES);
    assert_int_equal(back_up(fixture, true).bytes_new, 0); /* a fragment without pages */
    assert_restores(fixture);
    assert_int_equal(back_up(fixture, true).packs, 0);
    assert_restores(fixture);

    /* The very pages that were cut off are back: whoever took them from the first one would be
     * right by chance, and wrong where they are others. */
    fixture->size = 300 * PAGE_BYTES;
    assert_int_equal(back_up(fixture, true).bytes_new, 100 * PAGE_BYTES);
    assert_restores(fixture);

    /* A last page that is short, and then is not. */
    resize(fixture, 299 * PAGE_BYTES + 100);
    assert_int_equal(back_up(fixture, true).bytes_new, 100);
    assert_restores(fixture);
    fixture->size = 300 * PAGE_BYTES;
    assert_int_equal(back_up(fixture, true).bytes_new, PAGE_BYTES);
    assert_restores(fixture);
}

static void what_may_not_be_referred_to_is_stored_anew(void **state)
{
    Fixture *fixture = *state;

    resize(fixture, 300 * PAGE_BYTES);
    (void)back_up(fixture, false);
    make_page(fixture, 5);
    (void)back_up(fixture, true);
    fixture->is_usable[1] = false; /* that of the one page */
    assert_int_equal(back_up(fixture, true).bytes_new, 300 * PAGE_BYTES);
    assert_int_equal(fixture->entry.ranges[0].fragment_count, 1);
    assert_restores(fixture);
}

/* A table that can't be read says nothing of its pages. */
static void a_damaged_page_table_is_no_base(void **state)
{
    Fixture *fixture = *state;

    resize(fixture, 300 * PAGE_BYTES);
    (void)back_up(fixture, false);
    fixture->entry.ranges[0].fragments[0].table.checksum++;
    assert_int_equal(back_up(fixture, true).bytes_new, 300 * PAGE_BYTES);
    assert_restores(fixture);
}

/* The last backup's page table again, in a pack of its own, with another CRC for one page. */
static void forge_crc(Fixture *fixture, uint32_t page)
{
    Fragment *fragment = &fixture->entry.ranges[0].fragments[0];
    const PackWriterSetup setup = {.cluster = &fixture->cluster,
                                   .pack_size = PACK_SIZE_DEFAULT,
                                   .first_index = (uint32_t)fixture->pack_count,
                                   .index_step = 1};
    CLEANUP(pack_writer_freep) PackWriter *writer = pack_writer_new(&setup);
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    CLEANUP(buffer_done) Buffer scratch = {0}, raw = {0}, forged = {0};
    CLEANUP(page_table_done) PageTable table = {0};
    Error err = {0};
    size_t count;

    buffer_reserve(&raw, fragment->table.raw_size);
    assert_true(pack_read_frame(&fixture->cluster, fixture->packs[fragment->table.pack].id,
                                &fragment->table, codec, &scratch, raw.data, &err));
    assert_true(page_table_decode(&table, raw.data, fragment->table.raw_size, &err));
    table.entries[page].crc32c ^= 1;
    page_table_encode(&table, &forged);
    assert_true(pack_writer_add(writer, FRAME_PAGE_TABLE, path, 0, CODEC_NONE, forged.data,
                                forged.size, forged.size, &fragment->table, &err));
    assert_true(pack_writer_close(writer, &err));
    fixture->is_usable[fixture->pack_count] = true;
    fixture->packs[fixture->pack_count++] = pack_writer_packs(writer, &count)[0];
}

/* Two pages with one hash would be told apart by their CRCs. And a table may stand elsewhere. */
static void a_page_is_the_same_by_both_its_sums(void **state)
{
    Fixture *fixture = *state;

    resize(fixture, 300 * PAGE_BYTES);
    (void)back_up(fixture, false);
    forge_crc(fixture, 17);
    assert_restores(fixture);
    assert_int_equal(back_up(fixture, true).bytes_new, PAGE_BYTES);
    assert_restores(fixture);
}

static void pages_are_settled_only_where_checksums_say_so(void **state)
{
    Fixture *fixture = *state;

    resize(fixture, 300 * PAGE_BYTES);
    (void)back_up(fixture, false);
    assert_true(fixture->entry.ranges[0].is_settled);
    fixture->has_checksums = false;
    (void)back_up(fixture, true);
    assert_false(fixture->entry.ranges[0].is_settled);
}

/* The base's entry as if it had found the file with the times that it has now. */
static void forge_times(Fixture *fixture)
{
    struct stat info;

    save(fixture);
    assert_int_equal(stat(path, &info), 0);
    entry_set_stat(&fixture->entry, &info);
}

/* What a file of that name was, and is, does not matter then: only its times are looked at. */
static void a_file_with_the_same_times_is_not_read_but_in_its_turn(void **state)
{
    Fixture *fixture = *state;
    struct stat place;
    assert_int_equal(stat(".", &place), 0);
    UnreadRoot root = {
        .path = ".", .is_trusted = true, .is_as_before = true, .device = place.st_dev};
    UnreadRule rule = {.is_on = true,
                       .base_started = INT64_MAX / 2,
                       .now = INT64_MAX / 2,
                       .roots = &root,
                       .root_count = 1};

    resize(fixture, 300 * PAGE_BYTES);
    (void)back_up(fixture, false);
    const uint32_t crc = fixture->entry.crc32c;
    fixture->unread = &rule;
    while (unread_is_due(&rule, UNREAD_BY_TIMES, path, 0))
        rule.round++;
    make_page(fixture, 9);
    for (int i = 0; i < 4; i++) {
        const bool is_read = i == 3;
        Fixture before = *fixture;

        forge_times(fixture);
        rule.checks_all = is_read;
        fixture->entry.ranges[0].is_settled = i != 1; /* what was not settled is read */
        fixture->is_usable[0] = i != 2;               /* what may not be referred to, too */
        Made made = back_up(fixture, true);
        assert_int_equal(made.ranges_unread, i == 0);
        assert_int_equal(made.bytes_read, i == 0 ? 0 : 300 * PAGE_BYTES);
        assert_int_equal(made.surprises, is_read);
        assert_int_equal(made.is_distrusted, is_read);
        if (i == 0)
            assert_int_equal(fixture->entry.crc32c, crc);
        else
            assert_restores(fixture);
        fixture->entry = before.entry;
        fixture->is_usable[0] = true;
    }
}

/* What WAL says that names these blocks of the file, and from `cut` on all; 0: it was not cut. */
static ChangedBlocks *wal_naming(const uint32_t *blocks, size_t count, uint32_t cut)
{
    Archive archive;
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, 2 * MIB, 1);
    CLEANUP(arena_done) Arena arena = {0};
    uint8_t truncate[20] = {0};
    ChangedBlocks *changed = NULL;
    Error err = {0};

    archive_init(&archive);
    put_le32(truncate, cut);
    put_le32(truncate + 4, 1663);
    put_le32(truncate + 8, 5);
    put_le32(truncate + 12, 16384);
    put_le32(truncate + 16, 7);
    const Lsn from = lsn_align_up(wal_builder_reference(&wal, 16385, 1, 10));
    if (cut > 0)
        wal_builder_record(&wal, RMGR_STORAGE, 0x21, 0, truncate, sizeof truncate);
    for (size_t i = 0; i < count; i++)
        wal_builder_reference(&wal, 16384, blocks[i], 10);
    const Lsn to = lsn_align_up(wal_builder_reference(&wal, 16385, 1, 10));
    wal_builder_switch(&wal);
    archive_put_listed(&archive, &wal, 1, 2);
    archive_look(&archive);
    const TimelinePath path_of_one = archive_path(&archive, 1, &arena);
    assert_true(changed_blocks_load(&(ChangedRequest){.cluster = &archive.cluster,
                                                      .inventory = &archive.inventory,
                                                      .path = &path_of_one,
                                                      .from = from,
                                                      .to = to,
                                                      .threads = 1},
                                    &changed, &err));
    assert_null(changed_blocks_why_not(changed));
    archive_done(&archive);
    return changed;
}

static UnreadRoot here(void)
{
    struct stat place;

    assert_int_equal(stat(".", &place), 0);
    return (UnreadRoot){.path = ".", .is_as_before = true, .device = place.st_dev};
}

/* By the WAL alone: times are not believed. A round in which it is not the range's turn. */
static UnreadRule rule_of_wal(UnreadRoot *root, const ChangedBlocks *changed)
{
    UnreadRule rule = {.roots = root, .root_count = 1, .changed = changed};

    while (unread_is_due(&rule, UNREAD_BY_WAL, path, 0))
        rule.round++;
    return rule;
}

static Made back_up_by(Fixture *fixture, const UnreadRule *rule)
{
    save(fixture);
    fixture->unread = rule;
    const Made made = back_up(fixture, true);
    fixture->unread = NULL;
    return made;
}

/* The first backup, of a file that keeps its inode. */
static void begin_by_wal(Fixture *fixture, size_t pages)
{
    struct stat info;

    resize(fixture, pages * PAGE_BYTES);
    (void)back_up(fixture, false);
    assert_int_equal(stat(path, &info), 0);
    fixture->entry.inode = info.st_ino;
}

static void pages_that_no_wal_names_are_not_read(void **state)
{
    static const uint32_t named[] = {5, 9, 200};
    CLEANUP(changed_blocks_freep) ChangedBlocks *changed = wal_naming(named, ARRAY_SIZE(named), 0);
    Fixture *fixture = *state;
    UnreadRoot root = here();
    const UnreadRule rule = rule_of_wal(&root, changed);

    begin_by_wal(fixture, 300);
    make_page(fixture, 5);
    make_page(fixture, 200);
    resize(fixture, 310 * PAGE_BYTES); /* what it did not have is read */
    const Made made = back_up_by(fixture, &rule);
    assert_int_equal(made.bytes_new, 12 * PAGE_BYTES);
    /* 0 to 4 and 6 to 8 lie before and between what is read: too little to pass over. */
    assert_int_equal(made.bytes_read, (10 + 1 + 10) * PAGE_BYTES);
    assert_int_equal(made.bytes_unnamed, (300 - 10 - 1) * PAGE_BYTES);
    assert_int_equal(made.surprises, 0);
    assert_restores(fixture);
}

static void a_page_that_should_have_been_named_ends_the_trust_in_its_turn(void **state)
{
    static const uint32_t named[] = {5};
    CLEANUP(changed_blocks_freep) ChangedBlocks *changed = wal_naming(named, 1, 0);
    Fixture *fixture = *state;
    UnreadRoot root = here();
    UnreadRule rule = rule_of_wal(&root, changed);

    begin_by_wal(fixture, 300);
    make_page(fixture, 200);
    Fixture before = *fixture;
    assert_int_equal(back_up_by(fixture, &rule).bytes_new, 0); /* it is believed, and wrong */
    fixture->entry = before.entry;
    make_page(fixture, 2); /* one that is read on the way is noticed at once */
    Made made = back_up_by(fixture, &rule);
    assert_true(made.surprises == 1 && made.is_distrusted);
    fixture->entry = before.entry;
    while (!unread_is_due(&rule, UNREAD_BY_WAL, path, 0))
        rule.round++;
    make_page(fixture, 5);
    made = back_up_by(fixture, &rule);
    assert_true(made.surprises == 1 && made.is_distrusted && made.bytes_unnamed == 0);
    assert_int_equal(made.bytes_read, 300 * PAGE_BYTES);
    assert_restores(fixture);
}

/* Its LSN shows that it was written since the backup began; and a new page shows nothing. */
static void a_page_that_was_written_since_is_no_surprise(void **state)
{
    static const uint32_t named[] = {5};
    CLEANUP(changed_blocks_freep) ChangedBlocks *changed = wal_naming(named, 1, 0);
    Fixture *fixture = *state;
    UnreadRoot root = here();
    UnreadRule rule = rule_of_wal(&root, changed);
    uint8_t *page = fixture->content + 200 * PAGE_BYTES;

    begin_by_wal(fixture, 300);
    while (!unread_is_due(&rule, UNREAD_BY_WAL, path, 0))
        rule.round++;
    memset(fixture->content + 100 * PAGE_BYTES, 0, PAGE_BYTES);
    put_le32(page, 5);
    put_le32(page + 4, 16);
    put_le16(page + 8, page_checksum(page, PAGE_BYTES, 200));
    save(fixture);
    fixture->unread = &rule;
    fixture->may_have_notes = true;
    const Made made = back_up(fixture, true);
    assert_int_equal(made.surprises, 0);
    assert_false(made.is_distrusted);
    assert_restores(fixture);
}

static void what_the_wal_can_not_tell_is_read(void **state)
{
    enum { CASES = 9 };
    static const uint32_t named[] = {5};
    Fixture *fixture = *state;
    UnreadRoot root = here();

    begin_by_wal(fixture, 300);
    for (int i = 0; i < CASES; i++) {
        CLEANUP(changed_blocks_freep)
        ChangedBlocks *changed = wal_naming(named, i == 0 ? 0 : 1, i == 1 ? 300 : 0);
        UnreadRule rule = rule_of_wal(&root, changed);
        Fixture before = *fixture;
        bool is_read = true;

        switch (i) {
        case 0: /* it was written to, and nothing of it is named */
            break;
        case 1: /* so is what is cut off beyond its end: it is named */
        case 2:
            is_read = false;
            break;
        case 3:
            rule.changed = NULL;
            break;
        case 4:
            fixture->entry.inode++;
            break;
        case 5:
            root.is_as_before = false;
            break;
        case 6: /* bad pages are told of in each backup */
            rule.has_bad_pages = true;
            fixture->entry.ranges[0].is_settled = false;
            break;
        case 7:
            rule.has_bad_pages = true; /* elsewhere */
            is_read = false;
            break;
        default:
            fixture->entry.ranges[0].is_settled = false; /* what was being written is named */
            is_read = false;
            break;
        }
        make_page(fixture, 5);
        const Made made = back_up_by(fixture, &rule);
        if ((made.bytes_unnamed == 0) != is_read)
            fail_msg("case %d: %llu", i, (unsigned long long)made.bytes_unnamed);
        assert_int_equal(fixture->entry.ranges[0].is_settled, i < CASES - 1);
        assert_restores(fixture);
        fixture->entry.inode = before.entry.inode;
        fixture->entry.ranges[0].is_settled = true;
        root.is_as_before = true;
    }
}

static void a_file_that_nobody_wrote_to_is_not_even_opened_for_its_tables(void **state)
{
    CLEANUP(changed_blocks_freep) ChangedBlocks *changed = wal_naming(NULL, 0, 0);
    Fixture *fixture = *state;
    UnreadRoot root = here();
    const UnreadRule rule = rule_of_wal(&root, changed);
    struct stat info;

    begin_by_wal(fixture, 300);
    assert_int_equal(stat(path, &info), 0);
    entry_set_stat(&fixture->entry, &info);
    fixture->entry.ranges[0].fragments[0].table.checksum++; /* who reads it would fail */
    fixture->unread = &rule;
    const Made made = back_up(fixture, true);
    assert_int_equal(made.bytes_read, 0);
    assert_int_equal(made.bytes_unnamed, 300 * PAGE_BYTES);
}

/* Nobody asks the WAL, but a page is older than the base, and the base has another one. */
static void a_page_that_the_base_should_have_had_is_a_surprise_whoever_reads_it(void **state)
{
    enum { CASES = 5 };
    Fixture *fixture = *state;
    UnreadRoot root = here();

    begin_by_wal(fixture, 300);
    for (int i = 0; i < CASES; i++) {
        UnreadRule rule = {.roots = &root, .root_count = 1, .may_be_stale = i != 1};
        const Lsn lsn = UINT64_C(1000); /* of make_page() */
        const uint32_t page = i == 4 ? 0 : 200;
        const uint64_t inode = fixture->entry.inode;

        fixture->base_start = i == 2 ? lsn : lsn + 1;
        fixture->entry.inode += i == 3;
        make_page(fixture, page);
        if (i == 4) { /* the first page of an SP-GiST index is written to without WAL */
            uint8_t *bytes = fixture->content;

            put_le16(bytes + PAGE_BYTES - 2, 0xFF82);
            put_le16(bytes + 8, page_checksum(bytes, PAGE_BYTES, 0));
        }
        const Made made = back_up_by(fixture, &rule);
        assert_int_equal(made.surprises, i == 0);
        assert_restores(fixture);
        fixture->entry.inode = inode;
    }
}

/* Cut, grown, written to: all that was changed is named, and nothing else is read but by chance. */
static void each_of_many_increments_by_wal_restores_as_the_file_was(void **state)
{
    Fixture *fixture = *state;
    UnreadRoot root = here();
    uint8_t fragments_max = 0;
    uint64_t unnamed = 0;

    begin_by_wal(fixture, 300);
    for (uint32_t round = 0; round < 80; round++) {
        uint32_t named[16];
        size_t count = 0;
        uint32_t cut = 0;

        if (random_below(fixture, 4) == 0) {
            cut = 100 + random_below(fixture, 200);
            if (cut < frame_page_count(fixture->size))
                resize(fixture, (size_t)cut * PAGE_BYTES);
            resize(fixture, (size_t)(cut + random_below(fixture, PAGES_MAX - 300)) * PAGE_BYTES);
        }
        while (count < 1 + random_below(fixture, 12)) {
            named[count] = random_below(fixture, frame_page_count(fixture->size));
            make_page(fixture, named[count++]);
        }
        CLEANUP(changed_blocks_freep) ChangedBlocks *changed = wal_naming(named, count, cut);
        UnreadRule rule = rule_of_wal(&root, changed);
        rule.round = round;
        const Made made = back_up_by(fixture, &rule);
        assert_int_equal(made.surprises, 0);
        unnamed += made.bytes_unnamed;
        assert_restores(fixture);
        if (fixture->entry.ranges[0].fragment_count > fragments_max)
            fragments_max = fixture->entry.ranges[0].fragment_count;
    }
    assert_in_range(fragments_max, FRAGMENTS_LIMIT_LEAST, FRAGMENTS_LIMIT);
    assert_true(unnamed > UINT64_C(80) * 100 * PAGE_BYTES);
}

/* A change of the file as a server makes them, and what of it is new. */
static void change(Fixture *fixture)
{
    const uint32_t count = frame_page_count(fixture->size);
    const uint32_t what = random_below(fixture, 8);

    if (what == 0) {
        resize(fixture, (size_t)(40 + random_below(fixture, PAGES_MAX - 40)) * PAGE_BYTES);
    } else if (what == 1) { /* cut, and grown again between two backups */
        resize(fixture, (size_t)(count / 2 > 40 ? count / 2 : 40) * PAGE_BYTES);
        resize(fixture, (size_t)count * PAGE_BYTES);
    } else if (what == 2) {
        return;
    }
    for (uint32_t i = random_below(fixture, 12); i > 0; i--)
        make_page(fixture, random_below(fixture, frame_page_count(fixture->size)));
}

static void each_of_many_increments_restores_as_the_file_was(void **state)
{
    Fixture *fixture = *state;
    uint8_t fragments_max = 0;
    uint64_t stored = 0;

    resize(fixture, 300 * PAGE_BYTES);
    (void)back_up(fixture, false);
    for (int round = 0; round < 250; round++) {
        change(fixture);
        stored += back_up(fixture, true).bytes_new;
        assert_restores(fixture);
        if (fixture->entry.ranges[0].fragment_count > fragments_max)
            fragments_max = fixture->entry.ranges[0].fragment_count;
    }
    assert_in_range(fragments_max, FRAGMENTS_LIMIT_LEAST, FRAGMENTS_LIMIT);
    assert_true(stored < UINT64_C(250) * 150 * PAGE_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_pages_that_differ_are_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cut_and_a_growth_are_followed_at_each_step, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_may_not_be_referred_to_is_stored_anew, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_damaged_page_table_is_no_base, setup, teardown),
        cmocka_unit_test_setup_teardown(a_page_is_the_same_by_both_its_sums, setup, teardown),
        cmocka_unit_test_setup_teardown(pages_are_settled_only_where_checksums_say_so, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_file_with_the_same_times_is_not_read_but_in_its_turn,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(each_of_many_increments_restores_as_the_file_was, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(pages_that_no_wal_names_are_not_read, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_page_that_should_have_been_named_ends_the_trust_in_its_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(a_page_that_was_written_since_is_no_surprise, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_the_wal_can_not_tell_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_page_that_the_base_should_have_had_is_a_surprise_whoever_reads_it, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_file_that_nobody_wrote_to_is_not_even_opened_for_its_tables, setup, teardown),
        cmocka_unit_test_setup_teardown(each_of_many_increments_by_wal_restores_as_the_file_was,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
