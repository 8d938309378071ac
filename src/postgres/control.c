#include "postgres/control.h"

#include "base/bytes.h"
#include "base/file.h"
#include "base/memory.h"
#include "stream/digest.h"

#include <errno.h>
#include <fcntl.h>

/*
 * Offsets in ControlFileData (catalog/pg_control.h), the same in 13..18 up to byte 256: 17 put
 * CheckPoint.wal_level where padding was, 18 put default_char_signedness before the nonce.
 */
enum {
    AT_SYSTEM_IDENTIFIER = 0,
    AT_CONTROL_VERSION = 8,
    AT_CATALOG_VERSION = 12,
    AT_STATE = 16,
    AT_TIME = 24,
    AT_CHECKPOINT = 32,
    AT_REDO = 40,
    AT_TIMELINE = 48,
    AT_PREV_TIMELINE = 52,
    AT_CHECKPOINT_TIME = 104,
    AT_MIN_RECOVERY_POINT = 136,
    AT_MIN_RECOVERY_TIMELINE = 144,
    AT_BACKUP_START = 152,
    AT_BACKUP_END = 160,
    AT_BACKUP_END_REQUIRED = 168,
    AT_WAL_LEVEL = 172,
    AT_MAX_CONNECTIONS = 180,
    AT_MAX_WORKER_PROCESSES = 184,
    AT_MAX_WAL_SENDERS = 188,
    AT_MAX_PREPARED_XACTS = 192,
    AT_MAX_LOCKS_PER_XACT = 196,
    AT_MAX_ALIGN = 204,
    AT_FLOAT_FORMAT = 208,
    AT_BLOCK_SIZE = 216,
    AT_RELATION_SEGMENT_BLOCKS = 220,
    AT_WAL_BLOCK_SIZE = 224,
    AT_WAL_SEGMENT_SIZE = 228,
    AT_CHECKSUM_VERSION = 252,
    AT_CRC_TO_17 = 288,
    AT_CRC_FROM_18 = 292,
    STRUCT_SIZE_MIN = AT_CRC_FROM_18 + 4,
};

/* FLOATFORMAT_VALUE, 1234567.0 as a little-endian double: what tells a foreign architecture. */
static const uint64_t float_format = UINT64_C(0x4132d68700000000);

static bool version_of(const uint8_t *bytes, const PgVersion **version, Error *err)
{
    uint32_t control_version = get_le32(bytes + AT_CONTROL_VERSION);
    uint32_t catalog_version = get_le32(bytes + AT_CATALOG_VERSION);
    const PgVersion *found = pg_version_of_catalog(catalog_version);

    if (control_version != 0 && control_version % 65536 == 0)
        return error_set(err, ERR_VERSION, "pg_control was written with the other byte order");
    if (found == NULL || found->control_version != control_version) {
        error_set(err, ERR_VERSION,
                  "pg_control version %u with catalog version %u is not known: PostgreSQL %d to %d "
                  "are",
                  control_version, catalog_version, PG_MAJOR_MIN, PG_MAJOR_MAX);
        return error_hint(err,
                          "either a newer PostgreSQL than this program knows, or a damaged file");
    }
    *version = found;
    return true;
}

static bool is_power_of_two(uint32_t value, uint32_t min, uint32_t max)
{
    return value >= min && value <= max && (value & (value - 1)) == 0;
}

/* The CRC held, so these are not damage of the file but of what wrote it; still no size is trusted.
 */
static bool check_values(const PgControl *control, const uint8_t *bytes, Error *err)
{
    uint32_t state = get_le32(bytes + AT_STATE);

    if (get_le32(bytes + AT_MAX_ALIGN) != 8 || get_le64(bytes + AT_FLOAT_FORMAT) != float_format)
        return error_set(err, ERR_VERSION, "pg_control was written on another architecture");
    if (state > PG_IN_PRODUCTION)
        return error_set(err, ERR_CORRUPT, "pg_control has the impossible state %u", state);
    if (!is_power_of_two(control->block_size, 1024, 32768) ||
        !is_power_of_two(control->wal_block_size, 1024, 65536) ||
        !wal_segment_size_is_valid(control->wal_segment_size) ||
        control->relation_segment_blocks == 0) {
        return error_set(err, ERR_CORRUPT,
                         "pg_control has impossible sizes: block %u, relation segment %u blocks, "
                         "WAL block %u, WAL segment %u",
                         control->block_size, control->relation_segment_blocks,
                         control->wal_block_size, control->wal_segment_size);
    }
    if (control->system_identifier == 0 || control->timeline == 0)
        return error_set(err, ERR_CORRUPT, "pg_control names no system or no timeline");
    return true;
}

static TimeUs time_at(const uint8_t *bytes)
{
    int64_t seconds = (int64_t)get_le64(bytes);

    /* Impossible instants come out as none rather than overflow. */
    if (seconds < 0 || seconds > INT64_MAX / 1000000)
        return TIME_US_NONE;
    return seconds * 1000000;
}

static PgControl fields_of(const uint8_t *bytes, const PgVersion *version)
{
    return (PgControl){
        .version = version,
        .system_identifier = get_le64(bytes + AT_SYSTEM_IDENTIFIER),
        .state = (PgState)get_le32(bytes + AT_STATE),
        .updated_at = time_at(bytes + AT_TIME),
        .checkpoint = get_le64(bytes + AT_CHECKPOINT),
        .redo = get_le64(bytes + AT_REDO),
        .timeline = get_le32(bytes + AT_TIMELINE),
        .prev_timeline = get_le32(bytes + AT_PREV_TIMELINE),
        .checkpoint_time = time_at(bytes + AT_CHECKPOINT_TIME),
        .min_recovery_point = get_le64(bytes + AT_MIN_RECOVERY_POINT),
        .min_recovery_timeline = get_le32(bytes + AT_MIN_RECOVERY_TIMELINE),
        .backup_start = get_le64(bytes + AT_BACKUP_START),
        .backup_end = get_le64(bytes + AT_BACKUP_END),
        .backup_end_required = bytes[AT_BACKUP_END_REQUIRED] != 0,
        .wal_level = (int)get_le32(bytes + AT_WAL_LEVEL),
        .max_connections = get_le32(bytes + AT_MAX_CONNECTIONS),
        .max_worker_processes = get_le32(bytes + AT_MAX_WORKER_PROCESSES),
        .max_wal_senders = get_le32(bytes + AT_MAX_WAL_SENDERS),
        .max_prepared_xacts = get_le32(bytes + AT_MAX_PREPARED_XACTS),
        .max_locks_per_xact = get_le32(bytes + AT_MAX_LOCKS_PER_XACT),
        .catalog_version = get_le32(bytes + AT_CATALOG_VERSION),
        .block_size = get_le32(bytes + AT_BLOCK_SIZE),
        .relation_segment_blocks = get_le32(bytes + AT_RELATION_SEGMENT_BLOCKS),
        .wal_block_size = get_le32(bytes + AT_WAL_BLOCK_SIZE),
        .wal_segment_size = get_le32(bytes + AT_WAL_SEGMENT_SIZE),
        .checksum_version = get_le32(bytes + AT_CHECKSUM_VERSION),
    };
}

bool pg_control_decode(const uint8_t *bytes, size_t size, PgControl *control, Error *err)
{
    const PgVersion *version;

    if (size < STRUCT_SIZE_MIN)
        return error_set(err, ERR_CORRUPT, "pg_control has %zu bytes only", size);
    if (!version_of(bytes, &version, err))
        return false;

    size_t crc_at = version->major >= 18 ? AT_CRC_FROM_18 : AT_CRC_TO_17;
    if (crc32c_update(0, bytes, crc_at) != get_le32(bytes + crc_at))
        return error_set(err, ERR_CORRUPT, "pg_control has a wrong CRC");

    PgControl found = fields_of(bytes, version);
    if (!check_values(&found, bytes, err))
        return false;
    *control = found;
    return true;
}

static bool read_once(const char *path, uint8_t *bytes, PgControl *control, Error *err)
{
    CLEANUP(fd_done) int fd = -1;
    size_t got;

    if (!file_open(path, &fd, err)) {
        return err->code == ERR_NOT_FOUND
                   ? error_hint(err, "not a data directory, or one whose restore was not finished")
                   : false;
    }
    if (!file_read_at(fd, bytes, PG_CONTROL_FILE_SIZE, 0, &got, path, err))
        return false;
    if (got != PG_CONTROL_FILE_SIZE) {
        return error_set(err, ERR_CORRUPT, "%s has %zu bytes instead of %d", path, got,
                         PG_CONTROL_FILE_SIZE);
    }
    return pg_control_decode(bytes, got, control, err) || error_context(err, "read %s", path);
}

bool pg_control_read(const char *data, PgControl *control, uint8_t *bytes, Error *err)
{
    enum { TRIES = 100, PAUSE_MS = 10 };
    CLEANUP(text_freep) char *path = text_format("%s/global/pg_control", data);
    uint8_t found[PG_CONTROL_FILE_SIZE];

    /* The server's write() is not an atomic act for readers: a mix lasts for microseconds. */
    for (int i = 1; !read_once(path, found, control, err); i++) {
        if (err->code != ERR_CORRUPT || i == TRIES)
            return false;
        error_clear(err);
        time_sleep_ms(PAUSE_MS);
    }
    if (bytes != NULL)
        memcpy(bytes, found, sizeof found);
    return true;
}

const char *pg_state_name(PgState state)
{
    switch (state) {
    case PG_STARTUP:
        return "starting up";
    case PG_SHUT_DOWN:
        return "shut down";
    case PG_SHUT_DOWN_IN_RECOVERY:
        return "shut down in recovery";
    case PG_SHUTTING_DOWN:
        return "shutting down";
    case PG_IN_CRASH_RECOVERY:
        return "in crash recovery";
    case PG_IN_ARCHIVE_RECOVERY:
        return "in archive recovery";
    case PG_IN_PRODUCTION:
        return "in production";
    }
    return "unrecognized";
}
