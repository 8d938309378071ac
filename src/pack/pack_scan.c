#include "pack/pack_scan.h"

#include "base/interrupt.h"
#include "pack_directory.h"
#include "repo/envelope.h"
#include "repo/layout.h"
#include "stream/digest.h"

#include <assert.h>
#include <inttypes.h>

enum {
    WINDOW_SIZE = 4 << 20, /* It is more than the largest stored frame. */
    RAW_SIZE_MAX = EXTENT_SIZE > (int)PAGE_TABLE_SIZE_MAX ? EXTENT_SIZE : (int)PAGE_TABLE_SIZE_MAX,
};

struct PackScanState {
    CodecContext *codec;
    Buffer directory;
    uint8_t *window;
    uint8_t *raw;
    bool is_stored_only;
};

PackScanState *pack_scan_state_new(void)
{
    PackScanState *state = mem_alloc(sizeof *state);

    state->codec = codec_context_new();
    state->window = mem_alloc_aligned(WINDOW_SIZE);
    state->raw = mem_alloc_aligned(RAW_SIZE_MAX);
    return state;
}

void pack_scan_state_freep(PackScanState **state)
{
    if (*state == NULL)
        return;
    codec_context_freep(&(*state)->codec);
    buffer_done(&(*state)->directory);
    mem_free((*state)->window);
    mem_free((*state)->raw);
    mem_free(*state);
    *state = NULL;
}

void pack_scan_stored_only(PackScanState *state)
{
    state->is_stored_only = true;
}

/* The part of the object that is in memory. Every byte passes through it once, and is hashed. */
typedef struct Window {
    const Cluster *cluster;
    const char *object;
    uint64_t size; /* It is the size of the object. */
    uint8_t *bytes;
    uint64_t offset; /* The first byte of the window is here in the object. */
    size_t filled;
    Sha256 *sha256;
} Window;

static void window_done(Window *window)
{
    sha256_freep(&window->sha256);
}

/* What lies before `from` is not needed any more. */
static bool window_advance(Window *window, uint64_t from, Error *err)
{
    size_t passed = (size_t)(from - window->offset);
    uint64_t end = window->offset + window->filled;
    size_t keep = window->filled - passed;
    size_t room = WINDOW_SIZE - keep;
    size_t part = window->size - end < room ? (size_t)(window->size - end) : room;

    assert(from >= window->offset && passed <= window->filled);
    if (!interrupt_check(err))
        return false;
    memmove(window->bytes, window->bytes + passed, keep);
    if (!storage_read_range(window->cluster->repo->storage, window->object, end, part,
                            window->bytes + keep, err))
        return false;
    sha256_update(window->sha256, window->bytes + keep, part);
    window->offset = from;
    window->filled = keep + part;
    return true;
}

/* Frames are asked for in the order of their offsets. */
static bool window_get(Window *window, const Frame *frame, const uint8_t **stored, Error *err)
{
    /* A frame that was skipped as impossible may be larger than the window. */
    while (frame->offset > window->offset + window->filled) {
        if (!window_advance(window, window->offset + window->filled, err))
            return false;
    }
    if (frame->offset + frame->stored_size > window->offset + window->filled &&
        !window_advance(window, frame->offset, err))
        return false;
    *stored = window->bytes + (frame->offset - window->offset);
    return true;
}

/* To the end, for the digest. */
static bool window_finish(Window *window, uint8_t sha256[SHA256_SIZE], Error *err)
{
    while (window->offset + window->filled < window->size) {
        if (!window_advance(window, window->offset + window->filled, err))
            return false;
    }
    sha256_final(window->sha256, sha256);
    return true;
}

static uint64_t raw_max_of(FrameKind kind)
{
    return kind == FRAME_PAGE_TABLE ? PAGE_TABLE_SIZE_MAX : EXTENT_SIZE;
}

/* The directory proves itself, but an impossible frame in it is one that nobody can read. */
static bool scan_frame(PackScanState *state, const char *pack_id, Window *window,
                       const ScannedFrame *frame, PackFrameFunction *on_frame, void *context,
                       Error *err)
{
    const uint8_t *stored;
    Error problem = {0};

    if (!frame_check(&frame->frame, window->size, raw_max_of(frame->kind), &problem))
        return on_frame(context, frame, NULL, &problem, err);
    if (!window_get(window, &frame->frame, &stored, err))
        return false;
    if (state->is_stored_only) {
        const uint64_t computed =
            xxh3_of(window->cluster->repo->hash_seed, stored, frame->frame.stored_size);
        (void)!stored_checksum_check(computed, frame->frame.checksum, &problem);
        return on_frame(context, frame, NULL, &problem, err);
    }
    bool ok = pack_decode_frame(window->cluster, pack_id, &frame->frame, stored, state->codec,
                                state->raw, &problem);
    return on_frame(context, frame, ok ? state->raw : NULL, &problem, err);
}

static bool scan_frames(PackScanState *state, const char *pack_id, const PackTrailer *trailer,
                        Window *window, PackFrameFunction *on_frame, void *context, Error *err)
{
    size_t at = 0;

    for (uint32_t i = 0; i < trailer->entry_count; i++) {
        PackEntry entry;

        if (!pack_entry_decode(state->directory.data, trailer->directory_raw, &at, &entry, err))
            return false;
        ScannedFrame frame = {.kind = entry.kind,
                              .frame = entry.frame,
                              .range = entry.range,
                              .path = entry.path,
                              .path_size = entry.path_size};
        if (!scan_frame(state, pack_id, window, &frame, on_frame, context, err))
            return false;
    }
    return true;
}

bool pack_scan(const Cluster *cluster, const char *pack_id, uint64_t size, PackScanState *state,
               PackFrameFunction *on_frame, void *context, uint8_t sha256[SHA256_SIZE], Error *err)
{
    CLEANUP(text_freep) char *object = layout_pack(cluster->name, pack_id);
    CLEANUP(window_done)
    Window window = {.cluster = cluster,
                     .object = object,
                     .size = size,
                     .bytes = state->window,
                     .sha256 = sha256_new()};
    PackTrailer trailer;

    state->directory.size = 0;
    if (!pack_directory_load(cluster, pack_id, size, &trailer, &state->directory, err) ||
        !scan_frames(state, pack_id, &trailer, &window, on_frame, context, err) ||
        !window_finish(&window, sha256, err))
        return error_context(err, "pack %s", pack_id);
    return true;
}
