/*
 * The plan against tables, and against an oracle that knows no better than to try everything:
 * thousands of random histories with failures, pins, clocks, branches, gaps and runs at work.
 */
#include "retention/simulate.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { SIZE = 1 << 20, BACKUPS = 40, SEGMENTS = 400, BRANCHES = 4 };
#define DAY  (INT64_C(86400) * 1000000)
#define BASE (INT64_C(20000) * DAY)

typedef struct History {
    RetentionInput input;
    RetentionBackup backups[BACKUPS];
    char ids[BACKUPS][BACKUP_ID_SIZE];
    RetentionBranch branches[BRANCHES];
    PathStep steps[BRANCHES][BRANCHES];
    RetentionNeed needs[2];
    bool has[BRANCHES + 1][SEGMENTS]; /* by timeline: which segments are there */
    WalRun runs[BRANCHES * SEGMENTS];
    WalStored stored[BRANCHES + 1][SEGMENTS];
} History;

static void history_init(History *history, unsigned days)
{
    memset(history, 0, sizeof *history);
    history->input = (RetentionInput){
        .now = BASE + (TimeUs)days * DAY,
        .segment_size = SIZE,
        .backups = history->backups,
        .branches = history->branches,
        .runs = history->runs,
        .needs = history->needs,
    };
}

static RetentionBackup *add_backup(History *history, uint32_t timeline, TimeUs at, uint64_t segment)
{
    const size_t i = history->input.backup_count++;
    RetentionBackup *backup = &history->backups[i];

    assert_true(i < BACKUPS);
    (void)snprintf(history->ids[i], sizeof history->ids[i], "backup-%zu", i);
    *backup = (RetentionBackup){
        .id = history->ids[i],
        .state = BACKUP_RESTORABLE,
        .timeline = timeline,
        .path = history->branches[timeline - 1].path,
        .start = segment * SIZE + 40,
        .stop = (segment + 1) * SIZE + 100, /* it ends in the next segment */
        .at = at,
        .pinned_until = TIME_US_NONE,
        .bytes = 1000,
    };
    for (int kind = 0; kind < RETENTION_PERIODS; kind++)
        backup->periods[kind] = at / DAY / (int64_t[]){1, 7, 30, 365}[kind];
    return backup;
}

/* A timeline that leaves its parent at a position; 0: the first. */
static void add_branch(History *history, uint32_t parent, Lsn fork, TimeUs newest_at)
{
    const size_t i = history->input.branch_count++;
    PathStep *steps = history->steps[i];
    size_t count = 0;

    if (parent != 0) {
        const TimelinePath *from = &history->branches[parent - 1].path;
        for (; count < from->count && (count == 0 || from->steps[count].begin < fork); count++)
            steps[count] = from->steps[count];
        steps[count - 1].end = fork;
    }
    steps[count] = (PathStep){.timeline = (uint32_t)i + 1, .begin = parent != 0 ? fork : 0};
    history->branches[i] =
        (RetentionBranch){.path = {.steps = steps, .count = count + 1}, .newest_at = newest_at};
}

static void make_runs(History *history)
{
    size_t count = 0;

    for (uint32_t timeline = 1; timeline <= BRANCHES; timeline++) {
        for (uint64_t segment = 0; segment < SEGMENTS; segment++) {
            WalRun *run = count > 0 ? &history->runs[count - 1] : NULL;

            history->stored[timeline][segment].size = 10;
            if (!history->has[timeline][segment])
                continue;
            if (run == NULL || run->timeline != timeline || run->last + 1 != segment) {
                run = &history->runs[count++];
                *run = (WalRun){.timeline = timeline,
                                .first = segment,
                                .stored = &history->stored[timeline][segment]};
            }
            run->last = segment;
            run->stored_bytes += 10;
        }
    }
    history->input.run_count = count;
}

static void add_wal(History *history, uint32_t timeline, uint64_t first, uint64_t last)
{
    for (uint64_t segment = first; segment <= last; segment++)
        history->has[timeline][segment] = true;
}

/* A backup a day at noon, ten segments a day, on timeline 1. */
static void make_days(History *history, unsigned days)
{
    history_init(history, days);
    add_branch(history, 0, 0, history->input.now);
    for (unsigned day = 0; day < days; day++)
        add_backup(history, 1, BASE + (TimeUs)day * DAY + DAY / 2, 2 + day * 10);
    add_wal(history, 1, 1, 2 + (uint64_t)days * 10);
    make_runs(history);
}

/* Which backups stay, a letter each: k, or - for what goes. */
static const char *kept_text(const RetentionPlan *plan, char *text)
{
    for (size_t i = 0; i < plan->backup_count; i++)
        text[i] = planned_backup_goes(plan, i) ? '-' : 'k';
    text[plan->backup_count] = '\0';
    return text;
}

typedef struct PolicyCase {
    RetentionPolicy policy;
    const char *kept; /* of ten daily backups, at midnight after the tenth */
    uint64_t first;   /* segment of WAL that stays: all from there on */
} PolicyCase;

static void each_rule_keeps_what_it_says(void **state)
{
    static const PolicyCase cases[] = {
        {{.window = 0}, "kkkkkkkkkk", 1},
        {{.minimum = 1}, "---------k", 0},
        {{.minimum = 3}, "-------kkk", 0},
        {{.minimum = 30}, "kkkkkkkkkk", 2},
        {{.window = 3 * DAY}, "------kkkk", 0},
        {{.window = 30 * DAY}, "kkkkkkkkkk", 2},
        {{.window = 3 * DAY, .minimum = 5}, "-----kkkkk", 0},
        {{.periods = {2}}, "--------kk", 0},
        {{.window = DAY, .periods = {0, 1}}, "-k------kk", 0},
        {{.minimum = 1, .periods = {0, 2}}, "kk-------k", 2},
        {{.minimum = 1, .periods = {0, 0, 1}}, "----------", 0},
    };
    (void)state;

    for (size_t i = 0; i + 1 < ARRAY_SIZE(cases); i++) {
        CLEANUP(retention_plan_done) RetentionPlan plan = {0};
        static History history;
        char text[BACKUPS + 1];

        make_days(&history, 10);
        for (size_t at = 0; at < 10; at++) /* the week begins with the second one */
            history.backups[at].periods[1] = at == 0 ? 0 : 1;
        history.input.policy = cases[i].policy;
        retention_plan(&history.input, &plan);
        assert_int_equal(plan.obstacle == NULL, i != 0);
        assert_string_equal(kept_text(&plan, text), cases[i].kept);
        if (cases[i].first != 0) {
            /* What is kept without a hole needs all from its start on; before it WAL goes. */
            const RetainedWal *first = &plan.wal[0];
            assert_int_equal(cases[i].first, first->reason == WAL_GOES ? first->last + 1 : 1);
        }
    }
}

/*
 * A pack is free when all who refer to it go, each in turn or all at once: three days of ten stay.
 * One that is on its way out already does not count for what the policy frees now.
 */
static void packs_are_freed_when_all_that_refer_to_them_go(void **state)
{
    static size_t places[] = {0, 1, 2, 3, 4, 5, 6, SIZE_MAX, 8, 9};
    PackUsers first_days = {.first = 0, .last = 5};
    PackUsers into_kept = {.first = 3, .last = 8};
    PackUsers early = {.first = 0, .last = 1};
    PackUsers two_stretches = {.first = 4, .last = 5, .next = &early};
    PackUsers early_too = {.first = 2, .last = 2};
    PackUsers kept_in_one = {.first = 9, .last = 9, .next = &early_too};
    PackUsers unknown = {.first = 6, .last = 7};
    PackUsers condemned = {.first = 6, .last = 6};
    const RetentionPack packs[] = {{1, &first_days},  {2, &into_kept}, {4, &two_stretches},
                                   {8, &kept_in_one}, {16, &unknown},  {32, NULL},
                                   {64, &condemned}};
    CLEANUP(retention_plan_done) RetentionPlan plan = {0};
    static History history;

    (void)state;
    make_days(&history, 10);
    history.input.policy = (RetentionPolicy){.minimum = 3};
    history.input.packs = packs;
    history.input.pack_count = ARRAY_SIZE(packs);
    history.input.by_id = places;
    history.backups[6].is_condemned = true;
    retention_plan(&history.input, &plan);
    assert_int_equal(plan.backup_bytes, 1 + 4);
}

typedef void Change(History *history);

static void change_nothing(History *history)
{
    (void)history;
}
static void damage_one(History *history)
{
    history->backups[9].state = BACKUP_DAMAGED;
}
static void make_one_newer(History *history)
{
    history->backups[0].state = BACKUP_NEWER;
}
static void suspect_successor(History *history)
{
    history->backups[3].is_suspect = true;
}
static void set_clock_back(History *history)
{
    history->input.now = BASE + 8 * DAY;
}
static void set_clock_far_ahead(History *history)
{
    history->input.now = BASE + 3650 * DAY;
}
static void jump_after_the_ninth(History *history)
{
    history->input.now = BASE + 3650 * DAY;
    history->backups[9].at = history->input.now - DAY / 2;
}
static void miss_a_listing(History *history)
{
    history->input.obstacle = "the listing of packs is not whole";
}
static void lose_the_history(History *history)
{
    history->backups[3].timeline = 7;
}

/* Any doubt, and nothing goes at all. */
static void nothing_goes_while_anything_is_in_doubt(void **state)
{
    static const struct {
        Change *change;
        const char *obstacle; /* a part of it; NULL: there is none */
    } cases[] = {
        {change_nothing, NULL},
        {damage_one, "is damaged"},
        {make_one_newer, "of a newer version"},
        {suspect_successor, "is suspect"},
        {set_clock_back, "a clock is wrong"},
        {set_clock_far_ahead, "backups have stopped, or a clock is wrong"},
        {jump_after_the_ninth, "fewer than two"},
        {miss_a_listing, "is not whole"},
        {lose_the_history, "no history"},
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(retention_plan_done) RetentionPlan plan = {0};
        static History history;

        make_days(&history, 10);
        history.input.policy = (RetentionPolicy){.window = 3 * DAY};
        cases[i].change(&history);
        retention_plan(&history.input, &plan);
        if (cases[i].obstacle == NULL) {
            assert_null(plan.obstacle);
            assert_true(planned_backup_goes(&plan, 0));
            continue;
        }
        assert_non_null(plan.obstacle);
        assert_non_null(strstr(plan.obstacle, cases[i].obstacle));
        for (size_t at = 0; at < plan.backup_count; at++)
            assert_false(planned_backup_goes(&plan, at));
    }
}

static void pin_first(History *history)
{
    history->backups[0].pinned_until = history->input.now + 1;
}
static void pin_ran_out(History *history)
{
    history->backups[0].pinned_until = history->input.now;
}
static void hold_for_good(History *history)
{
    history->backups[0].pinned_until = TIME_US_MAX;
}
static void lease_first(History *history)
{
    history->backups[0].is_leased = true;
}
static void prove_first_two(History *history)
{
    history->backups[0].proven_at = history->backups[1].proven_at = BASE;
}
static void verify_first(History *history)
{
    history->backups[0].verified_at = BASE;
}
static void verify_second_prove_first(History *history)
{
    history->backups[0].proven_at = BASE;
    history->backups[1].verified_at = BASE;
}
static void suspect_last(History *history)
{
    history->backups[9].is_suspect = true;
}
static void last_waits(History *history)
{
    history->backups[9].state = BACKUP_WAITING;
}
static void first_waits(History *history)
{
    history->backups[0].state = BACKUP_WAITING;
}
static void clock_of_last_was_slow(History *history)
{
    history->backups[9].at = BASE - 300 * DAY;
}
static void last_two_are_condemned(History *history)
{
    history->backups[9].is_condemned = history->backups[8].is_condemned = true;
}

static void what_matters_stays_whatever_the_policy(void **state)
{
    static const struct {
        Change *change;
        const char *kept; /* with --keep-min=1 */
    } cases[] = {
        {change_nothing, "---------k"},
        {pin_first, "k--------k"},
        {pin_ran_out, "---------k"},
        {hold_for_good, "k--------k"},
        {lease_first, "k--------k"},
        {prove_first_two, "-k-------k"},
        {verify_first, "k--------k"},
        {verify_second_prove_first, "k--------k"},
        {last_waits, "--------kk"},
        {first_waits, "---------k"},
        {clock_of_last_was_slow, "---------k"},
        {last_two_are_condemned, "-------k--"},
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(retention_plan_done) RetentionPlan plan = {0};
        static History history;
        char text[BACKUPS + 1];

        make_days(&history, 10);
        history.input.policy = (RetentionPolicy){.minimum = 1};
        cases[i].change(&history);
        retention_plan(&history.input, &plan);
        assert_null(plan.obstacle);
        assert_string_equal(kept_text(&plan, text), cases[i].kept);
    }
}

/* A suspect one counts for nothing, and what stands in for it is not taken away. */
static void a_suspect_backup_does_not_count(void **state)
{
    CLEANUP(retention_plan_done) RetentionPlan plan = {0};
    static History history;

    (void)state;
    make_days(&history, 10);
    history.input.policy = (RetentionPolicy){.minimum = 1};
    suspect_last(&history);
    retention_plan(&history.input, &plan);
    assert_int_equal(plan.backups[8].rules, KEPT_BY_MINIMUM | KEPT_AS_NEWEST);
}

/* By hand: one that is damaged goes, the last restorable and the last proven one do not. */
static void a_person_may_remove_one_but_not_the_last(void **state)
{
    static const struct {
        Change *change;
        size_t backup;
        bool goes;
    } cases[] = {
        {change_nothing, 4, true}, {damage_one, 9, true},     {damage_one, 3, true},
        {pin_first, 0, false},     {lease_first, 0, false},   {prove_first_two, 0, true},
        {verify_first, 0, false},  {change_nothing, 9, true},
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(retention_plan_done) RetentionPlan plan = {0};
        static History history;

        make_days(&history, 10);
        cases[i].change(&history);
        history.backups[cases[i].backup].is_given_up = true;
        retention_plan(&history.input, &plan);
        for (size_t at = 0; at < plan.backup_count; at++)
            assert_int_equal(planned_backup_goes(&plan, at),
                             at == cases[i].backup && cases[i].goes);
    }
}

static void the_only_backup_is_not_removed_by_hand(void **state)
{
    (void)state;
    for (int is_proven = 0; is_proven < 2; is_proven++) {
        CLEANUP(retention_plan_done) RetentionPlan plan = {0};
        static History history;

        make_days(&history, 2);
        history.backups[1].is_given_up = true;
        history.backups[0].state = is_proven ? BACKUP_RESTORABLE : BACKUP_WAITING;
        history.backups[1].proven_at = is_proven ? BASE : 0;
        retention_plan(&history.input, &plan);
        assert_false(planned_backup_goes(&plan, 1));
    }
}

/*
 * The oracle. What a restore can do is tried: on each path, from each backup, to the end of each
 * segment, before and after what the plan takes away.
 */
typedef struct Oracle {
    const History *history;
    bool has_backup[BACKUPS];
    bool has[BRANCHES + 1][SEGMENTS];
} Oracle;

static bool oracle_reaches(const Oracle *oracle, const RetentionBackup *backup,
                           const TimelinePath *path, uint64_t to)
{
    for (uint64_t segment = backup->start / SIZE; segment <= to; segment++) {
        if (!oracle->has[path_timeline_of_segment(path, segment, SIZE)][segment])
            return false;
    }
    return true;
}

static bool oracle_can_begin(const Oracle *oracle, size_t i, const TimelinePath *path)
{
    const RetentionBackup *backup = &oracle->history->backups[i];
    const PathStep *step = path_step_of(path, backup->timeline);

    return oracle->has_backup[i] && backup->state == BACKUP_RESTORABLE && !backup->is_suspect &&
           !backup->is_condemned && step != NULL &&
           step->begin < (step->end ? step->end : UINT64_MAX) &&
           (step->end == 0 || backup->stop <= step->end);
}

static bool oracle_restores(const Oracle *oracle, const TimelinePath *path, uint64_t to)
{
    for (size_t i = 0; i < oracle->history->input.backup_count; i++) {
        const RetentionBackup *backup = &oracle->history->backups[i];

        if (oracle_can_begin(oracle, i, path) && (backup->stop - 1) / SIZE <= to &&
            oracle_reaches(oracle, backup, path, to))
            return true;
    }
    return false;
}

static bool oracle_has_base(const Oracle *oracle, const TimelinePath *path)
{
    for (size_t i = 0; i < oracle->history->input.backup_count; i++) {
        if (oracle_can_begin(oracle, i, path))
            return true;
    }
    return false;
}

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static bool one_in(uint64_t *seed, uint64_t n)
{
    return random_next(seed) % n == 0;
}

static void spoil_backup(RetentionBackup *backup, TimeUs now, uint64_t *seed)
{
    if (one_in(seed, 12))
        backup->state = BACKUP_WAITING;
    if (one_in(seed, 400))
        backup->state = BACKUP_DAMAGED;
    backup->is_suspect = one_in(seed, 25);
    backup->is_condemned = one_in(seed, 15);
    backup->is_leased = one_in(seed, 20);
    if (one_in(seed, 5))
        backup->proven_at = BASE;
    if (one_in(seed, 3))
        backup->verified_at = BASE;
    if (one_in(seed, 10))
        backup->pinned_until = now + (TimeUs)(random_next(seed) % 9) * DAY - 4 * DAY;
    /* A slow clock; that all were slow from the first one on nobody can know. */
    if (backup->start != 2 * SIZE + 40 && one_in(seed, 15))
        backup->at = BASE - 300 * DAY;
}

static void make_policy(RetentionPolicy *policy, uint64_t *seed)
{
    if (!one_in(seed, 3))
        policy->window = (TimeUs)(random_next(seed) % 12 + 1) * DAY;
    if (one_in(seed, 2))
        policy->minimum = random_next(seed) % 4;
    for (int kind = 0; kind < RETENTION_PERIODS; kind++)
        policy->periods[kind] = one_in(seed, 3) ? random_next(seed) % 4 : 0;
}

/* Backups and WAL of days, with promotions that leave timelines, and old branches that go on. */
static void make_random(History *history, uint64_t *seed)
{
    const unsigned days = (unsigned)(random_next(seed) % 30 + 2);
    uint32_t timeline = 1;
    uint64_t segment = 1;

    history_init(history, days);
    make_policy(&history->input.policy, seed);
    add_branch(history, 0, 0, TIME_US_NONE);
    for (unsigned day = 0; day < days; day++) {
        const TimeUs now = BASE + (TimeUs)day * DAY;

        if (history->input.branch_count < BRANCHES && day > 0 && one_in(seed, 8)) {
            add_branch(history, timeline, segment * SIZE + 500, now);
            timeline = (uint32_t)history->input.branch_count;
            add_wal(history, timeline, segment, segment);
        }
        if (one_in(seed, 5) && timeline > 1) { /* a primary that did not know goes on */
            add_wal(history, timeline - 1, segment, segment + 3);
            history->branches[timeline - 2].newest_at = now;
        }
        if (!one_in(seed, 6) && history->input.backup_count < BACKUPS)
            spoil_backup(add_backup(history, timeline, now + DAY / 2, segment + 1),
                         history->input.now, seed);
        add_wal(history, timeline, segment, segment + 9);
        if (one_in(seed, 20))
            history->has[timeline][segment + 5] = false;
        history->branches[timeline - 1].newest_at = now;
        segment += 10;
    }
    if (one_in(seed, 4)) {
        history->needs[0] = (RetentionNeed){.timeline = timeline, .start = (segment - 9) * SIZE};
        history->input.need_count = 1;
    }
    make_runs(history);
}

static void oracle_init(Oracle *oracle, const History *history)
{
    oracle->history = history;
    memcpy(oracle->has, history->has, sizeof oracle->has);
    for (size_t i = 0; i < BACKUPS; i++)
        oracle->has_backup[i] = i < history->input.backup_count;
}

/* What the plan says is done. */
static void oracle_remove(Oracle *oracle, const RetentionPlan *plan)
{
    for (size_t i = 0; i < plan->backup_count; i++)
        oracle->has_backup[i] = !planned_backup_goes(plan, i);
    for (size_t i = 0; i < plan->wal_count && plan->obstacle == NULL; i++) {
        const RetainedWal *wal = &plan->wal[i];

        for (uint64_t segment = wal->first; wal->reason == WAL_GOES && segment <= wal->last;
             segment++)
            oracle->has[wal->timeline][segment] = false;
    }
}

static bool is_live(const History *history, size_t branch)
{
    return branch + 1 == history->input.branch_count || history->input.policy.window == 0 ||
           history->branches[branch].newest_at >
               history->input.now - history->input.policy.window - RETENTION_CLOCK_SLACK;
}

/* Each instant of the window that could be restored on a live branch still can. */
static void check_window(const Oracle *before, const Oracle *after, uint64_t seed)
{
    const History *history = before->history;
    const RetentionInput *input = &history->input;

    for (size_t i = 0; i < input->branch_count; i++) {
        const TimelinePath *path = &history->branches[i].path;

        if (!is_live(history, i))
            continue;
        if (oracle_has_base(before, path) && !oracle_has_base(after, path))
            fail_msg("seed %" PRIu64 ": nothing can be restored on branch %zu", seed, i);
        /* Ten segments are a day; the first two of them are before that day's backup. */
        for (uint64_t to = 1; to < SEGMENTS; to++) {
            const TimeUs written =
                BASE + (TimeUs)((to - 1) / 10) * DAY + ((to - 1) % 10 < 2 ? DAY / 2 - 1 : DAY);

            if (input->policy.window != 0 && written >= input->now - input->policy.window &&
                oracle_restores(before, path, to) && !oracle_restores(after, path, to))
                fail_msg("seed %" PRIu64 ": branch %zu to %" PRIu64 " is lost", seed, i, to);
        }
    }
}

/* Whatever stays stays restorable; what is pinned, in use, or the newest proven stays. */
static void check_kept(const Oracle *before, const Oracle *after, uint64_t seed)
{
    const History *history = before->history;
    uint64_t proven_before = 0;
    uint64_t proven_after = 0;

    for (size_t i = 0; i < history->input.backup_count; i++) {
        const RetentionBackup *backup = &history->backups[i];
        const uint64_t last = (backup->stop - 1) / SIZE;

        if (after->has_backup[i] && oracle_reaches(before, backup, &backup->path, last) &&
            !oracle_reaches(after, backup, &backup->path, last))
            fail_msg("seed %" PRIu64 ": WAL of %s is lost", seed, backup->id);
        if (!after->has_backup[i] &&
            (backup->is_leased || backup->pinned_until > history->input.now))
            fail_msg("seed %" PRIu64 ": %s was wanted", seed, backup->id);
        if (backup->proven_at == 0 || backup->is_condemned || backup->is_suspect ||
            backup->state != BACKUP_RESTORABLE)
            continue;
        proven_before = backup->stop > proven_before ? backup->stop : proven_before;
        if (after->has_backup[i] && backup->stop > proven_after)
            proven_after = backup->stop;
    }
    if (proven_before != proven_after)
        fail_msg("seed %" PRIu64 ": the newest proven backup is lost", seed);
}

/* archive-get must never take the beginning of what is left for the end of the WAL. */
static void check_last_segments(const Oracle *before, const Oracle *after, uint64_t seed)
{
    for (uint32_t timeline = 1; timeline <= BRANCHES; timeline++) {
        for (uint64_t segment = SEGMENTS; segment-- > 0;) {
            if (!before->has[timeline][segment])
                continue;
            if (!after->has[timeline][segment])
                fail_msg("seed %" PRIu64 ": the last of timeline %" PRIu32 " is lost", seed,
                         timeline);
            break;
        }
    }
}

/* What goes first, and what is left for a second time: nothing that could go stays forever. */
static void check_thrift(const History *history, const RetentionPlan *plan, uint64_t seed)
{
    for (size_t i = 0; i < plan->backup_count; i++) {
        const RetentionBackup *backup = plan->backups[i].backup;
        const bool needs_reason =
            plan->obstacle == NULL && history->input.branch_count == 1 &&
            history->input.policy.window != 0 && history->input.policy.minimum <= 1 &&
            history->input.policy.periods[0] + history->input.policy.periods[1] +
                    history->input.policy.periods[2] + history->input.policy.periods[3] ==
                0;
        size_t later = 0;

        for (size_t other = 0; other < plan->backup_count; other++) {
            const RetentionBackup *than = &history->backups[other];
            later += than->stop > backup->stop && than->state == BACKUP_RESTORABLE &&
                     !than->is_suspect && !than->is_condemned && than->at >= BASE &&
                     backup->at >= BASE &&
                     than->at <= history->input.now - history->input.policy.window;
        }
        if (needs_reason && later > 0 && !backup->is_leased && !backup->is_condemned &&
            backup->pinned_until <= history->input.now && backup->proven_at == 0 &&
            backup->verified_at == 0 && !planned_backup_goes(plan, i))
            fail_msg("seed %" PRIu64 ": %s stays without a reason", seed, backup->id);
    }
}

static void random_histories_lose_nothing_that_is_wanted(void **state)
{
    size_t removed = 0;
    size_t wal_removed = 0;
    size_t obstacles = 0;

    (void)state;
    for (uint64_t round = 1; round <= 2000; round++) {
        CLEANUP(retention_plan_done) RetentionPlan plan = {0};
        static History history;
        static Oracle before, after;
        uint64_t seed = round * UINT64_C(0x9E3779B97F4A7C15);

        make_random(&history, &seed);
        retention_plan(&history.input, &plan);
        oracle_init(&before, &history);
        oracle_init(&after, &history);
        oracle_remove(&after, &plan);
        check_window(&before, &after, round);
        check_kept(&before, &after, round);
        check_last_segments(&before, &after, round);
        check_thrift(&history, &plan, round);
        for (size_t i = 0; i < plan.backup_count; i++)
            removed += planned_backup_goes(&plan, i);
        for (size_t i = 0; i < plan.wal_count; i++)
            wal_removed += plan.wal[i].reason == WAL_GOES && plan.obstacle == NULL;
        obstacles += plan.obstacle != NULL;
    }
    /* They are worth something: much went, and not always. */
    assert_true(removed > 2000);
    assert_true(wal_removed > 500);
    assert_true(obstacles > 100 && obstacles < 2500);
}

/* Those of a timeline that go, as text: "1-4 31-59". */
static const char *leaving_text(const RetentionPlan *plan, uint32_t timeline, char text[256])
{
    size_t size = 0;

    text[0] = '\0';
    for (size_t i = 0; i < plan->wal_count; i++) {
        const RetainedWal *wal = &plan->wal[i];

        if (wal->timeline == timeline && wal->reason == WAL_GOES)
            size += (size_t)snprintf(text + size, 256 - size, "%s%" PRIu64 "-%" PRIu64 "%s",
                                     size > 0 ? " " : "", wal->first, wal->last,
                                     wal->is_dead ? " dead" : "");
    }
    return text;
}

/* Timeline 1 was left in segment 30 and went on to 60; 2 has been the server's since. */
static void a_branch_that_was_left_goes_but_for_its_last_segment(void **state)
{
    static const struct {
        int days; /* since timeline 1 was written to */
        const char *goes;
    } cases[] = {{5, "1-9"}, {15, "1-9 31-59"}};
    static History history;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(retention_plan_done) RetentionPlan plan = {0};
        char text[256];

        history_init(&history, 30);
        history.input.policy.window = 10 * DAY;
        add_branch(&history, 0, 0, history.input.now - cases[i].days * DAY);
        add_wal(&history, 1, 1, 60);
        add_backup(&history, 1, BASE + 12 * DAY, 10);
        add_branch(&history, 1, 30 * SIZE + 5, history.input.now);
        add_wal(&history, 2, 30, 80);
        add_backup(&history, 2, BASE + 29 * DAY, 50);
        make_runs(&history);
        retention_plan(&history.input, &plan);
        assert_null(plan.obstacle);
        assert_string_equal(leaving_text(&plan, 1, text), cases[i].goes);
        assert_string_equal(leaving_text(&plan, 2, text), "");
    }
}

/* What a lease needs, and what a backup that goes needs until it went, stays. */
static void wal_goes_after_the_backup_and_the_lease(void **state)
{
    static History history;
    char text[256];

    (void)state;
    for (int round = 0; round < 3; round++) {
        CLEANUP(retention_plan_done) RetentionPlan plan = {0};

        make_days(&history, 10);
        history.input.policy.minimum = 2;
        history.backups[0].is_condemned = round == 0;
        history.needs[0] = (RetentionNeed){.timeline = 1, .start = 6 * SIZE};
        history.input.need_count = round == 2;
        if (round > 0) { /* the first seven have gone */
            memmove(history.backups, history.backups + 7, 3 * sizeof history.backups[0]);
            history.input.backup_count = 3;
            history.backups[0].pinned_until = TIME_US_MAX;
        }
        retention_plan(&history.input, &plan);
        assert_null(plan.obstacle);
        assert_string_equal(leaving_text(&plan, 1, text), round == 0   ? "1-1"
                                                          : round == 1 ? "1-71 74-81"
                                                                       : "1-5");
    }
}

/* One backup a day goes on: as many as the window holds, and the WAL of as many days. */
static void a_simulation_ends_where_the_policy_leads(void **state)
{
    CLEANUP(simulation_done) Simulation simulation = {.steps = NULL};
    static History history;

    (void)state;
    make_days(&history, 10);
    history.input.policy = (RetentionPolicy){.window = 5 * DAY};
    retention_simulate(&history.input,
                       &(SimulateRequest){.span = 30 * DAY, .every = DAY, .zone = "UTC"},
                       &simulation);
    assert_null(simulation.obstacle);
    assert_int_equal(simulation.count, 30);
    assert_int_equal(simulation.bytes_per_backup, 1000);
    for (size_t i = 20; i < 30; i++) {
        assert_int_equal(simulation.steps[i].backups, 6);
        assert_int_equal(simulation.steps[i].backup_bytes, 6000);
    }
}

/* make_days() makes one each day until yesterday. */
static void what_goes_next_is_foreseen(void **state)
{
    static const struct {
        RetentionPolicy policy;
        int days; /* from now; 0: never */
    } cases[] = {
        {{.window = 20 * DAY}, 12},
        {{.minimum = 10}, 1},
        {{.minimum = 12}, 3},
        {{.minimum = 100}, 0},
    };
    static History history;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const SimulateRequest request = {.span = 40 * DAY, .every = DAY, .zone = "UTC"};
        TimeUs at = 0;

        make_days(&history, 10);
        history.input.policy = cases[i].policy;
        const char *next = retention_simulate_next(&history.input, &request, &at);
        if (cases[i].days == 0) {
            assert_null(next);
            continue;
        }
        assert_string_equal(next, history.backups[0].id);
        assert_int_equal((at - history.input.now) / DAY, cases[i].days);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rule_keeps_what_it_says),
        cmocka_unit_test(packs_are_freed_when_all_that_refer_to_them_go),
        cmocka_unit_test(nothing_goes_while_anything_is_in_doubt),
        cmocka_unit_test(what_matters_stays_whatever_the_policy),
        cmocka_unit_test(a_suspect_backup_does_not_count),
        cmocka_unit_test(a_person_may_remove_one_but_not_the_last),
        cmocka_unit_test(the_only_backup_is_not_removed_by_hand),
        cmocka_unit_test(a_branch_that_was_left_goes_but_for_its_last_segment),
        cmocka_unit_test(wal_goes_after_the_backup_and_the_lease),
        cmocka_unit_test(a_simulation_ends_where_the_policy_leads),
        cmocka_unit_test(what_goes_next_is_foreseen),
        cmocka_unit_test(random_histories_lose_nothing_that_is_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
