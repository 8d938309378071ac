#include "repo/reserve.h"

#include "fixture.h"
#include "storage/driver.h"

#include <errno.h>

/* The fixture's store, which takes so many objects more. */
static struct {
    const StorageOps *real;
    StorageOps ops;
    unsigned takes;
    uint64_t free_bytes;
} full;

static bool full_write(Storage *storage, const char *name, WriteMode mode, ObjectWriter **writer,
                       Error *err)
{
    if (full.takes == 0)
        return error_set_errno(err, ERR_IO, ENOSPC, "write %s", name);
    full.takes--;
    return full.real->write(storage, name, mode, writer, err);
}

static bool full_remove(Storage *storage, const char *name, Error *err)
{
    full.takes++;
    return full.real->remove(storage, name, err);
}

static bool full_room(Storage *storage, StorageRoom *room, Error *err)
{
    (void)storage;
    (void)err;
    *room = (StorageRoom){.free_bytes = full.free_bytes, .size_bytes = 1ULL << 40};
    return true;
}

static void open_full(Fixture *fixture, unsigned takes, uint64_t free_bytes)
{
    Storage *storage;

    fixture_open(fixture, FIXTURE_SEGMENT_SIZE);
    storage = fixture->cluster.repo->storage;
    full.real = storage->ops;
    full.ops = *storage->ops;
    full.ops.write = full_write;
    full.ops.remove = full_remove;
    full.ops.room = full_room;
    full.takes = takes;
    full.free_bytes = free_bytes;
    storage->ops = &full.ops;
}

static bool put(const Fixture *fixture, const char *name, Error *err)
{
    return storage_put(fixture->cluster.repo->storage, name, WRITE_NEW, "x", 1, err);
}

static void what_is_missing_is_stored(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(buffer_done) Buffer first = {0};
    CLEANUP(buffer_done) Buffer second = {0};
    Error err = {0};

    (void)state;
    open_full(&fixture, 100, 16 << 20);
    reserve_fill(&fixture.cluster);
    assert_int_equal(object_count(&fixture, "main/reserve/"), RESERVE_PARTS);
    object_get(&fixture, "main/reserve/07", &first);
    object_get(&fixture, "main/reserve/15", &second);
    assert_int_equal(first.size, RESERVE_PART_SIZE);
    assert_memory_not_equal(first.data, second.data, RESERVE_PART_SIZE);

    assert_true(storage_remove(fixture.cluster.repo->storage, "main/reserve/00", &err));
    assert_true(storage_remove(fixture.cluster.repo->storage, "main/reserve/15", &err));
    full.takes = 2;
    reserve_fill(&fixture.cluster);
    assert_int_equal(object_count(&fixture, "main/reserve/"), RESERVE_PARTS);
    assert_int_equal(full.takes, 0);
}

static void with_little_room_none_is_taken(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;

    (void)state;
    open_full(&fixture, 100, (16 << 20) - 1);
    reserve_fill(&fixture.cluster);
    assert_int_equal(object_count(&fixture, "main/reserve/"), 0);
}

static void it_gives_way_to_records_part_by_part(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    Error err = {0};

    (void)state;
    open_full(&fixture, RESERVE_PARTS, 16 << 20);
    reserve_fill(&fixture.cluster);
    assert_false(put(&fixture, "main/journal/a", &err)); /* nobody said that it may be used */
    assert_int_equal(err.os_errno, ENOSPC);
    error_clear(&err);

    reserve_use(&fixture.cluster);
    for (unsigned i = 0; i < RESERVE_PARTS; i++) {
        CLEANUP(text_freep) char *name = text_format("main/journal/%u", i);

        assert_true(put(&fixture, name, &err));
        assert_int_equal(object_count(&fixture, "main/reserve/"), RESERVE_PARTS - 1 - i);
    }
    assert_false(put(&fixture, "main/journal/b", &err));
    assert_int_equal(err.os_errno, ENOSPC);
}

static void another_failure_costs_nothing(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    Error err = {0};

    (void)state;
    open_full(&fixture, 100, 16 << 20);
    reserve_fill(&fixture.cluster);
    reserve_use(&fixture.cluster);
    assert_true(put(&fixture, "main/journal/a", &err));
    assert_false(put(&fixture, "main/journal/a", &err));
    assert_int_equal(err.code, ERR_EXISTS);
    assert_int_equal(object_count(&fixture, "main/reserve/"), RESERVE_PARTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_missing_is_stored),
        cmocka_unit_test(with_little_room_none_is_taken),
        cmocka_unit_test(it_gives_way_to_records_part_by_part),
        cmocka_unit_test(another_failure_costs_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
