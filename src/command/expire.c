#include "retention/expiry.h"

#include "answer/expire_tell.h"
#include "base/log.h"
#include "command/commands.h"
#include "setup/repository.h"
#include "setup/retention_setup.h"

typedef struct Expire {
    const Options *options;
    Repo repo;
    Cluster cluster;
    ExpireRequest request;
    ExpireReport report;
    Json json;
} Expire;

static void expire_done(Expire *expire)
{
    json_done(&expire->json);
    expire_report_done(&expire->report);
    repo_done(&expire->repo);
}

static bool tell_report(Expire *expire, Error *err)
{
    if (!expire->options->json) {
        expire_report_tell(&expire->report);
        return out_flush(err);
    }
    json_begin_object(&expire->json, NULL);
    json_text(&expire->json, "cluster", expire->cluster.name);
    expire_report_to_json(&expire->report, &expire->json);
    json_end_object(&expire->json);
    return json_print(&expire->json, err);
}

/*
 * Who only looks needs no write access, and so has no object of its own to ask the store's clock
 * by: this host's is taken, and what was stored last tells whether it can be right.
 */
static bool expire_show(Expire *expire, Error *err)
{
    CLEANUP(retention_survey_done) RetentionSurvey survey = {.cluster = NULL};
    CLEANUP(retention_plan_done) RetentionPlan plan = {0};
    CLEANUP(arena_done) Arena arena = {0};
    const SurveyRequest request = {
        .policy = expire->request.policy,
        .zone = expire->request.zone,
        .now = time_now(),
        .given_up = expire->request.given_up,
    };

    if (!retention_survey(&survey, &expire->cluster, &request, err))
        return false;
    retention_plan(&survey.input, &plan);
    if (!expire->options->json) {
        out_print("%s\n\n", retention_policy_text(&request.policy, &arena));
        expire_plan_tell(&survey, &plan);
        return out_flush(err);
    }
    json_begin_object(&expire->json, NULL);
    json_text(&expire->json, "cluster", expire->cluster.name);
    json_text(&expire->json, "policy", retention_policy_text(&request.policy, &arena));
    expire_plan_to_json(&survey, &plan, &expire->json);
    json_end_object(&expire->json);
    return json_print(&expire->json, err);
}

static uint64_t shared_bytes(const RetentionSurvey *survey)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < survey->packs.count; i++)
        bytes += pack_is_shared(&survey->uses[i]) ? survey->packs.objects[i].size : 0;
    return bytes;
}

static bool expire_simulate(Expire *expire, Error *err)
{
    CLEANUP(retention_survey_done) RetentionSurvey survey = {.cluster = NULL};
    CLEANUP(simulation_done) Simulation simulation = {.steps = NULL};
    const Options *options = expire->options;
    const SurveyRequest look = {
        .policy = expire->request.policy, .zone = expire->request.zone, .now = time_now()};
    SimulateRequest request = {.span = (TimeUs)options->simulate_ms * 1000,
                               .every = (TimeUs)options->every_ms * 1000,
                               .zone = expire->request.zone};

    if (!retention_survey(&survey, &expire->cluster, &look, err))
        return false;
    request.shared_bytes = shared_bytes(&survey);
    retention_simulate(&survey.input, &request, &simulation);
    if (!options->json) {
        simulation_tell(&simulation);
        return out_flush(err);
    }
    simulation_to_json(&simulation, &expire->json);
    return json_print(&expire->json, err);
}

/* Nothing was removed although something should be: the exit status says so (law 13). */
static bool expire_judge(const Expire *expire, Error *err)
{
    const ExpireReport *report = &expire->report;

    if (report->obstacle != NULL && retention_policy_is_set(&expire->request.policy)) {
        error_set(err, ERR_REFUSED, "nothing is removed: %s", report->obstacle);
        return error_hint(err,
                          "`pgcairn expire --dry-run` shows it all; `pgcairn verify` says what "
                          "is damaged, `pgcairn remove BACKUP` gives one backup up");
    }
    return report->held == NULL ||
           error_set(err, ERR_BUSY, "what is due was left for a later run: %s", report->held);
}

static bool expire_do(Expire *expire, Error *err)
{
    Error failure = {0};
    bool ok = expire_run(&expire->cluster, &expire->request, &expire->report, &failure);

    if (!tell_report(expire, err))
        return false;
    return ok ? expire_judge(expire, err) : error_pass(err, &failure);
}

static bool expire_open(Expire *expire, bool writes, Error *err)
{
    const RepositoryUse use = writes ? REPOSITORY_FOR_WRITING : REPOSITORY_FOR_ANSWER;

    return retention_request_of(expire->options, &expire->request, err) &&
           repository_open(expire->options, use, &expire->repo, &expire->cluster, err);
}

static bool check_options(const Options *options, Error *err)
{
    if (options->now != options->yes) {
        error_set(err, ERR_USAGE, "--now and --yes go together");
        return error_hint(err,
                          "with both, and --grace=0s, what no rule keeps is removed in this one "
                          "run, and can't be brought back");
    }
    if (options->spare != NULL && (options->dry_run || options->now || options->simulate_ms != 0))
        return error_set(err, ERR_USAGE, "--spare stands alone");
    return true;
}

bool command_expire(const Options *options, Error *err)
{
    CLEANUP(expire_done) Expire expire = {.options = options};

    if (!check_options(options, err) ||
        !expire_open(&expire, !options->dry_run && options->simulate_ms == 0, err))
        return false;
    if (options->simulate_ms != 0)
        return expire_simulate(&expire, err);
    if (options->spare != NULL) {
        return expire_spare(&expire.cluster, options->spare, &expire.report, err) &&
               tell_report(&expire, err);
    }
    return options->dry_run ? expire_show(&expire, err) : expire_do(&expire, err);
}

static bool refuse_backup_id(const char *id, Error *err)
{
    error_set(err, ERR_USAGE, "\"%s\" is not the id of a backup", id);
    return error_hint(err, "`pgcairn list` shows them");
}

bool command_remove(const Options *options, Error *err)
{
    CLEANUP(expire_done) Expire expire = {.options = options};

    if (!backup_id_is_valid(options->backup, strlen(options->backup)))
        return refuse_backup_id(options->backup, err);
    if (!expire_open(&expire, !options->dry_run, err))
        return false;
    expire.request.policy = (RetentionPolicy){.window = 0};
    expire.request.given_up = options->backup;
    return options->dry_run ? expire_show(&expire, err) : expire_do(&expire, err);
}
