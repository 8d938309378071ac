/*
 * backup_builder.h - manifests of backups without files, for tests of what lists them.
 */
#pragma once

#include "archive_builder.h"

typedef struct BackupFields {
    const char *id;
    uint32_t timeline;
    const char *history; /* NULL: none */
    Lsn start, stop;
    TimeUs stopped_at;
    TimeUs commit_time_max; /* 0: none */
    const char *pack;       /* NULL: none; an id */
    uint64_t pack_size;
    bool from_standby; /* no record in the WAL says where it ends */
} BackupFields;

void archive_put_backup(Archive *archive, const BackupFields *fields);
