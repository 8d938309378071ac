/*
 * pieces.h - pieces of segments that were not whole.
 */
#pragma once

#include "verify_run.h"

/* After verify_wal(). */
bool verify_pieces(VerifyRun *run, Error *err) MUST_CHECK;
