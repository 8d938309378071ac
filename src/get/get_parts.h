/*
 * get_parts.h - what archive_get() consists of: give the file, give what there is of it in pieces,
 * or prove that there is none.
 */
#pragma once

#include "get/get.h"
#include "recovery_view.h"
#include "walk/wal_source.h"

typedef struct Get {
    const Cluster *cluster;
    const GetRequest *request;
    WalName name;
    RecoveryView view;
} Get;

/* A name for a file on its way, beside the destination. */
bool get_temp_path(const Get *get, char **path, Error *err) MUST_CHECK;

/* Give the file, verified to its last byte. ERR_NOT_FOUND: the archive does not have it. */
bool get_deliver(const Get *get, Error *err) MUST_CHECK;

/*
 * What there is of a segment that is not whole, and that who asks may get: WAL_NOWHERE when that is
 * nothing, or when WAL is missing after it that this recovery needs.
 */
bool get_find_open(const Get *get, const WalInventory *inventory, WalSource *source,
                   Error *err) MUST_CHECK;
/* What it means for whoever asks; ERR_ABSENT, ERR_REFUSED, ERR_CORRUPT, or it is given. */
bool get_answer_open(const Get *get, const WalInventory *inventory, const WalSource *source,
                     Error *err) MUST_CHECK;

/*
 * A recovery that somebody started by hand, without a target, follows the newest timeline: the
 * server asks for its history. ERR_REFUSED where restore would ask which one is meant.
 */
bool get_check_branch(Get *get, Error *err) MUST_CHECK;

/*
 * Whether it is not a recovery that asks but a program that looks at the WAL of a server that is
 * down, as pg_rewind -c does: it writes to the segment's own name in pg_wal (fe_utils/archive.c;
 * servers to RECOVERYXLOG), and nobody has the data directory open. Such a program ends with an
 * error where WAL does, so it may be given whatever there is of its own timeline, also after the
 * place where others left that.
 */
bool get_is_for_tool(const Get *get);

/*
 * The archive was asked and does not have it: ERR_ABSENT when that is proven, and none follows.
 * Should it come meanwhile, it is given.
 */
bool get_prove_absence(Get *get, Error *err) MUST_CHECK;

/* Whether the recovery's target, as far as that is known, needs this segment. */
bool get_is_needed(const Get *get);
