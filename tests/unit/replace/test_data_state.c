#include "replace/data_state.h"

#include "../folder.h"
#include "base/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const Cluster cluster = {
    .name = "main", .system_identifier = 4711, .major = 15, .wal_segment_size = 16 << 20};

static void touch(const char *path)
{
    CLEANUP(fd_done) int fd = open(path, O_WRONLY | O_CREAT, 0600);

    assert_true(fd >= 0);
}

static void paths_are_resolved_also_where_nothing_is_yet(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};
    static const struct {
        const char *given, *resolved; /* below the directory */
    } table[] = {
        {"real", "real"},
        {"real/", "real"},
        {"link", "real"},
        {"link/new", "real/new"},
        {"link/new/er/", "real/new/er"},
        {"real/./new", "real/new"},
        {"link//new", "real/new"},
    };

    (void)state;
    assert_int_equal(mkdir("real", 0700), 0);
    assert_int_equal(symlink("real", "link"), 0);
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        const char *given = arena_format(&arena, "%s/%s", folder_path(), table[i].given);
        const char *expected = arena_format(&arena, "%s/%s", folder_path(), table[i].resolved);
        const char *resolved;
        Error err = {0};
        assert_true(path_resolve(given, &arena, &resolved, &err));
        assert_string_equal(resolved, expected);
    }
    static const char *const refused[] = {"relative", "/tmp/../etc", "/tmp/x/..", ""};
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        const char *resolved;
        Error err = {0};
        assert_false(path_resolve(refused[i], &arena, &resolved, &err));
        assert_int_equal(err.code, ERR_USAGE);
    }
}

static void inside_means_whole_names(void **state)
{
    (void)state;
    assert_true(path_is_inside("/a/b", "/a/b"));
    assert_true(path_is_inside("/a/b/c", "/a/b"));
    assert_true(path_is_inside("/a", "/"));
    assert_false(path_is_inside("/a/bc", "/a/b"));
    assert_false(path_is_inside("/a", "/a/b"));
}

static bool look(const char *name, DataLook *found, Arena *arena, Error *err)
{
    const char *path = arena_format(arena, "%s/%s", folder_path(), name);

    return data_look(path, &cluster, arena, found, err);
}

static void what_is_there_is_told_apart(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};
    DataLook found;
    Error err = {0};

    (void)state;
    assert_true(look("absent", &found, &arena, &err));
    assert_int_equal(found.state, DATA_ABSENT);

    assert_int_equal(mkdir("empty", 0700), 0);
    assert_true(look("empty", &found, &arena, &err));
    assert_int_equal(found.state, DATA_EMPTY);
    assert_int_equal(mkdir("empty/lost+found", 0700), 0);
    assert_true(look("empty", &found, &arena, &err));
    assert_int_equal(found.state, DATA_EMPTY);

    assert_int_equal(mkdir("home", 0700), 0);
    touch("home/diary");
    assert_false(look("home", &found, &arena, &err));
    assert_int_equal(err.code, ERR_REFUSED);
    assert_non_null(strstr(err.message, "neither empty nor a PostgreSQL data directory"));
    error_clear(&err);

    /* One of the signs of a data directory is not enough to empty it. */
    assert_int_equal(mkdir("version", 0700), 0);
    touch("version/PG_VERSION");
    assert_false(look("version", &found, &arena, &err));
    assert_int_equal(err.code, ERR_REFUSED);
    error_clear(&err);
    assert_int_equal(mkdir("globe", 0700), 0);
    assert_int_equal(mkdir("globe/global", 0700), 0);
    assert_false(look("globe", &found, &arena, &err));
    assert_int_equal(err.code, ERR_REFUSED);
    error_clear(&err);

    touch("file");
    assert_false(look("file", &found, &arena, &err));
    assert_int_equal(err.code, ERR_REFUSED);
    error_clear(&err);

    assert_int_equal(mkdir("data", 0700), 0);
    assert_int_equal(mkdir("data/global", 0700), 0);
    touch("data/PG_VERSION");
    assert_true(look("data", &found, &arena, &err));
    assert_int_equal(found.state, DATA_CLUSTER);
    assert_false(found.is_identified); /* without pg_control and WAL nobody knows whose it is */
}

static void a_half_restored_directory_says_whose_it_is_and_where_its_wal_went(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};
    static const char *const sources[] = {"/earlier/wal", NULL};
    const char *versions[] = {"/old/PG_15"};
    PlannedTablespace tablespaces[] = {{.version = "/new/PG_15"}};
    RestorePlan plan = {.placement.data = arena_format(&arena, "%s/half", folder_path()),
                        .old.wal_sources = sources,
                        .old.wal_kept = "/now/wal",
                        .old.moved_to = "/aside",
                        .old.versions = versions,
                        .old.version_count = 1,
                        .placement.tablespaces = tablespaces,
                        .placement.tablespace_count = 1};
    CLEANUP(held_done) HeldDirectory half = HELD_NONE;
    DataLook found;
    Error err = {0};

    (void)state;
    memcpy(plan.decision.manifest.header.id, "20261122T031500Z-k3v9qa", BACKUP_ID_SIZE);
    plan.decision.manifest.header.cluster = "main";
    plan.decision.manifest.header.system_identifier = 4711;
    PathStep step = {.timeline = 1};
    plan.decision.path = (TimelinePath){.steps = &step, .count = 1};
    assert_int_equal(mkdir("half", 0700), 0);
    assert_true(held_open(&half, "half", &err));
    assert_true(marker_save(&plan, &half, false, &err));

    assert_true(look("half", &found, &arena, &err));

    assert_int_equal(found.state, DATA_HALF_RESTORED);
    assert_true(found.same_cluster && found.is_identified);
    assert_false(found.marker.has_new_wal);
    assert_string_equal(found.marker.backup, "20261122T031500Z-k3v9qa");
    assert_int_equal(found.marker.wal_kept_count, 3);
    assert_string_equal(found.marker.wal_kept[0], "/earlier/wal");
    assert_string_equal(found.marker.wal_kept[1], "/now/wal");
    assert_string_equal(found.marker.wal_kept[2], "/aside/pg_wal"); /* where it is until the end */
    assert_int_equal(found.marker.version_count, 2);
    assert_string_equal(found.marker.versions[0], "/old/PG_15");
    assert_string_equal(found.marker.versions[1], "/new/PG_15");

    /* An attempt that moves aside what another one has begun does not take that for the old WAL. */
    plan.old.has_new_wal = true;
    assert_true(marker_save(&plan, &half, true, &err));
    assert_true(look("half", &found, &arena, &err));
    assert_true(found.marker.has_new_wal);
    assert_int_equal(found.marker.wal_kept_count, 2);
    assert_string_equal(found.marker.wal_kept[1], "/now/wal");

    assert_true(marker_remove(&half, &err));
    assert_true(look("half", &found, &arena, &err));
    assert_int_equal(found.state, DATA_EMPTY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_resolved_also_where_nothing_is_yet),
        cmocka_unit_test(inside_means_whole_names),
        cmocka_unit_test(what_is_there_is_told_apart),
        cmocka_unit_test(a_half_restored_directory_says_whose_it_is_and_where_its_wal_went),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
