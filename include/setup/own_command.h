/*
 * own_command.h - another command of this very program, as a child: it has its own exit status,
 * report and journal entry, and does what it does by hand.
 */
#pragma once

#include "base/error.h"

#include <sys/types.h>

/*
 * argv: NULL-terminated, argv[0] "pgcairn". is_quiet: what it answers goes to standard error, since
 * our own answer is the only one on standard output. ERR_IO; then 0 or less.
 */
pid_t own_command_start(const char *const *argv, bool is_quiet, Error *err) MUST_CHECK;

/* Whether the time of a child is over. */
typedef bool OwnCommandOver(void *context);

typedef struct OwnCommandEnd {
    int status; /* It is the exit status, or ERR_INTERRUPTED when a signal ended the command. */
    /* It was asked to end (SIGTERM), because its time was over or we were interrupted. */
    bool is_asked;
} OwnCommandEnd;

/* Until it has ended. is_over NULL: it has all the time. False: ERR_INTERRUPTED, and it has ended,
 * too. */
bool own_command_wait(pid_t pid, OwnCommandOver *is_over, void *context, OwnCommandEnd *end,
                      Error *err) MUST_CHECK;
