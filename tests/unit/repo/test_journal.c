#include "repo/journal.h"

#include "fixture.h"
#include "repo/layout.h"

static void entries_are_kept_in_the_order_of_time(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(object_list_done) ObjectList list = {0};
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    for (uint64_t i = 0; i < 3; i++) {
        CLEANUP(record_writer_done) RecordWriter writer = {0};

        record_begin(&writer, "journal", 1);
        record_text(&writer, "operation", "archive-push");
        record_u64(&writer, "status", i);
        assert_true(journal_store(&fixture.cluster, "archive-push", &writer, &err));
        time_sleep_ms(2);
    }

    assert_true(storage_list(fixture.repo.storage, "main/journal/", &list, &err));
    assert_int_equal(list.count, 3);
    for (uint64_t i = 0; i < 3; i++) {
        CLEANUP(record_done) Record record = {0};
        const char *name = list.objects[i].name + strlen("main/journal/");
        uint64_t status = 99;

        /* 20261122T031512.123Z-archive-push-9f2c81d4 */
        assert_int_equal(strlen(name), strlen("20261122T031512.123Z-archive-push-9f2c81d4"));
        assert_memory_equal(name + 8, "T", 1);
        assert_memory_equal(name + 15, ".", 1);
        assert_memory_equal(name + 19, "Z-archive-push-", 15);
        assert_true(
            record_load(fixture.repo.storage, list.objects[i].name, "journal", 1, &record, &err));
        assert_true(record_get_u64(&record, "status", &status, &err));
        assert_int_equal(status, i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_kept_in_the_order_of_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
