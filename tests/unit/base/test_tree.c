#include "base/tree.h"

#include "base/file.h"
#include "base/memory.h"

#include "../folder.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

static void touch(const char *path)
{
    CLEANUP(fd_done) int fd = open(path, O_WRONLY | O_CREAT, 0600);

    assert_true(fd >= 0);
}

static void removing_a_tree_does_not_follow_links(void **state)
{
    Error err = {0};

    (void)state;
    touch("name");
    assert_true(file_make_directories("tree/sub", 0750, &err));
    assert_true(file_make_directories("kept", 0750, &err));
    assert_int_equal(symlink("../../name", "tree/sub/file"), 0);
    assert_int_equal(symlink("../../kept", "tree/sub/directory"), 0);
    assert_int_equal(symlink("nowhere", "tree/dangling"), 0);
    assert_true(tree_remove("tree", &err));
    assert_false(file_exists("tree"));
    assert_true(file_exists("name"));
    assert_true(file_exists("kept"));

    assert_int_equal(symlink("kept", "link"), 0);
    assert_true(tree_remove("link", &err));
    assert_false(file_exists("link"));
    assert_true(file_exists("kept"));
    assert_true(tree_remove("never-there", &err));
    assert_true(tree_remove("never/there", &err));
}

static void a_link_on_the_way_to_the_tree_is_refused(void **state)
{
    Error err = {0};

    (void)state;
    assert_true(file_make_directories("place/tree/sub", 0750, &err));
    assert_int_equal(symlink("place", "way"), 0);
    assert_false(tree_remove("way/tree", &err));
    assert_int_equal(err.os_errno, ENOTDIR);
    error_clear(&err);
    assert_false(tree_walk("way", &(TreeVisitor){0}, &err));
    error_clear(&err);
    assert_true(file_exists("place/tree/sub"));
    assert_true(tree_remove("place/tree", &err));
    assert_false(file_exists("place/tree"));
    assert_true(file_exists("place"));
}

static bool remove_but_precious(void *context, const TreeEntry *entry, bool *descends, Error *err)
{
    (void)context;
    *descends = false;
    return strcmp(entry->name, "precious") == 0 || tree_remove_entry(entry, err);
}

static void what_a_walk_comes_to_can_be_removed(void **state)
{
    CLEANUP(held_done) HeldDirectory data = HELD_NONE;
    const TreeVisitor visitor = {.before = remove_but_precious};
    Error err = {0};

    (void)state;
    assert_true(file_make_directories("data/precious/sub", 0750, &err));
    assert_true(held_open(&data, "data", &err));
    assert_true(file_make_directories("data/other/precious", 0750, &err));
    touch("data/file");
    assert_int_equal(symlink("precious", "data/link"), 0);
    assert_true(tree_walk_in(&data, &visitor, &err));
    assert_true(file_exists("data/precious/sub"));
    assert_false(file_exists("data/other"));
    assert_false(file_exists("data/file"));
    assert_false(file_exists("data/link"));
    assert_true(tree_remove("data", &err));
}

/* What another user does while root removes. */
static bool exchange(void *context, const TreeEntry *entry, bool *descends, Error *err)
{
    size_t *seen = context;

    (void)descends;
    (void)err;
    (*seen)++;
    if (strcmp(entry->below, "swapped") == 0) {
        assert_int_equal(rename("tree/swapped", "away"), 0);
        assert_int_equal(symlink("../victim", "tree/swapped"), 0);
    }
    if (strcmp(entry->below, "other") == 0) {
        assert_int_equal(rename("tree/other", "away"), 0);
        assert_int_equal(rename("victim", "tree/other"), 0);
    }
    return true;
}

static void what_is_put_in_a_directory_s_place_is_not_entered(void **state)
{
    size_t seen = 0;
    TreeVisitor visitor = {.before = exchange, .context = &seen};
    Error err = {0};

    (void)state;
    assert_true(file_make_directories("tree/swapped", 0750, &err));
    assert_true(file_make_directories("victim/one", 0750, &err));
    touch("victim/two");
    assert_false(tree_walk("tree", &visitor, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_int_equal(seen, 1);
    assert_int_equal(unlink("tree/swapped"), 0);
    assert_int_equal(rename("away", "tree/other"), 0);

    error_clear(&err);
    assert_false(tree_walk("tree", &visitor, &err));
    assert_non_null(strstr(err.message, "was replaced"));
    assert_int_equal(seen, 2);
}

static bool descend_no_further(void *context, const TreeEntry *entry, bool *descends, Error *err)
{
    char **lines = context;
    char *longer = text_format("%s%s:%s ", *lines, entry->below, entry->name);

    (void)err;
    text_freep(lines);
    *lines = longer;
    *descends = strcmp(entry->name, "closed") != 0;
    return true;
}

static void a_walk_tells_where_it_is(void **state)
{
    CLEANUP(text_freep) char *lines = text_format("%s", "");
    TreeVisitor visitor = {.before = descend_no_further, .context = &lines};
    Error err = {0};

    (void)state;
    assert_true(file_make_directories("tree/a/closed/inside", 0750, &err));
    touch("tree/a/closed/file");
    assert_true(tree_walk("tree", &visitor, &err));
    assert_string_equal(lines, "a:a a/closed:closed ");
    assert_false(tree_walk("nowhere", &visitor, &err));
    assert_int_equal(err.code, ERR_IO);
}

static void depth_has_an_end(void **state)
{
    enum { DEEP = 210 };
    Error err = {0};

    (void)state;
    assert_int_equal(mkdir("deep", 0700), 0);
    CLEANUP(fd_done) int at = open("deep", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < DEEP; i++) {
        assert_int_equal(mkdirat(at, "d", 0700), 0);
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY);
        fd_done(&at);
        at = next;
    }
    assert_false(tree_remove("deep", &err));
    assert_non_null(strstr(err.message, "inside one another"));
    for (int i = 0; i < DEEP; i++) { /* what is left over goes in two steps */
        int up = openat(at, "..", O_RDONLY | O_DIRECTORY);
        fd_done(&at);
        at = up;
        assert_int_equal(unlinkat(at, "d", AT_REMOVEDIR), 0);
    }
}

static void what_is_mounted_nowhere_is_no_mount(void **state)
{
    (void)state;
    assert_int_equal(mkdir("plain", 0700), 0);
    assert_false(tree_is_mount("plain"));
    assert_false(tree_is_mount("plain/nothing"));
    assert_true(tree_is_mount("/proc"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(removing_a_tree_does_not_follow_links, enter_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(a_link_on_the_way_to_the_tree_is_refused, enter_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(what_a_walk_comes_to_can_be_removed, enter_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(what_is_put_in_a_directory_s_place_is_not_entered,
                                        enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(a_walk_tells_where_it_is, enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(depth_has_an_end, enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(what_is_mounted_nowhere_is_no_mount, enter_folder,
                                        leave_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
