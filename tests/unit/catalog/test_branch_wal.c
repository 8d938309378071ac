#include "../walk/archive_builder.h"
#include "branch_wal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { FIRST = 3 };

/*
 * What a branch's WAL has beyond a place, one letter a record: c commit, p PREPARE of the next xid,
 * d COMMIT PREPARED of the first one that is open, > up to the next segment, x up to the end of the
 * segment but for half a record, | the place.
 */
typedef struct Case {
    const char *records;
    uint64_t commits, prepared;
    int64_t prepared_last; /* the number of the letter; 0: none */
} Case;

static const Case cases[] = {
    {"cc|", 0, 0, 0},
    {"c|cc", 2, 0, 0},
    {"c|p", 0, 1, 3},
    {"cp|c", 1, 0, 0}, /* both have it */
    {"c|pd", 1, 0, 0},
    {"c|ppd", 1, 1, 4},
    {"cp|d", 1, 0, 0},
    {"c|pp>d", 1, 0, 0},
    {"c|cp>>p", 1, 2, 7},
    {"c|p>p>c", 1, 0, 0}, /* before the segment of the last commit: the commit
                             says it */
    {"c|p>cp", 1, 1, 6},
    {"c|c>xp>", 1, 1, 6}, /* from one segment into the next */
};

static void put(WalBuilder *wal, char letter, uint32_t number, uint32_t *closed)
{
    const Lsn next = wal_segment_start(wal_segment_of(wal->at, MIB) + 1, MIB);

    switch (letter) {
    case 'c':
        wal_builder_commit(wal, 500 + number, number);
        break;
    case 'p':
        wal_builder_prepare(wal, 700 + number, number);
        break;
    case 'd':
        wal_builder_commit_prepared(wal, *closed, number);
        break;
    case '>':
        wal_builder_fill_to(wal, next, 0);
        break;
    case 'x':
        wal_builder_fill_to(wal, next, 32);
        break;
    default:
        fail_msg("no such record: %c", letter);
    }
}

static void what_lies_beyond_is_counted(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(archive_done) Archive archive = {0};
        CLEANUP(arena_done) Arena arena = {0};
        CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, FIRST * MIB, 1);
        BranchGain gain = {
            .first = TIME_US_NONE, .last = TIME_US_NONE, .prepared_last = TIME_US_NONE};
        TimelinePath path;
        Error err = {0};
        uint32_t closed = 0;

        archive_init(&archive);
        for (uint32_t at = 0; cases[i].records[at] != '\0'; at++) {
            if (cases[i].records[at] == 'p' && closed == 0)
                closed = 701 + at;
            if (cases[i].records[at] == '|') {
                gain.from = (wal.at + 7) & ~(Lsn)7;
            } else {
                put(&wal, cases[i].records[at], at + 1, &closed);
            }
        }
        const uint64_t last = wal_segment_of(wal.at - 1, MIB);
        wal_builder_pad(&wal);
        archive_put_segments(&archive, &wal, 1, FIRST, last);
        archive_look(&archive);
        assert_true(timeline_path_parse(1, NULL, &arena, &path, &err));
        const WalWalk walk = {.cluster = &archive.cluster,
                              .inventory = &archive.inventory,
                              .path = &path,
                              .threads = 1};
        assert_true(branch_count(&walk, &gain, &err));
        if (gain.commits != cases[i].commits || gain.prepared != cases[i].prepared)
            fail_msg("%s: %lu commits, %lu prepared", cases[i].records, (unsigned long)gain.commits,
                     (unsigned long)gain.prepared);
        assert_int_equal(gain.prepared_last, cases[i].prepared_last == 0
                                                 ? TIME_US_NONE
                                                 : time_from_postgres(cases[i].prepared_last));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_lies_beyond_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
