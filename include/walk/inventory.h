/*
 * inventory.h - what is in a cluster's archive, from listings alone: which segments on which
 * timelines, which histories, where holes are. Reads names, not contents.
 */
#pragma once

#include "postgres/history.h"
#include "repo/mark.h"
#include "wal/wal_piece.h"
#include "walk/knowledge.h"

/* Segments first..last of one timeline, all there. */
typedef struct WalRun {
    uint32_t timeline;
    uint64_t first, last;
    uint64_t stored_bytes;
    const WalStored *stored; /* It is what the listing says of each of them. */
} WalRun;

/* A history that the archive does not have: from a directory that somebody showed. */
typedef struct LocalHistory {
    uint32_t timeline;
    const char *text;
} LocalHistory;

/* A .partial file: a segment in which a server left its timeline. */
typedef struct WalLeft {
    uint32_t timeline;
    uint64_t segment;
} WalLeft;

typedef struct WalSources WalSources;
typedef struct WalPart WalPart;

typedef struct WalInventory {
    WalRun *runs; /* They are sorted by timeline, then by segment. */
    size_t run_count;
    WalLeft *partials; /* They are sorted in the same way. */
    size_t partial_count;
    /* They are the timelines with a history file, in ascending order. */
    uint32_t *histories;
    size_t history_count;
    uint32_t timeline_max; /* It is the highest timeline that has a segment or a history. */
    TimeUs newest_at;      /* The newest object was stored then, by the store's clock. */
    /* They are of segments that were still being written. Some of these are complete by now. */
    WalPieceList pieces;
    /*
     * It is what is remembered of their trailers, and is read when it is first asked for. NULL
     * means that nothing is trusted.
     */
    WalKnowledge *known;
    LocalHistory *local_histories; /* They are among `histories`, too. */
    size_t local_history_count;
    /*
     * It says where segments that are not complete come from (wal_source.h). NULL means that only
     * complete ones are looked for.
     */
    WalSources *sources;
    /* NULL means that the whole archive was listed. See wal_inventory_load_around(). */
    WalPart *part;
    /* It is what is known of backups and WAL in addition to what they say themselves. */
    MarkList marks;
    Arena arena;
} WalInventory;

/* ERR_UNREACHABLE when the listing is not complete. */
bool wal_inventory_load(WalInventory *inventory, const Cluster *cluster, Error *err) MUST_CHECK;

/*
 * The same, but of folders that did not change since their names were written down the names are
 * taken from there (known_folders.h): for `status`, which is asked every minute, and not for
 * whoever has something at stake. newest_at may be older than it would be.
 */
bool wal_inventory_load_remembered(WalInventory *inventory, const Cluster *cluster,
                                   Error *err) MUST_CHECK;

/*
 * Only what is around these segments (other names are passed over), on each timeline: a listing of
 * a few hundred names however large the archive is. Whole are: which timelines are there,
 * histories, pieces, timeline_max. Runs and .partial files are those that were listed, newest_at is
 * of them, and there are no marks and nothing is remembered.
 *
 * What is there is there. That something is not there may be for want of looking, so the functions
 * below note it when they are asked for what was not listed: an answer, of theirs or derived from
 * theirs, holds only while wal_inventory_suffices(). When it does not, load the whole. Those that
 * look at `runs` themselves have no such help. Of one thread.
 */
bool wal_inventory_load_around(WalInventory *inventory, const Cluster *cluster,
                               const WalName *names, size_t count, Error *err) MUST_CHECK;
bool wal_inventory_suffices(const WalInventory *inventory);

void wal_inventory_done(WalInventory *inventory); /* for CLEANUP() */
/* From now on every trailer is read: for whoever is about to rely on them with something at stake.
 */
void wal_inventory_distrust(WalInventory *inventory);
/* Marks of damage don't count, for callers that know better, or that read it anyway. */
void wal_inventory_forget_damage(WalInventory *inventory);
/* Why a segment that is there must not be relied on; NULL: nothing is known against it. */
const Mark *wal_inventory_damage(const WalInventory *inventory, uint32_t timeline, uint64_t segment,
                                 uint32_t segment_size);

/*
 * Whether retention took this segment away, by its mark; then *last is the last one of that
 * stretch. What is there is there, whatever a mark says: ask for it first.
 */
bool wal_marked_removed(const MarkList *marks, uint32_t segment_size, uint32_t timeline,
                        uint64_t segment, uint64_t *last);

bool wal_inventory_has(const WalInventory *inventory, uint32_t timeline, uint64_t segment);
/* What the listing said about its object. NULL when it is not there. */
const WalStored *wal_inventory_stored(const WalInventory *inventory, uint32_t timeline,
                                      uint64_t segment);
/* The run that holds this segment, or NULL. */
const WalRun *wal_inventory_run(const WalInventory *inventory, uint32_t timeline, uint64_t segment);
bool wal_inventory_has_history(const WalInventory *inventory, uint32_t timeline);
/* Any segment of this timeline at or after `segment`, whole or in pieces? */
bool wal_inventory_has_later(const WalInventory *inventory, uint32_t timeline, uint64_t segment);
/* Any WAL of this timeline at all, in whatever form? */
bool wal_inventory_has_any(const WalInventory *inventory, uint32_t timeline);
/* Is there a .partial of this segment? */
bool wal_inventory_has_partial(const WalInventory *inventory, uint32_t timeline, uint64_t segment);

/*
 * Read a timeline's history file and give its path. Timeline 1 needs none. ERR_NOT_FOUND when the
 * history is not in the archive, ERR_CORRUPT when it is damaged.
 */
bool timeline_path_load(const Cluster *cluster, uint32_t timeline, Arena *arena, TimelinePath *path,
                        Error *err) MUST_CHECK;

/*
 * From now on this timeline counts as one with a history: the text is copied. Nothing happens when
 * the archive has its history, whatever that says.
 */
void wal_inventory_add_history(WalInventory *inventory, uint32_t timeline, const char *text);

/* timeline_path_load(), and paths by histories that were added. */
bool wal_inventory_path(const WalInventory *inventory, const Cluster *cluster, uint32_t timeline,
                        Arena *arena, TimelinePath *path, Error *err) MUST_CHECK;

/*
 * Along a path from the segment that holds `from`: the last segment up to which all are there.
 * *segment is the number, *timeline whose it is. False (no error) when even the first is missing.
 */
bool wal_inventory_reach(const WalInventory *inventory, const TimelinePath *path, Lsn from,
                         uint32_t segment_size, uint64_t *segment, uint32_t *timeline);
