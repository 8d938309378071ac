#include "catalog/branches.h"

#include <inttypes.h>

enum { BRANCHES_SHOWN = 6, HINT_SIZE = 1000 };

static const PathStep *last_step(const TimelinePath *path)
{
    return &path->steps[path->count - 1];
}

bool server_branch_fits(const ServerBranch *server, const TimelinePath *path, Lsn *part)
{
    const Lsn place = server->commit_end != 0 ? server->commit_end : server->reached;

    *part = paths_part(&server->path, path);
    /* The timeline itself must be on the path, and not be left before what was committed on it. */
    return *part == LSN_NEVER || (last_step(&server->path)->begin < *part && place <= *part);
}

const Branch *branch_list_of_server(const BranchList *list, const ServerBranch *server)
{
    const Branch *found = NULL;
    Lsn part;

    for (size_t i = list->count; i-- > 0;) {
        const Branch *branch = &list->items[i];

        if (!server_branch_fits(server, &branch->path, &part))
            continue;
        if (branch->timeline == path_last_timeline(&server->path))
            return branch;
        found = branch;
    }
    return found;
}

/* Whether what is restored holds something from beyond this place. */
static bool goes_beyond(const BranchQuestion *question, Lsn place)
{
    /* Between two commits it makes no difference where a time stops replay. */
    if (question->kind == TARGET_TIME)
        return question->last_commit != 0 && question->last_commit >= place;
    return question->until > place;
}

static bool is_asked_about(const Branch *branch)
{
    return branch->gain.from != LSN_NEVER && !branch->is_passed;
}

static bool holds_target(const BranchQuestion *question, const Branch *branch, BranchReason reason)
{
    bool here = question->is_found && goes_beyond(question, branch->gain.from);

    /* What stops it before they part does so on both. */
    if (!branch->holds_target ||
        (question->is_found && question->stop != 0 && question->stop < branch->gain.from))
        return false;
    if (reason == BRANCH_TARGET_ELSEWHERE)
        return !here;
    /* Of two branches that were alive at an instant, the other rules tell which one counts. */
    return here && question->kind != TARGET_TIME;
}

/* The newest commit on the path: of the archive, or of the server that is on it. */
static TimeUs last_commit_on_path(const BranchQuestion *question)
{
    TimeUs last = question->list->last_commit.time;
    const ServerBranch *server = question->server;
    Lsn part;

    if (server != NULL && server->commit_time != TIME_US_NONE &&
        server_branch_fits(server, question->path, &part) &&
        (last == TIME_US_NONE || server->commit_time > last))
        last = server->commit_time;
    return last;
}

static bool has_later_work(const BranchQuestion *question, const Branch *branch)
{
    TimeUs last = last_commit_on_path(question);

    if (question->kind != TARGET_LATEST && !goes_beyond(question, branch->gain.from))
        return false;
    const TimeUs gained = branch_gain_last(&branch->gain);
    return gained != TIME_US_NONE && (last == TIME_US_NONE || gained > last);
}

/*
 * A backup that was taken when the path's timeline had begun already: somebody takes the other
 * branch for the one that counts. One from before may be why the timeline was begun.
 */
static bool has_newer_backup(const BranchQuestion *question, const Branch *branch)
{
    const BranchList *list = question->list;

    if (branch->backup == NULL || branch->backup->header.stop <= branch->gain.from)
        return false;
    if (question->kind != TARGET_LATEST && !question->takes_newest_backup &&
        !goes_beyond(question, branch->gain.from))
        return false;
    return (list->backup == NULL ||
            branch->backup->header.stopped_at > list->backup->header.stopped_at) &&
           (list->begins == TIME_US_NONE || branch->backup->header.stopped_at > list->begins);
}

static bool speaks_against(const BranchQuestion *question, const Branch *branch,
                           BranchReason reason)
{
    switch (reason) {
    case BRANCH_TARGET_ELSEWHERE:
    case BRANCH_TARGET_TWICE:
        return holds_target(question, branch, reason);
    case BRANCH_OLDER_COMMITS:
        return has_later_work(question, branch);
    case BRANCH_OLDER_BACKUP:
        return has_newer_backup(question, branch);
    case BRANCH_FITS:
    case BRANCH_NOT_SERVERS:
        break;
    }
    return false;
}

static bool leaves_server(const BranchQuestion *question)
{
    Lsn part;

    if (question->server == NULL || server_branch_fits(question->server, question->path, &part))
        return false;
    /* Without any commit: whoever replaces a server by that had better say so. */
    return goes_beyond(question, part) || (question->last_commit == 0 && question->until > part);
}

BranchAnswer branch_judge(const BranchQuestion *question)
{
    static const BranchReason order[] = {BRANCH_TARGET_ELSEWHERE, BRANCH_TARGET_TWICE,
                                         BRANCH_NOT_SERVERS, BRANCH_OLDER_COMMITS,
                                         BRANCH_OLDER_BACKUP};
    const BranchList *list = question->list;

    for (size_t r = 0; r < ARRAY_SIZE(order); r++) {
        if (!question->is_found && order[r] != BRANCH_TARGET_ELSEWHERE)
            break; /* there is nothing that would go along the path */
        if (order[r] == BRANCH_NOT_SERVERS && leaves_server(question)) {
            return (BranchAnswer){BRANCH_NOT_SERVERS,
                                  branch_list_of_server(list, question->server)};
        }
        for (size_t i = list->count; i-- > 0;) {
            const Branch *branch = &list->items[i];

            if (is_asked_about(branch) && speaks_against(question, branch, order[r]))
                return (BranchAnswer){order[r], branch};
        }
    }
    return (BranchAnswer){.reason = BRANCH_FITS};
}

const char *branch_answer_text(const BranchAnswer *answer)
{
    if (answer->reason != BRANCH_OLDER_COMMITS)
        return "a newer base backup";
    return answer->other->gain.commits > 0 ? "later commits" : "later prepared transactions";
}

static const char *commit_text(const BranchCommit *commit, Arena *arena)
{
    char time[TIME_TEXT_SIZE], lsn[LSN_TEXT_SIZE];

    if (commit->time == TIME_US_NONE)
        return "no commit";
    return arena_format(arena, "last commit %s, transaction %" PRIu32 ", at %s",
                        time_text_postgres(commit->time, time), commit->xid,
                        lsn_text(commit->lsn, lsn));
}

static void add_choice(Buffer *text, uint32_t timeline, const BranchCommit *commit, size_t *shown,
                       Arena *arena)
{
    const char *words = commit_text(commit, arena);

    if (text->size + strlen(words) + 40 > HINT_SIZE)
        return;
    buffer_print(text, "%s--target-timeline=%" PRIu32 " (%s)", *shown > 0 ? ", " : "", timeline,
                 words);
    (*shown)++;
}

/* Whether the branch is one of those between which the operator has to choose. */
static bool is_choice(const BranchQuestion *question, const BranchAnswer *answer,
                      const Branch *branch)
{
    if (branch == answer->other)
        return true;
    if (!is_asked_about(branch))
        return false;
    if (answer->reason == BRANCH_TARGET_ELSEWHERE || answer->reason == BRANCH_TARGET_TWICE)
        return holds_target(question, branch, answer->reason);
    return branch_gain_last(&branch->gain) != TIME_US_NONE || has_newer_backup(question, branch);
}

/* Each with its last commit and the option that picks it. */
static bool hint_choices(const BranchQuestion *question, const BranchAnswer *answer, Arena *arena,
                         Error *err)
{
    const BranchList *list = question->list;
    CLEANUP(buffer_done) Buffer text = {0};
    size_t shown = 0;

    if (answer->other != NULL) {
        add_choice(&text, answer->other->timeline, &answer->other->last_commit, &shown, arena);
    }
    if (answer->reason != BRANCH_TARGET_ELSEWHERE) {
        add_choice(&text, path_last_timeline(question->path), &list->last_commit, &shown, arena);
    }
    for (size_t i = list->count; i-- > 0 && shown < BRANCHES_SHOWN;) {
        if (&list->items[i] != answer->other && is_choice(question, answer, &list->items[i]))
            add_choice(&text, list->items[i].timeline, &list->items[i].last_commit, &shown, arena);
    }
    return error_hint(err, "say which one is meant: %s", (const char *)text.data);
}

static const char *gain_text(const BranchGain *gain, Arena *arena)
{
    char time[TIME_TEXT_SIZE];

    const TimeUs last = branch_gain_last(gain);

    return arena_format(arena, "%s, until %s", branch_gain_text(gain, arena),
                        last != TIME_US_NONE ? time_text_postgres(last, time) : "?");
}

static bool refuse_for_server(const BranchQuestion *question, const BranchAnswer *answer,
                              const char *target, Error *err)
{
    uint32_t timeline = path_last_timeline(&question->server->path);
    char lsn[LSN_TEXT_SIZE];
    Lsn part;

    (void)server_branch_fits(question->server, question->path, &part);
    return error_set(err, ERR_REFUSED,
                     "the directory that would be replaced is on timeline %" PRIu32
                     "%s, and a restore to %s would go along timeline %" PRIu32 ": they part at %s",
                     timeline, answer->other == NULL ? ", which the archive does not have" : "",
                     target, path_last_timeline(question->path), lsn_text(part, lsn));
}

bool branch_refuse(const BranchQuestion *question, const BranchAnswer *answer, const char *target,
                   Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    const Branch *other = answer->other;
    uint32_t timeline = path_last_timeline(question->path);
    char lsn[LSN_TEXT_SIZE], time[TIME_TEXT_SIZE];

    switch (answer->reason) {
    case BRANCH_FITS:
        return error_set(err, ERR_INTERNAL, "nothing speaks against this branch");
    case BRANCH_TARGET_ELSEWHERE:
        error_set(err, ERR_REFUSED,
                  "%s lies on timeline %" PRIu32 ", beyond %s, where timeline %" PRIu32
                  " parts from it: a restore would go along timeline %" PRIu32 " and not get there",
                  target, other->timeline, lsn_text(other->gain.from, lsn), timeline, timeline);
        break;
    case BRANCH_TARGET_TWICE:
        error_set(err, ERR_REFUSED,
                  "%s is on timeline %" PRIu32 ", and another one on timeline %" PRIu32
                  ": they part at %s",
                  target, timeline, other->timeline, lsn_text(other->gain.from, lsn));
        break;
    case BRANCH_NOT_SERVERS:
        refuse_for_server(question, answer, target, err);
        break;
    case BRANCH_OLDER_COMMITS:
        error_set(err, ERR_REFUSED,
                  "a restore to %s would go along timeline %" PRIu32 ", and timeline %" PRIu32
                  " has %s beyond %s, where they part: %s",
                  target, timeline, other->timeline, branch_answer_text(answer),
                  lsn_text(other->gain.from, lsn), gain_text(&other->gain, &arena));
        break;
    case BRANCH_OLDER_BACKUP:
        error_set(err, ERR_REFUSED,
                  "a restore to %s would go along timeline %" PRIu32 ", and timeline %" PRIu32
                  " has a newer base backup, %s of %s: they part at %s",
                  target, timeline, other->timeline, other->backup->header.id,
                  time_text(other->backup->header.stopped_at, time),
                  lsn_text(other->gain.from, lsn));
        break;
    }
    return hint_choices(question, answer, &arena, err);
}
