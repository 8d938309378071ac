/*
 * fault.h - places where a test can make the process fail.
 *
 * Compiled in only with -Dfault_points=true. A test picks a point and what happens there:
 *
 *     PGCAIRN_FAULT=repo.publish-backup:crash     the process dies as by kill -9
 *     PGCAIRN_FAULT=repo.publish-backup:fail      the call fails with ERR_IO
 *     PGCAIRN_FAULT=repo.publish-backup:stop      it stops (SIGSTOP) until it gets a SIGCONT
 *     PGCAIRN_FAULT=repo.publish-backup:crash:3   the same, the third time it is reached
 *
 * PGCAIRN_FAULT_LOG=PATH appends the name of each point to a file when it is reached.
 *
 * tests/integration/test_crash_everywhere.py greps the sources for these names, so a new point
 * is tested without being registered anywhere.
 */
#pragma once

#include "base/error.h"

#ifdef FAULT_POINTS
#define FAULT_POINT(name, err) fault_point((name), (err))
#else
#define FAULT_POINT(name, err) ((void)(err), true)
#endif

bool fault_point(const char *name, Error *err) MUST_CHECK;
