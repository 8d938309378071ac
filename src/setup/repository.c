#include "setup/repository.h"

enum { SEGMENT_THREADS_MAX = 4 };

/* See the table in the header. A pause of 0 is never waited for. */
static const struct {
    unsigned attempts; /* 0: --retries, and one more */
    uint64_t pause_ms; /* before the second */
    bool is_limited;   /* by --rate-limit */
} policies[] = {
    [REPOSITORY_FOR_SERVER] = {.attempts = 0, .pause_ms = 200},
    [REPOSITORY_FOR_READING] = {.attempts = 6, .pause_ms = 250, .is_limited = true},
    [REPOSITORY_FOR_WRITING] = {.attempts = 6, .pause_ms = 250},
    [REPOSITORY_FOR_ANSWER] = {.attempts = 3, .pause_ms = 100},
    [REPOSITORY_ONCE] = {.attempts = 1},
};

StorageSetup repository_setup(const Options *options, RepositoryUse use)
{
    const unsigned attempts = policies[use].attempts;

    return (StorageSetup){
        .address = options->repo,
        .attempts = attempts > 0 ? attempts : (unsigned)options->retries + 1,
        .pause_ms = policies[use].pause_ms,
        .bytes_per_s = policies[use].is_limited ? options->rate_limit : 0,
    };
}

Storage *repository_place(const Options *options, RepositoryUse use, Error *err)
{
    const StorageSetup setup = repository_setup(options, use);

    return storage_open(&setup, err);
}

bool repository_open(const Options *options, RepositoryUse use, Repo *repo, Cluster *cluster,
                     Error *err)
{
    Storage *storage = repository_place(options, use, err);

    return storage != NULL && repo_open(repo, storage, err) &&
           (cluster == NULL || cluster_open(repo, options->cluster, cluster, err));
}

unsigned repository_segment_threads(const Options *options)
{
    return options->jobs < SEGMENT_THREADS_MAX ? (unsigned)options->jobs : SEGMENT_THREADS_MAX;
}
