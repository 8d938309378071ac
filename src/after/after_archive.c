#include "after_parts.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "repo/layout.h"
#include "repo/repo.h"

#include <errno.h>
#include <inttypes.h>

enum { PAUSE_MS = 50, FAILURES_MAX = 3, FOREIGN_WAIT_MS = 5000 };

/* What the server says about its archiving. */
typedef struct ArchivingSight {
    const char *mode;
    bool is_received; /* `pgcairn receive` streams from it. */
    bool is_ours;     /* Its archiver calls pgcairn, as far as can be seen. */
    bool is_off;      /* Nothing archives. */
    uint64_t failures;
    const char *last_failed; /* It is "" when no segment failed. */
} ArchivingSight;

static void archiving_judge(ArchivingSight *seen, const char *command, const char *library)
{
    seen->is_off = !seen->is_received &&
                   (strcmp(seen->mode, "off") == 0 || (*command == '\0' && *library == '\0'));
    seen->is_ours = seen->is_received || strstr(command, "archive-push") != NULL ||
                    strstr(library, "pgcairn") != NULL;
}

static bool archiving_ask(AfterLook *look, Arena *arena, ArchivingSight *seen, Error *err)
{
    static const char query[] =
        "SELECT current_setting('archive_mode'), failed_count, last_failed_wal,"
        " EXISTS (SELECT FROM pg_stat_replication WHERE application_name = 'pgcairn_receive'),"
        " current_setting('archive_command'), current_setting('archive_library', true)"
        " FROM pg_stat_archiver";
    const char *values[6] = {0};
    bool found;

    if (!session_row(look->session, query, arena, values, ARRAY_SIZE(values), &found, err))
        return false;
    *seen = (ArchivingSight){
        .mode = values[0] != NULL ? values[0] : "off",
        .failures = values[1] != NULL ? strtoull(values[1], NULL, 10) : 0,
        .last_failed = values[2] != NULL ? values[2] : "",
        .is_received = values[3] != NULL && strcmp(values[3], "t") == 0,
    };
    archiving_judge(seen, values[4] != NULL ? values[4] : "", values[5] != NULL ? values[5] : "");
    return true;
}

/*
 * The segment that was being written is ended. pg_switch_wal() gives the end of the record that
 * does it, or, with nothing written since the last one, where the next one begins.
 */
static bool archive_switch(AfterLook *look, char name[WAL_NAME_SIZE], Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    const uint32_t segment_size = look->request->cluster->wal_segment_size;
    const char *text = NULL;
    bool found;
    Lsn lsn;

    if (!session_row(look->session, "SELECT pg_switch_wal()", &arena, &text, 1, &found, err) ||
        !lsn_parse(text != NULL ? text : "", &lsn, err))
        return false;
    wal_name_text(&(WalName){.kind = WAL_SEGMENT,
                             .timeline = look->sight->timeline,
                             .segment = (lsn - 1) / segment_size},
                  segment_size, name);
    return true;
}

/* What the server has marked as still to be archived is not there, whatever the listing says. */
static bool archive_has(const AfterLook *look, const char *name, bool *has, Error *err)
{
    const Cluster *cluster = look->request->cluster;
    CLEANUP(text_freep) char *object = layout_wal(cluster->name, name);
    CLEANUP(text_freep)
    char *ready = text_format("%s/pg_wal/archive_status/%s.ready", look->request->data, name);

    *has = false;
    if (file_exists(ready))
        return true;
    *has = storage_stat(cluster->repo->storage, object, NULL, NULL, err);
    if (!*has && err->code != ERR_NOT_FOUND)
        return false;
    error_clear(err);
    return true;
}

/* The segment, and the history without which nobody would find it. */
static bool archive_has_all(const AfterLook *look, const char *name, bool *has, Error *err)
{
    char history[WAL_NAME_SIZE];

    if (!archive_has(look, name, has, err))
        return false;
    if (!*has || look->sight->timeline == 1)
        return true;
    wal_name_text(&(WalName){.kind = WAL_HISTORY, .timeline = look->sight->timeline},
                  look->request->cluster->wal_segment_size, history);
    return archive_has(look, history, has, err);
}

static void archive_put_failure(AfterLook *look, const char *name, const ArchivingSight *before,
                                const ArchivingSight *now)
{
    CLEANUP(arena_done) Arena arena = {0};
    char waited[32];
    const uint64_t failed = now->failures - before->failures;

    (void)snprintf(waited, sizeof waited, "%.1f s",
                   (double)(time_monotonic() - look->list->begin) / 1e6);
    const char *why =
        failed == 0
            ? "the server does not say that it has failed"
            : arena_format(&arena, "the server has failed %" PRIu64 " times, the last time with %s",
                           failed, now->last_failed);
    const char *text =
        arena_format(&arena, "%s is not in the repository after %s: %s", name, waited, why);
    if (before->is_ours) {
        checks_put(look->list, CHECK_ARCHIVE, CHECK_FAILED, text,
                   "the server's log has the reason; `pgcairn status` follows it");
    } else {
        checks_put(look->list, CHECK_ARCHIVE, CHECK_TO_DO, text,
                   "archive_command does not call pgcairn, as far as can be seen: 'pgcairn "
                   "archive-push %p' brings WAL into the repository");
    }
}

/* Until it is there, the server has failed again and again, or the time is over. */
static bool archive_wait(AfterLook *look, const char *name, const ArchivingSight *before,
                         Error *err)
{
    const uint64_t asked_ms = look->request->archive_wait_ms;
    const uint64_t wait_ms =
        before->is_ours || asked_ms < FOREIGN_WAIT_MS ? asked_ms : FOREIGN_WAIT_MS;
    const TimeUs deadline = time_monotonic() + (TimeUs)wait_ms * 1000;
    Error attempt = {0};
    bool has = false;

    for (;;) {
        CLEANUP(arena_done) Arena arena = {0};
        ArchivingSight now;

        if (!interrupt_check(err))
            return false;
        if (!archive_has_all(look, name, &has, &attempt) ||
            !archiving_ask(look, &arena, &now, &attempt))
            return after_unknown(look, CHECK_ARCHIVE, &attempt, err);
        if (has)
            break;
        if (now.failures - before->failures >= FAILURES_MAX || time_monotonic() > deadline) {
            archive_put_failure(look, name, before, &now);
            return true;
        }
        time_sleep_ms(PAUSE_MS);
    }
    checks_put(look->list, CHECK_ARCHIVE, CHECK_PASSED,
               arena_format(&look->list->arena, "%s is in the repository, on timeline %" PRIu32,
                            name, look->sight->timeline),
               "");
    return true;
}

/* To read is enough for a restore; then it is known that nothing can be archived from here. */
static bool archive_is_read_only(AfterLook *look)
{
    Error attempt = {0};

    if (storage_probe(look->request->cluster->repo->storage, &attempt) ||
        (attempt.os_errno != EACCES && attempt.os_errno != EPERM && attempt.os_errno != EROFS))
        return false;
    checks_put(look->list, CHECK_ARCHIVE, CHECK_TO_DO,
               "this user can only read the repository: nothing that is committed from now on "
               "gets there",
               attempt.hint);
    return true;
}

bool after_archive(AfterLook *look, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    char name[WAL_NAME_SIZE];
    ArchivingSight before;
    Error attempt = {0};

    if (!archiving_ask(look, &arena, &before, &attempt))
        return after_unknown(look, CHECK_ARCHIVE, &attempt, err);
    if (before.is_off) {
        /* As it was configured before: whoever streams instead begins to once it is back. */
        checks_put(
            look->list, CHECK_ARCHIVE, CHECK_TO_DO,
            "the server does not archive: nothing that is committed from now on gets into the "
            "repository",
            "set archive_mode = on and archive_command = 'pgcairn archive-push %p', and "
            "restart the server; or start `pgcairn receive` again");
        return true;
    }
    if (archive_is_read_only(look))
        return true;
    if (!archive_switch(look, name, &attempt))
        return after_unknown(look, CHECK_ARCHIVE, &attempt, err);
    return archive_wait(look, name, &before, err);
}
