/*
 * Many backups of many files, without the files: what it costs to list them.
 *
 *     driver_manifests REPOSITORY CLUSTER BACKUPS FILES [PACKS]
 *
 * The cluster must be registered. Each backup has a manifest with a line for each file, an hour
 * after the one before it, and refers to PACKS packs (1), as increments do: to all of the one
 * before it but the oldest, and to a new one. Nothing but a pack's size is right. Each also has its
 * WAL: segments of which there is nothing but the name.
 */
#include "pack/manifest.h"
#include "repo/layout.h"
#include "stream/digest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum { PACK_SIZE = 4096 };

typedef struct Shape {
    size_t backups, files, packs;
} Shape;

static ManifestEntry file_of(size_t number, Arena *arena)
{
    return (ManifestEntry){
        .kind = ENTRY_FILE,
        .path = arena_format(arena, "base/%zu/%zu", 16384 + number / 1000, 100000 + number),
        .mode = 0600,
        .owner = "postgres",
        .group = "postgres",
        .size = 8192,
        .mtime = 1795000000000000 + (TimeUs)number * 977,
        .ctime = 1795000000000000 + (TimeUs)number * 977,
        .inode = 1000000 + number,
        .crc32c = (uint32_t)xxh3_of(1, &number, sizeof number),
        .is_small = true,
        .content = {.codec = CODEC_ZSTD,
                    .offset = 80,
                    .stored_size = 900,
                    .raw_size = 8192,
                    .checksum = xxh3_of(2, &number, sizeof number)},
        .content_hash = xxh3_of(3, &number, sizeof number),
    };
}

static void add_files(Manifest *manifest, size_t count)
{
    manifest->entries = arena_alloc(&manifest->arena, (count + 1) * sizeof *manifest->entries);
    manifest->entry_count = count;
    for (size_t i = 0; i < count; i++)
        manifest->entries[i] = file_of(i, &manifest->arena);
    manifest->header.file_count = count;
    manifest->header.bytes = (uint64_t)count * 8192;
}

static void fill_header(ManifestHeader *header, const Cluster *cluster)
{
    header->cluster = cluster->name;
    header->system_identifier = cluster->system_identifier;
    header->major = cluster->major;
    header->server_version = cluster->major * 10000;
    header->timeline = 1;
    header->wal_segment_size = cluster->wal_segment_size;
}

static TimeUs first_began;

/* Each hour one, the last one an hour ago. */
static TimeUs begin_of(size_t number)
{
    return first_began + (TimeUs)number * 3600 * 1000000;
}

static void backup_id_of(size_t number, char id[BACKUP_ID_SIZE])
{
    struct tm parts;

    (void)time_split_utc(begin_of(number) / 1000000, &parts);
    (void)strftime(id, BACKUP_ID_SIZE, "%Y%m%dT%H%M%SZ-aaaaaa", &parts);
}

static bool store_segment(const Cluster *cluster, size_t segment, Error *err)
{
    static const uint8_t bytes[PACK_SIZE];
    const WalName name = {.kind = WAL_SEGMENT, .timeline = 1, .segment = segment};
    char text[WAL_NAME_SIZE];
    CLEANUP(text_freep)
    char *object = layout_wal(cluster->name, wal_name_text(&name, cluster->wal_segment_size, text));

    return storage_put(cluster->repo->storage, object, WRITE_NEW, bytes, sizeof bytes, err);
}

static bool save(Manifest *manifest, const Cluster *cluster, size_t number, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    ManifestHeader *header = &manifest->header;
    char lsn[LSN_TEXT_SIZE];

    header->start = (number + 2) * header->wal_segment_size + 40;
    header->stop = header->start + 1000;
    header->started_at = begin_of(number);
    header->stopped_at = header->started_at + INT64_C(60000000);
    header->commit_time_max = header->started_at + INT64_C(30000000);
    header->label = arena_format(&arena,
                                 "START WAL LOCATION: %s (file 000000010000000000000001)\n"
                                 "CHECKPOINT LOCATION: %s\nBACKUP METHOD: streamed\n"
                                 "BACKUP FROM: primary\nSTART TIME: 2026-11-22 00:00:00 GMT\n"
                                 "LABEL: many\nSTART TIMELINE: 1\n",
                                 lsn_text(header->start, lsn), lsn);
    backup_id_of(number, header->id);
    return store_segment(cluster, number + 2, err) && manifest_save(manifest, cluster, err);
}

/* The pack with this number, which the backup of that number, or the first, has stored. */
static PackInfo pack_of(size_t number, size_t packs)
{
    PackInfo pack = {.size = PACK_SIZE};
    const uint64_t high = xxh3_of(4, &number, sizeof number);
    const uint64_t low = xxh3_of(5, &number, sizeof number);

    (void)snprintf(pack.id, sizeof pack.id, "%016" PRIx64 "%016" PRIx64, high, low);
    backup_id_of(number < packs ? 0 : number - packs + 1, pack.backup);
    for (size_t i = 0; i < sizeof pack.sha256; i++)
        pack.sha256[i] = (uint8_t)(high >> i % 8 * 8 ^ low >> i / 4);
    return pack;
}

static bool store_packs(const Cluster *cluster, const Shape *shape, Error *err)
{
    static const uint8_t bytes[PACK_SIZE];

    for (size_t i = 0; i < shape->backups + shape->packs - 1; i++) {
        const PackInfo pack = pack_of(i, shape->packs);
        CLEANUP(text_freep) char *object = layout_pack(cluster->name, pack.id);

        if (!storage_put(cluster->repo->storage, object, WRITE_NEW, bytes, sizeof bytes, err))
            return false;
    }
    return true;
}

static bool make(const char *address, const char *name, const Shape *shape, Error *err)
{
    CLEANUP(repo_done) Repo repo = {0};
    CLEANUP(manifest_done) Manifest manifest = {0};
    Cluster cluster;
    Storage *storage = storage_open(&(StorageSetup){.address = address}, err);

    if (storage == NULL || !repo_open(&repo, storage, err) ||
        !cluster_open(&repo, name, &cluster, err) || !store_packs(&cluster, shape, err))
        return false;
    manifest.packs = arena_alloc(&manifest.arena, shape->packs * sizeof manifest.packs[0]);
    manifest.pack_count = shape->packs;
    fill_header(&manifest.header, &cluster);
    add_files(&manifest, shape->files);
    for (size_t i = 0; i < shape->backups; i++) {
        for (size_t pack = 0; pack < shape->packs; pack++)
            manifest.packs[pack] = pack_of(i + pack, shape->packs);
        if (!save(&manifest, &cluster, i, err))
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    Error err = {0};

    if (argc != 5 && argc != 6) {
        fprintf(stderr, "usage: driver_manifests REPOSITORY CLUSTER BACKUPS FILES [PACKS]\n");
        return 2;
    }
    const Shape shape = {.backups = strtoul(argv[3], NULL, 10),
                         .files = strtoul(argv[4], NULL, 10),
                         .packs = argc == 6 ? strtoul(argv[5], NULL, 10) : 1};
    first_began = time_now() - (TimeUs)shape.backups * 3600 * 1000000;
    if (make(argv[1], argv[2], &shape, &err))
        return 0;
    fprintf(stderr, "%s\n", err.message);
    return 1;
}
