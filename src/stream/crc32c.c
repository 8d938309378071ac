#include "stream/digest.h"

#include "base/bytes.h"
#include "crc32c_engine.h"

/*
 * A CRC is the remainder of a polynomial over GF(2). A register holds the coefficient of x^0 in
 * its highest bit, so dividing by the polynomial shifts to the right (Warren, Hacker's Delight,
 * chapter 14). Appending n zero bytes multiplies by x^(8n), which is all that combining needs.
 */

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
            product = crc_multiply(crc32c_powers[i], product);
    }
    return product;
}

uint32_t crc32c_by_table(uint32_t state, const uint8_t *data, size_t size)
{
    for (; size >= 8; size -= 8, data += 8) {
        uint32_t low = get_le32(data) ^ state;
        uint32_t high = get_le32(data + 4);
        state = crc32c_steps[7][low & 255] ^ crc32c_steps[6][low >> 8 & 255] ^
                crc32c_steps[5][low >> 16 & 255] ^ crc32c_steps[4][low >> 24] ^
                crc32c_steps[3][high & 255] ^ crc32c_steps[2][high >> 8 & 255] ^
                crc32c_steps[1][high >> 16 & 255] ^ crc32c_steps[0][high >> 24];
    }
    for (; size > 0; size--, data++)
        state = state >> 8 ^ crc32c_steps[0][(state ^ *data) & 255];
    return state;
}

uint32_t crc32c_update(uint32_t crc, const void *data, size_t size)
{
    return ~crc32c_machine(~crc, data, size);
}

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t size_b)
{
    /* The inversions cancel: crc_a is moved past size_b zero bytes, then b's bytes are added. */
    if (size_b == CRC32C_PAGE)
        return crc32c_shift(&crc32c_page_shift, crc_a) ^ crc_b;
    return crc_multiply(crc_power(size_b), crc_a) ^ crc_b;
}
