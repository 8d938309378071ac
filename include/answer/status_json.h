/*
 * status_json.h - what health_look() found, as JSON. docs/status.md names every field.
 */
#pragma once

#include "health/health.h"
#include "retention/keeping_outlook.h"

/* keeping: what the policy lets go next. */
bool status_print_json(const Health *health, const KeepingOutlook *keeping, Error *err) MUST_CHECK;
