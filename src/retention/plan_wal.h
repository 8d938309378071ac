/*
 * plan_wal.h - which WAL the backups that stay need: the second half of the plan; and what both
 * ask.
 */
#pragma once

#include "retention/plan.h"

/* Fills plan->wal by what is said of the backups. */
void retention_plan_wal(const RetentionInput *input, RetentionPlan *plan);

/* plan_path.c. Whether the backup's timeline is on the path, and its stop before the path leaves
 * it. */
bool retention_is_on_path(const RetentionBackup *backup, const TimelinePath *path);
/* The newest branch; one that had WAL within the window; without a window each. */
bool retention_branch_is_live(const RetentionInput *input, size_t i);
