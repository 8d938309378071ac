#include "walk/known_folders.h"

#include "base/fault.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "repo/layout.h"
#include "repo/record.h"
#include "storage/driver.h"
#include "wal/wal_known.h"

#include <inttypes.h>

enum {
    CHUNK_NAMES = 128,         /* This many names of the archive are listed at once. */
    NOTES_SIZE_MAX = 64 << 20, /* This many bytes are enough for some 2.5 million segments. */
    KIND_VERSION = 1,
    TIMELINE_DIGITS = 8,
};

static const char kind[] = "folders";

/* See known_folders.h. */
static const TimeUs folder_settled_after = 3600 * INT64_C(1000000);

/* What was written down of one folder. */
typedef struct FolderNote {
    const char *folder; /* It is, for example, "main/wal/0000000100000005/". */
    TimeUs changed_at;
    WalName first;        /* It is the folder's first segment. The others follow it. */
    const char *segments; /* It has " SIZE TIME" for each segment. */
} FolderNote;

typedef struct FolderNotes {
    Record record;
    FolderNote *items; /* They are sorted by folder. */
    size_t count;
} FolderNotes;

static void folder_notes_done(FolderNotes *notes)
{
    record_done(&notes->record);
}

/* " 123": false at the end of the text, and for anything else. */
static bool note_take_number(const char **at, uint64_t *number)
{
    const char *text = *at;
    uint64_t value = 0;

    if (text[0] != ' ' || !text_is_digit(text[1]))
        return false;
    for (text++; text_is_digit(*text); text++) {
        if (value > (UINT64_MAX - 9) / 10)
            return false;
        value = 10 * value + (uint64_t)(*text - '0');
    }
    *at = text;
    *number = value;
    return true;
}

/* Both numbers, or *at stays where it is. */
static bool note_take_segment(const char **at, uint64_t *size, TimeUs *stored_at)
{
    const char *text = *at;
    uint64_t time;

    if (!note_take_number(&text, size) || !note_take_number(&text, &time) || time > INT64_MAX)
        return false;
    *at = text;
    *stored_at = (TimeUs)time;
    return true;
}

static char *note_object(const Cluster *cluster, const WalName *name)
{
    char text[WAL_NAME_SIZE];

    return layout_wal(cluster->name, wal_name_text(name, cluster->wal_segment_size, text));
}

/* Whether there is a segment in it, and the last one lies in the folder as the first does. */
static bool note_is_sound(const Cluster *cluster, const FolderNote *note)
{
    const char *at = note->segments;
    WalName last = note->first;
    uint64_t size;
    TimeUs stored_at;

    if (note->first.kind != WAL_SEGMENT || !note_take_segment(&at, &size, &stored_at))
        return false;
    while (note_take_segment(&at, &size, &stored_at))
        last.segment++;
    CLEANUP(text_freep) char *first_object = note_object(cluster, &note->first);
    CLEANUP(text_freep) char *last_object = note_object(cluster, &last);
    return *at == '\0' && text_begins_with(first_object, note->folder) &&
           text_begins_with(last_object, note->folder);
}

/* "000000010000000500000003 CHANGED SIZE TIME SIZE TIME ...": of a folder from that segment on. */
static bool note_parse(const Cluster *cluster, const char *value, Arena *arena, FolderNote *note)
{
    const size_t length = strcspn(value, " ");
    const char *name = arena_text_part(arena, value, length);
    const char *at = value + length;
    uint64_t changed_at;
    Error ignored = {0}; /* not ours then */

    if (!wal_name_parse(name, cluster->wal_segment_size, &note->first, &ignored) ||
        !note_take_number(&at, &changed_at))
        return false;
    CLEANUP(text_freep) char *folder = layout_wal_folder(cluster->name, name);
    note->folder = arena_text(arena, folder);
    note->changed_at = (TimeUs)changed_at;
    note->segments = at;
    return note_is_sound(cluster, note);
}

static bool notes_are_ours(const Cluster *cluster, const Record *record)
{
    const char *repository = record_find(record, "repository");
    const char *name = record_find(record, "cluster");

    return repository != NULL && strcmp(repository, cluster->repo->id) == 0 && name != NULL &&
           strcmp(name, cluster->name) == 0;
}

static bool notes_fill(const Cluster *cluster, FolderNotes *notes, Error *err)
{
    Record *record = &notes->record;

    if (!notes_are_ours(cluster, record))
        return error_set(err, ERR_CORRUPT, "it is about another cluster's WAL");
    notes->items = arena_alloc(&record->arena, (record->count + 1) * sizeof *notes->items);
    for (size_t i = 0; i < record->count; i++) {
        FolderNote *note = &notes->items[notes->count];

        if (strcmp(record->fields[i].key, "folder") != 0)
            continue;
        if (!note_parse(cluster, record->fields[i].value, &record->arena, note) ||
            (notes->count > 0 && strcmp(note[-1].folder, note->folder) >= 0))
            return error_set(err, ERR_CORRUPT, "what it says of a folder can't be");
        notes->count++;
    }
    return true;
}

/* object: a name from a listing. */
static bool notes_read(const Cluster *cluster, const char *object, Buffer *text, Error *err)
{
    return storage_read(cluster->repo->storage, object, NOTES_SIZE_MAX, text, err);
}

static bool notes_decode(const Cluster *cluster, const Buffer *text, FolderNotes *notes, Error *err)
{
    FolderNotes found = {.count = 0};

    if (!record_parse((const char *)text->data, text->size, kind, KIND_VERSION, &found.record, err))
        return false;
    if (!notes_fill(cluster, &found, err)) {
        folder_notes_done(&found);
        return false;
    }
    *notes = found;
    return true;
}

static bool notes_list(const Cluster *cluster, ObjectList *objects, Error *err)
{
    CLEANUP(text_freep) char *prefix = layout_known_folders_prefix(cluster->name);

    return storage_list(cluster->repo->storage, prefix, objects, err);
}

/* The first that can be read: after a run that was killed there are two. */
static void notes_load(const Cluster *cluster, FolderNotes *notes)
{
    CLEANUP(object_list_done) ObjectList objects = {0};
    Error problem = {0};

    if (!notes_list(cluster, &objects, &problem)) {
        log_debug("what is remembered of WAL folders can't be listed",
                  log_str("error", problem.message));
        return;
    }
    for (size_t i = 0; i < objects.count && notes->count == 0; i++) {
        CLEANUP(buffer_done) Buffer text = {0};
        Error attempt = {0};

        if (!notes_read(cluster, objects.objects[i].name, &text, &attempt) ||
            !notes_decode(cluster, &text, notes, &attempt)) {
            log_debug("what is remembered of WAL folders can't be read",
                      log_str("error", attempt.message));
        }
    }
}

/* A listing in the making: the archive's folders, and which of them need not be listed. */
typedef struct FolderSkipper {
    const Cluster *cluster;
    const FolderNotes *notes;
    ObjectList folders;
    /* It has one element for each folder. NULL means that the folder is listed. */
    const FolderNote **believed;
    size_t next; /* It is the first folder that does not lie before what was listed. */
    ObjectList *list;
} FolderSkipper;

static void skipper_done(FolderSkipper *skipper)
{
    object_list_done(&skipper->folders);
    mem_free(skipper->believed);
}

static int compare_note(const void *name, const void *note)
{
    return strcmp(name, ((const FolderNote *)note)->folder);
}

/* How many folders are just as they were when they were written down. */
static size_t skipper_believe(FolderSkipper *skipper)
{
    const FolderNotes *notes = skipper->notes;
    size_t count = 0;

    skipper->believed = mem_alloc((skipper->folders.count + 1) * sizeof(FolderNote *));
    for (size_t i = 0; i < skipper->folders.count; i++) {
        const ObjectInfo *folder = &skipper->folders.objects[i];
        const FolderNote *note =
            bsearch(folder->name, notes->items, notes->count, sizeof *notes->items, compare_note);

        skipper->believed[i] = NULL;
        if (note != NULL && folder->stored_at != TIME_US_NONE &&
            folder->stored_at == note->changed_at) {
            skipper->believed[i] = note;
            count++;
        }
    }
    return count;
}

static void add_believed(FolderSkipper *skipper, const FolderNote *note)
{
    const char *at = note->segments;
    WalName name = note->first;
    uint64_t size;
    TimeUs stored_at;

    while (note_take_segment(&at, &size, &stored_at)) {
        CLEANUP(text_freep) char *object = note_object(skipper->cluster, &name);

        object_list_add(skipper->list, object, size, stored_at);
        name.segment++;
    }
}

/*
 * From a folder that is believed on, all that follow it of the same timeline: nothing of ours has a
 * name that lies between two of these. The next timeline's history does come before its folders.
 * Gives the name after which the listing goes on: nothing sorts between "FOLDER/..." and "FOLDER0".
 */
static char *skip_believed(FolderSkipper *skipper)
{
    const ObjectInfo *folders = skipper->folders.objects;
    const size_t begin = skipper->next;
    const size_t same = strlen(skipper->cluster->name) + strlen("/wal/") + TIMELINE_DIGITS;

    do {
        add_believed(skipper, skipper->believed[skipper->next++]);
    } while (skipper->next < skipper->folders.count && skipper->believed[skipper->next] != NULL &&
             strncmp(folders[skipper->next].name, folders[begin].name, same) == 0);
    const char *last = folders[skipper->next - 1].name;
    return text_format("%.*s0", (int)strlen(last) - 1, last);
}

/* Whether the name lies in a folder that is believed; skipper->next is that folder then. */
static bool is_in_believed(FolderSkipper *skipper, const char *name)
{
    const ObjectInfo *folders = skipper->folders.objects;

    while (skipper->next < skipper->folders.count &&
           strcmp(folders[skipper->next].name, name) < 0 &&
           !text_begins_with(name, folders[skipper->next].name))
        skipper->next++;
    return skipper->next < skipper->folders.count && skipper->believed[skipper->next] != NULL &&
           text_begins_with(name, folders[skipper->next].name);
}

/* Takes one part of the listing; *after becomes where the next one begins, NULL at the end. */
static bool list_chunk(FolderSkipper *skipper, const char *prefix, char **after, Error *err)
{
    CLEANUP(object_list_done) ObjectList part = {0};
    const ListRequest request = {.prefix = prefix, .after = *after, .limit = CHUNK_NAMES};
    char *next = NULL;

    if (!storage_list_part(skipper->cluster->repo->storage, &request, &part, err))
        return false;
    for (size_t i = 0; i < part.count && next == NULL; i++) {
        const ObjectInfo *object = &part.objects[i];

        if (is_in_believed(skipper, object->name)) {
            next = skip_believed(skipper);
        } else {
            object_list_add(skipper->list, object->name, object->size, object->stored_at);
        }
    }
    if (next == NULL && part.count == request.limit)
        next = text_format("%s", part.objects[part.count - 1].name);
    text_freep(after);
    *after = next;
    return true;
}

static bool list_with_notes(const Cluster *cluster, const FolderNotes *notes, const char *prefix,
                            ObjectList *list, Error *err)
{
    CLEANUP(object_list_done) ObjectList found = {0};
    CLEANUP(skipper_done)
    FolderSkipper skipper = {.cluster = cluster, .notes = notes, .list = &found};
    CLEANUP(text_freep) char *after = NULL;

    if (!storage_list_folders(cluster->repo->storage, prefix, &skipper.folders, err))
        return false;
    if (skipper_believe(&skipper) == 0)
        return storage_list(cluster->repo->storage, prefix, list, err);
    do {
        if (!list_chunk(&skipper, prefix, &after, err))
            return false;
    } while (after != NULL);
    object_list_done(list);
    *list = found;
    found = (ObjectList){0};
    return true;
}

bool known_folders_list(const Cluster *cluster, ObjectList *list, Error *err)
{
    CLEANUP(text_freep) char *prefix = layout_wal_prefix(cluster->name);
    CLEANUP(folder_notes_done) FolderNotes notes = {.count = 0};

    notes_load(cluster, &notes);
    if (notes.count == 0)
        return storage_list(cluster->repo->storage, prefix, list, err);
    return list_with_notes(cluster, &notes, prefix, list, err);
}

/*
 * The archive as it was seen: its folders, then its names. What changes in between gives its folder
 * another time than the one that is written down.
 */
typedef struct FolderSurvey {
    ObjectList folders, names;
} FolderSurvey;

static void folder_survey_done(FolderSurvey *survey)
{
    object_list_done(&survey->folders);
    object_list_done(&survey->names);
}

static bool folder_survey_make(const Cluster *cluster, FolderSurvey *survey, Error *err)
{
    CLEANUP(text_freep) char *prefix = layout_wal_prefix(cluster->name);
    Storage *storage = cluster->repo->storage;

    return storage_list_folders(storage, prefix, &survey->folders, err) &&
           storage_list(storage, prefix, &survey->names, err);
}

static int compare_folder_name(const void *name, const void *folder)
{
    return strcmp(name, ((const ObjectInfo *)folder)->name);
}

/* When this folder last changed; TIME_US_NONE: not there, or the store can't tell. */
static TimeUs folder_changed_at(const ObjectList *folders, const char *name)
{
    const ObjectInfo *found = folders->count == 0
                                  ? NULL
                                  : bsearch(name, folders->objects, folders->count,
                                            sizeof *folders->objects, compare_folder_name);

    return found == NULL ? TIME_US_NONE : found->stored_at;
}

static bool folder_is_settled(const ObjectInfo *folder, TimeUs now)
{
    return folder->stored_at != TIME_US_NONE && folder->stored_at >= 0 &&
           folder->stored_at <= now - folder_settled_after;
}

/* Its segments, when they follow each other and there is nothing else in it that counts. */
static bool describe_folder(const Cluster *cluster, const ObjectInfo *folder,
                            const ObjectInfo *objects, size_t count, Buffer *text)
{
    uint64_t next = 0;

    for (size_t i = 0; i < count; i++) {
        char segment[WAL_NAME_SIZE];
        WalName name;

        if (!layout_wal_name_of(cluster->name, objects[i].name, cluster->wal_segment_size, &name) ||
            name.kind == WAL_BACKUP_HISTORY)
            continue;
        if (name.kind != WAL_SEGMENT || (text->size > 0 && name.segment != next) ||
            objects[i].stored_at < 0)
            return false;
        if (text->size == 0) {
            buffer_print(text, "%s %" PRId64,
                         wal_name_text(&name, cluster->wal_segment_size, segment),
                         folder->stored_at);
        }
        buffer_print(text, " %" PRIu64 " %" PRId64, objects[i].size, objects[i].stored_at);
        next = name.segment + 1;
    }
    return text->size > 0;
}

/* The record's text; how many folders are in it. */
static size_t notes_compose(const Cluster *cluster, const FolderSurvey *survey, TimeUs now,
                            RecordWriter *record)
{
    const ObjectList *names = &survey->names;
    size_t begin = 0;
    size_t count = 0;

    record_begin(record, kind, KIND_VERSION);
    record_text(record, "repository", cluster->repo->id);
    record_text(record, "cluster", cluster->name);
    for (size_t i = 0; i < survey->folders.count; i++) {
        const ObjectInfo *folder = &survey->folders.objects[i];
        CLEANUP(buffer_done) Buffer text = {0};

        while (begin < names->count && strcmp(names->objects[begin].name, folder->name) < 0)
            begin++;
        size_t end = begin;
        while (end < names->count && text_begins_with(names->objects[end].name, folder->name))
            end++;
        if (folder_is_settled(folder, now) && record->text.size < NOTES_SIZE_MAX / 2 &&
            describe_folder(cluster, folder, names->objects + begin, end - begin, &text)) {
            buffer_append(&text, "", 1);
            record_text(record, "folder", (const char *)text.data);
            count++;
        }
        begin = end;
    }
    record_finish(record);
    return count;
}

/* Whether the one object that there is says just this. */
static bool notes_are_same(const Cluster *cluster, const ObjectList *old, const Buffer *text)
{
    CLEANUP(buffer_done) Buffer found = {0};
    Error ignored = {0}; /* then it is replaced */

    return old->count == 1 && notes_read(cluster, old->objects[0].name, &found, &ignored) &&
           found.size == text->size && memcmp(found.data, text->data, found.size) == 0;
}

static bool notes_remove(const Cluster *cluster, const ObjectList *old, Error *err)
{
    for (size_t i = 0; i < old->count; i++) {
        if (!wal_known_remove(cluster, old->objects[i].name, err))
            return false;
    }
    return true;
}

/* When known/ itself last changed, as the store says now. */
static bool known_changed_at(const Cluster *cluster, TimeUs *changed_at, Error *err)
{
    CLEANUP(text_freep) char *prefix = text_format("%s/", cluster->name);
    CLEANUP(text_freep) char *known = layout_known_prefix(cluster->name);
    CLEANUP(object_list_done) ObjectList folders = {0};

    if (!storage_list_folders(cluster->repo->storage, prefix, &folders, err))
        return false;
    *changed_at = folder_changed_at(&folders, known);
    return true;
}

/*
 * The store must show that it tells: the new object's folder has to have changed with it. A file
 * system that makes up such times would have status rely on folders that have lost something.
 */
static bool notes_store(const Cluster *cluster, const Buffer *text, const ObjectList *old,
                        Error *err)
{
    CLEANUP(text_freep) char *object = NULL;
    Storage *storage = cluster->repo->storage;
    TimeUs before, after;
    uint64_t number;

    if (!known_changed_at(cluster, &before, err) || !random_u64(&number, err))
        return false;
    object = layout_known_folders(cluster->name, number);
    if (!FAULT_POINT("known.before-commit", err) ||
        !storage_put(storage, object, WRITE_NEW, text->data, text->size, err) ||
        !FAULT_POINT("known.after-commit", err) || !known_changed_at(cluster, &after, err))
        return false;
    if ((before == TIME_US_NONE || before == after) && !wal_known_remove(cluster, object, err))
        return false;
    return notes_remove(cluster, old, err);
}

bool known_folders_refresh(const Cluster *cluster, TimeUs now, Error *err)
{
    CLEANUP(folder_survey_done) FolderSurvey survey = {.names = {.count = 0}};
    CLEANUP(record_writer_done) RecordWriter record = {0};
    CLEANUP(object_list_done) ObjectList old = {0};

    if (!folder_survey_make(cluster, &survey, err) || !notes_list(cluster, &old, err))
        return false;
    const bool any = notes_compose(cluster, &survey, now, &record) > 0;
    if (any && notes_are_same(cluster, &old, &record.text))
        return true;
    return any ? notes_store(cluster, &record.text, &old, err) : notes_remove(cluster, &old, err);
}
