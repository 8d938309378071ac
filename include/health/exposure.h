/*
 * exposure.h - the RPO of this moment: how old is the oldest commit that is not yet durable in the
 * repository?
 *
 * It is found by looking: the archive is listed and its trailers are read up to where it is without
 * a gap, and from there on the server's own WAL is read to the first commit record. So an idle
 * database has no exposure, however old its last archived segment is, and what the server merely
 * believes to be archived does not count. Ages are by the server's clock, as commit times are.
 */
#pragma once

#include "catalog/backups.h"
#include "postgres/wal_summary.h"

/* Up to where the archive holds what a recovery of this server would need. */
typedef struct ArchiveEnd {
    bool is_empty; /* There is no segment of this path at all. */
    Lsn durable;   /* The archive holds all records that end up to here. It is 0 when is_empty. */
    /*
     * The first commit after it is looked for from here on. read_from is in the last segment when a
     * record that may be a commit begins there and goes on. Segments before `stored` can be read
     * from the archive.
     */
    Lsn read_from;
    uint64_t stored;
    uint64_t segments; /* This many complete segments come one after another, without a gap. */
    /* It is the last of those segments. When segments is 0, there is none. */
    uint64_t last_segment;
    bool is_open; /* There are pieces of the next one, too. */
    uint32_t last_timeline;
    /* The last commit record in those segments ends here. 0 means that this is not known. */
    Lsn commit_end;
    /* It is the time of the newest commit found up to there, or TIME_US_NONE. */
    TimeUs last_commit;
    TimeUs older_than; /* What was committed later is younger than this, or TIME_US_NONE. */
    /*
     * After the base, the WAL says wal_level=minimal here. What was done from then on may be in no
     * WAL, so none of it counts. 0 means that the WAL nowhere says so.
     */
    Lsn minimal_at;
    bool is_hole;   /* Later WAL of the path is there after a gap. */
    bool is_broken; /* The next segment is damaged, or does not go on where this one ends. */
    /*
     * The archive lacks the history of this timeline of the path, so its WAL does not count,
     * because no recovery could find it. 0 means that there is no such timeline.
     */
    uint32_t lost_history;
    bool is_other_history;  /* The archive has that history, but it is not the server's. */
    const BackupInfo *base; /* It is the newest restorable backup on the path, or NULL. */
    char reason[160];       /* It says why is_broken. */
} ArchiveEnd;

/* path: the server's. ERR_UNREACHABLE and the like when it could not be read. */
bool archive_end_find(const Cluster *cluster, const WalInventory *wal, const BackupList *backups,
                      const TimelinePath *path, ArchiveEnd *end, Error *err) MUST_CHECK;

/*
 * Read a part of a file of the server's pg_wal into bytes (emptied before): fewer at its end.
 * *is_there false: no such file.
 */
typedef bool WalPartFunction(void *context, const char *name, uint64_t offset, size_t size,
                             Buffer *bytes, bool *is_there, Error *err);

/* What a client was told is done. From then on it exists in the WAL. */
typedef enum PromiseKind {
    PROMISE_COMMIT,            /* COMMIT PREPARED counts, too. */
    PROMISE_PREPARE,           /* It is a PREPARE TRANSACTION, which can still be committed. */
    PROMISE_ROLLBACK_PREPARED, /* Without it the transaction would be there again, prepared. */
} PromiseKind;

const char *promise_name(PromiseKind kind); /* It returns, for example, "commit". */

/* Looking for the first promise in the server's WAL; called a commit, as most are. */
typedef struct CommitSearch {
    const Cluster *cluster; /* When its repo is NULL, nothing is read from the repository. */
    const TimelinePath *path;
    Lsn durable;     /* Commits whose record ends after this are looked for. */
    Lsn read_from;   /* Reading begins in this segment. */
    uint64_t stored; /* Segments before this one come from the repository. */
    WalPartFunction *read;
    void *context;
    /*
     * WAL must have been seen at least up to here. 0 means that this is not known, and then
     * `directory` is listed.
     */
    Lsn flushed;
    Lsn checkpoint;        /* This checkpoint must have been seen, too. */
    const char *directory; /* It is pg_wal, or NULL. */
    uint64_t bytes_max;
} CommitSearch;

typedef struct CommitFound {
    bool is_found;
    PromiseKind kind;
    WalEvent commit;   /* It has the place, time and transaction of the commit. */
    uint32_t timeline; /* The segment with it is of this timeline. */
    bool is_complete;  /* Nothing was found, and all that the server has written was looked at. */
    Lsn seen_to;       /* The last record that was seen ends here. 0 means that none was. */
    char reason[224];  /* It says why the search neither found a commit nor was complete. */
} CommitFound;

bool commit_search(const CommitSearch *search, CommitFound *found, Error *err) MUST_CHECK;

/*
 * Where the server's own WAL ceases to be what the archive holds under the same names: when two
 * servers went on from one place, the archive is that of the one that came first.
 *
 * Looked for by samples: the bytes before the archive's end, its last commit, the segment that the
 * server has yet to archive. Only if one of them differs whole segments are read.
 */
typedef struct WalForkSearch {
    const Cluster *cluster;
    const WalInventory *wal;
    const TimelinePath *path;
    const ArchiveEnd *end; /* It is not empty. */
    WalPartFunction *read;
    void *context;
    /* Nothing of the server's is compared from here on. 0 means that this is not known. */
    Lsn written;
    /*
     * When written is 0, the server has written at least up to here. 0 means that this is not known
     * either.
     */
    Lsn checkpoint;
    /* It is the first segment that the server has yet to archive. NULL means that there is none. */
    const WalName *waiting;
    bool waiting_fails; /* The server has tried to archive it, and failed. */
} WalForkSearch;

typedef struct WalFork {
    bool is_compared; /* The end of what both have was compared. */
    bool is_found;
    Lsn lsn;       /* The first byte that differs is here. */
    Lsn read_from; /* It is as in ArchiveEnd, for what comes after the fork. */
    uint64_t stored;
    bool is_older; /* The fork may be earlier than that, because pg_wal does not go back so far. */
} WalFork;

bool wal_fork_find(const WalForkSearch *search, WalFork *fork, Error *err) MUST_CHECK;

typedef enum ExposureState {
    EXPOSURE_NONE,    /* Every commit is in the repository. */
    EXPOSURE_KNOWN,   /* `since` is the time of the oldest commit that is not in the repository. */
    EXPOSURE_AT_MOST, /* Whatever is missing is younger than `since`. */
    /* Nothing was ever archived. `since` is the time of the oldest commit seen, if there is one. */
    EXPOSURE_EVERYTHING,
    EXPOSURE_UNKNOWN,
} ExposureState;

typedef struct Exposure {
    ExposureState state;
    /*
     * The repository was out of reach, so the exposure is what the server has not marked as
     * archived.
     */
    bool by_archiver;
    TimeUs since;        /* It may be TIME_US_NONE. */
    TimeUs at;           /* The exposure was measured then, by the server's clock. */
    TimeUs age;          /* It is at - since, and never below 0. Without since it is 0. */
    bool is_from_future; /* `since` is later than `at`, because the server's clock was set back. */
    PromiseKind kind;    /* With KNOWN, since is the time of such a promise. */
    Lsn lsn;             /* With KNOWN, the commit record is here. */
    uint32_t xid;
    char segment[WAL_NAME_SIZE]; /* With KNOWN, this segment holds it. */
    char reason[256];            /* With AT_MOST and UNKNOWN it says why. Otherwise it is "". */
} Exposure;

const char *exposure_state_name(
    ExposureState state); /* It returns "none", "known", "at most", ... */
/* From since and at. A second of difference between two clocks is none. */
void exposure_set_age(Exposure *exposure);
