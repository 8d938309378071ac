#include "walk/wal_source.h"

#include "sources.h"

#include "base/file.h"
#include "base/interrupt.h"

#include <errno.h>
#include <fcntl.h>

enum { PART_SIZE = 1 << 20 };

/* What was found without them may be less. */
void wal_inventory_add_local(WalInventory *inventory, const WalFile *files, size_t count)
{
    WalSources *sources = inventory->sources;
    WalFile *all =
        arena_alloc(&sources->arena, (sources->file_count + count + 1) * sizeof(WalFile));

    if (sources->file_count > 0)
        memcpy(all, sources->files, sources->file_count * sizeof(WalFile));
    for (size_t i = 0; i < count; i++) {
        all[sources->file_count + i] = files[i];
        all[sources->file_count + i].path = arena_text(&sources->arena, files[i].path);
    }
    sources->files = all;
    sources->file_count += count;
    sources->found = NULL;
}

/* Passes on the first bytes, and lets the rest be read: a part is not verified alone. */
typedef struct Limited {
    WalSink *sink;
    void *context;
    uint64_t left;
} Limited;

static bool pass_first(void *context, const void *data, size_t size, Error *err)
{
    Limited *limited = context;
    const size_t take = size < limited->left ? size : (size_t)limited->left;

    limited->left -= take;
    return take == 0 || limited->sink(limited->context, data, take, err);
}

static bool source_read_file(const WalSource *source, Limited *limited, Error *err)
{
    CLEANUP(buffer_done) Buffer part = {0};
    CLEANUP(fd_done) int fd = -1;
    size_t got = PART_SIZE;

    if (!file_open(source->path, &fd, err))
        return false;
    buffer_reserve(&part, PART_SIZE);
    for (uint64_t offset = 0; limited->left > 0 && got > 0; offset += got) {
        if (!interrupt_check(err) ||
            !file_read_at(fd, part.data, PART_SIZE, offset, &got, source->path, err) ||
            !pass_first(limited, part.data, got, err))
            return false;
    }
    return true;
}

static WalName source_wal_name(const WalSource *source)
{
    return (WalName){.kind = source->form == WAL_AS_PARTIAL ? WAL_PARTIAL : WAL_SEGMENT,
                     .timeline = source->holder,
                     .segment = source->segment};
}

static bool read_object(const Cluster *cluster, const WalSource *source, unsigned threads,
                        Limited *limited, uint64_t *stored_size, Error *err)
{
    const WalName name = source_wal_name(source);
    char text[WAL_NAME_SIZE];
    WalTrailer trailer;

    wal_name_text(&name, cluster->wal_segment_size, text);
    if (!wal_object_read(cluster, text, threads > 0 ? threads : 1, pass_first, limited, &trailer,
                         err))
        return false;
    *stored_size = trailer.stored_size;
    return true;
}

bool wal_source_read(const Cluster *cluster, const WalInventory *inventory, const WalSource *source,
                     unsigned threads, WalSink *sink, void *context, uint64_t *stored_size,
                     Error *err)
{
    Limited limited = {.sink = sink, .context = context, .left = source->size};
    uint32_t reach = 0;
    bool ok;

    *stored_size = 0;
    switch (source->form) {
    case WAL_WHOLE:
    case WAL_AS_PARTIAL:
        return read_object(cluster, source, threads, &limited, stored_size, err);
    case WAL_IN_PIECES:
        ok = wal_pieces_read(cluster, &inventory->pieces, source->holder, source->segment,
                             pass_first, &limited, &reach, err);
        *stored_size = reach;
        return ok;
    case WAL_LOCAL_FILE:
        return source_read_file(source, &limited, err);
    case WAL_NOWHERE:
        break;
    }
    return error_set(err, ERR_NOT_FOUND, "there is no WAL of this segment");
}

typedef struct SourceFinding {
    const Cluster *cluster;
    const WalInventory *inventory;
    uint32_t timeline;
    uint64_t segment;
    WalSource *candidates; /* Those of the archive come first, then local ones. */
    size_t count;
    /* A child forks here in it. Of several forks it is the farthest. 0 means that there is none. */
    uint32_t left_at;
    Error fault;          /* It is about a candidate that can't be used. */
    uint32_t fault_limit; /* That candidate might have gone this far. */
} SourceFinding;

static void finding_add(SourceFinding *finding, WalForm form, uint32_t holder, uint32_t size)
{
    finding->candidates[finding->count++] = (WalSource){.form = form,
                                                        .timeline = finding->timeline,
                                                        .segment = finding->segment,
                                                        .holder = holder,
                                                        .size = size};
}

/* What lies under a timeline's own name; size: what counts of it at most. */
static void add_held(SourceFinding *finding, uint32_t holder, uint32_t size)
{
    const WalInventory *inventory = finding->inventory;
    const uint32_t reach = wal_pieces_reach(&inventory->pieces, holder, finding->segment);

    if (wal_inventory_has(inventory, holder, finding->segment)) {
        finding_add(finding, WAL_WHOLE, holder, size);
        return;
    }
    if (reach > 0)
        finding_add(finding, WAL_IN_PIECES, holder, reach < size ? reach : size);
    if (wal_inventory_has_partial(inventory, holder, finding->segment))
        finding_add(finding, WAL_AS_PARTIAL, holder, size);
}

static void finding_add_files(SourceFinding *finding)
{
    const WalSources *sources = finding->inventory->sources;

    for (size_t i = 0; i < sources->file_count; i++) {
        const WalFile *file = &sources->files[i];

        if (file->timeline != finding->timeline || file->segment != finding->segment)
            continue;
        finding_add(finding, WAL_LOCAL_FILE, file->timeline, finding->cluster->wal_segment_size);
        finding->candidates[finding->count - 1].path = file->path;
    }
}

/* A history that can't be read leads to no child; who follows that child finds out. */
static bool load_paths(const Cluster *cluster, const WalInventory *inventory, Error *err)
{
    WalSources *sources = inventory->sources;
    Error attempt = {0};

    if (sources->history_count == inventory->history_count)
        return true;
    sources->paths =
        arena_alloc(&sources->arena, (inventory->history_count + 1) * sizeof(TimelinePath));
    sources->path_count = 0;
    for (size_t i = 0; i < inventory->history_count; i++) {
        attempt = (Error){0};
        if (wal_inventory_path(inventory, cluster, inventory->histories[i], &sources->arena,
                               &sources->paths[sources->path_count], &attempt)) {
            sources->path_count++;
        } else if (attempt.code != ERR_CORRUPT && attempt.code != ERR_NOT_FOUND) {
            return error_pass(err, &attempt);
        }
    }
    sources->history_count = inventory->history_count;
    return true;
}

/* Where in the segment the path leaves the timeline: an offset; 0: it does not. */
static uint32_t leaves_at(const SourceFinding *finding, const TimelinePath *path)
{
    const uint32_t size = finding->cluster->wal_segment_size;
    const PathStep *step = path_step_of(path, finding->timeline);

    if (step == NULL || step->end <= step->begin ||
        wal_segment_of(step->end, size) != finding->segment)
        return 0;
    return (uint32_t)(step->end % size);
}

static bool add_children(SourceFinding *finding, Error *err)
{
    const WalInventory *inventory = finding->inventory;

    if (inventory->history_count == 0 ||
        inventory->histories[inventory->history_count - 1] <= finding->timeline)
        return true;
    if (!load_paths(finding->cluster, inventory, err))
        return false;
    for (size_t i = 0; i < inventory->sources->path_count; i++) {
        const TimelinePath *path = &inventory->sources->paths[i];
        const uint32_t size = leaves_at(finding, path);

        if (size > 0)
            add_held(finding, path_last_timeline(path), size);
        if (size > finding->left_at)
            finding->left_at = size;
    }
    return true;
}

/* The WAL of a candidate, read as a recovery would. */
typedef struct SourceReading {
    const PgVersion *version;
    WalReader *reader;
    WalSummary summary;
    uint64_t size; /* This many bytes came. */
} SourceReading;

static void source_reading_done(SourceReading *reading)
{
    wal_reader_freep(&reading->reader);
}

static bool source_sum_up(void *context, const WalRecord *record, Error *err)
{
    SourceReading *reading = context;
    WalEvent event;

    (void)err;
    wal_summary_add_record(&reading->summary, record, reading->version, &event);
    return true;
}

static bool feed_reader(void *context, const void *data, size_t size, Error *err)
{
    SourceReading *reading = context;

    reading->size += size;
    return wal_reader_feed(reading->reader, data, size, err);
}

static void source_begin_reading(SourceReading *reading, const SourceFinding *finding)
{
    const Cluster *cluster = finding->cluster;

    reading->version = pg_version_of_major(cluster->major);
    wal_summary_init(&reading->summary);
    reading->reader = wal_reader_new(&(WalReaderSetup){
        .version = reading->version,
        .system_identifier = cluster->system_identifier,
        .segment_size = cluster->wal_segment_size,
        .start = wal_segment_start(finding->segment, cluster->wal_segment_size),
        .on_record = source_sum_up,
        .context = reading,
    });
}

/*
 * Where valid WAL ends in a file, zeros follow, or what the file was before: that is its end. Not
 * so where the server was further, as a fork says, and its pages are there.
 */
static bool is_its_end(const SourceFinding *finding, const WalSource *candidate,
                       const WalReaderState *state)
{
    if (candidate->form == WAL_LOCAL_FILE)
        return true;
    return candidate->form == WAL_AS_PARTIAL &&
           !(state->rest_goes_on && candidate->size < finding->left_at);
}

static void end_cleanly(WalReaderState *state)
{
    state->end = WAL_END_OPEN;
    state->reason[0] = '\0';
    state->broken_at = 0;
}

static const WalTrailer *keep_trailer(const SourceFinding *finding, const SourceReading *reading,
                                      uint64_t stored_size)
{
    const Cluster *cluster = finding->cluster;
    WalTrailer *trailer = arena_alloc(&finding->inventory->sources->arena, sizeof *trailer);

    *trailer = (WalTrailer){.kind = WAL_SEGMENT,
                            .system_identifier = cluster->system_identifier,
                            .timeline = finding->timeline,
                            .major = cluster->major,
                            .segment_size = cluster->wal_segment_size,
                            .raw_size = cluster->wal_segment_size,
                            .stored_size = stored_size,
                            .summary = reading->summary};
    return trailer;
}

static bool source_examine(const SourceFinding *finding, WalSource *candidate, Error *err)
{
    const uint32_t segment_size = finding->cluster->wal_segment_size;
    CLEANUP(source_reading_done) SourceReading reading = {0};
    uint64_t stored_size;

    source_begin_reading(&reading, finding);
    if (!wal_source_read(finding->cluster, finding->inventory, candidate, 1, feed_reader, &reading,
                         &stored_size, err))
        return false;
    reading.summary.reader = *wal_reader_state(reading.reader);
    WalReaderState *state = &reading.summary.reader;
    const bool is_broken = state->end == WAL_END_BROKEN;
    candidate->size = (uint32_t)(is_broken ? state->broken_at % segment_size : reading.size);
    if (is_broken && is_its_end(finding, candidate, state))
        end_cleanly(state);
    candidate->trailer = keep_trailer(finding, &reading, stored_size);
    return true;
}

/* A file with a header that is not this segment's was recycled, and is not one. */
static bool source_passes_over(const WalSource *candidate, const Error *attempt)
{
    if (candidate->form == WAL_LOCAL_FILE)
        return attempt->code == ERR_CORRUPT || attempt->code == ERR_REFUSED;
    return attempt->code == ERR_NOT_FOUND && candidate->form != WAL_IN_PIECES;
}

static const char *source_describe(const Cluster *cluster, const WalSource *source, char text[64])
{
    const WalName name = source_wal_name(source);
    char file[WAL_NAME_SIZE];

    (void)snprintf(text, 64, "%s%s", wal_name_text(&name, cluster->wal_segment_size, file),
                   source->form == WAL_IN_PIECES ? " (in pieces)" : "");
    return text;
}

static void note_fault(SourceFinding *finding, const Error *fault, uint32_t limit)
{
    if (limit <= finding->fault_limit)
        return;
    finding->fault = *fault;
    finding->fault_limit = limit;
}

/* A file in which WAL never began: its header was written, or is left of a recycled one. */
static bool is_void(const WalSource *candidate)
{
    const WalReaderState *state = &candidate->trailer->summary.reader;

    return state->record_count == 0 && state->head_size == 0 && state->tail_record == 0;
}

/* Those that can't be used go; *err only when it could not be found out. */
static bool examine_all(SourceFinding *finding, Error *err)
{
    size_t kept = 0;
    char text[64];

    for (size_t i = 0; i < finding->count; i++) {
        WalSource candidate = finding->candidates[i];
        Error attempt = {0};

        if (source_examine(finding, &candidate, &attempt)) {
            if (!is_void(&candidate))
                finding->candidates[kept++] = candidate;
        } else if (source_passes_over(&candidate, &attempt)) {
            continue;
        } else if (attempt.code == ERR_CORRUPT || attempt.code == ERR_REFUSED) {
            attempt.code = ERR_CORRUPT;
            error_context(&attempt, "%s", source_describe(finding->cluster, &candidate, text));
            note_fault(finding, &attempt, finding->candidates[i].size);
        } else {
            *err = attempt;
            return error_context(err, "read %s",
                                 source_describe(finding->cluster, &candidate, text));
        }
    }
    finding->count = kept;
    return true;
}

static bool sum_bytes(void *context, const void *data, size_t size, Error *err)
{
    Sha256 *sha = context;

    (void)err;
    sha256_update(sha, data, size);
    return true;
}

static bool digest_of(const SourceFinding *finding, WalSource source, uint32_t size,
                      uint8_t digest[SHA256_SIZE], Error *err)
{
    CLEANUP(sha256_freep) Sha256 *sha = sha256_new();
    uint64_t stored_size;

    source.size = size;
    if (!wal_source_read(finding->cluster, finding->inventory, &source, 1, sum_bytes, sha,
                         &stored_size, err))
        return false;
    sha256_final(sha, digest);
    return true;
}

static uint32_t common_size(const WalSource *a, const WalSource *b)
{
    const Lsn first = a->trailer->summary.reader.last_end;
    const Lsn second = b->trailer->summary.reader.last_end;
    const Lsn end = first < second ? first : second;
    const uint32_t size = end == 0 ? 0 : (uint32_t)((end - 1) % a->trailer->segment_size + 1);

    /* A record that is not whole in either may still be there in both. */
    return size > 0 ? size : a->size < b->size ? a->size : b->size;
}

/* Whether both have the same WAL, as far as the shorter one has whole records. */
static bool sources_agree(const SourceFinding *finding, const WalSource *a, const WalSource *b,
                          bool *same, Error *err)
{
    const uint32_t size = common_size(a, b);
    uint8_t first[SHA256_SIZE], second[SHA256_SIZE];

    if (!digest_of(finding, *a, size, first, err) || !digest_of(finding, *b, size, second, err))
        return false;
    *same = memcmp(first, second, sizeof first) == 0;
    return true;
}

/* Where they reach the same place, the one that was added first. */
static bool reaches_farther(const WalSource *a, const WalSource *b)
{
    const WalReaderState *first = &a->trailer->summary.reader;
    const WalReaderState *second = &b->trailer->summary.reader;

    if (first->last_end != second->last_end)
        return first->last_end > second->last_end;
    return a->size > b->size;
}

/* What there is of it ends at what is wrong. With size 0, nothing of it is to be trusted. */
static void set_fault(const SourceFinding *finding, WalSource *best, uint32_t size,
                      const char *message)
{
    Arena *arena = &finding->inventory->sources->arena;

    best->fault = arena_text(arena, message);
    best->size = size;
    if (size == 0)
        return;
    WalTrailer *trailer = arena_alloc(arena, sizeof *trailer);
    WalReaderState *state = &trailer->summary.reader;
    *trailer = *best->trailer;
    state->end = WAL_END_BROKEN;
    state->broken_at =
        wal_segment_start(finding->segment, finding->cluster->wal_segment_size) + size;
    (void)snprintf(state->reason, sizeof state->reason, "%.*s", (int)sizeof state->reason - 1,
                   message);
    best->trailer = trailer;
}

/* *best is the one so far, or WAL_NOWHERE. */
static bool source_weigh(const SourceFinding *finding, const WalSource *candidate, WalSource *best,
                         Error *err)
{
    char text[2][64];
    bool same;

    if (best->form == WAL_NOWHERE) {
        *best = *candidate;
        return true;
    }
    if (!sources_agree(finding, candidate, best, &same, err))
        return false;
    if (same && reaches_farther(candidate, best))
        *best = *candidate;
    if (same || candidate->form == WAL_LOCAL_FILE)
        return true;
    Error differ = {0};
    error_set(&differ, ERR_CORRUPT, "%s and %s hold different WAL of the same place",
              source_describe(finding->cluster, best, text[0]),
              source_describe(finding->cluster, candidate, text[1]));
    set_fault(finding, best, 0, differ.message);
    return true;
}

static bool finding_choose(const SourceFinding *finding, WalSource *best, Error *err)
{
    for (size_t i = 0; i < finding->count; i++) {
        if (best->fault == NULL && !source_weigh(finding, &finding->candidates[i], best, err))
            return false;
    }
    if (finding->fault.code == ERR_NONE || best->fault != NULL ||
        best->size >= finding->fault_limit)
        return true;
    if (best->form == WAL_NOWHERE)
        *best = (WalSource){.form = WAL_AS_PARTIAL, .holder = finding->timeline};
    CLEANUP(text_freep)
    char *message = text_format("%s: %s", finding->fault.context, finding->fault.message);
    set_fault(finding, best, best->size, message);
    return true;
}

static bool find_open(const Cluster *cluster, const WalInventory *inventory, WalSource *source,
                      Error *err)
{
    SourceFinding finding = {.cluster = cluster,
                             .inventory = inventory,
                             .timeline = source->timeline,
                             .segment = source->segment};
    WalSource best = {.form = WAL_NOWHERE, .holder = source->timeline};

    /* Under each timeline's name there are pieces and a .partial at most. */
    finding.candidates = arena_alloc(
        &inventory->sources->arena,
        (2 * inventory->history_count + 2 + inventory->sources->file_count) * sizeof(WalSource));
    add_held(&finding, source->timeline, cluster->wal_segment_size);
    if (!add_children(&finding, err))
        return false;
    finding_add_files(&finding);
    if (!examine_all(&finding, err) || !finding_choose(&finding, &best, err))
        return false;
    best.timeline = source->timeline;
    best.segment = source->segment;
    *source = best;
    return true;
}

bool wal_source_is_complete(const WalSource *source, uint32_t segment_size)
{
    return source->form != WAL_NOWHERE && source->fault == NULL &&
           (source->size == segment_size ||
            (source->trailer != NULL && source->trailer->summary.reader.end == WAL_END_SWITCH));
}

bool wal_source_find(const Cluster *cluster, const WalInventory *inventory, uint32_t timeline,
                     uint64_t segment, WalSource *source, Error *err)
{
    WalSources *sources = inventory->sources;

    *source = (WalSource){.timeline = timeline, .segment = segment, .holder = timeline};
    if (wal_inventory_has(inventory, timeline, segment)) {
        source->form = WAL_WHOLE;
        source->size = cluster->wal_segment_size;
        return true;
    }
    if (sources == NULL)
        return true;
    if (sources->found_with != inventory->history_count)
        sources->found = NULL;
    sources->found_with = inventory->history_count;
    for (const FoundSource *found = sources->found; found != NULL; found = found->next) {
        if (found->source.timeline == timeline && found->source.segment == segment) {
            *source = found->source;
            return true;
        }
    }
    if (!find_open(cluster, inventory, source, err))
        return false;
    FoundSource *found = arena_alloc(&sources->arena, sizeof *found);
    *found = (FoundSource){.next = sources->found, .source = *source};
    sources->found = found;
    return true;
}

bool wal_source_on_path(const Cluster *cluster, const WalInventory *inventory,
                        const TimelinePath *path, uint64_t segment, WalSource *source, Error *err)
{
    const uint32_t size = cluster->wal_segment_size;
    const uint32_t timeline = path_timeline_of_segment(path, segment, size);
    const PathStep *step = path_step_of(path, timeline);
    const Lsn start = wal_segment_start(segment, size);

    if (!wal_source_find(cluster, inventory, timeline, segment, source, err))
        return false;
    if (wal_source_is_open(source) && source->fault == NULL && step->begin > start &&
        start + source->size <= step->begin)
        source->form = WAL_NOWHERE;
    return true;
}

bool wal_source_absence(const Cluster *cluster, const WalInventory *inventory,
                        const TimelinePath *path, const WalName *name, uint64_t bound_segment,
                        Absence *absence, Error *err)
{
    const uint32_t size = cluster->wal_segment_size;
    const PathStep *step = path_step_of(path, name->timeline);
    WalSource first;

    *absence = absence_of_segment(inventory, path, name, size, bound_segment);
    if (*absence != ABSENCE_FORK || step == NULL || step->end != 0 ||
        name->segment <= wal_segment_of(step->begin, size) ||
        wal_inventory_has_any(inventory, name->timeline))
        return true;
    if (!wal_source_on_path(cluster, inventory, path, wal_segment_of(step->begin, size), &first,
                            err))
        return false;
    if (first.form != WAL_NOWHERE)
        *absence = ABSENCE_PROVEN;
    return true;
}
