/*
 * occupied.h - taking away what is where the cluster is to go, as the plan says.
 */
#pragma once

#include "base/held.h"
#include "replace/replace.h"

/*
 * data: the directory, which the caller has locked. After it the data directory does not exist (it
 * was renamed) or holds the marker, no pg_control and nothing that the backup does not have; either
 * way nothing there can be started. *strays: see strays.h.
 */
bool occupied_clear(const RestorePlan *plan, const HeldDirectory *data, uint64_t *strays,
                    Error *err) MUST_CHECK;
