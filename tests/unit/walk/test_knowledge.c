#include "walk/knowledge.h"

#include "base/bytes.h"
#include "repo/layout.h"
#include "storage/wrap.h"
#include "stores.h"
#include "walk/learning.h"
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* The archive was made a moment ago: an hour later it is settled. */
static TimeUs later(unsigned hours)
{
    return time_now() + (TimeUs)hours * 3600 * 1000000;
}

static WalLesson lesson_of(const Archive *archive, LessonKind kind, uint32_t timeline,
                           uint64_t segment, WalTrailer *trailer)
{
    const WalStored *stored = wal_inventory_stored(&archive->inventory, timeline, segment);
    char name[WAL_NAME_SIZE];
    Error err = {0};

    assert_non_null(stored);
    wal_name_text(&(WalName){.kind = WAL_SEGMENT, .timeline = timeline, .segment = segment}, MIB,
                  name);
    assert_true(wal_object_trailer(&archive->cluster, name, trailer, &err));
    return (WalLesson){.kind = kind,
                       .timeline = timeline,
                       .segment = segment,
                       .stored = *stored,
                       .trailer = trailer};
}

static void learn_one(const Archive *archive, LessonKind kind, bool keeps_others, TimeUs at,
                      uint32_t timeline, uint64_t segment)
{
    CLEANUP(wal_learning_freep)
    WalLearning *learning = wal_learning_new(&archive->cluster, keeps_others, at);
    WalTrailer trailer;
    WalLesson lesson = lesson_of(archive, kind, timeline, segment, &trailer);
    Error err = {0};

    assert_true(wal_learning_note(learning, &lesson, &err));
    assert_true(wal_learning_finish(learning, &err));
}

static void learn_all(const Archive *archive, LessonKind kind, TimeUs at)
{
    CLEANUP(wal_learning_freep)
    WalLearning *learning = wal_learning_new(&archive->cluster, false, at);
    Error err = {0};

    for (size_t i = 0; i < archive->inventory.run_count; i++) {
        const WalRun *run = &archive->inventory.runs[i];

        for (uint64_t segment = run->first; segment <= run->last; segment++) {
            WalTrailer trailer;
            WalLesson lesson = lesson_of(archive, kind, run->timeline, segment, &trailer);

            assert_true(wal_learning_note(learning, &lesson, &err));
        }
    }
    assert_true(wal_learning_finish(learning, &err));
}

/* When it was verified last, as it is remembered now; 0: nothing is. */
static TimeUs verified(const Archive *archive, uint32_t timeline, uint64_t segment)
{
    CLEANUP(wal_knowledge_freep) WalKnowledge *known = wal_knowledge_new(&archive->cluster);
    const WalStored *stored = wal_inventory_stored(&archive->inventory, timeline, segment);
    WalTrailer trailer;
    TimeUs at;

    assert_non_null(stored);
    return wal_knowledge_find(known, timeline, segment, stored, &trailer, &at) ? at : 0;
}

static size_t known_objects(const Archive *archive, char **first)
{
    CLEANUP(object_list_done) ObjectList list = {0};
    Error err = {0};

    assert_true(storage_list(archive->repo.storage, "main/known/", &list, &err));
    if (first != NULL)
        *first = text_format("%s", list.count > 0 ? list.objects[0].name : "");
    return list.count;
}

typedef struct Seen {
    Buffer trailers;
    uint64_t seed;
    WalWalkEnd end;
} Seen;

static void seen_done(Seen *seen)
{
    buffer_done(&seen->trailers);
}

static WalkStep see(void *context, uint32_t timeline, uint64_t segment, const WalTrailer *trailer,
                    Error *err)
{
    Seen *seen = context;
    uint8_t bytes[WAL_TRAILER_SIZE];

    (void)err;
    wal_trailer_encode(trailer, seen->seed, bytes);
    buffer_append(&seen->trailers, &timeline, sizeof timeline);
    buffer_append(&seen->trailers, &segment, sizeof segment);
    buffer_append(&seen->trailers, bytes, sizeof bytes);
    return WALK_ON;
}

static void walk(World *world, Seen *seen)
{
    WalWalk over = world_walk(world);
    Error err = {0};

    seen->trailers.size = 0;
    seen->seed = world->archive.repo.hash_seed;
    assert_true(wal_walk_trailers(&over, see, seen, &seen->end, &err));
}

static void assert_same(const Seen *one, const Seen *other)
{
    assert_int_equal(one->trailers.size, other->trailers.size);
    assert_memory_equal(one->trailers.data, other->trailers.data, one->trailers.size);
    assert_true(one->end.last_end == other->end.last_end);
    assert_true(one->end.segments == other->end.segments);
    assert_true(one->end.stored_bytes == other->end.stored_bytes);
    assert_int_equal(one->end.is_broken, other->end.is_broken);
    assert_int_equal(one->end.is_hole, other->end.is_hole);
}

static Storage *count_calls(World *world, const StorageFault *fault)
{
    world->archive.repo.storage = storage_fault_new(world->archive.repo.storage, fault);
    return world->archive.repo.storage;
}

static void a_walk_over_what_is_remembered_sees_the_same_and_reads_nothing_else(void **state)
{
    CLEANUP(world_done) World world;
    CLEANUP(seen_done) Seen before = {0};
    CLEANUP(seen_done) Seen after = {0};
    const StorageFault fault = {0};

    (void)state;
    world_init(&world);
    const Storage *counted = count_calls(&world, &fault);
    archive_look(&world.archive);
    walk(&world, &before);
    assert_true(before.end.segments > 5);
    const uint64_t calls = storage_fault_calls(counted);

    walk(&world, &after);
    const uint64_t unremembered = storage_fault_calls(counted) - calls;
    assert_same(&before, &after);
    learn_all(&world.archive, LESSON_TRAILER, later(1));
    archive_look(&world.archive);
    const uint64_t ready = storage_fault_calls(counted);
    walk(&world, &after);
    assert_same(&before, &after);

    /* The listing of what is known, one object for each timeline; joined records are read. */
    const uint64_t joined = unremembered - before.end.segments;
    assert_int_equal(storage_fault_calls(counted) - ready, 1 + 2 + joined);
}

/* Whatever is wrong with what is remembered: all is read, as if nothing were. */
static void damaged_memory_is_as_good_as_none(void **state)
{
    CLEANUP(world_done) World world;
    CLEANUP(seen_done) Seen before = {0};
    CLEANUP(text_freep) char *name = NULL;
    CLEANUP(buffer_done) Buffer bytes = {0};
    Error err = {0};

    (void)state;
    world_init(&world);
    walk(&world, &before);
    learn_all(&world.archive, LESSON_WHOLE, later(1));
    assert_int_equal(known_objects(&world.archive, &name), 2);
    assert_true(storage_read(world.archive.repo.storage, name, MIB, &bytes, &err));
    for (size_t at = 0; at < bytes.size; at += 1 + bytes.size / 40) {
        CLEANUP(seen_done) Seen after = {0};

        bytes.data[at] ^= 4;
        assert_true(storage_put(world.archive.repo.storage, name, WRITE_REPLACE, bytes.data,
                                bytes.size, &err));
        bytes.data[at] ^= 4;
        archive_look(&world.archive);
        assert_int_equal(verified(&world.archive, 1, 3), 0);
        walk(&world, &after);
        assert_same(&before, &after);
    }
}

static void what_cant_be_reached_of_it_is_not_known(void **state)
{
    CLEANUP(world_done) World world;
    CLEANUP(seen_done) Seen before = {0};
    StorageFault fault = {.code = ERR_UNREACHABLE};

    (void)state;
    world_init(&world);
    walk(&world, &before);
    learn_all(&world.archive, LESSON_WHOLE, later(1));
    const Storage *counted = count_calls(&world, &fault);
    /* The listing, and the two objects: what is asked first. */
    for (uint64_t n = 1; n <= 2; n++) {
        CLEANUP(seen_done) Seen after = {0};

        fault.fail_at = 0;
        archive_look(&world.archive);
        fault.fail_at = storage_fault_calls(counted) + n;
        walk(&world, &after);
        assert_same(&before, &after);
    }
}

static void only_the_very_object_is_recognised(void **state)
{
    CLEANUP(world_done) World world;

    (void)state;
    world_init(&world);
    learn_all(&world.archive, LESSON_WHOLE, later(1));
    archive_look(&world.archive);
    CLEANUP(wal_knowledge_freep)
    WalKnowledge *known = wal_knowledge_new(&world.archive.cluster);
    const WalStored stored = *wal_inventory_stored(&world.archive.inventory, 1, 3);
    const WalStored others[] = {{stored.size + 1, stored.at},
                                {stored.size - 1, stored.at},
                                {stored.size, stored.at + 1},
                                {stored.size, stored.at - 1},
                                {stored.size, 0}};
    WalTrailer trailer;
    TimeUs at;

    assert_true(wal_knowledge_find(known, 1, 3, &stored, &trailer, &at));
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        assert_false(wal_knowledge_find(known, 1, 3, &others[i], &trailer, &at));
    assert_false(wal_knowledge_find(known, 3, 3, &stored, &trailer, &at));
    assert_false(wal_knowledge_find(known, 1, 3000, &stored, &trailer, &at));
}

/* In the same tick of the store's clock another one could take its place. */
static void what_was_stored_just_now_is_not_remembered(void **state)
{
    static const struct {
        TimeUs after;
        bool is_remembered;
    } cases[] = {{-3600 * INT64_C(1000000), false},
                 {0, false},
                 {INT64_C(9999999), false},
                 {INT64_C(10000000), true}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(world_done) World world;

        world_init(&world);
        const TimeUs stored_at = wal_inventory_stored(&world.archive.inventory, 1, 3)->at;
        learn_one(&world.archive, LESSON_WHOLE, false, stored_at + cases[i].after, 1, 3);
        assert_int_equal(verified(&world.archive, 1, 3),
                         cases[i].is_remembered ? stored_at + cases[i].after : 0);
    }
}

static void a_trailer_that_was_read_is_not_taken_for_a_segment_that_was(void **state)
{
    CLEANUP(world_done) World world;

    (void)state;
    world_init(&world);
    learn_all(&world.archive, LESSON_TRAILER, later(1));
    assert_true(verified(&world.archive, 1, 3) == TIME_US_NONE);
    const TimeUs at = later(2);
    learn_one(&world.archive, LESSON_WHOLE, true, at, 1, 3);
    assert_true(verified(&world.archive, 1, 3) == at);
    assert_true(verified(&world.archive, 1, 4) == TIME_US_NONE);
    assert_int_equal(known_objects(&world.archive, NULL), 2);
}

static void what_nothing_is_said_of_stays_or_goes_as_asked(void **state)
{
    CLEANUP(world_done) World world;
    const TimeUs first = later(1);

    (void)state;
    world_init(&world);
    learn_all(&world.archive, LESSON_WHOLE, first);
    learn_one(&world.archive, LESSON_WHOLE, true, later(2), 1, 3);
    assert_true(verified(&world.archive, 1, 4) == first);
    assert_true(verified(&world.archive, 2, world.fork_segment) == first);

    learn_one(&world.archive, LESSON_WHOLE, false, later(3), 1, 3);
    assert_int_equal(verified(&world.archive, 1, 4), 0);
    assert_int_equal(verified(&world.archive, 2, world.fork_segment), 0);
    assert_int_equal(known_objects(&world.archive, NULL), 1);
}

static void what_is_bad_is_forgotten(void **state)
{
    CLEANUP(world_done) World world;

    (void)state;
    world_init(&world);
    for (unsigned keeps = 0; keeps <= 1; keeps++) {
        learn_all(&world.archive, LESSON_WHOLE, later(1));
        learn_one(&world.archive, LESSON_BAD, keeps, later(2), 1, 3);
        assert_int_equal(verified(&world.archive, 1, 3), 0);
        assert_int_equal(verified(&world.archive, 1, 4) != 0, keeps);
    }
    /* Nothing is left of the stretch: its object goes, too. */
    learn_one(&world.archive, LESSON_WHOLE, false, later(1), 1, 3);
    assert_int_equal(known_objects(&world.archive, NULL), 1);
    learn_one(&world.archive, LESSON_BAD, false, later(2), 1, 3);
    assert_int_equal(known_objects(&world.archive, NULL), 0);
}

/* Another run, which read it meanwhile, found it bad. */
static void what_is_believed_stays_only_while_it_is_remembered(void **state)
{
    CLEANUP(world_done) World world;
    const TimeUs first = later(1);

    (void)state;
    world_init(&world);
    learn_one(&world.archive, LESSON_WHOLE, false, first, 1, 3);
    learn_one(&world.archive, LESSON_BELIEVED, false, later(2), 1, 3);
    assert_true(verified(&world.archive, 1, 3) == first);

    learn_one(&world.archive, LESSON_BAD, false, later(2), 1, 3);
    learn_one(&world.archive, LESSON_BELIEVED, false, later(3), 1, 3);
    assert_int_equal(verified(&world.archive, 1, 3), 0);
}

/* It was replaced since it was believed. */
static void what_is_remembered_of_another_object_does_not_stay(void **state)
{
    CLEANUP(world_done) World world;
    WalTrailer trailer;
    Error err = {0};

    (void)state;
    world_init(&world);
    learn_one(&world.archive, LESSON_WHOLE, false, later(1), 1, 3);
    for (unsigned i = 0; i < 2; i++) {
        CLEANUP(wal_learning_freep)
        WalLearning *learning = wal_learning_new(&world.archive.cluster, false, later(2));
        WalLesson lesson = lesson_of(&world.archive, LESSON_BELIEVED, 1, 3, &trailer);

        lesson.stored.size += i == 0;
        lesson.stored.at += i == 1;
        assert_true(wal_learning_note(learning, &lesson, &err));
        assert_true(wal_learning_finish(learning, &err));
        assert_int_equal(verified(&world.archive, 1, 3), 0);
        learn_one(&world.archive, LESSON_WHOLE, false, later(1), 1, 3);
    }
}

/* Of two runs that were killed, or ran side by side. */
static void of_several_objects_the_latest_reading_counts_and_one_is_left(void **state)
{
    CLEANUP(world_done) World world;
    CLEANUP(text_freep) char *name = NULL;
    CLEANUP(buffer_done) Buffer bytes = {0};
    const TimeUs first = later(1);
    const TimeUs second = later(2);
    Error err = {0};

    (void)state;
    world_init(&world);
    learn_one(&world.archive, LESSON_WHOLE, false, first, 1, 3);
    assert_int_equal(known_objects(&world.archive, &name), 1);
    assert_true(storage_read(world.archive.repo.storage, name, MIB, &bytes, &err));
    learn_one(&world.archive, LESSON_WHOLE, false, second, 1, 3);
    /* As if the first had not been removed, under names before and after the second's. */
    for (unsigned i = 0; i < 2; i++) {
        CLEANUP(text_freep)
        char *other = layout_known_wal("main", 1, 0, i == 0 ? 0 : UINT64_MAX);

        assert_true(storage_put(world.archive.repo.storage, other, WRITE_NEW, bytes.data,
                                bytes.size, &err));
    }
    assert_true(verified(&world.archive, 1, 3) == second);

    learn_one(&world.archive, LESSON_BELIEVED, true, later(3), 1, 3);
    assert_true(verified(&world.archive, 1, 3) == second);
    assert_int_equal(known_objects(&world.archive, NULL), 1);
}

static void a_newer_versions_object_is_left_alone_and_a_damaged_one_replaced(void **state)
{
    CLEANUP(world_done) World world;
    CLEANUP(text_freep) char *name = NULL;
    CLEANUP(buffer_done) Buffer bytes = {0};
    Error err = {0};

    (void)state;
    world_init(&world);
    learn_one(&world.archive, LESSON_WHOLE, false, later(1), 1, 3);
    assert_int_equal(known_objects(&world.archive, &name), 1);
    assert_true(storage_read(world.archive.repo.storage, name, MIB, &bytes, &err));
    put_le16(bytes.data + 8 + 8, 2); /* its version */
    assert_true(
        storage_put(world.archive.repo.storage, name, WRITE_REPLACE, bytes.data, bytes.size, &err));
    assert_int_equal(verified(&world.archive, 1, 3), 0);
    learn_one(&world.archive, LESSON_WHOLE, false, later(1), 1, 3);
    assert_int_equal(known_objects(&world.archive, NULL), 2);
    assert_true(storage_stat(world.archive.repo.storage, name, NULL, NULL, &err));

    assert_true(storage_put(world.archive.repo.storage, name, WRITE_REPLACE, "nonsense", 8, &err));
    learn_one(&world.archive, LESSON_WHOLE, false, later(2), 1, 3);
    assert_int_equal(known_objects(&world.archive, NULL), 1);
}

/* A run that ends anywhere leaves what is true: the old entries, the new ones, or both. */
static void a_run_that_fails_anywhere_leaves_nothing_wrong(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        CLEANUP(world_done) World world;
        StorageFault fault = {.code = ERR_UNREACHABLE};
        const TimeUs first = later(1);
        const TimeUs second = later(2);
        WalTrailer trailer;
        Error err = {0};

        world_init(&world);
        learn_one(&world.archive, LESSON_WHOLE, false, first, 1, 3);
        const Storage *counted = count_calls(&world, &fault);
        CLEANUP(wal_learning_freep)
        WalLearning *learning = wal_learning_new(&world.archive.cluster, false, second);
        WalLesson lesson = lesson_of(&world.archive, LESSON_WHOLE, 1, 3, &trailer);
        assert_true(wal_learning_note(learning, &lesson, &err));
        fault.fail_at = storage_fault_calls(counted) + n;
        bool ok = wal_learning_finish(learning, &err);
        const bool is_over = storage_fault_calls(counted) < fault.fail_at;
        fault.fail_at = 0;
        const TimeUs at = verified(&world.archive, 1, 3);
        assert_true(at == second || (!ok && at == first));
        if (is_over) {
            assert_true(ok && n > 4);
            break;
        }
        assert_false(ok);
        assert_int_equal(err.code, ERR_UNREACHABLE);
    }
}

static void many_segments(Archive *archive, WalBuilder *wal, uint64_t count)
{
    while (wal->bytes.size < count * MIB)
        wal_builder_filler(wal, 8000);
    archive_put_segments(archive, wal, 1, 3, 3 + count - 1);
    archive_look(archive);
}

static void many_trailers_are_remembered_and_a_few_are_not(void **state)
{
    static const struct {
        uint64_t count;
        size_t objects;
    } cases[] = {{63, 0}, {64, 1}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(archive_done) Archive archive;
        CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, 3 * (Lsn)MIB, 1);
        Error err = {0};

        archive_init(&archive);
        many_segments(&archive, &wal, cases[i].count);
        assert_true(wal_learning_refresh(&archive.cluster, later(1), &err));
        assert_int_equal(known_objects(&archive, NULL), cases[i].objects);
        for (uint64_t s = 3; s < 3 + cases[i].count; s++)
            assert_true(verified(&archive, 1, s) == (cases[i].objects == 0 ? 0 : TIME_US_NONE));
        /* Nothing is new: nothing is written. */
        assert_true(wal_learning_refresh(&archive.cluster, later(2), &err));
        assert_int_equal(known_objects(&archive, NULL), cases[i].objects);
    }
}

static void a_trailer_that_cant_be_read_is_not_remembered(void **state)
{
    CLEANUP(archive_done) Archive archive;
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, 3 * (Lsn)MIB, 1);
    Error err = {0};

    (void)state;
    archive_init(&archive);
    many_segments(&archive, &wal, 66);
    archive_damage(&archive, 1, 10, SIZE_MAX);
    archive_look(&archive);
    assert_true(wal_learning_refresh(&archive.cluster, later(1), &err));
    assert_int_equal(err.code, ERR_NONE);
    assert_int_equal(verified(&archive, 1, 10), 0);
    assert_true(verified(&archive, 1, 11) == TIME_US_NONE);
}

static void who_distrusts_reads_everything(void **state)
{
    CLEANUP(world_done) World world;
    CLEANUP(seen_done) Seen before = {0};
    CLEANUP(seen_done) Seen after = {0};
    const StorageFault fault = {0};

    (void)state;
    world_init(&world);
    learn_all(&world.archive, LESSON_WHOLE, later(1));
    const Storage *counted = count_calls(&world, &fault);
    archive_look(&world.archive);
    wal_inventory_distrust(&world.archive.inventory);
    const uint64_t calls = storage_fault_calls(counted);
    walk(&world, &before);
    assert_true(storage_fault_calls(counted) - calls >= before.end.segments);
    walk(&world, &after);
    assert_same(&before, &after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_walk_over_what_is_remembered_sees_the_same_and_reads_nothing_else),
        cmocka_unit_test(damaged_memory_is_as_good_as_none),
        cmocka_unit_test(what_cant_be_reached_of_it_is_not_known),
        cmocka_unit_test(only_the_very_object_is_recognised),
        cmocka_unit_test(what_was_stored_just_now_is_not_remembered),
        cmocka_unit_test(a_trailer_that_was_read_is_not_taken_for_a_segment_that_was),
        cmocka_unit_test(what_nothing_is_said_of_stays_or_goes_as_asked),
        cmocka_unit_test(what_is_bad_is_forgotten),
        cmocka_unit_test(what_is_believed_stays_only_while_it_is_remembered),
        cmocka_unit_test(what_is_remembered_of_another_object_does_not_stay),
        cmocka_unit_test(of_several_objects_the_latest_reading_counts_and_one_is_left),
        cmocka_unit_test(a_newer_versions_object_is_left_alone_and_a_damaged_one_replaced),
        cmocka_unit_test(a_run_that_fails_anywhere_leaves_nothing_wrong),
        cmocka_unit_test(many_trailers_are_remembered_and_a_few_are_not),
        cmocka_unit_test(a_trailer_that_cant_be_read_is_not_remembered),
        cmocka_unit_test(who_distrusts_reads_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
