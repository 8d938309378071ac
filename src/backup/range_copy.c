#include "range_copy.h"

#include "fragment_plan.h"

#include "base/bytes.h"
#include "base/log.h"
#include "stream/digest.h"

#include <assert.h>
#include <fcntl.h>

/* One pass over a range, from its first page to its last. */
typedef struct RangePass {
    Worker *worker;
    const RangeRequest *request;
    const ManifestRange *base; /* Its tables are open. When it is NULL, everything is stored. */
    /* These pages are stored even though they are unchanged. NULL means that there are none. */
    const PageSet *must;
    PageSet passed_over; /* These pages are taken from the base without being read. */
    bool is_partial;     /* passed_over is not empty. */
    bool only_compares;  /* The pass ends at the first page that differs. */
    bool differs;        /* A page differed. */
    uint32_t first_differing;
    bool is_contradicted; /* A page had changed that the WAL does not name. */
    uint32_t contradicting;
    uint64_t size; /* It counts the bytes that were passed so far. */
    uint32_t crc;
    uint32_t stored_count; /* worker->pages and worker->places have this many pages. */
    uint32_t extent_count;
    size_t gathered; /* This many bytes of pages at worker->gather are not stored yet. */
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

/* Its notes of pages used last are in no WAL (spgutils.c, SpGistUpdateMetaPage). */
static bool is_spgist_metapage(uint32_t block, const uint8_t *bytes)
{
    enum { PAGE_ID = 0xFF82 }; /* access/spgist_private.h */

    return block == 0 && get_le16(bytes + PAGE_BYTES - 2) == PAGE_ID;
}

/* Whether it is said of the page that it is as in the base. */
static bool is_claimed(const RangePass *pass, uint32_t page, uint32_t block, const uint8_t *bytes)
{
    const RangeClaim *claim = &pass->request->claim;

    if (claim->by == UNREAD_BY_NOTHING) {
        return claim->may_be_stale && !is_spgist_metapage(block, bytes) &&
               page_lsn(bytes) < pass->worker->context->base->manifest.header.start;
    }
    return claim->by == UNREAD_BY_WAL && !page_set_has(&claim->named, page);
}

/*
 * Whether a page that differs from the base's should not: the WAL since the base does not name it,
 * and it has not been written since this backup began, as its LSN would tell. Where nobody asked
 * the WAL its LSN must say that it was so already when the base began: then an earlier increment
 * passed it over by mistake. What is not good, or new, tells nothing.
 */
static bool is_contradiction(const RangePass *pass, uint32_t page, const uint8_t *bytes,
                             uint32_t length)
{
    const CopyContext *context = pass->worker->context;
    const uint32_t block =
        pass->request->source->first_block + pass->request->range * RANGE_PAGES + page;

    return pass->base != NULL && page < frame_page_count(pass->base->size) &&
           length == PAGE_BYTES && is_claimed(pass, page, block, bytes) &&
           page_check(bytes, length, block, &context->rule) == PAGE_GOOD &&
           !page_is_zero(bytes, length);
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
    if (!is_same && !pass->is_contradicted && is_contradiction(pass, page, bytes, length)) {
        pass->is_contradicted = true;
        pass->contradicting = page;
    }
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

/* A page of the base's, which the file has too. */
static void pass_over_page(RangePass *pass, uint32_t page)
{
    const RangeReader *reader = pass->worker->base_reader;

    pass->worker->hashes[page] = range_reader_hashes(reader)[page];
    pass->crc = crc32c_combine(pass->crc, range_reader_page_crc(reader, page), PAGE_BYTES);
    pass->size += PAGE_BYTES;
}

static bool is_passed_over(const RangePass *pass, uint32_t page)
{
    return page < RANGE_PAGES && page_set_has(&pass->passed_over, page) &&
           (pass->must == NULL || !page_set_has(pass->must, page));
}

/* How many bytes there are to be read at once from where the pass is, up to what is passed over. */
static size_t next_read(const RangePass *pass)
{
    const uint32_t page = (uint32_t)(pass->size / PAGE_BYTES);
    const size_t left = pass->request->want - (size_t)pass->size;
    const size_t most = left < EXTENT_SIZE ? left : EXTENT_SIZE;
    uint32_t count = 0;

    while ((size_t)count * PAGE_BYTES < most && !is_passed_over(pass, page + count))
        count++;
    return (size_t)count * PAGE_BYTES < most ? (size_t)count * PAGE_BYTES : most;
}

/* *got is less than what was asked for where the file ends. */
static bool read_next_piece(RangePass *pass, size_t ask, size_t *got, Error *err)
{
    const RangeRequest *request = pass->request;
    const uint64_t begin = (uint64_t)request->range * RANGE_SIZE;

    if (pass->size == 0 && request->have > 0) {
        *got = request->have;
    } else if (!extent_read(pass->worker, request->source, request->judge, begin + pass->size, ask,
                            got, err)) {
        return false;
    }
    return *got == 0 || take_read_piece(pass, *got, err);
}

static bool run_pass(RangePass *pass, Error *err)
{
    const RangeRequest *request = pass->request;
    size_t ask = 0;
    size_t got = 0;

    while (pass->size < request->want && !(pass->only_compares && pass->differs) && got == ask) {
        const uint32_t page = (uint32_t)(pass->size / PAGE_BYTES);

        ask = got = 0;
        if (is_passed_over(pass, page)) {
            pass_over_page(pass, page);
            continue;
        }
        ask = next_read(pass);
        if (!read_next_piece(pass, ask, &got, err))
            return false;
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
 * bit, which has no LSN of its own. What was passed over is as the base knew it.
 */
static bool is_range_settled(const RangePass *pass)
{
    return pass->request->source->is_main_fork && pass->request->judge->is_settled &&
           pass->worker->context->rule.has_checksums &&
           (!pass->is_partial || pass->base->is_settled);
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

/* What speaks for the range's being the base's, all of it or but for the pages in claim->named. */
static UnreadBy find_claim(const Worker *worker, const WorkerSource *source,
                           const struct stat *info, uint32_t range, PageSet *named)
{
    const CopyContext *context = worker->context;
    const UnreadRule *rule = context->unread;
    const ManifestEntry *entry = base_entry_find(context->base, source->path);

    if (entry == NULL || entry->is_small || range >= entry->range_count ||
        !base_range_is_usable(context->base, &entry->ranges[range]))
        return UNREAD_BY_NOTHING;
    if (entry->ranges[range].is_settled && unread_file_is_unchanged(rule, entry, info))
        return UNREAD_BY_TIMES;
    const WalRangeQuestion question = {.base = entry,
                                       .info = info,
                                       .range = range,
                                       .segment_blocks = context->relation_segment_blocks};
    return unread_wal_names(rule, &question, named) ? UNREAD_BY_WAL : UNREAD_BY_NOTHING;
}

static bool may_be_unread(const CopyContext *context, const WorkerSource *source)
{
    return context->unread != NULL && source->is_main_fork && !source->job->must_read &&
           !atomic_load_explicit(&context->is_distrusted, memory_order_relaxed);
}

static void take_base_range(Worker *worker, const ManifestRange *base, ManifestRange *result)
{
    *result = *base;
    result->fragments =
        arena_alloc(&worker->arena, result->fragment_count * sizeof result->fragments[0]);
    for (uint8_t i = 0; i < result->fragment_count; i++)
        result->fragments[i] = base_fragment(base, i, base->fragments[i].live);
}

bool range_take_unread(Worker *worker, const WorkerSource *source, const struct stat *info,
                       uint32_t range, size_t want, ManifestRange *result, RangeClaim *claim)
{
    CopyContext *context = worker->context;

    *claim = (RangeClaim){.by = UNREAD_BY_NOTHING};
    if (!may_be_unread(context, source))
        return false;
    claim->by = find_claim(worker, source, info, range, &claim->named);
    claim->is_check = claim->by != UNREAD_BY_NOTHING &&
                      unread_is_due(context->unread, claim->by, source->path, range);
    const ManifestEntry *entry = base_entry_find(context->base, source->path);
    claim->may_be_stale = claim->by == UNREAD_BY_NOTHING && context->unread->may_be_stale &&
                          entry != NULL && unread_is_as_before(context->unread, entry, info);
    if (claim->by == UNREAD_BY_NOTHING || claim->is_check)
        return false;
    const ManifestRange *base = &entry->ranges[range];
    if (claim->by == UNREAD_BY_WAL && (want != base->size || page_set_count(&claim->named) > 0))
        return false;
    take_base_range(worker, base, result);
    source->job->is_unread = true;
    if (claim->by == UNREAD_BY_TIMES) {
        worker->ranges_unread++;
    } else {
        worker->bytes_unnamed += result->size;
    }
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

static void tell_surprise(const RangePass *pass, uint32_t page)
{
    const WorkerSource *source = pass->request->source;
    CopyContext *context = pass->worker->context;
    const uint64_t at = (uint64_t)pass->request->range * RANGE_SIZE + (uint64_t)page * PAGE_BYTES;

    atomic_store(&context->is_distrusted, true);
    job_note(source->job,
             &(PageNote){.entry = source->entry,
                         .block = source->first_block + (uint32_t)(at / context->page_size),
                         .surprise = pass->request->claim.by == UNREAD_BY_TIMES ? UNREAD_BY_TIMES
                                                                                : UNREAD_BY_WAL});
}

/* Whether what was said of the range has turned out wrong. */
static void judge_claim(const RangePass *pass)
{
    const RangeClaim *claim = &pass->request->claim;

    if (pass->base == NULL)
        return;
    if (claim->by == UNREAD_BY_TIMES && claim->is_check && pass->differs && is_surprise(pass))
        tell_surprise(pass, pass->first_differing);
    if (claim->by != UNREAD_BY_TIMES && pass->is_contradicted)
        tell_surprise(pass, pass->contradicting);
}

/*
 * Pages that the WAL does not name, in stretches that are worth a new read after them; none where
 * nearly all would be read.
 */
static void find_passed_over(RangePass *pass)
{
    enum { STRETCH_LEAST = 8, WORTH_IT = 64 };
    const RangeRequest *request = pass->request;
    const uint64_t size = request->want < pass->base->size ? request->want : pass->base->size;
    const uint32_t count = (uint32_t)(size / PAGE_BYTES);
    uint32_t begin = 0;

    for (uint32_t page = 0; page <= count; page++) {
        if (page < count && !page_set_has(&request->claim.named, page))
            continue;
        for (uint32_t at = begin; page - begin >= STRETCH_LEAST && at < page; at++)
            page_set_add(&pass->passed_over, at);
        begin = page + 1;
    }
    if (page_set_count(&pass->passed_over) < WORTH_IT)
        pass->passed_over = (PageSet){{0}};
    pass->is_partial = page_set_count(&pass->passed_over) > 0;
}

/* What the manifest says of the range, and what it cost. */
static void note_passed_over(const RangePass *pass)
{
    Worker *worker = pass->worker;
    uint64_t bytes = 0;

    for (uint32_t page = 0; (uint64_t)page * PAGE_BYTES < pass->size; page++)
        bytes += is_passed_over(pass, page) ? PAGE_BYTES : 0;
    worker->bytes_unnamed += bytes;
    progress_add(worker->context->progress, bytes, 0);
    pass->request->source->job->is_unread = true;
}

/*
 * What is to be read of a range that is read in parts: all asked for at once, since nothing is read
 * ahead of each (extent.h), and a disk serves many together faster than one after another.
 */
static void ask_for_parts(const RangePass *pass)
{
    const RangeRequest *request = pass->request;
    const uint64_t begin = (uint64_t)request->range * RANGE_SIZE;
    const uint32_t count = frame_page_count(request->want);
    uint32_t first = 0;

    for (uint32_t page = 0; page <= count; page++) {
        if (page < count && !is_passed_over(pass, page))
            continue;
        if (page > first) {
            const uint64_t size = (uint64_t)(page - first) * PAGE_BYTES;

            (void)posix_fadvise(request->source->fd, (off_t)(begin + (uint64_t)first * PAGE_BYTES),
                                (off_t)size, POSIX_FADV_WILLNEED);
        }
        first = page + 1;
    }
}

static bool copy_pages(RangePass *pass, Error *err)
{
    PageSet must = {{0}};
    uint32_t keep;

    const bool is_done = pass->base != NULL && must_merge(pass, &keep)
                             ? merge_if_changed(pass, keep, &must, err)
                             : run_pass(pass, err);
    if (is_done && pass->is_partial)
        note_passed_over(pass);
    pass->must = NULL; /* it ends here */
    return is_done;
}

bool range_copy(Worker *worker, const RangeRequest *request, ManifestRange *result, Error *err)
{
    RangePass pass = {.worker = worker, .request = request};

    if (!open_base_range(worker, request, &pass.base, err))
        return false;
    if (pass.base != NULL && request->claim.by == UNREAD_BY_WAL && !request->claim.is_check)
        find_passed_over(&pass);
    worker->is_passing_over = pass.is_partial;
    if (pass.is_partial && worker->context->rate.bytes_per_s == 0)
        ask_for_parts(&pass);
    const bool is_done = copy_pages(&pass, err);
    worker->is_passing_over = false;
    if (!is_done)
        return false;
    judge_claim(&pass);
    if (pass.size > 0)
        return finish_range(&pass, result, err);
    *result = (ManifestRange){.index = request->range};
    return true;
}
