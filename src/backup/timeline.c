#include "backup_run.h"

#include "base/file.h"
#include "base/log.h"
#include "postgres/history.h"
#include "wal/wal_object.h"

enum { HISTORY_SIZE_MAX = 1 << 20 };

static bool append_to_buffer(void *context, const void *data, size_t size, Error *err)
{
    Buffer *text = context;

    if (size > HISTORY_SIZE_MAX - text->size)
        return error_set(err, ERR_CORRUPT, "history file of more than %d bytes", HISTORY_SIZE_MAX);
    buffer_append(text, data, size);
    return true;
}

/* *found is false when there is none. */
static bool read_local(const BackupRun *run, const char *name, Buffer *text, bool *found,
                       Error *err)
{
    CLEANUP(text_freep) char *path = text_format("%s/pg_wal/%s", run->data, name);

    *found = file_read_whole(path, HISTORY_SIZE_MAX, text, err);
    if (!*found && err->code == ERR_NOT_FOUND)
        error_clear(err);
    return err->code == ERR_NONE;
}

static bool timeline_store(const BackupRun *run, const char *name, const Buffer *text, Error *err)
{
    CLEANUP(wal_object_writer_freep) WalObjectWriter *writer = NULL;

    return wal_object_write(run->cluster, name, run->request->compression, 1, text->size, &writer,
                            err) &&
           wal_object_writer_add(writer, text->data, text->size, err) &&
           wal_object_writer_commit(writer, NULL, NULL, err);
}

static bool same_text(const Buffer *one, const Buffer *other)
{
    return one->size == other->size && memcmp(one->data, other->data, one->size) == 0;
}

/*
 * The archive has one already: what it says must be what this server says, or the WAL there is that
 * of another branch with the same number. A damaged one is replaced, as archive-push would.
 */
static bool timeline_compare_archived(const BackupRun *run, const char *name, const Buffer *local,
                                      bool *is_there, Error *err)
{
    CLEANUP(buffer_done) Buffer archived = {0};
    CLEANUP(text_freep) char *aside = NULL;
    WalTrailer trailer;

    *is_there = wal_object_read(run->cluster, name, 1, append_to_buffer, &archived, &trailer, err);
    if (*is_there) {
        if (same_text(local, &archived))
            return true;
        error_set(err, ERR_EXISTS, "the archive has another %s than the server", name);
        return error_hint(err, "two clusters promoted to this timeline; give this one a repository "
                               "or cluster name of its own");
    }
    if (err->code == ERR_NOT_FOUND) {
        error_clear(err);
        return true;
    }
    if (err->code != ERR_CORRUPT)
        return false;
    error_clear(err);
    if (!wal_object_set_aside(run->cluster, name, &aside, err))
        return false;
    log_warn("damaged history file replaced", log_str("file", name), log_str("aside", aside));
    return true;
}

static bool save_local(const BackupRun *run, const char *name, const Buffer *local, Error *err)
{
    bool is_there;

    if (!timeline_compare_archived(run, name, local, &is_there, err))
        return false;
    if (is_there || timeline_store(run, name, local, err))
        return true;
    if (err->code != ERR_EXISTS)
        return false;
    /* The server's archiver was faster. */
    error_clear(err);
    if (!timeline_compare_archived(run, name, local, &is_there, err))
        return false;
    return is_there ||
           error_set(err, ERR_UNREACHABLE,
                     "another process keeps storing and removing %s in the archive", name);
}

static bool find_history(const BackupRun *run, const char *name, Buffer *text, Error *err)
{
    WalTrailer trailer;
    bool is_local;

    if (!read_local(run, name, text, &is_local, err))
        return false;
    if (is_local)
        return save_local(run, name, text, err);
    text->size = 0;
    if (wal_object_read(run->cluster, name, 1, append_to_buffer, text, &trailer, err))
        return true;
    if (err->code == ERR_NOT_FOUND) {
        error_hint(err,
                   "%s is neither in pg_wal nor in the archive: bring it back from a standby or an "
                   "older archive; docs/runbook.md, \"A history file is lost\", makes it anew",
                   name);
    }
    return false;
}

/*
 * Without its history a timeline can't be followed: who restores from it would take it for one
 * without parents. The server archives it once, at the promotion, perhaps into another archive.
 */
bool run_save_history(BackupRun *run, Error *err)
{
    CLEANUP(buffer_done) Buffer text = {0};
    char name[WAL_NAME_SIZE];
    TimelinePath path;

    run->history = "";
    if (run->timeline == 1)
        return true;
    (void)wal_name_text(&(WalName){.kind = WAL_HISTORY, .timeline = run->timeline},
                        run->cluster->wal_segment_size, name);
    if (!find_history(run, name, &text, err))
        return error_context(err, "save the history of timeline %u", run->timeline);
    run->history = arena_text_part(&run->arena, (const char *)text.data, text.size);
    return timeline_path_parse(run->timeline, run->history, &run->arena, &path, err) ||
           error_context(err, "read %s", name);
}
