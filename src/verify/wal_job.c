#include "wal_job.h"

#include "troubles.h"

#include "repo/layout.h"

#include <inttypes.h>

/* Follows the bytes of a segment as they are decompressed. */
typedef struct JobReading {
    WalJob *job;
    const PgVersion *version;
    WalReader *reader; /* NULL means that the object is text. */
    Buffer text;
} JobReading;

static void job_reading_done(JobReading *reading)
{
    wal_reader_freep(&reading->reader);
    buffer_done(&reading->text);
}

static bool job_take_record(void *context, const WalRecord *record, Error *err)
{
    JobReading *reading = context;
    WalJob *job = reading->job;
    WalEvent event;

    (void)err;
    if (!wal_summary_add_record(&job->summary, record, reading->version, &event))
        return true;
    if (event.kind == EVENT_TIMELINE && job->switch_lsn == 0) {
        job->switch_lsn = event.lsn;
        job->switch_to = event.timeline;
        job->switch_from = event.prev_timeline;
    }
    return true;
}

static bool job_take_bytes(void *context, const void *data, size_t size, Error *err)
{
    JobReading *reading = context;

    if (reading->reader != NULL)
        return wal_reader_feed(reading->reader, data, size, err);
    if (reading->text.size + size > WAL_TEXT_MAX)
        return error_set(err, ERR_CORRUPT, "far too large for such a file");
    buffer_append(&reading->text, data, size);
    return true;
}

static const Identity *identity_of(const WalJob *job, const WalTrailer *trailer)
{
    for (size_t i = 0; i < job->identity_count; i++) {
        const Identity *identity = &job->identities[i];

        if (identity->system_identifier == trailer->system_identifier &&
            identity->major == trailer->major &&
            identity->wal_segment_size == trailer->segment_size)
            return identity;
    }
    return NULL;
}

/* xlogbackup.c, build_backup_content(): the place is in the first line and in the name. */
static bool check_backup_history(const WalJob *job, Buffer *text, Error *err)
{
    static const char first_words[] = "START WAL LOCATION: ";
    const Lsn start =
        wal_segment_start(job->name.segment, job->trailer.segment_size) + job->name.offset;
    Error ignored = {0}; /* what is not a place is not the right one either */
    char place[LSN_TEXT_SIZE];
    Lsn lsn;

    buffer_append(text, "", 1);
    const char *at = (const char *)text->data;
    if (strncmp(at, first_words, sizeof first_words - 1) != 0)
        return error_set(err, ERR_CORRUPT, "it is not a backup history file");
    at += sizeof first_words - 1;
    snprintf(place, sizeof place, "%.*s", (int)strcspn(at, " \n"), at);
    return (lsn_parse(place, &lsn, &ignored) && lsn == start) ||
           error_set(err, ERR_CORRUPT, "it tells of a backup that began at %s", place);
}

/* Every field of the trailer that comes from the content, as it is stored. */
static void compare_summary(WalJob *job)
{
    uint64_t seed = job->cluster->repo->hash_seed;
    uint8_t stored[WAL_TRAILER_SIZE];
    uint8_t computed[WAL_TRAILER_SIZE];
    WalTrailer trailer = job->trailer;

    wal_trailer_encode(&trailer, seed, stored);
    trailer.summary = job->summary;
    wal_trailer_encode(&trailer, seed, computed);
    for (uint32_t i = 0; i < WAL_TRAILER_SIZE && !job->is_summary_other; i++) {
        job->is_summary_other = stored[i] != computed[i];
        job->first_difference = i;
    }
}

static bool job_read_whole(WalJob *job, const char *name, JobReading *reading, Error *err)
{
    const Identity *identity = identity_of(job, &job->trailer);
    bool has_wal = job->name.kind == WAL_SEGMENT || job->name.kind == WAL_PARTIAL;

    if (identity == NULL) {
        return error_set(err, ERR_CORRUPT, "it is of system identifier %" PRIu64 ", version %u",
                         job->trailer.system_identifier, job->trailer.major);
    }
    if (has_wal) {
        reading->version = pg_version_of_major(identity->major);
        if (reading->version == NULL)
            return error_set(err, ERR_VERSION, "WAL of server version %u", identity->major);
        reading->reader = wal_reader_new(&(WalReaderSetup){
            .version = reading->version,
            .system_identifier = identity->system_identifier,
            .segment_size = identity->wal_segment_size,
            .start = wal_segment_start(job->name.segment, identity->wal_segment_size),
            .on_record = job_take_record,
            .context = reading,
        });
    }
    if (!wal_object_read(job->cluster, name, 1, job_take_bytes, reading, &job->trailer, err))
        return false;
    if (job->name.kind == WAL_SEGMENT) {
        if (job->trailer.raw_size != identity->wal_segment_size) {
            return error_set(err, ERR_CORRUPT, "a segment of %" PRIu64 " bytes",
                             job->trailer.raw_size);
        }
        job->summary.reader = *wal_reader_state(reading->reader);
        compare_summary(job);
    }
    return job->name.kind != WAL_BACKUP_HISTORY || check_backup_history(job, &reading->text, err);
}

/* The bytes as they are stored, and the trailer, which proves itself. */
static bool job_read_stored(WalJob *job, const char *name, Error *err)
{
    CLEANUP(buffer_done) Buffer space = {0};

    if (identity_of(job, &job->trailer) == NULL) {
        return error_set(err, ERR_CORRUPT, "it is of system identifier %" PRIu64 ", version %u",
                         job->trailer.system_identifier, job->trailer.major);
    }
    job->summary = job->trailer.summary;
    return wal_object_check_stored(job->cluster, name, &space, err);
}

/* Of no use to a recovery: what is wrong with it says nothing of the WAL. */
static bool job_read_list(WalJob *job, const char *name, Error *err)
{
    CLEANUP(wal_blocks_freep) WalBlocks *blocks = NULL;
    WalTrailer trailer;

    return job->error.code != ERR_NONE || job->trailer.blocks_size == 0 ||
           wal_object_blocks(job->cluster, name, &trailer, &blocks, &job->list_error) ||
           is_finding(&job->list_error) || error_pass(err, &job->list_error);
}

bool wal_job_run(void *worker, void *work, Error *err)
{
    WalJob *job = work;
    CLEANUP(job_reading_done) JobReading reading = {.job = job};
    char name[WAL_NAME_SIZE];

    (void)worker;
    wal_name_text(&job->name, job->cluster->wal_segment_size, name);
    if (job->is_believed) {
        job->summary = job->trailer.summary;
        job->is_believed = identity_of(job, &job->trailer) != NULL;
    }
    if (job->is_believed) {
        progress_add(job->progress, job->object->size, job->object->size);
        return true;
    }
    wal_summary_init(&job->summary);
    /* The trailer first: it says which of the cluster's registrations the WAL belongs to. */
    if ((!wal_object_trailer(job->cluster, name, &job->trailer, &job->error) ||
         !(job->is_stored_only ? job_read_stored(job, name, &job->error)
                               : job_read_whole(job, name, &reading, &job->error))) &&
        !is_finding(&job->error)) {
        return error_pass(err, &job->error);
    }
    progress_add(job->progress, job->object->size, job->object->size);
    return job_read_list(job, name, err);
}
