#include "repo/mark.h"

#include "base/process.h"
#include "base/random.h"
#include "base/text.h"
#include "repo/layout.h"

#include <inttypes.h>

static const char record_kind[] = "mark";

enum { MARK_VERSION = 1, TRIES = 5, NUMBER_MAX = 99999999 };

static const char *const subject_names[] = {
    [MARK_OF_BACKUP] = "backup",
    [MARK_OF_WAL] = "wal",
    [MARK_OF_PACK] = "pack",
    [MARK_OF_CLUSTER] = "cluster",
};

static bool subject_of(const char *name, MarkSubject *what)
{
    for (size_t i = 0; i < ARRAY_SIZE(subject_names); i++) {
        if (strcmp(name, subject_names[i]) != 0)
            continue;
        *what = (MarkSubject)i;
        return true;
    }
    return false;
}

void mark_encode(const Mark *mark, const Cluster *cluster, RecordWriter *text)
{
    record_begin(text, record_kind, MARK_VERSION);
    record_text(text, "repository", cluster->repo->id);
    record_text(text, "cluster", cluster->name);
    record_text(text, "kind", mark->kind);
    record_text(text, "what", subject_names[mark->what]);
    record_text(text, "subject", mark->subject);
    record_text(text, "says", mark->is_void ? "void" : "holds");
    record_text(text, "by", mark->by);
    record_text(text, "host", mark->host);
    record_text(text, "tool", PGCAIRN_VERSION);
    record_time(text, "at", mark->at);
    record_time(text, "until", mark->until);
    record_text(text, "reason", mark->reason);
    record_text(text, "evidence", mark->evidence);
    record_finish(text);
}

static bool is_home(const Record *record, const Cluster *cluster, Error *err)
{
    const char *repository;
    const char *name;

    if (!record_get_text(record, "repository", &repository, err) ||
        !record_get_text(record, "cluster", &name, err))
        return false;
    return (strcmp(repository, cluster->repo->id) == 0 && strcmp(name, cluster->name) == 0) ||
           error_set(err, ERR_REFUSED, "it belongs to another repository or cluster (\"%s\")",
                     name);
}

static bool get_texts(Mark *mark, const Record *record, Error *err)
{
    const struct {
        const char *key;
        const char **value;
    } texts[] = {
        {"kind", &mark->kind}, {"subject", &mark->subject}, {"by", &mark->by},
        {"host", &mark->host}, {"reason", &mark->reason},   {"evidence", &mark->evidence},
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (!record_get_text(record, texts[i].key, texts[i].value, err))
            return false;
    }
    return true;
}

static bool get_all(Mark *mark, const Record *record, Error *err)
{
    const char *what;
    const char *says;

    if (!get_texts(mark, record, err) || !record_get_text(record, "what", &what, err) ||
        !record_get_text(record, "says", &says, err) ||
        !record_get_time(record, "at", &mark->at, err) ||
        !record_get_time(record, "until", &mark->until, err))
        return false;
    mark->is_void = strcmp(says, "void") == 0;
    return (subject_of(what, &mark->what) && (mark->is_void || strcmp(says, "holds") == 0)) ||
           error_set(err, ERR_CORRUPT, "a mark that says \"%s\" of a \"%s\"", says, what);
}

static void copy_texts(Mark *mark, Arena *arena)
{
    const char **const texts[] = {&mark->kind, &mark->subject, &mark->by,
                                  &mark->host, &mark->reason,  &mark->evidence};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        *texts[i] = arena_text(arena, *texts[i]);
}

bool mark_decode(Mark *mark, const Cluster *cluster, const char *text, size_t size, Arena *arena,
                 Error *err)
{
    CLEANUP(record_done) Record record = {0};
    Mark found = {.kind = NULL};

    if (!record_parse(text, size, record_kind, MARK_VERSION, &record, err) ||
        !is_home(&record, cluster, err) || !get_all(&found, &record, err))
        return false;
    copy_texts(&found, arena);
    *mark = found;
    return true;
}

const char *mark_text(const Mark *mark, Arena *arena)
{
    char at[TIME_TEXT_SIZE];

    if (mark->at == TIME_US_NONE)
        return mark->reason;
    return arena_format(arena, "%s found it bad at %s: %s", mark->by, time_text(mark->at, at),
                        mark->reason);
}

enum { MARK_SIZE_MAX = 64 << 10 };

static bool mark_is_same(const Mark *mark, const MarkName *name)
{
    return strcmp(mark->kind, name->kind) == 0 &&
           strcmp(subject_names[mark->what], name->what) == 0 &&
           strcmp(mark->subject, name->subject) == 0;
}

/* What stands for a mark that can't be read. */
static void keep_unreadable(Mark *mark, const MarkName *name, const Error *why, Arena *arena)
{
    *mark = (Mark){
        .kind = arena_text(arena, name->kind),
        .subject = arena_text(arena, name->subject),
        .at = TIME_US_NONE,
        .until = TIME_US_NONE,
        .by = "",
        .host = "",
        .reason = arena_format(arena, "the mark about it can't be read: %s", why->message),
        .evidence = "",
    };
    (void)subject_of(name->what, &mark->what);
}

typedef enum MarkRead { MARK_TAKEN, MARK_FOREIGN, MARK_GONE, MARK_FAILED } MarkRead;

static MarkRead read_mark(Mark *mark, const Cluster *cluster, const char *object,
                          const MarkName *name, Arena *arena, Error *err)
{
    CLEANUP(buffer_done) Buffer text = {0};
    Error attempt = {0};

    if (storage_read(cluster->repo->storage, object, MARK_SIZE_MAX, &text, &attempt) &&
        mark_decode(mark, cluster, (const char *)text.data, text.size, arena, &attempt)) {
        if (mark_is_same(mark, name))
            return MARK_TAKEN;
        error_set(&attempt, ERR_CORRUPT, "it is about something else");
    }
    if (attempt.code == ERR_NOT_FOUND)
        return MARK_GONE;
    if (attempt.code == ERR_REFUSED && text.size > 0)
        return MARK_FOREIGN;
    if (attempt.code == ERR_CORRUPT || attempt.code == ERR_VERSION || attempt.code == ERR_REFUSED) {
        keep_unreadable(mark, name, &attempt, arena);
        return MARK_TAKEN;
    }
    *err = attempt;
    (void)error_context(err, "read \"%s\"", object);
    return MARK_FAILED;
}

static bool is_about_same(const MarkName *one, const MarkName *other)
{
    return strcmp(one->kind, other->kind) == 0 && strcmp(one->what, other->what) == 0 &&
           strcmp(one->subject, other->subject) == 0;
}

/*
 * Whether another one in the listing is about the same with a higher number. It is sorted, so that
 * one comes later, among those whose names begin alike: a broken disk can leave marks by thousands.
 */
static bool is_outdated(const Cluster *cluster, const ObjectList *objects, size_t index,
                        const MarkName *name)
{
    CLEANUP(text_freep)
    char *about = layout_mark_about(cluster->name, name->kind, name->what, name->subject);
    MarkName other;

    for (size_t i = index + 1;
         i < objects->count && text_begins_with(objects->objects[i].name, about); i++) {
        if (layout_mark_of(cluster->name, objects->objects[i].name, &other) &&
            is_about_same(name, &other) && other.number > name->number)
            return true;
    }
    return false;
}

static int compare_marks(const void *a, const void *b)
{
    const Mark *left = a, *right = b;
    const int by_kind = strcmp(left->kind, right->kind);

    if (by_kind != 0)
        return by_kind;
    if (left->what != right->what)
        return left->what < right->what ? -1 : 1;
    return strcmp(left->subject, right->subject);
}

/* Of two that were written side by side, under one number, what holds counts. */
static void marks_settle(MarkList *list)
{
    size_t kept = 0;

    if (list->count > 1)
        qsort(list->items, list->count, sizeof *list->items, compare_marks);
    for (size_t i = 0; i < list->count; i++) {
        if (kept == 0 || compare_marks(&list->items[kept - 1], &list->items[i]) != 0) {
            list->items[kept++] = list->items[i];
        } else if (list->items[kept - 1].is_void) {
            list->items[kept - 1] = list->items[i];
        }
    }
    list->count = kept;
}

/* *is_settled is false when one was replaced since the listing. */
static bool marks_load_once(MarkList *list, const Cluster *cluster, bool *is_settled, Error *err)
{
    CLEANUP(text_freep) char *prefix = layout_mark_prefix(cluster->name);
    CLEANUP(object_list_done) ObjectList objects = {0};

    *is_settled = true;
    if (!storage_list(cluster->repo->storage, prefix, &objects, err))
        return error_context(err, "list the marks of %s", cluster->name);
    list->items = arena_alloc(&list->arena, (objects.count + 1) * sizeof list->items[0]);
    for (size_t i = 0; i < objects.count; i++) {
        const char *object = objects.objects[i].name;
        MarkSubject ignored;
        MarkName name;
        Mark mark;

        if (!layout_mark_of(cluster->name, object, &name) || !subject_of(name.what, &ignored) ||
            is_outdated(cluster, &objects, i, &name))
            continue;
        switch (read_mark(&mark, cluster, object, &name, &list->arena, err)) {
        case MARK_TAKEN:
            list->items[list->count++] = mark;
            break;
        case MARK_GONE:
            *is_settled = false;
            break;
        case MARK_FOREIGN:
            break;
        case MARK_FAILED:
            return false;
        }
    }
    marks_settle(list);
    return true;
}

bool mark_list_load(MarkList *list, const Cluster *cluster, Error *err)
{
    for (int i = 0; i < TRIES; i++) {
        CLEANUP(mark_list_done) MarkList loaded = {.count = 0};
        bool is_settled;

        if (!marks_load_once(&loaded, cluster, &is_settled, err))
            return false;
        if (!is_settled)
            continue;
        *list = loaded;
        loaded = (MarkList){.count = 0};
        return true;
    }
    return error_set(err, ERR_UNREACHABLE, "the marks of %s change while they are read",
                     cluster->name);
}

void mark_list_done(MarkList *list)
{
    arena_done(&list->arena);
    *list = (MarkList){.count = 0};
}

const Mark *mark_find(const MarkList *list, const char *kind, MarkSubject what, const char *subject)
{
    const Mark wanted = {.kind = kind, .what = what, .subject = subject};
    const Mark *found = list->count == 0 ? NULL
                                         : bsearch(&wanted, list->items, list->count,
                                                   sizeof *list->items, compare_marks);

    return found == NULL || found->is_void ? NULL : found;
}

/* A listing by prefix also has what is about "...42.partial" when "...42" is meant. */
static bool is_name_of(const Cluster *cluster, const char *object, const Mark *mark, MarkName *name)
{
    return layout_mark_of(cluster->name, object, name) && mark_is_same(mark, name);
}

/* The highest number about this subject; 0: there is none. */
static unsigned newest_number(const Cluster *cluster, const ObjectList *objects, const Mark *mark)
{
    unsigned newest = 0;
    MarkName name;

    for (size_t i = 0; i < objects->count; i++) {
        if (is_name_of(cluster, objects->objects[i].name, mark, &name) && name.number > newest)
            newest = name.number;
    }
    return newest;
}

/* Best effort: those that stay are outdated. */
static void remove_outdated(const Cluster *cluster, const ObjectList *objects, const Mark *mark)
{
    for (size_t i = 0; i < objects->count; i++) {
        const char *object = objects->objects[i].name;
        Error ignored = {0};
        MarkName name;

        if (is_name_of(cluster, object, mark, &name) &&
            !storage_remove(cluster->repo->storage, object, &ignored))
            return;
    }
}

bool mark_store(const Cluster *cluster, const Mark *mark, Error *err)
{
    const char *what = subject_names[mark->what];
    CLEANUP(text_freep)
    char *prefix = layout_mark_about(cluster->name, mark->kind, what, mark->subject);
    CLEANUP(text_freep) char *object = NULL;
    CLEANUP(object_list_done) ObjectList before = {0};
    CLEANUP(record_writer_done) RecordWriter text = {0};
    uint64_t number;

    if (!random_u64(&number, err) || !storage_list(cluster->repo->storage, prefix, &before, err))
        return error_context(err, "mark %s %s", what, mark->subject);
    const unsigned newest = newest_number(cluster, &before, mark);
    if (newest >= NUMBER_MAX)
        return error_set(err, ERR_REFUSED, "%s %s was marked too often", what, mark->subject);
    object =
        layout_mark(cluster->name, mark->kind, what, mark->subject, newest + 1, (uint32_t)number);
    mark_encode(mark, cluster, &text);
    if (!storage_put(cluster->repo->storage, object, WRITE_NEW, text.text.data, text.text.size,
                     err))
        return error_context(err, "mark %s %s", what, mark->subject);
    remove_outdated(cluster, &before, mark);
    return true;
}

bool mark_take_back_damage(const Cluster *cluster, MarkSubject what, const char *subject,
                           const char *by, Error *err)
{
    CLEANUP(mark_list_done) MarkList list = {.count = 0};

    if (!mark_list_load(&list, cluster, err))
        return false;
    if (mark_find(&list, MARK_DAMAGE, what, subject) == NULL)
        return true;
    return mark_store(cluster,
                      &(Mark){.kind = MARK_DAMAGE,
                              .what = what,
                              .subject = subject,
                              .is_void = true,
                              .at = time_now(),
                              .until = TIME_US_NONE,
                              .by = by,
                              .host = process_host_name(),
                              .reason = "read whole, and good",
                              .evidence = ""},
                      err);
}
