/*
 * option_rules.h - which options belong together, and what a row of the table cannot check.
 */
#pragma once

#include "option_value.h"

/* After all sources have spoken. ERR_USAGE with a hint. */
bool option_rules_check(Filling *filling, Error *err) MUST_CHECK;
