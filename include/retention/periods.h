/*
 * periods.h - which day, week, month and year an instant is in, by the clocks of a place.
 */
#pragma once

#include "retention/plan.h"

/*
 * Numbers that are the same for two instants exactly when the two are in the same period. Weeks
 * begin on Monday (ISO 8601). zone: a name of the zone database ("Europe/Vienna") or "UTC".
 */
void retention_periods(TimeUs instant, const char *zone, int64_t periods[RETENTION_PERIODS]);
/* "2026-11-22", "2026-W47", "2026-11", "2026" */
enum { PERIOD_TEXT_SIZE = 24 };
const char *retention_period_text(size_t kind, int64_t period, char text[PERIOD_TEXT_SIZE]);
