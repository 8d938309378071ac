/*
 * after.h - the checks of checks.h on a server that was brought back.
 */
#pragma once

#include "after/checks.h"
#include "drill/probe_file.h"
#include "health/health.h"

typedef struct AfterRequest {
    const char *data;            /* of the server, which runs */
    const char *conninfo;        /* NULL: found through the data directory */
    const Cluster *cluster;      /* NULL: the repository is not known, or was not opened: */
    const char *no_cluster;      /* ... why */
    const HealthRequest *health; /* of `status` */
    bool wanted[CHECK_KINDS];
    bool is_copy;                    /* it is to archive nothing */
    const ProbeFile *probes;         /* the operator's; NULL: none */
    const char *slots, *standbys;    /* names that must be there, with commas between; NULL */
    const char *const *slots_before; /* of the directory that was replaced; NULL-terminated; NULL */
    uint64_t archive_wait_ms;        /* how long WAL may take to arrive */
    /* Takes a backup (--backup-after); NULL: none is to be taken now. *text: what came of it. */
    bool (*take_backup)(void *context, Arena *arena, const char **text, Error *err);
    void *context;
} AfterRequest;

/* What was found of the server on the way. */
typedef struct AfterSight {
    bool is_open;      /* it can be written to; else it is in recovery */
    uint32_t timeline; /* that it writes on; 0: none, or not known */
} AfterSight;

/* ERR_INTERRUPTED; all else is a result. */
bool after_check(const AfterRequest *request, CheckList *list, AfterSight *sight,
                 Error *err) MUST_CHECK;
