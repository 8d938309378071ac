/*
 * acknowledgement.h - local notes that a segment is durable in the repository: archive-push writes
 * one for each segment that it pushed before it was asked to, and answers by it when it is asked.
 *
 * A note is a record file SPOOL/REPOSITORY/CLUSTER/SEGMENT (docs/format.md, chapter 9). It is
 * written after the segment is durable and never the other way round, so it needs no sync: after a
 * power failure it is there or not, and its segment is.
 */
#pragma once

#include "wal/wal_object.h"

#include <sys/stat.h>

typedef struct Acknowledgements {
    const Cluster *cluster;
    char *directory; /* It is SPOOL/REPOSITORY/CLUSTER. */
} Acknowledgements;

/*
 * Make the directories below spool that are missing (spool itself, too, if its parent is there).
 * ERR_REFUSED when somebody else could write a note there, ERR_IO.
 */
bool acknowledgements_open(Acknowledgements *notes, const Cluster *cluster, const char *spool,
                           Error *err) MUST_CHECK;
void acknowledgements_done(Acknowledgements *notes); /* for CLEANUP() */

/* source: what the file at path was when the segment with this trailer was made of it. */
bool acknowledgement_write(const Acknowledgements *notes, const char *path,
                           const struct stat *source, const WalTrailer *trailer,
                           Error *err) MUST_CHECK;

/*
 * Whether there is a note about exactly this file, and the archive still has the very object that
 * the note is about. The note is used up. False whenever there is a doubt: then the file is
 * pushed as if there had never been a note.
 */
bool acknowledgement_holds(const Acknowledgements *notes, const char *path, WalTrailer *trailer);

/* Remove notes about files that no longer wait: no NAME.ready in this directory. Best effort. */
void acknowledgements_clean(const Acknowledgements *notes, const char *status_directory);
