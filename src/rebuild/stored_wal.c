#include "rebuild/stored_wal.h"

#include "base/work_queue.h"

#include <stdatomic.h>

enum { THREADS_MAX = 16 };

/* Each thread takes the next segment that nobody has taken: one job for each thread. */
struct WalCheck {
    const Cluster *cluster;
    const RestorePlan *plan;
    WalInventory inventory;
    uint64_t last;
    _Atomic uint64_t next;
    atomic_bool is_cancelled;
    WorkQueue *queue;
};

/* What is there only in pieces, or as the child's at a fork, was read when the plan was made. */
static bool check_segment(const WalCheck *check, uint64_t number, Buffer *space, Error *err)
{
    uint32_t size = check->cluster->wal_segment_size;
    WalName name = {.kind = WAL_SEGMENT,
                    .timeline = path_timeline_of_segment(&check->plan->decision.path, number, size),
                    .segment = number};
    char text[WAL_NAME_SIZE], lsn[LSN_TEXT_SIZE];

    if (!wal_inventory_has(&check->inventory, name.timeline, number))
        return true;
    wal_name_text(&name, size, text);
    if (wal_object_check_stored(check->cluster, text, space, err))
        return true;
    if (err->code == ERR_NOT_FOUND)
        err->code = ERR_CORRUPT;
    if (err->code == ERR_CORRUPT) {
        error_hint(err,
                   "another copy of %s mends it: archive-push puts it in place of the damaged one; "
                   "what lies before %s can be reached; --no-wal-check replays up to the damage",
                   text, lsn_text(wal_segment_start(number, size), lsn));
    }
    return error_context(err, "WAL that this recovery needs");
}

static bool stored_wal_run_job(void *worker, void *job, Error *err)
{
    WalCheck *check = job;
    CLEANUP(buffer_done) Buffer space = {0};

    (void)worker;
    for (;;) {
        uint64_t number = atomic_fetch_add(&check->next, 1);
        if (number > check->last || atomic_load(&check->is_cancelled))
            return true;
        if (!check_segment(check, number, &space, err))
            return false;
    }
}

static bool stored_wal_begin(WalCheck *check, unsigned threads, Error *err)
{
    const WorkQueueSetup setup = {
        .threads = threads, .capacity = threads, .order = WORK_AS_DONE, .run = stored_wal_run_job};

    if (!wal_inventory_load(&check->inventory, check->cluster, err))
        return false;
    check->queue = work_queue_new(&setup, err);
    for (unsigned i = 0; check->queue != NULL && i < threads; i++) {
        if (!work_queue_submit(check->queue, check, err))
            return false;
    }
    return check->queue != NULL;
}

WalCheck *wal_check_new(const Cluster *cluster, const RestorePlan *plan, unsigned threads,
                        Error *err)
{
    CLEANUP(wal_check_freep) WalCheck *check = mem_alloc(sizeof *check);
    uint64_t first =
        wal_segment_of(plan->decision.manifest.header.start, cluster->wal_segment_size);

    check->cluster = cluster;
    check->plan = plan;
    check->last = plan->decision.target.kind == TARGET_LATEST ? plan->decision.archive_end
                                                              : plan->decision.point.segment;
    atomic_init(&check->next, first);
    atomic_init(&check->is_cancelled, false);
    if (threads > THREADS_MAX)
        threads = THREADS_MAX;
    return stored_wal_begin(check, threads > 0 ? threads : 1, err) ? TAKE(check) : NULL;
}

void wal_check_freep(WalCheck **check)
{
    if (*check == NULL)
        return;
    atomic_store(&(*check)->is_cancelled, true);
    work_queue_free((*check)->queue);
    wal_inventory_done(&(*check)->inventory);
    mem_free(*check);
    *check = NULL;
}

bool wal_check_look(WalCheck *check, Error *err)
{
    void *done = check;

    while (check != NULL && done != NULL && work_queue_wait(check->queue, 0)) {
        if (!work_queue_next(check->queue, &done, err))
            return false;
    }
    return true;
}

bool wal_check_finish(WalCheck *check, Error *err)
{
    return check == NULL || work_queue_finish(check->queue, err);
}
