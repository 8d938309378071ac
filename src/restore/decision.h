/*
 * decision.h - what a choice comes to.
 */
#pragma once

#include "choice.h"

/*
 * choice_make(), and all of the manifest of the backup that was chosen, checked, in
 * plan->decision.manifest: one that can't be read counts as damaged, and the choice is a different
 * one.
 */
bool decision_choose(const Cluster *cluster, const RestoreRequest *request,
                     const OldDirectory *directory, RestorePlan *plan, Choice *choice,
                     Error *err) MUST_CHECK;
/* The rest of plan->decision: the path, target and bounds that were chosen. */
bool decision_fill(const Cluster *cluster, const RestoreRequest *request, const Choice *choice,
                   RestorePlan *plan, Error *err) MUST_CHECK;
