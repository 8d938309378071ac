/*
 * libpq.h - the functions of libpq that we call, found when the first session is opened.
 *
 * Linking libpq costs its loading (and that of OpenSSL, Kerberos, LDAP) at each start of the
 * program, and the server starts us for every WAL segment. So only its headers are needed to
 * build, and its soname at run time.
 */
#pragma once

#include "base/error.h"

#include <libpq-fe.h>

#define LIBPQ_FUNCTIONS(FUNCTION)                                                                  \
    FUNCTION(PQconnectStartParams)                                                                 \
    FUNCTION(PQconnectPoll)                                                                        \
    FUNCTION(PQconnectionNeedsPassword)                                                            \
    FUNCTION(PQconninfo)                                                                           \
    FUNCTION(PQconninfoFree)                                                                       \
    FUNCTION(PQconninfoParse)                                                                      \
    FUNCTION(PQfreemem)                                                                            \
    FUNCTION(PQstatus)                                                                             \
    FUNCTION(PQsocket)                                                                             \
    FUNCTION(PQerrorMessage)                                                                       \
    FUNCTION(PQfinish)                                                                             \
    FUNCTION(PQserverVersion)                                                                      \
    FUNCTION(PQsetErrorVerbosity)                                                                  \
    FUNCTION(PQsetNoticeProcessor)                                                                 \
    FUNCTION(PQsetnonblocking)                                                                     \
    FUNCTION(PQsendQuery)                                                                          \
    FUNCTION(PQsendQueryParams)                                                                    \
    FUNCTION(PQflush)                                                                              \
    FUNCTION(PQconsumeInput)                                                                       \
    FUNCTION(PQisBusy)                                                                             \
    FUNCTION(PQgetResult)                                                                          \
    FUNCTION(PQresultStatus)                                                                       \
    FUNCTION(PQresultErrorField)                                                                   \
    FUNCTION(PQresultErrorMessage)                                                                 \
    FUNCTION(PQntuples)                                                                            \
    FUNCTION(PQnfields)                                                                            \
    FUNCTION(PQgetvalue)                                                                           \
    FUNCTION(PQgetisnull)                                                                          \
    FUNCTION(PQclear)                                                                              \
    FUNCTION(PQgetCopyData)                                                                        \
    FUNCTION(PQputCopyData)                                                                        \
    FUNCTION(PQputCopyEnd)                                                                         \
    FUNCTION(PQgetCancel)                                                                          \
    FUNCTION(PQcancel)                                                                             \
    FUNCTION(PQfreeCancel)

/* One pointer of the right type for each, under its own name. */
typedef struct Libpq {
#define LIBPQ_POINTER(name) __typeof__ (&(name))(name);
    LIBPQ_FUNCTIONS(LIBPQ_POINTER)
#undef LIBPQ_POINTER
} Libpq;

/* NULL with ERR_USAGE and a hint when the library is not installed. Any thread. */
const Libpq *libpq_load(Error *err) MUST_CHECK;
