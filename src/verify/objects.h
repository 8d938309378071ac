/*
 * objects.h - records, and what is of no known kind.
 */
#pragma once

#include "verify_run.h"

/* Records are read, the rest is sorted by kind: what is of no known kind becomes a note. */
bool verify_records(VerifyRun *run, Error *err) MUST_CHECK;
bool verify_leftovers(VerifyRun *run, Error *err) MUST_CHECK;
