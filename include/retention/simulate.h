/*
 * simulate.h - what a policy leads to, if all goes on as in the last days. Pure.
 */
#pragma once

#include "retention/plan.h"

typedef struct SimulateRequest {
    TimeUs span, every; /* A backup is taken each `every`, for the time of `span`. */
    const char *zone;
    /*
     * Packs that several backups refer to have this many bytes, which are taken to stay as they
     * are.
     */
    uint64_t shared_bytes;
} SimulateRequest;

typedef struct SimulatedStep {
    TimeUs at;
    size_t backups;
    uint64_t backup_bytes, wal_bytes;
} SimulatedStep;

typedef struct Simulation {
    SimulatedStep *steps; /* There is one for each backup that would be taken. */
    size_t count;
    uint64_t bytes_per_backup; /* One backup adds this much, as the last seven did. */
    uint64_t wal_bytes_per_day;
    const char *obstacle; /* It says why nothing would be removed. It may be NULL. */
    Arena arena;
} Simulation;

/*
 * By the newest history alone. Graces are not waited for: what is condemned stays for up to two of
 * them more.
 */
void retention_simulate(const RetentionInput *input, const SimulateRequest *request,
                        Simulation *simulation);
/*
 * The first of the backups that are there now which no rule keeps any more, in the order of the
 * input, and after which simulated backup that is. NULL: none within the span, or there is no WAL.
 */
const char *retention_simulate_next(const RetentionInput *input, const SimulateRequest *request,
                                    TimeUs *at);
void simulation_done(Simulation *simulation); /* for CLEANUP() */
