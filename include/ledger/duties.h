/*
 * duties.h - what has to be done again and again so that a restore can be trusted, and when it was
 * done last, by the record alone.
 *
 *   backup    a base backup
 *   verify    everything stored is read back (not of one backup only); damage that it finds is told
 *             elsewhere, the duty is to look
 *   restore   a test restore: any that was started and came to its verified target, or a drill
 *   drill     a full drill
 *
 * A duty is due when its period is over since it was done last, or, never done, since the cluster
 * was registered; overdue when half a period more is.
 */
#pragma once

#include "ledger/ledger.h"

typedef enum Duty { DUTY_BACKUP, DUTY_VERIFY, DUTY_RESTORE, DUTY_DRILL, DUTY_COUNT } Duty;
const char *duty_name(Duty duty); /* It returns, for example, "verify", as in options and JSON. */
const char *duty_text(Duty duty); /* It returns words for people: "test restore". */

typedef struct DutyState {
    TimeUs
        period;  /* 0 means that nobody has this duty here. Then the fields below are not valid. */
    TimeUs last; /* It was done last at this time. TIME_US_NONE means that it was not done yet. */
    TimeUs due_at;
    bool is_due, is_overdue;
    /* An attempt since then failed to do it at this time. TIME_US_NONE means that none did. */
    TimeUs failed_at;
    unsigned failed_status;
    TimeUs takes; /* It took this long last time, or TIME_US_NONE. */
} DutyState;

typedef struct DutyRequest {
    TimeUs periods[DUTY_COUNT]; /* 0 means that there is none. */
    TimeUs since;               /* The cluster was registered then. */
    TimeUs now;
} DutyRequest;

/* Pure: of the entries of these operations. A duty that was never done counts from `since`, but a
 * cluster without a backup needs one now. */
void duties_judge(const Ledger *ledger, const DutyRequest *request, DutyState states[DUTY_COUNT]);

/*
 * Whether a program that runs now and then should do it this time: it is due, or will be within an
 * eighth of its period. A daily timer that finds yesterday's backup five minutes short of a day old
 * would otherwise leave it until tomorrow.
 */
bool duty_should_run(const DutyState *state, TimeUs now);
/* Whether there is time for it: budget 0 is any; by how long it took last, if that is known. */
bool duty_fits(const DutyState *state, TimeUs elapsed, TimeUs budget);

/* The entries that duties_judge() needs. */
bool duties_load(Ledger *ledger, const Cluster *cluster, Error *err) MUST_CHECK;
