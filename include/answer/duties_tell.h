/*
 * duties_tell.h - the duties as `status` and `duties` tell them.
 */
#pragma once

#include "cli/output.h"
#include "ledger/duties.h"

/* "overdue: last 9 d ago", "due: never done", "last 3 h ago, due in 21 h". */
const char *duty_in_words(const DutyState *duty, TimeUs now, Arena *arena);

/* "duties": a list, of those that are duties here. */
void duties_to_json(const DutyState duties[DUTY_COUNT], Json *json);
