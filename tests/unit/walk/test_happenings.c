#include "walk/happenings.h"

#include "archive_builder.h"
#include "base/bytes.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { FIRST = 3, SEEN_MAX = 64, FILES_MAX = 8, SHOP = 16384, STANDBY = 8 };

/* An archive (server 15) being written. */
typedef struct Scene {
    Archive archive;
    WalBuilder wal;
    Arena arena;
    TimelinePath path;
} Scene;

static void scene_init(Scene *scene)
{
    *scene = (Scene){.arena = {0}};
    archive_init(&scene->archive);
    scene->wal = wal_builder_begin(15, MIB, FIRST * MIB, 1);
}

static void scene_done(Scene *scene)
{
    archive_done(&scene->archive);
    wal_builder_done(&scene->wal);
    arena_done(&scene->arena);
}

static void scene_archive(Scene *scene)
{
    wal_builder_switch(&scene->wal);
    archive_put_segments(&scene->archive, &scene->wal, 1, FIRST,
                         wal_segment_before(scene->wal.at, MIB));
    archive_look(&scene->archive);
    scene->path = archive_path(&scene->archive, 1, &scene->arena);
}

/* Transactions from `next` on begin after this; those before `oldest` have ended. */
static void running(Scene *scene, uint32_t next, uint32_t oldest)
{
    uint8_t data[24] = {0};

    put_le32(data + 12, next);
    put_le32(data + 16, oldest);
    wal_builder_record(&scene->wal, STANDBY, 0x10, 0, data, sizeof data);
}

static void create_file(Scene *scene, uint32_t xid, uint32_t number)
{
    uint8_t data[16] = {0};

    put_le32(data, 1663);
    put_le32(data + 4, SHOP);
    put_le32(data + 8, number);
    wal_builder_record(&scene->wal, RMGR_STORAGE, 0x10, xid, data, sizeof data);
}

static Lsn drop_database(Scene *scene, uint32_t xid, uint32_t oid)
{
    uint8_t data[12] = {0};

    put_le32(data, oid);
    put_le32(data + 4, 1);
    put_le32(data + 8, 1663);
    return wal_builder_record(&scene->wal, RMGR_DATABASE, 0x20, xid, data, sizeof data);
}

typedef struct EndParts {
    uint32_t xid;
    int64_t time;
    bool is_abort;
    uint32_t subtransaction; /* 0: none */
    uint32_t files[FILES_MAX];
    uint32_t objects[FILES_MAX]; /* relations dropped */
    uint32_t database;           /* dropped */
} EndParts;

static size_t put_list_size(uint8_t *data, const uint32_t *list)
{
    uint32_t count = 0;

    while (count < FILES_MAX && list[count] != 0)
        count++;
    put_le32(data, count);
    return count;
}

static Lsn end_transaction(Scene *scene, EndParts parts)
{
    uint32_t objects[FILES_MAX + 1] = {0};
    uint8_t data[512] = {0};
    size_t size = 12;
    size_t count;

    put_le64(data, (uint64_t)parts.time);
    put_le32(data + 8, 1 << 1 | 1 << 2 | 1 << 8);
    put_le32(data + size, parts.subtransaction != 0);
    size += 4;
    if (parts.subtransaction != 0) {
        put_le32(data + size, parts.subtransaction);
        size += 4;
    }
    count = put_list_size(data + size, parts.files);
    size += 4;
    for (size_t i = 0; i < count; i++, size += 12) {
        put_le32(data + size, 1663);
        put_le32(data + size + 4, SHOP);
        put_le32(data + size + 8, parts.files[i]);
    }
    memcpy(objects, parts.objects, sizeof parts.objects);
    count = put_list_size(data + size, objects) + (parts.database != 0);
    put_le32(data + size, (uint32_t)count);
    size += 4;
    for (size_t i = 0; i < count; i++, size += 12) {
        bool is_database = objects[i] == 0;

        put_le32(data + size, is_database ? OBJECT_DATABASE : OBJECT_RELATION);
        put_le32(data + size + 4, is_database ? parts.database : SHOP);
        put_le32(data + size + 8, objects[i]);
    }
    return wal_builder_record(&scene->wal, RMGR_TRANSACTION, parts.is_abort ? 0xA0 : 0x80,
                              parts.xid, data, size);
}

static Lsn commit(Scene *scene, uint32_t xid, int64_t time)
{
    return wal_builder_commit(&scene->wal, xid, time);
}

typedef struct Seen {
    Happening items[SEEN_MAX];
    RemovedFile files[SEEN_MAX][FILES_MAX];
    RemovedDatabase databases[SEEN_MAX];
    size_t count, stop_after;
    WalScanEnd end;
} Seen;

static WalkStep take(void *context, const Happening *happening, Error *err)
{
    Seen *seen = context;

    (void)err;
    assert_true(seen->count < SEEN_MAX && happening->file_count <= FILES_MAX);
    if (happening->file_count > 0)
        memcpy(seen->files[seen->count], happening->files,
               happening->file_count * sizeof(RemovedFile));
    if (happening->database_count > 0)
        seen->databases[seen->count] = happening->databases[0];
    seen->items[seen->count++] = *happening;
    return seen->count == seen->stop_after ? WALK_STOP : WALK_ON;
}

static HappeningRequest request_of(Scene *scene, Seen *seen)
{
    return (HappeningRequest){
        .walk = {.cluster = &scene->archive.cluster,
                 .inventory = &scene->archive.inventory,
                 .path = &scene->path},
        .from = TIME_US_NONE,
        .to = TIME_US_NONE,
        .on_entry = take,
        .context = seen,
    };
}

static void read_by(const HappeningRequest *request)
{
    Seen *seen = request->context;
    Error err = {0};

    seen->count = 0;
    if (!happenings_read(request, &seen->end, &err))
        fail_msg("%s", err.message);
}

static void read_all(Scene *scene, Seen *seen)
{
    HappeningRequest request = request_of(scene, seen);

    read_by(&request);
}

static void what_became_of_a_file_is_told_as_far_as_the_wal_says_it(void **state)
{
    static const struct {
        bool is_known;             /* all of the transaction was seen */
        uint32_t created[4];       /* by it */
        uint32_t files[FILES_MAX]; /* removed by its commit; what became of the first: */
        uint32_t objects[FILES_MAX];
        FileFate fate;
        size_t file_count, object_count;
    } cases[] = {
        /* DROP TABLE; of one that was written anew once, whose file has another number. */
        {true, {0}, {500}, {500}, FILE_DROPPED, 1, 1},
        {true, {0}, {501}, {500}, FILE_DROPPED, 1, 1},
        {false, {0}, {500}, {500}, FILE_DROPPED, 1, 1},
        {false, {0}, {501}, {500}, FILE_UNCLEAR, 1, 1},
        /* TRUNCATE */
        {true, {600}, {500}, {0}, FILE_REPLACED, 1, 0},
        {false, {600}, {500}, {0}, FILE_REPLACED, 1, 0},
        /* VACUUM FULL: the passing relation 600 is dropped, its file stays. */
        {true, {600}, {500}, {600}, FILE_REPLACED, 1, 0},
        {false, {0}, {500}, {600}, FILE_UNCLEAR, 1, 1},
        /* DROP of one, TRUNCATE of another. */
        {true, {600}, {500, 501}, {500}, FILE_DROPPED, 2, 1},
        {true, {600}, {501, 500}, {500}, FILE_UNCLEAR, 2, 1},
        /* CREATE and DROP in one transaction: nobody else saw it. */
        {true, {600}, {600}, {600}, FILE_DROPPED, 0, 0},
        {true, {600}, {600, 500}, {600, 500}, FILE_DROPPED, 1, 1},
        /* Nothing was created that stayed. */
        {true, {600}, {600, 501}, {500}, FILE_DROPPED, 1, 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Scene scene;
        Seen seen = {.count = 0};

        scene_init(&scene);
        if (cases[i].is_known)
            running(&scene, 700, 690);
        for (size_t j = 0; j < 4 && cases[i].created[j] != 0; j++)
            create_file(&scene, j % 2 == 0 ? 700 : 701, cases[i].created[j]);
        if (!cases[i].is_known)
            running(&scene, 702, 700);
        EndParts parts = {.xid = 700, .time = 1, .subtransaction = 701};
        memcpy(parts.files, cases[i].files, sizeof parts.files);
        memcpy(parts.objects, cases[i].objects, sizeof parts.objects);
        Lsn lsn = end_transaction(&scene, parts);
        scene_archive(&scene);
        read_all(&scene, &seen);

        assert_int_equal(seen.count, 1);
        assert_int_equal(seen.items[0].kind, HAPPENING_COMMIT);
        assert_true(seen.items[0].lsn == lsn);
        assert_int_equal(seen.items[0].xid, 700);
        assert_int_equal(seen.items[0].file_count, cases[i].file_count);
        assert_int_equal(seen.items[0].object_count, cases[i].object_count);
        if (cases[i].file_count > 0 && seen.files[0][0].fate != cases[i].fate)
            fail_msg("case %zu: fate %d", i, (int)seen.files[0][0].fate);
        assert_int_equal(happening_is_drop(&seen.items[0]), cases[i].file_count > 0);
        scene_done(&scene);
    }
}

static void what_was_rolled_back_is_not_told(void **state)
{
    Scene scene;
    Seen seen = {.count = 0};

    (void)state;
    scene_init(&scene);
    running(&scene, 700, 690);
    create_file(&scene, 701, 600); /* a subtransaction that is undone */
    end_transaction(&scene, (EndParts){.xid = 701, .time = 1, .is_abort = true, .files = {600}});
    end_transaction(&scene, (EndParts){.xid = 702, .time = 2, .is_abort = true, .files = {601}});
    end_transaction(&scene, (EndParts){.xid = 700, .time = 3, .files = {500}, .objects = {400}});
    scene_archive(&scene);
    read_all(&scene, &seen);

    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.files[0][0].fate, FILE_DROPPED); /* 600 did not stay */
    scene_done(&scene);
}

static void a_database_that_went_is_told_whatever_became_of_the_transaction(void **state)
{
    Scene scene;
    Seen seen = {.count = 0};

    (void)state;
    scene_init(&scene);
    running(&scene, 700, 690);
    Lsn first = drop_database(&scene, 700, 20001);
    end_transaction(&scene, (EndParts){.xid = 700, .time = 1, .database = 20001});
    drop_database(&scene, 701, 20002);
    end_transaction(&scene, (EndParts){.xid = 701, .time = 2, .is_abort = true});
    drop_database(&scene, 702, 20003); /* and then the server crashed */
    running(&scene, 710, 710);
    drop_database(&scene, 0, 20009); /* ALTER DATABASE ... SET TABLESPACE: nothing is lost */
    drop_database(&scene, 711, 20004);
    end_transaction(&scene, (EndParts){.xid = 711, .time = 3});
    Lsn last = drop_database(&scene, 712, 20005); /* its end is not archived */
    scene_archive(&scene);
    read_all(&scene, &seen);

    assert_int_equal(seen.count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(seen.items[i].database_count, 1);
        assert_int_equal(seen.databases[i].oid, 20001 + i);
        assert_int_equal(seen.items[i].kind,
                         i == 0 || i == 3 ? HAPPENING_COMMIT : HAPPENING_REMOVAL);
        assert_true(happening_is_drop(&seen.items[i]));
    }
    assert_true(seen.databases[0].lsn == first);
    assert_true(seen.databases[4].lsn == last);
    scene_done(&scene);
}

/* A commit in each segment, at its number's time; segment 6 has a drop, 8 one that straddles. */
static void fill(Scene *scene)
{
    scene_init(scene);
    for (uint32_t segment = FIRST; segment < FIRST + 8; segment++) {
        running(scene, 700 + segment, 700 + segment);
        wal_builder_restore_point(&scene->wal, "here", segment);
        commit(scene, 700 + segment, segment);
        if (segment == 6)
            end_transaction(scene, (EndParts){.xid = 800, .time = 6, .files = {500}});
        if (segment == 8) {
            wal_builder_fill_to(&scene->wal, 9 * MIB, 40);
            end_transaction(scene, (EndParts){.xid = 801, .time = 8, .files = {501}});
        } else {
            wal_builder_switch(&scene->wal);
        }
    }
    scene_archive(scene);
}

static void instants_and_drops_choose_what_is_read(void **state)
{
    Scene scene;
    Seen seen = {.count = 0};

    (void)state;
    fill(&scene);
    HappeningRequest request = request_of(&scene, &seen);
    read_by(&request);
    assert_int_equal(seen.count, 8 + 8 + 2);
    assert_int_equal(seen.end.read, seen.end.segments);

    request.from = time_from_postgres(5);
    request.to = time_from_postgres(6);
    read_by(&request);
    assert_int_equal(seen.count, 2 + 2 + 1);
    assert_true(seen.end.read < seen.end.segments);

    request.only_drops = true;
    read_by(&request);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.items[0].xid, 800);
    request.from = request.to = TIME_US_NONE;
    read_by(&request);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.items[1].xid, 801);
    assert_int_equal(seen.end.read, 3); /* 6, 8, 9 */

    request.walk.from = 7 * MIB;
    read_by(&request);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.items[0].xid, 801);
    request.walk.from = 0;
    request.walk.to = 7 * MIB;
    read_by(&request);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.items[0].xid, 800);
    scene_done(&scene);
}

static void a_gap_is_told_at_its_place_when_it_may_matter(void **state)
{
    Scene scene;
    Seen seen = {.count = 0};

    (void)state;
    fill(&scene);
    archive_remove(&scene.archive, 1, 5);
    archive_look(&scene.archive);
    HappeningRequest request = request_of(&scene, &seen);
    read_by(&request);
    assert_int_equal(seen.items[4].kind, HAPPENING_GAP);
    assert_int_equal(seen.count, 18 - 2 + 1);

    request.only_drops = true;
    read_by(&request);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.items[0].kind, HAPPENING_GAP);
    request.from = time_from_postgres(7); /* segment 6, which is there, ends before */
    read_by(&request);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.items[0].xid, 801);
    request.from = time_from_postgres(5); /* it may have been in the gap */
    request.to = time_from_postgres(5);
    read_by(&request);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.items[0].kind, HAPPENING_GAP);
    request.from = TIME_US_NONE;
    request.to = time_from_postgres(3); /* 4, which is there, is later */
    read_by(&request);
    assert_int_equal(seen.count, 0);

    archive_damage(&scene.archive, 1, 10, 100); /* the last one */
    request.to = TIME_US_NONE;
    request.from = time_from_postgres(10);
    request.only_drops = false;
    read_by(&request);
    assert_int_equal(seen.items[seen.count - 1].kind, HAPPENING_GAP);
    scene_done(&scene);
}

/* A shutdown checkpoint: nothing runs, and what is prepared it does not tell. */
static void shut_down(Scene *scene, uint32_t next)
{
    uint8_t data[88] = {0};

    put_le32(data + 8, 1);
    put_le32(data + 12, 1);
    put_le32(data + 24, next);
    wal_builder_record(&scene->wal, RMGR_XLOG, 0x00, 0, data, sizeof data);
}

static void a_prepared_transaction_outlives_a_shutdown(void **state)
{
    Scene scene;
    Seen seen = {.count = 0};

    (void)state;
    scene_init(&scene);
    running(&scene, 700, 690);
    create_file(&scene, 700, 600);
    Lsn removal = drop_database(&scene, 701, 20001); /* and then the server crashed */
    shut_down(&scene, 702);
    commit(&scene, 702, 1);
    shut_down(&scene, 703);
    end_transaction(&scene, (EndParts){.xid = 700, .time = 2, .files = {501}, .objects = {600}});
    scene_archive(&scene);
    read_all(&scene, &seen);

    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.items[0].kind, HAPPENING_REMOVAL);
    assert_true(seen.items[0].lsn == removal);
    assert_int_equal(seen.items[1].xid, 702);
    assert_int_equal(seen.items[2].xid, 700);
    assert_int_equal(seen.files[2][0].fate, FILE_REPLACED);
    scene_done(&scene);
}

/* What a transaction did in a gap is not known, so neither is what its commit meant. */
static void after_a_gap_nothing_is_taken_for_known(void **state)
{
    Scene scene;
    Seen seen = {.count = 0};

    (void)state;
    scene_init(&scene);
    running(&scene, 700, 690);
    create_file(&scene, 700, 600);
    wal_builder_switch(&scene.wal);
    wal_builder_switch(&scene.wal); /* 4, which will be missing */
    end_transaction(&scene, (EndParts){.xid = 700, .time = 5, .files = {501}, .objects = {600}});
    scene_archive(&scene);
    read_all(&scene, &seen);
    assert_int_equal(seen.files[seen.count - 1][0].fate, FILE_REPLACED);

    archive_remove(&scene.archive, 1, 4);
    archive_look(&scene.archive);
    read_all(&scene, &seen);
    assert_int_equal(seen.files[seen.count - 1][0].fate, FILE_UNCLEAR);
    scene_done(&scene);
}

static void it_stops_when_told(void **state)
{
    Scene scene;
    Seen seen = {.stop_after = 3};

    (void)state;
    fill(&scene);
    read_all(&scene, &seen);
    assert_int_equal(seen.count, 3);
    assert_true(seen.end.is_stopped);
    scene_done(&scene);
}

/* The row of pg_database is marked without an xid, and then deleted. */
static void put_row(Scene *scene, uint32_t xid, bool is_delete, uint16_t item)
{
    uint8_t data[8] = {0};

    put_le16(data + (is_delete ? 4 : 0), item);
    wal_builder_record(&scene->wal, 10, is_delete ? 0x10 : 0x70, xid, data,
                       is_delete ? sizeof data : 2);
}

static void a_drop_of_a_database_begins_with_its_transaction(void **state)
{
    Scene scene;
    Seen seen = {.count = 0};
    Lsn begin;
    Error err = {0};

    (void)state;
    scene_init(&scene);
    wal_builder_switch(&scene.wal);
    running(&scene, 700, 690);
    commit(&scene, 699, 1);
    put_row(&scene, 0, false, 3); /* without a block it is not a row */
    create_file(&scene, 701, 600);
    Lsn first = wal_builder_record(&scene.wal, 10, 0x00, 700, "a row", 5);
    for (int i = 0; i < 5; i++) { /* the checkpoint that it waits for */
        commit(&scene, 702, 2);
        wal_builder_switch(&scene.wal);
    }
    Lsn removal = drop_database(&scene, 700, 20001);
    scene_archive(&scene);
    HappeningRequest request = request_of(&scene, &seen);

    assert_true(happenings_drop_begin(&request.walk, 700, removal, &begin, &err));
    assert_true(begin == first);
    archive_remove(&scene.archive, 1, 4); /* it can't be known any more */
    archive_look(&scene.archive);
    assert_true(happenings_drop_begin(&request.walk, 700, removal, &begin, &err));
    assert_int_equal(begin, 0);
    scene_done(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_became_of_a_file_is_told_as_far_as_the_wal_says_it),
        cmocka_unit_test(what_was_rolled_back_is_not_told),
        cmocka_unit_test(a_database_that_went_is_told_whatever_became_of_the_transaction),
        cmocka_unit_test(a_prepared_transaction_outlives_a_shutdown),
        cmocka_unit_test(instants_and_drops_choose_what_is_read),
        cmocka_unit_test(a_gap_is_told_at_its_place_when_it_may_matter),
        cmocka_unit_test(after_a_gap_nothing_is_taken_for_known),
        cmocka_unit_test(it_stops_when_told),
        cmocka_unit_test(a_drop_of_a_database_begins_with_its_transaction),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
