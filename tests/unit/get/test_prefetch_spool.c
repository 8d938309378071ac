#include "prefetch_spool.h"

#include "../scene.h"
#include "base/file.h"
#include "prefetch_request.h"

#include <fcntl.h>
#include <unistd.h>

static const char segment[] = "000000010000000000000002";

/* A spool directory of the scene's cluster, where `segment` lies ready. */
typedef struct Place {
    Scene scene;
    char *path;
    PrefetchSpool spool;
    char *file;   /* of the segment in the spool */
    char *target; /* to hand it over to */
} Place;

static void put_ready(Place *place)
{
    static const char content[] = "a segment";
    CLEANUP(text_freep) char *path = NULL;
    char name[PREFETCH_NAME_SIZE];
    struct stat found;

    path = scene_file(&place->scene, "spool/fetch", content, sizeof content);
    assert_int_equal(stat(path, &found), 0);
    prefetch_spool_name(&place->spool, segment, &found, name);
    text_freep(&place->file);
    place->file = text_format("%s/%s", place->path, name);
    assert_int_equal(rename(path, place->file), 0);
}

static void place_init(Place *place)
{
    *place = (Place){.spool = PREFETCH_SPOOL_CLOSED};
    scene_init(&place->scene);
    place->path = text_format("%s/spool", place->scene.directory);
    place->target = text_format("%s/RECOVERYXLOG", place->scene.directory);
    assert_true(prefetch_spool_open(place->path, &place->scene.archive.cluster, "boot", true,
                                    &place->spool));
    put_ready(place);
}

static void place_done(Place *place)
{
    prefetch_spool_done(&place->spool);
    text_freep(&place->path);
    text_freep(&place->file);
    text_freep(&place->target);
    scene_done(&place->scene);
}

static void it_is_handed_over_once(void **state)
{
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    assert_false(prefetch_spool_take(&place.spool, "000000010000000000000003", place.target));
    assert_true(prefetch_spool_take(&place.spool, segment, place.target));
    assert_true(file_exists(place.target));
    assert_false(file_exists(place.file));
    assert_false(prefetch_spool_take(&place.spool, segment, place.target));
}

/* As whoever asks for another cluster, or after another boot. */
static bool is_taken_as(const Place *place, const Cluster *cluster, const char *boot)
{
    CLEANUP(prefetch_spool_done) PrefetchSpool spool = PREFETCH_SPOOL_CLOSED;

    return prefetch_spool_open(place->path, cluster, boot, false, &spool) &&
           prefetch_spool_take(&spool, segment, place->target);
}

static void only_for_this_repository_cluster_and_boot(void **state)
{
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    const Cluster *own = &place.scene.archive.cluster;
    Repo other_repo = *own->repo;
    Cluster other = *own;

    assert_false(is_taken_as(&place, own, "another boot"));
    CLEANUP(prefetch_spool_done) PrefetchSpool unknown = PREFETCH_SPOOL_CLOSED;
    assert_false(prefetch_spool_open(place.path, own, "", true, &unknown));
    other.system_identifier++;
    assert_false(is_taken_as(&place, &other, "boot"));
    other = *own;
    (void)snprintf(other.name, sizeof other.name, "clone");
    assert_false(is_taken_as(&place, &other, "boot"));
    other = *own;
    other.repo = &other_repo;
    assert_int_not_equal(other_repo.id[0], 'x');
    other_repo.id[0] = 'x';
    assert_false(is_taken_as(&place, &other, "boot"));
    assert_true(is_taken_as(&place, own, "boot"));
}

static void any_other_file_than_the_one_put_there_is_not_taken(void **state)
{
    struct stat found;
    char expected[PREFETCH_NAME_SIZE], name[PREFETCH_NAME_SIZE];
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    assert_int_equal(stat(place.file, &found), 0);
    prefetch_spool_name(&place.spool, segment, &found, expected);

    for (unsigned change = 0; change < 6; change++) {
        struct stat other = found;
        const char *of = segment;

        other.st_dev += change == 0;
        other.st_ino += change == 1;
        other.st_size += change == 2;
        other.st_mtim.tv_sec += change == 3;
        other.st_mtim.tv_nsec += change == 4;
        if (change == 5)
            of = "000000010000000000000003";
        prefetch_spool_name(&place.spool, of, &other, name);
        assert_string_not_equal(strchr(name, '.'), strchr(expected, '.'));
    }
}

static void a_link_is_not_taken(void **state)
{
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    CLEANUP(text_freep) char *link_path = text_format("%s/link", place.scene.directory);
    assert_int_equal(link(place.file, link_path), 0);
    assert_false(prefetch_spool_take(&place.spool, segment, place.target));
    assert_int_equal(unlink(place.file), 0);
    assert_int_equal(symlink(link_path, place.file), 0);
    assert_false(prefetch_spool_take(&place.spool, segment, place.target));
}

static void a_directory_of_others_is_none(void **state)
{
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    const Cluster *own = &place.scene.archive.cluster;
    CLEANUP(text_freep) char *link_path = text_format("%s/link", place.scene.directory);

    assert_int_equal(chmod(place.path, 0770), 0);
    assert_false(is_taken_as(&place, own, "boot"));
    assert_int_equal(chmod(place.path, 0702), 0);
    assert_false(is_taken_as(&place, own, "boot"));
    assert_int_equal(chmod(place.path, 0700), 0);
    assert_int_equal(symlink(place.path, link_path), 0);
    CLEANUP(prefetch_spool_done) PrefetchSpool by_link = PREFETCH_SPOOL_CLOSED;
    assert_false(prefetch_spool_open(link_path, own, "boot", true, &by_link));
    assert_true(is_taken_as(&place, own, "boot"));
}

static bool keep_all(void *context, const WalName *name)
{
    unsigned *count = context;

    assert_int_equal(name->segment, 2);
    (*count)++;
    return true;
}

static bool keep_none(void *context, const WalName *name)
{
    (void)context;
    (void)name;
    return false;
}

static void what_is_not_kept_goes_as_far_as_it_may(void **state)
{
    CLEANUP(place_done) Place place;
    unsigned count = 0;

    (void)state;
    place_init(&place);
    CLEANUP(text_freep) char *temporary = scene_file(&place.scene, "spool/fetch-1", "x", 1);
    CLEANUP(text_freep)
    char *unsealed = scene_file(&place.scene, "spool/000000010000000000000009.0123", "x", 1);

    prefetch_spool_scan(&place.spool, PREFETCH_REMOVE_NOTHING, keep_none, NULL);
    assert_true(file_exists(temporary) && file_exists(unsealed) && file_exists(place.file));
    prefetch_spool_scan(&place.spool, PREFETCH_REMOVE_SEGMENTS, keep_all, &count);
    assert_int_equal(count, 1);
    assert_true(file_exists(temporary) && !file_exists(unsealed) && file_exists(place.file));
    prefetch_spool_scan(&place.spool, PREFETCH_REMOVE_TEMPORARY_TOO, keep_all, &count);
    assert_true(!file_exists(temporary) && file_exists(place.file));
    prefetch_spool_scan(&place.spool, PREFETCH_REMOVE_SEGMENTS, keep_none, NULL);
    assert_false(file_exists(place.file));
    assert_false(prefetch_spool_is_gone(&place.spool));
    text_freep(&temporary);
    temporary = scene_file(&place.scene, "spool/other", "x", 1);
    CLEANUP(text_freep) char *state_path = text_format("%s/state", place.path);
    assert_int_equal(rename(temporary, state_path), 0);
    assert_true(prefetch_spool_is_gone(&place.spool));
}

static void wiped_nothing_can_be_put_there(void **state)
{
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    prefetch_spool_wipe(place.path);
    assert_false(file_exists(place.path));
    assert_true(prefetch_spool_is_gone(&place.spool));
    assert_int_equal(openat(place.spool.folder, "fetch-1", O_WRONLY | O_CREAT, 0600), -1);
    assert_false(prefetch_spool_take(&place.spool, segment, place.target));
    prefetch_spool_wipe(place.path); /* not there: fine */
}

/* Timeline 2 leaves 1 in segment 5, 3 leaves 2 in segment 8. */
static void the_next_one_is_the_one_that_the_path_has_there(void **state)
{
    static const uint32_t timelines[] = {1, 1, 2, 2, 2, 3, 3};
    CLEANUP(arena_done) Arena arena = {0};
    RecoveryView view = {.timeline = 3, .has_path = true};
    Error err = {0};
    WalName name;

    (void)state;
    assert_true(
        timeline_path_parse(3, "1\t0/580000\tx\n2\t0/880000\tx\n", &arena, &view.path, &err));
    for (uint64_t i = 0; i < ARRAY_SIZE(timelines); i++) {
        Pace pace = {.timeline = 1, .segment = 2};

        assert_true(prefetch_next(&view, &pace, i + 1, MIB, &name));
        assert_int_equal(name.segment, 3 + i);
        assert_int_equal(name.timeline, timelines[i]);
    }
    view.bound_segment = 6;
    assert_true(prefetch_next(&view, &(Pace){.segment = 5}, 1, MIB, &name));
    assert_false(prefetch_next(&view, &(Pace){.segment = 5}, 2, MIB, &name));
    view = (RecoveryView){.timeline = 7};
    assert_true(prefetch_next(&view, &(Pace){.segment = 5}, 2, MIB, &name));
    assert_int_equal(name.timeline, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_handed_over_once),
        cmocka_unit_test(only_for_this_repository_cluster_and_boot),
        cmocka_unit_test(any_other_file_than_the_one_put_there_is_not_taken),
        cmocka_unit_test(a_link_is_not_taken),
        cmocka_unit_test(a_directory_of_others_is_none),
        cmocka_unit_test(what_is_not_kept_goes_as_far_as_it_may),
        cmocka_unit_test(wiped_nothing_can_be_put_there),
        cmocka_unit_test(the_next_one_is_the_one_that_the_path_has_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
