/*
 * holes.h - WAL that must be there and is not.
 */
#pragma once

#include "verify_run.h"

/* After verify_wal(), which says what is there. */
bool verify_holes(VerifyRun *run, Error *err) MUST_CHECK;
