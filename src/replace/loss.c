#include "replace/loss.h"

/* Whether the path leads along the directory's own timeline to its end. */
static bool loss_follows(const TimelinePath *path, const OldBranch *own)
{
    const PathStep *step = path_step_of(path, own->timeline);

    return step != NULL && (step->end == 0 || step->end >= own->reached);
}

static LossKind loss_of_tail(const LossQuestion *question)
{
    const OldBranch *own = question->own;

    if (loss_follows(question->path, own))
        return question->goes_to_end ? LOSS_NONE : LOSS_KEPT;
    return own->is_history_archived || question->is_saved ? LOSS_KEPT : LOSS_UNKNOWN_TIMELINE;
}

LossKind loss_of(const LossQuestion *question)
{
    const OldBranch *own = question->own;

    if (!old_commits_any(&own->own))
        return LOSS_NONE;
    switch (own->verdict) {
    case OLD_ARCHIVED:
        return LOSS_NONE;
    case OLD_TAIL:
        return loss_of_tail(question);
    case OLD_APART:
        return !question->goes_to_end && question->until <= own->apart ? LOSS_KEPT : LOSS_APART;
    case OLD_BEYOND:
        return question->goes_to_end || question->removes ? LOSS_BEYOND : LOSS_KEPT;
    }
    return LOSS_NONE;
}

static bool refuse_apart(const OldBranch *own, Arena *arena, Error *err)
{
    char lsn[LSN_TEXT_SIZE];

    error_set(err, ERR_REFUSED,
              "the WAL of %s parts from the archive's at %s on timeline %u: it is another history. "
              "Since then it has %s, the archive %s",
              own->place, lsn_text(own->apart, lsn),
              path_step_at(&own->path, own->apart - 1)->timeline,
              old_commits_text(&own->own, arena), old_commits_text(&own->archived, arena));
    return error_hint(err,
                      "if it is a copy, --discard-wal replaces it by what the archive has; if it "
                      "is the original, another server's WAL is in the archive: nothing was "
                      "changed, start the server to have what it has");
}

static bool refuse_beyond(const OldBranch *own, Arena *arena, Error *err)
{
    error_set(err, ERR_REFUSED, "%s is further than the archive: %s. A restore would lose %s",
              own->place, own->reason,
              own->own.count == 0 && own->own.prepared == 0 ? "what it committed in between"
                                                            : old_commits_text(&own->own, arena));
    return error_hint(err, "start the server on it if that is possible, and take a backup; "
                           "--discard-wal restores without what only the directory has");
}

static bool refuse_unknown_timeline(const OldBranch *own, Arena *arena, Error *err)
{
    error_set(err, ERR_REFUSED,
              "%s is on timeline %u, which the archive does not know, and has %s there that this "
              "restore would lose",
              own->place, own->timeline, old_commits_text(&own->own, arena));
    return error_hint(
        err,
        "--target-timeline=%u without an earlier target restores it; "
        "--save-timeline=%u puts it into the archive first; --discard-wal gives it up",
        own->timeline, own->timeline);
}

bool loss_refuse(const LossQuestion *question, LossKind kind, Arena *arena, Error *err)
{
    switch (kind) {
    case LOSS_NONE:
    case LOSS_KEPT:
        return true;
    case LOSS_APART:
        return refuse_apart(question->own, arena, err);
    case LOSS_BEYOND:
        return refuse_beyond(question->own, arena, err);
    case LOSS_UNKNOWN_TIMELINE:
        return refuse_unknown_timeline(question->own, arena, err);
    }
    return true;
}
