#include "delta_file.h"

#include "base/fault.h"
#include "base/memory_limit.h"

enum { KEEP_SHARE = 8, KEEP_MAX = 512 << 20 };

uint64_t delta_keep_max(void)
{
    const uint64_t share = memory_available() / KEEP_SHARE;
    Error none = {0};

    if (!FAULT_POINT("restore.keep-pages", &none)) /* as where there is no memory */
        return 0;
    return share < KEEP_MAX ? share : KEEP_MAX;
}

Delta *delta_new(const Manifest *manifest, bool from_disk, uint64_t keep_max)
{
    Delta *delta = mem_alloc(sizeof *delta);

    delta->manifest = manifest;
    delta->from_disk = from_disk;
    delta->keep_max = keep_max;
    delta->files = mem_alloc((manifest->entry_count + 1) * sizeof *delta->files);
    atomic_init(&delta->set_count, 0);
    atomic_init(&delta->kept, 0);
    return delta;
}

static void forget_ranges(const DeltaFile *file, uint32_t range_count)
{
    for (uint32_t range = 0; file->ranges != NULL && range < range_count; range++) {
        mem_free(file->ranges[range].differs);
        mem_free(file->ranges[range].kept);
    }
}

void delta_freep(Delta **delta)
{
    if (*delta == NULL)
        return;
    for (size_t i = 0; i < (*delta)->manifest->entry_count; i++)
        forget_ranges(&(*delta)->files[i], (*delta)->manifest->entries[i].range_count);
    mem_free((*delta)->files);
    arena_done(&(*delta)->arena);
    mem_free(*delta);
    *delta = NULL;
}

static DeltaFile *file_of(const Delta *delta, const ManifestEntry *entry)
{
    return &delta->files[entry - delta->manifest->entries];
}

DeltaFile *delta_begin(Delta *delta, const ManifestEntry *entry, const FoundFile *found)
{
    DeltaFile *file = file_of(delta, entry);

    *file = (DeltaFile){.stamp = found->stamp};
    return file;
}

void delta_add_ranges(Delta *delta, const ManifestEntry *entry, DeltaFile *file)
{
    file->ranges = arena_alloc(&delta->arena, entry->range_count * sizeof *file->ranges);
}

const DeltaFile *delta_find(const Delta *delta, const ManifestEntry *entry, const FoundFile *now)
{
    const DeltaFile *file = file_of(delta, entry);
    const bool is_untouched = now->is_there && file->stamp.inode == now->stamp.inode &&
                              file->stamp.changed_ns == now->stamp.changed_ns;

    return file->verdict != DELTA_UNKNOWN && is_untouched ? file : NULL;
}

void delta_remember(Delta *delta, DeltaRange *range, const PageSet *differs)
{
    if (page_set_count(differs) > 0) {
        if (atomic_fetch_add(&delta->set_count, 1) >= DELTA_SETS_MAX)
            return;
        range->differs = mem_alloc(sizeof *range->differs);
        *range->differs = *differs;
    }
    range->is_compared = true;
}

uint8_t *delta_take_room(Delta *delta, const PageSet *differs)
{
    const uint64_t size = (uint64_t)page_set_count(differs) * PAGE_BYTES;

    if (atomic_fetch_add(&delta->kept, size) + size <= delta->keep_max)
        return mem_alloc_large(size);
    atomic_fetch_sub(&delta->kept, size);
    return NULL;
}
