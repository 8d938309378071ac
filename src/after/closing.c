#include "after/closing.h"

#include "base/file.h"
#include "catalog/branches.h"

#include <inttypes.h>

enum { HISTORY_MAX = 1 << 20 };

void closing_init(Closing *closing)
{
    *closing = (Closing){.last_commit = TIME_US_NONE,
                         .lost_last = TIME_US_NONE,
                         .began = TIME_US_NONE,
                         .open_at = TIME_US_NONE,
                         .incident_began = TIME_US_NONE,
                         .opening = TIME_US_NONE};
    for (int i = 0; i < PHASE_COUNT; i++)
        closing->phases[i] = TIME_US_NONE;
}

TimeUs closing_rpo(const Closing *closing)
{
    if (!closing->is_counted)
        return TIME_US_NONE;
    if (closing->lost == 0 && closing->lost_in_directory == 0)
        return 0;
    if (closing->last_commit == TIME_US_NONE || closing->lost_last == TIME_US_NONE)
        return TIME_US_NONE;
    return closing->lost_last > closing->last_commit ? closing->lost_last - closing->last_commit
                                                     : 0;
}

TimeUs closing_rto(const Closing *closing)
{
    const TimeUs began =
        closing->incident_began != TIME_US_NONE ? closing->incident_began : closing->began;

    if (closing->open_at == TIME_US_NONE || began == TIME_US_NONE || closing->open_at < began)
        return TIME_US_NONE;
    return closing->open_at - began;
}

TimeUs closing_looked(const Closing *closing)
{
    TimeUs worked = closing->opening != TIME_US_NONE ? closing->opening : 0;

    if (closing->open_at == TIME_US_NONE || closing->began == TIME_US_NONE ||
        closing->opening == TIME_US_NONE)
        return 0;
    for (int i = 0; i < PHASE_COUNT; i++)
        worked += closing->phases[i] != TIME_US_NONE ? closing->phases[i] : 0;
    const TimeUs all = closing->open_at - closing->began;
    return all > worked ? all - worked : 0;
}

/* The histories of the archive, and that of the server, which may not be archived yet. */
static bool closing_path(const Cluster *cluster, const char *data, uint32_t timeline,
                         WalInventory *inventory, Arena *arena, TimelinePath *path, Error *err)
{
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(text_freep)
    char *file = text_format("%s/pg_wal/%08" PRIX32 ".history", data, timeline);

    if (!file_read_whole(file, HISTORY_MAX, &text, err))
        return false;
    wal_inventory_add_history(inventory, timeline, (const char *)text.data);
    return wal_inventory_path(inventory, cluster, timeline, arena, path, err);
}

/*
 * Only what goes on from the very place where the new timeline begins: what parts earlier was given
 * up by somebody before. Of forks among these each has what their parent had, so the largest
 * counts.
 */
static void closing_take_branch(Closing *closing, const Branch *branch, Lsn fork)
{
    const BranchGain *gain = &branch->gain;
    const TimeUs last = branch_gain_last(gain);

    if (gain->from == LSN_NEVER || gain->from < fork)
        return;
    if (gain->commits + gain->prepared > closing->lost) {
        closing->lost = gain->commits + gain->prepared;
        closing->lost_timeline = branch->timeline;
    }
    if (last != TIME_US_NONE && (closing->lost_last == TIME_US_NONE || last > closing->lost_last))
        closing->lost_last = last;
}

static bool closing_compare(Closing *closing, const Cluster *cluster, const WalInventory *inventory,
                            const TimelinePath *path, unsigned threads, Error *err)
{
    CLEANUP(backup_list_done) BackupList backups = {0};
    CLEANUP(branch_list_done) BranchList branches = {0};

    if (!backup_list_load(&backups, cluster, inventory, err) ||
        !branch_list_load(&branches, cluster, inventory, &backups, err) ||
        !branch_list_compare(&branches, cluster, inventory, &backups, path, threads, err))
        return false;
    for (size_t i = 0; i < branches.count; i++)
        closing_take_branch(closing, &branches.items[i], path->steps[path->count - 2].end);
    return true;
}

bool closing_count_lost(Closing *closing, const Cluster *cluster, const char *data,
                        uint32_t timeline, unsigned threads, Error *err)
{
    CLEANUP(wal_inventory_done) WalInventory inventory = {0};
    CLEANUP(arena_done) Arena arena = {0};
    TimelinePath path = {.count = 0};

    if (timeline > 1 &&
        (!wal_inventory_load(&inventory, cluster, err) ||
         !closing_path(cluster, data, timeline, &inventory, &arena, &path, err) ||
         (path.count > 1 && !closing_compare(closing, cluster, &inventory, &path, threads, err))))
        return error_context(err, "count what is not in it");
    closing->is_counted = true;
    return true;
}
