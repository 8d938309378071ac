#include "vault.h"

#include "pack/page_table.h"
#include "repo/journal.h"
#include "stores.h"
#include "stream/digest.h"
#include "wal/wal_object.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum {
    SECOND = 1000000,
    PAGES_A = 133, /* of the large file, and a short one */
    SHORT_PAGE = 100,
    SIZE_A = PAGES_A * PAGE_BYTES + SHORT_PAGE,
    PAGES_B = 132, /* it has shrunk since */
    SIZE_B = PAGES_B * PAGE_BYTES,
    XLOG_END_OF_RECOVERY = 0x90,
};

static void put_le(uint8_t *to, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static Lsn here(const WalBuilder *wal)
{
    return (wal->at + 7) & ~(Lsn)7;
}

/* To the next segment with a record that straddles the border. */
static void cross(WalBuilder *wal, size_t size)
{
    Lsn end = (wal->at / MIB + 1) * MIB;

    wal_builder_fill_to(wal, end, 48);
    wal_builder_filler(wal, size);
}

static void build_parent(Vault *vault, WalBuilder *wal)
{
    *wal = wal_builder_begin(15, MIB, 3 * MIB, 1);
    wal_builder_filler(wal, 100);
    vault->a_start = wal_builder_filler(wal, 10);
    wal_builder_commit(wal, 700, 10 * SECOND);
    cross(wal, vault->lie == LIE_OTHER_WAL ? 300 : 200);
    wal_builder_commit(wal, 701, 20 * SECOND);
    wal_builder_backup_end(wal, vault->a_start);
    vault->a_stop = here(wal);
    cross(wal, vault->lie == LIE_PARENT ? 300 : 200);
    wal_builder_commit(wal, 702, 30 * SECOND);
    vault->fork = here(wal);
}

static void build_child(Vault *vault)
{
    WalBuilder *wal = &vault->child;
    uint8_t end_of_recovery[16];

    *wal = wal_builder_fork(&vault->parent, vault->fork, vault->parent.prev, 2);
    put_le(end_of_recovery, 38 * SECOND, 8);
    put_le(end_of_recovery + 8, 2, 4);
    put_le(end_of_recovery + 12, 1, 4);
    wal_builder_record(wal, RMGR_XLOG, XLOG_END_OF_RECOVERY, 0, end_of_recovery,
                       sizeof end_of_recovery);
    wal_builder_commit(wal, 800, 40 * SECOND);
    wal_builder_fill_to(wal, 6 * MIB, 48);
    wal->timeline = vault->lie == LIE_PAGE_TIMELINE ? 1 : 2;
    wal_builder_filler(wal, 200);
    wal->timeline = 2;
    vault->b_start = wal_builder_filler(wal, 10);
    wal_builder_commit(wal, 801, 50 * SECOND);
    wal_builder_backup_end(wal, vault->b_start);
    vault->b_stop = here(wal);
    cross(wal, 200);
    wal_builder_commit(wal, 802, 60 * SECOND);
    wal_builder_switch(wal);
}

static void store_with_lie(Vault *vault, uint64_t segment)
{
    CLEANUP(text_freep) char *object = vault_segment(1, segment);
    char name[WAL_NAME_SIZE];
    WalTrailer trailer;
    Error err = {0};

    wal_name_text(&(WalName){.kind = WAL_SEGMENT, .timeline = 1, .segment = segment}, MIB, name);
    assert_true(wal_object_trailer(&vault->archive.cluster, name, &trailer, &err));
    vault_remove(vault, object);
    trailer.summary.commit_time_max += SECOND;
    archive_put(&vault->archive, name, wal_builder_segment(&vault->parent, segment), MIB,
                &trailer.summary);
}

static void store_wal(Vault *vault)
{
    Lsn told = vault->lie == LIE_FORK_PLACE ? vault->fork + 4096 : vault->fork;
    char lsn[LSN_TEXT_SIZE];

    archive_put_segments(&vault->archive, &vault->parent, 1, 3, 5);
    archive_put_segments(&vault->archive, &vault->child, 2, 5, 7);
    snprintf(vault->history, sizeof vault->history, "1\t%s\tno recovery target specified\n",
             lsn_text(told, lsn));
    archive_put_history(&vault->archive, 2, vault->history);
    if (vault->lie == LIE_SUMMARY)
        store_with_lie(vault, 4);
}

static void build_wal(Vault *vault)
{
    build_parent(vault, &vault->parent);
    build_child(vault);
    wal_builder_commit(&vault->parent, 703, 35 * SECOND);
    wal_builder_switch(&vault->parent);
    store_wal(vault);
    if (vault->lie == LIE_PARENT) { /* it is not what the child has copied */
        CLEANUP(wal_builder_done) WalBuilder other = {0};
        CLEANUP(text_freep) char *object = vault_segment(1, 5);
        Vault stranger = {.lie = LIE_NONE};

        build_parent(&stranger, &other);
        wal_builder_switch(&other);
        vault_remove(vault, object);
        archive_put_segment(&vault->archive, &other, 1, 5);
    }
    if (vault->lie == LIE_OTHER_WAL) { /* segment 4 of another server with the same identity */
        CLEANUP(wal_builder_done) WalBuilder other = {0};
        CLEANUP(text_freep) char *object = vault_segment(1, 4);
        Vault stranger = {.lie = LIE_NONE};

        build_parent(&stranger, &other);
        vault_remove(vault, object);
        archive_put_segment(&vault->archive, &other, 1, 4);
    }
}

/* Page `page` of the large file as backup `version` found it. */
static void make_page(uint8_t *to, size_t size, uint32_t page, uint32_t version)
{
    uint32_t state = page * 2654435761U + version;

    for (size_t i = 0; i < size; i++) {
        state = state * 1664525U + 1013904223U;
        to[i] = (uint8_t)(state >> 24 & 0x0f);
    }
}

typedef struct Storing {
    Vault *vault;
    PackWriter *writer;
    CodecContext *codec;
    Buffer stored;
    struct Storing *tables; /* where page tables go; NULL: after their extents */
} Storing;

static void storing_done(Storing *storing)
{
    pack_writer_freep(&storing->writer);
    codec_context_freep(&storing->codec);
    buffer_done(&storing->stored);
}

static Storing begin_pack(Vault *vault, uint32_t index)
{
    return (Storing){.vault = vault,
                     .codec = codec_context_new(),
                     .writer =
                         pack_writer_new(&(PackWriterSetup){.cluster = &vault->archive.cluster,
                                                            .pack_size = PACK_SIZE_DEFAULT,
                                                            .first_index = index,
                                                            .index_step = 1})};
}

static void store(Storing *storing, FrameKind kind, const char *path, const void *raw, size_t size,
                  Frame *frame)
{
    Compression compression = {
        .codec = CODEC_ZSTD, .level = 1, .is_bare = true}; /* as backup/extent.c */
    Error err = {0};

    storing->stored.size = 0;
    assert_true(codec_compress(storing->codec, compression, raw, size, &storing->stored, &err));
    assert_true(pack_writer_add(storing->writer, kind, path, 0, CODEC_ZSTD, storing->stored.data,
                                storing->stored.size, size, frame, &err));
}

static void end_pack(Storing *storing, PackInfo *info)
{
    size_t count;
    Error err = {0};

    assert_true(pack_writer_close(storing->writer, &err));
    *info = pack_writer_packs(storing->writer, &count)[0];
    (void)snprintf(info->backup, sizeof info->backup, "%s", BACKUP_A);
    assert_int_equal(count, 1);
}

static void add_small(Storing *storing, ManifestEntry *entry, const char *content)
{
    entry->is_small = true;
    entry->size = strlen(content);
    entry->crc32c = crc32c_update(0, content, entry->size);
    if (entry->size == 0)
        return;
    entry->content_hash = xxh3_of(storing->vault->archive.repo.hash_seed, content, entry->size);
    store(storing, FRAME_FILE, entry->path, content, entry->size, &entry->content);
}

/* One fragment: these pages, in extents of up to 128. */
static void add_fragment(Storing *storing, const char *path, const uint32_t *pages, uint32_t count,
                         uint64_t range_size, uint32_t version, Fragment *fragment)
{
    uint64_t seed = storing->vault->archive.repo.hash_seed;
    CLEANUP(buffer_done) Buffer bytes = {0};
    CLEANUP(buffer_done) Buffer raw = {0};
    PageEntry entries[PAGES_A + 1];
    Frame extents[4];
    PageTable table = {.range_size = range_size,
                       .extents = extents,
                       .page_count = count,
                       .pages = (uint32_t *)pages,
                       .entries = entries};

    buffer_reserve(&raw, EXTENT_SIZE);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t left = range_size - (uint64_t)pages[i] * PAGE_BYTES;
        size_t size = left < PAGE_BYTES ? (size_t)left : PAGE_BYTES;
        uint8_t *to = raw.data + raw.size;

        make_page(to, size, pages[i], version);
        entries[i] = (PageEntry){.hash = xxh3_of(seed, to, size),
                                 .crc32c = crc32c_update(0, to, size),
                                 .extent = (uint16_t)table.extent_count,
                                 .slot = (uint16_t)(raw.size / PAGE_BYTES)};
        raw.size += size;
        if (raw.size + PAGE_BYTES <= EXTENT_SIZE && i + 1 < count)
            continue;
        store(storing, FRAME_EXTENT, path, raw.data, raw.size, &extents[table.extent_count++]);
        raw.size = 0;
    }
    if (version == 1 && storing->vault->lie == LIE_PAGE_HASH)
        entries[7].hash++;
    if (version == 1 && storing->vault->lie == LIE_PAGE_CRC)
        entries[PAGES_A].crc32c++;
    if (version == 2 && storing->vault->lie == LIE_LONE_TABLE)
        entries[1].hash++;
    if (version == 1 && storing->vault->lie == LIE_PAGE_LEFT_OUT)
        table.page_count--;
    page_table_encode(&table, &bytes);
    fragment->data_pack = extents[0].pack;
    store(storing->tables != NULL ? storing->tables : storing, FRAME_PAGE_TABLE, path, bytes.data,
          bytes.size, &fragment->table);
}

/* The large file as a backup has it: page i is of version_of(i). */
static void sum_large(const Vault *vault, ManifestEntry *entry, uint64_t size, bool is_b)
{
    uint64_t hashes[PAGES_A + 1];
    uint8_t page[PAGE_BYTES];
    uint32_t count = 0;

    entry->size = size;
    entry->range_count = 1;
    for (uint64_t at = 0; at < size; at += PAGE_BYTES, count++) {
        size_t part = size - at < PAGE_BYTES ? (size_t)(size - at) : PAGE_BYTES;

        make_page(page, part, count, is_b && (count == 2 || count == 130) ? 2 : 1);
        hashes[count] = xxh3_of(vault->archive.repo.hash_seed, page, part);
        entry->crc32c = crc32c_update(entry->crc32c, page, part);
    }
    entry->ranges[0].size = size;
    entry->ranges[0].crc32c = entry->crc32c;
    entry->ranges[0].hash = range_hash(vault->archive.repo.hash_seed, size, hashes, count);
}

enum { ENTRIES = 8 };

typedef struct Draft {
    Manifest manifest;
    ManifestEntry entries[ENTRIES];
    ManifestRange ranges[1];
    Fragment fragments[2];
    PackInfo packs[3];
    char label[512];
} Draft;

static void begin_draft(Draft *draft, const Vault *vault, const char *id)
{
    static const char *const paths[ENTRIES] = {"PG_VERSION",
                                               "base",
                                               "base/1",
                                               "base/1/16384",
                                               "base/1/empty",
                                               "global",
                                               "global/pg_control",
                                               "/etc/pg_hba.conf"};

    *draft = (Draft){0};
    for (size_t i = 0; i < ENTRIES; i++) {
        draft->entries[i] = (ManifestEntry){.kind = ENTRY_FILE,
                                            .path = paths[i],
                                            .mode = 0600,
                                            .owner = "postgres",
                                            .group = "postgres"};
    }
    draft->entries[1].kind = draft->entries[2].kind = ENTRY_DIRECTORY;
    draft->entries[5].kind = ENTRY_DIRECTORY;
    draft->entries[7].kind = ENTRY_EXTRA;
    draft->entries[3].ranges = draft->ranges;
    draft->ranges[0].fragments = draft->fragments;
    draft->manifest = (Manifest){.entries = draft->entries,
                                 .entry_count = ENTRIES,
                                 .packs = draft->packs,
                                 .header = {.cluster = "main",
                                            .system_identifier = BUILDER_SYSTEM,
                                            .server_version = 150018,
                                            .major = 15,
                                            .tool_version = "test",
                                            .history = "",
                                            .tablespace_map = "",
                                            .host = "host",
                                            .boot_id = "boot",
                                            .data_directory = "/data",
                                            .options = "",
                                            .libc_version = "2.36",
                                            .commit_time_max = TIME_US_NONE,
                                            .wal_segment_size = MIB}};
    snprintf(draft->manifest.header.id, BACKUP_ID_SIZE, "%s", id);
    memcpy(draft->packs, vault->packs, sizeof draft->packs);
}

static void make_label(Draft *draft, uint32_t timeline, Lsn start)
{
    char lsn[LSN_TEXT_SIZE];
    char name[WAL_NAME_SIZE];

    wal_name_text(&(WalName){.kind = WAL_SEGMENT, .timeline = timeline, .segment = start / MIB},
                  MIB, name);
    lsn_text(start, lsn);
    snprintf(draft->label, sizeof draft->label,
             "START WAL LOCATION: %s (file %s)\nCHECKPOINT LOCATION: %s\n"
             "BACKUP METHOD: streamed\nBACKUP FROM: primary\n"
             "START TIME: 2000-01-01 00:00:00 UTC\nLABEL: test\nSTART TIMELINE: %" PRIu32 "\n",
             lsn, name, lsn, timeline);
    draft->manifest.header.label = draft->label;
}

static void end_draft(Draft *draft, Vault *vault, Lsn start, Lsn stop, uint32_t timeline,
                      int64_t stopped_at)
{
    ManifestHeader *header = &draft->manifest.header;
    Error err = {0};

    header->start = start;
    header->stop = stop;
    header->timeline = timeline;
    header->stopped_at = time_from_postgres(stopped_at);
    header->started_at = header->stopped_at - SECOND;
    for (size_t i = 0; i < ENTRIES; i++) {
        if (draft->entries[i].kind == ENTRY_FILE || draft->entries[i].kind == ENTRY_EXTRA) {
            header->file_count++;
            header->bytes += draft->entries[i].size;
        }
    }
    make_label(draft, timeline, start);
    if (timeline == 1 && vault->lie == LIE_LABEL)
        make_label(draft, timeline, start + 8);
    if (!manifest_save(&draft->manifest, &vault->archive.cluster, &err))
        fail_msg("%s: %s", err.context, err.message);
}

static void tell_lie(Draft *draft, Lie lie)
{
    ManifestHeader *header = &draft->manifest.header;

    draft->packs[0].sha256[3] ^= lie == LIE_PACK_DIGEST;
    draft->entries[0].content_hash += lie == LIE_SMALL_HASH;
    draft->entries[0].crc32c += lie == LIE_SMALL_CRC;
    draft->ranges[0].hash += lie == LIE_RANGE_HASH;
    draft->entries[3].crc32c += lie == LIE_FILE_CRC;
    draft->ranges[0].crc32c += lie == LIE_FILE_CRC;
    draft->entries[7].content.checksum += lie == LIE_FRAME;
    header->bytes += lie == LIE_TOTALS;
    header->system_identifier += lie == LIE_SYSTEM;
}

static void back_up_a(Vault *vault, Draft *draft)
{
    uint32_t pages[PAGES_A + 1];
    CLEANUP(storing_done) Storing storing = begin_pack(vault, 0);

    for (uint32_t i = 0; i <= PAGES_A; i++)
        pages[i] = i;
    begin_draft(draft, vault, BACKUP_A);
    add_small(&storing, &draft->entries[0], "15\n");
    add_fragment(&storing, "base/1/16384", pages, PAGES_A + 1, SIZE_A, 1, &draft->fragments[0]);
    add_small(&storing, &draft->entries[4], "");
    add_small(&storing, &draft->entries[6], "");
    add_small(&storing, &draft->entries[7], "local all all peer\n");
    end_pack(&storing, &vault->packs[0]);
    draft->packs[0] = vault->packs[0];
    draft->manifest.pack_count = 1;
    draft->ranges[0].fragment_count = 1;
    draft->fragments[0].live = PAGES_A + 1;
    sum_large(vault, &draft->entries[3], SIZE_A, false);
    tell_lie(draft, vault->lie);
    end_draft(draft, vault, vault->a_start, vault->a_stop, 1, 21 * SECOND);
}

/* It takes over what A has, and stores two pages and a file. */
static void back_up_b(Vault *vault, const Draft *a)
{
    static const uint32_t pages[] = {2, 130};
    CLEANUP(storing_done) Storing storing = begin_pack(vault, 1);
    CLEANUP(storing_done) Storing tables = begin_pack(vault, 2);
    const bool is_alone = vault->lie == LIE_LONE_TABLE || vault->lie == NO_LIE_LONE_TABLE;
    Draft draft;

    storing.tables = is_alone ? &tables : NULL;

    begin_draft(&draft, vault, BACKUP_B);
    draft.entries[0] = a->entries[0];
    draft.fragments[0] = a->fragments[0];
    add_fragment(&storing, "base/1/16384", pages, 2, SIZE_B, 2, &draft.fragments[1]);
    add_small(&storing, &draft.entries[4], "");
    add_small(&storing, &draft.entries[6], "");
    add_small(&storing, &draft.entries[7], "local all all trust\n");
    end_pack(&storing, &vault->packs[1]);
    draft.packs[0] = vault->packs[0];
    draft.packs[1] = vault->packs[1];
    draft.manifest.pack_count = 2;
    if (is_alone) {
        end_pack(&tables, &vault->packs[2]);
        draft.packs[2] = vault->packs[2];
        draft.manifest.pack_count = 3;
    }
    draft.ranges[0].fragment_count = 2;
    sum_large(vault, &draft.entries[3], SIZE_B, true);
    /* Two of its pages are new, and the last two are gone. */
    draft.fragments[0].live = PAGES_A - 3 + (vault->lie == LIE_LIVE);
    draft.fragments[1].live = 2 - (vault->lie == LIE_LIVE);
    draft.ranges[0].hash += vault->lie == LIE_OVERLAY_HASH;
    draft.manifest.header.history =
        vault->lie == LIE_HISTORY ? "1\t0/500100\tno\n" : vault->history;
    end_draft(&draft, vault, vault->b_start, vault->b_stop, 2, 51 * SECOND);
}

static void write_journal(Vault *vault)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};
    Error err = {0};

    record_begin(&record, "journal", 1);
    record_text(&record, "operation", "backup");
    record_u64(&record, "status", 0);
    assert_true(journal_store(&vault->archive.cluster, "backup", &record, &err));
}

void vault_init(Vault *vault, Lie lie)
{
    static Draft a; /* too large for a stack frame that a test shares */

    *vault = (Vault){.lie = lie};
    archive_init(&vault->archive);
    build_wal(vault);
    back_up_a(vault, &a);
    back_up_b(vault, &a);
    write_journal(vault);
}

void vault_done(Vault *vault)
{
    wal_builder_done(&vault->parent);
    wal_builder_done(&vault->child);
    archive_done(&vault->archive);
}

char *vault_segment(uint32_t timeline, uint64_t segment)
{
    char name[WAL_NAME_SIZE];

    wal_name_text(&(WalName){.kind = WAL_SEGMENT, .timeline = timeline, .segment = segment}, MIB,
                  name);
    return layout_wal("main", name);
}

char *vault_pack(const Vault *vault, size_t index)
{
    return layout_pack("main", vault->packs[index].id);
}

void vault_list(const Vault *vault, ObjectList *list)
{
    Error err = {0};

    assert_true(storage_list(vault->archive.repo.storage, "", list, &err));
}

void vault_get(const Vault *vault, const char *name, Buffer *content)
{
    Error err = {0};

    content->size = 0;
    assert_true(storage_read(vault->archive.repo.storage, name, SIZE_MAX, content, &err));
}

void vault_put(const Vault *vault, const char *name, const void *data, size_t size)
{
    Error err = {0};

    assert_true(storage_put(vault->archive.repo.storage, name, WRITE_REPLACE, data, size, &err));
}

void vault_remove(const Vault *vault, const char *name)
{
    Error err = {0};

    assert_true(storage_remove(vault->archive.repo.storage, name, &err));
}

void vault_rot(const Vault *vault, const char *name, size_t offset)
{
    storage_memory_rot(vault->archive.repo.storage, name, offset);
}

void vault_verify(Vault *vault, VerifyReport *report)
{
    Error err = {0};

    if (!verify_run(&vault->archive.cluster, &(VerifyRequest){.jobs = 2}, report, &err))
        fail_msg("%s: %s", err.context, err.message);
    assert_true(report->is_complete);
}
