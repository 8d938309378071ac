/*
 * pg_control. Input: a choice, then the file's first bytes. An odd choice asks for a known version,
 * the next bit for the constants of this architecture, another for the right CRC.
 */
#include "base/bytes.h"
#include "base/memory.h"
#include "fuzz.h"
#include "postgres/control.h"
#include "stream/digest.h"

enum { STRUCT_SIZE = 300 };

static void put_version(uint8_t *bytes, const PgVersion *version)
{
    put_le32(bytes + 8, version->control_version);
    put_le32(bytes + 12, version->catalog_version);
}

static void put_constants(uint8_t *bytes)
{
    put_le32(bytes + 204, 8);
    put_le64(bytes + 208, UINT64_C(0x4132d68700000000));
}

static void put_crc(uint8_t *bytes, const PgVersion *version)
{
    size_t at = version->major >= 18 ? 292 : 288;

    put_le32(bytes + at, crc32c_update(0, bytes, at));
}

static void check(const PgControl *control, const uint8_t *bytes)
{
    assert(control->version != NULL && control->state <= PG_IN_PRODUCTION);
    assert(strcmp(pg_state_name(control->state), "unrecognized") != 0);
    assert(wal_segment_size_is_valid(control->wal_segment_size));
    assert(control->block_size >= 1024 && control->relation_segment_blocks > 0);
    assert(control->system_identifier == get_le64(bytes) && control->system_identifier != 0);
    assert(control->timeline > 0);
    assert(control->updated_at == TIME_US_NONE || control->updated_at >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};
    uint8_t choice = fuzz_u8(&input);
    const PgVersion *version = pg_version_of_major(PG_MAJOR_MIN + (choice >> 3) % 6);
    uint8_t *bytes = fuzz_copy(input.at, input.left);
    PgControl control;
    Error err = {0};

    if ((choice & 1) != 0 && input.left >= STRUCT_SIZE)
        put_version(bytes, version);
    if ((choice & 2) != 0 && input.left >= STRUCT_SIZE)
        put_constants(bytes);
    if ((choice & 4) != 0 && input.left >= STRUCT_SIZE)
        put_crc(bytes, version);
    if (pg_control_decode(bytes, input.left, &control, &err)) {
        check(&control, bytes);
        fuzz_accepted();
    } else {
        assert(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
    }
    mem_free(bytes);
    return 0;
}

void fuzz_seeds(void)
{
    for (unsigned major = PG_MAJOR_MIN; major <= PG_MAJOR_MAX; major += 5) {
        uint8_t bytes[1 + STRUCT_SIZE] = {0};
        uint8_t *control = bytes + 1;
        char name[16];

        bytes[0] = (uint8_t)(7 | (major - PG_MAJOR_MIN) << 3);
        put_le64(control, UINT64_C(7300000000000000001));
        put_version(control, pg_version_of_major(major));
        put_le32(control + 16, PG_IN_PRODUCTION);
        put_le64(control + 24, 1795000000);
        put_le64(control + 32, 0x2000060);
        put_le64(control + 40, 0x2000028);
        put_le32(control + 48, 1);
        put_le32(control + 52, 1);
        put_le32(control + 172, 1);
        put_constants(control);
        put_le32(control + 216, 8192);
        put_le32(control + 220, 131072);
        put_le32(control + 224, 8192);
        put_le32(control + 228, 16 << 20);
        put_crc(control, pg_version_of_major(major));
        snprintf(name, sizeof name, "control-%u", major);
        fuzz_seed(name, bytes, sizeof bytes);
    }
}
