/*
 * happenings.h - what happened, read from archived WAL: commits with what they dropped, restore
 * points, timelines.
 *
 * A transaction is known by its records: where it began, its database, the files that it created.
 * What a commit removes is told apart by that, as far as the WAL allows:
 *
 *   DROPPED   nothing took its place: the transaction created no file that stayed; or (from 15 on)
 *             the commit names the object of that number as dropped
 *   REPLACED  TRUNCATE, or a command that writes a relation anew (VACUUM FULL, CLUSTER, ALTER
 *             TABLE, REINDEX, ...): from 15 on the commit names no dropped object
 *   UNCLEAR   one or the other: a transaction that both removed and created files, on a server
 *             before 15 or beside real drops; or that began before what was read
 */
#pragma once

#include "postgres/wal_changes.h"
#include "walk/wal_scan.h"

typedef enum FileFate { FILE_DROPPED, FILE_REPLACED, FILE_UNCLEAR } FileFate;

typedef struct RemovedFile {
    RelationFile file;
    FileFate fate;
} RemovedFile;

/*
 * A database whose files went: at once, whatever became of the transaction. If it committed, it was
 * DROP DATABASE: ALTER DATABASE SET TABLESPACE removes the old files after its commit, without an
 * xid, and a CREATE DATABASE that fails removes its own (dbcommands.c, movedb, createdb).
 */
typedef struct RemovedDatabase {
    uint32_t oid;
    Lsn lsn; /* The record that removes them begins here. */
} RemovedDatabase;

/* A tablespace, which was empty; its directory went at once, too. */
typedef struct RemovedTablespace {
    uint32_t oid;
    Lsn lsn;
} RemovedTablespace;

typedef enum HappeningKind {
    HAPPENING_COMMIT,
    HAPPENING_RESTORE_POINT,
    HAPPENING_TIMELINE, /* A timeline begins. */
    HAPPENING_SHRINK,   /* A file was cut, as VACUUM does with empty pages at its end. */
    HAPPENING_REMOVAL,  /* Files of a database were removed, and the transaction did not commit. */
    HAPPENING_GAP,      /* There is WAL that can't be looked at. */
} HappeningKind;

/* All of it holds until the function that got it returns. */
typedef struct Happening {
    HappeningKind kind;
    Lsn lsn, end; /* The record begins at lsn, and ends at end. */
    TimeUs time;  /* TIME_US_NONE means that it is not known. */
    uint32_t xid; /* 0 means that there is none. */
    bool is_prepared;
    /* 0 means that it is not known, or that only shared relations were changed. */
    uint32_t database;

    /* With COMMIT, they are the removed relation files that others could see. */
    const RemovedFile *files;
    size_t file_count;
    bool is_cut_short; /* The record is too large to be read in full. */
    /*
     * They are the dropped relations that the transaction had not created, even those without files
     * (views, temporary ones). They are known from 15 on.
     */
    const WalDroppedObject *objects;
    size_t object_count;
    const RemovedDatabase *databases; /* It is set with COMMIT and REMOVAL. */
    size_t database_count;
    const RemovedTablespace *tablespaces;
    size_t tablespace_count;
    /* TRUNCATE was told this many relations. It is only known with wal_level=logical. */
    uint32_t truncated;

    const char *name;                 /* It is set with RESTORE_POINT. */
    uint32_t timeline, prev_timeline; /* They are set with TIMELINE. */
    RelationFile file;                /* It is set with SHRINK. */
    uint32_t pages;                   /* With SHRINK, this many pages are left. */
    const WalGap *gap;                /* It is set with GAP. */
} Happening;

/* Whether a commit removed something that somebody may want back. */
bool happening_is_drop(const Happening *entry);

typedef WalkStep HappeningFunction(void *context, const Happening *entry, Error *err);

typedef struct HappeningRequest {
    WalWalk walk; /* Its from and to are positions. 0 means that there is no bound. */
    /* They are times, and both are included. TIME_US_NONE means that there is no bound. */
    TimeUs from, to;
    /* Only drops and gaps are reported. Segments without drops are not decompressed. */
    bool only_drops;
    HappeningFunction *on_entry;
    void *context;
} HappeningRequest;

/*
 * Reports come in the order of the WAL. A time selects commits and restore points by their own
 * time, whose order need not be that of the WAL. Memory grows with the number of transactions that
 * are open at once.
 */
bool happenings_read(const HappeningRequest *request, WalScanEnd *end, Error *err) MUST_CHECK;

/*
 * Where a DROP DATABASE begins to be seen: the record that marks the database as invalid, which the
 * server writes before the transaction has an xid, or its first record. A restore that is to have
 * the database stops before. 0: not found within the segments that were looked at.
 */
bool happenings_drop_begin(const WalWalk *walk, uint32_t xid, Lsn removal, Lsn *begin,
                           Error *err) MUST_CHECK;
