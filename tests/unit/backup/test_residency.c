#include "residency.h"

#include "base/file.h"
#include "base/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

enum { MIB = 1 << 20, FILE_SIZE = 8 * MIB };

typedef struct Fixture {
    char path[32];
    int fd;
    uint8_t *buffer;
    Residency residency;
} Fixture;

static int setup(void **state)
{
    Fixture *fixture = mem_alloc(sizeof *fixture);
    Error err = {0};

    *state = fixture;
    memcpy(fixture->path, "/var/tmp/test-residency-XXXXXX", 31);
    fixture->fd = mkstemp(fixture->path);
    fixture->buffer = mem_alloc(FILE_SIZE);
    memset(fixture->buffer, 0xa5, FILE_SIZE);
    residency_init(&fixture->residency);
    return file_write_all(fixture->fd, fixture->buffer, FILE_SIZE, fixture->path, &err) &&
                   fsync(fixture->fd) == 0
               ? 0
               : -1;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;

    residency_done(&fixture->residency);
    mem_free(fixture->buffer);
    fd_done(&fixture->fd);
    int status = unlink(fixture->path);
    mem_free(fixture);
    return status;
}

static void read_all(Fixture *fixture, uint64_t offset, size_t size)
{
    Error err = {0};
    size_t got;

    assert_true(
        file_read_at(fixture->fd, fixture->buffer, size, offset, &got, fixture->path, &err));
    assert_int_equal(got, size);
}

/* Whole megabytes of the file that are cached now, as bits. */
static unsigned cached(Fixture *fixture)
{
    Residency now;
    unsigned bits = 0;

    residency_init(&now);
    now.is_count_refused = true; /* page by page, whichever way is under test */
    residency_look(&now, fixture->fd, 0, FILE_SIZE);
    assert_true(now.is_known);
    for (unsigned i = 0; i < FILE_SIZE / MIB; i++)
        bits |= (unsigned)residency_is_cached(&now, (uint64_t)i * MIB, MIB) << i;
    residency_done(&now);
    return bits;
}

/* tmpfs and its like have nowhere to drop pages to. */
static void drop_all(Fixture *fixture)
{
    assert_int_equal(posix_fadvise(fixture->fd, 0, 0, POSIX_FADV_RANDOM), 0); /* no read-ahead */
    for (unsigned tries = 0; cached(fixture) != 0; tries++) {
        if (tries == 50)
            skip();
        assert_int_equal(posix_fadvise(fixture->fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    }
}

/*
 * One round; false when it tells nothing, because the kernel took or kept a page by itself in the
 * middle of it. It may do so at any time: to free memory, or because a page is busy.
 */
static bool drops_all_but(Fixture *fixture, unsigned before)
{
    drop_all(fixture);
    for (unsigned i = 0; i < 8; i++) {
        if ((before >> i & 1) != 0)
            read_all(fixture, (uint64_t)i * MIB, MIB);
    }
    if (cached(fixture) != before)
        return false;
    residency_look(&fixture->residency, fixture->fd, 0, FILE_SIZE);
    read_all(fixture, 0, FILE_SIZE);
    if (cached(fixture) != 255)
        return false;
    for (unsigned i = 0; i < 8; i++)
        residency_restore(&fixture->residency, fixture->fd, (uint64_t)i * MIB, MIB);
    return cached(fixture) == before;
}

static void what_was_not_cached_is_dropped_and_the_rest_stays(void **state)
{
    for (unsigned before = 0; before < 256; before += 17) {
        unsigned rounds = 0;
        while (!drops_all_but(*state, before))
            assert_in_range(++rounds, 1, 50);
    }
}

static void page_by_page_it_is_the_same(void **state)
{
    ((Fixture *)*state)->residency.is_count_refused = true;
    what_was_not_cached_is_dropped_and_the_rest_stays(state);
}

static void what_was_not_looked_at_is_left(void **state)
{
    Fixture *fixture = *state;

    unsigned rounds = 0;

    do {
        assert_in_range(++rounds, 1, 50); /* the kernel may take a page at any time */
        drop_all(fixture);
        residency_look(&fixture->residency, fixture->fd, 0, 2 * MIB);
        read_all(fixture, 0, FILE_SIZE);
        residency_restore(&fixture->residency, fixture->fd, 2 * MIB, MIB);
        residency_restore(&fixture->residency, fixture->fd, MIB, 2 * MIB);
        residency_look(&fixture->residency, -1, 0, 2 * MIB); /* can't be found out */
        residency_restore(&fixture->residency, fixture->fd, 0, MIB);
    } while (cached(fixture) != 255);
}

static void of_nothing_nothing_is_known(void **state)
{
    Fixture *fixture = *state;

    residency_look(&fixture->residency, fixture->fd, 0, 0);
    assert_false(residency_is_cached(&fixture->residency, 0, 0));
    assert_false(residency_is_cached(&fixture->residency, 0, MIB));
    residency_restore(&fixture->residency, fixture->fd, 0, 0);
}

#define FILE_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(what_was_not_cached_is_dropped_and_the_rest_stays),
        FILE_TEST(page_by_page_it_is_the_same),
        FILE_TEST(what_was_not_looked_at_is_left),
        FILE_TEST(of_nothing_nothing_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
