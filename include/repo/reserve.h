/*
 * reserve.h - a little room in the repository that is kept for whoever makes room in it.
 *
 * To remove anything `expire` first stores a lease and a record of what goes. On a file system with
 * not one block left neither could be written, and the one command that helps would be the one that
 * fails. So each cluster has RESERVE_PARTS objects of RESERVE_PART_SIZE bytes that mean nothing and
 * do not compress; of these one is given up each time that there is no room for a record.
 * docs/format.md, chapter 7.8.
 */
#pragma once

#include "repo/repo.h"

enum { RESERVE_PARTS = 16, RESERVE_PART_SIZE = 64 << 10 };

/*
 * Store what is missing of it. Best effort, since nothing depends on it until the disk is full; not
 * done while there is little room, nor where a store does not know its bounds.
 */
void reserve_fill(const Cluster *cluster);

/* From now on the records that this storage has no room for take the place of the reserve's parts.
 */
void reserve_use(const Cluster *cluster);
