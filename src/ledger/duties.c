#include "ledger/duties.h"

static const struct {
    const char *name, *text;
} duties[DUTY_COUNT] = {
    [DUTY_BACKUP] = {"backup", "backup"},
    [DUTY_VERIFY] = {"verify", "verify"},
    [DUTY_RESTORE] = {"restore", "test restore"},
    [DUTY_DRILL] = {"drill", "full drill"},
};

const char *duty_name(Duty duty)
{
    return duties[duty].name;
}

const char *duty_text(Duty duty)
{
    return duties[duty].text;
}

static bool entry_is_of(const LedgerEntry *entry, const char *operation)
{
    return strcmp(entry->operation, operation) == 0;
}

static bool entry_says(const LedgerEntry *entry, const char *key, const char *value)
{
    const char *is = record_find(&entry->record, key);

    return is != NULL && strcmp(is, value) == 0;
}

static bool entry_is_well(const LedgerEntry *entry)
{
    return entry->status == ERR_NONE || entry->status == ERR_DEGRADED;
}

/* Whether the entry is about this duty at all, and whether it did it. */
static bool duty_is_about(const LedgerEntry *entry, Duty duty)
{
    switch (duty) {
    case DUTY_BACKUP:
        return entry_is_of(entry, "backup");
    case DUTY_VERIFY: /* one backup is not all, and stored bytes are not what is in them */
        return entry_is_of(entry, "verify") && record_find(&entry->record, "backup") == NULL &&
               record_find(&entry->record, "stored_only") == NULL;
    case DUTY_RESTORE:
        return entry_is_of(entry, "drill") || entry_is_of(entry, "restore");
    case DUTY_DRILL:
        return entry_is_of(entry, "drill") && entry_says(entry, "kind", "full");
    case DUTY_COUNT:
        break;
    }
    return false;
}

static bool duty_is_done_by(const LedgerEntry *entry, Duty duty)
{
    switch (duty) {
    case DUTY_BACKUP:
        return entry_is_well(entry);
    case DUTY_VERIFY: /* it has looked: what it found is a matter of its own */
        return entry_is_well(entry) || entry->status == ERR_CORRUPT;
    case DUTY_RESTORE:
        return entry_is_well(entry) &&
               (entry_is_of(entry, "drill") || entry_says(entry, "verified", "yes"));
    case DUTY_DRILL:
        return entry->status == ERR_NONE;
    case DUTY_COUNT:
        break;
    }
    return false;
}

/* A restore that was not to be started has not failed to test anything. */
static bool entry_is_attempt(const LedgerEntry *entry)
{
    return !entry_is_well(entry);
}

static void duty_find_last(const Ledger *ledger, Duty duty, DutyState *state)
{
    for (size_t i = 0; i < ledger->count && state->last == TIME_US_NONE; i++) {
        const LedgerEntry *entry = &ledger->items[i];

        if (!duty_is_about(entry, duty))
            continue;
        if (duty_is_done_by(entry, duty)) {
            state->last = entry->finished;
            state->takes = entry->finished - entry->started;
        } else if (entry_is_attempt(entry) && state->failed_at == TIME_US_NONE) {
            state->failed_at = entry->finished;
            state->failed_status = entry->status;
        }
    }
}

static void duty_judge(Duty duty, const DutyRequest *request, DutyState *state)
{
    TimeUs from = state->last != TIME_US_NONE ? state->last : request->since;
    bool is_first = state->last == TIME_US_NONE && duty == DUTY_BACKUP;

    if (from > request->now)
        from = request->now; /* a clock was set back: it counts from here */
    state->due_at = is_first ? from : from + state->period;
    state->is_due = request->now >= state->due_at;
    state->is_overdue = request->now >= from + state->period + state->period / 2;
}

void duties_judge(const Ledger *ledger, const DutyRequest *request, DutyState states[DUTY_COUNT])
{
    for (int i = 0; i < DUTY_COUNT; i++) {
        states[i] = (DutyState){.period = request->periods[i],
                                .last = TIME_US_NONE,
                                .due_at = TIME_US_NONE,
                                .failed_at = TIME_US_NONE,
                                .takes = TIME_US_NONE};
        if (states[i].period == 0)
            continue;
        duty_find_last(ledger, (Duty)i, &states[i]);
        duty_judge((Duty)i, request, &states[i]);
    }
}

bool duty_should_run(const DutyState *state, TimeUs now)
{
    enum { PART = 8 };

    return state->period > 0 && now >= state->due_at - state->period / PART;
}

bool duty_fits(const DutyState *state, TimeUs elapsed, TimeUs budget)
{
    TimeUs takes = state->takes != TIME_US_NONE ? state->takes : 0;

    return budget == 0 || (elapsed < budget && elapsed + takes <= budget);
}

bool duties_load(Ledger *ledger, const Cluster *cluster, Error *err)
{
    enum { EACH = 16 };
    static const char *const operations[] = {"backup", "verify", "restore", "drill", NULL};

    return ledger_load(
        ledger, cluster,
        &(LedgerRequest){.operations = operations, .each = EACH, .since = TIME_US_NONE}, err);
}
