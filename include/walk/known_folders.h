/*
 * known_folders.h - which segments the archive's older folders have, without listing them again.
 *
 * A folder of WAL that is full never changes, until somebody takes something away. `backup` and
 * `verify`, which list the whole archive, write down what they saw of each such folder (docs/
 * format.md, chapter 7.4), with the time at which the store says that the folder last changed. As
 * long as the store says that same time no name has come into it or gone from it, and its names
 * need not be listed (storage_list_folders()). A folder with a hole in it, or with anything else
 * than segments that follow each other, is not written down, and listed each time.
 *
 * What this can't show: a file that was cut or overwritten in place, which keeps its name. So it is
 * for `status`, which is asked every minute. Whoever has something at stake lists everything, and
 * law 7 knows nothing of it.
 */
#pragma once

#include "repo/repo.h"

/*
 * The archive's names, sizes and times as storage_list() gives them. In a folder that is not
 * listed, only its segments are there, and not its history files of backups, foreign and damaged
 * objects. It is the whole listing where nothing is remembered, or the store can't tell when a
 * folder changed.
 */
bool known_folders_list(const Cluster *cluster, ObjectList *list, Error *err) MUST_CHECK;

/*
 * List the archive, and write down what may be relied on from now on: of folders that did not
 * change within the hour before `now`, so that no clock of a store is too coarse to tell the next
 * change from the last. Nothing is written when it would be what is there already, or when the
 * store shows at this very moment that it does not tell when a folder changes.
 */
bool known_folders_refresh(const Cluster *cluster, TimeUs now, Error *err) MUST_CHECK;
