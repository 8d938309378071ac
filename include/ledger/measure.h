/*
 * measure.h - what one restore (or drill) took: its load, its phases, and the kind of host that it
 * ran on. Written into its journal entry, read back for the forecast (ledger/forecast.h).
 *
 * docs/format.md, chapter 7.2.
 */
#pragma once

#include "repo/record.h"

/* In the order in which they happen. */
typedef enum RestorePhase {
    PHASE_PLAN,
    PHASE_CHECK,  /* It is what is read before anything is touched: WAL, or the whole backup. */
    PHASE_FILES,  /* The backup's files are fetched, verified and written. */
    PHASE_SYNC,   /* These files are made durable. */
    PHASE_START,  /* The server starts, until replay begins. */
    PHASE_REPLAY, /* WAL is replayed. */
    /* It lasts from the end of replay until the server is open, or has shut down. */
    PHASE_CHECKPOINT,
    /* The server starts again after a verified target, to pause there or to open. */
    PHASE_SECOND_START,
    PHASE_PROBES, /* A drill asks its questions. */
    PHASE_COUNT,
} RestorePhase;

/* "second_start", as records and JSON have it; and for people: "second start". */
const char *restore_phase_key(RestorePhase phase);
const char *restore_phase_name(RestorePhase phase);

enum { HOST_CLASS_SIZE = 64, CODEC_WORD_SIZE = 8 };

/*
 * "2 cores, 8 GiB, file": what this process may use, memory rounded to a power of two, and the kind
 * of the store at this address. Stays the same from run to run, and is the same on like hosts.
 */
const char *host_class(const char *address, char text[HOST_CLASS_SIZE]);

typedef struct RestoreMeasure {
    char host_class[HOST_CLASS_SIZE];
    /* It is the backup's, for example "zstd", or "" when nothing of the backup is compressed. */
    char codec[CODEC_WORD_SIZE];
    unsigned jobs;
    bool is_delta;         /* What was right already was left as it is. */
    uint64_t files, bytes; /* They are the backup's, raw. */
    /*
     * It is the raw size of the WAL from where replay began to where it ended. 0 means that replay
     * did not start.
     */
    uint64_t wal_bytes;
    /* TIME_US_NONE means that there was no such phase, or that it did not end. */
    TimeUs phases[PHASE_COUNT];
} RestoreMeasure;

/* All phases none. */
void restore_measure_init(RestoreMeasure *measure, const char *address, unsigned jobs);

/* Keys of an entry, and back. False: the entry has none (of an earlier version). */
void restore_measure_put(const RestoreMeasure *measure, RecordWriter *record);
bool restore_measure_get(const Record *record, RestoreMeasure *measure);

/* What makes measures comparable. */
typedef struct RestoreKind {
    char host_class[HOST_CLASS_SIZE];
    char codec[CODEC_WORD_SIZE];
    unsigned jobs;
    bool is_delta;
} RestoreKind;

RestoreKind restore_kind_of(const RestoreMeasure *measure);
bool restore_kind_is_same(const RestoreKind *one, const RestoreKind *other);
