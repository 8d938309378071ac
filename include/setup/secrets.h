/*
 * secrets.h - a password that we were given stays ours.
 */
#pragma once

#include "cli/options.h"

/*
 * When the connection string, or libpq's environment, holds a password: no core dump of this
 * process is written, and nobody else may trace it (prctl(2), PR_SET_DUMPABLE). Warns when the
 * configuration file that named it can be read by others. After log_setup().
 */
void secrets_guard(const Options *options);
