/*
 * rebuild.h - the files of a backup, each byte verified, written by several threads.
 *
 * global/pg_control is not among them: run.c writes it when all else is durable.
 */
#pragma once

#include "restore/restore.h"

/* The data directory, the locations of tablespaces, the place of extra files. */
bool rebuild_places(const RestorePlan *plan, Error *err) MUST_CHECK;

/* Directories with their modes, and the links to tablespaces. They come before every file. */
bool rebuild_skeleton(const RestorePlan *plan, Error *err) MUST_CHECK;

/* is_synced: fsync each file (where syncfs does not serve, see durability.h). */
bool rebuild_files(const Cluster *cluster, const RestorePlan *plan, unsigned jobs, bool is_synced,
                   Progress *progress, RestoreReport *report, Error *err) MUST_CHECK;

/* fsync of every directory, for file systems where syncfs does not serve. */
bool rebuild_sync_directories(const RestorePlan *plan, Error *err) MUST_CHECK;

/* The bytes of one small file, verified; global/pg_control is read so. size bytes at raw. */
bool rebuild_read_small(const Cluster *cluster, const Manifest *manifest,
                        const ManifestEntry *entry, void *raw, Error *err) MUST_CHECK;

/* Whether a restore writes this entry as a file of the data directory (pg_control included). */
bool rebuild_wants(const ManifestEntry *entry);

/* Where an entry goes (caller frees): in the data directory, or for extras where plan says. */
char *rebuild_path(const RestorePlan *plan, const ManifestEntry *entry);

/* Numbers of the owner recorded by name; the data directory's own where the name is not known. */
void rebuild_owner(const RestorePlan *plan, const ManifestEntry *entry, uid_t *uid, gid_t *gid);
