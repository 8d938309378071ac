#include "receive/receive.h"

#include "base/fault.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "receive_begin.h"
#include "receive_segment.h"
#include "receive_spool.h"

#include <inttypes.h>

enum {
    WAIT_MS = 1000,      /* It waits for a message, when nothing else is due. */
    NAP_MS = 100,        /* It is a part of a pause, short so that a signal ends it soon. */
    STATUS_MS = 10000,   /* wal_sender_timeout is a minute, and may be less. */
    SYNCHRONOUS_MS = 20, /* While WAL comes without a break, this much is gathered. */
    PAUSE_MIN_MS = 500,  /* Pauses between attempts begin with it, and double each time. */
    PAUSE_MAX_MS = 30000,
    BUSY_AT_START_MS = 5000, /* It is for a predecessor that was killed: the server notices soon. */
    /* It is for our own connection that broke: the server notices after wal_sender_timeout. */
    BUSY_LATER_MS = 120000,
};

/*
 * The states of a run, with the function for each transition. Whatever fails in one of them ends
 * the attempt, and the next one begins anew with what is durable.
 *
 *     archive_receive()
 *        | receive_open_spool()
 *        v
 *     TAKING UP <------------------- pause_for() ------------------- PAUSED
 *        |   receive_take_up(): what an earlier run left                ^
 *        |   connect_to_server()                                        | disconnect(), when
 *        v                                                              | may_pass()
 *     PLACED <----------+-----------+                                   |
 *        |   receive_prepare(): what comes next                         |
 *        |              |           |                        an error in any state; if not
 *        | replication_start(),     | STREAM_AGAIN:          may_pass(), or after a signal:
 *        | say_streaming()          | is_archive_back(),     the run ends with it
 *        v              |           | receive_take_up()
 *     STREAMING: stream()           |
 *        |   |          |           |
 *        |   |   STREAM_NEXT: the timeline has ended
 *        |   +----------+-----------+
 *        | STREAM_DONE: a signal, or --until-lsn is durable: receive_finish()
 *        v
 *     FINISHING: store_open(), acknowledge(), replication_stop(), leave_spool(): ends well
 *
 * While STREAMING, of the segment that is being received:
 *
 *     NONE (segment is NULL) -- begin_segment() --> OPEN -- store_open() --> OPEN, in pieces
 *       ^                                            | its last byte has come
 *       +---------------- finish_segment() ----------+
 *
 * and, with a spool, of what is in it (SpoolDrain, which only note_away() and note_moved() change):
 *
 *     DRAIN_GOES_ON <-- has_more -- note_moved() -- nothing left --> DRAIN_DONE
 *           |                          ^                                  |
 *           +------- note_away() --> DRAIN_BLOCKED <----- note_away() ----+
 *
 * What always holds:
 *   (1) The server is told of nothing (acknowledge()) but `durable`, and only note_durable() raises
 *       that: after a store or a commit, and after receive_check_place() has found the place to be
 *       the one that we know (law 1).
 *   (2) durable <= position; within a segment that is stored in pieces to its last byte durable is
 *       at least one byte less, so that the slot keeps the segment until it is whole.
 *   (3) While STREAMING segment is NULL exactly when position is the first byte of one.
 *   (4) With a spool nothing in STREAMING waits for the repository: moves run beside it.
 *   (5) While is_full nothing is taken from the server; it hears what is durable, as a sign
 *       of life.
 */

/* It only goes forward, whatever becomes of attempts. */
typedef enum RunStage {
    RUN_BEGINS,
    RUN_HAS_STREAMED, /* A slot that is in use may be held by our own old connection. */
    RUN_ENDS,         /* FINISHING was reached, so a signal that comes now is a failure. */
} RunStage;

typedef enum SpoolDrain {
    DRAIN_GOES_ON, /* Nothing is known yet, or there is more to move. */
    DRAIN_DONE,    /* The last move left nothing but what is being received. */
    DRAIN_BLOCKED, /* The repository takes nothing for now. */
} SpoolDrain;

typedef struct Receive {
    const Cluster *archive; /* It is in the repository. */
    const Cluster *cluster; /* WAL is stored here first: it is `archive`, or the spool's cluster. */
    const ReceiveRequest *request;
    Session *session;
    RunStage stage;
    bool skip_gap; /* The server lacks what the archive lacks before the slot. */
    /* It was requested, or the server counts us as a synchronous standby since. */
    bool is_synchronous;
    TimeUs busy_since; /* 0 means that the slot was not in use. */

    ReceiveSpool *spool; /* NULL means that there is none. */
    uint64_t spooled;    /* The spool had this many bytes at measured_at. */
    TimeUs measured_at;
    uint64_t measured_segment; /* This segment was being received then. */
    TimeUs move_at;            /* The next move is due then. */
    SpoolDrain drain;
    bool is_archive_known; /* The repository was looked at in this run, before we streamed. */
    bool is_full;          /* The spool is full. */

    /* The fields below are of this connection. */
    uint32_t timeline;
    Lsn position;         /* The next byte is here. */
    Lsn durable;          /* 0 means that it is not known yet. */
    OpenSegment *segment; /* When it is NULL, position is the first byte of a segment. */
    TimeUs stored_at;     /* All that was received was durable at this monotonic time. */
    TimeUs status_at;     /* The server was last told then. */
} Receive;

static void receive_disconnect(Receive *receive)
{
    open_segment_freep(&receive->segment);
    session_freep(&receive->session);
    receive->durable = 0;
}

static void receive_tell(const Receive *receive, ReceiveEvent event, const Error *error,
                         uint64_t pause_ms)
{
    if (receive->request->tell == NULL)
        return;
    receive->request->tell(receive->request->context, &(ReceiveNews){.event = event,
                                                                     .timeline = receive->timeline,
                                                                     .durable = receive->durable,
                                                                     .error = error,
                                                                     .pause_ms = pause_ms,
                                                                     .spooled = receive->spooled});
}

static uint64_t ms_since(TimeUs instant)
{
    return (uint64_t)(time_monotonic() - instant) / 1000;
}

static bool receive_acknowledge(Receive *receive, Error *err)
{
    receive->status_at = time_monotonic();
    return FAULT_POINT("receive.before-acknowledge", err) &&
           replication_acknowledge(receive->session, receive->position, receive->durable, err) &&
           FAULT_POINT("receive.after-acknowledge", err);
}

/*
 * A segment that is stored in pieces to its last byte is not whole yet, and the slot must go on to
 * keep it: what is acknowledged stays within it.
 */
static void note_durable(Receive *receive)
{
    const bool is_full = receive->segment != NULL && open_segment_received(receive->segment) ==
                                                         receive->cluster->wal_segment_size;

    receive->stored_at = time_monotonic();
    receive->durable = receive->position - is_full;
    receive_tell(receive, RECEIVE_DURABLE, NULL, 0);
}

/* What was stored counts only if the place is still the one that we know. */
static bool receive_check_place(const Receive *receive, Error *err)
{
    return receive->spool != NULL ? receive_spool_check(receive->spool, err)
                                  : repo_check(receive->archive->repo, err);
}

static bool has_new(const Receive *receive)
{
    return receive->segment != NULL && open_segment_has_new(receive->segment);
}

/* Everything received is in the repository, in pieces if need be. The server is not told here. */
static bool store_open(Receive *receive, Error *err)
{
    if (!has_new(receive)) {
        receive->stored_at = time_monotonic();
        return true;
    }
    if (!open_segment_store(receive->segment, err) || !receive_check_place(receive, err))
        return false;
    note_durable(receive);
    return true;
}

static bool finish_segment(Receive *receive, Error *err)
{
    if (!open_segment_commit(receive->segment, err) || !receive_check_place(receive, err))
        return false;
    open_segment_freep(&receive->segment);
    note_durable(receive);
    log_debug("segment stored", log_u64("timeline", receive->timeline),
              log_u64("segment",
                      wal_segment_before(receive->position, receive->cluster->wal_segment_size)));
    return receive_acknowledge(receive, err);
}

/*
 * The server has all of it, and sends it as fast as it can: no piece of it would be durable for
 * long before the whole is. Not where we are to end within it.
 */
static bool comes_at_once(const Receive *receive, Lsn server_end)
{
    const uint32_t size = receive->cluster->wal_segment_size;
    const Lsn end = receive->position - receive->position % size + size;

    return server_end >= end && (receive->request->until == 0 || receive->request->until >= end);
}

static bool begin_segment(Receive *receive, const TimelinePath *path, Lsn server_end, Error *err)
{
    const uint32_t size = receive->cluster->wal_segment_size;

    return open_segment_begin(
        &(OpenSegmentSetup){.cluster = receive->cluster,
                            .timeline = receive->timeline,
                            .segment = wal_segment_of(receive->position, size),
                            .path = path,
                            .compression = receive->request->compression,
                            .threads = receive->request->threads,
                            .is_at_once = comes_at_once(receive, server_end)},
        &receive->segment, err);
}

static bool take_data(Receive *receive, const TimelinePath *path, const StreamMessage *message,
                      Error *err)
{
    const uint32_t size = receive->cluster->wal_segment_size;
    const uint8_t *data = message->data;
    size_t left = message->size;

    if (message->position != receive->position) {
        char expected[LSN_TEXT_SIZE];
        char found[LSN_TEXT_SIZE];

        return error_set(err, ERR_POSTGRES, "the server sent WAL of %s, and %s comes next",
                         lsn_text(message->position, found), lsn_text(receive->position, expected));
    }
    while (left > 0) {
        const size_t room = size - (size_t)(receive->position % size);
        const size_t part = left < room ? left : room;
        bool ok;

        if (receive->segment == NULL && !begin_segment(receive, path, message->server_end, err))
            return false;
        if (!has_new(receive))
            receive->stored_at = time_monotonic();
        ok = open_segment_add(receive->segment, data, part, err);
        /* Also when a signal came: the bytes are there, and are stored at the end. */
        receive->position =
            receive->position - receive->position % size + open_segment_received(receive->segment);
        if (!ok || (receive->position % size == 0 && !finish_segment(receive, err)))
            return false;
        data += part;
        left -= part;
    }
    return true;
}

/* The repository may be back later; whatever else is wrong stays so. */
static bool note_away(Receive *receive, const Error *error, Error *err)
{
    receive->move_at = time_monotonic() + (TimeUs)PAUSE_MIN_MS * 1000;
    if (error->code == ERR_INTERRUPTED)
        return true;
    if (error->code != ERR_UNREACHABLE && error->code != ERR_IO)
        return error_pass(err, error);
    if (receive->drain != DRAIN_BLOCKED) {
        log_warn("the repository takes no WAL for now; it is kept in the spool",
                 log_str("reason", error->message), log_str("while", error->context));
    }
    receive->drain = DRAIN_BLOCKED;
    return true;
}

static void note_moved(Receive *receive, bool has_more)
{
    receive->move_at =
        time_monotonic() + (has_more ? 0 : (TimeUs)receive->request->interval_ms * 1000);
    if (receive->drain == DRAIN_BLOCKED)
        log_info("the repository takes WAL again");
    receive->drain = has_more ? DRAIN_GOES_ON : DRAIN_DONE;
}

static bool note_move(Receive *receive, const SpoolMove *move, Error *err)
{
    if (!move->ok)
        return note_away(receive, &move->error, err);
    note_moved(receive, move->has_more);
    return true;
}

static bool receive_measure(Receive *receive, Error *err)
{
    bool is_full;

    if (!receive_spool_measure(receive->spool, &receive->spooled, err))
        return false;
    receive->measured_at = time_monotonic();
    receive->measured_segment =
        wal_segment_of(receive->position, receive->cluster->wal_segment_size);
    is_full = receive_spool_is_full(receive->spool, receive->spooled);
    if (is_full && !receive->is_full) {
        log_warn("the spool is full: nothing more is received or acknowledged until the repository "
                 "takes WAL from it",
                 log_u64("bytes", receive->spooled));
    } else if (!is_full && receive->is_full) {
        log_info("the spool has room again", log_u64("bytes", receive->spooled));
    }
    receive->is_full = is_full;
    return true;
}

/* While WAL is streamed: never waits for the repository. */
static bool tend_spool(Receive *receive, Error *err)
{
    const SpoolKeep keep = {receive->timeline,
                            wal_segment_of(receive->position, receive->cluster->wal_segment_size)};
    SpoolMove move;
    bool is_changed = false;

    if (receive->spool == NULL)
        return true;
    if (receive_spool_poll(receive->spool, 0, &move)) {
        is_changed = true;
        if (!note_move(receive, &move, err))
            return false;
    }
    if (!receive_spool_is_moving(receive->spool) && time_monotonic() >= receive->move_at &&
        !receive_spool_submit(receive->spool, keep, err))
        return false;
    /* At each new segment, too: a fast server fills many within WAIT_MS. */
    is_changed = is_changed || keep.segment != receive->measured_segment;
    return (!is_changed && ms_since(receive->measured_at) < WAIT_MS) ||
           receive_measure(receive, err);
}

/* The server waits, and must not take us for dead. */
static bool wait_for_room(Receive *receive, Error *err)
{
    receive_tell(receive, RECEIVE_FULL, NULL, 0);
    time_sleep_ms(NAP_MS);
    return ms_since(receive->status_at) < STATUS_MS || receive_acknowledge(receive, err);
}

/* Wait for the move under way. */
static bool settle_spool(Receive *receive, Error *err)
{
    SpoolMove move;

    while (receive_spool_is_moving(receive->spool)) {
        if (receive_spool_poll(receive->spool, WAIT_MS, &move))
            return note_move(receive, &move, err);
        receive_tell(receive, RECEIVE_ALIVE, NULL, 0);
    }
    return true;
}

/* All that is in the spool, as far as the repository takes it. */
static bool empty_spool(Receive *receive, Error *err)
{
    bool has_more = true;

    while (has_more) {
        Error attempt = {0};

        receive_tell(receive, RECEIVE_ALIVE, NULL, 0);
        if (!receive_spool_move(receive->spool, (SpoolKeep){0}, &has_more, &attempt))
            return note_away(receive, &attempt, err) && receive_measure(receive, err);
        note_moved(receive, has_more);
    }
    return receive_measure(receive, err);
}

/* What an earlier run left in the spool, and the pieces of what was being received. */
static bool empty_spool_first(Receive *receive, Error *err)
{
    const bool was_empty = receive->spooled == 0;

    if (!empty_spool(receive, err))
        return false;
    if (!was_empty && receive->spooled == 0)
        log_info("all that was in the spool is in the repository");
    receive->is_archive_known = receive->drain != DRAIN_BLOCKED;
    return true;
}

/*
 * What an earlier run left in the spool goes first, whether the server answers or not: it may be
 * gone forever. *archive: where to look for what comes next. The end of it is in the spool, if
 * there is anything, or if the repository does not answer: then it is looked at once it does.
 */
static bool take_up_spool(Receive *receive, const Cluster **archive, Error *err)
{
    Error attempt = {0};

    *archive = receive->cluster;
    if (!settle_spool(receive, err) || !receive_spool_check(receive->spool, err) ||
        !open_segments_clean(receive->cluster, err) ||
        !(receive->is_archive_known ? receive_measure(receive, err)
                                    : empty_spool_first(receive, err)))
        return false;
    if (receive->spooled > 0 || receive->drain == DRAIN_BLOCKED)
        return true;
    if (!open_segments_clean(receive->archive, &attempt))
        return note_away(receive, &attempt, err);
    *archive = receive->archive;
    return true;
}

/* *archive: where to look for what comes next. */
static bool receive_take_up(Receive *receive, const Cluster **archive, Error *err)
{
    *archive = receive->archive;
    if (receive->spool != NULL)
        return take_up_spool(receive, archive, err);
    return repo_check(receive->archive->repo, err) && open_segments_clean(receive->archive, err);
}

/* At the end. By a signal: what goes quickly. Else: all, however long it takes. */
static bool leave_spool(Receive *receive, Error *err)
{
    if (receive->spool == NULL)
        return true;
    for (;;) {
        if (!settle_spool(receive, err) || !empty_spool(receive, err))
            return false;
        if (receive->spooled == 0)
            return true;
        if (interrupt_signal() != 0 || receive->drain != DRAIN_BLOCKED)
            break;
        time_sleep_ms(PAUSE_MIN_MS);
    }
    log_warn("the spool has WAL that the repository does not have: it is moved when receive runs "
             "again with this spool",
             log_u64("bytes", receive->spooled));
    return true;
}

static bool has_reached(const Receive *receive, Lsn place)
{
    return receive->request->until != 0 && place >= receive->request->until;
}

/* Whether what was received should be stored now; `is_quiet`: no more has come. */
static bool receive_is_due(const Receive *receive, bool is_quiet)
{
    if (!has_new(receive))
        return false;
    if (has_reached(receive, receive->position))
        return true;
    if (receive->is_synchronous)
        return is_quiet || ms_since(receive->stored_at) >= SYNCHRONOUS_MS;
    return ms_since(receive->stored_at) >= receive->request->interval_ms;
}

static unsigned receive_pause_ms(const Receive *receive)
{
    uint64_t interval = receive->is_synchronous ? 0 : receive->request->interval_ms;
    uint64_t passed;

    if (!has_new(receive))
        return WAIT_MS;
    if (has_reached(receive, receive->position))
        return 0;
    passed = ms_since(receive->stored_at);
    if (passed >= interval)
        return 0;
    return interval - passed < WAIT_MS ? (unsigned)(interval - passed) : WAIT_MS;
}

/* A signal, or all that was asked for: store the rest, tell the server, take leave. */
static bool receive_finish(Receive *receive, Error *err)
{
    receive->stage = RUN_ENDS;
    receive_tell(receive, RECEIVE_STOPPING, NULL, 0);
    return store_open(receive, err) && receive_acknowledge(receive, err) &&
           replication_stop(receive->session, err) && leave_spool(receive, err);
}

typedef enum StreamResult {
    STREAM_DONE,  /* A signal came, or `until` was reached. */
    STREAM_NEXT,  /* The timeline has ended at `end`. */
    STREAM_AGAIN, /* Begin again, because only now it is known what the archive lacks. */
} StreamResult;

/* This began without the repository, which has all by now but what is being received. */
static bool is_archive_back(const Receive *receive)
{
    return receive->spool != NULL && !receive->is_archive_known && receive->drain == DRAIN_DONE;
}

static bool take_message(Receive *receive, const ReceiveBegin *begin, const StreamMessage *message,
                         Error *err)
{
    const bool is_quiet = message->kind == STREAM_NOTHING;

    if (message->kind == STREAM_DATA && !take_data(receive, &begin->path, message, err))
        return false;
    if (receive_is_due(receive, is_quiet))
        return store_open(receive, err) && receive_acknowledge(receive, err);
    if (message->reply_requested || ms_since(receive->status_at) >= STATUS_MS)
        return receive_acknowledge(receive, err);
    return true;
}

/* As a standby's stream may: it was promoted before all that it had. Once more, in pieces then. */
static bool refuse_early_end(Error *err)
{
    return error_set(err, ERR_UNREACHABLE,
                     "the timeline ended inside a segment that was expected to be whole");
}

static bool receive_stream(Receive *receive, const ReceiveBegin *begin, StreamResult *result,
                           TimelineEnd *end, Error *err)
{
    for (;;) {
        StreamMessage message;
        Error attempt = {0};
        bool ok;

        if (interrupt_signal() != 0 || has_reached(receive, receive->durable)) {
            *result = STREAM_DONE;
            return receive_finish(receive, err);
        }
        if (!tend_spool(receive, err))
            return false;
        if (is_archive_back(receive)) {
            *result = STREAM_AGAIN;
            return store_open(receive, err) && receive_acknowledge(receive, err) &&
                   replication_leave(receive->session, err);
        }
        if (receive->is_full) {
            if (!wait_for_room(receive, err))
                return false;
            continue;
        }
        if (!replication_next(receive->session, receive_pause_ms(receive), &message, err))
            return false;
        if (message.kind == STREAM_END) {
            *result = STREAM_NEXT;
            *end = message.end;
            if (receive->segment != NULL && open_segment_is_at_once(receive->segment))
                return refuse_early_end(err);
            /* What its parent had up to there is kept as it is: in pieces. */
            return store_open(receive, err);
        }
        ok = take_message(receive, begin, &message, &attempt);
        stream_message_done(receive->session, &message);
        if (!ok && attempt.code != ERR_INTERRUPTED)
            return error_pass(err, &attempt);
        receive_tell(receive, RECEIVE_ALIVE, NULL, 0);
    }
}

static bool connect_to_server(Receive *receive, Error *err)
{
    const ReceiveRequest *request = receive->request;
    CLEANUP(buffer_done) Buffer conninfo = {0};

    if (!request->locate(request->context, &conninfo, err))
        return false;
    receive->session = replication_open(conninfo.size > 0 ? (const char *)conninfo.data : NULL,
                                        request->application, err);
    return receive->session != NULL;
}

static void say_streaming(Receive *receive, const ReceiveBegin *begin)
{
    char place[LSN_TEXT_SIZE];

    receive->is_synchronous = receive->request->is_synchronous || begin->is_standby_by_name;
    log_info("streaming WAL", log_u64("timeline", receive->timeline),
             log_str("lsn", lsn_text(receive->position, place)),
             log_str("slot", receive->request->slot),
             log_str("mode", receive->is_synchronous ? "synchronous" : "interval"));
    if (receive->stage == RUN_BEGINS)
        receive->stage = RUN_HAS_STREAMED;
    receive->busy_since = 0;
    receive_tell(receive, RECEIVE_STREAMING, NULL, 0);
}

/* The server has removed WAL where we wanted to begin. */
static bool explain_removed(Receive *receive, const ReceiveBegin *begin, Error *err)
{
    char place[LSN_TEXT_SIZE];

    if (err->code != ERR_NOT_FOUND)
        return false;
    if (begin->is_gap) {
        log_warn("the archive lacks WAL that the server does not have any more: no recovery gets "
                 "past this place unless archive_command fills it; take a backup",
                 log_str("lsn", lsn_text(begin->position, place)));
        receive->skip_gap = true;
        err->code = ERR_UNREACHABLE; /* try again, from where the slot begins */
        return false;
    }
    err->code = ERR_REFUSED;
    return error_hint(err,
                      "the slot did not keep it: drop it (SELECT pg_drop_replication_slot('%s')), "
                      "start this again, and take a backup",
                      receive->request->slot);
}

/* Stream one timeline to its end, or ours. *from: where the next one begins. */
static bool stream_timeline(Receive *receive, const ReceiveBegin *begin, Lsn *from,
                            StreamResult *result, Error *err)
{
    TimelineEnd end = {0};
    bool begun;

    *result = STREAM_NEXT;
    receive->timeline = begin->timeline;
    receive->position = begin->position;
    receive->durable = 0;
    receive->stored_at = receive->status_at = time_monotonic();
    if (!replication_start(receive->session, receive->request->slot, begin->position,
                           begin->timeline, &begun, &end, err))
        return explain_removed(receive, begin, err);
    if (begun) {
        say_streaming(receive, begin);
        if (!receive_stream(receive, begin, result, &end, err))
            return explain_removed(receive, begin, err);
    }
    open_segment_freep(&receive->segment);
    *from = end.next_begin;
    if (*result == STREAM_NEXT) {
        log_info("the timeline has ended", log_u64("timeline", begin->timeline),
                 log_u64("next", end.next));
    }
    return true;
}

/* True: ended as it was to end. */
static bool receive_connected(Receive *receive, Error *err)
{
    StreamResult result = STREAM_NEXT;
    const Cluster *archive;
    Lsn from = 0;

    if (!receive_take_up(receive, &archive, err) || !connect_to_server(receive, err))
        return false;
    while (result != STREAM_DONE) {
        CLEANUP(receive_begin_done) ReceiveBegin begin = {0};

        if (result == STREAM_AGAIN && !receive_take_up(receive, &archive, err))
            return false;

        if (!receive_prepare(receive->cluster, from == 0 ? archive : receive->cluster,
                             receive->request, receive->session, from, !receive->skip_gap, &begin,
                             err) ||
            !stream_timeline(receive, &begin, &from, &result, err))
            return false;
    }
    return true;
}

/* Whether trying again can help. */
static bool may_pass(Receive *receive, const Error *err)
{
    const TimeUs patience =
        (receive->stage != RUN_BEGINS ? BUSY_LATER_MS : BUSY_AT_START_MS) * (TimeUs)1000;

    if (err->code == ERR_UNREACHABLE || err->code == ERR_IO)
        return true;
    if (err->code != ERR_BUSY)
        return false;
    if (receive->busy_since == 0)
        receive->busy_since = time_monotonic();
    return time_monotonic() - receive->busy_since < patience;
}

/* False when a signal ended it. */
static bool pause_for(const Receive *receive, uint64_t pause_ms)
{
    for (uint64_t waited = 0; waited < pause_ms; waited += NAP_MS) {
        if (interrupt_signal() != 0)
            return false;
        time_sleep_ms(NAP_MS);
        if (waited % WAIT_MS == 0)
            receive_tell(receive, RECEIVE_ALIVE, NULL, 0);
    }
    return interrupt_signal() == 0;
}

static bool receive_open_spool(Receive *receive, Error *err)
{
    const ReceiveRequest *request = receive->request;
    const ReceiveSpoolSetup setup = {
        .directory = request->spool,
        .size_max = request->spool_size,
        .target = receive->archive,
        .compression = request->compression,
        .threads = request->threads,
    };

    if (request->spool == NULL)
        return true;
    if (!receive_spool_open(&setup, &receive->spool, err))
        return false;
    receive->cluster = receive_spool_cluster(receive->spool);
    return receive_measure(receive, err);
}

static bool receive_until_done(Receive *receive, Error *err)
{
    uint64_t pause_ms = PAUSE_MIN_MS;

    for (;;) {
        const TimeUs begun = time_monotonic();
        Error attempt = {0};
        bool ok = receive_connected(receive, &attempt);

        receive_disconnect(receive);
        /* Before the stream has begun a signal finds nothing to be finished. */
        if (ok || (attempt.code == ERR_INTERRUPTED && receive->stage != RUN_ENDS))
            return true;
        if (interrupt_signal() != 0 || !may_pass(receive, &attempt))
            return error_pass(err, &attempt);
        /* One that worked for a while was a good one: the next failure is a new story. */
        if (ms_since(begun) > UINT64_C(2) * PAUSE_MAX_MS)
            pause_ms = PAUSE_MIN_MS;
        receive_tell(receive, RECEIVE_WAITING, &attempt, pause_ms);
        if (!pause_for(receive, pause_ms))
            return true;
        pause_ms = 2 * pause_ms < PAUSE_MAX_MS ? 2 * pause_ms : PAUSE_MAX_MS;
    }
}

bool archive_receive(const Cluster *cluster, const ReceiveRequest *request, Error *err)
{
    Receive receive = {.archive = cluster, .cluster = cluster, .request = request};
    bool ok = receive_open_spool(&receive, err) && receive_until_done(&receive, err);

    receive_spool_freep(&receive.spool);
    return ok || error_context(err, "receive WAL of \"%s\"", cluster->name);
}
