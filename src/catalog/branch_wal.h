/*
 * branch_wal.h - what the WAL of one branch says: how many commits lie beyond a place, which was
 * the last one, when its timeline began.
 *
 * Unlike a recovery this goes over holes and damage: what lies beyond was committed all the same.
 */
#pragma once

#include "catalog/branches.h"

/* Of the path of the walk, from gain->from on: commits, first, last, prepared, prepared_last. */
bool branch_count(const WalWalk *walk, BranchGain *gain, Error *err) MUST_CHECK;
/* The end of the last whole record of the path's last segment; 0: there is none. */
bool branch_end(const WalWalk *walk, Lsn *end, Error *err) MUST_CHECK;
/* The last commit in the order of the WAL; time TIME_US_NONE: there is none. */
bool branch_last_commit(const WalWalk *walk, BranchCommit *commit, Error *err) MUST_CHECK;
/* When the last timeline of the path began, by its first record; TIME_US_NONE. */
bool branch_begins(const WalWalk *walk, TimeUs *begins, Error *err) MUST_CHECK;
