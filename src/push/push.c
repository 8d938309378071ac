#include "push/push.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "catalog/history_fit.h"
#include "fork_check.h"
#include "left_segment.h"
#include "repo/layout.h"
#include "repo/mark.h"
#include "wal/wal_check.h"
#include "walk/set_aside.h"
#include "walk/wal_follows.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CACHED_SIZE = 128 << 10,
    TEXT_SIZE_MAX =
        /* It is the limit for a history or .backup file. The server's have some hundred bytes. */
    1 << 20,
    /* It limits the rounds of looking and storing when another process stores the same name. */
    ROUNDS_MAX = 3,
};

/* The file that the server wants archived. */
typedef struct PushSource {
    const char *path;
    char name_text[WAL_NAME_SIZE];
    WalName name;
    int fd;
    struct stat before; /* It is the file as it was when it was opened. */
} PushSource;

typedef struct Push {
    const Cluster *cluster;
    const PushRequest *request;
    PushSource source;
} Push;

static void push_done(Push *push)
{
    fd_done(&push->source.fd);
}

/* What a name in the repository has for us. Other content than ours is an error instead. */
typedef enum Stored {
    STORED_NOTHING,
    STORED_SAME, /* It was read in full, verified, compared and made durable. */
    STORED_DAMAGED,
} Stored;

static bool source_name(const Cluster *cluster, PushSource *source, Error *err)
{
    CLEANUP(text_freep)
    char *copy = text_format("%s", source->path); /* basename() writes into it */

    if (!wal_name_parse(basename(copy), cluster->wal_segment_size, &source->name, err)) {
        err->code = ERR_REFUSED;
        return error_hint(err, "archive-push takes the path of a file in pg_wal: archive_command = "
                               "'pgcairn archive-push %%p'");
    }
    wal_name_text(&source->name, cluster->wal_segment_size, source->name_text);
    return true;
}

static bool source_check_size(const Cluster *cluster, const PushSource *source, Error *err)
{
    const uint64_t size = (uint64_t)source->before.st_size;

    if (!S_ISREG(source->before.st_mode))
        return error_set(err, ERR_REFUSED, "it is not a regular file");
    if (wal_name_is_of_segment(&source->name) && size != cluster->wal_segment_size) {
        return error_set(err, ERR_REFUSED,
                         "it has %" PRIu64 " bytes, and segments of \"%s\" have %" PRIu32, size,
                         cluster->name, cluster->wal_segment_size);
    }
    if (!wal_name_is_of_segment(&source->name) && size > TEXT_SIZE_MAX)
        return error_set(err, ERR_REFUSED, "it has %" PRIu64 " bytes, far too many", size);
    return true;
}

static bool source_open(const Cluster *cluster, PushSource *source, Error *err)
{
    if (!source_name(cluster, source, err))
        return false;
    source->fd = open(source->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (source->fd < 0)
        return error_set_errno(err, ERR_IO, errno, "open %s", source->path);
    if (fstat(source->fd, &source->before) != 0)
        return error_set_errno(err, ERR_IO, errno, "look at %s", source->path);
    return source_check_size(cluster, source, err);
}

/*
 * The server is done with a file that it wants archived, so one that changes is not what it seems:
 * a copy in progress, or a segment that is being recycled.
 */
static bool source_check_unchanged(const PushSource *source, uint64_t size_read, Error *err)
{
    const struct stat *before = &source->before;
    struct stat now;

    if (fstat(source->fd, &now) != 0)
        return error_set_errno(err, ERR_IO, errno, "look at %s", source->path);
    if (size_read != (uint64_t)before->st_size || now.st_size != before->st_size ||
        now.st_mtim.tv_sec != before->st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != before->st_mtim.tv_nsec) {
        return error_set(err, ERR_IO, "%s was changed while it was being read", source->path);
    }
    return true;
}

/* Every byte of a small file. */
static bool source_read(const PushSource *source, Buffer *text, Error *err)
{
    const size_t size = (size_t)source->before.st_size + 1; /* does it end there? */
    size_t got;

    buffer_reserve(text, size);
    if (!file_read_at(source->fd, text->data, size, 0, &got, source->path, err))
        return false;
    text->size = got;
    return source_check_unchanged(source, got, err);
}

/* Of the timeline in its name, by the history beside it or in the archive. ERR_NOT_FOUND. */
static bool push_find_path(const Push *push, Arena *arena, TimelinePath *path, Error *err)
{
    const PushSource *source = &push->source;
    const uint32_t timeline = source->name.timeline;
    CLEANUP(text_freep) char *folder = file_folder(source->path);
    CLEANUP(text_freep)
    char *history = text_format("%s/%08" PRIX32 ".history", folder, timeline);
    CLEANUP(buffer_done) Buffer text = {0};
    Error attempt = {0};

    if (file_read_whole(history, TEXT_SIZE_MAX, &text, &attempt)) {
        buffer_append(&text, "", 1);
        return timeline_path_parse(timeline, (const char *)text.data, arena, path, err) ||
               error_context(err, "read %s", history);
    }
    if (attempt.code == ERR_NOT_FOUND) {
        return timeline_path_load(push->cluster, timeline, arena, path, err) ||
               error_context(err, "look for the parent of timeline %" PRIu32, timeline);
    }
    return error_pass(err, &attempt);
}

/*
 * A segment's header names the timeline that wrote its first record. The first segment of a new
 * timeline begins with a copy of its parent's (xlog.c, XLogInitNewTimeline), so there it is an
 * ancestor's; anywhere else that would be a segment under a wrong name.
 */
static bool check_fork(const Push *push, const WalSegmentHeader *header, Error *err)
{
    const PushSource *source = &push->source;
    const uint32_t size = push->cluster->wal_segment_size;
    CLEANUP(arena_done) Arena arena = {0};
    Error attempt = {0};
    TimelinePath path;

    if (!push_find_path(push, &arena, &path, &attempt)) {
        if (attempt.code == ERR_NOT_FOUND) {
            error_set(err, ERR_REFUSED,
                      "its content is of another timeline, and there is no history of "
                      "timeline %" PRIu32 " beside it or in the archive",
                      source->name.timeline);
            return error_hint(err,
                              "bring %08" PRIX32 ".history back into pg_wal, from a standby say; "
                              "docs/runbook.md, \"A history file is lost\", makes it anew",
                              source->name.timeline);
        }
        return error_pass(err, &attempt);
    }
    if (path_step_of(&path, header->timeline) == NULL ||
        wal_segment_of(path_step_of(&path, source->name.timeline)->begin, size) !=
            source->name.segment) {
        return error_set(err, ERR_REFUSED,
                         "its content is of timeline %" PRIu32 ", and timeline %" PRIu32
                         " does not begin here by its history",
                         header->timeline, source->name.timeline);
    }
    return true;
}

static bool push_check_segment(const Push *push, Error *err)
{
    const PushSource *source = &push->source;
    uint8_t head[WAL_SEGMENT_HEADER_SIZE];
    WalSegmentHeader header;
    size_t got;

    if (!file_read_at(source->fd, head, sizeof head, 0, &got, source->path, err) ||
        !wal_check_header(push->cluster, &source->name, ERR_REFUSED, head, got, &header, err)) {
        return false;
    }
    return header.timeline == source->name.timeline || check_fork(push, &header, err);
}

static bool check_text(const Push *push, Error *err)
{
    CLEANUP(buffer_done) Buffer text = {0};
    const WalName *name = &push->source.name;

    if (!source_read(&push->source, &text, err))
        return false;
    buffer_append(&text, "", 1); /* its end, for whoever reads it as text */
    if (strlen((const char *)text.data) + 1 != text.size)
        return error_set(err, ERR_REFUSED, "it is not text");
    if (name->kind == WAL_HISTORY)
        return wal_check_history(name, ERR_REFUSED, (const char *)text.data, err);
    return wal_check_backup_history(push->cluster, name, ERR_REFUSED, (const char *)text.data, err);
}

static bool refuse_other_content(const Push *push, bool is_damaged, Error *err)
{
    error_set(err, ERR_EXISTS, "%s is in the archive of \"%s\" already, with other content%s",
              push->source.name_text, push->cluster->name, is_damaged ? " (and damaged)" : "");
    return error_hint(err, "two servers archive as one cluster, as after a restore or promotion "
                           "without a new timeline: stop the wrong one's archiving or give it its "
                           "own --cluster; nothing was overwritten, the file stays in pg_wal");
}

/* The source beside what is read of the stored object. */
typedef struct PushComparison {
    const PushSource *source;
    Buffer piece;
    uint64_t offset;
    bool is_other;
} PushComparison;

static void push_comparison_done(PushComparison *comparison)
{
    buffer_done(&comparison->piece);
}

static bool push_compare_piece(void *context, const void *data, size_t size, Error *err)
{
    PushComparison *comparison = context;
    const PushSource *source = comparison->source;
    size_t got;

    comparison->piece.size = 0;
    buffer_reserve(&comparison->piece, size);
    if (!file_read_at(source->fd, comparison->piece.data, size, comparison->offset, &got,
                      source->path, err))
        return false;
    comparison->is_other |= got != size || memcmp(comparison->piece.data, data, size) != 0;
    comparison->offset += size;
    return true;
}

/*
 * The object can't be read. If its trailer can, and proves other content, it is somebody else's all
 * the same, and left where it is.
 */
static bool look_at_damaged(const Push *push, Stored *stored, Error *err)
{
    const PushSource *source = &push->source;
    uint8_t ours[XXH128_SIZE];
    Error attempt = {0};
    WalTrailer trailer;

    *stored = STORED_DAMAGED;
    if (!wal_object_trailer(push->cluster, source->name_text, &trailer, &attempt)) {
        if (attempt.code == ERR_CORRUPT)
            return true;
        return error_pass(err, &attempt);
    }
    const uint64_t size = (uint64_t)source->before.st_size;
    if (!wal_file_checksum(push->cluster->repo, source->fd, source->path, size, ours, err) ||
        !source_check_unchanged(source, size, err))
        return false;
    return (trailer.raw_size == size && memcmp(trailer.raw_checksum, ours, sizeof ours) == 0) ||
           refuse_other_content(push, true, err);
}

/*
 * Law 2: the same name is a success only once the stored object was read whole, verified, compared
 * byte by byte, and made durable: another run may have published it and died before its sync.
 */
static bool look_at_stored(const Push *push, WalTrailer *trailer, Stored *stored, Error *err)
{
    const PushSource *source = &push->source;
    CLEANUP(text_freep) char *object = layout_wal(push->cluster->name, source->name_text);
    CLEANUP(push_comparison_done) PushComparison comparison = {.source = source};
    Error attempt = {0};

    *stored = STORED_NOTHING;
    if (!wal_object_read_all(push->cluster, source->name_text, push->request->threads,
                             push_compare_piece, &comparison, trailer, &attempt)) {
        if (attempt.code == ERR_CORRUPT)
            return look_at_damaged(push, stored, err);
        *err = attempt;
        return attempt.code == ERR_NOT_FOUND;
    }
    if (comparison.is_other || trailer->raw_size != (uint64_t)source->before.st_size)
        return refuse_other_content(push, false, err);
    *stored = STORED_SAME;
    return source_check_unchanged(source, comparison.offset, err) &&
           storage_sync(push->cluster->repo->storage, object, err);
}

/* One pass over the bytes: compressed and hashed by the writer, walked by the reader. */
typedef struct Storing {
    WalObjectWriter *writer;
    WalReader *reader; /* It is NULL unless the file is a segment, or a part of one. */
    const PgVersion *version;
    WalSummary summary;
    WalBlocks *blocks; /* It is NULL unless the file is a segment. */
} Storing;

static void storing_done(Storing *storing)
{
    wal_blocks_freep(&storing->blocks);
    wal_reader_freep(&storing->reader);
    wal_object_writer_freep(&storing->writer);
}

static bool push_sum_up(void *context, const WalRecord *record, Error *err)
{
    Storing *storing = context;
    WalEvent event;

    (void)err;
    wal_summary_add_record(&storing->summary, record, storing->version, &event);
    if (storing->blocks != NULL)
        wal_blocks_add(storing->blocks, record);
    return true;
}

/*
 * The file, read once and straight to where it is compressed; in pieces that are still in the
 * processor's cache when the WAL reader looks at them.
 */
static bool store_content(const PushSource *source, Storing *storing, Error *err)
{
    uint64_t offset = 0;
    uint8_t *room;
    size_t size;
    size_t got;

    do {
        if (!interrupt_check(err) || !wal_object_writer_room(storing->writer, &room, &size, err))
            return false;
        if (size > CACHED_SIZE)
            size = CACHED_SIZE;
        if (!file_read_at(source->fd, room, size, offset, &got, source->path, err) ||
            (storing->reader != NULL && !wal_reader_feed(storing->reader, room, got, err)) ||
            !wal_object_writer_filled(storing->writer, got, err))
            return false;
        offset += got;
    } while (got > 0);
    return source_check_unchanged(source, offset, err);
}

static void push_read_along(const Push *push, Storing *storing)
{
    const Cluster *cluster = push->cluster;

    storing->version = pg_version_of_major(cluster->major);
    wal_summary_init(&storing->summary);
    if (push->source.name.kind == WAL_SEGMENT)
        storing->blocks = wal_blocks_new(storing->version);
    storing->reader = wal_reader_new(&(WalReaderSetup){
        .version = storing->version,
        .system_identifier = cluster->system_identifier,
        .segment_size = cluster->wal_segment_size,
        .start = wal_segment_start(push->source.name.segment, cluster->wal_segment_size),
        .on_record = push_sum_up,
        .context = storing,
    });
}

/*
 * A complete segment is full of records, or has a switch record before its zeros. Zeros without one
 * are a piece of a segment that somebody padded (pg_receivewal's .partial, an assembled tail), what
 * the file was before it was recycled is what a dead server had not written yet: under the plain
 * name it would end every recovery there, and keep out the whole one.
 *
 * WAL that is invalid in another way is stored all the same. The server has no better copy, does
 * not skip a segment, and would only fill its disk; whoever wants the bytes finds them here. The
 * trailer says where it ends, and the recovery windows end there.
 */
static bool push_judge(const Push *push, const WalReaderState *state, Error *err)
{
    char place[LSN_TEXT_SIZE];

    if (state->end != WAL_END_BROKEN)
        return true;
    if (left_segment_is(push->source.path, &push->source.name, push->cluster->wal_segment_size,
                        state->broken_at)) {
        return error_set(err, ERR_REFUSED,
                         "its timeline ends inside it, at %s, where a later one begins",
                         lsn_text(state->broken_at, place));
    }
    if (state->rest_is_zero || state->rest_is_stale) {
        error_set(err, ERR_REFUSED,
                  "its WAL ends at %s and only %s: it is a piece of a segment, not a whole one",
                  lsn_text(state->broken_at, place),
                  state->rest_is_zero ? "zeros follow" : "what the file held before follows");
        return error_hint(err, "a piece can be archived as %s.partial", push->source.name_text);
    }
    log_warn("WAL is invalid in the middle of a segment; it is archived, recovery ends there",
             log_str("segment", push->source.name_text),
             log_str("lsn", lsn_text(state->broken_at, place)), log_str("reason", state->reason));
    return true;
}

/* What it should go on from: as it was pushed just before, else as the archive has it. */
static bool find_before(const Push *push, WalBefore *before, Error *err)
{
    const PushSource *source = &push->source;
    CLEANUP(arena_done) Arena arena = {0};
    Error ignored = {0}; /* without a path nothing is known */
    TimelinePath path;

    before->is_known = push->request->known_before != NULL &&
                       push->request->known_before(push->request->context, &source->name, before);
    if (before->is_known)
        return true;
    if (!wal_before_load(push->cluster, &source->name, NULL, before, err))
        return false;
    /* The first segment of a timeline goes on from its parent's. */
    return before->is_known || source->name.timeline == 1 ||
           !push_find_path(push, &arena, &path, &ignored) ||
           wal_before_load(push->cluster, &source->name, &path, before, err);
}

static bool push_check_follows(const Push *push, const WalReaderState *state, Error *err)
{
    const PushSource *source = &push->source;
    CLEANUP(text_freep) char *folder = file_folder(source->path);
    WalBefore before;

    return find_before(push, &before, err) &&
           ((before.is_known && before.name.timeline == source->name.timeline) ||
            wal_not_set_aside(push->cluster, &source->name, &before, err)) &&
           wal_follows(push->cluster, &source->name, state, &before, err) &&
           wal_before_is_of(push->cluster, &before, folder, err);
}

/* state: NULL unless of a segment, or of a part of one. */
static bool push_publish(const Push *push, WalObjectWriter *writer, const WalReaderState *state,
                         const WalSummary *summary, WalTrailer *trailer, Error *err)
{
    const PushRequest *request = push->request;

    if (request->before_settle != NULL)
        request->before_settle(request->context);
    return wal_object_writer_settle(writer, summary, err) &&
           (request->before_commit == NULL || request->before_commit(request->context, err)) &&
           (state == NULL || push_check_follows(push, state, err)) &&
           wal_object_writer_commit(writer, summary, trailer, err);
}

/* What its server would make recovery follow must have left the archive's WAL. */
static bool check_history(const Push *push, Error *err)
{
    const PushSource *source = &push->source;
    CLEANUP(text_freep) char *folder = file_folder(source->path);
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(arena_done) Arena arena = {0};
    TimelinePath path;

    if (!source_read(source, &text, err))
        return false;
    buffer_append(&text, "", 1);
    return timeline_path_parse(source->name.timeline, (const char *)text.data, &arena, &path,
                               err) &&
           history_fits(push->cluster, &path, err) && fork_check(push->cluster, folder, &path, err);
}

/* ERR_EXISTS when somebody else was faster. */
static bool push_store(const Push *push, WalTrailer *trailer, Error *err)
{
    const WalName *name = &push->source.name;
    const bool is_segment = name->kind == WAL_SEGMENT;
    const WalReaderState *state = NULL;
    CLEANUP(storing_done) Storing storing = {0};

    if (name->kind == WAL_HISTORY && !check_history(push, err))
        return false;
    if (!wal_object_write(push->cluster, push->source.name_text, push->request->compression,
                          push->request->threads, (uint64_t)push->source.before.st_size,
                          &storing.writer, err)) {
        return false;
    }
    if (wal_name_is_of_segment(name))
        push_read_along(push, &storing);
    if (!store_content(&push->source, &storing, err))
        return false;
    if (storing.reader != NULL) {
        state = wal_reader_state(storing.reader);
        storing.summary.reader = *state;
    }
    assert(!is_segment || state != NULL);
    if (is_segment && !push_judge(push, state, err))
        return false;
    if (is_segment) {
        wal_blocks_end(storing.blocks, storing.reader);
        wal_object_writer_blocks(storing.writer, storing.blocks);
    }
    return push_publish(push, storing.writer, state, is_segment ? &storing.summary : NULL, trailer,
                        err);
}

/* Best effort: what stays marked is taken back by verify. */
static void take_back_damage(const Push *push)
{
    Error ignored = {0};

    (void)!mark_take_back_damage(push->cluster, MARK_OF_WAL, push->source.name_text, "archive-push",
                                 &ignored);
}

/* Look, and store when the name is free; until one of both has an answer. */
static bool look_and_store(Push *push, PushResult *result, Error *err)
{
    bool is_repair = false;

    for (int round = 0; round < ROUNDS_MAX; round++) {
        Error attempt = {0};
        Stored stored = STORED_NOTHING;

        if (!look_at_stored(push, &result->trailer, &stored, err))
            return false;
        if (stored == STORED_SAME) {
            result->outcome = is_repair ? PUSH_REPAIRED : PUSH_ALREADY_THERE;
            take_back_damage(push); /* it was read whole */
            return true;
        }
        if (stored == STORED_DAMAGED) {
            text_freep(&result->aside);
            if (!FAULT_POINT("push.before-set-aside", err) ||
                !wal_object_set_aside(push->cluster, push->source.name_text, &result->aside, err) ||
                !FAULT_POINT("push.after-set-aside", err)) {
                return error_context(err, "set the damaged object aside");
            }
            is_repair = true;
        }
        if (push_store(push, &result->trailer, &attempt)) {
            result->outcome = is_repair ? PUSH_REPAIRED : PUSH_STORED;
            if (is_repair)
                take_back_damage(push);
            return true;
        }
        if (attempt.code != ERR_EXISTS)
            return error_pass(err, &attempt);
    }
    return error_set(err, ERR_UNREACHABLE,
                     "another process keeps storing and removing it in the repository");
}

/*
 * The segment can't be archived under its plain name, and the server asks for it forever. When its
 * timeline was left in it (left_segment.h), there is nothing more to come, and all that it has is
 * in the archive once an object has the same WAL up to there: the whole segment, of a primary that
 * went on, or the server's own name for such a piece (xlog.c, CleanupAfterArchiveRecovery).
 */
static bool push_left(Push *push, PushResult *result, const Error *why_not, Error *err)
{
    PushSource *source = &push->source;
    const uint32_t segment_size = push->cluster->wal_segment_size;
    const Lsn begin = wal_segment_start(source->name.segment, segment_size);
    const WalFileKind kinds[] = {WAL_SEGMENT, WAL_PARTIAL};
    Lsn left_at;

    if (!left_segment_find(push->cluster, source->path, source->fd, &source->name, &left_at, err))
        return false;
    if (left_at == 0)
        return error_pass(err, why_not);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        bool is_stored;

        source->name.kind = kinds[i];
        wal_name_text(&source->name, segment_size, source->name_text);
        if (!left_segment_look(push->cluster, source->name_text, source->path, source->fd,
                               left_at - begin, &result->trailer, &is_stored, err))
            return false;
        if (is_stored) {
            result->outcome = PUSH_ALREADY_THERE;
            return source_check_unchanged(source, segment_size, err);
        }
    }
    return look_and_store(push, result, err);
}

static bool push_checked(Push *push, PushResult *result, Error *err)
{
    Error attempt = {0};

    if (look_and_store(push, result, &attempt))
        return true;
    if (push->source.name.kind == WAL_SEGMENT &&
        (attempt.code == ERR_REFUSED || attempt.code == ERR_EXISTS))
        return push_left(push, result, &attempt, err);
    return error_pass(err, &attempt);
}

bool archive_push(const Cluster *cluster, const PushRequest *request, PushResult *result,
                  Error *err)
{
    CLEANUP(push_done)
    Push push = {
        .cluster = cluster, .request = request, .source = {.path = request->path, .fd = -1}};
    PushSource *source = &push.source;
    bool ok;

    *result = (PushResult){0};
    ok = source_open(cluster, source, err) &&
         (wal_name_is_of_segment(&source->name) ? push_check_segment(&push, err)
                                                : check_text(&push, err)) &&
         push_checked(&push, result, err);
    if (!ok) {
        text_freep(&result->aside);
        return error_context(err, "archive %s", request->path);
    }
    result->source = source->before;
    return true;
}
