#include "walk/wal_scan.h"

#include "base/bytes.h"
#include "base/memory.h"
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { FIRST = 3, MADE_MAX = 32, GAPS_MAX = 16 };

/* An archive of segments of which few hold what is looked for: CREATE TABLESPACE. */
typedef struct Scene {
    Archive archive;
    WalBuilder wal;
    Arena arena;
    TimelinePath path;
    Lsn made[MADE_MAX]; /* where they begin */
    size_t count;
    uint64_t last;
} Scene;

static void create_tablespace(Scene *scene, size_t path_size)
{
    uint8_t *data = mem_alloc(4 + path_size);

    put_le32(data, 16384 + (uint32_t)scene->count);
    memset(data + 4, 'p', path_size - 1);
    scene->made[scene->count++] =
        wal_builder_record(&scene->wal, RMGR_TABLESPACE, 0x00, 700, data, 4 + path_size);
    mem_free(data);
}

static Lsn end_of_segment(const Scene *scene)
{
    return wal_segment_start(wal_segment_of(scene->wal.at, MIB) + 1, MIB);
}

static void quiet_segments(Scene *scene, int count)
{
    for (int i = 0; i < count; i++) {
        wal_builder_commit(&scene->wal, 1, 1);
        wal_builder_switch(&scene->wal);
    }
}

/* So that the next record begins `left` bytes before the end of a segment. */
static void go_to_end(Scene *scene, size_t left)
{
    wal_builder_fill_to(&scene->wal, end_of_segment(scene), left);
}

static void scene_init(Scene *scene)
{
    *scene = (Scene){.last = 0};
    archive_init(&scene->archive);
    scene->wal = wal_builder_begin(15, MIB, FIRST * MIB, 1);
    quiet_segments(scene, 2);     /* 3, 4 */
    create_tablespace(scene, 20); /* 5 */
    wal_builder_switch(&scene->wal);
    quiet_segments(scene, 1); /* 6 */
    go_to_end(scene, 16);     /* 7: of this one's header a part */
    create_tablespace(scene, 20);
    wal_builder_switch(&scene->wal); /* 8 */
    quiet_segments(scene, 1);        /* 9 */
    go_to_end(scene, 40);            /* 10: of this one all of the header */
    create_tablespace(scene, 300);
    wal_builder_switch(&scene->wal); /* 11 */
    quiet_segments(scene, 1);        /* 12 */
    go_to_end(scene, 32);            /* 13: this one fills 14 and 15 and ends in 16 */
    create_tablespace(scene, 5 * MIB / 2);
    wal_builder_switch(&scene->wal);
    quiet_segments(scene, 1); /* 17 */
    go_to_end(scene, 40);     /* 18: a record of another kind goes on in 19 */
    wal_builder_filler(&scene->wal, 300);
    wal_builder_switch(&scene->wal);
    quiet_segments(scene, 1); /* 20 */
    scene->last = 20;
    archive_put_segments(&scene->archive, &scene->wal, 1, FIRST, scene->last);
    archive_look(&scene->archive);
    scene->path = archive_path(&scene->archive, 1, &scene->arena);
}

static void scene_done(Scene *scene)
{
    archive_done(&scene->archive);
    wal_builder_done(&scene->wal);
    arena_done(&scene->arena);
}

typedef struct Seen {
    Lsn created[MADE_MAX];
    size_t count;
    WalGap gaps[GAPS_MAX];
    size_t gap_count;
    size_t records, stop_after;
} Seen;

static WalkStep take_record(void *context, const WalRecord *record, Error *err)
{
    Seen *seen = context;
    const char *path;
    uint32_t oid;

    (void)err;
    seen->records++;
    if (wal_tablespace_of(record, &oid, &path))
        seen->created[seen->count++] = record->lsn;
    return seen->records == seen->stop_after ? WALK_STOP : WALK_ON;
}

static WalkStep take_gap(void *context, const WalGap *gap, Error *err)
{
    Seen *seen = context;

    (void)err;
    seen->gaps[seen->gap_count++] = *gap;
    return WALK_ON;
}

static bool is_wanted(void *context, const WalTrailer *trailer)
{
    (void)context;
    return (trailer->summary.changes & WAL_CREATES_TABLESPACE) != 0;
}

static bool is_tail_wanted(void *context, const WalTrailer *trailer, uint8_t rmgr, uint8_t info)
{
    (void)context;
    assert_true(trailer->summary.reader.tail_record != 0);
    return wal_changes_possible(rmgr, info, pg_version_of_major(15)) == WAL_CREATES_TABLESPACE;
}

static WalScan scan_of(Scene *scene, Seen *seen)
{
    return (WalScan){
        .walk = {.cluster = &scene->archive.cluster,
                 .inventory = &scene->archive.inventory,
                 .path = &scene->path},
        .is_wanted = is_wanted,
        .is_tail_wanted = is_tail_wanted,
        .on_record = take_record,
        .on_gap = take_gap,
        .context = seen,
    };
}

static WalScanEnd scan(const WalScan *request)
{
    WalScanEnd end;
    Error err = {0};

    if (!wal_scan(request, &end, &err))
        fail_msg("%s", err.message);
    return end;
}

static void what_is_looked_for_is_found_and_little_else_is_read(void **state)
{
    Scene scene;
    Seen seen = {.count = 0};

    (void)state;
    scene_init(&scene);
    WalScan request = scan_of(&scene, &seen);
    WalScanEnd end = scan(&request);

    assert_int_equal(seen.count, 4);
    assert_memory_equal(seen.created, scene.made, 4 * sizeof(Lsn));
    assert_int_equal(end.segments, scene.last - FIRST + 1);
    assert_int_equal(end.read, 1 + 2 + 2 + 4); /* 5, 7-8, 10-11, 13-16 */
    assert_int_equal(end.gaps, 0);
    assert_false(end.is_stopped);
    assert_true(end.until == wal_segment_start(scene.last + 1, MIB));

    request.is_tail_wanted = NULL; /* then also a record of another kind that straddles */
    assert_int_equal(scan(&request).read, 11);
    request.is_wanted = NULL;
    seen = (Seen){.count = 0};
    assert_int_equal(scan(&request).read, end.segments);
    assert_int_equal(seen.count, 4);
    scene_done(&scene);
}

static void bounds_are_held(void **state)
{
    Scene scene;
    Seen seen = {.count = 0};

    (void)state;
    scene_init(&scene);
    WalScan request = scan_of(&scene, &seen);

    request.walk.from = scene.made[1];
    request.walk.to = scene.made[2];
    assert_int_equal(scan(&request).segments, 4); /* 7 to 10 */
    assert_int_equal(seen.count, 1);
    assert_true(seen.created[0] == scene.made[1]);
    request.walk.to = scene.made[2] + 1;
    seen = (Seen){.count = 0};
    scan(&request);
    assert_int_equal(seen.count, 1); /* it ends after the last segment that was asked for */
    request.walk.from = wal_segment_start(100, MIB);
    request.walk.to = 0;
    assert_true(scan(&request).is_empty);
    scene_done(&scene);
}

static void missing_and_damaged_segments_are_reported_and_passed_over(void **state)
{
    Scene scene;
    Seen seen = {.count = 0};

    (void)state;
    scene_init(&scene);
    archive_remove(&scene.archive, 1, 6);
    archive_remove(&scene.archive, 1, 7);
    archive_damage(&scene.archive, 1, 10, 50); /* a frame: of one that is read */
    archive_look(&scene.archive);
    WalScan request = scan_of(&scene, &seen);
    WalScanEnd end = scan(&request);

    assert_int_equal(end.gaps, 2);
    assert_int_equal(seen.gap_count, 2);
    assert_true(seen.gaps[0].is_missing);
    assert_int_equal(seen.gaps[0].first, 6);
    assert_int_equal(seen.gaps[0].last, 7);
    assert_int_equal(seen.gaps[0].timeline, 1);
    assert_true(seen.gaps[0].from == 6 * MIB && seen.gaps[0].to == 8 * MIB);
    assert_false(seen.gaps[1].is_missing);
    assert_int_equal(seen.gaps[1].first, 10);
    assert_int_equal(seen.count, 2); /* the first, and the one after all that */
    assert_true(seen.created[0] == scene.made[0] && seen.created[1] == scene.made[3]);

    request.walk.to = 6 * MIB; /* what lies after is of no interest */
    seen = (Seen){.count = 0};
    assert_int_equal(scan(&request).gaps, 0);
    scene_done(&scene);
}

static void other_wal_in_the_middle_is_reported(void **state)
{
    Scene scene;
    Seen seen = {.count = 0};

    (void)state;
    scene_init(&scene);
    CLEANUP(wal_builder_done) WalBuilder other = wal_builder_begin(15, MIB, FIRST * MIB, 1);
    for (int i = 0; i < 8; i++) {
        wal_builder_filler(&other, 500 + (size_t)i);
        wal_builder_switch(&other);
    }
    archive_remove(&scene.archive, 1, 6);
    archive_put_segment(&scene.archive, &other, 1, 6);
    archive_look(&scene.archive);
    WalScan request = scan_of(&scene, &seen);
    scan(&request);

    assert_int_equal(seen.gap_count, 2); /* to it, and from it */
    assert_int_equal(seen.gaps[0].first, 6);
    assert_int_equal(seen.gaps[1].first, 7);
    assert_non_null(strstr(seen.gaps[0].reason, "does not go on"));
    assert_int_equal(seen.count, 4);
    scene_done(&scene);
}

static void wal_that_ends_in_the_middle_of_a_segment_is_reported(void **state)
{
    (void)state;
    for (int is_read = 0; is_read < 2; is_read++) {
        Scene scene;
        Seen seen = {.count = 0};

        scene_init(&scene);
        Lsn at = scene.wal.at;
        wal_builder_pad(&scene.wal); /* zeros without a switch */
        wal_builder_filler(&scene.wal, 50);
        wal_builder_pad(&scene.wal);
        archive_put_segment(&scene.archive, &scene.wal, 1, scene.last + 1);
        archive_look(&scene.archive);
        WalScan request = scan_of(&scene, &seen);
        if (is_read)
            request.is_wanted = NULL;
        scan(&request);

        assert_int_equal(seen.gap_count, 1);
        assert_int_equal(seen.gaps[0].first, scene.last + 1);
        assert_true(seen.gaps[0].from >= at);
        assert_true(seen.gaps[0].to == wal_segment_start(scene.last + 2, MIB));
        assert_int_equal(seen.count, 4);
        scene_done(&scene);
    }
}

static void a_scan_ends_when_told(void **state)
{
    Scene scene;
    Seen seen = {.stop_after = 1};

    (void)state;
    scene_init(&scene);
    WalScan request = scan_of(&scene, &seen);
    WalScanEnd end = scan(&request);

    assert_true(end.is_stopped);
    assert_int_equal(end.read, 1);
    assert_int_equal(seen.records, 1);
    scene_done(&scene);
}

static bool refuse_tablespace(void *context, uint32_t oid, const char *path, Error *err)
{
    (void)context, (void)oid, (void)path;
    return error_set(err, ERR_CORRUPT, "not this one");
}

static void an_error_of_who_looks_is_an_error_of_the_scan(void **state)
{
    Scene scene;
    Seen seen = {.count = 0};
    Error err = {0};

    (void)state;
    scene_init(&scene);
    WalWalk walk = scan_of(&scene, &seen).walk;
    assert_false(wal_scan_tablespaces(&walk, refuse_tablespace, NULL, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_string_equal(err.message, "not this one");
    scene_done(&scene);
}

static bool count_tablespace(void *context, uint32_t oid, const char *path, Error *err)
{
    size_t *count = context;

    (void)err;
    assert_int_equal(oid, 16384 + *count);
    assert_int_equal(path[0], 'p');
    (*count)++;
    return true;
}

static void a_plan_that_looks_for_tablespaces_takes_no_gap(void **state)
{
    Scene scene;
    Seen seen = {.count = 0};
    size_t count = 0;
    Error err = {0};

    (void)state;
    scene_init(&scene);
    WalWalk walk = scan_of(&scene, &seen).walk;
    walk.from = FIRST * MIB;
    assert_true(wal_scan_tablespaces(&walk, count_tablespace, &count, &err));
    assert_int_equal(count, 4);
    archive_remove(&scene.archive, 1, 6);
    archive_look(&scene.archive);
    count = 0;
    assert_false(wal_scan_tablespaces(&walk, count_tablespace, &count, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    scene_done(&scene);
}

/* The world's path forks in the middle of a segment. */
static void a_path_over_a_fork_is_followed(void **state)
{
    static World world;
    Seen seen = {.count = 0};

    (void)state;
    world_init(&world);
    WalScan request = {
        .walk = {.cluster = &world.archive.cluster,
                 .inventory = &world.archive.inventory,
                 .path = &world.path},
        .on_record = take_record,
        .on_gap = take_gap,
        .context = &seen,
    };
    WalScanEnd end = scan(&request);

    assert_int_equal(end.gaps, 0);
    assert_int_equal(seen.records, world.count);
    assert_true(end.until == wal_segment_start(world.last_segment + 1, MIB));
    world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_looked_for_is_found_and_little_else_is_read),
        cmocka_unit_test(bounds_are_held),
        cmocka_unit_test(missing_and_damaged_segments_are_reported_and_passed_over),
        cmocka_unit_test(other_wal_in_the_middle_is_reported),
        cmocka_unit_test(wal_that_ends_in_the_middle_of_a_segment_is_reported),
        cmocka_unit_test(a_scan_ends_when_told),
        cmocka_unit_test(an_error_of_who_looks_is_an_error_of_the_scan),
        cmocka_unit_test(a_plan_that_looks_for_tablespaces_takes_no_gap),
        cmocka_unit_test(a_path_over_a_fork_is_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
