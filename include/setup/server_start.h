/*
 * server_start.h - start the server of a restored data directory again, as it was started last.
 */
#pragma once

#include "cli/options.h"
#include "recovery/recovery.h"

/*
 * With the programs and settings of its last start (postmaster.opts), which `restore --start`
 * chose: parameters that were raised, configuration from elsewhere. Other programs when these are
 * gone, or --pg-bin names some. *log_path, where its messages go, belongs to the arena.
 *
 * more: "name=value" that hold besides, and before those of the last start; NULL-terminated, or
 * NULL. was_started: only a server that was started before; ERR_REFUSED else.
 */
bool server_start_again(const Options *options, unsigned major, bool was_started,
                        const char *const *more, Arena *arena, const char **log_path, pid_t *pid,
                        Error *err) MUST_CHECK;
