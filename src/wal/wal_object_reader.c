#include "wal_frame.h"

#include "base/fault.h"
#include "base/interrupt.h"
#include "base/random.h"
#include "base/work_queue.h"
#include "repo/envelope.h"
#include "repo/layout.h"

#include <assert.h>
#include <inttypes.h>

enum {
    BLOCKS_SUFFIX =
        16 << 10 /* This many bytes hold most lists of changed blocks, and the trailer. */
};

/*
 * An object under the name of another one would be handed to the server as something that it is
 * not, every checksum intact.
 */
static bool trailer_check_identity(const WalTrailer *trailer, const char *name, Error *err)
{
    const WalReaderState *reader = &trailer->summary.reader;
    Error ignored = {0}; /* a name that this object can't have is the answer here */
    WalName parsed;

    if (!wal_name_parse(name, trailer->segment_size, &parsed, &ignored) ||
        parsed.kind != trailer->kind || parsed.timeline != trailer->timeline ||
        (parsed.kind == WAL_SEGMENT && reader->first_record != 0 &&
         wal_segment_of(reader->first_record, trailer->segment_size) != parsed.segment))
        return error_set(err, ERR_CORRUPT, "object holds another WAL file");
    return true;
}

static bool read_trailer(const Cluster *cluster, const char *object, const char *name,
                         WalTrailer *trailer, Error *err)
{
    CLEANUP(buffer_done) Buffer suffix = {0};
    uint64_t size;
    WalTrailer found;

    if (!storage_read_suffix(cluster->repo->storage, object, WAL_TRAILER_SUFFIX, &suffix, &size,
                             err) ||
        !wal_trailer_find(&found, suffix.data, suffix.size, size, cluster->repo->hash_seed, err) ||
        !trailer_check_identity(&found, name, err))
        return false;
    *trailer = found;
    return true;
}

bool wal_object_trailer(const Cluster *cluster, const char *name, WalTrailer *trailer, Error *err)
{
    CLEANUP(text_freep) char *object = layout_wal(cluster->name, name);

    if (!read_trailer(cluster, object, name, trailer, err))
        return error_context(err, "read \"%s\"", object);
    return true;
}

/* Of the suffix that was read, else by a request of its own. */
static bool fetch_blocks(const Cluster *cluster, const char *object, const WalTrailer *trailer,
                         const Buffer *suffix, uint64_t size, Buffer *stored, Error *err)
{
    const uint64_t begin = size - suffix->size;

    buffer_reserve(stored, trailer->blocks_size);
    stored->size = trailer->blocks_size;
    if (trailer->blocks_offset >= begin) {
        memcpy(stored->data, suffix->data + (trailer->blocks_offset - begin), stored->size);
        return true;
    }
    return storage_read_range(cluster->repo->storage, object, trailer->blocks_offset, stored->size,
                              stored->data, err);
}

static bool decode_blocks(const Cluster *cluster, const WalTrailer *trailer, const Buffer *stored,
                          WalBlocks **blocks, Error *err)
{
    const uint64_t seed = cluster->repo->hash_seed;
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    uint8_t header[WAL_CONTAINER_MAX];
    const uint8_t *end;
    const size_t begin = wal_container_begin(trailer->codec, 0, header);
    const size_t around = begin + wal_container_end(trailer->codec, &end);

    return stored_checksum_check(xxh3_of(seed, stored->data, stored->size),
                                 trailer->blocks_checksum, err) &&
           (stored->size > around ||
            error_set(err, ERR_CORRUPT, "list of changed blocks is cut")) &&
           wal_blocks_decode(pg_version_of_major(cluster->major), stored->data + begin,
                             stored->size - around, seed, codec, blocks, err);
}

static bool object_read_blocks(const Cluster *cluster, const char *object, const char *name,
                               WalTrailer *trailer, WalBlocks **blocks, Error *err)
{
    CLEANUP(buffer_done) Buffer suffix = {0};
    CLEANUP(buffer_done) Buffer stored = {0};
    uint64_t size;
    WalTrailer found;

    *blocks = NULL;
    if (!storage_read_suffix(cluster->repo->storage, object, BLOCKS_SUFFIX, &suffix, &size, err) ||
        !wal_trailer_find(&found, suffix.data, suffix.size, size, cluster->repo->hash_seed, err) ||
        !trailer_check_identity(&found, name, err))
        return false;
    if (found.blocks_size > 0 &&
        (!fetch_blocks(cluster, object, &found, &suffix, size, &stored, err) ||
         !decode_blocks(cluster, &found, &stored, blocks, err)))
        return error_context(err, "changed blocks");
    *trailer = found;
    return true;
}

bool wal_object_blocks(const Cluster *cluster, const char *name, WalTrailer *trailer,
                       WalBlocks **blocks, Error *err)
{
    CLEANUP(text_freep) char *object = layout_wal(cluster->name, name);

    return object_read_blocks(cluster, object, name, trailer, blocks, err) ||
           error_context(err, "read \"%s\"", object);
}

/* One frame on its way: fetched, checked and decompressed by any thread. */
typedef struct ReadFrameJob {
    Storage *storage;
    const char *object;
    uint64_t seed;
    Codec codec;
    uint64_t offset;
    uint32_t stored_size;
    uint32_t raw_size;
    uint64_t checksum;                 /* It is computed from the stored bytes. */
    uint8_t raw_checksum[XXH128_SIZE]; /* It is computed from the raw bytes. */
    uint8_t *raw;
    Buffer stored;
} ReadFrameJob;

typedef struct WalObjectReader {
    const WalTrailer *trailer;
    WalSink *sink;
    void *context;
    uint64_t checksums[WAL_FRAMES_MAX];
    uint8_t raw_checksums[WAL_FRAMES_MAX][XXH128_SIZE];
    uint32_t frames_submitted;
    uint32_t frames_done;
    uint64_t offset; /* It is that of the next frame to be submitted. */

    CodecContext *codecs[WAL_THREADS_MAX]; /* The first one is for the caller's thread. */
    ReadFrameJob jobs[WAL_JOBS_MAX];
    ReadFrameJob *idle[WAL_JOBS_MAX];
    size_t job_count;
    size_t idle_count;
    WorkQueue *queue; /* When it is NULL, all is done in the caller's thread. */
} WalObjectReader;

static void reader_done(WalObjectReader *reader)
{
    work_queue_freep(&reader->queue); /* first: its threads use all the rest */
    for (size_t i = 0; i < reader->job_count; i++) {
        mem_free(reader->jobs[i].raw);
        buffer_done(&reader->jobs[i].stored);
    }
    for (size_t i = 0; i < WAL_THREADS_MAX; i++)
        codec_context_freep(&reader->codecs[i]);
}

static bool fetch_frame(void *worker, void *context, Error *err)
{
    ReadFrameJob *job = context;
    CodecContext *codec = worker;

    buffer_reserve(&job->stored, job->stored_size);
    if (!storage_read_range(job->storage, job->object, job->offset, job->stored_size,
                            job->stored.data, err))
        return false;
    job->checksum = xxh3_of(job->seed, job->stored.data, job->stored_size);
    if (!codec_decompress(codec, job->codec, job->stored.data, job->stored_size, job->raw,
                          job->raw_size, err))
        return error_context(err, "offset %" PRIu64, job->offset);
    xxh128_of(job->seed, job->raw, job->raw_size, job->raw_checksum);
    return true;
}

static bool start_reader(WalObjectReader *reader, const Cluster *cluster, const char *object,
                         unsigned threads, Error *err)
{
    const WalTrailer *trailer = reader->trailer;

    threads = wal_thread_count(threads, trailer->frame_count);
    reader->job_count = wal_job_count(threads);
    for (size_t i = 0; i < reader->job_count; i++) {
        reader->jobs[i] = (ReadFrameJob){
            .storage = cluster->repo->storage,
            .object = object,
            .seed = cluster->repo->hash_seed,
            .codec = wal_frame_codec(trailer->codec),
            .raw = mem_alloc_large(wal_frame_raw_size(trailer->raw_size, trailer->frame_size, 0)),
        };
        reader->idle[reader->idle_count++] = &reader->jobs[i];
    }
    for (size_t i = 0; i < threads; i++)
        reader->codecs[i] = codec_context_new();
    if (threads == 1)
        return true;
    WorkQueueSetup setup = {
        .threads = threads - 1,
        .capacity = reader->job_count,
        .order = WORK_IN_ORDER,
        .run = fetch_frame,
        .workers = (void *const *)&reader->codecs[1],
    };
    reader->queue = work_queue_new(&setup, err);
    return reader->queue != NULL;
}

/* A frame's raw bytes, in order. They are not proven yet: that is known after the last one. */
static bool deliver_frame(WalObjectReader *reader, ReadFrameJob *job, Error *err)
{
    memcpy(reader->raw_checksums[reader->frames_done], job->raw_checksum, XXH128_SIZE);
    reader->checksums[reader->frames_done++] = job->checksum;
    reader->idle[reader->idle_count++] = job;
    return reader->sink == NULL || reader->sink(reader->context, job->raw, job->raw_size, err);
}

static bool reader_submit_frame(WalObjectReader *reader, Error *err)
{
    const WalTrailer *trailer = reader->trailer;
    ReadFrameJob *job = reader->idle[--reader->idle_count];
    uint32_t index = reader->frames_submitted++;

    job->offset = reader->offset;
    job->stored_size = trailer->frame_stored[index];
    job->raw_size = wal_frame_raw_size(trailer->raw_size, trailer->frame_size, index);
    reader->offset += job->stored_size;
    if (reader->queue != NULL)
        return work_queue_submit(reader->queue, job, err);
    return fetch_frame(reader->codecs[0], job, err) && deliver_frame(reader, job, err);
}

static bool read_frames(WalObjectReader *reader, Error *err)
{
    const WalTrailer *trailer = reader->trailer;

    while (reader->frames_done < trailer->frame_count) {
        void *job = NULL;

        if (!interrupt_check(err))
            return false;
        if (reader->idle_count > 0 && reader->frames_submitted < trailer->frame_count) {
            if (!reader_submit_frame(reader, err))
                return false;
            continue;
        }
        /* Before this thread waits it does what waits to be done. */
        if (!work_queue_wait(reader->queue, 0) && work_queue_help(reader->queue, reader->codecs[0]))
            continue;
        if (!work_queue_next(reader->queue, &job, err))
            return false;
        assert(job != NULL);
        if (!deliver_frame(reader, job, err))
            return false;
    }
    return true;
}

/* All frames were there; are they the ones that were stored? */
static bool check_whole(WalObjectReader *reader, uint64_t seed, Error *err)
{
    const WalTrailer *trailer = reader->trailer;
    uint8_t checksum[XXH128_SIZE];
    const uint64_t computed = wal_stored_checksum(seed, reader->checksums, trailer->frame_count);

    if (!stored_checksum_check(computed, trailer->stored_checksum, err))
        return false;
    wal_raw_checksum(seed, reader->raw_checksums, trailer->frame_count, checksum);
    return memcmp(checksum, trailer->raw_checksum, sizeof checksum) == 0 ||
           error_set(err, ERR_CORRUPT, "content has another checksum than was stored");
}

/* Of no use to a recovery: only who looks at the object as such reads it. */
static bool check_block_list(const Cluster *cluster, const char *name, const WalTrailer *trailer,
                             Error *err)
{
    CLEANUP(wal_blocks_freep) WalBlocks *blocks = NULL;
    WalTrailer found;

    return trailer->blocks_size == 0 || wal_object_blocks(cluster, name, &found, &blocks, err);
}

bool wal_object_read_all(const Cluster *cluster, const char *name, unsigned threads, WalSink *sink,
                         void *context, WalTrailer *trailer, Error *err)
{
    WalTrailer found;

    if (!wal_object_read(cluster, name, threads, sink, context, &found, err) ||
        !check_block_list(cluster, name, &found, err))
        return false;
    if (trailer != NULL)
        *trailer = found;
    return true;
}

bool wal_object_read(const Cluster *cluster, const char *name, unsigned threads, WalSink *sink,
                     void *context, WalTrailer *trailer, Error *err)
{
    CLEANUP(text_freep) char *object = layout_wal(cluster->name, name);
    WalTrailer found;

    if (!read_trailer(cluster, object, name, &found, err))
        return error_context(err, "read \"%s\"", object);

    CLEANUP(reader_done)
    WalObjectReader reader = {.trailer = &found, .sink = sink, .context = context};
    if (!start_reader(&reader, cluster, object, threads, err) || !read_frames(&reader, err) ||
        !check_whole(&reader, cluster->repo->hash_seed, err))
        return error_context(err, "read \"%s\"", object);
    if (trailer != NULL)
        *trailer = found;
    return true;
}

bool wal_object_read_frame(const Cluster *cluster, const char *name, uint64_t offset,
                           uint64_t *begin, Buffer *raw, Error *err)
{
    CLEANUP(text_freep) char *object = layout_wal(cluster->name, name);
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    CLEANUP(buffer_done) Buffer stored = {0};
    WalTrailer trailer;
    uint64_t at = 0;

    if (!read_trailer(cluster, object, name, &trailer, err))
        return error_context(err, "read \"%s\"", object);
    if (offset >= trailer.raw_size)
        return error_set(err, ERR_CORRUPT, "\"%s\" ends before %" PRIu64, object, offset);
    uint32_t index = (uint32_t)(offset / trailer.frame_size);
    for (uint32_t i = 0; i < index; i++)
        at += trailer.frame_stored[i];
    buffer_reserve(&stored, trailer.frame_stored[index]);
    raw->size = 0;
    buffer_reserve(raw, wal_frame_raw_size(trailer.raw_size, trailer.frame_size, index));
    raw->size = wal_frame_raw_size(trailer.raw_size, trailer.frame_size, index);
    *begin = (uint64_t)index * trailer.frame_size;
    return (storage_read_range(cluster->repo->storage, object, at, trailer.frame_stored[index],
                               stored.data, err) &&
            codec_decompress(codec, wal_frame_codec(trailer.codec), stored.data,
                             trailer.frame_stored[index], raw->data, raw->size, err)) ||
           error_context(err, "read \"%s\"", object);
}

typedef struct ObjectLook {
    uint64_t size;
    TimeUs stored_at;
} ObjectLook;

static bool wal_object_look_at(const Cluster *cluster, const char *name, ObjectLook *look,
                               Error *err)
{
    CLEANUP(text_freep) char *object = layout_wal(cluster->name, name);

    return storage_stat(cluster->repo->storage, object, &look->size, &look->stored_at, err);
}

static bool object_check_stored(const Cluster *cluster, const char *object, const char *name,
                                Buffer *space, Error *err)
{
    uint64_t checksums[WAL_FRAMES_MAX], offset = 0;
    WalTrailer trailer;

    if (!read_trailer(cluster, object, name, &trailer, err))
        return false;
    for (uint32_t i = 0; i < trailer.frame_count; i++) {
        uint32_t size = trailer.frame_stored[i];
        space->size = 0;
        buffer_reserve(space, size);
        if (!interrupt_check(err) ||
            !storage_read_range(cluster->repo->storage, object, offset, size, space->data, err))
            return false;
        checksums[i] = xxh3_of(cluster->repo->hash_seed, space->data, size);
        offset += size;
    }
    const uint64_t computed =
        wal_stored_checksum(cluster->repo->hash_seed, checksums, trailer.frame_count);
    return stored_checksum_check(computed, trailer.stored_checksum, err);
}

bool wal_object_check_stored(const Cluster *cluster, const char *name, Buffer *space, Error *err)
{
    CLEANUP(text_freep) char *object = layout_wal(cluster->name, name);

    return object_check_stored(cluster, object, name, space, err) ||
           error_context(err, "read \"%s\"", object);
}

/*
 * Whether it still is what it was found to be. Two may find the same damage, as archive-push and
 * receive do: what one has stored anew, and said to be durable, the other must not take away.
 */
static bool check_still_damaged(const Cluster *cluster, const char *name, const ObjectLook *before,
                                Error *err)
{
    Error reason = {0};
    ObjectLook now = {0};

    if (!wal_object_read_all(cluster, name, 1, NULL, NULL, NULL, &reason) &&
        reason.code != ERR_CORRUPT && reason.code != ERR_NOT_FOUND) {
        return error_pass(err, &reason);
    }
    if (reason.code == ERR_CORRUPT && !wal_object_look_at(cluster, name, &now, err))
        return false;
    return (now.size == before->size && now.stored_at == before->stored_at) ||
           error_set(err, ERR_UNREACHABLE, "another process works on it: it has been replaced");
}

bool wal_object_set_aside(const Cluster *cluster, const char *name, char **aside, Error *err)
{
    Storage *storage = cluster->repo->storage;
    CLEANUP(text_freep) char *object = layout_wal(cluster->name, name);
    CLEANUP(text_freep) char *copy = NULL;
    ObjectLook before;
    uint64_t number;

    if (!random_u64(&number, err))
        return false;
    copy = text_format("%s.damaged-%08" PRIx32, object, (uint32_t)number);
    if (!wal_object_look_at(cluster, name, &before, err) ||
        !storage_copy(storage, object, copy, err))
        return error_context(err, "set \"%s\" aside", object);
    if (!check_still_damaged(cluster, name, &before, err)) {
        Error ignored = {0}; /* a copy too many does no harm */

        (void)!storage_remove(storage, copy, &ignored);
        return error_context(err, "set \"%s\" aside", object);
    }
    if (!FAULT_POINT("set-aside.before-remove", err) || !storage_remove(storage, object, err) ||
        !FAULT_POINT("set-aside.after-remove", err))
        return error_context(err, "set \"%s\" aside", object);
    *aside = TAKE(copy);
    return true;
}
