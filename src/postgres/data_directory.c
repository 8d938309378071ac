#include "postgres/data_directory.h"

#include "base/text.h"
#include "postgres/version.h"

#include <assert.h>

/* Decimal without leading zero, up to UINT32_MAX. The end of it, or NULL. */
static const char *number_parse(const char *text, uint32_t *number)
{
    uint64_t value = 0;

    if (*text < '1' || *text > '9')
        return NULL;
    for (; *text >= '0' && *text <= '9'; text++) {
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > UINT32_MAX)
            return NULL;
    }
    *number = (uint32_t)value;
    return text;
}

/* "t12_" of a temporary relation (looks_like_temp_rel_name): what follows, or NULL. */
static const char *temporary_prefix(const char *name)
{
    const char *digits = name + 1;

    if (name[0] != 't')
        return NULL;
    size_t count = strspn(digits, "0123456789");
    return count > 0 && digits[count] == '_' ? digits + count + 1 : NULL;
}

static const char *fork_parse(const char *text, ForkKind *fork)
{
    static const struct {
        const char *text;
        ForkKind fork;
    } forks[] = {{"_fsm", FORK_FSM}, {"_vm", FORK_VM}, {"_init", FORK_INIT}};

    *fork = FORK_MAIN;
    for (size_t i = 0; i < ARRAY_SIZE(forks); i++) {
        size_t length = strlen(forks[i].text);
        if (strncmp(text, forks[i].text, length) == 0) {
            *fork = forks[i].fork;
            return text + length;
        }
    }
    return text;
}

bool relation_file_parse(const char *name, RelationFileName *file)
{
    const char *rest = temporary_prefix(name);
    RelationFileName found = {.is_temporary = rest != NULL};

    rest = number_parse(rest != NULL ? rest : name, &found.relfilenode);
    if (rest == NULL)
        return false;
    rest = fork_parse(rest, &found.fork);
    if (*rest == '.')
        rest = number_parse(rest + 1, &found.segment);
    if (rest == NULL || *rest != '\0')
        return false;
    *file = found;
    return true;
}

static bool name_is_one_of(const char *text, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (strcmp(text, *list) == 0)
            return true;
    }
    return false;
}

/* excludeFiles of basebackup.c, at any depth as there; pg_filenode.map.tmp (16+) is replaced soon.
 */
static bool is_left_out(const char *name)
{
    static const char *const names[] = {
        "postgresql.auto.conf.tmp",
        "current_logfiles.tmp",
        "backup_label",
        "tablespace_map",
        "backup_manifest",
        "postmaster.pid",
        "postmaster.opts",
        "pg_filenode.map.tmp",
        ".DS_Store",
        NULL,
    };

    return name_is_one_of(name, names) || text_begins_with(name, "pg_internal.init") ||
           text_begins_with(name, "pgsql_tmp");
}

/* excludeDirContents of basebackup.c, and pg_wal. */
static bool is_kept_empty(const char *name)
{
    static const char *const names[] = {
        "pg_dynshmem", "pg_notify",   "pg_replslot", "pg_serial", "pg_snapshots",
        "pg_stat_tmp", "pg_subtrans", "pg_wal",      NULL,
    };

    return name_is_one_of(name, names);
}

enum { PARTS_KEPT = 5, PART_SIZE = 64 };

/* The first parts of a path; a part that is longer than any name we know is cut, and unequal to
 * all. */
typedef struct PathParts {
    char text[PARTS_KEPT][PART_SIZE];
    size_t count; /* It counts all parts, even those that were not kept. */
} PathParts;

static PathParts path_parts(const char *path)
{
    PathParts parts = {.count = 0};

    for (const char *part = path; *part != '\0';) {
        size_t length = strcspn(part, "/");
        if (parts.count < PARTS_KEPT) {
            size_t kept = length < PART_SIZE - 1 ? length : PART_SIZE - 1;
            memcpy(parts.text[parts.count], part, kept);
        }
        parts.count++;
        part += length;
        part += strspn(part, "/");
    }
    return parts;
}

static bool is_whole_number(const char *text)
{
    uint32_t number;
    const char *end = number_parse(text, &number);

    return end != NULL && *end == '\0';
}

/* Whether the directory that holds the entry is a database's, or global/. */
static bool is_relation_place(const PathParts *parts, bool *is_database)
{
    const char(*text)[PART_SIZE] = parts->text;

    *is_database =
        (parts->count == 3 && strcmp(text[0], "base") == 0 && is_whole_number(text[1])) ||
        (parts->count == 5 && strcmp(text[0], "pg_tblspc") == 0 && is_whole_number(text[1]) &&
         text_begins_with(text[2], "PG_") && is_whole_number(text[3]));
    return *is_database || (parts->count == 2 && strcmp(text[0], "global") == 0);
}

static DataPlan plan_of_file(const PathParts *parts, const char *name)
{
    RelationFileName file;
    bool is_database;

    if (parts->count == 2 && strcmp(parts->text[0], "global") == 0 &&
        strcmp(name, "pg_control") == 0)
        return PLAN_CONTROL;
    if (!is_relation_place(parts, &is_database) || !relation_file_parse(name, &file))
        return PLAN_COPY;
    if (file.is_temporary)
        return is_database ? PLAN_SKIP : PLAN_COPY;
    return PLAN_RELATION;
}

DataPlan data_plan_of(const char *path, bool is_directory)
{
    PathParts parts = path_parts(path);
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;

    if (parts.count == 0)
        return PLAN_COPY; /* the data directory itself */
    /* pg_wal and its like may be symbolic links: kept as directories all the same. */
    if (is_kept_empty(parts.text[0]))
        return parts.count == 1 ? PLAN_EMPTY : PLAN_SKIP;
    if (is_left_out(name))
        return PLAN_SKIP;
    /* Of a file system whose root this is; only root may look into it. */
    if (parts.count == 1 && is_directory && strcmp(name, "lost+found") == 0)
        return PLAN_SKIP;
    if (strcmp(parts.text[0], "pg_tblspc") == 0) {
        if (parts.count == 1)
            return PLAN_TABLESPACES;
        /* Other things in a tablespace's location are not ours, nor this cluster's. */
        if (parts.count >= 3 && !text_begins_with(parts.text[2], "PG_"))
            return PLAN_SKIP;
    }
    return is_directory ? PLAN_COPY : plan_of_file(&parts, name);
}

/* "base/5", "pg_tblspc/16384/PG_15_202209061/5" */
static bool is_database(const PathParts *parts)
{
    const char(*text)[PART_SIZE] = parts->text;

    return (parts->count == 2 && strcmp(text[0], "base") == 0 && is_whole_number(text[1])) ||
           (parts->count == 4 && strcmp(text[0], "pg_tblspc") == 0 && is_whole_number(text[1]) &&
            text_begins_with(text[2], "PG_") && is_whole_number(text[3]));
}

static bool is_server_directory(const PathParts *parts)
{
    static const char *const top[] = {"base",         "global",  "pg_commit_ts", "pg_logical",
                                      "pg_multixact", "pg_stat", "pg_tblspc",    "pg_twophase",
                                      "pg_xact",      NULL};
    static const char *const inner[] = {"pg_multixact/members", "pg_multixact/offsets",
                                        "pg_logical/mappings", "pg_logical/snapshots", NULL};
    char pair[2 * PART_SIZE];

    if (parts->count == 1)
        return name_is_one_of(parts->text[0], top);
    if (parts->count == 2) {
        (void)snprintf(pair, sizeof pair, "%s/%s", parts->text[0], parts->text[1]);
        if (name_is_one_of(pair, inner))
            return true;
    }
    return is_database(parts) ||
           (parts->count == 3 && strcmp(parts->text[0], "pg_tblspc") == 0 &&
            is_whole_number(parts->text[1]) && text_begins_with(parts->text[2], "PG_"));
}

ServerPlace data_place_of(const char *path)
{
    PathParts parts = path_parts(path);

    if (parts.count == 0)
        return PLACE_OTHER;
    if (is_server_directory(&parts))
        return PLACE_DIRECTORY;
    parts.count--;
    /* In these two the server has directories only. */
    bool holds_files = parts.count > 0 && is_server_directory(&parts) &&
                       !(parts.count == 1 && (strcmp(parts.text[0], "base") == 0 ||
                                              strcmp(parts.text[0], "pg_tblspc") == 0)) &&
                       !(parts.count == 3 && !is_database(&parts));
    return holds_files ? PLACE_FILE : PLACE_OTHER;
}

bool data_holds_relations(const char *path)
{
    PathParts parts = path_parts(path);

    return strcmp(path, "global") == 0 || is_database(&parts);
}

const char *const *data_names_in(const char *path)
{
    static const char *const top[] = {"PG_VERSION",  "postgresql.auto.conf", "postgresql.conf",
                                      "pg_hba.conf", "pg_ident.conf",        NULL};
    static const char *const global[] = {"pg_control", "pg_filenode.map", NULL};
    static const char *const database[] = {"PG_VERSION", "pg_filenode.map", NULL};
    static const char *const logical[] = {"replorigin_checkpoint", NULL};
    static const char *const none[] = {NULL};
    PathParts parts = path_parts(path);

    if (parts.count == 0)
        return top;
    if (strcmp(path, "global") == 0)
        return global;
    if (strcmp(path, "pg_logical") == 0)
        return logical;
    return is_database(&parts) ? database : none;
}

const char *const *data_wal_directories(unsigned major)
{
    static const char *const to_16[] = {"pg_wal/archive_status", NULL};
    static const char *const from_17[] = {"pg_wal/archive_status", "pg_wal/summaries", NULL};

    return major >= 17 ? from_17 : to_16;
}

const char *tablespace_directory_text(unsigned major, char text[TABLESPACE_DIRECTORY_SIZE])
{
    const PgVersion *version = pg_version_of_major(major);

    assert(version != NULL);
    (void)snprintf(text, TABLESPACE_DIRECTORY_SIZE, "PG_%u_%u", version->major,
                   version->catalog_version);
    return text;
}
