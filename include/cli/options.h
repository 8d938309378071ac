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
    /* Every command takes these. */
    const char *repo;
    const char *cluster;
    bool cluster_is_given; /* It is false when cluster is the fallback. */
    const char *data;
    const char *conninfo;
    const char *pg_bin;
    const char *user; /* Root works as this user where no directory tells whose work it is. */
    const char *config;
    const char *config_file; /* This file was read, if it is there: `config` or the default. */
    uint64_t jobs;
    uint64_t rate_limit; /* It is in bytes per second. 0 means that there is no limit. */
    bool json;
    const char *log_level;
    const char *log_format;
    bool no_progress;
    bool help;
    /* They are all commands that there are, by which hints are completed. */
    const struct Command *commands;
    /* `backup` and `archive-push` take these. */
    const char *compress;
    /* `init` takes it: it names the cluster that this one was before pg_upgrade. */
    const char *upgrade;
    const char *label;
    uint64_t nice;
    const char *ionice;     /* It is "best-effort", "idle" or "none". */
    const char *checkpoint; /* It is "fast" or "spread". */
    const char *bad_pages;  /* It is "warn" or "fail". */
    bool full;              /* Nothing is shared with an earlier backup. */
    bool check_unchanged, no_reuse_unread;
    uint64_t pack_size;
    uint64_t wal_wait_ms;
    /* `archive-push` and `archive-get` take these. */
    const char *wal_path;
    bool requests; /* `archive-push` reads paths from standard input. */
    uint64_t push_ahead;
    const char *spool; /* NULL means the usual place, if it is there. */
    const char *wal_name;
    uint64_t recovery_timeline;
    uint64_t hole_wait_ms;
    uint64_t prefetch; /* `archive-get` may keep this many bytes of segments ready. */
    uint64_t retries;
    /* `restore` takes these. */
    const char *target; /* It is "immediate" or "latest". */
    const char *target_time, *target_lsn, *target_xid, *target_name;
    bool target_exclusive;
    const char *target_timeline, *save_timeline;
    const char *target_action; /* It is "pause", "promote" or "shutdown". */
    const char *backup;
    const char *tablespaces[TABLESPACE_OPTIONS_MAX]; /* Each is NAME=PATH. */
    size_t tablespace_count;
    const char *only_databases[DATABASE_OPTIONS_MAX];
    size_t only_database_count; /* 0 means all of them. */
    bool move_aside, force, delta, discard_wal, server_is_stopped, no_wal_check, allow_damaged,
        as_copy, start, dry_run;
    uint64_t port; /* It is the port of the restored server. 0 leaves it as it is configured. */
    const char *socket;
    uint64_t stall_ms;
    /*
     * `watch` writes a line this often, or only at changes when it is 0. `receive` stores WAL this
     * often.
     */
    uint64_t interval_ms;
    uint64_t timeout_ms; /* 0 means that there is none. */
    const char *server_log;
    /* `restore`, `watch` and `promote` use these once the database is back. */
    const char *checks; /* It is "all", "none" or names. */
    bool backup_after;
    uint64_t archive_wait_ms;
    /* They are names with commas between, or NULL. */
    const char *expected_slots, *expected_standbys;
    /* `verify` takes these. */
    uint64_t reread_after_ms; /* 0 means that everything is read. */
    bool stored_only;         /* Nothing is decompressed. */
    /* `status` and `restore` take these. */
    uint64_t rto_ms; /* It is the objective: a restore may take this long. */
    /* `status` takes these. */
    uint64_t rpo_ms; /* It is the objective. */
    /* The newest backup may get this old. 0 means that there is no limit. */
    uint64_t backup_age_ms;
    /*
     * `status`, `duties` and `run-duties` take these. The duty_... say how often each has to be
     * done; 0 means never.
     */
    uint64_t budget_ms; /* `run-duties` takes it. 0 means that there is no limit. */
    uint64_t duty_backup_ms, duty_verify_ms, duty_restore_ms, duty_drill_ms;
    /* `receive` takes these. */
    const char *slot;
    const char *application_name;
    bool synchronous;
    const char *until_lsn;
    const char *wal_spool;
    uint64_t wal_spool_size;
    /* `drill` takes these. */
    const char *scratch;
    const char *seed;    /* It is a number. */
    const char *probes;  /* It is the path of a file. */
    const char *preload; /* It becomes shared_preload_libraries of the copy. */
    const char *show;    /* It is an id. */
    bool list, clean, read_all;
    /* `log` and `wal-quarantine` take these. */
    const char *log_from, *log_to; /* They are times, positions or names of segments. */
    /* `wal-quarantine` takes these. */
    uint64_t wrong_timeline; /* 0 means that it was not given. */
    uint64_t beyond_fork;    /* 0 means that it was not given. */
    bool descendants;
    bool yes;
    const char *undo; /* It is an id. */
    /* `log` takes these. */
    const char *timeline; /* NULL means the newest one, or all of them with `drops`. */
    bool drops;
    uint64_t limit; /* It counts lines. 0 means that there is no limit. */
    /* `incident` takes these. */
    const char *incident_action, *incident_text, *incident_id;
    const char *severity; /* It is, for example, "SEV1". */
    const char *began;    /* NULL means now. */
    /* `expire`, `remove`, `backup` and `list` take these: they say what is kept. */
    uint64_t keep_window_ms; /* 0 means that there is none. */
    uint64_t keep_min, keep_daily, keep_weekly, keep_monthly, keep_yearly;
    const char *keep_zone; /* Days, weeks, months and years are those of this time zone. */
    uint64_t grace_ms;
    uint64_t keep_journal_ms; /* `expire` takes it. 0 means forever. */
    bool expire;              /* `backup` runs expire afterwards. */
    bool now;                 /* With `yes`, expire waits for less time than is safe. */
    uint64_t simulate_ms, every_ms;
    const char *spare; /* It is an id. */
    /* `pin` takes these. */
    const char *until, *reason;
    /* The fields below are not options. */
    bool conninfo_is_from_file; /* The configuration file named it. */
    bool config_is_public;      /* Everybody can read that file. */
    /*
     * It is the owner of the file when root reads it. 0 means that root owns it, or that nobody
     * asked.
     */
    uid_t config_owner;
    /*
     * They were given on the command line or in the environment, so a command that a hint names has
     * to say them, too.
     */
    bool repo_is_typed, cluster_is_typed, data_is_typed;
    /* Root has become this user. NULL means that the user did not change. */
    const char *acting_as;
    const char *acting_because; /* It says why, for example "the owner of the data directory". */
    /* It is the whole command line, for manifest and journal. No option is a secret. */
    const char *command_line;
    Arena arena;
} Options;

typedef struct Command {
    const char *name;
    unsigned bit;         /* It is the command's bit in Option.commands. */
    const char *help;     /* It has one line. */
    const char *synopsis; /* It follows the name in the usage line. */
    const char *details;  /* It has a paragraph or more, with an example. */
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
