#include "posix.h"

#include "base/file.h"
#include "base/tree.h"
#include "base/work_queue.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Each test has a storage whose root is "root" in an empty working directory. */
typedef struct Fixture {
    char *place;
    Storage *storage;
} Fixture;

static int enter_folder(void **state)
{
    Fixture *fixture = mem_alloc(sizeof(*fixture));
    Error err = {0};

    *state = fixture;
    fixture->place = text_format("/tmp/test-posix-XXXXXX");
    if (mkdtemp(fixture->place) == NULL || chdir(fixture->place) != 0)
        return -1;
    CLEANUP(text_freep) char *address = text_format("%s/root", fixture->place);
    fixture->storage = storage_open(&(StorageSetup){.address = address}, &err);
    return storage_create(fixture->storage, &err) ? 0 : -1;
}

static int leave_folder(void **state)
{
    Fixture *fixture = *state;
    Error err = {0};

    storage_freep(&fixture->storage);
    if (chdir("/") != 0 || !tree_remove(fixture->place, &err))
        return -1;
    mem_free(fixture->place);
    mem_free(fixture);
    return 0;
}

static Storage *storage_of(void **state)
{
    return ((Fixture *)*state)->storage;
}

static void fail_with(const Error *err)
{
    fail_msg("%d: %s: %s", (int)err->code, err->context, err->message);
}

static void assert_done(bool is_done, Error *err)
{
    if (!is_done)
        fail_with(err);
}

static void assert_refused(bool is_done, ErrorCode code, Error *err)
{
    assert_false(is_done);
    if (err->code != code)
        fail_with(err);
    error_clear(err);
}

static void put(Storage *storage, const char *name, const char *text)
{
    Error err = {0};

    assert_done(storage_put(storage, name, WRITE_NEW, text, strlen(text), &err), &err);
}

static void save_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static size_t count_objects(Storage *storage, const char *prefix)
{
    CLEANUP(object_list_done) ObjectList list = {0};
    Error err = {0};

    assert_done(storage_list(storage, prefix, &list, &err), &err);
    return list.count;
}

static void assert_nothing_is_known(Storage *storage)
{
    CLEANUP(buffer_done) Buffer content = {0};
    CLEANUP(object_list_done) ObjectList list = {0};
    ObjectWriter *out = NULL;
    char identity[OBJECT_IDENTITY_SIZE];
    char byte;
    Error err = {0};
    const ErrorCode code = ERR_UNREACHABLE;

    assert_refused(storage_list(storage, "", &list, &err), code, &err);
    assert_refused(storage_list(storage, "main/wal/", &list, &err), code, &err);
    assert_refused(storage_read(storage, "a", 9, &content, &err), code, &err);
    assert_refused(storage_read(storage, "main/b", 9, &content, &err), code, &err);
    assert_refused(storage_read_range(storage, "main/b", 0, 1, &byte, &err), code, &err);
    assert_refused(storage_read_suffix(storage, "main/b", 1, &content, NULL, &err), code, &err);
    assert_refused(storage_stat(storage, "main/b", NULL, NULL, &err), code, &err);
    assert_refused(storage_sync(storage, "main/b", &err), code, &err);
    assert_refused(storage_identify(storage, "main/b", identity, &err), code, &err);
    assert_refused(storage_remove(storage, "main/b", &err), code, &err);
    assert_refused(storage_write(storage, "main/b", WRITE_NEW, &out, &err), code, &err);
    assert_refused(storage_write(storage, "b", WRITE_REPLACE, &out, &err), code, &err);
}

static void a_missing_root_is_out_of_reach_and_not_an_empty_archive(void **state)
{
    put(storage_of(state), "main/b", "x");
    assert_int_equal(rename("root", "elsewhere"), 0); /* as if unmounted */

    assert_nothing_is_known(storage_of(state));
    assert_false(file_exists("root"));

    save_file("root", "a file where the directory should be");
    assert_nothing_is_known(storage_of(state));
    assert_int_equal(remove("root"), 0);

    assert_int_equal(rename("elsewhere", "root"), 0);
    assert_int_equal(count_objects(storage_of(state), ""), 1);
}

static void the_hint_says_where_to_look(void **state)
{
    CLEANUP(object_list_done) ObjectList list = {0};
    Error err = {0};

    assert_int_equal(rmdir("root"), 0);
    assert_false(storage_list(storage_of(state), "", &list, &err));
    assert_non_null(strstr(err.message, "/root: No such file or directory"));
    assert_non_null(strstr(err.hint, "mounted"));
    assert_int_equal(mkdir("root", 0750), 0);
}

static void files_being_written_do_not_show(void **state)
{
    CLEANUP(object_writer_freep) ObjectWriter *out = NULL;
    Error err = {0};

    assert_done(storage_write(storage_of(state), "main/a", WRITE_NEW, &out, &err), &err);
    assert_done(object_writer_write(out, "x", 1, &err), &err);
    /* What a killed run leaves behind. */
    save_file("root/main/b.tmp-0123456789abcdef", "half");

    assert_int_equal(count_objects(storage_of(state), ""), 0);
    assert_int_equal(count_objects(storage_of(state), "main/"), 0);
    assert_int_equal(count_objects(storage_of(state), "main/b"), 0);
    put(storage_of(state), "main/b", "whole");
    assert_int_equal(count_objects(storage_of(state), ""), 1);
}

static void what_others_keep_in_the_directory_is_no_object(void **state)
{
    CLEANUP(buffer_done) Buffer content = {0};
    Error err = {0};

    put(storage_of(state), "a", "x");
    assert_int_equal(mkdir("root/lost+found", 0), 0); /* unreadable, and nothing of ours */
    assert_int_equal(mkdir("root/.snapshot", 0), 0);
    save_file("root/.nfs00000001", "x");
    save_file("root/notes~", "x");
    assert_int_equal(mkfifo("root/pipe", 0600), 0);

    assert_int_equal(count_objects(storage_of(state), ""), 1);
    assert_refused(storage_read(storage_of(state), "pipe", 9, &content, &err), ERR_NOT_FOUND, &err);
    assert_int_equal(rmdir("root/lost+found"), 0);
    assert_int_equal(rmdir("root/.snapshot"), 0);
}

static void an_unreadable_folder_is_an_error(void **state)
{
    CLEANUP(buffer_done) Buffer content = {0};
    CLEANUP(object_list_done) ObjectList list = {0};
    Error err = {0};

    put(storage_of(state), "main/wal/0000000100000001/a", "x");
    put(storage_of(state), "main/wal/0000000100000002/a", "x");
    assert_int_equal(chmod("root/main/wal/0000000100000002", 0), 0);

    assert_refused(storage_list(storage_of(state), "", &list, &err), ERR_IO, &err);
    assert_refused(storage_list(storage_of(state), "main/wal/", &list, &err), ERR_IO, &err);
    assert_refused(storage_list(storage_of(state), "main/wal/0000000100000002/x", &list, &err),
                   ERR_IO, &err);
    assert_int_equal(list.count, 0);
    assert_int_equal(count_objects(storage_of(state), "main/wal/0000000100000001/"), 1);
    assert_int_equal(count_objects(storage_of(state), "main/wal/0000000100000001"), 1);

    /* Whether it is there cannot be found out, so it is not "not there". */
    const char *name = "main/wal/0000000100000002/missing";
    assert_false(storage_read(storage_of(state), name, 9, &content, &err));
    assert_non_null(strstr(err.hint, "access"));
    assert_refused(false, ERR_IO, &err);
    assert_refused(storage_stat(storage_of(state), name, NULL, NULL, &err), ERR_IO, &err);
    assert_refused(storage_put(storage_of(state), name, WRITE_NEW, "x", 1, &err), ERR_IO, &err);
    assert_refused(storage_remove(storage_of(state), name, &err), ERR_IO, &err);
    assert_int_equal(chmod("root/main/wal/0000000100000002", 0750), 0);
}

/* A folder whose names cannot be read is one where "no such file" proves nothing. */
static void a_folder_that_can_be_searched_only_proves_nothing(void **state)
{
    Error err = {0};

    put(storage_of(state), "main/a", "x");
    assert_int_equal(chmod("root/main", 0100), 0);
    assert_done(storage_stat(storage_of(state), "main/a", NULL, NULL, &err), &err);
    assert_refused(storage_stat(storage_of(state), "main/b", NULL, NULL, &err), ERR_IO, &err);
    assert_int_equal(chmod("root/main", 0750), 0);
    assert_refused(storage_stat(storage_of(state), "main/b", NULL, NULL, &err), ERR_NOT_FOUND,
                   &err);
}

static void symbolic_links_to_folders_are_followed_others_are_errors(void **state)
{
    CLEANUP(object_list_done) ObjectList list = {0};
    Error err = {0};

    put(storage_of(state), "main/wal/a", "x");
    assert_int_equal(rename("root/main/wal", "wal-elsewhere"), 0);
    assert_int_equal(symlink("../../wal-elsewhere", "root/main/wal"), 0);
    assert_int_equal(count_objects(storage_of(state), ""), 1);
    put(storage_of(state), "main/wal/b", "x");
    assert_int_equal(count_objects(storage_of(state), "main/wal/"), 2);

    /* Its target is on a disk that is not there: the list would be too short. */
    assert_int_equal(symlink("/nowhere/at/all", "root/pack"), 0);
    assert_refused(storage_list(storage_of(state), "", &list, &err), ERR_IO, &err);
    assert_int_equal(count_objects(storage_of(state), "main/"), 2);
    assert_int_equal(remove("root/pack"), 0);

    assert_int_equal(symlink(".", "root/main/circle"), 0);
    assert_refused(storage_list(storage_of(state), "", &list, &err), ERR_IO, &err);
}

static mode_t mode_of(const char *path)
{
    struct stat found;

    assert_int_equal(stat(path, &found), 0);
    return found.st_mode & 07777;
}

static void others_have_no_access(void **state)
{
    mode_t mask = umask(0);

    put(storage_of(state), "main/wal/a", "x");
    (void)umask(mask);

    assert_int_equal(mode_of("root/main"), 0750);
    assert_int_equal(mode_of("root/main/wal"), 0750);
    assert_int_equal(mode_of("root/main/wal/a"), 0640);
}

static void a_file_cut_short_is_noticed(void **state)
{
    char bytes[4];
    Error err = {0};

    put(storage_of(state), "pack", "12345678");
    assert_done(storage_read_range(storage_of(state), "pack", 4, 4, bytes, &err), &err);
    assert_int_equal(truncate("root/pack", 7), 0);
    assert_refused(storage_read_range(storage_of(state), "pack", 4, 4, bytes, &err), ERR_CORRUPT,
                   &err);
}

static void what_another_process_replaced_or_removed_is_noticed(void **state)
{
    char byte;
    Error err = {0};

    put(storage_of(state), "main/a", "1");
    assert_done(storage_read_range(storage_of(state), "main/a", 0, 1, &byte, &err), &err);
    save_file("new", "2");
    assert_int_equal(rename("new", "root/main/a"), 0);
    assert_done(storage_read_range(storage_of(state), "main/a", 0, 1, &byte, &err), &err);
    assert_int_equal(byte, '2');
    assert_int_equal(remove("root/main/a"), 0);
    assert_refused(storage_read_range(storage_of(state), "main/a", 0, 1, &byte, &err),
                   ERR_NOT_FOUND, &err);
}

static size_t count_open_files(void)
{
    DIR *directory = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(directory);
    while (readdir(directory) != NULL)
        count++;
    assert_int_equal(closedir(directory), 0);
    return count;
}

enum { PACKS = 3 * OPEN_FILES_MAX, READERS = 6 };

static bool read_packs(void *worker, void *job, Error *err)
{
    Storage *storage = job;

    (void)worker;
    for (unsigned i = 0; i < 40 * PACKS; i++) {
        unsigned pack = i * i % PACKS;
        CLEANUP(text_freep) char *name = text_format("pack/%02u", pack);
        char text[2];
        if (!storage_read_range(storage, name, 1, 2, text, err))
            return false;
        if ((unsigned)(text[0] - '0') * 10 + (unsigned)(text[1] - '0') != pack)
            return error_set(err, ERR_INTERNAL, "%s holds %.2s", name, text);
    }
    return true;
}

static void threads_share_a_few_open_files(void **state)
{
    Error err = {0};
    size_t before = count_open_files();

    for (unsigned i = 0; i < PACKS; i++) {
        CLEANUP(text_freep) char *name = text_format("pack/%02u", i);
        CLEANUP(text_freep) char *text = text_format("x%02u", i);
        put(storage_of(state), name, text);
    }
    WorkQueue *queue = work_queue_new(
        &(WorkQueueSetup){.threads = READERS, .capacity = READERS, .run = read_packs}, &err);
    assert_non_null(queue);
    for (unsigned i = 0; i < READERS; i++)
        assert_done(work_queue_submit(queue, storage_of(state), &err), &err);
    assert_done(work_queue_finish(queue, &err), &err);
    work_queue_free(queue);

    size_t open = count_open_files();
    assert_in_range(open, before + 1, before + OPEN_FILES_MAX);
    for (unsigned i = 0; i < PACKS; i++) {
        CLEANUP(text_freep) char *name = text_format("pack/%02u", i);
        assert_done(storage_remove(storage_of(state), name, &err), &err);
    }
    assert_int_equal(count_open_files(), before); /* a removed file frees its space */
}

static void errors_of_the_system_tell_what_to_do(void **state)
{
    static const struct {
        int os_errno;
        ErrorCode code;
        const char *hint;
    } cases[] = {
        {ESTALE, ERR_UNREACHABLE, "mounted"},
        {ETIMEDOUT, ERR_UNREACHABLE, "mounted"},
        {ENOTCONN, ERR_UNREACHABLE, "mounted"},
        {EHOSTDOWN, ERR_UNREACHABLE, "mounted"},
        {EIO, ERR_IO, "kernel"},
        {ENOSPC, ERR_IO, "full"},
        {EDQUOT, ERR_IO, "quota"},
        {EACCES, ERR_IO, "access"},
        {EROFS, ERR_IO, "read-only"},
        {ENAMETOOLONG, ERR_IO, ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Error err = {0};
        error_set_errno(&err, ERR_IO, cases[i].os_errno, "write x");
        assert_false(posix_explain(&err));
        assert_int_equal(err.code, cases[i].code);
        assert_non_null(strstr(err.hint, cases[i].hint));
    }
    Error exists = {0};
    error_set_errno(&exists, ERR_EXISTS, EEXIST, "publish x");
    assert_false(posix_explain(&exists));
    assert_int_equal(exists.code, ERR_EXISTS);
}

static void addresses_are_absolute(void **state)
{
    static const char *const good[] = {"/srv/backup", "file:///srv/backup", "/srv/backup///",
                                       "file:///"};
    static const char *const bad[] = {
        "", "backup", "./backup", "file://host/backup", "file:/srv/x", "s3://bucket", "file://"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        Error err = {0};
        CLEANUP(storage_freep)
        Storage *storage = storage_open(&(StorageSetup){.address = good[i]}, &err);
        assert_non_null(storage);
        assert_string_equal(storage_address(storage), good[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        Error err = {0};
        assert_null(storage_open(&(StorageSetup){.address = bad[i]}, &err));
        assert_int_equal(err.code, ERR_USAGE);
    }
}

static void what_is_too_large_takes_no_memory(void **state)
{
    CLEANUP(buffer_done) Buffer content = {0};
    Error err = {0};

    put(storage_of(state), "huge", "1");
    assert_int_equal(truncate("root/huge", (off_t)1 << 40), 0);
    assert_refused(storage_read(storage_of(state), "huge", 1 << 30, &content, &err), ERR_REFUSED,
                   &err);
    assert_true(content.capacity < 1 << 20);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_missing_root_is_out_of_reach_and_not_an_empty_archive),
        IN_FOLDER(the_hint_says_where_to_look),
        IN_FOLDER(files_being_written_do_not_show),
        IN_FOLDER(what_others_keep_in_the_directory_is_no_object),
        IN_FOLDER(an_unreadable_folder_is_an_error),
        IN_FOLDER(a_folder_that_can_be_searched_only_proves_nothing),
        IN_FOLDER(symbolic_links_to_folders_are_followed_others_are_errors),
        IN_FOLDER(others_have_no_access),
        IN_FOLDER(a_file_cut_short_is_noticed),
        IN_FOLDER(what_is_too_large_takes_no_memory),
        IN_FOLDER(what_another_process_replaced_or_removed_is_noticed),
        IN_FOLDER(threads_share_a_few_open_files),
        cmocka_unit_test(errors_of_the_system_tell_what_to_do),
        cmocka_unit_test(addresses_are_absolute),
    };

    /* root may read everything: as nobody, permissions mean something. */
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
