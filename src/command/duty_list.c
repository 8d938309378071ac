#include "answer/duties_tell.h"
#include "command/commands.h"
#include "setup/duty_periods.h"
#include "setup/repository.h"

static bool duty_list_print(const Cluster *cluster, const DutyState duties[DUTY_COUNT], Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    TimeUs now = time_now();
    char period[OUT_TEXT_SIZE];

    out_print("duties of cluster \"%s\"\n", cluster->name);
    for (int i = 0; i < DUTY_COUNT; i++) {
        if (duties[i].period == 0)
            continue;
        out_print("  %-12s  every %s: %s\n", duty_text((Duty)i),
                  out_duration(duties[i].period, period), duty_in_words(&duties[i], now, &arena));
    }
    return out_flush(err);
}

static bool duty_list_print_json(const Cluster *cluster, const DutyState duties[DUTY_COUNT],
                                 Error *err)
{
    CLEANUP(json_done) Json json = {0};

    json_begin_object(&json, NULL);
    json_text(&json, "cluster", cluster->name);
    duties_to_json(duties, &json);
    json_end_object(&json);
    return json_print(&json, err);
}

/* Law 13: what is overdue is not exit 0. */
static bool duty_list_judge(const DutyState duties[DUTY_COUNT], Error *err)
{
    for (int i = 0; i < DUTY_COUNT; i++) {
        if (!duties[i].is_overdue)
            continue;
        error_set(err, ERR_DEGRADED, "%s is overdue", duty_text((Duty)i));
        return error_hint(err, "`pgcairn run-duties` does what is due");
    }
    return true;
}

bool command_duties(const Options *options, Error *err)
{
    CLEANUP(repo_done) Repo repo = {0};
    Cluster cluster;
    DutyState duties[DUTY_COUNT];

    if (!repository_open(options, REPOSITORY_FOR_ANSWER, &repo, &cluster, err) ||
        !duties_look(options, &cluster, duties, err))
        return false;
    return (options->json ? duty_list_print_json(&cluster, duties, err)
                          : duty_list_print(&cluster, duties, err)) &&
           duty_list_judge(duties, err);
}
