#include "retention/plan.h"

#include "plan_wal.h"

/* Backups were last taken this long ago: a clock has jumped, or they have stopped. */
static const TimeUs leap = 366 * TIME_US_DAY;

const char *retention_rule_text(RetentionRule rule)
{
    switch (rule) {
    case KEPT_BY_WINDOW:
        return "window";
    case KEPT_BY_MINIMUM:
        return "minimum";
    case KEPT_BY_DAY:
        return "daily";
    case KEPT_BY_WEEK:
        return "weekly";
    case KEPT_BY_MONTH:
        return "monthly";
    case KEPT_BY_YEAR:
        return "yearly";
    case KEPT_BY_PIN:
        return "pinned";
    case KEPT_AS_PROVEN:
        return "newest proven";
    case KEPT_AS_NEWEST:
        return "newest restorable";
    case KEPT_BY_LEASE:
        return "in use";
    case KEPT_AS_WAITING:
        return "waiting for WAL";
    case KEPT_AS_UNKNOWN:
        return "can't be judged";
    case KEPT_WITHOUT_POLICY:
        return "no policy";
    }
    return "";
}

/* One of those that a restore can begin with and that nobody is about to remove. */
static bool is_candidate(const RetentionBackup *backup)
{
    return backup->state == BACKUP_RESTORABLE && !backup->is_suspect && !backup->is_condemned &&
           !backup->is_given_up;
}

static int members_by_stop(const void *a, const void *b)
{
    const PlannedBackup *one = *(PlannedBackup *const *)a;
    const PlannedBackup *other = *(PlannedBackup *const *)b;

    if (one->backup->stop != other->backup->stop)
        return one->backup->stop < other->backup->stop ? -1 : 1;
    return strcmp(one->backup->id, other->backup->id);
}

/* The backups of one path, by where they stop. Those of which nothing is known are on none. */
typedef struct Members {
    PlannedBackup **items;
    size_t count;
} Members;

static Members members_of(const RetentionPlan *plan, const TimelinePath *path, Arena *arena)
{
    Members members = {.items =
                           arena_alloc(arena, (plan->backup_count + 1) * sizeof(PlannedBackup *))};

    for (size_t i = 0; i < plan->backup_count; i++) {
        PlannedBackup *planned = &plan->backups[i];

        if (!(planned->rules & KEPT_AS_UNKNOWN) && retention_is_on_path(planned->backup, path))
            members.items[members.count++] = planned;
    }
    if (members.count > 1)
        qsort(members.items, members.count, sizeof(PlannedBackup *), members_by_stop);
    return members;
}

/* What a clock that was set back makes of the order of a path's backups. */
static void set_times_right(const RetentionInput *input, const Members *members)
{
    TimeUs earliest = TIME_US_NONE;
    TimeUs next = input->now;

    for (size_t i = 0; i < members->count; i++) {
        PlannedBackup *planned = members->items[i];

        earliest = planned->backup->at > earliest ? planned->backup->at : earliest;
        planned->at = earliest > planned->at ? earliest : planned->at;
    }
    for (size_t i = members->count; i-- > 0;) {
        PlannedBackup *planned = members->items[i];
        const bool is_right = planned->backup->at >= planned->at;
        const TimeUs latest = is_right || next < planned->at ? planned->at : next;

        planned->latest = latest > planned->latest ? latest : planned->latest;
        next = is_right ? planned->at : next;
    }
}

/*
 * All of the window, and the newest before it: with that one its first instants are reached. Where
 * there is none before it, the oldest is as much as there is.
 */
static void keep_window(const RetentionInput *input, const Members *members)
{
    const TimeUs begin = input->now - input->policy.window;
    PlannedBackup *floor = NULL;

    if (input->policy.window == 0)
        return;
    for (size_t i = 0; i < members->count; i++) {
        PlannedBackup *planned = members->items[i];

        if (!is_candidate(planned->backup))
            continue;
        if (planned->latest <= begin) {
            floor = planned;
            continue;
        }
        planned->rules |= KEPT_BY_WINDOW;
    }
    if (floor != NULL) {
        floor->rules |= KEPT_BY_WINDOW;
        floor->needed_for = begin;
    }
}

/* Counted from the newest on: the minimum, and what is kept whatever the policy says. */
static void keep_newest(const RetentionInput *input, const Members *members)
{
    uint64_t count = 0;

    for (size_t i = members->count; i-- > 0;) {
        PlannedBackup *planned = members->items[i];

        if (!is_candidate(planned->backup))
            continue;
        if (count == 0)
            planned->rules |= KEPT_AS_NEWEST;
        if (count >= input->policy.minimum)
            return;
        planned->rules |= KEPT_BY_MINIMUM;
        count++;
    }
}

static bool is_proven(const RetentionBackup *backup, bool by_drill)
{
    return is_candidate(backup) && (by_drill ? backup->proven_at : backup->verified_at) != 0;
}

/* By a drill; where none was, by verify. */
static void keep_proven(const Members *members)
{
    for (int by_drill = 1; by_drill >= 0; by_drill--) {
        for (size_t i = members->count; i-- > 0;) {
            if (is_proven(members->items[i]->backup, by_drill)) {
                members->items[i]->rules |= KEPT_AS_PROVEN;
                return;
            }
        }
    }
}

/* Whether it is the first one of its period on this path. */
static bool is_first_of(const Members *members, size_t at, size_t kind)
{
    const int64_t period = members->items[at]->backup->periods[kind];

    for (size_t i = at; i-- > 0;) {
        const RetentionBackup *before = members->items[i]->backup;

        if (!is_candidate(before))
            continue;
        return before->periods[kind] != period;
    }
    return true;
}

static void keep_periods(const RetentionInput *input, const Members *members, size_t kind)
{
    uint64_t left = input->policy.periods[kind];

    for (size_t i = members->count; i-- > 0 && left > 0;) {
        PlannedBackup *planned = members->items[i];

        if (!is_candidate(planned->backup) || !is_first_of(members, i, kind))
            continue;
        planned->rules |= (unsigned)KEPT_BY_DAY << kind;
        left--;
    }
}

/* What is not restorable yet, or counts for nothing, stays while nothing later can be restored. */
static void keep_waiting(const Members *members)
{
    for (size_t i = members->count; i-- > 0;) {
        PlannedBackup *planned = members->items[i];

        if (is_candidate(planned->backup))
            return;
        if (!planned->backup->is_given_up && !planned->backup->is_condemned)
            planned->rules |= KEPT_AS_WAITING;
    }
}

static void plan_branch(const RetentionInput *input, RetentionPlan *plan, size_t i)
{
    CLEANUP(arena_done) Arena arena = {0};
    const Members members = members_of(plan, &input->branches[i].path, &arena);

    /* Of the law, on each branch, also one that was left: the last that leads anywhere on it. */
    keep_proven(&members);
    if (!retention_branch_is_live(input, i))
        return;
    keep_window(input, &members);
    keep_newest(input, &members);
    for (size_t kind = 0; kind < RETENTION_PERIODS; kind++)
        keep_periods(input, &members, kind);
    keep_waiting(&members);
}

/* What holds for a backup whatever else there is. */
static void plan_alone(const RetentionInput *input, PlannedBackup *planned)
{
    const RetentionBackup *backup = planned->backup;

    if (!retention_policy_is_set(&input->policy) && !backup->is_given_up)
        planned->rules |= KEPT_WITHOUT_POLICY;
    if (backup->pinned_until != TIME_US_NONE && backup->pinned_until > input->now)
        planned->rules |= KEPT_BY_PIN;
    if (backup->is_leased)
        planned->rules |= KEPT_BY_LEASE;
    if ((backup->state == BACKUP_DAMAGED || backup->state == BACKUP_NEWER) && !backup->is_given_up)
        planned->rules |= KEPT_AS_UNKNOWN;
}

/* Also when it is on no branch that is known: the last one that can be restored at all. */
static void keep_last_of_all(RetentionPlan *plan)
{
    PlannedBackup *last = NULL;

    for (size_t i = 0; i < plan->backup_count; i++) {
        PlannedBackup *planned = &plan->backups[i];

        if (planned->rules & KEPT_AS_NEWEST)
            return;
        if (is_candidate(planned->backup) && (last == NULL || planned->at > last->at))
            last = planned;
    }
    if (last != NULL)
        last->rules |= KEPT_AS_NEWEST;
}

static bool has_branch(const RetentionInput *input, const RetentionBackup *backup)
{
    for (size_t i = 0; i < input->branch_count; i++) {
        if (retention_is_on_path(backup, &input->branches[i].path))
            return true;
    }
    return false;
}

/* The last one that was proven stays, whoever wants it gone. */
static void keep_last_proven(RetentionPlan *plan, PlannedBackup *given_up)
{
    const bool by_drill = given_up->backup->proven_at != 0;

    if (given_up->backup->state != BACKUP_RESTORABLE ||
        (!by_drill && given_up->backup->verified_at == 0))
        return;
    for (size_t i = 0; i < plan->backup_count; i++) {
        if (is_proven(plan->backups[i].backup, true) ||
            (!by_drill && is_proven(plan->backups[i].backup, false)))
            return;
    }
    given_up->rules |= KEPT_AS_PROVEN;
}

/* A person wants one backup gone: what others are worth does not count, only what is left. */
static const char *find_last_restorable(const RetentionInput *input)
{
    for (size_t i = 0; i < input->backup_count; i++) {
        if (is_candidate(&input->backups[i]))
            return NULL;
    }
    return "no other backup can be restored";
}

static PlannedBackup *plan_given_up(const RetentionPlan *plan)
{
    for (size_t i = 0; i < plan->backup_count; i++) {
        if (plan->backups[i].backup->is_given_up)
            return &plan->backups[i];
    }
    return NULL;
}

/* Why nothing may go: what is known of a backup that is there. */
static const char *find_unknown(const RetentionInput *input, Arena *arena)
{
    for (size_t i = 0; i < input->backup_count; i++) {
        const RetentionBackup *backup = &input->backups[i];

        if (backup->is_given_up || backup->is_condemned_by_hand)
            continue;
        if (backup->state == BACKUP_DAMAGED)
            return arena_format(arena, "backup %s is damaged", backup->id);
        if (backup->state == BACKUP_NEWER)
            return arena_format(arena, "backup %s is of a newer version", backup->id);
        if (backup->at > input->now + RETENTION_CLOCK_SLACK) {
            return arena_format(
                arena, "the store's clock is before the end of backup %s: a clock is wrong",
                backup->id);
        }
        if (!has_branch(input, backup)) {
            return arena_format(arena, "backup %s is on no history that the archive knows",
                                backup->id);
        }
    }
    return NULL;
}

/* The next one on a path after one that goes: what would be gone to instead of it. */
static const char *find_suspect_successor(const RetentionInput *input, const RetentionPlan *plan,
                                          Arena *arena)
{
    for (size_t i = 0; i < input->branch_count; i++) {
        CLEANUP(arena_done) Arena scratch = {0};
        const Members members = members_of(plan, &input->branches[i].path, &scratch);

        for (size_t at = 0; at + 1 < members.count; at++) {
            if (members.items[at]->rules == 0 &&
                members.items[at]->backup->state == BACKUP_RESTORABLE &&
                members.items[at + 1]->backup->is_suspect) {
                return arena_format(arena, "backup %s, the next after %s, is suspect: %s",
                                    members.items[at + 1]->backup->id,
                                    members.items[at]->backup->id, "a drill from it failed");
            }
        }
    }
    return NULL;
}

static size_t count_candidates_since(const RetentionPlan *plan, TimeUs since)
{
    size_t count = 0;

    for (size_t i = 0; i < plan->backup_count; i++)
        count += is_candidate(plan->backups[i].backup) && plan->backups[i].at >= since;
    return count;
}

static bool has_before(const RetentionPlan *plan, TimeUs before)
{
    for (size_t i = 0; i < plan->backup_count; i++) {
        if (plan->backups[i].at < before)
            return true;
    }
    return false;
}

/*
 * A clock that jumped ahead makes everything old at once. It shows in what was made last: a policy
 * whose window has seen no new backup removes nothing, and after a year without any it takes two.
 */
static const char *find_leap(const RetentionInput *input, const RetentionPlan *plan)
{
    const TimeUs window = input->policy.window;

    if (window != 0 && count_candidates_since(plan, input->now - window) == 0) {
        return "no backup that can be restored was taken within the window: backups have stopped, "
               "or a clock is wrong";
    }
    if (has_before(plan, input->now - (window > leap ? window : leap)) &&
        count_candidates_since(plan, input->now - (window > leap ? window : leap)) < 2) {
        return "fewer than two backups that can be restored were taken within the last year: "
               "backups have only begun, or a clock is wrong";
    }
    return NULL;
}

static const char *find_obstacle(const RetentionInput *input, const RetentionPlan *plan,
                                 Arena *arena)
{
    const PlannedBackup *given_up = plan_given_up(plan);
    const char *found = input->obstacle;

    if (found == NULL && given_up != NULL)
        return find_last_restorable(input);
    if (found == NULL && !retention_policy_is_set(&input->policy))
        found = "no policy is set: nothing is removed";
    if (found == NULL)
        found = find_unknown(input, arena);
    if (found == NULL)
        found = find_suspect_successor(input, plan, arena);
    if (found == NULL)
        found = find_leap(input, plan);
    return found;
}

/* All backups that refer to it go, or are on their way out, and one of them is to go now. */
static bool is_pack_freed(const RetentionInput *input, const RetentionPlan *plan,
                          const RetentionPack *pack)
{
    bool goes = false;

    for (const PackUsers *users = pack->users; users != NULL; users = users->next) {
        for (uint32_t number = users->first; number <= users->last; number++) {
            const size_t place = input->by_id[number];

            if (place == SIZE_MAX || plan->backups[place].rules != 0)
                return false;
            goes = goes || !plan->backups[place].backup->is_condemned;
        }
    }
    return goes;
}

static void plan_count(const RetentionInput *input, RetentionPlan *plan)
{
    for (size_t i = 0; i < input->pack_count; i++) {
        if (is_pack_freed(input, plan, &input->packs[i]))
            plan->backup_bytes += input->packs[i].bytes;
    }
    for (size_t i = 0; i < plan->wal_count; i++)
        plan->wal_bytes += plan->wal[i].reason == WAL_GOES ? plan->wal[i].bytes : 0;
}

void retention_plan(const RetentionInput *input, RetentionPlan *plan)
{
    *plan = (RetentionPlan){.backup_count = input->backup_count};
    plan->backups = arena_alloc(&plan->arena, (input->backup_count + 1) * sizeof plan->backups[0]);
    for (size_t i = 0; i < input->backup_count; i++) {
        plan->backups[i] = (PlannedBackup){
            .backup = &input->backups[i],
            .needed_for = TIME_US_NONE,
            .at = input->backups[i].at,
            .latest = input->backups[i].at,
        };
        plan_alone(input, &plan->backups[i]);
    }
    for (size_t i = 0; i < input->branch_count; i++) {
        CLEANUP(arena_done) Arena scratch = {0};
        const Members members = members_of(plan, &input->branches[i].path, &scratch);

        set_times_right(input, &members);
    }
    for (size_t i = 0; i < input->branch_count; i++)
        plan_branch(input, plan, i);
    keep_last_of_all(plan);
    if (plan_given_up(plan) != NULL)
        keep_last_proven(plan, plan_given_up(plan));
    plan->obstacle = find_obstacle(input, plan, &plan->arena);
    retention_plan_wal(input, plan);
    plan_count(input, plan);
}

void retention_plan_done(RetentionPlan *plan)
{
    arena_done(&plan->arena);
    *plan = (RetentionPlan){.backups = NULL};
}
