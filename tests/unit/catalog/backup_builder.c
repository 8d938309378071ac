#include "backup_builder.h"

#include "repo/manifest.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

void archive_put_backup(Archive *archive, const BackupWishes *wishes)
{
    PackInfo pack = {.size = wishes->pack_size};
    Manifest manifest = {
        .header =
            {
                .cluster = "main",
                .system_identifier = BUILDER_SYSTEM,
                .server_version = 150018,
                .major = 15,
                .tool_version = "0.1.0",
                .timeline = wishes->timeline,
                .history = wishes->history != NULL ? wishes->history : "",
                .start = wishes->start,
                .stop = wishes->stop,
                .started_at = wishes->stopped_at,
                .stopped_at = wishes->stopped_at,
                .commit_time_max =
                    wishes->commit_time_max != 0 ? wishes->commit_time_max : TIME_US_NONE,
                .label = "LABEL: x\n",
                .tablespace_map = "",
                .host = "db1",
                .boot_id = "b",
                .data_directory = "/data",
                .options = "",
                .wal_segment_size = MIB,
                .libc_version = "2.36",
            },
        .packs = &pack,
        .pack_count = wishes->pack != NULL,
    };
    Error err = {0};

    memcpy(manifest.header.id, wishes->id, sizeof manifest.header.id);
    if (wishes->pack != NULL)
        memcpy(pack.id, wishes->pack, sizeof pack.id);
    if (!manifest_save(&manifest, &archive->cluster, &err))
        fail_msg("%s: %s", err.context, err.message);
}
