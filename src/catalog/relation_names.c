#include "catalog/relation_names.h"

#include "base/memory.h"
#include "pack/backed_up_file.h"
#include "postgres/catalog_rows.h"
#include "server/session.h"

#include <inttypes.h>
#include <stdlib.h>

enum { CATALOG_SIZE_MAX = 512 << 20 }; /* of one catalogue's files; a larger one gives no names */

/* Rows of one catalogue, sorted by oid or by file; each once. */
typedef struct RowList {
    Buffer rows; /* It holds CatalogRow. */
} RowList;

typedef struct DatabaseNames {
    uint32_t oid;
    RowList relations; /* They are sorted by file. */
    RowList oids;      /* They are the same rows, sorted by oid. */
    RowList schemas;   /* They are sorted by oid. */
    struct DatabaseNames *next;
} DatabaseNames;

struct RelationNames {
    const Cluster *cluster;
    const TimelinePath *path;
    const WalInventory *inventory;
    const char *conninfo;
    const PgVersion *version;
    bool has_backups;
    BackupList backups;
    bool was_asked;           /* The server was asked. */
    RowList live;             /* They are the databases that the server has. */
    const BackupInfo *backup; /* The catalogues of this backup are loaded. */
    Manifest manifest;
    bool has_databases;
    RowList databases; /* They are sorted by oid. */
    DatabaseNames *loaded;
    Error problem;
};

static CatalogRow *rows_of(const RowList *list, size_t *count)
{
    *count = list->rows.size / sizeof(CatalogRow);
    return (CatalogRow *)(void *)list->rows.data;
}

static void forget_backup(RelationNames *names)
{
    while (names->loaded != NULL) {
        DatabaseNames *database = names->loaded;

        names->loaded = database->next;
        buffer_done(&database->relations.rows);
        buffer_done(&database->oids.rows);
        buffer_done(&database->schemas.rows);
        mem_free(database);
    }
    buffer_done(&names->databases.rows);
    names->has_databases = false;
    manifest_done(&names->manifest);
    names->backup = NULL;
}

RelationNames *relation_names_new(const Cluster *cluster, const TimelinePath *path,
                                  const WalInventory *inventory, const char *conninfo)
{
    RelationNames *names = mem_alloc(sizeof *names);

    names->cluster = cluster;
    names->path = path;
    names->inventory = inventory;
    names->conninfo = conninfo;
    names->version = pg_version_of_major(cluster->major);
    return names;
}

void relation_names_freep(RelationNames **names)
{
    if (*names == NULL)
        return;
    forget_backup(*names);
    backup_list_done(&(*names)->backups);
    buffer_done(&(*names)->live.rows);
    mem_free(*names);
    *names = NULL;
}

const Error *relation_names_problem(const RelationNames *names)
{
    return &names->problem;
}

/* Names are an addition: what can't be obtained is left out, and said once. */
static void note_problem(RelationNames *names, const Error *err)
{
    if (names->problem.code == ERR_NONE)
        names->problem = *err;
}

static void names_take_row(void *context, const CatalogRow *row)
{
    buffer_append(context, row, sizeof *row);
}

static int oid_order(uint32_t a, uint32_t b)
{
    return a < b ? -1 : a > b;
}

static int rows_by_oid(const void *a, const void *b)
{
    const CatalogRow *left = a;
    const CatalogRow *right = b;
    int order = oid_order(left->oid, right->oid);

    return order != 0 ? order : left->is_current - right->is_current;
}

static int by_file(const void *a, const void *b)
{
    const CatalogRow *left = a;
    const CatalogRow *right = b;
    int order = oid_order(left->file, right->file);

    return order != 0 ? order : left->is_current - right->is_current;
}

/* The last of those with this number: of several versions of a row the current one. */
static const CatalogRow *find_row(const RowList *list, uint32_t number, bool is_by_file)
{
    size_t low = 0;
    size_t high;
    const CatalogRow *rows = rows_of(list, &high);
    size_t count = high;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint32_t found = is_by_file ? rows[middle].file : rows[middle].oid;

        if (found <= number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0 || low > count || (is_by_file ? rows[low - 1].file : rows[low - 1].oid) != number)
        return NULL;
    return &rows[low - 1];
}

static void sort_rows(RowList *list, int (*compare)(const void *, const void *))
{
    size_t count;
    CatalogRow *rows = rows_of(list, &count);

    if (count > 0)
        qsort(rows, count, sizeof rows[0], compare);
}

/* "base/16384/2619": all segments of it. False with the problem noted when it can't be read. */
static bool read_relation(RelationNames *names, const char *path, Buffer *pages)
{
    Error err = {0};

    for (unsigned segment = 0;; segment++) {
        CLEANUP(text_freep)
        char *name = segment == 0 ? text_format("%s", path) : text_format("%s.%u", path, segment);
        const ManifestEntry *entry = backed_up_file_find(&names->manifest, name);

        if (entry == NULL)
            return segment > 0;
        if (pages->size + entry->size > CATALOG_SIZE_MAX)
            return false;
        if (!backed_up_file_read(names->cluster, &names->manifest, entry, pages, &err)) {
            note_problem(names, &err);
            return false;
        }
    }
}

static void read_rows(RelationNames *names, const char *directory, uint32_t file, uint32_t catalog,
                      RowList *list)
{
    CLEANUP(buffer_done) Buffer pages = {0};
    CLEANUP(text_freep) char *path = text_format("%s/%" PRIu32, directory, file);

    if (file != 0 && read_relation(names, path, &pages))
        catalog_rows(catalog, names->version, pages.data, pages.size, names_take_row, &list->rows);
}

/* In which file a mapped catalogue of this directory is. */
static uint32_t mapped_file(RelationNames *names, const char *directory, uint32_t oid, Buffer *map)
{
    CLEANUP(text_freep) char *path = text_format("%s/pg_filenode.map", directory);

    if (map->size == 0 && !read_relation(names, path, map))
        return 0;
    return filenode_map_find(map->data, map->size, oid);
}

/* The catalogues that the map names have no file in pg_class. */
static void add_mapped(RowList *relations, const Buffer *map)
{
    size_t count;
    CatalogRow *rows = rows_of(relations, &count);

    for (size_t i = 0; i < count; i++) {
        if (rows[i].file == 0 && rows[i].oid < 16384)
            rows[i].file = filenode_map_find(map->data, map->size, rows[i].oid);
    }
}

/* The database's own directory, or that in the tablespace that it is in. */
static char *directory_of(const RelationNames *names, uint32_t oid)
{
    CLEANUP(text_freep) char *plain = text_format("base/%" PRIu32 "/pg_filenode.map", oid);
    CLEANUP(text_freep) char *end = text_format("/%" PRIu32 "/pg_filenode.map", oid);
    size_t end_size = strlen(end);

    if (backed_up_file_find(&names->manifest, plain) != NULL)
        return text_format("base/%" PRIu32, oid);
    for (size_t i = 0; i < names->manifest.entry_count; i++) {
        const char *path = names->manifest.entries[i].path;
        size_t size = strlen(path);

        if (strncmp(path, "pg_tblspc/", 10) == 0 && size > end_size &&
            strcmp(path + size - end_size, end) == 0)
            return text_format("%.*s", (int)(size - strlen("/pg_filenode.map")), path);
    }
    return NULL;
}

static void load_database(RelationNames *names, DatabaseNames *database)
{
    CLEANUP(text_freep) char *directory = directory_of(names, database->oid);
    CLEANUP(buffer_done) Buffer map = {0};
    const CatalogRow *schemas;

    if (directory == NULL)
        return;
    uint32_t file = mapped_file(names, directory, PG_CLASS_OID, &map);
    read_rows(names, directory, file, PG_CLASS_OID, &database->relations);
    sort_rows(&database->relations, rows_by_oid);
    schemas = find_row(&database->relations, PG_NAMESPACE_OID, false);
    if (schemas != NULL)
        read_rows(names, directory, schemas->file, PG_NAMESPACE_OID, &database->schemas);
    sort_rows(&database->schemas, rows_by_oid);
    add_mapped(&database->relations, &map);
    buffer_append(&database->oids.rows, database->relations.rows.data,
                  database->relations.rows.size);
    sort_rows(&database->relations, by_file);
}

static const DatabaseNames *names_of_database(RelationNames *names, uint32_t oid)
{
    DatabaseNames *database = names->loaded;

    while (database != NULL && database->oid != oid)
        database = database->next;
    if (database == NULL) {
        database = mem_alloc(sizeof *database);
        database->oid = oid;
        database->next = names->loaded;
        names->loaded = database;
        load_database(names, database);
    }
    return database;
}

/* The newest that ended before, as it has what was dropped; else the first one after. */
static const BackupInfo *nearest_backup(const RelationNames *names, Lsn lsn)
{
    const BackupInfo *before = NULL;
    const BackupInfo *after = NULL;

    for (size_t i = 0; i < names->backups.count; i++) {
        const BackupInfo *backup = &names->backups.items[i];
        Lsn stop = backup->header.stop;

        if (backup_is_out(backup) || !backup_is_on_path(backup, names->path))
            continue;
        if (stop <= lsn && (before == NULL || stop > before->header.stop))
            before = backup;
        if (stop > lsn && (after == NULL || stop < after->header.stop))
            after = backup;
    }
    return before != NULL ? before : after;
}

static void list_backups(RelationNames *names)
{
    Error err = {0};

    if (names->has_backups)
        return;
    names->has_backups = true;
    if (!backup_list_load(&names->backups, names->cluster, names->inventory, &err)) {
        note_problem(names, &err);
        names->backups = (BackupList){0};
    }
}

/* False: its files are damaged, which its head did not show; another one may have the names. */
static bool take_backup(RelationNames *names, const BackupInfo *backup)
{
    char id[BACKUP_ID_SIZE];
    Error err = {0};

    names->backup = backup;
    if (manifest_load(&names->manifest, names->cluster, backup->header.id, &err))
        return true;
    note_problem(names, &err);
    names->manifest = (Manifest){0};
    if (err.code != ERR_CORRUPT && err.code != ERR_VERSION)
        return true;
    names->backup = NULL;
    memcpy(id, backup->header.id, sizeof id);
    backup_list_put_out(&names->backups, id, &err);
    return false;
}

static bool choose_backup(RelationNames *names, Lsn lsn)
{
    list_backups(names);
    for (;;) {
        const BackupInfo *backup = nearest_backup(names, lsn);

        if (backup == names->backup)
            return backup != NULL;
        forget_backup(names);
        if (backup == NULL)
            return false;
        if (take_backup(names, backup))
            return true;
    }
}

static bool take_live_database(void *context, const char *const *values, Error *err)
{
    CatalogRow row = {.oid = (uint32_t)strtoul(values[0], NULL, 10), .is_current = true};

    (void)err;
    (void)snprintf(row.name, sizeof row.name, "%s", values[1]);
    buffer_append(context, &row, sizeof row);
    return true;
}

static void names_ask_server(RelationNames *names)
{
    CLEANUP(session_freep) Session *session = NULL;
    Error err = {0};

    if (names->was_asked || names->conninfo == NULL)
        return;
    names->was_asked = true;
    session = session_open(names->conninfo, &err);
    if (session == NULL || !session_rows(session, "select oid, datname from pg_database", 2,
                                         take_live_database, &names->live.rows, &err))
        note_problem(names, &err);
    sort_rows(&names->live, rows_by_oid);
}

const char *relation_names_database(RelationNames *names, Lsn lsn, uint32_t oid)
{
    const CatalogRow *row = NULL;

    if (choose_backup(names, lsn)) {
        if (!names->has_databases) {
            CLEANUP(buffer_done) Buffer map = {0};

            names->has_databases = true;
            read_rows(names, "global", mapped_file(names, "global", PG_DATABASE_OID, &map),
                      PG_DATABASE_OID, &names->databases);
            sort_rows(&names->databases, rows_by_oid);
        }
        row = find_row(&names->databases, oid, false);
    }
    if (row == NULL) {
        names_ask_server(names);
        row = find_row(&names->live, oid, false);
    }
    return row != NULL ? row->name : NULL;
}

static void name_of_row(const DatabaseNames *database, const CatalogRow *row, RelationName *name)
{
    const CatalogRow *schema = find_row(&database->schemas, row->schema, false);

    *name = (RelationName){
        .schema = schema != NULL ? schema->name : "",
        .name = row->name,
        .oid = row->oid,
        .kind = row->kind,
    };
}

bool relation_names_find(RelationNames *names, Lsn lsn, const RelationFile *file,
                         RelationName *name)
{
    const DatabaseNames *database;
    const CatalogRow *row;

    if (file->database == 0 || !choose_backup(names, lsn))
        return false;
    database = names_of_database(names, file->database);
    row = find_row(&database->relations, file->number, true);
    if (row == NULL || row->file == 0)
        return false;
    name_of_row(database, row, name);
    return true;
}

bool relation_names_find_oid(RelationNames *names, Lsn lsn, uint32_t oid_of_database, uint32_t oid,
                             RelationName *name)
{
    const DatabaseNames *database;
    const CatalogRow *row;

    if (oid_of_database == 0 || !choose_backup(names, lsn))
        return false;
    database = names_of_database(names, oid_of_database);
    row = find_row(&database->oids, oid, false);
    if (row == NULL)
        return false;
    name_of_row(database, row, name);
    return true;
}
