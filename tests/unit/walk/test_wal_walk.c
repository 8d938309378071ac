#include "walk/wal_walk.h"

#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static World world;

static int setup(void **state)
{
    (void)state;
    world_init(&world);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_done(&world);
    return 0;
}

static bool is_event(const WorldRecord *record)
{
    return record->is_commit || record->is_abort || record->name != NULL;
}

typedef struct Events {
    WalEvent items[WORLD_RECORDS_MAX];
    size_t count, stop_after;
} Events;

static WalkStep collect(void *context, const WalEvent *event, Error *err)
{
    Events *events = context;

    (void)err;
    events->items[events->count++] = *event;
    return events->count == events->stop_after ? WALK_STOP : WALK_ON;
}

static Events events;

static void check_events(Lsn from, Lsn to, unsigned threads)
{
    WalWalk walk = world_walk(&world);
    WalWalkEnd end;
    Error err = {0};
    size_t seen = 0;

    walk.from = from;
    walk.to = to;
    walk.threads = threads;
    events.count = 0;
    assert_true(wal_walk_events(&walk, collect, &events, &end, &err));
    for (size_t i = 0; i < world.count; i++) {
        const WorldRecord *record = &world.records[i];

        if (!is_event(record) || record->lsn < from || (to != 0 && record->lsn >= to))
            continue;
        while (seen < events.count && events.items[seen].kind == EVENT_BACKUP_END)
            seen++;
        assert_true(seen < events.count);
        assert_int_equal(events.items[seen].lsn, record->lsn);
        assert_int_equal(events.items[seen].end, record->end);
        assert_int_equal(events.items[seen].xid, record->xid);
        seen++;
    }
    while (seen < events.count && events.items[seen].kind == EVENT_BACKUP_END)
        seen++;
    assert_int_equal(seen, events.count);
    if (to == 0) {
        assert_int_equal(end.replay_end, world.wal.at);
        assert_int_equal(end.last_segment, world.last_segment);
        assert_int_equal(end.last_timeline, 2);
    }
}

static void events_come_in_order_from_wherever_to_wherever(void **state)
{
    (void)state;
    check_events(3 * MIB, 0, 1);
    check_events(world.redo, 0, 2);
    for (size_t i = 0; i < world.count; i += 401) {
        check_events(world.records[i].lsn, 0, 1);
        check_events(world.records[i].lsn + 1, world.records[i].lsn + 2 * MIB, 1);
    }
}

static void a_walk_stops_when_told(void **state)
{
    WalWalk walk = world_walk(&world);
    WalWalkEnd end;
    Error err = {0};

    (void)state;
    events.count = 0;
    events.stop_after = 5;
    assert_true(wal_walk_events(&walk, collect, &events, &end, &err));
    events.stop_after = 0;
    assert_int_equal(events.count, 5);
    assert_false(end.is_hole);
    assert_false(end.is_broken);
}

static WalkStep fail_at_third(void *context, const WalEvent *event, Error *err)
{
    (void)event;
    if (++*(int *)context < 3)
        return WALK_ON;
    error_set(err, ERR_REFUSED, "not this one");
    return WALK_FAILED;
}

static WalkStep fail_at_second_segment(void *context, uint32_t timeline, uint64_t segment,
                                       const WalTrailer *trailer, Error *err)
{
    (void)timeline, (void)segment, (void)trailer;
    return walk_step(++*(int *)context < 2 || error_set(err, ERR_REFUSED, "not this one"));
}

static void a_walk_fails_when_the_function_that_it_calls_does(void **state)
{
    WalWalk walk = world_walk(&world);
    WalWalkEnd end;
    Error err = {0};
    int calls = 0;

    (void)state;
    assert_false(wal_walk_events(&walk, fail_at_third, &calls, &end, &err));
    assert_int_equal(calls, 3);
    assert_int_equal(err.code, ERR_REFUSED);
    assert_string_equal(err.message, "not this one");

    calls = 0;
    error_clear(&err);
    assert_false(wal_walk_trailers(&walk, fail_at_second_segment, &calls, &end, &err));
    assert_int_equal(calls, 2);
    assert_int_equal(err.code, ERR_REFUSED);
}

/* Sums over trailers, joined, must be those over all records. */
typedef struct Sums {
    uint32_t commits, aborts, points;
    TimeUs max;
    uint64_t segments, last;
    Lsn first_end;
} Sums;

static WalkStep add_up(void *context, uint32_t timeline, uint64_t segment,
                       const WalTrailer *trailer, Error *err)
{
    Sums *sums = context;
    const WalSummary *summary = &trailer->summary;

    (void)err;
    assert_int_equal(trailer->timeline, timeline);
    if (sums->segments > 0)
        assert_int_equal(segment, sums->last + 1);
    sums->segments++;
    sums->last = segment;
    sums->commits += summary->commit_count;
    sums->aborts += summary->abort_count;
    sums->points += summary->restore_point_count;
    if (summary->end_time_max != TIME_US_NONE && summary->end_time_max > sums->max)
        sums->max = summary->end_time_max;
    if (sums->first_end == 0)
        sums->first_end = summary->first_end_lsn;
    return WALK_ON;
}

static void trailers_sum_up_to_what_the_records_are(void **state)
{
    (void)state;
    for (uint64_t first = 3; first <= world.last_segment; first++) {
        WalWalk walk = world_walk(&world);
        Sums sums = {.max = TIME_US_NONE};
        Sums expected = {.max = TIME_US_NONE};
        WalWalkEnd end;
        Error err = {0};

        walk.from = wal_segment_start(first, MIB);
        for (size_t i = 0; i < world.count; i++) {
            const WorldRecord *record = &world.records[i];

            if (record->lsn < walk.from)
                continue;
            expected.commits += record->is_commit;
            expected.aborts += record->is_abort;
            expected.points += record->name != NULL;
            if (record->is_commit || record->is_abort) {
                TimeUs time = time_from_postgres(record->time);

                expected.max = time > expected.max ? time : expected.max;
                if (expected.first_end == 0)
                    expected.first_end = record->lsn;
            }
        }
        assert_true(wal_walk_trailers(&walk, add_up, &sums, &end, &err));
        assert_int_equal(sums.commits, expected.commits);
        assert_int_equal(sums.aborts, expected.aborts);
        assert_int_equal(sums.points, expected.points);
        assert_int_equal(sums.max, expected.max);
        assert_int_equal(sums.first_end, expected.first_end);
        assert_int_equal(sums.segments, world.last_segment - first + 1);
        assert_int_equal(end.segments, sums.segments);
        assert_int_equal(end.last_segment, world.last_segment);
        assert_int_equal(end.replay_end, world.wal.at);
        assert_int_equal(end.last_end, world.records[world.count - 1].end);
        assert_false(end.is_broken);
        assert_false(end.is_hole);
        assert_true(end.stored_bytes > 0);
    }
}

/* The end of the trailers is the end of the records, wherever the archive ends. */
static void both_walks_end_at_the_same_place(void **state)
{
    World cut;

    (void)state;
    world_init(&cut);
    for (uint64_t last = cut.last_segment; last >= 4; last--) {
        WalWalk walk = world_walk(&cut);
        WalWalkEnd by_trailers;
        WalWalkEnd by_records;
        Error err = {0};

        walk.from = 3 * MIB;
        assert_true(wal_walk_trailers(&walk, NULL, NULL, &by_trailers, &err));
        events.count = 0;
        assert_true(wal_walk_events(&walk, collect, &events, &by_records, &err));
        assert_int_equal(by_trailers.last_segment, last);
        assert_int_equal(by_records.last_segment, last);
        assert_int_equal(by_trailers.last_end, by_records.last_end);
        assert_int_equal(by_trailers.replay_end, by_records.replay_end);
        assert_int_equal(by_trailers.is_hole, by_records.is_hole);
        assert_int_equal(by_trailers.is_hole, last < cut.fork_segment);
        archive_remove(&cut.archive, last < cut.fork_segment ? 1 : 2, last);
        archive_look(&cut.archive);
    }
    world_done(&cut);
}

static void a_hole_ends_the_walk_and_is_told(void **state)
{
    (void)state;
    for (uint64_t missing = 5; missing <= world.last_segment; missing++) {
        World holed;
        WalWalkEnd end;
        Error err = {0};

        world_init(&holed);
        archive_remove(&holed.archive, missing < holed.fork_segment ? 1 : 2, missing);
        archive_look(&holed.archive);
        WalWalk walk = world_walk(&holed);
        assert_true(wal_walk_trailers(&walk, NULL, NULL, &end, &err));
        assert_int_equal(end.last_segment, missing - 1);
        /* The last segment is the archive's end when it is missing, any other is a hole. */
        assert_int_equal(end.is_hole, missing != holed.last_segment);
        world_done(&holed);
    }
}

static void nothing_at_all_is_an_empty_walk(void **state)
{
    WalWalk walk = world_walk(&world);
    WalWalkEnd end;
    Error err = {0};

    (void)state;
    walk.from = wal_segment_start(world.last_segment + 1, MIB);
    assert_true(wal_walk_trailers(&walk, NULL, NULL, &end, &err));
    assert_int_equal(end.segments, 0);
    assert_int_equal(end.last_end, 0);
    assert_false(end.is_hole);
    walk.from = 2 * MIB;
    assert_true(wal_walk_events(&walk, collect, &events, &end, &err));
    assert_int_equal(end.segments, 0);
    assert_true(end.is_hole);
}

/* A segment of another history under a name of this one: valid in itself, but not what follows. */
static void a_segment_that_does_not_go_on_is_noticed(void **state)
{
    World mixed;
    CLEANUP(wal_builder_done) WalBuilder other = wal_builder_begin(15, MIB, 6 * MIB, 1);
    WalWalkEnd end;
    Error err = {0};

    (void)state;
    world_init(&mixed);
    wal_builder_commit(&other, 5, 5);
    wal_builder_switch(&other);
    archive_remove(&mixed.archive, 1, 6);
    archive_put_segment(&mixed.archive, &other, 1, 6);
    archive_look(&mixed.archive);
    WalWalk walk = world_walk(&mixed);
    assert_true(wal_walk_trailers(&walk, NULL, NULL, &end, &err));
    assert_true(end.is_broken);
    assert_int_equal(end.last_segment, 5);
    assert_string_equal(end.reason, "the next segment does not go on where this one ends");
    assert_true(wal_walk_events(&walk, collect, &events, &end, &err));
    assert_true(end.is_broken);
    world_done(&mixed);
}

/* The record that straddled was given up when the server crashed: its commit never happened. */
static void a_commit_that_was_given_up_is_no_event(void **state)
{
    CLEANUP(archive_done) Archive archive;
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, 3 * MIB, 1);
    CLEANUP(arena_done) Arena arena = {0};
    Sums sums = {.max = TIME_US_NONE};
    WalWalkEnd end;
    Error err = {0};

    (void)state;
    archive_init(&archive);
    wal_builder_commit(&wal, 1, 1);
    wal_builder_fill_to(&wal, 4 * MIB, 200);
    wal_builder_overwrite(&wal, 5000);
    wal_builder_commit(&wal, 2, 2);
    wal_builder_switch(&wal);
    archive_put_segments(&archive, &wal, 1, 3, 4);
    archive_look(&archive);
    TimelinePath path = archive_path(&archive, 1, &arena);
    WalWalk walk = {.cluster = &archive.cluster,
                    .inventory = &archive.inventory,
                    .path = &path,
                    .from = 3 * MIB};
    assert_true(wal_walk_trailers(&walk, add_up, &sums, &end, &err));
    assert_int_equal(sums.commits, 2);
    assert_int_equal(end.replay_end, wal.at);
    assert_false(end.is_broken);
}

/* Whole and under the right name, but stored for another cluster. */
static void another_clusters_segment_ends_the_walk(void **state)
{
    CLEANUP(archive_done) Archive archive;
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, 3 * MIB, 1);
    WalWalkEnd end;
    Error err = {0};

    (void)state;
    archive_init(&archive);
    wal_builder_commit(&wal, 1, 1);
    wal_builder_switch(&wal);
    wal_builder_commit(&wal, 2, 2);
    wal_builder_switch(&wal);
    archive_put_segment(&archive, &wal, 1, 3);
    archive.cluster.system_identifier++;
    archive_put_segment(&archive, &wal, 1, 4);
    archive.cluster.system_identifier--;
    archive_look(&archive);
    TimelinePath path = archive_path(&archive, 1, &arena);
    WalWalk walk = {.cluster = &archive.cluster,
                    .inventory = &archive.inventory,
                    .path = &path,
                    .from = 3 * MIB,
                    .threads = 1};
    assert_true(wal_walk_trailers(&walk, NULL, NULL, &end, &err));
    assert_true(end.is_broken);
    assert_int_equal(end.last_segment, 3);
}

static void a_damaged_object_ends_the_trailers_and_fails_the_records(void **state)
{
    World damaged;
    WalWalkEnd end;
    Error err = {0};

    (void)state;
    world_init(&damaged);
    archive_damage(&damaged.archive, 1, 6, SIZE_MAX);
    WalWalk walk = world_walk(&damaged);
    assert_true(wal_walk_trailers(&walk, NULL, NULL, &end, &err));
    assert_true(end.is_broken);
    assert_int_equal(end.last_segment, 5);
    assert_non_null(strstr(end.reason, "000000010000000000000006: "));
    events.count = 0;
    assert_false(wal_walk_events(&walk, collect, &events, &end, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_non_null(strstr(err.context, "000000010000000000000006"));
    world_done(&damaged);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_in_order_from_wherever_to_wherever),
        cmocka_unit_test(a_walk_stops_when_told),
        cmocka_unit_test(a_walk_fails_when_the_function_that_it_calls_does),
        cmocka_unit_test(trailers_sum_up_to_what_the_records_are),
        cmocka_unit_test(both_walks_end_at_the_same_place),
        cmocka_unit_test(a_hole_ends_the_walk_and_is_told),
        cmocka_unit_test(nothing_at_all_is_an_empty_walk),
        cmocka_unit_test(a_segment_that_does_not_go_on_is_noticed),
        cmocka_unit_test(a_commit_that_was_given_up_is_no_event),
        cmocka_unit_test(a_damaged_object_ends_the_trailers_and_fails_the_records),
        cmocka_unit_test(another_clusters_segment_ends_the_walk),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
