/*
 * held_places.h - the directories that a restore writes into, opened once each (base/held.h).
 *
 * From then on nothing is written but below their descriptors, so a directory or a link that
 * somebody puts in the place of a part of their paths changes nothing. A link in pg_tblspc is never
 * followed: what is below it goes into the version directory that is held for this tablespace.
 */
#pragma once

#include "base/held.h"
#include "pack/manifest.h"
#include "rebuild/placement.h"

struct HeldPlaces {
    HeldDirectory data;
    HeldDirectory *versions; /* There is one for each of placement->tablespaces, in their order. */
    size_t version_count;
    HeldDirectory extra; /* Files from outside go here. HELD_NONE means that they go nowhere. */
};

/* Opens the data directory, made with its parents when it is not there. */
bool held_places_make_data(HeldPlaces *held, const Placement *placement, Error *err) MUST_CHECK;

/*
 * The version directories of all tablespaces and the place of extra files, made when they are not
 * there. ERR_REFUSED for a version directory that belongs to another user, or that is not empty and
 * was not to be gone over.
 */
bool held_places_make_others(HeldPlaces *held, const Placement *placement, Error *err) MUST_CHECK;

/* What is there of them, to look at: HELD_NONE for what is not. Nothing is made. */
bool held_places_open(HeldPlaces *held, const Placement *placement, Error *err) MUST_CHECK;

/* ERR_BUSY when one of their paths leads elsewhere now. */
bool held_places_are_in_place(const HeldPlaces *held, Error *err) MUST_CHECK;

/* Where an entry of the backup goes. */
HeldPath held_places_of(const Placement *placement, const ManifestEntry *entry);

void held_places_done(HeldPlaces *held); /* for CLEANUP() */
