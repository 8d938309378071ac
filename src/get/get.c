#include "get_parts.h"

#include "base/log.h"
#include "prefetch_request.h"
#include "walk/absence.h"

#include <inttypes.h>

static void get_done(Get *get)
{
    recovery_view_done(&get->view);
}

static bool deliver_or_prove(Get *get, Error *err)
{
    Error attempt = {0};

    if (get_deliver(get, &attempt))
        return true;
    if (attempt.code == ERR_NOT_FOUND)
        return get_prove_absence(get, err);
    return error_pass(err, &attempt);
}

/*
 * A segment that this recovery must not see: it lies wholly after the point where the path leaves
 * its timeline, or its timeline is not on the path. A server on the same path does not ask for it
 * (it has the child's segment, or was stopped when that was missing), so it follows another path
 * than we think: neither the file nor "no such file", which would open the database, is right.
 */
static bool refuse_other_path(const Get *get, Error *err)
{
    error_set(err, ERR_REFUSED,
              "it does not belong to the recovery to timeline %" PRIu32
              ", which leaves timeline %" PRIu32 " before it",
              get->view.timeline, get->name.timeline);
    return error_hint(err, "recovery_target_timeline and --recovery-timeline of restore_command "
                           "must name the same timeline");
}

/* The path is looked at only when it matters: nothing of its last timeline is after its end. */
static bool get_check_path(Get *get, Error *err)
{
    if (get->name.timeline == get->view.timeline || get_is_for_tool(get))
        return true;
    if (!recovery_view_path(get->cluster, &get->view, err))
        return false;
    return segment_belongs_to_path(&get->view.path, &get->name, get->cluster->wal_segment_size) ||
           refuse_other_path(get, err);
}

/* What lies ready was verified when it was fetched: it is as good as what is fetched now. */
static bool take_or_deliver(Get *get, Error *err)
{
    return prefetch_take(get->request->ahead, get->cluster, &get->name, get->request->path) ||
           deliver_or_prove(get, err);
}

static bool get_segment(Get *get, Error *err)
{
    if (get_check_path(get, err) && take_or_deliver(get, err)) {
        prefetch_answered(get->request->ahead, get->cluster, &get->name, &get->view);
        return true;
    }
    /*
     * The server reads ahead of its target and must not be stopped by a hole, or by damage, in what
     * it does not need. Should the bound be wrong, it still has its target and refuses to open.
     */
    if (!get_is_needed(get) && (err->code == ERR_CORRUPT || err->code == ERR_REFUSED)) {
        log_info("a segment beyond the target is not available; the recovery does not need it",
                 log_str("segment", get->request->name), log_str("reason", err->message));
        error_clear(err);
        return error_set(err, ERR_ABSENT, "it lies beyond the target and is not available");
    }
    return false;
}

static bool get_file(Get *get, Error *err)
{
    const GetRequest *request = get->request;

    if (!wal_name_parse(request->name, get->cluster->wal_segment_size, &get->name, err))
        return false;
    if (get->name.kind != WAL_SEGMENT) {
        return !archive_get_is_known(request->name, err) && get_check_branch(get, err) &&
               deliver_or_prove(get, err);
    }
    return recovery_view_load(get->cluster, request, &get->name, &get->view, err) &&
           get_segment(get, err);
}

bool archive_get(const Cluster *cluster, const GetRequest *request, Error *err)
{
    CLEANUP(get_done) Get get = {.cluster = cluster, .request = request};

    if (get_file(&get, err))
        return true;
    /*
     * An end of the server's WAL. Before a database opens there is always one: the server looks for
     * histories until it gets this answer (timeline.c, findNewestTimeLine).
     */
    if (err->code == ERR_ABSENT)
        prefetch_end(request->ahead);
    return error_context(err, "fetch %s", request->name);
}
