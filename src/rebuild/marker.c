#include "rebuild/marker.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/process.h"
#include "repo/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { MARKER_SIZE_MAX = 64 << 10 };

/* The values of a field that may be repeated; NULL-terminated. */
static const char **take_all(const Record *record, const char *key, Arena *arena, size_t *count)
{
    const char **values = arena_alloc(arena, (record->count + 1) * sizeof *values);

    *count = 0;
    for (size_t i = 0; i < record->count; i++) {
        if (strcmp(record->fields[i].key, key) == 0)
            values[(*count)++] = arena_text(arena, record->fields[i].value);
    }
    return values;
}

static bool take_fields(const Record *record, Arena *arena, RestoreMarker *marker, Error *err)
{
    const char *backup, *cluster, *boot_id;
    uint64_t process_start;

    if (!record_get_text(record, "backup", &backup, err) ||
        !record_get_text(record, "cluster", &cluster, err) ||
        !record_get_text(record, "boot_id", &boot_id, err) ||
        !record_get_u64(record, "pid", &marker->pid, err) ||
        !record_get_u64(record, "process_start", &process_start, err) ||
        !record_get_u64(record, "system_identifier", &marker->system_identifier, err))
        return false;
    marker->is_running = marker->pid != (uint64_t)getpid() &&
                         strcmp(boot_id, process_boot_id()) == 0 &&
                         process_start_time((pid_t)marker->pid) == process_start;
    marker->backup = arena_text(arena, backup);
    marker->cluster = arena_text(arena, cluster);
    const char *pg_wal = record_find(record, "pg_wal");
    marker->has_new_wal = pg_wal != NULL && strcmp(pg_wal, "new") == 0;
    marker->wal_kept = take_all(record, "wal_kept", arena, &marker->wal_kept_count);
    marker->versions = take_all(record, "tablespace", arena, &marker->version_count);
    return true;
}

bool marker_load(const char *data, Arena *arena, RestoreMarker *marker, bool *found, Error *err)
{
    CLEANUP(text_freep) char *path = text_format("%s/" RESTORE_MARKER_FILE, data);
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(record_done) Record record = {0};

    *found = file_exists(path);
    if (!*found)
        return true;
    if (!file_read_whole(path, MARKER_SIZE_MAX, &text, err))
        return false;
    if (!record_parse((const char *)text.data, text.size, "restore", 1, &record, err) ||
        !take_fields(&record, arena, marker, err))
        return error_context(err, "%s", path);
    return true;
}

/* Of restores that were killed while they wrote their marker. Who calls has locked the directory,
 * so nobody writes one now. */
static bool remove_unborn(const HeldDirectory *data, Error *err)
{
    static const char prefix[] = RESTORE_MARKER_FILE ".tmp-";
    CLEANUP(fd_done) int fd = openat(data->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(directory_done) DIR *list = fd >= 0 ? fdopendir(fd) : NULL;

    if (list == NULL)
        return error_set_errno(err, ERR_IO, errno, "list %s", data->path);
    (void)fd_take(&fd); /* the list's own now */
    for (const struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
        if (strncmp(entry->d_name, prefix, sizeof prefix - 1) != 0)
            continue;
        if (!held_remove(held_at(data, entry->d_name), err))
            return false;
    }
    return true;
}

bool marker_save(const RestorePlan *plan, const HeldDirectory *data, bool has_new_wal, Error *err)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};
    CLEANUP(file_writer_done) FileWriter file = FILE_WRITER_CLOSED;

    record_begin(&record, "restore", 1);
    record_text(&record, "backup", plan->decision.manifest.header.id);
    record_text(&record, "cluster", plan->decision.manifest.header.cluster);
    record_u64(&record, "system_identifier", plan->decision.manifest.header.system_identifier);
    record_time(&record, "started", time_now());
    record_text(&record, "host", process_host_name());
    record_text(&record, "boot_id", process_boot_id());
    record_u64(&record, "pid", (uint64_t)getpid());
    record_u64(&record, "process_start", process_start_time(getpid()));
    record_text(&record, "target", target_kind_name(plan->decision.target.kind));
    record_u64(&record, "timeline", path_last_timeline(&plan->decision.path));
    record_text(&record, "pg_wal", has_new_wal ? "new" : "old");
    for (size_t i = 0; plan->old.wal_sources != NULL && plan->old.wal_sources[i] != NULL; i++)
        record_text(&record, "wal_kept", plan->old.wal_sources[i]);
    if (plan->old.wal_kept != NULL)
        record_text(&record, "wal_kept", plan->old.wal_kept);
    /* Last: it is there now, and the other one perhaps only when all is done. */
    if (plan->old.moved_to != NULL && !plan->old.has_new_wal) {
        CLEANUP(text_freep) char *wal = text_format("%s/pg_wal", plan->old.moved_to);
        record_text(&record, "wal_kept", wal);
    }
    for (size_t i = 0; i < plan->old.version_count; i++)
        record_text(&record, "tablespace", plan->old.versions[i]);
    for (size_t i = 0; i < plan->placement.tablespace_count; i++)
        record_text(&record, "tablespace", plan->placement.tablespaces[i].version);
    record_finish(&record);
    return remove_unborn(data, err) &&
           held_writer_open(&file, held_at(data, RESTORE_MARKER_FILE), 0600, err) &&
           file_writer_write(&file, record.text.data, record.text.size, err) &&
           file_writer_replace(&file, err);
}

bool marker_remove(const HeldDirectory *data, Error *err)
{
    return FAULT_POINT("restore.before-unmark", err) &&
           held_remove(held_at(data, RESTORE_MARKER_FILE), err) &&
           FAULT_POINT("restore.after-unmark", err) && held_sync(held_at(data, "."), err);
}
