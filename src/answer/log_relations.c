#include "log_relations.h"

#include <inttypes.h>
#include <stdlib.h>

void log_put_database(LogPrinter *printer, Lsn lsn, uint32_t oid)
{
    const char *name = relation_names_database(printer->names, lsn, oid);

    if (name != NULL) {
        buffer_print(&printer->text, "%s", name);
    } else {
        buffer_print(&printer->text, "%" PRIu32, oid);
    }
}

enum { NAMES_SHOWN = 6, PASS_UNNAMED = 3, PASSES = 4 };

static int compare_keys(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

static uint64_t key_of(uint32_t database, uint64_t oid)
{
    return (uint64_t)database << 32 | (oid & UINT32_MAX);
}

/* Its files go with it: not a view's, and a temporary relation's are in no WAL. */
static bool has_file(const RelationName *name)
{
    return strchr("rimSt", name->kind) != NULL && strncmp(name->schema, "pg_temp", 7) != 0 &&
           strncmp(name->schema, "pg_toast_temp", 13) != 0;
}

/* The list is sorted by database and oid (walk/happenings.c). */
static bool is_dropped_object(const Happening *happening, uint32_t database, uint32_t oid)
{
    size_t low = 0;
    size_t high = happening->object_count;
    uint64_t wanted = key_of(database, oid);

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const WalDroppedObject *object = &happening->objects[middle];
        uint64_t found = key_of(object->database, object->oid);

        if (found == wanted)
            return true;
        if (found < wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

static FileFate log_file_fate(const LogPrinter *printer, const LogRelations *relations,
                              const RemovedFile *file, const RelationName *name)
{
    if (name == NULL && file->fate == FILE_UNCLEAR && relations->are_the_others)
        return FILE_DROPPED;
    if (file->fate != FILE_UNCLEAR || name == NULL || printer->walk->cluster->major < 15)
        return file->fate;
    return is_dropped_object(relations->happening, file->file.database, name->oid) ? FILE_DROPPED
                                                                                   : FILE_REPLACED;
}

/* Whether this dropped relation has a name, and no file that has one. */
static bool is_left(const LogPrinter *printer, const LogRelations *relations,
                    const WalDroppedObject *object, RelationName *name)
{
    uint64_t key = key_of(object->database, object->oid);
    size_t count = relations->matched.size / sizeof key;

    return (count == 0 ||
            bsearch(&key, relations->matched.data, count, sizeof key, compare_keys) == NULL) &&
           relation_names_find_oid(printer->names, relations->happening->lsn, object->database,
                                   (uint32_t)object->oid, name) &&
           has_file(name);
}

void log_relations_init(LogRelations *relations, const LogPrinter *printer,
                        const Happening *happening)
{
    RelationName name;

    *relations = (LogRelations){.happening = happening};
    for (size_t i = 0; i < happening->file_count; i++) {
        const RemovedFile *file = &happening->files[i];

        if (relation_names_find(printer->names, happening->lsn, &file->file, &name)) {
            uint64_t key = key_of(file->file.database, name.oid);
            buffer_append(&relations->matched, &key, sizeof key);
        } else {
            relations->unnamed += file->fate != FILE_REPLACED;
        }
    }
    if (relations->unnamed == 0)
        return;
    if (relations->matched.size > 0) {
        qsort(relations->matched.data, relations->matched.size / sizeof(uint64_t), sizeof(uint64_t),
              compare_keys);
    }
    for (size_t i = 0; i < happening->object_count; i++)
        relations->left += is_left(printer, relations, &happening->objects[i], &name);
    relations->are_the_others = relations->left == relations->unnamed;
}

void log_relations_done(LogRelations *relations)
{
    buffer_done(&relations->matched);
}

/* Tables and what stands for itself come first, then what goes with its table: indexes, toast. */
static int pass_of(const RelationName *name)
{
    if (strcmp(name->schema, "pg_toast") == 0)
        return 2;
    return name->kind == 'i' ? 1 : 0;
}

static void put_name(LogPrinter *printer, const RelationName *name)
{
    bool is_public = strcmp(name->schema, "public") == 0 || *name->schema == '\0';

    if (is_public) {
        buffer_print(&printer->text, "%s", name->name);
    } else {
        buffer_print(&printer->text, "%s.%s", name->schema, name->name);
    }
}

/* Whether there is still room for one; the comma in front of it. */
static bool put_comma(LogPrinter *printer, size_t *shown)
{
    if ((*shown)++ >= NAMES_SHOWN)
        return false;
    buffer_print(&printer->text, "%s", *shown > 1 ? ", " : "");
    return true;
}

/* Those of one pass; the last one has those without a name, by number. */
static void put_files(LogPrinter *printer, const LogRelations *relations, FileFate fate, int pass,
                      size_t *all, size_t *shown)
{
    const Happening *happening = relations->happening;

    for (size_t i = 0; i < happening->file_count; i++) {
        const RemovedFile *file = &happening->files[i];
        RelationName name;
        bool has_name = relation_names_find(printer->names, happening->lsn, &file->file, &name);

        if (log_file_fate(printer, relations, file, has_name ? &name : NULL) != fate)
            continue;
        *all += pass == 0;
        if (pass != (has_name ? pass_of(&name) : PASS_UNNAMED) ||
            (!has_name && relations->are_the_others) || !put_comma(printer, shown))
            continue;
        if (has_name) {
            put_name(printer, &name);
        } else {
            buffer_print(&printer->text, "file %" PRIu32, file->file.number);
        }
    }
}

/* The dropped relations that are known by their oid only. */
static void put_left(LogPrinter *printer, const LogRelations *relations, int pass, size_t *shown)
{
    const Happening *happening = relations->happening;

    for (size_t i = 0; i < happening->object_count; i++) {
        RelationName name;

        if (is_left(printer, relations, &happening->objects[i], &name) && pass_of(&name) == pass &&
            put_comma(printer, shown))
            put_name(printer, &name);
    }
}

static void put_more(LogPrinter *printer, size_t shown)
{
    if (shown > NAMES_SHOWN)
        buffer_print(&printer->text, " and %zu more", shown - NAMES_SHOWN);
}

static void put_of_fate(LogPrinter *printer, const LogRelations *relations, FileFate fate)
{
    static const char *const words[] = {
        [FILE_DROPPED] = "dropped",
        [FILE_REPLACED] = "truncated or rewrote",
        [FILE_UNCLEAR] = "dropped, truncated or rewrote",
    };
    const Happening *happening = relations->happening;
    size_t before = printer->text.size;
    size_t all = 0;
    size_t shown = 0;

    /* The names first, then what goes in front of them: the number is known only then. */
    for (int pass = 0; pass < PASSES; pass++) {
        put_files(printer, relations, fate, pass, &all, &shown);
        if (fate == FILE_DROPPED && relations->are_the_others)
            put_left(printer, relations, pass, &shown);
    }
    if (all == 0)
        return;
    put_more(printer, shown);

    CLEANUP(text_freep)
    char *names =
        text_format("%.*s", (int)(printer->text.size - before), printer->text.data + before);
    printer->text.size = before;
    buffer_print(&printer->text, "%s%s %zu relation%s", before > 0 ? "; " : "", words[fate], all,
                 all == 1 ? "" : "s");
    if (happening->database != 0) {
        buffer_print(&printer->text, " of database ");
        log_put_database(printer, happening->lsn, happening->database);
    }
    buffer_print(&printer->text, ": %s", names);
}

void log_put_relations(LogPrinter *printer, const LogRelations *relations)
{
    size_t shown = 0;

    put_of_fate(printer, relations, FILE_DROPPED);
    put_of_fate(printer, relations, FILE_REPLACED);
    put_of_fate(printer, relations, FILE_UNCLEAR);
    if (relations->left == 0 || relations->are_the_others)
        return;
    buffer_print(&printer->text, "; among the dropped: ");
    for (int pass = 0; pass < PASSES; pass++)
        put_left(printer, relations, pass, &shown);
    put_more(printer, shown);
}

void log_put_objects(LogPrinter *printer, const LogRelations *relations)
{
    const Happening *happening = relations->happening;
    size_t shown = 0;

    for (size_t i = 0; i < happening->object_count; i++) {
        const WalDroppedObject *object = &happening->objects[i];
        RelationName name;

        if (!relation_names_find_oid(printer->names, happening->lsn, object->database,
                                     (uint32_t)object->oid, &name))
            continue;
        if (shown == 0)
            buffer_print(&printer->text, ": ");
        if (put_comma(printer, &shown))
            put_name(printer, &name);
    }
    put_more(printer, shown);
}

static const char *fate_name(FileFate fate)
{
    switch (fate) {
    case FILE_DROPPED:
        return "dropped";
    case FILE_REPLACED:
        return "replaced";
    case FILE_UNCLEAR:
        return "unclear";
    }
    return "";
}

static const char *relation_kind_name(char relkind)
{
    switch (relkind) {
    case 'r':
        return "table";
    case 'i':
        return "index";
    case 't':
        return "toast table";
    case 'S':
        return "sequence";
    case 'm':
        return "materialized view";
    case 'v':
        return "view";
    case 'p':
        return "partitioned table";
    case 'I':
        return "partitioned index";
    case 'f':
        return "foreign table";
    default:
        return "relation";
    }
}

/* name: NULL when it is not known. */
static void name_to_json(const RelationName *name, Json *json)
{
    json_text(json, "schema", name != NULL ? name->schema : NULL);
    json_text(json, "relation", name != NULL ? name->name : NULL);
    if (name != NULL)
        json_text(json, "type", relation_kind_name(name->kind));
}

static void file_to_json(const LogPrinter *printer, const LogRelations *relations,
                         const RemovedFile *file, Json *json)
{
    RelationName found;
    const RelationName *name = NULL;

    if (relation_names_find(printer->names, relations->happening->lsn, &file->file, &found))
        name = &found;
    json_begin_object(json, NULL);
    json_u64(json, "tablespace_oid", file->file.tablespace);
    json_u64(json, "database_oid", file->file.database);
    json_u64(json, "file", file->file.number);
    json_text(json, "fate", fate_name(log_file_fate(printer, relations, file, name)));
    name_to_json(name, json);
    if (name != NULL)
        json_u64(json, "oid", name->oid);
    json_end_object(json);
}

static void object_to_json(const LogPrinter *printer, const LogRelations *relations,
                           const WalDroppedObject *object, Json *json)
{
    RelationName name;
    bool has_name = relation_names_find_oid(printer->names, relations->happening->lsn,
                                            object->database, (uint32_t)object->oid, &name);

    json_begin_object(json, NULL);
    json_u64(json, "oid", object->oid);
    name_to_json(has_name ? &name : NULL, json);
    json_end_object(json);
}

void log_relations_to_json(const LogPrinter *printer, const LogRelations *relations, Json *json)
{
    const Happening *happening = relations->happening;

    json_begin_array(json, "files");
    for (size_t i = 0; i < happening->file_count; i++)
        file_to_json(printer, relations, &happening->files[i], json);
    json_end_array(json);
    json_u64(json, "relations_dropped", happening->object_count);
    json_begin_array(json, "relations");
    for (size_t i = 0; i < happening->object_count; i++)
        object_to_json(printer, relations, &happening->objects[i], json);
    json_end_array(json);
}
