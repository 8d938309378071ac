#include "answer/log_branches.h"

#include "base/order.h"

#include <stdlib.h>

/* How far a timeline is on a path that is read already. */
typedef struct Covered {
    uint32_t timeline;
    Lsn end; /* 0 means that all of it is. */
} Covered;

void log_branches_timelines(const WalInventory *inventory, LogBranches *branches)
{
    *branches = (LogBranches){0};
    size_t most = inventory->run_count + inventory->partial_count + inventory->history_count +
                  inventory->pieces.count + 1;
    uint32_t *found = arena_alloc(&branches->arena, most * sizeof *found);
    size_t count = 0;

    for (size_t i = 0; i < inventory->run_count; i++)
        found[count++] = inventory->runs[i].timeline;
    for (size_t i = 0; i < inventory->partial_count; i++)
        found[count++] = inventory->partials[i].timeline;
    for (size_t i = 0; i < inventory->history_count; i++)
        found[count++] = inventory->histories[i];
    for (size_t i = 0; i < inventory->pieces.count; i++)
        found[count++] = inventory->pieces.items[i].timeline;
    if (count == 0)
        found[count++] = 1;
    qsort(found, count, sizeof *found, order_numbers);
    branches->timelines = found;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || found[branches->timeline_count - 1] != found[i])
            found[branches->timeline_count++] = found[i];
    }
    branches->items =
        arena_alloc(&branches->arena, branches->timeline_count * sizeof *branches->items);
}

static Covered *covered_of(Covered *covered, size_t count, uint32_t timeline)
{
    for (size_t i = 0; i < count; i++) {
        if (covered[i].timeline == timeline)
            return &covered[i];
    }
    return NULL;
}

static bool is_covered(const Covered *covered, const PathStep *step)
{
    if (covered == NULL)
        return false;
    return covered->end == 0 || (step->end != 0 && step->end <= covered->end);
}

/* Where the path has something that no earlier one has; false: nowhere. */
static bool find_from(Covered *covered, size_t count, const TimelinePath *path, Lsn *from)
{
    for (size_t i = 0; i < path->count; i++) {
        const PathStep *step = &path->steps[i];
        const Covered *known = covered_of(covered, count, step->timeline);

        if (is_covered(known, step))
            continue;
        *from = known != NULL ? known->end : step->begin;
        return true;
    }
    return false;
}

static size_t branches_cover(Covered *covered, size_t count, const TimelinePath *path)
{
    for (size_t i = 0; i < path->count; i++) {
        const PathStep *step = &path->steps[i];
        Covered *known = covered_of(covered, count, step->timeline);

        if (known == NULL) {
            covered[count++] = (Covered){.timeline = step->timeline, .end = step->end};
        } else if (!is_covered(known, step)) {
            known->end = step->end;
        }
    }
    return count;
}

bool log_branches_find(LogPathFunction *load, void *context, LogBranches *branches, Error *err)
{
    Covered *covered = NULL;
    size_t count = 0;

    branches->count = 0;
    for (size_t i = branches->timeline_count; i > 0; i--) {
        LogBranch branch = {.timeline = branches->timelines[i - 1]};

        if (!load(context, branch.timeline, &branches->arena, &branch.path, err))
            return error_context(err, "timeline %u", branch.timeline);
        /* A path can name timelines of which nothing else is there. */
        Covered *grown = arena_alloc(&branches->arena, (count + branch.path.count) * sizeof *grown);
        for (size_t j = 0; j < count; j++)
            grown[j] = covered[j];
        covered = grown;
        if (!find_from(covered, count, &branch.path, &branch.from))
            continue;
        count = branches_cover(covered, count, &branch.path);
        branches->items[branches->count++] = branch;
    }
    return true;
}

void log_branches_done(LogBranches *branches)
{
    arena_done(&branches->arena);
    *branches = (LogBranches){0};
}
