#include "answer/branch_tell.h"

static void branch_to_json(const Branch *branch, Json *json)
{
    const BranchCommit *last = &branch->last_commit;
    const BranchGain *gain = &branch->gain;

    json_begin_object(json, NULL);
    json_u64(json, "timeline", branch->timeline);
    json_u64(json, "parent", branch->parent);
    json_lsn(json, "begin_lsn", branch->begin);
    json_bool(json, "has_wal", branch->has_wal);
    json_time_exact(json, "last_commit_time_exact", last->time);
    json_lsn(json, "last_commit_lsn", last->time != TIME_US_NONE ? last->lsn : 0);
    json_u64(json, "last_commit_xid", last->time != TIME_US_NONE ? last->xid : 0);
    json_text(json, "newest_backup", branch->backup != NULL ? branch->backup->header.id : NULL);
    json_lsn(json, "parts_lsn", gain->from != LSN_NEVER ? gain->from : 0);
    json_u64(json, "commits_beyond", gain->commits);
    json_time_exact(json, "first_beyond_time_exact", gain->first);
    json_time_exact(json, "last_beyond_time_exact", gain->last);
    json_u64(json, "prepared_beyond", gain->prepared);
    json_end_object(json);
}

void branches_to_json(const BranchList *branches, const BranchAnswer *answer, Json *json)
{
    const Branch *newest = branch_list_newest(branches);

    json_u64(json, "newest_timeline", newest != NULL ? newest->timeline : 0);
    json_bool(json, "restore_is_ambiguous", answer->reason != BRANCH_FITS);
    json_begin_array(json, "branches");
    for (size_t i = 0; i < branches->count; i++)
        branch_to_json(&branches->items[i], json);
    json_end_array(json);
}
