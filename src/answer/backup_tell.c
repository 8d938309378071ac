#include "answer/backup_tell.h"

#include <inttypes.h>

const char *backup_state_text(BackupState state)
{
    switch (state) {
    case BACKUP_RESTORABLE:
        return "restorable";
    case BACKUP_WAITING:
        return "waiting for WAL";
    case BACKUP_DAMAGED:
        return "damaged";
    case BACKUP_NEWER:
        return "of a newer version";
    }
    return "";
}

bool backup_label_of(const BackupInfo *backup, char label[BACKUP_LABEL_SIZE])
{
    static const char key[] = "\nLABEL: ";
    const char *text = backup->header.label;
    const char *begin = text != NULL ? strstr(text, key) : NULL;

    if (begin == NULL)
        return false;
    begin += strlen(key);
    (void)snprintf(label, BACKUP_LABEL_SIZE, "%.*s", (int)strcspn(begin, "\n"), begin);
    return strcmp(label, "pgcairn backup") != 0;
}

void backup_info_to_json(const BackupInfo *backup, Json *json)
{
    const ManifestHeader *header = &backup->header;
    char label[BACKUP_LABEL_SIZE];

    json_begin_object(json, NULL);
    json_text(json, "backup", header->id);
    json_text(json, "state", backup_state_text(backup->state));
    json_text(json, "reason", *backup->reason != '\0' ? backup->reason : NULL);
    json_text(json, "suspect", backup->suspect);
    json_time(json, "proven_time", backup->proven_at != 0 ? backup->proven_at : TIME_US_NONE);
    if (backup->has_header) {
        json_u64(json, "timeline", header->timeline);
        json_lsn(json, "start_lsn", header->start);
        json_lsn(json, "stop_lsn", header->stop);
        json_time(json, "start_time", header->started_at);
        json_time(json, "stop_time", header->stopped_at);
        json_u64(json, "server_version", header->server_version);
        json_u64(json, "files", header->file_count);
        json_u64(json, "bytes", header->bytes);
        json_u64(json, "stored_bytes", backup->stored_bytes);
        json_u64(json, "pack_bytes", backup->pack_bytes);
        json_u64(json, "freed_bytes", backup->freed_bytes);
        json_text(json, "base", *header->base != '\0' ? header->base : NULL);
        json_text(json, "changes_by", *header->changes_by != '\0' ? header->changes_by : NULL);
        json_u64(json, "read_bytes", header->bytes_read);
        json_u64(json, "new_bytes", header->bytes_new);
        json_u64(json, "shared_bytes", header->bytes - header->bytes_new);
        json_u64(json, "bad_page_count", header->bad_pages);
        json_text(json, "label", backup_label_of(backup, label) ? label : NULL);
        json_text(json, "host", header->host);
        json_text(json, "data", header->data_directory);
    }
    json_end_object(json);
}

/* How it was found what had changed, for people. */
static const char *changes_text(const char *changes_by)
{
    if (strcmp(changes_by, "all") == 0)
        return "everything was stored";
    if (strcmp(changes_by, "pages") == 0)
        return "every page was read and compared";
    if (strcmp(changes_by, "stat+pages") == 0)
        return "pages were compared, but for files whose times, size and inode were as before";
    if (strcmp(changes_by, "wal") == 0)
        return "pages were compared that the WAL names, and a part of the others";
    return "in a way that this version does not know";
}

static void tell_shares(const BackupInfo *backup)
{
    const ManifestHeader *header = &backup->header;
    char one[OUT_TEXT_SIZE], other[OUT_TEXT_SIZE];

    out_print("  base       %s\n", *header->base != '\0' ? header->base : "none");
    out_print("  changes    %s\n", changes_text(header->changes_by));
    out_print("  read       %s of the data directory\n", out_bytes(header->bytes_read, one));
    out_print("  stored     %s, as %s\n", out_bytes(header->bytes_new, one),
              out_bytes(backup->stored_bytes, other));
    out_print("  shared     %s\n", out_bytes(header->bytes - header->bytes_new, one));
    out_print("  packs      %s, of this and of earlier backups: all that it takes to restore it\n",
              out_bytes(backup->pack_bytes, one));
    out_print("  removing   would free %s: no other backup needs it\n",
              out_bytes(backup->freed_bytes, one));
}

static void tell_source(const ManifestHeader *header)
{
    char start[LSN_TEXT_SIZE], stop[LSN_TEXT_SIZE], began[TIME_TEXT_SIZE], ended[TIME_TEXT_SIZE];

    out_print("  taken      %s to %s\n", time_text_local(header->started_at, began),
              time_text_local(header->stopped_at, ended));
    out_print("  server     PostgreSQL %u.%u on %s, %s, data checksums %s\n", header->major,
              header->server_version % 10000, header->host, header->data_directory,
              header->checksums == 0   ? "off"
              : header->checksums == 1 ? "on"
                                       : "in a state that is not known");
    out_print("  WAL        timeline %" PRIu32 ", %s to %s\n", header->timeline,
              lsn_text(header->start, start), lsn_text(header->stop, stop));
    out_print("  options    %s\n", *header->options != '\0' ? header->options : "none");
    out_print("  by         pgcairn %s\n", header->tool_version);
}

void backup_tell_full(const BackupInfo *backup, const Cluster *cluster)
{
    const ManifestHeader *header = &backup->header;
    char label[BACKUP_LABEL_SIZE], time[TIME_TEXT_SIZE], bytes[OUT_TEXT_SIZE];

    out_print("backup %s of cluster \"%s\"\n", header->id, cluster->name);
    out_print("  state      %s%s%s\n", backup_state_text(backup->state),
              *backup->reason != '\0' ? ": " : "", backup->reason);
    if (!backup->has_header)
        return;
    if (backup->suspect != NULL)
        out_print("  suspect    %s\n", backup->suspect);
    if (backup->proven_at != 0)
        out_print("  proven     by a drill at %s\n", time_text_local(backup->proven_at, time));
    if (backup_label_of(backup, label))
        out_print("  label      %s\n", label);
    tell_source(header);
    out_print("  size       %" PRIu64 " files, %s\n", header->file_count,
              out_bytes(header->bytes, bytes));
    if (header->bad_pages > 0)
        out_print("  bad pages  %" PRIu64 "\n", header->bad_pages);
    tell_shares(backup);
}
