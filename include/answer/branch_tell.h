/*
 * branch_tell.h - a branch of the archive as `list` and `status` tell it.
 */
#pragma once

#include "catalog/branches.h"
#include "cli/output.h"

/* "branches": all of them, and which is the newest. */
void branches_to_json(const BranchList *branches, const BranchAnswer *answer, Json *json);
