/*
 * preflight.h - everything that could go wrong on this host, looked at before anything is touched.
 */
#pragma once

#include "replace/data_state.h"

/* plan->decision.manifest, data and the target are set; fills in what is about this host. */
bool preflight(const Cluster *cluster, const RestoreRequest *request, RestorePlan *plan,
               Error *err) MUST_CHECK;
