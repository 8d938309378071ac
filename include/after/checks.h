/*
 * checks.h - what is looked at once a database is back: the list that an operator would go through,
 * each with what was found.
 *
 *     answer     the server accepts connections
 *     databases  each database lets us in
 *     probes     the operator's own SQL gives what is expected (drill/probe_file.h)
 *     content    only when it is named: each table is read, indexes are checked by amcheck where
 * that is installed, libraries are there (drill/probes.h) archive    WAL of the timeline that it is
 * on now gets into the repository standbys   replication slots and standbys are those that are
 * expected backup     the first backup of the new timeline status     what monitoring sees:
 * `pgcairn status`
 *
 * A check that fails is data. While recovery is paused only the first four can be made; a copy
 * (--as-copy) has none of the later ones.
 */
#pragma once

#include "base/error.h"
#include "base/memory.h"
#include "base/time.h"

typedef enum CheckKind {
    CHECK_ANSWER,
    CHECK_DATABASES,
    CHECK_PROBES,
    CHECK_CONTENT,
    CHECK_ARCHIVE,
    CHECK_STANDBYS,
    CHECK_BACKUP,
    CHECK_STATUS,
    CHECK_KINDS,
} CheckKind;
const char *after_check_name(CheckKind kind); /* It returns, for example, "databases". */

typedef enum CheckResult {
    CHECK_PASSED,
    CHECK_NOTED,   /* Somebody should read it, but nothing is wrong. */
    CHECK_TO_DO,   /* It can't be done yet, and the text says what has to be done first. */
    CHECK_UNKNOWN, /* It could not be looked at. */
    CHECK_FAILED,
} CheckResult;
const char *check_result_name(CheckResult result); /* It returns, for example, "to do". */

typedef struct AfterCheck {
    CheckKind kind;
    CheckResult result;
    const char *text; /* It says in one line what was found. */
    /* It says what to do, or is "". Commands in it are written as in cli/hint.h. */
    const char *next;
    TimeUs elapsed;
} AfterCheck;

enum { CHECKS_MAX = 64, CHECK_TEXT_MAX = 400 };

/* Plain data; texts in the arena. */
typedef struct CheckList {
    AfterCheck items[CHECKS_MAX];
    size_t count;
    TimeUs begin; /* The check that is running began at this time_monotonic(). */
    Arena arena;
} CheckList;

/* From now on the time counts that checks_put() notes. */
void checks_begin(CheckList *list);
/* Of very many only the first CHECKS_MAX are kept. Texts are copied; one that is too long is cut.
 */
void checks_put(CheckList *list, CheckKind kind, CheckResult result, const char *text,
                const char *next);
/* How many came out so. */
size_t checks_count(const CheckList *list, CheckResult result);
/* The first that failed, else the first that could not be made; NULL: neither is there. */
const AfterCheck *checks_worst(const CheckList *list);
void checks_done(CheckList *list); /* for CLEANUP() */

/*
 * "none", or "all" and names with commas between: which are to be made. All is all but what takes
 * as long as there is data (content). ERR_USAGE, naming what is not a check.
 */
bool checks_parse(const char *text, bool wanted[CHECK_KINDS], Error *err) MUST_CHECK;
