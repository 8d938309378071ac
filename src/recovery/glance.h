/*
 * glance.h - the two ways to look into a recovering server.
 */
#pragma once

#include "recovery/recovery.h"
#include "server/session.h"

/* What a server says that accepts connections. */
typedef struct SqlGlance {
    bool in_recovery;
    bool is_paused;
    Lsn replayed;       /* 0 means that nothing was replayed yet. */
    TimeUs last_commit; /* It was replayed. It may be TIME_US_NONE. */
    uint32_t timeline;  /* It is 0 while the server is in recovery. */
} SqlGlance;

/*
 * A session with the server whose lock file this is; conninfo NULL: over its socket or port, as the
 * owner of the data directory. ERR_USAGE when conninfo leads to another server.
 */
Session *glance_session(const char *conninfo, const ServerLock *lock, const PgControl *control,
                        Error *err) MUST_CHECK;
/* The same in this database (NULL: in the one that conninfo says), without endless waits: a lock is
 * waited for 2 s, a statement ends after 10 s. */
Session *glance_database_session(const char *conninfo, const ServerLock *lock,
                                 const PgControl *control, const char *database,
                                 Error *err) MUST_CHECK;
bool glance_by_sql(Session *session, unsigned major, SqlGlance *glance, Error *err) MUST_CHECK;

/* What the startup process says that it does. False when its title says nothing. */
typedef struct TitleGlance {
    char segment[64];
    bool is_waiting;
    WalName name;
} TitleGlance;
bool glance_by_title(pid_t pid, uint32_t segment_size, TitleGlance *glance);
bool title_parse(const char *title, uint32_t segment_size, TitleGlance *glance);
