#include "pack/page_set.h"

#include "stream/digest.h"

void page_set_add(PageSet *set, uint32_t page)
{
    set->words[page / 64] |= UINT64_C(1) << page % 64;
}

bool page_set_has(const PageSet *set, uint32_t page)
{
    return (set->words[page / 64] >> page % 64 & 1) != 0;
}

uint32_t page_set_count(const PageSet *set)
{
    uint32_t count = 0;

    for (size_t i = 0; i < PAGE_SET_WORDS; i++)
        count += (uint32_t)__builtin_popcountll(set->words[i]);
    return count;
}

uint32_t page_set_run_count(const PageSet *set)
{
    uint32_t count = 0;
    uint64_t before = 0; /* the last page of the word before */

    for (size_t i = 0; i < PAGE_SET_WORDS; i++) {
        const uint64_t word = set->words[i];
        count += (uint32_t)__builtin_popcountll(word & ~(word << 1 | before));
        before = word >> 63;
    }
    return count;
}

void page_set_add_differing(PageSet *set, uint32_t first, const void *bytes, size_t size,
                            const uint64_t *hashes, uint64_t seed)
{
    const uint8_t *at = bytes;

    for (uint32_t page = first; size > 0; page++) {
        const size_t part = size < PAGE_BYTES ? size : PAGE_BYTES;
        if (xxh3_of(seed, at, part) != hashes[page])
            page_set_add(set, page);
        at += part;
        size -= part;
    }
}
