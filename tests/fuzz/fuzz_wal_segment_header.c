/* The long header at the start of a WAL segment. Input: its bytes; an odd first byte asks for a
 * right magic number, so that the rest is looked at. */
#include "base/bytes.h"
#include "base/memory.h"
#include "fuzz.h"
#include "postgres/wal_reader.h"

static void check(const WalSegmentHeader *header, const uint8_t *bytes)
{
    assert(pg_version_of_wal_magic(header->magic) != NULL);
    assert(wal_segment_size_is_valid(header->segment_size));
    assert(header->address % header->segment_size == 0 && header->timeline > 0);
    assert(header->system_identifier == get_le64(bytes + 24));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};
    uint8_t choice = fuzz_u8(&input);
    WalSegmentHeader header;
    Error err = {0};

    uint8_t *bytes = fuzz_copy(input.at, input.left);
    if ((choice & 1) != 0 && input.left >= 2)
        put_le16(bytes, pg_version_of_major(13 + (choice >> 1) % 6)->wal_magic);
    if (wal_segment_header_decode(bytes, input.left, &header, &err)) {
        check(&header, bytes);
        fuzz_accepted();
    } else {
        assert(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
    }
    mem_free(bytes);
    return 0;
}

void fuzz_seeds(void)
{
    uint8_t bytes[1 + WAL_SEGMENT_HEADER_SIZE] = {0};
    uint8_t *header = bytes + 1;

    put_le16(header, 0xD110);
    put_le16(header + 2, 0x02);
    put_le32(header + 4, 1);
    put_le64(header + 8, UINT64_C(0x142) << 24);
    put_le64(header + 24, UINT64_C(7300000000000000001));
    put_le32(header + 32, 16 << 20);
    put_le32(header + 36, WAL_BLOCK_SIZE);
    fuzz_seed("segment", bytes, sizeof bytes);
    bytes[0] = 11;
    header[2] = 0x0f;
    put_le32(header + 16, 4711);
    fuzz_seed("continued", bytes, sizeof bytes);
}
