#include "old_archiving.h"

#include "postgres/settings.h"
#include "server/server.h"

#include <string.h>
#include <sys/stat.h>

enum { FILES = 2 };

typedef struct OldSettings {
    SettingList files[FILES]; /* The first one that has a setting counts. */
    /* Each "name=value" counts before both files. NULL means that they are not known. */
    const char *const *start;
    Arena arena;
} OldSettings;

static void old_settings_done(OldSettings *settings)
{
    for (size_t i = 0; i < FILES; i++)
        settings_done(&settings->files[i]);
    arena_done(&settings->arena);
}

/* What is elsewhere, or can't be read, says nothing. */
static void archiving_read_settings(const char *data, OldSettings *settings)
{
    static const char *const names[FILES] = {"postgresql.auto.conf", "postgresql.conf"};
    Error unreadable = {0};
    ServerStart start;
    bool found;

    for (size_t i = 0; i < FILES; i++) {
        CLEANUP(text_freep) char *path = text_format("%s/%s", data, names[i]);
        if (!settings_read(path, &settings->files[i], &unreadable))
            error_clear(&unreadable);
    }
    if (server_start_read(data, &settings->arena, &start, &found, &unreadable) && found)
        settings->start = start.settings;
}

static const char *value_at_start(const OldSettings *settings, const char *name)
{
    const size_t size = strlen(name);
    const char *value = NULL;

    for (size_t i = 0; settings->start != NULL && settings->start[i] != NULL; i++) {
        if (strncmp(settings->start[i], name, size) == 0 && settings->start[i][size] == '=')
            value = settings->start[i] + size + 1;
    }
    return value;
}

static const char *old_setting(const OldSettings *settings, const char *name, const char *unset)
{
    const char *value = value_at_start(settings, name);

    for (size_t i = 0; value == NULL && i < FILES; i++)
        value = settings_value(&settings->files[i], name);
    return value != NULL ? value : unset;
}

static bool is_one_of(const char *value, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(value, words[i]) == 0)
            return true;
    }
    return false;
}

/* What an operator writes to have archiving succeed, or fail, without storing anything. */
static bool stores_nothing(const char *command)
{
    static const char *const words[] = {
        "",           ":",     "true",   "/bin/true", "/usr/bin/true",
        "/bin/false", "false", "exit 0", "exit 1",    "/usr/bin/false"};

    return is_one_of(command, words, ARRAY_SIZE(words));
}

/* What ends a word that has this in front: a quote, "--repo=PATH" as a whole or PATH alone. */
static const char *end_of_word(int before)
{
    return before == '\'' ? "'" : before == '"' ? "\"" : " \t\n;&|<>";
}

/* What follows NAME= or NAME in a command for the shell; "": nothing, or only the shell knows. */
static const char *word_after(const char *command, const char *name, Arena *arena)
{
    const char *at = strstr(command, name);

    if (at == NULL || strcspn(at + strlen(name), "= ") != 0)
        return "";
    const char *end = end_of_word(at > command ? at[-1] : ' ');
    at += strlen(name);
    at += strspn(at, "= ");
    if (end_of_word(*at)[1] == '\0') {
        end = end_of_word(*at);
        at++;
    }
    const char *word = arena_format(arena, "%.*s", (int)strcspn(at, end), at);
    return strpbrk(word, "$`\\%") != NULL ? "" : word;
}

static const char *path_of(const char *address)
{
    static const char scheme[] = "file://";
    const size_t size = sizeof scheme - 1;

    return strncmp(address, scheme, size) == 0 ? address + size : address;
}

static bool is_same_place(const char *one, const char *other)
{
    struct stat first, second;

    return strcmp(path_of(one), path_of(other)) == 0 ||
           (stat(path_of(one), &first) == 0 && stat(path_of(other), &second) == 0 &&
            first.st_dev == second.st_dev && first.st_ino == second.st_ino);
}

/* "": not said. An address that can't be seen from here is a different one. */
static bool goes_elsewhere(const Cluster *cluster, const char *repo, const char *name)
{
    return (*repo != '\0' && !is_same_place(repo, storage_address(cluster->repo->storage))) ||
           (*name != '\0' && strcmp(name, cluster->name) != 0);
}

static bool command_goes_elsewhere(const Cluster *cluster, const char *command, Arena *arena)
{
    const char *repo = word_after(command, "--repo", arena);
    const char *name = word_after(command, "--cluster", arena);

    return goes_elsewhere(cluster,
                          *repo != '\0' ? repo : word_after(command, "PGCAIRN_REPO", arena),
                          *name != '\0' ? name : word_after(command, "PGCAIRN_CLUSTER", arena));
}

bool old_directory_archives(const Cluster *cluster, const char *data)
{
    static const char *const off[] = {"off", "false", "no", "0"};
    CLEANUP(old_settings_done) OldSettings settings = {0};

    archiving_read_settings(data, &settings);
    if (is_one_of(old_setting(&settings, "archive_mode", "?"), off, ARRAY_SIZE(off)))
        return false;
    if (*old_setting(&settings, "archive_library", "") != '\0') {
        return !goes_elsewhere(cluster, old_setting(&settings, "pgcairn.repo", ""),
                               old_setting(&settings, "pgcairn.cluster", ""));
    }
    const char *command = old_setting(&settings, "archive_command", "?");
    return !stores_nothing(command) && !command_goes_elsewhere(cluster, command, &settings.arena);
}
