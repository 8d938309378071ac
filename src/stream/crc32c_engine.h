/*
 * crc32c_engine.h - CRC-32C on the bare register, without the inversions at both ends.
 *
 * crc32c_machine() is the fastest way this machine has: meson chooses the file by the processor
 * (crc32c_x86.c, crc32c_arm.c, crc32c_other.c).
 */
#pragma once

#include "base/base.h"

/* The Castagnoli polynomial with its bits reversed, as the register holds it. */
#define CRC32C_POLYNOMIAL UINT32_C(0x82F63B78)

uint32_t crc32c_machine(uint32_t state, const uint8_t *data, size_t size);

/* Eight bytes a step from tables; on every processor, and what the others are tested against. */
uint32_t crc32c_by_table(uint32_t state, const uint8_t *data, size_t size);

/* What that many zero bytes make of a state, as four tables, one for each byte of the state. */
typedef struct Crc32cShift {
    uint32_t table[4][256];
} Crc32cShift;

/* Lengths for which there is one: a page, and the blocks of crc32c_x86.c. */
enum { CRC32C_PAGE = 8192, CRC32C_LONG = 2720, CRC32C_SHORT = 256 };

/* Computed when pgcairn is built, by crc32c_tables.py: it takes some ten microseconds. */
extern const uint32_t crc32c_steps[8][256];
extern const uint32_t crc32c_powers[64]; /* x^(8 * 2^i) */
extern const Crc32cShift crc32c_page_shift, crc32c_long_shift, crc32c_short_shift;

static inline uint32_t crc32c_shift(const Crc32cShift *shift, uint32_t state)
{
    return shift->table[0][state & 255] ^ shift->table[1][state >> 8 & 255] ^
           shift->table[2][state >> 16 & 255] ^ shift->table[3][state >> 24];
}
