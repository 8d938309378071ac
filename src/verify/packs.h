/*
 * packs.h - the packs that the surveyed manifests refer to.
 */
#pragma once

#include "verify_run.h"

/* NULL: no manifest refers to it. */
PackFacts *pack_find(const VerifyRun *run, const char *id);

/* Those of a manifest, with this many more users. `object` is the manifest's, for complaints. */
void packs_add(VerifyRun *run, const ManifestHead *head, const char *object, uint32_t users);
/* It has one user less: what was found in it goes with the last one. */
void packs_release(VerifyRun *run, const Manifest *manifest);
/* Whether one of them is bad, also of those that were read for another backup's sake. */
bool packs_have_bad(const VerifyRun *run, const Manifest *manifest);
void packs_done(VerifyRun *run);
