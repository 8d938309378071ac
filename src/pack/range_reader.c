#include "pack/range_reader.h"

#include "base/interrupt.h"
#include "stream/digest.h"

/*
 * A window is for the extents that are wanted next, one after another in the pack; where several
 * fragments need one each they share its size. Extents that were decompressed are kept as far as
 * they fit together; a fragment of few pages has a small one.
 */
enum {
    WINDOW_SIZE = 4 << 20, /* This many stored bytes are read at once. */
    RAW_KEPT_MAX = 16 << 20,
    STORED_EXTENT_MAX = EXTENT_SIZE + (64 << 10), /* What does not compress grows a little. */
    TABLE_SIZE_MAX = 1 << 20,
    PAGE_UNOWNED = 0xff,
    EXTENT_NONE = UINT32_MAX,
};

/* One fragment of the range being read. */
typedef struct FragmentSource {
    PageTable table;
    const char *pack; /* The extents are in this pack. */
    uint32_t pack_index;
    Buffer stored;          /* It is the window. */
    uint64_t stored_offset; /* The window begins here in the pack. */
    /* They are the extents, by their numbers in the table, that have wanted pages. */
    PageSet wanted;
    /* It is the extent that was decompressed last. NULL means that none is kept. */
    uint8_t *raw;
    size_t raw_size; /* It is the size of that memory. */
    uint32_t raw_extent;
    uint64_t used_at; /* It is what RangeReader.uses was then. */
} FragmentSource;

struct RangeReader {
    const Cluster *cluster;
    const Manifest *manifest;
    CodecContext *codec;
    Buffer scratch;
    FragmentSource sources[RANGE_FRAGMENTS_MAX];
    uint32_t source_count;
    uint8_t *out;
    uint8_t owner[RANGE_PAGES];   /* It tells which fragment has the newest copy of the page. */
    uint32_t entry[RANGE_PAGES];  /* It tells which entry of that fragment's table the page is. */
    uint64_t hashes[RANGE_PAGES]; /* It is as in that table. */
    size_t raw_kept;              /* It is the sum over all sources. */
    uint64_t uses;
    uint64_t range_size;
    uint64_t bytes_read;
};

RangeReader *range_reader_new(const Cluster *cluster, const Manifest *manifest)
{
    RangeReader *reader = mem_alloc(sizeof *reader);

    reader->cluster = cluster;
    reader->manifest = manifest;
    reader->codec = codec_context_new();
    reader->out = mem_alloc_aligned(EXTENT_SIZE);
    return reader;
}

static void drop_raw(RangeReader *reader, FragmentSource *source)
{
    mem_free(TAKE(source->raw));
    reader->raw_kept -= source->raw_size;
    source->raw_size = 0;
    source->raw_extent = EXTENT_NONE;
}

/* The first one's buffers serve the next range; what others took is given back. */
static void forget_tables(RangeReader *reader)
{
    for (uint32_t i = 0; i < reader->source_count; i++) {
        FragmentSource *source = &reader->sources[i];

        page_table_done(&source->table);
        source->table = (PageTable){0};
        if (i > 0) {
            buffer_done(&source->stored);
            drop_raw(reader, source);
        }
    }
    reader->source_count = 0;
}

void range_reader_freep(RangeReader **reader)
{
    if (*reader == NULL)
        return;
    forget_tables(*reader);
    for (size_t i = 0; i < RANGE_FRAGMENTS_MAX; i++) {
        buffer_done(&(*reader)->sources[i].stored);
        mem_free((*reader)->sources[i].raw);
    }
    buffer_done(&(*reader)->scratch);
    codec_context_freep(&(*reader)->codec);
    mem_free((*reader)->out);
    mem_free(*reader);
    *reader = NULL;
}

CodecContext *range_reader_codec(RangeReader *reader)
{
    return reader->codec;
}

static bool load_table(RangeReader *reader, const Fragment *fragment, uint32_t range_index,
                       Error *err)
{
    const Manifest *manifest = reader->manifest;
    const Frame *frame = &fragment->table;
    CLEANUP(buffer_done) Buffer raw = {0};

    if (frame->pack >= manifest->pack_count || fragment->data_pack >= manifest->pack_count ||
        frame->raw_size > TABLE_SIZE_MAX)
        return error_set(err, ERR_CORRUPT, "reference to an impossible page table");
    FragmentSource *source = &reader->sources[reader->source_count];
    const char *pack = manifest->packs[frame->pack].id;
    source->pack_index = fragment->data_pack;
    source->pack = manifest->packs[fragment->data_pack].id;
    source->raw_extent = EXTENT_NONE;
    source->stored.size = 0;
    buffer_reserve(&raw, frame->raw_size);
    if (!pack_read_frame(reader->cluster, pack, frame, reader->codec, &reader->scratch, raw.data,
                         err))
        return false;
    reader->bytes_read += frame->stored_size;
    if (!page_table_decode(&source->table, raw.data, frame->raw_size, err))
        return error_context(err, "pack %s", pack);
    reader->source_count++;
    if (source->table.range != range_index || source->table.range_size > RANGE_SIZE) {
        return error_set(err, ERR_CORRUPT, "page table in pack %s at %llu is of another range",
                         pack, (unsigned long long)frame->offset);
    }
    return true;
}

/* Which fragment each page comes from: the overlay, clipped to the size at each step. */
static bool lay_over(RangeReader *reader, const ManifestRange *range, Error *err)
{
    memset(reader->owner, PAGE_UNOWNED, sizeof reader->owner);
    for (uint32_t f = 0; f < reader->source_count; f++) {
        const PageTable *table = &reader->sources[f].table;
        uint32_t count = frame_page_count(table->range_size);

        memset(reader->owner + count, PAGE_UNOWNED, RANGE_PAGES - count);
        for (uint32_t i = 0; i < table->page_count; i++) {
            if (table->pages[i] >= count || table->entries[i].extent >= table->extent_count) {
                return error_set(err, ERR_CORRUPT, "page table in pack %s names an impossible page",
                                 reader->sources[f].pack);
            }
            reader->owner[table->pages[i]] = (uint8_t)f;
            reader->entry[table->pages[i]] = i;
        }
    }
    const FragmentSource *newest = &reader->sources[reader->source_count - 1];
    if (newest->table.range_size != range->size) {
        return error_set(err, ERR_CORRUPT, "page table in pack %s is for %llu bytes, not %llu",
                         newest->pack, (unsigned long long)newest->table.range_size,
                         (unsigned long long)range->size);
    }
    for (uint32_t page = 0; page < frame_page_count(range->size); page++) {
        if (reader->owner[page] == PAGE_UNOWNED)
            return error_set(err, ERR_CORRUPT, "no fragment holds page %u", page);
    }
    return true;
}

static const PageEntry *entry_of(const RangeReader *reader, uint32_t page)
{
    return &reader->sources[reader->owner[page]].table.entries[reader->entry[page]];
}

/* The hashes that each page is checked against make up the one that the manifest has. */
static bool prove_hashes(RangeReader *reader, const ManifestRange *range, Error *err)
{
    const uint32_t count = frame_page_count(range->size);

    for (uint32_t page = 0; page < count; page++)
        reader->hashes[page] = entry_of(reader, page)->hash;
    if (range_hash(reader->cluster->repo->hash_seed, range->size, reader->hashes, count) !=
        range->hash)
        return error_set(err, ERR_CORRUPT, "the range as a whole is not what was backed up");
    return true;
}

/* So that a window holds what will be asked for, and no more. */
static void mark_wanted(RangeReader *reader, const PageSet *pages)
{
    for (uint32_t i = 0; i < reader->source_count; i++)
        reader->sources[i].wanted = (PageSet){0};
    for (uint32_t page = 0; page < frame_page_count(reader->range_size); page++) {
        if (pages == NULL || page_set_has(pages, page)) {
            page_set_add(&reader->sources[reader->owner[page]].wanted,
                         entry_of(reader, page)->extent);
        }
    }
}

/* Read the stored bytes of an extent, and of the wanted ones right after it as far as the window
 * goes. */
static bool fill_window(RangeReader *reader, FragmentSource *source, uint32_t extent, Error *err)
{
    const PageTable *table = &source->table;
    const Frame *first = &table->extents[extent];
    uint64_t limit = WINDOW_SIZE / reader->source_count;
    uint64_t size = first->stored_size;

    for (uint32_t i = extent + 1; i < table->extent_count && size < limit; i++) {
        const Frame *next = &table->extents[i];
        if (!page_set_has(&source->wanted, i) || next->offset != first->offset + size ||
            next->stored_size > limit - size)
            break;
        size += next->stored_size;
    }
    CLEANUP(text_freep) char *name = layout_pack(reader->cluster->name, source->pack);
    source->stored.size = 0;
    buffer_reserve(&source->stored, size);
    if (!storage_read_range(reader->cluster->repo->storage, name, first->offset, size,
                            source->stored.data, err))
        return false;
    source->stored.size = size;
    source->stored_offset = first->offset;
    reader->bytes_read += size;
    return true;
}

/* Whose extent was used longest ago, but for `wanted`; NULL: nobody else keeps one. */
static FragmentSource *find_oldest_raw(RangeReader *reader, const FragmentSource *wanted)
{
    FragmentSource *oldest = NULL;

    for (uint32_t i = 0; i < reader->source_count; i++) {
        FragmentSource *source = &reader->sources[i];

        if (source->raw != NULL && source != wanted &&
            (oldest == NULL || source->used_at < oldest->used_at))
            oldest = source;
    }
    return oldest;
}

/*
 * Memory for an extent of that many raw bytes. When it is too much, what others keep is given up.
 */
static void make_raw_room(RangeReader *reader, FragmentSource *source, size_t size)
{
    FragmentSource *oldest;

    source->raw_extent = EXTENT_NONE;
    if (source->raw != NULL && source->raw_size >= size)
        return;
    drop_raw(reader, source);
    while (reader->raw_kept + size > RAW_KEPT_MAX &&
           (oldest = find_oldest_raw(reader, source)) != NULL)
        drop_raw(reader, oldest);
    source->raw = mem_alloc_aligned(size);
    source->raw_size = size;
    reader->raw_kept += size;
}

static bool load_extent(RangeReader *reader, FragmentSource *source, uint32_t extent, Error *err)
{
    Frame frame = source->table.extents[extent];

    frame.pack = source->pack_index;
    if (frame.raw_size > EXTENT_SIZE || frame.stored_size > STORED_EXTENT_MAX) {
        return error_set(err, ERR_CORRUPT, "page table in pack %s names an impossible extent",
                         source->pack);
    }
    if (frame.offset < source->stored_offset ||
        frame.offset + frame.stored_size > source->stored_offset + source->stored.size) {
        source->raw_extent = EXTENT_NONE;
        if (!fill_window(reader, source, extent, err))
            return false;
    }
    make_raw_room(reader, source, reader->source_count == 1 ? EXTENT_SIZE : frame.raw_size);
    if (!pack_decode_frame(reader->cluster, source->pack, &frame,
                           source->stored.data + (frame.offset - source->stored_offset),
                           reader->codec, source->raw, err))
        return false;
    source->raw_extent = extent;
    /* What the window has no more of is not kept twice. */
    if (frame.offset + frame.stored_size == source->stored_offset + source->stored.size &&
        reader->source_count > 1) {
        buffer_done(&source->stored);
        source->stored_offset = 0;
    }
    return true;
}

static bool copy_page(RangeReader *reader, uint32_t page, size_t size, uint8_t *to, Error *err)
{
    FragmentSource *source = &reader->sources[reader->owner[page]];
    const PageEntry *entry = &source->table.entries[reader->entry[page]];
    size_t at = (size_t)entry->slot * PAGE_BYTES;

    if (source->raw_extent != entry->extent && !load_extent(reader, source, entry->extent, err))
        return false;
    if (at + size > source->table.extents[entry->extent].raw_size) {
        return error_set(err, ERR_CORRUPT, "page %u lies beyond its extent in pack %s", page,
                         source->pack);
    }
    source->used_at = ++reader->uses;
    memcpy(to, source->raw + at, size);
    if (xxh3_of(reader->cluster->repo->hash_seed, to, size) != reader->hashes[page]) {
        return error_set(err, ERR_CORRUPT, "page %u from pack %s is not what was backed up", page,
                         source->pack);
    }
    return true;
}

static size_t range_page_size(const RangeReader *reader, uint32_t page)
{
    const uint64_t rest = reader->range_size - (uint64_t)page * PAGE_BYTES;

    return rest < PAGE_BYTES ? (size_t)rest : PAGE_BYTES;
}

/* Up to EXTENT_SIZE bytes of wanted pages that follow one another, from *page on, which is moved.
 */
static bool fill_piece(RangeReader *reader, const PageSet *pages, uint32_t *page, size_t *filled,
                       Error *err)
{
    const uint32_t count = frame_page_count(reader->range_size);

    *filled = 0;
    while (*page < count && *filled < EXTENT_SIZE &&
           (pages == NULL || page_set_has(pages, *page))) {
        const size_t size = range_page_size(reader, *page);
        if (!copy_page(reader, *page, size, reader->out + *filled, err))
            return false;
        *filled += size;
        (*page)++;
    }
    return true;
}

bool range_reader_read_pages(RangeReader *reader, const PageSet *pages, RangeSink *sink,
                             void *context, RangeContent *content, Error *err)
{
    const uint32_t count = frame_page_count(reader->range_size);
    size_t filled;

    *content = (RangeContent){0};
    mark_wanted(reader, pages);
    for (uint32_t page = 0; page < count; page += filled == 0) {
        const uint64_t offset = (uint64_t)page * PAGE_BYTES;
        if (!fill_piece(reader, pages, &page, &filled, err))
            return false;
        if (filled == 0)
            continue;
        content->crc32c = crc32c_update(content->crc32c, reader->out, filled);
        if (!interrupt_check(err) || !sink(context, &reader->out, filled, offset, err))
            return false;
    }
    content->bytes_read = reader->bytes_read;
    return true;
}

bool range_reader_open(RangeReader *reader, const ManifestRange *range, Error *err)
{
    forget_tables(reader);
    reader->bytes_read = 0;
    reader->range_size = 0;
    if (range->size == 0 || range->size > RANGE_SIZE || range->fragment_count == 0 ||
        range->fragment_count > RANGE_FRAGMENTS_MAX)
        return error_set(err, ERR_CORRUPT, "impossible range in the manifest");
    for (uint32_t i = 0; i < range->fragment_count; i++) {
        if (!load_table(reader, &range->fragments[i], range->index, err))
            return false;
    }
    if (!lay_over(reader, range, err) || !prove_hashes(reader, range, err))
        return false;
    reader->range_size = range->size;
    return true;
}

const uint64_t *range_reader_hashes(const RangeReader *reader)
{
    return reader->hashes;
}

uint32_t range_reader_page_crc(const RangeReader *reader, uint32_t page)
{
    return entry_of(reader, page)->crc32c;
}

uint32_t range_reader_owner(const RangeReader *reader, uint32_t page)
{
    return reader->owner[page];
}

uint64_t range_reader_bytes_read(const RangeReader *reader)
{
    return reader->bytes_read;
}

bool range_reader_read(RangeReader *reader, const ManifestRange *range, RangeSink *sink,
                       void *context, RangeContent *content, Error *err)
{
    *content = (RangeContent){0};
    return range_reader_open(reader, range, err) &&
           range_reader_read_pages(reader, NULL, sink, context, content, err);
}
