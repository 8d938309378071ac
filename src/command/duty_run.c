#include "answer/duties_tell.h"
#include "base/log.h"
#include "command/commands.h"
#include "repo/lease.h"
#include "setup/duty_periods.h"
#include "setup/own_command.h"
#include "setup/repository.h"

enum { WORDS_MAX = 16 };

typedef enum DutyOutcome {
    DUTY_NOT_DUE,
    DUTY_DONE,
    DUTY_DONE_BY_DRILL, /* A full drill includes a test restore. */
    DUTY_FAILED,
    DUTY_STOPPED, /* The budget was used up while it ran. */
    DUTY_PUT_OFF, /* There was no time left for it. */
} DutyOutcome;

static const char *const outcome_words[] = {
    [DUTY_NOT_DUE] = "not due",
    [DUTY_DONE] = "done",
    [DUTY_DONE_BY_DRILL] = "done by the drill",
    [DUTY_FAILED] = "failed",
    [DUTY_STOPPED] = "stopped",
    [DUTY_PUT_OFF] = "put off",
};

/* One run of all duties. */
typedef struct DutyRun {
    const Options *options;
    Repo repo;
    Cluster cluster;
    Lease *lease; /* Two runs at once would do everything twice. */
    DutyState duties[DUTY_COUNT];
    DutyOutcome outcomes[DUTY_COUNT];
    int statuses[DUTY_COUNT]; /* They are the exit statuses of those that ran. */
    TimeUs begun;             /* It is a time_monotonic(). */
    TimeUs budget;            /* 0 means that there is no limit. */
} DutyRun;

/* The drill before the test restore that it makes needless. */
static const Duty duty_order[] = {DUTY_BACKUP, DUTY_VERIFY, DUTY_DRILL, DUTY_RESTORE};

static const char *const *duty_words(Duty duty)
{
    static const char *const words[DUTY_COUNT][6] = {
        [DUTY_BACKUP] = {"backup"},
        [DUTY_VERIFY] = {"verify"},
        [DUTY_RESTORE] = {"drill"},
        [DUTY_DRILL] = {"drill", "--target=random", "--read-all"},
    };

    return words[duty];
}

/* What was said to this command holds for its children; the environment and the configuration file
 * they read themselves. */
static void duty_arguments(const DutyRun *run, Duty duty, Arena *arena, const char **argv)
{
    const Options *options = run->options;
    const char *const *words = duty_words(duty);
    size_t count = 0;

    argv[count++] = "pgcairn";
    for (size_t i = 0; words[i] != NULL; i++)
        argv[count++] = words[i];
    argv[count++] = arena_format(arena, "--repo=%s", options->repo);
    argv[count++] = arena_format(arena, "--cluster=%s", options->cluster);
    if (options->config != NULL)
        argv[count++] = arena_format(arena, "--config=%s", options->config);
    if (duty == DUTY_BACKUP && options->data != NULL)
        argv[count++] = arena_format(arena, "--data=%s", options->data);
    if (duty == DUTY_BACKUP && options->conninfo != NULL && !options->conninfo_is_from_file)
        argv[count++] = arena_format(arena, "--conninfo=%s", options->conninfo);
    if (duty != DUTY_BACKUP && duty != DUTY_VERIFY && options->scratch != NULL)
        argv[count++] = arena_format(arena, "--scratch=%s", options->scratch);
    argv[count++] = "--no-progress";
}

/* A duty while its child runs. */
typedef struct DutyChild {
    DutyRun *run;
    Duty duty;
} DutyChild;

/* A backup that has begun is let finish: to lose it costs more than the time. */
static bool duty_is_out_of_time(void *context)
{
    const DutyChild *child = context;
    const DutyRun *run = child->run;
    Error late = {0}; /* another run may begin then, as if we had been killed */

    if (!lease_renew(run->lease, 0, 0, &late))
        log_debug("the lease is not renewed", log_str("why", late.message));
    return run->budget > 0 && child->duty != DUTY_BACKUP &&
           time_monotonic() - run->begun >= run->budget;
}

/* Until it has ended. It is asked to end when the time is over, or when we are. */
static bool duty_wait(DutyRun *run, Duty duty, pid_t pid, Error *err)
{
    DutyChild child = {.run = run, .duty = duty};
    OwnCommandEnd end;
    const bool ok = own_command_wait(pid, duty_is_out_of_time, &child, &end, err);

    run->statuses[duty] = end.status;
    if (end.status == ERR_NONE || end.status == ERR_DEGRADED) {
        run->outcomes[duty] = DUTY_DONE;
    } else {
        run->outcomes[duty] = end.is_asked && ok ? DUTY_STOPPED : DUTY_FAILED;
    }
    return ok;
}

static bool duty_do(DutyRun *run, Duty duty, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *argv[WORDS_MAX] = {NULL};

    log_info("duty", log_str("duty", duty_name(duty)));
    duty_arguments(run, duty, &arena, argv);
    pid_t pid = own_command_start(argv, run->options->json, err);
    return pid > 0 && duty_wait(run, duty, pid, err);
}

static bool duty_decide(DutyRun *run, Duty duty, Error *err)
{
    const DutyState *state = &run->duties[duty];

    if (!duty_should_run(state, time_now()))
        return true;
    if (duty == DUTY_RESTORE && run->outcomes[DUTY_DRILL] == DUTY_DONE) {
        run->outcomes[duty] = DUTY_DONE_BY_DRILL;
        return true;
    }
    if (!duty_fits(state, time_monotonic() - run->begun, run->budget)) {
        run->outcomes[duty] = DUTY_PUT_OFF;
        return true;
    }
    return duty_do(run, duty, err);
}

static bool duty_has_run(const DutyRun *run, int duty)
{
    return run->outcomes[duty] == DUTY_DONE || run->outcomes[duty] == DUTY_FAILED ||
           run->outcomes[duty] == DUTY_STOPPED;
}

static bool duty_run_print(const DutyRun *run, Error *err)
{
    for (int i = 0; i < DUTY_COUNT; i++) {
        const char *outcome = outcome_words[run->outcomes[i]];

        if (run->duties[i].period == 0)
            continue;
        if (duty_has_run(run, i) && run->statuses[i] != 0) {
            out_print("%-12s  %s (exit status %d)\n", duty_text((Duty)i), outcome,
                      run->statuses[i]);
        } else {
            out_print("%-12s  %s\n", duty_text((Duty)i), outcome);
        }
    }
    return out_flush(err);
}

static bool duty_run_print_json(const DutyRun *run, Error *err)
{
    CLEANUP(json_done) Json json = {0};

    json_begin_object(&json, NULL);
    json_begin_array(&json, "duties");
    for (int i = 0; i < DUTY_COUNT; i++) {
        if (run->duties[i].period == 0)
            continue;
        json_begin_object(&json, NULL);
        json_text(&json, "duty", duty_name((Duty)i));
        json_text(&json, "outcome", outcome_words[run->outcomes[i]]);
        if (duty_has_run(run, i)) {
            json_u64(&json, "status", (uint64_t)run->statuses[i]);
        } else {
            json_text(&json, "status", NULL);
        }
        json_end_object(&json);
    }
    json_end_array(&json);
    json_end_object(&json);
    return json_print(&json, err);
}

/* The first that failed; else what there was no time for. */
static bool duty_run_judge(const DutyRun *run, Error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(duty_order); i++) {
        Duty duty = duty_order[i];

        if (run->outcomes[duty] == DUTY_FAILED) {
            error_set(err, (ErrorCode)run->statuses[duty], "%s failed with exit status %d",
                      duty_text(duty), run->statuses[duty]);
            return error_hint(err,
                              "what it said stands above; docs/exit-codes.md tells the number");
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(duty_order); i++) {
        Duty duty = duty_order[i];

        if (run->outcomes[duty] == DUTY_PUT_OFF || run->outcomes[duty] == DUTY_STOPPED) {
            error_set(err, ERR_DEGRADED, "%s was %s: the budget is over", duty_text(duty),
                      outcome_words[run->outcomes[duty]]);
            return error_hint(err, "a larger --budget, or run it by itself");
        }
    }
    return true;
}

static void duty_run_done(DutyRun *run)
{
    lease_freep(&run->lease);
    repo_done(&run->repo);
}

/* What is due is looked at once nobody else works on it: what he has done is in the journal then.
 */
static bool duty_run_load(DutyRun *run, Error *err)
{
    if (!repository_open(run->options, REPOSITORY_FOR_ANSWER, &run->repo, &run->cluster, err))
        return false;
    if (!lease_take(&run->cluster, &(LeaseRequest){.kind = "run-duties"}, &run->lease, err))
        return error_context(err, "see to it that nobody else does the duties");
    return duties_look(run->options, &run->cluster, run->duties, err);
}

bool command_run_duties(const Options *options, Error *err)
{
    CLEANUP(duty_run_done)
    DutyRun run = {
        .options = options, .begun = time_monotonic(), .budget = (TimeUs)options->budget_ms * 1000};
    bool ok = true;

    if (!duty_run_load(&run, err))
        return false;
    for (size_t i = 0; ok && i < ARRAY_SIZE(duty_order); i++)
        ok = duty_decide(&run, duty_order[i], err);
    Error unsaid = {0};
    bool is_told =
        options->json ? duty_run_print_json(&run, &unsaid) : duty_run_print(&run, &unsaid);
    if (!is_told && ok) {
        *err = unsaid;
        return false;
    }
    return ok && duty_run_judge(&run, err);
}
