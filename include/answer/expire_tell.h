/*
 * expire_tell.h - a plan, and what came of it, for people and as JSON.
 */
#pragma once

#include "cli/output.h"
#include "retention/expiry.h"
#include "retention/keeping_outlook.h"
#include "retention/simulate.h"

/* One line for each backup and each stretch of WAL. */
void expire_plan_tell(const RetentionSurvey *survey, const RetentionPlan *plan);
void expire_plan_to_json(const RetentionSurvey *survey, const RetentionPlan *plan, Json *json);
/* What a policy leads to. */
void simulation_tell(const Simulation *simulation);
void simulation_to_json(const Simulation *simulation, Json *json);
/* For what is listed: pins, what goes and when, and what the policy leads to. */
void keeping_tell(const BackupList *backups, const MarkList *marks, const CondemnedList *condemned);
/* The same as an array "keeping": those that are pinned, or about to go. */
void keeping_to_json(const BackupList *backups, const MarkList *marks,
                     const CondemnedList *condemned, Json *json);
/* What the policy lets go next, and what that frees: words for a line, in the arena; NULL without a
 * policy. */
const char *keeping_outlook_text(const KeepingOutlook *outlook, Arena *arena);
/* The same as an object "policy"; null without one. */
void keeping_outlook_to_json(const KeepingOutlook *outlook, Json *json);
/* What was condemned, removed, spared, and what comes next. */
void expire_report_tell(const ExpireReport *report);
void expire_report_to_json(const ExpireReport *report, Json *json);
