#include "retention/simulate.h"

#include "retention/periods.h"

#include <inttypes.h>

enum { SAMPLE = 7, STEPS_MAX = 100000 };

/* The backups as they would be: those of now, then one more each time. */
typedef struct Future {
    RetentionBackup *backups;
    size_t count;
    RetentionBranch branch;
    TimeUs now;
} Future;

static const RetentionBranch *simulate_newest_branch(const RetentionInput *input)
{
    const RetentionBranch *newest = NULL;

    for (size_t i = 0; i < input->branch_count; i++) {
        const RetentionBranch *branch = &input->branches[i];

        if (newest == NULL || path_last_timeline(&branch->path) > path_last_timeline(&newest->path))
            newest = branch;
    }
    return newest;
}

static uint64_t measure_backup(const RetentionInput *input)
{
    uint64_t bytes = 0;
    size_t count = 0;

    for (size_t i = input->backup_count; i-- > 0 && count < SAMPLE;) {
        if (input->backups[i].state != BACKUP_RESTORABLE)
            continue;
        bytes += input->backups[i].bytes;
        count++;
    }
    return count > 0 ? bytes / count : 0;
}

/* All the WAL that there is, over the time in which it was stored. */
static uint64_t measure_wal(const RetentionInput *input)
{
    TimeUs first = TIME_US_MAX;
    TimeUs last = TIME_US_NONE;
    uint64_t bytes = 0;

    for (size_t i = 0; i < input->run_count; i++) {
        const WalRun *run = &input->runs[i];

        bytes += run->stored_bytes;
        for (uint64_t at = 0; run->stored != NULL && at <= run->last - run->first; at++) {
            first = run->stored[at].at < first ? run->stored[at].at : first;
            last = run->stored[at].at > last ? run->stored[at].at : last;
        }
    }
    if (last <= first)
        return bytes;
    return (uint64_t)((double)bytes / (double)(last - first) * (double)TIME_US_DAY);
}

static void simulate_backup(Future *future, const RetentionInput *input,
                            const SimulateRequest *request, uint64_t bytes)
{
    const uint32_t size = input->segment_size;
    Lsn last = size;
    RetentionBackup *backup = &future->backups[future->count++];

    for (size_t i = 0; i + 1 < future->count; i++)
        last = future->backups[i].stop > last ? future->backups[i].stop : last;
    *backup = (RetentionBackup){
        .id = "simulated",
        .state = BACKUP_RESTORABLE,
        .timeline = path_last_timeline(&future->branch.path),
        .path = future->branch.path,
        .start = last + size,
        .stop = last + 2 * (Lsn)size,
        .at = future->now,
        .pinned_until = TIME_US_NONE,
        .bytes = bytes,
    };
    retention_periods(backup->at, request->zone, backup->periods);
}

/* How long ago the WAL that stays begins: at the oldest backup that opens the window. */
static TimeUs window_length(const RetentionPlan *plan, TimeUs now)
{
    const unsigned rules = KEPT_BY_WINDOW | KEPT_BY_MINIMUM | KEPT_AS_NEWEST | KEPT_WITHOUT_POLICY;
    TimeUs oldest = now;

    for (size_t i = 0; i < plan->backup_count; i++) {
        if ((plan->backups[i].rules & rules) != 0 && plan->backups[i].at < oldest)
            oldest = plan->backups[i].at;
    }
    return now - oldest;
}

/* The plan as it would be made then. */
static void future_plan(const Future *future, const RetentionInput *input, RetentionPlan *plan)
{
    RetentionInput then = *input;

    then.now = future->now;
    then.backups = future->backups;
    then.backup_count = future->count;
    then.branches = &future->branch;
    then.branch_count = 1;
    then.run_count = then.need_count = then.pack_count = 0;
    retention_plan(&then, plan);
}

static void simulate_step(Future *future, const RetentionInput *input,
                          const SimulateRequest *request, Simulation *simulation)
{
    CLEANUP(retention_plan_done) RetentionPlan plan = {0};
    SimulatedStep *step = &simulation->steps[simulation->count++];
    size_t kept = 0;

    future_plan(future, input, &plan);
    if (plan.obstacle != NULL && simulation->obstacle == NULL)
        simulation->obstacle = arena_text(&simulation->arena, plan.obstacle);
    *step = (SimulatedStep){.at = future->now, .backup_bytes = request->shared_bytes};
    step->wal_bytes = (uint64_t)((double)simulation->wal_bytes_per_day *
                                 (double)window_length(&plan, future->now) / (double)TIME_US_DAY);
    for (size_t i = 0; i < future->count; i++) {
        if (planned_backup_goes(&plan, i))
            continue;
        step->backup_bytes += future->backups[i].bytes;
        future->backups[kept++] = future->backups[i];
    }
    future->count = step->backups = kept;
}

/* As it is now. False: there is no WAL yet. */
static bool future_begin(Future *future, const RetentionInput *input, size_t steps, Arena *arena)
{
    const RetentionBranch *newest = simulate_newest_branch(input);

    if (newest == NULL)
        return false;
    *future = (Future){.now = input->now, .branch = *newest};
    future->backups =
        arena_alloc(arena, (input->backup_count + steps + 1) * sizeof future->backups[0]);
    for (size_t i = 0; i < input->backup_count; i++)
        future->backups[future->count++] = input->backups[i];
    return true;
}

static size_t simulate_steps(const SimulateRequest *request)
{
    const size_t steps = request->every > 0 ? (size_t)(request->span / request->every) : 0;

    return steps > STEPS_MAX ? STEPS_MAX : steps;
}

void retention_simulate(const RetentionInput *input, const SimulateRequest *request,
                        Simulation *simulation)
{
    const size_t steps = simulate_steps(request);
    CLEANUP(arena_done) Arena arena = {0};
    Future future;

    *simulation = (Simulation){.bytes_per_backup = measure_backup(input),
                               .wal_bytes_per_day = measure_wal(input)};
    if (!future_begin(&future, input, steps, &arena)) {
        simulation->obstacle = "there is no WAL yet";
        return;
    }
    simulation->steps = arena_alloc(&simulation->arena, (steps + 1) * sizeof simulation->steps[0]);
    for (size_t i = 0; i < steps; i++) {
        future.now += request->every;
        simulate_backup(&future, input, request, simulation->bytes_per_backup);
        simulate_step(&future, input, request, simulation);
    }
}

/* Nothing has gone before, so those of now are the first, in their places. */
static const char *first_that_goes(const RetentionInput *input, const RetentionPlan *plan)
{
    for (size_t i = 0; i < input->backup_count; i++) {
        if (planned_backup_goes(plan, i))
            return input->backups[i].id;
    }
    return NULL;
}

const char *retention_simulate_next(const RetentionInput *input, const SimulateRequest *request,
                                    TimeUs *at)
{
    const size_t steps = simulate_steps(request);
    CLEANUP(arena_done) Arena arena = {0};
    Future future;

    if (!future_begin(&future, input, steps, &arena))
        return NULL;
    for (size_t i = 0; i < steps; i++) {
        CLEANUP(retention_plan_done) RetentionPlan plan = {0};
        const char *next;

        future.now += request->every;
        simulate_backup(&future, input, request, 0);
        future_plan(&future, input, &plan);
        next = first_that_goes(input, &plan);
        if (next != NULL) {
            *at = future.now;
            return next;
        }
    }
    return NULL;
}

void simulation_done(Simulation *simulation)
{
    arena_done(&simulation->arena);
    *simulation = (Simulation){.steps = NULL};
}
