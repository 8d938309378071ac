#include "range_copy.h"

#include "fragment_plan.h"

#include "base/log.h"
#include "stream/digest.h"

#include <assert.h>

/* One pass over a range, from its first page to its last. */
typedef struct RangePass {
    Worker *worker;
    const RangeRequest *request;
    const ManifestRange *base; /* NULL: everything is stored; its tables are open */
    const PageSet *must; /* pages that are stored even though they are unchanged; NULL: none */
    bool only_compares;  /* ends at the first page that differs */
    bool differs;        /* a page did */
    uint32_t first_differing;
    uint64_t size; /* so far */
    uint32_t crc;
    uint32_t stored_count; /* pages: worker->pages and worker->places have them */
    uint32_t extent_count;
    size_t gathered; /* bytes of pages at worker->gather, not stored yet */
} RangePass;

static uint32_t range_page_bytes(uint64_t range_size, uint32_t page)
{
    const uint64_t left = range_size - (uint64_t)page * PAGE_BYTES;

    return left < PAGE_BYTES ? (uint32_t)left : PAGE_BYTES;
}

static bool is_unchanged(const RangePass *pass, uint32_t page, uint32_t length,
                         const PageEntry *entry)
{
    const RangeReader *reader = pass->worker->base_reader;

    return pass->base != NULL && page < frame_page_count(pass->base->size) &&
           range_page_bytes(pass->base->size, page) == length &&
           range_reader_hashes(reader)[page] == entry->hash &&
           range_reader_page_crc(reader, page) == entry->crc32c;
}

static bool store_gathered(RangePass *pass, const void *raw, size_t size, Error *err)
{
    Worker *worker = pass->worker;

    return extent_store(worker, FRAME_EXTENT, pass->request->source->path, pass->request->range,
                        raw, size, &worker->extents[pass->extent_count++], err);
}

static bool flush_gathered(RangePass *pass, Error *err)
{
    const uint8_t *raw = pass->base == NULL ? pass->worker->raw : pass->worker->gather;
    const size_t size = pass->gathered;

    pass->gathered = 0;
    return size == 0 || store_gathered(pass, raw, size, err);
}

/* Where the page will be is known before it is: extents are filled one after another. */
static bool gather_page(RangePass *pass, uint32_t page, const uint8_t *bytes, uint32_t length,
                        PageEntry entry, Error *err)
{
    Worker *worker = pass->worker;

    if (pass->gathered + length > EXTENT_SIZE && !flush_gathered(pass, err))
        return false;
    /* Without a base every page is stored: from where it was read to. */
    if (pass->base != NULL)
        memcpy(worker->gather + pass->gathered, bytes, length);
    entry.extent = (uint16_t)pass->extent_count;
    entry.slot = (uint16_t)(pass->gathered / PAGE_BYTES);
    worker->pages[pass->stored_count] = page;
    worker->places[pass->stored_count++] = entry;
    pass->gathered += length;
    return true;
}

static bool take_page(RangePass *pass, uint32_t page, const uint8_t *bytes, uint32_t length,
                      Error *err)
{
    Worker *worker = pass->worker;
    const PageEntry entry = {.hash =
                                 xxh3_of(worker->context->cluster->repo->hash_seed, bytes, length),
                             .crc32c = crc32c_update(0, bytes, length)};
    const bool is_same = is_unchanged(pass, page, length, &entry);

    worker->hashes[page] = entry.hash;
    pass->crc = crc32c_combine(pass->crc, entry.crc32c, length);
    if (!is_same && !pass->differs)
        pass->first_differing = page;
    pass->differs = pass->differs || !is_same;
    if (pass->only_compares)
        return true;
    if (!is_same || (pass->must != NULL && page_set_has(pass->must, page)))
        return gather_page(pass, page, bytes, length, entry, err);
    return true;
}

/* What is at worker->raw: the next bytes of the range. */
static bool take_read_piece(RangePass *pass, size_t size, Error *err)
{
    const uint32_t first = (uint32_t)(pass->size / PAGE_BYTES);

    for (uint32_t slot = 0; (size_t)slot * PAGE_BYTES < size; slot++) {
        const uint8_t *bytes = pass->worker->raw + (size_t)slot * PAGE_BYTES;

        if (!take_page(pass, first + slot, bytes, range_page_bytes(size, slot), err))
            return false;
    }
    pass->size += size;
    return pass->base != NULL || flush_gathered(pass, err);
}

static bool run_pass(RangePass *pass, Error *err)
{
    const RangeRequest *request = pass->request;
    const uint64_t begin = (uint64_t)request->range * RANGE_SIZE;
    size_t have = request->have;

    while (pass->size < request->want && !(pass->only_compares && pass->differs)) {
        const size_t left = request->want - (size_t)pass->size;
        const size_t ask = left < EXTENT_SIZE ? left : EXTENT_SIZE;
        size_t got = have;

        if (have == 0 && !extent_read(pass->worker, request->source, request->judge,
                                      begin + pass->size, ask, &got, err))
            return false;
        have = 0;
        if (got == 0)
            break;
        if (!take_read_piece(pass, got, err))
            return false;
        if (got < ask)
            break;
    }
    return flush_gathered(pass, err);
}

/* The pages of the fragments from number `keep` on. */
static void find_owned_from(const Worker *worker, const ManifestRange *base, uint32_t keep,
                            PageSet *pages)
{
    for (uint32_t page = 0; page < frame_page_count(base->size); page++) {
        if (range_reader_owner(worker->base_reader, page) >= keep)
            page_set_add(pages, page);
    }
}

/* What a new fragment takes in besides the pages that differ; keep: of the base's fragments. */
static bool must_merge(const RangePass *pass, uint32_t *keep)
{
    const ManifestRange *base = pass->base;
    const char *path = pass->request->source->path;
    uint32_t live[RANGE_FRAGMENTS_MAX];

    *keep = base->fragment_count;
    if (base->fragment_count <
        fragments_limit(xxh3_of(0, path, strlen(path)) + pass->request->range, base->hash))
        return false;
    for (uint32_t i = 0; i < base->fragment_count; i++)
        live[i] = base->fragments[i].live;
    *keep = fragments_keep(live, base->fragment_count, frame_page_count(base->size));
    return true;
}

/*
 * A range with as many fragments as it may have: whether it has changed at all is found out first,
 * since nothing is stored if not. Pages that are judged twice are told of once.
 */
static bool merge_if_changed(RangePass *pass, uint32_t keep, PageSet *must, Error *err)
{
    RangePass look = *pass;
    CopyJob *job = pass->request->source->job;
    PageJudge *judge = pass->request->judge;
    const size_t notes = job->note_count;
    const size_t bad = judge->bad_count;

    look.only_compares = true;
    if (!run_pass(&look, err))
        return false;
    if (!look.differs && look.size == pass->base->size) {
        *pass = look;
        return true;
    }
    job->note_count = notes;
    judge->bad_count = bad;
    find_owned_from(pass->worker, pass->base, keep, must);
    pass->must = must;
    RangeRequest anew = *pass->request;
    anew.have = 0;
    pass->request = &anew;
    bool ok = run_pass(pass, err);
    pass->request = look.request;
    return ok;
}

/* The base's tables of the range, or NULL: then it is stored whole. */
static bool open_base_range(Worker *worker, const RangeRequest *request, const ManifestRange **base,
                            Error *err)
{
    const BaseBackup *backup = worker->context->base;
    const ManifestEntry *entry = base_entry_find(backup, request->source->path);
    Error attempt = {0};

    *base = NULL;
    if (entry == NULL || entry->is_small || request->range >= entry->range_count ||
        !base_range_is_usable(backup, &entry->ranges[request->range]))
        return true;
    if (worker->base_reader == NULL)
        worker->base_reader = range_reader_new(worker->context->cluster, &backup->manifest);
    if (range_reader_open(worker->base_reader, &entry->ranges[request->range], &attempt)) {
        *base = &entry->ranges[request->range];
        return true;
    }
    if (attempt.code != ERR_CORRUPT && attempt.code != ERR_VERSION && attempt.code != ERR_NOT_FOUND)
        return error_pass(err, &attempt);
    log_warn("a page table of an earlier backup can't be read: its range is stored anew",
             log_str("base", backup->manifest.header.id), log_str("file", request->source->path),
             log_str("error", attempt.message));
    return true;
}

/* How many pages of each of the base's fragments count still, under those that are stored now. */
static void count_live(const RangePass *pass, uint32_t live[RANGE_FRAGMENTS_MAX])
{
    const Worker *worker = pass->worker;
    const uint32_t count = frame_page_count(pass->size);
    uint32_t next = 0;

    for (uint32_t page = 0; page < count; page++) {
        if (next < pass->stored_count && worker->pages[next] == page) {
            next++;
        } else {
            const uint32_t owner = range_reader_owner(worker->base_reader, page);

            assert(owner < pass->base->fragment_count); /* else it would differ */
            live[owner]++;
        }
    }
}

static Fragment base_fragment(const ManifestRange *base, uint32_t number, uint32_t live)
{
    Fragment fragment = base->fragments[number];

    fragment.live = live;
    fragment.table.pack |= PACK_OF_BASE;
    fragment.data_pack |= PACK_OF_BASE;
    return fragment;
}

/*
 * The base's fragments that still have pages. One without any may go, unless it is the last one:
 * whatever its size cut off is in none of the older ones' care any more.
 */
static void lay_fragments(const RangePass *pass, bool is_shared, ManifestRange *result)
{
    const ManifestRange *base = pass->base;
    uint32_t live[RANGE_FRAGMENTS_MAX] = {0};
    const uint32_t room = base == NULL ? 1 : (uint32_t)base->fragment_count + 1;

    result->fragments = arena_alloc(&pass->worker->arena, room * sizeof result->fragments[0]);
    result->fragment_count = 0;
    if (base == NULL)
        return;
    count_live(pass, live);
    for (uint32_t i = 0; i < base->fragment_count; i++) {
        if (live[i] > 0 || (is_shared && i + 1u == base->fragment_count))
            result->fragments[result->fragment_count++] = base_fragment(base, i, live[i]);
    }
}

static bool store_table(const RangePass *pass, bool is_settled, Fragment *fragment, Error *err)
{
    Worker *worker = pass->worker;
    const PageTable table = {.range = pass->request->range,
                             .range_size = pass->size,
                             .is_settled = is_settled,
                             .extent_count = pass->extent_count,
                             .extents = worker->extents,
                             .page_count = pass->stored_count,
                             .pages = worker->pages,
                             .entries = worker->places};

    worker->table.size = 0;
    page_table_encode(&table, &worker->table);
    if (!extent_store(worker, FRAME_PAGE_TABLE, pass->request->source->path, table.range,
                      worker->table.data, worker->table.size, &fragment->table, err))
        return false;
    fragment->live = table.page_count;
    fragment->data_pack = fragment->table.pack;
    return pack_writer_close_if_full(worker->packs, err);
}

/*
 * Settled: only of a relation's main fork it is known when a page was last written, since its pages
 * have LSNs; and only data checksums show one that was caught in the middle of a write for a hint
 * bit, which has no LSN of its own.
 */
static bool is_range_settled(const RangePass *pass)
{
    return pass->request->source->is_main_fork && pass->request->judge->is_settled &&
           pass->worker->context->rule.has_checksums;
}

/* The range's line in the manifest, and the page table of what was stored. */
static bool finish_range(const RangePass *pass, ManifestRange *result, Error *err)
{
    const Worker *worker = pass->worker;
    const bool is_shared =
        pass->base != NULL && pass->stored_count == 0 && pass->size == pass->base->size;

    *result =
        (ManifestRange){.index = pass->request->range,
                        .size = pass->size,
                        .hash = range_hash(worker->context->cluster->repo->hash_seed, pass->size,
                                           worker->hashes, frame_page_count(pass->size)),
                        .crc32c = pass->crc,
                        .is_settled = is_range_settled(pass)};
    lay_fragments(pass, is_shared, result);
    return is_shared ||
           store_table(pass, result->is_settled, &result->fragments[result->fragment_count++], err);
}

bool range_take_unread(Worker *worker, const WorkerSource *source, const struct stat *info,
                       uint32_t range, ManifestRange *result, bool *is_check)
{
    CopyContext *context = worker->context;
    const UnreadRule *rule = context->unread;
    const ManifestEntry *entry;

    *is_check = false;
    if (rule == NULL || !rule->is_on || !source->is_main_fork || source->job->must_read ||
        atomic_load_explicit(&context->is_distrusted, memory_order_relaxed))
        return false;
    entry = base_entry_find(context->base, source->path);
    if (entry == NULL || !unread_file_is_unchanged(rule, entry, info) ||
        range >= entry->range_count || !entry->ranges[range].is_settled ||
        !base_range_is_usable(context->base, &entry->ranges[range]))
        return false;
    *is_check = unread_is_due(rule, source->path, range);
    if (*is_check)
        return false;
    *result = entry->ranges[range];
    result->fragments =
        arena_alloc(&worker->arena, result->fragment_count * sizeof result->fragments[0]);
    for (uint8_t i = 0; i < result->fragment_count; i++) {
        result->fragments[i] =
            base_fragment(&entry->ranges[range], i, entry->ranges[range].fragments[i].live);
    }
    source->job->is_unread = true;
    worker->ranges_unread++;
    progress_add(context->progress, result->size, 0);
    return true;
}

/* Written to since it was looked at, it has other times by now. */
static bool is_surprise(const RangePass *pass)
{
    const WorkerSource *source = pass->request->source;
    const CopyContext *context = pass->worker->context;
    const ManifestEntry *entry = base_entry_find(context->base, source->path);
    struct stat info;

    return fstat(source->fd, &info) == 0 && entry != NULL &&
           unread_file_is_unchanged(context->unread, entry, &info);
}

static void tell_surprise(const RangePass *pass)
{
    const WorkerSource *source = pass->request->source;
    CopyContext *context = pass->worker->context;
    const uint64_t at =
        (uint64_t)pass->request->range * RANGE_SIZE + (uint64_t)pass->first_differing * PAGE_BYTES;

    atomic_store(&context->is_distrusted, true);
    job_note(source->job,
             &(PageNote){.entry = source->entry,
                         .block = source->first_block + (uint32_t)(at / context->page_size),
                         .is_surprise = true});
}

bool range_copy(Worker *worker, const RangeRequest *request, ManifestRange *result, Error *err)
{
    RangePass pass = {.worker = worker, .request = request};
    PageSet must = {{0}};
    uint32_t keep;

    if (!open_base_range(worker, request, &pass.base, err))
        return false;
    const bool is_done = pass.base != NULL && must_merge(&pass, &keep)
                             ? merge_if_changed(&pass, keep, &must, err)
                             : run_pass(&pass, err);
    if (!is_done)
        return false;
    if (request->is_check && pass.base != NULL && pass.differs && is_surprise(&pass))
        tell_surprise(&pass);
    if (pass.size > 0)
        return finish_range(&pass, result, err);
    *result = (ManifestRange){.index = request->range};
    return true;
}
