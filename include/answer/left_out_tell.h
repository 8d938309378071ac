/*
 * left_out_tell.h - restore --only-database: what is brought back and what is not, and what that
 * means.
 */
#pragma once

#include "cli/output.h"
#include "rebuild/restore_plan.h"

/* For the plan and for the result: nothing where all databases are brought back. */
void left_out_print(const LeftOut *left_out);
/* What is left to do with them: SQL that can be typed. */
void left_out_print_next(const LeftOut *left_out);
/* "only_databases": null, or an object. */
void left_out_to_json(const LeftOut *left_out, Json *json);
