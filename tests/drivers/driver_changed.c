/*
 * Which blocks changed between two places of the archived WAL.
 *
 *     driver_changed REPOSITORY CLUSTER TIMELINE FROM TO PG_WAL|- [SEGMENT] < FILES
 *
 * Without SEGMENT each line of FILES is "tablespace database relation first count"; the answer is
 * that line, a word and the blocks. With it: all that the list beside that segment names, a line
 * "tablespace database relation fork block" each.
 */
#include "changed/changed_blocks.h"

#include <inttypes.h>
#include <stdlib.h>

typedef struct Asking {
    Repo repo;
    Cluster cluster;
    WalInventory inventory;
    Arena arena;
    TimelinePath path;
} Asking;

static void asking_done(Asking *asking)
{
    wal_inventory_done(&asking->inventory);
    arena_done(&asking->arena);
    repo_done(&asking->repo);
}

static bool asking_open(Asking *asking, char **arguments, Error *err)
{
    Storage *storage = storage_open(&(StorageSetup){.address = arguments[0]}, err);

    return storage != NULL && repo_open(&asking->repo, storage, err) &&
           cluster_open(&asking->repo, arguments[1], &asking->cluster, err) &&
           wal_inventory_load(&asking->inventory, &asking->cluster, err) &&
           timeline_path_load(&asking->cluster, (uint32_t)strtoul(arguments[2], NULL, 10),
                              &asking->arena, &asking->path, err);
}

static void answer(const ChangedBlocks *changed, const char *line)
{
    static const char *const words_of[] = {"unknown", "all", "some", "none"};
    static uint64_t words[1 << 12];
    RelationFile file;
    uint32_t first, count;

    if (sscanf(line, "%" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32, &file.tablespace,
               &file.database, &file.number, &first, &count) != 5)
        return;
    const ChangedAnswer found = changed_blocks_of(changed, &file, FORK_MAIN, first, count, words);
    printf("%" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %s", file.tablespace, file.database,
           file.number, first, words_of[found]);
    for (uint32_t i = 0; i < count; i++) {
        if ((words[i / 64] >> i % 64 & 1) != 0)
            printf(" %" PRIu32, first + i);
    }
    printf("\n");
}

static bool ask(const Asking *asking, char **arguments, Error *err)
{
    CLEANUP(changed_blocks_freep) ChangedBlocks *changed = NULL;
    ChangedRequest request = {.cluster = &asking->cluster,
                              .inventory = &asking->inventory,
                              .path = &asking->path,
                              .pg_wal = strcmp(arguments[5], "-") == 0 ? NULL : arguments[5],
                              .threads = 1};
    char line[256];

    if (!lsn_parse(arguments[3], &request.from, err) ||
        !lsn_parse(arguments[4], &request.to, err) || !changed_blocks_load(&request, &changed, err))
        return false;
    const ChangedCost cost = changed_blocks_cost(changed);
    const char *why_not = changed_blocks_why_not(changed);
    printf("# segments=%" PRIu64 " read=%" PRIu64 " %s\n", cost.segments, cost.read,
           why_not != NULL ? why_not : "known");
    while (fgets(line, sizeof line, stdin) != NULL)
        answer(changed, line);
    return true;
}

static bool show(const Asking *asking, const char *segment, Error *err)
{
    CLEANUP(wal_blocks_freep) WalBlocks *blocks = NULL;
    WalTrailer trailer;
    WalBlockRun run;
    size_t at = 0, count;

    if (!wal_object_blocks(&asking->cluster, segment, &trailer, &blocks, err))
        return false;
    if (blocks == NULL)
        return error_set(err, ERR_NOT_FOUND, "there is no list");
    while (wal_blocks_next(blocks, &at, &run)) {
        for (size_t i = 0; i < run.count; i++)
            printf("%" PRIu32 " %" PRIu32 " %" PRIu32 " %d %" PRIu32 "\n", run.file.tablespace,
                   run.file.database, run.file.number, (int)run.fork, wal_block_of(&run, i));
    }
    const WalEffect *effects = wal_blocks_effects(blocks, &count);
    printf("# bytes=%" PRIu32 " effects=%zu first=%d\n", trailer.blocks_size, count,
           count > 0 ? (int)effects[0].kind : 0);
    return true;
}

int main(int argc, char **argv)
{
    CLEANUP(asking_done) Asking asking = {0};
    Error err = {0};

    if (argc < 7) {
        fprintf(stderr, "usage: driver_changed REPOSITORY CLUSTER TIMELINE FROM TO PG_WAL|- "
                        "[SEGMENT]\n");
        return 2;
    }
    if (asking_open(&asking, argv + 1, &err) &&
        (argc > 7 ? show(&asking, argv[7], &err) : ask(&asking, argv + 1, &err)))
        return 0;
    fprintf(stderr, "%s: %s\n", err.context, err.message);
    return 1;
}
