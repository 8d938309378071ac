#include "postgres/relation_map.h"

#include "base/bytes.h"
#include "stream/digest.h"

enum {
    MAP_MAGIC = 0x592717,
    MAP_HEADER = 8, /* It holds the magic and the number of entries. */
    MAP_ENTRY = 8,  /* It holds an oid and a file. */
    MAP_SIZE_TO_15 = 512,
    MAP_ENTRIES_TO_15 = 62,
};

bool relation_map_parse(const uint8_t *bytes, size_t size, RelationMap *map, Error *err)
{
    if (size != MAP_SIZE_TO_15 && size != RELATION_MAP_SIZE_MAX)
        return error_set(err, ERR_CORRUPT, "pg_filenode.map of %zu bytes", size);

    uint32_t most = size == MAP_SIZE_TO_15 ? MAP_ENTRIES_TO_15 : RELATION_MAP_MAX;
    size_t checked = MAP_HEADER + (size_t)most * MAP_ENTRY;
    uint32_t count = get_le32(bytes + 4);
    if (get_le32(bytes) != MAP_MAGIC || count > most)
        return error_set(err, ERR_CORRUPT, "pg_filenode.map holds something else");
    if (get_le32(bytes + checked) != crc32c_update(0, bytes, checked))
        return error_set(err, ERR_CORRUPT, "pg_filenode.map has a bad checksum");
    map->count = count;
    for (uint32_t i = 0; i < count; i++)
        map->files[i] = get_le32(bytes + MAP_HEADER + (size_t)i * MAP_ENTRY + 4);
    return true;
}
