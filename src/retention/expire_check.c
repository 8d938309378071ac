#include "expire_parts.h"

#include "base/fault.h"
#include "repo/mark.h"

enum {
    ATTEMPTS = 3,
    HOLDS_S = 10, /* After this long, what a look has shown no longer counts. */
};

/* By both clocks: one stands still while a machine sleeps, the other can be set. */
static LookTime look_time_now(void)
{
    return (LookTime){.monotonic = time_monotonic(), .clock = time_now()};
}

bool expire_look_holds(LookTime since, LookTime now)
{
    const TimeUs holds = (TimeUs)HOLDS_S * 1000000;
    const TimeUs passed = now.clock - since.clock;

    return since.monotonic != 0 && now.monotonic - since.monotonic <= holds && passed <= holds &&
           passed >= -holds;
}

static bool has_record(const CondemnedList *list, const char *id)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->records[i].id, id) == 0)
            return list->records[i].is_readable;
    }
    return false;
}

/* Whoever reads this backup, or may; of packs and WAL, whoever reads what is gone by now. */
static const LeaseInfo *find_user(const ExpireRun *run, const LeaseList *leases, const char *backup)
{
    const LeaseInfo *found = leases_find_reader(leases, &run->survey.backups);

    for (size_t i = 0; i < leases->count && found == NULL; i++) {
        const LeaseInfo *lease = &leases->items[i];

        if (lease_is_of_user(lease) &&
            (run->request->at_once || (backup != NULL && strcmp(lease->backup, backup) == 0)))
            found = lease;
    }
    return found;
}

static bool is_pinned_now(const MarkList *marks, const char *backup, TimeUs now)
{
    const Mark *pin = backup != NULL ? mark_find(marks, MARK_PIN, MARK_OF_BACKUP, backup) : NULL;

    return pin != NULL && (pin->until == TIME_US_NONE || pin->until > now);
}

/* *why NULL: all is as it was. */
static bool find_change(ExpireRun *run, const CondemnedRecord *record, const char *backup,
                        const char **why, Error *err)
{
    CLEANUP(condemned_list_done) CondemnedList condemned = {.count = 0};
    CLEANUP(lease_list_done) LeaseList leases = {.count = 0};
    CLEANUP(mark_list_done) MarkList marks = {.count = 0};

    if (!lease_check(run->lease, err) || !condemned_load(&condemned, run->cluster, err) ||
        !lease_list_load(&leases, run->cluster, run->lease, lease_stored_at(run->lease), err) ||
        (backup != NULL && !mark_list_load(&marks, run->cluster, err)))
        return false;
    *why = !has_record(&condemned, record->id)       ? "it was spared meanwhile"
           : find_user(run, &leases, backup) != NULL ? "somebody began to use it meanwhile"
           : is_pinned_now(&marks, backup, lease_stored_at(run->lease)) ? "it was pinned meanwhile"
                                                                        : NULL;
    return true;
}

bool expire_check_again(ExpireRun *run, const CondemnedRecord *record, const char *backup,
                        Error *err)
{
    if (backup == NULL && expire_look_holds(run->checked, look_time_now()))
        return true;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        const LookTime begun = look_time_now();
        const char *why = NULL;

        if (!find_change(run, record, backup, &why, err) || !FAULT_POINT("expire.after-check", err))
            return false;
        if (why != NULL) {
            error_set(err, ERR_BUSY, "nothing more is removed: %s", why);
            return error_hint(err, "run expire again: it looks at everything anew");
        }
        run->checked = begun;
        if (expire_look_holds(begun, look_time_now()))
            return true;
    }
    error_set(err, ERR_BUSY,
              "nothing more is removed: to look at the repository takes longer than %d seconds, "
              "and by then it may have changed",
              HOLDS_S);
    return error_hint(err, "run it when the repository is less busy, or on its own host");
}
