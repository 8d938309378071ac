/*
 * hint.h - commands in hints, as the operator can type them.
 *
 * A hint puts a command between backticks and leaves out what this run was told: "`pgcairn list`
 * shows what can be reached". The layers that write hints don't know how the repository was named.
 * Whoever shows the hint has it completed:
 *
 *   `pgcairn list`            -> `pgcairn list --repo=/srv/backup --cluster=shop`
 *   `pgcairn backup`          -> `pgcairn backup --repo=/srv/backup --data=/var/lib/...`
 *   'pgcairn archive-push %p' -> '/usr/local/bin/pgcairn archive-push --repo=/srv/backup %p'
 *   `/usr/.../pg_ctl stop`    -> `runuser -u postgres -- /usr/.../pg_ctl stop`, for root
 *
 * What the configuration file says is not repeated, unless --config named the file: then that is.
 * An option that the command has already, or does not take, is left out. `--data=DIR` stands where
 * a command needs a data directory and nothing tells which.
 */
#pragma once

#include "cli/options.h"

#include "base/buffer.h"

/* The hint with its commands completed, in `arena`; the hint itself when there is nothing to do. */
const char *hint_complete(const Options *options, const char *hint, Arena *arena);

/* The same with the path of this program given: of tests. */
const char *hint_complete_as(const Options *options, const char *hint, const char *program,
                             Arena *arena);
