#include "copy_plan.h"

#include "postgres/data_directory.h"
#include "stream/digest.h"

enum { BATCH_BYTES = 16 << 20, BATCH_FILES = 256 };

static bool is_file(const ManifestEntry *entry)
{
    if (entry->kind == ENTRY_EXTRA)
        return true;
    return entry->kind == ENTRY_FILE && data_plan_of(entry->path, false) != PLAN_CONTROL;
}

static bool is_split(const ManifestEntry *entry)
{
    return entry->kind == ENTRY_FILE && entry->size > RANGE_SIZE &&
           data_plan_of(entry->path, false) == PLAN_RELATION;
}

static CopyJob *add_job(CopyPlan *plan, size_t *capacity)
{
    if (plan->job_count == *capacity) {
        *capacity = *capacity == 0 ? 256 : *capacity * 2;
        plan->jobs = mem_resize(plan->jobs, *capacity * sizeof plan->jobs[0]);
    }
    plan->jobs[plan->job_count] = (CopyJob){0};
    return &plan->jobs[plan->job_count++];
}

/* Large pieces first, so that the last jobs are short and the workers end together. */
static void add_ranges(CopyPlan *plan, const Scan *scan, size_t *capacity)
{
    for (size_t i = 0; i < scan->count; i++) {
        if (!is_split(&scan->entries[i]))
            continue;
        uint32_t count = (uint32_t)((scan->entries[i].size + RANGE_SIZE - 1) / RANGE_SIZE);
        for (uint32_t range = 0; range < count; range++) {
            CopyJob *job = add_job(plan, capacity);
            job->kind = JOB_RANGE;
            job->first = (uint32_t)i;
            job->range = range;
        }
    }
    plan->range_job_count = plan->job_count;
}

static void add_batches(CopyPlan *plan, const Scan *scan, size_t *capacity)
{
    CopyJob *batch = NULL;
    uint64_t bytes = 0;
    uint32_t ordered = 0;

    for (size_t i = 0; i < scan->count; i++) {
        const ManifestEntry *entry = &scan->entries[i];
        if (!is_file(entry) || is_split(entry))
            continue;
        if (batch == NULL || batch->count == BATCH_FILES || bytes + entry->size > BATCH_BYTES) {
            batch = add_job(plan, capacity);
            batch->kind = JOB_FILES;
            batch->first = ordered;
            batch->order = plan->order;
            bytes = 0;
        }
        plan->order[ordered++] = (uint32_t)i;
        batch->count++;
        bytes += entry->size;
    }
}

void plan_make(CopyPlan *plan, const Scan *scan)
{
    size_t capacity = 0;

    *plan = (CopyPlan){.order = mem_alloc((scan->count + 1) * sizeof plan->order[0])};
    add_ranges(plan, scan, &capacity);
    add_batches(plan, scan, &capacity);
}

void copy_plan_done(CopyPlan *plan)
{
    for (size_t i = 0; i < plan->job_count; i++)
        mem_free(plan->jobs[i].notes);
    mem_free(plan->jobs);
    mem_free(plan->order);
    *plan = (CopyPlan){0};
}

void job_note(CopyJob *job, const PageNote *note)
{
    /* Powers of two, so the capacity follows from the count. */
    if ((job->note_count & (job->note_count - 1)) == 0) {
        size_t capacity = job->note_count == 0 ? 1 : job->note_count * 2;
        job->notes = mem_resize(job->notes, capacity * sizeof job->notes[0]);
    }
    job->notes[job->note_count++] = *note;
}

/* jobs[0..count) are all ranges of this entry. */
static void finish_entry(const CopyJob *jobs, size_t count, ManifestEntry *entry, Arena *arena)
{
    ManifestRange *ranges = arena_alloc(arena, count * sizeof ranges[0]);

    entry->range_count = 0;
    entry->crc32c = 0;
    entry->size = 0;
    for (size_t i = 0; i < count; i++) {
        const ManifestRange *range = &jobs[i].result;
        if (range->size == 0)
            break;
        ranges[entry->range_count++] = *range;
        entry->crc32c = crc32c_combine(entry->crc32c, range->crc32c, range->size);
        entry->size += range->size;
        if (range->size < RANGE_SIZE)
            break;
    }
    entry->is_small = entry->size == 0;
    if (!entry->is_small)
        entry->ranges = ranges;
}

void plan_finish(const CopyPlan *plan, Scan *scan)
{
    for (size_t i = 0; i < plan->range_job_count;) {
        size_t end = i;
        while (end < plan->range_job_count && plan->jobs[end].first == plan->jobs[i].first)
            end++;
        finish_entry(&plan->jobs[i], end - i, &scan->entries[plan->jobs[i].first], &scan->arena);
        i = end;
    }
}
