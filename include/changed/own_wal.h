/*
 * own_wal.h - whether what the archive has of a timeline was written by the server that is asked.
 *
 * A server that was set back (a snapshot of its disk, a copied directory) goes on from an earlier
 * place under the same number of a timeline: the archive keeps the WAL of what is no more, refuses
 * what comes now, and its lists of blocks are about changes that this server never made. A link
 * from record to record does not show it, since two histories of like work have like positions.
 *
 * So there must be a proof, for the newest archived segment, which those before it lead to: the
 * server still has that very file, perhaps under another name, or it was archived since the backup
 * was about to begin. The
 * archive takes no second content under a name, and the server keeps what was not taken. A backup
 * begins with a new segment, so the one before it is on its way: that is waited for if need be.
 */
#pragma once

#include "walk/inventory.h"

typedef struct OwnWalQuestion {
    const Cluster *cluster;
    const WalInventory *inventory; /* It lists the whole archive. */
    uint32_t timeline;
    Lsn insert;         /* The server writes here. It was asked after the archive was listed. */
    const char *pg_wal; /* It is the server's. */
    Lsn start;          /* The backup starts here. */
    TimeUs since;       /* It lies before the beginning of the backup, by the store's clock. */
    uint64_t wait_ms;   /* The segment before the start may take this long to be archived. */
} OwnWalQuestion;

/*
 * *why_not: why it is not proven, for people, to be freed; NULL: it is, also when the archive has
 * nothing of the timeline. ERR_UNREACHABLE, ERR_INTERRUPTED and the like only.
 */
bool own_wal_check(const OwnWalQuestion *question, char **why_not, Error *err) MUST_CHECK;
