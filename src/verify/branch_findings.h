/*
 * branch_findings.h - histories that a restore would have to choose between.
 */
#pragma once

#include "verify_run.h"

/* Once the WAL is read. */
bool verify_branches(VerifyRun *run, Error *err) MUST_CHECK;
