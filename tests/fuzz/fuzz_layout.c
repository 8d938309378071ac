/* Names of objects. Input: segment size, cluster up to a zero, object. */
#include "base/memory.h"
#include "fuzz.h"
#include "repo/layout.h"

static void try_wal(const char *cluster, const char *object, uint32_t segment_size)
{
    char text[WAL_NAME_SIZE];
    WalName name;

    if (!layout_wal_name_of(cluster, object, segment_size, &name))
        return;
    CLEANUP(text_freep) char *again = layout_wal(cluster, wal_name_text(&name, segment_size, text));
    CLEANUP(text_freep)
    char *folder = layout_wal_folder(cluster, wal_name_text(&name, segment_size, text));
    assert(strcmp(again, object) == 0);
    assert(strncmp(object, folder, strlen(folder)) == 0);
    fuzz_accepted();
}

static void try_backup(const char *cluster, const char *object)
{
    char id[BACKUP_ID_SIZE];

    if (!layout_backup_id_of(cluster, object, id))
        return;
    CLEANUP(text_freep) char *again = layout_manifest(cluster, id);
    assert(strcmp(again, object) == 0);
    fuzz_accepted();
}

static void try_mark(const char *cluster, const char *object)
{
    MarkName name;

    if (!layout_mark_of(cluster, object, &name))
        return;
    CLEANUP(text_freep)
    char *again = layout_mark(cluster, name.kind, name.what, name.subject, name.number, 0);
    assert(strlen(again) == strlen(object));
    assert(strncmp(again, object, strlen(object) - 8) == 0);
    fuzz_accepted();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};
    uint32_t segment_size = UINT32_C(1) << (20 + fuzz_u8(&input) % 11);
    CLEANUP(text_freep) char *cluster = fuzz_text(&input);
    CLEANUP(text_freep) char *object = fuzz_rest_text(&input);
    Error err = {0};

    if (!cluster_name_check(cluster, &err)) {
        assert(err.code == ERR_USAGE);
        return 0;
    }
    assert(strpbrk(cluster, "/. %") == NULL && strlen(cluster) < 64);
    try_wal(cluster, object, segment_size);
    try_backup(cluster, object);
    try_mark(cluster, object);
    return 0;
}

static void seed(const char *name, const char *object)
{
    CLEANUP(buffer_done) Buffer bytes = {0};

    buffer_append(&bytes, "\4main", sizeof "\4main");
    buffer_append(&bytes, object, strlen(object));
    fuzz_seed(name, bytes.data, bytes.size);
}

void fuzz_seeds(void)
{
    CLEANUP(text_freep) char *segment = layout_wal("main", "000000010000000100000042");
    CLEANUP(text_freep) char *history = layout_wal("main", "00000002.history");
    CLEANUP(text_freep) char *backup = layout_manifest("main", "20261122T031500Z-k3v7qa");
    CLEANUP(text_freep)
    char *mark =
        layout_mark("main", "damage", "wal", "000000010000000100000042.partial", 3, 0xabcd);

    seed("segment", segment);
    seed("history", history);
    seed("backup", backup);
    seed("mark", mark);
}
