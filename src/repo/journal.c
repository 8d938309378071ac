#include "repo/journal.h"

#include "base/random.h"
#include "repo/layout.h"

#include <inttypes.h>

bool journal_store(const Cluster *cluster, const char *operation, RecordWriter *writer, Error *err)
{
    CLEANUP(text_freep) char *prefix = layout_journal_prefix(cluster->name);
    CLEANUP(text_freep) char *name = NULL;
    char now[TIME_TEXT_SIZE];
    char compact[TIME_TEXT_SIZE];
    size_t length = 0;
    uint64_t number;

    if (!random_u64(&number, err))
        return error_context(err, "write journal");
    /* "2026-11-22T03:15:12.123Z" without what object names don't have. */
    time_text(time_now(), now);
    for (const char *at = now; *at != '\0'; at++) {
        if (*at != '-' && *at != ':')
            compact[length++] = *at;
    }
    compact[length] = '\0';
    name = text_format("%s%s-%s-%08" PRIx32, prefix, compact, operation, (uint32_t)number);
    if (!record_store(writer, cluster->repo->storage, name, err))
        return error_context(err, "write journal");
    return true;
}
