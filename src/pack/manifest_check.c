#include "manifest_format.h"

#include "pack_format.h"
#include "stream/digest.h"

#include <inttypes.h>

/*
 * A manifest names paths that restore writes to, so one that was tampered with must not reach
 * outside the data directory: relative, no empty component, none of "." and "..".
 */
static bool is_inside_path(const char *path)
{
    const char *part = path;

    if (strlen(path) > MANIFEST_PATH_MAX)
        return false;
    for (;;) {
        size_t length = strcspn(part, "/");

        if (length == 0 || (length == 1 && part[0] == '.') ||
            (length == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        if (part[length] == '\0')
            return true;
        part += length + 1;
    }
}

/* "pg_tblspc/16400": the only place where a link may be, since files are restored through it. */
static bool is_tablespace_path(const char *path)
{
    static const char folder[] = "pg_tblspc/";
    size_t length = strlen(folder);

    return strncmp(path, folder, length) == 0 && path[length] != '\0' &&
           strspn(path + length, "0123456789") == strlen(path + length);
}

/*
 * Files are written through a tablespace's link: only into the server's own directory there
 * ("PG_15_202209061", GetTablespaceVersionDirectory in relpath.h), and nothing beside it.
 */
static bool is_in_version_directory(const char *path, unsigned major)
{
    char prefix[32];
    const char *part = strchr(path + strlen("pg_tblspc/"), '/');

    if (part == NULL)
        return true;
    int size = snprintf(prefix, sizeof prefix, "/PG_%u_", major);
    size_t digits =
        strncmp(part, prefix, (size_t)size) == 0 ? strspn(part + size, "0123456789") : 0;
    return digits > 0 &&
           (part[(size_t)size + digits] == '\0' || part[(size_t)size + digits] == '/');
}

static bool check_tablespace_path(const ManifestEntry *entry, unsigned major, Error *err)
{
    bool is_inside = strncmp(entry->path, "pg_tblspc/", strlen("pg_tblspc/")) == 0;

    if (entry->kind == ENTRY_EXTRA || !is_inside || is_in_version_directory(entry->path, major))
        return true;
    return error_set(err, ERR_CORRUPT,
                     "manifest has \"%s\", which is not the server's own place in "
                     "a tablespace",
                     entry->path);
}

static bool check_path(const ManifestEntry *entry, Error *err)
{
    bool is_extra = entry->kind == ENTRY_EXTRA;
    const char *path = entry->path;

    if (is_extra ? path[0] != '/' || !is_inside_path(path + 1) : !is_inside_path(path))
        return error_set(err, ERR_CORRUPT, "manifest has the path \"%s\"", path);
    if (entry->kind == ENTRY_LINK && (!is_tablespace_path(path) || entry->target[0] != '/')) {
        return error_set(err, ERR_CORRUPT, "manifest has a link \"%s\" to \"%s\"", path,
                         entry->target);
    }
    return true;
}

static bool check_frame(const Manifest *manifest, const Frame *frame, uint64_t raw_max, Error *err)
{
    if (frame->pack >= manifest->pack_count) {
        return error_set(err, ERR_CORRUPT, "frame in pack %u, of %zu packs", frame->pack,
                         manifest->pack_count);
    }
    return frame_check(frame, manifest->packs[frame->pack].size, raw_max, err);
}

static bool check_small(const Manifest *manifest, const ManifestEntry *entry, Error *err)
{
    uint64_t size_max = entry->kind == ENTRY_EXTRA ? EXTRA_FILE_SIZE : SMALL_FILE_SIZE;

    if (entry->size == 0)
        return true;
    if (entry->size > size_max || entry->content.raw_size != entry->size) {
        return error_set(err, ERR_CORRUPT, "file of %" PRIu64 " bytes in one frame of %u",
                         entry->size, entry->content.raw_size);
    }
    return check_frame(manifest, &entry->content, size_max, err);
}

/* Each page of the range is of one fragment, which says how many it has. */
static bool check_fragments(const Manifest *manifest, const ManifestRange *range, Error *err)
{
    uint64_t live = 0;

    if (range->fragment_count < 1 || range->fragment_count > RANGE_FRAGMENTS_MAX)
        return error_set(err, ERR_CORRUPT, "range of %u fragments", range->fragment_count);
    for (uint8_t f = 0; f < range->fragment_count; f++) {
        const Fragment *fragment = &range->fragments[f];

        if (!check_frame(manifest, &fragment->table, PAGE_TABLE_SIZE_MAX, err))
            return false;
        if (fragment->data_pack >= manifest->pack_count) {
            return error_set(err, ERR_CORRUPT, "extents in pack %u, of %zu packs",
                             fragment->data_pack, manifest->pack_count);
        }
        live += fragment->live;
    }
    return live == frame_page_count(range->size) ||
           error_set(err, ERR_CORRUPT,
                     "range %u has %u pages, its fragments have %" PRIu64 " live ones",
                     range->index, frame_page_count(range->size), live);
}

static bool check_ranges(const Manifest *manifest, const ManifestEntry *entry, Error *err)
{
    uint64_t left = entry->size;
    uint32_t crc = 0;

    for (uint32_t i = 0; i < entry->range_count; i++) {
        const ManifestRange *range = &entry->ranges[i];
        uint64_t expected = left < RANGE_SIZE ? left : RANGE_SIZE;

        if (range->index != i || range->size != expected || expected == 0) {
            return error_set(err, ERR_CORRUPT,
                             "range %u of %" PRIu64 " bytes instead of %u of %" PRIu64,
                             range->index, range->size, i, expected);
        }
        if (!check_fragments(manifest, range, err))
            return false;
        crc = crc32c_combine(crc, range->crc32c, range->size);
        left -= expected;
    }
    if (left > 0)
        return error_set(err, ERR_CORRUPT, "ranges lack %" PRIu64 " bytes of their file", left);
    return crc == entry->crc32c ||
           error_set(err, ERR_CORRUPT,
                     "ranges have CRC-32C %08" PRIx32 " together, their file %08" PRIx32, crc,
                     entry->crc32c);
}

static bool check_entry(const Manifest *manifest, const ManifestEntry *entry, Error *err)
{
    if (!check_path(entry, err))
        return false;
    if (!check_tablespace_path(entry, manifest->header.major, err))
        return false;
    /* A program that runs as its owner: no file of a cluster is one. */
    if (entry->mode > 0777)
        return error_set(err, ERR_CORRUPT, "\"%s\" has mode %o", entry->path, entry->mode);
    if (entry->kind == ENTRY_DIRECTORY || entry->kind == ENTRY_LINK)
        return true;
    if (entry->kind == ENTRY_EXTRA && !entry->is_small)
        return error_set(err, ERR_CORRUPT, "extra file \"%s\" has ranges", entry->path);
    if (entry->is_small ? !check_small(manifest, entry, err) : !check_ranges(manifest, entry, err))
        return error_context(err, "\"%s\"", entry->path);
    return true;
}

/* Sorted strictly, extras last: what a streaming merge of two manifests relies on. */
static bool check_order(const ManifestEntry *before, const ManifestEntry *entry, Error *err)
{
    bool was_extra = before->kind == ENTRY_EXTRA;
    bool is_extra = entry->kind == ENTRY_EXTRA;

    if (was_extra != is_extra ? was_extra : strcmp(before->path, entry->path) >= 0) {
        return error_set(err, ERR_CORRUPT, "manifest lists \"%s\" after \"%s\": out of order",
                         entry->path, before->path);
    }
    return true;
}

static bool check_header(const ManifestHeader *header, Error *err)
{
    char start[LSN_TEXT_SIZE];
    char stop[LSN_TEXT_SIZE];

    if (!backup_id_is_valid(header->id, strnlen(header->id, sizeof header->id)))
        return error_set(err, ERR_CORRUPT, "manifest of a backup without valid id");
    if (header->start == 0 || header->stop < header->start) {
        return error_set(err, ERR_CORRUPT, "backup from %s to %s", lsn_text(header->start, start),
                         lsn_text(header->stop, stop));
    }
    if (header->system_identifier == 0 || header->timeline == 0 || header->major == 0 ||
        !wal_segment_size_is_valid(header->wal_segment_size))
        return error_set(err, ERR_CORRUPT, "manifest header lacks the cluster's identity");
    return true;
}

static bool check_places(const Manifest *manifest, Error *err)
{
    uint8_t id[16];

    for (size_t i = 0; i < manifest->tablespace_count; i++) {
        const Tablespace *tablespace = &manifest->tablespaces[i];

        if (tablespace->path[0] != '/' || (i > 0 && tablespace->oid <= tablespace[-1].oid)) {
            return error_set(err, ERR_CORRUPT, "manifest has tablespace %u at \"%s\"",
                             tablespace->oid, tablespace->path);
        }
    }
    for (size_t i = 0; i < manifest->pack_count; i++) {
        /* The id becomes part of an object's name. */
        if (!hex_parse(manifest->packs[i].id, id, sizeof id) ||
            manifest->packs[i].size < PACK_HEADER_SIZE + PACK_TRAILER_SIZE) {
            return error_set(err, ERR_CORRUPT, "manifest has pack \"%s\" of %" PRIu64 " bytes",
                             manifest->packs[i].id, manifest->packs[i].size);
        }
        if (!backup_id_is_valid(manifest->packs[i].backup,
                                strnlen(manifest->packs[i].backup, BACKUP_ID_SIZE))) {
            return error_set(err, ERR_CORRUPT, "manifest has pack \"%s\" of no backup",
                             manifest->packs[i].id);
        }
    }
    return true;
}

bool manifest_check_head(const Manifest *manifest, Error *err)
{
    return check_header(&manifest->header, err) && check_places(manifest, err);
}

bool manifest_check(const Manifest *manifest, Error *err)
{
    if (!manifest_check_head(manifest, err))
        return false;
    for (size_t i = 0; i < manifest->entry_count; i++) {
        const ManifestEntry *entry = &manifest->entries[i];

        if (!check_entry(manifest, entry, err) || (i > 0 && !check_order(entry - 1, entry, err)))
            return false;
    }
    return true;
}
