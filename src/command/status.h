/*
 * status.h - the two ways to print what health_look() found.
 */
#pragma once

#include "health/health.h"

bool status_print_json(const Health *health, Error *err) MUST_CHECK;
