#include "receive_begin.h"

#include "base/fault.h"
#include "base/log.h"
#include "catalog/history_fit.h"
#include "repo/layout.h"
#include "wal/wal_check.h"
#include "wal/wal_object.h"

#include <inttypes.h>

void receive_begin_done(ReceiveBegin *begin)
{
    arena_done(&begin->arena);
    *begin = (ReceiveBegin){0};
}

static bool begin_check_server(const Cluster *cluster, const ReplicationIdentity *identity,
                               Error *err)
{
    if (!cluster_check(cluster, identity->system_identifier, identity->major, "the server", err))
        return false;
    return identity->wal_segment_size == cluster->wal_segment_size ||
           error_set(err, ERR_REFUSED,
                     "the server has segments of %" PRIu32 " bytes, and \"%s\" has %" PRIu32,
                     identity->wal_segment_size, cluster->name, cluster->wal_segment_size);
}

static bool refuse_lost(const char *name, Error *err)
{
    error_set(err, ERR_REFUSED,
              "replication slot \"%s\" is lost: the server has removed WAL that was not received",
              name);
    return error_hint(err,
                      "drop it (SELECT pg_drop_replication_slot('%s')), start this again, take a "
                      "backup: the archive has a hole unless archive_command filled it; "
                      "max_slot_wal_keep_size says how much is kept",
                      name);
}

static bool check_slot(const char *name, const ReplicationSlot *slot, Error *err)
{
    if (!slot->is_physical || slot->is_temporary) {
        error_set(err, ERR_REFUSED, "replication slot \"%s\" is %s one: it is somebody else's",
                  name, slot->is_physical ? "a temporary" : "a logical");
        return error_hint(err, "choose another name with --slot");
    }
    if (slot->is_lost)
        return refuse_lost(name, err);
    if (slot->active_pid == 0)
        return true;
    error_set(err, ERR_BUSY, "replication slot \"%s\" is in use, by the server's process %ld", name,
              slot->active_pid);
    return error_hint(err, "another receive (or standby) runs with it; each needs a slot of its "
                           "own: --slot");
}

/* Somebody else may have made it since we looked: then it is judged as one that was there. */
static bool create_slot(Session *session, const char *name, Error *err)
{
    Error attempt = {0};

    if (replication_slot_create(session, name, &attempt)) {
        log_info("replication slot created", log_str("slot", name));
        return true;
    }
    if (attempt.code == ERR_EXISTS)
        return true;
    return error_pass(err, &attempt);
}

/* *restart: what the slot keeps WAL from; 0: nothing yet. */
static bool begin_take_slot(Session *session, const char *name, Lsn *restart, Error *err)
{
    ReplicationSlot slot;

    if (!replication_slot_look(session, name, &slot, err))
        return false;
    if (!slot.exists) {
        if (!FAULT_POINT("receive.before-slot", err) || !create_slot(session, name, err) ||
            !FAULT_POINT("receive.after-slot", err) ||
            !replication_slot_look(session, name, &slot, err))
            return false;
    }
    if (!check_slot(name, &slot, err))
        return false;
    *restart = slot.restart;
    return true;
}

static bool append_history(void *context, const void *data, size_t size, Error *err)
{
    (void)err;
    buffer_append(context, data, size);
    return true;
}

/* The history is archived already: is it the same? */
static bool check_stored_history(const Cluster *cluster, const char *name, const Buffer *text,
                                 Error *err)
{
    CLEANUP(text_freep) char *object = layout_wal(cluster->name, name);
    CLEANUP(buffer_done) Buffer stored = {0};

    if (!wal_object_read(cluster, name, 1, append_history, &stored, NULL, err))
        return false;
    if (stored.size == text->size && memcmp(stored.data, text->data, text->size) == 0)
        return storage_sync(cluster->repo->storage, object, err);
    error_set(err, ERR_EXISTS, "%s in the archive of \"%s\" has other content", name,
              cluster->name);
    return error_hint(err, "two servers were promoted to one timeline, or a copy of the cluster "
                           "was: each needs a --cluster of its own; nothing was overwritten");
}

/* copy: with its end, as text. */
static bool check_new_history(const Cluster *cluster, uint32_t timeline, const char *copy,
                              Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    TimelinePath path;

    return timeline_path_parse(timeline, copy, &arena, &path, err) &&
           history_fits(cluster, &path, err);
}

static bool store_history(const Cluster *cluster, const char *name, const Buffer *text,
                          Compression compression, Error *err)
{
    CLEANUP(wal_object_writer_freep) WalObjectWriter *writer = NULL;

    return wal_object_write(cluster, name, compression, 1, text->size, &writer, err) &&
           wal_object_writer_add(writer, text->data, text->size, err) &&
           FAULT_POINT("receive.before-history", err) &&
           wal_object_writer_commit(writer, NULL, NULL, err) &&
           FAULT_POINT("receive.after-history", err);
}

bool receive_keep_history(const Cluster *cluster, Compression compression, uint32_t timeline,
                          const Buffer *text, Error *err)
{
    const WalName name = {.kind = WAL_HISTORY, .timeline = timeline};
    CLEANUP(buffer_done) Buffer copy = {0};
    char name_text[WAL_NAME_SIZE];
    Error attempt = {0};

    wal_name_text(&name, cluster->wal_segment_size, name_text);
    buffer_append(&copy, text->data, text->size);
    buffer_append(&copy, "", 1); /* its end, for whoever reads it as text */
    if (!wal_check_history(&name, ERR_REFUSED, (const char *)copy.data, err))
        return false;
    if (check_stored_history(cluster, name_text, text, &attempt))
        return true;
    if (attempt.code == ERR_NOT_FOUND) {
        error_clear(&attempt);
        if (check_new_history(cluster, timeline, (const char *)copy.data, &attempt) &&
            store_history(cluster, name_text, text, compression, &attempt))
            return true;
        if (attempt.code == ERR_EXISTS) { /* by archive_command, a moment ago */
            error_clear(&attempt);
            if (check_stored_history(cluster, name_text, text, &attempt))
                return true;
        }
    }
    *err = attempt;
    return error_context(err, "keep the history of timeline %" PRIu32, timeline);
}

/* The server need not have its ancestors' histories any more: it does not use them itself. */
static bool keep_ancestors(const Cluster *cluster, const ReceiveRequest *request, Session *session,
                           const WalInventory *inventory, const TimelinePath *path, Error *err)
{
    for (size_t i = 0; i + 1 < path->count; i++) {
        const uint32_t timeline = path->steps[i].timeline;
        CLEANUP(buffer_done) Buffer text = {0};
        Error attempt = {0};

        if (timeline == 1 || wal_inventory_has_history(inventory, timeline))
            continue;
        if (!replication_history(session, timeline, &text, &attempt)) {
            if (attempt.code != ERR_NOT_FOUND)
                return error_pass(err, &attempt);
            log_warn("neither the archive nor the server has a timeline's history",
                     log_u64("timeline", timeline));
        } else if (!receive_keep_history(cluster, request->compression, timeline, &text, err)) {
            return false;
        }
    }
    return true;
}

static bool begin_load_path(const Cluster *cluster, const ReceiveRequest *request, Session *session,
                            uint32_t timeline, ReceiveBegin *begin, Error *err)
{
    CLEANUP(buffer_done) Buffer text = {0};

    if (timeline == 1)
        return timeline_path_parse(1, NULL, &begin->arena, &begin->path, err);
    if (!replication_history(session, timeline, &text, err) ||
        !receive_keep_history(cluster, request->compression, timeline, &text, err))
        return false;
    buffer_append(&text, "", 1);
    return timeline_path_parse(timeline, (const char *)text.data, &begin->arena, &begin->path, err);
}

/* The last segment of the path before `limit` that is whole in the archive; false: none is. */
static bool begin_last_archived(const WalInventory *inventory, const TimelinePath *path,
                                uint64_t limit, uint32_t size, uint64_t *last)
{
    bool found = false;

    for (size_t i = 0; i < inventory->run_count; i++) {
        const WalRun *run = &inventory->runs[i];
        uint64_t segment = run->last < limit ? run->last : limit - 1;

        if (limit == 0 || run->first >= limit)
            continue;
        while (segment > run->first &&
               path_timeline_of_segment(path, segment, size) != run->timeline)
            segment--;
        if (path_timeline_of_segment(path, segment, size) == run->timeline &&
            (!found || segment > *last)) {
            *last = segment;
            found = true;
        }
    }
    return found;
}

/*
 * The first segment before `limit` that the archive does not have whole, after all that it has:
 * one that it has in pieces may be it. False: it has nothing before.
 */
static bool begin_first_missing(const WalInventory *inventory, const TimelinePath *path,
                                uint64_t limit, uint32_t size, uint64_t *missing)
{
    uint64_t last = 0;
    bool found = begin_last_archived(inventory, path, limit, size, &last);

    *missing = found ? last + 1 : 0;
    for (size_t i = 0; i < inventory->pieces.count; i++) {
        const WalPiece *piece = &inventory->pieces.items[i];

        if (piece->segment < limit && piece->segment >= *missing &&
            path_timeline_of_segment(path, piece->segment, size) == piece->timeline) {
            *missing = piece->segment;
            found = true;
        }
    }
    return found && *missing < limit;
}

static void choose_place(const Cluster *cluster, const WalInventory *inventory, Lsn keeps,
                         bool fill_gap, ReceiveBegin *begin)
{
    const uint32_t size = cluster->wal_segment_size;
    uint64_t segment = wal_segment_of(keeps, size);
    uint64_t missing;

    if (fill_gap && begin_first_missing(inventory, &begin->path, segment, size, &missing)) {
        segment = missing;
        begin->is_gap = true;
    }
    begin->timeline = path_timeline_of_segment(&begin->path, segment, size);
    begin->position = wal_segment_start(segment, size);
}

/*
 * syncrep.c, SyncRepGetStandbyPriority: names are compared without case, "*" is any. A name that
 * only contains ours does no harm: then WAL is stored more often than it need be.
 */
static bool look_at_standby_names(Session *session, const char *application, bool *is_named,
                                  Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *names = NULL;
    bool found;

    if (!session_row(session,
                     "SELECT setting FROM pg_settings WHERE name = 'synchronous_standby_names'",
                     &arena, &names, 1, &found, err))
        return false;
    *is_named = found && names != NULL &&
                (strchr(names, '*') != NULL || strcasestr(names, application) != NULL);
    return true;
}

bool receive_prepare(const Cluster *cluster, const Cluster *archive, const ReceiveRequest *request,
                     Session *session, Lsn from, bool fill_gap, ReceiveBegin *begin, Error *err)
{
    CLEANUP(wal_inventory_done) WalInventory inventory = {0};
    ReplicationIdentity identity;
    Lsn keeps;

    if (!replication_identify(session, &identity, err) ||
        !begin_check_server(cluster, &identity, err) ||
        !look_at_standby_names(session, request->application, &begin->is_standby_by_name, err) ||
        !begin_take_slot(session, request->slot, &keeps, err) ||
        !begin_load_path(cluster, request, session, identity.timeline, begin, err) ||
        !wal_inventory_load(&inventory, archive, err) ||
        !keep_ancestors(cluster, request, session, &inventory, &begin->path, err))
        return false;
    if (keeps == 0)
        keeps = identity.flushed;
    choose_place(cluster, &inventory, from != 0 ? from : keeps, fill_gap && from == 0, begin);
    return true;
}
