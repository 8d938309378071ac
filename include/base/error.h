/*
 * error.h - how a function says why it failed.
 *
 * A function that can fail returns bool (or a pointer, NULL on failure) and takes `Error *err`
 * last. An Error is a plain value: nothing to free, safe to copy, and a worker thread hands one
 * to the main thread by assignment.
 *
 *     if (!file_writer_open(&out, path, err))
 *         return error_context(err, "save manifest of backup %s", id);
 *
 * Who prints it? Only main(). Everybody else returns it.
 */
#pragma once

#include "base/base.h"

/*
 * The code is also the exit status of the process, and stays in 1..125: docs/exit-codes.md.
 * 1 is an answer, not a failure: PostgreSQL ends recovery on it. Nothing that merely went wrong,
 * least of all a bug, may come out as 1.
 */
typedef enum ErrorCode {
    ERR_NONE = 0,
    ERR_ABSENT = 1, /* This answer is negative: the WAL asked for is proven not to exist. */
    ERR_USAGE = 2,  /* The command line or the configuration file is wrong. */
    /* The work is done, but with bad pages under "warn", or WAL is still awaited. */
    ERR_DEGRADED = 3,
    ERR_REFUSED = 4,      /* A check said no. Nothing changed, and trying again will not help. */
    ERR_BUSY = 5,         /* Another run holds the lease. */
    ERR_NOT_FOUND = 6,    /* There is no such backup, cluster or target. */
    ERR_UNREACHABLE = 7,  /* The repository or server did not answer. It may work later. */
    ERR_CORRUPT = 8,      /* Stored data is damaged, missing or inconsistent. */
    ERR_KEY = 9,          /* The encryption key is missing or wrong. */
    ERR_POSTGRES = 10,    /* PostgreSQL said no. */
    ERR_VERSION = 11,     /* This program does not know that version of the server or the format. */
    ERR_INTERRUPTED = 12, /* A signal ended it. */
    /* Recovery failed, did not reach its target, or a drill or probe failed. */
    ERR_RECOVERY = 13,
    ERR_IO = 14,     /* A local system call failed: the disk is full, or access is denied. */
    ERR_EXISTS = 15, /* The name exists with other content. */
    /* These three are verdicts of `status`, which exits with 1, 2 and 3 for them. */
    ERR_WARNING = 16,
    ERR_CRITICAL = 17, /* Its answer has said what they are about. Nothing else ever sets them. */
    ERR_UNKNOWN = 18,
    ERR_INTERNAL = 70, /* This program has a bug. */
} ErrorCode;

typedef struct Error {
    ErrorCode code;
    int os_errno; /* It is the errno of the failed system call, or 0. */
    /* It names the cause in one line, in lower case, without a full stop; "..." marks a cut. */
    char message[512];
    /* It says what was being done, outermost first: "restore: fetch base/5/1259". */
    char context[1024];
    char hint[1024]; /* It says what the operator can do about it, or is "". */
} Error;

/*
 * Record the cause. err must be clear: the first error wins, and losing one is a bug.
 * Always returns false, so a failing path is one statement: return error_set(...).
 */
bool error_set(Error *err, ErrorCode code, const char *format, ...) PRINTF_LIKE(3, 4);

/*
 * The same for a failed system call: appends ": " and the text of os_errno. When both do not fit
 * the formatted part (a long path, say) is cut, never the text of os_errno.
 */
bool error_set_errno(Error *err, ErrorCode code, int os_errno, const char *format, ...)
    PRINTF_LIKE(4, 5);

/*
 * Say what was being done when err happened, in front of what inner functions said.
 * When the text outgrows its field the outermost words are dropped, never the cause.
 * Always returns false.
 */
bool error_context(Error *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* Say what the operator can do. The innermost hint is kept. Always returns false. */
bool error_hint(Error *err, const char *format, ...) PRINTF_LIKE(2, 3);

/*
 * What failed in an attempt fails the caller as well: err becomes `attempt`, as it is. Always
 * returns false.
 */
bool error_pass(Error *err, const Error *attempt);

/* Whether it came of a file system that is full, or a quota that is used up. */
bool error_is_no_room(const Error *err);

/* Forget a handled error, so that err can be used again. */
void error_clear(Error *err);

/*
 * "Always returns false" is told to the compiler too. Otherwise it would follow paths that don't
 * exist, and warn about variables that only the successful paths set.
 */
static inline bool error_is_false(bool result)
{
    (void)result;
    return false;
}
#define error_set(...)       error_is_false(error_set(__VA_ARGS__))
#define error_set_errno(...) error_is_false(error_set_errno(__VA_ARGS__))
#define error_context(...)   error_is_false(error_context(__VA_ARGS__))
#define error_hint(...)      error_is_false(error_hint(__VA_ARGS__))
#define error_pass(...)      error_is_false(error_pass(__VA_ARGS__))
