/*
 * probes.h - is a recovered database whole? What is asked of it, once it is open.
 *
 *   answer       the server answers
 *   connect      each database lets us in, and its catalog can be read
 *   tablespace   each has its directory
 *   files        each relation has its file
 *   pages        each page's checksum and head, by the files (where `data` is told)
 *   collation    what its indexes were sorted by is what this host has
 *   library      every function's and every preloaded library is on this host
 *   unlogged     tables that are empty after any recovery
 *   amcheck      each btree index is in order, and each table from 14 on (the extension must be on
 *                this host). With read_all each row must be in the table's indexes, too
 *   tables       with read_all: every row of every table is read, and counted
 *   NAME         the operator's own SQL (probe_file.h)
 *   since the last drill    sequences that stand further back, tables with less than half of their
 *                rows, and those that are gone: noted, as only the operator knows what is right
 *
 * A probe that fails is data; an Error means that we could not look on. Any server can be asked,
 * not a drill's alone: how to get in is the caller's to say, and only a copy is written to.
 */
#pragma once

#include "drill/evidence.h"
#include "drill/probe_file.h"

/* A connection string for a session of a superuser, in the arena. */
typedef const char *ProbeConninfo(void *context, const char *database, bool is_read_only,
                                  Arena *arena);

typedef struct ProbeRequest {
    ProbeConninfo *conninfo; /* It says how to connect. */
    void *conninfo_context;
    /* It is a database that lets us in. What concerns the whole cluster is asked there. */
    const char *database;
    bool is_copy; /* The copy is thrown away, so what a probe needs may be installed in it. */
    const char
        /*
         * It is the data directory, whose pages are read after a checkpoint. When it is NULL, they
         * are not read.
         */
        *data;
    unsigned major;
    bool read_all;
    const ProbeFile *file; /* It has the operator's probes. NULL means that there are none. */
    /* The original preloads these libraries. The list ends with NULL. */
    const char *const *preloaded;
    /* It is the dynamic_library_path of the original. NULL means that it is not set. */
    const char *library_path;
    /*
     * They are the last drills that passed and counted rows, or sequences. NULL means that there is
     * none.
     */
    const Evidence *before_rows, *before_sequences;
} ProbeRequest;

enum { PROBES_MAX = 600, COUNTS_MAX = 2000, PROBE_TEXT_MAX = 400 };

typedef struct ProbeReport {
    Probe *items;
    size_t count;
    size_t left_out; /* There was no room for this many findings: probe_room(). */
    Count *counts;
    size_t count_count;
    uint64_t server_version; /* It is, for example, 150018. */
    Arena arena;
} ProbeReport;

/* ERR_INTERRUPTED; ERR_RECOVERY when the server does not answer, or dies of a probe. */
bool probes_run(const ProbeRequest *request, ProbeReport *report, Error *err) MUST_CHECK;
void probe_report_done(ProbeReport *report); /* for CLEANUP() */

/*
 * Whether an error is of a host that has too little of something, or lacks a library: then it says
 * nothing of the backup. By the message's words (those of the C locale).
 */
bool probe_is_of_host(const char *message);

/*
 * A finding with this result is kept while there are fewer findings than this. Thousands of
 * databases that are well must not hide the one that is not, and what a host lacks must not hide
 * what the backup lacks. Pure.
 */
size_t probe_room(ProbeResult result);

/* How a number compares with that of a drill before. is NULL: there is none any more. Pure. */
typedef enum CountChange { COUNT_WITHIN, COUNT_LESS, COUNT_GONE } CountChange;
CountChange count_compare(const Count *was, const Count *is);

/* How many there are with this result. */
size_t probe_count(const ProbeReport *report, ProbeResult result);
/* The first one with this result; NULL: there is none. */
const Probe *probe_first(const ProbeReport *report, ProbeResult result);
