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

/* It is pg_stat_archiver: what the server thinks, not what the repository holds. */
typedef struct ArchiverLook {
    uint64_t archived_count, failed_count;
    const char *last_archived;               /* It is "" when there is none. */
    const char *last_failed;                 /* It is "" when there is none. */
    TimeUs last_archived_at, last_failed_at; /* They may be TIME_US_NONE. */
} ArchiverLook;

typedef struct SlotLook {
    const char *name;
    bool is_physical;
    bool is_active;
    bool is_ours; /* It is the slot of `pgcairn receive`. */
    /* It is "reserved", "extended", "unreserved" or "lost", and "" when there is none. */
    const char *wal_status;
    Lsn restart;   /* 0 means that it holds nothing back. */
    uint64_t held; /* From there to where the server writes, WAL has this many bytes. */
} SlotLook;

typedef struct ArchiveSettings {
    bool is_on; /* archive_mode is not off. On a standby, it is "always". */
    const char *mode, *command, *library, *wal_level;
    TimeUs timeout; /* It is archive_timeout. 0 means that there is none. */
    uint64_t max_wal_size;
} ArchiveSettings;

typedef struct ServerLook {
    /*
     * The next fields say which server it is, from SQL or from its data directory. All texts are in
     * the arena.
     */
    bool is_known; /* The system identifier and the next fields are valid. */
    uint64_t system_identifier;
    unsigned major;
    uint32_t wal_segment_size;
    uint32_t timeline;
    bool in_recovery;

    const char *data;    /* It is the data directory whose pg_wal can be read here, or NULL. */
    const char *no_data; /* It says why data is NULL, or is "". */
    PgControl control;   /* It is set when data is not NULL. */
    bool is_running;     /* A lock file of a living server is in data. */

    bool answers;          /* The server answers SQL: the fields below are valid. */
    const char *no_answer; /* It says why the server does not answer, or is "". */
    /* It is what the server's clock said when time_monotonic() was asked_at. */
    TimeUs now;
    TimeUs asked_at;
    TimeUs clock_ahead; /* The server's clock is ahead of ours by this much. */
    /* The server writes here. On a standby, what it received or replayed ends here. */
    Lsn insert;
    Lsn flushed;       /* All WAL before it can be read in pg_wal. */
    bool is_streaming; /* The server is a standby that is connected to its primary. */
    bool is_hidden;    /* This role may not see whether it is streaming. */
    /* With is_streaming, the last message came then. TIME_US_NONE means that this is not known. */
    TimeUs heard_at;
    /*
     * With is_streaming, the primary had written up to here by then. 0 means that this is not
     * known.
     */
    Lsn told;
    ArchiveSettings archive;
    /*
     * It is another repository, or a cluster in it, than the one that was asked about, as
     * archive_command names it. It is "" unless that is proven.
     */
    const char *archives_to;
    ArchiverLook archiver;
    SlotLook *slots;
    size_t slot_count;
    bool knows_slots;
} ServerLook;

/* Segments that the server has marked for its archiver (archive_status/NAME.ready). */
typedef struct ReadyPile {
    bool is_known;
    const char *reason; /* It says why it is not known, or is "". */
    uint64_t count;     /* It counts segments. */
    uint64_t others;    /* It counts history and backup files. */
    uint64_t bytes;
    char oldest[WAL_NAME_SIZE]; /* It is the lowest name of a segment, or "". */
    WalName oldest_name;
    TimeUs oldest_at; /* The first one was marked then, by the server's clock. */
    /*
     * It counts the segments that became ready since then, when at least one did and nothing was
     * archived meanwhile. 0 means that it is not known.
     */
    double growth_bytes_per_s;
    TimeUs measured; /* The growth was measured over this time. */
    bool knows_free;
    uint64_t free_bytes; /* The file system of pg_wal has this many bytes free. */
    /* It is full in this time, at that growth. TIME_US_NONE means that this is not known. */
    TimeUs full_in;
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
