/*
 * quarantine_parts.h - what making a plan and carrying it out share.
 */
#pragma once

#include "base/memory.h"
#include "retention/quarantine.h"

/* What an object under wal/ or open/ is; false: none that can be set aside. */
bool quarantine_item_of(const Cluster *cluster, const char *object, QuarantineItem *item);
/*
 * The order in which they go: timelines that began last first, of each the pieces and segments from
 * the last to the first, and the history at the end.
 */
int quarantine_item_order(const void *a, const void *b);
