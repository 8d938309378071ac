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
/* Any number may exist side by side. One holds for a day without a renewal. */
#define LEASE_READ "read"

enum { LEASE_READ_EVERY_MS = 30 * 60 * 1000 };

typedef struct LeaseRequest {
    const char *kind;   /* It is one of the words above. */
    const char *backup; /* This backup is being read. NULL means none, or all of them. */
    uint32_t timeline;  /* WAL of this timeline must be kept. */
    Lsn start;          /* The WAL must be kept from here on. 0 means that this is not known yet. */
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
    const char *holder;  /* It has 16 hex digits. */
    const char *purpose; /* It is "" when it can't be read. Then it may be any purpose. */
    const char *backup;  /* It is "" when the lease names none. Then it may be any backup. */
    uint32_t timeline;   /* 0 means that it is not known. */
    Lsn start;
    const char *host;
    uint64_t pid;
    TimeUs stored_at; /* It was last renewed then, by the store's clock. */
    bool is_void;     /* It has ended, or was not renewed in time, so it counts for nothing. */
} LeaseInfo;

typedef struct LeaseList {
    LeaseInfo *items; /* They are sorted by holder. Those that are void are there, too. */
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
