/*
 * Many backups of many files, without the files: what it costs to list them.
 *
 *     driver_manifests REPOSITORY CLUSTER BACKUPS FILES
 *
 * The cluster must be registered. Each backup has a manifest with a line for each file and a pack
 * that all of them share, of which nothing but its size is right.
 */
#include "pack/manifest.h"
#include "repo/layout.h"
#include "stream/digest.h"

#include <stdlib.h>

enum { PACK_SIZE = 4096 };

static const char pack_id[] = "00112233445566778899aabbccddeeff";

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
    header->commit_time_max = TIME_US_NONE;
    header->wal_segment_size = cluster->wal_segment_size;
}

static bool save(Manifest *manifest, const Cluster *cluster, size_t number, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    ManifestHeader *header = &manifest->header;
    char lsn[LSN_TEXT_SIZE];

    header->start = (number + 2) * header->wal_segment_size + 40;
    header->stop = header->start + 1000;
    header->label = arena_format(&arena,
                                 "START WAL LOCATION: %s (file 000000010000000000000001)\n"
                                 "CHECKPOINT LOCATION: %s\nSTART TIMELINE: 1\n",
                                 lsn_text(header->start, lsn), lsn);
    snprintf(header->id, sizeof header->id, "20261122T%02zu%02zu%02zuZ-aaaaaa", number / 3600 % 24,
             number / 60 % 60, number % 60);
    return manifest_save(manifest, cluster, err);
}

static bool make(const char *address, const char *name, size_t backups, size_t files, Error *err)
{
    static const uint8_t bytes[PACK_SIZE];
    CLEANUP(repo_done) Repo repo = {0};
    CLEANUP(manifest_done) Manifest manifest = {0};
    CLEANUP(text_freep) char *object = layout_pack(name, pack_id);
    PackInfo pack = {.size = PACK_SIZE, .backup = "20261122T000000Z-aaaaaa"};
    Cluster cluster;
    Storage *storage = storage_open(&(StorageSetup){.address = address}, err);

    if (storage == NULL || !repo_open(&repo, storage, err) ||
        !cluster_open(&repo, name, &cluster, err) ||
        !storage_put(repo.storage, object, WRITE_NEW, bytes, sizeof bytes, err))
        return false;
    memcpy(pack.id, pack_id, sizeof pack_id);
    manifest.packs = &pack;
    manifest.pack_count = 1;
    fill_header(&manifest.header, &cluster);
    add_files(&manifest, files);
    for (size_t i = 0; i < backups; i++) {
        if (!save(&manifest, &cluster, i, err))
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    Error err = {0};

    if (argc != 5) {
        fprintf(stderr, "usage: driver_manifests REPOSITORY CLUSTER BACKUPS FILES\n");
        return 2;
    }
    if (make(argv[1], argv[2], strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10), &err))
        return 0;
    fprintf(stderr, "%s\n", err.message);
    return 1;
}
