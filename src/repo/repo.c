#include "repo/repo.h"

#include "base/random.h"
#include "repo/layout.h"
#include "repo/record.h"
#include "storage/driver.h"
#include "stream/digest.h"

#include <inttypes.h>

enum { REPOSITORY_RECORD_VERSION = 1, CLUSTER_NAME_ROOM = sizeof((Cluster){0}.name) };

/* 16 hex digits, as record 3.1 of docs/format.md has them. */
static bool parse_seed(const char *text, uint64_t *seed)
{
    uint8_t bytes[8];

    if (!hex_parse(text, bytes, sizeof bytes))
        return false;
    *seed = 0;
    for (size_t i = 0; i < sizeof bytes; i++)
        *seed = *seed << 8 | bytes[i];
    return true;
}

/* What decides whether this program may touch the repository at all. */
static bool check_format(const Record *record, Error *err)
{
    const char *encryption;
    uint64_t format;

    if (!record_get_u64(record, "format", &format, err))
        return false;
    if (format > REPO_FORMAT) {
        error_set(err, ERR_VERSION, "repository has format %" PRIu64 ", this program knows %d",
                  format, REPO_FORMAT);
        return error_hint(err, "use a newer pgcairn");
    }
    if (format == 0)
        return error_set(err, ERR_CORRUPT, "repository has format 0");
    if (!record_get_text(record, "encryption", &encryption, err))
        return false;
    if (strcmp(encryption, "none") != 0) {
        error_set(err, ERR_VERSION,
                  "repository is encrypted (\"%s\"), which this program can't read", encryption);
        return error_hint(err, "use a pgcairn that knows encrypted repositories");
    }
    return true;
}

static bool load_repository(Storage *storage, Repo *repo, Error *err)
{
    CLEANUP(record_done) Record record = {0};
    const char *id;
    const char *seed;
    uint8_t id_bytes[16];
    Repo loaded = {.storage = storage};

    if (!record_load(storage, LAYOUT_REPOSITORY, "repository", REPOSITORY_RECORD_VERSION, &record,
                     err) ||
        !check_format(&record, err) || !record_get_text(&record, "id", &id, err) ||
        !record_get_text(&record, "hash_seed", &seed, err))
        return false;
    if (!hex_parse(id, id_bytes, sizeof id_bytes) || !parse_seed(seed, &loaded.hash_seed))
        return error_set(err, ERR_CORRUPT, "repository record has an ill-formed id or hash seed");
    snprintf(loaded.id, sizeof loaded.id, "%s", id);
    *repo = loaded;
    return true;
}

/* Draw what makes this repository differ from all others. */
static bool draw_identity(RecordWriter *record, Error *err)
{
    uint64_t numbers[3];
    char text[33];

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        if (!random_u64(&numbers[i], err))
            return false;
    }
    snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64, numbers[0], numbers[1]);
    record_text(record, "id", text);
    snprintf(text, sizeof text, "%016" PRIx64, numbers[2]);
    record_text(record, "hash_seed", text);
    return true;
}

static bool store_repository(Storage *storage, Error *err)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};

    record_begin(&record, "repository", REPOSITORY_RECORD_VERSION);
    record_u64(&record, "format", REPO_FORMAT);
    if (!draw_identity(&record, err))
        return false;
    record_text(&record, "encryption", "none");
    record_time(&record, "created", time_now());
    record_text(&record, "tool", PGCAIRN_VERSION);
    return record_store(&record, storage, LAYOUT_REPOSITORY, err);
}

/* "main/registration/0001": gives the length of the cluster's name; 0 for any other object. */
static size_t registration_cluster_length(const char *object)
{
    const char *slash = strchr(object, '/');
    const char *number = slash == NULL ? NULL : slash + strlen("/registration/");

    if (slash == NULL || slash - object >= CLUSTER_NAME_ROOM ||
        strncmp(slash, "/registration/", strlen("/registration/")) != 0 ||
        strspn(number, "0123456789") != strlen(number) || strlen(number) < 4)
        return 0;
    return (size_t)(slash - object);
}

/* The first registration in a folder ("main/"); *has is false when it is not a cluster's. */
static bool find_registration(Storage *storage, const char *folder, ObjectList *found, bool *has,
                              Error *err)
{
    CLEANUP(text_freep) char *prefix = text_format("%sregistration/", folder);
    CLEANUP(object_list_done) ObjectList list = {0};

    *has = false;
    if (!storage_list(storage, prefix, &list, err))
        return false;
    for (size_t i = 0; i < list.count && !*has; i++) {
        const ObjectInfo *object = &list.objects[i];

        *has = registration_cluster_length(object->name) > 0;
        if (*has)
            object_list_add(found, object->name, object->size, object->stored_at);
    }
    return true;
}

/* The first registration of each cluster. Costs what there are of folders, not of objects. */
static bool find_registrations(Storage *storage, ObjectList *found, Error *err)
{
    CLEANUP(object_list_done) ObjectList folders = {0};
    bool has;

    if (!storage_list_folders(storage, "", &folders, err))
        return false;
    for (size_t i = 0; i < folders.count; i++) {
        if (!find_registration(storage, folders.objects[i].name, found, &has, err))
            return false;
    }
    return true;
}

/*
 * A place that lost its `repository` object still holds data that another hash seed would make
 * look damaged: never begin anew on top of it.
 */
static bool check_nothing_there(Storage *storage, Error *err)
{
    CLEANUP(object_list_done) ObjectList list = {0};

    if (!find_registrations(storage, &list, err))
        return false;
    if (list.count == 0)
        return true;
    error_set(err, ERR_CORRUPT, "\"%s\" holds \"%s\", but no object \"%s\"",
              storage_address(storage), list.objects[0].name, LAYOUT_REPOSITORY);
    return error_hint(err, "bring back the lost object \"%s\", or choose another place",
                      LAYOUT_REPOSITORY);
}

bool repo_create(Repo *repo, Storage *storage, bool *created, Error *err)
{
    *repo = (Repo){.storage = storage}; /* ours from here on, whatever happens */
    if (!storage_create(storage, err))
        return error_context(err, "create repository");
    if (load_repository(storage, repo, err)) {
        *created = false;
        /* Its creator may have died before it was durable. */
        return storage_sync(storage, LAYOUT_REPOSITORY, err) ||
               error_context(err, "open repository");
    }
    if (err->code != ERR_NOT_FOUND)
        return error_context(err, "open repository");
    error_clear(err);

    bool is_new = true;
    if (!check_nothing_there(storage, err) || !storage_probe(storage, err))
        return error_context(err, "create repository");
    if (!store_repository(storage, err)) {
        /* Somebody else was creating it at the same time: theirs is as good. */
        if (err->code != ERR_EXISTS)
            return error_context(err, "create repository");
        error_clear(err);
        is_new = false;
    }
    if (!load_repository(storage, repo, err))
        return error_context(err, "open repository");
    *created = is_new;
    return true;
}

/* Nothing at this name: an empty place, or none at all (an unmounted file system, say)? */
static bool repo_explain_absence(Storage *storage, Error *err)
{
    CLEANUP(object_list_done) ObjectList list = {0};

    error_clear(err);
    if (!storage_list_part(storage, &(ListRequest){.prefix = LAYOUT_REPOSITORY, .limit = 1}, &list,
                           err))
        return false;
    error_set(err, ERR_NOT_FOUND, "there is no repository at \"%s\"", storage_address(storage));
    return error_hint(
        err, "check the address; pgcairn init makes a new one, in a directory that is empty");
}

bool repo_open(Repo *repo, Storage *storage, Error *err)
{
    *repo = (Repo){.storage = storage}; /* ours from here on, whatever happens */
    if (load_repository(storage, repo, err))
        return true;
    if (err->code == ERR_NOT_FOUND)
        repo_explain_absence(storage, err);
    return error_context(err, "open repository");
}

bool repo_check(const Repo *repo, Error *err)
{
    Repo found = {0}; /* the storage in it is not its own */

    if (!load_repository(repo->storage, &found, err)) {
        if (err->code != ERR_NOT_FOUND)
            return error_context(err, "look whether it is still the same repository");
        error_clear(err);
        error_set(err, ERR_UNREACHABLE, "the repository is not at \"%s\" any more",
                  storage_address(repo->storage));
        return error_hint(err, "is its file system mounted?");
    }
    if (strcmp(found.id, repo->id) == 0 && found.hash_seed == repo->hash_seed)
        return true;
    error_set(err, ERR_REFUSED, "\"%s\" holds another repository: %s, and not %s",
              storage_address(repo->storage), found.id, repo->id);
    return error_hint(err, "give the address of the repository that this began with");
}

void repo_done(Repo *repo)
{
    storage_freep(&repo->storage);
    *repo = (Repo){0};
}

static int compare_object_names(const void *a, const void *b)
{
    return strcmp(((const ObjectInfo *)a)->name, ((const ObjectInfo *)b)->name);
}

bool repo_clusters(Repo *repo, ObjectList *list, Error *err)
{
    CLEANUP(object_list_done) ObjectList registrations = {0};
    CLEANUP(object_list_done) ObjectList found = {0};

    if (!find_registrations(repo->storage, &registrations, err))
        return error_context(err, "list clusters");
    for (size_t i = 0; i < registrations.count; i++) {
        const ObjectInfo *object = &registrations.objects[i];
        const size_t length = registration_cluster_length(object->name);
        CLEANUP(text_freep) char *name = text_format("%.*s", (int)length, object->name);

        object_list_add(&found, name, object->size, object->stored_at);
    }
    /* "main-2/..." comes before "main/...", "main-2" after "main". */
    if (found.count > 1)
        qsort(found.objects, found.count, sizeof *found.objects, compare_object_names);
    *list = found;
    found = (ObjectList){0};
    return true;
}
