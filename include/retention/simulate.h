/*
 * simulate.h - what a policy leads to, if all goes on as in the last days. Pure.
 */
#pragma once

#include "retention/plan.h"

typedef struct SimulateRequest {
    TimeUs span, every; /* for so long, a backup so often */
    const char *zone;
    uint64_t shared_bytes; /* of packs that several backups refer to: taken to stay as they are */
} SimulateRequest;

typedef struct SimulatedStep {
    TimeUs at;
    size_t backups;
    uint64_t backup_bytes, wal_bytes;
} SimulatedStep;

typedef struct Simulation {
    SimulatedStep *steps; /* one for each backup that would be taken */
    size_t count;
    uint64_t bytes_per_backup; /* what one adds, by the last seven */
    uint64_t wal_bytes_per_day;
    const char *obstacle; /* why nothing would be removed; NULL */
    Arena arena;
} Simulation;

/*
 * By the newest history alone. Graces are not waited for: what is condemned stays for up to two of
 * them more.
 */
void retention_simulate(const RetentionInput *input, const SimulateRequest *request,
                        Simulation *simulation);
void simulation_done(Simulation *simulation); /* for CLEANUP() */
