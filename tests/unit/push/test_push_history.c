/* Whose WAL archive-push takes: the archive's own history, whatever its segments look like. */
#include "push/push.h"

#include "../scene.h"
#include "../walk/world.h"
#include "repo/layout.h"

#include <inttypes.h>

static bool push(const Scene *scene, const char *path, Error *err)
{
    PushRequest request = {
        .path = path, .compression = {.codec = CODEC_ZSTD, .level = 1}, .threads = 1};
    PushResult result = {0};
    bool ok = archive_push(&scene->archive.cluster, &request, &result, err);

    text_freep(&result.aside);
    return ok;
}

static void assert_pushed(const Scene *scene, const char *path)
{
    Error err = {0};

    if (!push(scene, path, &err))
        fail_msg("%s: %s", path, err.message);
}

static char *file_of(const Scene *scene, const WalBuilder *wal, uint32_t timeline, uint64_t segment,
                     const char *ending)
{
    char name[WAL_NAME_SIZE];
    CLEANUP(text_freep)
    char *file = text_format("%s%s", scene_segment_name(timeline, segment, name), ending);

    return scene_file(scene, file, wal_builder_segment(wal, segment), MIB);
}

static void push_segment(const Scene *scene, const WalBuilder *wal, uint32_t timeline,
                         uint64_t segment)
{
    CLEANUP(text_freep) char *path = file_of(scene, wal, timeline, segment, "");

    assert_pushed(scene, path);
}

/* Of another history: refused with the reason, the archive as it was. */
static void assert_foreign(const Scene *scene, const char *path, const char *reason)
{
    const size_t before = scene_objects(scene, "main/");
    Error err = {0};

    if (push(scene, path, &err))
        fail_msg("%s was pushed", path);
    assert_int_equal(err.code, ERR_REFUSED);
    if (strstr(err.message, reason) == NULL)
        fail_msg("%s", err.message);
    assert_int_equal(scene_objects(scene, "main/"), before);
}

/*
 * Records that straddle two segments and more, cut headers, switches, a fork in mid-segment, the
 * parent's own way after it: in any order in which a server can archive them.
 */
static void every_segment_of_one_history_is_taken(void **state)
{
    CLEANUP(scene_done) Scene scene;
    World world;
    Error err = {0};

    (void)state;
    scene_init(&scene);
    world_init(&world);
    for (uint64_t segment = 3; segment <= world.fork_segment + 1; segment++)
        push_segment(&scene, &world.old, 1, segment);
    CLEANUP(text_freep)
    char *text = text_format("1\t%" PRIX64 "/%" PRIX64 "\tfor a test\n", world.fork >> 32,
                             world.fork & UINT32_MAX);
    CLEANUP(text_freep)
    char *history = scene_file(&scene, "00000002.history", text, strlen(text));
    for (uint64_t segment = world.fork_segment; segment <= world.last_segment; segment++) {
        CLEANUP(text_freep) char *path = file_of(&scene, &world.wal, 2, segment, "");
        if (segment == world.fork_segment)
            assert_pushed(&scene, history); /* its first segment lies beside it */
        assert_pushed(&scene, path);
    }
    /* Without the one before it each is taken as well, and then the one before. */
    for (uint64_t segment = world.last_segment; segment > world.fork_segment; segment--) {
        CLEANUP(text_freep) char *path = file_of(&scene, &world.wal, 2, segment, "");
        archive_remove(&scene.archive, 2, segment);
        archive_remove(&scene.archive, 2, segment - 1);
        if (!push(&scene, path, &err))
            fail_msg("%s", err.message);
        push_segment(&scene, &world.wal, 2, segment - 1);
    }
    world_done(&world);
}

/* A record given up after a crash, at the end of a segment. */
static void a_crash_between_two_segments_is_no_other_history(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, 9 * MIB, 1);

    (void)state;
    scene_init(&scene);
    wal_builder_commit(&wal, 5, 5);
    wal_builder_fill_to(&wal, 10 * MIB, 400);
    wal_builder_overwrite(&wal, 2000);
    wal_builder_commit(&wal, 6, 6);
    wal_builder_switch(&wal);
    push_segment(&scene, &wal, 1, 9);
    push_segment(&scene, &wal, 1, 10);
}

/* The archive has scene.wal up to segment 2; what else a server may bring as its 3. */
static WalBuilder other_wal(size_t first_size, size_t left)
{
    WalBuilder wal = wal_builder_begin(15, MIB, 2 * MIB, 1);

    wal_builder_filler(&wal, first_size);
    if (left > 0) {
        wal_builder_fill_to(&wal, 3 * MIB, left);
        wal_builder_commit(&wal, 777, 2500);
        wal_builder_filler(&wal, 500);
    } else {
        wal_builder_switch(&wal);
    }
    wal_builder_commit(&wal, 778, 2600);
    wal_builder_switch(&wal);
    return wal;
}

static void a_segment_that_goes_on_from_another_one_is_refused(void **state)
{
    static const struct {
        size_t first_size, left;
        const char *reason;
    } cases[] = {
        {1000, 0, "follows one at 0/2"},  /* the back link */
        {1000, 16, "follows one at 0/2"}, /* and a record that began before */
        {1000, 64, "follows one at 0/2"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(scene_done) Scene scene;
        CLEANUP(wal_builder_done)
        WalBuilder other = other_wal(cases[i].first_size, cases[i].left);

        scene_init(&scene);
        push_segment(&scene, &scene.wal, 1, 1);
        push_segment(&scene, &scene.wal, 1, 2);
        CLEANUP(text_freep) char *path = file_of(&scene, &other, 1, 3, "");
        assert_foreign(&scene, path, cases[i].reason);
        assert_foreign(&scene, path, "000000010000000000000002 in the archive");
        /* What a promotion leaves is asked the same. */
        CLEANUP(text_freep) char *part = file_of(&scene, &other, 1, 3, ".partial");
        assert_foreign(&scene, part, cases[i].reason);
        /* Nothing is known of a hole, and nothing can be of what is damaged, here or there. */
        archive_damage(&scene.archive, 1, 2, 1 << 30);
        assert_pushed(&scene, part);
        archive_remove(&scene.archive, 1, 2);
        assert_pushed(&scene, path);
    }
}

/* Of a record that goes on here the archive lacks another number of bytes, all else being equal. */
static void the_rest_of_another_record_is_refused(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(wal_builder_done) WalBuilder one = wal_builder_begin(15, MIB, 8 * MIB, 1);
    CLEANUP(wal_builder_done) WalBuilder two = wal_builder_begin(15, MIB, 8 * MIB, 1);

    (void)state;
    scene_init(&scene);
    wal_builder_fill_to(&one, 9 * MIB, 400);
    wal_builder_fill_to(&two, 9 * MIB, 400);
    wal_builder_filler(&one, 1000);
    wal_builder_filler(&two, 1008);
    wal_builder_switch(&one);
    wal_builder_switch(&two);
    push_segment(&scene, &one, 1, 8);
    CLEANUP(text_freep) char *path = file_of(&scene, &two, 1, 9, "");
    assert_foreign(&scene, path, "bytes of a record that began before");
    push_segment(&scene, &one, 1, 9);
}

/* Records of the same sizes: the back links agree, the transactions do not. */
static WalBuilder twin_wal(uint64_t segment, uint32_t xid, int64_t time)
{
    WalBuilder wal = wal_builder_begin(15, MIB, segment * MIB, 1);

    for (int i = 0; i < 2; i++) {
        wal_builder_commit(&wal, xid, time + i);
        wal_builder_switch(&wal);
    }
    return wal;
}

static void wal_that_only_looks_alike_is_told_by_its_last_transaction(void **state)
{
    static const struct {
        uint32_t xid;
        int64_t time;
        bool has_file, is_foreign;
    } cases[] = {
        {700, 1000, true, false}, {701, 1000, true, true},   {700, 1001, true, true},
        {700, 999, true, true},   {701, 1000, false, false}, /* nobody can tell */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(scene_done) Scene scene;
        CLEANUP(wal_builder_done) WalBuilder first = twin_wal(8, 700, 1000);
        CLEANUP(wal_builder_done) WalBuilder twin = twin_wal(8, cases[i].xid, cases[i].time);
        char name[WAL_NAME_SIZE];

        scene_init(&scene);
        push_segment(&scene, &first, 1, 8);
        CLEANUP(text_freep) char *before = file_of(&scene, &twin, 1, 8, "");
        if (!cases[i].has_file)
            assert_int_equal(remove(before), 0);
        CLEANUP(text_freep) char *path = file_of(&scene, &twin, 1, 9, "");
        if (cases[i].is_foreign) {
            assert_foreign(&scene, path, "has the end of transaction");
            /* A file that only has the name, and WAL of elsewhere, says nothing. */
            CLEANUP(wal_builder_done) WalBuilder old = twin_wal(6, 999, 500);
            CLEANUP(text_freep)
            char *recycled = scene_file(&scene, scene_segment_name(1, 8, name),
                                        wal_builder_segment(&old, 6), MIB);
            assert_non_null(recycled);
            assert_pushed(&scene, path);
        } else {
            assert_pushed(&scene, path);
        }
    }
}

/* pg_resetwal begins anew, with a first record that follows none. */
static void wal_that_was_reset_is_taken(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(wal_builder_done) WalBuilder reset = wal_builder_begin(15, MIB, 3 * MIB, 1);

    (void)state;
    scene_init(&scene);
    push_segment(&scene, &scene.wal, 1, 2);
    reset.prev = 0;
    wal_builder_commit(&reset, 9, 9);
    wal_builder_switch(&reset);
    push_segment(&scene, &reset, 1, 3);
}

/* The server archived WAL that is invalid in the middle: what follows is not known. */
static void what_follows_broken_wal_is_taken(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(buffer_done) Buffer broken = {0};
    char name[WAL_NAME_SIZE];

    (void)state;
    scene_init(&scene);
    buffer_append(&broken, wal_builder_segment(&scene.wal, 2), MIB);
    broken.data[WAL_BLOCK_SIZE + 500] ^= 1;
    CLEANUP(text_freep)
    char *path = scene_file(&scene, scene_segment_name(1, 2, name), broken.data, MIB);
    assert_pushed(&scene, path);
    push_segment(&scene, &scene.wal, 1, 3);
}

static void a_child_goes_on_from_its_parents_segment(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(wal_builder_done) WalBuilder other = other_wal(1000, 0);
    Error err = {0};

    (void)state;
    scene_init(&scene);
    push_segment(&scene, &scene.wal, 1, 2);
    static const char history[] = "1\t0/300100\tx\n";
    CLEANUP(text_freep)
    char *text = scene_file(&scene, "00000002.history", history, strlen(history));
    CLEANUP(text_freep) char *foreign = file_of(&scene, &other, 2, 3, "");
    assert_foreign(&scene, foreign, "follows one at 0/2");
    /* Nor is the history: it would lead every recovery there. */
    assert_foreign(&scene, text, "follows one at 0/2");
    /* The parent's own segment of the fork says more. */
    push_segment(&scene, &scene.wal, 1, 3);
    assert_foreign(&scene, text, "left other WAL");
    push_segment(&scene, &scene.wal, 2, 3);
    assert_true(push(&scene, text, &err));
}

/* The archive ends long before the fork: a server that left its history before that is told. */
static void a_fork_beyond_the_archives_end_is_compared_there(void **state)
{
    static const char history[] = "1\t0/400100\tx\n";
    CLEANUP(scene_done) Scene scene;
    CLEANUP(wal_builder_done) WalBuilder other = other_wal(1000, 0);
    char name[WAL_NAME_SIZE];

    (void)state;
    scene_init(&scene);
    push_segment(&scene, &scene.wal, 1, 1);
    push_segment(&scene, &scene.wal, 1, 2);
    CLEANUP(text_freep)
    char *text = scene_file(&scene, "00000002.history", history, strlen(history));
    CLEANUP(text_freep) char *first = file_of(&scene, &scene.wal, 2, 4, "");
    CLEANUP(text_freep) char *own = file_of(&scene, &other, 1, 2, "");
    assert_non_null(first);
    assert_non_null(own);
    assert_foreign(&scene, text, "left other WAL");
    /* A file that only has the name says nothing; nor does one that is not there. */
    CLEANUP(text_freep)
    char *recycled =
        scene_file(&scene, scene_segment_name(1, 2, name), wal_builder_segment(&scene.wal, 1), MIB);
    assert_non_null(recycled);
    assert_pushed(&scene, text);
}

static void a_history_must_fit_those_that_are_there(void **state)
{
    static const struct {
        const char *there[2]; /* histories of 2 and 4 */
        uint32_t timeline;
        const char *text;
        bool fits;
    } cases[] = {
        {{"1\t0/200000\tx\n", NULL}, 3, "1\t0/200000\tx\n2\t0/300000\ty\n", true},
        {{"1\t0/200000\tx\n", NULL}, 3, "1\t0/200010\tx\n2\t0/300000\ty\n", false},
        {{"1\t0/200000\tx\n", NULL}, 3, "2\t0/300000\ty\n", false},
        {{"1\t0/200000\tx\n", NULL}, 3, "1\t0/280000\tbeside it\n", true},
        /* Back to before timeline 2 began. */
        {{"1\t0/200000\tx\n", NULL}, 3, "1\t0/200000\tx\n2\t0/180000\ty\n", true},
        {{"1\t0/200000\tx\n", NULL}, 3, "1\t0/1F0000\tx\n2\t0/180000\ty\n", true},
        /* The child is there first. */
        {{NULL, "1\t0/200000\tx\n2\t0/300000\ty\n"}, 2, "1\t0/200000\tx\n", true},
        {{NULL, "1\t0/200000\tx\n2\t0/300000\ty\n"}, 2, "1\t0/280000\tx\n", false},
        {{NULL, "1\t0/200000\tx\n2\t0/300000\ty\n"}, 3, "1\t0/280000\tx\n", true},
        {{"rubbish", NULL}, 3, "1\t0/200010\tx\n2\t0/300000\ty\n", true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(scene_done) Scene scene;

        scene_init(&scene);
        for (uint32_t k = 0; k < 2; k++) {
            if (cases[i].there[k] != NULL)
                archive_put_history(&scene.archive, 2 + 2 * k, cases[i].there[k]);
        }
        CLEANUP(text_freep) char *name = text_format("%08" PRIX32 ".history", cases[i].timeline);
        CLEANUP(text_freep)
        char *path = scene_file(&scene, name, cases[i].text, strlen(cases[i].text));
        if (cases[i].fits) {
            assert_pushed(&scene, path);
        } else {
            assert_foreign(&scene, path, "it contradicts 0000000");
        }
    }
}

static void a_timeline_has_no_wal_from_before_it_began(void **state)
{
    static const char history[] = "1\t0/300100\tx\n";
    CLEANUP(scene_done) Scene scene;

    (void)state;
    scene_init(&scene);
    archive_put_segment(&scene.archive, &scene.wal, 2, 2);
    CLEANUP(text_freep)
    char *path = scene_file(&scene, "00000002.history", history, strlen(history));
    assert_foreign(&scene, path, "000000020000000000000002, from before that");
    archive_remove(&scene.archive, 2, 2);
    archive_put_segment(&scene.archive, &scene.wal, 2, 3);
    assert_pushed(&scene, path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_segment_of_one_history_is_taken),
        cmocka_unit_test(a_crash_between_two_segments_is_no_other_history),
        cmocka_unit_test(a_segment_that_goes_on_from_another_one_is_refused),
        cmocka_unit_test(the_rest_of_another_record_is_refused),
        cmocka_unit_test(wal_that_only_looks_alike_is_told_by_its_last_transaction),
        cmocka_unit_test(wal_that_was_reset_is_taken),
        cmocka_unit_test(what_follows_broken_wal_is_taken),
        cmocka_unit_test(a_child_goes_on_from_its_parents_segment),
        cmocka_unit_test(a_fork_beyond_the_archives_end_is_compared_there),
        cmocka_unit_test(a_history_must_fit_those_that_are_there),
        cmocka_unit_test(a_timeline_has_no_wal_from_before_it_began),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
