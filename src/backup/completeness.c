#include "completeness.h"

#include "postgres/left_empty.h"

#include "base/file.h"
#include "base/log.h"
#include "postgres/data_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TABLESPACE_DEFAULT = 1663 }; /* pg_default: below base/ */

typedef struct Collecting {
    Catalogue *catalogue;
    size_t capacity;
} Collecting;

void catalogue_done(Catalogue *catalogue)
{
    mem_free(catalogue->items);
    *catalogue = (Catalogue){0};
}

static bool catalogue_take_place(void *context, const char *const *values, Error *err)
{
    Collecting *collecting = context;
    Catalogue *catalogue = collecting->catalogue;

    if (values[0] == NULL || values[1] == NULL || values[2] == NULL) {
        return error_set(err, ERR_POSTGRES,
                         "the server named a database or tablespace without its oid");
    }
    if (catalogue->count == collecting->capacity) {
        collecting->capacity = collecting->capacity == 0 ? 64 : collecting->capacity * 2;
        catalogue->items =
            mem_resize(catalogue->items, collecting->capacity * sizeof catalogue->items[0]);
    }
    catalogue->items[catalogue->count++] = (CataloguePlace){
        .kind = (CataloguePlaceKind)strtoul(values[0], NULL, 10),
        .tablespace = (uint32_t)strtoul(values[1], NULL, 10),
        .database = (uint32_t)strtoul(values[2], NULL, 10),
    };
    return true;
}

static int compare_places(const void *left, const void *right)
{
    const CataloguePlace *a = left, *b = right;

    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->tablespace != b->tablespace)
        return a->tablespace < b->tablespace ? -1 : 1;
    return (a->database > b->database) - (a->database < b->database);
}

/*
 * A database that is dropped is marked (datconnlimit -2: from 15.4 and its like on) and locked
 * while its files go, before that is committed; so is one that moves. Parts: the server's own look.
 */
bool catalogue_ask(Session *session, Catalogue *catalogue, Error *err)
{
    static const char query[] =
        "SELECT 0, d.dattablespace, d.oid FROM pg_database d WHERE d.datconnlimit <> -2"
        " AND NOT EXISTS (SELECT 1 FROM pg_locks l WHERE l.locktype = 'object'"
        " AND l.classid = 'pg_database'::regclass AND l.objid = d.oid"
        " AND l.mode = 'AccessExclusiveLock')"
        " UNION ALL SELECT 1, t.oid, 0 FROM pg_tablespace t WHERE t.oid NOT IN (1663, 1664)"
        " UNION ALL SELECT 2, t.oid, p FROM pg_tablespace t, pg_tablespace_databases(t.oid) p"
        " WHERE t.oid NOT IN (1663, 1664)"
        " UNION ALL SELECT 3, d.dattablespace, d.oid FROM pg_database d";
    Collecting collecting = {.catalogue = catalogue};

    if (!session_rows(session, query, 3, catalogue_take_place, &collecting, err))
        return error_context(err, "ask the server what must exist");
    if (catalogue->count > 0)
        qsort(catalogue->items, catalogue->count, sizeof catalogue->items[0], compare_places);
    return true;
}

static bool catalogue_has(const Catalogue *catalogue, const CataloguePlace *place)
{
    return catalogue->count > 0 && bsearch(place, catalogue->items, catalogue->count,
                                           sizeof catalogue->items[0], compare_places) != NULL;
}

/* A tablespace is known by where its link leads. */
static bool completeness_refuse(const Completeness *check, const char *path, Error *err)
{
    CLEANUP(text_freep) char *link = text_format("%s", path);
    const ManifestEntry *entry = NULL;
    char *slash = strncmp(link, "pg_tblspc/", 10) == 0 ? strchr(link + 10, '/') : NULL;

    if (slash != NULL) {
        *slash = '\0';
        entry = scan_find(check->scan, link);
    }
    if (entry != NULL && entry->kind == ENTRY_LINK) {
        error_set(err, ERR_REFUSED, "%s/%s of tablespace %s is missing: the server has it",
                  entry->target, slash + 1, link + 10);
    } else {
        error_set(err, ERR_REFUSED, "%s/%s is missing: the server has it", check->data, path);
    }
    return error_hint(err, "is its file system mounted, and can this process see it (a container, "
                           "PrivateTmp= of a unit)? Then take the backup again");
}

static bool completeness_need(const Completeness *check, const char *path, EntryKind kind,
                              Error *err)
{
    const ManifestEntry *entry = scan_find(check->scan, path);

    return (entry != NULL && entry->kind == kind) || completeness_refuse(check, path, err);
}

static bool need_in(const Completeness *check, const char *directory, const char *name, Error *err)
{
    CLEANUP(text_freep) char *path = text_format("%s/%s", directory, name);

    return completeness_need(check, path, ENTRY_FILE, err);
}

static const ScannedMap *map_of(const Scan *scan, const char *directory)
{
    for (size_t i = 0; i < scan->map_count; i++) {
        if (strcmp(scan->maps[i].directory, directory) == 0)
            return &scan->maps[i];
    }
    return NULL;
}

/*
 * A map that is the same now as before its directory was listed named the same files all the while:
 * a catalog that is rewritten gets a number that it never had. What came later is in the WAL.
 */
static bool check_mapped(const Completeness *check, const char *directory, Error *err)
{
    CLEANUP(text_freep) char *path = text_format("%s/pg_filenode.map", directory);
    const ScannedMap *scanned = map_of(check->scan, directory);
    RelationMap map;
    bool is_whole;

    if (!scan_read_map(check->data_fd, path, &map, &is_whole, err))
        return false;
    if (scanned == NULL || scanned->map.count == 0 || !is_whole)
        return error_set(err, ERR_REFUSED, "%s/%s can't be read", check->data, path);
    if (map.count != scanned->map.count ||
        memcmp(map.files, scanned->map.files, map.count * sizeof map.files[0]) != 0)
        return true;
    for (uint32_t i = 0; i < map.count; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%u", map.files[i]);
        if (!need_in(check, directory, name, err))
            return false;
    }
    return true;
}

/* A backup that has one would look whole, and bring back a database without anything in it. */
static bool check_is_filled(const Completeness *check, const char *directory, Error *err)
{
    CLEANUP(text_freep) char *path = text_format("%s/PG_VERSION", directory);
    CLEANUP(fd_done) int fd = openat(check->data_fd, path, O_RDONLY | O_CLOEXEC);
    char version[64];
    const ssize_t size = fd >= 0 ? read(fd, version, sizeof version) : 0;

    if (size <= 0 || !left_empty_is(version, (size_t)size))
        return true;
    error_set(err, ERR_REFUSED,
              "%s/%s was left empty by `restore --only-database`: there is nothing of this "
              "database to back up",
              check->data, directory);
    return error_hint(err,
                      "drop it (SELECT datname FROM pg_database WHERE oid = %u; then DROP "
                      "DATABASE), or restore the whole cluster, then take the backup",
                      database_of_path(directory));
}

static bool check_database(const Completeness *check, const char *directory, Error *err)
{
    return completeness_need(check, directory, ENTRY_DIRECTORY, err) &&
           need_in(check, directory, "PG_VERSION", err) && check_is_filled(check, directory, err) &&
           need_in(check, directory, "pg_filenode.map", err) && check_mapped(check, directory, err);
}

/* A tablespace's files are in sight for as long as this very directory is. */
static bool completeness_check_tablespace(const Completeness *check, uint32_t oid, Error *err)
{
    char version[TABLESPACE_DIRECTORY_SIZE];
    CLEANUP(text_freep) char *link = text_format("pg_tblspc/%u", oid);
    CLEANUP(text_freep)
    char *directory = text_format("%s/%s", link, tablespace_directory_text(check->major, version));
    const ManifestEntry *entry = scan_find(check->scan, directory);
    struct stat info;

    if (scan_find(check->scan, link) == NULL)
        return completeness_refuse(check, link, err);
    if (entry == NULL || entry->kind != ENTRY_DIRECTORY ||
        fstatat(check->data_fd, directory, &info, 0) != 0 || info.st_ino != entry->inode)
        return completeness_refuse(check, directory, err);
    return true;
}

static bool completeness_check_place(const Completeness *check, const CataloguePlace *place,
                                     Error *err)
{
    char version[TABLESPACE_DIRECTORY_SIZE];
    CLEANUP(text_freep)
    char *directory =
        place->tablespace == TABLESPACE_DEFAULT
            ? text_format("base/%u", place->database)
            : text_format("pg_tblspc/%u/%s/%u", place->tablespace,
                          tablespace_directory_text(check->major, version), place->database);

    switch (place->kind) {
    case PLACE_TABLESPACE:
        return completeness_check_tablespace(check, place->tablespace, err);
    case PLACE_DATABASE:
        return check_database(check, directory, err);
    case PLACE_PART:
        return completeness_need(check, directory, ENTRY_DIRECTORY, err);
    case PLACE_HOME:
        break;
    }
    return true;
}

/* What no cluster is without. Of the SLRUs one file at least: which, only the server knows. */
static bool check_shared(const Completeness *check, Error *err)
{
    static const char *const files[] = {"PG_VERSION", "global/pg_control",
                                        "global/pg_filenode.map"};
    static const char *const filled[] = {"pg_xact", "pg_multixact/members", "pg_multixact/offsets"};

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        if (!completeness_need(check, files[i], ENTRY_FILE, err))
            return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(filled); i++) {
        if (!scan_has_below(check->scan, filled[i]))
            return completeness_refuse(check, filled[i], err);
    }
    return check_mapped(check, "global", err);
}

bool completeness_check(const Completeness *check, Error *err)
{
    if (!check_shared(check, err))
        return false;
    for (size_t i = 0; i < check->before->count; i++) {
        const CataloguePlace *place = &check->before->items[i];
        if (catalogue_has(check->now, place) && !completeness_check_place(check, place, err))
            return false;
    }
    return true;
}

/* The tablespace of a database, 0 when it is not there. */
static uint32_t catalogue_home_of(const Catalogue *catalogue, uint32_t database)
{
    for (size_t i = 0; i < catalogue->count; i++) {
        const CataloguePlace *place = &catalogue->items[i];
        if (place->kind == PLACE_HOME && place->database == database)
            return place->tablespace;
    }
    return 0;
}

/* Whether a database is in the first catalogue and not in the second. */
static bool has_lost(const Catalogue *first, const Catalogue *second)
{
    for (size_t i = 0; i < first->count; i++) {
        if (first->items[i].kind == PLACE_HOME &&
            catalogue_home_of(second, first->items[i].database) == 0)
            return true;
    }
    return false;
}

bool completeness_check_moved(const Catalogue *origin, const Catalogue *now, unsigned major,
                              Error *err)
{
    enum { WAL_LOGGED_FROM = 15 };
    static const char again[] = "take the backup again, while no database is created or moved";

    for (size_t i = 0; i < origin->count; i++) {
        const CataloguePlace *place = &origin->items[i];
        uint32_t home = catalogue_home_of(now, place->database);
        if (place->kind != PLACE_HOME || home == 0 || home == place->tablespace)
            continue;
        error_set(err, ERR_REFUSED,
                  "the database with oid %u was moved to another tablespace while the backup ran",
                  place->database);
        return error_hint(err, "%s", again);
    }
    if (major >= WAL_LOGGED_FROM || !has_lost(origin, now) || !has_lost(now, origin))
        return true;
    error_set(err, ERR_REFUSED,
              "a database was created and another one dropped while the backup ran: if one was the "
              "template of the other, it could not be restored");
    return error_hint(err, "%s", again);
}

bool completeness_has_new(const Catalogue *origin, const Catalogue *now)
{
    return has_lost(now, origin);
}

bool completeness_check_gone(const Scan *scan, int data_fd, const bool *is_gone, Error *err)
{
    for (size_t i = 0; i < scan->count; i++) {
        const ManifestEntry *entry = &scan->entries[i];
        struct stat info;

        if (!is_gone[i] || entry->kind != ENTRY_FILE || data_place_of(entry->path) != PLACE_FILE ||
            fstatat(data_fd, entry->path, &info, 0) != 0 || info.st_ino != entry->inode)
            continue;
        error_set(err, ERR_REFUSED, "%s could not be opened for a while, and is there again",
                  entry->path);
        return error_hint(err, "its file system was away: take the backup again");
    }
    return true;
}

/* Forks and segments of one relation are neighbours of its main fork's entry, more or less: those
 * with its number and no further digit. */
static void drop_others(const Scan *scan, const char *directory, uint32_t number, bool *is_gone)
{
    CLEANUP(text_freep) char *main_fork = text_format("%s/%u", directory, number);
    size_t length = strlen(main_fork);
    const ManifestEntry *first = scan_find(scan, main_fork);

    if (first == NULL)
        return;
    log_info("an unlogged relation came into being while its directory was listed",
             log_str("file", main_fork));
    for (size_t i = (size_t)(first - scan->entries);
         i < scan->count && strncmp(scan->entries[i].path, main_fork, length) == 0; i++) {
        const char *end = scan->entries[i].path + length;
        if (*end == '\0' || *end == '.' || (*end == '_' && strncmp(end, "_init", 5) != 0))
            is_gone[i] = true;
    }
}

static bool look_for_init_forks(const Scan *scan, int data_fd, const char *directory, bool *is_gone,
                                Error *err)
{
    int fd = openat(data_fd, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(directory_done) DIR *list = fd >= 0 ? fdopendir(fd) : NULL;

    if (list == NULL && fd >= 0)
        (void)close(fd);
    if (list == NULL) { /* dropped, or it is missed by the check of the catalogue */
        return errno == ENOENT || errno == ENOTDIR ||
               error_set_errno(err, ERR_IO, errno, "open %s", directory);
    }
    for (;;) {
        RelationFileName file;
        errno = 0;
        const struct dirent *found = readdir(list);
        if (found == NULL)
            break;
        if (relation_file_parse(found->d_name, &file) && file.fork == FORK_INIT &&
            !file.is_temporary)
            drop_others(scan, directory, file.relfilenode, is_gone);
    }
    return errno == 0 || error_set_errno(err, ERR_IO, errno, "list %s", directory);
}

bool completeness_drop_unlogged(const Scan *scan, int data_fd, bool *is_gone, Error *err)
{
    for (size_t i = 0; i < scan->count; i++) {
        const ManifestEntry *entry = &scan->entries[i];
        if (entry->kind == ENTRY_DIRECTORY && data_holds_relations(entry->path) &&
            !look_for_init_forks(scan, data_fd, entry->path, is_gone, err))
            return false;
    }
    return true;
}
