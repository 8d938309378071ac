#include "pages.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { PAGE = 8192, PAGES = 4, FIRST = 131072 };

static const Lsn start = 0x500000000;

/*
 * What the file says when it is read again: reading n gives again[n], the last one from then on;
 * length of it, 0 where the file has been cut off.
 */
typedef struct Disk {
    uint8_t again[3][PAGE];
    size_t count;
    size_t length;
    unsigned reads;
    uint64_t offset;
} Disk;

static Disk disk;

static bool read_disk(int fd, void *to, size_t size, uint64_t offset, size_t *got, const char *path,
                      Error *err)
{
    size_t index = disk.reads < disk.count ? disk.reads : disk.count - 1;

    (void)path;
    disk.reads++;
    disk.offset = offset;
    if (fd == -2)
        return error_set(err, ERR_IO, "disk broke");
    assert_int_equal(size, PAGE);
    memcpy(to, disk.again[index], size);
    *got = disk.length;
    return true;
}

static void make_page(uint8_t *page, uint32_t block, Lsn lsn, uint8_t content)
{
    memset(page, 0, PAGE);
    put_le32(page, (uint32_t)(lsn >> 32));
    put_le32(page + 4, (uint32_t)lsn);
    put_le16(page + 12, 40);   /* pd_lower */
    put_le16(page + 14, 4096); /* pd_upper */
    put_le16(page + 16, PAGE); /* pd_special */
    put_le16(page + 18, 0x2004);
    memset(page + 4096, content, 1000);
    put_le16(page + 8, page_checksum(page, PAGE, block));
}

typedef struct Fixture {
    uint8_t raw[PAGES * PAGE];
    uint8_t scratch[PAGE];
    PageRule rule;
    CopyJob job;
    PageJudge judge;
} Fixture;

static void setup(Fixture *fixture)
{
    fixture->rule = (PageRule){.has_checksums = true, .start = start};
    fixture->job = (CopyJob){0};
    fixture->judge = (PageJudge){.path = "base/5/1259",
                                 .entry = 7,
                                 .page_size = PAGE,
                                 .rule = &fixture->rule,
                                 .insert_seen = start + 1000,
                                 .scratch = fixture->scratch,
                                 .job = &fixture->job,
                                 .is_settled = true,
                                 .read = read_disk};
    for (uint32_t i = 0; i < PAGES; i++)
        make_page(fixture->raw + i * (size_t)PAGE, FIRST + i, 1000 + i, (uint8_t)i);
    disk = (Disk){.count = 1, .length = PAGE};
}

static void judge(Fixture *fixture, size_t size)
{
    Error err = {0};

    assert_true(pages_judge(&fixture->judge, fixture->raw, size, 1 << 20, FIRST, &err));
}

static void good_pages_are_settled_and_read_once(void **state)
{
    static Fixture fixture;

    (void)state;
    setup(&fixture);
    memset(fixture.raw + PAGE, 0, PAGE); /* a new page */
    judge(&fixture, sizeof fixture.raw);
    assert_true(fixture.judge.is_settled);
    assert_int_equal(fixture.job.note_count, 0);
    assert_int_equal(disk.reads, 0);
}

static void a_page_that_stays_bad_is_noted_with_its_block(void **state)
{
    static Fixture fixture;

    (void)state;
    for (uint32_t bad = 0; bad < PAGES; bad++) {
        setup(&fixture);
        fixture.raw[bad * (size_t)PAGE + 5000] ^= 1;
        memcpy(disk.again[0], fixture.raw + bad * (size_t)PAGE, PAGE);
        judge(&fixture, sizeof fixture.raw);
        assert_false(fixture.judge.is_settled);
        assert_int_equal(fixture.job.note_count, 1);
        assert_int_equal(fixture.job.notes[0].block, FIRST + bad);
        assert_int_equal(fixture.job.notes[0].entry, 7);
        assert_int_equal(fixture.job.notes[0].lsn, 0);
        assert_int_equal(disk.offset, (1 << 20) + bad * PAGE);
        assert_true(disk.reads > 1);
        mem_free(fixture.job.notes);
    }
}

static void a_torn_page_is_taken_as_it_is_read_again_and_not_settled(void **state)
{
    static Fixture fixture;

    (void)state;
    for (size_t late = 1; late <= 3; late++) {
        setup(&fixture);
        uint8_t *page = fixture.raw + PAGE;
        for (size_t i = 0; i < 3; i++) {
            memcpy(disk.again[i], page, PAGE);
            if (i + 1 < late)
                disk.again[i][6000] ^= (uint8_t)(i + 1); /* another torn state each time */
        }
        disk.count = 3;
        page[5000] ^= 1;
        judge(&fixture, sizeof fixture.raw);
        assert_false(fixture.judge.is_settled);
        assert_int_equal(fixture.job.note_count, 0);
        assert_int_equal(disk.reads, late);
        assert_memory_equal(page, disk.again[2], PAGE);
    }
}

/* Cut off while it was read: what was read first is kept, WAL truncates again. */
static void a_page_that_is_cut_off_meanwhile_is_no_bad_page(void **state)
{
    static Fixture fixture;

    (void)state;
    setup(&fixture);
    fixture.raw[5000] ^= 1;
    disk.length = 0;
    judge(&fixture, sizeof fixture.raw);
    assert_false(fixture.judge.is_settled);
    assert_int_equal(fixture.job.note_count, 0);
}

static void a_page_newer_than_the_start_is_not_judged_but_not_settled(void **state)
{
    static const struct {
        Lsn lsn;
        bool is_settled;
        size_t notes;
    } cases[] = {
        {0x500000000 - 1, true, 0},     {0x500000000, false, 0}, {0x500000000 + 1000, false, 0},
        {0x500000000 + 1001, false, 1}, /* ahead of what the server is known to have written */
        {UINT64_MAX, false, 1},
    };
    static Fixture fixture;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        setup(&fixture);
        make_page(fixture.raw + PAGE, FIRST + 1, cases[i].lsn, 9);
        if (cases[i].lsn >= start)
            fixture.raw[PAGE + 5000] ^= 1; /* torn: nobody minds */
        judge(&fixture, sizeof fixture.raw);
        assert_int_equal(fixture.judge.is_settled, cases[i].is_settled);
        assert_int_equal(fixture.job.note_count, cases[i].notes);
        if (cases[i].notes > 0) {
            assert_true(fixture.job.notes[0].lsn == cases[i].lsn);
            assert_int_equal(fixture.job.notes[0].block, FIRST + 1);
        }
        assert_int_equal(disk.reads, 0);
        mem_free(fixture.job.notes);
    }
}

static void a_short_last_page_is_not_judged_and_not_settled(void **state)
{
    static Fixture fixture;

    (void)state;
    for (size_t size = 0; size <= 2 * PAGE; size += 512) {
        setup(&fixture);
        size_t whole = size / PAGE * PAGE;
        memset(fixture.raw + whole, 0xff, sizeof fixture.raw - whole);
        judge(&fixture, size);
        assert_int_equal(fixture.judge.is_settled, size == whole);
        assert_int_equal(fixture.job.note_count, 0);
    }
}

static void a_disk_that_fails_is_an_error(void **state)
{
    static Fixture fixture;
    Error err = {0};

    (void)state;
    setup(&fixture);
    fixture.raw[5000] ^= 1;
    fixture.judge.fd = -2;
    assert_false(pages_judge(&fixture.judge, fixture.raw, PAGE, 0, FIRST, &err));
    assert_int_equal(err.code, ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_pages_are_settled_and_read_once),
        cmocka_unit_test(a_page_that_stays_bad_is_noted_with_its_block),
        cmocka_unit_test(a_torn_page_is_taken_as_it_is_read_again_and_not_settled),
        cmocka_unit_test(a_page_that_is_cut_off_meanwhile_is_no_bad_page),
        cmocka_unit_test(a_page_newer_than_the_start_is_not_judged_but_not_settled),
        cmocka_unit_test(a_short_last_page_is_not_judged_and_not_settled),
        cmocka_unit_test(a_disk_that_fails_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
