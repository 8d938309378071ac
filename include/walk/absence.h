/*
 * absence.h - law 7: what an absent WAL file means for the recovery that asks for it.
 *
 * Answering "no such file" (exit 1) ends recovery and opens the database, so it is said only when
 * the archive was read and has nothing more. Pure functions of an inventory: no I/O, all tested.
 */
#pragma once

#include "walk/inventory.h"

typedef enum Absence {
    /* The archive ends here on this path, so that "no such file" is true and harmless. */
    ABSENCE_PROVEN,
    /* Later WAL of the path is there, so this is a hole, perhaps one that is being filled. */
    ABSENCE_HOLE,
    /*
     * It is the first segment of a timeline on the path. The server would take the abandoned branch
     * of its parent.
     */
    ABSENCE_FORK,
    ABSENCE_HISTORY, /* WAL or a higher history shows that this timeline exists. */
} Absence;

/*
 * A segment that is not in the archive. path: of the recovery. bound: 0, or the last segment that
 * the target needs: what lies after it is not a hole.
 */
Absence absence_of_segment(const WalInventory *inventory, const TimelinePath *path,
                           const WalName *name, uint32_t segment_size, uint64_t bound_segment);

/* A history file that is not in the archive. */
Absence absence_of_history(const WalInventory *inventory, uint32_t timeline);

/*
 * Whether a segment that is there may be handed out: not when it lies wholly after the point where
 * the path leaves its timeline.
 */
bool segment_belongs_to_path(const TimelinePath *path, const WalName *name, uint32_t segment_size);
