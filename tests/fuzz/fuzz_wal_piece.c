/*
 * A piece of an open segment. Input: how it is mended, where the piece is said to be, then the
 * object's bytes. What is accepted has the size that its name says and reads the same when it is
 * encoded anew.
 */
#include "base/bytes.h"
#include "base/memory.h"
#include "fuzz.h"
#include "stream/digest.h"
#include "wal/wal_piece.h"

#include <assert.h>

enum { HEADER_AT = 8, FRAME_AT = HEADER_AT + WAL_PIECE_HEADER_SIZE };

static const WalPieceHome home = {
    .system_identifier = 7, .major = 15, .segment_size = 1 << 20, .seed = 42};

/* As it would be if somebody had signed it. */
static void mend(uint8_t *object, size_t size, const WalPiece *piece, uint8_t choice)
{
    uint8_t *header = object + HEADER_AT;

    if (size < FRAME_AT)
        return;
    if ((choice & 1) != 0) {
        put_le32(header + 12, piece->timeline);
        put_le64(header + 24, wal_segment_start(piece->segment, home.segment_size) + piece->from);
        put_le32(header + 32, piece->to - piece->from);
    }
    if ((choice & 2) != 0) {
        put_le32(header + 36, (uint32_t)(size - FRAME_AT));
        put_le64(header + 40, xxh3_of(home.seed, object + FRAME_AT, size - FRAME_AT));
    }
    if ((choice & 4) != 0)
        put_le64(header + 64, xxh3_of(home.seed, header, 64));
}

static void check_accepted(const WalPiece *piece, const Buffer *raw, CodecContext *codec)
{
    CLEANUP(buffer_done) Buffer again = {0};
    CLEANUP(buffer_done) Buffer reread = {0};
    Error err = {0};

    assert(raw->size == piece->to - piece->from);
    bool is_encoded = wal_piece_encode(&home, piece, raw->data, codec, &again, &err);
    assert(is_encoded);
    bool is_read = wal_piece_decode(&home, piece, again.data, again.size, codec, &reread, &err);
    assert(is_read && reread.size == raw->size && memcmp(reread.data, raw->data, raw->size) == 0);
    fuzz_accepted();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static CodecContext *codec;
    FuzzInput input = {data, size};
    uint8_t choice = fuzz_u8(&input);
    uint32_t from = fuzz_u16(&input);
    WalPiece piece = {.timeline = 1 + (uint32_t)(choice >> 6),
                      .segment = 5,
                      .from = from,
                      .to = from + 1 + fuzz_u16(&input)};
    CLEANUP(buffer_done) Buffer raw = {0};
    Error err = {0};

    if (codec == NULL)
        codec = codec_context_new();
    uint8_t *object = fuzz_copy(input.at, input.left);
    mend(object, input.left, &piece, choice);
    if (wal_piece_decode(&home, &piece, object, input.left, codec, &raw, &err)) {
        check_accepted(&piece, &raw, codec);
    } else {
        assert(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
    }
    mem_free(object);
    return 0;
}

void fuzz_seeds(void)
{
    static const uint16_t sizes[] = {1, 100, 8192, 65535};
    CodecContext *codec = codec_context_new();

    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        CLEANUP(buffer_done) Buffer bytes = {0};
        const WalPiece piece = {.timeline = 1, .segment = 5, .from = 0, .to = sizes[i]};
        uint8_t head[5] = {(uint8_t)(2 * i)};
        char seed_name[16];
        uint8_t *raw = mem_alloc(sizes[i]);
        Error err = {0};

        put_le16(head + 3, (uint16_t)(sizes[i] - 1));
        for (size_t at = 0; at < sizes[i]; at++)
            raw[at] = (uint8_t)(at * at >> 3);
        buffer_append(&bytes, head, sizeof head);
        bool is_encoded = wal_piece_encode(&home, &piece, raw, codec, &bytes, &err);
        assert(is_encoded);
        snprintf(seed_name, sizeof seed_name, "piece-%u", sizes[i]);
        fuzz_seed(seed_name, bytes.data, bytes.size);
        mem_free(raw);
    }
    codec_context_freep(&codec);
}
