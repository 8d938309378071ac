/*
 * repo.h - an open repository, and the cluster in it that a command works for.
 */
#pragma once

#include "base/memory.h"
#include "storage/storage.h"

/* Plain data; open it with repo_open(). */
typedef struct Repo {
    Storage *storage;
    char id[33];        /* It has 32 hex digits. */
    uint64_t hash_seed; /* It is the seed of every XXH3 in the repository. */
    /* Format 1 has a place for it, but this version refuses to open such a repository. */
    bool is_encrypted;
} Repo;

enum { REPO_FORMAT = 1 };

/*
 * Create the repository at storage, or open it when it is there: repo takes the storage over in
 * every case. *created tells which. Probes the store first (storage_probe).
 */
bool repo_create(Repo *repo, Storage *storage, bool *created, Error *err) MUST_CHECK;

/*
 * ERR_NOT_FOUND with a hint (`pgcairn init`) when the place answers and holds no repository;
 * ERR_UNREACHABLE when it doesn't answer or is not there; ERR_VERSION for a newer format.
 */
bool repo_open(Repo *repo, Storage *storage, Error *err) MUST_CHECK;
void repo_done(Repo *repo); /* for CLEANUP() */

/*
 * Whether its place still holds this repository: asked by whoever stays open for long, since an
 * unmounted file system leaves a directory that takes everything. ERR_UNREACHABLE: none is
 * there. ERR_REFUSED: another one is.
 */
bool repo_check(const Repo *repo, Error *err) MUST_CHECK;

/*
 * A cluster as registered. A name always stands for one system identifier. pg_upgrade makes a new
 * one, whose timelines begin at 1 again, and its WAL gets a name of its own. Both names then know
 * each other (cluster_succeed()).
 */
typedef struct Cluster {
    Repo *repo;
    char name[64];
    /* The cluster had this name before pg_upgrade. "" means that nothing is known of that. */
    char predecessor[64];
    /* pg_upgrade made this cluster of it, the latest one if there are several. It may be "". */
    char successor[64];
    /* It is the system identifier of the successor. 0 means that there is none. */
    uint64_t successor_identifier;
    uint64_t system_identifier;
    unsigned major; /* It is the server's major version. */
    uint32_t wal_segment_size;
    unsigned registration; /* It is the number of this registration, from 1 on. */
    TimeUs registered_at;
} Cluster;

/* ERR_EXISTS: registered already, as something else (cluster tells what); the same is a success. */
bool cluster_register(Repo *repo, const char *name, uint64_t system_identifier, unsigned major,
                      uint32_t wal_segment_size, Cluster *cluster, bool *created,
                      Error *err) MUST_CHECK;

/*
 * Whether a cluster of this name, identifier and version may be what pg_upgrade made of `old`.
 * Looks at names and numbers only. ERR_REFUSED: it is `old` itself, or older, or came before it.
 */
bool cluster_check_successor(const Cluster *old, const char *name, uint64_t system_identifier,
                             unsigned major, Error *err) MUST_CHECK;

/*
 * Note in both registrations that `successor` is what pg_upgrade made of `old`, as new
 * registrations of the same clusters; both are updated. What is noted already is made durable and
 * left as it is, so a killed call is completed by the next one. A second successor (after a way
 * back from a first upgrade) takes the place of the first. ERR_REFUSED: `successor` came from
 * another one. ERR_EXISTS: somebody registered at the same time.
 */
bool cluster_succeed(Cluster *old, Cluster *successor, Error *err) MUST_CHECK;

/*
 * Adds a hint to a failure that met a server with this identifier and version (0: not known) where
 * `cluster` was meant, if that may come from an upgrade. False: it says nothing.
 */
bool cluster_hint_upgrade(const Cluster *cluster, uint64_t system_identifier, unsigned major,
                          Error *err);

/* The newest registration. ERR_NOT_FOUND with a hint when there is none. */
bool cluster_open(Repo *repo, const char *name, Cluster *cluster, Error *err) MUST_CHECK;

/*
 * Whether what was found at a server or in a file is this cluster. ERR_REFUSED naming both; the
 * message says what it would have done to go on.
 */
bool cluster_check(const Cluster *cluster, uint64_t system_identifier, unsigned major,
                   const char *what, Error *err) MUST_CHECK;

/* Names of all clusters in the repository, in list->objects[].name; sorted. */
bool repo_clusters(Repo *repo, ObjectList *list, Error *err) MUST_CHECK;
