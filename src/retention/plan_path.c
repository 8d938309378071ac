#include "plan_wal.h"

bool retention_is_on_path(const RetentionBackup *backup, const TimelinePath *path)
{
    const PathStep *step = path_step_of(path, backup->timeline);

    return step != NULL && !path_step_is_empty(step) &&
           (step->end == 0 || backup->stop <= step->end);
}

bool retention_branch_is_live(const RetentionInput *input, size_t i)
{
    const RetentionBranch *branch = &input->branches[i];
    const uint32_t timeline = path_last_timeline(&branch->path);
    bool is_newest = true;

    for (size_t other = 0; other < input->branch_count; other++)
        is_newest = is_newest && path_last_timeline(&input->branches[other].path) <= timeline;
    return is_newest || input->policy.window == 0 ||
           (branch->newest_at != TIME_US_NONE &&
            branch->newest_at > input->now - input->policy.window - RETENTION_CLOCK_SLACK);
}
