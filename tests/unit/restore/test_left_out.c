#include "left_out.h"

#include "pack/database_names.h"
#include "postgres/left_empty.h"
#include "stream/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NAMES                                                                                      \
    "1 template1\n4 template0\n5 postgres\n16385 shop\n16386 a%0Ab\n16400 Wiki \"2\"\nx y\n9\n"

static void names_are_read_as_they_were_written(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(buffer_done) Buffer text = {0};
    DatabaseNameList names;

    (void)state;
    database_names_put(&text, 1, "template1");
    database_names_put(&text, 4294967295, "a\nb c%");
    database_names_parse((const char *)text.data, &arena, &names);
    assert_int_equal(names.count, 2);
    assert_int_equal(names.items[1].oid, 4294967295);
    assert_string_equal(names.items[1].name, "a\nb c%");

    database_names_parse(NAMES, &arena, &names);
    assert_int_equal(names.count, 6); /* two lines can't be read */
    assert_int_equal(database_names_find(&names, "a\nb")->oid, 16386);
    assert_null(database_names_find(&names, "SHOP"));
    database_names_parse("", &arena, &names);
    assert_int_equal(names.count, 0);
    database_names_parse(NULL, &arena, &names);
    assert_int_equal(names.count, 0);
}

enum { LONG = 100003 };

static ManifestEntry entries[] = {
    {.kind = ENTRY_FILE, .path = "PG_VERSION", .size = 3},
    {.kind = ENTRY_DIRECTORY, .path = "base"},
    {.kind = ENTRY_FILE, .path = "base/1/1259", .size = 8192},
    {.kind = ENTRY_DIRECTORY, .path = "base/16385"},
    {.kind = ENTRY_FILE, .path = "base/16385/1259", .size = 8192},
    {.kind = ENTRY_FILE, .path = "base/16385/PG_VERSION", .size = 3},
    {.kind = ENTRY_DIRECTORY, .path = "base/16386"},
    {.kind = ENTRY_FILE, .path = "base/16386/1259", .size = LONG},
    {.kind = ENTRY_FILE, .path = "base/16386/2600", .size = 0},
    {.kind = ENTRY_FILE, .path = "base/16386/PG_VERSION", .size = 3},
    {.kind = ENTRY_FILE, .path = "base/16386/pg_filenode.map", .size = 512},
    {.kind = ENTRY_FILE, .path = "base/16999/1259", .size = 8192}, /* nobody knows its name */
    {.kind = ENTRY_FILE, .path = "base/5/1259", .size = 8192},
    {.kind = ENTRY_FILE, .path = "global/1262", .size = 8192},
    {.kind = ENTRY_FILE, .path = "pg_tblspc/16384/PG_15_202209061/16385/9", .size = 8192},
    {.kind = ENTRY_FILE, .path = "pg_tblspc/16384/PG_15_202209061/16400/9", .size = 8192},
    {.kind = ENTRY_FILE, .path = "pg_xact/0000", .size = 8192},
};

static void plan_of(RestorePlan *plan, ManifestEntry *own, const char *names)
{
    *plan = (RestorePlan){0};
    memcpy(own, entries, sizeof entries);
    plan->decision.manifest.entries = own;
    plan->decision.manifest.entry_count = ARRAY_SIZE(entries);
    plan->decision.manifest.header.databases = names;
}

static void files_of_others_are_left_empty(void **state)
{
    static const char *const hollow[] = {"base/16386/1259", "base/16386/2600",
                                         "base/16386/PG_VERSION", "base/16999/1259",
                                         "pg_tblspc/16384/PG_15_202209061/16400/9"};
    static const char *const wanted[] = {"shop"};
    static const uint8_t zeros[LONG];
    const RestoreRequest request = {.only_databases = wanted, .only_database_count = 1};
    ManifestEntry own[ARRAY_SIZE(entries)];
    RestorePlan plan;
    size_t next = 0;
    Error err = {0};

    (void)state;
    plan_of(&plan, own, NAMES);
    assert_true(left_out_plan(&request, &plan, &err));
    for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
        const bool is_hollow = next < ARRAY_SIZE(hollow) && strcmp(own[i].path, hollow[next]) == 0;
        next += is_hollow;
        assert_int_equal(own[i].kind, is_hollow ? ENTRY_HOLLOW : entries[i].kind);
    }
    assert_int_equal(next, ARRAY_SIZE(hollow));
    /* For pg_verifybackup. */
    assert_int_equal(own[7].crc32c, crc32c_update(0, zeros, LONG));
    assert_int_equal(own[8].crc32c, 0);
    assert_int_equal(own[9].size, strlen(LEFT_EMPTY_VERSION));

    const LeftOut *left_out = &plan.decision.left_out;
    assert_int_equal(left_out->files, ARRAY_SIZE(hollow));
    assert_int_equal(left_out->bytes, LONG + 3 + 8192 + 8192);
    assert_int_equal(left_out->oid_count, 3);
    assert_string_equal(left_out->kept[3], "shop");
    assert_null(left_out->kept[4]);
    assert_string_equal(left_out->empty[0], "a\nb");
    assert_string_equal(left_out->empty[1], "Wiki \"2\"");
    assert_null(left_out->empty[2]);
    arena_done(&plan.arena);
}

static void what_can_not_be_is_refused(void **state)
{
    static const struct {
        const char *names, *wanted;
        size_t count;
        ErrorCode code;
    } cases[] = {
        {NAMES, "shop", 0, ERR_NONE}, /* nothing is left out */
        {NAMES, "Shop", 1, ERR_NOT_FOUND}, {NAMES, "16385", 1, ERR_NOT_FOUND},
        {"", "shop", 1, ERR_REFUSED}, /* of an earlier version */
        {NULL, "shop", 1, ERR_REFUSED},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const RestoreRequest request = {.only_databases = &cases[i].wanted,
                                        .only_database_count = cases[i].count};
        ManifestEntry own[ARRAY_SIZE(entries)];
        RestorePlan plan;
        Error err = {0};

        plan_of(&plan, own, cases[i].names);
        assert_int_equal(left_out_plan(&request, &plan, &err), cases[i].code == ERR_NONE);
        assert_int_equal(err.code, cases[i].code);
        for (size_t k = 0; k < ARRAY_SIZE(own); k++)
            assert_int_equal(own[k].kind, entries[k].kind);
        assert_null(plan.decision.left_out.kept);
        arena_done(&plan.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_read_as_they_were_written),
        cmocka_unit_test(files_of_others_are_left_empty),
        cmocka_unit_test(what_can_not_be_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
