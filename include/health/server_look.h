/*
 * server_look.h - what a server says about its WAL, its archiver and its replication slots, and
 * what waits in its pg_wal.
 *
 * Filled by health_look(), plain data from then on. What could not be asked is marked as not known;
 * nothing is guessed.
 */
#pragma once

#include "base/memory.h"
#include "base/time.h"
#include "postgres/control.h"

/* pg_stat_archiver: what the server believes, not what the repository holds. */
typedef struct ArchiverLook {
    uint64_t archived_count, failed_count;
    const char *last_archived;               /* "" when none */
    const char *last_failed;                 /* "" when none */
    TimeUs last_archived_at, last_failed_at; /* TIME_US_NONE */
} ArchiverLook;

typedef struct SlotLook {
    const char *name;
    bool is_physical;
    bool is_active;
    bool is_ours;           /* It is the slot of `pgcairn receive`. */
    const char *wal_status; /* "reserved", "extended", "unreserved", "lost"; "" when none */
    Lsn restart;            /* 0: it holds nothing back */
    uint64_t held;          /* bytes of WAL from there to where the server writes */
} SlotLook;

typedef struct ArchiveSettings {
    bool is_on; /* archive_mode is not off, on a standby: it is "always" */
    const char *mode, *command, *library, *wal_level;
    TimeUs timeout; /* archive_timeout, 0: none */
    uint64_t max_wal_size;
} ArchiveSettings;

typedef struct ServerLook {
    /* Texts in arena. Who it is, from SQL or from its data directory. */
    bool is_known; /* system identifier and what follows hold */
    uint64_t system_identifier;
    unsigned major;
    uint32_t wal_segment_size;
    uint32_t timeline;
    bool in_recovery;

    const char *data;    /* data directory whose pg_wal can be read here; NULL */
    const char *no_data; /* why not; "" */
    PgControl control;   /* when data is not NULL */
    bool is_running;     /* a lock file of a living server is in data */

    bool answers;          /* The server answers SQL: all that follows holds. */
    const char *no_answer; /* why not; "" */
    TimeUs now;            /* the server's clock, when time_monotonic() was asked_at */
    TimeUs asked_at;
    TimeUs clock_ahead; /* the server's clock less ours */
    Lsn insert;         /* where it writes; on a standby the end of what it received or replayed */
    Lsn flushed;        /* all before it can be read in pg_wal */
    bool is_streaming;  /* a standby that is connected to its primary */
    bool is_hidden;     /* whether it is this role may not see */
    TimeUs heard_at;    /* is_streaming: when the last message came; TIME_US_NONE: not known */
    Lsn told;           /* is_streaming: how far the primary had written by that; 0: not known */
    ArchiveSettings archive;
    const char *archives_to; /* another repository, or cluster in it, than the one that is asked,
                                as archive_command names it; "" unless that is proven */
    ArchiverLook archiver;
    SlotLook *slots;
    size_t slot_count;
    bool knows_slots;
} ServerLook;

/* Segments that the server has marked for its archiver (archive_status/NAME.ready). */
typedef struct ReadyPile {
    bool is_known;
    const char *reason; /* why not; "" */
    uint64_t count;     /* segments */
    uint64_t others;    /* history and backup files */
    uint64_t bytes;
    char oldest[WAL_NAME_SIZE]; /* lowest name of a segment; "" */
    WalName oldest_name;
    TimeUs oldest_at; /* when the first one was marked, by the server's clock */
    /*
     * Segments that became ready since then, in bytes per second, when at least one did and nothing
     * was archived meanwhile; 0: not known.
     */
    double growth_bytes_per_s;
    TimeUs measured; /* over so long */
    bool knows_free;
    uint64_t free_bytes; /* Free bytes of pg_wal's file system. */
    TimeUs full_in;      /* When it is full at that growth; TIME_US_NONE: not known. */
} ReadyPile;

/* The last attempt failed. */
bool archiver_is_failing(const ArchiverLook *archiver);
/* The server's clock at this moment; ours when it does not answer. */
TimeUs server_look_now(const ServerLook *server);

/*
 * The value of an option (without its dashes) in a shell command, in the arena; NULL: it is not
 * there. A text like pgcairn's own options are given: --repo=/backup, --repo '/backup'.
 */
const char *command_option(const char *command, const char *option, Arena *arena);
