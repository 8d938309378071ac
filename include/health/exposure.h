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
    bool is_empty; /* no segment of this path at all */
    Lsn durable;   /* all records that end up to here; 0 when is_empty */
    /*
     * Where to look for the first commit after it: in the segment of read_from, which is the last
     * one when a record that may be a commit begins there and goes on. Segments before `stored` can
     * be read from the archive.
     */
    Lsn read_from;
    uint64_t stored;
    uint64_t segments;     /* whole ones, without a gap */
    uint64_t last_segment; /* the last one of them; there is none when segments is 0 */
    bool is_open;          /* There are pieces of the next one, too. */
    uint32_t last_timeline;
    Lsn commit_end;         /* end of the last commit record in those segments; 0: not known */
    TimeUs last_commit;     /* the newest one up to there that was found; TIME_US_NONE */
    TimeUs older_than;      /* what was committed after it is younger than this; TIME_US_NONE */
    Lsn minimal_at;         /* after the base the WAL says wal_level=minimal here: what was done
                               from then on may be in no WAL, so none of it counts; 0: nowhere */
    bool is_hole;           /* later WAL of the path is there after a gap */
    bool is_broken;         /* the next segment is damaged or does not go on where this one ends */
    uint32_t lost_history;  /* a timeline of the path whose history is not in the archive: its WAL
                               does not count, no recovery could find it; 0: none */
    bool is_other_history;  /* there is one, and it is not the server's */
    const BackupInfo *base; /* newest restorable backup on the path; NULL */
    char reason[160];       /* is_broken */
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

/* What a client was told to be done, and lives in the WAL from then on. */
typedef enum PromiseKind {
    PROMISE_COMMIT,            /* COMMIT PREPARED, too */
    PROMISE_PREPARE,           /* PREPARE TRANSACTION: it can still be committed */
    PROMISE_ROLLBACK_PREPARED, /* without it the transaction would be there again, prepared */
} PromiseKind;

const char *promise_name(PromiseKind kind); /* "commit" */

/* Looking for the first promise in the server's WAL; called a commit, as most are. */
typedef struct CommitSearch {
    const Cluster *cluster; /* With repo NULL nothing is read from the repository. */
    const TimelinePath *path;
    Lsn durable;     /* commits whose record ends after this */
    Lsn read_from;   /* reading begins in this segment */
    uint64_t stored; /* segments before this one come from the repository */
    WalPartFunction *read;
    void *context;
    Lsn flushed; /* what must have been seen at least; 0: not known, then `directory` is listed */
    Lsn checkpoint;        /* This checkpoint must have been seen, too. */
    const char *directory; /* pg_wal; NULL */
    uint64_t bytes_max;
} CommitSearch;

typedef struct CommitFound {
    bool is_found;
    PromiseKind kind;
    WalEvent commit;   /* its place, time and transaction */
    uint32_t timeline; /* whose segment it is in */
    bool is_complete;  /* not found, and all that the server has written was looked at */
    Lsn seen_to;       /* end of the last record that was seen; 0: none */
    char reason[224];  /* neither found nor complete: why */
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
    const ArchiveEnd *end; /* not empty */
    WalPartFunction *read;
    void *context;
    Lsn written;            /* nothing of the server's is compared from here on; 0: not known */
    Lsn checkpoint;         /* written 0: it has written that far at least; 0: not known, either */
    const WalName *waiting; /* the first segment that it has yet to archive; NULL: none */
    bool waiting_fails;     /* The server has tried to archive it, and failed. */
} WalForkSearch;

typedef struct WalFork {
    bool is_compared; /* the end of what both have */
    bool is_found;
    Lsn lsn;       /* the first byte that differs */
    Lsn read_from; /* As in ArchiveEnd, for what comes after the fork. */
    uint64_t stored;
    bool is_older; /* it may have been before that: pg_wal does not go back so far */
} WalFork;

bool wal_fork_find(const WalForkSearch *search, WalFork *fork, Error *err) MUST_CHECK;

typedef enum ExposureState {
    EXPOSURE_NONE,       /* every commit is in the repository */
    EXPOSURE_KNOWN,      /* since is the time of the oldest one that is not. */
    EXPOSURE_AT_MOST,    /* since: whatever is missing is younger than that */
    EXPOSURE_EVERYTHING, /* nothing was ever archived; since: of the oldest commit seen, or none */
    EXPOSURE_UNKNOWN,
} ExposureState;

typedef struct Exposure {
    ExposureState state;
    bool by_archiver; /* the repository was out of reach: taken is what the server has not marked as
                         archived */
    TimeUs since;     /* TIME_US_NONE */
    TimeUs at;        /* when, by the server's clock */
    TimeUs age;       /* at - since, never below 0; 0 without since. */
    bool is_from_future; /* since is later than at: the server's clock was set back. */
    PromiseKind kind;    /* KNOWN: what it is the time of */
    Lsn lsn;             /* KNOWN: of the commit record */
    uint32_t xid;
    char segment[WAL_NAME_SIZE]; /* KNOWN: that holds it */
    char reason[256];            /* AT_MOST, UNKNOWN: why; else "" */
} Exposure;

const char *exposure_state_name(ExposureState state); /* "none", "known", "at most", ... */
/* From since and at. A second of difference between two clocks is none. */
void exposure_set_age(Exposure *exposure);
