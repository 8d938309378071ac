#include "push/push_ahead.h"

#include "acknowledgement.h"
#include "base/file.h"
#include "base/log.h"
#include "base/work_queue.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <unistd.h>

struct PushAhead {
    const Cluster *cluster;
    PushAheadRequest request;
    char *folder; /* It is pg_wal. */
    char *status; /* It is the archive_status of pg_wal. */
    Acknowledgements notes;
};

enum { TIMELINE_DIGITS = 8 /* A segment's name begins with its timeline. */ };

/*
 * The states of one segment that is pushed along, with the function for each transition; each has a
 * thread, and several are in each state but PUBLISHING:
 *
 *     QUEUED -- seat_take() --> SEATED: read and compressed (archive_push)
 *                                  | before_settle: leave_seat()
 *                                  v
 *                               SETTLING: written to the disk, still without its name
 *                                  | before_commit: turn_wait(), until order.next is its index
 *                                  v
 *                               PUBLISHING: named, and noted (note_job); one at a time
 *                                  | turn_end(goes_on): order.next is the next one
 *                                  v
 *                               DONE
 *
 * From each of them FAILED is reached: by what failed itself, which sets order.failed (turn_end),
 * and by all with a higher index, which see that in turn_wait() and are not published.
 *
 * What always holds: at most `threads` are SEATED; a segment is published only when all before it
 * are DONE; after order.failed is set, nothing of that index or a higher one is published. The one
 * asked for is number 0: it waits for nobody, and its result is the server's answer.
 */

/*
 * Who may work, and whose turn it is to publish. Segments are compressed side by side and appear in
 * order: were one there before its predecessor and the host lost forever in this instant, the
 * archive would end in a hole where it could just have ended.
 *
 * Whoever waits for the disk or for its turn lets another one compress meanwhile, so there are more
 * jobs at work than may compress at a time.
 */
typedef struct Order {
    pthread_mutex_t lock; /* It guards the fields below. */
    pthread_cond_t changed;
    unsigned seats; /* This many are free. Whoever compresses has one. */
    size_t next;    /* This job publishes next. */
    size_t failed;  /* No job from this one on is published. */
    TimeUs end;     /* It is monotonic. From then on, nothing is begun but what was asked for. */
} Order;

/* One segment: the one asked for, which is number 0, or one that is pushed along. */
typedef struct Job {
    const PushAhead *ahead;
    Order *order;
    size_t index;
    /* That job publishes before this one. NULL means that there is none. */
    const struct Job *before;
    char *path;
    bool has_seat;
    bool is_done;
    PushResult result; /* It is set once is_done. */
    Error error;       /* It is set unless is_done. */
} Job;

enum {
    JOBS_WAITING = 3 /* This many wait for the disk or their turn, while all seats are taken. */
};

static const char *ready_file_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

static bool is_segment_name(const Cluster *cluster, const char *name)
{
    Error ignored = {0}; /* then it is none */
    WalName parsed;

    return wal_name_parse(name, cluster->wal_segment_size, &parsed, &ignored) &&
           parsed.kind == WAL_SEGMENT;
}

/*
 * A segment that a server wants archived, and its user's: what an operator pushes by hand, from
 * wherever and as whoever, says nothing about what else should be.
 */
static bool is_waiting(const PushAhead *ahead)
{
    const char *name = ready_file_name(ahead->request.path);
    CLEANUP(text_freep) char *ready = text_format("%s/%s.ready", ahead->status, name);
    struct stat found;

    return strchr(ahead->request.path, '/') != NULL && is_segment_name(ahead->cluster, name) &&
           file_exists(ready) && stat(ahead->request.path, &found) == 0 &&
           found.st_uid == geteuid();
}

static bool is_inside(const char *path, const char *folder)
{
    char real_path[PATH_MAX];
    char real_folder[PATH_MAX];

    if (realpath(path, real_path) == NULL || realpath(folder, real_folder) == NULL)
        return false;
    size_t size = strlen(real_folder);
    return strncmp(real_path, real_folder, size) == 0 &&
           (real_path[size] == '/' || real_path[size] == '\0');
}

/* A copy of the data directory must not bring the acknowledgements of the original with it. */
static bool check_spool(const PushAhead *ahead, Error *err)
{
    const char *spool = ahead->request.spool;
    CLEANUP(text_freep) char *parent = file_folder(spool); /* it need not be there yet */
    CLEANUP(text_freep) char *data = file_folder(ahead->folder);

    if (spool[0] != '/')
        return error_set(err, ERR_REFUSED, "%s is not an absolute path", spool);
    if (is_inside(spool, data) || is_inside(spool, ahead->folder) || is_inside(parent, data)) {
        return error_set(err, ERR_REFUSED,
                         "%s is in the data directory, and would be copied along with it", spool);
    }
    return true;
}

static void tell_unusable(const PushAheadRequest *request, const Error *reason)
{
    static const char message[] = "no segments are pushed ahead: the spool directory can't be used";

    if (request->is_spool_asked_for) {
        log_warn(message, log_str("spool", request->spool), log_str("reason", reason->message));
    } else {
        log_debug(message, log_str("spool", request->spool), log_str("reason", reason->message));
    }
}

PushAhead *push_ahead_open(const Cluster *cluster, const PushAheadRequest *request)
{
    CLEANUP(push_ahead_freep) PushAhead *ahead = mem_alloc(sizeof *ahead);
    Error reason = {0};

    ahead->cluster = cluster;
    ahead->request = *request;
    ahead->folder = file_folder(request->path);
    ahead->status = text_format("%s/archive_status", ahead->folder);
    if (request->count == 0 || request->spool == NULL || request->spool[0] == '\0' ||
        !is_waiting(ahead))
        return NULL;
    if (!check_spool(ahead, &reason) ||
        !acknowledgements_open(&ahead->notes, cluster, request->spool, &reason)) {
        tell_unusable(request, &reason);
        return NULL;
    }
    return TAKE(ahead);
}

void push_ahead_freep(PushAhead **ahead)
{
    if (*ahead == NULL)
        return;
    acknowledgements_done(&(*ahead)->notes);
    text_freep(&(*ahead)->folder);
    text_freep(&(*ahead)->status);
    mem_free(*ahead);
    *ahead = NULL;
}

bool push_ahead_has_done(const PushAhead *ahead, WalTrailer *trailer)
{
    return ahead != NULL && acknowledgement_holds(&ahead->notes, ahead->request.path, trailer);
}

static void seat_take(Job *job)
{
    Order *order = job->order;

    pthread_mutex_lock(&order->lock);
    while (order->seats == 0)
        pthread_cond_wait(&order->changed, &order->lock);
    order->seats--;
    job->has_seat = true;
    pthread_mutex_unlock(&order->lock);
}

static void seat_give(Job *job)
{
    Order *order = job->order;

    pthread_mutex_lock(&order->lock);
    order->seats += job->has_seat;
    job->has_seat = false;
    pthread_cond_broadcast(&order->changed);
    pthread_mutex_unlock(&order->lock);
}

/* False once an earlier one failed: this one must not be published then. */
static bool turn_wait(Job *job, Error *err)
{
    Order *order = job->order;

    seat_give(job);
    pthread_mutex_lock(&order->lock);
    while (order->next < job->index && order->failed > job->index)
        pthread_cond_wait(&order->changed, &order->lock);
    bool is_ours = order->failed > job->index;
    pthread_mutex_unlock(&order->lock);
    return is_ours || error_set(err, ERR_UNREACHABLE, "a segment before it was not pushed");
}

static void turn_end(Job *job, bool goes_on)
{
    Order *order = job->order;

    seat_give(job);
    pthread_mutex_lock(&order->lock);
    if (goes_on) {
        order->next = job->index + 1;
    } else if (order->failed > job->index) {
        order->failed = job->index;
    }
    pthread_cond_broadcast(&order->changed);
    pthread_mutex_unlock(&order->lock);
}

static void leave_seat(void *context)
{
    seat_give(context);
}

static bool wait_for_turn(void *context, Error *err)
{
    return turn_wait(context, err);
}

/* Once it is our turn the one before is done, and nobody writes to it any more. */
static bool pushed_before(void *context, const WalName *name, WalBefore *before)
{
    const Job *last = ((const Job *)context)->before;
    Error ignored = {0}; /* a name that we made */

    if (last == NULL || last->result.trailer.summary.reader.end == WAL_END_BROKEN ||
        !wal_name_parse(ready_file_name(last->path), last->ahead->cluster->wal_segment_size,
                        &before->name, &ignored) ||
        before->name.segment + 1 != name->segment || before->name.timeline != name->timeline)
        return false;
    before->trailer = last->result.trailer;
    return true;
}

/* The server waits for an answer about one segment, and repositories can be slow. */
static bool check_time(const Job *job, Error *err)
{
    return job->index == 0 || time_monotonic() < job->order->end ||
           error_set(err, ERR_UNREACHABLE, "enough time has gone into segments not asked for");
}

/* Where no note can be left (a full disk), each call would only read the same objects again. */
static bool note_job(const Job *job, Error *err)
{
    if (acknowledgement_write(&job->ahead->notes, job->path, &job->result.source,
                              &job->result.trailer, err))
        return true;
    tell_unusable(&job->ahead->request, err);
    return false;
}

static bool push_job(void *worker, void *context, Error *err)
{
    Job *job = context;
    const PushRequest request = {
        .path = job->path,
        .compression = job->ahead->request.compression,
        .threads = 1,
        .before_settle = leave_seat,
        .before_commit = wait_for_turn,
        .known_before = pushed_before,
        .context = job,
    };

    (void)worker;
    seat_take(job);
    /* What was there already waits here, so that the turn goes from one to the next. */
    job->is_done = check_time(job, &job->error) &&
                   archive_push(job->ahead->cluster, &request, &job->result, &job->error) &&
                   turn_wait(job, &job->error);
    const bool goes_on = job->is_done && (job->index == 0 || note_job(job, &job->error));
    turn_end(job, goes_on);
    if (!goes_on)
        *err = job->error;
    return goes_on;
}

/* The first `count` names after `name`, in the order in which the server will ask for them. */
typedef struct Waiting {
    char names[PUSH_AHEAD_MAX][WAL_NAME_SIZE];
    size_t count;
} Waiting;

static void waiting_add(Waiting *waiting, size_t limit, const char *name)
{
    size_t place = waiting->count;

    while (place > 0 && strcmp(waiting->names[place - 1], name) > 0)
        place--;
    if (place == limit)
        return;
    if (waiting->count < limit)
        waiting->count++;
    memmove(waiting->names[place + 1], waiting->names[place],
            (waiting->count - place - 1) * sizeof waiting->names[0]);
    snprintf(waiting->names[place], sizeof waiting->names[0], "%s", name);
}

/*
 * Of another timeline none: its history comes first (pgarch.c, ready_file_comparator), and was
 * perhaps not there yet when the server chose the file asked for. An archive that ends with WAL of
 * a timeline whose history is missing stops every recovery.
 */
static bool is_to_be_pushed(const PushAhead *ahead, const char *name)
{
    return strncmp(name, ready_file_name(ahead->request.path), TIMELINE_DIGITS) == 0 &&
           is_segment_name(ahead->cluster, name) && file_exists_in(ahead->folder, name);
}

/*
 * pgarch.c, pgarch_readyXlog(): segments in the order of their names. Also those that a note says
 * to be there: if they are not, and the next one were pushed, that would be a hole.
 */
static void find_waiting(const PushAhead *ahead, Waiting *waiting)
{
    static const char suffix[] = ".ready";
    const char *asked = ready_file_name(ahead->request.path);
    const size_t limit =
        ahead->request.count < PUSH_AHEAD_MAX ? ahead->request.count : PUSH_AHEAD_MAX;
    CLEANUP(directory_done) DIR *directory = opendir(ahead->status);
    const struct dirent *entry;

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        size_t size = strlen(entry->d_name);
        char name[WAL_NAME_SIZE];

        if (size < sizeof suffix || size - (sizeof suffix - 1) >= sizeof name ||
            strcmp(entry->d_name + size - (sizeof suffix - 1), suffix) != 0)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(size - (sizeof suffix - 1)), entry->d_name);
        if (strcmp(name, asked) > 0 && is_to_be_pushed(ahead, name))
            waiting_add(waiting, limit, name);
    }
}

/* Until all have run, or one has failed and those before it have ended. */
static void run_push_jobs(Job *jobs, size_t count, unsigned threads)
{
    const size_t at_work = threads + JOBS_WAITING;
    Error reason = {0};

    CLEANUP(work_queue_freep)
    WorkQueue *queue =
        work_queue_new(&(WorkQueueSetup){.threads = at_work < count ? at_work : count,
                                         .capacity = count,
                                         .order = WORK_IN_ORDER,
                                         .run = push_job},
                       &reason);
    bool ok = queue != NULL;
    for (size_t i = 0; ok && i < count; i++)
        ok = work_queue_submit(queue, &jobs[i], &reason);
    if (!ok || !work_queue_finish(queue, &reason)) {
        log_debug("pushing ahead ended: the server will ask for the rest",
                  log_str("reason", reason.message));
        if (jobs[0].error.code == ERR_NONE)
            jobs[0].error = reason;
    }
}

/* The file asked for and those that wait after it. */
static bool run_along(const PushAhead *ahead, const Waiting *waiting, PushResult *result,
                      PushedAhead *told, void *context, Error *err)
{
    const unsigned threads = ahead->request.threads > 0 ? ahead->request.threads : 1;
    const size_t count = waiting->count + 1;
    Job jobs[PUSH_AHEAD_MAX + 1];
    Order order = {.lock = PTHREAD_MUTEX_INITIALIZER,
                   .changed = PTHREAD_COND_INITIALIZER,
                   .seats = threads,
                   .failed = SIZE_MAX,
                   .end = time_monotonic() + (TimeUs)ahead->request.time_ms * 1000};

    jobs[0] =
        (Job){.ahead = ahead, .order = &order, .path = text_format("%s", ahead->request.path)};
    for (size_t i = 1; i < count; i++) {
        jobs[i] = (Job){
            .ahead = ahead,
            .order = &order,
            .index = i,
            .before = &jobs[i - 1],
            .path = text_format("%s/%s", ahead->folder, waiting->names[i - 1]),
        };
    }
    run_push_jobs(jobs, count, threads);
    const bool ok = jobs[0].is_done;
    if (ok) {
        *result = jobs[0].result;
        jobs[0].result.aside = NULL;
    } else {
        *err = jobs[0].error;
    }
    for (size_t i = 0; i < count; i++) {
        if (jobs[i].is_done && i > 0)
            told(context, jobs[i].path, &jobs[i].result);
        text_freep(&jobs[i].path);
        text_freep(&jobs[i].result.aside);
    }
    pthread_cond_destroy(&order.changed);
    pthread_mutex_destroy(&order.lock);
    return ok;
}

bool push_ahead_run(const PushAhead *ahead, PushResult *result, PushedAhead *told, void *context,
                    Error *err)
{
    Waiting waiting = {.count = 0};

    acknowledgements_clean(&ahead->notes, ahead->status);
    find_waiting(ahead, &waiting);
    if (waiting.count > 0)
        return run_along(ahead, &waiting, result, told, context, err);
    return archive_push(ahead->cluster,
                        &(PushRequest){.path = ahead->request.path,
                                       .compression = ahead->request.compression,
                                       .threads = ahead->request.threads},
                        result, err);
}
