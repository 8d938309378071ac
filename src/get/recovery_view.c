#include "recovery_view.h"

#include "base/file.h"
#include "base/log.h"
#include "postgres/control.h"
#include "repo/recovery_plan.h"
#include "walk/inventory.h"

#include <inttypes.h>

enum { TEXT_SIZE_MAX = 1 << 20 };

/*
 * Targets given on the command line (-c recovery_target_time=...) are not in the files that the
 * bound was computed from. postmaster.opts holds the command line of the latest start.
 */
static bool target_on_command_line(const char *data)
{
    CLEANUP(text_freep) char *path = text_format("%s/postmaster.opts", data);
    CLEANUP(buffer_done) Buffer text = {0};
    static const char target[] = "recovery_target";
    static const char action[] = "_action";
    Error attempt = {0};

    if (!file_read_whole(path, TEXT_SIZE_MAX, &text, &attempt))
        return attempt.code != ERR_NOT_FOUND; /* can't tell: rely on nothing */
    for (const char *at = (const char *)text.data; (at = strstr(at, target)) != NULL;) {
        at += sizeof target - 1;
        if (strncmp(at, action, sizeof action - 1) != 0)
            return true;
    }
    return false;
}

/* The plan that restore left, if it is still the recovery that it was made for. */
static bool find_plan(const char *data, const char *settings, uint32_t timeline, Arena *arena,
                      RecoveryPlan *plan)
{
    Error attempt = {0};

    if (!recovery_plan_load(data, arena, plan, &attempt)) {
        /* Without it the full rule holds, which is the safe one. */
        if (attempt.code != ERR_NOT_FOUND) {
            log_warn("what restore left for archive-get can't be read; every segment counts",
                     log_str("reason", attempt.message));
        }
        return false;
    }
    return strcmp(plan->settings, settings) == 0 && (timeline == 0 || timeline == plan->timeline) &&
           !target_on_command_line(data);
}

static void take_plan(const Cluster *cluster, const RecoveryPlan *plan, RecoveryView *view)
{
    Error ignored = {0}; /* a bound that is none: every segment counts */
    WalName bound;

    view->timeline = plan->timeline;
    /*
     * Only with a target the server itself refuses to open when WAL ends too early; so even a wrong
     * bound can stop a recovery, never end one.
     */
    if (plan->bound[0] != '\0' && recovery_settings_have_target(plan->settings) &&
        wal_name_parse(plan->bound, cluster->wal_segment_size, &bound, &ignored) &&
        bound.kind == WAL_SEGMENT) {
        view->bound_segment = bound.segment;
    }
    if (plan->archive_end[0] != '\0' && !recovery_settings_have_target(plan->settings) &&
        wal_name_parse(plan->archive_end, cluster->wal_segment_size, &bound, &ignored) &&
        bound.kind == WAL_SEGMENT) {
        view->archive_end = bound.segment;
    }
}

/* The path by a history in pg_wal; *found is false when it has none. */
static bool path_of_pg_wal(const char *data, uint32_t timeline, Arena *arena, TimelinePath *path,
                           bool *found, Error *err)
{
    CLEANUP(text_freep)
    char *file = text_format("%s/pg_wal/%08" PRIX32 ".history", data, timeline);
    CLEANUP(buffer_done) Buffer text = {0};
    Error attempt = {0};

    *found = false;
    if (!file_read_whole(file, TEXT_SIZE_MAX, &text, &attempt)) {
        if (attempt.code == ERR_NOT_FOUND)
            return true;
        return error_pass(err, &attempt);
    }
    *found = true;
    return timeline_path_parse(timeline, (const char *)text.data, arena, path, err) ||
           error_context(err, "read %s", file);
}

/* What the archive has not, pg_wal may have (timeline.c, readTimeLineHistory). */
static bool view_find_path(const Cluster *cluster, const char *data, uint32_t timeline,
                           Arena *arena, TimelinePath *path, bool *found, Error *err)
{
    Error attempt = {0};

    *found = true;
    if (timeline_path_load(cluster, timeline, arena, path, &attempt))
        return true;
    if (attempt.code != ERR_NOT_FOUND)
        return error_pass(err, &attempt);
    *found = false;
    return data == NULL || path_of_pg_wal(data, timeline, arena, path, found, err);
}

/*
 * The newest timeline that descends from `from`, found as the server finds it (timeline.c,
 * findNewestTimeLine): one history after the other until there is none. A gap between histories
 * stops the server by itself: archive-get does not say that such a history doesn't exist.
 */
static bool find_latest(const Cluster *cluster, const char *data, uint32_t from, uint32_t *latest,
                        Error *err)
{
    bool found = true;

    *latest = from;
    for (uint32_t timeline = from + 1; found && timeline != 0; timeline++) {
        CLEANUP(arena_done) Arena arena = {0};
        TimelinePath path;

        if (!view_find_path(cluster, data, timeline, &arena, &path, &found, err))
            return false;
        if (found && path_step_of(&path, from) != NULL)
            *latest = timeline;
    }
    return true;
}

/* recovery_target_timeline as the server reads it (xlogrecovery.c, check_recovery_target_timeline).
 */
static bool timeline_of_settings(const Cluster *cluster, const char *data, const char *value,
                                 uint32_t current, uint32_t *timeline, Error *err)
{
    if (value == NULL || strcmp(value, "latest") == 0)
        return find_latest(cluster, data, current, timeline, err);
    if (strcmp(value, "current") == 0) {
        *timeline = current;
        return true;
    }

    char *end;
    unsigned long long number = strtoull(value, &end, 0);

    if (end == value || number == 0 || number > UINT32_MAX) {
        return error_set(err, ERR_USAGE, "recovery_target_timeline \"%s\" is not a timeline",
                         value);
    }
    *timeline = (uint32_t)number;
    return true;
}

/* Whether the server was told this number, so that it looks for no other timeline by itself. */
static bool is_pinned(const char *value, uint32_t timeline)
{
    char *end;

    return value != NULL && strtoull(value, &end, 0) == timeline && end != value && *end == '\0';
}

/* What the data directory says of itself; *found is false when it has no pg_control. */
static bool load_current(const Cluster *cluster, const char *data, RecoveryView *view, bool *found,
                         Error *err)
{
    PgControl control;
    Error attempt = {0};

    *found = false;
    if (!pg_control_read(data, &control, NULL, &attempt)) {
        if (attempt.code == ERR_NOT_FOUND)
            return true;
        *err = attempt;
        return error_context(err, "find out which timeline %s is on", data);
    }
    if (!cluster_check(cluster, control.system_identifier, control.version->major, data, err))
        return false;
    view->current = control.timeline > control.min_recovery_timeline
                        ? control.timeline
                        : control.min_recovery_timeline;
    view->reached = control.checkpoint > control.min_recovery_point ? control.checkpoint
                                                                    : control.min_recovery_point;
    *found = true;
    return true;
}

static bool view_look_at_data(const Cluster *cluster, const GetRequest *request, RecoveryView *view,
                              Error *err)
{
    const char *settings;
    RecoveryPlan plan;
    bool found;

    if (!load_current(cluster, request->data, view, &found, err))
        return false;
    if (!found)
        return true;
    if (!recovery_settings_on_disk(request->data, &view->arena, &settings, err))
        return false;
    if (find_plan(request->data, settings, request->timeline, &view->arena, &plan))
        take_plan(cluster, &plan, view);
    const char *value = recovery_settings_value(settings, "recovery_target_timeline", &view->arena);
    const bool is_unplanned = view->timeline == 0;
    if (is_unplanned &&
        !timeline_of_settings(cluster, request->data, value, view->current, &view->timeline, err))
        return false;
    const bool is_told = target_on_command_line(request->data);
    view->is_pinned = is_pinned(value, view->timeline) && !is_told;
    view->takes_newest = is_unplanned && !is_told && !recovery_settings_have_target(settings) &&
                         (value == NULL || strcmp(value, "latest") == 0);
    return true;
}

bool recovery_view_load(const Cluster *cluster, const GetRequest *request, const WalName *name,
                        RecoveryView *view, Error *err)
{
    view->timeline = request->timeline;
    view->data = request->data;
    if (request->data != NULL && !view_look_at_data(cluster, request, view, err))
        return false;
    if (view->timeline == 0)
        view->timeline = name->timeline;
    return true;
}

bool recovery_view_path(const Cluster *cluster, RecoveryView *view, Error *err)
{
    bool found;

    if (view->has_path)
        return true;
    if (!view_find_path(cluster, view->data, view->timeline, &view->arena, &view->path, &found,
                        err))
        return false;
    if (!found) {
        return error_set(err, ERR_CORRUPT,
                         "the history of timeline %" PRIu32
                         ", which this recovery follows, is missing",
                         view->timeline);
    }
    view->has_path = true;
    return true;
}

void recovery_view_done(RecoveryView *view)
{
    arena_done(&view->arena);
}
