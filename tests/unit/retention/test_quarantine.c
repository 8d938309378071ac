#include "retention/quarantine.h"

#include "../scene.h"
#include "storage/driver.h"
#include "wal/wal_piece.h"

#include <inttypes.h>

/*
 * Timeline 1 has segments 1 to 4 and pieces of 5; 2 left it in segment 3 and has its own 3 and 4;
 * 3 comes from 2, in segment 4, and 4 from 1, in segment 2.
 */
static void make_archive(Scene *scene)
{
    scene_init(scene);
    archive_put_segments(&scene->archive, &scene->wal, 1, 1, 4);
    archive_put_history(&scene->archive, 2, "1\t0/300100\tx\n");
    archive_put_segments(&scene->archive, &scene->wal, 2, 3, 4);
    archive_put_history(&scene->archive, 3, "1\t0/300100\tx\n2\t0/400100\tx\n");
    archive_put_segments(&scene->archive, &scene->wal, 3, 4, 4);
    archive_put_history(&scene->archive, 4, "1\t0/200100\tx\n");
    archive_put(&scene->archive, "000000010000000000000004.partial",
                wal_builder_segment(&scene->wal, 4), MIB, NULL);
    for (uint32_t from = 0; from < 3000; from += 1000) {
        CLEANUP(text_freep)
        char *name = text_format("main/open/000000010000000000000005.%08" PRIX32 "-%08" PRIX32,
                                 from, from + 1000);
        Error err = {0};
        assert_true(storage_put(scene->archive.repo.storage, name, WRITE_NEW, name, 20, &err));
    }
}

/* Timeline and low digits of the names that go, in their order. */
static char *planned(const Scene *scene, const QuarantineRequest *request, Error *err)
{
    CLEANUP(quarantine_plan_done) QuarantinePlan plan = {0};
    CLEANUP(buffer_done) Buffer text = {0};

    if (quarantine_plan(&scene->archive.cluster, request, &plan, err)) {
        for (size_t i = 0; i < plan.count; i++) {
            const char *name = strrchr(plan.items[i].object, '/') + 1;
            const bool is_history = plan.items[i].name.kind == WAL_HISTORY;
            buffer_print(&text, "%s%.1s:%s", i > 0 ? " " : "", name + 7,
                         is_history ? "history" : name + 23);
            assert_true(quarantine_plan_has(&plan, plan.items[i].object));
        }
        assert_int_equal(plan.count, plan.segments + plan.partials + plan.pieces + plan.histories);
    }
    return text_format("%.*s", (int)text.size, text.size > 0 ? (const char *)text.data : "");
}

static void what_is_named_goes_from_its_end_on(void **state)
{
    static const struct {
        QuarantineRequest request;
        const char *goes;
        ErrorCode code;
        const char *reason;
    } cases[] = {
        /* A whole timeline, the history last. */
        {{.timeline = 3, .last = UINT64_MAX}, "3:4.wal 3:history", ERR_NONE, ""},
        {{.timeline = 4, .last = UINT64_MAX}, "4:history", ERR_NONE, ""},
        {{.timeline = 9, .last = UINT64_MAX}, "", ERR_NOT_FOUND, "no such WAL"},
        /* Of a timeline some: its history stays. */
        {{.timeline = 1, .first = 4, .last = UINT64_MAX},
         "1:5.000007D0-00000BB8 1:5.000003E8-000007D0 1:5.00000000-000003E8 1:4.wal "
         "1:4.partial.wal",
         ERR_NONE,
         ""},
        {{.timeline = 1, .first = 4, .last = 4}, "1:4.wal 1:4.partial.wal", ERR_NONE, ""},
        {{.timeline = 1, .first = 6, .last = UINT64_MAX}, "", ERR_NOT_FOUND, "no such WAL"},
        {{.timeline = 2, .first = 4, .last = UINT64_MAX}, "2:4.wal", ERR_NONE, ""},
        {{.timeline = 2, .first = 3, .last = 3}, "", ERR_REFUSED, "timeline 3 goes on"},
        /* Others go on from there. In the segment in which a child left it has its own copy. */
        {{.timeline = 1, .first = 3, .last = 3}, "1:3.wal", ERR_NONE, ""},
        {{.timeline = 1, .first = 2, .last = 2}, "", ERR_REFUSED, "timeline 2 goes on"},
        {{.timeline = 2, .last = UINT64_MAX}, "", ERR_REFUSED, "it left timeline 2 at 0/400100"},
        {{.timeline = 2, .last = UINT64_MAX, .takes_descendants = true},
         "3:4.wal 3:history 2:4.wal 2:3.wal 2:history",
         ERR_NONE,
         ""},
        /* What the parent did after a fork. */
        {{.beyond_fork = 3, .last = UINT64_MAX}, "2:4.wal", ERR_NONE, ""},
        {{.timeline = 1, .beyond_fork = 3, .last = 3}, "1:3.wal", ERR_NONE, ""},
        {{.timeline = 1, .beyond_fork = 4, .last = 3}, "", ERR_REFUSED, "timeline 2 goes on"},
        {{.timeline = 4, .beyond_fork = 3, .last = 3}, "", ERR_NOT_FOUND, "does not come from"},
        {{.beyond_fork = 8, .last = 3}, "", ERR_NOT_FOUND, "not"},
    };
    CLEANUP(scene_done) Scene scene;

    (void)state;
    make_archive(&scene);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Error err = {0};
        CLEANUP(text_freep) char *goes = planned(&scene, &cases[i].request, &err);

        if (strcmp(goes, cases[i].goes) != 0 || err.code != cases[i].code)
            fail_msg("case %zu: \"%s\" %d %s", i, goes, err.code, err.message);
        if (cases[i].code == ERR_REFUSED)
            assert_non_null(strstr(err.message, cases[i].reason));
    }
}

static uint64_t set_aside(const Scene *scene, const QuarantineRequest *request,
                          char id[BACKUP_ID_SIZE])
{
    CLEANUP(quarantine_plan_done) QuarantinePlan plan = {0};
    Error err = {0};

    assert_true(quarantine_plan(&scene->archive.cluster, request, &plan, &err));
    if (!quarantine_carry_out(&scene->archive.cluster, &plan, id, &err))
        fail_msg("%s", err.message);
    return plan.count;
}

static void what_was_set_aside_is_put_back_as_it_was(void **state)
{
    const QuarantineRequest request = {.timeline = 1, .first = 3, .last = UINT64_MAX};
    CLEANUP(scene_done) Scene scene;
    CLEANUP(quarantine_list_done) QuarantineList list = {0};
    char id[BACKUP_ID_SIZE];
    char name[WAL_NAME_SIZE];
    Error err = {0};
    uint64_t objects;

    (void)state;
    make_archive(&scene);
    const size_t wal = scene_objects(&scene, "main/wal/");
    archive_damage(&scene.archive, 1, 4, 100); /* whatever it is worth */
    assert_int_equal(set_aside(&scene, &request, id), 6);
    assert_int_equal(scene_objects(&scene, "main/wal/"), wal - 3);
    assert_int_equal(scene_objects(&scene, "main/open/"), 0);

    assert_true(quarantine_list_load(&list, &scene.archive.cluster, &err));
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0].id, id);
    assert_int_equal(list.items[0].timeline, 1);
    assert_int_equal(list.items[0].objects, 6);
    assert_string_equal(list.items[0].first, "000000010000000000000003");
    assert_string_equal(list.items[0].last, "000000010000000000000005");

    assert_true(quarantine_undo(&scene.archive.cluster, id, true, &objects, &err));
    assert_int_equal(scene_objects(&scene, "main/wal/"), wal - 3);
    assert_true(quarantine_undo(&scene.archive.cluster, id, false, &objects, &err));
    assert_int_equal(objects, 6);
    assert_int_equal(scene_objects(&scene, "main/wal/"), wal);
    assert_int_equal(scene_objects(&scene, "main/open/"), 3);
    assert_int_equal(scene_objects(&scene, "main/quarantine/"), 0);
    CLEANUP(buffer_done) Buffer content = {0};
    scene_archived(&scene, scene_segment_name(1, 3, name), &content);
    assert_memory_equal(content.data, wal_builder_segment(&scene.wal, 3), MIB);
    assert_false(quarantine_undo(&scene.archive.cluster, id, false, &objects, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

/* The right server has archived since. */
static void a_name_that_is_taken_is_not_overwritten(void **state)
{
    const QuarantineRequest request = {.timeline = 1, .first = 3, .last = UINT64_MAX};
    CLEANUP(scene_done) Scene scene;
    CLEANUP(wal_builder_done) WalBuilder other = wal_builder_begin(15, MIB, 3 * MIB, 1);
    char id[BACKUP_ID_SIZE];
    Error err = {0};
    uint64_t objects;

    (void)state;
    make_archive(&scene);
    set_aside(&scene, &request, id);
    wal_builder_commit(&other, 5, 5);
    wal_builder_switch(&other);
    archive_put_segment(&scene.archive, &other, 1, 3);
    const size_t before = scene_objects(&scene, "main/");
    for (int only_look = 1; only_look >= 0; only_look--) {
        error_clear(&err);
        assert_false(quarantine_undo(&scene.archive.cluster, id, only_look != 0, &objects, &err));
        assert_int_equal(err.code, ERR_EXISTS);
        assert_non_null(strstr(err.message, "000000010000000000000003"));
        assert_int_equal(scene_objects(&scene, "main/"), before);
    }
    /* The same content there is what was to be. */
    archive_remove(&scene.archive, 1, 3);
    archive_put_segment(&scene.archive, &scene.wal, 1, 3);
    error_clear(&err);
    assert_true(quarantine_undo(&scene.archive.cluster, id, false, &objects, &err));
}

static void nor_is_one_of_the_same_size(void **state)
{
    static const char name[] = "main/open/000000010000000000000005.00000000-000003E8";
    const QuarantineRequest request = {.timeline = 1, .first = 3, .last = UINT64_MAX};
    CLEANUP(scene_done) Scene scene;
    CLEANUP(buffer_done) Buffer content = {0};
    char id[BACKUP_ID_SIZE];
    Error err = {0};
    uint64_t objects;

    (void)state;
    make_archive(&scene);
    Storage *storage = scene.archive.repo.storage;
    set_aside(&scene, &request, id);
    assert_true(storage_put(storage, name, WRITE_NEW, "another one, 20 long", 20, &err));
    assert_false(quarantine_undo(&scene.archive.cluster, id, false, &objects, &err));
    assert_int_equal(err.code, ERR_EXISTS);
    error_clear(&err);
    assert_true(storage_read(storage, name, 20, &content, &err));
    assert_memory_equal(content.data, "another one, 20 long", 20);
}

/*
 * archive-push finds a damaged object, sets it aside and stores the segment anew, while it is being
 * copied: what the server was told to be durable is not taken for what was looked at.
 */
static const StorageOps *inner_ops;
static Scene *pushed_to;
static unsigned copies;

static bool push_meanwhile(Storage *storage, const char *name, WriteMode mode,
                           ObjectWriter **writer, Error *err)
{
    if (strstr(name, "quarantine") != NULL && strstr(name, "4.wal") != NULL && copies++ == 0) {
        archive_remove(&pushed_to->archive, 1, 4);
        archive_put_segment(&pushed_to->archive, &pushed_to->wal, 1, 4);
    }
    return inner_ops->write(storage, name, mode, writer, err);
}

static void an_object_stored_anew_meanwhile_is_not_lost(void **state)
{
    const QuarantineRequest request = {.timeline = 1, .first = 4, .last = 4};
    CLEANUP(scene_done) Scene scene;
    char id[BACKUP_ID_SIZE];
    Error err = {0};
    uint64_t objects;

    (void)state;
    make_archive(&scene);
    archive_damage(&scene.archive, 1, 4, 100);
    inner_ops = scene.archive.repo.storage->ops;
    StorageOps ops = *inner_ops;
    ops.write = push_meanwhile;
    scene.archive.repo.storage->ops = &ops;
    pushed_to = &scene;
    copies = 0;
    set_aside(&scene, &request, id);
    scene.archive.repo.storage->ops = inner_ops;
    assert_true(copies > 1);
    assert_true(quarantine_undo(&scene.archive.cluster, id, false, &objects, &err));
    CLEANUP(buffer_done) Buffer content = {0};
    scene_archived(&scene, "000000010000000000000004", &content);
    assert_memory_equal(content.data, wal_builder_segment(&scene.wal, 4), MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_named_goes_from_its_end_on),
        cmocka_unit_test(what_was_set_aside_is_put_back_as_it_was),
        cmocka_unit_test(a_name_that_is_taken_is_not_overwritten),
        cmocka_unit_test(nor_is_one_of_the_same_size),
        cmocka_unit_test(an_object_stored_anew_meanwhile_is_not_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
