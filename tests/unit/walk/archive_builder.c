#include "archive_builder.h"

#include "repo/layout.h"
#include "stores.h"
#include "wal/wal_object.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

void archive_init(Archive *archive)
{
    Error err = {0};
    bool created;

    *archive = (Archive){0};
    assert_true(repo_create(&archive->repo, storage_memory_new(), &created, &err));
    assert_true(cluster_register(&archive->repo, "main", BUILDER_SYSTEM, 15, MIB, &archive->cluster,
                                 &created, &err));
}

void archive_done(Archive *archive)
{
    wal_inventory_done(&archive->inventory);
    repo_done(&archive->repo);
}

static void put_file(Archive *archive, const char *name, const void *data, size_t size,
                     const WalSummary *summary, WalBlocks *blocks)
{
    CLEANUP(wal_object_writer_freep) WalObjectWriter *writer = NULL;
    Compression compression = {.codec = CODEC_ZSTD, .level = 1};
    Error err = {0};

    assert_true(wal_object_write(&archive->cluster, name, compression, 1, size, &writer, &err));
    assert_true(wal_object_writer_add(writer, data, size, &err));
    wal_object_writer_blocks(writer, blocks);
    assert_true(wal_object_writer_commit(writer, summary, NULL, &err));
}

void archive_put(Archive *archive, const char *name, const void *data, size_t size,
                 const WalSummary *summary)
{
    put_file(archive, name, data, size, summary, NULL);
}

void archive_put_history(Archive *archive, uint32_t timeline, const char *text)
{
    char name[WAL_NAME_SIZE];

    wal_name_text(&(WalName){.kind = WAL_HISTORY, .timeline = timeline}, MIB, name);
    archive_put(archive, name, text, strlen(text), NULL);
}

typedef struct Summing {
    const PgVersion *version;
    WalSummary summary;
    WalBlocks *blocks;
} Summing;

static bool sum(void *context, const WalRecord *record, Error *err)
{
    Summing *summing = context;
    WalEvent event;

    (void)err;
    wal_summary_add_record(&summing->summary, record, summing->version, &event);
    wal_blocks_add(summing->blocks, record);
    return true;
}

static void put_segment(Archive *archive, const WalBuilder *wal, uint32_t timeline,
                        uint64_t segment, bool has_list)
{
    CLEANUP(wal_blocks_freep) WalBlocks *blocks = wal_blocks_new(wal->version);
    Summing summing = {.version = wal->version, .blocks = blocks};
    const uint8_t *bytes = wal_builder_segment(wal, segment);
    CLEANUP(wal_reader_freep)
    WalReader *reader = wal_reader_new(&(WalReaderSetup){
        .version = wal->version,
        .segment_size = MIB,
        .start = wal_segment_start(segment, MIB),
        .on_record = sum,
        .context = &summing,
    });
    char name[WAL_NAME_SIZE];
    Error err = {0};

    assert_true(wal_segment_start(segment + 1, MIB) - wal->start <= wal->bytes.size);
    wal_summary_init(&summing.summary);
    assert_true(wal_reader_feed(reader, bytes, MIB, &err));
    summing.summary.reader = *wal_reader_state(reader);
    wal_name_text(&(WalName){.kind = WAL_SEGMENT, .timeline = timeline, .segment = segment}, MIB,
                  name);
    wal_blocks_end(blocks, reader);
    put_file(archive, name, bytes, MIB, &summing.summary, has_list ? blocks : NULL);
}

void archive_put_segment(Archive *archive, const WalBuilder *wal, uint32_t timeline,
                         uint64_t segment)
{
    put_segment(archive, wal, timeline, segment, false);
}

void archive_put_listed(Archive *archive, const WalBuilder *wal, uint32_t timeline,
                        uint64_t segment)
{
    put_segment(archive, wal, timeline, segment, true);
}

void archive_put_segments(Archive *archive, const WalBuilder *wal, uint32_t timeline,
                          uint64_t first, uint64_t last)
{
    for (uint64_t segment = first; segment <= last; segment++)
        archive_put_segment(archive, wal, timeline, segment);
}

static char *object_name(uint32_t timeline, uint64_t segment)
{
    char name[WAL_NAME_SIZE];

    wal_name_text(&(WalName){.kind = WAL_SEGMENT, .timeline = timeline, .segment = segment}, MIB,
                  name);
    return layout_wal("main", name);
}

void archive_remove(Archive *archive, uint32_t timeline, uint64_t segment)
{
    CLEANUP(text_freep) char *name = object_name(timeline, segment);
    Error err = {0};

    assert_true(storage_stat(archive->repo.storage, name, NULL, NULL, &err));
    assert_true(storage_remove(archive->repo.storage, name, &err));
}

void archive_damage(Archive *archive, uint32_t timeline, uint64_t segment, size_t offset)
{
    char name[WAL_NAME_SIZE];

    wal_name_text(&(WalName){.kind = WAL_SEGMENT, .timeline = timeline, .segment = segment}, MIB,
                  name);
    archive_damage_name(archive, name, offset);
}

void archive_damage_list(Archive *archive, uint32_t timeline, uint64_t segment)
{
    char name[WAL_NAME_SIZE];
    WalTrailer trailer;
    Error err = {0};

    wal_name_text(&(WalName){.kind = WAL_SEGMENT, .timeline = timeline, .segment = segment}, MIB,
                  name);
    assert_true(wal_object_trailer(&archive->cluster, name, &trailer, &err));
    assert_true(trailer.blocks_size > 0);
    archive_damage_name(archive, name, trailer.blocks_offset + trailer.blocks_size - 1);
}

void archive_damage_name(Archive *archive, const char *name, size_t offset)
{
    CLEANUP(text_freep) char *object = layout_wal("main", name);
    CLEANUP(buffer_done) Buffer bytes = {0};
    Error err = {0};

    assert_true(storage_read(archive->repo.storage, object, 64 * MIB, &bytes, &err));
    bytes.data[offset < bytes.size ? offset : bytes.size - 1] ^= 0x10;
    assert_true(
        storage_put(archive->repo.storage, object, WRITE_REPLACE, bytes.data, bytes.size, &err));
}

void archive_look(Archive *archive)
{
    Error err = {0};

    wal_inventory_done(&archive->inventory);
    assert_true(wal_inventory_load(&archive->inventory, &archive->cluster, &err));
}

TimelinePath archive_path(const Archive *archive, uint32_t timeline, Arena *arena)
{
    Error err = {0};
    TimelinePath path;

    assert_true(timeline_path_load(&archive->cluster, timeline, arena, &path, &err));
    return path;
}
