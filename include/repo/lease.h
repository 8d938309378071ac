/*
 * lease.h - whoever is at work says so: who it is and what must be kept for it.
 *
 * Immutable objects lease/HOLDER.SEQ; renewing stores the next SEQ and removes the last but one.
 * One backup at a time and cluster, and one that removes; any number of readers. Who removes lists
 * them (lease_list_load()) after it has said what it is about to remove (repo/condemned.h): of two
 * that both store before they list one sees the other. docs/format.md, chapter 7.
 */
#pragma once

#include "postgres/wal_name.h"
#include "repo/repo.h"

typedef struct Lease Lease;

#define LEASE_BACKUP "backup"
#define LEASE_EXPIRE "expire"
#define LEASE_READ   "read" /* any number side by side; holds for a day without a renewal */

enum { LEASE_READ_EVERY_MS = 30 * 60 * 1000 };

typedef struct LeaseRequest {
    const char *kind;   /* one of the words above */
    const char *backup; /* that is read; NULL: none, or all */
    uint32_t timeline;  /* whose WAL ... */
    Lsn start;          /* ... from here on must be kept; 0: not known yet */
} LeaseRequest;

/*
 * Take the lease. A holder that is dead (same host; other boot, or no such process) is taken over
 * at once. ERR_BUSY naming the holder, since when, and until when its lease would hold if it were
 * dead; held leases of other hosts expire by the store's clock, 10 minutes after the last renewal.
 */
bool lease_take(const Cluster *cluster, const LeaseRequest *request, Lease **lease,
                Error *err) MUST_CHECK;

/*
 * The same for a reader, as far as the store lets it: who may not write reads without one, and has
 * two graces from when the backup was condemned. *lease NULL then. backup NULL: all of them.
 * A thread renews it each every_ms (LEASE_READ_EVERY_MS) until it is given back.
 */
void lease_take_to_read(const Cluster *cluster, const char *backup, uint64_t every_ms,
                        Lease **lease);

/* Renew when due (every minute), and when timeline and start changed. Cheap to call often. */
bool lease_renew(Lease *lease, uint32_t timeline, Lsn start, Error *err) MUST_CHECK;

/*
 * Whether it is still ours, by looking at the store (renews it too). ERR_BUSY when it was taken
 * over or expired.
 */
bool lease_check(Lease *lease, Error *err) MUST_CHECK;

/* When it was renewed last, by the store's clock: what `now` is to whoever judges ages. */
TimeUs lease_stored_at(const Lease *lease);

/* Somebody at work. Texts in the list's arena. */
typedef struct LeaseInfo {
    const char *holder;  /* 16 hex digits */
    const char *purpose; /* "" when it can't be read: then it may be any */
    const char *backup;  /* "" when it names none: then it may be any */
    uint32_t timeline;   /* 0: not known */
    Lsn start;
    const char *host;
    uint64_t pid;
    TimeUs stored_at; /* of its last renewal, by the store's clock */
    bool is_void;     /* it has ended, or was not renewed in time: it counts for nothing */
} LeaseInfo;

typedef struct LeaseList {
    LeaseInfo *items; /* by holder; those that are void too */
    size_t count;
    Arena arena;
} LeaseList;

/* All but one's own. now: by the store's clock, lease_stored_at() of a fresh one. */
bool lease_list_load(LeaseList *list, const Cluster *cluster, const Lease *own, TimeUs now,
                     Error *err) MUST_CHECK;
void lease_list_done(LeaseList *list); /* for CLEANUP() */
/* Remove the objects of one that is void. Best effort. */
void lease_list_remove(const Cluster *cluster, const LeaseInfo *info);

/* For CLEANUP(): gives it back (best effort; a dead holder's is taken over anyway). */
void lease_freep(Lease **lease);
