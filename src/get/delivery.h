/*
 * delivery.h - a WAL file on its way out of the archive: written under a temporary name, verified
 * to its last byte, and only then given its own.
 *
 * It is not synced: the server syncs what restore_command brought when it gives it its own name
 * (xlogarchive.c, KeepFileRestoredFromArchive: durable_rename), and recovery of every segment waits
 * for it.
 */
#pragma once

#include "base/buffer.h"
#include "postgres/wal_name.h"
#include "wal/wal_object.h"

typedef struct Delivery {
    const Cluster *cluster;
    const WalName *name;
    const char *file; /* It is the name as text. */
    /* The temporary name is in this folder, as for openat(2). It may be AT_FDCWD. */
    int folder;
    char *temp_path;
    int fd;      /* It begins as -1. */
    Buffer head; /* It has the first bytes of a segment, and all bytes of any other file. */
} Delivery;

/* Takes temp_path over. */
bool delivery_open(Delivery *delivery, char *temp_path, Error *err) MUST_CHECK;
void delivery_done(Delivery *delivery); /* for CLEANUP(): what has no name of its own goes */

/* A WalSink: the next bytes. */
bool delivery_take(void *delivery, const void *data, size_t size, Error *err) MUST_CHECK;

/* All bytes came: are they what the name says? ERR_CORRUPT. */
bool delivery_check_content(Delivery *delivery, Error *err) MUST_CHECK;

/* Fetch the whole file and check all of it. ERR_NOT_FOUND: the archive does not have it. */
bool delivery_fetch(Delivery *delivery, unsigned threads, Error *err) MUST_CHECK;

/* Its own name, in the folder; from here on the file stays. */
bool delivery_publish(Delivery *delivery, const char *path, Error *err) MUST_CHECK;
