/*
 * backup_manifest.h - PostgreSQL's own backup_manifest, so that stock pg_verifybackup can check a
 * directory that we restored.
 *
 * Source: backup/backup_manifest.c, common/parse_manifest.c; manual chapter "Backup Manifest
 * Format". Version 1 up to 16, version 2 (with the system identifier) from 17 on.
 */
#pragma once

#include "base/buffer.h"
#include "base/time.h"
#include "postgres/wal_name.h"

typedef struct BackupManifestWriter BackupManifestWriter;

/* Text is appended to out, which is borrowed; the caller may write it away and empty it in between.
 */
BackupManifestWriter *backup_manifest_new(unsigned major, uint64_t system_identifier, Buffer *out);
/* path relative to the data directory, any bytes; crc32c as by crc32c_update(). */
void backup_manifest_file(BackupManifestWriter *writer, const char *path, uint64_t size,
                          TimeUs modified, uint32_t crc32c);
/* The WAL that the backup needs, and the checksum of it all. Call once, last. */
void backup_manifest_finish(BackupManifestWriter *writer, uint32_t timeline, Lsn start, Lsn end);
void backup_manifest_freep(BackupManifestWriter **writer); /* for CLEANUP() */
