/*
 * backup_findings.h - every backup: its manifest, and its packs.
 */
#pragma once

#include "verify_run.h"

/* The head of every manifest: who is there, and which packs they refer to. */
bool survey_backups(VerifyRun *run, Error *err) MUST_CHECK;
/* Every pack once, and each manifest against what was found in its packs. */
bool verify_backups(VerifyRun *run, Error *err) MUST_CHECK;
