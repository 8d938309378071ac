#include "base/owner.h"

#include "base/file.h"
#include "base/memory.h"

#include <fcntl.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { ALICE = 12345, MALLORY = 54321 };

static char scene[] = "/tmp/owner-test-XXXXXX";

static void make(const char *path, mode_t mode, uid_t uid)
{
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, mode), 0);
    assert_int_equal(chown(path, uid, uid), 0);
}

static void make_link(const char *target, const char *path, uid_t uid)
{
    assert_int_equal(symlink(target, path), 0);
    assert_int_equal(lchown(path, uid, uid), 0);
}

static void make_file(const char *path, mode_t mode, uid_t uid)
{
    assert_int_equal(close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
    assert_int_equal(chmod(path, mode), 0);
    assert_int_equal(chown(path, uid, uid), 0);
}

static int set_up(void **state)
{
    (void)state;
    if (geteuid() != 0)
        return 0;
    if (mkdtemp(scene) == NULL || chmod(scene, 0755) != 0 || chdir(scene) != 0)
        return -1;
    make("root", 0755, 0);
    make("root/alice", 0700, ALICE);
    make("root/alice/deep", 0700, ALICE);
    make("mallory", 0755, MALLORY);
    make("mallory/of-alice", 0700, ALICE);
    make("open", 0777, 0);
    make("open/alice", 0700, ALICE);
    make("sticky", 01777, 0);
    make("sticky/alice", 0700, ALICE);
    make_link("root/alice", "link-of-root", 0);
    make_link("root/alice", "link-of-mallory", MALLORY);
    make_link("../../root", "root/alice/up", ALICE);
    make_link("circle", "circle", 0);
    make("group", 0775, 0);
    assert_int_equal(chown("group", 0, ALICE), 0);
    make("group/root", 0755, 0);
    make_file("file", 0600, 0);
    make_file("root/alice/file", 0664, ALICE);
    make_file("root/alice/open", 0666, ALICE);
    make_file("root/for-group", 0660, 0);
    assert_int_equal(chown("root/for-group", 0, ALICE), 0);
    make_file("group/file", 0644, 0);
    make_file("sticky/file", 0644, 0);
    make_link("../../file", "root/alice/to-root", ALICE);
    make_link("root/alice/file", "to-alice", 0);
    assert_int_equal(mkfifo("root/alice/pipe", 0600), 0);
    assert_int_equal(chown("root/alice/pipe", ALICE, ALICE), 0);
    assert_int_equal(mkfifo("pipe", 0600), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (geteuid() != 0)
        return 0;
    CLEANUP(text_freep) char *command = text_format("rm -rf %s", scene);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1; /* NOLINT(cert-env33-c) */
}

static void a_directory_tells_its_owner_unless_a_third_user_could_lead_there(void **state)
{
    static const struct {
        const char *path;
        ErrorCode code;
        bool is_there;
        uid_t uid;
        const char *word; /* in the message */
    } cases[] = {
        {"root", ERR_NONE, true, 0, NULL},
        {"root/alice", ERR_NONE, true, ALICE, NULL},
        {"root/alice/", ERR_NONE, true, ALICE, NULL},
        {"root//alice/deep", ERR_NONE, true, ALICE, NULL},
        {"./root/../root/alice", ERR_NONE, true, ALICE, NULL},
        {"root/alice/new", ERR_NONE, false, ALICE, NULL},
        {"root/new/data", ERR_NONE, false, 0, NULL},
        {"sticky/alice", ERR_NONE, true, ALICE, NULL},
        {"link-of-root", ERR_NONE, true, ALICE, NULL},
        {"link-of-root/deep", ERR_NONE, true, ALICE, NULL},
        /* A link of the owner's leads to what is the owner's, and nowhere else. */
        {"root/alice/up/alice", ERR_NONE, true, ALICE, NULL},
        {"root/alice/up", ERR_REFUSED, false, 0, "root/alice"},
        {"link-of-mallory", ERR_REFUSED, false, 0, "link-of-mallory"},
        {"mallory/of-alice", ERR_REFUSED, false, 0, "mallory"},
        {"mallory/of-alice/new", ERR_REFUSED, false, 0, "mallory"},
        {"open/alice", ERR_REFUSED, false, 0, "everybody may write"},
        {"circle", ERR_REFUSED, false, 0, "more than 40 links"},
        {"file", ERR_REFUSED, false, 0, "file"},
        {"file/below", ERR_REFUSED, false, 0, "file"},
    };

    (void)state;
    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(arena_done) Arena arena = {0};
        DirectoryOwner owner = {0};
        Error err = {0};
        bool ok = owner_find(cases[i].path, &arena, &owner, &err);
        if (err.code != cases[i].code || ok != (cases[i].code == ERR_NONE) ||
            (ok && (owner.uid != cases[i].uid || owner.is_there != cases[i].is_there)) ||
            (!ok && strstr(err.message, cases[i].word) == NULL)) {
            fail_msg("%s: %d %s, there %d, uid %u", cases[i].path, (int)err.code, err.message,
                     (int)owner.is_there, (unsigned)owner.uid);
        }
    }
}

static void what_is_missing_names_the_directory_above_it(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};
    DirectoryOwner owner;
    Error err = {0};

    (void)state;
    if (geteuid() != 0)
        skip();
    assert_true(owner_find("root/alice/new/data", &arena, &owner, &err));
    assert_false(owner.is_there);
    assert_string_equal(owner.parent, "./root/alice");
}

static void where_a_group_can_write_is_told(void **state)
{
    static const struct {
        const char *path, *shared;
    } cases[] = {
        {"root", NULL},         {"root/alice", NULL},       {"sticky/alice", NULL},
        {"sticky", "./sticky"}, {"sticky/new", "./sticky"}, {"group/root", "./group"},
        {"group", "./group"},   {"group/new", "./group"},
    };

    (void)state;
    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(arena_done) Arena arena = {0};
        DirectoryOwner owner = {0};
        Error err = {0};
        assert_true(owner_find(cases[i].path, &arena, &owner, &err));
        if (cases[i].shared == NULL) {
            assert_null(owner.shared);
        } else {
            assert_non_null(owner.shared);
            assert_string_equal(owner.shared, cases[i].shared);
        }
    }
}

static void a_file_is_read_by_root_only_when_its_owner_alone_made_it(void **state)
{
    static const struct {
        const char *path;
        ErrorCode code;
        uid_t uid;
        const char *word;
    } cases[] = {
        {"file", ERR_NONE, 0, NULL},
        {"./root/../file", ERR_NONE, 0, NULL},
        {"sticky/file", ERR_NONE, 0, NULL},
        {"pipe", ERR_NONE, 0, NULL}, /* root's own: what he has named he has named */
        {"/dev/null", ERR_NONE, 0, NULL},
        {"to-alice", ERR_NONE, ALICE, NULL},
        {"root/alice/file", ERR_NONE, ALICE, NULL}, /* her group is her business */
        {"root/alice/open", ERR_REFUSED, 0, "others than its owner"},
        {"root/for-group", ERR_REFUSED, 0, "others than its owner"},
        {"group/file", ERR_REFUSED, 0, "in which others can write"},
        {"root/alice/to-root", ERR_REFUSED, 0, "root/alice"},
        {"root/alice/pipe", ERR_IO, 0, "not a regular file"},
        {"root/alice", ERR_IO, 0, "not a regular file"},
        {"root/none", ERR_NOT_FOUND, 0, "root/none"},
        {"none/none", ERR_NOT_FOUND, 0, "none/none"},
        {"open/none", ERR_REFUSED, 0, "everybody may write"},
    };

    (void)state;
    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(arena_done) Arena arena = {0};
        CLEANUP(fd_done) int fd = -1;
        struct stat found = {0};
        Error err = {0};
        bool ok = owner_open_file(cases[i].path, &arena, &fd, &found, &err);
        if (err.code != cases[i].code || ok != (fd >= 0) || (ok && found.st_uid != cases[i].uid) ||
            (!ok && strstr(err.message, cases[i].word) == NULL)) {
            fail_msg("%s: %d %s, uid %u", cases[i].path, (int)err.code, err.message,
                     (unsigned)found.st_uid);
        }
    }
}

/* In a process of its own: there is no way back. */
static int become_and_look(void)
{
    CLEANUP(arena_done) Arena arena = {0};
    Account account;
    Error err = {0};
    uid_t real, effective, saved;

    if (chdir("root/alice") != 0 || !account_find(ALICE, ALICE, &arena, &account, &err) ||
        !account_become(&account, &err))
        return 1;
    if (getresuid(&real, &effective, &saved) != 0 || real != ALICE || effective != ALICE ||
        saved != ALICE || getegid() != ALICE || getgroups(0, NULL) != 1)
        return 2;
    if (setuid(0) == 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 ||
        prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return 3;
    if (strcmp(getenv("USER"), "12345") != 0 || strcmp(getenv("HOME"), "/") != 0)
        return 4;
    return access("deep", W_OK) == 0 ? 0 : 5;
}

static void nothing_of_root_is_left(void **state)
{
    int status;

    (void)state;
    if (geteuid() != 0)
        skip();
    pid_t child = fork();
    if (child == 0)
        _exit(become_and_look());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_name_without_a_user_is_told(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};
    Account account;
    Error err = {0};

    (void)state;
    assert_false(account_find_name("no-such-user", &arena, &account, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_string_equal(err.message, "this host has no user \"no-such-user\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_tells_its_owner_unless_a_third_user_could_lead_there),
        cmocka_unit_test(what_is_missing_names_the_directory_above_it),
        cmocka_unit_test(where_a_group_can_write_is_told),
        cmocka_unit_test(a_file_is_read_by_root_only_when_its_owner_alone_made_it),
        cmocka_unit_test(nothing_of_root_is_left),
        cmocka_unit_test(a_name_without_a_user_is_told),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
