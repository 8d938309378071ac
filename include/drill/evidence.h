/*
 * evidence.h - what a drill has shown, as an object of the repository: docs/format.md, chapter 7.
 *
 * evidence/ID/log, the server's messages, is stored first; evidence/ID/record says everything else
 * and what the log's bytes must be. A drill without a record did not take place.
 */
#pragma once

#include "repo/layout.h"
#include "repo/record.h"
#include "repo/repo.h"

/* What one look at the copy has found. */
typedef enum ProbeResult {
    PROBE_PASSED,
    PROBE_NOTED, /* worth to know, and no fault of the backup's */
    PROBE_HOST,  /* a restore to this host would not be whole; the backup is not to blame */
    PROBE_FAILED,
} ProbeResult;

const char *probe_result_name(ProbeResult result); /* "passed" */

typedef struct Probe {
    ProbeResult result;
    const char *name;  /* "connect"; of the operator's: what the file calls it */
    const char *where; /* database; "" for the whole cluster */
    const char *text;  /* what was found; one line */
    TimeUs elapsed;    /* microseconds */
} Probe;

/* A number that the next drill compares with: rows of a table, or where a sequence stands. */
typedef struct Count {
    bool is_sequence;
    const char *where, *name;
    int64_t number;
} Count;

typedef enum DrillPhase {
    DRILL_PLAN,
    DRILL_REBUILD, /* files out of the repository */
    DRILL_SYNC,
    DRILL_REPLAY, /* from the first start until the target is reached and verified */
    DRILL_OPEN,   /* the second start, until it can be written to; the end checkpoint is in it */
    DRILL_PROBE,
    DRILL_CLEAN,
    DRILL_PHASES,
} DrillPhase;

const char *drill_phase_name(DrillPhase phase); /* "rebuild" */

enum { EVIDENCE_LOG_MAX = 1 << 20 };

/* Plain data. Texts are never NULL. */
typedef struct Evidence {
    char id[BACKUP_ID_SIZE]; /* as a backup's: when it began */
    const char *verdict;     /* "passed", "failed" */
    uint64_t status;         /* exit status */
    const char *error;       /* why it failed; "" */
    TimeUs started, finished;
    const char *host, *user, *tool, *options;
    uint64_t server_version, system_identifier, jobs, seed;
    bool has_seed;
    const char *chosen; /* what the seed stands for; "" */
    const char *target; /* as asked, or drawn */
    uint64_t target_timeline;
    const char *backup; /* its id; "": none could be chosen */
    Lsn reached;
    TimeUs last_commit; /* that was replayed */
    uint64_t new_timeline;
    uint64_t phases[DRILL_PHASES]; /* microseconds; 0: not come to */
    uint64_t files, bytes, read_bytes, wal_segments, wal_stored_bytes;
    bool has_network;            /* the server could reach other hosts */
    bool read_all;               /* every table was read */
    const char *const *settings; /* that were set for the copy: "name=value"; NULL-terminated */
    const Probe *probes;
    size_t probe_count;
    const Count *counts;
    size_t count_count;
    const char *log_sha256; /* of the log as the server wrote it; "": there is none */
    uint64_t log_bytes;     /* of it that were kept: its last ones when it is longer */
} Evidence;

/* Text of a record, without its checksum line; and back. Texts go into the arena. ERR_CORRUPT. */
void evidence_encode(const Evidence *evidence, const Cluster *cluster, RecordWriter *text);
bool evidence_decode(Evidence *evidence, const Record *record, Arena *arena, Error *err) MUST_CHECK;

/*
 * Store it. log: the server's messages so far, of which the last EVIDENCE_LOG_MAX bytes are kept;
 * evidence->log_... are set here.
 */
bool evidence_store(const Cluster *cluster, Evidence *evidence, const Buffer *log, Arena *arena,
                    Error *err) MUST_CHECK;

/* ERR_NOT_FOUND when there is no such drill. */
bool evidence_load(const Cluster *cluster, const char *id, Evidence *evidence, Arena *arena,
                   Error *err) MUST_CHECK;
/* Appended to log, checked. */
bool evidence_load_log(const Cluster *cluster, const Evidence *evidence, Buffer *log,
                       Error *err) MUST_CHECK;

/* All drills, oldest first. One that can't be read has only its id, and says why in `error`. */
typedef struct EvidenceList {
    Evidence *items;
    size_t count;
    Arena arena;
} EvidenceList;
bool evidence_list_load(EvidenceList *list, const Cluster *cluster, Error *err) MUST_CHECK;
void evidence_list_done(EvidenceList *list); /* for CLEANUP() */
