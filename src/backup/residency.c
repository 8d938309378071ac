#include "residency.h"

#include "base/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

void residency_init(Residency *residency)
{
    *residency = (Residency){.pages = mem_alloc(RANGE_SIZE / page_size())};
}

void residency_done(Residency *residency)
{
    mem_free(residency->pages);
    residency->pages = NULL;
}

void residency_look(Residency *residency, int fd, uint64_t begin, size_t size)
{
    residency->begin = begin;
    residency->size = size;
    residency->is_known = false;
    if (size == 0)
        return;

    /* Mapped only to be asked about: a page that is never touched costs nothing. */
    void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, (off_t)begin);
    if (map == MAP_FAILED)
        return;
    residency->is_known = mincore(map, size, residency->pages) == 0;
    (void)munmap(map, size);
}

static bool was_cached(const Residency *residency, size_t page)
{
    return (residency->pages[page] & 1) != 0;
}

bool residency_is_cached(const Residency *residency, uint64_t offset, size_t size)
{
    size_t unit = page_size();
    uint64_t end = residency->begin + residency->size;

    if (!residency->is_known || offset < residency->begin || offset + size > end || size == 0)
        return false;
    size_t last = (size_t)(offset + size - 1 - residency->begin) / unit;
    for (size_t page = (size_t)(offset - residency->begin) / unit; page <= last; page++) {
        if (!was_cached(residency, page))
            return false;
    }
    return true;
}

void residency_restore(const Residency *residency, int fd, uint64_t offset, size_t size)
{
    size_t unit = page_size();

    if (!residency->is_known || size == 0 || offset < residency->begin ||
        offset + size > residency->begin + residency->size)
        return;
    size_t page = (size_t)(offset - residency->begin) / unit;
    size_t end = (size_t)(offset + size - residency->begin + unit - 1) / unit;
    while (page < end) {
        size_t first = page;
        bool cached = was_cached(residency, page);
        while (page < end && was_cached(residency, page) == cached)
            page++;
        if (!cached) {
            (void)posix_fadvise(fd, (off_t)(residency->begin + first * unit),
                                (off_t)((page - first) * unit), POSIX_FADV_DONTNEED);
        }
    }
}
