/*
 * config_file.h - the configuration file: option names without their dashes.
 *
 *     repo = /backup/pg
 *     jobs = 4
 *
 *     [main]
 *     data = /var/lib/postgresql/15/main
 *
 * What stands above the first section holds for every cluster, a section for the cluster of its
 * name. Keys of other commands' options are passed over, unknown keys are refused: a misspelled
 * one must not look as if it worked. Comments begin with # or ; and a line may be 198 bytes long.
 */
#pragma once

#include "option_value.h"

/* ERR_USAGE, naming file and line; also when the file cannot be read. */
bool config_file_apply(Filling *filling, const char *path, bool may_be_missing,
                       Error *err) MUST_CHECK;
