#include "../../../include/answer/log_branches.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Histories as their files are written: the parents of a timeline, the oldest first. */
typedef struct Histories {
    const char *of[8]; /* of timeline i; NULL: it has none */
} Histories;

static bool load(void *context, uint32_t timeline, Arena *arena, TimelinePath *path, Error *err)
{
    const Histories *histories = context;

    return timeline_path_parse(timeline, histories->of[timeline], arena, path, err);
}

/* "3:0 1:0/200" */
static void assert_branches(const Histories *histories, const uint32_t *timelines, size_t count,
                            const char *expected)
{
    CLEANUP(log_branches_done) LogBranches branches = {0};
    CLEANUP(buffer_done) Buffer found = {0};
    WalRun runs[8] = {{0}};
    WalInventory inventory = {.runs = runs, .run_count = count};
    Error err = {0};

    for (size_t i = 0; i < count; i++)
        runs[i].timeline = timelines[i];
    log_branches_timelines(&inventory, &branches);
    assert_true(log_branches_find(load, (void *)histories, &branches, &err));
    buffer_print(&found, "%s", "");
    for (size_t i = 0; i < branches.count; i++) {
        buffer_print(&found, "%s%u:%llX", i > 0 ? " " : "", branches.items[i].timeline,
                     (unsigned long long)branches.items[i].from);
    }
    assert_string_equal((const char *)found.data, expected);
}

static void every_stretch_of_wal_is_looked_at_once(void **state)
{
    static const struct {
        Histories histories;
        uint32_t timelines[4];
        size_t count;
        const char *expected;
    } cases[] = {
        {{{NULL}}, {1}, 1, "1:0"},
        {{{NULL}}, {0}, 0, "1:0"},
        /* 1 ---+--- goes on; 2 leaves it */
        {{{NULL, NULL, "1\t0/200\tx\n"}}, {1, 2}, 2, "2:0 1:200"},
        /* two leave it, the later one further on */
        {{{NULL, NULL, "1\t0/200\tx\n", "1\t0/300\tx\n"}}, {1, 2, 3}, 3, "3:0 2:200 1:300"},
        /* ... the later one before: 1 is read from there on, once */
        {{{NULL, NULL, "1\t0/300\tx\n", "1\t0/200\tx\n"}}, {1, 2, 3}, 3, "3:0 2:200 1:300"},
        /* a fork of a fork at one place */
        {{{NULL, NULL, "1\t0/200\tx\n", "1\t0/200\tx\n2\t0/200\tx\n"}},
         {1, 2, 3},
         3,
         "3:0 2:200 1:200"},
        /* a parent of which only the child's history tells */
        {{{NULL, NULL, NULL, "1\t0/200\tx\n2\t0/300\tx\n"}}, {3}, 1, "3:0"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_branches(&cases[i].histories, cases[i].timelines, cases[i].count, cases[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_stretch_of_wal_is_looked_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
