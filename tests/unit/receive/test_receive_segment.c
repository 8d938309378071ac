#include "receive_segment.h"

#include "../scene.h"
#include "repo/layout.h"
#include "stores.h"

static const Compression zstd = {.codec = CODEC_ZSTD, .level = 1};

/* Segments of 16 MiB and more slide through the window; these are small and do not. */
static OpenSegment *begin_how(const Scene *scene, uint64_t number, bool is_at_once)
{
    CLEANUP(arena_done) Arena arena = {0};
    OpenSegment *segment = NULL;
    Error err = {0};
    TimelinePath path;

    assert_true(timeline_path_parse(1, NULL, &arena, &path, &err));
    assert_true(open_segment_begin(&(OpenSegmentSetup){.cluster = &scene->archive.cluster,
                                                       .timeline = 1,
                                                       .segment = number,
                                                       .path = &path,
                                                       .compression = zstd,
                                                       .threads = 1,
                                                       .is_at_once = is_at_once},
                                   &segment, &err));
    return segment;
}

static OpenSegment *begin(const Scene *scene, uint64_t number)
{
    return begin_how(scene, number, false);
}

static void add(OpenSegment *segment, const Scene *scene, uint64_t number, uint32_t from,
                uint32_t to)
{
    Error err = {0};

    assert_int_equal(open_segment_received(segment), from);
    assert_true(open_segment_add(segment, wal_builder_segment(&scene->wal, number) + from,
                                 to - from, &err));
}

static void store(OpenSegment *segment)
{
    Error err = {0};

    assert_true(open_segment_store(segment, &err));
    assert_int_equal(open_segment_durable(segment), open_segment_received(segment));
}

static bool append(void *context, const void *data, size_t size, Error *err)
{
    (void)err;
    buffer_append(context, data, size);
    return true;
}

/* The archive has exactly the first `size` bytes of it in pieces. */
static void assert_pieces(const Scene *scene, uint64_t number, uint32_t size)
{
    CLEANUP(wal_pieces_done) WalPieceList list = {0};
    CLEANUP(buffer_done) Buffer content = {0};
    Error err = {0};
    uint32_t reach;

    assert_true(wal_pieces_load(&list, &scene->archive.cluster, &err));
    assert_true(
        wal_pieces_read(&scene->archive.cluster, &list, 1, number, append, &content, &reach, &err));
    assert_int_equal(reach, size);
    assert_int_equal(content.size, size);
    if (size > 0)
        assert_memory_equal(content.data, wal_builder_segment(&scene->wal, number), size);
}

static void assert_whole(const Scene *scene, uint64_t number)
{
    CLEANUP(buffer_done) Buffer content = {0};
    char name[WAL_NAME_SIZE];

    scene_archived(scene, scene_segment_name(1, number, name), &content);
    assert_int_equal(content.size, MIB);
    assert_memory_equal(content.data, wal_builder_segment(&scene->wal, number), MIB);
    assert_int_equal(scene_objects(scene, "main/open/"), 0);
}

static void what_was_stored_is_there_and_what_was_not_is_not(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(open_segment_freep) OpenSegment *segment = NULL;

    (void)state;
    scene_init(&scene);
    segment = begin(&scene, 2);
    add(segment, &scene, 2, 0, 100);
    assert_int_equal(open_segment_durable(segment), 0);
    assert_pieces(&scene, 2, 0);
    store(segment);
    assert_pieces(&scene, 2, 100);
    add(segment, &scene, 2, 100, 5000);
    assert_int_equal(open_segment_durable(segment), 100);
    store(segment);
    store(segment);
    assert_pieces(&scene, 2, 5000);
    assert_int_equal(scene_objects(&scene, "main/open/"), 2);
}

static void many_pieces_become_one(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(open_segment_freep) OpenSegment *segment = NULL;

    (void)state;
    scene_init(&scene);
    segment = begin(&scene, 2);
    for (uint32_t at = 0; at < 200 * 50; at += 50) {
        add(segment, &scene, 2, at, at + 50);
        store(segment);
        assert_true(scene_objects(&scene, "main/open/") <= 33);
        assert_pieces(&scene, 2, at + 50);
    }
}

static void a_whole_segment_takes_the_place_of_its_pieces(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(open_segment_freep) OpenSegment *segment = NULL;
    Error err = {0};

    (void)state;
    scene_init(&scene);
    segment = begin(&scene, 2);
    add(segment, &scene, 2, 0, 70000);
    store(segment);
    add(segment, &scene, 2, 70000, MIB);
    assert_true(open_segment_commit(segment, &err));
    assert_whole(&scene, 2);
}

/* A run that goes on compares with what the one before stored. */
static void what_comes_at_once_is_stored_as_a_whole_only(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(open_segment_freep) OpenSegment *segment = NULL;
    Error err = {0};

    (void)state;
    scene_init(&scene);
    segment = begin_how(&scene, 2, true);
    add(segment, &scene, 2, 0, 10);
    add(segment, &scene, 2, 10, 300000);
    assert_false(open_segment_has_new(segment));
    assert_true(open_segment_store(segment, &err));
    assert_int_equal(open_segment_durable(segment), 0);
    assert_int_equal(scene_objects(&scene, "main/"), 1); /* the registration */
    add(segment, &scene, 2, 300000, MIB);
    assert_int_equal(open_segment_durable(segment), 0);
    assert_true(open_segment_commit(segment, &err));
    assert_int_equal(open_segment_durable(segment), MIB);
    assert_whole(&scene, 2);
}

/* Else what an earlier run has acknowledged in pieces would not be compared. */
static void what_is_there_in_pieces_does_not_come_at_once(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(open_segment_freep) OpenSegment *first = NULL;
    CLEANUP(open_segment_freep) OpenSegment *segment = NULL;
    CLEANUP(buffer_done) Buffer other = {0};
    Error err = {0};

    (void)state;
    scene_init(&scene);
    first = begin(&scene, 2);
    add(first, &scene, 2, 0, 5000);
    store(first);
    buffer_append(&other, wal_builder_segment(&scene.wal, 2), MIB);
    other.data[4000] ^= 1;

    segment = begin_how(&scene, 2, true);
    assert_false(open_segment_is_at_once(segment));
    assert_true(open_segment_add(segment, other.data, MIB, &err));
    assert_false(open_segment_commit(segment, &err));
    assert_int_equal(err.code, ERR_EXISTS);
    assert_pieces(&scene, 2, 5000);
}

static void the_next_run_goes_on_where_the_pieces_end(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(open_segment_freep) OpenSegment *first = NULL;
    CLEANUP(open_segment_freep) OpenSegment *second = NULL;
    Error err = {0};

    (void)state;
    scene_init(&scene);
    first = begin(&scene, 2);
    add(first, &scene, 2, 0, 100);
    store(first);
    add(first, &scene, 2, 100, 70000);
    store(first);
    open_segment_freep(&first);

    second = begin(&scene, 2);
    assert_int_equal(open_segment_durable(second), 0);
    add(second, &scene, 2, 0, 50000);
    store(second);
    assert_int_equal(scene_objects(&scene, "main/open/"), 2);
    add(second, &scene, 2, 50000, 80000);
    store(second);
    assert_int_equal(scene_objects(&scene, "main/open/"), 3);
    assert_pieces(&scene, 2, 80000);
    add(second, &scene, 2, 80000, MIB);
    assert_true(open_segment_commit(second, &err));
    assert_whole(&scene, 2);
}

static void store_other_content(const Scene *scene, uint32_t from, uint32_t to, size_t changed)
{
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    const WalPiece piece = {.timeline = 1, .segment = 2, .from = from, .to = to};
    uint8_t *bytes = mem_alloc(to - from);
    Error err = {0};

    memcpy(bytes, wal_builder_segment(&scene->wal, 2) + from, to - from);
    bytes[changed - from] ^= 1;
    assert_true(wal_piece_store(&scene->archive.cluster, &piece, bytes, codec, &err));
    mem_free(bytes);
}

static void pieces_with_other_content_are_refused_and_kept(void **state)
{
    static const struct {
        uint32_t received;
        bool commits;
        bool fails;
    } cases[] = {
        {2999, false, false}, /* not there yet */
        {3001, false, true},  {4000, false, true}, {MIB, false, true}, {MIB, true, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(scene_done) Scene scene;
        CLEANUP(open_segment_freep) OpenSegment *segment = NULL;
        Error err = {0};

        scene_init(&scene);
        store_other_content(&scene, 0, 4000, 3000);
        segment = begin(&scene, 2);
        add(segment, &scene, 2, 0, cases[i].received);
        assert_int_equal(cases[i].commits ? open_segment_commit(segment, &err)
                                          : open_segment_store(segment, &err),
                         !cases[i].fails);
        assert_int_equal(err.code, cases[i].fails ? ERR_EXISTS : ERR_NONE);
        assert_int_equal(scene_objects(&scene, "main/open/"), 1);
        assert_true(scene_objects(&scene, "main/wal/") == 0);
    }
}

/* A piece that nobody could tell durable, since what comes before it is missing, counts too. */
static void a_piece_after_a_gap_is_compared_before_it_is_replaced(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(open_segment_freep) OpenSegment *segment = NULL;
    Error err = {0};

    (void)state;
    scene_init(&scene);
    store_other_content(&scene, 2000, 4000, 3000);
    segment = begin(&scene, 2);
    add(segment, &scene, 2, 0, 5000);
    assert_false(open_segment_store(segment, &err));
    assert_int_equal(err.code, ERR_EXISTS);
    assert_int_equal(open_segment_durable(segment), 2000);
}

static void a_damaged_piece_is_stored_anew(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(open_segment_freep) OpenSegment *first = NULL;
    CLEANUP(open_segment_freep) OpenSegment *second = NULL;
    CLEANUP(buffer_done) Buffer bytes = {0};
    static const char name[] = "main/open/000000010000000000000002.00000000-00000FA0";
    Storage *storage = NULL;
    Error err = {0};

    (void)state;
    scene_init(&scene);
    storage = scene.archive.repo.storage;
    first = begin(&scene, 2);
    add(first, &scene, 2, 0, 4000);
    store(first);
    assert_true(storage_read(storage, name, 1 << 20, &bytes, &err));
    bytes.data[bytes.size / 2] ^= 1;
    assert_true(storage_put(storage, name, WRITE_REPLACE, bytes.data, bytes.size, &err));

    second = begin(&scene, 2);
    add(second, &scene, 2, 0, 4000);
    store(second);
    assert_pieces(&scene, 2, 4000);
}

static void the_same_segment_of_another_route_is_a_success(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(open_segment_freep) OpenSegment *segment = NULL;
    Error err = {0};

    (void)state;
    scene_init(&scene);
    segment = begin(&scene, 2);
    add(segment, &scene, 2, 0, 3000);
    store(segment);
    archive_put_segment(&scene.archive, &scene.wal, 1, 2);
    add(segment, &scene, 2, 3000, MIB);
    assert_true(open_segment_commit(segment, &err));
    assert_whole(&scene, 2);
}

static void another_segment_of_that_name_is_refused(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(open_segment_freep) OpenSegment *segment = NULL;
    WalSummary summary;
    Error err = {0};
    char name[WAL_NAME_SIZE];

    (void)state;
    scene_init(&scene);
    wal_summary_init(&summary);
    archive_put(&scene.archive, scene_segment_name(1, 2, name), wal_builder_segment(&scene.wal, 3),
                MIB, &summary);
    segment = begin(&scene, 2);
    add(segment, &scene, 2, 0, MIB);
    assert_false(open_segment_commit(segment, &err));
    assert_int_equal(err.code, ERR_EXISTS);
}

/* Pieces beside a whole segment mean nothing: what is acknowledged must be in the whole one. */
static void what_is_archived_whole_is_compared_and_not_stored_in_pieces(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(open_segment_freep) OpenSegment *same = NULL;
    CLEANUP(open_segment_freep) OpenSegment *other = NULL;
    WalSummary summary;
    Error err = {0};
    char name[WAL_NAME_SIZE];

    (void)state;
    scene_init(&scene);
    archive_put_segment(&scene.archive, &scene.wal, 1, 2);
    same = begin(&scene, 2);
    add(same, &scene, 2, 0, 3000);
    store(same);
    add(same, &scene, 2, 3000, 9000);
    store(same);
    assert_int_equal(scene_objects(&scene, "main/open/"), 0);

    wal_summary_init(&summary);
    archive_put(&scene.archive, scene_segment_name(1, 3, name), wal_builder_segment(&scene.wal, 4),
                MIB, &summary);
    other = begin(&scene, 3);
    add(other, &scene, 3, 0, 3000);
    assert_false(open_segment_store(other, &err));
    assert_int_equal(err.code, ERR_EXISTS);
    assert_int_equal(open_segment_durable(other), 0);
    assert_int_equal(scene_objects(&scene, "main/open/"), 0);
}

/* As far as anybody knows, nothing is there: pieces, until it is whole and takes its place. */
static void a_damaged_whole_does_not_keep_pieces_from_being_stored(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(open_segment_freep) OpenSegment *segment = NULL;

    (void)state;
    scene_init(&scene);
    archive_put_segment(&scene.archive, &scene.wal, 1, 2);
    archive_damage(&scene.archive, 1, 2, 300);
    segment = begin(&scene, 2);
    add(segment, &scene, 2, 0, 3000);
    store(segment);
    assert_int_equal(scene_objects(&scene, "main/open/"), 1);
}

static void a_damaged_segment_is_set_aside_and_asked_for_again(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(open_segment_freep) OpenSegment *first = NULL;
    CLEANUP(open_segment_freep) OpenSegment *second = NULL;
    Error err = {0};

    (void)state;
    scene_init(&scene);
    archive_put_segment(&scene.archive, &scene.wal, 1, 2);
    archive_damage(&scene.archive, 1, 2, 300);
    first = begin(&scene, 2);
    add(first, &scene, 2, 0, MIB);
    assert_false(open_segment_commit(first, &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
    error_clear(&err);

    second = begin(&scene, 2);
    add(second, &scene, 2, 0, MIB);
    assert_true(open_segment_commit(second, &err));
    assert_whole(&scene, 2);
}

static void wal_of_another_place_is_refused(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(open_segment_freep) OpenSegment *segment = NULL;
    Error err = {0};

    (void)state;
    scene_init(&scene);
    segment = begin(&scene, 2);
    assert_false(open_segment_add(segment, wal_builder_segment(&scene.wal, 3), MIB, &err));
    assert_int_equal(err.code, ERR_REFUSED);
    assert_int_equal(scene_objects(&scene, "main/wal/"), 0);
}

static void a_padded_piece_is_no_whole_segment(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(open_segment_freep) OpenSegment *segment = NULL;
    uint8_t *padded = mem_alloc(MIB);
    Error err = {0};

    (void)state;
    scene_init(&scene);
    memcpy(padded, wal_builder_segment(&scene.wal, 2), 15000);
    segment = begin(&scene, 2);
    assert_true(open_segment_add(segment, padded, MIB, &err));
    assert_false(open_segment_commit(segment, &err));
    assert_int_equal(err.code, ERR_REFUSED);
    assert_int_equal(scene_objects(&scene, "main/wal/"), 0);
    mem_free(padded);
}

/* Every storage call fails once: nothing is told durable that is not, and the next run succeeds. */
static void a_storage_that_fails_never_makes_it_say_more_than_there_is(void **state)
{
    (void)state;
    for (uint64_t fail_at = 1;; fail_at += fail_at < 12 ? 1 : 5) {
        CLEANUP(scene_done) Scene scene;
        CLEANUP(open_segment_freep) OpenSegment *segment = NULL;
        CLEANUP(open_segment_freep) OpenSegment *again = NULL;
        Error err = {0};
        uint64_t calls;
        bool ok = true;

        scene_init(&scene);
        segment = begin(&scene, 2);
        calls = storage_fault_calls(scene.archive.repo.storage);
        scene.fault.fail_at = calls + fail_at;
        scene.fault.code = ERR_UNREACHABLE;
        for (uint32_t at = 0; ok && at < 34000; at += 1000) {
            ok = open_segment_add(segment, wal_builder_segment(&scene.wal, 2) + at, 1000, &err) &&
                 open_segment_store(segment, &err);
        }
        ok = ok &&
             open_segment_add(segment, wal_builder_segment(&scene.wal, 2) + 34000, MIB - 34000,
                              &err) &&
             open_segment_commit(segment, &err);
        scene.fault.fail_at = 0;
        if (ok)
            assert_whole(&scene, 2);
        if (!ok && open_segment_durable(segment) < MIB) {
            CLEANUP(wal_pieces_done) WalPieceList list = {0};
            Error none = {0};

            assert_int_equal(err.code, ERR_UNREACHABLE);
            assert_true(wal_pieces_load(&list, &scene.archive.cluster, &none));
            assert_true(wal_pieces_reach(&list, 1, 2) >= open_segment_durable(segment));
        }
        again = begin(&scene, 2);
        add(again, &scene, 2, 0, MIB);
        error_clear(&err);
        assert_true(open_segment_commit(again, &err));
        assert_whole(&scene, 2);
        if (ok && storage_fault_calls(scene.archive.repo.storage) < calls + fail_at)
            break;
    }
}

static void pieces_of_whole_segments_are_cleaned_away(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(open_segment_freep) OpenSegment *segment = NULL;
    Error err = {0};

    (void)state;
    scene_init(&scene);
    for (uint64_t number = 2; number <= 3; number++) {
        segment = begin(&scene, number);
        add(segment, &scene, number, 0, 3000);
        store(segment);
        add(segment, &scene, number, 3000, 9000);
        store(segment);
        open_segment_freep(&segment);
    }
    archive_put_segment(&scene.archive, &scene.wal, 1, 2);

    assert_true(open_segments_clean(&scene.archive.cluster, &err));

    assert_pieces(&scene, 3, 9000);
    assert_int_equal(scene_objects(&scene, "main/open/000000010000000000000002"), 0);
}

static void pieces_that_differ_from_the_whole_are_kept(void **state)
{
    CLEANUP(scene_done) Scene scene;
    Error err = {0};

    (void)state;
    scene_init(&scene);
    store_other_content(&scene, 0, 4000, 3000);
    archive_put_segment(&scene.archive, &scene.wal, 1, 2);
    assert_true(open_segments_clean(&scene.archive.cluster, &err));
    assert_int_equal(scene_objects(&scene, "main/open/"), 1);
}

/*
 * The segment before is in the archive, and another server's: nothing of this one is stored, in
 * pieces or as a whole, once its first record says so.
 */
static void what_goes_on_from_another_history_is_not_stored(void **state)
{
    (void)state;
    for (int at_once = 0; at_once < 2; at_once++) {
        CLEANUP(scene_done) Scene scene;
        CLEANUP(wal_builder_done) WalBuilder other = wal_builder_begin(15, MIB, 2 * MIB, 1);
        CLEANUP(open_segment_freep) OpenSegment *segment = NULL;
        Error err = {0};

        scene_init(&scene);
        wal_builder_filler(&other, 1000);
        wal_builder_switch(&other);
        archive_put_segment(&scene.archive, &other, 1, 2);
        segment = begin_how(&scene, 3, at_once != 0);
        add(segment, &scene, 3, 0, at_once != 0 ? MIB : 5000);
        if (at_once != 0) {
            assert_false(open_segment_commit(segment, &err));
        } else {
            assert_false(open_segment_store(segment, &err));
        }
        assert_int_equal(err.code, ERR_REFUSED);
        assert_non_null(strstr(err.message, "of another history"));
        assert_int_equal(scene_objects(&scene, "main/open/"), 0);
        assert_int_equal(scene_objects(&scene, "main/wal/"), 1);
        /* In a hole nothing is known. */
        archive_remove(&scene.archive, 1, 2);
        error_clear(&err);
        assert_true(at_once != 0 ? open_segment_commit(segment, &err)
                                 : open_segment_store(segment, &err));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_stored_is_there_and_what_was_not_is_not),
        cmocka_unit_test(many_pieces_become_one),
        cmocka_unit_test(a_whole_segment_takes_the_place_of_its_pieces),
        cmocka_unit_test(what_comes_at_once_is_stored_as_a_whole_only),
        cmocka_unit_test(what_is_there_in_pieces_does_not_come_at_once),
        cmocka_unit_test(the_next_run_goes_on_where_the_pieces_end),
        cmocka_unit_test(pieces_with_other_content_are_refused_and_kept),
        cmocka_unit_test(a_piece_after_a_gap_is_compared_before_it_is_replaced),
        cmocka_unit_test(a_damaged_piece_is_stored_anew),
        cmocka_unit_test(the_same_segment_of_another_route_is_a_success),
        cmocka_unit_test(another_segment_of_that_name_is_refused),
        cmocka_unit_test(what_is_archived_whole_is_compared_and_not_stored_in_pieces),
        cmocka_unit_test(a_damaged_whole_does_not_keep_pieces_from_being_stored),
        cmocka_unit_test(a_damaged_segment_is_set_aside_and_asked_for_again),
        cmocka_unit_test(wal_of_another_place_is_refused),
        cmocka_unit_test(a_padded_piece_is_no_whole_segment),
        cmocka_unit_test(a_storage_that_fails_never_makes_it_say_more_than_there_is),
        cmocka_unit_test(pieces_of_whole_segments_are_cleaned_away),
        cmocka_unit_test(pieces_that_differ_from_the_whole_are_kept),
        cmocka_unit_test(what_goes_on_from_another_history_is_not_stored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
