#include "unread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000)
#define NOW    (INT64_C(1800000000) * SECOND)
#define BEGAN  (NOW - 3600 * SECOND) /* the base */

static const ManifestHeader base_header = {.id = "20261122T031500Z-k3v7qa",
                                           .machine_id = "m1",
                                           .boot_id = "b1",
                                           .data_directory = "/data",
                                           .timeline = 1,
                                           .checksums = 1,
                                           .block_size = 8192,
                                           .started_at = BEGAN,
                                           .stopped_at = BEGAN + 60 * SECOND};

static UnreadFacts good_facts(const ManifestHeader *base)
{
    return (UnreadFacts){.base = base,
                         .machine_id = "m1",
                         .boot_id = "b1",
                         .data_directory = "/data",
                         .timeline = 1,
                         .checksums = 1,
                         .block_size = 8192,
                         .now = NOW,
                         .store_ahead = 5 * SECOND,
                         .store_was_ahead = 5 * SECOND};
}

static void anything_that_may_deceive_is_an_objection(void **state)
{
    enum { CASES = 15 };

    (void)state;
    for (int i = 0; i < CASES; i++) {
        ManifestHeader base = base_header;
        UnreadFacts facts = good_facts(&base);
        const char *wanted = NULL; /* i 0: nothing */

        switch (i) {
        case 1:
            facts.is_forbidden = true;
            wanted = "--no-reuse-unread";
            break;
        case 2:
            facts.is_set_back = true;
            wanted = "set back";
            break;
        case 3:
            facts.machine_id = "m2"; /* a copy of the directory, with its inodes by chance */
            wanted = "another machine";
            break;
        case 4:
            facts.machine_id = base.machine_id = ""; /* not known is not the same */
            wanted = "another machine";
            break;
        case 5:
            facts.data_directory = "/data2";
            wanted = "another directory";
            break;
        case 6:
            facts.checksums = 0;
            wanted = "checksums";
            break;
        case 7:
            base.checksums = 0;
            wanted = "checksums";
            break;
        case 8:
            facts.checksums = 2; /* on their way: a number of a later server */
            wanted = "checksums";
            break;
        case 9:
            facts.now = base.stopped_at - 1;
            wanted = "gone back";
            break;
        case 10: /* against the store's */
            facts.store_ahead = 6 * SECOND + 1;
            wanted = "gone back";
            break;
        case 11: /* that much may be due to how long storing takes */
            facts.store_ahead = 6 * SECOND;
            break;
        case 12: /* not known: a store that tells no times */
            facts.store_was_ahead = TIME_US_NONE;
            break;
        case 13: /* after a power failure a file can have old times and new content */
            facts.boot_id = "b2";
            wanted = "started anew";
            break;
        case 14:
            facts.boot_id = base.boot_id = "";
            wanted = "started anew";
            break;
        default:
            break;
        }
        const char *found = unread_objection(&facts);
        if ((found == NULL) != (wanted == NULL) || (found != NULL && strstr(found, wanted) == NULL))
            fail_msg("case %d: %s", i, found != NULL ? found : "nothing");
    }
}

/* What the WAL names does not hang on clocks, nor on the machine's having run on. */
static void the_wal_is_asked_of_the_same_directory_and_timeline(void **state)
{
    enum { CASES = 10 };

    (void)state;
    for (int i = 0; i < CASES; i++) {
        ManifestHeader base = base_header;
        UnreadFacts facts = good_facts(&base);
        const char *wanted = NULL; /* i 0: nothing */

        switch (i) {
        case 1:
            facts.boot_id = "b2";
            facts.now = base.stopped_at - 1;
            facts.store_ahead = 60 * SECOND;
            break;
        case 2:
            facts.timeline = 2;
            wanted = "another timeline";
            break;
        case 3:
            facts.block_size = base.block_size = 16384;
            wanted = "8192";
            break;
        case 4:
            facts.is_forbidden = true;
            wanted = "--no-reuse-unread";
            break;
        case 5:
            facts.is_set_back = true;
            wanted = "set back";
            break;
        case 6:
            facts.machine_id = "m2";
            wanted = "another machine";
            break;
        case 7:
            facts.data_directory = "/data2";
            wanted = "another directory";
            break;
        case 8:
            facts.checksums = 0;
            wanted = "checksums";
            break;
        case 9:
            base.checksums = 0;
            wanted = "checksums";
            break;
        default:
            break;
        }
        const char *found = unread_wal_objection(&facts);
        if ((found == NULL) != (wanted == NULL) || (found != NULL && strstr(found, wanted) == NULL))
            fail_msg("case %d: %s", i, found != NULL ? found : "nothing");
    }
}

static struct timespec time_spec(TimeUs time)
{
    return (struct timespec){.tv_sec = time / SECOND, .tv_nsec = time % SECOND * 1000 + 999};
}

static void a_file_is_unchanged_by_all_that_is_known_of_it(void **state)
{
    enum { CASES = 17 };
    const TimeUs last = BEGAN - 10 * SECOND;

    (void)state;
    for (int i = 0; i < CASES; i++) {
        UnreadRoot roots[] = {
            {.path = ".", .is_trusted = true, .is_as_before = true, .device = 9},
            {.path = "pg_tblspc/16400", .is_trusted = true, .is_as_before = true, .device = 10}};
        UnreadRule rule = {
            .is_on = true, .base_started = BEGAN, .now = NOW, .roots = roots, .root_count = 2};
        ManifestEntry base = {.kind = ENTRY_FILE,
                              .path = "base/5/16384",
                              .size = 1 << 20,
                              .mtime = last - SECOND,
                              .ctime = last,
                              .inode = 77};
        struct stat info = {.st_size = 1 << 20,
                            .st_ino = 77,
                            .st_dev = 9,
                            .st_mtim = time_spec(last - SECOND),
                            .st_ctim = time_spec(last)};
        bool wanted = false;

        switch (i) {
        case 0:
            wanted = true;
            break;
        case 1:
            rule.is_on = false;
            break;
        case 2:
            info.st_size++;
            break;
        case 3:
            info.st_ino++;
            break;
        case 4:
            info.st_ctim = time_spec(last + 1);
            break;
        case 5:
            info.st_mtim = time_spec(last - SECOND - 1); /* `touch -d` */
            break;
        case 6:
            info.st_dev = 10; /* something was mounted over its folder */
            break;
        case 7:
            roots[0].is_trusted = false;
            break;
        case 8:
            roots[0].is_as_before = false;
            break;
        case 9: /* too fresh when the base read it */
            base.ctime = last + 1;
            info.st_ctim = time_spec(last + 1);
            break;
        case 10:
            base.mtime = base.ctime = NOW + 1;
            info.st_ctim = info.st_mtim = time_spec(NOW + 1);
            rule.base_started = NOW + 100 * SECOND; /* the clock was ahead then */
            break;
        case 11:
            base.is_small = true;
            break;
        case 12:
            base.path = "pg_tblspc/16400/PG_15_202209061/5/16384";
            info.st_dev = 10;
            wanted = true;
            break;
        case 13:
            base.path = "pg_tblspc/16400/PG_15_202209061/5/16384"; /* on another device */
            break;
        case 14:
            base.path = "pg_tblspc/164001/PG_15_202209061/5/16384"; /* of no root */
            info.st_dev = 10;
            break;
        case 15:
            roots[1].is_as_before = false; /* of another place */
            wanted = true;
            break;
        case 16:
            base.kind = ENTRY_EXTRA;
            break;
        default:
            break;
        }
        if (unread_file_is_unchanged(&rule, &base, &info) != wanted)
            fail_msg("case %d", i);
    }
}

static void assert_each_has_its_turn(UnreadBy by, uint64_t rounds)
{
    enum { RANGES = 300 };
    int turns[RANGES] = {0};

    for (uint64_t round = 5; round < 5 + rounds; round++) {
        UnreadRule rule = {.round = round};
        int due = 0;

        for (uint32_t i = 0; i < RANGES; i++) {
            CLEANUP(text_freep) char *path = text_format("base/5/%u", 16384 + i / 3);
            const bool is_due = unread_is_due(&rule, by, path, i % 3);

            turns[i] += is_due;
            due += is_due;
        }
        assert_in_range(due, 0, RANGES / 10);
    }
    for (uint32_t i = 0; i < RANGES; i++)
        assert_int_equal(turns[i], 1);
    assert_true(unread_is_due(&(UnreadRule){.checks_all = true}, by, "base/5/1", 1));
}

static void each_range_has_its_turn_and_no_round_has_all(void **state)
{
    (void)state;
    assert_each_has_its_turn(UNREAD_BY_TIMES, 30);
    assert_each_has_its_turn(UNREAD_BY_WAL, 64);
}

static void roots_are_as_before_by_their_whole_lines(void **state)
{
    static const char text[] = ". ef53 00000001 9 2\npg_tblspc/16400 ef53 00000001 9 77\n";
    UnreadRoot roots[] = {
        {.path = ".", .line = ". ef53 00000001 9 2\n"},
        {.path = "pg_tblspc/16400", .line = "pg_tblspc/16400 ef53 00000001 9 7\n"},
        {.path = "pg_tblspc/400", .line = "400 ef53 00000001 9 77\n"},
        {.path = "pg_tblspc/5", .line = ""}};
    UnreadRule rule = {.roots = roots, .root_count = ARRAY_SIZE(roots)};

    (void)state;
    unread_compare_roots(&rule, text);
    for (size_t i = 0; i < ARRAY_SIZE(roots); i++)
        assert_int_equal(roots[i].is_as_before, i == 0);
    unread_compare_roots(&rule, ""); /* a backup that does not say */
    assert_false(roots[0].is_as_before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anything_that_may_deceive_is_an_objection),
        cmocka_unit_test(the_wal_is_asked_of_the_same_directory_and_timeline),
        cmocka_unit_test(a_file_is_unchanged_by_all_that_is_known_of_it),
        cmocka_unit_test(each_range_has_its_turn_and_no_round_has_all),
        cmocka_unit_test(roots_are_as_before_by_their_whole_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
