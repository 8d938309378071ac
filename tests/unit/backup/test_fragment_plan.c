#include "fragment_plan.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* A range over many backups: whose each page is. A quarter of a real one's pages is enough. */
enum { PAGES = 2048, RANGES = 64, DAYS = 365, HOT_PAGES = PAGES / 20 };

typedef struct Range {
    uint8_t owner[PAGES];
    uint32_t live[FRAGMENTS_LIMIT + 1];
    uint32_t count;
} Range;

typedef struct Change {
    uint32_t pages; /* a day and range */
    bool is_hot;    /* nine of ten of them in a twentieth of the range */
} Change;

static uint64_t random_state;

static uint32_t random_below(uint32_t limit)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)((random_state >> 33) % limit);
}

static uint32_t change_pages(const Change *change, bool stored[PAGES])
{
    uint32_t changed = 0;

    memset(stored, 0, PAGES);
    for (uint32_t i = 0; i < change->pages; i++) {
        const bool is_hot = change->is_hot && random_below(10) > 0;
        const uint32_t page = random_below(is_hot ? HOT_PAGES : PAGES);

        changed += !stored[page];
        stored[page] = true;
    }
    return changed;
}

/* The fragments without pages go; the number of those that stay. */
static void drop_dead(Range *range)
{
    uint8_t numbers[FRAGMENTS_LIMIT + 2];
    uint32_t kept = 0;

    for (uint32_t i = 0; i < range->count; i++) {
        numbers[i] = (uint8_t)kept;
        if (range->live[i] > 0)
            range->live[kept++] = range->live[i];
    }
    for (uint32_t page = 0; page < PAGES; page++)
        range->owner[page] = numbers[range->owner[page]];
    range->count = kept;
}

static uint64_t mix(uint64_t number)
{
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9U;
    number = (number ^ number >> 27) * 0x94D049BB133111EBU;
    return number ^ number >> 31;
}

static uint32_t take_in(Range *range, uint32_t number, uint32_t day, bool stored[PAGES])
{
    uint32_t keep = range->count;
    uint32_t count = 0;

    /* Hashes of a path and of a content are as good as random. */
    if (range->count >= fragments_limit(mix(number), mix((uint64_t)day << 32 | number)))
        keep = fragments_keep(range->live, range->count, PAGES);
    for (uint32_t page = 0; page < PAGES; page++) {
        stored[page] = stored[page] || range->owner[page] >= keep;
        count += stored[page];
        if (!stored[page])
            continue;
        if (range->owner[page] < keep)
            range->live[range->owner[page]]--;
        range->owner[page] = (uint8_t)keep;
    }
    range->live[keep] = count;
    range->count = keep + 1;
    drop_dead(range);
    return count;
}

typedef struct Year {
    double stored;    /* for each page that changed */
    double worst_day; /* of the days, likewise */
    uint32_t fragments_max;
} Year;

static Year live_a_year(const Change *change)
{
    Range *ranges = mem_alloc(RANGES * sizeof ranges[0]);
    bool stored[PAGES];
    Year year = {0};
    uint64_t all_changed = 0, all_stored = 0;

    random_state = 1;
    for (uint32_t i = 0; i < RANGES; i++)
        ranges[i] = (Range){.live = {PAGES}, .count = 1};
    for (uint32_t day = 0; day < DAYS; day++) {
        uint64_t day_changed = 0, day_stored = 0;

        for (uint32_t i = 0; i < RANGES; i++) {
            day_changed += change_pages(change, stored);
            day_stored += take_in(&ranges[i], i, day, stored);
            if (ranges[i].count > year.fragments_max)
                year.fragments_max = ranges[i].count;
        }
        all_changed += day_changed;
        all_stored += day_stored;
        if ((double)day_stored / (double)day_changed > year.worst_day)
            year.worst_day = (double)day_stored / (double)day_changed;
    }
    mem_free(ranges);
    year.stored = (double)all_stored / (double)all_changed;
    return year;
}

static void a_year_stores_a_few_times_what_changed_and_no_day_is_a_full_backup(void **state)
{
    static const Change changes[] = {
        {2, false}, {20, false}, {20, true}, {100, true}, {1000, true}, {PAGES, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        const Year year = live_a_year(&changes[i]);

        if (year.stored > 4 || year.worst_day > 10 || year.fragments_max > FRAGMENTS_LIMIT)
            fail_msg("%u pages, %s: stored %.2f, worst day %.2f, %u fragments", changes[i].pages,
                     changes[i].is_hot ? "hot" : "anywhere", year.stored, year.worst_day,
                     year.fragments_max);
        /* What people change is not spread evenly. */
        if (changes[i].is_hot && year.worst_day > 4)
            fail_msg("%u hot pages: worst day %.2f", changes[i].pages, year.worst_day);
    }
}

static void the_newest_that_cost_least_are_taken_in(void **state)
{
    static const struct {
        uint32_t live[20], count, pages, keep;
    } cases[] = {
        {{1000, 1}, 2, 2000, 1},
        {{1000, 1, 1, 1, 1}, 5, 2000, 1},     /* as many as cost the same */
        {{1000, 1, 500, 1, 1}, 5, 2000, 3},   /* but not the large one */
        {{1000, 500, 1, 500, 1}, 5, 2000, 4}, /* nor one small one at that price */
        {{1000, 100, 1, 1, 1}, 5, 2000, 2},   /* nor one that is dear */
        {{1000, 0, 0, 0}, 4, 2000, 1},        /* dead ones cost nothing */
        {{1000, 901, 900}, 3, 2801, 2},       /* 900 of 2,801: less than half */
        {{100, 900, 900}, 3, 1900, 0},        /* 1,800 of 1,900: it is stored whole */
        {{1000, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 600, 500, 1}, 20, 3000, 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (fragments_keep(cases[i].live, cases[i].count, cases[i].pages) != cases[i].keep)
            fail_msg("case %zu keeps %u", i,
                     fragments_keep(cases[i].live, cases[i].count, cases[i].pages));
    }
}

static void limits_lie_between_both_ends(void **state)
{
    bool seen[FRAGMENTS_LIMIT + 1] = {false};

    (void)state;
    for (uint64_t i = 0; i < 1000; i++)
        seen[fragments_limit(i * 977, i >> 3)] = true;
    for (size_t i = 0; i <= FRAGMENTS_LIMIT; i++)
        assert_int_equal(seen[i], i >= FRAGMENTS_LIMIT_LEAST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_year_stores_a_few_times_what_changed_and_no_day_is_a_full_backup),
        cmocka_unit_test(the_newest_that_cost_least_are_taken_in),
        cmocka_unit_test(limits_lie_between_both_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
