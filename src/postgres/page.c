#include "postgres/page.h"

#include "base/bytes.h"

#include <assert.h>

/* PageHeaderData (storage/bufpage.h) */
enum {
    AT_LSN_HIGH = 0,
    AT_LSN_LOW = 4,
    AT_CHECKSUM = 8,
    AT_FLAGS = 10,
    AT_LOWER = 12,
    AT_UPPER = 14,
    AT_SPECIAL = 16,
    HEADER_SIZE = 24,
    VALID_FLAGS = 0x0007,
};

/*
 * Eight vectors of four lanes are the 32 lanes of checksum_impl.h. Vectors are written out (GNU C,
 * gcc and clang alike) since gcc 12 keeps the lanes of a plain loop in memory at -O2. Eight
 * independent chains hide the latency of the multiplication, so wider registers would gain little
 * and need no dispatch at run time.
 */
enum { LANES = 32, VECTORS = 8, ROW_SIZE = LANES * 4 };
typedef uint32_t Vector __attribute__((vector_size(16)));

/* clang-format off */
static const uint32_t base_offsets[LANES] = {
    0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
    0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
    0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
    0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
};
/* clang-format on */

/* CHECKSUM_COMP for all lanes: FNV-1a with a shift that spreads the high bits. */
static inline void mix_row(Vector sums[VECTORS], const void *row)
{
    for (size_t i = 0; i < VECTORS; i++) {
        Vector value;
        memcpy(&value, (const uint8_t *)row + i * sizeof value, sizeof value);
        value ^= sums[i];
        sums[i] = value * 16777619U ^ value >> 17;
    }
}

/* pg_checksum_block(), with the checksum's own field taken as zero. */
static uint32_t block_checksum(const uint8_t *page, uint32_t page_size)
{
    static const uint8_t zeros[ROW_SIZE];
    Vector sums[VECTORS];
    uint8_t first[ROW_SIZE];
    uint32_t lanes[LANES];
    uint32_t result = 0;

    memcpy(sums, base_offsets, sizeof sums);
    memcpy(first, page, ROW_SIZE);
    put_le16(first + AT_CHECKSUM, 0);
    mix_row(sums, first);
    for (uint32_t at = ROW_SIZE; at < page_size; at += ROW_SIZE)
        mix_row(sums, page + at);
    mix_row(sums, zeros);
    mix_row(sums, zeros);

    memcpy(lanes, sums, sizeof lanes);
    for (int i = 0; i < LANES; i++)
        result ^= lanes[i];
    return result;
}

uint16_t page_checksum(const void *page, uint32_t page_size, uint32_t block)
{
    assert(page_size >= ROW_SIZE && page_size % ROW_SIZE == 0);
    return (uint16_t)((block_checksum(page, page_size) ^ block) % 65535 + 1);
}

Lsn page_lsn(const void *page)
{
    const uint8_t *bytes = page;

    return (uint64_t)get_le32(bytes + AT_LSN_HIGH) << 32 | get_le32(bytes + AT_LSN_LOW);
}

bool page_is_zero(const void *page, size_t size)
{
    return bytes_are_zero(page, size);
}

/* What PageIsVerified() (storage/page/bufpage.c) demands; nothing that the server would accept. */
static bool header_is_sane(const uint8_t *page, uint32_t page_size)
{
    unsigned lower = get_le16(page + AT_LOWER);
    unsigned upper = get_le16(page + AT_UPPER);
    unsigned special = get_le16(page + AT_SPECIAL);

    return (get_le16(page + AT_FLAGS) & ~(unsigned)VALID_FLAGS) == 0 && lower <= upper &&
           upper <= special && special <= page_size && special % 8 == 0;
}

PageVerdict page_check(const void *page, uint32_t page_size, uint32_t block, const PageRule *rule)
{
    const uint8_t *bytes = page;

    /* A new page has no checksum yet, and then nothing else either (PageIsNew). */
    if (get_le16(bytes + AT_UPPER) == 0)
        return page_is_zero(page, page_size) ? PAGE_GOOD : PAGE_BAD;

    Lsn lsn = page_lsn(page);
    if (rule->insert != 0 && lsn > rule->insert)
        return PAGE_BAD;
    if (rule->start != 0 && lsn >= rule->start)
        return PAGE_NEWER;
    if (!header_is_sane(bytes, page_size))
        return PAGE_BAD;
    if (rule->has_checksums &&
        page_checksum(page, page_size, block) != get_le16(bytes + AT_CHECKSUM))
        return PAGE_BAD;
    return PAGE_GOOD;
}
