#include "rebuild/plan_entry.h"

/* What a restore writes itself, or what must not come back from a backup
 * (docs/postgres-facts.md 7.1). */
static const char *const own_files[] = {
    "backup_label",    "tablespace_map",    "recovery.signal",  "standby.signal",
    "backup_manifest", RESTORE_MARKER_FILE, "pgcairn.recovery", "postmaster.pid",
};

bool plan_entry_is_written(const ManifestEntry *entry)
{
    if (entry->kind != ENTRY_FILE)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(own_files); i++) {
        if (strcmp(entry->path, own_files[i]) == 0)
            return false;
    }
    return true;
}
