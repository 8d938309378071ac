#include "aftermath.h"

#include <inttypes.h>

static const double US_PER_SECOND = 1e6;

static void check_print(const AfterCheck *check)
{
    out_print("  %-10s %-7s %s\n", after_check_name(check->kind), check_result_name(check->result),
              check->text);
    if (check->result != CHECK_PASSED && *check->next != '\0')
        out_print("  %-10s         %s\n", "", check->next);
}

static void closing_print_rpo(const Closing *closing)
{
    const TimeUs rpo = closing_rpo(closing);
    char kept[TIME_TEXT_SIZE], last[TIME_TEXT_SIZE];
    char span[OUT_TEXT_SIZE], objective[OUT_TEXT_SIZE];

    if (closing->last_commit != TIME_US_NONE) {
        out_print("  kept       every commit until %s\n",
                  time_text_local(closing->last_commit, kept));
    }
    if (closing->lost > 0) {
        out_print("  left out   %" PRIu64 " commit%s that the archive has on timeline %" PRIu32
                  ", the last of %s\n",
                  closing->lost, closing->lost == 1 ? "" : "s", closing->lost_timeline,
                  closing->lost_last != TIME_US_NONE ? time_text_local(closing->lost_last, last)
                                                     : "an unknown time");
    }
    if (closing->lost_in_directory > 0) {
        out_print("  left out   %" PRIu64 " commit%s that only the old directory had\n",
                  closing->lost_in_directory, closing->lost_in_directory == 1 ? "" : "s");
    }
    if (rpo == TIME_US_NONE)
        return;
    (void)out_duration(closing->rpo_objective, objective);
    if (rpo == 0) {
        out_print("  RPO        no commit is known to be lost (objective %s)\n", objective);
    } else {
        out_print("  RPO        %s between the last commit kept and the last one known, objective "
                  "%s%s\n",
                  out_duration(rpo, span), objective,
                  rpo > closing->rpo_objective ? ": missed" : "");
    }
}

static void closing_print_phases(const Closing *closing)
{
    char span[OUT_TEXT_SIZE];
    const char *comma = "";
    const TimeUs looked = closing_looked(closing);

    out_print("             ");
    for (int i = 0; i < PHASE_COUNT; i++) {
        if (closing->phases[i] == TIME_US_NONE)
            continue;
        out_print("%s%s %s", comma, restore_phase_name((RestorePhase)i),
                  out_duration(closing->phases[i], span));
        comma = ", ";
    }
    if (looked > 0)
        out_print("%slooked at %s", comma, out_duration(looked, span));
    if (closing->opening != TIME_US_NONE)
        out_print(", promote %s", out_duration(closing->opening, span));
    out_print("\n");
}

static void closing_print_rto(const Closing *closing)
{
    const TimeUs rto = closing_rto(closing);
    char span[OUT_TEXT_SIZE], objective[OUT_TEXT_SIZE];

    if (rto == TIME_US_NONE)
        return;
    out_print("  RTO        %s from %s until it was open, objective %s%s\n",
              out_duration(rto, span),
              closing->incident_began != TIME_US_NONE ? "the incident's beginning"
                                                      : "the restore's beginning",
              out_duration(closing->rto_objective, objective),
              rto > closing->rto_objective ? ": missed" : "");
    closing_print_phases(closing);
}

void aftermath_print(const Aftermath *aftermath)
{
    const CheckList *checks = &aftermath->checks;

    out_print("afterwards\n");
    for (size_t i = 0; i < checks->count; i++)
        check_print(&checks->items[i]);
    if (aftermath->is_copy)
        return;
    closing_print_rpo(&aftermath->closing);
    closing_print_rto(&aftermath->closing);
}

static void seconds_to_json(Json *json, const char *key, TimeUs time)
{
    if (time == TIME_US_NONE) {
        json_text(json, key, NULL);
    } else {
        json_double(json, key, (double)time / US_PER_SECOND);
    }
}

static void closing_to_json(const Closing *closing, Json *json)
{
    const TimeUs rpo = closing_rpo(closing);
    const TimeUs rto = closing_rto(closing);

    json_begin_object(json, "closing");
    json_time(json, "last_commit_time", closing->last_commit);
    if (closing->is_counted) {
        json_u64(json, "commits_lost", closing->lost);
        json_u64(json, "commits_only_in_old_directory", closing->lost_in_directory);
    } else {
        json_text(json, "commits_lost", NULL);
    }
    json_time(json, "last_commit_lost_time", closing->lost_last);
    seconds_to_json(json, "rpo_s", rpo);
    seconds_to_json(json, "rpo_objective_s", closing->rpo_objective);
    json_bool(json, "is_rpo_missed", rpo != TIME_US_NONE && rpo > closing->rpo_objective);
    json_time(json, "began_time", closing->began);
    json_time(json, "incident_began_time", closing->incident_began);
    json_time(json, "open_time", closing->open_at);
    seconds_to_json(json, "rto_s", rto);
    seconds_to_json(json, "rto_objective_s", closing->rto_objective);
    json_bool(json, "is_rto_missed", rto != TIME_US_NONE && rto > closing->rto_objective);
    json_begin_object(json, "phases");
    for (int i = 0; i < PHASE_COUNT; i++) {
        CLEANUP(text_freep) char *key = text_format("%s_s", restore_phase_key((RestorePhase)i));
        if (closing->phases[i] != TIME_US_NONE)
            seconds_to_json(json, key, closing->phases[i]);
    }
    if (closing->opening != TIME_US_NONE) {
        seconds_to_json(json, "looked_at_s", closing_looked(closing));
        seconds_to_json(json, "promote_s", closing->opening);
    }
    json_end_object(json);
    json_end_object(json);
}

void aftermath_to_json(const Aftermath *aftermath, Json *json)
{
    const CheckList *checks = &aftermath->checks;

    json_begin_array(json, "checks");
    for (size_t i = 0; i < checks->count; i++) {
        json_begin_object(json, NULL);
        json_text(json, "check", after_check_name(checks->items[i].kind));
        json_text(json, "result", check_result_name(checks->items[i].result));
        json_text(json, "text", checks->items[i].text);
        json_text(json, "next", *checks->items[i].next != '\0' ? checks->items[i].next : NULL);
        seconds_to_json(json, "elapsed_s", checks->items[i].elapsed);
        json_end_object(json);
    }
    json_end_array(json);
    closing_to_json(&aftermath->closing, json);
}
