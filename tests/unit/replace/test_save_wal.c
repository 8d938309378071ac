#include "replace/save_wal.h"

#include "old_scene.h"

#include "../folder.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { ASKED_MAX = 8 };

/* Who is asked to archive files, and says no to one of them. */
typedef struct Taker {
    char asked[ASKED_MAX][WAL_NAME_SIZE];
    size_t count;
    size_t refuses; /* the how manieth, from 1; 0: none */
    ErrorCode code;
    bool as_copy; /* how the restore is asked for */
} Taker;

static bool take(void *context, const char *path, Error *err)
{
    Taker *taker = context;

    assert_true(taker->count < ASKED_MAX);
    (void)snprintf(taker->asked[taker->count++], WAL_NAME_SIZE, "%s", strrchr(path, '/') + 1);
    return taker->count != taker->refuses || error_set(err, taker->code, "not this one");
}

static void put_mark(const char *name)
{
    CLEANUP(text_freep) char *path = text_format("archive_status/%s", name);

    (void)mkdir("archive_status", 0700);
    old_scene_put_file(path, "", 0);
}

/* Segments 6 to 8 are complete, 9 is begun; 6 and 7 wait to be archived. */
static void lay_backlog(OldScene *scene)
{
    old_scene_init(scene);
    for (uint64_t segment = 7; segment <= 9; segment++) {
        wal_builder_fill_to(&scene->wal, segment * MIB, 0);
        old_scene_commits(&scene->wal, (uint32_t)segment * 100, 2);
    }
    old_scene_put_segments(&scene->wal, 5, 9);
    put_mark("000000010000000000000005.done");
    put_mark("000000010000000000000006.ready");
    put_mark("000000010000000000000007.ready");
}

static bool save(OldScene *scene, uint32_t timeline, Taker *taker, WalSaved *saved, Error *err)
{
    const char *path = folder_path();
    const OldPlaces places = {.place = path, .wal_paths = &path, .wal_count = 1};
    OldDirectory directory = {.has_own = true};
    const RestoreRequest request = {
        .push = take, .push_context = taker, .save_timeline = timeline, .as_copy = taker->as_copy};
    const RestorePlan plan = {.placement.data = path, .old.directory = &directory};

    archive_look(&scene->archive);
    assert_true(old_branch_look(&scene->archive.cluster, &scene->archive.inventory, &places,
                                &scene->arena, &directory.own, err));
    return restore_save_wal(&scene->archive.cluster, &request, &plan, saved, err);
}

static void assert_asked(const Taker *taker, const char *const *names, size_t count)
{
    assert_int_equal(taker->count, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(taker->asked[i], names[i]);
}

static const char *const backlog[] = {"000000010000000000000006", "000000010000000000000007",
                                      "000000010000000000000008"};

static void complete_segments_are_pushed_in_their_order(void **state)
{
    CLEANUP(old_scene_done) OldScene scene;
    Taker taker = {0};
    WalSaved saved;
    Error err = {0};

    (void)state;
    lay_backlog(&scene);
    assert_true(save(&scene, 0, &taker, &saved, &err));
    assert_asked(&taker, backlog, ARRAY_SIZE(backlog));
    assert_int_equal(saved.pushed, 3);
    assert_int_equal(saved.unsaved, 0);
}

static void none_is_pushed_after_one_that_is_refused(void **state)
{
    CLEANUP(old_scene_done) OldScene scene;
    Taker taker = {.refuses = 2, .code = ERR_UNREACHABLE};
    WalSaved saved;
    Error err = {0};

    (void)state;
    lay_backlog(&scene);
    assert_true(save(&scene, 0, &taker, &saved, &err));
    assert_asked(&taker, backlog, 2);
    assert_int_equal(saved.pushed, 1);
    assert_int_equal(saved.unsaved, 2);
    assert_int_equal(saved.reason.code, ERR_UNREACHABLE);
}

static void other_content_ends_the_restore(void **state)
{
    CLEANUP(old_scene_done) OldScene scene;
    Taker taker = {.refuses = 1, .code = ERR_EXISTS};
    WalSaved saved;
    Error err = {0};

    (void)state;
    lay_backlog(&scene);
    assert_false(save(&scene, 0, &taker, &saved, &err));
    assert_int_equal(err.code, ERR_REFUSED);
    assert_asked(&taker, backlog, 1);
}

static void a_server_that_does_not_archive_is_not_helped_to(void **state)
{
    static const struct {
        const char *conf, *auto_conf;
        bool archives;
    } cases[] = {
        {"archive_mode = off\narchive_command = 'tool'\n", "", false},
        {"archive_mode = on\narchive_command = 'false'\n", "", false},
        {"archive_mode = on\narchive_command = 'tool'\n", "archive_command = '/bin/true'\n", false},
        {"archive_mode = on\narchive_command = ''\n", "", false},
        {"archive_mode = on\narchive_command = ''\narchive_library = 'pgcairn'\n", "", true},
        {"archive_mode = on\narchive_command = 'false'\n", "archive_command = 'tool'\n", true},
        {"archive_mode = always\narchive_command = 'tool'\n", "", true},
        {"# elsewhere\n", "", true},
        {"archive_command = 'tool archive-push --repo=memory: %p'\n", "", true},
        {"archive_command = 'tool archive-push --repo=file://memory: --cluster=main %p'\n", "",
         true},
        {"archive_command = 'tool archive-push --repo \"$REPO\" %p'\n", "", true},
        {"archive_command = 'tool archive-push \"--repo=memory:\" %p'\n", "", true},
        {"archive_command = 'tool archive-push ''--cluster=main'' %p'\n", "", true},
        {"archive_command = 'tool archive-push --repo=/another %p'\n", "", false},
        {"archive_command = 'tool archive-push --repo \"/another one\" %p'\n", "", false},
        {"archive_command = 'tool archive-push \"--repo=/another one\" %p'\n", "", false},
        {"archive_command = 'PGCAIRN_REPO=/another tool archive-push %p'\n", "", false},
        {"archive_command = 'tool archive-push --repo=memory: --cluster=test %p'\n", "", false},
        {"archive_library = 'pgcairn'\npgcairn.repo = '/another'\n", "", false},
        {"archive_library = 'pgcairn'\npgcairn.repo = 'memory:'\n", "", true},
        {"archive_library = 'pgcairn'\npgcairn.repo = ''\npgcairn.cluster = 'test'\n", "", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(old_scene_done) OldScene scene;
        void *folder = NULL;
        Taker taker = {0};
        WalSaved saved;
        Error err = {0};

        assert_int_equal(enter_folder(&folder), 0);
        lay_backlog(&scene);
        old_scene_put_file("postgresql.conf", cases[i].conf, strlen(cases[i].conf));
        old_scene_put_file("postgresql.auto.conf", cases[i].auto_conf, strlen(cases[i].auto_conf));
        assert_true(save(&scene, 0, &taker, &saved, &err));
        assert_int_equal(taker.count > 0, cases[i].archives);
        assert_int_equal(leave_folder(&folder), 0);
    }
}

/* Whether it was begun or only recycled, the next file says nothing of this one. */
static void a_segment_is_complete_when_wal_goes_to_its_end(void **state)
{
    static const struct {
        bool is_filled, has_next;
        size_t pushed;
    } cases[] = {{false, false, 0}, {false, true, 0}, {true, false, 1}, {true, true, 1}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(old_scene_done) OldScene scene;
        void *folder = NULL;
        Taker taker = {0};
        WalSaved saved;
        Error err = {0};

        assert_int_equal(enter_folder(&folder), 0);
        old_scene_init(&scene);
        if (cases[i].is_filled)
            wal_builder_fill_to(&scene.wal, 7 * MIB, 0);
        wal_builder_fill_to(&scene.clone, 7 * MIB, 0);
        old_scene_commits(&scene.clone, 980, 3);
        old_scene_put_segments(&scene.wal, 5, 6);
        put_mark("000000010000000000000005.done");
        if (cases[i].has_next)
            old_scene_put_segment(&scene.clone, 1, 7);
        assert_true(save(&scene, 0, &taker, &saved, &err));
        assert_int_equal(taker.count, cases[i].pushed);
        assert_int_equal(leave_folder(&folder), 0);
    }
}

/* What counts is how it was started last: a copy is often opened like this. */
static void settings_of_the_last_start_come_before_those_in_files(void **state)
{
    static const struct {
        const char *start;
        bool archives;
    } cases[] = {
        {"/bin/postgres \"-D\" \"/data\" \"-c\" \"archive_mode=off\"\n", false},
        {"/bin/postgres \"-D\" \"/data\" \"-c\" \"archive_command=/bin/true\"\n", false},
        {"/bin/postgres \"-D\" \"/data\" \"-c\" \"archive_mode=on\"\n", true},
        {"/bin/postgres \"-D\" \"/data\"\n", true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(old_scene_done) OldScene scene;
        void *folder = NULL;
        Taker taker = {0};
        WalSaved saved;
        Error err = {0};

        assert_int_equal(enter_folder(&folder), 0);
        lay_backlog(&scene);
        old_scene_put_file("postmaster.opts", cases[i].start, strlen(cases[i].start));
        assert_true(save(&scene, 0, &taker, &saved, &err));
        assert_int_equal(taker.count > 0, cases[i].archives);
        assert_int_equal(leave_folder(&folder), 0);
    }
}

/* A clone with an archive of its own: ours would get a hole, and a segment of a stranger. */
static void none_is_pushed_after_what_was_archived_elsewhere(void **state)
{
    CLEANUP(old_scene_done) OldScene scene;
    Taker taker = {0};
    WalSaved saved;
    Error err = {0};

    (void)state;
    lay_backlog(&scene);
    assert_int_equal(rename("archive_status/000000010000000000000006.ready",
                            "archive_status/000000010000000000000006.done"),
                     0);
    assert_true(save(&scene, 0, &taker, &saved, &err));
    assert_int_equal(taker.count, 0);
    assert_int_equal(saved.unsaved, 2);
    assert_non_null(strstr(saved.reason.message, "000000010000000000000006"));
}

static void a_copy_adds_nothing_unless_somebody_says_so(void **state)
{
    static const uint32_t words[] = {0, 1};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        CLEANUP(old_scene_done) OldScene scene;
        void *folder = NULL;
        Taker taker = {.as_copy = true};
        WalSaved saved;
        Error err = {0};

        assert_int_equal(enter_folder(&folder), 0);
        lay_backlog(&scene);
        assert_true(save(&scene, words[i], &taker, &saved, &err));
        assert_int_equal(taker.count, words[i] == 1 ? 3 : 0);
        assert_int_equal(leave_folder(&folder), 0);
    }
}

static void a_clones_wal_is_not_pushed(void **state)
{
    CLEANUP(old_scene_done) OldScene scene;
    Taker taker = {0};
    WalSaved saved;
    Error err = {0};

    (void)state;
    old_scene_init(&scene);
    old_scene_put_segment(&scene.wal, 1, 4);
    old_scene_put_segments(&scene.clone, 5, 6);
    put_mark("000000010000000000000006.ready");
    assert_true(save(&scene, 0, &taker, &saved, &err));
    assert_int_equal(taker.count, 0);
}

/* A history makes a timeline known: a server may put it there, or somebody who says so. */
static void a_timeline_that_the_archive_does_not_know_takes_a_word(void **state)
{
    static const char *const asked[] = {"00000002.history", "000000020000000000000005"};
    static const uint32_t words[] = {0, 3, 2};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        CLEANUP(old_scene_done) OldScene scene;
        void *folder = NULL;
        Taker taker = {0};
        WalSaved saved;
        Error err = {0};
        char lsn[LSN_TEXT_SIZE];

        assert_int_equal(enter_folder(&folder), 0);
        old_scene_init(&scene);
        CLEANUP(wal_builder_done)
        WalBuilder child = wal_builder_fork(&scene.wal, scene.part, scene.last, 2);
        wal_builder_fill_to(&child, 6 * MIB, 0);
        old_scene_commits(&child, 800, 5);
        CLEANUP(text_freep) char *history = text_format("1\t%s\tx\n", lsn_text(scene.part, lsn));
        old_scene_put_file("00000002.history", history, strlen(history));
        old_scene_put_segment(&scene.wal, 1, 4);
        old_scene_put_segment(&child, 2, 5);
        old_scene_put_segment(&child, 2, 6);
        put_mark("00000002.history.ready");
        put_mark("000000020000000000000005.ready");
        assert_true(save(&scene, words[i], &taker, &saved, &err));
        assert_asked(&taker, asked, words[i] == 2 ? 2 : 0);
        assert_int_equal(leave_folder(&folder), 0);
    }
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(complete_segments_are_pushed_in_their_order),
        IN_FOLDER(none_is_pushed_after_one_that_is_refused),
        IN_FOLDER(other_content_ends_the_restore),
        cmocka_unit_test(a_server_that_does_not_archive_is_not_helped_to),
        cmocka_unit_test(a_segment_is_complete_when_wal_goes_to_its_end),
        cmocka_unit_test(settings_of_the_last_start_come_before_those_in_files),
        IN_FOLDER(none_is_pushed_after_what_was_archived_elsewhere),
        cmocka_unit_test(a_copy_adds_nothing_unless_somebody_says_so),
        IN_FOLDER(a_clones_wal_is_not_pushed),
        cmocka_unit_test(a_timeline_that_the_archive_does_not_know_takes_a_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
