#include "answer/duties_tell.h"
#include "answer/expire_tell.h"
#include "answer/forecast_tell.h"
#include "answer/status_json.h"
#include "base/log.h"

#include "cli/hint.h"
#include "cli/output.h"
#include "command/commands.h"
#include "setup/duty_periods.h"
#include "setup/repository.h"
#include "setup/retention_setup.h"

#include <inttypes.h>

/* Names and commands of servers can hold anything; a terminal gets none of it. */
static const char *plain_copy(Health *health, const char *text)
{
    char *copy = arena_text(&health->arena, text);

    for (char *at = copy; *at != '\0'; at++) {
        if (*at == '\t') /* libpq's second lines begin so */
            *at = ' ';
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
    }
    return copy;
}

/* ": reason", unless the first line has said it already. */
static const char *reason_once(Health *health, const char *reason)
{
    if (*reason == '\0' ||
        (health->finding_count > 0 && strstr(health->findings[0].what, reason) != NULL))
        return "";
    return arena_format(&health->arena, ": %s", plain_copy(health, reason));
}

static void print_exposure(Health *health)
{
    const Exposure *exposure = &health->exposure;
    char age[OUT_TEXT_SIZE], objective[OUT_TEXT_SIZE], since[TIME_TEXT_SIZE], lsn[LSN_TEXT_SIZE];

    out_duration(exposure->age, age);
    out_duration(health->rpo, objective);
    switch (exposure->state) {
    case EXPOSURE_NONE:
        if (exposure->by_archiver) {
            out_print("exposure   unknown; the server has marked all its commits as archived\n");
            return;
        }
        if (health->branch_answer.reason == BRANCH_NOT_SERVERS) {
            out_print("exposure   none along timeline %" PRIu32
                      ", which a restore would not follow unless told to (objective %s)\n",
                      path_last_timeline(&health->path), objective);
            return;
        }
        out_print("exposure   none: every commit is in the repository (objective %s)\n", objective);
        return;
    case EXPOSURE_KNOWN:
        out_print("exposure   %s%s (objective %s): %s %s of transaction %" PRIu32 " at %s in %s\n",
                  exposure->by_archiver ? "by the server's own account " : "", age, objective,
                  promise_name(exposure->kind), time_text_local(exposure->since, since),
                  exposure->xid, lsn_text(exposure->lsn, lsn), exposure->segment);
        return;
    case EXPOSURE_AT_MOST:
        out_print(
            "exposure   at most %s (objective %s): what is missing was committed after %s%s\n", age,
            objective, time_text_local(exposure->since, since),
            reason_once(health, exposure->reason));
        return;
    case EXPOSURE_EVERYTHING:
        out_print("exposure   everything: nothing of this cluster's WAL is in the archive\n");
        return;
    case EXPOSURE_UNKNOWN:
        out_print("exposure   unknown%s\n", reason_once(health, exposure->reason));
        return;
    }
}

static void print_archive(Health *health)
{
    const ArchiverLook *archiver = &health->server.archiver;
    char name[WAL_NAME_SIZE], at[TIME_TEXT_SIZE], commit[TIME_TEXT_SIZE];

    if (!health->has_repository)
        return;
    if (health->has_end && health->end.segments > 0) {
        wal_name_text(&(WalName){.kind = WAL_SEGMENT,
                                 .timeline = health->end.last_timeline,
                                 .segment = health->end.last_segment},
                      health->cluster.wal_segment_size, name);
        out_print("archive    without a gap to %s%s", name,
                  health->end.is_open ? " and into the next one" : "");
        if (health->end.last_commit != TIME_US_NONE)
            out_print(", last commit %s", time_text_local(health->end.last_commit, commit));
    } else if (health->wal.run_count > 0) {
        const WalRun *run = &health->wal.runs[health->wal.run_count - 1];
        wal_name_text(
            &(WalName){.kind = WAL_SEGMENT, .timeline = run->timeline, .segment = run->last},
            health->cluster.wal_segment_size, name);
        out_print("archive    last segment %s", name);
    } else {
        out_print("archive    empty");
    }
    if (health->server.answers && *archiver->last_archived != '\0') {
        out_print("; the server's last is %s, %s", plain_copy(health, archiver->last_archived),
                  archiver->last_archived_at != TIME_US_NONE
                      ? time_text_local(archiver->last_archived_at, at)
                      : "-");
    }
    out_print("\n");
}

static void print_waiting(Health *health)
{
    const ReadyPile *pile = &health->pile;
    char bytes[OUT_TEXT_SIZE], age[OUT_TEXT_SIZE], rate[OUT_TEXT_SIZE], left[OUT_TEXT_SIZE];

    if (!pile->is_known) {
        out_print("waiting    unknown: %s\n", plain_copy(health, pile->reason));
        return;
    }
    if (pile->count == 0) {
        out_print("waiting    no segment\n");
        return;
    }
    out_print("waiting    %" PRIu64 " segment%s, %s, the first since %s", pile->count,
              pile->count == 1 ? "" : "s", out_bytes(pile->bytes, bytes),
              out_duration(pile->measured, age));
    if (pile->growth_bytes_per_s > 0) {
        out_print(", growing by %s", out_rate((uint64_t)(pile->growth_bytes_per_s * 1000),
                                              (TimeUs)1000 * 1000000, rate));
    }
    if (pile->full_in != TIME_US_NONE) {
        out_print("; pg_wal is full in %s", out_duration(pile->full_in, left));
    } else if (pile->knows_free) {
        out_print("; %s free in pg_wal", out_bytes(pile->free_bytes, left));
    }
    out_print("\n");
}

static void print_archiver(Health *health)
{
    const ServerLook *server = &health->server;
    const ArchiverLook *archiver = &server->archiver;
    char at[TIME_TEXT_SIZE], timeout[OUT_TEXT_SIZE];

    if (!server->answers) {
        out_print("server     does not answer%s\n", reason_once(health, server->no_answer));
        return;
    }
    out_print("server     timeline %" PRIu32 "%s, archive_mode %s, archive_timeout %s\n",
              server->timeline, server->in_recovery ? ", a standby" : "", server->archive.mode,
              server->archive.timeout == 0 ? "0" : out_duration(server->archive.timeout, timeout));
    out_print("archiver   %" PRIu64 " archived, %" PRIu64 " failures", archiver->archived_count,
              archiver->failed_count);
    if (archiver->last_failed_at != TIME_US_NONE) {
        out_print(", the last %s for %s", time_text_local(archiver->last_failed_at, at),
                  plain_copy(health, archiver->last_failed));
    }
    out_print("\n");
}

static void print_slots(const Health *health)
{
    const ServerLook *server = &health->server;
    char held[OUT_TEXT_SIZE];

    for (size_t i = 0; i < server->slot_count; i++) {
        const SlotLook *slot = &server->slots[i];

        out_print("slot       %s%s: %s, holds back %s%s%s\n", slot->name,
                  slot->is_ours ? " (pgcairn receive)" : "",
                  slot->is_active ? "in use" : "nobody reads it", out_bytes(slot->held, held),
                  *slot->wal_status != '\0' ? ", " : "", slot->wal_status);
    }
}

static const char *until_text(const RecoveryWindow *window, char text[TIME_TEXT_SIZE])
{
    return window->until_time != TIME_US_NONE ? time_text_local(window->until_time, text)
                                              : "the end of the archive";
}

/* The server's own history; another one that reaches further is told as what it is. */
static void status_print_windows(const Health *health)
{
    const RecoveryWindow *window = health_window(health);
    const RecoveryWindow *furthest = window_furthest(&health->windows);
    char from[TIME_TEXT_SIZE], until[TIME_TEXT_SIZE];

    if (window == NULL) {
        out_print("restore    nothing can be restored\n");
        return;
    }
    out_print("restore    every instant from %s to %s on timeline %" PRIu32,
              time_text_local(window->from_time, from), until_text(window, until),
              window->timeline);
    if (!health_is_own_window(health, window))
        out_print(", which is not the server's (%" PRIu32 ")", path_last_timeline(&health->path));
    if (health->windows.count > 1)
        out_print("; %zu windows in all: pgcairn list", health->windows.count);
    out_print("\n");
    if (furthest != window) {
        out_print("           to %s on timeline %" PRIu32 ", another branch than the server's\n",
                  until_text(furthest, until), furthest->timeline);
    }
}

static void status_print_backups(const Health *health)
{
    const BackupInfo *newest = health_newest_backup(health, BACKUP_RESTORABLE);
    char age[OUT_TEXT_SIZE];

    if (!health->has_repository)
        return;
    if (newest == NULL) {
        out_print("backup     none can be restored (%zu there)\n", health->backups.count);
    } else {
        TimeUs old = health->now - newest->header.stopped_at;
        out_print("backup     %s, restorable, %s old; %zu in all\n", newest->header.id,
                  out_duration(old > 0 ? old : 0, age), health->backups.count);
    }
    status_print_windows(health);
}

static const char *growth_text(const RoomGrowth *growth, char text[OUT_TEXT_SIZE])
{
    return growth->is_known ? out_bytes((uint64_t)growth->bytes_per_day, text) : "not measured yet";
}

static void status_print_room(Health *health, const KeepingOutlook *keeping)
{
    const RepositoryRoom *room = &health->room;
    const char *policy = keeping_outlook_text(keeping, &health->arena);
    char free[OUT_TEXT_SIZE], size[OUT_TEXT_SIZE], backups[OUT_TEXT_SIZE], wal[OUT_TEXT_SIZE];

    if (!room->is_known) {
        out_print("space      not known: %s\n", plain_copy(health, room->reason));
        return;
    }
    out_print("space      %s of %s free", out_bytes(room->place.free_bytes, free),
              out_bytes(room->place.size_bytes, size));
    if (room->full_in != TIME_US_NONE) {
        out_print("; full in %s%s", room->is_at_most ? "at most " : "",
                  out_duration(room->full_in, size));
    }
    out_print("\n           a day: backups %s, WAL %s\n", growth_text(&room->backups, backups),
              growth_text(&room->wal, wal));
    if (!health->has_policy)
        out_print("           no policy says what is kept: nothing is removed\n");
    if (policy != NULL)
        out_print("           the policy: %s\n", plain_copy(health, policy));
}

static void print_advice(Health *health, const HealthFinding *finding)
{
    if (*finding->next != '\0')
        out_print("    do: %s\n", plain_copy(health, finding->next));
}

/* The first one is the answer's first line. */
static void print_findings(Health *health)
{
    for (size_t i = 1; i < health->finding_count; i++) {
        const HealthFinding *finding = &health->findings[i];

        if (i == 1)
            out_print("\n");
        out_print("%s: %s\n", health_level_name(finding->level), plain_copy(health, finding->what));
        print_advice(health, finding);
    }
}

static void status_print_duties(Health *health)
{
    const char *label = "duties";

    for (int i = 0; i < DUTY_COUNT; i++) {
        if (health->duties[i].period == 0)
            continue;
        out_print("%-10s %s: %s\n", label, duty_text((Duty)i),
                  duty_in_words(&health->duties[i], health->now, &health->arena));
        label = "";
    }
}

static bool status_print_all(Health *health, const KeepingOutlook *keeping, Error *err)
{
    const Exposure *exposure = &health->exposure;
    char age[OUT_TEXT_SIZE];

    /* Monitoring shows the first line only. */
    out_print("%s: cluster \"%s\": ", health_level_name(health->level),
              plain_copy(health, health->name));
    if (health->finding_count > 0) {
        out_print("%s\n", plain_copy(health, health->findings[0].what));
        print_advice(health, &health->findings[0]);
    } else if (exposure->state == EXPOSURE_NONE) {
        out_print("every commit is in the repository\n");
    } else {
        out_print("the oldest commit that is not in the repository is %s%s old\n",
                  exposure->state == EXPOSURE_AT_MOST ? "at most " : "",
                  out_duration(exposure->age, age));
    }
    out_print("\n");
    print_exposure(health);
    print_archive(health);
    print_waiting(health);
    print_archiver(health);
    print_slots(health);
    status_print_backups(health);
    if (health->has_repository) {
        status_print_room(health, keeping);
        outlook_print(&health->outlook, health->rto);
        status_print_duties(health);
    }
    print_findings(health);
    return out_flush(err);
}

static void complete_advice(const Options *options, Health *health)
{
    for (size_t i = 0; i < health->finding_count; i++) {
        HealthFinding *finding = &health->findings[i];

        finding->next = hint_complete(options, finding->next, &health->arena);
    }
}

/* The exit status; see command_exit_status(). */
static bool status_verdict(const Health *health, Error *err)
{
    const char *what = health->finding_count > 0 ? health->findings[0].what : "";

    switch (health->level) {
    case HEALTH_OK:
        return true;
    case HEALTH_WARNING:
        return error_set(err, ERR_WARNING, "%s", what);
    case HEALTH_CRITICAL:
        return error_set(err, ERR_CRITICAL, "%s", what);
    case HEALTH_UNKNOWN:
        break;
    }
    return error_set(err, ERR_UNKNOWN, "%s", what);
}

/* A line of the answer, no more: that it can't be told is nobody's failure. */
static void status_foresee_keeping(const Health *health, const ExpireRequest *policy,
                                   KeepingOutlook *keeping)
{
    const SurveyRequest request = {
        .policy = policy->policy, .zone = policy->zone, .now = time_now()};
    Error problem = {0};

    if (health->has_repository &&
        !keeping_foresee(&health->cluster, &request, health->duties[DUTY_BACKUP].period, keeping,
                         &problem))
        log_warn("what the policy frees is not known", log_str("error", problem.message));
}

bool command_status(const Options *options, Error *err)
{
    CLEANUP(repo_done) Repo repo = {0};
    CLEANUP(health_done) Health health = {.name = options->cluster};
    Cluster cluster;
    Error no_cluster = {0};
    CLEANUP(keeping_outlook_done) KeepingOutlook outlook = {.is_known = false};
    ExpireRequest keeping;

    if (!retention_request_of(options, &keeping, err))
        return false;
    bool is_open = repository_open(options, REPOSITORY_ONCE, &repo, &cluster, &no_cluster);
    HealthRequest request = {
        .name = options->cluster,
        .cluster = is_open ? &cluster : NULL,
        .no_cluster = &no_cluster,
        .store = repository_setup(options, REPOSITORY_ONCE),
        .data = options->data,
        .conninfo = options->conninfo,
        .rpo = (TimeUs)options->rpo_ms * 1000,
        .backup_age = (TimeUs)options->backup_age_ms * 1000,
        .rto = (TimeUs)options->rto_ms * 1000,
    };

    duty_periods(options, request.duties);
    if (!health_look(&request, &health, err))
        return false;
    health.has_policy = retention_policy_is_set(&keeping.policy);
    health_judge(&health);
    complete_advice(options, &health);
    status_foresee_keeping(&health, &keeping, &outlook);
    return (options->json ? status_print_json(&health, &outlook, err)
                          : status_print_all(&health, &outlook, err)) &&
           status_verdict(&health, err);
}
