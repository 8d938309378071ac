#include "manifests_read.h"

#include "packs.h"
#include "troubles.h"

#include "base/interrupt.h"
#include "pack/page_table.h"
#include "pack/range_reader.h"
#include "repo/layout.h"
#include "stream/digest.h"

#include <inttypes.h>

enum { COMPLAINTS_MAX = 100 };

/* One manifest being compared with what was found in its packs. */
typedef struct Check {
    VerifyRun *run;
    size_t backup;
    const Manifest *manifest;
    const char *object;
    PackFacts **packs; /* Their index is the manifest's. */
    size_t complaints;
    CodecContext *codec;
    Buffer scratch;
    /* It has RANGE_PAGES elements, for a range that several page tables make up. */
    uint64_t *hashes;
    uint32_t *crcs;
} Check;

static void check_done(Check *check)
{
    mem_free(check->packs);
    codec_context_freep(&check->codec);
    buffer_done(&check->scratch);
    mem_free(check->hashes);
    mem_free(check->crcs);
}

static void manifest_complain(Check *check, const char *what, const char *expected,
                              const char *found)
{
    if (check->complaints++ >= COMPLAINTS_MAX)
        return;
    check->run->backups[check->backup].is_hurt = true;
    trouble_at_backup(
        trouble_add(check->run, FINDING_INCONSISTENT, check->object, what, expected, found),
        check->backup);
}

static void complain_of_file(Check *check, const ManifestEntry *entry, const char *expected,
                             const char *found)
{
    CLEANUP(text_freep) char *what = text_format("content of %s", entry->path);

    manifest_complain(check, what, expected, found);
}

/* The pack has its own finding; this says whose trouble that is. */
static void manifest_hurt(Check *check, PackFacts *pack)
{
    check->run->backups[check->backup].is_hurt = true;
    if (pack->hurt_count > 0 && pack->hurt[pack->hurt_count - 1] == check->backup)
        return;
    pack->hurt = mem_resize(pack->hurt, (pack->hurt_count + 1) * sizeof pack->hurt[0]);
    pack->hurt[pack->hurt_count++] = check->backup;
}

static const FrameFact *find_fact(const PackFacts *pack, const Frame *frame)
{
    size_t low = 0;
    size_t high = pack->frame_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (pack->frames[middle].frame.offset < frame->offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == pack->frame_count)
        return NULL;
    const Frame *found = &pack->frames[low].frame;
    return found->offset == frame->offset && found->checksum == frame->checksum &&
                   found->stored_size == frame->stored_size && found->raw_size == frame->raw_size &&
                   found->codec == frame->codec
               ? &pack->frames[low]
               : NULL;
}

/* NULL when there is nothing to compare with, which has been told then. */
static const FrameFact *good_fact(Check *check, const ManifestEntry *entry, const Frame *frame,
                                  FrameKind kind)
{
    PackFacts *pack = check->packs[frame->pack];
    char text[128];

    if (!pack->is_readable) {
        manifest_hurt(check, pack);
        return NULL;
    }
    const FrameFact *fact = find_fact(pack, frame);
    if (fact == NULL || fact->kind != kind) {
        snprintf(text, sizeof text, "a frame of %" PRIu32 " bytes at offset %" PRIu64 " of pack %s",
                 frame->stored_size, frame->offset, pack->info.id);
        complain_of_file(check, entry, text, "no such frame there");
        return NULL;
    }
    if (fact->state == FRAME_DAMAGED) {
        manifest_hurt(check, pack);
        return NULL;
    }
    if (fact->state == FRAME_ALONE) {
        complain_of_file(check, entry, "extents in front of their page table", "it names others");
        return NULL;
    }
    return fact;
}

static void manifest_check_small(Check *check, const ManifestEntry *entry)
{
    char expected[64];
    char found[64];
    uint64_t hash = 0;
    uint32_t crc = 0;

    if (entry->size > 0) {
        const FrameFact *fact = good_fact(check, entry, &entry->content, FRAME_FILE);

        if (fact == NULL)
            return;
        hash = fact->hash;
        crc = fact->crc32c;
    }
    if (crc == entry->crc32c && (entry->size == 0 || hash == entry->content_hash))
        return;
    snprintf(expected, sizeof expected, "hash %016" PRIx64 ", CRC-32C %08" PRIx32,
             entry->content_hash, entry->crc32c);
    snprintf(found, sizeof found, "hash %016" PRIx64 ", CRC-32C %08" PRIx32, hash, crc);
    complain_of_file(check, entry, expected, found);
}

typedef struct RangeSum {
    uint64_t hash;
    uint32_t crc32c;
    uint64_t size;
} RangeSum;

static bool manifest_load_table(Check *check, const Frame *frame, PageTable *table, Error *err)
{
    CLEANUP(buffer_done) Buffer raw = {0};

    buffer_reserve(&raw, frame->raw_size);
    return pack_read_frame(check->run->cluster, check->manifest->packs[frame->pack].id, frame,
                           check->codec, &check->scratch, raw.data, err) &&
           page_table_decode(table, raw.data, frame->raw_size, err);
}

/* Which fragment holds each page of the range, laid over each other so far; from 1 on. */
typedef struct Overlay {
    uint8_t owned[RANGE_PAGES];
    uint8_t count; /* It counts the fragments so far. They are numbered from 1 on. */
    uint64_t size;
} Overlay;

/* Clipped at each step: docs/format.md, chapter 4.3. */
static void overlay_lay(Check *check, Overlay *overlay, const PageTable *table)
{
    uint32_t count = frame_page_count(table->range_size);

    overlay->count++;
    memset(overlay->owned + count, 0, RANGE_PAGES - count);
    for (uint32_t i = 0; i < table->page_count; i++) {
        uint32_t page = table->pages[i];

        overlay->owned[page] = overlay->count;
        check->hashes[page] = table->entries[i].hash;
        check->crcs[page] = table->entries[i].crc32c;
    }
    overlay->size = table->range_size;
}

static bool sum_overlay(const Check *check, const Overlay *overlay, RangeSum *sum)
{
    uint32_t count = frame_page_count(overlay->size);

    *sum = (RangeSum){.size = overlay->size};
    for (uint32_t page = 0; page < count; page++) {
        uint64_t left = overlay->size - (uint64_t)page * PAGE_BYTES;

        if (overlay->owned[page] == 0)
            return false;
        sum->crc32c =
            crc32c_combine(sum->crc32c, check->crcs[page], left < PAGE_BYTES ? left : PAGE_BYTES);
    }
    sum->hash =
        range_hash(check->run->cluster->repo->hash_seed, overlay->size, check->hashes, count);
    return true;
}

/* Retention goes by these numbers. */
static void check_live(Check *check, const ManifestEntry *entry, const ManifestRange *range,
                       const Overlay *overlay)
{
    uint32_t live[RANGE_FRAGMENTS_MAX + 1] = {0};
    char expected[96];
    char found[64];

    for (uint32_t page = 0; page < frame_page_count(overlay->size); page++)
        live[overlay->owned[page]]++;
    for (uint8_t i = 0; i < range->fragment_count; i++) {
        if (live[i + 1] == range->fragments[i].live)
            continue;
        snprintf(expected, sizeof expected,
                 "%" PRIu32 " live pages of fragment %u of range %" PRIu32,
                 range->fragments[i].live, i, range->index);
        snprintf(found, sizeof found, "%" PRIu32, live[i + 1]);
        complain_of_file(check, entry, expected, found);
        return;
    }
}

static void complain_of_gap(Check *check, const ManifestEntry *entry, const ManifestRange *range)
{
    char expected[64];

    snprintf(expected, sizeof expected, "all pages of range %" PRIu32, range->index);
    complain_of_file(check, entry, expected, "some are in no pack");
}

/*
 * Several fragments: their page tables are read once more, since the pages of all of them are too
 * many to keep. The pages themselves were compared with the tables when their packs were read.
 */
static bool sum_fragments(Check *check, const ManifestEntry *entry, const ManifestRange *range,
                          RangeSum *sum, bool *known, Error *err)
{
    Overlay overlay = {.size = 0};

    *known = true;
    for (uint8_t i = 0; i < range->fragment_count; i++) {
        const Frame *frame = &range->fragments[i].table;
        CLEANUP(page_table_done) PageTable table = {0};
        const FrameFact *fact = good_fact(check, entry, frame, FRAME_PAGE_TABLE);
        Error attempt = {0};

        *known = *known && fact != NULL;
        if (!*known)
            continue;
        if (!manifest_load_table(check, frame, &table, &attempt)) {
            if (!is_finding(&attempt))
                return error_pass(err, &attempt);
            complain_of_file(check, entry, "a page table as it was read before", attempt.message);
            *known = false;
            continue;
        }
        overlay_lay(check, &overlay, &table);
    }
    if (*known && !sum_overlay(check, &overlay, sum)) {
        complain_of_gap(check, entry, range);
        *known = false;
    }
    if (*known)
        check_live(check, entry, range, &overlay);
    return true;
}

static void sum_single(Check *check, const ManifestEntry *entry, const ManifestRange *range,
                       RangeSum *sum, bool *known)
{
    const FrameFact *fact = good_fact(check, entry, &range->fragments[0].table, FRAME_PAGE_TABLE);

    *known = fact != NULL && fact->state == FRAME_GOOD;
    if (*known) {
        *sum = (RangeSum){.hash = fact->hash, .crc32c = fact->crc32c, .size = fact->range_size};
    } else if (fact != NULL) {
        complain_of_gap(check, entry, range);
    }
}

/* A page table in another pack than its extents. */
static bool has_lone_table(const ManifestRange *range)
{
    for (uint8_t i = 0; i < range->fragment_count; i++) {
        if (range->fragments[i].data_pack != range->fragments[i].table.pack)
            return true;
    }
    return false;
}

static bool pass_over_piece(void *context, uint8_t **data, size_t size, uint64_t offset, Error *err)
{
    (void)context, (void)data, (void)size, (void)offset, (void)err;
    return true;
}

/* Then all of the range is read once more, as a restore would; each page is checked by that. */
static bool sum_by_reading(Check *check, const ManifestEntry *entry, const ManifestRange *range,
                           RangeSum *sum, bool *known, Error *err)
{
    CLEANUP(range_reader_freep)
    RangeReader *reader = range_reader_new(check->run->cluster, check->manifest);
    RangeContent content;
    Error attempt = {0};

    *known = range_reader_read(reader, range, pass_over_piece, NULL, &content, &attempt);
    if (*known) {
        *sum = (RangeSum){.hash = range->hash, .crc32c = content.crc32c, .size = range->size};
        return true;
    }
    if (!is_finding(&attempt))
        return error_pass(err, &attempt);
    complain_of_file(check, entry, "what its page tables say", attempt.message);
    return true;
}

static bool manifest_check_range(Check *check, const ManifestEntry *entry,
                                 const ManifestRange *range, Error *err)
{
    RangeSum sum = {0};
    char expected[128];
    char found[96];
    bool known;

    if (has_lone_table(range)) {
        if (!sum_by_reading(check, entry, range, &sum, &known, err))
            return false;
    } else if (range->fragment_count == 1) {
        sum_single(check, entry, range, &sum, &known);
    } else if (!sum_fragments(check, entry, range, &sum, &known, err)) {
        return false;
    }
    if (!known ||
        (sum.hash == range->hash && sum.size == range->size && sum.crc32c == range->crc32c))
        return true;
    snprintf(expected, sizeof expected,
             "range %" PRIu32 " of %" PRIu64 " bytes, hash %016" PRIx64 ", CRC-32C %08" PRIx32,
             range->index, range->size, range->hash, range->crc32c);
    snprintf(found, sizeof found, "%" PRIu64 " bytes, hash %016" PRIx64 ", CRC-32C %08" PRIx32,
             sum.size, sum.hash, sum.crc32c);
    complain_of_file(check, entry, expected, found);
    return true;
}

/* That the ranges' CRCs make up the file's was checked when the manifest was loaded. */
static bool manifest_check_large(Check *check, const ManifestEntry *entry, Error *err)
{
    for (uint32_t i = 0; i < entry->range_count; i++) {
        if (!manifest_check_range(check, entry, &entry->ranges[i], err))
            return false;
    }
    return true;
}

static bool check_entries(Check *check, Error *err)
{
    for (size_t i = 0; i < check->manifest->entry_count; i++) {
        const ManifestEntry *entry = &check->manifest->entries[i];

        if (entry->kind != ENTRY_FILE && entry->kind != ENTRY_EXTRA)
            continue;
        if (entry->is_small) {
            manifest_check_small(check, entry);
        } else if (!interrupt_check(err) || !manifest_check_large(check, entry, err)) {
            return false;
        }
    }
    return true;
}

/* Whose trouble a bad pack is: of its frames nothing is known but that some are bad. */
static void hurt_by_packs(Check *check)
{
    for (size_t i = 0; i < check->manifest->pack_count; i++) {
        if (check->packs[i]->is_bad || !check->packs[i]->is_readable)
            manifest_hurt(check, check->packs[i]);
    }
}

bool verify_check_manifest(VerifyRun *run, size_t backup, const Manifest *manifest, Error *err)
{
    CLEANUP(text_freep) char *object = layout_manifest(run->cluster->name, manifest->header.id);
    CLEANUP(check_done)
    Check check = {.run = run,
                   .backup = backup,
                   .manifest = manifest,
                   .object = object,
                   .packs = mem_alloc((manifest->pack_count + 1) * sizeof(PackFacts *)),
                   .codec = codec_context_new(),
                   .hashes = mem_alloc(RANGE_PAGES * sizeof(uint64_t)),
                   .crcs = mem_alloc(RANGE_PAGES * sizeof(uint32_t))};

    for (size_t i = 0; i < manifest->pack_count; i++) {
        check.packs[i] = pack_find(run, manifest->packs[i].id);
        if (check.packs[i] == NULL)
            return error_set(err, ERR_CORRUPT, "the manifest changed while it was verified");
    }
    if (run->request->is_stored_only) {
        hurt_by_packs(&check);
        return true;
    }
    if (!check_entries(&check, err))
        return false;
    if (check.complaints > COMPLAINTS_MAX) {
        CLEANUP(text_freep)
        char *more =
            text_format("and %zu more files like these", check.complaints - COMPLAINTS_MAX);
        trouble_at_backup(trouble_add(run, FINDING_INCONSISTENT, object, more, NULL, NULL), backup);
    }
    return true;
}
