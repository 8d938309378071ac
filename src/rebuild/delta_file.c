#include "delta_file.h"

Delta *delta_new(const Manifest *manifest, bool from_disk)
{
    Delta *delta = mem_alloc(sizeof *delta);

    delta->manifest = manifest;
    delta->from_disk = from_disk;
    delta->files = mem_alloc((manifest->entry_count + 1) * sizeof *delta->files);
    atomic_init(&delta->set_count, 0);
    return delta;
}

static void forget_sets(const DeltaFile *file, uint32_t range_count)
{
    for (uint32_t range = 0; file->ranges != NULL && range < range_count; range++)
        mem_free(file->ranges[range].differs);
}

void delta_freep(Delta **delta)
{
    if (*delta == NULL)
        return;
    for (size_t i = 0; i < (*delta)->manifest->entry_count; i++)
        forget_sets(&(*delta)->files[i], (*delta)->manifest->entries[i].range_count);
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
