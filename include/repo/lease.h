/*
 * lease.h - a writer at work says so: who it is and what must be kept for it.
 *
 * Immutable objects lease/HOLDER.SEQ; renewing stores the next SEQ and removes the last but one.
 * One backup at a time and cluster. docs/format.md, chapter 7.
 */
#pragma once

#include "postgres/wal_name.h"
#include "repo/repo.h"

typedef struct Lease Lease;

typedef struct LeaseRequest {
    const char *kind;  /* "backup" */
    uint32_t timeline; /* whose WAL ... */
    Lsn start;         /* ... from here on must be kept; 0: not known yet */
} LeaseRequest;

/*
 * Take the lease. A holder that is dead (same host; other boot, or no such process) is taken over
 * at once. ERR_BUSY naming the holder, since when, and until when its lease would hold if it were
 * dead; held leases of other hosts expire by the store's clock, 10 minutes after the last renewal.
 */
bool lease_take(const Cluster *cluster, const LeaseRequest *request, Lease **lease,
                Error *err) MUST_CHECK;

/* Renew when due (every minute), and when timeline and start changed. Cheap to call often. */
bool lease_renew(Lease *lease, uint32_t timeline, Lsn start, Error *err) MUST_CHECK;

/*
 * Whether it is still ours, by looking at the store (renews it too). ERR_BUSY when it was taken
 * over or expired.
 */
bool lease_check(Lease *lease, Error *err) MUST_CHECK;

/* For CLEANUP(): gives it back (best effort; a dead holder's is taken over anyway). */
void lease_freep(Lease **lease);
