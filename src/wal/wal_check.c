#include "wal/wal_check.h"

#include <inttypes.h>

/* Hand a failure on under the code that the caller wants it to have. */
static bool error_as(ErrorCode code, Error *err)
{
    err->code = code;
    return false;
}

static bool segment_check_identity(const Cluster *cluster, const WalSegmentHeader *header,
                                   ErrorCode code, Error *err)
{
    const PgVersion *version = pg_version_of_wal_magic(header->magic);

    if (header->system_identifier != cluster->system_identifier) {
        error_set(err, code,
                  "it is WAL of the cluster with system identifier %" PRIu64
                  ", and \"%s\" is %" PRIu64,
                  header->system_identifier, cluster->name, cluster->system_identifier);
        if (cluster_hint_upgrade(cluster, header->system_identifier,
                                 version != NULL ? version->major : 0, err))
            return false;
        return error_hint(err, "every cluster needs a name of its own (--cluster); check --repo "
                               "and --cluster of this server's archive_command");
    }
    if (version == NULL) {
        return error_set(err, code, "its page magic %04X is not that of a known server version",
                         (unsigned)header->magic);
    }
    if (version->major != cluster->major) {
        error_set(err, code, "it is WAL of server version %u, and \"%s\" is registered as %u",
                  version->major, cluster->name, cluster->major);
        return !cluster_hint_upgrade(cluster, header->system_identifier, version->major, err) &&
               error_hint(err, "check --repo and --cluster of this server's archive_command");
    }
    return true;
}

bool wal_check_header(const Cluster *cluster, const WalName *name, ErrorCode code,
                      const uint8_t *bytes, size_t size, WalSegmentHeader *header, Error *err)
{
    const Lsn start = wal_segment_start(name->segment, cluster->wal_segment_size);
    char found[LSN_TEXT_SIZE];
    char expected[LSN_TEXT_SIZE];

    if (!wal_segment_header_decode(bytes, size, header, err))
        return error_as(code, err);
    if (!segment_check_identity(cluster, header, code, err))
        return false;
    if (header->segment_size != cluster->wal_segment_size || header->block_size != WAL_BLOCK_SIZE) {
        return error_set(err, code,
                         "its header says segments of %" PRIu32 " bytes in blocks of %" PRIu32
                         ", and \"%s\" has %" PRIu32 " in %d",
                         header->segment_size, header->block_size, cluster->name,
                         cluster->wal_segment_size, WAL_BLOCK_SIZE);
    }
    /* A recycled segment under its next name shows here, and two objects that were swapped. */
    if (header->address != start) {
        return error_set(err, code, "its content belongs at %s, its name says %s",
                         lsn_text(header->address, found), lsn_text(start, expected));
    }
    if (header->timeline == 0 || header->timeline > name->timeline) {
        return error_set(err, code,
                         "its content is of timeline %" PRIu32 ", its name says %" PRIu32,
                         header->timeline, name->timeline);
    }
    return true;
}

bool wal_check_history(const WalName *name, ErrorCode code, const char *text, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    TimelinePath path;

    if (!timeline_path_parse(name->timeline, text, &arena, &path, err))
        return error_as(code, err);
    /* Timeline 1 has no parents, and every other one has. */
    if (path.count < 2) {
        return error_set(err, code, "the history of timeline %" PRIu32 " names no parent",
                         name->timeline);
    }
    return true;
}

/*
 * xlogbackup.c, build_backup_content(): "START WAL LOCATION: 0/2000028 (file ...)" comes first. The
 * file's name carries the timeline at the backup's stop, the text that at its start; so the place
 * is what is compared.
 */
bool wal_check_backup_history(const Cluster *cluster, const WalName *name, ErrorCode code,
                              const char *text, Error *err)
{
    static const char first_words[] = "START WAL LOCATION: ";
    const Lsn start = wal_segment_start(name->segment, cluster->wal_segment_size) + name->offset;
    const char *place = text + sizeof first_words - 1;
    char expected[LSN_TEXT_SIZE];
    char found[LSN_TEXT_SIZE];
    Error ignored = {0}; /* what is not a place is not the right one either */
    Lsn lsn;

    if (strncmp(text, first_words, sizeof first_words - 1) != 0)
        return error_set(err, code, "it is not a backup history file");
    snprintf(found, sizeof found, "%.*s", (int)strcspn(place, " \n"), place);
    if (!lsn_parse(found, &lsn, &ignored) || lsn != start) {
        return error_set(err, code, "it tells of a backup that began at %s, its name says %s",
                         found, lsn_text(start, expected));
    }
    return true;
}
