#include "block_map.h"

#include "base/memory.h"

#include <assert.h>

enum {
    CHUNK_BLOCKS = 1 << 16,
    CHUNK_WORDS = CHUNK_BLOCKS / 64,
    NUMBERS_MAX = CHUNK_WORDS * 4, /* More of them would take more memory than bits do. */
    NUMBERS_FIRST = 8,
    MANY = 64,

    /* Other entries than chunk number 0, 1, ... of a file are of these. */
    OF_CUT = CHUNK_BLOCKS,
    OF_DATABASE,
    OF_TABLESPACE,
};

typedef enum ChunkForm { CHUNK_NUMBERS, CHUNK_BITS, CHUNK_ALL } ChunkForm;

typedef struct MapEntry {
    RelationFile file;
    uint32_t of; /* It is the number of the chunk, or one of the values above. */
    bool is_used;
    ChunkForm form;
    uint32_t capacity;
    uint32_t count; /* It counts numbers. With OF_CUT it is the block. */
    union {
        uint16_t *numbers; /* They are in ascending order. */
        uint64_t *bits;
    };
} MapEntry;

struct BlockMap {
    MapEntry *entries; /* It is a hash table. */
    size_t count, capacity;
    size_t memory, memory_max;
    bool is_full;
};

BlockMap *block_map_new(size_t memory_max)
{
    BlockMap *map = mem_alloc(sizeof *map);

    map->memory_max = memory_max;
    map->capacity = 256;
    map->entries = mem_alloc(map->capacity * sizeof map->entries[0]);
    map->memory = map->capacity * sizeof map->entries[0];
    return map;
}

static void entry_done(BlockMap *map, MapEntry *entry)
{
    if (entry->form == CHUNK_NUMBERS) {
        map->memory -= entry->capacity * sizeof entry->numbers[0];
        mem_free(entry->numbers);
    } else if (entry->form == CHUNK_BITS) {
        map->memory -= CHUNK_WORDS * sizeof entry->bits[0];
        mem_free(entry->bits);
    }
    entry->numbers = NULL;
    entry->capacity = 0;
}

static void forget_all(BlockMap *map)
{
    for (size_t i = 0; i < map->capacity; i++)
        entry_done(map, &map->entries[i]);
    mem_free(map->entries);
    map->entries = NULL;
    map->count = map->capacity = map->memory = 0;
}

void block_map_freep(BlockMap **map)
{
    if (*map == NULL)
        return;
    forget_all(*map);
    mem_free(*map);
    *map = NULL;
}

bool block_map_is_full(const BlockMap *map)
{
    return map->is_full;
}

static size_t entry_hash(const RelationFile *file, uint32_t of)
{
    const uint64_t mixed =
        (((uint64_t)file->number << 32 | file->database) ^ (uint64_t)file->tablespace << 7) *
            UINT64_C(0x9E3779B97F4A7C15) +
        of;

    return (size_t)((mixed ^ mixed >> 29) * UINT64_C(0xBF58476D1CE4E5B9) >> 32);
}

/* The one, or the free place where it belongs. */
static MapEntry *entry_place(const BlockMap *map, const RelationFile *file, uint32_t of)
{
    size_t place = entry_hash(file, of) & (map->capacity - 1);

    for (;; place = (place + 1) & (map->capacity - 1)) {
        MapEntry *entry = &map->entries[place];

        if (!entry->is_used ||
            (entry->of == of && entry->file.number == file->number &&
             entry->file.database == file->database && entry->file.tablespace == file->tablespace))
            return entry;
    }
}

static const MapEntry *entry_find(const BlockMap *map, const RelationFile *file, uint32_t of)
{
    const MapEntry *entry = entry_place(map, file, of);

    return entry->is_used ? entry : NULL;
}

/* Chunks with at least this many blocks become "all". */
static void coarsen_chunks(BlockMap *map, ChunkForm form, uint32_t count)
{
    for (size_t i = 0; i < map->capacity; i++) {
        MapEntry *entry = &map->entries[i];

        if (!entry->is_used || entry->of >= CHUNK_BLOCKS || entry->form != form ||
            entry->count < count)
            continue;
        entry_done(map, entry);
        entry->form = CHUNK_ALL;
    }
}

static void keep_within(BlockMap *map)
{
    if (map->memory <= map->memory_max)
        return;
    coarsen_chunks(map, CHUNK_BITS, 0);
    if (map->memory > map->memory_max / 2)
        coarsen_chunks(map, CHUNK_NUMBERS, MANY);
    if (map->memory <= map->memory_max * 3 / 4)
        return;
    forget_all(map);
    map->is_full = true;
}

static void entries_grow(BlockMap *map)
{
    BlockMap grown = {.capacity = 2 * map->capacity};

    grown.entries = mem_alloc(grown.capacity * sizeof grown.entries[0]);
    for (size_t i = 0; i < map->capacity; i++) {
        const MapEntry *entry = &map->entries[i];

        if (entry->is_used)
            *entry_place(&grown, &entry->file, entry->of) = *entry;
    }
    mem_free(map->entries);
    map->entries = grown.entries;
    map->memory += map->capacity * sizeof map->entries[0];
    map->capacity = grown.capacity;
    keep_within(map);
}

/* NULL: the map is full. */
static MapEntry *entry_add(BlockMap *map, const RelationFile *file, uint32_t of)
{
    if (!map->is_full && 2 * map->count >= map->capacity)
        entries_grow(map);
    if (map->is_full)
        return NULL;

    MapEntry *entry = entry_place(map, file, of);
    if (!entry->is_used) {
        *entry = (MapEntry){.file = *file, .of = of, .is_used = true, .form = CHUNK_NUMBERS};
        if (of >= CHUNK_BLOCKS)
            entry->form = CHUNK_ALL;
        if (of == OF_CUT)
            entry->count = UINT32_MAX;
        map->count++;
    }
    return entry;
}

static void numbers_to_bits(BlockMap *map, MapEntry *entry)
{
    uint64_t *bits = mem_alloc(CHUNK_WORDS * sizeof bits[0]);

    for (uint32_t i = 0; i < entry->count; i++)
        bits[entry->numbers[i] / 64] |= UINT64_C(1) << entry->numbers[i] % 64;
    entry_done(map, entry);
    entry->form = CHUNK_BITS;
    entry->bits = bits;
    map->memory += CHUNK_WORDS * sizeof bits[0];
}

static void numbers_grow(BlockMap *map, MapEntry *entry)
{
    const uint32_t before = entry->capacity;

    entry->capacity = before == 0 ? NUMBERS_FIRST : 2 * before;
    entry->numbers = mem_resize(entry->numbers, entry->capacity * sizeof entry->numbers[0]);
    map->memory += (entry->capacity - before) * sizeof entry->numbers[0];
}

/* Where the number is, or belongs. */
static uint32_t number_place(const MapEntry *entry, uint16_t number)
{
    uint32_t low = 0;
    uint32_t high = entry->count;

    if (high > 0 && entry->numbers[high - 1] < number)
        return high; /* they come in order, mostly */
    while (low < high) {
        const uint32_t middle = (low + high) / 2;

        if (entry->numbers[middle] < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void chunk_add_number(BlockMap *map, MapEntry *entry, uint16_t number)
{
    const uint32_t place = number_place(entry, number);

    if (place < entry->count && entry->numbers[place] == number)
        return;
    if (entry->count == entry->capacity)
        numbers_grow(map, entry);
    memmove(entry->numbers + place + 1, entry->numbers + place,
            (entry->count - place) * sizeof entry->numbers[0]);
    entry->numbers[place] = number;
    entry->count++;
    if (entry->count == NUMBERS_MAX)
        numbers_to_bits(map, entry);
}

void block_map_add(BlockMap *map, const RelationFile *file, uint32_t block)
{
    MapEntry *entry = entry_add(map, file, block / CHUNK_BLOCKS);
    const uint16_t number = (uint16_t)(block % CHUNK_BLOCKS);

    if (entry == NULL)
        return;
    if (entry->form == CHUNK_NUMBERS) {
        chunk_add_number(map, entry, number);
    } else if (entry->form == CHUNK_BITS) {
        entry->bits[number / 64] |= UINT64_C(1) << number % 64;
    }
    keep_within(map);
}

void block_map_cut(BlockMap *map, const RelationFile *file, uint32_t block)
{
    MapEntry *entry = entry_add(map, file, OF_CUT);

    if (entry != NULL && block < entry->count)
        entry->count = block;
}

void block_map_database(BlockMap *map, uint32_t tablespace, uint32_t database)
{
    (void)entry_add(map, &(RelationFile){.tablespace = tablespace, .database = database},
                    OF_DATABASE);
}

void block_map_tablespace(BlockMap *map, uint32_t tablespace)
{
    (void)entry_add(map, &(RelationFile){.tablespace = tablespace}, OF_TABLESPACE);
}

/* Blocks [from, to) of those from `first` on. */
static void set_bits(uint64_t *words, uint32_t first, uint32_t from, uint32_t to)
{
    for (uint32_t block = from; block < to; block++)
        words[(block - first) / 64] |= UINT64_C(1) << (block - first) % 64;
}

static bool is_made_anew(const BlockMap *map, const RelationFile *file)
{
    const RelationFile tablespace = {.tablespace = file->tablespace};
    const RelationFile database = {.tablespace = file->tablespace, .database = file->database};

    return entry_find(map, &tablespace, OF_TABLESPACE) != NULL ||
           entry_find(map, &database, OF_DATABASE) != NULL;
}

/* What a chunk has of blocks [from, to), which are in it. */
static void take_chunk(const MapEntry *entry, uint32_t first, uint32_t from, uint32_t to,
                       uint64_t *words)
{
    const uint32_t begin = entry->of * CHUNK_BLOCKS;

    if (entry->form == CHUNK_ALL)
        set_bits(words, first, from, to);
    for (uint32_t i = 0; entry->form == CHUNK_NUMBERS && i < entry->count; i++) {
        const uint32_t block = begin + entry->numbers[i];

        if (block >= from && block < to)
            set_bits(words, first, block, block + 1);
    }
    for (uint32_t block = from; entry->form == CHUNK_BITS && block < to; block++) {
        if ((entry->bits[(block - begin) / 64] >> (block - begin) % 64 & 1) != 0)
            set_bits(words, first, block, block + 1);
    }
}

static bool has_any(const uint64_t *words, uint32_t count)
{
    for (uint32_t i = 0; i < (count + 63) / 64; i++) {
        if (words[i] != 0)
            return true;
    }
    return false;
}

ChangedAnswer block_map_answer(const BlockMap *map, const RelationFile *file, uint32_t first,
                               uint32_t count, uint64_t *words)
{
    const uint64_t end = (uint64_t)first + count;

    assert(first % 64 == 0 && end <= UINT32_MAX && !map->is_full);
    memset(words, 0, (count + (size_t)63) / 64 * sizeof words[0]);
    const MapEntry *cut = entry_find(map, file, OF_CUT);
    if (is_made_anew(map, file) || (cut != NULL && cut->count <= first)) {
        set_bits(words, first, first, (uint32_t)end);
        return CHANGED_ALL;
    }
    if (cut != NULL && cut->count < end)
        set_bits(words, first, cut->count, (uint32_t)end);
    for (uint32_t chunk = first / CHUNK_BLOCKS; (uint64_t)chunk * CHUNK_BLOCKS < end; chunk++) {
        const uint32_t begin = chunk * CHUNK_BLOCKS;
        const uint64_t chunk_end = (uint64_t)begin + CHUNK_BLOCKS;
        const MapEntry *entry = entry_find(map, file, chunk);

        if (entry != NULL) {
            take_chunk(entry, first, begin > first ? begin : first,
                       (uint32_t)(chunk_end < end ? chunk_end : end), words);
        }
    }
    return has_any(words, count) ? CHANGED_SOME : CHANGED_NONE;
}
