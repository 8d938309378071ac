#include "pack/manifest.h"

#include <inttypes.h>
#include <stdlib.h>

/* What no data directory is without, and restore makes nothing of. */
static const struct {
    const char *path;
    EntryKind kind;
} needed[] = {
    {"PG_VERSION", ENTRY_FILE},
    {"base", ENTRY_DIRECTORY},
    {"global", ENTRY_DIRECTORY},
    {"global/pg_control", ENTRY_FILE},
};

static bool fault_set(ManifestFault *fault, const char *what, const char *expected,
                      const char *found)
{
    fault->what = what;
    (void)snprintf(fault->expected, sizeof fault->expected, "%s", expected);
    (void)snprintf(fault->found, sizeof fault->found, "%s", found);
    return true;
}

typedef struct PathPart {
    const char *path;
    size_t size;
} PathPart;

static int compare_path(const void *key, const void *entry)
{
    const PathPart *part = key;
    const char *path = ((const ManifestEntry *)entry)->path;
    int order = strncmp(part->path, path, part->size);

    return order != 0 ? order : path[part->size] != '\0' ? -1 : 0;
}

/* Extras come last and are not a part of it. */
static size_t inside_count(const Manifest *manifest)
{
    size_t count = manifest->entry_count;

    while (count > 0 && manifest->entries[count - 1].kind == ENTRY_EXTRA)
        count--;
    return count;
}

static const ManifestEntry *manifest_find_among(const Manifest *manifest, size_t count,
                                                const char *path, size_t size)
{
    const PathPart key = {.path = path, .size = size};

    if (count == 0)
        return NULL;
    return bsearch(&key, manifest->entries, count, sizeof manifest->entries[0], compare_path);
}

static bool lacks_needed(const Manifest *manifest, size_t count, ManifestFault *fault)
{
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        const ManifestEntry *entry =
            manifest_find_among(manifest, count, needed[i].path, strlen(needed[i].path));

        if (entry == NULL || entry->kind != needed[i].kind) {
            return fault_set(fault, "what no data directory is without is not in it",
                             needed[i].path, "");
        }
    }
    return false;
}

/* Files are restored into directories and through links that the manifest has made before. */
static bool lacks_parents(const Manifest *manifest, size_t count, ManifestFault *fault)
{
    const ManifestEntry *last = NULL; /* most entries lie beside the one before */

    for (size_t i = 0; i < count; i++) {
        const char *path = manifest->entries[i].path;
        const char *slash = strrchr(path, '/');
        const size_t size = slash == NULL ? 0 : (size_t)(slash - path);

        if (size == 0 ||
            (last != NULL && strncmp(last->path, path, size) == 0 && last->path[size] == '\0'))
            continue;
        last = manifest_find_among(manifest, count, path, size);
        if (last == NULL || (last->kind != ENTRY_DIRECTORY && last->kind != ENTRY_LINK))
            return fault_set(fault, "a file whose directory is not in it", path, "");
    }
    return false;
}

static bool has_tablespace(const Manifest *manifest, unsigned long oid)
{
    for (size_t i = 0; i < manifest->tablespace_count; i++) {
        if (manifest->tablespaces[i].oid == oid)
            return true;
    }
    return false;
}

/* "pg_tblspc/16400": where it leads to is said by the tablespace. */
static bool lacks_tablespaces(const Manifest *manifest, size_t count, ManifestFault *fault)
{
    for (size_t i = 0; i < count; i++) {
        const ManifestEntry *entry = &manifest->entries[i];

        if (entry->kind == ENTRY_LINK &&
            !has_tablespace(manifest, strtoul(strrchr(entry->path, '/') + 1, NULL, 10)))
            return fault_set(fault, "a link to a tablespace that is not in it", entry->path, "");
    }
    return false;
}

static bool has_other_totals(const Manifest *manifest, ManifestFault *fault)
{
    const ManifestHeader *header = &manifest->header;
    char expected[96];
    char found[96];
    uint64_t files = 0;
    uint64_t bytes = 0;

    for (size_t i = 0; i < manifest->entry_count; i++) {
        const ManifestEntry *entry = &manifest->entries[i];

        if (entry->kind != ENTRY_FILE && entry->kind != ENTRY_EXTRA)
            continue;
        files++;
        bytes += entry->size;
    }
    if (files == header->file_count && bytes == header->bytes)
        return false;
    (void)snprintf(expected, sizeof expected, "%" PRIu64 " files, %" PRIu64 " bytes",
                   header->file_count, header->bytes);
    (void)snprintf(found, sizeof found, "%" PRIu64 " files, %" PRIu64 " bytes", files, bytes);
    return fault_set(fault, "the totals in the manifest's header", expected, found);
}

/* Without one that the server takes it would start from the wrong place, or not at all. */
static bool has_other_label(const ManifestHeader *header, ManifestFault *fault)
{
    char expected[LSN_TEXT_SIZE];
    char found[LSN_TEXT_SIZE];
    BackupLabel label;
    Error problem = {0};

    if (!backup_label_parse(header->label, &label, &problem)) {
        return fault_set(fault, "the backup_label in the manifest", "one that a server reads",
                         problem.message);
    }
    if (label.start == header->start)
        return false;
    return fault_set(fault, "the start in backup_label", lsn_text(header->start, expected),
                     lsn_text(label.start, found));
}

bool manifest_find_head_fault(const ManifestHeader *header, ManifestFault *fault)
{
    return has_other_label(header, fault);
}

bool manifest_find_fault(const Manifest *manifest, ManifestFault *fault)
{
    const size_t count = inside_count(manifest);

    return manifest_find_head_fault(&manifest->header, fault) ||
           has_other_totals(manifest, fault) || lacks_needed(manifest, count, fault) ||
           lacks_parents(manifest, count, fault) || lacks_tablespaces(manifest, count, fault);
}

const char *manifest_fault_text(const ManifestFault *fault, Arena *arena)
{
    return arena_format(arena, "%s: %s%s%s", fault->what, fault->expected,
                        *fault->found != '\0' ? "; found: " : "", fault->found);
}
