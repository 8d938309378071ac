#include "restore_parts.h"

#include <inttypes.h>

const char *restore_target_text(const Target *target, TimeWriter *write, char *text, size_t size)
{
    char time[TIME_TEXT_SIZE], lsn[LSN_TEXT_SIZE];
    const char *exclusive = target->is_exclusive ? ", exclusive" : "";

    switch (target->kind) {
    case TARGET_LATEST:
        (void)snprintf(text, size, "latest: all that is archived");
        break;
    case TARGET_IMMEDIATE:
        (void)snprintf(text, size, "immediate: the end of the backup");
        break;
    case TARGET_TIME:
        (void)snprintf(text, size, "time %s%s", write(target->time, time), exclusive);
        break;
    case TARGET_XID:
        (void)snprintf(text, size, "transaction %" PRIu32 "%s", target->xid, exclusive);
        break;
    case TARGET_LSN:
        (void)snprintf(text, size, "LSN %s%s", lsn_text(target->lsn, lsn), exclusive);
        break;
    case TARGET_NAME:
        (void)snprintf(text, size, "restore point \"%s\"", target->name);
        break;
    }
    return text;
}
