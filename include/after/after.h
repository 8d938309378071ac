/*
 * after.h - the checks of checks.h on a server that was brought back.
 */
#pragma once

#include "after/checks.h"
#include "drill/probe_file.h"
#include "health/health.h"

typedef struct AfterRequest {
    const char *data; /* It is the data directory of the server, which is running. */
    /* When it is NULL, the server is found through the data directory. */
    const char *conninfo;
    /* It is NULL when the repository is not known or was not opened. */
    const Cluster *cluster;
    const char *no_cluster;      /* It says why cluster is NULL. */
    const HealthRequest *health; /* It is what `status` asks. */
    bool wanted[CHECK_KINDS];
    bool is_copy;            /* The server is a copy, which must not archive anything. */
    const ProbeFile *probes; /* These probes are the operator's. NULL means that there are none. */
    /* They name, with commas between, what must be there. NULL means nothing. */
    const char *slots, *standbys;
    /* The directory that was replaced had these slots. The list ends with NULL, or is NULL. */
    const char *const *slots_before;
    uint64_t archive_wait_ms; /* WAL may take this long to arrive. */
    /* It takes a backup (--backup-after) and says in *text what came of it. NULL means that none is
     * to be taken now. */
    bool (*take_backup)(void *context, Arena *arena, const char **text, Error *err);
    void *context;
} AfterRequest;

/* What was found of the server on the way. */
typedef struct AfterSight {
    bool is_open; /* The server can be written to. When it is false, the server is in recovery. */
    /*
     * The server writes on this timeline. 0 means that it writes on none, or that it is not known.
     */
    uint32_t timeline;
} AfterSight;

/* ERR_INTERRUPTED; all else is a result. */
bool after_check(const AfterRequest *request, CheckList *list, AfterSight *sight,
                 Error *err) MUST_CHECK;
