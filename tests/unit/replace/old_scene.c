#include "old_scene.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

Lsn old_scene_aligned(Lsn lsn)
{
    return (lsn + 7) & ~(Lsn)7;
}

void old_scene_commits(WalBuilder *wal, uint32_t first_xid, int count)
{
    for (int i = 0; i < count; i++)
        wal_builder_commit(wal, first_xid + (uint32_t)i, (int64_t)first_xid * 1000 + i);
}

void old_scene_init(OldScene *scene)
{
    *scene = (OldScene){0};
    archive_init(&scene->archive);
    scene->wal = wal_builder_begin(15, MIB, 3 * MIB, 1);
    for (unsigned segment = 3; segment < 6; segment++) {
        old_scene_commits(&scene->wal, 100 * segment, PART);
        if (segment == 5) {
            scene->part = old_scene_aligned(scene->wal.at);
            scene->last = scene->wal.prev;
        }
        old_scene_commits(&scene->wal, 100 * segment + PART, COMMITS - PART);
        wal_builder_fill_to(&scene->wal, (segment + 1) * MIB, 0);
    }
    scene->last_of_5 = scene->wal.prev;
    old_scene_commits(&scene->wal, 600, 2);
    scene->clone = wal_builder_fork(&scene->wal, scene->part, scene->last, 1);
    old_scene_commits(&scene->clone, 900, 4);
    wal_builder_fill_to(&scene->clone, 6 * MIB, 0);
    old_scene_commits(&scene->clone, 950, 3);
    archive_put_segments(&scene->archive, &scene->wal, 1, 3, 5);
}

void old_scene_done(OldScene *scene)
{
    wal_builder_done(&scene->wal);
    wal_builder_done(&scene->clone);
    archive_done(&scene->archive);
    arena_done(&scene->arena);
}

void old_scene_put_file(const char *name, const void *data, size_t size)
{
    CLEANUP(file_writer_done) FileWriter file = FILE_WRITER_CLOSED;
    Error err = {0};

    assert_true(file_writer_open(&file, name, 0600, &err));
    assert_true(file_writer_write(&file, data, size, &err));
    assert_true(file_writer_replace(&file, &err));
}

void old_scene_put_segment(const WalBuilder *wal, uint32_t timeline, uint64_t segment)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    const uint64_t offset = wal_segment_start(segment, MIB) - wal->start;
    const size_t left = wal->bytes.size - offset;
    char name[WAL_NAME_SIZE];

    buffer_reserve(&bytes, MIB);
    memset(bytes.data, 0xA5, MIB);
    memcpy(bytes.data, wal->bytes.data + offset, left < MIB ? left : MIB);
    wal_name_text(&(WalName){.kind = WAL_SEGMENT, .timeline = timeline, .segment = segment}, MIB,
                  name);
    old_scene_put_file(name, bytes.data, MIB);
}

void old_scene_put_segments(const WalBuilder *wal, uint64_t first, uint64_t last)
{
    for (uint64_t segment = first; segment <= last; segment++)
        old_scene_put_segment(wal, 1, segment);
}
