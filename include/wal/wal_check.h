/*
 * wal_check.h - whether the content of a WAL file is what its name says.
 *
 * The same questions on the way in and on the way out: archive-push refuses what fails
 * (ERR_REFUSED), archive-get calls it damage (ERR_CORRUPT); the caller passes the code.
 */
#pragma once

#include "postgres/history.h"
#include "postgres/wal_reader.h"
#include "repo/repo.h"

/*
 * The first bytes of a segment (or a .partial): magic of the cluster's version, system identifier,
 * sizes, page address, and a timeline that is not newer than the name's.
 */
bool wal_check_header(const Cluster *cluster, const WalName *name, ErrorCode code,
                      const uint8_t *bytes, size_t size, WalSegmentHeader *header,
                      Error *err) MUST_CHECK;

/* Whole text of a history file: it reads, and its parents are older than the name's timeline. */
bool wal_check_history(const WalName *name, ErrorCode code, const char *text,
                       Error *err) MUST_CHECK;

/* Check the complete text of a .backup file: it must be about the backup that its name says. */
bool wal_check_backup_history(const Cluster *cluster, const WalName *name, ErrorCode code,
                              const char *text, Error *err) MUST_CHECK;
