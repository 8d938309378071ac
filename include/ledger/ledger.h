/*
 * ledger.h - what was done before: the entries of the journal, read back.
 *
 *     CLEANUP(ledger_done) Ledger ledger = {0};
 *     if (!ledger_load(&ledger, &cluster, &request, err))
 *         return false;
 *     for (size_t i = 0; i < ledger.count; i++)          // the newest first
 *
 * Losing an entry loses no data, and the ledger is never an authority on what can be restored: it
 * tells when something was done, how it ended, and what it took.
 */
#pragma once

#include "ledger/measure.h"
#include "repo/repo.h"

enum { LEDGER_OPERATION_SIZE = 32 };

typedef struct LedgerEntry {
    const char *object;
    char operation[LEDGER_OPERATION_SIZE];
    unsigned status; /* It is the exit status. */
    TimeUs started, finished;
    const char *host; /* It is "" when the entry does not say. */
    Record record;    /* It has the whole entry. */
} LedgerEntry;

typedef struct LedgerRequest {
    const char *const *operations; /* They end with NULL. NULL means every operation. */
    /*
     * At most this many are taken of each operation, the newest ones. 0 means that only the next
     * field limits them.
     */
    size_t each;
    /* Only entries that ended at this time or later are loaded. TIME_US_NONE means all. */
    TimeUs since;
} LedgerRequest;

typedef struct Ledger {
    LedgerEntry *items; /* The newest comes first, by when they ended. */
    size_t count;
    size_t unreadable; /* This many entries are damaged, or newer than this program. */
    Arena arena;
} Ledger;

enum { LEDGER_ENTRIES_MAX = 1000 };

/* At most LEDGER_ENTRIES_MAX. What can't be read is counted and left out. ERR_UNREACHABLE,
 * ERR_IO. */
bool ledger_load(Ledger *ledger, const Cluster *cluster, const LedgerRequest *request,
                 Error *err) MUST_CHECK;
void ledger_done(Ledger *ledger); /* for CLEANUP() */

/* What the restores and drills of these entries took that ended well, the newest first; *count. */
RestoreMeasure *ledger_measures(const Ledger *ledger, Arena *arena, size_t *count);
/* Of the last ones in the journal: a few dozen small objects are read. */
bool ledger_load_measures(const Cluster *cluster, Arena *arena, RestoreMeasure **measures,
                          size_t *count, Error *err) MUST_CHECK;

/*
 * What a journal object's name says, "CLUSTER/journal/20261122T031512.123Z-backup-9f2c81d4": when
 * it was written and the operation. False: it is not one.
 */
bool ledger_name_parse(const char *object, TimeUs *at, char operation[LEDGER_OPERATION_SIZE]);
