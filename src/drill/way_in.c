#include "drill/way_in.h"

#include "base/file.h"
#include "postgres/catalog_rows.h"
#include "server/session.h"

enum {
    FIRST_SUPERUSER_OID = 10, /* It is BOOTSTRAP_SUPERUSERID, catalog/pg_authid.dat. */
    FILE_SIZE_MAX = 64 << 20,
    NAMES_MAX = 200,
    ROLES_TRIED_MAX = 8,
};

typedef struct WayNames {
    const char **items; /* They end with NULL. */
    size_t count;
    Arena *arena;
} WayNames;

static void way_add_name(WayNames *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i], name) == 0)
            return;
    }
    if (list->count < NAMES_MAX)
        list->items[list->count++] = arena_text(list->arena, name);
}

static WayNames way_names_new(Arena *arena)
{
    return (WayNames){.items = arena_alloc(arena, (NAMES_MAX + 1) * sizeof(char *)),
                      .arena = arena};
}

/* A catalogue that all databases share. Best effort. */
static void each_row(const char *data, unsigned major, uint32_t catalog, CatalogRowFunction *on_row,
                     void *context)
{
    CLEANUP(buffer_done) Buffer map = {0};
    CLEANUP(buffer_done) Buffer rows = {0};
    CLEANUP(text_freep) char *map_path = text_format("%s/global/pg_filenode.map", data);
    const PgVersion *version = pg_version_of_major(major);
    Error unread = {0}; /* then it is not known */

    if (version == NULL || !file_read_whole(map_path, FILE_SIZE_MAX, &map, &unread))
        return;
    CLEANUP(text_freep)
    char *path = text_format("%s/global/%u", data, filenode_map_find(map.data, map.size, catalog));
    if (file_read_whole(path, FILE_SIZE_MAX, &rows, &unread))
        catalog_rows(catalog, version, rows.data, rows.size, on_row, context);
}

/* Rows of one pass: those that count now and the cluster's first superuser come first. */
typedef struct RolePass {
    bool is_first, is_current;
    WayNames *names;
} RolePass;

static void take_role(void *context, const CatalogRow *row)
{
    const RolePass *pass = context;

    if (row->is_superuser && row->can_login && row->is_current == pass->is_current &&
        (row->oid == FIRST_SUPERUSER_OID) == pass->is_first)
        way_add_name(pass->names, row->name);
}

static void take_database(void *context, const CatalogRow *row)
{
    way_add_name(context, row->name);
}

void way_in_find(const char *data, unsigned major, Arena *arena, WayIn *way)
{
    WayNames roles = way_names_new(arena), databases = way_names_new(arena);
    const RolePass passes[] = {
        {true, true, &roles}, {false, true, &roles}, {true, false, &roles}, {false, false, &roles}};

    for (size_t i = 0; i < ARRAY_SIZE(passes); i++) {
        RolePass pass = passes[i];
        each_row(data, major, PG_AUTHID_OID, take_role, &pass);
    }
    way_add_name(&databases, "postgres");
    way_add_name(&databases, "template1");
    each_row(data, major, PG_DATABASE_OID, take_database, &databases);
    *way = (WayIn){.roles = (const char *const *)roles.items,
                   .databases = (const char *const *)databases.items};
}

/* *refused: a server was there, and said no. */
static bool leads_in(const SafeSession *session, bool *refused, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(session_freep) Session *opened = session_open(safe_session(session, &arena), err);

    *refused = opened == NULL && err->code == ERR_POSTGRES;
    return opened != NULL;
}

bool way_in_try(const WayIn *way, SafeSession *session, Error *err)
{
    Error first = {0};

    for (size_t i = 0; i < ROLES_TRIED_MAX && way->roles[i] != NULL; i++) {
        for (size_t j = 0; way->databases[j] != NULL; j++) {
            SafeSession next = *session;
            Error attempt = {0};
            bool refused;

            next.role = way->roles[i];
            next.database = way->databases[j];
            if (leads_in(&next, &refused, &attempt)) {
                *session = next;
                return true;
            }
            if (!refused)
                return error_pass(err, &attempt);
            if (first.code == ERR_NONE)
                first = attempt;
        }
    }
    error_set(err, ERR_REFUSED, "the copy lets no superuser in: %s",
              first.code != ERR_NONE ? first.message : "none may log in");
    return error_hint(err, "let one log in, `ALTER ROLE postgres LOGIN`, to one database at least, "
                           "and take a backup: the next drill can ask then");
}
