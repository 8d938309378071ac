#include "stream/codec.h"

#include "base/bytes.h"

#include <assert.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/*
 * A zstd frame of raw blocks (RFC 8878, 3.1.1), which libzstd has no call for:
 *
 *     magic 4 · descriptor 1 · window 1 · content size 8 · blocks · XXH64 of the content 4
 *
 * A window of 128 KiB, the largest that a block can fill, and not a "single segment" as large as
 * the content: `zstd -d` refuses to allocate more than 128 MiB for one.
 */
enum {
    FRAME_MAGIC_SIZE = 4,
    FRAME_HEADER_SIZE = 14,
    BLOCK_HEADER_SIZE = 3,
    BLOCK_SIZE_MAX = 128 * 1024,
    FRAME_CHECKSUM_SIZE = 4,
};

static void append_block(const uint8_t *data, size_t size, bool is_last, Buffer *out)
{
    /* Bit 0: last block; bits 1 and 2: type, 0 is raw; then the size. */
    uint32_t header = (uint32_t)size << 3 | (is_last ? 1 : 0);
    uint8_t bytes[BLOCK_HEADER_SIZE] = {(uint8_t)header, (uint8_t)(header >> 8),
                                        (uint8_t)(header >> 16)};

    buffer_append(out, bytes, sizeof(bytes));
    if (size > 0)
        buffer_append(out, data, size);
}

void codec_wrap_raw(const void *data, size_t size, Buffer *out)
{
    const uint8_t *next = size > 0 ? data : (const uint8_t *)"";
    size_t blocks = size / BLOCK_SIZE_MAX + 1;
    uint8_t header[FRAME_HEADER_SIZE] = {0x28, 0xb5, 0x2f, 0xfd};
    uint8_t checksum[FRAME_CHECKSUM_SIZE];

    assert(next != NULL);
    put_le32(checksum, (uint32_t)XXH64(next, size, 0));
    header[FRAME_MAGIC_SIZE] = 3 << 6 | 1 << 2;    /* content size of 8 bytes, with checksum */
    header[FRAME_MAGIC_SIZE + 1] = (17 - 10) << 3; /* window of 2^17 bytes */
    put_le64(header + FRAME_MAGIC_SIZE + 2, size);

    buffer_reserve(out, out->size + sizeof(header) + size + blocks * BLOCK_HEADER_SIZE +
                            sizeof(checksum));
    buffer_append(out, header, sizeof(header));
    while (size > BLOCK_SIZE_MAX) {
        append_block(next, BLOCK_SIZE_MAX, false, out);
        next += BLOCK_SIZE_MAX;
        size -= BLOCK_SIZE_MAX;
    }
    append_block(next, size, true, out);
    buffer_append(out, checksum, sizeof(checksum));
}
