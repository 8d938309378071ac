#include "setup/duty_periods.h"

void duty_periods(const Options *options, TimeUs periods[DUTY_COUNT])
{
    periods[DUTY_BACKUP] = (TimeUs)options->duty_backup_ms * 1000;
    periods[DUTY_VERIFY] = (TimeUs)options->duty_verify_ms * 1000;
    periods[DUTY_RESTORE] = (TimeUs)options->duty_restore_ms * 1000;
    periods[DUTY_DRILL] = (TimeUs)options->duty_drill_ms * 1000;
}

bool duties_look(const Options *options, const Cluster *cluster, DutyState duties[DUTY_COUNT],
                 Error *err)
{
    CLEANUP(ledger_done) Ledger ledger = {0};
    DutyRequest request = {.since = cluster->registered_at, .now = time_now()};

    duty_periods(options, request.periods);
    if (!duties_load(&ledger, cluster, err))
        return false;
    duties_judge(&ledger, &request, duties);
    return true;
}
