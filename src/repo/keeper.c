#include "repo/keeper.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

struct Keeper {
    KeeperFunction *run;
    void *context;
    uint64_t every_ms;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool is_ending; /* `lock` guards it. */
};

static struct timespec keeper_next_time(const Keeper *keeper)
{
    struct timespec next;

    clock_gettime(CLOCK_MONOTONIC, &next);
    next.tv_sec += (time_t)(keeper->every_ms / 1000);
    next.tv_nsec += (long)(keeper->every_ms % 1000) * 1000000;
    if (next.tv_nsec >= 1000000000) {
        next.tv_nsec -= 1000000000;
        next.tv_sec++;
    }
    return next;
}

static void *keeper_main(void *argument)
{
    Keeper *keeper = argument;

    pthread_mutex_lock(&keeper->lock);
    while (!keeper->is_ending) {
        const struct timespec next = keeper_next_time(keeper);
        int waited = 0;

        while (!keeper->is_ending && waited == 0)
            waited = pthread_cond_timedwait(&keeper->ended, &keeper->lock, &next);
        if (keeper->is_ending)
            break;
        pthread_mutex_unlock(&keeper->lock);
        keeper->run(keeper->context);
        pthread_mutex_lock(&keeper->lock);
    }
    pthread_mutex_unlock(&keeper->lock);
    return NULL;
}

static int keeper_start(Keeper *keeper)
{
    sigset_t all, before;

    (void)sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int os_errno = pthread_create(&keeper->thread, NULL, keeper_main, keeper);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return os_errno;
}

Keeper *keeper_new(KeeperFunction *run, void *context, uint64_t every_ms)
{
    Keeper *keeper = mem_alloc(sizeof *keeper);
    pthread_condattr_t clock;

    *keeper = (Keeper){.run = run, .context = context, .every_ms = every_ms};
    pthread_mutex_init(&keeper->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&keeper->ended, &clock);
    pthread_condattr_destroy(&clock);
    if (keeper_start(keeper) == 0)
        return keeper;
    pthread_cond_destroy(&keeper->ended);
    pthread_mutex_destroy(&keeper->lock);
    mem_free(keeper);
    return NULL;
}

void keeper_freep(Keeper **keeper)
{
    Keeper *own = *keeper;

    if (own == NULL)
        return;
    pthread_mutex_lock(&own->lock);
    own->is_ending = true;
    pthread_cond_signal(&own->ended);
    pthread_mutex_unlock(&own->lock);
    pthread_join(own->thread, NULL);
    pthread_cond_destroy(&own->ended);
    pthread_mutex_destroy(&own->lock);
    mem_free(own);
    *keeper = NULL;
}
