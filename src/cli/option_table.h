/*
 * option_table.h - one row per option; the only place where an option exists.
 *
 * Parsing, checking, the environment, the configuration file and --help all read this table. An
 * option that means something else to another command has a row for each.
 */
#pragma once

#include "cli/options.h"

typedef enum OptionKind {
    FLAG,     /* It fills a bool: --dry-run. */
    TEXT,     /* It fills a const char *: --repo=PATH. */
    CHOICE,   /* It fills a const char * with one of .choices: --log-format=json. */
    COUNT,    /* It fills a uint64_t from .min to .max: --jobs=4. */
    SIZE,     /* It fills a uint64_t from .min to .max, in bytes: --rate-limit=20MiB. */
    DURATION, /* It fills a uint64_t from .min to .max, in milliseconds: --wal-wait=5min. */
    LIST,     /* It adds to the tablespaces, as often as needed: --tablespace=NAME=PATH. */
    NAMES,    /* It adds to the databases, as often as needed: --only-database=NAME. */
} OptionKind;

/* Under which heading --help shows it, in this order. */
typedef enum OptionGroup {
    GROUP_ARGUMENTS,
    GROUP_CLUSTER,
    GROUP_BACKUP,
    GROUP_WAL,
    GROUP_TARGET,
    GROUP_RESTORE,
    GROUP_START,
    GROUP_DUTIES,
    GROUP_KEEP,
    GROUP_WORK,
    GROUP_OUTPUT,
    GROUP_COUNT,
} OptionGroup;

typedef struct Option {
    const char *name;
    OptionKind kind;
    size_t field;      /* It is the offset in Options. */
    unsigned commands; /* These commands know it. */
    OptionGroup group;
    const char *value; /* It stands for the value in --help. CHOICE shows its choices instead. */
    const char *help;
    const char *fallback; /* It is used when the option is absent. NULL means nothing. */
    unsigned required;    /* These commands need it. Only TEXT and CHOICE can be required. */
    /* Its place among the rows of the command tells what it is, not --name. */
    bool positional;
    /* It can't be in the environment or a file, where it would be forgotten. */
    bool only_flag;
    uint64_t min, max;
    const char *const *choices; /* They end with NULL. */
} Option;

enum { OPTION_ROWS_MAX = 160 };

/* Ends with a NULL name. */
extern const Option option_table[];

/* Every command. */
enum {
    FOR_ALL = FOR_INIT | FOR_BACKUP | FOR_PUSH | FOR_GET | FOR_RESTORE | FOR_WATCH | FOR_PROMOTE |
              FOR_LIST | FOR_VERIFY | FOR_STATUS | FOR_RECEIVE | FOR_LOG | FOR_QUARANTINE |
              FOR_ADVANCE | FOR_DRILL | FOR_DUTIES | FOR_RUN_DUTIES | FOR_INCIDENT | FOR_EXPIRE |
              FOR_PIN | FOR_UNPIN | FOR_REMOVE,
    FOR_KEEPING = FOR_EXPIRE | FOR_PIN | FOR_UNPIN | FOR_REMOVE, /* These commands ask no server. */
};
