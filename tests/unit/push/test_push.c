#include "push/push.h"

#include "../scene.h"
#include "repo/layout.h"
#include "storage/driver.h"
#include "stores.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const Compression zstd = {.codec = CODEC_ZSTD, .level = 1};

static bool push(const Scene *scene, const char *path, PushResult *result, Error *err)
{
    PushRequest request = {.path = path, .compression = zstd, .threads = 1};

    return archive_push(&scene->archive.cluster, &request, result, err);
}

static void result_done(PushResult *result)
{
    text_freep(&result->aside);
}

static void assert_pushed(const Scene *scene, const char *path, PushOutcome outcome)
{
    CLEANUP(result_done) PushResult result = {0};
    Error err = {0};

    if (!push(scene, path, &result, &err))
        fail_msg("%s", err.message);
    assert_int_equal(result.outcome, outcome);
    assert_int_equal(result.aside != NULL, outcome == PUSH_REPAIRED);
}

static void assert_refused(const Scene *scene, const char *path, ErrorCode code)
{
    CLEANUP(result_done) PushResult result = {0};
    Error err = {0};

    assert_false(push(scene, path, &result, &err));
    assert_int_equal(err.code, code);
    assert_null(result.aside);
}

static void assert_archived(const Scene *scene, const char *name, const void *data, size_t size)
{
    CLEANUP(buffer_done) Buffer content = {0};

    scene_archived(scene, name, &content);
    assert_int_equal(content.size, size);
    assert_memory_equal(content.data, data, size);
}

static void a_segment_is_stored_once_with_what_its_wal_says(void **state)
{
    CLEANUP(scene_done) Scene scene;
    char name[WAL_NAME_SIZE];
    WalTrailer trailer;
    Error err = {0};

    (void)state;
    scene_init(&scene);
    CLEANUP(text_freep) char *path = scene_segment_file(&scene, 2);
    assert_pushed(&scene, path, PUSH_STORED);
    assert_pushed(&scene, path, PUSH_ALREADY_THERE);

    scene_segment_name(1, 2, name);
    assert_archived(&scene, name, wal_builder_segment(&scene.wal, 2), MIB);
    assert_int_equal(scene_objects(&scene, "main/wal/"), 1);
    assert_true(wal_object_trailer(&scene.archive.cluster, name, &trailer, &err));
    assert_int_equal(trailer.summary.commit_count, 20);
    assert_int_equal(trailer.summary.end_time_min, time_from_postgres(2000));
    assert_int_equal(trailer.summary.end_time_max, time_from_postgres(2019));
    assert_int_equal(trailer.summary.xid_first, 900);
    assert_int_equal(trailer.summary.reader.end, WAL_END_SWITCH);
    assert_int_equal(trailer.system_identifier, BUILDER_SYSTEM);
}

/* In the middle of a page header, of a record's header, of its data, between two records. */
static void a_padded_piece_is_refused_wherever_it_was_cut(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(buffer_done) Buffer piece = {0};
    char name[WAL_NAME_SIZE];

    (void)state;
    scene_init(&scene);
    const uint8_t *whole = wal_builder_segment(&scene.wal, 2);
    size_t end = MIB;
    while (whole[end - 1] == 0)
        end--;
    assert_true(end > 3 * WAL_BLOCK_SIZE);
    for (size_t cut = WAL_SEGMENT_HEADER_SIZE; cut < end;
         cut += cut % WAL_BLOCK_SIZE < 80 ? 1 : 61) {
        piece.size = 0;
        buffer_append(&piece, whole, MIB);
        memset(piece.data + cut, 0, MIB - cut);
        if (memcmp(piece.data, whole, MIB) == 0)
            continue; /* only zeros were cut off */
        CLEANUP(text_freep)
        char *path = scene_file(&scene, scene_segment_name(1, 2, name), piece.data, MIB);
        assert_refused(&scene, path, ERR_REFUSED);
    }
    assert_int_equal(scene_objects(&scene, "main/wal/"), 0);
}

/* What follows its WAL are pages of another segment: nobody has written it any further. */
static void a_recycled_file_that_was_not_written_to_its_end_is_refused(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(buffer_done) Buffer file = {0};
    char name[WAL_NAME_SIZE];

    (void)state;
    scene_init(&scene);
    buffer_append(&file, wal_builder_segment(&scene.wal, 2), 2 * WAL_BLOCK_SIZE);
    buffer_append(&file, wal_builder_segment(&scene.wal, 1) + file.size, MIB - file.size);
    CLEANUP(text_freep)
    char *path = scene_file(&scene, scene_segment_name(1, 2, name), file.data, MIB);
    assert_refused(&scene, path, ERR_REFUSED);
    assert_int_equal(scene_objects(&scene, "main/wal/"), 0);
}

static void wal_that_breaks_in_the_middle_is_stored_and_its_end_noted(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(buffer_done) Buffer broken = {0};
    char name[WAL_NAME_SIZE];
    WalTrailer trailer;
    Error err = {0};

    (void)state;
    scene_init(&scene);
    buffer_append(&broken, wal_builder_segment(&scene.wal, 2), MIB);
    broken.data[WAL_BLOCK_SIZE + 500] ^= 1;
    CLEANUP(text_freep)
    char *path = scene_file(&scene, scene_segment_name(1, 2, name), broken.data, MIB);
    assert_pushed(&scene, path, PUSH_STORED);

    assert_archived(&scene, name, broken.data, MIB);
    assert_true(wal_object_trailer(&scene.archive.cluster, name, &trailer, &err));
    assert_int_equal(trailer.summary.reader.end, WAL_END_BROKEN);
    assert_false(trailer.summary.reader.rest_is_zero);
}

/* Somebody else may have published the object and died before its sync (law 2). */
static unsigned sync_count;
static const StorageOps *inner_ops;

static bool count_sync(Storage *storage, const char *name, Error *err)
{
    sync_count++;
    return inner_ops->sync(storage, name, err);
}

static void what_is_there_already_is_made_durable(void **state)
{
    CLEANUP(scene_done) Scene scene;

    (void)state;
    scene_init(&scene);
    CLEANUP(text_freep) char *path = scene_segment_file(&scene, 2);
    assert_pushed(&scene, path, PUSH_STORED);
    inner_ops = scene.archive.repo.storage->ops;
    StorageOps ops = *inner_ops;
    ops.sync = count_sync;
    scene.archive.repo.storage->ops = &ops;
    sync_count = 0;

    assert_pushed(&scene, path, PUSH_ALREADY_THERE);

    scene.archive.repo.storage->ops = inner_ops;
    assert_int_equal(sync_count, 1);
}

/* One byte in every stretch of the object; the trailer's own version says "newer", not "damaged".
 */
static void a_damaged_object_is_set_aside_and_stored_anew(void **state)
{
    CLEANUP(scene_done) Scene scene;
    char name[WAL_NAME_SIZE];
    CLEANUP(buffer_done) Buffer good = {0};
    Error err = {0};
    size_t count = 0;

    (void)state;
    scene_init(&scene);
    CLEANUP(text_freep) char *path = scene_segment_file(&scene, 2);
    assert_pushed(&scene, path, PUSH_STORED);
    CLEANUP(text_freep) char *object = layout_wal("main", scene_segment_name(1, 2, name));
    Storage *storage = scene.archive.repo.storage;
    assert_true(storage_read(storage, object, 8 * MIB, &good, &err));

    const size_t version = good.size - WAL_TRAILER_SIZE + 8;
    for (size_t at = 0; at < good.size; at += 1 + good.size / 97) {
        if (at == version || at == version + 1)
            continue;
        good.data[at] ^= 0x20;
        assert_true(storage_put(storage, object, WRITE_REPLACE, good.data, good.size, &err));
        good.data[at] ^= 0x20;
        assert_pushed(&scene, path, PUSH_REPAIRED);
        assert_archived(&scene, name, wal_builder_segment(&scene.wal, 2), MIB);
        count++;
    }
    for (size_t size = 0; size < good.size; size += 1 + good.size / 13) {
        assert_true(storage_put(storage, object, WRITE_REPLACE, good.data, size, &err));
        assert_pushed(&scene, path, PUSH_REPAIRED);
        count++;
    }
    assert_int_equal(scene_objects(&scene, "main/wal/"), count + 1);
}

static void other_content_is_never_overwritten(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(buffer_done) Buffer other = {0};
    char name[WAL_NAME_SIZE];

    (void)state;
    scene_init(&scene);
    CLEANUP(text_freep) char *path = scene_segment_file(&scene, 2);
    assert_pushed(&scene, path, PUSH_STORED);
    buffer_append(&other, wal_builder_segment(&scene.wal, 2), MIB);
    other.data[MIB / 64 + 3] ^= 1;
    CLEANUP(text_freep)
    char *changed = scene_file(&scene, scene_segment_name(1, 2, name), other.data, MIB);

    assert_refused(&scene, changed, ERR_EXISTS);

    assert_archived(&scene, name, wal_builder_segment(&scene.wal, 2), MIB);
    /* Not even when the stored object is damaged: its trailer still says that it is another's. */
    archive_damage(&scene.archive, 1, 2, 200);
    assert_refused(&scene, changed, ERR_EXISTS);
    assert_int_equal(scene_objects(&scene, "main/wal/"), 1);
}

/*
 * Whatever operation of the store fails, and whether or not what it did is kept: a failure is told,
 * a success is true, and the next push finds its way.
 */
static void any_failing_operation_leaves_a_way_on(void **state)
{
    static const struct {
        bool loses_answer, is_damaged;
    } cases[] = {{false, false}, {false, true}, {true, false}, {true, true}};
    CLEANUP(text_freep) char *path = NULL;
    char name[WAL_NAME_SIZE];

    (void)state;
    scene_segment_name(1, 2, name);
    for (size_t c = 0; c < ARRAY_SIZE(cases); c++) {
        bool reached = true;

        for (uint64_t n = 1; reached; n++) {
            CLEANUP(scene_done) Scene scene;
            CLEANUP(result_done) PushResult result = {0};
            Error err = {0};

            scene_init(&scene);
            text_freep(&path);
            path = scene_segment_file(&scene, 2);
            assert_pushed(&scene, path, PUSH_STORED);
            if (cases[c].is_damaged)
                archive_damage(&scene.archive, 1, 2, 200);
            uint64_t calls = storage_fault_calls(scene.archive.repo.storage);
            scene.fault = (StorageFault){.fail_at = calls + n,
                                         .code = ERR_UNREACHABLE,
                                         .lose_answer = cases[c].loses_answer};
            bool ok = push(&scene, path, &result, &err);
            reached = storage_fault_calls(scene.archive.repo.storage) >= calls + n;
            scene.fault = (StorageFault){0};

            /* Once it is stored, a mark that can't be taken back is not a failure. */
            assert_true(ok ? !reached || result.outcome != PUSH_STORED : reached);
            if (!ok)
                assert_int_equal(err.code, ERR_UNREACHABLE);
            CLEANUP(result_done) PushResult again = {0};
            error_clear(&err);
            assert_true(push(&scene, path, &again, &err));
            assert_archived(&scene, name, wal_builder_segment(&scene.wal, 2), MIB);
        }
    }
}

/* Somebody else stores the same segment between our look and our commit. */
static void losing_a_race_against_the_same_content_is_a_success(void **state)
{
    CLEANUP(text_freep) char *path = NULL;
    bool seen = false;

    (void)state;
    for (uint64_t n = 1; n < 40 && !seen; n++) {
        CLEANUP(scene_done) Scene scene;
        CLEANUP(result_done) PushResult result = {0};
        Error err = {0};

        scene_init(&scene);
        text_freep(&path);
        path = scene_segment_file(&scene, 2);
        scene.fault = (StorageFault){
            .fail_at = storage_fault_calls(scene.archive.repo.storage) + n,
            .code = ERR_EXISTS,
            .lose_answer = true,
        };
        if (push(&scene, path, &result, &err)) {
            seen = result.outcome == PUSH_ALREADY_THERE;
            scene.fault = (StorageFault){0};
            assert_pushed(&scene, path, PUSH_ALREADY_THERE);
        }
    }
    assert_true(seen);
}

static void history_and_backup_files_must_be_what_their_names_say(void **state)
{
    static const struct {
        const char *name, *text;
        bool is_good;
    } files[] = {
        {"00000002.history", "1\t0/200000\tno recovery target specified\n", true},
        {"00000003.history", "1\t0/200000\tx\n2\t0/300000\tx\n", true},
        {"00000004.history", "", false},
        {"00000004.history", "# nothing\n", false},
        {"00000004.history", "4\t0/200000\tx\n", false},
        {"00000004.history", "rubbish\n", false},
        {"00000001.history", "1\t0/200000\tx\n", false},
        {"000000010000000000000002.00000028.backup",
         "START WAL LOCATION: 0/200028 (file 000000010000000000000002)\nLABEL: x\n", true},
        {"000000010000000000000002.00000030.backup",
         "START WAL LOCATION: 0/200028 (file 000000010000000000000002)\n", false},
        {"000000010000000000000003.00000028.backup",
         "START WAL LOCATION: 0/200028 (file 000000010000000000000002)\n", false},
        {"000000010000000000000002.00000040.backup", "", false},
        {"000000010000000000000002.00000040.backup", "START WAL LOCATION: ", false},
    };
    CLEANUP(scene_done) Scene scene;

    (void)state;
    scene_init(&scene);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        size_t size = strlen(files[i].text);
        CLEANUP(text_freep)
        char *path = scene_file(&scene, files[i].name, files[i].text, size);

        if (!files[i].is_good) {
            assert_refused(&scene, path, ERR_REFUSED);
            continue;
        }
        assert_pushed(&scene, path, PUSH_STORED);
        assert_pushed(&scene, path, PUSH_ALREADY_THERE);
        assert_archived(&scene, files[i].name, files[i].text, size);
    }
}

/* Its server knows nothing of that, and goes on. */
static void what_goes_on_from_what_was_set_aside_is_refused(void **state)
{
    static const struct {
        uint32_t timeline;
        uint64_t pushed; /* segment; the archive of timeline 1 ends with 1, that of 2 has it all */
        const char *aside;
        bool is_taken;
    } cases[] = {
        {1, 3, "wal/0000000100000000/000000010000000000000002.wal", false},
        {1, 3, "wal/0000000100000000/000000010000000000000004.wal", true},
        {1, 3, "wal/0000000200000000/000000020000000000000002.wal", true},
        {1, 2, "wal/0000000100000000/000000010000000000000002.wal", true}, /* the right one's */
        {1, 2, "wal/0000000100000000/000000010000000000000001.wal", true}, /* and there again */
        {2, 3, "wal/00000002.history.wal", false},
        {1, 3, "wal/00000002.history.wal", true},
        /* Another server's timeline 2 began earlier: nothing of this one's was set aside. */
        {2, 3, "wal/0000000200000000/000000020000000000000002.wal", true},
        {2, 3, "wal/0000000100000000/000000010000000000000002.wal", false}, /* the parent's */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(scene_done) Scene scene;
        CLEANUP(result_done) PushResult result = {0};
        Error err = {0};
        char name[WAL_NAME_SIZE];

        scene_init(&scene);
        archive_put_segments(&scene.archive, &scene.wal, 1, 1, 1);
        CLEANUP(text_freep)
        char *aside = text_format("main/quarantine/20261122T031500Z-k3v7qa/%s", cases[i].aside);
        assert_true(storage_put(scene.archive.repo.storage, aside, WRITE_NEW, "", 0, &err));
        CLEANUP(text_freep)
        char *path =
            scene_file(&scene, scene_segment_name(cases[i].timeline, cases[i].pushed, name),
                       wal_builder_segment(&scene.wal, cases[i].pushed), MIB);
        if (cases[i].timeline == 2) {
            CLEANUP(text_freep)
            char *history = scene_file(&scene, "00000002.history", "1\t0/300100\tx\n", 14);
            (void)history;
        }
        assert_int_equal(push(&scene, path, &result, &err), cases[i].is_taken);
        if (!cases[i].is_taken) {
            assert_int_equal(err.code, ERR_REFUSED);
            assert_non_null(strstr(err.message, "set aside as 20261122T031500Z-k3v7qa"));
        }
    }
}

/* The parent's pages begin a child's first segment; its history says where. */
static void a_parents_pages_begin_a_child_only_at_its_fork(void **state)
{
    static const struct {
        const char *history; /* NULL: none */
        bool is_good;
    } cases[] = {
        {NULL, false},
        {"1\t0/1FFFF8\tx\n", false},
        {"1\t0/200000\tx\n", true},
        {"1\t0/202000\tx\n", true},
        {"1\t0/2FFFF8\tx\n", true},
        {"1\t0/300000\tx\n", false},
        {"rubbish\n", false},
    };
    char name[WAL_NAME_SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(scene_done) Scene scene;
        CLEANUP(text_freep) char *history = NULL;

        scene_init(&scene);
        if (cases[i].history != NULL) {
            history =
                scene_file(&scene, "00000002.history", cases[i].history, strlen(cases[i].history));
        }
        CLEANUP(text_freep)
        char *path = scene_file(&scene, scene_segment_name(2, 2, name),
                                wal_builder_segment(&scene.wal, 2), MIB);
        if (cases[i].is_good) {
            assert_pushed(&scene, path, PUSH_STORED);
        } else {
            CLEANUP(result_done) PushResult result = {0};
            Error err = {0};

            assert_false(push(&scene, path, &result, &err));
            assert_true(err.code == ERR_REFUSED || err.code == ERR_CORRUPT);
            assert_int_equal(scene_objects(&scene, "main/wal/"), 0);
        }
    }
}

/* A store during whose first write the file is changed by somebody. */
static const char *changed_path;
static struct timespec change_by;

static bool change_and_write(Storage *storage, const char *name, WriteMode mode,
                             ObjectWriter **writer, Error *err)
{
    struct stat status;

    assert_int_equal(stat(changed_path, &status), 0);
    struct timespec times[2] = {
        {.tv_nsec = UTIME_OMIT},
        {.tv_sec = status.st_mtim.tv_sec + change_by.tv_sec,
         .tv_nsec = (status.st_mtim.tv_nsec + change_by.tv_nsec) % 1000000000},
    };
    assert_int_equal(utimensat(AT_FDCWD, changed_path, times, 0), 0);
    return inner_ops->write(storage, name, mode, writer, err);
}

static void a_file_that_changes_while_it_is_read_is_not_archived(void **state)
{
    static const struct timespec changes[] = {{.tv_sec = 5}, {.tv_nsec = 1}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        CLEANUP(scene_done) Scene scene;

        scene_init(&scene);
        CLEANUP(text_freep) char *path = scene_segment_file(&scene, 2);
        inner_ops = scene.archive.repo.storage->ops;
        StorageOps ops = *inner_ops;
        ops.write = change_and_write;
        scene.archive.repo.storage->ops = &ops;
        changed_path = path;
        change_by = changes[i];
        assert_refused(&scene, path, ERR_IO);
        scene.archive.repo.storage->ops = inner_ops;
        assert_int_equal(scene_objects(&scene, "main/wal/"), 0);
        assert_pushed(&scene, path, PUSH_STORED);
    }
}

static void what_is_no_file_of_wal_is_refused(void **state)
{
    enum { MUCH = 3 << 20 };
    static const char line[] = "1\t0/200000\tx\n";
    static const char hidden[] = "1\t0/200000\tx\n\0rubbish";
    CLEANUP(scene_done) Scene scene;
    CLEANUP(buffer_done) Buffer text = {0};
    char name[WAL_NAME_SIZE];

    (void)state;
    scene_init(&scene);
    /* A directory. */
    CLEANUP(text_freep) char *folder = text_format("%s/00000004.history", scene.directory);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_refused(&scene, folder, ERR_REFUSED);
    /* Half a segment, and a bit more than one. */
    CLEANUP(text_freep)
    char *half = scene_file(&scene, scene_segment_name(1, 2, name),
                            wal_builder_segment(&scene.wal, 2), MIB / 2);
    assert_refused(&scene, half, ERR_REFUSED);
    CLEANUP(text_freep)
    char *piece = scene_file(&scene, "000000010000000000000002.partial",
                             wal_builder_segment(&scene.wal, 2), MIB / 2);
    assert_refused(&scene, piece, ERR_REFUSED);
    /* A history that does not end, and one with more beyond its end. */
    buffer_append(&text, line, strlen(line));
    buffer_reserve(&text, MUCH);
    memset(text.data + text.size, '#', MUCH - text.size);
    CLEANUP(text_freep) char *endless = scene_file(&scene, "00000002.history", text.data, MUCH);
    assert_refused(&scene, endless, ERR_REFUSED);
    CLEANUP(text_freep)
    char *longer = scene_file(&scene, "00000003.history", hidden, sizeof hidden - 1);
    assert_refused(&scene, longer, ERR_REFUSED);
    assert_int_equal(scene_objects(&scene, "main/wal/"), 0);
}

/* The pages are of timeline 2, which timeline 3 does not come from. */
static void pages_of_a_stranger_begin_no_child(void **state)
{
    static const char history[] = "1\t0/202000\tx\n";
    CLEANUP(scene_done) Scene scene;
    CLEANUP(wal_builder_done) WalBuilder other = wal_builder_begin(15, MIB, 2 * MIB, 2);
    char name[WAL_NAME_SIZE];

    (void)state;
    scene_init(&scene);
    wal_builder_commit(&other, 1, 1);
    wal_builder_switch(&other);
    CLEANUP(text_freep)
    char *text = scene_file(&scene, "00000003.history", history, strlen(history));
    CLEANUP(text_freep)
    char *path =
        scene_file(&scene, scene_segment_name(3, 2, name), wal_builder_segment(&other, 2), MIB);
    assert_refused(&scene, path, ERR_REFUSED);

    /* What is beside it and can't be read is not looked for elsewhere. */
    assert_int_equal(unlink(text), 0);
    assert_int_equal(mkdir(text, 0700), 0);
    archive_put_history(&scene.archive, 3, "1\t0/100000\tx\n2\t0/202000\tx\n");
    assert_refused(&scene, path, ERR_IO);
    assert_int_equal(rmdir(text), 0);
    assert_pushed(&scene, path, PUSH_STORED);
}

static bool refuse(void *context, Error *err)
{
    const Scene *scene = context;

    assert_int_equal(scene_objects(scene, "main/wal/"), 0);
    return error_set(err, ERR_UNREACHABLE, "not its turn");
}

static void what_may_not_be_published_never_existed(void **state)
{
    CLEANUP(scene_done) Scene scene;
    PushResult result = {0};
    Error err = {0};

    (void)state;
    scene_init(&scene);
    CLEANUP(text_freep) char *path = scene_segment_file(&scene, 2);
    const PushRequest request = {
        .path = path, .compression = zstd, .before_commit = refuse, .context = &scene};
    assert_false(archive_push(&scene.archive.cluster, &request, &result, &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
    assert_int_equal(scene_objects(&scene, "main/wal/"), 0);
    assert_pushed(&scene, path, PUSH_STORED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_may_not_be_published_never_existed),
        cmocka_unit_test(a_segment_is_stored_once_with_what_its_wal_says),
        cmocka_unit_test(a_padded_piece_is_refused_wherever_it_was_cut),
        cmocka_unit_test(a_recycled_file_that_was_not_written_to_its_end_is_refused),
        cmocka_unit_test(wal_that_breaks_in_the_middle_is_stored_and_its_end_noted),
        cmocka_unit_test(what_is_there_already_is_made_durable),
        cmocka_unit_test(a_damaged_object_is_set_aside_and_stored_anew),
        cmocka_unit_test(other_content_is_never_overwritten),
        cmocka_unit_test(any_failing_operation_leaves_a_way_on),
        cmocka_unit_test(losing_a_race_against_the_same_content_is_a_success),
        cmocka_unit_test(history_and_backup_files_must_be_what_their_names_say),
        cmocka_unit_test(what_goes_on_from_what_was_set_aside_is_refused),
        cmocka_unit_test(a_parents_pages_begin_a_child_only_at_its_fork),
        cmocka_unit_test(a_file_that_changes_while_it_is_read_is_not_archived),
        cmocka_unit_test(what_is_no_file_of_wal_is_refused),
        cmocka_unit_test(pages_of_a_stranger_begin_no_child),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
