#include "world.h"

#include <assert.h>
#include <inttypes.h>

static void note(World *world, Lsn lsn, WorldRecord record)
{
    assert(world->count < WORLD_RECORDS_MAX);
    record.lsn = lsn;
    record.end = world->wal.at;
    record.replay_end = (world->wal.at + 7) & ~(Lsn)7;
    world->records[world->count++] = record;
}

static void filler(World *world, size_t size)
{
    note(world, wal_builder_filler(&world->wal, size), (WorldRecord){0});
}

static void commit(World *world, uint32_t xid, int64_t time)
{
    note(world, wal_builder_commit(&world->wal, xid, time),
         (WorldRecord){.is_commit = true, .xid = xid, .time = time});
}

static void commit_prepared(World *world, uint32_t xid, int64_t time)
{
    note(world, wal_builder_commit_prepared(&world->wal, xid, time),
         (WorldRecord){.is_commit = true, .xid = xid, .time = time});
}

static void rollback(World *world, uint32_t xid, int64_t time)
{
    note(world, wal_builder_abort(&world->wal, xid, time),
         (WorldRecord){.is_abort = true, .xid = xid, .time = time});
}

static void restore_point(World *world, const char *name, int64_t time)
{
    note(world, wal_builder_restore_point(&world->wal, name, time), (WorldRecord){.name = name});
}

/* To `left` bytes before the end of the segment that we are in. */
static void fill_to(World *world, size_t left)
{
    Lsn end = wal_segment_start(wal_segment_of(world->wal.at, MIB) + 1, MIB);

    while (end - world->wal.at > left + 30000)
        filler(world, 20000);
    while (end - world->wal.at > left + 64)
        filler(world, 6);
    filler(world, (size_t)(end - world->wal.at - left - 26));
}

static void switch_segment(World *world)
{
    Lsn lsn = wal_builder_record(&world->wal, RMGR_XLOG, 0x40, 0, NULL, 0);

    note(world, lsn, (WorldRecord){0});
    wal_builder_pad(&world->wal);
    world->records[world->count - 1].replay_end = world->wal.at;
}

/* Segments 3 and 4: what was before the backup, and the backup. */
static void take_backup(World *world)
{
    commit(world, 100, 50);
    restore_point(world, "early", 60);
    filler(world, 100);
    fill_to(world, 5000);
    world->redo = wal_builder_filler(&world->wal, 10);
    note(world, world->redo, (WorldRecord){0});
    commit(world, 101, 1000);
    restore_point(world, "inside", 1001);
    fill_to(world, 16); /* a header is cut */
    commit(world, 102, 1200);
    commit(world, 103, 1100);
    filler(world, 100);
    note(world, wal_builder_backup_end(&world->wal, world->redo), (WorldRecord){0});
    world->stop = world->records[world->count - 1].replay_end;
    commit(world, 104, 1500);
    switch_segment(world);
}

static void work(World *world)
{
    /* Segment 5: a commit with its header whole and its data in 6. */
    commit(world, 200, 2000);
    rollback(world, 201, 2600);
    restore_point(world, "again", 2001);
    commit(world, 202, 1900);
    fill_to(world, 24);
    commit(world, 203, 3000);
    /* Segment 6: no commit of its own; its last record straddles into 7. */
    fill_to(world, 32);
    restore_point(world, "straddling", 3001);
    /* Segment 7: more restore points than a trailer keeps. */
    for (int i = 0; i < 10; i++)
        restore_point(world, "many", 3100);
    restore_point(world, "again", 3200);
    restore_point(world, "tenth", 3200);
    commit_prepared(world, 204, 4000);
    /* 8 is the middle of one record that ends in 9; a commit's end shares 9 with the next. */
    filler(world, 2 * MIB);
    commit(world, 205, 4100);
    fill_to(world, 8);
    commit(world, 205, 4200);   /* the same xid, wrapped around */
    filler(world, 3 * MIB / 2); /* in that segment only the rest of the commit and this begin */
    commit(world, 206, 4150);
    filler(world, 300000);
    commit(world, 207, 4300);
}

static void fork_timeline(World *world)
{
    WalBuilder parent = world->wal;

    world->fork = (parent.at + 7) & ~(Lsn)7;
    wal_builder_filler(&parent, 1);
    world->wal = wal_builder_fork(&parent, world->fork, world->records[world->count - 1].lsn, 2);
    world->fork_segment = wal_segment_of(world->fork, MIB);
    /* What the parent did then must never be seen. */
    wal_builder_commit(&parent, 999, 9000);
    wal_builder_restore_point(&parent, "lost", 9000);
    wal_builder_switch(&parent);
    wal_builder_commit(&parent, 998, 9100);
    wal_builder_switch(&parent);
    world->old = parent;
}

static void go_on(World *world)
{
    commit(world, 300, 5000);
    restore_point(world, "on 2", 5001);
    fill_to(world, 24);
    rollback(world, 301, 5200);
    switch_segment(world);
    filler(world, 100); /* a segment without commits */
    switch_segment(world);
    commit(world, 302, 5100);
    filler(world, 10);
    switch_segment(world);
}

void world_init(World *world)
{
    *world = (World){.wal = wal_builder_begin(15, MIB, 3 * MIB, 1)};
    archive_init(&world->archive);
    world->records = arena_alloc(&world->arena, WORLD_RECORDS_MAX * sizeof(WorldRecord));
    take_backup(world);
    work(world);
    fork_timeline(world);
    go_on(world);
    world->last_segment = wal_segment_before(world->wal.at, MIB);

    archive_put_segments(&world->archive, &world->old, 1, 3, world->fork_segment + 1);
    archive_put_segments(&world->archive, &world->wal, 2, world->fork_segment, world->last_segment);
    archive_put_history(&world->archive, 2,
                        arena_format(&world->arena, "1\t%" PRIX64 "/%" PRIX64 "\tfor a test\n",
                                     world->fork >> 32, world->fork & UINT32_MAX));
    archive_look(&world->archive);
    world->path = archive_path(&world->archive, 2, &world->arena);
}

void world_done(World *world)
{
    archive_done(&world->archive);
    wal_builder_done(&world->wal);
    wal_builder_done(&world->old);
    arena_done(&world->arena);
}

WalWalk world_walk(const World *world)
{
    return (WalWalk){
        .cluster = &world->archive.cluster,
        .inventory = &world->archive.inventory,
        .path = &world->path,
        .from = world->redo,
        .threads = 1,
    };
}
