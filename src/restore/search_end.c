#include "search.h"

#include "walk/absence.h"

#include <stdio.h>

WalWalk search_walk(const Search *search, Lsn from, Lsn to)
{
    return (WalWalk){.cluster = search->cluster,
                     .inventory = &search->choice->inventory,
                     .path = &search->path,
                     .from = from,
                     .to = to,
                     .threads = search->request->jobs > 0 ? search->request->jobs : 1};
}

static WalkStep search_end_note_segment(void *context, uint32_t timeline, uint64_t segment,
                                        const WalTrailer *trailer, Error *err)
{
    SearchEnd *end = context;
    const WalReaderState *reader = &trailer->summary.reader;

    (void)timeline, (void)segment, (void)err;
    /* A segment may hold nothing but the rest of a record that began before it. */
    if (reader->last_record != 0) {
        end->last_record = reader->last_record;
    } else if (end->tail_record != 0 && reader->tail_record == 0) {
        end->last_record = end->tail_record;
    }
    if (reader->last_record != 0 || reader->tail_record != 0)
        end->tail_record = reader->tail_record;
    if (trailer->summary.commit_time_max != TIME_US_NONE &&
        (end->commit_max == TIME_US_NONE || trailer->summary.commit_time_max > end->commit_max))
        end->commit_max = trailer->summary.commit_time_max;
    return WALK_ON;
}

/* Why the archive does not go on where the walk ended, as it should; NULL: it is the end. */
static const char *gap_behind(const Search *search, const WalWalkEnd *walk, uint64_t missing)
{
    Arena *arena = &search->choice->arena;
    const uint32_t size = search->cluster->wal_segment_size;
    char text[WAL_NAME_SIZE], lsn[LSN_TEXT_SIZE];
    WalName name = {.kind = WAL_SEGMENT, .segment = missing};

    if (walk->is_broken) {
        return arena_format(arena, "WAL is damaged at %s (%s)", lsn_text(walk->last_end, lsn),
                            walk->reason);
    }
    if (!walk->is_hole)
        return NULL;
    name.timeline = path_timeline_of_segment(&search->path, name.segment, size);
    wal_name_text(&name, size, text);
    if (walk->is_open) {
        return arena_format(arena, "segment %s is there only up to %s although later WAL is there",
                            text, lsn_text(walk->last_end, lsn));
    }
    if (absence_of_segment(&search->choice->inventory, &search->path, &name, size, 0) ==
        ABSENCE_HOLE)
        return arena_format(arena, "segment %s is missing although later WAL is there", text);
    return arena_format(arena, "segment %s, where timeline %u goes on, is missing", text,
                        name.timeline);
}

bool search_find_end(const Search *search, Lsn from, SearchEnd *end, Error *err)
{
    const uint32_t size = search->cluster->wal_segment_size;
    WalWalk walk = search_walk(search, from, 0);

    *end = (SearchEnd){.commit_max = TIME_US_NONE};
    if (!wal_walk_trailers(&walk, search_end_note_segment, end, &end->walk, err))
        return false;
    const bool is_empty = end->walk.segments == 0 && !end->walk.is_open;
    const uint64_t missing =
        is_empty ? wal_segment_of(from, size) : end->walk.last_segment + !end->walk.is_open;
    end->gap_from = is_empty ? wal_segment_start(missing + 1, size) : end->walk.last_end;
    end->gap = gap_behind(search, &end->walk, missing);
    return true;
}

const char *search_after_gap(const Search *search, const SearchEnd *end)
{
    const BackupInfo *first = NULL;
    char time[TIME_TEXT_SIZE], lsn[LSN_TEXT_SIZE];
    Error unknown = {0}; /* then its position has to do */
    TimeUs earliest;

    /* The candidates come the newest first. */
    for (size_t i = 0; i < search->count && search->candidates[i]->header.start >= end->gap_from;
         i++)
        first = search->candidates[i];
    if (first == NULL)
        return "";
    lsn_text(first->header.stop, lsn);
    const WalWalk walk = search_walk(search, first->header.start, first->header.stop);
    if (!window_earliest_time(&walk, first, &earliest, &unknown)) {
        return arena_format(&search->choice->arena, "from %s on, with backup %s", lsn,
                            first->header.id);
    }
    return arena_format(&search->choice->arena, "from %s (%s) on, with backup %s",
                        time_text_local(earliest, time), lsn, first->header.id);
}

/*
 * The newest commit that can be obtained of what lies before the gap. After the newest backup there
 * may be none: then an older backup's way to the same end is looked at.
 */
static TimeUs commit_before_gap(const Search *search, const SearchEnd *end)
{
    TimeUs newest = end->commit_max;

    for (size_t i = 0; newest == TIME_US_NONE && i < search->count; i++) {
        Error ignored = {0}; /* there is less to say then */
        SearchEnd other;

        if (search->candidates[i]->header.start < end->gap_from &&
            search_find_end(search, search->candidates[i]->header.start, &other, &ignored) &&
            other.walk.last_end == end->walk.last_end)
            newest = other.commit_max;
    }
    return newest;
}

bool search_refuse_gap(const Search *search, const SearchEnd *end, const char *target, Error *err)
{
    const char *behind = search_after_gap(search, end);
    const TimeUs newest = commit_before_gap(search, end);
    char lsn[LSN_TEXT_SIZE], time[TIME_TEXT_SIZE], parent[64] = "";

    error_set(err, ERR_CORRUPT, "%s: recovery can't get to %s; %s%s%s%s", end->gap, target,
              newest == TIME_US_NONE ? "no commit is known before it"
                                     : "the newest commit before it is of ",
              newest == TIME_US_NONE ? "" : time_text_local(newest, time),
              *behind != '\0' ? "; what comes after it can be reached " : "", behind);
    if (search->path.count > 1) {
        const TimelinePath before = path_parent(&search->path, &search->choice->arena);
        (void)snprintf(parent, sizeof parent, "--target-timeline=%u follows the one before",
                       path_last_timeline(&before));
    }
    /* Without a record before it there is no way that ends there. */
    if (end->last_record == 0)
        return *parent != '\0' ? error_hint(err, "%s", parent) : false;
    return error_hint(err,
                      "to accept that what was committed after it is lost: --target-lsn=%s reaches "
                      "the last record before it%s%s",
                      lsn_text(end->last_record, lsn), *parent != '\0' ? "; " : "", parent);
}
