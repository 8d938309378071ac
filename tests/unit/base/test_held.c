#include "base/held.h"

#include "base/memory.h"

#include "../folder.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

/* Each scene is played by both ways to open: the kernel's own, and part by part. */
static const bool at_once = false, by_parts = true;

static HeldDirectory open_tree(void **state)
{
    HeldDirectory held;
    Error err = {0};

    assert_true(held_open(&held, "tree", &err));
    held.by_parts = held.by_parts || *(const bool *)*state;
    return held;
}

static void write_text(const char *path, const char *text)
{
    CLEANUP(fd_done) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/*
 *     victim/file             outside
 *     tree/sub/file           regular
 *     tree/sub/pipe
 *     tree/link -> ../victim, tree/sub/last -> file, tree/sub/out -> ../../victim/file
 */
static int make_scene(void **state)
{
    Error err = {0};

    assert_int_equal(enter_folder(state), 0);
    assert_true(file_make_directories("tree/sub", 0750, &err));
    assert_true(file_make_directories("victim", 0750, &err));
    write_text("victim/file", "theirs");
    write_text("tree/sub/file", "ours");
    assert_int_equal(mkfifo("tree/sub/pipe", 0600), 0);
    assert_int_equal(symlink("../victim", "tree/link"), 0);
    assert_int_equal(symlink("file", "tree/sub/last"), 0);
    assert_int_equal(symlink("../../victim/file", "tree/sub/out"), 0);
    return 0;
}

static bool victim_is_whole(void)
{
    CLEANUP(buffer_done) Buffer content = {0};
    struct stat found;
    Error err = {0};

    return file_read_whole("victim/file", 100, &content, &err) &&
           strcmp((const char *)content.data, "theirs") == 0 && lstat("victim/file", &found) == 0 &&
           (found.st_mode & 0777) == 0600 && !file_exists("victim/new");
}

static void what_is_below_can_be_made_read_and_changed(void **state)
{
    CLEANUP(held_done) HeldDirectory held = open_tree(state);
    CLEANUP(buffer_done) Buffer content = {0};
    CLEANUP(file_writer_done) FileWriter writer = FILE_WRITER_CLOSED;
    Error err = {0};
    int fd;

    assert_true(held_read_whole(held_at(&held, "sub/file"), 100, &content, &err));
    assert_string_equal((const char *)content.data, "ours");
    assert_true(held_write(held_at(&held, "sub/file"), &fd, &err));
    fd_done(&fd);
    assert_true(held_make_directory(held_at(&held, "sub/inner"), &err));
    assert_true(held_make_directory(held_at(&held, "sub/inner"), &err));
    assert_true(held_create(held_at(&held, "sub/inner/new"), &fd, &err));
    fd_done(&fd);
    assert_true(held_make_parents(held_at(&held, "deep/er/file"), &err));
    assert_true(held_make_parents(held_at(&held, "deep/er/other"), &err));
    assert_true(held_make_link(held_at(&held, "deep/er/link"), "/anywhere", &err));
    assert_true(held_rename(held_at(&held, "sub/inner/new"), held_at(&held, "deep/new"), &err));
    assert_true(held_has(held_at(&held, "deep/new")));
    assert_false(held_has(held_at(&held, "sub/inner/new")));
    assert_true(held_remove(held_at(&held, "deep/new"), &err));
    assert_true(held_remove(held_at(&held, "deep/new"), &err));
    assert_true(held_remove(held_at(&held, "deep/er/link"), &err)); /* it, not where it leads */
    assert_true(held_sync(held_at(&held, "."), &err));
    assert_true(held_sync(held_at(&held, "deep/er"), &err));
    assert_true(held_sync_parent(held_at(&held, "sub/file"), &err));
    assert_true(held_writer_open(&writer, held_at(&held, "deep/text"), 0600, &err));
    assert_true(file_writer_write(&writer, "abc", 3, &err));
    assert_true(file_writer_replace(&writer, &err));
    assert_true(file_exists("tree/deep/text"));
    assert_int_equal(err.code, ERR_NONE);
}

/* All that opens, makes or removes something, on one path. How many of them did. */
static int try_all(const HeldDirectory *held, const char *below)
{
    HeldPath at = held_at(held, below), other = held_at(held, "sub/file");
    FileWriter writer;
    HeldDirectory inner;
    Error err[12] = {0};
    int fd, done = 0;

    done += held_read(at, &fd, &err[0]), fd_done(&fd);
    done += held_write(at, &fd, &err[1]), fd_done(&fd);
    done += held_create(at, &fd, &err[2]), fd_done(&fd);
    done += held_open_any(at, &fd, &err[3]), fd_done(&fd);
    done += held_writer_open(&writer, at, 0600, &err[4]), file_writer_done(&writer);
    done += held_make_directory(at, &err[5]);
    done += held_make_link(at, "target", &err[6]);
    done += held_rename(other, at, &err[7]);
    done += held_open_below(&inner, at, &err[8]), held_done(&inner);
    done += held_sync(at, &err[9]);
    done += held_make_parents(at, &err[10]);
    for (size_t i = 0; i <= 10; i++)
        assert_true(err[i].code == ERR_NONE || err[i].message[0] != '\0');
    return done;
}

static void nothing_leads_out(void **state)
{
    static const char *const ways[] = {
        "link/file",
        "link/new",
        "../victim/file",
        "../victim/new",
        "sub/../../victim/new",
        "",
        "/etc/passwd",
        "sub/../link/new",
        "..",
        "sub/..",
        "sub//file",
        "./sub/file",
        "sub/./file",
        "link/..",
        "sub/",
    };
    CLEANUP(held_done) HeldDirectory held = open_tree(state);

    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        if (try_all(&held, ways[i]) != 0)
            fail_msg("%s", ways[i]);
        assert_true(victim_is_whole());
    }
    assert_true(file_exists("tree/sub/file"));
    Error err = {0};
    int fd;
    assert_false(held_read(held_at(&held, "link/file"), &fd, &err));
    assert_int_equal(err.os_errno, ELOOP);
    assert_non_null(strstr(err.hint, "symbolic link"));
}

static void a_link_as_the_last_part_is_not_followed(void **state)
{
    static const char *const ways[] = {"sub/last", "sub/out", "link"};
    CLEANUP(held_done) HeldDirectory held = open_tree(state);

    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        HeldPath at = held_at(&held, ways[i]);
        HeldDirectory inner;
        struct stat found;
        Error err[6] = {0};
        int fd;

        assert_false(held_read(at, &fd, &err[0]));
        assert_int_equal(err[0].os_errno, ELOOP);
        assert_false(held_write(at, &fd, &err[1]));
        assert_false(held_open_any(at, &fd, &err[2]));
        assert_false(held_create(at, &fd, &err[3]));
        assert_false(held_open_below(&inner, at, &err[4]));
        assert_false(held_sync(at, &err[5]));
        assert_true(held_look(at, &found));
        assert_true(S_ISLNK(found.st_mode));
    }
    assert_true(victim_is_whole());
}

static void only_regular_files_are_read_and_nothing_is_waited_for(void **state)
{
    static const char *const ways[] = {"sub/pipe", "sub", "."};
    CLEANUP(held_done) HeldDirectory held = open_tree(state);

    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        Error err = {0};
        int fd;

        assert_false(held_read(held_at(&held, ways[i]), &fd, &err));
        assert_int_equal(err.code, ERR_IO);
        assert_int_equal(fd, -1);
        error_clear(&err);
        assert_false(held_write(held_at(&held, ways[i]), &fd, &err));
    }
    Error err = {0};
    int fd;
    assert_false(held_read(held_at(&held, "sub/none"), &fd, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void a_name_that_is_taken_is_left_alone(void **state)
{
    CLEANUP(held_done) HeldDirectory held = open_tree(state);
    CLEANUP(buffer_done) Buffer content = {0};
    Error err = {0};
    int fd;

    assert_false(held_create(held_at(&held, "sub/file"), &fd, &err));
    assert_int_equal(err.os_errno, EEXIST);
    error_clear(&err);
    assert_true(held_read_whole(held_at(&held, "sub/file"), 100, &content, &err));
    assert_string_equal((const char *)content.data, "ours");
}

/* Longer than the kernel takes at once. */
static void a_long_way_is_gone_all_the_same(void **state)
{
    CLEANUP(held_done) HeldDirectory held = open_tree(state);
    CLEANUP(buffer_done) Buffer way = {0};
    Error err = {0};
    int fd;

    for (int i = 0; i < 30; i++)
        buffer_print(&way, "%0200d/", i);
    buffer_print(&way, "file");
    HeldPath at = held_at(&held, (const char *)way.data);
    assert_true(held_make_parents(at, &err));
    assert_true(held_create(at, &fd, &err));
    fd_done(&fd);
    assert_true(held_read(at, &fd, &err));
    fd_done(&fd);
}

typedef struct Attack {
    atomic_bool ends;
    unsigned exchanges;
} Attack;

/* tree/sub is a directory, a link to the victim, the directory, ... */
static void *exchange(void *context)
{
    Attack *attack = context;

    while (!atomic_load(&attack->ends)) {
        if (renameat2(AT_FDCWD, "tree/sub", AT_FDCWD, "tree/link", RENAME_EXCHANGE) == 0)
            attack->exchanges++;
    }
    return NULL;
}

/* Whether it got through. */
static bool act(const HeldDirectory *held, int what)
{
    static const FileWriter closed = FILE_WRITER_CLOSED;
    CLEANUP(file_writer_done) FileWriter writer = closed;
    CLEANUP(buffer_done) Buffer content = {0};
    CLEANUP(fd_done) int fd = -1;
    Error err = {0};
    bool done = false;

    switch (what % 6) {
    case 0:
        done = held_create(held_at(held, "sub/new"), &fd, &err);
        break;
    case 1:
        done = held_has(held_at(held, "sub/new")) && held_remove(held_at(held, "sub/new"), &err);
        break;
    case 2:
        done = held_read_whole(held_at(held, "sub/file"), 100, &content, &err);
        assert_true(!done || strcmp((const char *)content.data, "ours") == 0);
        break;
    case 3:
        done = held_writer_open(&writer, held_at(held, "sub/new"), 0600, &err) &&
               file_writer_write(&writer, "mine", 4, &err); /* a sync would take all the time */
        break;
    case 4:
        done = held_open_any(held_at(held, "sub/file"), &fd, &err) && fchmod(fd, 0640) == 0;
        break;
    default:
        done = held_make_directory(held_at(held, "sub/inner"), &err);
        break;
    }
    return done;
}

static void whoever_exchanges_a_directory_for_a_link_leads_nobody_out(void **state)
{
    enum { LEAST = 1000, MOST = 2000000 };
    CLEANUP(held_done) HeldDirectory held = open_tree(state);
    Attack attack = {.exchanges = 0};
    pthread_t thread;
    int done = 0, failed = 0;

    assert_int_equal(pthread_create(&thread, NULL, exchange, &attack), 0);
    for (int i = 0; i < MOST && (i < 6 * LEAST || done < LEAST || failed < LEAST); i++) {
        bool through = act(&held, i);
        done += through;
        failed += !through;
    }
    atomic_store(&attack.ends, true);
    assert_int_equal(pthread_join(thread, NULL), 0);

    assert_true(done >= LEAST && failed >= LEAST && attack.exchanges >= LEAST);
    assert_true(victim_is_whole());
    assert_false(file_exists("victim/inner"));
}

static void a_directory_that_was_exchanged_itself_is_told(void **state)
{
    CLEANUP(held_done) HeldDirectory held = open_tree(state);
    Error err = {0};
    int fd;

    assert_true(held_is_in_place(&held, &err));
    assert_int_equal(rename("tree", "away"), 0);
    assert_false(held_is_in_place(&held, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_int_equal(mkdir("tree", 0700), 0); /* as good as the other one, but not it */
    error_clear(&err);
    assert_false(held_is_in_place(&held, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_int_equal(rmdir("tree"), 0);
    assert_int_equal(symlink("away", "tree"), 0);
    error_clear(&err);
    assert_false(held_is_in_place(&held, &err));
    error_clear(&err);
    assert_true(held_create(held_at(&held, "new"), &fd, &err)); /* in the one that was opened */
    fd_done(&fd);
    assert_true(file_exists("away/new"));
}

static void a_link_on_the_way_to_it_is_refused(void **state)
{
    CLEANUP(held_done) HeldDirectory held = HELD_NONE;
    Error err = {0};
    bool is_new;

    (void)state;
    assert_false(held_open(&held, "tree/link", &err));
    error_clear(&err);
    assert_false(held_open(&held, "tree/none", &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    error_clear(&err);
    assert_false(held_make(&held, "tree/link", &is_new, &err));
    error_clear(&err);
    assert_false(held_make(&held, "tree/link/new", &is_new, &err));
    assert_int_equal(err.os_errno, ELOOP);
    error_clear(&err);
    assert_false(held_make(&held, "tree/sub/file/new", &is_new, &err));
    assert_true(victim_is_whole());
}

static void what_is_missing_on_the_way_is_made(void **state)
{
    CLEANUP(text_freep) char *path = text_format("%s/new/er/place", folder_path());
    CLEANUP(held_done) HeldDirectory held = HELD_NONE;
    CLEANUP(held_done) HeldDirectory again = HELD_NONE;
    struct stat found;
    Error err = {0};
    bool is_new;

    (void)state;
    assert_true(held_make(&held, path, &is_new, &err));
    assert_true(is_new);
    assert_true(held_is_in_place(&held, &err));
    assert_int_equal(fstat(held.fd, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0700);
    assert_true(held_make(&again, "new/er/place", &is_new, &err));
    assert_false(is_new);
}

#define BOTH_WAYS(test)                                                                            \
    cmocka_unit_test_prestate_setup_teardown(test, make_scene, leave_folder, (void *)&at_once),    \
        cmocka_unit_test_prestate_setup_teardown(test, make_scene, leave_folder,                   \
                                                 (void *)&by_parts)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH_WAYS(what_is_below_can_be_made_read_and_changed),
        BOTH_WAYS(nothing_leads_out),
        BOTH_WAYS(a_link_as_the_last_part_is_not_followed),
        BOTH_WAYS(only_regular_files_are_read_and_nothing_is_waited_for),
        BOTH_WAYS(a_name_that_is_taken_is_left_alone),
        BOTH_WAYS(a_long_way_is_gone_all_the_same),
        BOTH_WAYS(whoever_exchanges_a_directory_for_a_link_leads_nobody_out),
        BOTH_WAYS(a_directory_that_was_exchanged_itself_is_told),
        BOTH_WAYS(a_link_on_the_way_to_it_is_refused),
        BOTH_WAYS(what_is_missing_on_the_way_is_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
