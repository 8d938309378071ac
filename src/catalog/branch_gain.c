/* Where two paths part, and what one of them has that the other has not. */
#include "catalog/branches.h"

#include <inttypes.h>

/* The first step from `at` on that owns WAL. The last one always does. */
static const PathStep *step_from(const TimelinePath *path, size_t *at)
{
    while (path_step_is_empty(&path->steps[*at]))
        (*at)++;
    return &path->steps[*at];
}

Lsn paths_part(const TimelinePath *one, const TimelinePath *other)
{
    Lsn begin = 0;

    for (size_t i = 0, j = 0;; i++, j++) {
        const PathStep *a = step_from(one, &i), *b = step_from(other, &j);
        Lsn a_end = a->end != 0 ? a->end : LSN_NEVER;
        Lsn b_end = b->end != 0 ? b->end : LSN_NEVER;

        if (a->timeline != b->timeline)
            return begin;
        if (a_end != b_end)
            return a_end < b_end ? a_end : b_end;
        if (a_end == LSN_NEVER)
            return LSN_NEVER;
        begin = a_end;
    }
}

const char *branch_gain_text(const BranchGain *gain, Arena *arena)
{
    const char *commits =
        arena_format(arena, "%" PRIu64 " commit%s", gain->commits, gain->commits == 1 ? "" : "s");
    const char *prepared = arena_format(arena, "%" PRIu64 " prepared transaction%s", gain->prepared,
                                        gain->prepared == 1 ? "" : "s");

    if (gain->prepared == 0)
        return commits;
    return gain->commits == 0 ? prepared : arena_format(arena, "%s and %s", commits, prepared);
}

TimeUs branch_gain_last(const BranchGain *gain)
{
    if (gain->prepared_last == TIME_US_NONE || gain->last == TIME_US_NONE)
        return gain->last == TIME_US_NONE ? gain->prepared_last : gain->last;
    return gain->last > gain->prepared_last ? gain->last : gain->prepared_last;
}
