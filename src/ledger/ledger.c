#include "ledger/ledger.h"

#include "repo/layout.h"

enum { OPERATIONS_MAX = 16, STAMP_LENGTH = 20, RANDOM_LENGTH = 8 };

/* "20261122T031512.123Z" as an instant. */
static bool ledger_parse_stamp(const char *text, TimeUs *at)
{
    char iso[TIME_TEXT_SIZE];
    Error ignored = {0}; /* not a time: not one of ours */

    (void)snprintf(iso, sizeof iso, "%.4s-%.2s-%.2sT%.2s:%.2s:%.7s", text, text + 4, text + 6,
                   text + 9, text + 11, text + 13);
    return text[8] == 'T' && text[19] == 'Z' && time_parse(iso, at, &ignored);
}

bool ledger_name_parse(const char *object, TimeUs *at, char operation[LEDGER_OPERATION_SIZE])
{
    const char *name = strrchr(object, '/');
    TimeUs stamp;

    name = name != NULL ? name + 1 : object;
    size_t length = strlen(name);
    if (length < STAMP_LENGTH + RANDOM_LENGTH + 3 || name[STAMP_LENGTH] != '-' ||
        name[length - RANDOM_LENGTH - 1] != '-' || !ledger_parse_stamp(name, &stamp))
        return false;
    size_t word = length - STAMP_LENGTH - RANDOM_LENGTH - 2;
    if (word >= LEDGER_OPERATION_SIZE)
        return false;
    memcpy(operation, name + STAMP_LENGTH + 1, word);
    operation[word] = '\0';
    *at = stamp;
    return true;
}

/* How many of each operation were taken. */
typedef struct Taken {
    char operation[LEDGER_OPERATION_SIZE];
    size_t count;
} Taken;

static bool ledger_is_wanted(const LedgerRequest *request, const char *operation)
{
    if (request->operations == NULL)
        return true;
    for (size_t i = 0; request->operations[i] != NULL; i++) {
        if (strcmp(request->operations[i], operation) == 0)
            return true;
    }
    return false;
}

static Taken *ledger_taken_of(Taken *taken, const char *operation)
{
    for (size_t i = 0; i < OPERATIONS_MAX; i++) {
        if (taken[i].operation[0] == '\0')
            (void)snprintf(taken[i].operation, sizeof taken[i].operation, "%s", operation);
        if (strcmp(taken[i].operation, operation) == 0)
            return &taken[i];
    }
    return NULL; /* of more kinds than there are */
}

static void ledger_keep(Ledger *ledger, const LedgerRequest *request, const ObjectInfo *object,
                        Record *record)
{
    LedgerEntry entry = {.object = arena_text(&ledger->arena, object->name)};
    const char *operation = record_find(record, "operation");
    const char *host = record_find(record, "host");
    uint64_t status;
    Error attempt = {0}; /* an entry that says less than it must */

    if (operation == NULL || !record_get_u64(record, "status", &status, &attempt) ||
        !record_get_time(record, "started", &entry.started, &attempt) ||
        !record_get_time(record, "finished", &entry.finished, &attempt)) {
        ledger->unreadable++;
        record_done(record);
        return;
    }
    if (request->since != TIME_US_NONE && entry.finished < request->since) {
        record_done(record);
        return;
    }
    (void)snprintf(entry.operation, sizeof entry.operation, "%s", operation);
    entry.status = (unsigned)status;
    entry.host = host != NULL ? host : "";
    entry.record = *record;
    ledger->items[ledger->count++] = entry;
}

static bool ledger_read_entry(Ledger *ledger, const Cluster *cluster, const LedgerRequest *request,
                              const ObjectInfo *object, Error *err)
{
    Record record = {0};
    Error attempt = {0};

    if (record_load(cluster->repo->storage, object->name, "journal", 1, &record, &attempt)) {
        ledger_keep(ledger, request, object, &record);
        return true;
    }
    if (attempt.code == ERR_NOT_FOUND)
        return true; /* removed meanwhile */
    if (attempt.code != ERR_CORRUPT && attempt.code != ERR_VERSION && attempt.code != ERR_REFUSED)
        return error_pass(err, &attempt);
    ledger->unreadable++;
    return true;
}

static int ledger_by_end(const void *one, const void *other)
{
    const LedgerEntry *a = one, *b = other;

    if (a->finished != b->finished)
        return a->finished > b->finished ? -1 : 1;
    return -strcmp(a->object, b->object);
}

/* An entry is written when its operation has ended, so its name says when that was. */
static bool ledger_is_too_old(const LedgerRequest *request, TimeUs at)
{
    return request->since != TIME_US_NONE && at < request->since;
}

bool ledger_load(Ledger *ledger, const Cluster *cluster, const LedgerRequest *request, Error *err)
{
    CLEANUP(text_freep) char *prefix = layout_journal_prefix(cluster->name);
    CLEANUP(object_list_done) ObjectList list = {0};
    Taken taken[OPERATIONS_MAX] = {0};

    if (!storage_list(cluster->repo->storage, prefix, &list, err))
        return error_context(err, "list the journal");
    size_t most = list.count < LEDGER_ENTRIES_MAX ? list.count : LEDGER_ENTRIES_MAX;
    ledger->items = arena_alloc(&ledger->arena, (most + 1) * sizeof ledger->items[0]);
    for (size_t i = list.count; i-- > 0 && ledger->count < most;) {
        char operation[LEDGER_OPERATION_SIZE];
        TimeUs at;

        if (!ledger_name_parse(list.objects[i].name, &at, operation) ||
            !ledger_is_wanted(request, operation))
            continue;
        if (ledger_is_too_old(request, at))
            break;
        Taken *of_this = ledger_taken_of(taken, operation);
        if (of_this == NULL || (request->each != 0 && of_this->count == request->each))
            continue;
        of_this->count++;
        if (!ledger_read_entry(ledger, cluster, request, &list.objects[i], err))
            return error_context(err, "read the journal");
    }
    qsort(ledger->items, ledger->count, sizeof ledger->items[0], ledger_by_end);
    return true;
}

static bool ledger_is_measured(const LedgerEntry *entry)
{
    bool is_one =
        strcmp(entry->operation, "restore") == 0 || strcmp(entry->operation, "drill") == 0;

    return is_one && (entry->status == ERR_NONE || entry->status == ERR_DEGRADED);
}

RestoreMeasure *ledger_measures(const Ledger *ledger, Arena *arena, size_t *count)
{
    RestoreMeasure *measures = arena_alloc(arena, (ledger->count + 1) * sizeof *measures);

    *count = 0;
    for (size_t i = 0; i < ledger->count; i++) {
        if (ledger_is_measured(&ledger->items[i]) &&
            restore_measure_get(&ledger->items[i].record, &measures[*count]))
            (*count)++;
    }
    return measures;
}

bool ledger_load_measures(const Cluster *cluster, Arena *arena, RestoreMeasure **measures,
                          size_t *count, Error *err)
{
    enum { EACH = 24 };
    static const char *const operations[] = {"restore", "drill", NULL};
    CLEANUP(ledger_done) Ledger ledger = {0};

    if (!ledger_load(
            &ledger, cluster,
            &(LedgerRequest){.operations = operations, .each = EACH, .since = TIME_US_NONE}, err))
        return false;
    *measures = ledger_measures(&ledger, arena, count);
    return true;
}

void ledger_done(Ledger *ledger)
{
    for (size_t i = 0; i < ledger->count; i++)
        record_done(&ledger->items[i].record);
    arena_done(&ledger->arena);
    *ledger = (Ledger){0};
}
