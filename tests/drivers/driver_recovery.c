/*
 * Starting, watching and promoting, for the integration tests.
 *
 *     driver_recovery run PROGRAMS DATA LOG TARGET-LSN STALL-MS SETTING...   start and watch to the
 * end driver_recovery watch DATA CONNINFO LOG TARGET-LSN STALL-MS TIMEOUT-MS driver_recovery
 * promote DATA CONNINFO TIMEOUT-MS driver_recovery stop DATA TIMEOUT-MS
 *
 * "-" stands for what is not known. Prints a line for each change.
 */
#include "base/interrupt.h"
#include "base/log.h"
#include "recovery/recovery.h"

#include <sys/stat.h>

static const char *known(const char *word)
{
    return strcmp(word, "-") != 0 ? word : NULL;
}

static void print_sight(void *unused, const RecoverySight *sight, bool is_stalled)
{
    char lsn[LSN_TEXT_SIZE], time[TIME_TEXT_SIZE];

    (void)unused;
    printf("%s%s replayed=%s timeline=%u segment=%s waiting=%d last_commit=%s pid=%d\n",
           recovery_state_name(sight->state), is_stalled ? " stalled" : "",
           lsn_text(sight->replayed, lsn), sight->timeline, sight->segment, sight->is_waiting,
           sight->last_commit != TIME_US_NONE ? time_text(sight->last_commit, time) : "",
           (int)sight->pid);
    if (sight->reason[0] != '\0')
        printf("reason %s\nadvice %s\n", sight->reason, sight->advice);
    (void)fflush(stdout);
}

static bool watch_it(const WatchSetup *setup, Error *err)
{
    CLEANUP(recovery_watch_freep) RecoveryWatch *watch = recovery_watch_new(setup);
    RecoverySight sight;

    if (!recovery_watch_to_end(watch, 0, print_sight, NULL, &sight, err))
        return false;
    printf("end %s done=%llu of=%llu\n", recovery_state_name(sight.state),
           (unsigned long long)atomic_load(&setup->progress->bytes_done),
           (unsigned long long)atomic_load(&setup->progress->bytes_total));
    return true;
}

static bool lsn_of(const char *word, Lsn *lsn, Error *err)
{
    *lsn = 0;
    return known(word) == NULL || lsn_parse(word, lsn, err);
}

static bool run(char **words, Error *err)
{
    Progress progress = {0};
    struct stat status;
    pid_t pid;
    WatchSetup setup = {.data = words[1], .log_path = words[2], .progress = &progress};

    if (stat(words[1], &status) != 0)
        return error_set(err, ERR_IO, "no %s", words[1]);
    const StartSetup start = {
        .programs = words[0],
        .data = words[1],
        .log_path = words[2],
        .settings = (const char *const *)(words + 5),
    };
    setup.stall_ms = strtoull(words[4], NULL, 10);
    if (!lsn_of(words[3], &setup.target, err) || !recovery_start(&start, &pid, err))
        return false;
    setup.pid = pid;
    return watch_it(&setup, err);
}

static bool watch(char **words, Error *err)
{
    Progress progress = {0};
    WatchSetup setup = {.data = words[0],
                        .conninfo = known(words[1]),
                        .log_path = known(words[2]),
                        .stall_ms = strtoull(words[4], NULL, 10),
                        .timeout_ms = strtoull(words[5], NULL, 10),
                        .progress = &progress};

    return lsn_of(words[3], &setup.target, err) && watch_it(&setup, err);
}

static bool promote(char **words, Error *err)
{
    return recovery_promote(words[0], known(words[1]), strtoull(words[2], NULL, 10), err);
}

static bool stop(char **words, Error *err)
{
    return recovery_stop(words[0], strtoull(words[1], NULL, 10), err);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int words_min;
        bool (*run)(char **words, Error *err);
    } acts[] = {{"run", 5, run}, {"watch", 6, watch}, {"promote", 3, promote}, {"stop", 2, stop}};
    Error err = {0};

    interrupt_setup();
    log_setup(LOG_WARN, LOG_TEXT);
    for (size_t i = 0; argc >= 2 && i < ARRAY_SIZE(acts); i++) {
        if (strcmp(argv[1], acts[i].name) != 0 || argc < acts[i].words_min + 2)
            continue;
        bool ok = acts[i].run(argv + 2, &err);
        if (!ok)
            fprintf(stderr, "%s: %s\n%s\n", err.context, err.message, err.hint);
        return ok ? 0 : (int)err.code;
    }
    return ERR_USAGE;
}
