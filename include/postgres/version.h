/*
 * version.h - which server a cluster belongs to, 13 to 18.
 *
 * Constants: catalog/catversion.h, catalog/pg_control.h, access/xlog_internal.h of each release.
 */
#pragma once

#include "base/error.h"

typedef struct PgVersion {
    unsigned major;           /* It is, for example, 15. */
    uint32_t control_version; /* It is pg_control_version: 1300 (13..16), 1700, 1800. */
    uint32_t catalog_version; /* It is catalog_version_no. */
    uint16_t wal_magic;       /* It is XLOG_PAGE_MAGIC. */
} PgVersion;

enum { PG_MAJOR_MIN = 13, PG_MAJOR_MAX = 18 };

/* NULL when there is none. */
const PgVersion *pg_version_of_major(unsigned major);
const PgVersion *pg_version_of_catalog(uint32_t catalog_version);
const PgVersion *pg_version_of_wal_magic(uint16_t wal_magic);
