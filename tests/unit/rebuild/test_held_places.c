#include "rebuild/held_places.h"

#include "../folder.h"
#include "base/memory.h"
#include "rebuild/extra_place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Scene {
    Placement placement;
    Arena arena;
    HeldPlaces held;
    PlannedTablespace tablespaces[2];
} Scene;

static void scene_done(Scene *scene)
{
    held_places_done(&scene->held);
    arena_done(&scene->arena);
}

static const char *place(Scene *scene, const char *name)
{
    return arena_format(&scene->arena, "%s/%s", folder_path(), name);
}

/* Tablespaces 16384 and 16400, files from outside beside the data directory. */
static void scene_begin(Scene *scene)
{
    Placement *placement = &scene->placement;

    *scene = (Scene){.held = {.data = HELD_NONE, .extra = HELD_NONE}};
    placement->held = &scene->held;
    placement->data = place(scene, "data");
    placement->data_mode = 0750;
    placement->extra_directory = place(scene, "extra");
    placement->tablespaces = scene->tablespaces;
    placement->tablespace_count = 2;
    scene->tablespaces[0] = (PlannedTablespace){
        .oid = 16384, .path = place(scene, "a"), .version = place(scene, "a/PG_15_202209061")};
    scene->tablespaces[1] = (PlannedTablespace){
        .oid = 16400, .path = place(scene, "b/c"), .version = place(scene, "b/c/PG_15_202209061")};
}

static bool make_all(Scene *scene, Error *err)
{
    return held_places_make_data(&scene->held, &scene->placement, err) &&
           held_places_make_others(&scene->held, &scene->placement, err);
}

static void each_entry_goes_to_its_own_place(void **state)
{
    static const struct {
        EntryKind kind;
        const char *path, *expected;
    } cases[] = {
        {ENTRY_FILE, "base/5/1259", "data/base/5/1259"},
        {ENTRY_DIRECTORY, "pg_tblspc", "data/pg_tblspc"},
        {ENTRY_LINK, "pg_tblspc/16384", "data/pg_tblspc/16384"},
        {ENTRY_DIRECTORY, "pg_tblspc/16384/PG_15_202209061", "a/PG_15_202209061"},
        {ENTRY_FILE, "pg_tblspc/16384/PG_15_202209061/5/1", "a/PG_15_202209061/5/1"},
        {ENTRY_FILE, "pg_tblspc/16400/PG_15_202209061/5/1", "b/c/PG_15_202209061/5/1"},
        /* Of no link, or of another version: in the data directory, where a link is refused. */
        {ENTRY_FILE, "pg_tblspc/16385/PG_15_202209061/5/1",
         "data/pg_tblspc/16385/PG_15_202209061/5/1"},
        {ENTRY_FILE, "pg_tblspc/16384/PG_15_1/5/1", "data/pg_tblspc/16384/PG_15_1/5/1"},
        {ENTRY_FILE, "pg_tblspc/16384/PG_15_2022090611/5/1",
         "data/pg_tblspc/16384/PG_15_2022090611/5/1"},
        {ENTRY_EXTRA, "/etc/postgresql/15/main/pg_hba.conf",
         "extra/etc/postgresql/15/main/pg_hba.conf"},
    };
    CLEANUP(scene_done) Scene scene;
    Error err = {0};

    (void)state;
    scene_begin(&scene);
    assert_true(make_all(&scene, &err));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        ManifestEntry entry = {.kind = cases[i].kind, .path = cases[i].path};
        CLEANUP(text_freep) char *text = held_text(held_places_of(&scene.placement, &entry));
        assert_string_equal(text, place(&scene, cases[i].expected));
    }
    ManifestEntry other = {.kind = ENTRY_FILE, .path = "pg_tblspc/16384/PG_15_1/5/1"};
    int fd;
    assert_int_equal(mkdir("data/pg_tblspc", 0700), 0);
    assert_int_equal(symlink(scene.tablespaces[0].path, "data/pg_tblspc/16384"), 0);
    assert_int_equal(mkdir("a/PG_15_1", 0700), 0);
    assert_int_equal(mkdir("a/PG_15_1/5", 0700), 0);
    assert_false(held_create(held_places_of(&scene.placement, &other), &fd, &err));
}

static void what_is_put_back_goes_below_the_cluster_s_directory(void **state)
{
    CLEANUP(scene_done) Scene scene;
    ManifestEntry entry = {.kind = ENTRY_EXTRA, .path = "/etc/postgresql/15/main/conf.d/a.conf"};

    (void)state;
    scene_begin(&scene);
    scene.placement.puts_back = true;
    scene.placement.debian_directory = "/etc/postgresql/15/main";
    HeldPath at = held_places_of(&scene.placement, &entry);
    assert_ptr_equal(at.directory, &scene.held.extra);
    assert_string_equal(at.below, "conf.d/a.conf");
}

static void a_link_on_the_way_to_what_is_put_back_is_seen(void **state)
{
    static const struct {
        const char *path;
        bool has_link;
    } cases[] = {
        {"root/15/main/pg_hba.conf", false},
        {"root/15/main/no/such.conf", false},
        {"root/15/main/postgresql.conf", true}, /* leads nowhere */
        {"root/15/main/conf.d/a.conf", true},
        {"root/15/linked/pg_hba.conf", true},
        {"root/15/linked", true},
        {"root/14/main/pg_hba.conf", false},
    };

    (void)state;
    assert_int_equal(mkdir("root", 0700), 0);
    assert_int_equal(mkdir("root/15", 0700), 0);
    assert_int_equal(mkdir("root/15/main", 0700), 0);
    assert_int_equal(symlink("nowhere", "root/15/main/postgresql.conf"), 0);
    assert_int_equal(symlink("..", "root/15/main/conf.d"), 0);
    assert_int_equal(symlink("main", "root/15/linked"), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(extra_place_has_link("root", cases[i].path), cases[i].has_link);
}

static void places_are_made_with_their_modes_and_stay_known(void **state)
{
    CLEANUP(scene_done) Scene scene;
    struct stat status;
    Error err = {0};

    (void)state;
    scene_begin(&scene);
    assert_true(make_all(&scene, &err));
    assert_int_equal(stat("data", &status), 0);
    assert_int_equal(status.st_mode & 0777, 0750);
    assert_int_equal(stat("b/c/PG_15_202209061", &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    assert_true(held_places_are_in_place(&scene.held, &err));
    assert_int_equal(rename("b/c/PG_15_202209061", "b/c/away"), 0);
    assert_false(held_places_are_in_place(&scene.held, &err));
    assert_int_equal(err.code, ERR_BUSY);
    error_clear(&err);
    assert_int_equal(symlink("away", "b/c/PG_15_202209061"), 0);
    assert_false(held_places_are_in_place(&scene.held, &err));
}

static void a_version_directory_must_be_empty_and_ours(void **state)
{
    Error err = {0};

    (void)state;
    assert_int_equal(mkdir("a", 0700), 0);
    assert_int_equal(mkdir("a/PG_15_202209061", 0700), 0);
    {
        CLEANUP(scene_done) Scene scene;
        assert_int_equal(mkdir("a/PG_15_202209061/5", 0700), 0);
        scene_begin(&scene);
        assert_false(make_all(&scene, &err));
        assert_int_equal(err.code, ERR_REFUSED);
        assert_int_equal(rmdir("a/PG_15_202209061/5"), 0);
        error_clear(&err);
    }
    if (geteuid() == 0) {
        CLEANUP(scene_done) Scene scene;
        assert_int_equal(chown("a/PG_15_202209061", 12345, 12345), 0);
        scene_begin(&scene);
        assert_false(make_all(&scene, &err));
        assert_non_null(strstr(err.message, "another user"));
        assert_int_equal(chown("a/PG_15_202209061", 0, 0), 0);
        error_clear(&err);
    }
    CLEANUP(scene_done) Scene scene;
    scene_begin(&scene);
    assert_int_equal(rename("a", "elsewhere"), 0);
    assert_int_equal(symlink("elsewhere", "a"), 0);
    assert_false(make_all(&scene, &err)); /* a link since it was resolved */
    error_clear(&err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_entry_goes_to_its_own_place, enter_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(what_is_put_back_goes_below_the_cluster_s_directory,
                                        enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(a_link_on_the_way_to_what_is_put_back_is_seen, enter_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(places_are_made_with_their_modes_and_stay_known,
                                        enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(a_version_directory_must_be_empty_and_ours, enter_folder,
                                        leave_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
