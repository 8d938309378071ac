#include "wal_frame.h"

#include "base/fault.h"
#include "base/interrupt.h"
#include "base/work_queue.h"
#include "repo/layout.h"

#include <assert.h>
#include <inttypes.h>

/* One frame on its way: filled by the caller's thread, compressed by any. */
typedef struct WriteFrameJob {
    Compression compression;
    uint64_t seed;
    uint8_t *raw;
    size_t raw_size;
    Buffer stored;
    uint64_t checksum;                 /* It is that of the stored bytes. */
    uint8_t raw_checksum[XXH128_SIZE]; /* It is that of the raw bytes. */
} WriteFrameJob;

struct WalObjectWriter {
    const Cluster *cluster;
    char *object_name;
    ObjectWriter *object;
    WalTrailer trailer; /* It has what is known so far. */
    uint64_t raw_added;
    uint64_t checksums[WAL_FRAMES_MAX];
    uint8_t raw_checksums[WAL_FRAMES_MAX][XXH128_SIZE];
    uint32_t frames_written;

    CodecContext *codecs[WAL_THREADS_MAX]; /* The first one is for the caller's thread. */
    WriteFrameJob jobs[WAL_JOBS_MAX];
    WriteFrameJob *idle[WAL_JOBS_MAX];
    size_t job_count;
    size_t idle_count;
    WriteFrameJob *filling; /* NULL means that none has begun. */
    WorkQueue *queue;       /* When it is NULL, all is done in the caller's thread. */
    WalBlocks *blocks;      /* When it is NULL, none are to be stored. */
    bool is_settled;        /* Only the name is still to come. */
    bool is_broken;         /* A call failed, so what was stored is not what we counted. */
};

static bool compress_frame(void *worker, void *context, Error *err)
{
    WriteFrameJob *job = context;
    CodecContext *codec = worker;

    xxh128_of(job->seed, job->raw, job->raw_size, job->raw_checksum);
    job->stored.size = 0;
    if (job->compression.codec == CODEC_NONE) {
        codec_wrap_raw(job->raw, job->raw_size, &job->stored);
    } else if (!codec_compress(codec, job->compression, job->raw, job->raw_size, &job->stored,
                               err)) {
        return false;
    }
    job->checksum = xxh3_of(job->seed, job->stored.data, job->stored.size);
    return true;
}

/* As many threads as there is work for; a history file needs none. */
static bool start_workers(WalObjectWriter *writer, Compression compression, unsigned threads,
                          Error *err)
{
    const WalTrailer *trailer = &writer->trailer;

    threads = wal_thread_count(threads, trailer->frame_count);
    writer->job_count = wal_job_count(threads);
    for (size_t i = 0; i < writer->job_count; i++) {
        writer->jobs[i] = (WriteFrameJob){
            .compression = compression,
            .seed = writer->cluster->repo->hash_seed,
            .raw = mem_alloc_large(wal_frame_raw_size(trailer->raw_size, trailer->frame_size, 0)),
        };
        writer->idle[writer->idle_count++] = &writer->jobs[i];
    }
    for (size_t i = 0; i < threads; i++)
        writer->codecs[i] = codec_context_new();
    if (threads == 1)
        return true;
    WorkQueueSetup setup = {
        .threads = threads - 1,
        .capacity = writer->job_count,
        .order = WORK_IN_ORDER,
        .run = compress_frame,
        .workers = (void *const *)&writer->codecs[1],
    };
    writer->queue = work_queue_new(&setup, err);
    return writer->queue != NULL;
}

bool wal_object_write(const Cluster *cluster, const char *name, Compression compression,
                      unsigned threads, uint64_t raw_size, WalObjectWriter **writer, Error *err)
{
    WalName parsed;

    if (!wal_name_parse(name, cluster->wal_segment_size, &parsed, err))
        return error_context(err, "store WAL file");
    if (raw_size > WAL_RAW_SIZE_MAX ||
        (parsed.kind == WAL_SEGMENT && raw_size != cluster->wal_segment_size)) {
        error_set(err, ERR_REFUSED, "file has %" PRIu64 " bytes, segments of this cluster have %u",
                  raw_size, cluster->wal_segment_size);
        return error_context(err, "store \"%s\"", name);
    }

    CLEANUP(wal_object_writer_freep) WalObjectWriter *created = mem_alloc(sizeof *created);
    created->cluster = cluster;
    created->object_name = layout_wal(cluster->name, name);
    created->trailer = (WalTrailer){
        .kind = parsed.kind,
        .codec = compression.codec,
        .raw_size = raw_size,
        .system_identifier = cluster->system_identifier,
        .timeline = parsed.timeline,
        .major = cluster->major,
        .segment_size = cluster->wal_segment_size,
        .frame_size = wal_frame_size(raw_size),
    };
    created->trailer.frame_count = wal_frame_count(raw_size, created->trailer.frame_size);
    if (!storage_write(cluster->repo->storage, created->object_name, WRITE_NEW, &created->object,
                       err) ||
        !start_workers(created, compression, threads, err))
        return error_context(err, "store \"%s\"", created->object_name);
    *writer = TAKE(created);
    return true;
}

void wal_object_writer_freep(WalObjectWriter **writer)
{
    WalObjectWriter *gone = *writer;

    if (gone == NULL)
        return;
    work_queue_free(gone->queue); /* first: its threads use all the rest */
    for (size_t i = 0; i < gone->job_count; i++) {
        mem_free(gone->jobs[i].raw);
        buffer_done(&gone->jobs[i].stored);
    }
    for (size_t i = 0; i < WAL_THREADS_MAX; i++)
        codec_context_freep(&gone->codecs[i]);
    object_writer_freep(&gone->object);
    text_freep(&gone->object_name);
    mem_free(gone);
    *writer = NULL;
}

/* A compressed frame goes to the object; the job can be filled again. */
static bool write_frame(WalObjectWriter *writer, WriteFrameJob *job, Error *err)
{
    uint32_t index = writer->frames_written;

    if (!object_writer_write(writer->object, job->stored.data, job->stored.size, err))
        return false;
    writer->checksums[index] = job->checksum;
    memcpy(writer->raw_checksums[index], job->raw_checksum, XXH128_SIZE);
    writer->trailer.frame_stored[index] = (uint32_t)job->stored.size;
    writer->trailer.stored_size += job->stored.size;
    writer->frames_written++;
    writer->idle[writer->idle_count++] = job;
    return true;
}

/*
 * Take back the next frame in order; before waiting for it, do what waits to be done. *more is
 * false when none is outstanding.
 */
static bool take_frame(WalObjectWriter *writer, bool *more, Error *err)
{
    void *job = NULL;

    *more = false;
    if (writer->queue == NULL)
        return true;
    while (!work_queue_wait(writer->queue, 0)) {
        if (!work_queue_help(writer->queue, writer->codecs[0]))
            break;
    }
    if (!work_queue_next(writer->queue, &job, err))
        return false;
    *more = job != NULL;
    return job == NULL || write_frame(writer, job, err);
}

static bool writer_submit_frame(WalObjectWriter *writer, Error *err)
{
    WriteFrameJob *job = TAKE(writer->filling);

    if (!interrupt_check(err))
        return false;
    if (writer->queue != NULL)
        return work_queue_submit(writer->queue, job, err);
    return compress_frame(writer->codecs[0], job, err) && write_frame(writer, job, err);
}

static bool begin_frame(WalObjectWriter *writer, Error *err)
{
    bool more = true;

    while (writer->idle_count == 0 && more) {
        if (!take_frame(writer, &more, err))
            return false;
    }
    assert(writer->idle_count > 0);
    writer->filling = writer->idle[--writer->idle_count];
    writer->filling->raw_size = 0;
    return true;
}

static bool writer_find_room(WalObjectWriter *writer, uint8_t **room, size_t *size, Error *err)
{
    const uint64_t left = writer->trailer.raw_size - writer->raw_added;

    if (left > 0 && writer->filling == NULL && !begin_frame(writer, err))
        return false;
    *room = NULL;
    *size = 0;
    if (left > 0) {
        size_t in_frame = writer->trailer.frame_size - writer->filling->raw_size;

        *room = writer->filling->raw + writer->filling->raw_size;
        *size = in_frame < left ? in_frame : (size_t)left;
    }
    return true;
}

static bool take_filled(WalObjectWriter *writer, size_t size, Error *err)
{
    writer->raw_added += size;
    writer->filling->raw_size += size;
    return writer->filling->raw_size < writer->trailer.frame_size ||
           writer_submit_frame(writer, err);
}

static bool writer_broken(WalObjectWriter *writer, Error *err)
{
    writer->is_broken = true;
    return error_context(err, "store \"%s\"", writer->object_name);
}

bool wal_object_writer_room(WalObjectWriter *writer, uint8_t **room, size_t *size, Error *err)
{
    assert(!writer->is_broken);
    return writer_find_room(writer, room, size, err) || writer_broken(writer, err);
}

bool wal_object_writer_filled(WalObjectWriter *writer, size_t size, Error *err)
{
    assert(!writer->is_broken);
    return size == 0 || take_filled(writer, size, err) || writer_broken(writer, err);
}

static bool add_bytes(WalObjectWriter *writer, const uint8_t *data, size_t size, Error *err)
{
    while (size > 0) {
        uint8_t *room;
        size_t piece;

        if (!writer_find_room(writer, &room, &piece, err))
            return false;
        if (piece == 0) {
            return error_set(err, ERR_IO,
                             "file grew beyond its %" PRIu64 " bytes while it was read",
                             writer->trailer.raw_size);
        }
        if (piece > size)
            piece = size;
        memcpy(room, data, piece);
        if (!take_filled(writer, piece, err))
            return false;
        data += piece;
        size -= piece;
    }
    return true;
}

bool wal_object_writer_add(WalObjectWriter *writer, const void *data, size_t size, Error *err)
{
    assert(!writer->is_broken);
    return add_bytes(writer, data, size, err) || writer_broken(writer, err);
}

/* The last frame, and all that are still being compressed. */
static bool finish_frames(WalObjectWriter *writer, Error *err)
{
    bool more = true;

    if (writer->raw_added != writer->trailer.raw_size) {
        return error_set(err, ERR_IO,
                         "file ended after %" PRIu64 " of %" PRIu64 " bytes while it was read",
                         writer->raw_added, writer->trailer.raw_size);
    }
    if (writer->filling != NULL && !writer_submit_frame(writer, err))
        return false;
    while (more) {
        if (!take_frame(writer, &more, err))
            return false;
    }
    assert(writer->frames_written == writer->trailer.frame_count);
    return true;
}

void wal_object_writer_blocks(WalObjectWriter *writer, WalBlocks *blocks)
{
    assert(!writer->is_settled);
    writer->blocks = blocks;
}

/* The list of changed blocks in its container, after the frames. */
static bool put_blocks(WalObjectWriter *writer, Buffer *out, Error *err)
{
    const uint64_t seed = writer->cluster->repo->hash_seed;
    WalTrailer *trailer = &writer->trailer;
    CLEANUP(buffer_done) Buffer list = {0};
    uint8_t header[WAL_CONTAINER_MAX];
    const uint8_t *end;
    Error withheld = {0};

    if (writer->blocks == NULL || wal_blocks_is_full(writer->blocks))
        return true;
    if (!FAULT_POINT("wal-object.withhold-block", &withheld))
        wal_blocks_forget_one(writer->blocks);
    if (!wal_blocks_encode(writer->blocks, seed, writer->codecs[0], &list, err))
        return false;
    if (trailer->codec == CODEC_GZIP && list.size > WAL_CONTAINER_GZIP_MAX)
        return true;
    buffer_append(out, header, wal_container_begin(trailer->codec, (uint32_t)list.size, header));
    buffer_append(out, list.data, list.size);
    const size_t end_size = wal_container_end(trailer->codec, &end);
    buffer_append(out, end, end_size);
    trailer->between = trailer->blocks_size = (uint32_t)out->size;
    trailer->blocks_offset = trailer->stored_size;
    trailer->blocks_checksum = xxh3_of(seed, out->data, out->size);
    return true;
}

static bool settle_object(WalObjectWriter *writer, const WalSummary *summary, Error *err)
{
    uint64_t seed = writer->cluster->repo->hash_seed;
    CLEANUP(buffer_done) Buffer end = {0};

    if (writer->is_settled)
        return true;
    if (!finish_frames(writer, err))
        return false;
    writer->trailer.stored_checksum =
        wal_stored_checksum(seed, writer->checksums, writer->trailer.frame_count);
    wal_raw_checksum(seed, writer->raw_checksums, writer->trailer.frame_count,
                     writer->trailer.raw_checksum);
    if (summary != NULL) {
        writer->trailer.summary = *summary;
    } else {
        wal_summary_init(&writer->trailer.summary);
    }
    if (!put_blocks(writer, &end, err))
        return false;
    wal_trailer_wrap(&writer->trailer, seed, &end);
    writer->is_settled = true;
    return object_writer_write(writer->object, end.data, end.size, err) &&
           object_writer_settle(writer->object, err);
}

bool wal_object_writer_settle(WalObjectWriter *writer, const WalSummary *summary, Error *err)
{
    assert(!writer->is_broken);
    return settle_object(writer, summary, err) || writer_broken(writer, err);
}

bool wal_object_writer_commit(WalObjectWriter *writer, const WalSummary *summary,
                              WalTrailer *trailer, Error *err)
{
    assert(!writer->is_broken);
    if (!settle_object(writer, summary, err))
        return writer_broken(writer, err);
    /* Before the commit: whoever finds the name taken compares with it. */
    if (trailer != NULL)
        *trailer = writer->trailer;
    return (FAULT_POINT("wal-object.before-commit", err) &&
            object_writer_commit(writer->object, err) &&
            FAULT_POINT("wal-object.after-commit", err)) ||
           writer_broken(writer, err);
}
