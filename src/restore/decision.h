/*
 * decision.h - what a choice comes to.
 */
#pragma once

#include "choice.h"

/* plan->decision: the manifest, checked, and the path, target and bounds that were chosen. */
bool decision_fill(const Cluster *cluster, const RestoreRequest *request, const Choice *choice,
                   RestorePlan *plan, Error *err) MUST_CHECK;
