#include "walk/wal_follows.h"

#include "base/file.h"
#include "postgres/wal_changes.h"
#include "walk/wal_chain.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

static bool before_look_at(const Cluster *cluster, WalBefore *before, Error *err)
{
    char text[WAL_NAME_SIZE];
    Error attempt = {0};

    wal_name_text(&before->name, cluster->wal_segment_size, text);
    before->is_known = wal_object_trailer(cluster, text, &before->trailer, &attempt) &&
                       before->trailer.summary.reader.end != WAL_END_BROKEN;
    if (attempt.code != ERR_INTERRUPTED && attempt.code != ERR_UNREACHABLE)
        return true;
    return error_pass(err, &attempt);
}

bool wal_before_load(const Cluster *cluster, const WalName *name, const TimelinePath *path,
                     WalBefore *before, Error *err)
{
    const uint64_t segment = name->segment - 1;

    *before = (WalBefore){.name = {.kind = WAL_SEGMENT, .timeline = name->timeline}};
    if (name->segment == 0)
        return true;
    before->name.segment = segment;
    if (path != NULL)
        before->name.timeline = path_timeline_of_segment(path, segment, cluster->wal_segment_size);
    return before_look_at(cluster, before, err);
}

static bool follows_hint(const WalBefore *before, const char *before_text, Error *err)
{
    return error_hint(err,
                      "two servers archive as one: stop the wrong one; if the archive has its WAL: "
                      "`pgcairn wal-quarantine --timeline=%" PRIu32 " --from=%s`",
                      before->name.timeline, before_text);
}

static bool follows_refuse_link(const Cluster *cluster, const WalReaderState *state,
                                const WalBefore *before, Error *err)
{
    const WalReaderState *last = &before->trailer.summary.reader;
    char name[WAL_NAME_SIZE], first[LSN_TEXT_SIZE], link[LSN_TEXT_SIZE], place[LSN_TEXT_SIZE];

    error_set(err, ERR_REFUSED,
              "it is of another history than the archive: its first record, at %s, follows one at "
              "%s, and the last one of %s in the archive of \"%s\" is at %s",
              lsn_text(state->first_record, first), lsn_text(state->first_prev, link),
              wal_name_text(&before->name, cluster->wal_segment_size, name), cluster->name,
              lsn_text(last->tail_record != 0 ? last->tail_record : last->last_record, place));
    return follows_hint(before, name, err);
}

static bool refuse_head(const Cluster *cluster, const WalName *name, const WalReaderState *state,
                        const WalBefore *before, Error *err)
{
    const WalReaderState *last = &before->trailer.summary.reader;
    const uint32_t lacks = last->tail_record != 0 ? last->tail_total - last->tail_have : 0;
    char text[WAL_NAME_SIZE], start[LSN_TEXT_SIZE], end[LSN_TEXT_SIZE];

    error_set(err, ERR_REFUSED,
              "it is of another history than the archive: at %s it has %" PRIu32
              " bytes of a record that began before, and %s in the archive of \"%s\", whose WAL "
              "ends at %s, lacks %" PRIu32,
              lsn_text(wal_segment_start(name->segment, cluster->wal_segment_size), start),
              state->head_size, wal_name_text(&before->name, cluster->wal_segment_size, text),
              cluster->name, lsn_text(last->last_end, end), lacks);
    return follows_hint(before, text, err);
}

bool wal_follows(const Cluster *cluster, const WalName *name, const WalReaderState *state,
                 const WalBefore *before, Error *err)
{
    const bool has_first = state->first_record != 0;
    WalChain chain = {0};

    if (!before->is_known || (has_first && state->first_prev == 0) ||
        (!has_first && state->end == WAL_END_BROKEN))
        return true;
    wal_chain_add(&chain, &before->trailer.summary.reader, cluster->wal_segment_size);
    if (wal_chain_fits(&chain, state))
        return true;
    /* Of both the link says more: it names two places. */
    WalReaderState linked = *state;
    linked.head_size = 0;
    linked.starts_with_overwrite = chain.pending != 0;
    if (has_first && !wal_chain_fits(&chain, &linked))
        return follows_refuse_link(cluster, state, before, err);
    return refuse_head(cluster, name, state, before, err);
}

static bool read_at(int fd, uint64_t offset, size_t size, uint8_t *bytes)
{
    Error ignored = {0}; /* what can't be read says nothing */
    size_t got = 0;

    return file_read_at(fd, bytes, size, offset, &got, "pg_wal", &ignored) && got == size;
}

/*
 * A file that the server keeps for later has this name, too, and the WAL of another place. Asked
 * after the reading: the server writes over its first page first (RemoveXlogFile in xlog.c).
 */
static bool segment_is_of_place(const Cluster *cluster, int fd, Lsn start)
{
    uint8_t head[WAL_SEGMENT_HEADER_SIZE];
    WalSegmentHeader header;
    Error ignored = {0};

    return read_at(fd, 0, sizeof head, head) &&
           wal_segment_header_decode(head, sizeof head, &header, &ignored) &&
           header.address == start && header.system_identifier == cluster->system_identifier;
}

/* A transaction's end at this place, if it lies whole on its page. */
static bool transaction_end_at(const Cluster *cluster, int fd, Lsn start, Lsn lsn, uint8_t *page,
                               WalTransactionEnd *end)
{
    const uint64_t offset = lsn - start;
    const uint32_t in_page = (uint32_t)(offset % WAL_BLOCK_SIZE);
    WalRecord record;

    return read_at(fd, offset - in_page, WAL_BLOCK_SIZE, page) &&
           wal_record_decode(page + in_page, WAL_BLOCK_SIZE - in_page, lsn, &record) &&
           wal_transaction_end_of(&record, pg_version_of_major(cluster->major), end);
}

bool wal_before_is_of(const Cluster *cluster, const WalBefore *before, const char *folder,
                      Error *err)
{
    const WalSummary *summary = &before->trailer.summary;
    const Lsn start = wal_segment_start(before->name.segment, cluster->wal_segment_size);
    uint8_t page[WAL_BLOCK_SIZE];
    char name[WAL_NAME_SIZE], place[LSN_TEXT_SIZE], ours[TIME_TEXT_SIZE], theirs[TIME_TEXT_SIZE];
    WalTransactionEnd end;

    if (!before->is_known || summary->last_end_lsn < start)
        return true;
    wal_name_text(&before->name, cluster->wal_segment_size, name);
    CLEANUP(text_freep) char *path = text_format("%s/%s", folder, name);
    CLEANUP(fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || !transaction_end_at(cluster, fd, start, summary->last_end_lsn, page, &end) ||
        !segment_is_of_place(cluster, fd, start) ||
        (end.xid == summary->xid_last && end.time >= summary->end_time_min &&
         end.time <= summary->end_time_max))
        return true;
    error_set(err, ERR_REFUSED,
              "it is of another history than the archive: at %s the file %s beside it has the end "
              "of transaction %" PRIu32
              ", %s, and the one in the archive of \"%s\" that of %" PRIu32 ", %s",
              lsn_text(summary->last_end_lsn, place), name, end.xid,
              time_text_local(end.time, ours), cluster->name, summary->xid_last,
              time_text_local(summary->end_time_max, theirs));
    return follows_hint(before, name, err);
}
