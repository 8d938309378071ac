/*
 * probes.h - is the recovered database whole? What is asked of it, once it is open.
 *
 *   connect      each database lets us in, and its catalog can be read
 *   collation    what its indexes were sorted by is what this host has
 *   library      every function's and every preloaded library is on this host
 *   unlogged     tables that are empty after any recovery
 *   amcheck      each btree index is in order (the extension must be on this host)
 *   tables       with read_all: every row of every table is read, and counted
 *   NAME         the operator's own SQL (probe_file.h)
 *
 * A probe that fails is data; an Error means that we could not look on.
 */
#pragma once

#include "drill/evidence.h"
#include "drill/probe_file.h"

typedef struct ProbeRequest {
    const char *socket, *role; /* how to get in: safe_copy.h */
    unsigned major;
    bool read_all;
    const ProbeFile *file;        /* the operator's; NULL: none */
    const char *const *preloaded; /* libraries that the original preloads; NULL-terminated */
    const Evidence *before;       /* the last drill that passed; NULL: none */
} ProbeRequest;

enum { PROBES_MAX = 600, COUNTS_MAX = 2000, PROBE_TEXT_MAX = 400 };

typedef struct ProbeReport {
    Probe *items;
    size_t count;
    Count *counts;
    size_t count_count;
    uint64_t server_version; /* 150018 */
    Arena arena;
} ProbeReport;

/* ERR_INTERRUPTED; ERR_RECOVERY when the server does not answer, or dies of a probe. */
bool probes_run(const ProbeRequest *request, ProbeReport *report, Error *err) MUST_CHECK;
void probe_report_done(ProbeReport *report); /* for CLEANUP() */

/* How many there are with this result. */
size_t probe_count(const ProbeReport *report, ProbeResult result);
/* The first one with this result; NULL: there is none. */
const Probe *probe_first(const ProbeReport *report, ProbeResult result);
