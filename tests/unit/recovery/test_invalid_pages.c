#include "recovery/invalid_pages.h"

#include "../folder.h"
#include "base/memory.h"
#include "postgres/left_empty.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static void a_line_tells_its_relation(void **state)
{
    static const struct {
        const char *line, *relation;
    } cases[] = {
        {"2026-11-22 UTC [4711] WARNING:  page 5 of relation base/16385/2619 is uninitialized\n",
         "base/16385/2619"},
        {"page 0 of relation base/16385/2619_vm does not exist", "base/16385/2619_vm"},
        {"page 4294967294 of relation pg_tblspc/1/PG_15_202209061/5/9 does not exist\n",
         "pg_tblspc/1/PG_15_202209061/5/9"},
        {"page 1 of relation global/1262 is uninitialized", "global/1262"},
        {"WARNING:  WAL contains references to invalid pages", NULL},
        {"CONTEXT:  xlog redo at 0/1 for Heap2/VISIBLE: cutoff xid 9 flags 1", NULL},
        {"ERROR:  relation \"page\" does not exist", NULL},
        {"page 1 of relation base/5/9 is fine", NULL},
        {"", NULL},
    };
    char relation[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(invalid_page_in_line(cases[i].line, relation, sizeof relation),
                         cases[i].relation != NULL);
        if (cases[i].relation != NULL)
            assert_string_equal(relation, cases[i].relation);
    }
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void make_database(const char *path, const char *version)
{
    CLEANUP(text_freep) char *file = text_format("%s/PG_VERSION", path);

    assert_int_equal(mkdir(path, 0700), 0);
    put(file, version);
}

static void only_what_is_brought_back_counts(void **state)
{
    static const struct {
        const char *relation;
        bool counts;
    } cases[] = {
        {"base/5/2619", true},
        {"base/16385/2619", false},                            /* left empty */
        {"pg_tblspc/16384/PG_15_202209061/16385/2619", false}, /* ... in a tablespace */
        {"base/16390/2619", false},                            /* copied from it */
        {"base/16391/2619", true},                             /* made since */
        {"pg_tblspc/16384/PG_15_202209061/5/2619", true},
        {"global/1262", true},
    };
    static const uint32_t oids[] = {16384, 16385};
    InvalidPagesRequest request = {.data = ".", .log_path = "log", .oids = oids, .oid_count = 2};

    (void)state;
    assert_int_equal(mkdir("base", 0700), 0);
    make_database("base/5", "15\n");
    make_database("base/16390", LEFT_EMPTY_VERSION);
    make_database("base/16391", "15\n");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(text_freep)
        char *log =
            text_format("LOG:  x\nWARNING:  page 7 of relation base/16385/1 does not exist\n"
                        "WARNING:  page 5 of relation %s is uninitialized\nLOG:  y\n",
                        cases[i].relation);
        Error err = {0};
        put("log", log);
        request.log_from = 0;
        assert_int_equal(invalid_pages_check(&request, &err), !cases[i].counts);
        if (cases[i].counts) {
            assert_int_equal(err.code, ERR_RECOVERY);
            assert_non_null(strstr(err.message, cases[i].relation));
        }
        /* What an earlier run has left there is not of this one. */
        error_clear(&err);
        request.log_from = strlen(log);
        assert_true(invalid_pages_check(&request, &err));
    }
    Error missing = {0};
    request.log_path = "none";
    assert_false(invalid_pages_check(&request, &missing));
    assert_int_equal(missing.code, ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_tells_its_relation),
        cmocka_unit_test(only_what_is_brought_back_counts),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
