/*
 * status_json.h - what health_look() found, as JSON. docs/status.md names every field.
 */
#pragma once

#include "health/health.h"

bool status_print_json(const Health *health, Error *err) MUST_CHECK;
