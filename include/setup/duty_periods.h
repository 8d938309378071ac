/*
 * duty_periods.h - the duties of this cluster, as the options say them, and how they stand.
 */
#pragma once

#include "cli/options.h"
#include "ledger/duties.h"

void duty_periods(const Options *options, TimeUs periods[DUTY_COUNT]);

/* By the journal, now. */
bool duties_look(const Options *options, const Cluster *cluster, DutyState duties[DUTY_COUNT],
                 Error *err) MUST_CHECK;
