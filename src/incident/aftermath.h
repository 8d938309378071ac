/*
 * aftermath.h - what comes once a database is back, for `restore --start`, `promote` and `watch`:
 * the checks, what was lost and how long it took, told and kept in the journal.
 *
 *     Aftermath aftermath = {.options = options, ...};      facts of the caller
 *     aftermath_run(&aftermath, err)                        looks; an entry of the journal
 *     aftermath_print(&aftermath), or aftermath_to_json()
 *     aftermath_judge(&aftermath, err)                      the exit status
 */
#pragma once

#include "after/after.h"
#include "after/closing.h"
#include "cli/options.h"
#include "cli/output.h"

typedef struct Aftermath {
    const Options *options;
    /*
     * They complete the commands in hints: they are `options`, or the same with a repository that
     * was found in another way.
     */
    const Options *places;
    const char *command;    /* It is the command whose aftermath it is, for example "restore". */
    const char *data;       /* It is the data directory of the server. */
    const Cluster *cluster; /* NULL means that the repository is not known. */
    const char *no_cluster; /* It says why cluster is NULL, or is "". */
    bool is_copy;
    const char *const *slots_before; /* They end with NULL. It may be NULL. */
    Closing closing;                 /* It has what the caller knows of it. */
    bool wanted[CHECK_KINDS];
    ProbeFile probes;
    CheckList checks;
    AfterSight sight;
} Aftermath;

/* --checks and --probes are read, before anything is done. ERR_USAGE. */
bool aftermath_prepare(Aftermath *aftermath, const Options *options, Error *err) MUST_CHECK;
/* ERR_INTERRUPTED; whatever else goes wrong is a result. */
bool aftermath_run(Aftermath *aftermath, Error *err) MUST_CHECK;
void aftermath_print(const Aftermath *aftermath);
/* Two members: "checks", an array, and "closing", an object. */
void aftermath_to_json(const Aftermath *aftermath, Json *json);
/* ERR_DEGRADED when a check has failed, or could not be made. */
bool aftermath_judge(const Aftermath *aftermath, Error *err) MUST_CHECK;
void aftermath_done(Aftermath *aftermath); /* for CLEANUP() */
