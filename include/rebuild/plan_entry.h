/*
 * plan_entry.h - what a plan says of one entry of its backup.
 */
#pragma once

#include "rebuild/restore_plan.h"

/* Whether a restore writes this entry as a file of the data directory (pg_control included). */
bool plan_entry_is_written(const ManifestEntry *entry);
