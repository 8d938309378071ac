/*
 * left_out.h - restore --only-database: which databases are brought back, and which are left empty.
 */
#pragma once

#include "rebuild/restore_plan.h"

/*
 * Of plan->decision.manifest, once all else has been left out of it: files of other databases
 * become ENTRY_HOLLOW, but for the map of their system tables, which replay writes to; and fills
 * plan->decision.left_out. Nothing when all are asked for.
 *
 * Always brought back are postgres, template0 and template1, what initdb made (oid below 16384),
 * and all that databases share. ERR_NOT_FOUND with the names that there are; ERR_REFUSED for a
 * backup that does not know any.
 */
bool left_out_plan(const RestoreRequest *request, RestorePlan *plan, Error *err) MUST_CHECK;
