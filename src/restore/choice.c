#include "choice.h"

#include "replace/old_directory.h"
#include "search.h"

#include "walk/wal_source.h"

void choice_done(Choice *choice)
{
    wal_inventory_done(&choice->inventory);
    branch_list_done(&choice->branches);
    backup_list_done(&choice->backups);
    arena_done(&choice->arena);
}

/*
 * The newest timeline, as the server's own "latest" is. An older one lacks what was committed on
 * the newest and holds what that one gave up: it is never taken instead unless it, or a backup from
 * which the newest can't be reached, was asked for. Nor is one with a history that can't be read
 * passed over: it may be the one that counts.
 */
static bool find_newest_path(Search *search, Error *err)
{
    const BranchList *branches = &search->choice->branches;

    for (size_t i = branches->timeline_count; i-- > 0;) {
        if (!search_open_path(search, branches->timelines[i], err))
            return false;
        if (search->count > 0) {
            uint32_t newest = branches->timelines[branches->timeline_count - 1];
            return branches->timelines[i] == newest || search->request->backup != NULL ||
                   refuse_older(search, newest, branches->timelines[i], err);
        }
    }
    return refuse_no_candidate(search->choice, search->request, err);
}

/* The one that was asked for. */
static bool find_pinned_path(Search *search, Error *err)
{
    const BranchList *branches = &search->choice->branches;
    uint32_t timeline = search->request->target_timeline;
    bool is_there = false;

    for (size_t i = 0; i < branches->timeline_count; i++)
        is_there = is_there || branches->timelines[i] == timeline;
    if (!is_there)
        return refuse_unknown(search->choice, timeline, err);
    return search_open_path(search, timeline, err) &&
           (search->count > 0 || refuse_no_candidate(search->choice, search->request, err));
}

static bool load_backups(const Cluster *cluster, const UnreadBackups *unread, Choice *choice,
                         Error *err)
{
    if (!backup_list_load(&choice->backups, cluster, &choice->inventory, err))
        return false;
    for (size_t i = 0; i < unread->count; i++)
        backup_list_put_out(&choice->backups, unread->items[i].id, &unread->items[i].cause);
    return true;
}

static bool choice_load(const Cluster *cluster, const RestoreRequest *request,
                        const OldDirectory *directory, const UnreadBackups *unread, Choice *choice,
                        Error *err)
{
    if (!wal_inventory_load(&choice->inventory, cluster, err) ||
        (!request->discard_wal &&
         !old_directory_add(directory, &choice->inventory, cluster->wal_segment_size, err)))
        return false;
    if (request->allows_damaged)
        wal_inventory_forget_damage(&choice->inventory);
    if (!load_backups(cluster, unread, choice, err) ||
        !branch_list_load(&choice->branches, cluster, &choice->inventory, &choice->backups, err))
        return false;
    if (!request->believes_known)
        wal_inventory_distrust(&choice->inventory);
    return request->backup == NULL || choice_check_backup(choice, request->backup, err);
}

/* Whether all that is replayed lies before the fork, and so does what stops it. */
static bool stops_before(const Choice *choice, Lsn fork)
{
    switch (choice->target.kind) {
    case TARGET_LATEST:
        return false;
    case TARGET_IMMEDIATE:
        return choice->backup->header.stop <= fork;
    case TARGET_TIME:
    case TARGET_XID:
    case TARGET_LSN:
    case TARGET_NAME:
        break;
    }
    /* The record itself: one after the fork that stops replay before it is not on the parent. */
    return choice->point.stop_record < fork;
}

/* Whether what the parent wrote up to the fork is there, without the help of the path. */
static bool parent_reaches(const Choice *choice, const Cluster *cluster, uint32_t parent, Lsn fork)
{
    const uint64_t segment = wal_segment_before(fork, cluster->wal_segment_size);
    WalSource source;
    Error ignored = {0}; /* then it is reached along the child */

    return wal_source_find(cluster, &choice->inventory, parent, segment, &source, &ignored) &&
           wal_segment_start(segment, cluster->wal_segment_size) + source.size >= fork;
}

/* Whether the target stops along the parent, too, with nothing replayed that is not the child's. */
static bool stops_on_parent(const Search *search, const TimelinePath *parent, Lsn fork,
                            TargetPoint *point)
{
    const Choice *choice = search->choice;
    const ManifestHeader *header = &choice->backup->header;
    WalWalk walk = search_walk(search, header->start, 0);
    Error ignored = {0}; /* then it is reached along the child */

    if (choice->target.kind == TARGET_LATEST || choice->point.replay_end > fork)
        return false;
    walk.path = parent;
    return target_find(&walk, &choice->target, header->start, header->stop, point, &ignored) &&
           point->is_found && point->replay_end == choice->point.replay_end;
}

/*
 * A target before the last fork is reached along the parent. Along the child the server would read
 * the parent's records out of the child's first segment, and then fail to open when a transaction
 * was prepared there: it looks for it in the parent's segment, which it has not restored
 * (xlogutils.c, XLogReadDetermineTimeline, by twophase.c: "requested WAL segment ... has already
 * been removed"). And the history of the timeline that it begins would have switches that go back.
 * Where the parent's segment never became whole, it comes from elsewhere (wal_source.h), from the
 * child's at the least.
 */
static void shorten_path(const Search *search)
{
    Choice *choice = search->choice;

    while (choice->path.count > 1) {
        const TimelinePath *path = &choice->path;
        Lsn fork = path->steps[path->count - 1].begin;
        TimelinePath parent = path_parent(path, &choice->arena);
        uint32_t timeline = path_last_timeline(&parent);
        TargetPoint point = choice->point;

        if (choice->backup->header.timeline > timeline ||
            (!stops_before(choice, fork) && !stops_on_parent(search, &parent, fork, &point)))
            return;
        if (!parent_reaches(choice, search->cluster, timeline, fork))
            return;
        choice->path = parent;
        choice->point = point;
    }
}

/*
 * A timeline of which nothing but its history is archived yet, as for a while after every recovery
 * to a point in time. What lies before the fork is all there, on the parent: a target there can be
 * reached, above all the better one that the operator now wants to have chosen. Sets
 * choice->backup, and clears err; false, err as it was, when that does not help.
 */
static bool search_before_fork(Search *search, Error *err)
{
    Choice *choice = search->choice;
    TimelinePath path = search->path;
    const PathStep *last = &path.steps[path.count - 1];
    Error attempt = {0}; /* the one there is says more */
    Verdict verdict;

    if (path.count < 2 || search->request->target.kind == TARGET_LATEST ||
        wal_inventory_has_later(&choice->inventory, last->timeline, 0))
        return false;
    search->path = path_parent(&path, &choice->arena);
    /* The candidates stay: what leads to the fork also leads to what is before it. */
    if (search_along_path(search, &choice->backup, &verdict, &attempt) && choice->backup != NULL &&
        !choice->has_time_fallback && choice->point.replay_end <= last->begin) {
        error_clear(err);
        return true;
    }
    search->path = path;
    choice->backup = NULL;
    return false;
}

/* With a gap in the way only what is sure to be on the other branch is said to be there. */
static bool mark_holders(const Search *search, bool has_gap, Error *err)
{
    BranchList *branches = &search->choice->branches;
    const Target *target = &search->request->target;

    for (size_t i = 0; i < branches->count; i++) {
        Branch *branch = &branches->items[i];

        branch->is_passed = search->request->backup != NULL && search->count > 0 &&
                            !backup_is_on_path(search->candidates[0], &branch->path);
        if (!branch_holds_target(branch, search->cluster, &search->choice->inventory, target,
                                 search->request->jobs, &branch->holds_target, err))
            return false;
        if (has_gap && target->kind == TARGET_TIME && target->time > branch->gain.last)
            branch->holds_target = false;
    }
    return true;
}

/*
 * A restore that was not told its timeline, when there is more than one history to go along. gap:
 * the error that ended the search, or none.
 */
static bool check_branch(const Search *search, const TimelinePath *path, const Error *gap,
                         Error *err)
{
    const Choice *choice = search->choice;
    const RestoreRequest *request = search->request;
    bool is_found = choice->backup != NULL;
    BranchQuestion question = {
        .list = &choice->branches,
        .path = path,
        .kind = request->target.kind,
        .is_found = is_found,
        .takes_newest_backup = request->target.kind == TARGET_IMMEDIATE && request->backup == NULL,
        .server = request->server,
    };

    if (request->target_timeline != 0)
        return true;
    if (is_found) {
        question.until = choice->point.replay_end;
        question.stop = choice->point.stop_record;
        question.last_commit =
            choice->point.last_before.time != TIME_US_NONE ? choice->point.last_before.lsn : 0;
    }
    if (!mark_holders(search, gap->code != ERR_NONE, err))
        return false;
    BranchAnswer answer = branch_judge(&question);
    return answer.reason == BRANCH_FITS ||
           branch_refuse(&question, &answer,
                         search_target_text(&request->target, &search->choice->arena), err);
}

/* False, err clear: no backup on the path reaches the target; *verdict says why. */
static bool search_path(Search *search, Verdict *verdict, Error *err)
{
    if (!search_along_path(search, &search->choice->backup, verdict, err))
        return err->code == ERR_CORRUPT && search_before_fork(search, err);
    return search->choice->backup != NULL || search_before_fork(search, err);
}

static bool refuse_not_reached(Search *search, Verdict verdict, Error *err)
{
    if (err->code != ERR_NONE)
        return false;
    return verdict == VERDICT_TOO_NEW ? refuse_too_early(search, err)
                                      : refuse_not_seen(search, err);
}

bool choice_make(const Cluster *cluster, const RestoreRequest *request,
                 const OldDirectory *directory, const UnreadBackups *unread, Choice *choice,
                 Error *err)
{
    Search search = {.cluster = cluster, .request = request, .choice = choice};
    Error unreached = {0};
    Verdict verdict = VERDICT_USABLE;

    *choice = (Choice){0};
    if (!choice_load(cluster, request, directory, unread, choice, err) ||
        !(request->target_timeline != 0 ? find_pinned_path(&search, err)
                                        : find_newest_path(&search, err)))
        return false;
    const TimelinePath path = search.path;
    bool is_reached = search_path(&search, &verdict, &unreached);
    if (unreached.code != ERR_NONE && unreached.code != ERR_CORRUPT)
        return error_pass(err, &unreached);
    if ((choice->branches.count > 1 || request->server != NULL) &&
        (!branch_list_compare(&choice->branches, cluster, &choice->inventory, &choice->backups,
                              &path, request->jobs, err) ||
         !check_branch(&search, &path, &unreached, err)))
        return false;
    if (!is_reached) {
        *err = unreached;
        return refuse_not_reached(&search, verdict, err);
    }
    choice->path = choice->whole_path = search.path;
    shorten_path(&search);
    return true;
}
