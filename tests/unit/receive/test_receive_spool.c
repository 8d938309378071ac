#include "receive_spool.h"

#include "../scene.h"
#include "base/file.h"
#include "receive/receive.h"
#include "repo/record.h"
#include "stores.h"

#include <unistd.h>

static const Compression zstd = {.codec = CODEC_ZSTD, .level = 1};
static const SpoolKeep nothing = {0};

static char *spool_path(const Scene *scene)
{
    return text_format("%s/spool", scene->directory);
}

static bool try_open(const Scene *scene, ReceiveSpool **spool, Error *err)
{
    CLEANUP(text_freep) char *path = spool_path(scene);

    return receive_spool_open(&(ReceiveSpoolSetup){.directory = path,
                                                   .size_max = (uint64_t)4 * MIB,
                                                   .target = &scene->archive.cluster,
                                                   .compression = zstd,
                                                   .threads = 1},
                              spool, err);
}

static ReceiveSpool *open_spool(const Scene *scene)
{
    ReceiveSpool *spool = NULL;
    Error err = {0};

    assert_true(try_open(scene, &spool, &err));
    return spool;
}

static OpenSegment *begin(const Cluster *cluster, uint64_t number)
{
    CLEANUP(arena_done) Arena arena = {0};
    OpenSegment *segment = NULL;
    Error err = {0};
    TimelinePath path;

    assert_true(timeline_path_parse(1, NULL, &arena, &path, &err));
    assert_true(open_segment_begin(&(OpenSegmentSetup){.cluster = cluster,
                                                       .timeline = 1,
                                                       .segment = number,
                                                       .path = &path,
                                                       .compression = zstd,
                                                       .threads = 1},
                                   &segment, &err));
    return segment;
}

/* Bytes [from, to) as a piece of their own; at the segment's end it becomes whole. */
static void take(OpenSegment *segment, const Scene *scene, uint64_t number, uint32_t to)
{
    const uint32_t from = open_segment_received(segment);
    Error err = {0};

    assert_true(open_segment_add(segment, wal_builder_segment(&scene->wal, number) + from,
                                 to - from, &err));
    assert_true(to == MIB ? open_segment_commit(segment, &err) : open_segment_store(segment, &err));
}

static void receive(const Scene *scene, const Cluster *cluster, uint64_t number, uint32_t to)
{
    CLEANUP(open_segment_freep) OpenSegment *segment = begin(cluster, number);

    take(segment, scene, number, to < 4000 ? to : 4000);
    if (to > 4000)
        take(segment, scene, number, to);
}

static void move_all(ReceiveSpool *spool, SpoolKeep keep)
{
    bool has_more = true;
    Error err = {0};

    while (has_more)
        assert_true(receive_spool_move(spool, keep, &has_more, &err));
}

static uint64_t size_of(ReceiveSpool *spool)
{
    uint64_t bytes;
    Error err = {0};

    assert_true(receive_spool_measure(spool, &bytes, &err));
    return bytes;
}

static void assert_whole(const Scene *scene, uint64_t number)
{
    CLEANUP(buffer_done) Buffer content = {0};
    char name[WAL_NAME_SIZE];

    scene_archived(scene, scene_segment_name(1, number, name), &content);
    assert_int_equal(content.size, MIB);
    assert_memory_equal(content.data, wal_builder_segment(&scene->wal, number), MIB);
}

static uint32_t reach(const Cluster *cluster, uint64_t number)
{
    CLEANUP(wal_pieces_done) WalPieceList list = {0};
    Error err = {0};

    assert_true(wal_pieces_load(&list, cluster, &err));
    return wal_pieces_reach(&list, 1, number);
}

static void all_goes_into_the_repository_and_the_spool_is_empty(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(receive_spool_freep) ReceiveSpool *spool = NULL;
    const Cluster *cluster;

    (void)state;
    scene_init(&scene);
    spool = open_spool(&scene);
    cluster = receive_spool_cluster(spool);
    assert_int_equal(size_of(spool), 0);
    receive(&scene, cluster, 2, MIB);
    receive(&scene, cluster, 3, MIB);
    receive(&scene, cluster, 4, 9000);
    assert_true(size_of(spool) > 0);
    assert_int_equal(scene_objects(&scene, "main/wal/"), 0);

    move_all(spool, nothing);

    assert_int_equal(size_of(spool), 0);
    assert_whole(&scene, 2);
    assert_whole(&scene, 3);
    assert_int_equal(reach(&scene.archive.cluster, 4), 9000);
}

/* What of it is in the repository only, a run after a kill would not find in the spool. */
static void pieces_of_the_segment_being_received_and_of_later_ones_stay(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(receive_spool_freep) ReceiveSpool *spool = NULL;
    const Cluster *cluster;

    (void)state;
    scene_init(&scene);
    spool = open_spool(&scene);
    cluster = receive_spool_cluster(spool);
    receive(&scene, cluster, 2, 9000);
    receive(&scene, cluster, 3, 7000);
    receive(&scene, cluster, 4, 5000);

    move_all(spool, (SpoolKeep){.timeline = 1, .segment = 3});

    assert_int_equal(reach(cluster, 2), 0);
    assert_int_equal(reach(cluster, 3), 7000);
    assert_int_equal(reach(cluster, 4), 5000);
    assert_int_equal(reach(&scene.archive.cluster, 2), 9000);
    assert_int_equal(reach(&scene.archive.cluster, 3), 7000);
}

static void a_segment_moved_in_pieces_becomes_whole(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(receive_spool_freep) ReceiveSpool *spool = NULL;
    CLEANUP(open_segment_freep) OpenSegment *segment = NULL;
    const SpoolKeep keep = {.timeline = 1, .segment = 2};

    (void)state;
    scene_init(&scene);
    spool = open_spool(&scene);
    segment = begin(receive_spool_cluster(spool), 2);
    for (uint32_t to = 1000; to < 40000; to += 1000) {
        take(segment, &scene, 2, to);
        move_all(spool, keep);
        assert_int_equal(reach(&scene.archive.cluster, 2), to);
    }
    take(segment, &scene, 2, MIB);
    move_all(spool, keep);
    assert_whole(&scene, 2);
    assert_int_equal(scene_objects(&scene, "main/open/"), 0);
    assert_int_equal(size_of(spool), 0);
}

static void flip_first_piece(const Cluster *cluster, const char *name)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    Storage *storage = cluster->repo->storage;
    Error err = {0};

    assert_true(storage_read(storage, name, 1 << 20, &bytes, &err));
    bytes.data[bytes.size / 2] ^= 1;
    assert_true(storage_put(storage, name, WRITE_REPLACE, bytes.data, bytes.size, &err));
}

static void a_damaged_piece_is_not_in_the_way_of_what_follows(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(receive_spool_freep) ReceiveSpool *spool = NULL;
    const Cluster *cluster;

    (void)state;
    scene_init(&scene);
    spool = open_spool(&scene);
    cluster = receive_spool_cluster(spool);
    receive(&scene, cluster, 2, 9000);
    receive(&scene, cluster, 3, MIB);
    flip_first_piece(cluster, "main/open/000000010000000000000002.00000000-00000FA0");

    move_all(spool, nothing);

    assert_whole(&scene, 3);
    assert_int_equal(reach(&scene.archive.cluster, 2), 0);
    assert_true(size_of(spool) > 0); /* not destroyed, and not taken for moved */
}

static void pieces_left_of_what_the_repository_has_whole_are_removed(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(receive_spool_freep) ReceiveSpool *spool = NULL;
    const Cluster *cluster;
    Error err = {0};

    (void)state;
    scene_init(&scene);
    spool = open_spool(&scene);
    cluster = receive_spool_cluster(spool);
    receive(&scene, cluster, 2, 9000);
    assert_true(storage_remove(cluster->repo->storage,
                               "main/open/000000010000000000000002.00000000-00000FA0", &err));
    archive_put_segment(&scene.archive, &scene.wal, 1, 2);
    move_all(spool, nothing);
    assert_int_equal(size_of(spool), 0);
}

static void other_content_is_refused_and_the_spool_kept(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(receive_spool_freep) ReceiveSpool *spool = NULL;
    WalSummary summary;
    Error err = {0};
    bool has_more;
    char name[WAL_NAME_SIZE];
    uint64_t before;

    (void)state;
    scene_init(&scene);
    spool = open_spool(&scene);
    receive(&scene, receive_spool_cluster(spool), 2, MIB);
    before = size_of(spool);
    wal_summary_init(&summary);
    archive_put(&scene.archive, scene_segment_name(1, 2, name), wal_builder_segment(&scene.wal, 3),
                MIB, &summary);
    assert_false(receive_spool_move(spool, nothing, &has_more, &err));
    assert_int_equal(err.code, ERR_EXISTS);
    assert_int_equal(size_of(spool), before);
}

/* Every call to the repository fails once: what is not in it is in the spool. */
static void nothing_leaves_the_spool_before_it_is_in_the_repository(void **state)
{
    (void)state;
    for (uint64_t fail_at = 1;; fail_at++) {
        CLEANUP(scene_done) Scene scene;
        CLEANUP(receive_spool_freep) ReceiveSpool *spool = NULL;
        const Cluster *cluster;
        Error err = {0};
        bool has_more = true;
        bool ok = true;

        scene_init(&scene);
        spool = open_spool(&scene);
        cluster = receive_spool_cluster(spool);
        receive(&scene, cluster, 2, MIB);
        receive(&scene, cluster, 3, 9000);
        scene.fault.fail_at = storage_fault_calls(scene.archive.repo.storage) + fail_at;
        scene.fault.code = ERR_UNREACHABLE;
        while (ok && has_more)
            ok = receive_spool_move(spool, nothing, &has_more, &err);
        scene.fault.fail_at = 0;
        assert_true(wal_object_trailer(cluster, "000000010000000000000002", &(WalTrailer){0},
                                       &(Error){0}) ||
                    wal_object_trailer(&scene.archive.cluster, "000000010000000000000002",
                                       &(WalTrailer){0}, &(Error){0}));
        assert_true(reach(cluster, 3) == 9000 || reach(&scene.archive.cluster, 3) == 9000);
        move_all(spool, nothing);
        assert_whole(&scene, 2);
        assert_int_equal(reach(&scene.archive.cluster, 3), 9000);
        assert_int_equal(size_of(spool), 0);
        if (ok)
            break;
    }
}

static void a_thread_moves_while_more_is_received(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(receive_spool_freep) ReceiveSpool *spool = NULL;
    CLEANUP(open_segment_freep) OpenSegment *segment = NULL;
    SpoolMove move = {0};
    Error err = {0};

    (void)state;
    scene_init(&scene);
    spool = open_spool(&scene);
    receive(&scene, receive_spool_cluster(spool), 2, MIB);
    segment = begin(receive_spool_cluster(spool), 3);
    assert_false(receive_spool_poll(spool, 0, &move));
    for (uint32_t to = 1000; to <= 20000; to += 1000) {
        take(segment, &scene, 3, to);
        if (!receive_spool_is_moving(spool))
            assert_true(receive_spool_submit(spool, (SpoolKeep){1, 3}, &err));
        if (receive_spool_poll(spool, 0, &move))
            assert_true(move.ok);
    }
    while (receive_spool_is_moving(spool)) {
        if (receive_spool_poll(spool, 60000, &move))
            assert_true(move.ok);
    }
    assert_whole(&scene, 2);
    move_all(spool, nothing);
    assert_int_equal(reach(&scene.archive.cluster, 3), 20000);
}

static void a_failed_move_is_told_and_the_next_one_succeeds(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(receive_spool_freep) ReceiveSpool *spool = NULL;
    SpoolMove move = {.ok = true};
    Error err = {0};

    (void)state;
    scene_init(&scene);
    spool = open_spool(&scene);
    receive(&scene, receive_spool_cluster(spool), 2, MIB);
    scene.fault.fail_at = storage_fault_calls(scene.archive.repo.storage) + 1;
    scene.fault.code = ERR_UNREACHABLE;
    assert_true(receive_spool_submit(spool, nothing, &err));
    assert_true(receive_spool_poll(spool, 600000, &move));
    assert_false(move.ok);
    assert_int_equal(move.error.code, ERR_UNREACHABLE);

    scene.fault.fail_at = 0;
    assert_true(receive_spool_submit(spool, nothing, &err));
    assert_true(receive_spool_poll(spool, 600000, &move));
    assert_true(move.ok);
    assert_whole(&scene, 2);
}

/* Timeline 2 begins somewhere, and nobody knows where any more. */
static void a_timeline_without_its_history_goes_nowhere(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(receive_spool_freep) ReceiveSpool *spool = NULL;
    WalSummary summary;
    bool has_more;
    Error err = {0};

    (void)state;
    scene_init(&scene);
    spool = open_spool(&scene);
    wal_summary_init(&summary);
    {
        Archive inside = {.repo = *receive_spool_cluster(spool)->repo,
                          .cluster = *receive_spool_cluster(spool)};
        char name[WAL_NAME_SIZE];

        archive_put(&inside, scene_segment_name(2, 3, name), wal_builder_segment(&scene.wal, 3),
                    MIB, &summary);
    }
    assert_false(receive_spool_move(spool, nothing, &has_more, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_true(size_of(spool) > 0);
}

static void what_a_killed_run_was_writing_is_removed(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(receive_spool_freep) ReceiveSpool *spool = NULL;
    CLEANUP(text_freep) char *path = NULL;

    (void)state;
    scene_init(&scene);
    spool = open_spool(&scene);
    receive(&scene, receive_spool_cluster(spool), 2, 9000);
    receive_spool_freep(&spool);
    path = scene_file(&scene, "spool/main/open/000000010000000000000002.00-10.tmp-0123", "x", 1);

    spool = open_spool(&scene);

    assert_false(file_exists(path));
    assert_int_equal(reach(receive_spool_cluster(spool), 2), 9000);
}

static void somebody_elses_place_is_refused(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(receive_spool_freep) ReceiveSpool *spool = NULL;
    CLEANUP(receive_spool_freep) ReceiveSpool *second = NULL;
    CLEANUP(text_freep) char *path = NULL;
    Error err = {0};

    (void)state;
    scene_init(&scene);
    spool = open_spool(&scene);
    assert_false(try_open(&scene, &second, &err));
    assert_int_equal(err.code, ERR_BUSY);
    receive_spool_freep(&spool);

    snprintf(scene.archive.repo.id, sizeof scene.archive.repo.id, "%032d", 7);
    error_clear(&err);
    assert_false(try_open(&scene, &second, &err));
    assert_int_equal(err.code, ERR_REFUSED);

    path = text_format("%s/spool/receive-spool", scene.directory);
    assert_int_equal(unlink(path), 0);
    text_freep(&path);
    path = scene_file(&scene, "spool/repository", "x", 1);
    error_clear(&err);
    assert_false(try_open(&scene, &second, &err));
    assert_int_equal(err.code, ERR_REFUSED);
    assert_true(file_exists(path));
}

static bool recall(const Scene *scene, const char *name, Repo *repo, Cluster *cluster, Error *err)
{
    CLEANUP(text_freep) char *path = spool_path(scene);

    return archive_receive_recall(path, name, repo, cluster, err);
}

static void a_spool_says_whose_it_is(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(receive_spool_freep) ReceiveSpool *spool = NULL;
    const Cluster *known = NULL;
    Repo repo = {0};
    Cluster cluster = {0};
    Error err = {0};

    (void)state;
    scene_init(&scene);
    known = &scene.archive.cluster;
    assert_false(recall(&scene, known->name, &repo, &cluster, &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
    error_clear(&err);
    spool = open_spool(&scene);
    assert_true(recall(&scene, known->name, &repo, &cluster, &err));
    assert_string_equal(repo.id, known->repo->id);
    assert_true(repo.hash_seed == known->repo->hash_seed);
    assert_string_equal(cluster.name, known->name);
    assert_true(cluster.repo == &repo && cluster.major == known->major &&
                cluster.system_identifier == known->system_identifier &&
                cluster.wal_segment_size == known->wal_segment_size);
    assert_false(recall(&scene, "another", &repo, &cluster, &err));
    assert_int_equal(err.code, ERR_REFUSED);
}

/* As the first ones were made: enough to be known by, and not to receive without the repository. */
static void a_spool_that_says_less_is_made_to_say_all(void **state)
{
    CLEANUP(scene_done) Scene scene;
    CLEANUP(receive_spool_freep) ReceiveSpool *spool = NULL;
    CLEANUP(storage_freep) Storage *storage = NULL;
    CLEANUP(record_writer_done) RecordWriter record = {0};
    CLEANUP(text_freep) char *path = NULL;
    const Cluster *known = NULL;
    Repo repo = {0};
    Cluster cluster = {0};
    Error err = {0};

    (void)state;
    scene_init(&scene);
    known = &scene.archive.cluster;
    path = spool_path(&scene);
    storage = storage_open(&(StorageSetup){.address = path}, &err);
    assert_non_null(storage);
    assert_true(storage_create(storage, &err));
    record_begin(&record, "spool", 1);
    record_text(&record, "repository", known->repo->id);
    record_text(&record, "cluster", known->name);
    record_u64(&record, "system_identifier", known->system_identifier);
    record_u64(&record, "wal_segment_size", known->wal_segment_size);
    assert_true(record_store(&record, storage, "receive-spool", &err));
    assert_false(recall(&scene, known->name, &repo, &cluster, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    error_clear(&err);

    spool = open_spool(&scene);
    assert_true(recall(&scene, known->name, &repo, &cluster, &err));
    assert_true(repo.hash_seed == known->repo->hash_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_goes_into_the_repository_and_the_spool_is_empty),
        cmocka_unit_test(pieces_of_the_segment_being_received_and_of_later_ones_stay),
        cmocka_unit_test(a_segment_moved_in_pieces_becomes_whole),
        cmocka_unit_test(a_damaged_piece_is_not_in_the_way_of_what_follows),
        cmocka_unit_test(pieces_left_of_what_the_repository_has_whole_are_removed),
        cmocka_unit_test(other_content_is_refused_and_the_spool_kept),
        cmocka_unit_test(nothing_leaves_the_spool_before_it_is_in_the_repository),
        cmocka_unit_test(a_thread_moves_while_more_is_received),
        cmocka_unit_test(a_failed_move_is_told_and_the_next_one_succeeds),
        cmocka_unit_test(a_timeline_without_its_history_goes_nowhere),
        cmocka_unit_test(what_a_killed_run_was_writing_is_removed),
        cmocka_unit_test(somebody_elses_place_is_refused),
        cmocka_unit_test(a_spool_says_whose_it_is),
        cmocka_unit_test(a_spool_that_says_less_is_made_to_say_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
