#include "../walk/world.h"
#include "catalog/target.h"
#include "wal/wal_object.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Built once: it takes most of a second under a sanitizer. */
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

/* What the server would do, by going through all records from redo on. */
typedef struct Oracle {
    const WorldRecord *stop; /* NULL: never */
    bool after;
    Lsn replay_end;
    const WorldRecord *last_before, *first_after;
    size_t early; /* commits after the stop that are within a target time */
    const WorldRecord *early_last;
} Oracle;

static bool stops(const Target *target, const WorldRecord *record)
{
    TimeUs time = time_from_postgres(record->time);
    bool is_end = record->is_commit || record->is_abort;

    switch (target->kind) {
    case TARGET_TIME:
        return is_end && (target->is_exclusive ? time >= target->time : time > target->time);
    case TARGET_XID:
        return is_end && record->xid == target->xid;
    case TARGET_LSN:
        return record->lsn >= target->lsn;
    case TARGET_NAME:
        return record->name != NULL && strcmp(record->name, target->name) == 0;
    case TARGET_LATEST:
    case TARGET_IMMEDIATE:
        return false;
    }
    return false;
}

static Oracle ask_oracle(const Target *target)
{
    Oracle oracle = {.after = target->kind == TARGET_NAME ||
                              (target->kind != TARGET_TIME && !target->is_exclusive)};
    size_t i = 0;

    while (world.records[i].lsn < world.redo)
        i++;
    for (; i < world.count; i++) {
        const WorldRecord *record = &world.records[i];
        bool is_stop = oracle.stop == NULL && stops(target, record);
        bool is_replayed = oracle.stop == NULL && (!is_stop || oracle.after);

        if (target->kind == TARGET_TIME && oracle.stop != NULL && record->is_commit &&
            !stops(target, record)) {
            oracle.early++;
            oracle.early_last = record;
        }
        if (is_stop)
            oracle.stop = record;
        if (is_replayed)
            oracle.replay_end = record->replay_end;
        if (is_replayed && record->is_commit)
            oracle.last_before = record;
        if (!is_replayed && record->is_commit && oracle.first_after == NULL)
            oracle.first_after = record;
    }
    return oracle;
}

static void assert_commit(const WalEvent *event, const WorldRecord *record)
{
    if (record == NULL) {
        assert_int_equal(event->time, TIME_US_NONE);
        return;
    }
    assert_int_equal(event->lsn, record->lsn);
    assert_int_equal(event->time, time_from_postgres(record->time));
    assert_int_equal(event->xid, record->xid);
}

/* Both must agree; counts what the outcomes were, so that no kind of them is missing. */
typedef struct Outcomes {
    size_t found, refused, nowhere, early;
} Outcomes;

static void check(const Target *target, Outcomes *outcomes)
{
    WalWalk walk = world_walk(&world);
    Oracle oracle = ask_oracle(target);
    TargetPoint point;
    Error err = {0};
    bool ok = target_find(&walk, target, world.redo, world.stop, &point, &err);
    bool is_early = oracle.stop != NULL &&
                    (oracle.after ? oracle.replay_end < world.stop : oracle.stop->lsn < world.stop);

    if (is_early) {
        assert_false(ok);
        assert_int_equal(err.code, ERR_REFUSED);
        outcomes->refused++;
        return;
    }
    assert_true(ok);
    assert_int_equal(point.is_found, oracle.stop != NULL);
    assert_int_equal(point.end.last_segment, world.last_segment);
    assert_int_equal(point.end.replay_end, world.wal.at);
    assert_false(point.end.is_hole);
    assert_false(point.end.is_broken);
    assert_int_equal(point.replay_end, oracle.replay_end);
    assert_commit(&point.last_before, oracle.last_before);
    if (oracle.stop == NULL) {
        assert_int_equal(point.ends_archive, target->kind == TARGET_TIME);
        outcomes->nowhere++;
        return;
    }
    assert_false(point.ends_archive);
    assert_int_equal(point.stop_record, oracle.stop->lsn);
    assert_int_equal(point.segment, wal_segment_before(oracle.stop->end, MIB));
    assert_commit(&point.first_after, oracle.first_after);
    assert_int_equal(point.early_count, oracle.early);
    if (oracle.early > 0)
        assert_commit(&point.early_last, oracle.early_last);
    outcomes->early += oracle.early > 0;
    outcomes->found++;
}

static const WorldRecord *ended(uint32_t xid)
{
    const WorldRecord *record = world.records;

    while (record->xid != xid)
        record++;
    return record;
}

static bool straddles(const WorldRecord *record)
{
    return wal_segment_of(record->lsn, MIB) != wal_segment_before(record->end, MIB);
}

/* The other tests look at what is hard only if it is there. */
static void the_world_is_as_told(void **state)
{
    size_t large = 0;
    size_t points = 0;

    (void)state;
    assert_true(straddles(ended(102)));
    assert_true(straddles(ended(203)));
    assert_true(straddles(ended(301)));
    assert_true(straddles(ended(205)) || straddles(ended(206) - 2));
    assert_int_equal((ended(206) - 2)->xid, 205);
    for (size_t i = 0; i < world.count; i++) {
        const WorldRecord *record = &world.records[i];

        large += record->end - record->lsn > MIB;
        points += record->name != NULL && straddles(record);
    }
    assert_int_equal(large, 2);
    assert_int_equal(points, 1);
    assert_true(world.fork % MIB != 0);
    assert_true(wal_segment_of(ended(207)->lsn, MIB) == world.fork_segment);
    assert_true(wal_segment_of(ended(300)->lsn, MIB) == world.fork_segment);
}

static void time_is_where_the_server_stops(void **state)
{
    Outcomes outcomes = {0};

    (void)state;
    for (size_t i = 0; i < world.count; i++) {
        if (!world.records[i].is_commit && !world.records[i].is_abort)
            continue;
        for (int64_t offset = -1; offset <= 1; offset++) {
            Target target = {.kind = TARGET_TIME,
                             .time = time_from_postgres(world.records[i].time + offset)};

            check(&target, &outcomes);
            target.is_exclusive = true;
            check(&target, &outcomes);
        }
    }
    assert_true(outcomes.found > 20 && outcomes.refused > 5 && outcomes.nowhere > 0);
    assert_true(outcomes.early > 5);
}

static void xid_is_where_the_server_stops(void **state)
{
    Outcomes outcomes = {0};

    (void)state;
    for (uint32_t xid = 99; xid < 304; xid += xid == 105 ? 94 : xid == 208 ? 91 : 1) {
        check(&(Target){.kind = TARGET_XID, .xid = xid}, &outcomes);
        check(&(Target){.kind = TARGET_XID, .xid = xid, .is_exclusive = true}, &outcomes);
    }
    check(&(Target){.kind = TARGET_XID, .xid = 999}, &outcomes); /* of the abandoned branch */
    assert_true(outcomes.found > 15 && outcomes.refused >= 6 && outcomes.nowhere > 5);
}

/* The first and last records of segments, and a few others. */
static bool is_remarkable(size_t i)
{
    uint64_t segment = wal_segment_of(world.records[i].lsn, MIB);
    bool is_edge = i == 0 || i + 1 == world.count ||
                   wal_segment_of(world.records[i - 1].lsn, MIB) != segment ||
                   wal_segment_of(world.records[i + 1].lsn, MIB) != segment;

    return is_edge || i % 1000 == 0;
}

static void lsn_is_where_the_server_stops(void **state)
{
    Outcomes outcomes = {0};

    (void)state;
    for (size_t i = 0; i < world.count; i++) {
        static const int64_t offsets[] = {-8, -1, 0, 1, 24};

        if (!is_remarkable(i))
            continue;
        for (size_t j = 0; j < ARRAY_SIZE(offsets); j++) {
            Target target = {.kind = TARGET_LSN,
                             .lsn = (Lsn)((int64_t)world.records[i].lsn + offsets[j]),
                             .is_exclusive = j % 2 == 0};

            check(&target, &outcomes);
        }
    }
    check(&(Target){.kind = TARGET_LSN, .lsn = world.wal.at}, &outcomes);
    check(&(Target){.kind = TARGET_LSN, .lsn = world.stop}, &outcomes);
    check(&(Target){.kind = TARGET_LSN, .lsn = world.stop, .is_exclusive = true}, &outcomes);
    check(&(Target){.kind = TARGET_LSN, .lsn = 1}, &outcomes);
    assert_true(outcomes.found > 50 && outcomes.refused > 3 && outcomes.nowhere > 0);
}

/* BACKUP_END itself is the first record after which one can stop. */
static void the_end_of_the_backup_is_the_first_place_to_stop_after(void **state)
{
    const WorldRecord *end = world.records;
    Outcomes outcomes = {0};

    (void)state;
    while (end->replay_end != world.stop)
        end++;
    check(&(Target){.kind = TARGET_LSN, .lsn = end->lsn - 8}, &outcomes);
    check(&(Target){.kind = TARGET_LSN, .lsn = end->lsn}, &outcomes);
    check(&(Target){.kind = TARGET_LSN, .lsn = end->lsn, .is_exclusive = true}, &outcomes);
    assert_int_equal(outcomes.refused, 1);
    assert_int_equal(outcomes.found, 2);
}

static void the_first_restore_point_of_a_name_counts(void **state)
{
    static const struct {
        const char *name;
        size_t found, refused;
    } names[] = {
        {"inside", 0, 1}, {"again", 1, 0}, {"straddling", 1, 0}, {"many", 1, 0}, {"tenth", 1, 0},
        {"on 2", 1, 0},   {"lost", 0, 0},  {"early", 0, 0},      {"agai", 0, 0}, {"", 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        Outcomes outcomes = {0};

        check(&(Target){.kind = TARGET_NAME, .name = names[i].name}, &outcomes);
        assert_int_equal(outcomes.found, names[i].found);
        assert_int_equal(outcomes.refused, names[i].refused);
    }
}

/* The n-th of a name in the world, from 1; NULL: there are fewer. */
static const WorldRecord *point_of(const char *name, size_t number)
{
    for (size_t i = 0; i < world.count; i++) {
        const WorldRecord *record = &world.records[i];

        if (record->name != NULL && strcmp(record->name, name) == 0 && --number == 0)
            return record;
    }
    return NULL;
}

static void a_number_picks_one_of_the_restore_points_of_a_name(void **state)
{
    static const struct {
        const char *text;
        const char *name;
        size_t number; /* 0: there is no such place */
    } cases[] = {
        {"again@1", "again", 1}, {"again@2", "again", 2}, {"again@3", NULL, 0},
        {"again@0", NULL, 0},    {"again@", NULL, 0},     {"again@02", NULL, 0},
        {"tenth@1", "tenth", 1}, {"nowhere@1", NULL, 0},  {"@1", NULL, 0},
    };
    WalWalk walk = world_walk(&world);

    (void)state;
    assert_non_null(point_of("again", 2));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Target target = {.kind = TARGET_NAME, .name = cases[i].text};
        TargetPoint point;
        Error err = {0};

        assert_true(target_find(&walk, &target, world.redo, world.stop, &point, &err));
        assert_int_equal(point.is_found, cases[i].number > 0);
        assert_int_equal(point.is_numbered, cases[i].number > 0);
        if (cases[i].number == 0)
            continue;
        const WorldRecord *record = point_of(cases[i].name, cases[i].number);
        assert_int_equal(point.stop_record, record->lsn);
        assert_int_equal(point.replay_end, record->replay_end);
    }
}

static void latest_is_the_end_and_immediate_the_backups(void **state)
{
    WalWalk walk = world_walk(&world);
    Error err = {0};
    TargetPoint point;

    (void)state;
    assert_true(
        target_find(&walk, &(Target){.kind = TARGET_LATEST}, world.redo, world.stop, &point, &err));
    assert_true(point.is_found);
    assert_int_equal(point.replay_end, world.wal.at);
    assert_int_equal(point.segment, world.last_segment);
    assert_int_equal(point.last_before.xid, 302);
    assert_int_equal(point.first_after.time, TIME_US_NONE);

    assert_true(target_find(&walk, &(Target){.kind = TARGET_IMMEDIATE}, world.redo, world.stop,
                            &point, &err));
    assert_true(point.is_found);
    assert_int_equal(point.replay_end, world.stop);
    assert_int_equal(point.segment, wal_segment_before(world.stop, MIB));
    assert_int_equal(point.last_before.xid, 103);
    assert_int_equal(point.first_after.xid, 104);
}

static void a_refused_time_names_the_earliest(void **state)
{
    WalWalk walk = world_walk(&world);
    Target target = {.kind = TARGET_TIME, .time = time_from_postgres(1150)};
    Error err = {0};
    Error exclusive = {0};
    TargetPoint point;
    char text[TIME_TEXT_SIZE];

    (void)state;
    assert_false(target_find(&walk, &target, world.redo, world.stop, &point, &err));
    assert_non_null(strstr(err.message, time_text_postgres(time_from_postgres(1200), text)));
    target.is_exclusive = true;
    assert_false(target_find(&walk, &target, world.redo, world.stop, &point, &exclusive));
    assert_non_null(strstr(exclusive.message, time_text_postgres(time_from_postgres(1201), text)));
    /* And these are indeed the earliest. */
    err = (Error){0};
    target = (Target){.kind = TARGET_TIME, .time = time_from_postgres(1200)};
    assert_true(target_find(&walk, &target, world.redo, world.stop, &point, &err));
    target = (Target){.kind = TARGET_TIME, .time = time_from_postgres(1201), .is_exclusive = true};
    assert_true(target_find(&walk, &target, world.redo, world.stop, &point, &err));
}

/* With a hole nobody knows what was committed after it. */
static void after_a_hole_nothing_is_promised(void **state)
{
    World holed;
    Error err = {0};
    TargetPoint point;
    Target late = {.kind = TARGET_TIME, .time = time_from_postgres(8000)};
    Target early = {.kind = TARGET_TIME, .time = time_from_postgres(2000)};

    (void)state;
    world_init(&holed);
    archive_remove(&holed.archive, 1, 7);
    archive_look(&holed.archive);
    WalWalk walk = world_walk(&holed);
    assert_true(target_find(&walk, &late, holed.redo, holed.stop, &point, &err));
    assert_false(point.is_found);
    assert_false(point.ends_archive);
    assert_true(point.end.is_hole);
    assert_int_equal(point.end.last_segment, 6);
    assert_true(target_find(&walk, &early, holed.redo, holed.stop, &point, &err));
    assert_true(point.is_found);
    world_done(&holed);
}

/* A trailer that tells of later commits than there are: what it says of others is worth nothing. */
static void a_trailer_that_lies_is_damage(void **state)
{
    World lying;
    WalTrailer trailer;
    TargetPoint point;
    Target late = {.kind = TARGET_TIME, .time = time_from_postgres(50000)};
    char name[WAL_NAME_SIZE];
    Error err = {0};

    (void)state;
    world_init(&lying);
    wal_name_text(&(WalName){.kind = WAL_SEGMENT, .timeline = 1, .segment = 6}, MIB, name);
    assert_true(wal_object_trailer(&lying.archive.cluster, name, &trailer, &err));
    trailer.summary.end_time_max = time_from_postgres(90000);
    archive_remove(&lying.archive, 1, 6);
    archive_put(&lying.archive, name, wal_builder_segment(&lying.old, 6), MIB, &trailer.summary);
    archive_look(&lying.archive);
    WalWalk walk = world_walk(&lying);
    assert_false(target_find(&walk, &late, lying.redo, lying.stop, &point, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    world_done(&lying);
}

static void wal_that_ends_inside_the_backup_is_an_error(void **state)
{
    World holed;
    Error err = {0};
    TargetPoint point;

    (void)state;
    world_init(&holed);
    archive_remove(&holed.archive, 1, 4);
    archive_look(&holed.archive);
    WalWalk walk = world_walk(&holed);
    assert_false(target_find(&walk, &(Target){.kind = TARGET_IMMEDIATE}, holed.redo, holed.stop,
                             &point, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    world_done(&holed);
}

static void a_damaged_segment_is_an_error_where_it_matters(void **state)
{
    World damaged;
    Error err = {0};
    Error corrupt = {0};
    TargetPoint point;
    Target late = {.kind = TARGET_TIME, .time = time_from_postgres(8000)};
    Target inside = {.kind = TARGET_TIME, .time = time_from_postgres(2500)};

    (void)state;
    world_init(&damaged);
    WalWalk walk = world_walk(&damaged);
    archive_damage(&damaged.archive, 1, 7, SIZE_MAX); /* its trailer */
    assert_true(target_find(&walk, &late, damaged.redo, damaged.stop, &point, &err));
    assert_false(point.is_found);
    assert_false(point.ends_archive);
    assert_true(point.end.is_broken);
    /* What lies after it is not there for recovery, whatever it is looked for by. */
    const WorldRecord *last = &damaged.records[damaged.count - 1];
    while (!last->is_commit)
        last--;
    const Target after[] = {{.kind = TARGET_XID, .xid = last->xid},
                            {.kind = TARGET_LSN, .lsn = last->lsn},
                            {.kind = TARGET_NAME, .name = "nowhere"}};
    for (size_t i = 0; i < ARRAY_SIZE(after); i++) {
        assert_true(target_find(&walk, &after[i], damaged.redo, damaged.stop, &point, &err));
        assert_false(point.is_found);
    }
    archive_damage(&damaged.archive, 1, 5, 100); /* its content */
    assert_false(target_find(&walk, &inside, damaged.redo, damaged.stop, &point, &corrupt));
    assert_int_equal(corrupt.code, ERR_CORRUPT);
    world_done(&damaged);
}

/* As the server writes it when it starts with other settings (xl_parameter_change). */
static Lsn parameters(WalBuilder *wal, uint32_t wal_level)
{
    uint8_t bytes[28] = {100};

    put_le32(bytes + 20, wal_level);
    return wal_builder_record(wal, RMGR_XLOG, 0x60, 0, bytes, sizeof bytes);
}

static void nothing_after_minimal_wal_is_promised(void **state)
{
    static const struct {
        bool before_redo, after_stop;
    } cases[] = {{false, false}, {true, false}, {false, true}, {true, true}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Archive archive;
        CLEANUP(arena_done) Arena arena = {0};
        CLEANUP(wal_builder_done)
        WalBuilder wal = wal_builder_begin(15, MIB, wal_segment_start(3, MIB), 1);
        Lsn minimal = 0;

        archive_init(&archive);
        wal_builder_filler(&wal, 100);
        if (cases[i].before_redo) {
            parameters(&wal, 0);
            parameters(&wal, 1);
        }
        Lsn redo = wal_builder_filler(&wal, 100);
        wal_builder_backup_end(&wal, redo);
        Lsn stop = wal.at;
        Lsn early = wal_builder_commit(&wal, 700, 1000);
        if (cases[i].after_stop) {
            minimal = parameters(&wal, 0);
            parameters(&wal, 1);
        }
        Lsn late = wal_builder_commit(&wal, 701, 2000);
        wal_builder_switch(&wal);
        archive_put_segments(&archive, &wal, 1, 3, 3);
        archive_look(&archive);

        TimelinePath path = archive_path(&archive, 1, &arena);
        WalWalk walk = {.cluster = &archive.cluster,
                        .inventory = &archive.inventory,
                        .path = &path,
                        .threads = 1};
        const Target targets[] = {
            {.kind = TARGET_IMMEDIATE},
            {.kind = TARGET_LSN, .lsn = early},
            {.kind = TARGET_TIME, .time = time_from_postgres(1500)},
            {.kind = TARGET_LSN, .lsn = late},
            {.kind = TARGET_XID, .xid = 701},
            {.kind = TARGET_TIME, .time = time_from_postgres(2500)},
            {.kind = TARGET_LATEST},
        };
        for (size_t t = 0; t < ARRAY_SIZE(targets); t++) {
            Error err = {0};
            TargetPoint point;
            /* That time stops before the late commit, so after the record that matters. */
            bool is_after = minimal != 0 && t >= 2;

            assert_int_equal(target_find(&walk, &targets[t], redo, stop, &point, &err), !is_after);
            if (is_after) {
                assert_int_equal(err.code, ERR_CORRUPT);
                assert_non_null(strstr(err.message, "wal_level=minimal"));
            }
        }
        archive_done(&archive);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_world_is_as_told),
        cmocka_unit_test(time_is_where_the_server_stops),
        cmocka_unit_test(xid_is_where_the_server_stops),
        cmocka_unit_test(lsn_is_where_the_server_stops),
        cmocka_unit_test(the_end_of_the_backup_is_the_first_place_to_stop_after),
        cmocka_unit_test(the_first_restore_point_of_a_name_counts),
        cmocka_unit_test(a_number_picks_one_of_the_restore_points_of_a_name),
        cmocka_unit_test(latest_is_the_end_and_immediate_the_backups),
        cmocka_unit_test(a_refused_time_names_the_earliest),
        cmocka_unit_test(after_a_hole_nothing_is_promised),
        cmocka_unit_test(wal_that_ends_inside_the_backup_is_an_error),
        cmocka_unit_test(a_damaged_segment_is_an_error_where_it_matters),
        cmocka_unit_test(nothing_after_minimal_wal_is_promised),
        cmocka_unit_test(a_trailer_that_lies_is_damage),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
