/*
 * retention_setup.h - what is to be kept, out of the options.
 */
#pragma once

#include "cli/options.h"
#include "retention/expiry.h"

/* ERR_USAGE: a zone that is not one. */
bool retention_request_of(const Options *options, ExpireRequest *request, Error *err) MUST_CHECK;
/* "--keep-window=14d --keep-min=2", or "no policy"; in the arena. */
const char *retention_policy_text(const RetentionPolicy *policy, Arena *arena);
