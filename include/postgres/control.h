/*
 * control.h - global/pg_control: who a cluster is and what state it was left in.
 *
 * Layouts: catalog/pg_control.h of 13..18, docs/postgres-facts.md as tried on live files. The
 * server rewrites the file in place, so a reader can see a mix: pg_control_read() reads again until
 * the CRC holds.
 */
#pragma once

#include "base/time.h"
#include "postgres/version.h"
#include "postgres/wal_name.h"

enum { PG_CONTROL_FILE_SIZE = 8192 };

typedef enum PgState {
    PG_STARTUP = 0,
    PG_SHUT_DOWN = 1,
    PG_SHUT_DOWN_IN_RECOVERY = 2,
    PG_SHUTTING_DOWN = 3,
    PG_IN_CRASH_RECOVERY = 4,
    PG_IN_ARCHIVE_RECOVERY = 5,
    PG_IN_PRODUCTION = 6,
} PgState;

typedef struct PgControl {
    const PgVersion *version;
    uint64_t system_identifier;
    PgState state;
    TimeUs updated_at;
    Lsn checkpoint;
    Lsn redo;
    uint32_t timeline; /* It is that of the checkpoint. */
    uint32_t prev_timeline;
    TimeUs checkpoint_time;
    Lsn min_recovery_point;
    uint32_t min_recovery_timeline;
    Lsn backup_start; /* It is not 0 while a restored backup is not consistent yet. */
    Lsn backup_end;
    bool backup_end_required;
    int wal_level; /* 0 is minimal, 1 is replica and 2 is logical. */
    uint32_t max_connections, max_worker_processes, max_wal_senders, max_prepared_xacts,
        max_locks_per_xact;
    uint32_t block_size, relation_segment_blocks, wal_block_size, wal_segment_size;
    uint32_t checksum_version; /* 0 means that data checksums are off. */
    uint32_t catalog_version;
} PgControl;

/*
 * ERR_VERSION for a control or catalog version not in version.h; ERR_CORRUPT when the CRC is wrong
 * or values are impossible (sizes that are not powers of two).
 */
bool pg_control_decode(const uint8_t *bytes, size_t size, PgControl *control,
                       Error *err) MUST_CHECK;

/*
 * Read DATA/global/pg_control; again, for up to a second, while its CRC is wrong. bytes may be
 * NULL; else it gets the PG_CONTROL_FILE_SIZE bytes that were decoded.
 * ERR_NOT_FOUND when there is none: not a data directory (or a half-restored one).
 */
bool pg_control_read(const char *data, PgControl *control, uint8_t *bytes, Error *err) MUST_CHECK;

const char *pg_state_name(PgState state); /* It returns what pg_controldata prints. */
