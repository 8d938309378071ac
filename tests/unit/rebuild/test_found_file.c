#include "found_file.h"

#include "../folder.h"

#include "base/file.h"
#include "base/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { USER = 100, GROUP = 200 };

static void only_a_plain_file_of_ours_with_one_name_may_be_written_to(void **state)
{
    static const struct {
        FoundFile found;
        bool fits;
    } cases[] = {
        {{.is_there = true, .mode = S_IFREG | 0600, .links = 1, .user = USER, .group = GROUP},
         true},
        {{.is_there = true, .mode = S_IFREG | 0400, .links = 1, .user = USER, .group = GROUP},
         true},
        {{.is_there = false, .mode = S_IFREG | 0600, .links = 1, .user = USER, .group = GROUP},
         false},
        {{.is_there = true, .mode = S_IFLNK | 0777, .links = 1, .user = USER, .group = GROUP},
         false},
        {{.is_there = true, .mode = S_IFDIR | 0700, .links = 1, .user = USER, .group = GROUP},
         false},
        {{.is_there = true, .mode = S_IFIFO | 0600, .links = 1, .user = USER, .group = GROUP},
         false},
        {{.is_there = true, .mode = S_IFREG | 0600, .links = 2, .user = USER, .group = GROUP},
         false},
        {{.is_there = true, .mode = S_IFREG | 0600, .links = 1, .user = 0, .group = GROUP}, false},
        {{.is_there = true, .mode = S_IFREG | 0600, .links = 1, .user = USER, .group = 0}, false},
        {{.is_there = true, .mode = S_IFREG | 0000, .links = 1, .user = USER, .group = GROUP},
         false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(found_file_fits(&cases[i].found, USER, GROUP), cases[i].fits);
}

static void a_mode_counts_with_all_its_bits_and_a_time_to_the_microsecond(void **state)
{
    const FoundFile found = {.is_there = true, .mode = S_IFREG | 0640, .mtime = 5};
    const FoundFile set_user = {.is_there = true, .mode = S_IFREG | S_ISUID | 0640, .mtime = 5};

    (void)state;
    assert_true(found_file_has(&found, &(FileAttributes){.mode = 0640, .mtime = 5}));
    assert_true(found_file_has(&found, &(FileAttributes){.mode = 0640, .mtime = TIME_US_NONE}));
    assert_false(found_file_has(&found, &(FileAttributes){.mode = 0600, .mtime = 5}));
    assert_false(found_file_has(&found, &(FileAttributes){.mode = 0640, .mtime = 6}));
    assert_false(found_file_has(&set_user, &(FileAttributes){.mode = 0640, .mtime = 5}));
}

static void what_is_after_the_end_reads_as_zeros_from_the_cache_and_from_the_disk(void **state)
{
    CLEANUP(held_done) HeldDirectory here = HELD_NONE;
    uint8_t *bytes = mem_alloc_aligned((size_t)4 * DIRECT_ALIGNMENT);
    const size_t size = DIRECT_ALIGNMENT + 100;
    Error err = {0};

    (void)state;
    CLEANUP(fd_done) int made = open("file", O_WRONLY | O_CREAT, 0600);
    memset(bytes, 7, (size_t)4 * DIRECT_ALIGNMENT);
    assert_int_equal(write(made, bytes, size), size);
    assert_true(held_open_resolved(&here, ".", &err));
    for (int from_disk = 0; from_disk < 2; from_disk++) {
        CLEANUP(fd_done) int fd = -1;
        memset(bytes, 9, (size_t)4 * DIRECT_ALIGNMENT);
        assert_true(found_file_open(held_at(&here, "file"), from_disk == 1, &fd, &err));
        assert_true(found_file_read(fd, bytes, (size_t)2 * DIRECT_ALIGNMENT, 0));
        for (size_t i = 0; i < (size_t)2 * DIRECT_ALIGNMENT; i++)
            assert_int_equal(bytes[i], i < size ? 7 : 0);
        assert_true(found_file_read(fd, bytes, DIRECT_ALIGNMENT, (size_t)2 * DIRECT_ALIGNMENT));
        assert_int_equal(bytes[0], 0);
    }
    assert_false(found_file_is_shared(held_at(&here, "file")));
    assert_false(found_file_is_shared(held_at(&here, "none")));
    mem_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_plain_file_of_ours_with_one_name_may_be_written_to),
        cmocka_unit_test(a_mode_counts_with_all_its_bits_and_a_time_to_the_microsecond),
        cmocka_unit_test(what_is_after_the_end_reads_as_zeros_from_the_cache_and_from_the_disk),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
