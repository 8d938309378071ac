#include "write_behind.h"

#include "../folder.h"
#include "base/held.h"
#include "base/memory.h"
#include "pack/pack.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Fixture {
    WriteBehind *after;
    uint8_t *data;
} Fixture;

static Fixture new_fixture(void)
{
    Error err = {0};
    Fixture fixture = {.after = write_behind_new(&err), .data = mem_alloc_aligned(EXTENT_SIZE)};

    assert_non_null(fixture.after);
    return fixture;
}

static void fixture_done(Fixture *fixture)
{
    write_behind_freep(&fixture->after);
    mem_free(fixture->data);
}

/* Many more pieces than are on their way at once, each with a content of its own. */
static void every_piece_is_at_its_place_once_it_is_finished(void **state)
{
    enum { FILES = 3, PIECES = 9, LAST = 12345 };
    CLEANUP(fixture_done) Fixture fixture = new_fixture();
    CLEANUP(held_done) HeldDirectory here = HELD_NONE;
    Error err = {0};

    (void)state;
    assert_true(held_open(&here, folder_path(), &err));
    for (int f = 0; f < FILES; f++) {
        CLEANUP(restored_file_done) RestoredFile file = RESTORED_FILE_CLOSED;
        CLEANUP(buffer_done) Buffer content = {0};
        CLEANUP(text_freep) char *path = text_format("file-%d", f);
        size_t size = (size_t)(PIECES - 1) * EXTENT_SIZE + LAST;
        assert_true(restored_file_create(held_at(&here, path), size, &err));
        assert_true(restored_file_open(&file, held_at(&here, path), true, &err));

        for (size_t i = 0; i < PIECES; i++) {
            memset(fixture.data, (int)(10 * f) + (int)i + 1, EXTENT_SIZE);
            assert_true(write_behind_put(fixture.after, &file, &fixture.data,
                                         i + 1 < PIECES ? EXTENT_SIZE : LAST, i * EXTENT_SIZE,
                                         &err));
        }
        assert_true(write_behind_finish(fixture.after, &err));
        assert_true(restored_file_cut(&file, size, &err));

        assert_true(file_read_whole(path, SIZE_MAX / 2, &content, &err));
        assert_int_equal(content.size, size);
        for (size_t at = 0; at < size; at++) {
            if (content.data[at] != (uint8_t)((size_t)(10 * f) + at / EXTENT_SIZE + 1))
                fail_msg("%s: wrong byte at %zu", path, at);
        }
    }
}

static void a_piece_in_flight_is_not_in_the_buffer_that_is_filled(void **state)
{
    CLEANUP(fixture_done) Fixture fixture = new_fixture();
    CLEANUP(restored_file_done) RestoredFile file = RESTORED_FILE_CLOSED;
    CLEANUP(held_done) HeldDirectory here = HELD_NONE;
    Error err = {0};

    (void)state;
    assert_true(held_open(&here, folder_path(), &err));
    assert_true(restored_file_create(held_at(&here, "exchanged"), EXTENT_SIZE, &err));
    assert_true(restored_file_open(&file, held_at(&here, "exchanged"), true, &err));
    memset(fixture.data, 1, EXTENT_SIZE);
    const uint8_t *given = fixture.data;

    assert_true(write_behind_put(fixture.after, &file, &fixture.data, EXTENT_SIZE, 0, &err));

    assert_ptr_not_equal(fixture.data, given);
    assert_true(write_behind_finish(fixture.after, &err));
}

/* No restore would open it: it is not a regular file. */
static void open_full_device(RestoredFile *file)
{
    file->fd = open("/dev/full", O_WRONLY);
    file->path = text_format("/dev/full");
    assert_true(file->fd >= 0);
}

static void a_piece_that_could_not_be_written_is_told_at_the_latest_when_finished(void **state)
{
    CLEANUP(fixture_done) Fixture fixture = new_fixture();
    CLEANUP(restored_file_done) RestoredFile file = RESTORED_FILE_CLOSED;
    Error err = {0}, again = {0};

    (void)state;
    open_full_device(&file);

    assert_true(write_behind_put(fixture.after, &file, &fixture.data, 100, 0, &err));

    assert_false(write_behind_finish(fixture.after, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_int_equal(err.os_errno, ENOSPC);
    assert_false(write_behind_put(fixture.after, &file, &fixture.data, 100, 0, &again));
    assert_int_equal(again.os_errno, ENOSPC);
}

static void a_writer_that_fails_does_not_go_on_for_ever(void **state)
{
    CLEANUP(fixture_done) Fixture fixture = new_fixture();
    CLEANUP(restored_file_done) RestoredFile file = RESTORED_FILE_CLOSED;
    Error err = {0};
    size_t put = 0;

    (void)state;
    open_full_device(&file);

    while (write_behind_put(fixture.after, &file, &fixture.data, 100, 0, &err))
        assert_true(++put < 100);

    assert_int_equal(err.os_errno, ENOSPC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_piece_is_at_its_place_once_it_is_finished),
        cmocka_unit_test(a_piece_in_flight_is_not_in_the_buffer_that_is_filled),
        cmocka_unit_test(a_piece_that_could_not_be_written_is_told_at_the_latest_when_finished),
        cmocka_unit_test(a_writer_that_fails_does_not_go_on_for_ever),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
