/*
 * backup_run.h - one backup while it is being taken: what each of its steps leaves for the next
 * ones.
 *
 * The steps are the functions below, in the order in which backup_take() calls them.
 */
#pragma once

#include "backup/backup.h"
#include "completeness.h"
#include "postgres/control.h"
#include "repo/condemned.h"
#include "repo/lease.h"

typedef struct BackupRun {
    const Cluster *cluster;
    Session *session;
    const BackupRequest *request;
    BackupReport *report;

    ServerIdentity identity;
    const char *data; /* It is the real path. */
    PgControl control;
    Lease *lease;
    TimeUs lease_at; /* The lease was renewed then, by this host's clock. */
    TimeUs taken_at; /* The lease was stored then, before the start, by the store's clock. */
    /* It was loaded once the lease was stored. The backup refers to nothing in it. */
    CondemnedList condemned;
    Lsn start;
    uint32_t timeline;
    const char *history;        /* It is the history of the timeline, and "" for the first one. */
    Catalogue origin;           /* It says where each database was before the backup began. */
    Catalogue catalogue;        /* It says where each database was once the backup had begun. */
    bool has_new_database;      /* A database was made since the backup began. */
    const char **configuration; /* They are sorted. */
    size_t configuration_count;
    Scan scan;
    const char *databases; /* See database_names.h. */
    BackupStop stop;
    TimeUs started_at, stopped_at;
    bool had_others; /* Other backups had manifests right before this one's was stored. */
    Arena arena;
} BackupRun;

/* source.c: who the server is, whether this is its data directory, whether WAL is archived. */
bool run_check_source(BackupRun *run, Error *err) MUST_CHECK;
/* After the start: the data directory has seen this very backup's checkpoint. */
bool run_check_started(BackupRun *run, Error *err) MUST_CHECK;

/*
 * Before 15 temporary statistics are where a setting says, and no part of a backup wherever that is
 * in the data directory: the path relative to it, or NULL.
 */
bool run_find_statistics(BackupRun *run, const char **statistics, Error *err) MUST_CHECK;

/* Once the backup has begun and its files were listed: whether all that must exist is in run->scan.
 */
bool run_check_complete(BackupRun *run, Error *err) MUST_CHECK;

/* timeline.c: the history of run->timeline, stored in the archive if it is not there. */
bool run_save_history(BackupRun *run, Error *err) MUST_CHECK;

/* A path of the server's: relative to the data directory where it is in it, else as it is. */
const char *run_path_of(const BackupRun *run, const char *path);

/*
 * extras.c: the files that the configuration consists of, by the names that the server gives them;
 * those outside the data directory become entries of run->scan.
 */
bool run_find_configuration(BackupRun *run, Error *err) MUST_CHECK;
bool run_scan_extras(BackupRun *run, Error *err) MUST_CHECK;

/* wal_wait.c: whether the WAL from start to stop is whole in the archive; waits for it, bounded. */
void run_wait_for_wal(BackupRun *run);

/*
 * Whether a recovery of this backup would bring back each database that was made meanwhile, as far
 * as the WAL is in the archive: ERR_REFUSED, see copied.h. Nothing is read when none was made.
 */
bool run_check_copied(const BackupRun *run, Error *err) MUST_CHECK;

/* The server still has this backup in progress; *insert is where it writes WAL. */
bool run_ask_insert(BackupRun *run, Lsn *insert, Error *err) MUST_CHECK;

/*
 * backup.c: the two ends of what a backup and `expire` have agreed on (repo/condemned.h). The
 * lease, and after it what is condemned; the manifest, with a look before it and after it whether
 * all that it refers to is there and stays: else there is no such backup (ERR_BUSY). Only where
 * others may have been removed because of it the manifest stays all the same, and the hint says so.
 */
bool run_take_lease(BackupRun *run, Error *err) MUST_CHECK;
bool run_commit_manifest(BackupRun *run, const Manifest *manifest, Error *err) MUST_CHECK;
