/*
 * target_notes.h - what an operator may not know of the target: a name that was given several
 * times, and times that are not in the order of the WAL.
 */
#pragma once

#include "choice.h"

/* Lines of plan->warnings. What can't be found out is left out. */
void plan_warn_of_target(const Cluster *cluster, const RestoreRequest *request,
                         const Choice *choice, RestorePlan *plan);
