#include "run.h"

#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Debian keeps postgresql.conf and its kin in /etc. They are not part of the data directory, but
 * without them the restored server does not come up as it was.
 */
enum { EXTRAS_MAX = 256 };

typedef struct Extras {
    char *paths[EXTRAS_MAX]; /* real ones */
    size_t count;
} Extras;

static void extras_done(Extras *extras)
{
    for (size_t i = 0; i < extras->count; i++)
        free(extras->paths[i]);
}

static bool is_inside(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    return strncmp(path, directory, length) == 0 && path[length] == '/';
}

/* Once each, and only what the scan of the data directory does not find. */
static void add_path(Extras *extras, const BackupRun *run, const char *path)
{
    if (*path != '/' || extras->count == EXTRAS_MAX)
        return;
    char *real = realpath(path, NULL);
    bool is_known = real == NULL || is_inside(real, run->data);
    for (size_t i = 0; i < extras->count && !is_known; i++)
        is_known = strcmp(extras->paths[i], real) == 0;
    if (is_known) {
        free(real);
    } else {
        extras->paths[extras->count++] = real;
    }
}

/* Included files: the view tells only roles that may read all settings, others have to do without.
 */
static void add_included(Extras *extras, BackupRun *run)
{
    const char *files = NULL;
    bool found = false;
    Error unreadable = {0};

    if (!session_row(run->session,
                     "SELECT string_agg(DISTINCT sourcefile, E'\\n') FROM pg_file_settings",
                     &run->arena, &files, 1, &found, &unreadable)) {
        log_debug("included configuration files are not known",
                  log_str("error", unreadable.message));
        return;
    }
    if (!found || files == NULL)
        return;
    for (const char *line = files; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        add_path(extras, run, arena_text_part(&run->arena, line, length));
        line += length;
        line += *line == '\n';
    }
}

static int compare_paths(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* One that we may not read is left out with a warning: the database itself is whole without it. */
static bool add_extra(BackupRun *run, const char *path, Error *err)
{
    CLEANUP(fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;

    const char *problem = NULL;

    if (fd < 0 || fstat(fd, &info) != 0) {
        problem = strerror(errno);
    } else if (!S_ISREG(info.st_mode)) {
        problem = "not a file";
    } else if (info.st_size > EXTENT_SIZE) {
        problem = "too large for a configuration file";
    }
    if (problem != NULL) {
        run->scan.skipped_count++;
        log_warn("configuration file not backed up", log_str("file", path),
                 log_str("error", problem));
        return true;
    }
    return scan_add_extra(&run->scan, path, &info, err);
}

bool run_scan_extras(BackupRun *run, Error *err)
{
    CLEANUP(extras_done) Extras extras = {.count = 0};

    add_path(&extras, run, run->identity.config_file);
    add_path(&extras, run, run->identity.hba_file);
    add_path(&extras, run, run->identity.ident_file);
    add_included(&extras, run);
    if (extras.count > 0)
        qsort(extras.paths, extras.count, sizeof extras.paths[0], compare_paths);
    for (size_t i = 0; i < extras.count; i++) {
        if (!add_extra(run, extras.paths[i], err))
            return false;
    }
    return true;
}
