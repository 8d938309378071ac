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

bool server_start_again(const Options *options, unsigned major, bool was_started, Arena *arena,
                        const char **log_path, pid_t *pid, Error *err)
{
    ServerStart start;

    if (!find_start(options, major, was_started, arena, &start, err))
        return false;
    *log_path = log_path_of(options->data, arena);
    return recovery_start(&(StartSetup){.data = options->data,
                                        .programs = start.programs,
                                        .log_path = *log_path,
                                        .settings = start.settings},
                          pid, err);
}
