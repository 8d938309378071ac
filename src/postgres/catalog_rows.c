#include "postgres/catalog_rows.h"

#include "base/bytes.h"

enum {
    PAGE_SIZE = 8192,
    PAGE_HEADER_SIZE = 24,
    PAGE_LOWER = 12, /* It is the offset of pd_lower, which tells where the line pointers end. */
    LINE_POINTER_SIZE = 4,
    LINE_NORMAL = 1,

    ROW_HEADER_SIZE = 23,
    ROW_XMAX = 4,
    ROW_INFOMASK = 20,
    ROW_DATA_OFFSET = 22, /* It is the offset of t_hoff. */
    XMIN_COMMITTED = 0x0100,
    XMIN_INVALID = 0x0200, /* When both are set, xmin is frozen. */
    XMAX_COMMITTED = 0x0400,
    XMAX_INVALID = 0x0800,

    /* In the data of all of them, an oid and a name come first. */
    NAME_OFFSET = 4,
    CLASS_SCHEMA = 68,
    CLASS_FILE = 88,
    CLASS_KIND_TO_17 = 115,
    CLASS_KIND = 119, /* 18 has relallfrozen before it. */

    ROLE_SUPERUSER = 68,
    ROLE_LOGIN = 72,

    MAP_MAGIC = 0x592717,
    MAP_HEADER_SIZE = 8,
    MAP_ENTRY_SIZE = 8,
};

/* How much of a row's data is looked at. */
static size_t row_size_needed(uint32_t catalog, size_t kind_offset)
{
    if (catalog == PG_CLASS_OID)
        return kind_offset + 1;
    return catalog == PG_AUTHID_OID ? (size_t)ROLE_LOGIN + 1
                                    : (size_t)NAME_OFFSET + CATALOG_NAME_SIZE;
}

static bool decode_row(uint32_t catalog, const PgVersion *version, const uint8_t *bytes,
                       size_t size, CatalogRow *row)
{
    size_t kind_offset = version->major >= 18 ? CLASS_KIND : CLASS_KIND_TO_17;
    size_t needed = row_size_needed(catalog, kind_offset);

    if (size < ROW_HEADER_SIZE)
        return false;
    unsigned mask = get_le16(bytes + ROW_INFOMASK);
    size_t offset = bytes[ROW_DATA_OFFSET];
    const uint8_t *data = bytes + offset;
    if (offset < ROW_HEADER_SIZE || offset > size || size - offset < needed ||
        (mask & (XMIN_COMMITTED | XMIN_INVALID)) == XMIN_INVALID)
        return false;
    *row = (CatalogRow){
        .oid = get_le32(data),
        .is_current = (mask & XMAX_INVALID) != 0 ||
                      (get_le32(bytes + ROW_XMAX) == 0 && (mask & XMAX_COMMITTED) == 0),
    };
    memcpy(row->name, data + NAME_OFFSET, CATALOG_NAME_SIZE - 1);
    if (catalog == PG_CLASS_OID) {
        row->schema = get_le32(data + CLASS_SCHEMA);
        row->file = get_le32(data + CLASS_FILE);
        row->kind = (char)data[kind_offset];
    }
    if (catalog == PG_AUTHID_OID) {
        row->is_superuser = data[ROLE_SUPERUSER] != 0;
        row->can_login = data[ROLE_LOGIN] != 0;
    }
    return row->oid != 0 && row->name[0] != '\0';
}

static void rows_of_page(uint32_t catalog, const PgVersion *version, const uint8_t *page,
                         CatalogRowFunction *on_row, void *context)
{
    size_t lower = get_le16(page + PAGE_LOWER);

    if (lower > PAGE_SIZE)
        return;
    for (size_t at = PAGE_HEADER_SIZE; at + LINE_POINTER_SIZE <= lower; at += LINE_POINTER_SIZE) {
        uint32_t line = get_le32(page + at);
        size_t offset = line & 0x7FFF;
        size_t size = line >> 17;
        CatalogRow row;

        if ((line >> 15 & 3) != LINE_NORMAL || offset + size > PAGE_SIZE)
            continue;
        if (decode_row(catalog, version, page + offset, size, &row))
            on_row(context, &row);
    }
}

void catalog_rows(uint32_t catalog, const PgVersion *version, const uint8_t *pages, size_t size,
                  CatalogRowFunction *on_row, void *context)
{
    for (size_t at = 0; at + PAGE_SIZE <= size; at += PAGE_SIZE)
        rows_of_page(catalog, version, pages + at, on_row, context);
}

uint32_t filenode_map_find(const uint8_t *map, size_t size, uint32_t oid)
{
    if (size < MAP_HEADER_SIZE || get_le32(map) != MAP_MAGIC)
        return 0;
    uint32_t count = get_le32(map + 4);
    for (uint32_t i = 0; i < count; i++) {
        size_t at = MAP_HEADER_SIZE + (size_t)MAP_ENTRY_SIZE * i;

        if (at + MAP_ENTRY_SIZE > size)
            return 0;
        if (get_le32(map + at) == oid)
            return get_le32(map + at + 4);
    }
    return 0;
}
