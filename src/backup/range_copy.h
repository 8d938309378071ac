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

/* What is known of a range before it is read. */
typedef struct RangeClaim {
    UnreadBy by;
    bool is_check; /* All of it is read all the same, because its turn to be checked has come. */
    /* With UNREAD_BY_WAL these pages may have changed, and the others are the base's. */
    PageSet named;
    /*
     * With UNREAD_BY_NOTHING, it is the file that the base read, and the base did not read all of
     * it.
     */
    bool may_be_stale;
} RangeClaim;

typedef struct RangeRequest {
    const WorkerSource *source;
    PageJudge *judge;
    uint32_t range;
    size_t want; /* The range had this many bytes when the file was looked at. */
    /* This many bytes of the first extent are already in worker->raw, read and judged. */
    size_t have;
    RangeClaim claim;
} RangeRequest;

/* result->size is less than want where the file ended before; 0 leaves nothing behind. */
bool range_copy(Worker *worker, const RangeRequest *request, ManifestRange *result,
                Error *err) MUST_CHECK;

/*
 * Whether the range is the base's without being read: by its file's times, or because the WAL names
 * nothing of it (unread.h). Else *claim has what is said of it, and what of it is to be read: pages
 * that the WAL does not name are passed over, but for a few between others that are read. A page
 * that is read and is not what was said ends the trust in this backup.
 * info: of the file, before anything of it was read. want: bytes of the range in the file by then.
 */
bool range_take_unread(Worker *worker, const WorkerSource *source, const struct stat *info,
                       uint32_t range, size_t want, ManifestRange *result, RangeClaim *claim);
