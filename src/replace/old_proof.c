/* Is it the archive's history, and how far does it go? */
#include "replace/old_branch.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "walk/prepared.h"
#include "walk/wal_chain.h"
#include "walk/wal_walk.h"

#include <errno.h>
#include <fcntl.h>

enum { PART_SIZE = 1 << 20 };

typedef struct Proof {
    const Cluster *cluster;
    const WalInventory *inventory;
    Arena *arena;
    OldBranch *branch;
    uint32_t size; /* It is the size of a segment. */
    /* They are the lowest and the highest file along the path. When high is 0, there is none. */
    uint64_t low, high;
    /* It is the highest segment of the path in the archive. 0 means that there is none. */
    uint64_t archived;
    /* It is the end of that segment and of the pieces that there are of the next one. */
    Lsn archive_end;
} Proof;

/* Where the next record begins. */
static Lsn next_record_at(Lsn end)
{
    return (end + 7) & ~(Lsn)7;
}

static uint32_t proof_timeline_of(const Proof *proof, uint64_t segment)
{
    return path_timeline_of_segment(&proof->branch->path, segment, proof->size);
}

/* The directory's file of a segment that the path reads; NULL: it has none. */
static const OldSegment *proof_local_segment(const Proof *proof, uint64_t segment)
{
    return old_wal_find(&proof->branch->wal, proof_timeline_of(proof, segment), segment);
}

static bool proof_is_archived(const Proof *proof, uint64_t segment)
{
    return wal_inventory_has(proof->inventory, proof_timeline_of(proof, segment), segment);
}

static const char *object_name(const Proof *proof, uint64_t segment, char text[WAL_NAME_SIZE])
{
    WalName name = {
        .kind = WAL_SEGMENT, .timeline = proof_timeline_of(proof, segment), .segment = segment};

    return wal_name_text(&name, proof->size, text);
}

static void find_files(Proof *proof)
{
    const OldWal *wal = &proof->branch->wal;

    for (size_t i = 0; i < wal->count; i++) {
        const WalName *name = &wal->items[i].name;
        if (name->kind != WAL_SEGMENT || proof_timeline_of(proof, name->segment) != name->timeline)
            continue;
        if (proof->high == 0 || name->segment < proof->low)
            proof->low = name->segment;
        if (name->segment > proof->high)
            proof->high = name->segment;
    }
}

/* The highest segment of a run that the path reads. */
static uint64_t highest_of_run(const Proof *proof, const WalRun *run)
{
    for (uint64_t segment = run->last; segment >= run->first && segment > 0; segment--) {
        if (proof_timeline_of(proof, segment) == run->timeline)
            return segment;
    }
    return 0;
}

static void find_archive_end(Proof *proof)
{
    const WalInventory *inventory = proof->inventory;

    for (size_t i = 0; i < inventory->run_count; i++) {
        const WalRun *run = &inventory->runs[i];
        if (path_step_of(&proof->branch->path, run->timeline) == NULL)
            continue;
        uint64_t highest = highest_of_run(proof, run);
        if (highest > proof->archived)
            proof->archived = highest;
    }
    if (proof->archived == 0)
        return;
    uint64_t next = proof->archived + 1;
    proof->archive_end = wal_segment_start(next, proof->size) +
                         wal_pieces_reach(&inventory->pieces, proof_timeline_of(proof, next), next);
}

typedef struct OldReading {
    const Proof *proof;
    const PgVersion *version;
    WalReader *reader;
    /* 0 counts what is in no archived segment, and what is after the archive's end. */
    Lsn count_from;
    /*
     * last_before is looked for among records that end up to here. 0 means that it is not wanted.
     */
    Lsn until;
    Lsn last_before; /* The last such record ends here. */
    OldCommits commits;
    Prepared open;  /* They are prepared transactions among what counts. */
    Lsn commit_end; /* The last COMMIT or PREPARE ends here, whether it counts or not. */
    TimeUs commit_time;
} OldReading;

static void old_reading_done(OldReading *reading)
{
    wal_reader_freep(&reading->reader);
    prepared_done(&reading->open);
}

static bool proof_counts(const OldReading *reading, const WalRecord *record)
{
    const Proof *proof = reading->proof;
    const uint64_t segment = wal_segment_before(record->end, proof->size);

    if (reading->count_from != 0)
        return record->lsn >= reading->count_from;
    /* A timeline's first segment begins with what its parent's has. */
    return !proof_is_archived(proof, segment) &&
           !wal_inventory_has(proof->inventory,
                              path_step_at(&proof->branch->path, record->lsn)->timeline, segment) &&
           (record->end > proof->archive_end ||
            wal_segment_of(record->lsn, proof->size) <= proof->archived);
}

/* What a client was told is done, and stays so. */
static bool is_promise(OldReading *reading, const WalRecord *record, bool *is_commit, TimeUs *time)
{
    Prepared ignored = {0};
    WalEvent event;

    *is_commit = false;
    if (record->rmgr != RMGR_TRANSACTION)
        return false;
    *is_commit = wal_event_of(record, reading->version, &event) && event.kind == EVENT_COMMIT;
    const bool is_prepare = prepared_add(proof_counts(reading, record) ? &reading->open : &ignored,
                                         record, reading->version, time);
    prepared_done(&ignored);
    if (*is_commit)
        *time = event.time;
    return *is_commit || is_prepare;
}

static bool proof_take_record(void *context, const WalRecord *record, Error *err)
{
    OldReading *reading = context;
    OldCommits *commits = &reading->commits;
    bool is_commit;
    TimeUs time;

    (void)err;
    if (record->end <= reading->until)
        reading->last_before = record->end;
    if (!is_promise(reading, record, &is_commit, &time))
        return true;
    reading->commit_end = record->end;
    reading->commit_time = time;
    if (!proof_counts(reading, record))
        return true;
    commits->count += is_commit ? 1 : 0;
    if (commits->last == TIME_US_NONE || time > commits->last)
        commits->last = time;
    return true;
}

/* Of all that was read. */
static OldCommits old_reading_commits(const OldReading *reading)
{
    OldCommits commits = reading->commits;

    commits.prepared = prepared_count(&reading->open);
    return commits;
}

static void begin_reading(OldReading *reading, const Proof *proof, uint64_t segment)
{
    const Cluster *cluster = proof->cluster;

    reading->proof = proof;
    reading->version = pg_version_of_major(cluster->major);
    reading->commits.last = TIME_US_NONE;
    reading->reader = wal_reader_new(&(WalReaderSetup){
        .version = reading->version,
        .system_identifier = cluster->system_identifier,
        .segment_size = proof->size,
        .start = wal_segment_start(segment, proof->size),
        .on_record = proof_take_record,
        .context = reading,
    });
}

/* A file that can't be read on is the end of what there is, as it is for the server. */
static bool read_file(OldReading *reading, const OldSegment *file, Error *err)
{
    CLEANUP(buffer_done) Buffer part = {0};
    CLEANUP(fd_done) int fd = -1;
    uint64_t offset = 0;
    size_t got;

    if (!file_open(file->path, &fd, err))
        return false;
    buffer_reserve(&part, PART_SIZE);
    do {
        if (!interrupt_check(err) ||
            !file_read_at(fd, part.data, PART_SIZE, offset, &got, file->path, err))
            return false;
        Error invalid = {0}; /* a page that is another's: WAL ends before it */
        if (!wal_reader_feed(reading->reader, part.data, got, &invalid))
            return true;
        offset += got;
    } while (got > 0 && offset < reading->proof->size);
    return true;
}

/* Files from..to, as far as they are valid; those are all there. */
static bool read_files(OldReading *reading, uint64_t from, uint64_t to, Error *err)
{
    begin_reading(reading, reading->proof, from);
    for (uint64_t segment = from; segment <= to; segment++) {
        const OldSegment *file = proof_local_segment(reading->proof, segment);
        if (file == NULL || wal_reader_state(reading->reader)->end == WAL_END_BROKEN)
            return true;
        if (!read_file(reading, file, err))
            return false;
    }
    return true;
}

/* Bytes of a file that are WAL: all of it, unless WAL ends in it. */
static uint32_t valid_size(const Proof *proof, const WalReaderState *state, uint64_t segment)
{
    const Lsn start = wal_segment_start(segment, proof->size);

    if (state->end != WAL_END_BROKEN && proof_local_segment(proof, segment + 1) != NULL)
        return proof->size;
    return state->last_end <= start                ? 0
           : state->last_end - start > proof->size ? proof->size
                                                   : (uint32_t)(state->last_end - start);
}

typedef struct OldComparison {
    const OldSegment *file;
    int fd;
    Buffer part;
    uint64_t offset; /* The next comparison begins here. */
    uint64_t limit;  /* This many bytes count. */
    uint64_t same;   /* This many bytes are the same, from the first one on. */
    bool differs;
} OldComparison;

static void old_comparison_done(OldComparison *comparison)
{
    fd_done(&comparison->fd);
    buffer_done(&comparison->part);
}

static bool compare_part(void *context, const void *data, size_t size, Error *err)
{
    OldComparison *comparison = context;
    const uint64_t left = comparison->limit - comparison->offset;
    const size_t take = size < left ? size : (size_t)left;
    const uint8_t *archived = data;
    size_t got, same = 0;

    if (comparison->differs || take == 0)
        return true;
    buffer_reserve(&comparison->part, take);
    if (!file_read_at(comparison->fd, comparison->part.data, take, comparison->offset, &got,
                      comparison->file->path, err))
        return false;
    while (same < got && comparison->part.data[same] == archived[same])
        same++;
    comparison->differs = same < take;
    comparison->same += same;
    comparison->offset += take;
    return true;
}

static bool compare_open(OldComparison *comparison, const OldSegment *file, uint64_t limit,
                         Error *err)
{
    *comparison = (OldComparison){.file = file, .limit = limit};
    return file_open(file->path, &comparison->fd, err);
}

/* Checksums tell that all of it is the same; where it is not the bytes are looked at. */
static bool compare_whole(const Proof *proof, uint64_t segment, OldComparison *comparison,
                          Error *err)
{
    uint8_t checksum[XXH128_SIZE];
    char name[WAL_NAME_SIZE];
    WalTrailer trailer;

    object_name(proof, segment, name);
    if (!wal_object_trailer(proof->cluster, name, &trailer, err) ||
        !wal_file_checksum(proof->cluster->repo, comparison->fd, comparison->file->path,
                           proof->size, checksum, err))
        return false;
    if (memcmp(checksum, trailer.raw_checksum, sizeof checksum) == 0) {
        comparison->same = comparison->limit;
        return true;
    }
    return wal_object_read(proof->cluster, name, 1, compare_part, comparison, &trailer, err);
}

/* *same: bytes of `limit` that the archive has, too. A stored object that is damaged proves
 * nothing: *is_told is false then. */
static bool compare_segment(const Proof *proof, uint64_t segment, uint32_t limit, uint64_t *same,
                            bool *is_told, Error *err)
{
    CLEANUP(old_comparison_done) OldComparison comparison = {.fd = -1};
    Error attempt = {0};

    *is_told = compare_open(&comparison, proof_local_segment(proof, segment), limit, &attempt) &&
               compare_whole(proof, segment, &comparison, &attempt);
    *same = comparison.same;
    if (*is_told || attempt.code == ERR_CORRUPT || attempt.code == ERR_NOT_FOUND)
        return true;
    return error_pass(err, &attempt);
}

typedef struct ArchiveCommits {
    uint64_t first; /* This segment is counted by its records. */
    OldCommits commits;
} ArchiveCommits;

static void add_commits(OldCommits *commits, uint64_t count, TimeUs last)
{
    commits->count += count;
    if (last != TIME_US_NONE && (commits->last == TIME_US_NONE || last > commits->last))
        commits->last = last;
}

static WalkStep count_segment(void *context, uint32_t timeline, uint64_t segment,
                              const WalTrailer *trailer, Error *err)
{
    ArchiveCommits *state = context;

    (void)timeline, (void)err;
    if (segment > state->first) {
        add_commits(&state->commits, trailer->summary.commit_count,
                    trailer->summary.commit_time_max);
    }
    return WALK_ON;
}

static WalkStep count_event(void *context, const WalEvent *event, Error *err)
{
    ArchiveCommits *state = context;

    (void)err;
    if (event->kind == EVENT_COMMIT)
        add_commits(&state->commits, 1, event->time);
    return WALK_ON;
}

/* What the archive has of its own after that place: for the message. */
static bool count_archived(const Proof *proof, const TimelinePath *path, Lsn from, Error *err)
{
    ArchiveCommits state = {.first = wal_segment_of(from, proof->size),
                            .commits.last = TIME_US_NONE};
    WalWalk walk = {.cluster = proof->cluster,
                    .inventory = proof->inventory,
                    .path = path,
                    .from = from,
                    .threads = 1};
    Error attempt = {0};
    WalWalkEnd end;

    state.commits.is_least = !wal_walk_trailers(&walk, count_segment, &state, &end, &attempt);
    walk.to = wal_segment_start(state.first + 1, proof->size);
    if (attempt.code == ERR_NONE && !wal_walk_events(&walk, count_event, &state, &end, &attempt))
        state.commits.is_least = true;
    if (attempt.code == ERR_INTERRUPTED)
        return error_pass(err, &attempt);
    proof->branch->archived = state.commits;
    return true;
}

/* What the directory has of its own from there on. */
static bool count_own(const Proof *proof, Lsn from, Error *err)
{
    CLEANUP(old_reading_done) OldReading reading = {.proof = proof, .count_from = from};
    OldBranch *branch = proof->branch;
    uint64_t segment = wal_segment_of(from, proof->size);

    while (segment < proof->high && proof_local_segment(proof, segment) == NULL)
        segment++;
    if (!read_files(&reading, segment, proof->high, err))
        return false;
    branch->own = old_reading_commits(&reading);
    branch->reached = wal_reader_state(reading.reader)->last_end;
    branch->own.is_least = proof_local_segment(proof, wal_segment_of(from, proof->size)) == NULL;
    return true;
}

static bool take_apart(const Proof *proof, const TimelinePath *archived, Lsn apart, Error *err)
{
    OldBranch *branch = proof->branch;

    branch->verdict = OLD_APART;
    branch->apart = apart;
    branch->first = 0;
    branch->last = 0;
    return count_archived(proof, archived, apart, err) && count_own(proof, apart, err);
}

/* The end of the last record of this file that the archive has, too; else where the file begins. */
static bool last_common_record(const Proof *proof, uint64_t segment, uint64_t same, Lsn *apart,
                               Error *err)
{
    const Lsn start = wal_segment_start(segment, proof->size);
    CLEANUP(old_reading_done) OldReading reading = {.proof = proof, .until = start + same};

    if (!read_files(&reading, segment, segment, err))
        return false;
    *apart = reading.last_before > start ? next_record_at(reading.last_before) : start;
    return true;
}

/* Down to the lowest file that is not the same: there they part. */
static bool find_apart(const Proof *proof, uint64_t segment, uint64_t same, Error *err)
{
    Lsn apart;

    for (uint64_t below = segment - 1;
         below >= proof->low && proof_local_segment(proof, below) != NULL; below--) {
        uint64_t same_below;
        bool is_told;
        if (!proof_is_archived(proof, below))
            break;
        if (!compare_segment(proof, below, proof->size, &same_below, &is_told, err))
            return false;
        if (!is_told || same_below == proof->size)
            break;
        segment = below;
        same = same_below;
    }
    return last_common_record(proof, segment, same, &apart, err) &&
           take_apart(proof, &proof->branch->path, apart, err);
}

/* Where two paths to timelines of one number part; 0: they do not. */
static Lsn paths_part_at(const TimelinePath *a, const TimelinePath *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++) {
        const PathStep *one = &a->steps[i], *other = &b->steps[i];
        if (one->timeline != other->timeline)
            return one->begin;
        if (one->end != other->end) {
            return one->end == 0                              ? other->end
                   : other->end == 0 || one->end < other->end ? one->end
                                                              : other->end;
        }
    }
    return 0;
}

static bool compare_histories(const Proof *proof, Error *err)
{
    const OldBranch *branch = proof->branch;
    TimelinePath archived;
    Error attempt = {0};
    Lsn apart;

    if (branch->history == NULL || !branch->is_history_archived || branch->timeline == 1)
        return true;
    if (!timeline_path_load(proof->cluster, branch->timeline, proof->arena, &archived, &attempt)) {
        if (attempt.code == ERR_CORRUPT || attempt.code == ERR_NOT_FOUND)
            return true; /* then the content has to tell */
        return error_pass(err, &attempt);
    }
    apart = paths_part_at(&branch->path, &archived);
    return apart == 0 || take_apart(proof, &archived, apart, err);
}

static bool proof_ends_beyond(const Proof *proof, const char *reason)
{
    proof->branch->verdict = OLD_BEYOND;
    proof->branch->reason = reason;
    proof->branch->own.is_least = true;
    return true;
}

/* The stretch of files around this one. */
static void take_stretch(const Proof *proof, uint64_t segment)
{
    OldBranch *branch = proof->branch;

    branch->first = segment;
    branch->last = segment;
    while (branch->first > 1 && proof_local_segment(proof, branch->first - 1) != NULL)
        branch->first--;
    while (proof_local_segment(proof, branch->last + 1) != NULL)
        branch->last++;
}

/* The lowest file from `from` on that the archive has not; above `to`: it has all. */
static uint64_t first_missing(const Proof *proof, uint64_t from, uint64_t to)
{
    while (from <= to && proof_is_archived(proof, from))
        from++;
    return from;
}

/* Whether valid WAL goes to the end of this file, without a record that is cut there. */
static bool ends_whole(const Proof *proof, const WalReaderState *state, uint64_t segment)
{
    if (state->end == WAL_END_BROKEN)
        return state->broken_at >= wal_segment_start(segment + 1, proof->size);
    return state->tail_record == 0;
}

/* From a file that is proven (or links to the archive) to the end of valid WAL. */
static bool read_stretch(const Proof *proof, uint64_t proven, Error *err)
{
    OldBranch *branch = proof->branch;
    uint64_t from = first_missing(proof, branch->first, proven);

    for (;;) {
        CLEANUP(old_reading_done) OldReading reading = {.proof = proof};
        if (from > proven)
            from = proven;
        if (!read_files(&reading, from, branch->last, err))
            return false;
        const WalReaderState *state = wal_reader_state(reading.reader);
        /* A hole is filled only by files that lead to what is proven. */
        if (from < proven && state->last_end <= wal_segment_start(proven, proof->size)) {
            branch->first = from = proven;
            continue;
        }
        branch->own = old_reading_commits(&reading);
        branch->commit_end = reading.commit_end;
        branch->commit_time = reading.commit_time;
        branch->end = state->last_end;
        if (branch->end > wal_segment_start(from, proof->size))
            branch->last = wal_segment_before(branch->end, proof->size);
        branch->is_last_whole = ends_whole(proof, state, branch->last);
        return true;
    }
}

/* What the archive has in pieces of the segment after its last whole one. */
static bool compare_pieces(const Proof *proof, Error *err)
{
    const OldBranch *branch = proof->branch;
    const uint64_t segment = proof->archived + 1;
    const Lsn start = wal_segment_start(segment, proof->size);
    CLEANUP(old_comparison_done) OldComparison comparison = {.fd = -1};
    Error attempt = {0};
    uint32_t reach;
    Lsn apart;

    if (proof->archive_end == start || segment > branch->last || branch->end <= start)
        return true;
    uint64_t limit = branch->end - start < proof->size ? branch->end - start : proof->size;
    bool is_told =
        compare_open(&comparison, proof_local_segment(proof, segment), limit, &attempt) &&
        wal_pieces_read(proof->cluster, &proof->inventory->pieces,
                        proof_timeline_of(proof, segment), segment, compare_part, &comparison,
                        &reach, &attempt);
    if (!is_told && attempt.code != ERR_CORRUPT && attempt.code != ERR_NOT_FOUND)
        return error_pass(err, &attempt);
    if (!is_told || !comparison.differs)
        return true;
    return last_common_record(proof, segment, comparison.same, &apart, err) &&
           take_apart(proof, &branch->path, apart, err);
}

/*
 * pg_control may know of more than WAL leads to. A checkpoint that is the first record after the
 * archive's end, as after a shutdown, hides nothing.
 */
static bool judge_control(const Proof *proof)
{
    OldBranch *branch = proof->branch;
    const PgControl *control = &branch->control;
    const Lsn known = branch->end > proof->archive_end ? branch->end : proof->archive_end;
    const Lsn next = next_record_at(known);
    char lsn[2][LSN_TEXT_SIZE];

    branch->reached = branch->end;
    if (!branch->has_control)
        return true;
    Lsn reached = control->checkpoint > control->min_recovery_point ? control->checkpoint
                                                                    : control->min_recovery_point;
    if (reached > branch->reached)
        branch->reached = reached;
    if (control->min_recovery_point <= next &&
        (control->checkpoint < known || control->checkpoint == next ||
         (next % proof->size == 0 && control->checkpoint == next + WAL_SEGMENT_HEADER_SIZE)))
        return true;
    return proof_ends_beyond(
        proof, arena_format(proof->arena,
                            "its pg_control says that it had come to %s, and WAL leads "
                            "to %s only",
                            lsn_text(reached, lsn[0]), lsn_text(known, lsn[1])));
}

/* Of an idle server the last commit lies farther back; each file is read with the next one, into
 * which a record may go on. */
static bool find_last_commit(const Proof *proof, Error *err)
{
    OldBranch *branch = proof->branch;

    for (uint64_t at = branch->last; branch->commit_end == 0 && at >= branch->first && at > 0;
         at--) {
        CLEANUP(old_reading_done) OldReading reading = {.proof = proof};
        if (!read_files(&reading, at, at < branch->last ? at + 1 : at, err))
            return false;
        branch->commit_end = reading.commit_end;
        branch->commit_time = reading.commit_time;
    }
    return true;
}

static bool judge_stretch(const Proof *proof, uint64_t proven, Error *err)
{
    OldBranch *branch = proof->branch;

    if (!read_stretch(proof, proven, err) || !compare_pieces(proof, err) ||
        !find_last_commit(proof, err))
        return false;
    if (branch->verdict == OLD_APART)
        return true;
    branch->verdict =
        first_missing(proof, branch->first, branch->last) <= branch->last ? OLD_TAIL : OLD_ARCHIVED;
    return judge_control(proof);
}

/* The highest file that the archive has, too. *segment is 0 when there is none. */
static bool compare_highest(const Proof *proof, uint64_t *segment, uint64_t *same, uint32_t *limit,
                            Error *err)
{
    for (uint64_t at = proof->high; at >= proof->low && at > 0; at--) {
        CLEANUP(old_reading_done) OldReading reading = {.proof = proof};
        bool is_told;

        if (proof_local_segment(proof, at) == NULL || !proof_is_archived(proof, at))
            continue;
        if (!read_files(&reading, at, at, err))
            return false;
        *limit = valid_size(proof, wal_reader_state(reading.reader), at);
        if (!compare_segment(proof, at, *limit, same, &is_told, err))
            return false;
        *segment = at;
        if (is_told)
            return true;
    }
    *segment = 0;
    return true;
}

/* The highest file right after an archived segment. */
static uint64_t find_link(const Proof *proof)
{
    for (uint64_t at = proof->high; at >= proof->low && at > 1; at--) {
        if (proof_local_segment(proof, at) != NULL && !proof_is_archived(proof, at) &&
            proof_is_archived(proof, at - 1))
            return at;
    }
    return 0;
}

/* Whether this file goes on where the archive's segment before it ends. */
static bool check_link(const Proof *proof, uint64_t segment, bool *fits, Error *err)
{
    CLEANUP(old_reading_done) OldReading reading = {.proof = proof};
    char name[WAL_NAME_SIZE];
    WalTrailer trailer;
    WalChain chain = {0};
    Error attempt = {0};

    *fits = false;
    if (!wal_object_trailer(proof->cluster, object_name(proof, segment - 1, name), &trailer,
                            &attempt)) {
        if (attempt.code == ERR_CORRUPT || attempt.code == ERR_NOT_FOUND)
            return true;
        return error_pass(err, &attempt);
    }
    if (!read_files(&reading, segment, segment, err))
        return false;
    const WalReaderState *state = wal_reader_state(reading.reader);
    wal_chain_add(&chain, &trailer.summary.reader, proof->size);
    *fits = chain.has_before && state->first_record != 0 && wal_chain_fits(&chain, state);
    return true;
}

static bool prove_by_link(const Proof *proof, uint64_t segment, Error *err)
{
    bool fits;

    if (!check_link(proof, segment, &fits, err))
        return false;
    if (!fits) {
        return take_apart(proof, &proof->branch->path, wal_segment_start(segment, proof->size),
                          err);
    }
    proof->branch->first = segment;
    proof->branch->last = segment;
    while (proof_local_segment(proof, proof->branch->last + 1) != NULL)
        proof->branch->last++;
    return judge_stretch(proof, segment, err);
}

/* Nothing is in both, and nothing of it goes on from there. */
static bool judge_gap(const Proof *proof, Error *err)
{
    char name[2][WAL_NAME_SIZE];

    if (proof->high <= proof->archived)
        return judge_control(proof);
    if (!count_own(proof, wal_segment_start(proof->low, proof->size), err))
        return false;
    const Lsn reached = proof->branch->reached;
    (void)judge_control(proof);
    if (reached > proof->branch->reached)
        proof->branch->reached = reached;
    return proof_ends_beyond(
        proof, proof->archived == 0
                   ? "the archive has no WAL of its timelines"
                   : arena_format(proof->arena, "its WAL begins at %s, and the archive ends at %s",
                                  object_name(proof, proof->low, name[0]),
                                  object_name(proof, proof->archived, name[1])));
}

static bool prove_branch(const Proof *proof, Error *err)
{
    uint64_t segment, same;
    uint32_t limit;

    if (!compare_highest(proof, &segment, &same, &limit, err))
        return false;
    if (segment != 0 && same < limit)
        return find_apart(proof, segment, same, err);
    if (segment != 0) {
        take_stretch(proof, segment);
        return judge_stretch(proof, segment, err);
    }
    segment = find_link(proof);
    return segment != 0 ? prove_by_link(proof, segment, err) : judge_gap(proof, err);
}

bool old_branch_prove(const Cluster *cluster, const WalInventory *inventory, Arena *arena,
                      OldBranch *branch, Error *err)
{
    Proof proof = {.cluster = cluster,
                   .inventory = inventory,
                   .arena = arena,
                   .branch = branch,
                   .size = cluster->wal_segment_size};

    if (branch->path.count == 0) {
        return proof_ends_beyond(
            &proof, arena_format(arena,
                                 "it is on timeline %u, whose history is neither in its "
                                 "pg_wal nor in the archive",
                                 branch->timeline));
    }
    find_files(&proof);
    find_archive_end(&proof);
    if (!compare_histories(&proof, err))
        return false;
    if (branch->verdict == OLD_APART)
        return true;
    return prove_branch(&proof, err);
}
