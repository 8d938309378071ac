#include "config_file.h"

#include "foreign_names.h"
#include "nearest.h"

#include "base/file.h"
#include "base/owner.h"

#include <fcntl.h>
#include <ini.h>
#include <unistd.h>

enum {
    FILE_SIZE_MAX = 1 << 20,
    SECTION_SIZE_MAX = 49, /* The library inih cuts longer ones (MAX_SECTION). */
    ENTRIES_MAX = 1000,
};

typedef struct ConfigEntry {
    const char *section; /* It is "" above the first section. */
    const char *key;
    const char *value;
    int line;
} ConfigEntry;

typedef struct ConfigReading {
    const char *path;
    const char *next; /* It points into the text of the file. */
    int line;         /* This line was handed out last. */
    ConfigEntry *entries;
    size_t count;
    Arena *arena;
    Error *err;
} ConfigReading;

/*
 * inih ends a value at " ;", and takes "#" for a comment only at the beginning of a line: the same
 * for both.
 */
static size_t size_without_comment(const char *line, size_t size)
{
    for (size_t i = 1; i < size; i++) {
        if (line[i] == '#' && (line[i - 1] == ' ' || line[i - 1] == '\t'))
            return i;
    }
    return size;
}

/*
 * fgets() for inih, but it counts lines, which inih does not tell, takes off leading blanks, which
 * inih would read as "goes on with the line before", and refuses what inih would cut.
 */
static char *read_line(char *to, int room, void *stream)
{
    ConfigReading *reading = stream;

    if (*reading->next == '\0' || reading->err->code != ERR_NONE)
        return NULL;
    reading->line++;
    const char *begin = reading->next + strspn(reading->next, " \t\r");
    size_t size = strcspn(begin, "\n");
    reading->next = begin + size + (begin[size] == '\n' ? 1 : 0);
    size = size_without_comment(begin, size);

    if (size + 2 > (size_t)room) {
        error_set(reading->err, ERR_USAGE, "%s:%d: line longer than %d bytes", reading->path,
                  reading->line, room - 2);
        return NULL;
    }
    if (*begin == '[' && strcspn(begin, "]\n") > SECTION_SIZE_MAX + 1) {
        error_set(reading->err, ERR_USAGE, "%s:%d: section longer than %d bytes", reading->path,
                  reading->line, SECTION_SIZE_MAX);
        return NULL;
    }
    memcpy(to, begin, size);
    to[size] = '\n';
    to[size + 1] = '\0';
    return to;
}

/* inih wants 1 for "fine". Nothing is parsed yet: which section counts is not known before. */
static int config_take_entry(void *user, const char *section, const char *key, const char *value)
{
    ConfigReading *reading = user;

    if (reading->count == ENTRIES_MAX) {
        if (reading->err->code == ERR_NONE) {
            error_set(reading->err, ERR_USAGE, "%s:%d: more than %d keys", reading->path,
                      reading->line, ENTRIES_MAX);
        }
        return 0;
    }
    reading->entries[reading->count++] = (ConfigEntry){
        .section = arena_text(reading->arena, section),
        .key = arena_text(reading->arena, key),
        .value = arena_text(reading->arena, value),
        .line = reading->line,
    };
    return 1;
}

static bool unknown_key(const ConfigReading *reading, const ConfigEntry *entry, Error *err)
{
    Nearest nearest = {.wanted = entry->key, .size = strlen(entry->key)};

    for (const Option *option = option_table; option->name != NULL; option++) {
        if (!option->positional && !option->only_flag)
            nearest_try(&nearest, option->name);
    }
    error_set(err, ERR_USAGE, "%s:%d: unknown key \"%s\"", reading->path, entry->line, entry->key);
    if (!foreign_option_hint(entry->key, strlen(entry->key), err) && nearest.found != NULL)
        error_hint(err, "did you mean \"%s\"?", nearest.found);
    return false;
}

static bool config_check_entry(const ConfigReading *reading, const ConfigEntry *entry, Error *err)
{
    bool is_cluster = strcmp(entry->key, "cluster") == 0;

    if (strcmp(entry->section, "global") == 0) {
        error_set(err, ERR_USAGE, "%s:%d: a section is named as the cluster it is for",
                  reading->path, entry->line);
        return error_hint(err, "keys for every cluster stand above the first section");
    }
    if (is_cluster && *entry->section != '\0') {
        return error_set(err, ERR_USAGE, "%s:%d: \"cluster\" inside a section", reading->path,
                         entry->line);
    }
    if (!option_is_known(entry->key, strlen(entry->key)) || strcmp(entry->key, "config") == 0)
        return unknown_key(reading, entry, err);
    return true;
}

static bool config_apply(Filling *filling, const ConfigReading *reading, const char *section,
                         OptionSource source, Error *err)
{
    for (size_t i = 0; i < reading->count; i++) {
        const ConfigEntry *entry = &reading->entries[i];
        const Option *option = option_find(filling->command, entry->key, strlen(entry->key));
        char place[512];

        if (option == NULL || strcmp(entry->section, section) != 0)
            continue;
        (void)snprintf(place, sizeof place, "%s:%d: %s", reading->path, entry->line, entry->key);
        if (!option_assign(filling, option, entry->value, source, place, err))
            return false;
    }
    return true;
}

static bool config_read_entries(ConfigReading *reading, Error *err)
{
    int line = ini_parse_stream(read_line, reading, config_take_entry, reading);

    if (err->code != ERR_NONE)
        return false;
    if (line != 0) {
        error_set(err, ERR_USAGE, "%s:%d: not understood", reading->path, line);
        return error_hint(err,
                          "a line is \"key = value\", \"[cluster]\", or a comment after # or ;");
    }
    for (size_t i = 0; i < reading->count; i++) {
        if (!config_check_entry(reading, &reading->entries[i], err))
            return false;
    }
    return true;
}

/* What the caller has opened for us: a pipe of the shell's (`--config=<(...)`), standard input. */
static bool is_inherited(const char *path)
{
    return strncmp(path, "/dev/fd/", 8) == 0 || strncmp(path, "/proc/self/fd/", 14) == 0 ||
           strcmp(path, "/dev/stdin") == 0;
}

/* Whoever can write the file decides what root does, and as whom: acting_user.h holds him to it. */
static bool read_as_root(const char *path, Options *options, Buffer *text, Error *err)
{
    CLEANUP(fd_done) int fd = -1;
    struct stat found;

    if (!owner_open_file(path, &options->arena, &fd, &found, err))
        return false;
    options->config_owner = found.st_uid;
    options->config_is_public = (found.st_mode & S_IROTH) != 0;
    (void)fcntl(fd, F_SETFL, 0); /* a pipe of root's own is read to its end */
    return file_read_rest(fd, path, FILE_SIZE_MAX, text, err);
}

static bool read_as_ourselves(const char *path, Options *options, Buffer *text, Error *err)
{
    struct stat found;

    options->config_is_public = stat(path, &found) == 0 && (found.st_mode & S_IROTH) != 0;
    return file_read_given(path, FILE_SIZE_MAX, text, err);
}

static bool read_text(const char *path, bool may_be_missing, Options *options, Buffer *text,
                      Error *err)
{
    Error failure = {0};

    if (geteuid() == 0 && !is_inherited(path) ? read_as_root(path, options, text, &failure)
                                              : read_as_ourselves(path, options, text, &failure))
        return true;
    if (failure.code == ERR_NOT_FOUND && may_be_missing) {
        buffer_print(text, "%s", "");
        return true;
    }
    if (failure.code == ERR_REFUSED) {
        *err = failure;
        return error_context(err, "read the configuration");
    }
    /* Not ERR_IO or ERR_NOT_FOUND: what is wrong is how we are set up. */
    error_set(err, ERR_USAGE, "configuration: %s", failure.message);
    return error_hint(err, "name a readable file with --config");
}

bool config_file_apply(Filling *filling, const char *path, bool may_be_missing, Error *err)
{
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(arena_done) Arena arena = {0};

    if (!read_text(path, may_be_missing, filling->options, &text, err))
        return false;
    if (text.size == 0)
        return true;
    if (strlen((const char *)text.data) != text.size)
        return error_set(err, ERR_USAGE, "%s is not a text file", path);

    ConfigReading reading = {
        .path = path, .next = (const char *)text.data, .arena = &arena, .err = err};
    reading.entries = arena_alloc(&arena, ENTRIES_MAX * sizeof reading.entries[0]);
    return config_read_entries(&reading, err) &&
           config_apply(filling, &reading, "", SOURCE_FILE, err) &&
           config_apply(filling, &reading, filling->options->cluster, SOURCE_SECTION, err);
}
