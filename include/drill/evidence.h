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
    PROBE_NOTED, /* It is worth knowing, but no fault of the backup. */
    PROBE_HOST,  /* A restore to this host would not be complete. The backup is not to blame. */
    PROBE_FAILED,
} ProbeResult;

const char *probe_result_name(ProbeResult result); /* It returns, for example, "passed". */

typedef struct Probe {
    ProbeResult result;
    /*
     * It is, for example, "connect". For a probe of the operator's, it is what the file calls it.
     */
    const char *name;
    const char *where; /* It names the database, and is "" for the whole cluster. */
    const char *text;  /* It says in one line what was found. */
    TimeUs elapsed;
} Probe;

/* A number that the next drill compares with: rows of a table, or where a sequence stands. */
typedef struct Count {
    bool is_sequence;
    const char *where, *name;
    int64_t number;
} Count;

typedef enum DrillPhase {
    DRILL_PLAN,
    DRILL_REBUILD, /* Files are rebuilt from the repository. */
    DRILL_SYNC,
    DRILL_REPLAY, /* It lasts from the first start until the target is reached and verified. */
    /*
     * It is the second start, until the server can be written to. It includes the end checkpoint.
     */
    DRILL_OPEN,
    DRILL_PROBE,
    DRILL_CLEAN,
    DRILL_PHASES,
} DrillPhase;

const char *drill_phase_name(DrillPhase phase); /* It returns, for example, "rebuild". */

enum { EVIDENCE_LOG_MAX = 1 << 20 };

/* Plain data. Texts are never NULL. */
typedef struct Evidence {
    char id[BACKUP_ID_SIZE]; /* It tells when the drill began, in the form of a backup's id. */
    const char *verdict;     /* It is "passed" or "failed". */
    uint64_t status;         /* It is the exit status. */
    const char *error;       /* It says why the drill failed, or is "". */
    TimeUs started, finished;
    const char *host, *user, *tool, *options;
    uint64_t server_version, system_identifier, jobs, seed;
    bool has_seed;
    const char *chosen; /* It says what the seed stands for, or is "". */
    const char *target; /* It is the target that was asked for, or drawn. */
    uint64_t target_timeline;
    const char *backup; /* It is the backup's id, or "" when none could be chosen. */
    Lsn reached;
    TimeUs last_commit; /* It is the last commit that was replayed. */
    uint64_t new_timeline;
    /* They are in microseconds. 0 means that the phase was not reached. */
    uint64_t phases[DRILL_PHASES];
    uint64_t files, bytes, read_bytes, wal_segments, wal_stored_bytes;
    bool has_network; /* The server could reach other hosts. */
    bool read_all;    /* Every table was read. */
    /* These settings, "name=value", were set for the copy. The list ends with NULL. */
    const char *const *settings;
    const Probe *probes;
    size_t probe_count;
    const Count *counts;
    size_t count_count;
    /* It is that of the log as the server wrote it, or "" when there is none. */
    const char *log_sha256;
    /* This many bytes of it were kept. They are its last ones when it is longer. */
    uint64_t log_bytes;
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
