/*
 * prepared.h - the prepared transactions that a stretch of WAL leaves open: PREPARE TRANSACTION was
 * acknowledged, and neither a commit nor a rollback of it follows in the stretch.
 *
 *     CLEANUP(prepared_done) Prepared open = {0};
 *     prepared_add(&open, record, version);              each record of the stretch, in its order
 *     prepared_count(&open), prepared_last(&open)
 *
 * Source: twophase.c, StartPrepare and FinishPreparedTransaction.
 */
#pragma once

#include "base/buffer.h"
#include "base/time.h"
#include "postgres/wal_reader.h"

typedef struct Prepared {
    Buffer open; /* It has one entry for each that is open. */
} Prepared;

void prepared_done(Prepared *prepared); /* for CLEANUP() */
/* Whether the record is a PREPARE TRANSACTION; *time: when, if it is. */
bool prepared_add(Prepared *prepared, const WalRecord *record, const PgVersion *version,
                  TimeUs *time);
size_t prepared_count(const Prepared *prepared);
/* When the latest of them was prepared; TIME_US_NONE: none is open. */
TimeUs prepared_last(const Prepared *prepared);
