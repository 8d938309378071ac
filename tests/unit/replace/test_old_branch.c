#include "replace/old_branch.h"

#include "old_scene.h"

#include "../folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static OldBranch look(OldScene *scene)
{
    const char *path = folder_path();
    const OldPlaces places = {.place = "the directory", .wal_paths = &path, .wal_count = 1};
    OldBranch branch;
    Error err = {0};

    archive_look(&scene->archive);
    assert_true(old_branch_look(&scene->archive.cluster, &scene->archive.inventory, &places,
                                &scene->arena, &branch, &err));
    return branch;
}

/* What pg_control says is judged on top of what WAL there is. */
static OldBranch look_with_control(OldScene *scene, Lsn checkpoint, Lsn min_recovery_point)
{
    OldBranch branch = look(scene);
    Error err = {0};

    branch.has_control = true;
    branch.control = (PgControl){
        .timeline = 1, .checkpoint = checkpoint, .min_recovery_point = min_recovery_point};
    branch.timeline = 1;
    assert_true(timeline_path_parse(1, NULL, &scene->arena, &branch.path, &err));
    assert_true(old_branch_prove(&scene->archive.cluster, &scene->archive.inventory, &scene->arena,
                                 &branch, &err));
    return branch;
}

static void one_history(void **state)
{
    static const struct {
        uint64_t first, last; /* files that the directory has of the original's WAL */
        OldVerdict verdict;
        uint64_t from, to, commits;
    } cases[] = {
        {3, 5, OLD_ARCHIVED, 3, 5, 0}, {3, 4, OLD_ARCHIVED, 3, 4, 0}, {5, 6, OLD_TAIL, 5, 6, 2},
        {3, 6, OLD_TAIL, 3, 6, 2},     {6, 6, OLD_TAIL, 6, 6, 2}, /* by the back link */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(old_scene_done) OldScene scene;
        void *folder = NULL;

        assert_int_equal(enter_folder(&folder), 0);
        old_scene_init(&scene);
        old_scene_put_segments(&scene.wal, cases[i].first, cases[i].last);
        OldBranch branch = look(&scene);
        assert_int_equal(branch.verdict, cases[i].verdict);
        assert_int_equal(branch.first, cases[i].from);
        assert_int_equal(branch.last, cases[i].to);
        assert_int_equal(branch.own.count, cases[i].commits);
        assert_false(branch.own.is_least);
        assert_int_equal(leave_folder(&folder), 0);
    }
}

static void a_clone_parts_where_its_first_own_record_begins(void **state)
{
    static const struct {
        uint64_t first, last;
        Lsn apart; /* 0: at the clone's first own record */
        uint64_t own, archived;
    } cases[] = {
        {4, 6, 0, 7, 6},
        {5, 6, 0, 7, 6},
        {5, 5, 0, 4, 6},
        {6, 6, 6 * MIB, 3, 0}, /* only the back link tells */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(old_scene_done) OldScene scene;
        void *folder = NULL;

        assert_int_equal(enter_folder(&folder), 0);
        old_scene_init(&scene);
        for (uint64_t segment = cases[i].first; segment <= cases[i].last; segment++)
            old_scene_put_segment(segment < 5 ? &scene.wal : &scene.clone, 1, segment);
        OldBranch branch = look(&scene);
        assert_int_equal(branch.verdict, OLD_APART);
        assert_int_equal(branch.apart, cases[i].apart == 0 ? scene.part : cases[i].apart);
        assert_int_equal(branch.last, 0);
        assert_int_equal(branch.own.count, cases[i].own);
        assert_int_equal(branch.archived.count, cases[i].archived);
        assert_int_equal(leave_folder(&folder), 0);
    }
}

/* What a server left unwritten in its last segment is not compared. */
static void a_copy_that_wrote_nothing_of_its_own_is_only_older(void **state)
{
    CLEANUP(old_scene_done) OldScene scene;

    (void)state;
    old_scene_init(&scene);
    WalBuilder older = wal_builder_fork(&scene.wal, scene.part, scene.last, 1);
    old_scene_put_segment(&scene.wal, 1, 4);
    old_scene_put_segment(&older, 1, 5);
    OldBranch branch = look(&scene);
    assert_int_equal(branch.verdict, OLD_ARCHIVED);
    assert_int_equal(branch.own.count, 0);
    wal_builder_done(&older);
}

static void a_gap_proves_nothing(void **state)
{
    CLEANUP(old_scene_done) OldScene scene;

    (void)state;
    old_scene_init(&scene);
    wal_builder_fill_to(&scene.wal, 7 * MIB, 0);
    old_scene_commits(&scene.wal, 700, 5);
    old_scene_put_segment(&scene.wal, 1, 7);
    OldBranch branch = look(&scene);
    assert_int_equal(branch.verdict, OLD_BEYOND);
    assert_int_equal(branch.own.count, 5);
    assert_true(branch.own.is_least);
    assert_int_equal(branch.last, 0);
}

static void a_damaged_segment_of_the_archive_is_no_proof_and_no_contradiction(void **state)
{
    CLEANUP(old_scene_done) OldScene scene;

    (void)state;
    old_scene_init(&scene);
    archive_damage(&scene.archive, 1, 5, 0);
    old_scene_put_segments(&scene.clone, 5, 6);
    old_scene_put_segments(&scene.wal, 4, 6);
    OldBranch branch = look(&scene);
    assert_int_equal(branch.verdict, OLD_TAIL);
    assert_int_equal(branch.first, 4);
}

static void a_hole_is_filled_by_what_leads_to_what_both_have(void **state)
{
    CLEANUP(old_scene_done) OldScene scene;

    (void)state;
    old_scene_init(&scene);
    archive_remove(&scene.archive, 1, 4);
    old_scene_put_segments(&scene.wal, 4, 5);
    OldBranch branch = look(&scene);
    assert_int_equal(branch.verdict, OLD_TAIL);
    assert_int_equal(branch.first, 4);
    assert_int_equal(branch.own.count, COMMITS);

    /* The clone's does not lead there. */
    CLEANUP(wal_builder_done)
    WalBuilder other = wal_builder_begin(15, MIB, 4 * MIB, 1);
    old_scene_commits(&other, 990, 3);
    wal_builder_pad(&other);
    old_scene_put_segment(&other, 1, 4);
    branch = look(&scene);
    assert_int_equal(branch.verdict, OLD_ARCHIVED);
    assert_int_equal(branch.first, 5);
}

static void pieces_count(void **state)
{
    static const bool is_clones[] = {false, true};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(is_clones); i++) {
        CLEANUP(old_scene_done) OldScene scene;
        void *folder = NULL;
        CodecContext *codec = codec_context_new();
        Error err = {0};

        assert_int_equal(enter_folder(&folder), 0);
        old_scene_init(&scene);
        Lsn end = old_scene_aligned(scene.wal.at);
        const WalPiece piece = {.timeline = 1, .segment = 6, .to = (uint32_t)(end % MIB)};
        assert_true(wal_piece_store(&scene.archive.cluster, &piece, scene.wal.bytes.data + 3 * MIB,
                                    codec, &err));
        codec_context_freep(&codec);
        CLEANUP(wal_builder_done)
        WalBuilder wal = wal_builder_fork(&scene.wal, end, scene.wal.prev, 1);
        if (is_clones[i]) {
            wal_builder_done(&wal);
            wal = wal_builder_begin(15, MIB, 6 * MIB, 1);
            wal.prev = scene.last_of_5;
        }
        old_scene_commits(&wal, 650, 3);
        old_scene_put_segment(&scene.wal, 1, 5);
        old_scene_put_segment(&wal, 1, 6);
        OldBranch branch = look(&scene);
        assert_int_equal(branch.verdict, is_clones[i] ? OLD_APART : OLD_TAIL);
        assert_int_equal(branch.own.count, 3);
        assert_int_equal(leave_folder(&folder), 0);
    }
}

/*
 *     archive        1 |####|####|####|
 *     directory      1 |####|####|##
 *                    2           ...|xxxxxx|xx    its history is not in the archive
 */
static void a_timeline_of_its_own_goes_on_from_the_archives(void **state)
{
    CLEANUP(old_scene_done) OldScene scene;
    char lsn[LSN_TEXT_SIZE];

    (void)state;
    old_scene_init(&scene);
    CLEANUP(wal_builder_done)
    WalBuilder child = wal_builder_fork(&scene.wal, scene.part, scene.last, 2);
    old_scene_commits(&child, 800, 5);
    CLEANUP(text_freep) char *history = text_format("1\t%s\tx\n", lsn_text(scene.part, lsn));
    old_scene_put_file("00000002.history", history, strlen(history));
    old_scene_put_segment(&scene.wal, 1, 4);
    old_scene_put_segment(&child, 2, 5);
    OldBranch branch = look(&scene);
    assert_int_equal(branch.timeline, 2);
    assert_false(branch.is_history_archived);
    assert_int_equal(branch.verdict, OLD_TAIL);
    assert_int_equal(branch.own.count, 5);

    /* The archive's timeline 2 left timeline 1 elsewhere: the loser of two promotions. */
    archive_put_history(&scene.archive, 2, "1\t0/500100\tx\n");
    branch = look(&scene);
    assert_int_equal(branch.verdict, OLD_APART);
    assert_int_equal(branch.apart, scene.part < 0x500100 ? scene.part : 0x500100);
}

static void of_a_directory_without_wal_nothing_is_known(void **state)
{
    CLEANUP(old_scene_done) OldScene scene;
    const OldPlaces places = {.place = "the directory"};
    OldBranch branch;
    Error err = {0};

    (void)state;
    old_scene_init(&scene);
    archive_look(&scene.archive);
    assert_true(old_branch_look(&scene.archive.cluster, &scene.archive.inventory, &places,
                                &scene.arena, &branch, &err));
    assert_int_equal(branch.timeline, 0);
    assert_int_equal(branch.path.count, 0);
    assert_int_equal(branch.own.count, 0);
    assert_null(branch.wal_path);
}

static void without_its_history_nothing_is_proven(void **state)
{
    CLEANUP(old_scene_done) OldScene scene;

    (void)state;
    old_scene_init(&scene);
    CLEANUP(wal_builder_done)
    WalBuilder child = wal_builder_fork(&scene.wal, scene.part, scene.last, 2);
    old_scene_commits(&child, 800, 5);
    old_scene_put_segment(&child, 2, 5);
    OldBranch branch = look(&scene);
    assert_int_equal(branch.verdict, OLD_BEYOND);
    assert_true(branch.own.is_least);
}

/* Acknowledged, and so no less than a commit: at the end of the tail, and beyond where they part.
 */
static void what_is_only_prepared_counts(void **state)
{
    CLEANUP(old_scene_done) OldScene scene;

    (void)state;
    old_scene_init(&scene);
    wal_builder_prepare(&scene.wal, 700, 700000);
    wal_builder_commit_prepared(&scene.wal, 700, 701000);
    wal_builder_prepare(&scene.wal, 701, 702000);
    old_scene_put_segments(&scene.wal, 5, 6);
    OldBranch branch = look(&scene);
    assert_int_equal(branch.verdict, OLD_TAIL);
    assert_int_equal(branch.own.count, 3);
    assert_int_equal(branch.own.prepared, 1);
    assert_int_equal(branch.commit_end, scene.wal.at);
    assert_int_equal(branch.commit_time, time_from_postgres(702000));

    /* Of a clone that did nothing else. */
    CLEANUP(wal_builder_done)
    WalBuilder other = wal_builder_fork(&scene.wal, scene.part, scene.last, 1);
    wal_builder_prepare(&other, 900, 900000);
    const Lsn end = other.at;
    old_scene_put_segment(&other, 1, 5);
    assert_int_equal(unlink("000000010000000000000006"), 0);
    branch = look(&scene);
    assert_int_equal(branch.verdict, OLD_APART);
    assert_int_equal(branch.own.count, 0);
    assert_int_equal(branch.own.prepared, 1);
    assert_int_equal(branch.commit_end, 0); /* its place is where they part */
    assert_true(branch.reached >= end);
}

static void pg_control_may_know_of_more(void **state)
{
    static const struct {
        uint64_t last; /* files 5 to this one; 0: none */
        Lsn checkpoint, min_recovery_point;
        OldVerdict verdict;
    } cases[] = {
        {0, 5 * MIB + 100, 0, OLD_ARCHIVED},
        {0, 6 * MIB + 40, 0, OLD_ARCHIVED}, /* a shutdown, after a segment that was switched */
        {0, 6 * MIB + 48, 0, OLD_BEYOND},
        {0, 5 * MIB, 6 * MIB + 8, OLD_BEYOND},
        {0, 5 * MIB, 6 * MIB, OLD_ARCHIVED},
        {6, 6 * MIB + 40, 0, OLD_TAIL},
        {6, 7 * MIB + 40, 0, OLD_BEYOND},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(old_scene_done) OldScene scene;
        void *folder = NULL;

        assert_int_equal(enter_folder(&folder), 0);
        old_scene_init(&scene);
        if (cases[i].last != 0)
            old_scene_put_segments(&scene.wal, 5, cases[i].last);
        OldBranch branch =
            look_with_control(&scene, cases[i].checkpoint, cases[i].min_recovery_point);
        assert_int_equal(branch.verdict, cases[i].verdict);
        assert_int_equal(leave_folder(&folder), 0);
    }
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_history),
        cmocka_unit_test(a_clone_parts_where_its_first_own_record_begins),
        IN_FOLDER(a_copy_that_wrote_nothing_of_its_own_is_only_older),
        IN_FOLDER(a_gap_proves_nothing),
        IN_FOLDER(a_damaged_segment_of_the_archive_is_no_proof_and_no_contradiction),
        IN_FOLDER(a_hole_is_filled_by_what_leads_to_what_both_have),
        cmocka_unit_test(pieces_count),
        IN_FOLDER(a_timeline_of_its_own_goes_on_from_the_archives),
        cmocka_unit_test(of_a_directory_without_wal_nothing_is_known),
        IN_FOLDER(without_its_history_nothing_is_proven),
        IN_FOLDER(what_is_only_prepared_counts),
        cmocka_unit_test(pg_control_may_know_of_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
