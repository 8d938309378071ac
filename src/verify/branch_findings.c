#include "branch_findings.h"

#include "troubles.h"

#include "catalog/branches.h"
#include "repo/layout.h"

#include <inttypes.h>

/* What the repository holds, as a restore looks at it. */
typedef struct Histories {
    WalInventory wal;
    BackupList backups;
    BranchList branches;
} Histories;

static void histories_done(Histories *histories)
{
    branch_list_done(&histories->branches);
    backup_list_done(&histories->backups);
    wal_inventory_done(&histories->wal);
}

static void branch_tell(VerifyRun *run, const Branch *branch, uint32_t newest)
{
    const uint32_t size = run->cluster->wal_segment_size;
    const WalName segment = {.kind = WAL_SEGMENT,
                             .timeline = branch->timeline,
                             .segment = wal_segment_of(branch->gain.from, size)};
    char name[WAL_NAME_SIZE], part[LSN_TEXT_SIZE], last[TIME_TEXT_SIZE];
    CLEANUP(text_freep)
    char *object = layout_wal(run->cluster->name, wal_name_text(&segment, size, name));
    CLEANUP(arena_done) Arena arena = {0};
    const TimeUs until = branch_gain_last(&branch->gain);
    CLEANUP(text_freep)
    char *what = text_format("timeline %" PRIu32 " has what timeline %" PRIu32
                             ", the newest, lacks: beyond %s, where they part, %s, until %s",
                             branch->timeline, newest, lsn_text(branch->gain.from, part),
                             branch_gain_text(&branch->gain, &arena),
                             until != TIME_US_NONE ? time_text_postgres(until, last) : "?");
    CLEANUP(text_freep)
    char *meaning = text_format("A restore asks which one is meant: --target-timeline=%" PRIu32
                                " or --target-timeline=%" PRIu32 ".",
                                branch->timeline, newest);

    trouble_means(run, trouble_add(run, FINDING_NOTE, object, what, NULL, NULL), meaning);
}

/*
 * Commits that were given up when a server was restored to an earlier point are older than what
 * came instead, and no finding: `list` tells of them. Nor is a timeline that has just begun.
 */
bool verify_branches(VerifyRun *run, Error *err)
{
    CLEANUP(histories_done) Histories histories = {0};
    BranchList *branches = &histories.branches;
    BranchAnswer answer;

    if (run->timeline_count < 2 || run->request->backup != NULL)
        return true;
    if (!wal_inventory_load(&histories.wal, run->cluster, err))
        return false;
    wal_inventory_distrust(&histories.wal);
    if (!backup_list_load(&histories.backups, run->cluster, &histories.wal, err) ||
        !branch_list_load(branches, run->cluster, &histories.wal, &histories.backups, err))
        return false;
    if (branches->count < 2 || !branch_list_newest(branches)->has_wal)
        return true;
    if (!branch_judge_default(branches, run->cluster, &histories.wal, &histories.backups, NULL,
                              &answer, err))
        return false;
    for (size_t i = 0; answer.reason != BRANCH_FITS && i < branches->count; i++) {
        if (&branches->items[i] == answer.other ||
            branch_gain_last(&branches->items[i].gain) != TIME_US_NONE)
            branch_tell(run, &branches->items[i], branch_list_newest(branches)->timeline);
    }
    return true;
}
