/*
 * option_table.h - one row per option; the only place where an option exists.
 *
 * Parsing, checking, the environment, the configuration file and --help all read this table. An
 * option that means something else to another command has a row for each.
 */
#pragma once

#include "cli/options.h"

typedef enum OptionKind {
    FLAG,     /* bool:         --dry-run */
    TEXT,     /* const char *: --repo=PATH */
    CHOICE,   /* const char *: --log-format=json; one of .choices */
    COUNT,    /* uint64_t:     --jobs=4; .min .. .max */
    SIZE,     /* uint64_t:     --rate-limit=20MiB; .min .. .max, bytes */
    DURATION, /* uint64_t:     --wal-wait=5min; .min .. .max, milliseconds */
    LIST,     /* tablespaces:  --tablespace=NAME=PATH, as often as needed */
    NAMES,    /* databases:    --only-database=NAME, as often as needed */
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
    size_t field;      /* offset in Options */
    unsigned commands; /* which commands know it */
    OptionGroup group;
    const char *value; /* what stands for the value in --help; CHOICE shows its choices instead */
    const char *help;
    const char *fallback; /* used when the option is absent, NULL = nothing */
    unsigned required;    /* commands that need it; TEXT and CHOICE only */
    bool positional;      /* known by its place among the rows of the command, not by --name */
    bool only_flag;       /* not in the environment or a file, where it would be forgotten */
    uint64_t min, max;
    const char *const *choices; /* NULL-terminated */
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
    FOR_KEEPING = FOR_EXPIRE | FOR_PIN | FOR_UNPIN | FOR_REMOVE, /* no server is asked */
};
