#include "ledger/forecast.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MIB = 1 << 20 };
#define GIB (UINT64_C(1) << 30)

static const TimeUs second = 1000000;

/* A host that plans 1 s, writes 100 MiB/s, syncs 500 MiB/s, starts in 2 s, replays 50 MiB/s, and
 * needs 3 s for the checkpoint; all of it `slow` times as long. */
static RestoreMeasure restore(uint64_t bytes, uint64_t wal_bytes, double slow)
{
    RestoreMeasure it = {.host_class = "2 cores, 8 GiB, file",
                         .codec = "zstd",
                         .jobs = 2,
                         .files = bytes / MIB,
                         .bytes = bytes,
                         .wal_bytes = wal_bytes};
    const double us[PHASE_COUNT] = {
        [PHASE_PLAN] = 1e6,
        [PHASE_FILES] = (double)bytes / MIB / 100 * 1e6,
        [PHASE_SYNC] = (double)bytes / MIB / 500 * 1e6,
        [PHASE_START] = 2e6,
        [PHASE_REPLAY] = (double)wal_bytes / MIB / 50 * 1e6,
        [PHASE_CHECKPOINT] = 3e6,
    };

    for (int phase = 0; phase < PHASE_COUNT; phase++)
        it.phases[phase] = us[phase] > 0 ? (TimeUs)(us[phase] * slow) : TIME_US_NONE;
    return it;
}

/* The same to a target: the server starts twice. */
static RestoreMeasure restore_to(uint64_t bytes, uint64_t wal_bytes)
{
    RestoreMeasure it = restore(bytes, wal_bytes, 1);

    it.phases[PHASE_CHECKPOINT] = second;
    it.phases[PHASE_SECOND_START] = 4 * second;
    return it;
}

static void assert_near(TimeUs time, double seconds, double tolerance)
{
    double is = (double)time / 1e6;

    if (is < seconds * (1 - tolerance) || is > seconds * (1 + tolerance))
        fail_msg("%.3f s, not %.3f s", is, seconds);
}

static RestoreRates rates_of(const RestoreMeasure *measures, size_t count)
{
    RestoreRates rates = {.count = 0};
    const RestoreKind kind = restore_kind_of(&measures[0]);

    assert_true(rates_measure(measures, count, &kind, &rates));
    return rates;
}

static void a_restore_takes_what_like_ones_took_by_its_load(void **state)
{
    static const struct {
        uint64_t bytes, wal_bytes;
        bool has_target;
        double seconds;
    } cases[] = {
        /* plan 1, files 10.24, sync 2.048, start 2, replay 0, checkpoint 3 */
        {GIB, 0, false, 18.288},
        {GIB, 1000ULL * MIB, false, 38.288},
        {10 * GIB, 1000ULL * MIB, false, 148.88 + 0},
        /* the checkpoint of one with a target takes 1 s, its second start 4 s */
        {GIB, 1000ULL * MIB, true, 40.288},
    };
    const RestoreMeasure past[] = {
        restore(4 * GIB, 2 * GIB, 1),
        restore_to(4 * GIB, 2 * GIB),
        restore(3 * GIB, GIB, 1),
        restore(5 * GIB, 500ULL * MIB, 1),
    };
    const RestoreRates rates = rates_of(past, ARRAY_SIZE(past));

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Forecast forecast;

        forecast_make(&rates,
                      &(RestoreLoad){.bytes = cases[i].bytes,
                                     .files = cases[i].bytes / MIB,
                                     .wal_bytes = cases[i].wal_bytes,
                                     .has_target = cases[i].has_target},
                      &forecast);
        assert_true(forecast.is_known);
        assert_near(forecast.p50, cases[i].seconds, 0.01);
        assert_near(forecast.p90, cases[i].seconds, 0.01); /* they did not differ at all */
        assert_int_equal(forecast.count, 4);
        assert_int_equal(forecast.phases[PHASE_CHECK], TIME_US_NONE);
        assert_int_equal(forecast.phases[PHASE_SECOND_START] == TIME_US_NONE, !cases[i].has_target);
    }
}

static void the_spread_of_the_past_makes_the_p90(void **state)
{
    static const struct {
        double slow[4];
        size_t count;
        double least, most; /* p90 / p50 */
    } cases[] = {
        {{1, 1, 1, 1}, 4, 1, 1.001},
        {{1.1, 0.9, 1.1, 0.9}, 4, 1.15, 1.25},
        {{2, 1, 2, 1}, 4, 1.5, 1.8},
        {{1.1, 0.9}, 2, 1.5, 1.6}, /* two say little about a third */
        {{1}, 1, 0, 0},            /* one says nothing about it */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        RestoreMeasure past[4];
        Forecast forecast;

        for (size_t k = 0; k < cases[i].count; k++)
            past[k] = restore(4 * GIB, GIB, cases[i].slow[k]);
        const RestoreRates rates = rates_of(past, cases[i].count);
        forecast_make(&rates, &(RestoreLoad){.bytes = GIB, .wal_bytes = GIB}, &forecast);
        assert_int_equal(forecast.has_p90, cases[i].count > 1);
        if (!forecast.has_p90) {
            assert_int_equal(forecast_time(&forecast), forecast.p50);
            continue;
        }
        double ratio = (double)forecast.p90 / (double)forecast.p50;
        if (ratio < cases[i].least || ratio > cases[i].most)
            fail_msg("case %zu: p90 is %.3f of p50", i, ratio);
    }
}

static void newer_restores_count_more_and_only_the_last_ten(void **state)
{
    RestoreMeasure past[30];
    Forecast forecast;

    (void)state;
    /* The host has become twice as fast. */
    for (size_t i = 0; i < ARRAY_SIZE(past); i++)
        past[i] = restore(4 * GIB, GIB, i < 3 ? 1 : i < 10 ? 2 : 1000);
    const RestoreRates rates = rates_of(past, ARRAY_SIZE(past));

    forecast_make(&rates, &(RestoreLoad){.bytes = 4 * GIB, .wal_bytes = GIB}, &forecast);

    assert_int_equal(rates.count, RATES_SAMPLES_MAX);
    assert_near(forecast.p50, 75.6, 0.01); /* three have more weight than the seven before them */
}

/* A disk that was busy for one of them: a mean would be up to twice as far off. */
static void one_that_was_held_up_moves_nothing(void **state)
{
    static const uint64_t wal_mib[5] = {900, 700, 500, 300, 100};

    (void)state;
    for (size_t slow = 0; slow < 5; slow++) {
        for (size_t is_growing = 0; is_growing < 2; is_growing++) {
            RestoreMeasure past[5];
            Forecast forecast;

            for (size_t i = 0; i < ARRAY_SIZE(past); i++) {
                past[i] =
                    restore(4 * GIB, is_growing ? wal_mib[i] * MIB : 1000 * MIB, i == slow ? 4 : 1);
            }
            const RestoreRates rates = rates_of(past, ARRAY_SIZE(past));
            forecast_make(&rates, &(RestoreLoad){.bytes = 4 * GIB, .wal_bytes = 1000 * MIB},
                          &forecast);
            assert_near(forecast.p50, 75.152, is_growing && slow == 0 ? 0.15 : 0.02);
        }
    }
}

static void of_another_kind_nothing_is_taken(void **state)
{
    RestoreMeasure past[5];
    RestoreRates rates;
    RestoreKind kind;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(past); i++)
        past[i] = restore(GIB, GIB, 1);
    kind = restore_kind_of(&past[0]);
    past[0].jobs = 4;
    past[1].is_delta = true;
    (void)snprintf(past[2].host_class, sizeof past[2].host_class, "64 cores, 8 GiB, file");
    (void)snprintf(past[3].codec, sizeof past[3].codec, "lz4");

    assert_true(rates_measure(past, 5, &kind, &rates));
    assert_int_equal(rates.count, 1);
    assert_false(rates_measure(past, 4, &kind, &rates));

    RestoreRates all[FORECAST_KINDS_MAX];
    assert_int_equal(rates_of_all_kinds(past, 5, all), 5);
    assert_int_equal(all[0].kind.jobs, 4);
}

static void what_was_never_measured_has_no_number(void **state)
{
    RestoreMeasure past[] = {restore(GIB, GIB, 1), restore(GIB, GIB, 1)};
    Forecast forecast;
    const RestoreLoad replaced = {.bytes = GIB, .wal_bytes = GIB, .has_check = true};
    const RestoreLoad targeted = {.bytes = GIB, .wal_bytes = GIB, .has_target = true};

    (void)state;
    RestoreRates rates = rates_of(past, 2);
    forecast_make(&rates, &replaced, &forecast);
    assert_false(forecast.is_known);
    assert_true(forecast.lacks[PHASE_CHECK]);
    assert_int_equal(forecast.p50, TIME_US_NONE);
    assert_int_equal(forecast.p90, TIME_US_NONE);
    assert_near(forecast.measured, 38.77, 0.02); /* what was measured is told */
    forecast_make(&rates, &targeted, &forecast);
    assert_true(forecast.lacks[PHASE_SECOND_START]);

    /* Restores that were never started. */
    for (size_t i = 0; i < 2; i++) {
        for (int phase = PHASE_START; phase < PHASE_COUNT; phase++)
            past[i].phases[phase] = TIME_US_NONE;
        past[i].wal_bytes = 0;
    }
    rates = rates_of(past, 2);
    forecast_make(&rates, &(RestoreLoad){.bytes = GIB}, &forecast);
    assert_false(forecast.is_known);
    assert_true(forecast.lacks[PHASE_START] && forecast.lacks[PHASE_REPLAY]);
    assert_false(forecast.is_far);
}

static void far_from_what_was_measured_is_said(void **state)
{
    const RestoreMeasure past[] = {restore(GIB, GIB, 1)};
    const RestoreRates rates = rates_of(past, 1);
    static const struct {
        uint64_t bytes, wal_bytes;
        bool is_far;
    } cases[] = {
        {GIB, GIB, false},
        {4 * GIB, 4 * GIB, false},
        {5 * GIB, GIB, true},
        {GIB, 5 * GIB, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Forecast forecast;

        forecast_make(&rates,
                      &(RestoreLoad){.bytes = cases[i].bytes, .wal_bytes = cases[i].wal_bytes},
                      &forecast);
        assert_int_equal(forecast.is_far, cases[i].is_far);
    }
}

static void files_and_bytes_are_told_apart_where_restores_differ(void **state)
{
    /* 10 ms a MiB and 1 ms a file. */
    static const struct {
        uint64_t mib, files;
    } loads[] = {{1000, 1000}, {1000, 100000}, {4000, 1000}, {100, 50000}};
    RestoreMeasure past[ARRAY_SIZE(loads)];
    Forecast forecast;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(loads); i++) {
        past[i] = restore(loads[i].mib * MIB, GIB, 1);
        past[i].files = loads[i].files;
        past[i].phases[PHASE_FILES] = (TimeUs)(loads[i].mib * 10000 + loads[i].files * 1000);
    }
    const RestoreRates rates = rates_of(past, ARRAY_SIZE(loads));
    forecast_make(&rates, &(RestoreLoad){.bytes = 2000ULL * MIB, .files = 200000}, &forecast);

    assert_near(forecast.phases[PHASE_FILES], 220, 0.01);
}

/*
 * What a cluster's drills took, made up: 1 s to plan and 5 ms for each MiB of WAL, files at 200
 * MiB/s, sync at 1,000, 2 s to start, replay 0.5 s and 100 MiB/s, the end checkpoint 0.3 s and 8 ms
 * for each MiB of WAL up to what the server's memory holds (most_dirty), the second start 1.5 s.
 * Off by up to 6 %, each phase by itself, now more and now less.
 */
typedef struct Load {
    const char *name;
    uint64_t mib[6], wal_mib[6];
    bool has_target;
    double most_dirty_mib;
} Load;

static double off_by(size_t drill, int phase)
{
    static const double off[] = {0.06, -0.05, 0.02, -0.06, 0.04, -0.01, 0.05};

    return 1 + off[(drill * 3 + (size_t)phase * 5) % ARRAY_SIZE(off)];
}

static RestoreMeasure drill_of(const Load *load, size_t drill)
{
    const double mib = (double)load->mib[drill], wal = (double)load->wal_mib[drill];
    const double dirty = wal < load->most_dirty_mib ? wal : load->most_dirty_mib;
    const double seconds[PHASE_COUNT] = {
        [PHASE_PLAN] = 1 + wal * 0.005,
        [PHASE_FILES] = mib / 200,
        [PHASE_SYNC] = mib / 1000,
        [PHASE_START] = 2,
        [PHASE_REPLAY] = 0.5 + wal / 100,
        [PHASE_CHECKPOINT] = 0.3 + dirty * 0.008,
        [PHASE_SECOND_START] = load->has_target ? 1.5 : 0,
    };
    RestoreMeasure it = restore(load->mib[drill] * MIB, load->wal_mib[drill] * MIB, 1);

    for (int phase = 0; phase < PHASE_COUNT; phase++) {
        it.phases[phase] = seconds[phase] > 0
                               ? (TimeUs)(seconds[phase] * off_by(drill, phase) * 1e6)
                               : TIME_US_NONE;
    }
    return it;
}

static double time_of(const RestoreMeasure *measure)
{
    double sum = 0;

    for (int phase = 0; phase < PHASE_COUNT; phase++)
        sum += measure->phases[phase] != TIME_US_NONE ? (double)measure->phases[phase] / 1e6 : 0;
    return sum;
}

static void the_sixth_drill_takes_what_five_have_told(void **state)
{
    static const Load loads[] = {
        {"the same each time",
         {1000, 1000, 1000, 1000, 1000, 1000},
         {400, 400, 400, 400, 400, 400},
         false,
         1e9},
        /* One backup, and the archive grows: the last is further out than any. */
        {"growing WAL",
         {1000, 1000, 1000, 1000, 1000, 1000},
         {100, 300, 500, 700, 900, 1100},
         false,
         1e9},
        {"growing WAL, small memory",
         {1000, 1000, 1000, 1000, 1000, 1000},
         {100, 300, 500, 700, 900, 1100},
         true,
         128},
        /* To instants drawn at random. */
        {"any instant",
         {2000, 2000, 2000, 2000, 2000, 2000},
         {900, 100, 500, 20, 300, 700},
         true,
         1e9},
        {"hardly any WAL",
         {1000, 1000, 1000, 1000, 1000, 1000},
         {16, 16, 32, 16, 16, 16},
         true,
         1e9},
        {"growing cluster",
         {1000, 1400, 1800, 2200, 2600, 3000},
         {300, 250, 350, 300, 250, 300},
         false,
         1e9},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(loads); i++) {
        RestoreMeasure past[5];
        Forecast forecast;

        for (size_t k = 0; k < ARRAY_SIZE(past); k++)
            past[k] = drill_of(&loads[i], ARRAY_SIZE(past) - 1 - k); /* the newest first */
        const RestoreMeasure sixth = drill_of(&loads[i], 5);
        const RestoreRates rates = rates_of(past, ARRAY_SIZE(past));
        forecast_make(&rates,
                      &(RestoreLoad){.bytes = sixth.bytes,
                                     .files = sixth.files,
                                     .wal_bytes = sixth.wal_bytes,
                                     .has_target = loads[i].has_target},
                      &forecast);
        const double ratio = (double)forecast.p50 / 1e6 / time_of(&sixth);
        if (ratio < 0.92 || ratio > 1.08)
            fail_msg("%s: the forecast is %.3f of what it took", loads[i].name, ratio);
    }
}

static void the_worst_instant_is_the_one_that_takes_longest(void **state)
{
    static const ForecastBackup backups[] = {
        {"a", 4 * GIB, 4096, 0x10000000, 0x20000000},
        {"b", 4 * GIB, 4096, 0x90000000, 0x91000000}, /* long after the first */
        {"c", 4 * GIB, 4096, 0xA0000000, 0xA1000000},
    };
    static const struct {
        size_t count;
        Lsn until;
        size_t index;
        uint64_t wal_bytes;
    } cases[] = {
        {3, 0xB0000000, 0, 0x81000000}, /* just before b takes over */
        {2, 0x91000000, 0, 0x81000000},
        {1, 0x20000000, 0, 0x10000000},
        {3, 0x1B0000000, 2, 0x110000000}, /* c, with all that came since */
    };
    const RestoreMeasure past[] = {restore(GIB, GIB, 1)};
    const RestoreRates rates = rates_of(past, 1);
    RestoreLoad load;
    size_t index = 99;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_true(forecast_worst(&rates, backups, cases[i].count, cases[i].until, &load, &index));
        assert_int_equal(index, cases[i].index);
        assert_int_equal(load.wal_bytes, cases[i].wal_bytes);
        assert_true(load.has_target);
    }
    assert_false(forecast_worst(&rates, backups, 0, 0x91000000, &load, &index));
}

static void what_would_help_is_computed(void **state)
{
    /* 10 GiB: 1 + 102.4 + 20.48 + 2 + 3 s = 128.9 s without WAL, 50 MiB/s of it. */
    const RestoreMeasure past[] = {restore(10 * GIB, GIB, 1), restore(10 * GIB, GIB, 1)};
    RestoreMeasure four[] = {restore(10 * GIB, GIB, 0.4), restore(10 * GIB, GIB, 0.4)};
    RestoreRates all[2];
    ForecastRemedy remedy;
    static const struct {
        double objective_s, wal_mib_per_s;
        bool is_needed;
        double every_s; /* -1: not known */
        bool faster_fits;
    } cases[] = {
        {1200, 1, false, -1, false},
        /* 1000 s are left for WAL: 50,000 MiB, less 1 MiB of the backup's own */
        {1128.88, 1, true, 49999, true},
        {1128.88, 10, true, 4999.9, true},
        {1128.88, 0, true, -1, true},
        {100, 1, true, 0, false}, /* the files alone take longer */
    };

    (void)state;
    four[0].jobs = four[1].jobs = 4;
    all[0] = rates_of(past, 2);
    all[1] = rates_of(four, 2);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const RemedySearch search = {
            .rates = &all[0],
            .all = all,
            .count = 2,
            .worst = {.bytes = 10 * GIB, .wal_bytes = 53000ULL * MIB},
            .objective = (TimeUs)(cases[i].objective_s * 1e6),
            .wal_bytes_per_s = cases[i].wal_mib_per_s * MIB,
            .backup_wal_bytes = MIB,
        };

        forecast_remedy(&search, &remedy);
        assert_int_equal(remedy.is_needed, cases[i].is_needed);
        if (cases[i].every_s < 0) {
            assert_int_equal(remedy.backup_every, TIME_US_NONE);
        } else if (cases[i].every_s == 0) {
            assert_int_equal(remedy.backup_every, 0);
        } else {
            assert_near(remedy.backup_every, cases[i].every_s, 0.01);
        }
        assert_ptr_equal(remedy.faster, cases[i].faster_fits ? &all[1] : NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restore_takes_what_like_ones_took_by_its_load),
        cmocka_unit_test(the_spread_of_the_past_makes_the_p90),
        cmocka_unit_test(newer_restores_count_more_and_only_the_last_ten),
        cmocka_unit_test(one_that_was_held_up_moves_nothing),
        cmocka_unit_test(of_another_kind_nothing_is_taken),
        cmocka_unit_test(what_was_never_measured_has_no_number),
        cmocka_unit_test(far_from_what_was_measured_is_said),
        cmocka_unit_test(files_and_bytes_are_told_apart_where_restores_differ),
        cmocka_unit_test(the_sixth_drill_takes_what_five_have_told),
        cmocka_unit_test(the_worst_instant_is_the_one_that_takes_longest),
        cmocka_unit_test(what_would_help_is_computed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
