#include "changed/changed_blocks.h"

#include "block_map.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "walk/wal_chain.h"
#include "walk/walk.h"

#include <inttypes.h>
#include <stdarg.h>

enum {
    MEMORY_DEFAULT = 64 << 20,
    PART_SIZE = 1 << 20,
};

struct ChangedBlocks {
    BlockMap *map;
    char *why_not;
    ChangedCost cost;
};

void changed_blocks_freep(ChangedBlocks **changed)
{
    if (*changed == NULL)
        return;
    block_map_freep(&(*changed)->map);
    text_freep(&(*changed)->why_not);
    mem_free(*changed);
    *changed = NULL;
}

const char *changed_blocks_why_not(const ChangedBlocks *changed)
{
    return changed->why_not;
}

ChangedCost changed_blocks_cost(const ChangedBlocks *changed)
{
    return changed->cost;
}

/* What is known of one segment. */
typedef struct SegmentBlocks {
    uint64_t segment;
    WalBlocks *blocks;
    WalSummary summary;
    Lsn until; /* What there is of the segment ends here. */
} SegmentBlocks;

static void segment_blocks_done(SegmentBlocks *found)
{
    wal_blocks_freep(&found->blocks);
}

typedef struct BlockCollecting {
    const ChangedRequest *request;
    ChangedBlocks *changed;
    const PgVersion *version;
    uint32_t segment_size;
    WalWalk walk;
    WalChain chain;
    /* It belongs to the record that the segment before leaves unfinished. */
    uint8_t tail[WAL_RECORD_HEAD];
    uint32_t tail_size, tail_have; /* tail_size is 0 when there is no such record. */
} BlockCollecting;

/* The end of it all: nothing is known. Always false, as there is nothing more to look at. */
static bool give_up(BlockCollecting *state, const char *format, ...) PRINTF_LIKE(2, 3);

static bool give_up(BlockCollecting *state, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (state->changed->why_not == NULL)
        state->changed->why_not = text_format_list(format, args);
    va_end(args);
    return false;
}

static bool gave_up(const BlockCollecting *state)
{
    return state->changed->why_not != NULL;
}

/* WAL of a segment that is read for want of a list. */
typedef struct SegmentReading {
    WalReader *reader;
    WalBlocks *blocks;
    WalSummary summary;
    const PgVersion *version;
} SegmentReading;

static void segment_reading_done(SegmentReading *reading)
{
    wal_reader_freep(&reading->reader);
    wal_blocks_freep(&reading->blocks);
}

static bool reading_take_record(void *context, const WalRecord *record, Error *err)
{
    SegmentReading *reading = context;
    WalEvent event;

    (void)err;
    wal_summary_add_record(&reading->summary, record, reading->version, &event);
    wal_blocks_add(reading->blocks, record);
    return true;
}

static bool reading_take_bytes(void *context, const void *data, size_t size, Error *err)
{
    SegmentReading *reading = context;

    return wal_reader_feed(reading->reader, data, size, err);
}

static void begin_segment_reading(const BlockCollecting *state, uint64_t segment,
                                  SegmentReading *reading)
{
    reading->version = state->version;
    reading->blocks = wal_blocks_new(state->version);
    wal_summary_init(&reading->summary);
    reading->reader = wal_reader_new(&(WalReaderSetup){
        .version = state->version,
        .system_identifier = state->request->cluster->system_identifier,
        .segment_size = state->segment_size,
        .start = wal_segment_start(segment, state->segment_size),
        .on_record = reading_take_record,
        .context = reading,
    });
}

static void end_segment_reading(BlockCollecting *state, SegmentReading *reading, uint64_t size,
                                SegmentBlocks *found)
{
    const WalReaderState *reader = wal_reader_state(reading->reader);
    const Lsn start = wal_segment_start(found->segment, state->segment_size);

    wal_blocks_end(reading->blocks, reading->reader);
    found->summary = reading->summary;
    found->summary.reader = *reader;
    found->until = start + size;
    found->blocks = TAKE(reading->blocks);
    state->changed->cost.read++;
}

/* As far as the file goes: the server may still be writing it. */
static bool read_wal_file(BlockCollecting *state, const char *path, SegmentBlocks *found,
                          Error *err)
{
    CLEANUP(segment_reading_done) SegmentReading reading = {0};
    CLEANUP(buffer_done) Buffer part = {0};
    CLEANUP(fd_done) int fd = -1;
    size_t got = PART_SIZE;
    uint64_t size = 0;

    if (!file_open(path, &fd, err))
        return false;
    begin_segment_reading(state, found->segment, &reading);
    buffer_reserve(&part, PART_SIZE);
    for (; got > 0 && size < state->segment_size; size += got) {
        if (!interrupt_check(err) ||
            !file_read_at(fd, part.data, PART_SIZE, size, &got, path, err) ||
            !wal_reader_feed(reading.reader, part.data, got, err))
            return false;
    }
    end_segment_reading(state, &reading, size, found);
    return true;
}

/* What the archive has of it, in whatever form. */
static bool read_archived(BlockCollecting *state, SegmentBlocks *found, Error *err)
{
    CLEANUP(segment_reading_done) SegmentReading reading = {0};
    uint64_t stored_size;
    WalSource source;

    begin_segment_reading(state, found->segment, &reading);
    if (!walk_source(&state->walk, found->segment, &source, err) ||
        !walk_read_segment(&state->walk, found->segment, reading_take_bytes, &reading, &stored_size,
                           err))
        return false;
    end_segment_reading(state, &reading, source.size, found);
    return true;
}

/* The list beside the segment. Without one found->blocks stays NULL. */
static bool read_list(BlockCollecting *state, SegmentBlocks *found, Error *err)
{
    char name[WAL_NAME_SIZE];
    WalTrailer trailer;

    walk_segment_name(&state->walk, found->segment, name);
    if (!wal_object_blocks(state->request->cluster, name, &trailer, &found->blocks, err))
        return false;
    found->summary = trailer.summary;
    found->until = wal_segment_start(found->segment + 1, state->segment_size);
    return true;
}

/* Worth another way: the list alone may be damaged, or be of a newer version. */
static bool may_be_elsewhere(const Error *attempt)
{
    return attempt->code == ERR_NONE || attempt->code == ERR_NOT_FOUND ||
           attempt->code == ERR_CORRUPT || attempt->code == ERR_VERSION ||
           attempt->code == ERR_REFUSED;
}

/* The segment that the server writes, or has not archived yet. */
static bool read_server_file(BlockCollecting *state, SegmentBlocks *found, Error *err)
{
    char name[WAL_NAME_SIZE];

    if (state->request->pg_wal == NULL)
        return error_set(err, ERR_NOT_FOUND, "it is not in the archive");
    CLEANUP(text_freep)
    char *path = text_format("%s/%s", state->request->pg_wal,
                             walk_segment_name(&state->walk, found->segment, name));
    return read_wal_file(state, path, found, err);
}

/*
 * The list, else the server's own file, else what the archive has. A listing is older than the
 * files: what the server has removed by now may be in the archive, though not in the inventory.
 */
static bool find_blocks(BlockCollecting *state, SegmentBlocks *found, Error *err)
{
    bool (*const ways[])(BlockCollecting *, SegmentBlocks *,
                         Error *) = {read_list, read_server_file, read_archived, read_list};
    char name[WAL_NAME_SIZE];
    Error attempt = {0};

    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        attempt = (Error){0};
        if (ways[i](state, found, &attempt) && found->blocks != NULL)
            return true;
        if (!may_be_elsewhere(&attempt))
            return error_pass(err, &attempt);
    }
    walk_segment_name(&state->walk, found->segment, name);
    return give_up(state, "%s can't be read: %s", name,
                   attempt.code == ERR_NONE ? "there is none" : attempt.message);
}

/* Whether it can be relied on, by all that its summary says. */
static bool check_reliable(BlockCollecting *state, const SegmentBlocks *found)
{
    const ChangedRequest *request = state->request;
    const WalReaderState *reader = &found->summary.reader;
    const Lsn until = reader->end == WAL_END_BROKEN ? reader->broken_at : found->until;
    const Lsn end = wal_segment_start(found->segment + 1, state->segment_size);
    char name[WAL_NAME_SIZE];
    char place[LSN_TEXT_SIZE];

    walk_segment_name(&state->walk, found->segment, name);
    if (!wal_chain_fits(&state->chain, reader))
        return give_up(state, "%s does not go on where the segment before it ends", name);
    if (found->summary.minimal_at != 0) {
        return give_up(state, "wal_level was minimal at %s",
                       lsn_text(found->summary.minimal_at, place));
    }
    if (until < request->to && until < end)
        return give_up(state, "the WAL in %s ends at %s", name, lsn_text(until, place));
    if (reader->tail_record != 0 && reader->tail_record < request->to && request->to <= end) {
        return give_up(state, "the record at %s is not complete",
                       lsn_text(reader->tail_record, place));
    }
    if (wal_blocks_is_full(found->blocks))
        return give_up(state, "%s changes too many different blocks", name);
    return true;
}

static void take_effect(BlockCollecting *state, const WalEffect *effect)
{
    BlockMap *map = state->changed->map;

    switch (effect->kind) {
    case EFFECT_CUT:
        if (effect->fork == FORK_MAIN)
            block_map_cut(map, &effect->file, effect->block);
        return;
    case EFFECT_DATABASE:
        block_map_database(map, effect->file.tablespace, effect->file.database);
        return;
    case EFFECT_TABLESPACE:
        block_map_tablespace(map, effect->file.tablespace);
        return;
    case EFFECT_UNKNOWN:
        give_up(state, "a record has an effect that is not known");
        return;
    }
}

static void take_blocks(BlockCollecting *state, SegmentBlocks *found)
{
    size_t at = 0, count;
    WalBlockRun run;
    const WalEffect *effects = wal_blocks_effects(found->blocks, &count);

    for (size_t i = 0; i < count; i++)
        take_effect(state, &effects[i]);
    while (wal_blocks_next(found->blocks, &at, &run)) {
        for (size_t i = 0; run.fork == FORK_MAIN && i < run.count; i++)
            block_map_add(state->changed->map, &run.file, wal_block_of(&run, i));
    }
}

/* The record that the segment before leaves, now that its second part is there. */
static void join_record(BlockCollecting *state, SegmentBlocks *found)
{
    const WalReaderState *reader = &found->summary.reader;
    const WalCut tail = {.bytes = state->tail, .size = state->tail_size};

    if (state->tail_have > 0 && !reader->starts_with_overwrite)
        wal_blocks_join(found->blocks, tail, wal_blocks_head(found->blocks), state->tail_have);
    const WalCut next = wal_blocks_tail(found->blocks);
    state->tail_have = reader->tail_record != 0 ? reader->tail_have : 0;
    state->tail_size = next.size;
    memcpy(state->tail, next.bytes, next.size);
}

static bool may_go_on(BlockCollecting *state, Error *err)
{
    const ChangedRequest *request = state->request;

    return interrupt_check(err) &&
           (request->on_segment == NULL || request->on_segment(request->context, err));
}

/* False without an error: it gave up. */
static bool collect_segment(BlockCollecting *state, uint64_t segment, Error *err)
{
    CLEANUP(segment_blocks_done) SegmentBlocks found = {.segment = segment};

    if (!may_go_on(state, err) || !find_blocks(state, &found, err) ||
        !check_reliable(state, &found))
        return false;
    state->changed->cost.segments++;
    if (state->request->read_max > 0 && state->changed->cost.read > state->request->read_max)
        return give_up(state, "too many segments have no list of their blocks");
    join_record(state, &found);
    take_blocks(state, &found);
    wal_chain_add(&state->chain, &found.summary.reader, state->segment_size);
    if (block_map_is_full(state->changed->map))
        return give_up(state, "more was changed than can be kept in memory");
    return !gave_up(state);
}

static void collecting_begin(BlockCollecting *state, const ChangedRequest *request,
                             ChangedBlocks *changed)
{
    *state = (BlockCollecting){
        .request = request,
        .changed = changed,
        .version = pg_version_of_major(request->cluster->major),
        .segment_size = request->cluster->wal_segment_size,
        .walk = {.cluster = request->cluster,
                 .inventory = request->inventory,
                 .path = request->path,
                 .from = request->from,
                 .to = request->to,
                 .threads = request->threads},
    };
}

bool changed_blocks_load(const ChangedRequest *request, ChangedBlocks **result, Error *err)
{
    CLEANUP(changed_blocks_freep) ChangedBlocks *changed = mem_alloc(sizeof *changed);
    const uint32_t size = request->cluster->wal_segment_size;
    Error attempt = {0};
    BlockCollecting state;
    bool ok = request->from < request->to;

    changed->map = block_map_new(request->memory_max == 0 ? MEMORY_DEFAULT : request->memory_max);
    collecting_begin(&state, request, changed);
    if (request->from > request->to)
        give_up(&state, "the first place comes after the second one");
    for (uint64_t segment = wal_segment_of(request->from, size);
         ok && segment <= wal_segment_before(request->to, size); segment++)
        ok = collect_segment(&state, segment, &attempt);
    if (attempt.code != ERR_NONE)
        return error_pass(err, &attempt) || error_context(err, "find out which blocks changed");
    *result = TAKE(changed);
    return true;
}

ChangedAnswer changed_blocks_of(const ChangedBlocks *changed, const RelationFile *file,
                                ForkKind fork, uint32_t first, uint32_t count, uint64_t *words)
{
    if (changed->why_not == NULL && fork == FORK_MAIN)
        return block_map_answer(changed->map, file, first, count, words);
    memset(words, 0xff, (count + (size_t)63) / 64 * sizeof words[0]);
    return CHANGED_UNKNOWN;
}
