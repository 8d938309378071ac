/*
 * The trailer of a WAL object, found at the end of an object. Input: a choice, the size of the
 * frames 8, then the trailer's bytes. The choice asks for magic and version, for the right
 * checksum, for the container of a codec, and how many bytes are before it.
 */
#include "base/bytes.h"
#include "base/memory.h"
#include "fuzz.h"
#include "wal/wal_object.h"

enum {
    WITH_MAGIC = 1,
    WITH_CHECKSUM = 2,
    WITH_CONTAINER = 4,
    BEFORE = 24,
};

static const uint64_t hash_seed = 42;

static void check_same(const WalTrailer *a, const WalTrailer *b)
{
    uint8_t bytes[2][WAL_TRAILER_SIZE];

    wal_trailer_encode(a, hash_seed, bytes[0]);
    wal_trailer_encode(b, hash_seed, bytes[1]);
    assert(memcmp(bytes[0], bytes[1], WAL_TRAILER_SIZE) == 0);
}

/* What a reader allocates and reads by. */
static void check_sizes(const WalTrailer *trailer)
{
    uint64_t stored = 0;

    assert(trailer->frame_count <= WAL_FRAMES_MAX && trailer->raw_size <= 1 << 30);
    assert((uint64_t)trailer->frame_count * trailer->frame_size >= trailer->raw_size);
    for (uint32_t i = 0; i < trailer->frame_count; i++)
        stored += trailer->frame_stored[i];
    assert(stored == trailer->stored_size);
    assert(trailer->summary.reader.end <= WAL_END_BROKEN);
    assert(trailer->summary.reader.reason[sizeof trailer->summary.reader.reason - 1] == '\0');
    for (size_t i = 0; i < WAL_RESTORE_POINTS_KEPT; i++) {
        const WalRestorePoint *point = &trailer->summary.restore_points[i];

        assert(point->name[sizeof point->name - 1] == '\0');
    }
}

static void check_again(const WalTrailer *trailer)
{
    CLEANUP(buffer_done) Buffer wrapped = {0};
    WalTrailer again;
    Error err = {0};

    wal_trailer_wrap(trailer, hash_seed, &wrapped);
    assert(wrapped.size <= WAL_TRAILER_SUFFIX);
    bool is_found =
        wal_trailer_find(&again, wrapped.data, wrapped.size,
                         trailer->stored_size + trailer->between + wrapped.size, hash_seed, &err);
    assert(is_found);
    check_same(trailer, &again);
    /* One byte more or less in front of it, and it is not the object that was written. */
    bool is_other = wal_trailer_find(&again, wrapped.data, wrapped.size,
                                     trailer->stored_size + trailer->between + wrapped.size + 1,
                                     hash_seed, &err);
    assert(!is_other && err.code == ERR_CORRUPT);
}

static void find_in(const uint8_t *suffix, size_t size, uint64_t object_size)
{
    uint8_t *exact = fuzz_copy(suffix, size);
    WalTrailer trailer;
    Error err = {0};

    if (wal_trailer_find(&trailer, exact, size, object_size, hash_seed, &err)) {
        check_sizes(&trailer);
    } else {
        assert(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
    }
    mem_free(exact);
}

static void try_decode(const uint8_t *bytes)
{
    WalTrailer trailer;
    Error err = {0};

    if (!wal_trailer_decode(&trailer, bytes, hash_seed, &err)) {
        assert(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
        return;
    }
    check_sizes(&trailer);
    check_again(&trailer);
    fuzz_accepted();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t gzip_header[] = {0x1f, 0x8b, 8, 4,    0,   0,   0, 0,
                                          0,    0xff, 4, 0x08, 'P', 'C', 0, 0x08};
    static const uint8_t gzip_end[10] = {0x03};
    uint8_t suffix[BEFORE + WAL_TRAILER_SIZE + sizeof gzip_end] = {0};
    uint8_t *bytes = suffix + BEFORE;
    FuzzInput input = {data, size};
    uint8_t choice = fuzz_u8(&input);
    uint64_t object_size = fuzz_u64(&input);
    size_t before = choice >> 3;

    fuzz_bytes(&input, bytes, WAL_TRAILER_SIZE);
    if ((choice & WITH_MAGIC) != 0)
        memcpy(bytes, "PGCNWAL1\1\0\0", 12);
    if ((choice & WITH_CHECKSUM) != 0)
        put_le64(bytes + WAL_TRAILER_SIZE - 8, xxh3_of(hash_seed, bytes, WAL_TRAILER_SIZE - 8));
    try_decode(bytes);

    bool is_gzip = bytes[13] == CODEC_GZIP;
    if ((choice & WITH_CONTAINER) != 0 && is_gzip) {
        memcpy(bytes - sizeof gzip_header, gzip_header, sizeof gzip_header);
        memcpy(bytes + WAL_TRAILER_SIZE, gzip_end, sizeof gzip_end);
    } else if ((choice & WITH_CONTAINER) != 0) {
        put_le32(bytes - 8, 0x184D2A5E);
        put_le32(bytes - 4, WAL_TRAILER_SIZE);
    }
    before = before < BEFORE ? before : BEFORE;
    find_in(bytes - before, before + WAL_TRAILER_SIZE + (is_gzip ? sizeof gzip_end : 0),
            object_size);
    return 0;
}

static void seed(const char *name, const WalTrailer *trailer)
{
    uint8_t bytes[9 + WAL_TRAILER_SIZE] = {WITH_MAGIC | WITH_CHECKSUM | WITH_CONTAINER | 16 << 3};

    put_le64(bytes + 1, trailer->stored_size + 8 + WAL_TRAILER_SIZE);
    wal_trailer_encode(trailer, hash_seed, bytes + 9);
    fuzz_seed(name, bytes, sizeof bytes);
}

void fuzz_seeds(void)
{
    WalTrailer trailer = {
        .kind = WAL_SEGMENT,
        .codec = CODEC_ZSTD,
        .raw_size = 16 << 20,
        .stored_size = 8 * 1000,
        .system_identifier = UINT64_C(7300000000000000001),
        .timeline = 3,
        .major = 15,
        .segment_size = 16 << 20,
        .frame_size = 2 << 20,
        .frame_count = 8,
    };
    WalSummary *summary = &trailer.summary;

    for (size_t i = 0; i < 8; i++)
        trailer.frame_stored[i] = 1000;
    wal_summary_init(summary);
    seed("plain", &trailer);
    summary->reader.end = WAL_END_BROKEN;
    summary->reader.magic = 0xD110;
    snprintf(summary->reader.reason, sizeof summary->reader.reason, "invalid record length 0");
    for (int i = 0; i < 8; i++) {
        WalEvent event = {.kind = EVENT_RESTORE_POINT, .lsn = 0x1000, .end = 0x1040, .time = 5};

        snprintf(event.name, sizeof event.name, "point %d", i);
        wal_summary_add(summary, &event);
        event.kind = EVENT_COMMIT;
        wal_summary_add(summary, &event);
    }
    trailer.codec = CODEC_GZIP;
    seed("points", &trailer);
    trailer = (WalTrailer){.kind = WAL_HISTORY,
                           .codec = CODEC_NONE,
                           .raw_size = 42,
                           .stored_size = 60,
                           .timeline = 2,
                           .segment_size = 16 << 20,
                           .frame_size = 1 << 20,
                           .frame_count = 1,
                           .frame_stored = {60}};
    wal_summary_init(&trailer.summary);
    seed("history", &trailer);
}
