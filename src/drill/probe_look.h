/*
 * probe_look.h - one database while it is looked at: how findings are noted down.
 */
#pragma once

#include "drill/probes.h"
#include "server/session.h"

typedef struct ProbeLook {
    const ProbeRequest *request;
    ProbeReport *report;
    const char *database;
    Session *session; /* It is read-only. */
    const char *probe;
    TimeUs begin;
    size_t failed; /* This many checks of this probe failed. */
} ProbeLook;

/* A probe begins; what is put from then on is its finding. */
void probe_begin(ProbeLook *look, const char *probe);
void probe_put(ProbeLook *look, ProbeResult result, const char *text);
/* It has ended: `praise` when it has found nothing wrong. */
void probe_end(ProbeLook *look, const char *praise);

/* NULL on failure. */
Session *probe_session(const ProbeLook *look, const char *database, bool is_read_only,
                       Error *err) MUST_CHECK;

/*
 * What a probe's question met: the server's "no" is a finding. A lost connection means that the
 * server has died of it (ERR_RECOVERY), or that the session was ended: a new one tells which.
 * ERR_INTERRUPTED.
 */
bool probe_refused(ProbeLook *look, const char *about, Error *attempt, Error *err) MUST_CHECK;

/* "what: a, b, c" for what a query of one column finds; nothing is told when it finds nothing. */
bool probe_tell_names(ProbeLook *look, const char *query, ProbeResult result, const char *what,
                      Error *err) MUST_CHECK;

/* Every column of every row, one after another; NULL is "". */
typedef struct Texts {
    const char **items;
    size_t count, capacity;
    size_t columns; /* It is set before the rows are read. */
    Arena arena;
} Texts;

bool take_texts(void *context, const char *const *values, Error *err); /* a SessionRowFunction */
void texts_done(Texts *texts);                                         /* for CLEANUP() */
