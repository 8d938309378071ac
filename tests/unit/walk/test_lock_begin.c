#include "walk/lock_begin.h"

#include "archive_builder.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { FIRST = 3, STANDBY = 8, XACT = 1, PREPARE = 0x10 };

/* One letter a record: L lock, S snapshot of locks, C commit, A abort, P prepare, . something else;
 * the digit after it is the transaction. Replay stops before the last record. */
typedef struct Case {
    const char *records;
    int begin; /* index of the record to stop before; -1: none */
    int held;
} Case;

static Lsn put(WalBuilder *wal, char kind, uint32_t xid)
{
    static const uint8_t data[16] = {1};

    switch (kind) {
    case 'L':
        return wal_builder_record(wal, STANDBY, 0, xid, data, sizeof data);
    case 'S':
        return wal_builder_record(wal, STANDBY, 0, 0, data, sizeof data);
    case 'P':
        return wal_builder_record(wal, XACT, PREPARE, xid, data, sizeof data);
    case 'C':
        return wal_builder_commit(wal, xid, 1000);
    case 'A':
        return wal_builder_abort(wal, xid, 1000);
    default:
        return wal_builder_filler(wal, 100);
    }
}

static void try(const Case *it, size_t spread)
{
    CLEANUP(archive_done) Archive archive;
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(wal_builder_done)
    WalBuilder wal = wal_builder_begin(15, MIB, (Lsn)FIRST * MIB, 1);
    Lsn places[32];
    size_t count = 0;
    LockBegin begin;
    Error err = {0};

    archive_init(&archive);
    const Lsn floor = wal_builder_filler(&wal, 100);
    for (const char *at = it->records; *at != '\0'; at += 2) {
        if (spread > 0)
            wal_builder_filler(&wal, spread);
        places[count++] = put(&wal, at[0], (uint32_t)(700 + at[1] - '0'));
    }
    wal_builder_switch(&wal);
    archive_put_segments(&archive, &wal, 1, FIRST, wal_segment_of(places[count - 1], MIB));
    archive_look(&archive);
    const TimelinePath path = archive_path(&archive, 1, &arena);
    const WalWalk walk = {
        .cluster = &archive.cluster, .inventory = &archive.inventory, .path = &path, .threads = 1};
    if (!lock_begin_find(&walk, floor, places[count - 1], &begin, &err))
        fail_msg("%s: %s", it->records, err.message);
    if (begin.lsn != (it->begin < 0 ? 0 : places[it->begin]))
        fail_msg("%s: begins elsewhere", it->records);
    if (begin.held != (it->held < 0 ? 0 : places[it->held]))
        fail_msg("%s: held elsewhere", it->records);
}

static void replay_stops_before_the_locks_and_after_every_commit(void **state)
{
    static const Case cases[] = {
        {"C1L2.2C2", 1, 1},   /* a drop */
        {"C1L2L3.3C2", 1, 1}, /* two hold locks */
        {"C1L2A2L3C3", 3, 3}, /* one has given up its */
        {"C1L2C9C2", -1, 1},  /* a commit lies between */
        {"C1L2P9C2", -1, 1},  /* so does what was prepared */
        {"C1L2C9L3C2", 3, 1}, /* one of them can be spared */
        {"C1L2C2L3C3", 3, 3}, /* what was committed holds nothing */
        {"C1S0.2C2", -1, -1}, /* a snapshot is of locks from before */
        {"L2.2C2", 0, 0},     /* back to the end of the backup, and no further */
        {"C1.2.2C2", -1, -1}, /* nothing is locked */
        {"C1L2L2L2C2", 1, 1}, /* its first one counts */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        try(&cases[i], 0);
        if (cases[i].held == cases[i].begin) /* over several segments, too */
            try(&cases[i], 700 << 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replay_stops_before_the_locks_and_after_every_commit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
