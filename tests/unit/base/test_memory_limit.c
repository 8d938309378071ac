#include "base/memory_limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void limits_of_all_groups_that_hold_us_are_looked_at(void **state)
{
    static const struct {
        const char *cgroups, *files[8];
    } cases[] = {
        {"0::/\n", {"/sys/fs/cgroup/memory.max"}},
        {"0::/system.slice/cron.service\n",
         {"/sys/fs/cgroup/system.slice/cron.service/memory.max",
          "/sys/fs/cgroup/system.slice/memory.max", "/sys/fs/cgroup/memory.max"}},
        {"9:name=systemd:/\n4:memory:/docker/ab:c\n2:cpu,cpuacct:/x\n",
         {"/sys/fs/cgroup/memory/docker/ab:c/memory.limit_in_bytes",
          "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
          "/sys/fs/cgroup/memory/memory.limit_in_bytes"}},
        {"3:hugetlb,memory:/\n0::/",
         {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max"}},
        {"7:name=memory:/a\n5:memory_else:/b\nno line\n", {NULL}},
        {"", {NULL}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(arena_done) Arena arena = {0};
        const char *const *files = memory_limit_files(cases[i].cgroups, &arena);
        size_t count = 0;

        for (; files[count] != NULL; count++)
            assert_string_equal(files[count], cases[i].files[count]);
        assert_null(cases[i].files[count]);
    }
}

static void there_is_some_memory(void **state)
{
    (void)state;
    assert_true(memory_limit() > 0);
    assert_true(memory_available() > 0);
    assert_true(memory_available() <= memory_limit());
}

static void what_is_available_is_read_from_its_line(void **state)
{
    (void)state;
    assert_int_equal(
        memory_available_of("MemTotal:  16 kB\nMemFree: 8 kB\nMemAvailable:    12 kB\n"), 12 << 10);
    assert_int_equal(memory_available_of("MemAvailable: 7 kB"), 7 << 10);
    assert_int_equal(memory_available_of("NotMemAvailable: 7 kB\n"), 0);
    assert_int_equal(memory_available_of("MemTotal:  16 kB\n"), 0);
    assert_int_equal(memory_available_of(""), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_of_all_groups_that_hold_us_are_looked_at),
        cmocka_unit_test(there_is_some_memory),
        cmocka_unit_test(what_is_available_is_read_from_its_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
