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

/* From `page` on the first one that is in the set, or is not; RANGE_PAGES: none. */
static uint32_t page_set_find(const PageSet *set, uint32_t page, bool is_in)
{
    for (uint32_t at = page; at < RANGE_PAGES; at = (at / 64 + 1) * 64) {
        const uint64_t word = is_in ? set->words[at / 64] : ~set->words[at / 64];
        const uint64_t rest = word >> at % 64;
        if (rest != 0)
            return at + (uint32_t)__builtin_ctzll(rest);
    }
    return RANGE_PAGES;
}

bool page_set_next_run(const PageSet *set, PageRun *run)
{
    run->first = page_set_find(set, run->first + run->count, true);
    run->count = page_set_find(set, run->first, false) - run->first;
    return run->count > 0;
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
