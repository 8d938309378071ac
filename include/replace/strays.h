/*
 * strays.h - what does not belong into a directory that is overwritten in place.
 */
#pragma once

#include "base/held.h"
#include "rebuild/restore_plan.h"

/*
 * Of data, and of the tablespaces that are gone over: everything is removed that the backup does
 * not have under this name and as this kind; of the old directory's other tablespaces all. What the
 * restore writes itself (plan_entry.h) is removed, too. Directories that stay can be written to
 * afterwards. *count: what was removed, a directory with all in it being one.
 */
bool strays_remove(const RestorePlan *plan, const HeldDirectory *data, uint64_t *count,
                   Error *err) MUST_CHECK;
