/* What is remembered of the folders of WAL: the listing with it is the whole one, or it is not
 * believed. */
#include "walk/known_folders.h"

#include "base/tree.h"
#include "repo/layout.h"
#include "repo/record.h"
#include "storage/driver.h"
#include "stores.h"
#include "walk/inventory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { SEGMENT_SIZE = 64 << 20, PER_FOLDER = 64, FOLDERS = 10 };

/* A repository on disk, since only that tells when a folder changed; counted. */
typedef struct World {
    char *place;
    StorageCount count;
    Repo repo;
    Cluster cluster;
} World;

static char *wal_path(const World *world, uint32_t timeline, uint64_t segment, const char *ending)
{
    const WalName name = {.kind = WAL_SEGMENT, .timeline = timeline, .segment = segment};
    char text[WAL_NAME_SIZE];

    wal_name_text(&name, SEGMENT_SIZE, text);
    return text_format("%s/repo/main/wal/%.16s/%s%s.wal", world->place, text, text, ending);
}

static void make_file(const char *path, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

    assert_true(fd >= 0 && ftruncate(fd, (off_t)size) == 0 && close(fd) == 0);
}

/* A link to a file of one of a few sizes: thousands are made. */
static void put(const World *world, uint32_t timeline, uint64_t segment, const char *ending)
{
    CLEANUP(text_freep) char *path = wal_path(world, timeline, segment, ending);
    CLEANUP(text_freep) char *sized = text_format("%s/%u", world->place, (unsigned)(segment % 3));

    if (link(sized, path) == 0)
        return;
    CLEANUP(text_freep) char *folder = text_format("%.*s", (int)(strrchr(path, '/') - path), path);
    assert_true(mkdir(folder, 0777) == 0 && link(sized, path) == 0);
}

static void put_run(const World *world, uint32_t timeline, uint64_t first, uint64_t last)
{
    for (uint64_t segment = first; segment <= last; segment++)
        put(world, timeline, segment, "");
}

static void take(const World *world, uint32_t timeline, uint64_t segment)
{
    CLEANUP(text_freep) char *path = wal_path(world, timeline, segment, "");

    assert_int_equal(unlink(path), 0);
}

static void put_top(const World *world, const char *name)
{
    CLEANUP(text_freep) char *path = text_format("%s/repo/main/wal/%s", world->place, name);

    make_file(path, 10);
}

/* Longer than the step of a file system's clock. */
static void pass_some_time(void)
{
    usleep(30000);
}

static int world_open(void **state)
{
    World *world = mem_alloc(sizeof *world);
    bool created;
    Error err = {0};

    *state = world;
    world->place = text_format("/tmp/test-folders-XXXXXX");
    if (mkdtemp(world->place) == NULL)
        return -1;
    CLEANUP(text_freep) char *address = text_format("%s/repo", world->place);
    Storage *disk = storage_open(&(StorageSetup){.address = address}, &err);
    if (!storage_create(disk, &err) ||
        !repo_create(&world->repo, storage_count_new(disk, &world->count), &created, &err) ||
        !cluster_register(&world->repo, "main", 7, 15, SEGMENT_SIZE, &world->cluster, &created,
                          &err))
        return -1;
    CLEANUP(text_freep) char *archive = text_format("%s/repo/main/wal", world->place);
    assert_int_equal(mkdir(archive, 0777), 0);
    put_top(world, "00000002.history.wal");
    for (unsigned i = 0; i < 3; i++) {
        CLEANUP(text_freep) char *sized = text_format("%s/%u", world->place, i);
        make_file(sized, 100 + i);
    }
    return storage_put(disk, "main/known/x", WRITE_NEW, "x", 1, &err) ? 0 : -1;
}

static int world_close(void **state)
{
    World *world = *state;
    Error err = {0};

    repo_done(&world->repo);
    if (!tree_remove(world->place, &err))
        return -1;
    mem_free(world->place);
    mem_free(world);
    return 0;
}

static void refresh(const World *world, unsigned hours)
{
    Error err = {0};

    pass_some_time();
    assert_true(
        known_folders_refresh(&world->cluster, time_now() + (TimeUs)hours * 3600 * 1000000, &err));
}

static size_t remembered_objects(const World *world, char **first)
{
    CLEANUP(object_list_done) ObjectList list = {0};
    CLEANUP(text_freep) char *prefix = layout_known_folders_prefix("main");
    Error err = {0};

    assert_true(storage_list(world->repo.storage, prefix, &list, &err));
    if (first != NULL)
        *first = text_format("%s", list.count > 0 ? list.objects[0].name : "");
    return list.count;
}

static bool counts(const ObjectInfo *object)
{
    WalName name;

    return layout_wal_name_of("main", object->name, SEGMENT_SIZE, &name) &&
           name.kind != WAL_BACKUP_HISTORY;
}

/* Same names, sizes and times, but for what may be left out. How much was listed for it. */
static uint64_t compare_listings(World *world)
{
    CLEANUP(object_list_done) ObjectList whole = {0};
    CLEANUP(object_list_done) ObjectList quick = {0};
    Error err = {0};
    size_t at = 0;

    assert_true(storage_list(world->repo.storage, "main/wal/", &whole, &err));
    world->count.listed = 0;
    assert_true(known_folders_list(&world->cluster, &quick, &err));
    const uint64_t listed = world->count.listed;
    for (size_t i = 0; i < whole.count; i++) {
        const bool is_there =
            at < quick.count && strcmp(quick.objects[at].name, whole.objects[i].name) == 0;

        if (!is_there && counts(&whole.objects[i]))
            fail_msg("%s is left out", whole.objects[i].name);
        if (!is_there)
            continue;
        assert_int_equal(quick.objects[at].size, whole.objects[i].size);
        assert_int_equal(quick.objects[at].stored_at, whole.objects[i].stored_at);
        at++;
    }
    assert_int_equal(at, quick.count); /* in order, each once, none that is not there */
    return listed;
}

static void put_long_archive(const World *world)
{
    put_run(world, 1, 5, FOLDERS * PER_FOLDER + 17);
}

static void full_folders_are_not_listed_again(void **state)
{
    World *world = *state;
    CLEANUP(wal_inventory_done) WalInventory inventory = {0};
    Error err = {0};

    put_long_archive(world);
    assert_true(compare_listings(world) > FOLDERS * PER_FOLDER);
    refresh(world, 2);
    assert_int_equal(remembered_objects(world, NULL), 1);
    /* All is settled by then: folders, the first names, the rest. */
    const uint64_t listed = compare_listings(world);
    assert_true(listed < 200);

    put_run(world, 1, FOLDERS * PER_FOLDER + 18, FOLDERS * PER_FOLDER + 99);
    assert_true(compare_listings(world) < 350);
    assert_true(wal_inventory_load_remembered(&inventory, &world->cluster, &err));
    assert_int_equal(inventory.run_count, 1);
    assert_int_equal(inventory.runs[0].first, 5);
    assert_int_equal(inventory.runs[0].last, FOLDERS * PER_FOLDER + 99);
    assert_int_equal(inventory.history_count, 1);
}

/* Whatever becomes of a folder: it is listed, and what is told of it is true. */
static void a_folder_that_changed_is_listed(void **state)
{
    World *world = *state;
    enum { SOMEWHERE = 5 * PER_FOLDER + 100 };

    put_long_archive(world);
    refresh(world, 2);
    pass_some_time();
    take(world, 1, SOMEWHERE);
    assert_true(compare_listings(world) < 200 + 2 * PER_FOLDER);
    pass_some_time();
    put(world, 1, SOMEWHERE, "");
    compare_listings(world);
    refresh(world, 2);
    assert_true(compare_listings(world) < 200);

    pass_some_time();
    CLEANUP(text_freep) char *one = wal_path(world, 1, SOMEWHERE, "");
    CLEANUP(text_freep) char *other = wal_path(world, 1, SOMEWHERE, ".partial");
    assert_int_equal(rename(one, other), 0);
    compare_listings(world);
    refresh(world, 2);
    compare_listings(world);
}

/* As a copy that keeps times looks, in which something was left out. */
static void a_copy_of_a_folder_is_not_believed(void **state)
{
    World *world = *state;
    CLEANUP(text_freep)
    char *folder = text_format("%s/repo/main/wal/0000000100000003", world->place);
    CLEANUP(text_freep) char *aside = text_format("%s/aside", world->place);
    struct stat before;

    put_long_archive(world);
    refresh(world, 2);
    pass_some_time();
    assert_int_equal(stat(folder, &before), 0);
    assert_int_equal(rename(folder, aside), 0);
    for (uint64_t segment = 3 * PER_FOLDER; segment < 4 * PER_FOLDER; segment++) {
        if (segment % 10 != 0)
            put(world, 1, segment, "");
    }
    const struct timespec times[2] = {before.st_atim, before.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, folder, times, 0), 0);
    compare_listings(world);
}

static void what_is_not_one_run_is_listed_each_time(void **state)
{
    World *world = *state;

    put_long_archive(world);
    take(world, 1, 2 * PER_FOLDER + 7);                    /* a hole */
    put(world, 1, 4 * PER_FOLDER + 9, ".partial");         /* a segment that was left */
    put(world, 1, 6 * PER_FOLDER + 9, ".00000028.backup"); /* counts for nothing */
    put_run(world, 2, 6 * PER_FOLDER, 9 * PER_FOLDER - 1); /* a timeline, and its history */
    put_run(world, 3, 8 * PER_FOLDER, 9 * PER_FOLDER - 1); /* without one */
    put_top(world, "00000004.history.wal");
    put_top(world, "0000000100000005.x");
    refresh(world, 2);
    const uint64_t listed = compare_listings(world);
    /* Two folders of the first timeline; each time the listing goes on it gives a few too many. */
    assert_true(listed > 2 * PER_FOLDER && listed < 10 * PER_FOLDER);
}

static void a_folder_that_changed_within_the_hour_is_not_remembered(void **state)
{
    World *world = *state;

    put_long_archive(world);
    refresh(world, 0);
    assert_int_equal(remembered_objects(world, NULL), 0);
    assert_true(compare_listings(world) > FOLDERS * PER_FOLDER);
}

static void what_is_the_same_is_not_stored_again(void **state)
{
    World *world = *state;
    CLEANUP(text_freep) char *first = NULL;
    CLEANUP(text_freep) char *second = NULL;
    CLEANUP(text_freep) char *third = NULL;

    put_long_archive(world);
    refresh(world, 2);
    assert_int_equal(remembered_objects(world, &first), 1);
    refresh(world, 3);
    assert_int_equal(remembered_objects(world, &second), 1);
    assert_string_equal(first, second);

    put_run(world, 1, FOLDERS * PER_FOLDER + 18, FOLDERS * PER_FOLDER + 30);
    refresh(world, 4);
    assert_int_equal(remembered_objects(world, &third), 1);
    assert_string_not_equal(first, third);
    assert_true(compare_listings(world) < 200);
}

/* A file that was cut keeps its name: it shows when the archive was listed whole, by a backup. */
static void what_was_cut_in_place_shows_after_the_next_whole_listing(void **state)
{
    World *world = *state;
    CLEANUP(object_list_done) ObjectList quick = {0};
    CLEANUP(text_freep) char *path = wal_path(world, 1, 300, "");
    Error err = {0};

    put_long_archive(world);
    refresh(world, 2);
    pass_some_time();
    assert_int_equal(truncate(path, 0), 0);
    refresh(world, 2);
    compare_listings(world);
    assert_true(known_folders_list(&world->cluster, &quick, &err));
}

static void change_object(const World *world, const char *object, size_t offset)
{
    CLEANUP(text_freep) char *path = text_format("%s/repo/%s", world->place, object);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    char byte = 0;

    assert_true(fd >= 0 && pread(fd, &byte, 1, (off_t)offset) == 1);
    byte = (char)(byte ^ 1);
    assert_true(pwrite(fd, &byte, 1, (off_t)offset) == 1 && close(fd) == 0);
}

/* Damaged, of another cluster, cut: all is listed. */
static void what_can_not_be_read_counts_for_nothing(void **state)
{
    World *world = *state;
    CLEANUP(text_freep) char *object = NULL;

    put_long_archive(world);
    refresh(world, 2);
    assert_int_equal(remembered_objects(world, &object), 1);
    for (size_t offset = 0; offset < 400; offset += 67) {
        change_object(world, object, offset);
        assert_true(compare_listings(world) > FOLDERS * PER_FOLDER);
        change_object(world, object, offset);
    }
    assert_true(compare_listings(world) < 200);
}

/* What somebody wrote who can sign. */
static void remember_by_hand(const World *world, const char *repository, const char *cluster,
                             const char *value)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};
    CLEANUP(text_freep) char *object = layout_known_folders("main", 0);
    Error err = {0};

    assert_true(storage_remove(world->repo.storage, object, &err));
    record_begin(&record, "folders", 1);
    record_text(&record, "repository", repository);
    record_text(&record, "cluster", cluster);
    record_text(&record, "folder", value);
    assert_true(record_store(&record, world->repo.storage, object, &err));
}

static void what_is_of_another_place_is_not_believed(void **state)
{
    World *world = *state;
    CLEANUP(text_freep)
    char *folder = text_format("%s/repo/main/wal/0000000100000003", world->place);
    CLEANUP(object_list_done) ObjectList list = {0};
    struct stat found;
    Error err = {0};

    put_run(world, 1, 3 * PER_FOLDER, 4 * PER_FOLDER - 1);
    assert_int_equal(stat(folder, &found), 0);
    CLEANUP(text_freep)
    char *value = text_format("000000010000000300000000 %lld%06ld 5 5",
                              (long long)found.st_ctim.tv_sec, found.st_ctim.tv_nsec / 1000);

    remember_by_hand(world, "00000000000000000000000000000000", "main", value);
    compare_listings(world);
    remember_by_hand(world, world->repo.id, "other", value);
    compare_listings(world);
    /* Else it would have been: then the folder has that one segment. */
    remember_by_hand(world, world->repo.id, "main", value);
    assert_true(known_folders_list(&world->cluster, &list, &err));
    assert_int_equal(list.count, 2);
}

/* Signed, of the folder's very time, and nonsense. */
static void what_can_not_be_is_not_believed(void **state)
{
    static const struct {
        const char *name, *segments;
        const char *before; /* of the time */
    } cases[] = {
        {"000000010000000300000000", "", ""},
        {"000000010000000300000000", " 5", ""},
        {"000000010000000300000000", " 5 x", ""},
        {"000000010000000300000000", " 5 5 7", ""},
        {"000000010000000300000000", "  5 5", ""},
        {"000000010000000300000000", " 5 5 ", ""},
        {"000000010000000300000000", " 5 99999999999999999999", ""},
        {"000000010000000300000000", " 5 9999999999999999999", ""},
        {"000000010000000300000000", " 5 5", "9999999999999"},
        {"000000010000000300000000", " 5 5", "-"},
        {"00000001000000030000003F", " 5 5 5 5", ""}, /* the second one lies in the next folder */
        {"000000010000000300000000.partial", " 5 5", ""},
        {"000000010000000300000000.00000028.backup", " 5 5", ""},
        {"00000002.history", " 5 5", ""},
        {"00000001000000030000000", " 5 5", ""},
        {"", " 5 5", ""},
    };
    World *world = *state;
    CLEANUP(text_freep)
    char *folder = text_format("%s/repo/main/wal/0000000100000003", world->place);
    struct stat found;

    put_run(world, 1, 3 * PER_FOLDER, 4 * PER_FOLDER - 1);
    assert_int_equal(stat(folder, &found), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(text_freep)
        char *value = text_format("%s %s%lld%06ld%s", cases[i].name, cases[i].before,
                                  (long long)found.st_ctim.tv_sec, found.st_ctim.tv_nsec / 1000,
                                  cases[i].segments);

        remember_by_hand(world, world->repo.id, "main", value);
        compare_listings(world);
    }
}

static const StorageOps *true_ops;

static bool list_frozen(Storage *storage, const ListRequest *request, ObjectList *list, Error *err)
{
    if (!true_ops->list(storage, request, list, err))
        return false;
    for (size_t i = 0; request->folders_only && i < list->count; i++)
        list->objects[i].stored_at = 1000;
    return true;
}

/* Something that takes a segment away just when its folder was listed, once. */
static const char *to_take;

static bool list_and_take(Storage *storage, const ListRequest *request, ObjectList *list,
                          Error *err)
{
    if (!true_ops->list(storage, request, list, err))
        return false;
    if (!request->folders_only && to_take != NULL && strcmp(request->prefix, "main/wal/") == 0) {
        assert_int_equal(unlink(to_take), 0);
        to_take = NULL;
    }
    return true;
}

static void what_changes_while_it_is_listed_is_not_remembered(void **state)
{
    World *world = *state;
    CLEANUP(text_freep) char *path = wal_path(world, 1, 3 * PER_FOLDER + 5, "");
    StorageOps taking = *world->repo.storage->ops;

    put_long_archive(world);
    pass_some_time();
    true_ops = world->repo.storage->ops;
    taking.list = list_and_take;
    world->repo.storage->ops = &taking;
    to_take = path;
    refresh(world, 2);
    world->repo.storage->ops = true_ops;
    assert_null(to_take);
    compare_listings(world);
}

/* A file system that makes up the times of its folders is found out, and not relied on. */
static void a_store_whose_times_stand_still_is_not_believed(void **state)
{
    World *world = *state;
    StorageOps frozen = *world->repo.storage->ops;
    Error err = {0};

    put_long_archive(world);
    refresh(world, 2);
    assert_int_equal(remembered_objects(world, NULL), 1);
    true_ops = world->repo.storage->ops;
    frozen.list = list_frozen;
    world->repo.storage->ops = &frozen;
    assert_true(known_folders_refresh(&world->cluster, time_now(), &err));
    world->repo.storage->ops = true_ops;
    assert_int_equal(remembered_objects(world, NULL), 0);
}

/* A store that can't tell when a folder changed: all is listed, and nothing is written down. */
static void a_store_that_can_not_tell_is_listed_whole(void **state)
{
    Repo repo = {0};
    Cluster cluster;
    CLEANUP(object_list_done) ObjectList list = {0};
    bool created;
    Error err = {0};

    (void)state;
    assert_true(repo_create(&repo, storage_memory_new(), &created, &err));
    assert_true(cluster_register(&repo, "main", 7, 15, SEGMENT_SIZE, &cluster, &created, &err));
    assert_true(storage_put(repo.storage, "main/wal/0000000100000000/000000010000000000000001.wal",
                            WRITE_NEW, "x", 1, &err));
    assert_true(known_folders_refresh(&cluster, time_now() + (TimeUs)7200 * 1000000, &err));
    assert_true(storage_list(repo.storage, "main/known/", &list, &err));
    assert_int_equal(list.count, 0);
    assert_true(known_folders_list(&cluster, &list, &err));
    assert_int_equal(list.count, 1);
    repo_done(&repo);
}

int main(void)
{
#define FOLDER_TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(full_folders_are_not_listed_again),
        FOLDER_TEST(a_folder_that_changed_is_listed),
        FOLDER_TEST(a_copy_of_a_folder_is_not_believed),
        FOLDER_TEST(what_is_not_one_run_is_listed_each_time),
        FOLDER_TEST(a_folder_that_changed_within_the_hour_is_not_remembered),
        FOLDER_TEST(what_is_the_same_is_not_stored_again),
        FOLDER_TEST(what_was_cut_in_place_shows_after_the_next_whole_listing),
        FOLDER_TEST(what_can_not_be_read_counts_for_nothing),
        FOLDER_TEST(what_can_not_be_is_not_believed),
        FOLDER_TEST(what_is_of_another_place_is_not_believed),
        FOLDER_TEST(what_changes_while_it_is_listed_is_not_remembered),
        FOLDER_TEST(a_store_whose_times_stand_still_is_not_believed),
        cmocka_unit_test(a_store_that_can_not_tell_is_listed_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
