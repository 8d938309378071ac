/*
 * manifests_read.h - a manifest against what was found in its packs.
 */
#pragma once

#include "verify_run.h"

/* One manifest against its packs, which have been scanned. */
bool verify_check_manifest(VerifyRun *run, size_t backup, const Manifest *manifest,
                           Error *err) MUST_CHECK;
