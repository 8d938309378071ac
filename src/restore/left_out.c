#include "left_out.h"

#include "pack/database_names.h"
#include "postgres/left_empty.h"
#include "stream/digest.h"

enum { FIRST_NORMAL_OID = 16384 }; /* transam.h, FirstNormalObjectId */

typedef struct LeavingOut {
    const RestoreRequest *request;
    DatabaseNameList names;
    LeftOut *left_out;
    Arena *arena;
} LeavingOut;

static bool is_asked_for(const RestoreRequest *request, const char *name)
{
    for (size_t i = 0; i < request->only_database_count; i++) {
        if (strcmp(request->only_databases[i], name) == 0)
            return true;
    }
    return false;
}

static bool database_is_kept(const RestoreRequest *request, const DatabaseName *database)
{
    static const char *const always[] = {"postgres", "template0", "template1"};

    for (size_t i = 0; i < ARRAY_SIZE(always); i++) {
        if (strcmp(database->name, always[i]) == 0)
            return true;
    }
    return database->oid < FIRST_NORMAL_OID || is_asked_for(request, database->name);
}

static const char *names_in_words(const DatabaseNameList *names, Arena *arena)
{
    CLEANUP(buffer_done) Buffer text = {0};

    for (size_t i = 0; i < names->count; i++)
        buffer_print(&text, "%s%s", i > 0 ? ", " : "", names->items[i].name);
    return arena_text_part(arena, (const char *)text.data, text.size);
}

static bool check_names(const LeavingOut *leaving, const char *backup, Error *err)
{
    const RestoreRequest *request = leaving->request;

    if (leaving->names.count == 0) {
        error_set(err, ERR_REFUSED,
                  "backup %s does not know the names of its databases: it was "
                  "taken by an earlier version of pgcairn",
                  backup);
        return error_hint(err,
                          "restore all of it, without --only-database; newer backups know them");
    }
    for (size_t i = 0; i < request->only_database_count; i++) {
        if (database_names_find(&leaving->names, request->only_databases[i]) != NULL)
            continue;
        error_set(err, ERR_NOT_FOUND, "--only-database=%s: backup %s has no database of this name",
                  request->only_databases[i], backup);
        return error_hint(err, "when it was taken there were: %s",
                          names_in_words(&leaving->names, leaving->arena));
    }
    return true;
}

static void sort_names(LeavingOut *leaving)
{
    LeftOut *left_out = leaving->left_out;
    const size_t room = leaving->names.count + 1;
    size_t kept = 0, empty = 0;

    left_out->kept = arena_alloc(leaving->arena, room * sizeof *left_out->kept);
    left_out->empty = arena_alloc(leaving->arena, room * sizeof *left_out->empty);
    for (size_t i = 0; i < leaving->names.count; i++) {
        const DatabaseName *database = &leaving->names.items[i];
        if (database_is_kept(leaving->request, database)) {
            left_out->kept[kept++] = database->name;
        } else {
            left_out->empty[empty++] = database->name;
        }
    }
    left_out->kept[kept] = left_out->empty[empty] = NULL;
}

/* One without a name was made while the backup ended, or is what a killed server left. */
static bool oid_is_kept(const LeavingOut *leaving, uint32_t oid)
{
    for (size_t i = 0; i < leaving->names.count; i++) {
        if (leaving->names.items[i].oid == oid)
            return database_is_kept(leaving->request, &leaving->names.items[i]);
    }
    return oid < FIRST_NORMAL_OID;
}

/* CRC-32C of that many zeros. That of twice as many is made of that of once as many. */
static uint32_t crc_of_zeros(uint64_t size)
{
    static const uint8_t zero = 0;
    uint32_t crc = 0, power = crc32c_update(0, &zero, 1);

    for (uint64_t bytes = 1; bytes <= size; bytes *= 2) {
        if ((size & bytes) != 0)
            crc = crc32c_combine(crc, power, bytes);
        power = crc32c_combine(power, power, bytes);
    }
    return crc;
}

static void make_hollow(LeftOut *left_out, ManifestEntry *entry)
{
    const char *name = strrchr(entry->path, '/') + 1;

    if (strcmp(name, "pg_filenode.map") == 0)
        return;
    entry->kind = ENTRY_HOLLOW;
    left_out->files++;
    left_out->bytes += entry->size;
    if (strcmp(name, "PG_VERSION") == 0) {
        entry->size = sizeof LEFT_EMPTY_VERSION - 1;
        entry->crc32c = crc32c_update(0, LEFT_EMPTY_VERSION, (size_t)entry->size);
    } else {
        entry->crc32c = crc_of_zeros(entry->size);
    }
}

static void note_oid(LeavingOut *leaving, uint32_t oid)
{
    LeftOut *left_out = leaving->left_out;

    /* Entries of one database lie together, and in few tablespaces. */
    for (size_t i = left_out->oid_count; i > 0; i--) {
        if (left_out->oids[i - 1] == oid)
            return;
    }
    uint32_t *oids = arena_alloc(leaving->arena, (left_out->oid_count + 1) * sizeof *oids);
    if (left_out->oid_count > 0)
        memcpy(oids, left_out->oids, left_out->oid_count * sizeof *oids);
    oids[left_out->oid_count++] = oid;
    left_out->oids = oids;
}

static void leave_out_files(LeavingOut *leaving, Manifest *manifest)
{
    uint32_t last = 0;
    bool is_kept = true;

    for (size_t i = 0; i < manifest->entry_count; i++) {
        ManifestEntry *entry = &manifest->entries[i];
        const uint32_t oid = entry->kind == ENTRY_FILE ? database_of_path(entry->path) : 0;
        if (oid == 0)
            continue;
        if (oid != last) {
            last = oid;
            is_kept = oid_is_kept(leaving, oid);
            if (!is_kept)
                note_oid(leaving, oid);
        }
        if (!is_kept)
            make_hollow(leaving->left_out, entry);
    }
}

bool left_out_plan(const RestoreRequest *request, RestorePlan *plan, Error *err)
{
    Manifest *manifest = &plan->decision.manifest;
    LeavingOut leaving = {
        .request = request, .left_out = &plan->decision.left_out, .arena = &plan->arena};

    if (request->only_database_count == 0)
        return true;
    database_names_parse(manifest->header.databases, &plan->arena, &leaving.names);
    if (!check_names(&leaving, manifest->header.id, err))
        return false;
    sort_names(&leaving);
    leave_out_files(&leaving, manifest);
    return true;
}
