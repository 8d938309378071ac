/*
 * get_parts.h - what archive_get() consists of: give the file, give what there is of it in pieces,
 * or prove that there is none.
 */
#pragma once

#include "archive/get.h"
#include "catalog/inventory.h"
#include "recovery_view.h"

typedef struct Get {
    const Cluster *cluster;
    const GetWish *wish;
    WalName name;
    RecoveryView view;
} Get;

/* A name for a file on its way, beside the destination. */
bool get_temp_path(const Get *get, char **path, Error *err) MUST_CHECK;

/* Give the file, verified to its last byte. ERR_NOT_FOUND: the archive does not have it. */
bool get_deliver(const Get *get, Error *err) MUST_CHECK;

/* Whether the archive has the segment only in pieces, the last thing that it has on this path. */
bool get_is_open(const Get *get, const WalInventory *inventory);
/* What a segment in pieces means for who asks; ERR_ABSENT, ERR_REFUSED, or it is given. */
bool get_answer_open(const Get *get, const WalInventory *inventory, Error *err) MUST_CHECK;

/*
 * The archive was asked and does not have it: ERR_ABSENT when that is proven, and none follows.
 * Should it come meanwhile, it is given.
 */
bool get_prove_absence(Get *get, Error *err) MUST_CHECK;

/* Whether the recovery's target, as far as that is known, needs this segment. */
bool get_is_needed(const Get *get);
