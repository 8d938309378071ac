#include "receive_segment.h"

#include "base/fault.h"
#include "base/log.h"
#include "repo/layout.h"
#include "wal/wal_check.h"
#include "walk/wal_follows.h"

#include <assert.h>
#include <inttypes.h>

enum {
    /* Pieces stay within blocks of this size, so that a finished block is one piece. */
    BLOCK_SIZE = WAL_PIECE_RAW_MAX,
    WINDOW_SIZE = 4 * BLOCK_SIZE,
    /* Each commit may make a piece. Once there are this many in a block, they are put together. */
    PIECES_PER_BLOCK = 32,
};

struct OpenSegment {
    const Cluster *cluster;
    WalName name;
    char name_text[WAL_NAME_SIZE];
    Lsn fork; /* The segment's timeline begins here. 0 means that it is the first of the path. */
    uint32_t *ancestors;
    size_t ancestor_count;
    uint32_t before_timeline; /* The path takes the segment before from this timeline. */
    bool is_followed;         /* It goes on where the archive's segment before it ends. */

    uint32_t received; /* It is the offset of the next byte. */
    uint32_t durable;  /* Up to here the repository has the bytes that we have. */
    Buffer window;     /* It has the bytes from window_start to received. */
    uint32_t window_start;
    WalPiece *pieces; /* They are in the repository. Those found at the beginning are among them. */
    size_t piece_count, piece_capacity;
    CodecContext *codec;
    /* It is stored only as a whole. The window has no more than the header of its first page. */
    bool is_at_once;
    /* It was archived as a whole before it was received, so there is nothing to store. */
    bool is_archived;

    WalObjectWriter *writer; /* It is NULL when a signal has ended the making of the whole. */
    WalReader *reader;
    const PgVersion *version;
    WalSummary summary;
    WalBlocks *blocks;
};

void open_segment_freep(OpenSegment **segment)
{
    OpenSegment *gone = *segment;

    if (gone == NULL)
        return;
    wal_object_writer_freep(&gone->writer);
    wal_reader_freep(&gone->reader);
    wal_blocks_freep(&gone->blocks);
    codec_context_freep(&gone->codec);
    buffer_done(&gone->window);
    mem_free(gone->pieces);
    mem_free(gone->ancestors);
    mem_free(gone);
    *segment = NULL;
}

static void add_piece(OpenSegment *segment, const WalPiece *piece)
{
    if (segment->piece_count == segment->piece_capacity) {
        segment->piece_capacity = 2 * segment->piece_capacity + 16;
        segment->pieces =
            mem_resize(segment->pieces, segment->piece_capacity * sizeof segment->pieces[0]);
    }
    segment->pieces[segment->piece_count++] = *piece;
}

static void forget_piece(OpenSegment *segment, size_t index)
{
    segment->pieces[index] = segment->pieces[--segment->piece_count];
}

/* Remove those that lie within [from, to), but for the one that is exactly that. */
static bool segment_remove_pieces(OpenSegment *segment, uint32_t from, uint32_t to, bool all,
                                  Error *err)
{
    for (size_t i = segment->piece_count; i-- > 0;) {
        const WalPiece *piece = &segment->pieces[i];

        if (piece->from < from || piece->to > to ||
            (!all && piece->from == from && piece->to == to))
            continue;
        if (!wal_piece_remove(segment->cluster, piece, err))
            return false;
        forget_piece(segment, i);
    }
    return true;
}

static bool find_pieces(OpenSegment *segment, Error *err)
{
    CLEANUP(wal_pieces_done) WalPieceList list = {0};

    if (!wal_pieces_load(&list, segment->cluster, err))
        return false;
    for (size_t i = 0; i < list.count; i++) {
        if (list.items[i].timeline == segment->name.timeline &&
            list.items[i].segment == segment->name.segment)
            add_piece(segment, &list.items[i]);
    }
    return true;
}

/* Its own pieces would mean nothing, so what comes must be what is there. */
static bool find_whole(OpenSegment *segment, Error *err)
{
    Error attempt = {0};
    WalTrailer trailer;

    segment->is_archived =
        wal_object_trailer(segment->cluster, segment->name_text, &trailer, &attempt);
    if (segment->is_archived || attempt.code == ERR_NOT_FOUND || attempt.code == ERR_CORRUPT)
        return true;
    return error_pass(err, &attempt);
}

static bool segment_sum_up(void *context, const WalRecord *record, Error *err)
{
    OpenSegment *segment = context;
    WalEvent event;

    (void)err;
    wal_summary_add_record(&segment->summary, record, segment->version, &event);
    wal_blocks_add(segment->blocks, record);
    return true;
}

static void segment_read_along(OpenSegment *segment)
{
    const Cluster *cluster = segment->cluster;

    segment->version = pg_version_of_major(cluster->major);
    wal_summary_init(&segment->summary);
    segment->blocks = wal_blocks_new(segment->version);
    segment->reader = wal_reader_new(&(WalReaderSetup){
        .version = segment->version,
        .system_identifier = cluster->system_identifier,
        .segment_size = cluster->wal_segment_size,
        .start = wal_segment_start(segment->name.segment, cluster->wal_segment_size),
        .on_record = segment_sum_up,
        .context = segment,
    });
}

static void segment_take_path(OpenSegment *segment, const TimelinePath *path)
{
    segment->before_timeline = segment->name.segment == 0
                                   ? segment->name.timeline
                                   : path_timeline_of_segment(path, segment->name.segment - 1,
                                                              segment->cluster->wal_segment_size);
    segment->ancestors = mem_alloc((path->count + 1) * sizeof segment->ancestors[0]);
    for (size_t i = 0; i < path->count; i++) {
        segment->ancestors[segment->ancestor_count++] = path->steps[i].timeline;
        if (path->steps[i].timeline == segment->name.timeline) {
            segment->fork = path->steps[i].begin;
            break;
        }
    }
}

bool open_segment_begin(const OpenSegmentSetup *setup, OpenSegment **segment, Error *err)
{
    const uint32_t size = setup->cluster->wal_segment_size;
    CLEANUP(open_segment_freep) OpenSegment *begun = mem_alloc(sizeof *begun);

    begun->cluster = setup->cluster;
    begun->name =
        (WalName){.kind = WAL_SEGMENT, .timeline = setup->timeline, .segment = setup->segment};
    wal_name_text(&begun->name, size, begun->name_text);
    segment_take_path(begun, setup->path);
    begun->codec = codec_context_new();
    segment_read_along(begun);
    if (!find_pieces(begun, err) || !find_whole(begun, err) ||
        !wal_object_write(setup->cluster, begun->name_text, setup->compression, setup->threads,
                          size, &begun->writer, err))
        return error_context(err, "receive %s", begun->name_text);
    /* What an earlier run has stored in pieces, and acknowledged, is compared with what comes. */
    begun->is_at_once = setup->is_at_once && begun->piece_count == 0;
    if (!begun->is_at_once)
        buffer_reserve(&begun->window, size < WINDOW_SIZE ? size : WINDOW_SIZE);
    *segment = TAKE(begun);
    return true;
}

uint32_t open_segment_received(const OpenSegment *segment)
{
    return segment->received;
}

bool open_segment_is_at_once(const OpenSegment *segment)
{
    return segment->is_at_once;
}

bool open_segment_has_new(const OpenSegment *segment)
{
    return !segment->is_at_once && segment->durable < segment->received;
}

uint32_t open_segment_durable(const OpenSegment *segment)
{
    return segment->durable;
}

/*
 * The first segment of a timeline begins with its parent's records (xlog.c, XLogInitNewTimeline),
 * and says so in its header; any other says its own timeline.
 */
static bool segment_check_timeline(const OpenSegment *segment, const WalSegmentHeader *header,
                                   Error *err)
{
    const uint32_t size = segment->cluster->wal_segment_size;

    if (header->timeline == segment->name.timeline)
        return true;
    for (size_t i = 0; i < segment->ancestor_count; i++) {
        if (segment->ancestors[i] == header->timeline && segment->fork != 0 &&
            wal_segment_of(segment->fork, size) == segment->name.segment)
            return true;
    }
    return error_set(err, ERR_REFUSED,
                     "its content is of timeline %" PRIu32 ", and timeline %" PRIu32
                     " does not begin here by its history",
                     header->timeline, segment->name.timeline);
}

static bool check_head(const OpenSegment *segment, Error *err)
{
    WalSegmentHeader header;

    return wal_check_header(segment->cluster, &segment->name, ERR_REFUSED, segment->window.data,
                            segment->window.size, &header, err) &&
           segment_check_timeline(segment, &header, err);
}

/*
 * Make room: what is durable may be dropped, block by block, since a block is stored again as a
 * whole.
 */
static bool segment_slide(OpenSegment *segment, Error *err)
{
    if (!open_segment_store(segment, err))
        return false;

    const uint32_t start = segment->durable - segment->durable % BLOCK_SIZE;
    const size_t gone = start - segment->window_start;
    memmove(segment->window.data, segment->window.data + gone, segment->window.size - gone);
    segment->window.size -= gone;
    segment->window_start = start;
    return true;
}

static bool segment_take(OpenSegment *segment, const uint8_t *data, size_t size, Error *err)
{
    const bool had_head = segment->received >= WAL_SEGMENT_HEADER_SIZE;

    /* First of all into the window: whatever fails then, it can be stored from there. */
    if (!segment->is_at_once || !had_head)
        buffer_append(&segment->window, data, size);
    segment->received += (uint32_t)size;
    if (!had_head && segment->received >= WAL_SEGMENT_HEADER_SIZE && !check_head(segment, err))
        return false;
    if (!wal_reader_feed(segment->reader, data, size, err))
        return false;
    if (segment->writer == NULL || wal_object_writer_add(segment->writer, data, size, err))
        return true;
    if (err->code == ERR_INTERRUPTED)
        wal_object_writer_freep(&segment->writer);
    return false;
}

bool open_segment_add(OpenSegment *segment, const void *data, size_t size, Error *err)
{
    const uint8_t *bytes = data;

    assert(size <= segment->cluster->wal_segment_size - segment->received);
    while (size > 0) {
        const size_t room = segment->is_at_once ? size : WINDOW_SIZE - segment->window.size;
        const size_t part = size < room ? size : room;

        if (room == 0 && !segment_slide(segment, err))
            return error_context(err, "receive %s", segment->name_text);
        if (room > 0 && !segment_take(segment, bytes, part, err))
            return error_context(err, "receive %s", segment->name_text);
        bytes += part;
        size -= part;
    }
    return true;
}

static const uint8_t *bytes_at(const OpenSegment *segment, uint32_t offset)
{
    assert(offset >= segment->window_start);
    return segment->window.data + (offset - segment->window_start);
}

static bool segment_refuse_other(const OpenSegment *segment, const char *what, Error *err)
{
    error_set(err, ERR_EXISTS, "%s of %s in the archive of \"%s\" has other content", what,
              segment->name_text, segment->cluster->name);
    return error_hint(err, "two servers write as one cluster, as after a restore or promotion "
                           "without a new timeline, or this server lost WAL that it had sent: "
                           "nothing was overwritten");
}

/*
 * Before anything of it is stored, and once more when its first record is there: two servers that
 * parted before this segment must not take turns in the archive.
 */
static bool segment_check_follows(OpenSegment *segment, Error *err)
{
    const WalReaderState *state = wal_reader_state(segment->reader);
    const WalName name = {.kind = WAL_SEGMENT,
                          .timeline = segment->before_timeline,
                          .segment = segment->name.segment};
    WalBefore before;

    if (segment->is_followed || segment->is_archived)
        return true;
    if (!wal_before_load(segment->cluster, &name, NULL, &before, err) ||
        !wal_follows(segment->cluster, &segment->name, state, &before, err))
        return false;
    segment->is_followed = state->first_record != 0;
    return true;
}

/* What [begin, end) of a stored piece is worth. */
typedef enum Found {
    FOUND_SAME,
    FOUND_OTHER,
    /* It is gone, or was damaged and removed. The server still has what was in it. */
    FOUND_NOTHING,
} Found;

static bool look_at_piece(const OpenSegment *segment, const WalPiece *piece, uint32_t begin,
                          uint32_t end, Found *found, Error *err)
{
    CLEANUP(buffer_done) Buffer raw = {0};
    Error attempt = {0};

    if (wal_piece_read(segment->cluster, piece, segment->codec, &raw, &attempt)) {
        *found =
            memcmp(raw.data + (begin - piece->from), bytes_at(segment, begin), end - begin) == 0
                ? FOUND_SAME
                : FOUND_OTHER;
        return true;
    }
    *found = FOUND_NOTHING;
    if (attempt.code == ERR_NOT_FOUND)
        return true;
    if (attempt.code == ERR_CORRUPT) {
        log_warn("a stored piece of a segment is damaged; it is stored anew",
                 log_str("segment", segment->name_text), log_str("reason", attempt.message));
        return wal_piece_remove(segment->cluster, piece, err);
    }
    return error_pass(err, &attempt);
}

/* The piece found at the beginning that holds this byte; those stored since end before it. */
static size_t piece_at(const OpenSegment *segment, uint32_t offset)
{
    size_t best = SIZE_MAX;

    for (size_t i = 0; i < segment->piece_count; i++) {
        const WalPiece *piece = &segment->pieces[i];

        if (piece->from <= offset && piece->to > offset &&
            (best == SIZE_MAX || piece->to > segment->pieces[best].to))
            best = i;
    }
    return best;
}

/* Compare what an earlier run stored with what we received, from `durable` on. */
static bool segment_compare_piece(OpenSegment *segment, size_t index, Error *err)
{
    const WalPiece piece = segment->pieces[index];
    const uint32_t end = piece.to < segment->received ? piece.to : segment->received;
    Found found;

    if (!look_at_piece(segment, &piece, segment->durable, end, &found, err))
        return false;
    switch (found) {
    case FOUND_SAME:
        segment->durable = end;
        return true;
    case FOUND_OTHER:
        return segment_refuse_other(segment, "a piece", err);
    case FOUND_NOTHING:
        forget_piece(segment, index);
        return true;
    }
    return true;
}

/*
 * The next piece to store: from what is durable to the block's end, or to where a piece begins that
 * was found. A block that is complete, or has many pieces, is stored anew from its first byte on:
 * the large piece then takes the place of the small ones.
 */
static WalPiece next_piece(const OpenSegment *segment)
{
    const uint32_t block = segment->durable - segment->durable % BLOCK_SIZE;
    WalPiece next = {.timeline = segment->name.timeline,
                     .segment = segment->name.segment,
                     .from = segment->durable,
                     .to = segment->received};
    size_t count = 0;

    if (next.to - block > BLOCK_SIZE)
        next.to = block + BLOCK_SIZE;
    for (size_t i = 0; i < segment->piece_count; i++) {
        const WalPiece *piece = &segment->pieces[i];

        if (piece->from > segment->durable && piece->from < next.to)
            next.to = piece->from;
        count += piece->from >= block && piece->to <= segment->durable;
    }
    if (count >= PIECES_PER_BLOCK || (count > 0 && next.to == block + BLOCK_SIZE))
        next.from = block;
    return next;
}

/* The name is taken by a piece that was not there when we looked: is it the same? */
static bool is_same_piece(const OpenSegment *segment, const WalPiece *piece, Error *err)
{
    Found found;

    if (!look_at_piece(segment, piece, piece->from, piece->to, &found, err))
        return false;
    if (found == FOUND_OTHER)
        return segment_refuse_other(segment, "a piece", err);
    if (found == FOUND_NOTHING) {
        return error_set(
            err, ERR_UNREACHABLE,
            "another process keeps storing and removing pieces of it in the repository");
    }
    return true;
}

static bool store_piece(OpenSegment *segment, Error *err)
{
    const WalPiece piece = next_piece(segment);
    Error attempt = {0};

    if (!segment_check_follows(segment, err))
        return false;
    if (!wal_piece_store(segment->cluster, &piece, bytes_at(segment, piece.from), segment->codec,
                         &attempt)) {
        if (attempt.code != ERR_EXISTS)
            return error_pass(err, &attempt);
        if (!is_same_piece(segment, &piece, err))
            return false;
    }
    add_piece(segment, &piece);
    segment->durable = piece.to;
    return segment_remove_pieces(segment, piece.from, piece.to, false, err);
}

/* The whole segment, as it is read, against what was received and not compared before. */
typedef struct WholeComparison {
    const OpenSegment *segment;
    uint64_t offset;
    bool is_other;
} WholeComparison;

static bool compare_with_received(void *context, const void *data, size_t size, Error *err)
{
    WholeComparison *comparison = context;
    const OpenSegment *segment = comparison->segment;
    const uint64_t begin = comparison->offset;
    const uint64_t from = begin > segment->durable ? begin : segment->durable;
    const uint64_t to = begin + size < segment->received ? begin + size : segment->received;

    (void)err;
    comparison->offset += size;
    if (from < to && memcmp((const uint8_t *)data + (from - begin),
                            bytes_at(segment, (uint32_t)from), to - from) != 0)
        comparison->is_other = true;
    return true;
}

/*
 * The archive has the whole segment, from archive_command or another receiver. Pieces would be
 * useless to anybody, and what was acknowledged in them lost, if it were another server's.
 */
static bool segment_compare_archived(OpenSegment *segment, Error *err)
{
    WholeComparison comparison = {.segment = segment};
    Error attempt = {0};

    if (!wal_object_read(segment->cluster, segment->name_text, 1, compare_with_received,
                         &comparison, NULL, &attempt)) {
        if (attempt.code != ERR_CORRUPT && attempt.code != ERR_NOT_FOUND)
            return error_pass(err, &attempt);
        segment->is_archived = false; /* damaged, or set aside by now: pieces, as ever */
        return true;
    }
    if (comparison.is_other)
        return segment_refuse_other(segment, "the whole", err);
    CLEANUP(text_freep) char *object = layout_wal(segment->cluster->name, segment->name_text);
    if (!storage_sync(segment->cluster->repo->storage, object, err))
        return false;
    segment->durable = segment->received;
    return true;
}

bool open_segment_store(OpenSegment *segment, Error *err)
{
    if (open_segment_has_new(segment) && segment->is_archived &&
        !segment_compare_archived(segment, err))
        return error_context(err, "store what was received of %s", segment->name_text);
    while (open_segment_has_new(segment)) {
        const size_t index = piece_at(segment, segment->durable);

        if (index != SIZE_MAX ? !segment_compare_piece(segment, index, err)
                              : !store_piece(segment, err))
            return error_context(err, "store what was received of %s", segment->name_text);
    }
    return true;
}

/* Whatever was found in pieces and told durable must be in the segment that takes their place. */
static bool compare_rest(OpenSegment *segment, Error *err)
{
    for (size_t i = segment->piece_count; i-- > 0;) {
        const WalPiece piece = segment->pieces[i];
        const uint32_t begin = piece.from > segment->durable ? piece.from : segment->durable;
        Found found;

        if (piece.to <= segment->durable)
            continue;
        if (!look_at_piece(segment, &piece, begin, piece.to, &found, err))
            return false;
        if (found == FOUND_OTHER)
            return segment_refuse_other(segment, "a piece", err);
        if (found == FOUND_NOTHING)
            forget_piece(segment, i);
    }
    return true;
}

/* As archive-push judges: docs/format.md, end of chapter 6.1. */
static bool segment_judge(const OpenSegment *segment, Error *err)
{
    const WalReaderState *state = wal_reader_state(segment->reader);
    char place[LSN_TEXT_SIZE];

    if (state->end != WAL_END_BROKEN)
        return true;
    lsn_text(state->broken_at, place);
    if (state->rest_is_zero) {
        return error_set(err, ERR_REFUSED,
                         "its WAL ends at %s and only zeros follow, without the record that ends a "
                         "segment early",
                         place);
    }
    log_warn("WAL is invalid in the middle of a segment; it is archived, recovery ends there",
             log_str("segment", segment->name_text), log_str("lsn", place),
             log_str("reason", state->reason));
    return true;
}

/*
 * Law 2: the name is taken, by archive_command or an earlier run. The same is a success once it was
 * read whole and made durable; a damaged one is set aside, and the segment streamed once more.
 */
static bool take_stored(const OpenSegment *segment, const WalTrailer *ours, Error *err)
{
    CLEANUP(text_freep) char *object = layout_wal(segment->cluster->name, segment->name_text);
    CLEANUP(text_freep) char *aside = NULL;
    Error attempt = {0};
    WalTrailer stored;

    if (wal_object_read_all(segment->cluster, segment->name_text, 1, NULL, NULL, &stored,
                            &attempt)) {
        if (!wal_trailers_agree(&stored, ours))
            return segment_refuse_other(segment, "the whole", err);
        return storage_sync(segment->cluster->repo->storage, object, err);
    }
    if (attempt.code != ERR_CORRUPT)
        return error_pass(err, &attempt);
    if (wal_object_trailer(segment->cluster, segment->name_text, &stored, &(Error){0}) &&
        !wal_trailers_agree(&stored, ours))
        return segment_refuse_other(segment, "the whole (damaged)", err);
    if (!wal_object_set_aside(segment->cluster, segment->name_text, &aside, err))
        return error_context(err, "set the damaged object aside");
    log_warn("the archived copy was damaged: set aside, stored anew",
             log_str("segment", segment->name_text), log_str("aside", aside));
    return error_set(err, ERR_UNREACHABLE, "the archived copy was damaged and is received again");
}

static bool segment_commit(OpenSegment *segment, Error *err)
{
    Error attempt = {0};
    WalTrailer trailer;

    assert(segment->received == segment->cluster->wal_segment_size);
    if (segment->writer == NULL)
        return error_set(err, ERR_INTERRUPTED, "interrupted by a signal");
    if (!compare_rest(segment, err) || !segment_judge(segment, err) ||
        !segment_check_follows(segment, err) || !FAULT_POINT("receive.before-segment", err))
        return false;
    segment->summary.reader = *wal_reader_state(segment->reader);
    wal_blocks_end(segment->blocks, segment->reader);
    wal_object_writer_blocks(segment->writer, segment->blocks);
    if (!wal_object_writer_commit(segment->writer, &segment->summary, &trailer, &attempt)) {
        if (attempt.code != ERR_EXISTS)
            return error_pass(err, &attempt);
        if (!take_stored(segment, &trailer, err))
            return false;
    }
    segment->durable = segment->received;
    return FAULT_POINT("receive.after-segment", err) &&
           segment_remove_pieces(segment, 0, segment->cluster->wal_segment_size, true, err);
}

bool open_segment_commit(OpenSegment *segment, Error *err)
{
    return segment_commit(segment, err) || error_context(err, "store %s", segment->name_text);
}

/* Pieces of one segment against the whole of it, as it is read. */
typedef struct SegmentComparison {
    const Cluster *cluster;
    const WalPiece *pieces;
    size_t count;
    CodecContext *codec;
    Buffer *contents; /* It has the content of each piece while the comparison passes it. */
    uint64_t offset;
    bool is_other;
} SegmentComparison;

static void segment_comparison_done(SegmentComparison *comparison)
{
    for (size_t i = 0; i < comparison->count; i++)
        buffer_done(&comparison->contents[i]);
    mem_free(comparison->contents);
    codec_context_freep(&comparison->codec);
}

/* A piece that can't be read, or was removed, says nothing against the whole. */
static bool load_piece(SegmentComparison *comparison, size_t index, bool *is_there, Error *err)
{
    Buffer *content = &comparison->contents[index];
    Error attempt = {0};

    *is_there = content->size > 0 || wal_piece_read(comparison->cluster, &comparison->pieces[index],
                                                    comparison->codec, content, &attempt);
    if (*is_there || attempt.code == ERR_CORRUPT || attempt.code == ERR_NOT_FOUND)
        return true;
    return error_pass(err, &attempt);
}

static bool segment_compare_part(void *context, const void *data, size_t size, Error *err)
{
    SegmentComparison *comparison = context;
    const uint64_t begin = comparison->offset;
    const uint64_t end = begin + size;

    comparison->offset = end;
    for (size_t i = 0; i < comparison->count; i++) {
        const WalPiece *piece = &comparison->pieces[i];
        const uint64_t from = piece->from > begin ? piece->from : begin;
        const uint64_t to = piece->to < end ? piece->to : end;
        bool is_there;

        if (from >= to)
            continue;
        if (!load_piece(comparison, i, &is_there, err))
            return false;
        if (!is_there)
            continue;
        comparison->is_other =
            comparison->is_other || memcmp(comparison->contents[i].data + (from - piece->from),
                                           (const uint8_t *)data + (from - begin), to - from) != 0;
        if (to == piece->to)
            buffer_done(&comparison->contents[i]);
    }
    return true;
}

/* All pieces of one segment. */
static bool clean_segment(const Cluster *cluster, const WalPiece *pieces, size_t count, Error *err)
{
    const WalName name = {
        .kind = WAL_SEGMENT, .timeline = pieces->timeline, .segment = pieces->segment};
    char text[WAL_NAME_SIZE];
    Error attempt = {0};
    CLEANUP(segment_comparison_done)
    SegmentComparison comparison = {.cluster = cluster,
                                    .pieces = pieces,
                                    .count = count,
                                    .codec = codec_context_new(),
                                    .contents = mem_alloc(count * sizeof(Buffer))};

    wal_name_text(&name, cluster->wal_segment_size, text);
    CLEANUP(text_freep) char *object = layout_wal(cluster->name, text);
    if (!wal_object_read(cluster, text, 1, segment_compare_part, &comparison, NULL, &attempt)) {
        if (attempt.code == ERR_NOT_FOUND || attempt.code == ERR_CORRUPT)
            return true; /* the pieces are all there is */
        return error_pass(err, &attempt);
    }
    if (comparison.is_other) {
        log_warn("pieces of a segment have other content than the whole one; they are kept",
                 log_str("segment", text));
        return true;
    }
    if (!storage_sync(cluster->repo->storage, object, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!wal_piece_remove(cluster, &pieces[i], err))
            return false;
    }
    return true;
}

bool open_segments_clean(const Cluster *cluster, Error *err)
{
    CLEANUP(wal_pieces_done) WalPieceList list = {0};

    if (!wal_pieces_load(&list, cluster, err))
        return false;
    for (size_t i = 0, next; i < list.count; i = next) {
        for (next = i + 1; next < list.count &&
                           list.items[next].timeline == list.items[i].timeline &&
                           list.items[next].segment == list.items[i].segment;)
            next++;
        if (!clean_segment(cluster, &list.items[i], next - i, err))
            return error_context(err, "remove pieces of segments that are whole");
    }
    return true;
}
