#include "ledger/ledger.h"

#include "../repo/fixture.h"
#include "ledger/measure.h"

static const TimeUs second = 1000000;

/* An entry under a name of its own, ended at this second of 2026-11-22T03:00. */
static void put(const Fixture *fixture, const char *operation, unsigned at, unsigned status)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};
    CLEANUP(text_freep)
    char *name = text_format("main/journal/20261122T0300%02u.000Z-%s-%08x", at, operation, at);
    TimeUs hour;
    Error err = {0};

    assert_true(time_parse("2026-11-22T03:00:00Z", &hour, &err));
    record_begin(&record, "journal", 1);
    record_text(&record, "operation", operation);
    record_u64(&record, "status", status);
    record_time(&record, "started", hour + (TimeUs)(at - 1) * second);
    record_time(&record, "finished", hour + (TimeUs)at * second);
    assert_true(record_store(&record, fixture->repo.storage, name, &err));
}

static void names_are_parsed(void **state)
{
    static const struct {
        const char *object, *operation; /* NULL: not one */
    } cases[] = {
        {"main/journal/20261122T031512.123Z-backup-9f2c81d4", "backup"},
        {"main/journal/20261122T031512.123Z-archive-push-9f2c81d4", "archive-push"},
        {"main/journal/20261122T031512.123Z--9f2c81d4", NULL},
        {"main/journal/20261122T031512.123Z-backup", NULL},
        {"main/journal/20261322T031512.123Z-backup-9f2c81d4", NULL},
        {"main/journal/20261122T031512.123Z-a-word-that-is-longer-than-any-of-ours-9f2c81d4", NULL},
        {"main/journal/x", NULL},
    };
    TimeUs expected;
    Error err = {0};

    (void)state;
    assert_true(time_parse("2026-11-22T03:15:12.123Z", &expected, &err));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char operation[LEDGER_OPERATION_SIZE] = "";
        TimeUs at = 0;
        bool is_one = ledger_name_parse(cases[i].object, &at, operation);

        assert_int_equal(is_one, cases[i].operation != NULL);
        if (is_one) {
            assert_string_equal(operation, cases[i].operation);
            assert_int_equal(at, expected);
        }
    }
}

static void the_newest_come_first_as_many_as_are_asked_for(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    static const char *const restores[] = {"restore", NULL};
    TimeUs since;
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    assert_true(time_parse("2026-11-22T03:00:05Z", &since, &err));
    for (unsigned i = 1; i <= 6; i++) {
        put(&fixture, "restore", i, i);
        put(&fixture, "backup", 10 + i, 0);
    }
    object_put(&fixture, "main/journal/20261122T030009.000Z-restore-00000009", "damaged", 7);
    const struct {
        LedgerRequest request;
        size_t count, unreadable;
        unsigned first; /* its status */
    } cases[] = {
        {{.since = TIME_US_NONE}, 12, 1, 0},
        {{.operations = restores, .since = TIME_US_NONE}, 6, 1, 6},
        {{.operations = restores, .each = 3, .since = TIME_US_NONE}, 2, 1, 6},
        {{.each = 2, .since = TIME_US_NONE}, 3, 1, 0},
        {{.operations = restores, .since = since}, 2, 1, 6},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(ledger_done) Ledger ledger = {0};

        assert_true(ledger_load(&ledger, &fixture.cluster, &cases[i].request, &err));
        assert_int_equal(ledger.count, cases[i].count);
        assert_int_equal(ledger.unreadable, cases[i].unreadable);
        assert_int_equal(ledger.items[0].status, cases[i].first);
        for (size_t k = 1; k < ledger.count; k++)
            assert_true(ledger.items[k - 1].finished >= ledger.items[k].finished);
    }
}

static void what_a_restore_took_comes_back_as_it_was_written(void **state)
{
    CLEANUP(record_writer_done) RecordWriter writer = {0};
    CLEANUP(record_done) Record record = {0};
    RestoreMeasure measure, back;
    Error err = {0};

    (void)state;
    restore_measure_init(&measure, "s3://bucket/backup", 3);
    assert_non_null(strstr(measure.host_class, ", s3"));
    (void)snprintf(measure.codec, sizeof measure.codec, "lz4");
    measure.is_delta = true;
    measure.files = 1;
    measure.bytes = UINT64_C(1) << 40;
    measure.wal_bytes = 5;
    for (int phase = 0; phase < PHASE_COUNT; phase += 2)
        measure.phases[phase] = phase * second;
    record_begin(&writer, "journal", 1);
    restore_measure_put(&measure, &writer);
    record_finish(&writer);

    assert_true(
        record_parse((char *)writer.text.data, writer.text.size, "journal", 1, &record, &err));
    assert_true(restore_measure_get(&record, &back));
    assert_string_equal(back.host_class, measure.host_class);
    assert_string_equal(back.codec, "lz4");
    assert_true(back.is_delta);
    assert_int_equal(back.jobs, 3);
    assert_int_equal(back.files, 1);
    assert_int_equal(back.bytes, measure.bytes);
    assert_int_equal(back.wal_bytes, 5);
    for (int phase = 0; phase < PHASE_COUNT; phase++)
        assert_int_equal(back.phases[phase], measure.phases[phase]);
}

static void an_entry_of_an_earlier_version_measures_nothing(void **state)
{
    CLEANUP(record_writer_done) RecordWriter writer = {0};
    CLEANUP(record_done) Record record = {0};
    RestoreMeasure measure;
    Error err = {0};

    (void)state;
    record_begin(&writer, "journal", 1);
    record_u64(&writer, "elapsed_replay_us", 5);
    record_finish(&writer);
    assert_true(
        record_parse((char *)writer.text.data, writer.text.size, "journal", 1, &record, &err));

    assert_false(restore_measure_get(&record, &measure));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_parsed),
        cmocka_unit_test(the_newest_come_first_as_many_as_are_asked_for),
        cmocka_unit_test(what_a_restore_took_comes_back_as_it_was_written),
        cmocka_unit_test(an_entry_of_an_earlier_version_measures_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
