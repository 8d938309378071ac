#include "residency.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_cachestat
/* Linux 6.5 has it, under the same number on all of Debian's architectures. */
#define SYS_cachestat 451
#endif

/* As include/uapi/linux/mman.h has them. */
typedef struct CacheStatRange {
    uint64_t offset;
    uint64_t size;
} CacheStatRange;

typedef struct CacheStat {
    uint64_t cached;
    uint64_t dirty;
    uint64_t being_written;
    uint64_t evicted;
    uint64_t recently_evicted;
} CacheStat;

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

/*
 * One call that counts, and most files are cached whole or not at all. False when that does not
 * settle it, or the kernel has no such call or does not let us make it.
 */
static bool look_by_count(Residency *residency, int fd)
{
    const size_t page_count = (residency->size + page_size() - 1) / page_size();
    CacheStatRange range = {.offset = residency->begin, .size = residency->size};
    CacheStat found = {0};

    if (residency->is_count_refused)
        return false;
    if (syscall(SYS_cachestat, fd, &range, &found, 0) != 0) {
        residency->is_count_refused = errno != EBADF;
        return false;
    }
    if (found.cached != 0 && found.cached < page_count)
        return false;
    memset(residency->pages, found.cached != 0, page_count);
    return true;
}

static bool look_by_page(Residency *residency, int fd)
{
    /* Mapped only to be asked about: a page that is never touched costs nothing. */
    void *map = mmap(NULL, residency->size, PROT_READ, MAP_SHARED, fd, (off_t)residency->begin);
    if (map == MAP_FAILED)
        return false;
    bool is_known = mincore(map, residency->size, residency->pages) == 0;
    (void)munmap(map, residency->size);
    return is_known;
}

void residency_look(Residency *residency, int fd, uint64_t begin, size_t size)
{
    residency->begin = begin;
    residency->size = size;
    residency->is_known = size > 0 && (look_by_count(residency, fd) || look_by_page(residency, fd));
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
