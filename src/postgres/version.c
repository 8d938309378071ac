#include "postgres/version.h"

/*
 * XLOG_PAGE_MAGIC, PG_CONTROL_VERSION and CATALOG_VERSION_NO of the released branches. They are
 * frozen at the release of .0; only a development snapshot has others.
 */
static const PgVersion versions[] = {
    {.major = 13, .control_version = 1300, .catalog_version = 202007201, .wal_magic = 0xD106},
    {.major = 14, .control_version = 1300, .catalog_version = 202107181, .wal_magic = 0xD10D},
    {.major = 15, .control_version = 1300, .catalog_version = 202209061, .wal_magic = 0xD110},
    {.major = 16, .control_version = 1300, .catalog_version = 202307071, .wal_magic = 0xD113},
    {.major = 17, .control_version = 1700, .catalog_version = 202406281, .wal_magic = 0xD116},
    {.major = 18, .control_version = 1800, .catalog_version = 202506291, .wal_magic = 0xD118},
};

const PgVersion *pg_version_of_major(unsigned major)
{
    for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
        if (versions[i].major == major)
            return &versions[i];
    }
    return NULL;
}

const PgVersion *pg_version_of_catalog(uint32_t catalog_version)
{
    for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
        if (versions[i].catalog_version == catalog_version)
            return &versions[i];
    }
    return NULL;
}

const PgVersion *pg_version_of_wal_magic(uint16_t wal_magic)
{
    for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
        if (versions[i].wal_magic == wal_magic)
            return &versions[i];
    }
    return NULL;
}
