#include "push/push_ahead.h"

#include "../scene.h"
#include "base/file.h"
#include "base/tree.h"
#include "repo/layout.h"
#include "stores.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const Compression zstd = {.codec = CODEC_ZSTD, .level = 1};

/* A server's pg_wal with segments 1 to 4 that wait, and a spool directory outside. */
typedef struct Place {
    Scene scene;
    char spool[64];
    char names[SCENE_LAST + 1][WAL_NAME_SIZE];
    char *paths[SCENE_LAST + 1];
    char *ready[SCENE_LAST + 1];
    unsigned told; /* segments that push_ahead_run() told of */
} Place;

static void make_folder(const Scene *scene, const char *name)
{
    CLEANUP(text_freep) char *path = text_format("%s/%s", scene->directory, name);

    assert_int_equal(mkdir(path, 0700), 0);
}

static void place_init(Place *place)
{
    *place = (Place){.spool = "/tmp/pgcairn-spool-XXXXXX"};
    scene_init(&place->scene);
    assert_non_null(mkdtemp(place->spool));
    make_folder(&place->scene, "pg_wal");
    make_folder(&place->scene, "pg_wal/archive_status");
    for (uint32_t i = 1; i <= SCENE_LAST; i++) {
        scene_segment_name(1, i, place->names[i]);
        CLEANUP(text_freep) char *file = text_format("pg_wal/%s", place->names[i]);
        CLEANUP(text_freep)
        char *ready = text_format("pg_wal/archive_status/%s.ready", place->names[i]);

        place->paths[i] =
            scene_file(&place->scene, file, wal_builder_segment(&place->scene.wal, i), MIB);
        place->ready[i] = scene_file(&place->scene, ready, "", 0);
    }
}

static void place_done(Place *place)
{
    Error ignored = {0};

    for (uint32_t i = 1; i <= SCENE_LAST; i++) {
        text_freep(&place->paths[i]);
        text_freep(&place->ready[i]);
    }
    (void)!tree_remove(place->spool, &ignored);
    scene_done(&place->scene);
}

static PushAhead *open_ahead(Place *place, uint32_t segment, unsigned count)
{
    return push_ahead_open(&place->scene.archive.cluster,
                           &(PushAheadRequest){.path = place->paths[segment],
                                               .spool = place->spool,
                                               .count = count,
                                               .time_ms = 3600 * 1000,
                                               .compression = zstd,
                                               .threads = 3});
}

static void count_told(void *context, const char *path, const PushResult *result)
{
    Place *place = context;

    assert_true(result->outcome != PUSH_ACKNOWLEDGED);
    assert_non_null(strstr(path, "/pg_wal/"));
    place->told++;
}

/* A call for segment 1. */
static bool call_first(Place *place, unsigned count, Error *err)
{
    CLEANUP(push_ahead_freep) PushAhead *ahead = open_ahead(place, 1, count);
    PushResult result = {0};

    assert_non_null(ahead);
    place->told = 0;
    return push_ahead_run(ahead, &result, count_told, place, err);
}

static void run_ahead(Place *place, unsigned count)
{
    Error err = {0};

    assert_true(call_first(place, count, &err));
}

static bool is_answered(Place *place, uint32_t segment)
{
    CLEANUP(push_ahead_freep) PushAhead *ahead = open_ahead(place, segment, 1);
    WalTrailer trailer;

    assert_non_null(ahead);
    return push_ahead_has_done(ahead, &trailer);
}

static size_t archived(const Place *place)
{
    return scene_objects(&place->scene, "main/wal/");
}

static char *note_of(const Place *place, uint32_t segment)
{
    return text_format("%s/%s/main/%s", place->spool, place->scene.archive.repo.id,
                       place->names[segment]);
}

static bool has_note(const Place *place, uint32_t segment)
{
    CLEANUP(text_freep) char *note = note_of(place, segment);

    return file_exists(note);
}

static void what_waits_behind_is_pushed_and_answered_once(void **state)
{
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    run_ahead(&place, 2);
    assert_int_equal(place.told, 2);
    assert_int_equal(archived(&place), 3); /* with 2 and 3, in the order of their names */
    assert_false(has_note(&place, 1) || has_note(&place, 4));
    for (uint32_t i = 2; i <= 3; i++) {
        CLEANUP(buffer_done) Buffer content = {0};

        scene_archived(&place.scene, place.names[i], &content);
        assert_memory_equal(content.data, wal_builder_segment(&place.scene.wal, i), MIB);
        assert_true(is_answered(&place, i));
        assert_false(is_answered(&place, i)); /* from now on the object is read whole, law 2 */
        assert_true(file_exists(place.ready[i]));
    }
    assert_false(is_answered(&place, 4));
    assert_false(is_answered(&place, 1));
}

/* The call is about one file, whatever else waits. */
static void the_file_asked_for_is_pushed_and_reported(void **state)
{
    (void)state;
    for (unsigned count = 1; count <= 3; count++) {
        CLEANUP(place_done) Place place;
        CLEANUP(buffer_done) Buffer content = {0};
        CLEANUP(push_ahead_freep) PushAhead *ahead = NULL;
        PushResult result = {0};
        WalTrailer trailer;
        Error err = {0};

        place_init(&place);
        ahead = open_ahead(&place, SCENE_LAST + 1 - count, count); /* after the last: nothing */
        assert_true(push_ahead_run(ahead, &result, count_told, &place, &err));
        assert_int_equal(place.told, count - 1);
        assert_int_equal(result.outcome, PUSH_STORED);
        assert_int_equal(result.source.st_size, MIB);
        const char *name = place.names[SCENE_LAST + 1 - count];
        assert_true(wal_object_trailer(&place.scene.archive.cluster, name, &trailer, &err));
        assert_true(wal_trailers_agree(&trailer, &result.trailer));
        scene_archived(&place.scene, name, &content);
        assert_memory_equal(content.data,
                            wal_builder_segment(&place.scene.wal, SCENE_LAST + 1 - count), MIB);
    }
}

static void when_the_time_is_over_only_the_file_asked_for_is_pushed(void **state)
{
    CLEANUP(place_done) Place place;
    PushResult result = {0};
    Error err = {0};

    (void)state;
    place_init(&place);
    CLEANUP(push_ahead_freep)
    PushAhead *ahead =
        push_ahead_open(&place.scene.archive.cluster, &(PushAheadRequest){.path = place.paths[1],
                                                                          .spool = place.spool,
                                                                          .count = 3,
                                                                          .time_ms = 0,
                                                                          .compression = zstd,
                                                                          .threads = 3});
    assert_true(push_ahead_run(ahead, &result, count_told, &place, &err));
    assert_int_equal(result.outcome, PUSH_STORED);
    assert_int_equal(place.told, 0);
    assert_int_equal(archived(&place), 1);
}

/* Whatever a file is now that is not what was pushed. */
static void rewrite(const char *path, int flags, const void *data, size_t size, off_t offset)
{
    int fd = open(path, flags, 0600);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, size, offset), size);
    assert_int_equal(close(fd), 0);
}

static void touch(const Place *place)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000}};

    assert_int_equal(utimensat(AT_FDCWD, place->paths[2], times, 0), 0);
}

static void change_page(const Place *place)
{
    rewrite(place->paths[2], O_WRONLY, "other", 5, 8192);
}

/* As in a copy of the data directory: the same content, times and name, another inode. */
static void copy(const Place *place)
{
    CLEANUP(text_freep) char *aside = text_format("%s.aside", place->paths[2]);
    struct stat found;

    assert_int_equal(stat(place->paths[2], &found), 0);
    assert_int_equal(rename(place->paths[2], aside), 0);
    rewrite(place->paths[2], O_WRONLY | O_CREAT, wal_builder_segment(&place->scene.wal, 2), MIB, 0);
    assert_int_equal(chmod(place->paths[2], 0600), 0);
    const struct timespec times[2] = {found.st_atim, found.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, place->paths[2], times, 0), 0);
}

static void cut(const Place *place)
{
    assert_int_equal(truncate(place->paths[2], MIB / 2), 0);
}

static void vanish(const Place *place)
{
    assert_int_equal(unlink(place->paths[2]), 0);
}

static void remove_object(const Place *place)
{
    CLEANUP(text_freep) char *object = layout_wal("main", place->names[2]);
    Error err = {0};

    assert_true(storage_remove(place->scene.archive.repo.storage, object, &err));
}

/* The archive was put back as it was before, or is a different one: the name has other content. */
static void exchange_object(const Place *place)
{
    CLEANUP(wal_object_writer_freep) WalObjectWriter *writer = NULL;
    Error err = {0};

    remove_object(place);
    assert_true(wal_object_write(&place->scene.archive.cluster, place->names[2], zstd, 1, MIB,
                                 &writer, &err));
    assert_true(
        wal_object_writer_add(writer, wal_builder_segment(&place->scene.wal, 3), MIB, &err));
    assert_true(wal_object_writer_commit(writer, NULL, NULL, &err));
}

/* Put back from a copy: the very bytes, and perhaps only in memory. */
static void copy_object(const Place *place)
{
    CLEANUP(text_freep) char *object = layout_wal("main", place->names[2]);
    CLEANUP(buffer_done) Buffer content = {0};
    Storage *storage = place->scene.archive.repo.storage;
    Error err = {0};

    assert_true(storage_read(storage, object, SIZE_MAX, &content, &err));
    assert_true(storage_put(storage, object, WRITE_REPLACE, content.data, content.size, &err));
}

static void cut_object(const Place *place)
{
    CLEANUP(text_freep) char *object = layout_wal("main", place->names[2]);
    CLEANUP(buffer_done) Buffer content = {0};
    Storage *storage = place->scene.archive.repo.storage;
    Error err = {0};

    assert_true(storage_read(storage, object, SIZE_MAX, &content, &err));
    assert_true(storage_put(storage, object, WRITE_REPLACE, content.data, content.size - 1, &err));
}

static void empty_note(const Place *place)
{
    CLEANUP(text_freep) char *note = note_of(place, 2);

    assert_int_equal(truncate(note, 0), 0);
}

static void take_note_of_another_segment(const Place *place)
{
    CLEANUP(text_freep) char *note = note_of(place, 2);
    CLEANUP(text_freep) char *other = note_of(place, 3);

    assert_int_equal(rename(other, note), 0);
}

static void an_answer_is_about_this_file_and_this_archive_only(void **state)
{
    static void (*const changes[])(const Place *) = {
        touch,
        change_page,
        copy,
        cut,
        vanish,
        remove_object,
        exchange_object,
        copy_object,
        cut_object,
        empty_note,
        take_note_of_another_segment,
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        CLEANUP(place_done) Place place;
        CLEANUP(push_ahead_freep) PushAhead *ahead = NULL;
        WalTrailer trailer;

        place_init(&place);
        run_ahead(&place, 3);
        ahead = open_ahead(&place, 2, 1);
        changes[i](&place);
        if (push_ahead_has_done(ahead, &trailer))
            fail_msg("change %zu was not noticed", i);
    }
}

static void every_byte_of_a_note_counts(void **state)
{
    CLEANUP(place_done) Place place;
    CLEANUP(buffer_done) Buffer text = {0};
    Error err = {0};

    (void)state;
    place_init(&place);
    run_ahead(&place, 1);
    CLEANUP(text_freep) char *note = note_of(&place, 2);
    assert_true(file_read_whole(note, MIB, &text, &err));
    for (size_t i = 0; i <= text.size; i++) {
        if (i < text.size)
            text.data[i] ^= 1;
        int fd = open(note, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(write(fd, text.data, text.size), text.size);
        assert_int_equal(close(fd), 0);
        assert_int_equal(is_answered(&place, 2), i == text.size);
        assert_false(has_note(&place, 2)); /* right or wrong, it has served */
        if (i < text.size)
            text.data[i] ^= 1;
    }
}

static void a_note_of_another_repository_is_none(void **state)
{
    CLEANUP(place_done) Place place;
    CLEANUP(scene_done) Scene other;
    WalTrailer trailer;
    Error err = {0};

    (void)state;
    place_init(&place);
    scene_init(&other);
    run_ahead(&place, 1);
    /* The other one has the very same object, and somebody carried the note over. */
    PushResult result = {0};
    assert_true(archive_push(&other.archive.cluster,
                             &(PushRequest){.path = place.paths[2], .compression = zstd}, &result,
                             &err));
    CLEANUP(push_ahead_freep)
    PushAhead *ahead = push_ahead_open(
        &other.archive.cluster,
        &(PushAheadRequest){
            .path = place.paths[2], .spool = place.spool, .count = 1, .compression = zstd});
    assert_non_null(ahead);
    assert_false(push_ahead_has_done(ahead, &trailer));
    CLEANUP(text_freep) char *from = note_of(&place, 2);
    CLEANUP(text_freep)
    char *to = text_format("%s/%s/main/%s", place.spool, other.archive.repo.id, place.names[2]);
    assert_int_equal(link(from, to), 0);
    assert_false(push_ahead_has_done(ahead, &trailer));
    assert_true(is_answered(&place, 2));
}

static void nothing_is_published_after_one_that_failed(void **state)
{
    CLEANUP(place_done) Place place;

    (void)state;
    for (uint32_t bad = 1; bad <= SCENE_LAST; bad++) {
        Error err = {0};

        place_init(&place); /* the bad one is noticed at its first byte, before others are done */
        rewrite(place.paths[bad], O_WRONLY, "no WAL", 6, 0);
        assert_int_equal(call_first(&place, 3, &err), bad > 1);
        assert_int_equal(err.code, bad > 1 ? ERR_NONE : ERR_REFUSED);
        assert_int_equal(place.told, bad > 1 ? bad - 2 : 0);
        assert_int_equal(archived(&place), bad - 1);
        for (uint32_t i = 2; i <= SCENE_LAST; i++)
            assert_int_equal(has_note(&place, i), i < bad);
        if (bad < SCENE_LAST)
            place_done(&place);
    }
}

/* Out of reach: nothing is said, and nothing that was said before is lost or believed. */
static void a_repository_out_of_reach_answers_nothing(void **state)
{
    CLEANUP(place_done) Place place;
    Error err = {0};

    (void)state;
    place_init(&place);
    run_ahead(&place, 1);
    place.scene.fault =
        (StorageFault){.fail_at = 1, .fail_count = 1000000, .code = ERR_UNREACHABLE};
    assert_false(is_answered(&place, 2));
    assert_false(call_first(&place, 3, &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
    assert_int_equal(place.told, 0);
    place.scene.fault = (StorageFault){0};
    assert_true(is_answered(&place, 2));
}

/* It was put back as it was before the notes: what they are about goes there before the rest. */
static void a_repository_that_was_rolled_back_gets_no_hole(void **state)
{
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    run_ahead(&place, 1);
    remove_object(&place);
    run_ahead(&place, 2);
    assert_int_equal(archived(&place), 3);
    CLEANUP(buffer_done) Buffer content = {0};
    scene_archived(&place.scene, place.names[2], &content);
    assert_true(is_answered(&place, 2) && is_answered(&place, 3));
}

static void notes_about_what_no_longer_waits_are_removed(void **state)
{
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    run_ahead(&place, 2);
    assert_int_equal(unlink(place.ready[2]), 0); /* the server has its answer */
    run_ahead(&place, 2);
    assert_false(has_note(&place, 2));
    assert_true(has_note(&place, 3) && has_note(&place, 4));
    assert_int_equal(place.told, 2);
}

static bool can_open(Place *place, const char *spool, unsigned count)
{
    CLEANUP(push_ahead_freep)
    PushAhead *ahead = push_ahead_open(
        &place->scene.archive.cluster,
        &(PushAheadRequest){.path = place->paths[1], .spool = spool, .count = count});

    return ahead != NULL;
}

static void only_what_a_server_wants_archived_is_pushed_ahead(void **state)
{
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    assert_true(can_open(&place, place.spool, 1));
    assert_false(can_open(&place, place.spool, 0));
    assert_false(can_open(&place, "", 1));
    assert_false(can_open(&place, NULL, 1));
    assert_int_equal(unlink(place.ready[1]), 0);
    assert_false(can_open(&place, place.spool, 1)); /* pushed by hand, say */
}

static void a_spool_that_others_can_write_or_that_is_copied_along_is_not_used(void **state)
{
    CLEANUP(place_done) Place place;
    Error err = {0};

    (void)state;
    place_init(&place);
    CLEANUP(text_freep) char *inside = text_format("%s/spool", place.scene.directory);
    CLEANUP(text_freep)
    char *folder = text_format("%s/%s", place.spool, place.scene.archive.repo.id);
    CLEANUP(text_freep) char *notes = text_format("%s/main", folder);
    CLEANUP(text_freep) char *deeper = text_format("%s/not/there", place.spool);

    assert_false(can_open(&place, inside, 1));
    assert_false(file_exists(inside));
    assert_int_equal(mkdir(inside, 0700), 0);
    assert_false(can_open(&place, inside, 1));
    assert_false(can_open(&place, "relative", 1));
    assert_false(can_open(&place, deeper, 1));

    assert_true(can_open(&place, place.spool, 1));
    for (size_t i = 0; i < 2; i++) {
        const char *path = i == 0 ? folder : notes;

        assert_int_equal(chmod(path, 0720), 0);
        assert_false(can_open(&place, place.spool, 1));
        assert_int_equal(chmod(path, 0702), 0);
        assert_false(can_open(&place, place.spool, 1));
        assert_int_equal(chmod(path, 0700), 0);
        assert_true(can_open(&place, place.spool, 1));
    }
    assert_true(tree_remove(notes, &err));
    assert_int_equal(symlink("/tmp", notes), 0);
    assert_false(can_open(&place, place.spool, 1));
}

/* As on a full disk: each call would push the same ones, and read what is there of them. */
static void nothing_more_is_pushed_ahead_where_no_note_can_be_left(void **state)
{
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    run_ahead(&place, 1); /* makes the directories */
    CLEANUP(text_freep) char *note = note_of(&place, 3);
    assert_int_equal(mkdir(note, 0700), 0);
    run_ahead(&place, 8);
    assert_int_equal(archived(&place), 3); /* not 4 */
    assert_int_equal(place.told, 2);
}

static void make_file(const Scene *scene, const char *name, const void *content, size_t size)
{
    char *path = scene_file(scene, name, content, size);

    text_freep(&path);
}

/* As when a standby was promoted while the call was under way: its history came after the choice.
 */
static void nothing_of_another_timeline_is_pushed_before_its_history(void **state)
{
    static const char history[] = "1\t0/480000\tpromoted\n";
    CLEANUP(place_done) Place place;
    char name[WAL_NAME_SIZE];

    (void)state;
    place_init(&place);
    make_file(&place.scene, "pg_wal/00000002.history", history, sizeof history - 1);
    make_file(&place.scene, "pg_wal/archive_status/00000002.history.ready", "", 0);
    CLEANUP(text_freep)
    char *first = text_format("pg_wal/%s", scene_segment_name(2, SCENE_LAST, name));
    make_file(&place.scene, first, wal_builder_segment(&place.scene.wal, SCENE_LAST), MIB);
    CLEANUP(text_freep) char *status = text_format("pg_wal/archive_status/%s.ready", name);
    make_file(&place.scene, status, "", 0);

    run_ahead(&place, 8);
    assert_int_equal(archived(&place), 4); /* all of timeline 1 */
    assert_int_equal(place.told, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_behind_is_pushed_and_answered_once),
        cmocka_unit_test(the_file_asked_for_is_pushed_and_reported),
        cmocka_unit_test(when_the_time_is_over_only_the_file_asked_for_is_pushed),
        cmocka_unit_test(an_answer_is_about_this_file_and_this_archive_only),
        cmocka_unit_test(every_byte_of_a_note_counts),
        cmocka_unit_test(a_note_of_another_repository_is_none),
        cmocka_unit_test(nothing_is_published_after_one_that_failed),
        cmocka_unit_test(a_repository_out_of_reach_answers_nothing),
        cmocka_unit_test(a_repository_that_was_rolled_back_gets_no_hole),
        cmocka_unit_test(notes_about_what_no_longer_waits_are_removed),
        cmocka_unit_test(only_what_a_server_wants_archived_is_pushed_ahead),
        cmocka_unit_test(nothing_more_is_pushed_ahead_where_no_note_can_be_left),
        cmocka_unit_test(nothing_of_another_timeline_is_pushed_before_its_history),
        cmocka_unit_test(a_spool_that_others_can_write_or_that_is_copied_along_is_not_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
