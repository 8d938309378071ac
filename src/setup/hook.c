#include "setup/hook.h"

#include "storage/wrap.h"

enum {
    RETRY_PAUSE_MS = 200,
    /* A segment has 8 frames: more threads than this would start, find nothing, and end. */
    THREADS_MAX = 4,
};

bool hook_open(Hook *hook, const Options *options, Error *err)
{
    Storage *storage = storage_open(&(StorageSetup){.address = options->repo}, err);

    if (storage == NULL)
        return false;
    storage = storage_retry_new(storage, (unsigned)options->retries + 1, RETRY_PAUSE_MS);
    hook->threads = options->jobs < THREADS_MAX ? (unsigned)options->jobs : THREADS_MAX;
    return repo_open(&hook->repo, storage, err) &&
           cluster_open(&hook->repo, options->cluster, &hook->cluster, err);
}

void hook_done(Hook *hook)
{
    repo_done(&hook->repo);
}
