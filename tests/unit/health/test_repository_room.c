#include "health/repository_room.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const TimeUs hour = 3600 * 1000000LL;
static const TimeUs day = 86400 * 1000000LL;

/* Backups as they are taken: when, in hours, how many bytes; and what is to be known of them. */
static void growth_of_backups_is_what_all_but_the_first_stored(void **state)
{
    (void)state;
    static const struct {
        RoomBackup backups[3];
        size_t count;
        bool is_known;
        double bytes_per_day;
        uint64_t next;
    } cases[] = {
        {.count = 0},
        {{{0, 100, false}}, 1, false, 0, 100},
        /* Half an hour says nothing about a day. */
        {{{0, 100, false}, {1800 * 1000000LL, 5, true}}, 2, false, 0, 5},
        {{{0, 100, false}, {12LL * 3600 * 1000000, 5, true}}, 2, true, 10, 5},
        /* In any order; a full one among increments is not what comes next. */
        {{{48LL * 3600 * 1000000, 7, true}, {0, 100, false}, {24LL * 3600 * 1000000, 5, true}},
         3,
         true,
         6,
         7},
        {{{0, 100, false}, {24LL * 3600 * 1000000, 90, false}}, 2, true, 90, 100},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        RoomBackup backups[3];
        RepositoryRoom room = {0};

        memcpy(backups, cases[i].backups, sizeof backups);
        room_measure_backups(&room, backups, cases[i].count);
        assert_int_equal(room.backups.is_known, cases[i].is_known);
        assert_float_equal(room.backups.bytes_per_day, cases[i].bytes_per_day, 1e-6);
        assert_int_equal(room.next_bytes, cases[i].next);
    }
}

static void only_the_newest_backups_count(void **state)
{
    RoomBackup backups[ROOM_BACKUPS_MAX + 1];
    RepositoryRoom room = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(backups); i++)
        backups[i] = (RoomBackup){(TimeUs)i * day, 2, true};
    backups[0].stored_bytes = backups[1].stored_bytes = 1000000;
    backups[0].is_increment = backups[1].is_increment = false;
    room_measure_backups(&room, backups, ARRAY_SIZE(backups));
    assert_float_equal(room.backups.bytes_per_day, 2, 1e-6);
    assert_true(room.backups.measured == (ROOM_BACKUPS_MAX - 1) * day && room.next_bytes == 2);
}

static void growth_of_wal_is_that_of_the_last_days(void **state)
{
    static const struct {
        TimeUs at[3];
        bool is_known;
        double bytes_per_day;
    } cases[] = {
        /* in hours ago, 8 bytes each; -1: the store does not tell */
        {{-1, -1, -1}, false, 0},       {{0, 0, 0}, false, 0}, {{12, 6, 3}, true, 32},
        {{720, 480, 192}, true, 0},     /* nothing lately: that is known */
        {{720, 48, 24}, true, 16 / 7.}, /* the old one is not in it */
    };
    const TimeUs now = 1000 * day;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        WalStored stored[3];
        RepositoryRoom room = {0};

        for (size_t n = 0; n < 3; n++) {
            const TimeUs ago = cases[i].at[n];
            stored[n] = (WalStored){.size = 8, .at = ago < 0 ? TIME_US_NONE : now - ago * hour};
        }
        const WalRun runs[] = {{.timeline = 1, .first = 1, .last = 2, .stored = stored},
                               {.timeline = 2, .first = 3, .last = 3, .stored = stored + 2}};
        room_measure_wal(&room, runs, ARRAY_SIZE(runs), now);
        assert_int_equal(room.wal.is_known, cases[i].is_known);
        assert_float_equal(room.wal.bytes_per_day, cases[i].bytes_per_day, 1e-6);
    }
}

static void it_is_told_before_a_backup_does_not_fit(void **state)
{
    enum { UNKNOWN = -1 };
    static const struct {
        uint64_t free, next;
        double backups, wal; /* a day */
        RoomVerdict verdict;
        bool is_at_most, for_backup;
    } cases[] = {
        {1000, 10, 1, 1, ROOM_ENOUGH, false, false},
        {1000, 0, UNKNOWN, UNKNOWN, ROOM_ENOUGH, true, false},
        {0, 0, UNKNOWN, UNKNOWN, ROOM_OUT, true, false},
        {300, 100, UNKNOWN, UNKNOWN, ROOM_ENOUGH, true, false},
        {299, 100, UNKNOWN, UNKNOWN, ROOM_SHORT, true, true},
        {150, 100, UNKNOWN, UNKNOWN, ROOM_SHORT, true, true},
        {149, 100, UNKNOWN, UNKNOWN, ROOM_OUT, true, true},
        {700, 1, 50, 50, ROOM_ENOUGH, false, false},
        {699, 1, 50, 50, ROOM_SHORT, false, false},
        {100, 1, 50, 50, ROOM_SHORT, false, false},
        {99, 1, 50, 50, ROOM_OUT, false, false},
        {99, 1, UNKNOWN, 100, ROOM_OUT, true, false},
        {99, 1, 0, 0, ROOM_ENOUGH, false, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        RepositoryRoom room = {
            .is_known = true,
            .place = {.free_bytes = cases[i].free, .size_bytes = 1000},
            .next_bytes = cases[i].next,
            .backups = {.is_known = cases[i].backups >= 0, .bytes_per_day = cases[i].backups},
            .wal = {.is_known = cases[i].wal >= 0, .bytes_per_day = cases[i].wal},
        };

        room_forecast(&room);
        assert_int_equal(room_verdict(&room), cases[i].verdict);
        assert_int_equal(room.is_at_most, cases[i].is_at_most);
        assert_int_equal(room_is_short_for_backup(&room), cases[i].for_backup);
    }
}

static void without_numbers_nothing_is_said(void **state)
{
    RepositoryRoom room = {.next_bytes = 100,
                           .backups = {.is_known = true, .bytes_per_day = 10},
                           .wal = {.is_known = true, .bytes_per_day = 10}};

    (void)state;
    room_forecast(&room);
    assert_true(room.full_in == TIME_US_NONE && room_verdict(&room) == ROOM_ENOUGH);
    room.is_known = true;
    room.place.free_bytes = UINT64_MAX; /* as some network file systems say it */
    room.wal.bytes_per_day = 1e-9;
    room_forecast(&room);
    assert_true(room.full_in > 0 && room_verdict(&room) == ROOM_ENOUGH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growth_of_backups_is_what_all_but_the_first_stored),
        cmocka_unit_test(only_the_newest_backups_count),
        cmocka_unit_test(growth_of_wal_is_that_of_the_last_days),
        cmocka_unit_test(it_is_told_before_a_backup_does_not_fit),
        cmocka_unit_test(without_numbers_nothing_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
