/*
 * repo.h - an open repository, and the cluster in it that a command works for.
 */
#pragma once

#include "base/memory.h"
#include "storage/storage.h"

/* Plain data; open it with repo_open(). */
typedef struct Repo {
    Storage *storage;
    char id[33];        /* 32 hex digits */
    uint64_t hash_seed; /* The seed of every XXH3 in it. */
    bool is_encrypted;  /* format 1 has the place for it; this version refuses to open one */
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

/* A cluster as registered. */
typedef struct Cluster {
    Repo *repo;
    char name[64];
    uint64_t system_identifier;
    unsigned major; /* server version */
    uint32_t wal_segment_size;
    unsigned registration; /* its number, 1 first */
    TimeUs registered_at;
} Cluster;

/* ERR_EXISTS: registered already, as something else (cluster tells what); the same is a success. */
bool cluster_register(Repo *repo, const char *name, uint64_t system_identifier, unsigned major,
                      uint32_t wal_segment_size, Cluster *cluster, bool *created,
                      Error *err) MUST_CHECK;

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
