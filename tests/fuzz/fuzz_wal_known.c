/*
 * What is remembered of archived segments. Input: how it is mended, then the object's bytes. What
 * is accepted is in order, reads the same when it is encoded anew, and each of its trailers is
 * refused or is that of its segment.
 */
#include "base/bytes.h"
#include "base/memory.h"
#include "fuzz.h"
#include "wal/wal_known.h"

#include <assert.h>

enum { HEADER_AT = 8, FRAME_AT = HEADER_AT + WAL_KNOWN_HEADER_SIZE, SEGMENT_SIZE = 1 << 20 };

static const WalKnownHome home = {.cluster = "main",
                                  .system_identifier = 7,
                                  .major = 15,
                                  .segment_size = SEGMENT_SIZE,
                                  .seed = 42};
static const WalStretch stretch = {.timeline = 1, .first = 2048};

/* As it would be if somebody had signed it. */
static void mend(uint8_t *object, size_t size, uint8_t choice)
{
    uint8_t *header = object + HEADER_AT;

    if (size < FRAME_AT)
        return;
    if ((choice & 1) != 0) {
        put_le32(header + 36, (uint32_t)(size - FRAME_AT));
        put_le64(header + 40, xxh3_of(home.seed, object + FRAME_AT, size - FRAME_AT));
    }
    if ((choice & 2) != 0)
        put_le64(header + 72, xxh3_of(home.seed, header, 72));
}

static void check_accepted(const Buffer *entries)
{
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(buffer_done) Buffer again = {0};
    uint64_t next = stretch.first;
    Error err = {0};

    for (size_t i = 0; i < wal_known_count(entries); i++) {
        const WalKnownEntry entry = wal_known_at(entries, i);
        WalKnownEntry found;
        WalTrailer trailer;
        Error refused = {0};

        assert(entry.segment >= next && entry.segment < stretch.first + WAL_KNOWN_SEGMENTS);
        next = entry.segment + 1;
        bool is_found = wal_known_find(entries, entry.segment, &found);
        assert(is_found && found.trailer == entry.trailer);
        if (wal_known_trailer(&home, stretch, &entry, &trailer, &refused))
            assert(trailer.kind == WAL_SEGMENT && trailer.timeline == stretch.timeline);
    }
    bool is_encoded = wal_known_encode(&home, stretch, entries, &object, &err);
    assert(is_encoded);
    bool is_read = wal_known_decode(&home, stretch, object.data, object.size, &again, &err);
    assert(is_read && again.size == entries->size &&
           memcmp(again.data, entries->data, entries->size) == 0);
    fuzz_accepted();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};
    uint8_t choice = fuzz_u8(&input);
    CLEANUP(buffer_done) Buffer entries = {0};
    Error err = {0};

    uint8_t *object = fuzz_copy(input.at, input.left);
    mend(object, input.left, choice);
    if (wal_known_decode(&home, stretch, object, input.left, &entries, &err)) {
        check_accepted(&entries);
    } else {
        assert(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
    }
    mem_free(object);
    return 0;
}

static void add_entry(Buffer *entries, uint64_t segment)
{
    uint8_t bytes[WAL_TRAILER_SIZE];
    WalTrailer trailer = {.kind = WAL_SEGMENT,
                          .codec = CODEC_ZSTD,
                          .raw_size = SEGMENT_SIZE,
                          .stored_size = 900,
                          .system_identifier = home.system_identifier,
                          .timeline = stretch.timeline,
                          .major = home.major,
                          .segment_size = SEGMENT_SIZE,
                          .frame_size = wal_frame_size(SEGMENT_SIZE),
                          .frame_count = 1,
                          .frame_stored = {900}};

    wal_summary_init(&trailer.summary);
    trailer.summary.reader.first_record = wal_segment_start(segment, SEGMENT_SIZE) + 40;
    wal_trailer_encode(&trailer, home.seed, bytes);
    wal_known_add(entries, &(WalKnownEntry){.segment = segment,
                                            .stored_size = 3000,
                                            .stored_at = 5,
                                            .verified_at = segment % 2 == 0 ? 6 : TIME_US_NONE,
                                            .trailer = bytes});
}

void fuzz_seeds(void)
{
    static const size_t counts[] = {1, 2, 30};

    for (uint8_t i = 0; i < ARRAY_SIZE(counts); i++) {
        CLEANUP(buffer_done) Buffer entries = {0};
        CLEANUP(buffer_done) Buffer bytes = {0};
        char seed_name[16];
        Error err = {0};

        for (size_t n = 0; n < counts[i]; n++)
            add_entry(&entries, stretch.first + 3 * n);
        buffer_append(&bytes, &i, 1);
        bool is_encoded = wal_known_encode(&home, stretch, &entries, &bytes, &err);
        assert(is_encoded);
        snprintf(seed_name, sizeof seed_name, "known-%zu", counts[i]);
        fuzz_seed(seed_name, bytes.data, bytes.size);
    }
}
