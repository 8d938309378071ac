#include "repo/condemned.h"

#include "base/process.h"
#include "base/text.h"

enum { CONDEMNED_VERSION = 1, CONDEMNED_SIZE_MAX = 256 << 20, PACK_ID_LENGTH = 32 };

static const char *const item_keys[] = {
    [CONDEMNED_BACKUP] = "backup",
    [CONDEMNED_PACK] = "pack",
    [CONDEMNED_WAL] = "wal",
};

static bool item_kind_of(const char *key, CondemnedKind *kind)
{
    for (size_t i = 0; i < ARRAY_SIZE(item_keys); i++) {
        if (strcmp(key, item_keys[i]) == 0) {
            *kind = (CondemnedKind)i;
            return true;
        }
    }
    return false;
}

static char *condemned_name(const Cluster *cluster, const char *id)
{
    return text_format("%s/condemned/%s", cluster->name, id);
}

/* Whose it is: a cluster's records mean its own objects alone. */
static bool check_owner(const Record *record, const Cluster *cluster, Error *err)
{
    const char *repository, *name;

    if (!record_get_text(record, "repository", &repository, err) ||
        !record_get_text(record, "cluster", &name, err))
        return false;
    return (strcmp(repository, cluster->repo->id) == 0 && strcmp(name, cluster->name) == 0) ||
           error_set(err, ERR_CORRUPT, "it is of another repository or cluster");
}

static bool decode_condemned(CondemnedRecord *into, const Record *record, const Cluster *cluster,
                             Arena *arena, Error *err)
{
    const char *host;
    uint64_t grace, by_hand;

    if (!check_owner(record, cluster, err) || !record_get_time(record, "at", &into->at, err) ||
        !record_get_text(record, "host", &host, err) ||
        !record_get_u64(record, "grace_us", &grace, err) ||
        !record_get_u64(record, "by_hand", &by_hand, err))
        return false;
    if (into->at == TIME_US_NONE || grace > INT64_MAX / 4)
        return error_set(err, ERR_CORRUPT, "it does not say since when");
    into->grace = (TimeUs)grace;
    into->is_by_hand = by_hand != 0;
    into->host = arena_text(arena, host);
    into->items = arena_alloc(arena, (record->count + 1) * sizeof into->items[0]);
    for (size_t i = 0; i < record->count; i++) {
        CondemnedItem *item = &into->items[into->count];

        if (!item_kind_of(record->fields[i].key, &item->kind))
            continue;
        item->name = arena_text(arena, record->fields[i].value);
        into->count++;
    }
    return true;
}

static bool read_condemned(CondemnedRecord *into, const Cluster *cluster, const char *object,
                           Arena *arena, Error *err)
{
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(record_done) Record record = {0};

    return storage_read(cluster->repo->storage, object, CONDEMNED_SIZE_MAX, &text, err) &&
           record_parse((const char *)text.data, text.size, "condemned", CONDEMNED_VERSION, &record,
                        err) &&
           decode_condemned(into, &record, cluster, arena, err);
}

static int packs_by_id(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void index_packs(CondemnedList *list)
{
    size_t total = 0;

    for (size_t i = 0; i < list->count; i++)
        total += list->records[i].count;
    list->packs = arena_alloc(&list->arena, (total + 1) * sizeof list->packs[0]);
    for (size_t i = 0; i < list->count; i++) {
        for (size_t at = 0; at < list->records[i].count; at++) {
            const CondemnedItem *item = &list->records[i].items[at];

            if (item->kind == CONDEMNED_PACK)
                list->packs[list->pack_count++] = item->name;
        }
    }
    if (list->pack_count > 1)
        qsort(list->packs, list->pack_count, sizeof list->packs[0], packs_by_id);
}

/* One that was taken back since the listing is not there. */
static bool add_condemned(CondemnedList *list, const Cluster *cluster, const char *object,
                          const char *id, Error *err)
{
    CondemnedRecord *record = &list->records[list->count];
    Error attempt = {0};

    *record = (CondemnedRecord){.at = TIME_US_NONE, .host = ""};
    (void)snprintf(record->id, sizeof record->id, "%s", id);
    record->is_readable = read_condemned(record, cluster, object, &list->arena, &attempt);
    if (attempt.code == ERR_NOT_FOUND)
        return true;
    list->count++;
    if (record->is_readable)
        return true;
    record->count = 0;
    list->has_unreadable = true;
    if (attempt.code == ERR_CORRUPT || attempt.code == ERR_VERSION || attempt.code == ERR_REFUSED)
        return true;
    return error_pass(err, &attempt) || error_context(err, "read \"%s\"", object);
}

bool condemned_load(CondemnedList *list, const Cluster *cluster, Error *err)
{
    CLEANUP(text_freep) char *prefix = layout_condemned_prefix(cluster->name);
    CLEANUP(object_list_done) ObjectList objects = {0};
    CLEANUP(condemned_list_done) CondemnedList loaded = {.count = 0};

    if (!storage_list(cluster->repo->storage, prefix, &objects, err))
        return error_context(err, "list what is condemned");
    loaded.records = arena_alloc(&loaded.arena, (objects.count + 1) * sizeof loaded.records[0]);
    for (size_t i = 0; i < objects.count; i++) {
        const char *object = objects.objects[i].name;
        const char *id = object + strlen(prefix);

        if (backup_id_is_valid(id, strlen(id)) && !add_condemned(&loaded, cluster, object, id, err))
            return false;
    }
    index_packs(&loaded);
    *list = loaded;
    loaded = (CondemnedList){.count = 0};
    return true;
}

void condemned_list_done(CondemnedList *list)
{
    arena_done(&list->arena);
    *list = (CondemnedList){.count = 0};
}

static bool record_names(const CondemnedRecord *record, const char *backup)
{
    for (size_t at = 0; at < record->count; at++) {
        if (record->items[at].kind == CONDEMNED_BACKUP &&
            strcmp(record->items[at].name, backup) == 0)
            return true;
    }
    return false;
}

static const CondemnedRecord *find_record_of(const CondemnedList *list, const char *backup,
                                             bool only_by_hand)
{
    for (size_t i = 0; i < list->count; i++) {
        const CondemnedRecord *record = &list->records[i];

        if ((record->is_by_hand || !only_by_hand) && record_names(record, backup))
            return record;
    }
    return NULL;
}

const CondemnedRecord *condemned_find(const CondemnedList *list, const char *backup)
{
    return find_record_of(list, backup, false);
}

const CondemnedRecord *condemned_find_by_hand(const CondemnedList *list, const char *backup)
{
    return find_record_of(list, backup, true);
}

bool condemned_has_backup(const CondemnedList *list, const char *backup)
{
    return list->has_unreadable || condemned_find(list, backup) != NULL;
}

bool condemned_has_pack(const CondemnedList *list, const char *pack)
{
    return list->has_unreadable ||
           (list->pack_count > 0 && bsearch(&pack, list->packs, list->pack_count,
                                            sizeof list->packs[0], packs_by_id) != NULL);
}

bool condemned_takes_from(const CondemnedList *list, const char *pack, bool is_own)
{
    return condemned_has_pack(list, pack) && !(list->has_unreadable && is_own);
}

bool condemned_store(CondemnedRecord *record, const Cluster *cluster, Error *err)
{
    CLEANUP(record_writer_done) RecordWriter text = {0};
    CLEANUP(text_freep) char *name = NULL;

    if (!backup_id_new(record->id, err))
        return false;
    name = condemned_name(cluster, record->id);
    record_begin(&text, "condemned", CONDEMNED_VERSION);
    record_text(&text, "repository", cluster->repo->id);
    record_text(&text, "cluster", cluster->name);
    record_time(&text, "at", record->at);
    record_u64(&text, "grace_us", (uint64_t)record->grace);
    record_u64(&text, "by_hand", record->is_by_hand);
    record_text(&text, "host", process_host_name());
    record_text(&text, "tool", PGCAIRN_VERSION);
    for (size_t i = 0; i < record->count; i++)
        record_text(&text, item_keys[record->items[i].kind], record->items[i].name);
    return record_store(&text, cluster->repo->storage, name, err) ||
           error_context(err, "say what is about to be removed");
}

bool condemned_remove(const char *id, const Cluster *cluster, Error *err)
{
    CLEANUP(text_freep) char *name = condemned_name(cluster, id);

    return storage_remove(cluster->repo->storage, name, err);
}
