#include "repo/lease.h"

#include "base/fault.h"
#include "base/log.h"
#include "base/process.h"
#include "base/random.h"
#include "repo/keeper.h"
#include "repo/layout.h"
#include "repo/record.h"

#include <inttypes.h>
#include <unistd.h>

/*
 * Who holds? Nothing in an object store can compare and swap, so everybody first stores a lease of
 * his own and then lists. One whose listing shows no other live lease holds; one who sees another
 * withdraws. Two can't both hold: of two who stored before they listed, the one who lists later
 * sees the other. Two who begin at the same instant could both withdraw, so the earlier one (by the
 * store's clock, then by name) waits a little for the other to go; that order decides only who
 * waits, never who holds, since a store's times are approximate.
 *
 * A renewal leaves the lease before it in place until the next renewal: a listing that runs while
 * names come and go might otherwise show neither.
 *
 * The states of our own lease, with the function for each transition:
 *
 *     NONE -- store_lease(1) --> STORED -- settle() --> HELD -- renew() --> HELD
 *                                  |                     |
 *                                  |                     | renew(): the one before is gone,
 *                                  |                     v or had expired
 *                                  |                   LOST (ERR_BUSY): the work ends
 *                                  v
 *                                REFUSED (ERR_BUSY)
 *
 * settle() looks at the listing again and again: OUTCOME_ALONE makes it HELD, OUTCOME_TAKEN or
 * WAIT_STEPS times OUTCOME_AGAIN make it REFUSED. renew() is lease_renew()'s, once a minute, and
 * lease_check()'s. lease_freep() goes back to NONE from everywhere: it removes our objects.
 *
 * The states of anybody else's, as look_at_rival() sees them:
 *
 *     LIVE -- its process is gone, or it was not renewed for ten minutes --> VOID
 *       | its holder removes it                                               | remove_rival()
 *       +---------------------------------> GONE <----------------------------+
 *
 * What always holds: lease_take() returns only in HELD; whoever publishes asks lease_check() just
 * before, so that LOST is noticed by the loser; nobody removes what is LIVE but its holder.
 */

enum {
    LEASE_VERSION = 1,
    HOLDER_LENGTH = 16,
    SEQ_LENGTH = 8,
    WAIT_STEP_MS = 200,
    WAIT_STEPS = 15, /* It gives another newcomer time to withdraw. */
};

static const TimeUs lease_ttl = INT64_C(600) * 1000000;
static const TimeUs read_ttl = TIME_US_DAY;
static const TimeUs renew_after = INT64_C(60) * 1000000;

struct Lease {
    const Cluster *cluster;
    char *kind;
    char *backup; /* It may be "". */
    char *prefix;
    char holder[HOLDER_LENGTH + 1];
    unsigned seq;      /* It is that of the newest object. 0 means that none is stored. */
    TimeUs stored_at;  /* That object was stored then, by the store's clock. */
    TimeUs renewed_at; /* It is a time_monotonic(). */
    TimeUs taken_at;   /* It is by this host's clock, for people. */
    uint32_t timeline;
    Lsn start;
    /*
     * It renews a reader's lease, and nobody else does then. When it is NULL, whoever holds the
     * lease renews it.
     */
    Keeper *keeper;
};

static char *lease_object_name(const Lease *lease, unsigned seq)
{
    return text_format("%s%s.%08u", lease->prefix, lease->holder, seq);
}

/* Best effort: what stays behind is void after ten minutes, or at once when this process ends. */
static void remove_object(const Lease *lease, unsigned seq)
{
    CLEANUP(text_freep) char *name = lease_object_name(lease, seq);
    Error ignored = {0};

    if (!storage_remove(lease->cluster->repo->storage, name, &ignored))
        error_clear(&ignored);
}

void lease_freep(Lease **lease)
{
    if (*lease == NULL)
        return;
    keeper_freep(&(*lease)->keeper);
    for (unsigned back = 0; back < 3 && back < (*lease)->seq; back++)
        remove_object(*lease, (*lease)->seq - back);
    text_freep(&(*lease)->prefix);
    text_freep(&(*lease)->kind);
    text_freep(&(*lease)->backup);
    mem_free(*lease);
    *lease = NULL;
}

static bool store_lease(Lease *lease, unsigned seq, Error *err)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};
    CLEANUP(text_freep) char *name = lease_object_name(lease, seq);
    char start[LSN_TEXT_SIZE];

    record_begin(&record, "lease", LEASE_VERSION);
    record_text(&record, "purpose", lease->kind);
    record_text(&record, "host", process_host_name());
    record_text(&record, "boot_id", process_boot_id());
    record_u64(&record, "pid", (uint64_t)getpid());
    record_u64(&record, "process_start", process_start_time(getpid()));
    record_u64(&record, "timeline", lease->timeline);
    record_text(&record, "start", lsn_text(lease->start, start));
    record_time(&record, "taken", lease->taken_at);
    record_text(&record, "tool", PGCAIRN_VERSION);
    if (lease->backup[0] != '\0')
        record_text(&record, "backup", lease->backup);
    if (!record_store(&record, lease->cluster->repo->storage, name, err))
        return false;
    lease->seq = seq;
    lease->renewed_at = time_monotonic();
    return storage_stat(lease->cluster->repo->storage, name, NULL, &lease->stored_at, err);
}

typedef enum RivalState {
    RIVAL_LIVE,
    RIVAL_VOID,      /* It is dead or expired, and can be removed. */
    RIVAL_GONE,      /* Its object was removed since the listing. */
    RIVAL_UNRELATED, /* It has another purpose. */
} RivalState;

/* Somebody else's lease: the newest object of its holder. */
typedef struct Rival {
    const char *name; /* It is the name of the object. */
    TimeUs stored_at;
    bool is_readable;
    char host[128];
    uint64_t pid;
    TimeUs taken_at;
} Rival;

/* "PREFIX" and 16 hex digits, a dot, 8 digits. */
static bool is_lease_name(const char *name, const char *prefix)
{
    const char *base = name + strlen(prefix);

    return strlen(base) == HOLDER_LENGTH + 1 + SEQ_LENGTH &&
           strspn(base, "0123456789abcdef") == HOLDER_LENGTH && base[HOLDER_LENGTH] == '.' &&
           strspn(base + HOLDER_LENGTH + 1, "0123456789") == SEQ_LENGTH;
}

static bool is_same_holder(const char *a, const char *b, const char *prefix)
{
    return strncmp(a, b, strlen(prefix) + HOLDER_LENGTH) == 0;
}

static bool decode_rival(const Record *record, Rival *rival, const char **boot_id,
                         const char **purpose, uint64_t *process_start)
{
    const char *host;
    Error ignored = {0}; /* unreadable is an answer: age alone decides then */

    if (!record_get_text(record, "host", &host, &ignored) ||
        !record_get_text(record, "boot_id", boot_id, &ignored) ||
        !record_get_text(record, "purpose", purpose, &ignored) ||
        !record_get_u64(record, "pid", &rival->pid, &ignored) ||
        !record_get_u64(record, "process_start", process_start, &ignored) ||
        !record_get_time(record, "taken", &rival->taken_at, &ignored) || rival->pid == 0 ||
        rival->pid > INT32_MAX)
        return false;
    snprintf(rival->host, sizeof rival->host, "%s", host);
    return strcmp(rival->host, host) == 0;
}

static bool are_known_and_differ(const char *a, const char *b)
{
    return a[0] != '\0' && b[0] != '\0' && strcmp(a, b) != 0;
}

/*
 * Only of a process on this host can be known that it is gone, and only from what is known: host
 * or boot id can be empty, and /proc may hide processes of other users (hidepid).
 */
static bool rival_is_dead(const Rival *rival, const char *boot_id, uint64_t process_start)
{
    pid_t pid = (pid_t)rival->pid;

    if (rival->host[0] == '\0' || strcmp(rival->host, process_host_name()) != 0)
        return false;
    if (are_known_and_differ(boot_id, process_boot_id()) || !process_exists(pid))
        return true;
    uint64_t found_start = process_start_time(pid);
    return found_start != 0 && process_start != 0 && found_start != process_start;
}

/* A reader may have no thread to renew it; what it reads goes two graces after it was condemned. */
static TimeUs lease_life(const char *kind)
{
    return strcmp(kind, LEASE_READ) == 0 ? read_ttl : lease_ttl;
}

/*
 * By age alone. One that can't be read may be of a reader, of a newer version say: it holds nobody
 * up once it is older than what a writer's would be, and is removed only when it is too old for a
 * reader's as well.
 */
static RivalState rival_state_by_age(TimeUs age, bool is_readable)
{
    if (age <= lease_ttl)
        return RIVAL_LIVE;
    return is_readable || age > read_ttl ? RIVAL_VOID : RIVAL_UNRELATED;
}

/* False only when the store did not answer. */
static bool look_at_rival(const Lease *lease, Rival *rival, RivalState *state, Error *err)
{
    CLEANUP(record_done) Record record = {0};
    const TimeUs age = lease->stored_at - rival->stored_at;
    const char *boot_id;
    const char *purpose;
    uint64_t process_start;

    *state = rival_state_by_age(age, false);
    if (!record_load(lease->cluster->repo->storage, rival->name, "lease", LEASE_VERSION, &record,
                     err)) {
        if (err->code != ERR_NOT_FOUND && err->code != ERR_CORRUPT && err->code != ERR_VERSION)
            return false;
        if (err->code == ERR_NOT_FOUND)
            *state = RIVAL_GONE;
        error_clear(err);
        return true;
    }
    rival->is_readable = decode_rival(&record, rival, &boot_id, &purpose, &process_start);
    *state = rival_state_by_age(age, rival->is_readable);
    if (rival->is_readable && strcmp(purpose, lease->kind) != 0) {
        *state = RIVAL_UNRELATED;
    } else if (rival->is_readable && rival_is_dead(rival, boot_id, process_start)) {
        *state = RIVAL_VOID;
    }
    return true;
}

/* All objects of a void lease. One that can't be removed is void all the same. */
static void remove_rival(const Lease *lease, const ObjectList *list, const Rival *rival)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *name = list->objects[i].name;
        Error ignored = {0};

        if (is_lease_name(name, lease->prefix) &&
            is_same_holder(name, rival->name, lease->prefix) &&
            !storage_remove(lease->cluster->repo->storage, name, &ignored))
            error_clear(&ignored);
    }
}

typedef enum LeaseOutcome {
    OUTCOME_ALONE, /* There is nobody else, so the lease is ours. */
    OUTCOME_AGAIN, /* A change overtook the listing, or the other one should withdraw. */
    OUTCOME_TAKEN, /* *rival has it. */
} LeaseOutcome;

static bool rival_is_before(const Rival *rival, const Lease *lease, const char *own_name)
{
    return rival->stored_at != lease->stored_at ? rival->stored_at < lease->stored_at
                                                : strcmp(rival->name, own_name) < 0;
}

/* One listing, after our lease is stored. rival->name is valid as long as list. */
static bool lease_look_around(const Lease *lease, ObjectList *list, Rival *rival,
                              LeaseOutcome *outcome, Error *err)
{
    Storage *storage = lease->cluster->repo->storage;
    CLEANUP(text_freep) char *own_name = lease_object_name(lease, lease->seq);
    bool is_there = false;

    *outcome = OUTCOME_ALONE;
    if (!storage_list(storage, lease->prefix, list, err))
        return false;
    for (size_t i = 0; i < list->count; i++) {
        const ObjectInfo *object = &list->objects[i];
        Rival other = {.name = object->name, .stored_at = object->stored_at};
        RivalState state;

        is_there = is_there || strcmp(object->name, own_name) == 0;
        /* Sorted: the last of a holder is its newest. */
        if (!is_lease_name(object->name, lease->prefix) ||
            is_same_holder(object->name, own_name, lease->prefix) ||
            (i + 1 < list->count && is_lease_name(object[1].name, lease->prefix) &&
             is_same_holder(object->name, object[1].name, lease->prefix)))
            continue;
        if (!look_at_rival(lease, &other, &state, err))
            return false;
        if (state == RIVAL_VOID)
            remove_rival(lease, list, &other);
        if (state == RIVAL_VOID || state == RIVAL_UNRELATED)
            continue;
        *rival = other;
        *outcome = OUTCOME_AGAIN;
        /* Renewed or given back just now: only another listing tells which. */
        if (state == RIVAL_LIVE && rival_is_before(&other, lease, own_name)) {
            *outcome = OUTCOME_TAKEN;
            return true;
        }
    }
    if (!is_there)
        return error_set(err, ERR_BUSY, "the lease just stored is gone: another run removed it");
    return true;
}

static bool lease_refuse(const Rival *rival, Error *err)
{
    char taken[TIME_TEXT_SIZE];
    char until[TIME_TEXT_SIZE];

    time_text(rival->stored_at + lease_ttl, until);
    if (rival->is_readable) {
        error_set(err, ERR_BUSY,
                  "another run is at work since %s: process %" PRIu64
                  " on host \"%s\"; if it is dead, its lease ends at %s",
                  time_text(rival->taken_at, taken), rival->pid, rival->host, until);
    } else {
        error_set(err, ERR_BUSY,
                  "another run is at work (its lease \"%s\" can't be read); if it is dead, its "
                  "lease ends at %s",
                  rival->name, until);
    }
    return error_hint(err, "wait until it has ended, or until its lease has");
}

/* Our lease is stored: look until it is clear who holds. */
static bool lease_settle(const Lease *lease, Error *err)
{
    for (int step = 0;; step++) {
        CLEANUP(object_list_done) ObjectList list = {0};
        Rival rival = {.name = "", .stored_at = lease->stored_at};
        LeaseOutcome outcome;

        if (!lease_look_around(lease, &list, &rival, &outcome, err))
            return false;
        if (outcome == OUTCOME_ALONE)
            return true;
        if (outcome == OUTCOME_TAKEN || step == WAIT_STEPS)
            return lease_refuse(&rival, err);
        time_sleep_ms(WAIT_STEP_MS);
    }
}

bool lease_take(const Cluster *cluster, const LeaseRequest *request, Lease **lease, Error *err)
{
    CLEANUP(lease_freep) Lease *taken = mem_alloc(sizeof *taken);
    uint64_t number;

    taken->cluster = cluster;
    taken->kind = text_format("%s", request->kind);
    taken->backup = text_format("%s", request->backup != NULL ? request->backup : "");
    taken->prefix = layout_lease_prefix(cluster->name);
    taken->timeline = request->timeline;
    taken->start = request->start;
    taken->taken_at = time_now();
    if (!random_u64(&number, err))
        return error_context(err, "take lease");
    snprintf(taken->holder, sizeof taken->holder, "%016" PRIx64, number);
    if (!FAULT_POINT("lease.before-take", err) || !store_lease(taken, 1, err) ||
        (strcmp(taken->kind, LEASE_READ) != 0 && !lease_settle(taken, err)) ||
        !FAULT_POINT("lease.after-take", err))
        return error_context(err, "take lease of cluster \"%s\"", cluster->name);
    *lease = TAKE(taken);
    return true;
}

/*
 * Store the next one. That the one before is still there and was not too old tells that nobody has
 * taken over; a taker judges by the same two times.
 */
static bool lease_renew_once(Lease *lease, Error *err)
{
    CLEANUP(text_freep) char *name = lease_object_name(lease, lease->seq);
    TimeUs before = lease->stored_at;

    if (!storage_stat(lease->cluster->repo->storage, name, NULL, NULL, err)) {
        if (err->code != ERR_NOT_FOUND)
            return false;
        error_clear(err);
        return error_set(err, ERR_BUSY, "another run has taken the lease over");
    }
    if (!store_lease(lease, lease->seq + 1, err))
        return false;
    if (lease->stored_at - before > lease_life(lease->kind)) {
        return error_set(err, ERR_BUSY,
                         "the lease expired: it was not renewed for %" PRId64 " minutes",
                         (lease->stored_at - before) / 60000000);
    }
    if (lease->seq > 2)
        remove_object(lease, lease->seq - 2);
    return true;
}

/* One that fails is tried again the next time: the lease holds for many of them. */
static void renew_to_read(void *context)
{
    Error unable = {0};

    if (!lease_renew_once(context, &unable)) {
        log_warn("the lease of what is being read could not be renewed; once it has ended, "
                 "`pgcairn expire` may remove that",
                 log_str("error", unable.message));
    }
}

void lease_take_to_read(const Cluster *cluster, const char *backup, uint64_t every_ms,
                        Lease **lease)
{
    Error unable = {0};

    *lease = NULL;
    if (!lease_take(cluster, &(LeaseRequest){.kind = LEASE_READ, .backup = backup}, lease,
                    &unable)) {
        log_debug("reading without a lease", log_str("error", unable.message));
        return;
    }
    (*lease)->keeper = keeper_new(renew_to_read, *lease, every_ms);
    if ((*lease)->keeper == NULL)
        log_warn("no thread could be started that renews the lease: it holds for a day");
}

bool lease_renew(Lease *lease, uint32_t timeline, Lsn start, Error *err)
{
    bool has_changed = timeline != lease->timeline || start != lease->start;

    if (!has_changed && time_monotonic() - lease->renewed_at < renew_after)
        return true;
    lease->timeline = timeline;
    lease->start = start;
    return lease_renew_once(lease, err) || error_context(err, "renew lease");
}

bool lease_check(Lease *lease, Error *err)
{
    return lease_renew_once(lease, err) || error_context(err, "check lease");
}

TimeUs lease_stored_at(const Lease *lease)
{
    return lease->stored_at;
}

/* What can be read of it; the purpose stays "" else, and age alone decides. */
static bool read_info(LeaseInfo *info, const Cluster *cluster, const char *object, Arena *arena,
                      bool *is_dead, Error *err)
{
    CLEANUP(record_done) Record record = {0};
    Rival rival = {.name = object};
    const char *boot_id, *purpose, *backup, *start;
    uint64_t process_start, timeline;
    Error ignored = {0};

    *is_dead = false;
    if (!record_load(cluster->repo->storage, object, "lease", LEASE_VERSION, &record, err)) {
        return err->code != ERR_CORRUPT && err->code != ERR_VERSION ? false
                                                                    : (error_clear(err), true);
    }
    if (!decode_rival(&record, &rival, &boot_id, &purpose, &process_start) ||
        !record_get_u64(&record, "timeline", &timeline, &ignored) || timeline > UINT32_MAX ||
        !record_get_text(&record, "start", &start, &ignored) ||
        !lsn_parse(start, &info->start, &ignored))
        return true;
    backup = record_find(&record, "backup");
    info->purpose = arena_text(arena, purpose);
    info->backup = arena_text(arena, backup != NULL ? backup : "");
    info->timeline = (uint32_t)timeline;
    info->host = arena_text(arena, rival.host);
    info->pid = rival.pid;
    *is_dead = rival_is_dead(&rival, boot_id, process_start);
    return true;
}

static bool add_info(LeaseList *list, const Cluster *cluster, const ObjectInfo *object,
                     const char *prefix, TimeUs now, Error *err)
{
    LeaseInfo *info = &list->items[list->count];
    Error attempt = {0};
    bool is_dead;

    *info = (LeaseInfo){
        .holder = arena_text_part(&list->arena, object->name + strlen(prefix), HOLDER_LENGTH),
        .purpose = "",
        .backup = "",
        .host = "",
        .stored_at = object->stored_at,
    };
    if (!read_info(info, cluster, object->name, &list->arena, &is_dead, &attempt)) {
        /* Renewed or given back since the listing: who looks twice sees which. */
        return attempt.code == ERR_NOT_FOUND ? (list->count++, true) : error_pass(err, &attempt);
    }
    const TimeUs life = info->purpose[0] == '\0' ? read_ttl : lease_life(info->purpose);
    info->is_void = is_dead || now - object->stored_at > life;
    list->count++;
    return true;
}

bool lease_list_load(LeaseList *list, const Cluster *cluster, const Lease *own, TimeUs now,
                     Error *err)
{
    CLEANUP(text_freep) char *prefix = layout_lease_prefix(cluster->name);
    CLEANUP(object_list_done) ObjectList objects = {0};

    *list = (LeaseList){.count = 0};
    if (!storage_list(cluster->repo->storage, prefix, &objects, err))
        return error_context(err, "list who is at work");
    list->items = arena_alloc(&list->arena, (objects.count + 1) * sizeof list->items[0]);
    for (size_t i = 0; i < objects.count; i++) {
        const ObjectInfo *object = &objects.objects[i];

        if (!is_lease_name(object->name, prefix) ||
            (own != NULL &&
             strncmp(object->name + strlen(prefix), own->holder, HOLDER_LENGTH) == 0) ||
            (i + 1 < objects.count && is_lease_name(object[1].name, prefix) &&
             is_same_holder(object->name, object[1].name, prefix)))
            continue;
        if (!add_info(list, cluster, object, prefix, now, err))
            return error_context(err, "list who is at work");
    }
    return true;
}

void lease_list_done(LeaseList *list)
{
    arena_done(&list->arena);
    *list = (LeaseList){.count = 0};
}

void lease_list_remove(const Cluster *cluster, const LeaseInfo *info)
{
    CLEANUP(text_freep)
    char *prefix = text_format("%s/lease/%s.", cluster->name, info->holder);
    CLEANUP(object_list_done) ObjectList objects = {0};
    Error ignored = {0};

    if (!storage_list(cluster->repo->storage, prefix, &objects, &ignored))
        return;
    for (size_t i = 0; i < objects.count; i++) {
        if (!storage_remove(cluster->repo->storage, objects.objects[i].name, &ignored))
            return;
    }
}
