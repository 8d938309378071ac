/* What a part of an archive's listing answers is what the whole one answers, or it says no. */
#include "inventory_part.h"

#include "archive_builder.h"
#include "repo/layout.h"
#include "stores.h"
#include "walk/absence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void put_object(Archive *archive, const char *object)
{
    Error err = {0};

    if (!storage_put(archive->repo.storage, object, WRITE_NEW, "x", 1, &err))
        assert_int_equal(err.code, ERR_EXISTS);
}

static void put_name(Archive *archive, WalFileKind kind, uint32_t timeline, uint64_t segment,
                     const char *ending)
{
    const WalName name = {.kind = kind, .timeline = timeline, .segment = segment, .offset = 0x28};
    char text[WAL_NAME_SIZE];
    CLEANUP(text_freep) char *object = layout_wal("main", wal_name_text(&name, MIB, text));
    CLEANUP(text_freep) char *whole = text_format("%s%s", object, ending);

    put_object(archive, whole);
}

/* So that one folder is left for the next now and then: 4096 segments of 1 MiB are in one. */
enum { FIRST = 4000, SEGMENTS = 200, TIMELINES = 6 };

static void put_timeline(Archive *archive, unsigned *seed, uint32_t timeline)
{
    const unsigned form = (unsigned)rand_r(seed) % 6;
    const uint64_t begin = FIRST + (unsigned)rand_r(seed) % SEGMENTS;
    const uint64_t length = form == 0 ? 3 : (unsigned)rand_r(seed) % SEGMENTS;

    if ((unsigned)rand_r(seed) % 2 == 0)
        put_name(archive, WAL_HISTORY, timeline, 0, "");
    if ((unsigned)rand_r(seed) % 8 == 0)
        put_name(archive, WAL_HISTORY, timeline, 0, ".damaged-0a1b2c3d");
    if (form == 5)
        return;
    for (uint64_t segment = begin; segment < begin + length; segment++) {
        const unsigned what = (unsigned)rand_r(seed) % 40;

        if (what == 0)
            continue; /* a hole */
        if (what == 1 || form == 4)
            put_name(archive, WAL_PARTIAL, timeline, segment, "");
        if (what == 2)
            put_name(archive, WAL_BACKUP_HISTORY, timeline, segment, "");
        if (what == 3)
            put_name(archive, WAL_SEGMENT, timeline, segment, ".damaged-0a1b2c3d");
        if (what != 1 && form != 4)
            put_name(archive, WAL_SEGMENT, timeline, segment, "");
    }
}

/* More foreign names in a row than one listing gives: those must not hide what comes after. */
static void put_foreign(Archive *archive, unsigned *seed)
{
    const unsigned at = (unsigned)rand_r(seed) % 4;
    static const char *const places[] = {"main/wal/00000001", "main/wal/0000000300000000/x",
                                         "main/wal/00000002.z", "main/wal/0"};

    for (unsigned i = 0; i < 40; i++) {
        CLEANUP(text_freep) char *name = text_format("%s-%02u", places[at], i);
        put_object(archive, name);
    }
}

static void fill(Archive *archive, unsigned *seed)
{
    archive_init(archive);
    for (uint32_t timeline = 1; timeline <= TIMELINES; timeline++) {
        if ((unsigned)rand_r(seed) % 3 != 0)
            put_timeline(archive, seed, timeline);
    }
    if ((unsigned)rand_r(seed) % 2 == 0)
        put_foreign(archive, seed);
    if ((unsigned)rand_r(seed) % 3 == 0)
        put_object(archive, "main/open/000000070000000000000FA3.00000000-00000010");
}

enum { QUESTIONS = 5 };

static bool ask(const WalInventory *inventory, unsigned question, uint32_t timeline,
                uint64_t segment)
{
    switch (question) {
    case 0:
        return wal_inventory_has(inventory, timeline, segment);
    case 1:
        return wal_inventory_has_later(inventory, timeline, segment);
    case 2:
        return wal_inventory_has_any(inventory, timeline);
    case 3:
        return wal_inventory_has_partial(inventory, timeline, segment);
    default:
        return wal_inventory_has_history(inventory, timeline);
    }
}

static const uint64_t places[] = {0,           1,           FIRST - 1,   FIRST + 10,
                                  FIRST + 95,  FIRST + 96,  FIRST + 100, FIRST + 150,
                                  FIRST + 260, FIRST + 399, FIRST + 400, 1000000};

/* How many answers hold; those must be the whole archive's. */
static unsigned compare_answers(const Archive *archive, const WalInventory *part, uint32_t timeline,
                                uint64_t segment)
{
    unsigned sufficient = 0;

    for (unsigned question = 0; question < QUESTIONS; question++) {
        part->part->is_exceeded = false; /* each question by itself */
        const bool partly = ask(part, question, timeline, segment);

        if (!wal_inventory_suffices(part))
            continue;
        sufficient++;
        if (partly != ask(&archive->inventory, question, timeline, segment)) {
            fail_msg("question %u about segment %u of timeline %u", question, (unsigned)segment,
                     timeline);
        }
    }
    return sufficient;
}

static void compare(const Archive *archive, uint64_t around, unsigned *sufficient,
                    unsigned *questions)
{
    const WalName name = {.kind = WAL_SEGMENT, .timeline = 1, .segment = around};
    CLEANUP(wal_inventory_done) WalInventory part = {0};
    Error err = {0};

    assert_true(wal_inventory_load_around(&part, &archive->cluster, &name, 1, &err));
    assert_int_equal(part.timeline_max, archive->inventory.timeline_max);
    assert_int_equal(part.history_count, archive->inventory.history_count);
    for (uint32_t timeline = 1; timeline <= TIMELINES + 2; timeline++) {
        *sufficient += compare_answers(archive, &part, timeline, 0);
        for (uint64_t segment = FIRST - 1; segment <= FIRST + 2 * SEGMENTS; segment++)
            *sufficient += compare_answers(archive, &part, timeline, segment);
        *questions += QUESTIONS * (2 * SEGMENTS + 3);
    }
}

static void a_part_answers_as_the_whole_or_says_that_it_can_not(void **state)
{
    unsigned seed = 20261201;
    unsigned sufficient = 0, questions = 0;

    (void)state;
    for (unsigned round = 0; round < 60; round++) {
        CLEANUP(archive_done) Archive archive;

        fill(&archive, &seed);
        archive_look(&archive);
        compare(&archive, places[(unsigned)rand_r(&seed) % ARRAY_SIZE(places)], &sufficient,
                &questions);
    }
    /* Most are answered; and some are not, or this has tested nothing. */
    assert_true(sufficient > questions / 2);
    assert_true(sufficient < questions);
}

/* Around the end of a long timeline: all that a proof of absence asks is known. */
static void at_the_end_a_part_knows_all_that_matters(void **state)
{
    static const WalName names[] = {{.kind = WAL_SEGMENT, .timeline = 1, .segment = FIRST + 200},
                                    {.kind = WAL_SEGMENT, .timeline = 1, .segment = FIRST + 190}};
    CLEANUP(archive_done) Archive archive;
    CLEANUP(wal_inventory_done) WalInventory part = {0};
    Error err = {0};

    (void)state;
    archive_init(&archive);
    for (uint64_t segment = FIRST; segment < FIRST + 200; segment++)
        put_name(&archive, WAL_SEGMENT, 1, segment, "");
    assert_true(wal_inventory_load_around(&part, &archive.cluster, names, ARRAY_SIZE(names), &err));

    assert_false(wal_inventory_has(&part, 1, FIRST + 200));
    assert_false(wal_inventory_has_later(&part, 1, FIRST + 200));
    assert_true(wal_inventory_has_later(&part, 1, FIRST + 190));
    assert_true(wal_inventory_has_later(&part, 1, 0));
    assert_true(wal_inventory_has_any(&part, 1));
    assert_false(wal_inventory_has_any(&part, 2));
    assert_false(wal_inventory_has_partial(&part, 1, FIRST + 195));
    assert_true(wal_inventory_has(&part, 1, FIRST));
    assert_true(wal_inventory_suffices(&part));

    assert_false(wal_inventory_has(&part, 1, FIRST + 100)); /* it is there */
    assert_false(wal_inventory_suffices(&part));
}

/* It has none of them, so it must not say that nothing is known against a segment. */
/* A listing that is cut between the .partial file of a segment and the segment. */
static void a_segment_of_which_the_rest_was_cut_off_is_not_known(void **state)
{
    static const WalName far = {.kind = WAL_SEGMENT, .timeline = 1, .segment = FIRST + 5000};
    CLEANUP(archive_done) Archive archive;

    (void)state;
    archive_init(&archive);
    for (uint64_t segment = FIRST; segment < FIRST + 100; segment++)
        put_name(&archive, WAL_SEGMENT, 1, segment, "");
    for (uint64_t segment = FIRST; segment < FIRST + 100; segment++) {
        CLEANUP(wal_inventory_done) WalInventory part = {0};
        Error err = {0};

        put_name(&archive, WAL_PARTIAL, 1, segment, "");
        assert_true(wal_inventory_load_around(&part, &archive.cluster, &far, 1, &err));
        for (uint64_t asked = FIRST; asked < FIRST + 100; asked++) {
            part.part->is_exceeded = false;
            assert_true(wal_inventory_has(&part, 1, asked) || !wal_inventory_suffices(&part));
        }
    }
}

static void a_part_knows_no_marks(void **state)
{
    static const WalName name = {.kind = WAL_SEGMENT, .timeline = 1, .segment = FIRST};
    CLEANUP(archive_done) Archive archive;
    CLEANUP(wal_inventory_done) WalInventory part = {0};
    Error err = {0};

    (void)state;
    archive_init(&archive);
    put_name(&archive, WAL_SEGMENT, 1, FIRST, "");
    assert_true(wal_inventory_load_around(&part, &archive.cluster, &name, 1, &err));
    assert_true(wal_inventory_suffices(&part));
    assert_null(wal_inventory_damage(&part, 1, FIRST, MIB));
    assert_false(wal_inventory_suffices(&part));
}

static void a_listing_that_fails_is_no_part(void **state)
{
    static const WalName name = {.kind = WAL_SEGMENT, .timeline = 1, .segment = FIRST + 100};
    CLEANUP(archive_done) Archive archive;
    StorageFault fault = {.code = ERR_UNREACHABLE};

    (void)state;
    archive_init(&archive);
    for (uint64_t segment = FIRST; segment < FIRST + 100; segment++)
        put_name(&archive, WAL_SEGMENT, 1, segment, "");
    archive.repo.storage = storage_fault_new(archive.repo.storage, &fault);
    for (unsigned i = 1;; i++) {
        CLEANUP(wal_inventory_done) WalInventory part = {0};
        Error err = {0};
        const uint64_t before = storage_fault_calls(archive.repo.storage);

        fault.fail_at = before + i;
        const bool ok = wal_inventory_load_around(&part, &archive.cluster, &name, 1, &err);
        if (storage_fault_calls(archive.repo.storage) - before < i) {
            assert_true(ok && i > 3); /* pieces, the first names, around the segment, the rest */
            break;
        }
        assert_false(ok);
        assert_int_equal(err.code, ERR_UNREACHABLE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_answers_as_the_whole_or_says_that_it_can_not),
        cmocka_unit_test(at_the_end_a_part_knows_all_that_matters),
        cmocka_unit_test(a_segment_of_which_the_rest_was_cut_off_is_not_known),
        cmocka_unit_test(a_part_knows_no_marks),
        cmocka_unit_test(a_listing_that_fails_is_no_part),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
