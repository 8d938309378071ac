/*
 * fragment_plan.h - how many fragments a range may have, and which of them a new one takes in.
 *
 * Each backup that finds a change adds a fragment to the range. Were the range stored whole at the
 * limit, each so-manieth backup would be a full one by surprise: all ranges began together. So the
 * new fragment takes in the newest ones, as many as cost least for each that is saved; the pages
 * are read from the live file, where they are current. What that comes to over a year is in
 * tests/unit/backup/test_fragment_plan.c.
 */
#pragma once

#include "repo/frame.h"

enum { FRAGMENTS_LIMIT = 16, FRAGMENTS_LIMIT_LEAST = 9 };

/*
 * How many fragments this range may have before the next one takes in others: from 9 to 16, another
 * one for each range and each content, so that not all of them do so in one night.
 */
uint32_t fragments_limit(uint64_t path_hash, uint64_t range_hash);

/*
 * live[i]: pages of the fragment that count; oldest first, more than one. How many of the oldest
 * stay, when a new one is added; 0: the range is stored whole, as most of it would be.
 */
uint32_t fragments_keep(const uint32_t *live, uint32_t count, uint32_t page_count);
