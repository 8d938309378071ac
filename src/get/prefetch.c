#include "prefetch_parts.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
    DEPTH_MAX = 256, /* It counts segments, however small they are. */
    NICENESS = 10,
    DESCRIPTORS_MAX = 65536, /* They are closed one by one where the kernel can't close ranges. */
};

/*
 * The server restores into these names of its own pg_wal (xlogarchive.c, RestoreArchivedFile), as
 * the user whose files they are. pg_rewind and operators use others, or none of this directory.
 */
static bool is_servers_own(const PrefetchRequest *request, const char *folder, bool *recovers)
{
    const char *slash = strrchr(request->path, '/');
    const char *name = slash == NULL ? request->path : slash + 1;
    const bool is_history = strcmp(name, "RECOVERYHISTORY") == 0;
    CLEANUP(text_freep) char *wal = NULL;
    struct stat named, own;

    if (request->data == NULL || (strcmp(name, "RECOVERYXLOG") != 0 && !is_history))
        return false;
    /* Its last request is for a history, and comes when it has removed the signal files. */
    *recovers = file_exists_in(request->data, "recovery.signal") ||
                file_exists_in(request->data, "standby.signal");
    if (!*recovers && !is_history)
        return false;
    wal = text_format("%s/pg_wal", request->data);
    return stat(folder, &named) == 0 && stat(wal, &own) == 0 && named.st_dev == own.st_dev &&
           named.st_ino == own.st_ino && own.st_uid == geteuid();
}

Prefetch *prefetch_open(const PrefetchRequest *request)
{
    CLEANUP(text_freep) char *folder = file_folder(request->path);
    Prefetch *ahead;
    bool recovers;

    if (!is_servers_own(request, folder, &recovers))
        return NULL;
    ahead = mem_alloc(sizeof *ahead);
    *ahead = (Prefetch){.path = text_format("%s/%s", folder, PREFETCH_FOLDER),
                        .size = request->size,
                        .threads = request->threads,
                        .is_over = !recovers,
                        .asked_at = time_monotonic(),
                        .spool = PREFETCH_SPOOL_CLOSED};
    if (request->size == 0) {
        prefetch_spool_wipe(ahead->path);
        prefetch_freep(&ahead);
    }
    return ahead;
}

void prefetch_freep(Prefetch **ahead)
{
    if (*ahead == NULL)
        return;
    prefetch_spool_done(&(*ahead)->spool);
    recovery_view_done(&(*ahead)->view);
    text_freep(&(*ahead)->path);
    mem_free(*ahead);
    *ahead = NULL;
}

uint32_t prefetch_depth_max(const Prefetch *ahead, const Cluster *cluster)
{
    const uint64_t count = ahead->size / cluster->wal_segment_size;

    return count < DEPTH_MAX ? (uint32_t)count : DEPTH_MAX;
}

/* So that a process that fetches does not begin with what is being fetched here. */
static void tell_position(const Prefetch *ahead, const WalName *name)
{
    Pace pace = ahead->pace;

    pace.timeline = name->timeline;
    pace.segment = name->segment;
    pace_save(&ahead->spool, &pace);
}

/* What lies ready and what earlier requests left, if there is anything. */
static bool prefetch_load(Prefetch *ahead, const Cluster *cluster)
{
    if (ahead == NULL || ahead->is_over)
        return false;
    if (ahead->spool.folder >= 0)
        return true;
    if (!prefetch_spool_open(ahead->path, cluster, process_boot_id(), false, &ahead->spool))
        return false;
    pace_load(&ahead->spool, &ahead->pace);
    return true;
}

bool prefetch_given(Prefetch *ahead, const Cluster *cluster, WalName *given)
{
    if (!prefetch_load(ahead, cluster) || ahead->pace.given_timeline == 0)
        return false;
    *given = (WalName){.kind = WAL_SEGMENT,
                       .timeline = ahead->pace.given_timeline,
                       .segment = ahead->pace.given_segment};
    return true;
}

bool prefetch_take(Prefetch *ahead, const Cluster *cluster, const WalName *name, const char *path)
{
    char segment[WAL_NAME_SIZE];

    if (!prefetch_load(ahead, cluster))
        return false;
    wal_name_text(name, cluster->wal_segment_size, segment);
    ahead->was_ready = prefetch_spool_take(&ahead->spool, segment, path);
    if (!ahead->was_ready)
        tell_position(ahead, name);
    return ahead->was_ready;
}

bool prefetch_next(const RecoveryView *view, const Pace *pace, uint64_t count,
                   uint32_t segment_size, WalName *name)
{
    const uint64_t segment = pace->segment + count;

    if (view->bound_segment != 0 && segment > view->bound_segment)
        return false;
    *name = (WalName){
        .kind = WAL_SEGMENT,
        .timeline = view->has_path ? path_timeline_of_segment(&view->path, segment, segment_size)
                                   : view->timeline,
        .segment = segment,
    };
    return true;
}

typedef struct Ready {
    const Pace *pace;
    uint32_t count;
} Ready;

static bool count_ready(void *context, const WalName *name)
{
    Ready *ready = context;

    if (name->segment > ready->pace->segment &&
        name->segment <= ready->pace->segment + ready->pace->depth)
        ready->count++;
    return true;
}

/*
 * Whether somebody has to start fetching: less than half of what is wanted lies ready, something
 * may follow, and nobody is at it. The lock stays with the new process.
 */
static bool is_due(const Prefetch *ahead, const Pace *pace, const RecoveryView *view,
                   uint32_t segment_size)
{
    Ready ready = {.pace = pace};
    WalName next;

    if (!prefetch_next(view, pace, 1, segment_size, &next))
        return false;
    prefetch_spool_scan(&ahead->spool, PREFETCH_REMOVE_NOTHING, count_ready, &ready);
    return ready.count < (pace->depth + 1) / 2 && flock(ahead->spool.state, LOCK_EX | LOCK_NB) == 0;
}

void prefetch_answered(Prefetch *ahead, const Cluster *cluster, const WalName *name,
                       RecoveryView *view)
{
    PaceRequest request = {.timeline = name->timeline, .segment = name->segment};
    Pace pace;

    if (ahead == NULL || ahead->is_over || prefetch_depth_max(ahead, cluster) == 0)
        return;
    if (ahead->spool.folder < 0 &&
        !prefetch_spool_open(ahead->path, cluster, process_boot_id(), true, &ahead->spool))
        return;
    request.asked_at = ahead->asked_at;
    request.answered_at = time_monotonic();
    request.fetch_us = pace_load_fetch(&ahead->spool);
    request.depth_max = prefetch_depth_max(ahead, cluster);
    request.was_ready = ahead->was_ready;
    pace = ahead->pace;
    pace_advance(&pace, &request);
    pace_save(&ahead->spool, &pace);
    ahead->is_due = is_due(ahead, &pace, view, cluster->wal_segment_size);
    if (ahead->is_due) {
        ahead->view = *view;
        *view = (RecoveryView){0};
    }
}

void prefetch_end(const Prefetch *ahead)
{
    if (ahead != NULL)
        prefetch_spool_wipe(ahead->path);
}

/*
 * Where the server is process 1, as in a container, it is told how its startup process's orphans
 * ended, and takes any other status than 0 and 1 for a crash of a session (postmaster.c,
 * CleanupBackend). So this process ends with 0 whatever happened to it.
 */
static void end_quietly(int number)
{
    (void)number;
    _exit(0);
}

/*
 * Nobody waits for a pipe that we hold: the server's log collector, a test. Nor do we keep files of
 * a server that passes its descriptors on (before 16) from being removed.
 */
static bool close_descriptors(const PrefetchSpool *spool)
{
    const unsigned low = (unsigned)(spool->folder < spool->state ? spool->folder : spool->state);
    const unsigned high = (unsigned)(spool->folder < spool->state ? spool->state : spool->folder);
    int null = open("/dev/null", O_RDWR);

    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
        dup2(null, STDERR_FILENO) < 0)
        return false;
    for (unsigned fd = STDERR_FILENO + 1; fd < DESCRIPTORS_MAX; fd++) {
        if (fd == low || fd == high)
            continue;
        const unsigned last = fd < low ? low - 1 : fd < high ? high - 1 : ~0U;
        if (close_range(fd, last, 0) == 0) {
            if (last == ~0U)
                return true;
            fd = last;
        } else {
            (void)close((int)fd);
        }
    }
    return true;
}

static bool begin_process(const PrefetchSpool *spool)
{
    static const int numbers[] = {SIGQUIT, SIGABRT, SIGSEGV, SIGBUS};
    struct sigaction end = {.sa_handler = end_quietly};

    (void)sigemptyset(&end.sa_mask);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        (void)sigaction(numbers[i], &end, NULL);
    (void)prctl(PR_SET_NAME, "pgcairn-ahead");
    errno = 0;
    (void)!nice(NICENESS); /* the startup process needs the CPU more */
    return close_descriptors(spool);
}

/*
 * In the process group of the server's startup process, as any restore_command: so the postmaster's
 * SIGTERM, SIGQUIT and SIGKILL come here as well (postmaster.c, signal_child).
 */
bool prefetch_fork(Prefetch *ahead)
{
    const pid_t group = getpgrp();

    if (ahead == NULL || !ahead->is_due)
        return false;
    ahead->leader = group != getpid() && process_exists(group) ? group : 0;
    pid_t pid = fork();
    if (pid != 0) {
        if (pid < 0)
            log_debug("nothing is fetched ahead", log_str("reason", strerror(errno)));
        return false;
    }
    Error injected = {0};
    if (!begin_process(&ahead->spool) || !FAULT_POINT("prefetch.begin", &injected))
        _exit(0);
    return true;
}
