#include "rebuild/restored_file.h"

#include "../folder.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PIECE = 1 << 20 };

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 31 + (offset >> 13));
}

/* Pieces in an order of their own, each through a handle of its own, as the workers do. */
static void write_file(HeldPath at, uint64_t size, bool is_direct)
{
    uint8_t *piece = mem_alloc_aligned(PIECE);
    uint64_t pieces = (size + PIECE - 1) / PIECE;
    Error err = {0};

    assert_true(restored_file_create(at, size, &err));
    for (uint64_t i = 0; i < pieces; i++) {
        uint64_t number = i % 2 == 0 ? i / 2 : pieces - 1 - i / 2;
        uint64_t offset = number * PIECE;
        size_t part = size - offset < PIECE ? (size_t)(size - offset) : PIECE;
        CLEANUP(restored_file_done) RestoredFile file = RESTORED_FILE_CLOSED;
        for (size_t j = 0; j < part; j++)
            piece[j] = byte_at(offset + j);
        assert_true(restored_file_open(&file, at, true, &err));
        if (!is_direct) {
            assert_int_equal(fcntl(file.fd, F_SETFL, fcntl(file.fd, F_GETFL) & ~O_DIRECT), 0);
            file.is_direct = false;
        }
        assert_true(restored_file_write(&file, piece, part, offset, &err));
        if (number + 1 == pieces)
            assert_true(restored_file_cut(&file, size, &err));
        assert_true(restored_file_sync(&file, &err));
    }
    mem_free(piece);
}

static void write_and_compare(const char *where)
{
    static const uint64_t sizes[] = {
        0,    1,    511,  512,       4095,  4096,      4097,
        8191, 8192, 8193, PIECE - 1, PIECE, PIECE + 1, 20 * (uint64_t)PIECE + 12345};
    CLEANUP(held_done) HeldDirectory held = HELD_NONE;
    Error unopened = {0};

    assert_true(held_open(&held, where, &unopened));
    for (size_t i = 0; i < 2 * ARRAY_SIZE(sizes); i++) {
        CLEANUP(buffer_done) Buffer content = {0};
        CLEANUP(text_freep) char *name = text_format("file-%zu", i);
        CLEANUP(text_freep) char *path = text_format("%s/%s", where, name);
        uint64_t size = sizes[i / 2];
        Error err = {0};
        write_file(held_at(&held, name), size, i % 2 == 0);
        assert_true(file_read_whole(path, SIZE_MAX / 2, &content, &err));
        assert_int_equal(content.size, size);
        for (uint64_t at = 0; at < size; at++) {
            if (content.data[at] != byte_at(at))
                fail_msg("%s: wrong byte at %llu", path, (unsigned long long)at);
        }
        assert_int_equal(unlink(path), 0);
    }
}

static void a_file_of_any_size_is_written_as_it_was_directly_or_not(void **state)
{
    (void)state;
    write_and_compare(folder_path());
}

/* A file system that may refuse direct writes, or take them and not mean it. */
static void a_file_is_written_to_memory_as_it_was_too(void **state)
{
    char where[] = "/dev/shm/test-restored-file-XXXXXX";
    Error err = {0};

    (void)state;
    if (mkdtemp(where) == NULL)
        skip();
    write_and_compare(where);
    assert_true(tree_remove(where, &err));
}

/* In place of the C library's: how often it was called, and what it fails with. */
static int syncs, no_sync;

int fsync(int fd)
{
    (void)fd;
    syncs++;
    errno = no_sync;
    return no_sync == 0 ? 0 : -1;
}

static void what_is_synced_is_asked_for_and_its_failure_told(void **state)
{
    const FileAttributes attributes = {.mode = 0600, .mtime = TIME_US_NONE};
    CLEANUP(restored_file_done) RestoredFile file = RESTORED_FILE_CLOSED;
    CLEANUP(held_done) HeldDirectory here = HELD_NONE;
    Error err = {0};

    (void)state;
    syncs = no_sync = 0;
    assert_true(held_open(&here, folder_path(), &err));
    assert_true(restored_file_put(held_at(&here, "later"), "a", 1, &attributes, false, &err));
    assert_int_equal(syncs, 0);
    assert_true(restored_file_put(held_at(&here, "now"), "a", 1, &attributes, true, &err));
    assert_int_equal(syncs, 1);
    assert_true(restored_file_open(&file, held_at(&here, "later"), false, &err));
    assert_true(restored_file_sync(&file, &err));
    assert_int_equal(syncs, 2);
    no_sync = EIO;
    assert_false(restored_file_sync(&file, &err));
    assert_int_equal(err.os_errno, EIO);
    error_clear(&err);
    assert_false(restored_file_put(held_at(&here, "never"), "a", 1, &attributes, true, &err));
    assert_int_equal(err.os_errno, EIO);
    no_sync = 0;
}

static void mode_and_time_are_exact_whatever_the_umask_is(void **state)
{
    static const uint32_t modes[] = {0600, 0640, 0400, 0644};
    struct stat status;
    CLEANUP(held_done) HeldDirectory here = HELD_NONE;
    Error err = {0};

    (void)state;
    assert_true(held_open(&here, folder_path(), &err));
    mode_t before = umask(0077);
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        FileAttributes attributes = {.mode = modes[i], .mtime = 1700000000123456 + (TimeUs)i};
        assert_true(restored_file_put(held_at(&here, "small"), "abc", 3, &attributes, true, &err));
        assert_int_equal(stat("small", &status), 0);
        assert_int_equal(status.st_mode & 07777, modes[i]);
        assert_int_equal(status.st_mtim.tv_sec, 1700000000);
        assert_int_equal(status.st_mtim.tv_nsec, (123456 + (long)i) * 1000);
        assert_int_equal(unlink("small"), 0);
    }
    (void)umask(before);
}

static void what_is_there_is_not_overwritten_nor_followed(void **state)
{
    FileAttributes attributes = {.mode = 0600, .mtime = TIME_US_NONE};
    CLEANUP(held_done) HeldDirectory here = HELD_NONE;
    Error err = {0};

    (void)state;
    assert_true(held_open(&here, folder_path(), &err));
    assert_true(restored_file_put(held_at(&here, "taken"), "abc", 3, &attributes, false, &err));
    assert_int_equal(symlink("elsewhere", "link"), 0);

    assert_false(restored_file_put(held_at(&here, "taken"), "xyz", 3, &attributes, false, &err));
    assert_int_equal(err.code, ERR_IO);
    error_clear(&err);
    assert_false(restored_file_put(held_at(&here, "link"), "xyz", 3, &attributes, false, &err));
    assert_int_equal(err.code, ERR_IO);
    error_clear(&err);
    assert_false(restored_file_create(held_at(&here, "taken"), 10, &err));
    assert_int_equal(err.code, ERR_IO);

    assert_false(file_exists("elsewhere"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_any_size_is_written_as_it_was_directly_or_not),
        cmocka_unit_test(a_file_is_written_to_memory_as_it_was_too),
        cmocka_unit_test(what_is_synced_is_asked_for_and_its_failure_told),
        cmocka_unit_test(mode_and_time_are_exact_whatever_the_umask_is),
        cmocka_unit_test(what_is_there_is_not_overwritten_nor_followed),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
