/*
 * changed_blocks.h - which blocks of relations may have changed between two places of the WAL, so
 * that an increment reads those alone.
 *
 * Taken from the lists that lie beside archived segments (wal/wal_blocks.h), over the path of
 * timelines that leads to the second place; where there is no list, or it is damaged, the segment
 * is read. What is not proven to be whole is not known: a hole, a segment that does not go on where
 * the one before it ends, damage, wal_level=minimal, a record with an effect that is not known.
 *
 * A block that is not named has the content that it had when a backup that began at the first place
 * took it, but for hint bits, which may be set without WAL where the cluster has no data checksums
 * and wal_log_hints is off. That holds of main forks only: changes of visibility maps and free
 * space maps are not, or not always, in the WAL. A block that the backup did not have is for the
 * caller to read. That data checksums were switched on or off in between leaves no trace in the WAL
 * (pg_checksums): the caller compares control files.
 *
 * More may be named than has changed, in a bounded memory: a part of a file of which very many
 * blocks are named may be taken for changed as a whole.
 */
#pragma once

#include "postgres/data_directory.h"
#include "postgres/history.h"
#include "postgres/wal_changes.h"
#include "walk/inventory.h"

typedef struct ChangedRequest {
    const Cluster *cluster;
    const WalInventory *inventory;
    const TimelinePath *path; /* It is the path of the timeline on which `to` is. */
    Lsn from;                 /* The older backup begins here, at its redo point. */
    Lsn to;                   /* The new backup begins here. A record begins here, too. */
    /*
     * It is the server's. Segments that the archive lacks in part are read there. NULL means that
     * it is not available.
     */
    const char *pg_wal;
    unsigned threads;
    size_t memory_max; /* It is in bytes. 0 means 64 MiB. */
    /*
     * This many segments may be read when they have no list. Nothing is known of any more of them.
     * 0 means that there is no limit.
     */
    uint64_t read_max;
    /*
     * It is called before each segment, and may be NULL. When it returns false, all ends with its
     * error.
     */
    bool (*on_segment)(void *context, Error *err);
    void *context;
} ChangedRequest;

typedef struct ChangedBlocks ChangedBlocks;
/*
 * It is not an error when nothing can be said. ERR_INTERRUPTED, ERR_UNREACHABLE. Once it is made,
 * any number of threads may ask.
 */
bool changed_blocks_load(const ChangedRequest *request, ChangedBlocks **changed,
                         Error *err) MUST_CHECK;
void changed_blocks_freep(ChangedBlocks **changed); /* for CLEANUP() */

/* Why nothing is known, for people; NULL: it is. */
const char *changed_blocks_why_not(const ChangedBlocks *changed);

/* What it took. Plain data. */
typedef struct ChangedCost {
    uint64_t segments;
    uint64_t read; /* The WAL of this many of them had to be read. */
} ChangedCost;
ChangedCost changed_blocks_cost(const ChangedBlocks *changed);

typedef enum ChangedAnswer {
    CHANGED_UNKNOWN, /* The caller has to read it. */
    CHANGED_ALL,     /* The file was made anew, or may have been. */
    CHANGED_SOME,    /* The blocks marked in `words` have changed. The file is the same one. */
    CHANGED_NONE,
} ChangedAnswer;

/*
 * Of `count` blocks of a relation from `first` on; the file with number n of one of 1 GB begins
 * with block n * 131072. words: a bit for each of them, bit 0 of words[0] is `first`, which is a
 * multiple of 64; set are those that may have changed, whatever the answer is (all of them with
 * CHANGED_UNKNOWN and CHANGED_ALL).
 */
ChangedAnswer changed_blocks_of(const ChangedBlocks *changed, const RelationFile *file,
                                ForkKind fork, uint32_t first, uint32_t count, uint64_t *words);
