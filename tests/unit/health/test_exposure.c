#include "health/exposure.h"

#include "../walk/backup_builder.h"
#include "../walk/world.h"
#include "repo/layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char backup_id[] = "20261122T000001Z-aaaaaa";

/* A pg_wal that holds the world's WAL up to a position, as far as it was not taken away. */
typedef struct Server {
    const World *world;
    Lsn written;
    uint64_t first;    /* segments before it are gone */
    uint64_t vanishes; /* this one goes away after so many reads of it; 0: none does */
    unsigned survives;
    uint64_t missing;  /* this one is not there; 0: all are */
    uint64_t recycled; /* this one still has the bytes of an older one; 0: none */
    Lsn flipped;       /* a byte that the disk gives back wrong; 0: none */
    unsigned reads;
} Server;

static const uint8_t *bytes_of(const World *world, const WalName *name)
{
    const WalBuilder *wal = name->timeline == 1 ? &world->old : &world->wal;

    return wal_builder_segment(wal, name->segment);
}

static bool read_part(void *context, const char *text, uint64_t offset, size_t size, Buffer *bytes,
                      bool *is_there, Error *err)
{
    Server *server = context;
    WalName name;

    bytes->size = 0;
    assert_true(wal_name_parse(text, MIB, &name, err));
    Lsn start = wal_segment_start(name.segment, MIB);
    bool is_gone = name.segment < server->first || name.segment == server->missing ||
                   (name.segment == server->vanishes && server->reads >= server->survives);
    *is_there = !is_gone && start < server->written &&
                name.segment <= server->world->last_segment &&
                name.timeline == (name.segment < server->world->fork_segment ? 1U : 2U);
    if (!*is_there)
        return true;
    server->reads += name.segment == server->vanishes;
    if (name.segment == server->recycled)
        name = (WalName){.kind = WAL_SEGMENT, .timeline = 1, .segment = 3};
    size = size < MIB - offset ? size : MIB - offset;
    buffer_append(bytes, bytes_of(server->world, &name) + offset, size);
    for (size_t i = 0; i < size; i++) {
        if (start + offset + i >= server->written)
            bytes->data[i] = 0xA5; /* what was there before */
        if (start + offset + i == server->flipped)
            bytes->data[i] ^= 0x10;
    }
    return true;
}

static void put_backup(World *world)
{
    archive_put_backup(&world->archive, &(BackupFields){.id = backup_id,
                                                        .timeline = 1,
                                                        .start = world->redo,
                                                        .stop = world->stop,
                                                        .stopped_at = time_from_postgres(1300)});
}

static ArchiveEnd find_end(World *world)
{
    CLEANUP(backup_list_done) BackupList backups = {0};
    Error err = {0};
    ArchiveEnd end;

    archive_look(&world->archive);
    assert_true(
        backup_list_load(&backups, &world->archive.cluster, &world->archive.inventory, &err));
    if (!archive_end_find(&world->archive.cluster, &world->archive.inventory, &backups,
                          &world->path, &end, &err))
        fail_msg("%s: %s", err.context, err.message);
    end.base = end.base != NULL ? (const BackupInfo *)backup_id : NULL; /* the list goes away */
    return end;
}

static CommitFound search_with(World *world, const ArchiveEnd *end, Server *server, Lsn flushed)
{
    CommitSearch search = {.cluster = &world->archive.cluster,
                           .path = &world->path,
                           .durable = end->durable,
                           .read_from = end->read_from,
                           .stored = end->stored,
                           .read = read_part,
                           .context = server,
                           .flushed = flushed,
                           .bytes_max = UINT64_MAX};
    CommitFound found;
    Error err = {0};

    if (!commit_search(&search, &found, &err))
        fail_msg("%s: %s", err.context, err.message);
    return found;
}

/* The first commit that ends after `durable` and before `written`. */
static const WorldRecord *first_commit(const World *world, Lsn durable, Lsn written)
{
    for (size_t i = 0; i < world->count; i++) {
        const WorldRecord *record = &world->records[i];

        if (record->is_commit && record->end > durable && record->end <= written)
            return record;
    }
    return NULL;
}

static void assert_found(const CommitFound *found, const WorldRecord *expected)
{
    assert_int_equal(found->is_found, expected != NULL);
    if (expected == NULL) {
        assert_true(found->is_complete);
        return;
    }
    assert_int_equal(found->commit.lsn, expected->lsn);
    assert_int_equal(found->commit.xid, expected->xid);
    assert_int_equal(found->commit.time, time_from_postgres(expected->time));
}

/* The archive ends after this segment: nothing of the path that comes later is in it. */
static void cut_after(World *world, uint64_t segment)
{
    uint64_t next = segment + 1;

    archive_remove(&world->archive, next < world->fork_segment ? 1 : 2, next);
}

/*
 * Wherever the archive ends, in the middle of a commit record, before a fork, inside a record that
 * is larger than segments are: the first commit that is not whole in it is found. What the parent
 * did after the fork is in the archive all the time, and never counts.
 */
static void the_first_commit_after_the_archives_end_is_found(void **state)
{
    for (int with_backup = 0; with_backup < 2; with_backup++) {
        CLEANUP(world_done) World world;

        (void)state;
        world_init(&world);
        if (with_backup != 0)
            put_backup(&world);
        for (uint64_t last = world.last_segment; last >= 4; last--) {
            Server server = {.world = &world, .written = world.wal.at};
            ArchiveEnd end = find_end(&world);
            Lsn stored = wal_segment_start(last + 1, MIB);

            assert_false(end.is_empty);
            assert_false(end.is_hole);
            assert_false(end.is_broken);
            assert_int_equal(end.last_segment, last);
            assert_true(end.durable <= stored);
            assert_int_equal(end.base != NULL, with_backup);
            CommitFound found = search_with(&world, &end, &server, world.wal.at);
            assert_found(&found, first_commit(&world, stored, world.wal.at));
            cut_after(&world, last - 1);
        }
    }
}

/* The server goes on writing: only what is there yet counts, a record cut in two does not. */
static void what_is_not_written_yet_is_no_commit(void **state)
{
    CLEANUP(world_done) World world;

    (void)state;
    world_init(&world);
    for (uint64_t last = world.last_segment; last > world.fork_segment - 1; last--)
        archive_remove(&world.archive, 2, last);
    ArchiveEnd end = find_end(&world);
    assert_int_equal(end.last_segment, world.fork_segment - 1);
    for (size_t i = 0; i < world.count; i++) {
        static const int around[] = {-9, -1, 0, 1};

        if (world.records[i].end <= wal_segment_start(world.fork_segment, MIB) + 16)
            continue;
        for (size_t j = 0; j < ARRAY_SIZE(around); j++) {
            Lsn written = world.records[i].end + (Lsn)around[j];
            Server server = {.world = &world, .written = written};
            CommitFound found = search_with(&world, &end, &server, written);

            assert_found(&found, first_commit(&world, end.durable, written));
        }
    }
}

/* What was archived before it could be read is not a reason to say that there is nothing. */
static void a_segment_that_is_gone_is_not_the_end(void **state)
{
    CLEANUP(world_done) World world;

    (void)state;
    world_init(&world);
    for (uint64_t last = world.last_segment; last > 7; last--)
        cut_after(&world, last - 1);
    ArchiveEnd end = find_end(&world);
    Server whole = {.world = &world, .written = world.wal.at};
    Server gone = {.world = &world, .written = world.wal.at, .first = 9};
    Server recycled = {.world = &world, .written = world.wal.at, .recycled = 8};

    assert_int_equal(end.last_segment, 7);
    assert_true(search_with(&world, &end, &whole, world.wal.at).is_found);
    CommitFound found = search_with(&world, &end, &gone, world.wal.at);
    assert_false(found.is_found || found.is_complete);
    assert_non_null(strstr(found.reason, "neither in the archive nor in pg_wal"));
    found = search_with(&world, &end, &recycled, world.wal.at);
    assert_false(found.is_found || found.is_complete);
    /* While it was read, or just then: its name was given away before its bytes were. */
    for (unsigned survives = 1; survives < 5; survives++) {
        Server vanishes = {
            .world = &world, .written = world.wal.at, .vanishes = 8, .survives = survives};

        found = search_with(&world, &end, &vanishes, world.wal.at);
        assert_false(found.is_found || found.is_complete);
        assert_non_null(strstr(found.reason, "took"));
        assert_int_equal(vanishes.reads, survives);
    }
    /* Unless the server had written nothing there. */
    Server idle = {.world = &world, .written = 8 * MIB};
    assert_true(search_with(&world, &end, &idle, 8 * MIB).is_complete);
}

/* A byte of pg_wal that is wrong hides the commits after it; that none was seen is not none. */
static void damage_in_the_servers_wal_is_not_its_end(void **state)
{
    CLEANUP(world_done) World world;
    unsigned hidden = 0;

    (void)state;
    world_init(&world);
    for (uint64_t last = world.last_segment; last > 7; last--)
        cut_after(&world, last - 1);
    ArchiveEnd end = find_end(&world);
    const WorldRecord *first = first_commit(&world, end.durable, world.wal.at);
    for (size_t i = 0; i < world.count; i++) {
        const WorldRecord *record = &world.records[i];

        if (record->lsn < 8 * MIB || record->end > first->end)
            continue;
        for (Lsn at = record->lsn; at < record->end; at += 1 + (record->end - record->lsn) / 37) {
            /* With what is written of the next segment, of this page, and of this record. */
            const Lsn written[] = {world.wal.at, (first->end | 8191) + 1, first->end};

            for (size_t j = 0; j < ARRAY_SIZE(written); j++) {
                Server server = {.world = &world, .written = written[j], .flipped = at};
                CommitFound found = search_with(&world, &end, &server, written[j]);

                /* By its length a record can seem to go on after what is written. */
                if (j > 0 && at < record->lsn + 4)
                    continue;
                assert_true(found.is_found != (found.reason[0] != '\0'));
                assert_false(found.is_complete);
                hidden += !found.is_found;
            }
        }
    }
    assert_true(hidden > 0);
}

static void a_hole_and_damage_are_told_and_end_it(void **state)
{
    CLEANUP(world_done) World world;

    (void)state;
    world_init(&world);
    put_backup(&world);
    archive_damage(&world.archive, 1, 6, SIZE_MAX); /* its trailer */
    ArchiveEnd end = find_end(&world);
    assert_true(end.is_broken);
    assert_int_equal(end.last_segment, 5);
    Server server = {.world = &world, .written = world.wal.at};
    CommitFound found = search_with(&world, &end, &server, world.wal.at);
    assert_found(&found, first_commit(&world, 6 * MIB, world.wal.at));

    archive_remove(&world.archive, 1, 6);
    end = find_end(&world);
    assert_true(end.is_hole);
    assert_false(end.is_broken);
    assert_int_equal(end.last_segment, 5);
    found = search_with(&world, &end, &server, world.wal.at);
    assert_found(&found, first_commit(&world, 6 * MIB, world.wal.at));
    /* All that comes then is younger than what is there: a bound, should pg_wal be empty. */
    assert_int_equal(end.last_commit, time_from_postgres(2000));
    assert_int_equal(end.older_than, time_from_postgres(1900));
}

/* Recovery would not find the timeline: its WAL does not count, whatever of it is stored. */
static void without_its_history_a_timeline_ends_at_the_fork(void **state)
{
    CLEANUP(world_done) World world;
    CLEANUP(text_freep) char *history = layout_wal("main", "00000002.history");
    Error err = {0};

    (void)state;
    world_init(&world);
    put_backup(&world);
    assert_true(storage_remove(world.archive.repo.storage, history, &err));
    ArchiveEnd end = find_end(&world);
    assert_int_equal(end.lost_history, 2);
    assert_int_equal(end.durable, world.fork);
    assert_false(end.is_hole);
    Server server = {.world = &world, .written = world.wal.at};
    CommitFound found = search_with(&world, &end, &server, world.wal.at);
    assert_found(&found, first_commit(&world, world.fork, world.wal.at));
    assert_int_equal(found.timeline, 2);
}

/* Nor where the archive's history of that number is another server's. */
static void with_the_history_of_another_server_it_ends_at_the_fork(void **state)
{
    CLEANUP(world_done) World world;
    CLEANUP(text_freep) char *history = layout_wal("main", "00000002.history");
    Error err = {0};

    (void)state;
    world_init(&world);
    put_backup(&world);
    assert_false(find_end(&world).is_other_history);
    assert_true(storage_remove(world.archive.repo.storage, history, &err));
    archive_put_history(&world.archive, 2, "1\t0/500000\tpromoted elsewhere\n");
    ArchiveEnd end = find_end(&world);
    assert_true(end.is_other_history);
    assert_int_equal(end.lost_history, 2);
    assert_int_equal(end.durable, world.fork);
    Server server = {.world = &world, .written = world.wal.at};
    CommitFound found = search_with(&world, &end, &server, world.wal.at);
    assert_found(&found, first_commit(&world, world.fork, world.wal.at));
}

static void an_empty_archive_has_no_end(void **state)
{
    CLEANUP(world_done) World world;

    (void)state;
    world_init(&world);
    for (uint64_t segment = 3; segment <= world.fork_segment - 1; segment++)
        archive_remove(&world.archive, 1, segment);
    for (uint64_t segment = world.fork_segment; segment <= world.last_segment; segment++)
        archive_remove(&world.archive, 2, segment);
    ArchiveEnd end = find_end(&world);
    assert_true(end.is_empty); /* what the parent did after the fork is of another path */
    assert_null(end.base);
}

static void ages_are_by_the_servers_clock_and_never_negative(void **state)
{
    static const TimeUs second = 1000000;
    static const struct {
        TimeUs since, at, age;
        bool is_from_future;
    } cases[] = {
        {100 * second, 160 * second, 60 * second, false},
        {100 * second, 100 * second, 0, false},
        {100 * second + 1, 100 * second, 0, false}, /* two processors disagree */
        {102 * second, 100 * second, 0, true},      /* the clock was set back */
        {TIME_US_NONE, 100 * second, 0, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Exposure exposure = {.since = cases[i].since, .at = cases[i].at, .age = 7};

        exposure_set_age(&exposure);
        assert_int_equal(exposure.age, cases[i].age);
        assert_int_equal(exposure.is_from_future, cases[i].is_from_future);
    }
}

/* WAL of one segment that only the server has. */
static bool read_builder(void *context, const char *text, uint64_t offset, size_t size,
                         Buffer *bytes, bool *is_there, Error *err)
{
    const WalBuilder *wal = context;
    WalName name;

    bytes->size = 0;
    assert_true(wal_name_parse(text, MIB, &name, err));
    *is_there = name.segment == wal_segment_of(wal->start, MIB);
    if (*is_there)
        buffer_append(bytes, wal->bytes.data + offset, size < MIB - offset ? size : MIB - offset);
    return true;
}

/* What a client was told counts, and nothing else: the first of it is found. */
static void whatever_was_acknowledged_is_found(void **state)
{
    enum { PREPARE = 0x10, ABORT_PREPARED = 0xC0, XINFO_PREPARED = 1 << 4 };
    static const struct {
        const char *does;
        PromiseKind kind;
        uint32_t xid;
    } cases[] = {
        {"c", PROMISE_COMMIT, 1},   {"ac", PROMISE_COMMIT, 2},           {"p", PROMISE_PREPARE, 1},
        {"ap", PROMISE_PREPARE, 2}, {"r", PROMISE_ROLLBACK_PREPARED, 1}, {"C", PROMISE_COMMIT, 1},
        {"pC", PROMISE_PREPARE, 1}, {"aa", PROMISE_COMMIT, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(archive_done) Archive archive;
        CLEANUP(arena_done) Arena arena = {0};
        CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, 3 * MIB, 1);
        TimelinePath path;
        CommitFound found;
        Error err = {0};

        archive_init(&archive);
        for (uint32_t k = 0; cases[i].does[k] != '\0'; k++) {
            const uint32_t xid = k + 1;
            uint32_t prepare[6] = {0x57F94534, 100, xid, 5, 1000, 0};
            uint32_t rollback[4] = {1000, 0, XINFO_PREPARED, xid};
            switch (cases[i].does[k]) {
            case 'c':
                wal_builder_commit(&wal, xid, 1000);
                break;
            case 'C':
                wal_builder_commit_prepared(&wal, xid, 1000);
                break;
            case 'a':
                wal_builder_abort(&wal, xid, 1000);
                break;
            case 'p':
                wal_builder_record(&wal, RMGR_TRANSACTION, PREPARE, xid, prepare, sizeof prepare);
                break;
            case 'r':
                wal_builder_record(&wal, RMGR_TRANSACTION, ABORT_PREPARED, 0, rollback,
                                   sizeof rollback);
                break;
            default:
                fail();
            }
        }
        const Lsn written = wal.at;
        wal_builder_pad(&wal);
        assert_true(timeline_path_parse(1, NULL, &arena, &path, &err));
        assert_true(commit_search(&(CommitSearch){.cluster = &archive.cluster,
                                                  .path = &path,
                                                  .durable = 3 * MIB,
                                                  .read_from = 3 * MIB,
                                                  .stored = 3,
                                                  .read = read_builder,
                                                  .context = &wal,
                                                  .flushed = written,
                                                  .bytes_max = UINT64_MAX},
                                  &found, &err));
        assert_int_equal(found.is_found, cases[i].xid != 0);
        if (!found.is_found)
            continue;
        assert_int_equal(found.kind, cases[i].kind);
        assert_int_equal(found.commit.xid, cases[i].xid);
        assert_int_equal(found.commit.time, time_from_postgres(1000));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_was_acknowledged_is_found),
        cmocka_unit_test(the_first_commit_after_the_archives_end_is_found),
        cmocka_unit_test(what_is_not_written_yet_is_no_commit),
        cmocka_unit_test(a_segment_that_is_gone_is_not_the_end),
        cmocka_unit_test(damage_in_the_servers_wal_is_not_its_end),
        cmocka_unit_test(a_hole_and_damage_are_told_and_end_it),
        cmocka_unit_test(without_its_history_a_timeline_ends_at_the_fork),
        cmocka_unit_test(with_the_history_of_another_server_it_ends_at_the_fork),
        cmocka_unit_test(an_empty_archive_has_no_end),
        cmocka_unit_test(ages_are_by_the_servers_clock_and_never_negative),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
