#include "backup_run.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool source_check_label(const char *label, Error *err)
{
    /* The server copies it into backup_label as it is, so a line feed would forge a line there. */
    for (const char *at = label; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return error_set(err, ERR_USAGE, "the label contains a control character");
    }
    return true;
}

static bool source_check_wal_level(const ServerIdentity *identity, Error *err)
{
    if (strcmp(identity->wal_level, "minimal") != 0)
        return true;
    error_set(err, ERR_REFUSED,
              "the server writes too little WAL for a restore: wal_level is minimal");
    return error_hint(err, "set wal_level = replica and restart the server");
}

/* archive_library (15 and later) archives without a command. */
static bool has_archive_library(BackupRun *run, bool *has, Error *err)
{
    const char *value = NULL;
    bool found;

    if (!session_row(run->session, "SELECT current_setting('archive_library', true)", &run->arena,
                     &value, 1, &found, err))
        return false;
    *has = found && value != NULL && *value != '\0';
    return true;
}

/*
 * Whether somebody streams the server's WAL with a slot: `pgcairn receive`, or a standby, which the
 * waiting for the WAL would tell.
 */
static bool has_receiver(BackupRun *run, bool *has, Error *err)
{
    return session_row(run->session,
                       "SELECT 1 FROM pg_replication_slots WHERE slot_type = 'physical' AND active"
                       " LIMIT 1",
                       &run->arena, &(const char *){NULL}, 1, has, err);
}

/*
 * A backup without the WAL up to its stop can never be restored. So one that nobody will bring the
 * WAL for is refused before the first byte, and not found out at the restore.
 */
static bool check_archiving(BackupRun *run, Error *err)
{
    const ServerIdentity *identity = &run->identity;
    bool has_library;
    bool is_received;

    if (!has_receiver(run, &is_received, err))
        return false;
    if (is_received)
        return true;
    if (!identity->archiving) {
        error_set(err, ERR_REFUSED, "the server does not archive its WAL: archive_mode is off");
        return error_hint(err, "set archive_mode = on and archive_command = 'pgcairn archive-push "
                               "%%p', restart the server; or run `pgcairn receive`");
    }
    if (!has_archive_library(run, &has_library, err))
        return false;
    if (*identity->archive_command != '\0' || has_library)
        return true;
    error_set(err, ERR_REFUSED, "the server does not archive its WAL: archive_command is empty");
    return error_hint(err, "set archive_command = 'pgcairn archive-push %%p' (and archive_mode = "
                           "on), reload the configuration");
}

static bool source_check_server(BackupRun *run, Error *err)
{
    const ServerIdentity *identity = &run->identity;

    if (!cluster_check(run->cluster, identity->system_identifier, identity->major, "the server",
                       err))
        return false;
    if (identity->wal_segment_size != run->cluster->wal_segment_size) {
        error_set(err, ERR_REFUSED,
                  "the server has WAL segments of %u bytes, cluster \"%s\" is registered with %u",
                  identity->wal_segment_size, run->cluster->name, run->cluster->wal_segment_size);
        return error_hint(err, "register it under another name: `pgcairn init --cluster=NAME`");
    }
    if (identity->in_recovery) {
        error_set(err, ERR_REFUSED, "the server is in recovery: it is a standby");
        return error_hint(err, "take the backup from the primary");
    }
    return source_check_wal_level(identity, err) && check_archiving(run, err);
}

static bool choose_data(BackupRun *run, Error *err)
{
    const char *wanted = run->request->data;

    if (wanted == NULL && *run->identity.data_directory == '\0') {
        error_set(err, ERR_USAGE, "the server does not tell this role where its data directory is");
        return error_hint(err, "give --data, or grant pg_read_all_settings to the role");
    }
    if (wanted == NULL)
        wanted = run->identity.data_directory;

    CLEANUP(text_freep) char *real = realpath(wanted, NULL);
    if (real == NULL) {
        error_set_errno(err, ERR_IO, errno, "find the data directory %s", wanted);
        return error_hint(err, "pgcairn reads the files itself: run it on the server's host, as "
                               "the server's user");
    }
    run->data = arena_text(&run->arena, real);
    return true;
}

/*
 * The server's path may not exist for us (a container); when it does, it must be the one we read.
 */
static bool check_same_directory(const BackupRun *run, Error *err)
{
    const char *server_data = run->identity.data_directory;
    struct stat ours, theirs;

    if (*server_data == '\0' || stat(server_data, &theirs) != 0)
        return true;
    if (stat(run->data, &ours) != 0)
        return error_set_errno(err, ERR_IO, errno, "look at %s", run->data);
    if (ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino)
        return true;
    error_set(err, ERR_REFUSED, "the server's data directory is %s, not %s", server_data,
              run->data);
    return error_hint(err, "check --data and --conninfo: they are about two different clusters");
}

static bool source_check_control(BackupRun *run, Error *err)
{
    CLEANUP(text_freep) char *what = text_format("data directory %s", run->data);

    if (!pg_control_read(run->data, &run->control, NULL, err))
        return error_context(err, "read %s", run->data);
    if (!cluster_check(run->cluster, run->control.system_identifier, run->control.version->major,
                       what, err))
        return false;
    /* The units of the repository are multiples of every page size that a server can have. */
    if (run->control.block_size > EXTENT_SIZE)
        return error_set(err, ERR_VERSION, "pages of %u bytes", run->control.block_size);
    return true;
}

/* A repository in what is backed up would grow by itself with every backup, and be lost with it. */
static bool check_repository_elsewhere(const BackupRun *run, Error *err)
{
    const char *address = storage_address(run->cluster->repo->storage);
    size_t length = strlen(run->data);

    if (strncmp(address, "file://", 7) == 0)
        address += 7;
    CLEANUP(text_freep) char *real = realpath(address, NULL);
    if (real == NULL || strncmp(real, run->data, length) != 0 ||
        (real[length] != '/' && real[length] != '\0'))
        return true;
    return error_set(err, ERR_REFUSED, "the repository %s is inside the data directory", real);
}

bool run_check_source(BackupRun *run, Error *err)
{
    const char *label = run->request->label;

    if (label != NULL && !source_check_label(label, err))
        return false;
    if (!session_identify(run->session, &run->arena, &run->identity, err))
        return error_context(err, "ask the server who it is");
    return source_check_server(run, err) && choose_data(run, err) &&
           check_same_directory(run, err) && source_check_control(run, err) &&
           check_repository_elsewhere(run, err);
}

/*
 * The start forces a checkpoint and writes it to pg_control before it answers (CreateCheckPoint()),
 * so the directory that we read must know a redo position at least as late: a copy of the cluster
 * with the same system identifier does not.
 */
bool run_check_started(BackupRun *run, Error *err)
{
    char redo[LSN_TEXT_SIZE], start[LSN_TEXT_SIZE];

    if (!pg_control_read(run->data, &run->control, NULL, err))
        return error_context(err, "read %s", run->data);
    if (run->control.redo < run->start) {
        error_set(err, ERR_REFUSED,
                  "%s is not the server's data directory: its last checkpoint is at %s, the backup "
                  "began at %s",
                  run->data, lsn_text(run->control.redo, redo), lsn_text(run->start, start));
        return error_hint(err,
                          "check --data and --conninfo: they are about two different clusters");
    }
    run->timeline = run->control.timeline;
    return true;
}

static bool check_complete(BackupRun *run, int data_fd, Error *err)
{
    CLEANUP(catalogue_done) Catalogue now = {0};

    if (!catalogue_ask(run->session, &now, err))
        return false;
    Completeness check = {.scan = &run->scan,
                          .data = run->data,
                          .data_fd = data_fd,
                          .major = run->identity.major,
                          .before = &run->catalogue,
                          .now = &now};
    run->has_new_database = completeness_has_new(&run->origin, &now);
    return completeness_check_moved(&run->origin, &now, run->identity.major, err) &&
           completeness_check(&check, err);
}

/* What is being dropped loses its files before that is committed: then it is asked again. */
bool run_check_complete(BackupRun *run, Error *err)
{
    enum { TRIES = 4, PAUSE_MS = 500 };
    CLEANUP(fd_done) int data_fd = open(run->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (data_fd < 0)
        return error_set_errno(err, ERR_IO, errno, "open %s", run->data);
    for (int i = 1;; i++) {
        if (check_complete(run, data_fd, err))
            return true;
        if (err->code != ERR_REFUSED || i == TRIES)
            return error_context(err, "look whether all is there");
        error_clear(err);
        time_sleep_ms(PAUSE_MS);
    }
}

/* What follows a directory and its slash, or NULL when path is not inside it. */
static const char *path_inside(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    if (length == 0 || strncmp(path, directory, length) != 0 || path[length] != '/')
        return NULL;
    return path + length + strspn(path + length, "/");
}

const char *run_path_of(const BackupRun *run, const char *path)
{
    const char *inside = path_inside(path, run->identity.data_directory);

    if (inside == NULL)
        inside = path_inside(path, run->data);
    return inside != NULL ? inside : path;
}

/* Compared as text, as pg_basebackup's server side does (statrelpath in basebackup.c). */
bool run_find_statistics(BackupRun *run, const char **statistics, Error *err)
{
    const char *value = NULL;
    bool found;

    *statistics = NULL;
    /* From pg_settings: not every role may see it, and copying the files would do no harm. */
    if (!session_row(run->session,
                     "SELECT setting FROM pg_settings WHERE name = 'stats_temp_directory'",
                     &run->arena, &value, 1, &found, err))
        return error_context(err, "ask where the statistics are");
    if (!found || value == NULL)
        return true;

    if (*value == '/') {
        const char *inside = path_inside(value, run->identity.data_directory);
        value = inside != NULL ? inside : path_inside(value, run->data);
    }
    while (value != NULL && strncmp(value, "./", 2) == 0)
        value += 1 + strspn(value + 1, "/");
    if (value == NULL || *value == '\0')
        return true;

    char *path = arena_format(&run->arena, "%s", value);
    for (size_t length = strlen(path); length > 0 && path[length - 1] == '/'; length--)
        path[length - 1] = '\0';
    *statistics = path;
    return true;
}

bool run_ask_insert(BackupRun *run, Lsn *insert, Error *err)
{
    if (session_insert_lsn(run->session, insert, err))
        return true;
    error_hint(err, "the server ended the backup with the session; nothing was committed");
    return error_context(err, "ask where the server writes WAL");
}
