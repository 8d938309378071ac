/* Law 1 in a repository on a file system: an object, its name and the folders above are on disk. */
#include "storage/storage.h"

#include "base/memory.h"

#include "../folder.h"
#include "../syncs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static Storage *store;

static Storage *open_root(Error *err)
{
    CLEANUP(text_freep) char *address = text_format("%s/root", folder_path());

    return storage_open(&(StorageSetup){.address = address}, err);
}

static int begin(void **state)
{
    CLEANUP(storage_freep) Storage *first = NULL;
    Error err = {0};

    if (enter_folder(state) != 0)
        return -1;
    first = open_root(&err);
    if (!storage_create(first, &err))
        return -1;
    /* Another process: what it knows to be durable is nothing yet. */
    store = open_root(&err);
    syncs_begin();
    return store != NULL ? 0 : -1;
}

static int end(void **state)
{
    storage_freep(&store);
    return leave_folder(state);
}

static bool store_object(const char *name, WriteMode mode, Error *err)
{
    CLEANUP(object_writer_freep) ObjectWriter *out = NULL;

    return storage_write(store, name, mode, &out, err) && object_writer_write(out, "x", 1, err) &&
           object_writer_commit(out, err);
}

static void an_object_is_durable_with_all_folders_above(void **state)
{
    Error err = {0};

    (void)state;
    assert_true(store_object("a/b/object", WRITE_NEW, &err));
    assert_string_equal(syncs_done, "root root/a root/a/b/object root/a/b ");
    /* The folders are known to be by now. */
    syncs_begin();
    assert_true(store_object("a/b/next", WRITE_NEW, &err));
    assert_string_equal(syncs_done, "root/a/b/next root/a/b ");
    syncs_begin();
    assert_true(store_object("a/b/next", WRITE_REPLACE, &err));
    assert_string_equal(syncs_done, "root/a/b/next root/a/b ");
    syncs_begin();
    assert_true(store_object("top", WRITE_NEW, &err));
    assert_string_equal(syncs_done, "root/top root ");
}

static void one_of_another_process_is_made_durable_likewise(void **state)
{
    CLEANUP(storage_freep) Storage *other = NULL;
    Error err = {0};

    (void)state;
    assert_true(store_object("a/b/object", WRITE_NEW, &err));
    syncs_begin();
    other = open_root(&err);
    assert_true(storage_sync(other, "a/b/object", &err));
    assert_non_null(strstr(syncs_done, "root/a/b/object "));
    assert_non_null(strstr(syncs_done, "root "));
    assert_non_null(strstr(syncs_done, " root/a "));
    assert_non_null(strstr(syncs_done, " root/a/b "));
}

static void what_was_removed_is_gone_for_good(void **state)
{
    Error err = {0};

    (void)state;
    assert_true(store_object("a/object", WRITE_NEW, &err));
    syncs_begin();
    assert_true(storage_remove(store, "a/object", &err));
    assert_string_equal(syncs_done, "root/a ");
}

static void a_sync_that_fails_is_a_failure(void **state)
{
    Error err = {0};

    (void)state;
    assert_true(store_object("a/object", WRITE_NEW, &err));
    syncs_fail_directories = EIO;
    assert_false(store_object("b/object", WRITE_NEW, &err));
    error_clear(&err);
    assert_false(storage_sync(store, "a/object", &err));
    error_clear(&err);
    assert_false(storage_remove(store, "a/object", &err));
    error_clear(&err);
    syncs_begin();
    assert_true(store_object("a/object", WRITE_NEW, &err));
    syncs_fail_files = EIO;
    assert_false(storage_sync(store, "a/object", &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_object_is_durable_with_all_folders_above, begin, end),
        cmocka_unit_test_setup_teardown(one_of_another_process_is_made_durable_likewise, begin,
                                        end),
        cmocka_unit_test_setup_teardown(what_was_removed_is_gone_for_good, begin, end),
        cmocka_unit_test_setup_teardown(a_sync_that_fails_is_a_failure, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
