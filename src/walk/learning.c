#include "walk/learning.h"

#include "base/interrupt.h"
#include "repo/layout.h"

#include <assert.h>

/* Fewer trailers than this are read faster than they are remembered. */
enum { REFRESH_MIN = 64 };

/* See learning.h. */
static const TimeUs settled_after = 10 * INT64_C(1000000);

typedef struct Note {
    bool is_there;
    LessonKind kind;
    WalStored stored;
    size_t trailer; /* It is an offset in trailers. */
} Note;

struct WalLearning {
    const Cluster *cluster;
    bool keeps_others;
    TimeUs at;
    bool has_stretch;
    WalStretch stretch;
    Note notes[WAL_KNOWN_SEGMENTS];
    Buffer trailers;
    Buffer entries;    /* It is what the stretch's next object will hold. */
    WalStretch *saved; /* These stretches are done. */
    size_t saved_count;
};

WalLearning *wal_learning_new(const Cluster *cluster, bool keeps_others, TimeUs at)
{
    WalLearning *learning = mem_alloc(sizeof *learning);

    learning->cluster = cluster;
    learning->keeps_others = keeps_others;
    learning->at = at;
    return learning;
}

void wal_learning_freep(WalLearning **place)
{
    WalLearning *learning = *place;

    if (learning == NULL)
        return;
    buffer_done(&learning->trailers);
    buffer_done(&learning->entries);
    mem_free(learning->saved);
    mem_free(learning);
    *place = NULL;
}

static bool is_settled(const WalLearning *learning, const WalStored *stored)
{
    return stored->at <= learning->at - settled_after;
}

/* Whether what is remembered of this segment goes over into the next object. */
static bool known_entry_stays(const WalLearning *learning, const WalKnownEntry *old)
{
    const Note *note = &learning->notes[old->segment - learning->stretch.first];

    if (!note->is_there)
        return learning->keeps_others;
    switch (note->kind) {
    case LESSON_BELIEVED:
        return old->stored_size == note->stored.size && old->stored_at == note->stored.at;
    case LESSON_TRAILER:
    case LESSON_WHOLE:
    case LESSON_BAD:
        return false;
    }
    return false;
}

/* Of several objects' entries about one segment the one that was verified last. */
static bool find_old(const WalLearning *learning, const Buffer *old, size_t count, uint64_t segment,
                     WalKnownEntry *entry)
{
    bool any = false;

    for (size_t i = 0; i < count; i++) {
        WalKnownEntry found;

        if (!wal_known_find(&old[i], segment, &found) || !known_entry_stays(learning, &found))
            continue;
        if (!any || found.verified_at > entry->verified_at)
            *entry = found;
        any = true;
    }
    return any;
}

static void learning_compose(WalLearning *learning, const Buffer *old, size_t count)
{
    learning->entries.size = 0;
    for (size_t i = 0; i < WAL_KNOWN_SEGMENTS; i++) {
        const Note *note = &learning->notes[i];
        const uint64_t segment = learning->stretch.first + i;
        const bool is_new =
            note->is_there && (note->kind == LESSON_TRAILER || note->kind == LESSON_WHOLE);
        WalKnownEntry entry;

        if (is_new && is_settled(learning, &note->stored)) {
            entry = (WalKnownEntry){
                .segment = segment,
                .stored_size = note->stored.size,
                .stored_at = note->stored.at,
                .verified_at = note->kind == LESSON_WHOLE ? learning->at : TIME_US_NONE,
                .trailer = learning->trailers.data + note->trailer,
            };
            wal_known_add(&learning->entries, &entry);
        } else if (!is_new && find_old(learning, old, count, segment, &entry)) {
            wal_known_add(&learning->entries, &entry);
        }
    }
}

static bool buffer_is_same(const Buffer *one, const Buffer *other)
{
    return one->size == other->size && memcmp(one->data, other->data, one->size) == 0;
}

/* All that the listing shows was taken over, or is not to be. A newer version's is not ours. */
static bool learning_replace(WalLearning *learning, const ObjectList *list, const bool *is_newer,
                             Error *err)
{
    if (learning->entries.size > 0 &&
        !wal_known_store(learning->cluster, learning->stretch, &learning->entries, err))
        return false;
    for (size_t i = 0; i < list->count; i++) {
        if (!is_newer[i] && !wal_known_remove(learning->cluster, list->objects[i].name, err))
            return false;
    }
    return true;
}

/* The objects of the stretch, as they are now. One that can't be read is as if it were not. */
static bool load_old(const WalLearning *learning, const ObjectList *list, Buffer *old, bool *newer,
                     size_t *count, Error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        Error problem = {0};

        if (wal_known_read(learning->cluster, learning->stretch, list->objects[i].name,
                           &old[*count], &problem)) {
            ++*count;
        } else if (problem.code == ERR_VERSION) {
            newer[i] = true;
        } else if (problem.code != ERR_CORRUPT && problem.code != ERR_NOT_FOUND) {
            return error_pass(err, &problem);
        }
    }
    return true;
}

static bool save_with(WalLearning *learning, const ObjectList *list, Buffer *old, bool *newer,
                      Error *err)
{
    size_t count = 0;

    if (!load_old(learning, list, old, newer, &count, err))
        return false;
    learning_compose(learning, old, count);
    if (list->count == 1 && count == 1 && buffer_is_same(&old[0], &learning->entries))
        return true;
    return learning_replace(learning, list, newer, err);
}

static bool save_stretch(WalLearning *learning, Error *err)
{
    CLEANUP(text_freep)
    char *prefix = layout_known_wal_prefix(learning->cluster->name, learning->stretch.timeline,
                                           learning->stretch.first);
    CLEANUP(object_list_done) ObjectList list = {0};
    CLEANUP(arena_done) Arena arena = {0};
    Buffer *old;
    bool ok;

    learning->saved =
        mem_resize(learning->saved, (learning->saved_count + 1) * sizeof learning->saved[0]);
    learning->saved[learning->saved_count++] = learning->stretch;
    if (!storage_list(learning->cluster->repo->storage, prefix, &list, err))
        return false;
    old = arena_alloc(&arena, (list.count + 1) * sizeof *old);
    ok = save_with(learning, &list, old, arena_alloc(&arena, list.count + 1), err);
    for (size_t i = 0; i < list.count; i++)
        buffer_done(&old[i]);
    return ok || error_context(err, "store the cache of WAL trailers");
}

static bool begin_stretch(WalLearning *learning, WalStretch stretch, Error *err)
{
    if (learning->has_stretch && learning->stretch.timeline == stretch.timeline &&
        learning->stretch.first == stretch.first)
        return true;
    if (learning->has_stretch && !save_stretch(learning, err))
        return false;
    learning->has_stretch = true;
    learning->stretch = stretch;
    learning->trailers.size = 0;
    memset(learning->notes, 0, sizeof learning->notes);
    return true;
}

bool wal_learning_note(WalLearning *learning, const WalLesson *lesson, Error *err)
{
    const Cluster *cluster = learning->cluster;
    uint8_t trailer[WAL_TRAILER_SIZE];

    if (!begin_stretch(learning, wal_stretch_of(lesson->timeline, lesson->segment), err))
        return false;
    Note *note = &learning->notes[lesson->segment - learning->stretch.first];
    *note = (Note){.is_there = true,
                   .kind = lesson->kind,
                   .stored = lesson->stored,
                   .trailer = learning->trailers.size};
    if (lesson->kind == LESSON_TRAILER || lesson->kind == LESSON_WHOLE) {
        wal_trailer_encode(lesson->trailer, cluster->repo->hash_seed, trailer);
        buffer_append(&learning->trailers, trailer, sizeof trailer);
    }
    return true;
}

static bool is_saved(const WalLearning *learning, WalStretch stretch)
{
    for (size_t i = 0; i < learning->saved_count; i++) {
        if (learning->saved[i].timeline == stretch.timeline &&
            learning->saved[i].first == stretch.first)
            return true;
    }
    return false;
}

/* What is remembered of stretches of which there is no segment any more, or no good one. */
static bool forget_others(WalLearning *learning, Error *err)
{
    const Cluster *cluster = learning->cluster;
    CLEANUP(text_freep) char *prefix = layout_known_prefix(cluster->name);
    CLEANUP(object_list_done) ObjectList list = {0};

    if (!storage_list(cluster->repo->storage, prefix, &list, err))
        return false;
    for (size_t i = 0; i < list.count; i++) {
        WalStretch stretch;

        if (layout_known_wal_of(cluster->name, list.objects[i].name, &stretch.timeline,
                                &stretch.first) &&
            !is_saved(learning, stretch) && !begin_stretch(learning, stretch, err))
            return false;
    }
    return !learning->has_stretch || is_saved(learning, learning->stretch) ||
           save_stretch(learning, err);
}

bool wal_learning_finish(WalLearning *learning, Error *err)
{
    if (learning->has_stretch && !save_stretch(learning, err))
        return false;
    learning->has_stretch = false;
    return learning->keeps_others || forget_others(learning, err);
}

static bool segment_is_known(const WalInventory *inventory, const WalRun *run, uint64_t segment)
{
    const WalStored *stored = &run->stored[segment - run->first];
    WalKnownEntry entry;

    return wal_knowledge_entry(inventory->known, run->timeline, segment, stored, &entry);
}

static size_t count_unknown(const WalInventory *inventory)
{
    size_t count = 0;

    for (size_t i = 0; i < inventory->run_count; i++) {
        const WalRun *run = &inventory->runs[i];

        for (uint64_t segment = run->first; segment <= run->last; segment++)
            count += !segment_is_known(inventory, run, segment);
    }
    return count;
}

/* What can't be read is not remembered; what it means others find out. */
static bool learn_segment(WalLearning *learning, const WalRun *run, uint64_t segment, Error *err)
{
    const Cluster *cluster = learning->cluster;
    const WalName wal = {.kind = WAL_SEGMENT, .timeline = run->timeline, .segment = segment};
    WalLesson lesson = {.kind = LESSON_TRAILER,
                        .timeline = run->timeline,
                        .segment = segment,
                        .stored = run->stored[segment - run->first]};
    char name[WAL_NAME_SIZE];
    WalTrailer trailer;

    if (!interrupt_check(err))
        return false;
    if (!wal_object_trailer(cluster, wal_name_text(&wal, cluster->wal_segment_size, name), &trailer,
                            err)) {
        if (err->code != ERR_CORRUPT && err->code != ERR_VERSION && err->code != ERR_NOT_FOUND)
            return false;
        *err = (Error){0};
        lesson.kind = LESSON_BAD;
    }
    lesson.trailer = &trailer;
    return wal_learning_note(learning, &lesson, err);
}

bool wal_learning_refresh(const Cluster *cluster, TimeUs now, Error *err)
{
    CLEANUP(wal_inventory_done) WalInventory inventory = {0};
    CLEANUP(wal_learning_freep) WalLearning *learning = NULL;

    if (!wal_inventory_load(&inventory, cluster, err))
        return false;
    if (count_unknown(&inventory) < REFRESH_MIN)
        return true;
    learning = wal_learning_new(cluster, true, now);
    for (size_t i = 0; i < inventory.run_count; i++) {
        const WalRun *run = &inventory.runs[i];

        for (uint64_t segment = run->first; segment <= run->last; segment++) {
            if (!segment_is_known(&inventory, run, segment) &&
                !learn_segment(learning, run, segment, err))
                return false;
        }
    }
    return wal_learning_finish(learning, err);
}
