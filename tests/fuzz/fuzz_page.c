/*
 * Data pages. Input: choice, block 4, start 8, insert 8, then the page's first bytes; the rest of
 * it repeats them. The checksum is held against a plain one, as storage/checksum_impl.h has it.
 */
#include "base/bytes.h"
#include "base/memory.h"
#include "fuzz.h"
#include "postgres/page.h"

enum { LANES = 32, HEADER_SIZE = 24 };

/* clang-format off */
static const uint32_t base_offsets[LANES] = {
    0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
    0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
    0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
    0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
};
/* clang-format on */

static uint32_t mix(uint32_t sum, uint32_t value)
{
    uint32_t mixed = sum ^ value;

    return mixed * 16777619U ^ mixed >> 17;
}

static uint16_t plain_checksum(const uint8_t *page, uint32_t page_size, uint32_t block)
{
    uint32_t sums[LANES];
    uint32_t result = 0;

    memcpy(sums, base_offsets, sizeof sums);
    for (uint32_t at = 0; at < page_size; at += 4) {
        uint32_t value = get_le32(page + at);

        if (at == 8)
            value &= 0xFFFF0000U; /* pd_checksum counts as zero */
        sums[at / 4 % LANES] = mix(sums[at / 4 % LANES], value);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < LANES; i++)
            sums[i] = mix(sums[i], 0);
    }
    for (int i = 0; i < LANES; i++)
        result ^= sums[i];
    return (uint16_t)((result ^ block) % 65535 + 1);
}

static void make_page(FuzzInput *input, uint8_t *page, uint32_t page_size)
{
    for (uint32_t at = 0; at < page_size; at++)
        page[at] = input->left > 0 ? input->at[at % input->left] : 0;
}

static void check_verdict(PageVerdict verdict, const uint8_t *page, uint32_t page_size,
                          uint32_t block, const PageRule *rule)
{
    bool is_new = get_le16(page + 14) == 0;
    bool is_later = rule->start != 0 && page_lsn(page) >= rule->start;

    if (is_new) {
        assert(verdict == (page_is_zero(page, page_size) ? PAGE_GOOD : PAGE_BAD));
    } else if (rule->insert != 0 && page_lsn(page) > rule->insert) {
        assert(verdict == PAGE_BAD);
    } else if (is_later) {
        assert(verdict == PAGE_NEWER);
    } else {
        assert(verdict != PAGE_NEWER);
        if (rule->has_checksums && verdict == PAGE_GOOD)
            assert(plain_checksum(page, page_size, block) == get_le16(page + 8));
    }
    if (verdict == PAGE_GOOD && !is_new)
        fuzz_accepted();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};
    uint8_t choice = fuzz_u8(&input);
    uint32_t page_size = UINT32_C(1024) << (choice >> 2 & 3);
    uint32_t block = fuzz_u32(&input);
    PageRule rule = {
        .has_checksums = (choice & 1) != 0, .start = fuzz_u64(&input), .insert = fuzz_u64(&input)};
    uint8_t *page = mem_alloc(page_size);

    make_page(&input, page, page_size);
    assert(page_checksum(page, page_size, block) == plain_checksum(page, page_size, block));
    if ((choice & 2) != 0)
        put_le16(page + 8, page_checksum(page, page_size, block));
    check_verdict(page_check(page, page_size, block, &rule), page, page_size, block, &rule);
    mem_free(page);
    return 0;
}

void fuzz_seeds(void)
{
    uint8_t bytes[21 + HEADER_SIZE] = {3 | 3 << 2};
    uint8_t *page = bytes + 21;

    put_le32(bytes + 1, 7);
    put_le32(page + 4, 0x2000028); /* LSN 0/2000028 */
    put_le16(page + 12, 28);
    put_le16(page + 14, 8000);
    put_le16(page + 16, 8192);
    put_le16(page + 18, 8192 | 4);
    fuzz_seed("page", bytes, sizeof bytes);
    put_le64(bytes + 5, 0x1000000);
    put_le64(bytes + 13, 0x3000000);
    fuzz_seed("newer", bytes, sizeof bytes);
    fuzz_seed("zero", bytes, 21);
}
