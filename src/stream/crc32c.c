#include "stream/digest.h"

#include "base/bytes.h"
#include "crc32c_engine.h"

/*
 * A CRC is the remainder of a polynomial over GF(2). A register holds the coefficient of x^0 in
 * its highest bit, so dividing by the polynomial shifts to the right (Warren, Hacker's Delight,
 * chapter 14). Appending n zero bytes multiplies by x^(8n), which is all that combining needs.
 */

enum { PAGE_SIZE_COMMON = 8192 };

static uint32_t step_tables[8][256];
static uint32_t power_of_two[64]; /* x^(8 * 2^i) */
static Crc32cShift page_shift;

static uint32_t crc_multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;

    for (uint32_t bit = UINT32_C(1) << 31; bit != 0; bit >>= 1) {
        product ^= (a & bit) != 0 ? b : 0;
        b = (b & 1) != 0 ? b >> 1 ^ CRC32C_POLYNOMIAL : b >> 1;
    }
    return product;
}

/* x^(8 * size) */
static uint32_t crc_power(uint64_t size)
{
    uint32_t product = UINT32_C(1) << 31; /* x^0 */

    for (size_t i = 0; size != 0; i++, size >>= 1) {
        if ((size & 1) != 0)
            product = crc_multiply(power_of_two[i], product);
    }
    return product;
}

void crc32c_shift_prepare(Crc32cShift *shift, uint64_t size)
{
    uint32_t factor = crc_power(size);

    for (size_t byte = 0; byte < 4; byte++) {
        shift->table[byte][0] = 0;
        for (uint32_t bit = 0; bit < 8; bit++)
            shift->table[byte][1U << bit] = crc_multiply(factor, UINT32_C(1) << (8 * byte + bit));
        for (uint32_t value = 1; value < 256; value++) {
            uint32_t lowest = value & (0U - value);
            shift->table[byte][value] = shift->table[byte][lowest] ^
                                        (value == lowest ? 0 : shift->table[byte][value ^ lowest]);
        }
    }
}

/*
 * Before main(), so that threads find finished tables and no call has to ask. Takes some ten
 * microseconds. Priority 101 is the first that programs may use: crc32c_x86.c comes after it.
 */
__attribute__((constructor(101))) static void prepare_tables(void)
{
    for (uint32_t value = 0; value < 256; value++) {
        uint32_t state = value;
        for (int bit = 0; bit < 8; bit++)
            state = (state & 1) != 0 ? state >> 1 ^ CRC32C_POLYNOMIAL : state >> 1;
        step_tables[0][value] = state;
    }
    for (size_t i = 1; i < 8; i++) {
        for (uint32_t value = 0; value < 256; value++) {
            uint32_t before = step_tables[i - 1][value];
            step_tables[i][value] = before >> 8 ^ step_tables[0][before & 255];
        }
    }

    power_of_two[0] = UINT32_C(1) << 23; /* x^8 */
    for (size_t i = 1; i < 64; i++)
        power_of_two[i] = crc_multiply(power_of_two[i - 1], power_of_two[i - 1]);
    crc32c_shift_prepare(&page_shift, PAGE_SIZE_COMMON);
}

uint32_t crc32c_by_table(uint32_t state, const uint8_t *data, size_t size)
{
    for (; size >= 8; size -= 8, data += 8) {
        uint32_t low = get_le32(data) ^ state;
        uint32_t high = get_le32(data + 4);
        state = step_tables[7][low & 255] ^ step_tables[6][low >> 8 & 255] ^
                step_tables[5][low >> 16 & 255] ^ step_tables[4][low >> 24] ^
                step_tables[3][high & 255] ^ step_tables[2][high >> 8 & 255] ^
                step_tables[1][high >> 16 & 255] ^ step_tables[0][high >> 24];
    }
    for (; size > 0; size--, data++)
        state = state >> 8 ^ step_tables[0][(state ^ *data) & 255];
    return state;
}

uint32_t crc32c_update(uint32_t crc, const void *data, size_t size)
{
    return ~crc32c_machine(~crc, data, size);
}

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t size_b)
{
    /* The inversions cancel: crc_a is moved past size_b zero bytes, then b's bytes are added. */
    if (size_b == PAGE_SIZE_COMMON)
        return crc32c_shift(&page_shift, crc_a) ^ crc_b;
    return crc_multiply(crc_power(size_b), crc_a) ^ crc_b;
}
