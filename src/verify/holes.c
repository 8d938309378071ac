#include "holes.h"

#include "timelines.h"
#include "troubles.h"

#include "repo/layout.h"
#include "walk/wal_source.h"

#include <inttypes.h>

/*
 * WAL that must be there and is not. Along each timeline path it is needed from the first segment
 * that is there, or from the first backup's start, to the last one that is there, or the last
 * backup's stop. Before the first nothing is missing: that WAL can have been given up.
 */
typedef struct Holes {
    VerifyRun *run;
    /* It is listed after the reading, so that what came meanwhile is not a hole. */
    WalInventory wal;
    WalPlace *places; /* They are merged, and sorted by timeline, then by segment. */
    size_t count, capacity;
} Holes;

static void holes_done(Holes *holes)
{
    wal_inventory_done(&holes->wal);
    mem_free(holes->places);
}

/* What of a path must be without gap. */
typedef struct Stretch {
    uint64_t first, last;
    bool is_empty;
} Stretch;

static void stretch_over(Stretch *stretch, uint64_t first, uint64_t last)
{
    if (last < first)
        return;
    if (stretch->is_empty || first < stretch->first)
        stretch->first = first;
    if (stretch->is_empty || last > stretch->last)
        stretch->last = last;
    stretch->is_empty = false;
}

/* The segments of a step that recoveries along the path read. False: none. */
static bool step_segments(const TimelinePath *path, size_t step, uint32_t size, uint64_t *first,
                          uint64_t *last)
{
    *first = wal_segment_of(path->steps[step].begin, size);
    *last = UINT64_MAX;
    for (size_t i = step + 1; i < path->count; i++) {
        uint64_t begin = wal_segment_of(path->steps[i].begin, size);

        if (begin <= *first)
            return false;
        if (begin - 1 < *last)
            *last = begin - 1;
    }
    return true;
}

/* A segment is begun when the one before is whole. */
static void stretch_to_pieces(const Holes *holes, uint32_t timeline, uint64_t first, uint64_t last,
                              Stretch *stretch)
{
    for (size_t i = 0; i < holes->wal.pieces.count; i++) {
        const WalPiece *piece = &holes->wal.pieces.items[i];

        if (piece->timeline == timeline && piece->segment > first && piece->segment <= last &&
            !stretch->is_empty)
            stretch_over(stretch, stretch->first, piece->segment - 1);
    }
}

static void stretch_over_wal(const Holes *holes, const TimelinePath *path, Stretch *stretch)
{
    uint32_t size = holes->run->cluster->wal_segment_size;

    for (size_t s = 0; s < path->count; s++) {
        uint64_t first;
        uint64_t last;

        if (!step_segments(path, s, size, &first, &last))
            continue;
        for (size_t i = 0; i < holes->wal.run_count; i++) {
            const WalRun *run = &holes->wal.runs[i];

            if (run->timeline == path->steps[s].timeline && run->first <= last &&
                run->last >= first) {
                stretch_over(stretch, run->first > first ? run->first : first,
                             run->last < last ? run->last : last);
            }
        }
        stretch_to_pieces(holes, path->steps[s].timeline, first, last, stretch);
    }
}

/*
 * The last segment that a backup needs whole. The one in which it ends may be there as far as that:
 * its server left the timeline in it, or still writes it.
 */
static bool find_last_whole(const Holes *holes, const TimelinePath *path, const BackupFacts *backup,
                            uint64_t *last, Error *err)
{
    const Cluster *cluster = holes->run->cluster;
    const uint32_t size = cluster->wal_segment_size;
    WalSource source;

    *last = wal_segment_before(backup->stop, size);
    if (!wal_source_on_path(cluster, &holes->wal, path, *last, &source, err))
        return false;
    if (wal_source_is_open(&source) && wal_segment_start(*last, size) + source.size >= backup->stop)
        (*last)--;
    return true;
}

static bool stretch_over_backups(const Holes *holes, const TimelinePath *path, Stretch *stretch,
                                 Error *err)
{
    const uint32_t size = holes->run->cluster->wal_segment_size;

    for (size_t i = 0; i < holes->run->backup_count; i++) {
        const BackupFacts *backup = &holes->run->backups[i];
        uint64_t last;

        if (!is_backup_on_path(backup, path))
            continue;
        if (!find_last_whole(holes, path, backup, &last, err))
            return false;
        stretch_over(stretch, wal_segment_of(backup->start, size), last);
    }
    return true;
}

static void add_place(Holes *holes, WalPlace place)
{
    if (holes->count == holes->capacity) {
        holes->capacity = holes->capacity == 0 ? 16 : 2 * holes->capacity;
        holes->places = mem_resize(holes->places, holes->capacity * sizeof holes->places[0]);
    }
    holes->places[holes->count++] = place;
}

/* Up to where the segments of one timeline are missing, from one that is. */
static uint64_t end_of_hole(const Holes *holes, uint32_t timeline, uint64_t first, uint64_t last)
{
    for (size_t i = 0; i < holes->wal.run_count; i++) {
        const WalRun *run = &holes->wal.runs[i];

        if (run->timeline == timeline && run->first > first && run->first <= last)
            return run->first - 1;
    }
    return last;
}

/* WAL from a backup's start to its stop must be there, whatever else was taken away. */
static bool is_needed_by_backup(const Holes *holes, uint32_t timeline, uint64_t segment)
{
    for (size_t i = 0; i < holes->run->backup_count; i++) {
        const BackupFacts *backup = &holes->run->backups[i];

        if (!backup->is_readable || backup->segment_size == 0 ||
            segment < wal_segment_of(backup->start, backup->segment_size) ||
            segment > wal_segment_before(backup->stop, backup->segment_size))
            continue;
        for (size_t at = 0; at < holes->run->timeline_count; at++) {
            const TimelinePath *path = &holes->run->timelines[at].path;

            if (is_backup_on_path(backup, path) &&
                path_timeline_of_segment(path, segment, backup->segment_size) == timeline)
                return true;
        }
    }
    return false;
}

/* What retention took away, and no backup needs, is not missing. */
static void add_missing(Holes *holes, uint32_t timeline, uint64_t first, uint64_t last)
{
    const uint32_t size = holes->run->cluster->wal_segment_size;
    uint64_t begin = first;
    uint64_t removed_to;

    for (uint64_t segment = first; segment <= last; segment++) {
        if (!wal_marked_removed(&holes->wal.marks, size, timeline, segment, &removed_to) ||
            is_needed_by_backup(holes, timeline, segment))
            continue;
        if (begin < segment)
            add_place(holes, (WalPlace){.timeline = timeline, .first = begin, .last = segment - 1});
        begin = segment + 1;
    }
    if (begin <= last)
        add_place(holes, (WalPlace){.timeline = timeline, .first = begin, .last = last});
}

static void find_on_step(Holes *holes, uint32_t timeline, uint64_t first, uint64_t last)
{
    while (first <= last) {
        const WalRun *run = wal_inventory_run(&holes->wal, timeline, first);
        uint64_t end = run != NULL ? run->last : end_of_hole(holes, timeline, first, last);

        if (run == NULL)
            add_missing(holes, timeline, first, end);
        if (end >= last)
            return;
        first = end + 1;
    }
}

static bool holes_find_on_path(Holes *holes, const TimelinePath *path, Error *err)
{
    Stretch stretch = {.is_empty = true};

    if (holes->run->request->backup == NULL)
        stretch_over_wal(holes, path, &stretch);
    if (!stretch_over_backups(holes, path, &stretch, err))
        return false;
    for (size_t s = 0; !stretch.is_empty && s < path->count; s++) {
        uint64_t first;
        uint64_t last;

        if (!step_segments(path, s, holes->run->cluster->wal_segment_size, &first, &last) ||
            timeline_has_only_begun(holes->run, path->steps[s].timeline))
            continue;
        find_on_step(holes, path->steps[s].timeline, first > stretch.first ? first : stretch.first,
                     last < stretch.last ? last : stretch.last);
    }
    return true;
}

static int holes_order(const void *a, const void *b)
{
    const WalPlace *one = a;
    const WalPlace *other = b;

    if (one->timeline != other->timeline)
        return one->timeline < other->timeline ? -1 : 1;
    if (one->first != other->first)
        return one->first < other->first ? -1 : 1;
    return 0;
}

static void holes_merge(Holes *holes)
{
    size_t kept = 0;

    if (holes->count > 1)
        qsort(holes->places, holes->count, sizeof holes->places[0], holes_order);
    for (size_t i = 0; i < holes->count; i++) {
        WalPlace *last = kept > 0 ? &holes->places[kept - 1] : NULL;
        const WalPlace *place = &holes->places[i];

        if (last == NULL || last->timeline != place->timeline || last->last + 1 < place->first) {
            holes->places[kept++] = *place;
        } else if (last->last < place->last) {
            last->last = place->last;
        }
    }
    holes->count = kept;
}

static const char *holes_segment_name(const VerifyRun *run, uint32_t timeline, uint64_t segment,
                                      char name[WAL_NAME_SIZE])
{
    return wal_name_text(&(WalName){.kind = WAL_SEGMENT, .timeline = timeline, .segment = segment},
                         run->cluster->wal_segment_size, name);
}

static char *object_of(const VerifyRun *run, uint32_t timeline, uint64_t segment,
                       char name[WAL_NAME_SIZE])
{
    return layout_wal(run->cluster->name, holes_segment_name(run, timeline, segment, name));
}

/* Does any backup begin before it, or can one be that nobody can read? Else nothing is lost. */
static bool hole_matters(const VerifyRun *run, const WalPlace *place)
{
    for (size_t b = 0; b < run->backup_count; b++) {
        const BackupFacts *backup = &run->backups[b];

        if (!backup->is_readable)
            return true;
        for (size_t i = 0; i < run->timeline_count; i++) {
            const TimelinePath *path = &run->timelines[i].path;

            if (is_backup_on_path(backup, path) && path_step_of(path, place->timeline) != NULL &&
                wal_segment_of(backup->start, backup->segment_size) <= place->last)
                return true;
        }
    }
    return false;
}

static void holes_tell(const Holes *holes, const WalPlace *place)
{
    VerifyRun *run = holes->run;
    uint64_t count = place->last - place->first + 1;
    char first[WAL_NAME_SIZE];
    char last[WAL_NAME_SIZE];
    CLEANUP(text_freep) char *object = object_of(run, place->timeline, place->first, first);
    holes_segment_name(run, place->timeline, place->last, last);
    CLEANUP(text_freep)
    char *what = count == 1 ? text_format("WAL segment %s is missing", first)
                            : text_format("%" PRIu64 " WAL segments are missing: %s to %s", count,
                                          first, last);
    const TimelineFacts *facts = timeline_find(run, place->timeline);
    bool is_fork = facts != NULL && facts->path.count > 1 &&
                   wal_segment_of(facts->path.steps[facts->path.count - 1].begin,
                                  run->cluster->wal_segment_size) == place->first;

    trouble_at_wal(trouble_add(run, hole_matters(run, place) ? FINDING_MISSING : FINDING_NOTE,
                               object, what, NULL,
                               is_fork ? "it is the first of its timeline" : NULL),
                   place->timeline, place->first, place->last);
}

bool verify_holes(VerifyRun *run, Error *err)
{
    CLEANUP(holes_done) Holes holes = {.run = run};

    if (!wal_inventory_load(&holes.wal, run->cluster, err))
        return false;
    for (size_t i = 0; i < run->timeline_count; i++) {
        if (!holes_find_on_path(&holes, &run->timelines[i].path, err))
            return false;
    }
    holes_merge(&holes);
    for (size_t i = 0; i < holes.count; i++)
        holes_tell(&holes, &holes.places[i]);
    return true;
}
