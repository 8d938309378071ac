/*
 * wal_effect.h - what a WAL record does to files beside the blocks that it refers to
 * (wal_reference.h): what somebody must know who wants to tell which blocks are as they were.
 *
 * What pg_rewind (parsexlog.c, extractPageInfo) and the server's own summaries (walsummarizer.c)
 * look at, of 13 to 18. An effect says more than needed rather than less.
 */
#pragma once

#include "postgres/data_directory.h"
#include "postgres/wal_changes.h"

typedef enum WalEffectKind {
    /*
     * Nothing of this fork from `block` on is as it was. The fork was created or removed (block is
     * 0) or truncated there, and what it has there now came later.
     */
    EFFECT_CUT = 1,
    /*
     * Nothing of the database in this tablespace is as it was: its directory was created, copied or
     * removed.
     */
    EFFECT_DATABASE = 2,
    EFFECT_TABLESPACE = 3, /* Nothing of the tablespace is as it was: it was created or removed. */
    /*
     * The record says that it does something, but it is not known what. Or it is an extension's
     * record, which may do anything when it is replayed.
     */
    EFFECT_UNKNOWN = 4,
} WalEffectKind;

typedef struct WalEffect {
    WalEffectKind kind;
    RelationFile file; /* It has what matters for the kind. The rest is 0. */
    ForkKind fork;
    uint32_t block;
} WalEffect;

/*
 * Calls it for each effect: for none of nearly all records. Of a record whose bytes are not there,
 * or not all of them, it is EFFECT_UNKNOWN if it could have one; only that the end of a transaction
 * removes files is left out then. Nobody needs that: what has one of their numbers later was
 * created by a record of its own (catalog/storage.c, RelationCreateStorage).
 */
typedef void WalEffectFunction(void *context, const WalEffect *effect);
void wal_effects_of(const WalRecord *record, const PgVersion *version, WalEffectFunction *on_effect,
                    void *context);

/* Whether it can have any, by its kind alone: the first question, of each record. */
static inline bool wal_effect_is_possible(const WalRecord *record)
{
    enum { SPECIAL_RELATION_UPDATE = 0x01 }; /* XLR_SPECIAL_REL_UPDATE */

    return (record->info & SPECIAL_RELATION_UPDATE) != 0 || record->rmgr == RMGR_TABLESPACE ||
           record->rmgr == RMGR_STORAGE || record->rmgr == RMGR_DATABASE ||
           record->rmgr > RMGR_LAST;
}
