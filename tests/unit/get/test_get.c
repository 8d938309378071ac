#include "get/get.h"

#include "../scene.h"
#include "base/file.h"
#include "repo/layout.h"
#include "stores.h"

#include <unistd.h>

/* Segments 1, 2 and 4 of timeline 1: 3 is a hole, 5 is beyond the end. */
static void fill_archive(Scene *scene)
{
    scene_init(scene);
    archive_put_segments(&scene->archive, &scene->wal, 1, 1, 2);
    archive_put_segment(&scene->archive, &scene->wal, 1, 4);
}

static char *target(const Scene *scene)
{
    return text_format("%s/RECOVERYXLOG", scene->directory);
}

static bool get(const Scene *scene, const char *name, Error *err)
{
    CLEANUP(text_freep) char *path = target(scene);

    (void)unlink(path);
    return archive_get(&scene->archive.cluster,
                       &(GetRequest){.name = name, .path = path, .threads = 1}, err);
}

/* What is at the path is the segment, whole; or there is nothing. */
static void assert_delivered(const Scene *scene, bool wanted, uint64_t segment)
{
    CLEANUP(text_freep) char *path = target(scene);
    CLEANUP(buffer_done) Buffer content = {0};
    Error err = {0};

    assert_int_equal(file_exists(path), wanted);
    if (!wanted)
        return;
    assert_true(file_read_whole(path, 2 * MIB, &content, &err));
    assert_int_equal(content.size, MIB);
    assert_memory_equal(content.data, wal_builder_segment(&scene->wal, segment), MIB);
}

typedef struct Question {
    const char *name;
    uint64_t segment; /* 0: not there */
    ErrorCode code;   /* ERR_NONE: given */
} Question;

static const Question questions[] = {
    {"000000010000000000000001", 1, ERR_NONE},
    {"000000010000000000000002", 2, ERR_NONE},
    {"000000010000000000000003", 0, ERR_CORRUPT},
    {"000000010000000000000004", 4, ERR_NONE},
    {"000000010000000000000005", 0, ERR_ABSENT},
    {"000000010000000000000100", 0, ERR_ABSENT},
    {"00000001.history", 0, ERR_ABSENT},
    {"00000002.history", 0, ERR_ABSENT},
    {"000000010000000000000001.partial", 0, ERR_ABSENT},
    {"000000010000000000000001.00000028.backup", 0, ERR_ABSENT},
    {"rubbish", 0, ERR_USAGE},
    {"", 0, ERR_USAGE},
};

static void each_question_has_its_answer(void **state)
{
    CLEANUP(scene_done) Scene scene;

    (void)state;
    fill_archive(&scene);
    for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
        Error err = {0};

        assert_int_equal(get(&scene, questions[i].name, &err), questions[i].code == ERR_NONE);
        assert_int_equal(err.code, questions[i].code);
        assert_delivered(&scene, questions[i].code == ERR_NONE, questions[i].segment);
    }
}

/*
 * Law 7: whichever operation of the store fails, and how, "proven absent" is never the answer, and
 * nothing is delivered.
 */
static void no_failure_of_the_store_looks_like_absence(void **state)
{
    static const ErrorCode codes[] = {ERR_UNREACHABLE, ERR_IO, ERR_CORRUPT, ERR_REFUSED};
    CLEANUP(scene_done) Scene scene;

    (void)state;
    fill_archive(&scene);
    for (size_t i = 0; i < ARRAY_SIZE(questions) * ARRAY_SIZE(codes); i++) {
        const Question *question = &questions[i / ARRAY_SIZE(codes)];
        bool reached = true;

        for (uint64_t n = 1; reached; n++) {
            Error err = {0};
            uint64_t calls = storage_fault_calls(scene.archive.repo.storage);

            scene.fault =
                (StorageFault){.fail_at = calls + n, .code = codes[i % ARRAY_SIZE(codes)]};
            bool ok = get(&scene, question->name, &err);
            reached = storage_fault_calls(scene.archive.repo.storage) >= calls + n;
            if (reached) {
                assert_false(ok);
                assert_int_not_equal(err.code, ERR_ABSENT);
                assert_delivered(&scene, false, 0);
            } else {
                assert_int_equal(err.code, question->code);
            }
        }
    }
}

static void no_damaged_byte_is_delivered(void **state)
{
    CLEANUP(scene_done) Scene scene;

    (void)state;
    fill_archive(&scene);
    for (size_t offset = 0; offset < 8000; offset += 61) {
        Error err = {0};

        archive_damage(&scene.archive, 1, 2, offset);
        assert_false(get(&scene, "000000010000000000000002", &err));
        assert_true(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
        assert_delivered(&scene, false, 0);
        archive_damage(&scene.archive, 1, 2, offset);
    }
    Error err = {0};
    assert_true(get(&scene, "000000010000000000000002", &err));
    assert_delivered(&scene, true, 2);
}

/* Every checksum intact, and yet the wrong file. */
static void content_that_is_not_what_its_name_says_is_not_delivered(void **state)
{
    CLEANUP(scene_done) Scene scene;
    char name[WAL_NAME_SIZE];
    WalSummary summary;
    Error err = {0};

    (void)state;
    scene_init(&scene);
    wal_summary_init(&summary);
    archive_put(&scene.archive, scene_segment_name(1, 3, name), wal_builder_segment(&scene.wal, 2),
                MIB, &summary);
    assert_false(get(&scene, name, &err));
    assert_int_equal(err.code, ERR_CORRUPT);

    error_clear(&err);
    archive_put(&scene.archive, "00000002.history", "2\t0/100000\tx\n", 13, NULL);
    assert_false(get(&scene, "00000002.history", &err));
    assert_int_equal(err.code, ERR_CORRUPT);

    /* A history's text does not say whose it is; its trailer does. */
    error_clear(&err);
    scene.archive.cluster.system_identifier++;
    archive_put(&scene.archive, "00000003.history", "1\t0/100000\tx\n", 13, NULL);
    scene.archive.cluster.system_identifier--;
    assert_false(get(&scene, "00000003.history", &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_delivered(&scene, false, 0);
}

/* Timeline 2 leaves timeline 1 inside segment 2. */
static void a_path_is_followed(void **state)
{
    static const struct {
        const char *name;
        ErrorCode code;
    } cases[] = {
        {"000000010000000000000001", ERR_NONE},
        {"000000020000000000000002", ERR_NONE},
        {"000000010000000000000002", ERR_NONE},
        {"000000010000000000000004", ERR_REFUSED},
        {"000000010000000000000003", ERR_REFUSED},
        {"000000010000000000000005", ERR_REFUSED},
        {"000000020000000000000003", ERR_ABSENT},
        {"000000030000000000000003", ERR_REFUSED},
        {"00000002.history", ERR_NONE},
        {"00000003.history", ERR_ABSENT},
    };
    CLEANUP(scene_done) Scene scene;
    CLEANUP(text_freep) char *path = NULL;
    WalSummary summary;

    (void)state;
    fill_archive(&scene);
    path = target(&scene);
    wal_summary_init(&summary);
    archive_put_history(&scene.archive, 2, "1\t0/202000\tx\n");
    archive_put(&scene.archive, "000000020000000000000002", wal_builder_segment(&scene.wal, 2), MIB,
                &summary);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        GetRequest request = {.name = cases[i].name, .path = path, .threads = 1, .timeline = 2};
        Error err = {0};

        bool ok = archive_get(&scene.archive.cluster, &request, &err);
        assert_int_equal(err.code, cases[i].code);
        assert_int_equal(ok, cases[i].code == ERR_NONE);
    }
    archive_remove(&scene.archive, 2, 2);
    GetRequest request = {
        .name = "000000020000000000000002", .path = path, .threads = 1, .timeline = 2};
    Error err = {0};
    assert_false(archive_get(&scene.archive.cluster, &request, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

/* Names only: who asks for what comes after them reads none. */
static void put_many(Scene *scene, uint64_t first, uint64_t count)
{
    for (uint64_t segment = first; segment < first + count; segment++) {
        char text[WAL_NAME_SIZE];
        CLEANUP(text_freep)
        char *object = layout_wal("main", scene_segment_name(1, segment, text));
        Error err = {0};

        assert_true(storage_put(scene->archive.repo.storage, object, WRITE_NEW, "x", 1, &err));
    }
}

/* However long the archive is: the end costs a few listings, and so does a hole. */
static void the_end_of_a_long_archive_is_proven_by_a_few_hundred_names(void **state)
{
    enum { FIRST = 1000, COUNT = 100000, HOLE = 50000 };
    static const struct {
        uint64_t segment;
        ErrorCode code;
    } cases[] = {
        {FIRST + COUNT, ERR_ABSENT},
        {FIRST + COUNT + 1, ERR_ABSENT},
        {FIRST + HOLE, ERR_CORRUPT},
        {FIRST - 1, ERR_CORRUPT},
    };
    CLEANUP(scene_done) Scene scene;
    StorageCount count = {0};

    (void)state;
    scene_init(&scene);
    put_many(&scene, FIRST, HOLE);
    put_many(&scene, FIRST + HOLE + 1, COUNT - HOLE - 1);
    scene.archive.repo.storage = storage_count_new(scene.archive.repo.storage, &count);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char name[WAL_NAME_SIZE];
        Error err = {0};

        count = (StorageCount){0};
        assert_false(get(&scene, scene_segment_name(1, cases[i].segment, name), &err));
        assert_int_equal(err.code, cases[i].code);
        assert_true(count.listed <= 200);
        assert_true(count.listings <= 10);
    }
    count = (StorageCount){0};
    Error err = {0};
    assert_false(get(&scene, "00000002.history", &err));
    assert_int_equal(err.code, ERR_ABSENT);
    assert_true(count.listed <= 200);
}

/*
 * What timeline 2 wrote is only in its child's segment, and that is not among the names around the
 * one asked for: more files of backups come before it than a part of the listing has. It is found
 * all the same, by listing the archive whole.
 */
static void what_a_part_of_the_listing_does_not_show_is_looked_for(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(text_freep) char *path = NULL;
    StorageCount count = {0};
    Error err = {0};

    (void)state;
    scene_init(&scene);
    path = target(&scene);
    archive_put_segment(&scene.archive, &scene.wal, 1, 1);
    archive_put_history(&scene.archive, 2, "1\t0/202000\tx\n");
    archive_put_history(&scene.archive, 3, "1\t0/202000\tx\n2\t0/208000\ty\n");
    archive_put_segment(&scene.archive, &scene.wal, 3, 2);
    GetRequest request = {
        .name = "000000020000000000000003", .path = path, .threads = 1, .timeline = 2};
    assert_false(archive_get(&scene.archive.cluster, &request, &err));
    assert_int_equal(err.code, ERR_ABSENT);

    for (unsigned i = 0; i < 100; i++) {
        CLEANUP(text_freep)
        char *object = text_format(
            "main/wal/0000000300000000/000000030000000000000001.%08X.backup.wal", i * 8 + 0x28);
        error_clear(&err);
        assert_true(storage_put(scene.archive.repo.storage, object, WRITE_NEW, "x", 1, &err));
    }
    scene.archive.repo.storage = storage_count_new(scene.archive.repo.storage, &count);
    assert_false(archive_get(&scene.archive.cluster, &request, &err));
    assert_int_equal(err.code, ERR_ABSENT);
    assert_true(count.listed > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_part_of_the_listing_does_not_show_is_looked_for),
        cmocka_unit_test(the_end_of_a_long_archive_is_proven_by_a_few_hundred_names),
        cmocka_unit_test(each_question_has_its_answer),
        cmocka_unit_test(no_failure_of_the_store_looks_like_absence),
        cmocka_unit_test(no_damaged_byte_is_delivered),
        cmocka_unit_test(content_that_is_not_what_its_name_says_is_not_delivered),
        cmocka_unit_test(a_path_is_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
