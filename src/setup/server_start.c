#include "setup/server_start.h"

/* As it was started last, else what is found; the settings of that start still hold. */
static bool find_start(const Options *options, unsigned major, bool was_started, Arena *arena,
                       ServerStart *start, Error *err)
{
    ServerStart last = {0};
    Error ignored = {0}; /* programs that went away since: look for others */
    bool found;

    if (!server_start_read(options->data, arena, &last, &found, err))
        return false;
    if (!found && was_started) {
        error_set(err, ERR_REFUSED, "the server of %s was never started since it was restored",
                  options->data);
        return error_hint(err, "run the same restore with --start again");
    }
    *start = last;
    if (options->pg_bin == NULL && found &&
        server_find_programs(last.programs, major, arena, &start->programs, &ignored))
        return true;
    return server_find_programs(options->pg_bin, major, arena, &start->programs, err);
}

/* Beside the data directory, where restore has put it too. */
static const char *log_path_of(const char *data, Arena *arena)
{
    size_t length = strlen(data);

    while (length > 1 && data[length - 1] == '/')
        length--;
    return arena_format(arena, "%.*s.pgcairn-server.log", (int)length, data);
}

static size_t count_settings(const char *const *settings)
{
    size_t count = 0;

    while (settings != NULL && settings[count] != NULL)
        count++;
    return count;
}

/* Of two with one name the server takes the later one. */
static const char *const *join_settings(const char *const *last, const char *const *more,
                                        Arena *arena)
{
    const size_t first_count = count_settings(last), more_count = count_settings(more);
    const char **all = arena_alloc(arena, (first_count + more_count + 1) * sizeof *all);

    for (size_t i = 0; i < first_count; i++)
        all[i] = last[i];
    for (size_t i = 0; i < more_count; i++)
        all[first_count + i] = more[i];
    return (const char *const *)all;
}

bool server_start_again(const Options *options, unsigned major, bool was_started,
                        const char *const *more, Arena *arena, const char **log_path, pid_t *pid,
                        Error *err)
{
    ServerStart start;

    if (!find_start(options, major, was_started, arena, &start, err))
        return false;
    *log_path = log_path_of(options->data, arena);
    return recovery_start(&(StartSetup){.data = options->data,
                                        .programs = start.programs,
                                        .log_path = *log_path,
                                        .settings = join_settings(start.settings, more, arena)},
                          pid, err);
}
