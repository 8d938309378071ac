#include "postgres/data_directory.h"

#include "postgres/version.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void names_of_relation_files_are_understood(void **state)
{
    static const struct {
        const char *name;
        RelationFileName file;
    } cases[] = {
        {"1259", {1259, FORK_MAIN, 0, false}},
        {"1", {1, FORK_MAIN, 0, false}},
        {"4294967295", {4294967295, FORK_MAIN, 0, false}},
        {"1259_fsm", {1259, FORK_FSM, 0, false}},
        {"1259_vm", {1259, FORK_VM, 0, false}},
        {"1259_init", {1259, FORK_INIT, 0, false}},
        {"1259.1", {1259, FORK_MAIN, 1, false}},
        {"1259.4095", {1259, FORK_MAIN, 4095, false}},
        {"1259_fsm.2", {1259, FORK_FSM, 2, false}},
        {"t3_16384", {16384, FORK_MAIN, 0, true}},
        {"t3_16384_vm.7", {16384, FORK_VM, 7, true}},
        {"t0_1", {1, FORK_MAIN, 0, true}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        RelationFileName file = {0};
        assert_true(relation_file_parse(cases[i].name, &file));
        assert_int_equal(file.relfilenode, cases[i].file.relfilenode);
        assert_int_equal(file.fork, cases[i].file.fork);
        assert_int_equal(file.segment, cases[i].file.segment);
        assert_int_equal(file.is_temporary, cases[i].file.is_temporary);
    }
}

static void other_names_are_not(void **state)
{
    static const char *const names[] = {
        "",
        "0",
        "01259",
        "4294967296",
        "99999999999999999999999",
        "1259.0",
        "1259.01",
        "1259.",
        "1259.x",
        "1259_",
        "1259_foo",
        "1259_fsm_",
        "1259_vmx",
        "_fsm",
        "pg_filenode.map",
        "t_1",
        "t3_",
        "t3_0",
        "tx_1",
        "t3",
        "PG_VERSION",
        "1259 ",
        " 1259",
        "-1259",
        "+1259",
        "1259.1.2",
        "1259.1_fsm",
        "pg_internal.init",
        "1259.4294967296",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        RelationFileName file;
        assert_false(relation_file_parse(names[i], &file));
    }
}

static void everything_is_planned_as_the_server_plans_it(void **state)
{
    static const struct {
        const char *path;
        bool is_directory;
        DataPlan plan;
    } cases[] = {
        {"", true, PLAN_COPY},
        {"PG_VERSION", false, PLAN_COPY},
        {"postgresql.conf", false, PLAN_COPY},
        {"postgresql.auto.conf", false, PLAN_COPY},
        {"current_logfiles", false, PLAN_COPY},
        {"backup_label.old", false, PLAN_COPY},
        {"tablespace_map.old", false, PLAN_COPY},
        {"global", true, PLAN_COPY},
        {"base", true, PLAN_COPY},
        {"base/5", true, PLAN_COPY},
        {"pg_xact", true, PLAN_COPY},
        {"pg_xact/0000", false, PLAN_COPY},
        {"pg_multixact/offsets/0000", false, PLAN_COPY},
        {"pg_stat/pgstat.stat", false, PLAN_COPY},
        {"pg_logical/replorigin_checkpoint", false, PLAN_COPY},
        {"pg_twophase/00000300", false, PLAN_COPY},
        {"base/5/PG_VERSION", false, PLAN_COPY},
        {"base/5/pg_filenode.map", false, PLAN_COPY},
        {"global/pg_filenode.map", false, PLAN_COPY},
        {"log/postgresql.log", false, PLAN_COPY},
        {"1259", false, PLAN_COPY},      /* a number, but no place for relations */
        {"base/1259", false, PLAN_COPY}, /* nor here */
        {"base/5/x/1259", false, PLAN_COPY},
        {"base/x/1259", false, PLAN_COPY},
        {"pg_xact/1259", false, PLAN_COPY},
        {"global/t3_16384", false, PLAN_COPY},

        {"base/5x/1259", false, PLAN_COPY},
        {"bass/5/1259", false, PLAN_COPY},
        {"global/5/1259", false, PLAN_COPY},
        {"elsewhere/1259", false, PLAN_COPY},
        {"pg_tblspc/16390/PG_15_202209061/1259", false, PLAN_COPY},
        {"pg_tblspc/16390/PG_15_202209061/x/1259", false, PLAN_COPY},
        {"pg_tblspc/x/PG_15_202209061/5/1259", false, PLAN_COPY},
        {"pg_tblspd/16390/PG_15_202209061/5/1259", false, PLAN_COPY},
        {"a/1/PG_15/5/1259", false, PLAN_COPY},
        {"global/x/pg_control", false, PLAN_COPY},
        {"elsewhere/pg_control", false, PLAN_COPY},
        {"pg_control", false, PLAN_COPY},

        {"global/1262", false, PLAN_RELATION},
        {"global/1262_fsm", false, PLAN_RELATION},
        {"base/5/1259", false, PLAN_RELATION},
        {"base/5/16384_init", false, PLAN_RELATION},
        {"base/16384/16400.3", false, PLAN_RELATION},
        {"pg_tblspc/16390/PG_15_202209061/5/16391", false, PLAN_RELATION},
        {"pg_tblspc/16390/PG_15_202209061/5/16391_vm", false, PLAN_RELATION},

        {"global/pg_control", false, PLAN_CONTROL},
        {"base/5/pg_control", false, PLAN_COPY},

        {"backup_label", false, PLAN_SKIP},
        {"tablespace_map", false, PLAN_SKIP},
        {"backup_manifest", false, PLAN_SKIP},
        {"postmaster.pid", false, PLAN_SKIP},
        {"postmaster.opts", false, PLAN_SKIP},
        {"lost+found", true, PLAN_SKIP},
        {"lost+found", false, PLAN_COPY},
        {"base/lost+found", true, PLAN_COPY},
        {"postgresql.auto.conf.tmp", false, PLAN_SKIP},
        {"current_logfiles.tmp", false, PLAN_SKIP},
        {"global/pg_internal.init", false, PLAN_SKIP},
        {"base/5/pg_internal.init", false, PLAN_SKIP},
        {"base/5/pg_internal.init.4711", false, PLAN_SKIP},
        {"base/pgsql_tmp", true, PLAN_SKIP},
        {"base/pgsql_tmp/pgsql_tmp4711.0", false, PLAN_SKIP},
        {"pg_tblspc/16390/PG_15_202209061/pgsql_tmp", true, PLAN_SKIP},
        {"base/5/t3_16384", false, PLAN_SKIP},
        {"pg_tblspc/16390/PG_15_202209061/5/t3_16384_fsm", false, PLAN_SKIP},
        {"base/5/pg_filenode.map.tmp", false, PLAN_SKIP},
        {".DS_Store", false, PLAN_SKIP},
        {"pg_tblspc/16390/lost+found", true, PLAN_SKIP},
        {"pg_tblspc/16390/notes.txt", false, PLAN_SKIP},

        {"pg_dynshmem", true, PLAN_EMPTY},
        {"pg_notify", true, PLAN_EMPTY},
        {"pg_replslot", true, PLAN_EMPTY},
        {"pg_serial", true, PLAN_EMPTY},
        {"pg_snapshots", true, PLAN_EMPTY},
        {"pg_stat_tmp", true, PLAN_EMPTY},
        {"pg_subtrans", true, PLAN_EMPTY},
        {"pg_wal", true, PLAN_EMPTY},
        {"pg_wal", false, PLAN_EMPTY}, /* a symbolic link */
        {"pg_wal/000000010000000000000001", false, PLAN_SKIP},
        {"pg_replslot/one/state", false, PLAN_SKIP},

        {"pg_tblspc", true, PLAN_TABLESPACES},
        {"pg_tblspc/16390", true, PLAN_COPY},
        {"pg_tblspc/16390/PG_15_202209061", true, PLAN_COPY},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        DataPlan plan = data_plan_of(cases[i].path, cases[i].is_directory);
        if (plan != cases[i].plan)
            print_error("%s\n", cases[i].path);
        assert_int_equal(plan, cases[i].plan);
    }
}

static void long_and_odd_paths_do_no_harm(void **state)
{
    char path[1000];

    (void)state;
    for (size_t length = 0; length < sizeof path; length++) {
        memset(path, '9', length);
        path[length] = '\0';
        assert_int_equal(data_plan_of(path, false), PLAN_COPY);
        memset(path, '/', length);
        assert_int_equal(data_plan_of(path, false), PLAN_COPY);
    }
    /* The first 63 letters of a part that begins like a name of ours. */
    assert_int_equal(data_plan_of("pg_wal_but_longer", true), PLAN_COPY);
    assert_int_equal(data_plan_of("a/b/c/d/e/f/g/1259", false), PLAN_COPY);
}

static void directories_inside_pg_wal_depend_on_the_version(void **state)
{
    (void)state;
    for (unsigned major = PG_MAJOR_MIN; major <= PG_MAJOR_MAX; major++) {
        const char *const *list = data_wal_directories(major);
        assert_string_equal(list[0], "pg_wal/archive_status");
        if (major < 17) {
            assert_null(list[1]);
        } else {
            assert_string_equal(list[1], "pg_wal/summaries");
            assert_null(list[2]);
        }
    }
}

static void a_tablespace_has_a_directory_for_each_version(void **state)
{
    char text[TABLESPACE_DIRECTORY_SIZE];

    (void)state;
    assert_string_equal(tablespace_directory_text(13, text), "PG_13_202007201");
    assert_string_equal(tablespace_directory_text(15, text), "PG_15_202209061");
    assert_string_equal(tablespace_directory_text(18, text), "PG_18_202506291");
}

static void what_the_server_opens_is_told_by_its_place(void **state)
{
    static const struct {
        const char *path;
        ServerPlace place;
    } cases[] = {
        {"base", PLACE_DIRECTORY},
        {"global", PLACE_DIRECTORY},
        {"pg_xact", PLACE_DIRECTORY},
        {"pg_multixact", PLACE_DIRECTORY},
        {"pg_multixact/members", PLACE_DIRECTORY},
        {"pg_logical/snapshots", PLACE_DIRECTORY},
        {"base/5", PLACE_DIRECTORY},
        {"pg_tblspc", PLACE_DIRECTORY},
        {"pg_tblspc/16384/PG_15_202209061", PLACE_DIRECTORY},
        {"pg_tblspc/16384/PG_15_202209061/5", PLACE_DIRECTORY},
        {"base/5/1259", PLACE_FILE},
        {"base/5/pg_filenode.map", PLACE_FILE},
        {"global/pg_control", PLACE_FILE},
        {"pg_xact/0000", PLACE_FILE},
        {"pg_multixact/offsets/0000", PLACE_FILE},
        {"pg_tblspc/16384/PG_15_202209061/5/16400", PLACE_FILE},
        {"pg_logical/replorigin_checkpoint", PLACE_FILE},
        {"", PLACE_OTHER},
        {"postgresql.conf", PLACE_OTHER},
        {"log", PLACE_OTHER},
        {"base/notes", PLACE_OTHER},
        {"base/5/deep/1259", PLACE_OTHER},
        {"pg_tblspc/16384", PLACE_OTHER},
        {"pg_tblspc/16384/PG_15_202209061/notes", PLACE_OTHER},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (data_place_of(cases[i].path) != cases[i].place)
            fail_msg("%s is %d", cases[i].path, (int)data_place_of(cases[i].path));
    }
    assert_true(data_holds_relations("global"));
    assert_true(data_holds_relations("base/5"));
    assert_true(data_holds_relations("pg_tblspc/16384/PG_15_202209061/5"));
    assert_false(data_holds_relations("base"));
    assert_false(data_holds_relations("pg_xact"));
    assert_string_equal(data_names_in("base/5")[1], "pg_filenode.map");
    assert_null(data_names_in("pg_xact")[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_relation_files_are_understood),
        cmocka_unit_test(other_names_are_not),
        cmocka_unit_test(everything_is_planned_as_the_server_plans_it),
        cmocka_unit_test(long_and_odd_paths_do_no_harm),
        cmocka_unit_test(directories_inside_pg_wal_depend_on_the_version),
        cmocka_unit_test(a_tablespace_has_a_directory_for_each_version),
        cmocka_unit_test(what_the_server_opens_is_told_by_its_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
