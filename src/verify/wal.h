/*
 * wal.h - every WAL file, read whole.
 */
#pragma once

#include "verify_run.h"

/* After survey_timelines(): what each must be. */
bool verify_wal(VerifyRun *run, Error *err) MUST_CHECK;
