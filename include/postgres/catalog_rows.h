/*
 * catalog_rows.h - names out of the files of the system catalogues, without a server: pg_class,
 * pg_namespace, pg_database, pg_authid, and the map that says in which file a catalogue is.
 *
 * Rows come from the pages as they lie on disk, of whatever transaction; of which a later one was
 * made, or that were never committed, is told as far as the row itself says it. In a backup that
 * is good enough for names, and for nothing else.
 *
 * Sources: catalog/pg_class.h, catalog/pg_authid.h, storage/bufpage.h, access/htup_details.h,
 * relmapper.c, 13 to 18.
 */
#pragma once

#include "base/base.h"
#include "postgres/version.h"

enum {
    PG_CLASS_OID = 1259,
    PG_AUTHID_OID = 1260,
    PG_DATABASE_OID = 1262,
    PG_NAMESPACE_OID = 2615,
    CATALOG_NAME_SIZE = 64, /* It is NAMEDATALEN. */
};

typedef struct CatalogRow {
    uint32_t oid;
    char name[CATALOG_NAME_SIZE];
    bool is_current; /* As far as its header says, no transaction has deleted or replaced it. */
    /* The next fields are only set for rows of pg_class. */
    uint32_t schema;
    uint32_t file; /* It is the relfilenode. 0 means a mapped catalogue, or no file. */
    char kind;     /* It is the relkind: 'r', 'i', 't', 'S', 'm', ... */
    /* The next fields are only set for rows of pg_authid. */
    bool is_superuser, can_login;
} CatalogRow;

typedef void CatalogRowFunction(void *context, const CatalogRow *row);

/*
 * Every row in the pages of a catalogue's file; what is not a page or no row is left out. catalog:
 * one of the oids above.
 */
void catalog_rows(uint32_t catalog, const PgVersion *version, const uint8_t *pages, size_t size,
                  CatalogRowFunction *on_row, void *context);

/* In which file a mapped catalogue is, by a pg_filenode.map; 0: the map does not say. */
uint32_t filenode_map_find(const uint8_t *map, size_t size, uint32_t oid);
