/*
 * range_copy.h - one range of a file: read, compared with what the base has of it, and what differs
 * stored.
 *
 * A page counts as unchanged when its size, its hash and its CRC-32C are what the base's page
 * tables say. Where nothing differs the range is the base's, and nothing is stored; else the pages
 * that differ become a fragment over the base's (pack/manifest.h). Without a base, or where one of
 * its packs may not be referred to, or its page tables can't be read, the whole range is stored.
 */
#pragma once

#include "extent.h"

typedef struct RangeRequest {
    const WorkerSource *source;
    PageJudge *judge;
    uint32_t range;
    size_t want;   /* bytes: what the file had when it was looked at */
    size_t have;   /* of the first extent, in worker->raw already, read and judged */
    bool is_check; /* by its file's times it is unchanged: a page that differs ends the trust */
} RangeRequest;

/* result->size is less than want where the file ended before; 0 leaves nothing behind. */
bool range_copy(Worker *worker, const RangeRequest *request, ManifestRange *result,
                Error *err) MUST_CHECK;

/*
 * Whether the range is the base's without being read (unread.h), or would be: then *is_check, and
 * it is its turn to be read all the same. info: of the file, before anything of it was read.
 */
bool range_take_unread(Worker *worker, const WorkerSource *source, const struct stat *info,
                       uint32_t range, ManifestRange *result, bool *is_check);
