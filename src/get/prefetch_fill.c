/* The process that fetches ahead. */
#include "prefetch_parts.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/process.h"
#include "base/random.h"
#include "base/work_queue.h"
#include "delivery.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum {
    THREADS_MAX = 4,
    WINDOW_MAX = 256,
    FREE_PART = 10, /* A tenth of the file system stays free. */
    SMOOTHING = 4,
};

static const uint64_t free_bytes_enough = 4ULL << 30;

typedef struct FetchJob {
    const Prefetch *ahead;
    const Cluster *cluster;
    WalName name;
    bool is_running;
    bool is_done;
    uint64_t elapsed_us;
} FetchJob;

typedef struct Fill {
    Prefetch *ahead;
    const Cluster *cluster;
    WorkQueue *queue;
    FetchJob jobs[THREADS_MAX];
    size_t job_count;
    size_t running;
    bool has_failed; /* Nothing more is begun. */
    Pace pace;
    bool is_ready[WINDOW_MAX + 1]; /* Its index is the distance from the position. */
} Fill;

/* The last write's time in full: any later write leaves another, since the kernel's has gaps. */
static bool fill_seal(const PrefetchSpool *spool, int fd, const char *segment,
                      char name[PREFETCH_NAME_SIZE], Error *err)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
    struct stat found;

    clock_gettime(CLOCK_REALTIME, &times[1]);
    if (futimens(fd, times) != 0 || fstat(fd, &found) != 0)
        return error_set_errno(err, ERR_IO, errno, "look at what was fetched");
    prefetch_spool_name(spool, segment, &found, name);
    return true;
}

static bool fetch_segment(const FetchJob *job, Error *err)
{
    const PrefetchSpool *spool = &job->ahead->spool;
    char segment[WAL_NAME_SIZE];
    char name[PREFETCH_NAME_SIZE];
    CLEANUP(delivery_done)
    Delivery delivery = {.cluster = job->cluster,
                         .name = &job->name,
                         .file = segment,
                         .folder = spool->folder,
                         .fd = -1};
    uint64_t number;

    wal_name_text(&job->name, spool->segment_size, segment);
    return FAULT_POINT("prefetch.before-fetch", err) && random_u64(&number, err) &&
           delivery_open(&delivery, text_format("fetch-%016" PRIx64, number), err) &&
           delivery_fetch(&delivery, 1, err) &&
           /* Now: the server's fsync finds little to do, and an error of the disk shows here. */
           file_write_back_wait(delivery.fd, 0, 0, segment, err) &&
           FAULT_POINT("prefetch.before-seal", err) &&
           fill_seal(spool, delivery.fd, segment, name, err) &&
           FAULT_POINT("prefetch.before-publish", err) && delivery_publish(&delivery, name, err) &&
           FAULT_POINT("prefetch.after-publish", err);
}

/* A failure is nobody's business: the server's own request meets it again, and says it. */
static bool fill_run_job(void *worker, void *context, Error *err)
{
    FetchJob *job = context;
    const TimeUs begun = time_monotonic();
    Error ignored = {0};

    (void)worker;
    (void)err;
    job->is_done = fetch_segment(job, &ignored);
    job->elapsed_us = (uint64_t)(time_monotonic() - begun);
    return true;
}

/* Whether this is a segment that the requests come to. */
static bool is_in_window(const Fill *fill, const WalName *name)
{
    const uint64_t distance = name->segment - fill->pace.segment;
    WalName expected;

    return name->segment > fill->pace.segment && distance <= fill->pace.depth &&
           distance <= WINDOW_MAX &&
           prefetch_next(&fill->ahead->view, &fill->pace, distance, fill->ahead->spool.segment_size,
                         &expected) &&
           expected.timeline == name->timeline;
}

static bool keep_in_window(void *context, const WalName *name)
{
    Fill *fill = context;

    if (!is_in_window(fill, name))
        return false;
    fill->is_ready[name->segment - fill->pace.segment] = true;
    return true;
}

static bool is_running(const Fill *fill, const WalName *name)
{
    for (size_t i = 0; i < fill->job_count; i++) {
        if (fill->jobs[i].is_running && fill->jobs[i].name.segment == name->segment &&
            fill->jobs[i].name.timeline == name->timeline)
            return true;
    }
    return false;
}

/*
 * Where the requests are by now, and what lies ready for them. The rest goes: what was asked for
 * meanwhile, what is of another path; and, as long as no temporary name is ours, what killed ones
 * left.
 */
static void fill_look(Fill *fill)
{
    pace_load(&fill->ahead->spool, &fill->pace);
    memset(fill->is_ready, 0, sizeof fill->is_ready);
    prefetch_spool_scan(&fill->ahead->spool,
                        fill->running == 0 ? PREFETCH_REMOVE_TEMPORARY_TOO
                                           : PREFETCH_REMOVE_SEGMENTS,
                        keep_in_window, fill);
}

/* The first one that neither lies ready nor is on its way. */
static bool find_next(const Fill *fill, WalName *name)
{
    const Prefetch *ahead = fill->ahead;
    const uint32_t size = ahead->spool.segment_size;

    /* A request for a timeline that our path does not have there is of another recovery. */
    if (!prefetch_next(&ahead->view, &fill->pace, 0, size, name) ||
        name->timeline != fill->pace.timeline)
        return false;
    for (uint32_t i = 1; i <= fill->pace.depth && i <= WINDOW_MAX; i++) {
        if (!prefetch_next(&ahead->view, &fill->pace, i, size, name))
            return false;
        if (!fill->is_ready[i] && !is_running(fill, name))
            return true;
    }
    return false;
}

/* pg_wal is what a server dies of when it is full: a part of it is never ours. */
static bool has_room(const Fill *fill)
{
    const uint64_t wanted = (fill->running + 1) * (uint64_t)fill->ahead->spool.segment_size;
    struct statvfs status;

    if (fstatvfs(fill->ahead->spool.folder, &status) != 0)
        return false;
    const uint64_t total = (uint64_t)status.f_blocks * status.f_frsize;
    const uint64_t part = total / FREE_PART;
    const uint64_t kept = part < free_bytes_enough ? part : free_bytes_enough;
    return (uint64_t)status.f_bavail * status.f_frsize >= kept + wanted;
}

/* The server is gone, is at the end of its WAL, or wants us gone. */
static bool fill_is_wanted(const Fill *fill)
{
    const Prefetch *ahead = fill->ahead;

    return interrupt_signal() == 0 && !prefetch_spool_is_gone(&ahead->spool) &&
           (ahead->leader == 0 || process_exists(ahead->leader));
}

static bool begin_job(Fill *fill, const WalName *name, Error *err)
{
    for (size_t i = 0; i < fill->job_count; i++) {
        FetchJob *job = &fill->jobs[i];

        if (job->is_running)
            continue;
        *job = (FetchJob){
            .ahead = fill->ahead, .cluster = fill->cluster, .name = *name, .is_running = true};
        fill->running++;
        return work_queue_submit(fill->queue, job, err);
    }
    return false;
}

static void note_elapsed(const Fill *fill, uint64_t elapsed_us)
{
    const uint64_t before = pace_load_fetch(&fill->ahead->spool);

    pace_save_fetch(&fill->ahead->spool,
                    before == 0 ? elapsed_us
                                : before - before / SMOOTHING + elapsed_us / SMOOTHING);
}

static bool end_job(Fill *fill, Error *err)
{
    void *ended = NULL;

    if (!work_queue_next(fill->queue, &ended, err) || ended == NULL)
        return false;
    FetchJob *job = ended;
    job->is_running = false;
    fill->running--;
    fill->has_failed = fill->has_failed || !job->is_done;
    if (job->is_done)
        note_elapsed(fill, job->elapsed_us);
    return true;
}

static void fill_run(Fill *fill, Error *err)
{
    WalName name;
    bool ok = true;

    while (ok && fill_is_wanted(fill)) {
        fill_look(fill);
        const bool begins = !fill->has_failed && fill->running < fill->job_count &&
                            find_next(fill, &name) && has_room(fill);
        if (begins) {
            ok = begin_job(fill, &name, err);
        } else if (fill->running > 0) {
            ok = end_job(fill, err);
        } else {
            return;
        }
    }
}

/* The repository may be a different one than a moment ago, under the same address. */
static bool is_same_cluster(const Prefetch *ahead, const Cluster *cluster)
{
    CLEANUP(prefetch_spool_done) PrefetchSpool again = PREFETCH_SPOOL_CLOSED;

    return prefetch_spool_open(ahead->path, cluster, process_boot_id(), false, &again) &&
           again.seed == ahead->spool.seed && again.segment_size == ahead->spool.segment_size &&
           strcmp(again.key, ahead->spool.key) == 0;
}

void prefetch_run(Prefetch *ahead, const Cluster *cluster)
{
    const uint32_t most = prefetch_depth_max(ahead, cluster);
    size_t threads = ahead->threads < THREADS_MAX ? ahead->threads : THREADS_MAX;
    Fill fill = {.ahead = ahead, .cluster = cluster};
    Error ignored = {0}; /* the server's own request meets it again */

    if (!is_same_cluster(ahead, cluster))
        return;
    if (threads > most)
        threads = most;
    fill.job_count = threads > 0 ? threads : 1;
    fill.queue = work_queue_new(&(WorkQueueSetup){.threads = fill.job_count,
                                                  .capacity = fill.job_count,
                                                  .order = WORK_AS_DONE,
                                                  .run = fill_run_job},
                                &ignored);
    if (fill.queue != NULL)
        fill_run(&fill, &ignored);
    work_queue_freep(&fill.queue);
}
