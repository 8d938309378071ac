/*
 * way_in.h - as whom, and through which database, the copy can be asked.
 *
 * Its first superuser can have any name and may be kept from logging in, template1 is often closed
 * (datallowconn) and postgres can be gone: none of it is the backup's fault. Names are read from
 * the files of pg_authid and pg_database, before the server is started; which of them lead in is
 * tried once it is open.
 */
#pragma once

#include "drill/safe_copy.h"

typedef struct WayIn {
    /* They end with NULL, and the likeliest comes first. */
    const char *const *roles;     /* They are superusers who may log in, as far as the files say. */
    const char *const *databases; /* They are "postgres", "template1" and then all others. */
} WayIn;

/* Of a data directory that is not running. Lists are empty when nothing can be read. */
void way_in_find(const char *data, unsigned major, Arena *arena, WayIn *way);

/*
 * The first role and database that the server lets in, into session. ERR_REFUSED: it lets nobody
 * in; ERR_UNREACHABLE, ERR_INTERRUPTED.
 */
bool way_in_try(const WayIn *way, SafeSession *session, Error *err) MUST_CHECK;
