#include "catalog/history_fit.h"

#include <inttypes.h>

bool path_leads_along(const TimelinePath *longer, const TimelinePath *shorter)
{
    const size_t count = shorter->count;

    if (count > longer->count ||
        longer->steps[count - 1].timeline != shorter->steps[count - 1].timeline)
        return false;
    /* A recovery to before an ancestor began leaves that one, and all after it, earlier. */
    const Lsn left = longer->steps[count - 1].end;
    for (size_t i = 0; i < count; i++) {
        const PathStep *step = &shorter->steps[i];
        const Lsn begin = left != 0 && left < step->begin ? left : step->begin;

        if (longer->steps[i].timeline != step->timeline || longer->steps[i].begin != begin)
            return false;
    }
    return true;
}

static const char *history_name(const Cluster *cluster, uint32_t timeline, char text[WAL_NAME_SIZE])
{
    return wal_name_text(&(WalName){.kind = WAL_HISTORY, .timeline = timeline},
                         cluster->wal_segment_size, text);
}

static bool history_refuse(const Cluster *cluster, const TimelinePath *ours,
                           const TimelinePath *theirs, Error *err)
{
    const uint32_t timeline =
        ours->count < theirs->count ? path_last_timeline(ours) : path_last_timeline(theirs);
    const PathStep *our_step = path_step_of(ours, timeline);
    const PathStep *their_step = path_step_of(theirs, timeline);
    char name[WAL_NAME_SIZE], begin[LSN_TEXT_SIZE], other[LSN_TEXT_SIZE];

    error_set(err, ERR_REFUSED,
              "it contradicts %s in the archive of \"%s\": by this one timeline %" PRIu32
              " begins at %s, by that one at %s, or they come from different timelines",
              history_name(cluster, path_last_timeline(theirs), name), cluster->name, timeline,
              lsn_text(our_step->begin, begin), lsn_text(their_step->begin, other));
    return error_hint(err, "two servers were promoted apart and gave their timelines the same "
                           "numbers: stop the wrong one's archiving, or give it its own "
                           "--cluster; nothing was stored");
}

/* Histories of which one tells of the other's timeline. */
static bool check_against(const Cluster *cluster, const TimelinePath *path, uint32_t timeline,
                          Error *err)
{
    const uint32_t ours = path_last_timeline(path);
    CLEANUP(arena_done) Arena arena = {0};
    Error attempt = {0};
    TimelinePath other;

    if (timeline == ours || (timeline < ours && path_step_of(path, timeline) == NULL))
        return true;
    if (!timeline_path_load(cluster, timeline, &arena, &other, &attempt)) {
        if (attempt.code != ERR_UNREACHABLE && attempt.code != ERR_INTERRUPTED)
            return true;
        return error_pass(err, &attempt);
    }
    if (timeline > ours && path_step_of(&other, ours) == NULL)
        return true;
    return (timeline < ours ? path_leads_along(path, &other) : path_leads_along(&other, path)) ||
           history_refuse(cluster, path, &other, err);
}

/* A timeline has no WAL of its own from before it began. */
static bool check_wal(const Cluster *cluster, const WalInventory *wal, const TimelinePath *path,
                      Error *err)
{
    const PathStep *last = &path->steps[path->count - 1];
    const uint64_t first = wal_segment_of(last->begin, cluster->wal_segment_size);
    char name[WAL_NAME_SIZE], begin[LSN_TEXT_SIZE];

    for (size_t i = 0; i < wal->run_count; i++) {
        if (wal->runs[i].timeline != last->timeline || wal->runs[i].first >= first)
            continue;
        wal_name_text(&(WalName){.timeline = last->timeline, .segment = wal->runs[i].first},
                      cluster->wal_segment_size, name);
        error_set(err, ERR_REFUSED,
                  "by it timeline %" PRIu32 " begins at %s, and %s, from before that, is in the "
                  "archive of \"%s\": it is another timeline of that number",
                  last->timeline, lsn_text(last->begin, begin), name, cluster->name);
        return error_hint(err, "two servers were promoted apart: stop the wrong one's archiving, "
                               "or give it its own --cluster; nothing was stored");
    }
    return true;
}

bool history_fits(const Cluster *cluster, const TimelinePath *path, Error *err)
{
    CLEANUP(wal_inventory_done) WalInventory wal = {0};
    Error attempt = {0};

    if (!wal_inventory_load(&wal, cluster, &attempt)) {
        if (attempt.code != ERR_UNREACHABLE && attempt.code != ERR_INTERRUPTED)
            return true;
        return error_pass(err, &attempt);
    }
    for (size_t i = 0; i < wal.history_count; i++) {
        if (!check_against(cluster, path, wal.histories[i], err))
            return false;
    }
    return check_wal(cluster, &wal, path, err);
}
