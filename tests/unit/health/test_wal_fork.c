#include "health/exposure.h"

#include "../walk/archive_builder.h"
#include "wal/wal_piece.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum {
    FIRST = 3,    /* segments of 1 MiB from here on */
    BIG = 100000, /* a record of this size: some of them in a segment */
};

/* Two servers with one past: the archive is the first one's, the second one is asked. */
typedef struct Pair {
    Archive archive;
    WalBuilder theirs, own;
    Lsn parted;         /* end of what they have in common */
    uint64_t kept_from; /* the server's segments before this one are gone */
    uint64_t recycled;  /* this one still has the bytes of an older one; 0: none */
    Lsn written;
    Arena arena;
    TimelinePath path;
} Pair;

static void pair_init(Pair *pair)
{
    *pair = (Pair){.theirs = wal_builder_begin(15, MIB, FIRST * MIB, 1), .kept_from = FIRST};
    archive_init(&pair->archive);
    pair->path = archive_path(&pair->archive, 1, &pair->arena);
}

static void pair_done(Pair *pair)
{
    archive_done(&pair->archive);
    wal_builder_done(&pair->theirs);
    wal_builder_done(&pair->own);
    arena_done(&pair->arena);
}

static Lsn segment_end(const WalBuilder *wal)
{
    return wal_segment_start(wal_segment_before(wal->at, MIB) + 1, MIB);
}

static void fill_segment(WalBuilder *wal, size_t left)
{
    Lsn end = segment_end(wal);

    while (end - wal->at > left + 2 * BIG)
        wal_builder_filler(wal, BIG);
    wal_builder_fill_to(wal, end, left);
}

static void part(Pair *pair)
{
    pair->parted = pair->theirs.at;
    pair->own = pair->theirs;
    pair->own.bytes = (Buffer){0};
    buffer_append(&pair->own.bytes, pair->theirs.bytes.data, pair->theirs.bytes.size);
}

/* So many segments more, each with a commit; the last one is whole. */
static void go_on(WalBuilder *wal, unsigned segments, uint32_t xid, size_t before)
{
    wal_builder_filler(wal, before);
    for (unsigned i = 0; i < segments; i++) {
        wal_builder_commit(wal, xid + i, 1000 * (int64_t)(xid + i));
        wal_builder_filler(wal, BIG);
        wal_builder_switch(wal);
    }
}

static void archive_theirs(Pair *pair)
{
    archive_put_segments(&pair->archive, &pair->theirs, 1, FIRST,
                         wal_segment_before(pair->theirs.at, MIB));
    archive_look(&pair->archive);
}

static bool read_own(void *context, const char *text, uint64_t offset, size_t size, Buffer *bytes,
                     bool *is_there, Error *err)
{
    const Pair *pair = context;
    WalName name;

    bytes->size = 0;
    assert_true(wal_name_parse(text, MIB, &name, err));
    *is_there =
        name.segment >= pair->kept_from && wal_segment_start(name.segment, MIB) < pair->own.at;
    if (!*is_there)
        return true;
    size = size < MIB - offset ? size : MIB - offset;
    buffer_reserve(bytes, size);
    bytes->size = size;
    for (size_t i = 0; i < size; i++) {
        uint64_t segment = name.segment == pair->recycled ? FIRST : name.segment;
        Lsn at = wal_segment_start(segment, MIB) + offset + i;

        bytes->data[i] = at < pair->own.at ? pair->own.bytes.data[at - pair->own.start]
                                           : 0xA5; /* what was there before */
    }
    return true;
}

static ArchiveEnd find_end(Pair *pair)
{
    const BackupList none = {0};
    Error err = {0};
    ArchiveEnd end;

    if (!archive_end_find(&pair->archive.cluster, &pair->archive.inventory, &none, &pair->path,
                          &end, &err))
        fail_msg("%s: %s", err.context, err.message);
    assert_false(end.is_empty);
    return end;
}

static WalFork find_with(Pair *pair, const WalName *waiting, bool waiting_fails)
{
    const ArchiveEnd end = find_end(pair);
    const WalForkSearch search = {.cluster = &pair->archive.cluster,
                                  .wal = &pair->archive.inventory,
                                  .path = &pair->path,
                                  .end = &end,
                                  .read = read_own,
                                  .context = pair,
                                  .written = pair->written,
                                  .checkpoint = pair->parted,
                                  .waiting = waiting,
                                  .waiting_fails = waiting_fails};
    WalFork fork;
    Error err = {0};

    if (!wal_fork_find(&search, &fork, &err))
        fail_msg("%s: %s", err.context, err.message);
    return fork;
}

static WalFork find(Pair *pair)
{
    return find_with(pair, NULL, false);
}

/* The first commit after the fork, on the server that is asked. */
static uint32_t first_exposed(Pair *pair, const WalFork *fork)
{
    const CommitSearch search = {.cluster = &pair->archive.cluster,
                                 .path = &pair->path,
                                 .durable = fork->lsn,
                                 .read_from = fork->read_from,
                                 .stored = fork->stored,
                                 .read = read_own,
                                 .context = pair,
                                 .flushed = pair->written != 0 ? pair->written : pair->own.at,
                                 .bytes_max = UINT64_MAX};
    CommitFound found;
    Error err = {0};

    if (!commit_search(&search, &found, &err))
        fail_msg("%s: %s", err.context, err.message);
    return found.is_found ? found.commit.xid : 0;
}

/* Where they part, and how: in the middle of a segment, at its begin, after a cut record. */
static void past(WalBuilder *wal, unsigned kind)
{
    wal_builder_commit(wal, 100, 1);
    wal_builder_filler(wal, BIG);
    wal_builder_switch(wal);
    wal_builder_commit(wal, 101, 2);
    switch (kind) {
    case 0: /* in the middle */
        wal_builder_filler(wal, BIG);
        wal_builder_commit(wal, 102, 3);
        break;
    case 1: /* where a segment ends by a switch */
        wal_builder_switch(wal);
        break;
    case 2: /* a commit of both that the next segment has the end of */
        fill_segment(wal, 24);
        wal_builder_commit(wal, 102, 3);
        break;
    default: /* a large record */
        wal_builder_filler(wal, 5 * MIB / 2);
        break;
    }
}

static void wherever_two_servers_part_all_after_it_is_exposed(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) {
        /* The server has not come to the archive's end, or ahead of it, or does not tell where it
         * is. */
        for (unsigned i = 0; i < 12; i++) {
            unsigned own = 1 + i % 6;
            CLEANUP(pair_done) Pair pair;

            pair_init(&pair);
            past(&pair.theirs, kind);
            part(&pair);
            go_on(&pair.theirs, 3, 500, 10);
            go_on(&pair.own, own, 900, 90);
            archive_theirs(&pair);
            pair.written = i < 6 ? pair.own.at : 0;
            WalFork fork = find(&pair);

            assert_true(fork.is_found);
            assert_true(fork.is_compared || pair.written == 0);
            assert_false(fork.is_older);
            assert_true(fork.lsn >= pair.parted && fork.lsn < pair.parted + 100);
            assert_int_equal(first_exposed(&pair, &fork), 900);
            /* Its earlier segments are gone: how the first one begins tells. */
            pair.kept_from = wal_segment_of(fork.lsn, MIB);
            fork = find(&pair);
            assert_true(fork.is_found);
            assert_false(fork.is_older);
            assert_int_equal(first_exposed(&pair, &fork), 900);
            if (own == 1 || kind == 3)
                continue;
            /* So is the one in which they parted. */
            pair.kept_from++;
            fork = find(&pair);
            assert_true(fork.is_found);
            assert_true(fork.is_older);
        }
    }
}

static void one_server_has_no_fork(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) {
        CLEANUP(pair_done) Pair pair;

        pair_init(&pair);
        past(&pair.theirs, kind);
        go_on(&pair.theirs, 3, 500, 10);
        part(&pair);
        archive_theirs(&pair);
        /* It was there before its archive; what it has not written yet is not looked at. */
        for (Lsn written = pair.own.at; written > FIRST * MIB + 100; written -= MIB / 3) {
            pair.written = written;
            WalFork fork = find(&pair);
            assert_false(fork.is_found);
            assert_true(fork.is_compared);
            pair.own.at = written;
        }
        pair.own.at = pair.theirs.at;
        go_on(&pair.own, 2, 900, 90);
        pair.written = pair.own.at;
        assert_false(find(&pair).is_found);
        pair.recycled = wal_segment_before(pair.theirs.at, MIB);
        assert_false(find(&pair).is_found);
        pair.kept_from = 1000; /* nothing is left to be compared */
        WalFork fork = find(&pair);
        assert_false(fork.is_found);
        assert_false(fork.is_compared);
    }
}

/* The same records at the same places: on idle servers all but the times of commits is the same. */
static void servers_in_step_are_told_apart(void **state)
{
    CLEANUP(pair_done) Pair pair;

    (void)state;
    pair_init(&pair);
    past(&pair.theirs, 0);
    part(&pair);
    for (int i = 0; i < 2; i++) {
        WalBuilder *wal = i == 0 ? &pair.theirs : &pair.own;

        wal_builder_commit(wal, 500, 1000 + i);
        wal_builder_switch(wal);
        wal_builder_filler(wal, BIG);
        wal_builder_switch(wal);
    }
    archive_theirs(&pair);
    pair.written = pair.own.at;
    WalFork fork = find(&pair);
    assert_true(fork.is_found);
    assert_true(fork.lsn >= pair.parted && fork.lsn < pair.parted + 100);
    assert_int_equal(first_exposed(&pair, &fork), 500);
}

/* Its record begins in a segment of both. */
static void a_commit_that_only_one_of_them_finished_is_exposed(void **state)
{
    CLEANUP(pair_done) Pair pair;

    (void)state;
    pair_init(&pair);
    past(&pair.theirs, 0);
    fill_segment(&pair.theirs, 24);
    Lsn prev = pair.theirs.prev, end = segment_end(&pair.theirs);
    wal_builder_commit(&pair.theirs, 500, 1000);
    part(&pair);
    /* The other one had crashed by then, and gave it up. */
    pair.theirs.bytes.size = (size_t)(end - pair.theirs.start);
    pair.theirs.at = end;
    pair.theirs.prev = prev;
    pair.theirs.overwrites = true;
    go_on(&pair.theirs, 2, 600, 10);
    go_on(&pair.own, 2, 900, 90);
    archive_theirs(&pair);
    pair.written = pair.own.at;
    WalFork fork = find(&pair);
    assert_true(fork.is_found);
    assert_int_equal(wal_segment_of(fork.lsn, MIB), wal_segment_of(end, MIB));
    assert_int_equal(first_exposed(&pair, &fork), 500);
}

/* No sample shows it; that the archiver fails with this very segment does. */
static void a_segment_that_is_refused_is_compared_whole(void **state)
{
    const WalName waiting = {.kind = WAL_SEGMENT, .timeline = 1, .segment = FIRST + 1};
    CLEANUP(pair_done) Pair pair;

    (void)state;
    pair_init(&pair);
    past(&pair.theirs, 0);
    part(&pair);
    for (int i = 0; i < 2; i++) {
        WalBuilder *wal = i == 0 ? &pair.theirs : &pair.own;

        wal_builder_commit(wal, 500, 1000 + i);
        for (int j = 0; j < 4; j++)
            wal_builder_filler(wal, BIG);
        wal_builder_commit(wal, 501, 2000);
        wal_builder_switch(wal);
        wal_builder_commit(wal, 502, 2000);
        wal_builder_switch(wal);
    }
    archive_theirs(&pair);
    pair.written = pair.own.at;
    assert_false(find(&pair).is_found);
    assert_false(find_with(&pair, &waiting, false).is_found);
    WalFork fork = find_with(&pair, &waiting, true);
    assert_true(fork.is_found);
    assert_int_equal(first_exposed(&pair, &fork), 500);
    /* One that was archived by another route. */
    wal_builder_done(&pair.own);
    part(&pair);
    assert_false(find_with(&pair, &waiting, true).is_found);
}

/* receive stores what its server is still writing; the other one has other WAL there. */
static void pieces_are_compared_too(void **state)
{
    for (int is_twin = 0; is_twin < 2; is_twin++) {
        CLEANUP(pair_done) Pair pair;
        CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
        Error err = {0};

        (void)state;
        pair_init(&pair);
        past(&pair.theirs, 0);
        wal_builder_switch(&pair.theirs);
        archive_theirs(&pair);
        part(&pair);
        uint64_t open = wal_segment_of(pair.parted, MIB);
        wal_builder_commit(&pair.theirs, 500, 1000);
        wal_builder_commit(&pair.own, 500 + (uint32_t)is_twin, 1000 + is_twin);
        wal_builder_filler(&pair.own, 10);
        const uint32_t reach = (uint32_t)(pair.theirs.at - pair.parted);
        const WalPiece pieces[] = {{.timeline = 1, .segment = open, .from = 0, .to = 48},
                                   {.timeline = 1, .segment = open, .from = 48, .to = reach}};
        for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
            assert_true(wal_piece_store(&pair.archive.cluster, &pieces[i],
                                        pair.theirs.bytes.data + (pair.parted - FIRST * MIB) +
                                            pieces[i].from,
                                        codec, &err));
        }
        archive_look(&pair.archive);
        pair.written = pair.own.at;
        WalFork fork = find(&pair);
        assert_true(fork.is_compared);
        assert_int_equal(fork.is_found, is_twin);
        if (is_twin != 0)
            assert_int_equal(first_exposed(&pair, &fork), 501);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wherever_two_servers_part_all_after_it_is_exposed),
        cmocka_unit_test(one_server_has_no_fork),
        cmocka_unit_test(servers_in_step_are_told_apart),
        cmocka_unit_test(a_commit_that_only_one_of_them_finished_is_exposed),
        cmocka_unit_test(a_segment_that_is_refused_is_compared_whole),
        cmocka_unit_test(pieces_are_compared_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
