#include "copy_plan.h"

#include "postgres/data_directory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { FILES = 1500 };
static const uint64_t mib = 1 << 20;

static void add(Scan *scan, EntryKind kind, const char *path, uint64_t size)
{
    scan->entries = mem_resize(scan->entries, (scan->count + 1) * sizeof scan->entries[0]);
    scan->entries[scan->count++] =
        (ManifestEntry){.kind = kind, .path = arena_text(&scan->arena, path), .size = size};
}

static void every_file_is_planned_once_and_pg_control_never(void **state)
{
    CLEANUP(scan_done) Scan scan = {0};
    CLEANUP(copy_plan_done) CopyPlan plan = {0};
    unsigned planned[FILES + 8] = {0};

    (void)state;
    add(&scan, ENTRY_DIRECTORY, "base", 0);
    for (unsigned i = 0; i < FILES; i++) {
        CLEANUP(text_freep) char *path = text_format("base/5/%u", 10000 + i);
        /* Sizes around every limit; some relations are several ranges. */
        static const uint64_t sizes[] = {0,        1,        8192,           131072,
                                         16 << 20, 64 << 20, (64 << 20) + 1, 1 << 30};
        add(&scan, ENTRY_FILE, path, sizes[i % ARRAY_SIZE(sizes)]);
    }
    add(&scan, ENTRY_FILE, "global/pg_control", 8192);
    add(&scan, ENTRY_FILE, "log/huge", 1000 * mib);
    add(&scan, ENTRY_LINK, "pg_tblspc/16384", 0);
    add(&scan, ENTRY_EXTRA, "/etc/postgresql.conf", 100 * mib);
    plan_make(&plan, &scan);

    for (size_t i = 0; i < plan.job_count; i++) {
        const CopyJob *job = &plan.jobs[i];
        assert_int_equal(job->kind, i < plan.range_job_count ? JOB_RANGE : JOB_FILES);
        if (job->kind == JOB_RANGE) {
            const ManifestEntry *entry = &scan.entries[job->first];
            assert_true(entry->size > (uint64_t)job->range * RANGE_SIZE);
            assert_int_equal(planned[job->first]++, job->range);
            continue;
        }
        uint64_t bytes = 0;
        assert_true(job->count > 0 && job->count <= 256);
        for (uint32_t j = 0; j < job->count; j++) {
            planned[plan.order[job->first + j]]++;
            bytes += scan.entries[plan.order[job->first + j]].size;
        }
        assert_true(job->count == 1 || bytes <= 16 * mib);
    }
    for (size_t i = 0; i < scan.count; i++) {
        const ManifestEntry *entry = &scan.entries[i];
        unsigned expected = 1;
        if (entry->kind == ENTRY_DIRECTORY || entry->kind == ENTRY_LINK ||
            strcmp(entry->path, "global/pg_control") == 0)
            expected = 0;
        else if (strncmp(entry->path, "base/", 5) == 0 && entry->size > RANGE_SIZE)
            expected = (unsigned)((entry->size + RANGE_SIZE - 1) / RANGE_SIZE);
        assert_int_equal(planned[i], expected);
    }
}

static void nothing_is_planned_for_nothing(void **state)
{
    CLEANUP(scan_done) Scan scan = {0};
    CLEANUP(copy_plan_done) CopyPlan plan = {0};

    (void)state;
    plan_make(&plan, &scan);
    assert_int_equal(plan.job_count, 0);
    plan_finish(&plan, &scan);
}

/* Sizes of three ranges as they were read, and what the file is then. */
static void a_shrunk_file_ends_at_its_first_short_range(void **state)
{
    static const struct {
        uint64_t sizes[3];
        uint64_t size;
        uint32_t ranges;
    } cases[] = {
        {{RANGE_SIZE, RANGE_SIZE, 8192}, 2ULL * RANGE_SIZE + 8192, 3},
        {{RANGE_SIZE, RANGE_SIZE, 0}, 2ULL * RANGE_SIZE, 2},
        {{RANGE_SIZE, 8192, 8192}, RANGE_SIZE + 8192ULL, 2}, /* truncated, and grown again */
        {{RANGE_SIZE, 0, 8192}, RANGE_SIZE, 1},
        {{100, RANGE_SIZE, 8192}, 100, 1},
        {{0, RANGE_SIZE, 8192}, 0, 0},
        {{0, 0, 0}, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(scan_done) Scan scan = {0};
        CLEANUP(copy_plan_done) CopyPlan plan = {0};

        add(&scan, ENTRY_FILE, "base/5/16384", 2ULL * RANGE_SIZE + 8192);
        plan_make(&plan, &scan);
        assert_int_equal(plan.job_count, 3);
        for (uint32_t j = 0; j < 3; j++)
            plan.jobs[j].result = (ManifestRange){.index = j, .size = cases[i].sizes[j]};
        plan_finish(&plan, &scan);

        assert_int_equal(scan.entries[0].size, cases[i].size);
        assert_int_equal(scan.entries[0].range_count, cases[i].ranges);
        assert_int_equal(scan.entries[0].is_small, cases[i].size == 0);
    }
}

static void notes_are_kept_in_any_number(void **state)
{
    CopyJob job = {0};

    (void)state;
    for (uint32_t i = 0; i < 1000; i++)
        job_note(&job, &(PageNote){.block = i});
    assert_int_equal(job.note_count, 1000);
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(job.notes[i].block, i);
    mem_free(job.notes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_is_planned_once_and_pg_control_never),
        cmocka_unit_test(nothing_is_planned_for_nothing),
        cmocka_unit_test(a_shrunk_file_ends_at_its_first_short_range),
        cmocka_unit_test(notes_are_kept_in_any_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
