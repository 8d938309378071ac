#include "backup_run.h"

#include "base/file.h"
#include "base/log.h"
#include "base/order.h"
#include "postgres/settings.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Debian keeps postgresql.conf and its kin in /etc. They are not part of the data directory, but
 * without them the restored server does not come up as it was. Each is stored under the name by
 * which the server opens it: that is what the configuration says, wherever links lead.
 */
enum { EXTRAS_MAX = 1024, HBA_SIZE_MAX = 16 << 20, HBA_DEPTH_MAX = 10 };

typedef struct Extras {
    BackupRun *run;
    const char *paths[EXTRAS_MAX];
    size_t count;
} Extras;

/* Once each. A file that is not there is none: the server goes on without, or says so. */
static bool add_path(Extras *extras, const char *path)
{
    if (path == NULL || *path != '/' || extras->count == EXTRAS_MAX || access(path, F_OK) != 0)
        return false;
    for (size_t i = 0; i < extras->count; i++) {
        if (strcmp(extras->paths[i], path) == 0)
            return false;
    }
    extras->paths[extras->count++] = arena_text(&extras->run->arena, path);
    return true;
}

static bool extras_take_file(void *context, const char *const *values, Error *err)
{
    (void)err;
    (void)add_path(context, values[0]);
    return true;
}

/* Views that tell only roles that may read all settings; others have to do without. */
static void add_told(Extras *extras)
{
    static const char *const queries[] = {
        "SELECT DISTINCT sourcefile FROM pg_file_settings",
        "SELECT DISTINCT sourcefile FROM pg_settings WHERE sourcefile IS NOT NULL",
    };

    for (size_t i = 0; i < ARRAY_SIZE(queries); i++) {
        Error unreadable = {0};
        if (!session_rows(extras->run->session, queries[i], 1, extras_take_file, extras,
                          &unreadable)) {
            log_debug("included configuration files are not known",
                      log_str("error", unreadable.message));
        }
    }
}

static const char *note_located(void *context, const char *path, bool is_directory, Arena *arena)
{
    (void)arena;
    if (!is_directory)
        (void)add_path(context, path);
    return path;
}

static void add_included(Extras *extras, const char *config_file)
{
    CLEANUP(settings_done) SettingList settings = {0};
    SettingsPlaces places = {.locate = note_located, .context = extras};

    if (*config_file == '/')
        settings_read_from(config_file, &places, &settings);
}

static const char *extras_beside(const Extras *extras, const char *file, const char *name)
{
    const char *slash = strrchr(file, '/');

    return *name == '/' || slash == NULL
               ? name
               : arena_format(&extras->run->arena, "%.*s/%s", (int)(slash - file), file, name);
}

static void add_hba(Extras *extras, const char *path, int depth);

static int extras_is_configuration(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return entry->d_name[0] != '.' && length >= 6 &&
           strcmp(entry->d_name + length - 5, ".conf") == 0;
}

static void add_hba_directory(Extras *extras, const char *path, int depth)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, extras_is_configuration, NULL);

    for (int i = 0; i < count; i++) {
        add_hba(extras, arena_format(&extras->run->arena, "%s/%s", path, entries[i]->d_name),
                depth);
        free(entries[i]);
    }
    free(entries);
}

/*
 * One word (hba.c, next_token): it ends at a blank or a comma; quotes go, wherever they stand, and
 * within them neither does. *is_quoted: it begins with one, and then has no special meaning.
 */
static const char *next_word(const char **line, const char *end, Arena *arena, bool *is_quoted)
{
    CLEANUP(buffer_done) Buffer word = {0};
    const char *at = *line;
    bool is_inside = false;

    while (at < end && strchr(" \t\r,", *at) != NULL)
        at++;
    *is_quoted = at < end && *at == '"';
    for (; at < end && (is_inside || strchr(" \t\r,#", *at) == NULL); at++) {
        if (*at == '"') {
            is_inside = !is_inside;
        } else {
            buffer_append(&word, at, 1);
        }
    }
    bool is_end = word.size == 0 && !*is_quoted;
    *line = at < end && *at == '#' ? end : at;
    return is_end ? NULL
                  : arena_text_part(arena, word.size > 0 ? (const char *)word.data : "", word.size);
}

/*
 * Words of pg_hba.conf and pg_ident.conf that name a file (hba.c, tokenize_auth_file): "@names" in
 * all versions; "include", "include_if_exists" and "include_dir" at the beginning of a line from 16
 * on, which in older ones are not a connection type.
 */
static void add_hba_line(Extras *extras, const char *file, const char *line, size_t size, int depth)
{
    Arena *arena = &extras->run->arena;
    const char *end = line + size;
    bool is_quoted;
    const char *word = next_word(&line, end, arena, &is_quoted);
    bool is_include = word != NULL && !is_quoted && strncmp(word, "include", 7) == 0;
    bool is_directory = is_include && strcmp(word, "include_dir") == 0;

    for (; word != NULL; word = next_word(&line, end, arena, &is_quoted)) {
        if (!is_quoted && word[0] == '@' && word[1] != '\0')
            add_hba(extras, extras_beside(extras, file, word + 1), depth);
    }
    if (!is_include)
        return;
    line = end - size;
    (void)next_word(&line, end, arena, &is_quoted);
    word = next_word(&line, end, arena, &is_quoted);
    if (word != NULL && is_directory) {
        add_hba_directory(extras, extras_beside(extras, file, word), depth);
    } else if (word != NULL) {
        add_hba(extras, extras_beside(extras, file, word), depth);
    }
}

static void add_hba(Extras *extras, const char *path, int depth)
{
    CLEANUP(buffer_done) Buffer text = {0};
    Error unreadable = {0}; /* told when it is opened to be stored */

    if (*path != '/' || depth > HBA_DEPTH_MAX || (!add_path(extras, path) && depth > 0) ||
        !file_read_whole(path, HBA_SIZE_MAX, &text, &unreadable) || text.size == 0)
        return;
    settings_show_zeros(&text);
    for (const char *line = (const char *)text.data; *line != '\0';) {
        size_t size = strcspn(line, "\n");
        size_t blank = strspn(line, " \t\r");
        if (blank < size)
            add_hba_line(extras, path, line + blank, size - blank, depth + 1);
        line += size;
        line += *line == '\n';
    }
}

/* Of pg_createcluster: what its programs look for beside postgresql.conf (pg_ctlcluster(1)). */
static void add_debian(Extras *extras, const char *config_file)
{
    static const char *const names[] = {"start.conf", "pg_ctl.conf", "environment"};

    if (strncmp(config_file, "/etc/postgresql/", 16) != 0)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        (void)add_path(extras, extras_beside(extras, config_file, names[i]));
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

bool run_find_configuration(BackupRun *run, Error *err)
{
    CLEANUP(text_freep) char *own = text_format("%s/postgresql.conf", run->data);
    const ServerIdentity *identity = &run->identity;
    Extras *extras = arena_alloc(&run->arena, sizeof *extras);

    (void)err;
    extras->run = run;
    (void)add_path(extras, identity->config_file);
    add_hba(extras, identity->hba_file, 0);
    add_hba(extras, identity->ident_file, 0);
    add_told(extras);
    add_included(extras, *identity->config_file != '\0' ? identity->config_file : own);
    add_debian(extras, identity->config_file);
    if (extras->count > 0)
        qsort(extras->paths, extras->count, sizeof extras->paths[0], order_texts);
    run->configuration = extras->paths;
    run->configuration_count = extras->count;
    run->scan.configuration = arena_alloc(&run->arena, (extras->count + 1) * sizeof *extras->paths);
    for (size_t i = 0; i < extras->count; i++) {
        const char *inside = run_path_of(run, extras->paths[i]);
        if (inside != extras->paths[i])
            run->scan.configuration[run->scan.configuration_count++] = inside;
    }
    return true;
}

bool run_scan_extras(BackupRun *run, Error *err)
{
    for (size_t i = 0; i < run->configuration_count; i++) {
        const char *path = run->configuration[i];
        if (run_path_of(run, path) == path && !add_extra(run, path, err))
            return false;
    }
    return true;
}
