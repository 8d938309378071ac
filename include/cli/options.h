/*
 * options.h - what the command line, the environment and the configuration file can say.
 *
 * Later wins: built-in fallback, /etc/pgcairn.conf or --config, PGCAIRN_* environment, flags.
 * One table (src/cli/option_table.c) drives parsing, checking, --help and the file.
 */
#pragma once

#include "base/error.h"
#include "base/memory.h"

enum { TABLESPACE_OPTIONS_MAX = 64, DATABASE_OPTIONS_MAX = 64 };

/* Filled by options_parse(), const from then on; strings live in the arena. */
typedef struct Options {
    /* everywhere */
    const char *repo;
    const char *cluster;
    bool cluster_is_given; /* it is not the fallback */
    const char *data;
    const char *conninfo;
    const char *pg_bin;
    const char *user; /* of root: who is to own what is not there yet */
    const char *config;
    const char *config_file; /* the one that was read, if it is there: config or the default */
    uint64_t jobs;
    uint64_t rate_limit; /* bytes per second, 0 = none */
    bool json;
    const char *log_level;
    const char *log_format;
    bool no_progress;
    bool help;
    const struct Command *commands; /* all that there are: what hints are completed by */
    /* backup, archive-push */
    const char *compress;
    const char *upgrade; /* init: the cluster that this one was before pg_upgrade */
    const char *label;
    uint64_t nice;
    const char *ionice;     /* "best-effort", "idle", "none" */
    const char *checkpoint; /* "fast", "spread" */
    const char *bad_pages;  /* "warn", "fail" */
    bool full;              /* nothing is shared with an earlier backup */
    bool check_unchanged, no_reuse_unread;
    uint64_t pack_size;
    uint64_t wal_wait_ms;
    /* archive-push, archive-get */
    const char *wal_path;
    bool requests; /* archive-push: paths come on standard input */
    uint64_t push_ahead;
    const char *spool; /* NULL: the usual place, if it is there */
    const char *wal_name;
    uint64_t recovery_timeline;
    uint64_t hole_wait_ms;
    uint64_t prefetch; /* archive-get: bytes of segments that may lie ready */
    uint64_t retries;
    /* restore */
    const char *target; /* "immediate", "latest" */
    const char *target_time, *target_lsn, *target_xid, *target_name;
    bool target_exclusive;
    const char *target_timeline, *save_timeline;
    const char *target_action; /* "pause", "promote", "shutdown" */
    const char *backup;
    const char *tablespaces[TABLESPACE_OPTIONS_MAX]; /* NAME=PATH */
    size_t tablespace_count;
    const char *only_databases[DATABASE_OPTIONS_MAX];
    size_t only_database_count; /* 0: all */
    bool move_aside, force, delta, discard_wal, server_is_stopped, no_wal_check, allow_damaged,
        as_copy, start, dry_run;
    uint64_t port; /* of the restored server; 0: as it is configured */
    const char *socket;
    uint64_t stall_ms;
    /* watch: how often a line is written, 0: at changes only; receive: how often WAL is stored */
    uint64_t interval_ms;
    uint64_t timeout_ms; /* 0: none */
    const char *server_log;
    /* restore, watch, promote: once the database is back */
    const char *checks; /* "all", "none", names */
    bool backup_after;
    uint64_t archive_wait_ms;
    const char *expected_slots, *expected_standbys; /* names with commas between; NULL */
    /* verify */
    uint64_t reread_after_ms; /* 0: everything is read */
    bool stored_only;         /* nothing is decompressed */
    /* status, restore */
    uint64_t rto_ms; /* the objective: how long a restore may take */
    /* status */
    uint64_t rpo_ms;        /* the objective */
    uint64_t backup_age_ms; /* how old the newest backup may get; 0: no limit */
    /* status, duties, run-duties: how often each has to be done, 0: never */
    uint64_t budget_ms; /* run-duties: 0: none */
    uint64_t duty_backup_ms, duty_verify_ms, duty_restore_ms, duty_drill_ms;
    /* receive */
    const char *slot;
    const char *application_name;
    bool synchronous;
    const char *until_lsn;
    const char *wal_spool;
    uint64_t wal_spool_size;
    /* drill */
    const char *scratch;
    const char *seed;    /* a number */
    const char *probes;  /* a file */
    const char *preload; /* shared_preload_libraries of the copy */
    const char *show;    /* an id */
    bool list, clean, read_all;
    /* log, wal-quarantine */
    const char *log_from, *log_to; /* instants, positions, names of segments */
    /* wal-quarantine */
    uint64_t wrong_timeline; /* 0: not said */
    uint64_t beyond_fork;    /* 0: none */
    bool descendants;
    bool yes;
    const char *undo; /* an id */
    /* log */
    const char *timeline; /* NULL: the newest, or all with drops */
    bool drops;
    uint64_t limit; /* lines, 0: no limit */
    /* incident */
    const char *incident_action, *incident_text, *incident_id;
    const char *severity; /* "SEV1" */
    const char *began;    /* NULL: now */
    /* what is kept: expire, remove, backup, list */
    uint64_t keep_window_ms; /* 0: none */
    uint64_t keep_min, keep_daily, keep_weekly, keep_monthly, keep_yearly;
    const char *keep_zone; /* of days, weeks, months and years */
    uint64_t grace_ms;
    uint64_t keep_journal_ms; /* expire: 0: forever */
    bool expire;              /* backup: expire afterwards */
    bool now;                 /* expire: with `yes`, a grace of less than is safe */
    uint64_t simulate_ms, every_ms;
    const char *spare; /* an id */
    /* pin */
    const char *until, *reason;
    /* not options: */
    bool conninfo_is_from_file; /* the configuration file named it */
    bool config_is_public;      /* everybody can read that file */
    uid_t config_owner;         /* whose it is, when root reads it; 0: root's, or not asked */
    /* On the command line or in the environment: a command that a hint names has to say it, too. */
    bool repo_is_typed, cluster_is_typed, data_is_typed;
    const char *acting_as;      /* the user that root has become; NULL: we are who we were */
    const char *acting_because; /* ... "the owner of the data directory" */
    const char *command_line;   /* all of it, for manifest and journal; no secrets are options */
    Arena arena;
} Options;

typedef struct Command {
    const char *name;
    unsigned bit;         /* its bit in Option.commands */
    const char *help;     /* one line */
    const char *synopsis; /* what follows the name in the usage line */
    const char *details;  /* a paragraph or more, with an example */
    bool (*run)(const Options *options, Error *err);
} Command;

/*
 * Find the command and fill options: --opt=value, --opt value, arguments by place; after -- all is
 * an argument. commands ends with a NULL name. With options->help set nothing else is checked;
 * *command is NULL when none was named.
 * ERR_USAGE, with a hint, when something is unknown (nearest name suggested), missing or out of
 * range; in a file the message names file and line.
 */
bool options_parse(int argc, char **argv, const Command *commands, const Command **command,
                   Options *options, Error *err) MUST_CHECK;
void options_done(Options *options); /* for CLEANUP() */

/* Write the help of one command, or with NULL the list of commands, to standard output. */
void options_help(const Command *commands, const Command *command);

/* The bits of Option.commands, one for each command. */
enum {
    FOR_INIT = 1 << 0,
    FOR_BACKUP = 1 << 1,
    FOR_PUSH = 1 << 2,
    FOR_GET = 1 << 3,
    FOR_RESTORE = 1 << 4,
    FOR_WATCH = 1 << 5,
    FOR_PROMOTE = 1 << 6,
    FOR_LIST = 1 << 7,
    FOR_VERIFY = 1 << 8,
    FOR_STATUS = 1 << 9,
    FOR_RECEIVE = 1 << 10,
    FOR_LOG = 1 << 11,
    FOR_QUARANTINE = 1 << 12,
    FOR_ADVANCE = 1 << 13,
    FOR_DRILL = 1 << 14,
    FOR_DUTIES = 1 << 15,
    FOR_RUN_DUTIES = 1 << 16,
    FOR_INCIDENT = 1 << 17,
    FOR_EXPIRE = 1 << 18,
    FOR_PIN = 1 << 19,
    FOR_UNPIN = 1 << 20,
    FOR_REMOVE = 1 << 21,
};
