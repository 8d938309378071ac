/*
 * space_tell.h - what a restore writes on each file system, and what is free there, as `restore
 * --dry-run` tells it. Whether it is enough was checked when it was planned.
 */
#pragma once

#include "cli/output.h"
#include "rebuild/restore_plan.h"

void space_print(const RestorePlan *plan);
/* "space", an array. */
void space_to_json(const RestorePlan *plan, Json *json);
