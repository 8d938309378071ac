/* Law 1: what is told to be there is on disk, and so is its name. */
#include "base/file.h"
#include "base/held.h"
#include "base/memory.h"

#include "../folder.h"
#include "../syncs.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int begin(void **state)
{
    syncs_begin();
    return enter_folder(state) == 0 && mkdir("sub", 0700) == 0 ? 0 : -1;
}

static bool write_file(FileWriter *writer, const char *path, Error *err)
{
    return file_writer_open(writer, path, 0600, err) && file_writer_write(writer, "x", 1, err);
}

static void assert_fails(bool is_done, Error *err)
{
    assert_false(is_done);
    assert_int_equal(err->code, ERR_IO);
    *err = (Error){0};
}

static void a_new_file_is_synced_and_then_its_name(void **state)
{
    CLEANUP(file_writer_done) FileWriter writer = FILE_WRITER_CLOSED;
    Error err = {0};

    (void)state;
    assert_true(write_file(&writer, "sub/file", &err));
    assert_string_equal(syncs_done, "");
    assert_true(file_writer_commit(&writer, &err));
    assert_string_equal(syncs_done, "sub/file sub ");
}

static void so_is_one_that_replaces_another(void **state)
{
    CLEANUP(file_writer_done) FileWriter writer = FILE_WRITER_CLOSED;
    Error err = {0};

    (void)state;
    assert_true(write_file(&writer, "sub/file", &err));
    assert_true(file_writer_replace(&writer, &err));
    assert_string_equal(syncs_done, "sub/file sub ");
}

static void one_in_an_open_directory_too(void **state)
{
    CLEANUP(file_writer_done) FileWriter writer = FILE_WRITER_CLOSED;
    Error err = {0};
    int sub = open("sub", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    assert_true(file_writer_open_in(&writer, sub, "any/file", 0600, &err));
    assert_true(file_writer_commit(&writer, &err));
    assert_string_equal(syncs_done, "sub/file sub ");
}

/* Who published it may have died before the sync, and who is told that it is there relies on it. */
static void the_name_of_another_is_synced_before_it_is_told(void **state)
{
    CLEANUP(file_writer_done) FileWriter first = FILE_WRITER_CLOSED;
    CLEANUP(file_writer_done) FileWriter writer = FILE_WRITER_CLOSED;
    Error err = {0};

    (void)state;
    assert_true(write_file(&first, "sub/file", &err) && file_writer_commit(&first, &err));
    assert_true(write_file(&writer, "sub/file", &err));
    syncs_done[0] = '\0';
    assert_false(file_writer_commit(&writer, &err));
    assert_int_equal(err.code, ERR_EXISTS);
    assert_string_equal(syncs_done, "sub/file sub ");
}

static void what_can_not_be_synced_is_no_success(void **state)
{
    static const int failures[][2] = {{EIO, 0}, {0, EIO}, {0, ENOSPC}, {EINVAL, 0}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
        CLEANUP(file_writer_done) FileWriter writer = FILE_WRITER_CLOSED;
        CLEANUP(text_freep) char *path = text_format("sub/%zu", i);
        Error err = {0};

        syncs_fail_files = failures[i][0];
        syncs_fail_directories = failures[i][1];
        assert_true(write_file(&writer, path, &err));
        assert_false(file_writer_commit(&writer, &err));
        assert_int_equal(err.code, ERR_IO);
        assert_int_equal(err.os_errno, syncs_fail_files + syncs_fail_directories);
        /* Without its content it gets no name. */
        assert_int_equal(access(path, F_OK) == 0, syncs_fail_files == 0);
    }
}

static void without_syncs_of_directories_all_of_the_file_system_is_synced(void **state)
{
    static const int ways_to_say_so[] = {EINVAL, EBADF, EOPNOTSUPP, ENOSYS};
    Error err = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ways_to_say_so); i++) {
        syncs_fail_directories = ways_to_say_so[i];
        syncs_done[0] = '\0';
        assert_true(file_sync_directory("sub", &err));
        assert_string_equal(syncs_done, "sub all:sub ");
    }
}

static void each_new_directory_is_synced_before_the_next(void **state)
{
    Error err = {0};

    (void)state;
    assert_true(file_make_directories("a/b/c", 0700, &err));
    assert_string_equal(syncs_done, ". a a/b ");
    syncs_fail_directories = EIO;
    assert_fails(file_make_directories("d/e", 0700, &err), &err);
    assert_int_equal(access("d/e", F_OK), -1);
}

/* A run that was killed may have made the deepest one that is there, without a sync of its name. */
static void the_deepest_that_is_there_is_synced_too(void **state)
{
    Error err = {0};

    (void)state;
    assert_true(file_make_directories("sub/a", 0700, &err));
    assert_string_equal(syncs_done, ". sub ");
    syncs_done[0] = '\0';
    assert_true(file_make_directories("sub", 0700, &err));
    assert_string_equal(syncs_done, ". ");
    syncs_fail_directories = EIO;
    assert_fails(file_make_directories("sub/b", 0700, &err), &err);
    assert_int_equal(access("sub/b", F_OK), -1);
    /* It is another user's: not we have made it. */
    syncs_fail_directories = EACCES;
    assert_fails(file_make_directories("sub/b", 0700, &err), &err);
    assert_int_equal(access("sub/b", F_OK), 0);
}

static void held_directories_are_synced_likewise(void **state)
{
    CLEANUP(held_done) HeldDirectory held = HELD_NONE;
    Error err = {0};
    bool is_new = false;

    (void)state;
    assert_true(held_make(&held, "sub/a/b", &is_new, &err));
    assert_true(is_new);
    assert_string_equal(syncs_done, ". sub ");

    syncs_done[0] = '\0';
    assert_true(held_make_parents(held_at(&held, "x/y/file"), &err));
    assert_string_equal(syncs_done, "sub/a/b sub/a/b/x ");
    syncs_done[0] = '\0';
    assert_true(held_sync(held_at(&held, "x/y"), &err));
    assert_true(held_sync_parent(held_at(&held, "x/y"), &err));
    assert_string_equal(syncs_done, "sub/a/b/x/y sub/a/b/x ");
    syncs_fail_directories = EIO;
    assert_fails(held_sync(held_at(&held, "x/y"), &err), &err);
    assert_fails(held_sync_parent(held_at(&held, "x/y"), &err), &err);
    assert_fails(held_make_parents(held_at(&held, "x/z/file"), &err), &err);
    assert_fails(held_make_parents(held_at(&held, "v/w/file"), &err), &err);
    assert_int_equal(access("sub/a/b/v/w", F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_file_is_synced_and_then_its_name, begin,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(so_is_one_that_replaces_another, begin, leave_folder),
        cmocka_unit_test_setup_teardown(one_in_an_open_directory_too, begin, leave_folder),
        cmocka_unit_test_setup_teardown(the_name_of_another_is_synced_before_it_is_told, begin,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(what_can_not_be_synced_is_no_success, begin, leave_folder),
        cmocka_unit_test_setup_teardown(
            without_syncs_of_directories_all_of_the_file_system_is_synced, begin, leave_folder),
        cmocka_unit_test_setup_teardown(each_new_directory_is_synced_before_the_next, begin,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(the_deepest_that_is_there_is_synced_too, begin,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(held_directories_are_synced_likewise, begin, leave_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
