/*
 * option_value.h - put a value that somebody wrote into its field of Options.
 */
#pragma once

#include "option_table.h"

/* Who said it. A later one wins over an earlier one. */
typedef enum OptionSource {
    SOURCE_NONE,
    SOURCE_FALLBACK,
    SOURCE_FILE,
    SOURCE_SECTION, /* It is the section of one cluster in the file. */
    SOURCE_ENVIRONMENT,
    SOURCE_FLAG,
} OptionSource;

/* Options being filled, and who filled what: one entry for each row of the table. */
typedef struct Filling {
    Options *options;
    const Command *command;
    const Command *all_commands; /* It ends with a command whose name is NULL. */
    OptionSource sources[OPTION_ROWS_MAX];
} Filling;

bool option_belongs(const Option *option, const Command *command);

/* The option of that name which the command has, or NULL. Arguments by place are not found. */
const Option *option_find(const Command *command, const char *name, size_t size);

/* Whether any command has it. */
bool option_is_known(const char *name, size_t size);

OptionSource option_source(const Filling *filling, const Option *option);

/*
 * Unless a later source has spoken. text is NULL for a flag that stands alone. place is how the
 * message names it: "--jobs", "PGCAIRN_JOBS", "/etc/pgcairn.conf:3: jobs". ERR_USAGE.
 */
bool option_assign(Filling *filling, const Option *option, const char *text, OptionSource source,
                   const char *place, Error *err) MUST_CHECK;
