/*
 * watch_parts.h - what `advance` leaves to `watch --start`.
 */
#pragma once

#include "cli/options.h"

/*
 * The server on options->data is down, in a recovery that `restore` began: it is started on to its
 * target, which is looked at there, and once more to pause; or it opens, without a target. Told as
 * `watch` tells it, with its errors. settings: "name=value" for -c beside those of its last start,
 * NULL-terminated. *reached: end of the last record that was replayed; 0: not known.
 */
bool watch_on_to_target(const Options *options, const char *const *settings, Lsn *reached,
                        Error *err) MUST_CHECK;
