#include "backup_builder.h"

#include "pack/manifest.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

void archive_put_backup(Archive *archive, const BackupFields *fields)
{
    PackInfo pack = {.size = fields->pack_size, .backup = "20261122T031500Z-k3v7qa"};
    ManifestEntry entries[] = {{.kind = ENTRY_FILE, .path = "PG_VERSION"},
                               {.kind = ENTRY_DIRECTORY, .path = "base"},
                               {.kind = ENTRY_DIRECTORY, .path = "global"},
                               {.kind = ENTRY_FILE, .path = "global/pg_control"}};
    char start[LSN_TEXT_SIZE];
    CLEANUP(text_freep)
    char *label =
        text_format("START WAL LOCATION: %s (file %08X0000000000000001)\n"
                    "CHECKPOINT LOCATION: %s\nBACKUP METHOD: streamed\n"
                    "BACKUP FROM: primary\nSTART TIME: 2000-01-01 00:00:00 UTC\n"
                    "LABEL: test\nSTART TIMELINE: %u\n",
                    lsn_text(fields->start, start), fields->timeline, start, fields->timeline);
    Manifest manifest = {
        .header =
            {
                .cluster = "main",
                .system_identifier = BUILDER_SYSTEM,
                .server_version = 150018,
                .major = 15,
                .tool_version = "0.1.0",
                .timeline = fields->timeline,
                .history = fields->history != NULL ? fields->history : "",
                .start = fields->start,
                .stop = fields->stop,
                .started_at = fields->stopped_at,
                .stopped_at = fields->stopped_at,
                .from_standby = fields->from_standby,
                .commit_time_max =
                    fields->commit_time_max != 0 ? fields->commit_time_max : TIME_US_NONE,
                .label = label,
                .tablespace_map = "",
                .host = "db1",
                .boot_id = "b",
                .data_directory = "/data",
                .options = "",
                .file_count = 2,
                .wal_segment_size = MIB,
                .libc_version = "2.36",
            },
        .entries = entries,
        .entry_count = ARRAY_SIZE(entries),
        .packs = &pack,
        .pack_count = fields->pack != NULL,
    };
    Error err = {0};

    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        entries[i].is_small = true;
        entries[i].owner = "postgres";
        entries[i].group = "postgres";
    }
    memcpy(manifest.header.id, fields->id, sizeof manifest.header.id);
    if (fields->pack != NULL)
        memcpy(pack.id, fields->pack, sizeof pack.id);
    if (!manifest_save(&manifest, &archive->cluster, &err))
        fail_msg("%s: %s", err.context, err.message);
}
