#include "health/health.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>

static const TimeUs SECOND = 1000000;

const char *health_level_name(HealthLevel level)
{
    switch (level) {
    case HEALTH_OK:
        return "OK";
    case HEALTH_WARNING:
        return "WARNING";
    case HEALTH_UNKNOWN:
        return "UNKNOWN";
    case HEALTH_CRITICAL:
        return "CRITICAL";
    }
    return "";
}

/*
 * By position, since clocks are set back. Positions of two histories are not an order in time: the
 * server's own comes first, else the later timeline's.
 */
static bool is_newer(const Health *health, const BackupInfo *one, const BackupInfo *other)
{
    bool is_ours = health->has_end && backup_is_on_path(one, &health->path);

    if (health->has_end && is_ours != backup_is_on_path(other, &health->path))
        return is_ours;
    if (one->header.timeline != other->header.timeline)
        return one->header.timeline > other->header.timeline;
    return one->header.stop > other->header.stop;
}

const BackupInfo *health_newest_backup(const Health *health, BackupState state)
{
    const BackupInfo *newest = NULL;

    for (size_t i = 0; i < health->backups.count; i++) {
        const BackupInfo *backup = &health->backups.items[i];

        if (backup->state == state && (newest == NULL || is_newer(health, backup, newest)))
            newest = backup;
    }
    return newest;
}

static const char *finding_text(Health *health, const char *format, ...) PRINTF_LIKE(2, 3);

static const char *finding_text(Health *health, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    CLEANUP(text_freep) char *text = text_format_list(format, args);
    va_end(args);
    return arena_text(&health->arena, text);
}

/* What was found, and what to do about it ("": nothing to say). Worst first, else in order. */
static void health_add(Health *health, HealthLevel level, const char *topic, const char *what,
                       const char *next)
{
    size_t at = health->finding_count;

    if (level > health->level)
        health->level = level;
    while (at > 0 && health->findings[at - 1].level < level)
        at--;
    /* Full: the last one is the mildest and goes. Slots are the only ones that can be so many. */
    if (health->finding_count == HEALTH_FINDINGS_MAX) {
        health->finding_count--;
        at = at > health->finding_count ? health->finding_count : at;
    }
    memmove(&health->findings[at + 1], &health->findings[at],
            (health->finding_count - at) * sizeof health->findings[0]);
    health->finding_count++;
    health->findings[at] =
        (HealthFinding){.level = level, .topic = topic, .what = what, .next = next};
}

/* A duration as findings say it. */
static const char *span_text(TimeUs time, char text[32])
{
    uint64_t seconds = (uint64_t)(time / SECOND);

    if (seconds < 120) {
        (void)snprintf(text, 32, "%" PRIu64 " s", seconds);
    } else if (seconds < 7200) {
        (void)snprintf(text, 32, "%" PRIu64 " min", seconds / 60);
    } else if (seconds < 172800) {
        (void)snprintf(text, 32, "%" PRIu64 " h", seconds / 3600);
    } else {
        (void)snprintf(text, 32, "%" PRIu64 " days", seconds / 86400);
    }
    return text;
}

static HealthLevel level_of_age(const Health *health)
{
    if (health->exposure.age >= health->rpo)
        return HEALTH_CRITICAL;
    return health->exposure.age >= health->rpo / 2 ? HEALTH_WARNING : HEALTH_OK;
}

static void judge_known(Health *health)
{
    const Exposure *exposure = &health->exposure;
    HealthLevel level = level_of_age(health);
    char age[32], objective[32];

    if (exposure->by_archiver && level != HEALTH_CRITICAL)
        return; /* what it says besides is not worse than that nothing is known */
    if (level == HEALTH_OK)
        return;
    health_add(
        health, level, "exposure",
        finding_text(health, "the oldest commit that is not %s is %s old: %s the objective of %s",
                     exposure->by_archiver ? "archived by the server's own account"
                                           : "in the repository",
                     span_text(exposure->age, age),
                     level == HEALTH_CRITICAL ? "beyond" : "more than half of",
                     span_text(health->rpo, objective)),
        "what was committed since is lost if this server's disks are; see below what holds it up, "
        "or select pg_switch_wal() if nothing does");
}

static void judge_exposure(Health *health)
{
    const Exposure *exposure = &health->exposure;
    char age[32];

    switch (exposure->state) {
    case EXPOSURE_NONE:
        if (exposure->by_archiver) {
            health_add(health, HEALTH_UNKNOWN, "exposure",
                       "exposure unknown: the repository can't be asked what it holds", "");
        }
        return;
    case EXPOSURE_KNOWN:
        judge_known(health);
        if (exposure->by_archiver) {
            health_add(
                health, HEALTH_UNKNOWN, "exposure",
                finding_text(health,
                             "exposure unknown: the repository can't be asked what it holds; the "
                             "oldest commit that the server has not marked as archived is %s old",
                             span_text(exposure->age, age)),
                "");
        }
        return;
    case EXPOSURE_AT_MOST:
        if (level_of_age(health) == HEALTH_OK)
            return; /* whatever it is, it is within bounds */
        health_add(health, HEALTH_UNKNOWN, "exposure",
                   finding_text(health, "exposure unknown, at most %s: %s",
                                span_text(exposure->age, age), exposure->reason),
                   "run this on the server's host with --data, or as a role that may call "
                   "pg_read_binary_file()");
        return;
    case EXPOSURE_EVERYTHING:
        health_add(health, HEALTH_CRITICAL, "exposure",
                   "nothing of this cluster's WAL is in the archive",
                   "let the server archive: archive_mode = on, archive_command = 'pgcairn "
                   "archive-push %p'; then `pgcairn backup`");
        return;
    case EXPOSURE_UNKNOWN:
        health_add(health, HEALTH_UNKNOWN, "exposure",
                   finding_text(health, "exposure unknown: %s", exposure->reason), "");
        return;
    }
}

static void judge_clock(Health *health)
{
    static const TimeUs tolerance = 10 * SECOND;
    const ServerLook *server = &health->server;
    TimeUs apart = server->clock_ahead < 0 ? -server->clock_ahead : server->clock_ahead;
    char text[32];

    if (health->exposure.is_from_future) {
        health_add(
            health, HEALTH_WARNING, "clock",
            finding_text(health,
                         "a commit that is not archived is %s in the future of the server's clock: "
                         "how old it is can't be told",
                         span_text(health->exposure.since - health->exposure.at, text)),
            "the server's clock was set back; select pg_switch_wal() gets the commit archived");
    }
    if (server->answers && apart > tolerance) {
        health_add(health, HEALTH_WARNING, "clock",
                   finding_text(health, "the server's clock is %s %s this host's",
                                span_text(apart, text),
                                server->clock_ahead > 0 ? "ahead of" : "behind"),
                   "set both right: targets of restores are times of the server's clock");
    }
}

/* All WAL since then has to be replayed, and all of it must be whole. */
static void judge_backup_age(Health *health, const BackupInfo *newest)
{
    TimeUs age = health->now - newest->header.stopped_at;
    char old[32], limit[32];

    if (health->backup_age == 0 || age <= health->backup_age)
        return;
    health_add(health, HEALTH_WARNING, "backup",
               finding_text(health,
                            "the newest backup that can be restored is %s old, more than %s: a "
                            "restore has to replay all WAL since then",
                            span_text(age, old), span_text(health->backup_age, limit)),
               "`pgcairn backup`; is its timer or cron entry still there? --backup-age says how "
               "old it may get");
}

static void judge_repository(Health *health)
{
    if (health->has_repository)
        return;
    health_add(
        health, HEALTH_UNKNOWN, "repository",
        finding_text(health, "the repository can't be read: %s", health->no_repository.message),
        arena_text(&health->arena, health->no_repository.hint));
}

static void judge_backup_state(Health *health, const BackupInfo *backup)
{
    if (backup->state == BACKUP_DAMAGED) {
        health_add(
            health, HEALTH_CRITICAL, "backup",
            finding_text(health, "backup %s is damaged: %s", backup->header.id, backup->reason),
            "`pgcairn verify` tells what else is; take a new backup; once it is mended, verify "
            "takes this back");
    } else if (backup->state == BACKUP_NEWER) {
        health_add(health, HEALTH_WARNING, "backup",
                   finding_text(health, "backup %s can't be judged: %s", backup->header.id,
                                backup->reason),
                   "use the pgcairn that took it, or a newer one");
    } else if (backup->suspect != NULL) {
        health_add(
            health, HEALTH_CRITICAL, "backup",
            finding_text(health, "backup %s is suspect: %s", backup->header.id, backup->suspect),
            "`pgcairn drill --list` has what was found; take a new backup, and try that; a "
            "drill from this one that passes takes it back");
    } else if (backup->state == BACKUP_WAITING) {
        health_add(health, HEALTH_WARNING, "backup",
                   finding_text(health, "backup %s can't be restored yet: %s", backup->header.id,
                                backup->reason),
                   "the server has to archive that WAL");
    }
}

static void judge_backups(Health *health)
{
    const BackupInfo *restorable = health_newest_backup(health, BACKUP_RESTORABLE);

    if (!health->has_repository)
        return;
    if (health->backups.count == 0) {
        health_add(health, HEALTH_CRITICAL, "backup", "there is no backup: nothing can be restored",
                   "`pgcairn backup`");
        return;
    }
    if (restorable == NULL) {
        health_add(health, HEALTH_CRITICAL, "backup",
                   finding_text(health, "no backup can be restored: %s: %s",
                                health->backups.items[0].header.id,
                                health->backups.items[0].reason),
                   "make archiving work, or take a new one: `pgcairn backup`");
        return;
    }
    judge_backup_age(health, restorable);
    if (health->has_end && health->end.base == NULL) {
        health_add(health, HEALTH_CRITICAL, "backup",
                   finding_text(health,
                                "no backup leads to this server's timeline %" PRIu32
                                ": it can't be restored to now",
                                health->server.timeline),
                   "`pgcairn backup`");
    }
    if (restorable->header.bad_pages > 0) {
        health_add(health, HEALTH_WARNING, "backup",
                   finding_text(health,
                                "backup %s holds %" PRIu64
                                " pages that were bad on the server's disk",
                                restorable->header.id, restorable->header.bad_pages),
                   "`pgcairn verify` says which; look at them on the server");
    }
    for (size_t i = 0; i < health->backups.count; i++)
        judge_backup_state(health, &health->backups.items[i]);
}

/* As it can be typed: it only shows what it would do. */
static const char *quarantine_command(Health *health, Lsn from)
{
    const uint32_t segment_size = health->cluster.wal_segment_size;
    const uint64_t segment = wal_segment_of(from, segment_size);
    char name[WAL_NAME_SIZE];

    wal_name_text(
        &(WalName){.kind = WAL_SEGMENT,
                   .timeline = health->path.count > 0
                                   ? path_timeline_of_segment(&health->path, segment, segment_size)
                                   : 1,
                   .segment = segment},
        segment_size, name);
    return arena_format(&health->arena, "`pgcairn wal-quarantine --from=%s`", name);
}

static const char *what_to_do_about_gap(Health *health, const ArchiveEnd *end)
{
    if (end->is_broken && strstr(end->reason, "does not go on") != NULL) {
        return arena_format(
            &health->arena,
            "another server's WAL may be there: %s shows what can be set aside; `pgcairn backup` "
            "opens a new window",
            quarantine_command(health, wal_segment_start(end->last_segment + 1,
                                                         health->cluster.wal_segment_size)));
    }
    return "look for it in pg_wal of the server and put it in with archive-push; else `pgcairn "
           "backup` opens a new window";
}

static void judge_histories(Health *health)
{
    const ArchiveEnd *end = &health->end;

    if (health->windows.unreadable != 0) {
        health_add(health, HEALTH_WARNING, "archive",
                   finding_text(health,
                                "WAL of timeline %" PRIu32
                                " is there, and its history is missing or damaged",
                                health->windows.unreadable),
                   "look for the history file in pg_wal of a server that was on it, put it in with "
                   "archive-push");
    }
    if (health->has_end && end->is_other_history) {
        health_add(health, HEALTH_CRITICAL, "archive",
                   finding_text(health,
                                "the archive has a history of timeline %" PRIu32
                                " that is not this server's: another server began that timeline, "
                                "and recovery follows it",
                                end->lost_history),
                   "stop the wrong one; if this is the right one, give it a repository of its own "
                   "and take a backup");
    } else if (health->has_end && end->lost_history != 0 && !end->is_empty) {
        health_add(health, HEALTH_WARNING, "archive",
                   finding_text(health,
                                "the history of timeline %" PRIu32
                                ", which the server is on, is not in the archive yet",
                                end->lost_history),
                   "the server archives it before all WAL of that timeline");
    }
}

/* A window that goes on elsewhere is whole; the one that ends in a hole has lost what follows. */
static void judge_windows(Health *health)
{
    const ArchiveEnd *end = &health->end;
    char lsn[LSN_TEXT_SIZE];

    if (!health->has_repository)
        return;
    if (health->has_end && (end->is_hole || end->is_broken)) {
        health_add(health, HEALTH_CRITICAL, "archive",
                   finding_text(health, "WAL is %s after %s%s%s: no restore gets past it",
                                end->is_hole ? "missing" : "damaged", lsn_text(end->durable, lsn),
                                end->is_broken ? ", " : "", end->is_broken ? end->reason : ""),
                   what_to_do_about_gap(health, end));
    }
    if (health->has_end && end->minimal_at != 0) {
        health_add(health, HEALTH_CRITICAL, "archive",
                   finding_text(health,
                                "from %s on WAL was written with wal_level=minimal, after the "
                                "newest backup: nothing that was committed since can be restored",
                                lsn_text(end->minimal_at, lsn)),
                   "`pgcairn backup`, now: it opens a new window (with wal_level = replica)");
    }
    for (size_t i = 0; i < health->windows.count; i++) {
        const RecoveryWindow *window = &health->windows.items[i];

        if ((!window->ends_in_hole && !window->ends_damaged) ||
            (health->has_end && window->until == end->durable && (end->is_hole || end->is_broken)))
            continue;
        health_add(
            health, HEALTH_WARNING, "archive",
            finding_text(health,
                         "WAL of timeline %" PRIu32
                         " is %s after %s: what came then, up to a later backup, can't be restored",
                         window->timeline, window->ends_in_hole ? "missing" : "damaged",
                         lsn_text(window->until, lsn)),
            "`pgcairn list` shows the windows that are left");
    }
    judge_histories(health);
}

/*
 * Where histories part, what a restore would follow must be what the server is on: else nothing of
 * what it commits is safe without a word of the operator's.
 */
static void judge_branches(Health *health)
{
    const BranchAnswer *answer = &health->branch_answer;
    const Branch *newest = branch_list_newest(&health->branches);
    char lsn[LSN_TEXT_SIZE];
    Lsn part;

    if (!health->has_repository || answer->reason == BRANCH_FITS)
        return;
    if (answer->reason == BRANCH_NOT_SERVERS) {
        part = paths_part(&health->path, &newest->path);
        health_add(
            health, HEALTH_CRITICAL, "archive",
            finding_text(health,
                         "a restore would not follow the server's timeline %" PRIu32
                         " but timeline %" PRIu32 ", the newest: they part at %s",
                         path_last_timeline(&health->path), newest->timeline, lsn_text(part, lsn)),
            arena_format(&health->arena,
                         "restore with --target-timeline=%" PRIu32 "; if timeline %" PRIu32
                         " is what a test or a copy left, stop its server, then `pgcairn "
                         "wal-quarantine --timeline=%" PRIu32 "` shows what can be set aside",
                         path_last_timeline(&health->path), newest->timeline, newest->timeline));
        return;
    }
    health_add(health, HEALTH_WARNING, "archive",
               finding_text(health,
                            "timeline %" PRIu32 " has %s than timeline %" PRIu32
                            ", the newest: they part at %s, and a restore asks which one is meant",
                            answer->other->timeline, branch_answer_text(answer), newest->timeline,
                            lsn_text(answer->other->gain.from, lsn)),
               "`pgcairn list` shows both; restore with --target-timeline of the one that counts, "
               "and stop whoever archives the other one");
}

static void judge_server(Health *health)
{
    const ServerLook *server = &health->server;
    char lsn[LSN_TEXT_SIZE];

    if (health->fork.is_found) {
        health_add(
            health, HEALTH_CRITICAL, "archive",
            finding_text(
                health,
                "from %s%s on the archive holds other WAL than this server under the same names",
                health->fork.is_older ? "before " : "", lsn_text(health->fork.lsn, lsn)),
            arena_format(
                &health->arena,
                "two servers archive here, or this data directory was set back: stop the wrong "
                "one; if this is the right one, take the other one's WAL out of the way: %s",
                quarantine_command(health, health->fork.lsn)));
    } else if (health->is_ahead) {
        health_add(health, HEALTH_CRITICAL, "archive",
                   finding_text(health,
                                "the archive holds WAL of timeline %" PRIu32
                                " that this server has not written",
                                server->timeline),
                   "a second server archives here, or this data directory was set back: stop the "
                   "wrong one's archiving");
    }
    if (!server->answers && health->exposure.state != EXPOSURE_UNKNOWN) {
        health_add(health, HEALTH_WARNING, "server",
                   finding_text(health, "the server does not answer: %s", server->no_answer), "");
    }
}

/*
 * The segment that the server archived last, as far as it knows. A backup's history file is
 * archived right after the segment that it is named after.
 */
static bool health_last_archived(const Health *health, WalName *name)
{
    Error ignored = {0}; /* none was archived */

    return health->server.answers && health->has_repository &&
           wal_name_parse(health->server.archiver.last_archived, health->cluster.wal_segment_size,
                          name, &ignored) &&
           (name->kind == WAL_SEGMENT || name->kind == WAL_BACKUP_HISTORY);
}

/* Archived as far as the server knows, and after the end of what the repository has. */
static bool is_believed_only(const Health *health)
{
    WalName name;

    return health_last_archived(health, &name) && health->has_end && !health->server.in_recovery &&
           !wal_inventory_has(&health->wal, name.timeline, name.segment) &&
           wal_segment_start(name.segment + 1, health->cluster.wal_segment_size) >
               health->end.durable;
}

bool archiver_is_failing(const ArchiverLook *archiver)
{
    return archiver->last_failed_at != TIME_US_NONE &&
           (archiver->last_archived_at == TIME_US_NONE ||
            archiver->last_failed_at > archiver->last_archived_at);
}

/* The server's statistics come later than its marks: what failed has gone well since. */
static bool nothing_waits(const ReadyPile *pile)
{
    return pile->is_known && pile->count == 0 && pile->others == 0;
}

static void judge_archiver(Health *health)
{
    const ServerLook *server = &health->server;
    char text[32];

    if (!server->answers)
        return;
    if (is_believed_only(health)) {
        health_add(
            health, HEALTH_CRITICAL, "archiver",
            finding_text(health,
                         "the server counts %s as archived, and the repository does not have it",
                         server->archiver.last_archived),
            "archive_command says success without storing here: use 'pgcairn archive-push %p', "
            "then pgcairn backup");
    }
    if (server->archive.is_on && archiver_is_failing(&server->archiver) &&
        !nothing_waits(&health->pile)) {
        health_add(health, HEALTH_WARNING, "archiver",
                   finding_text(health,
                                "archiving fails: %s, last tried %s ago, %" PRIu64
                                " failures in all",
                                server->archiver.last_failed,
                                span_text(server->now > server->archiver.last_failed_at
                                              ? server->now - server->archiver.last_failed_at
                                              : 0,
                                          text),
                                server->archiver.failed_count),
                   "the server's log has what pgcairn archive-push said");
    }
}

static void judge_space(Health *health)
{
    static const TimeUs soon = 3600 * SECOND;
    const ReadyPile *pile = &health->pile;
    char text[32];

    if (!pile->is_known || pile->full_in == TIME_US_NONE || pile->full_in > 24 * soon)
        return;
    health_add(health, pile->full_in <= soon ? HEALTH_CRITICAL : HEALTH_WARNING, "archiver",
               finding_text(health,
                            "pg_wal is full in %s if nothing is archived: the server stops then",
                            span_text(pile->full_in, text)),
               "make archiving work, or give pg_wal more room");
}

/* What is short, in words. */
static const char *room_text(Health *health)
{
    const RepositoryRoom *room = &health->room;
    char text[32];

    if (room->place.free_bytes == 0)
        return "the repository's file system is full";
    if (room_is_short_for_backup(room)) {
        return finding_text(health,
                            "the repository's file system has %" PRIu64
                            " MiB free, and the last backups stored up to %" PRIu64 " MiB",
                            room->place.free_bytes >> 20, room->next_bytes >> 20);
    }
    return finding_text(health, "the repository's file system is full in %s%s, by what was stored",
                        room->is_at_most ? "at most " : "", span_text(room->full_in, text));
}

static void judge_room(Health *health)
{
    if (!health->has_repository || room_verdict(&health->room) == ROOM_ENOUGH)
        return;
    health_add(health, room_verdict(&health->room) == ROOM_OUT ? HEALTH_CRITICAL : HEALTH_WARNING,
               "space", room_text(health),
               "grow the file system, or let a policy remove what is no longer needed: `pgcairn "
               "expire --dry-run` shows what that would free");
}

static bool server_receives(const ServerLook *server)
{
    for (size_t i = 0; i < server->slot_count; i++) {
        if (server->slots[i].is_ours && server->slots[i].is_active)
            return true;
    }
    return false;
}

static bool archive_is_ours(const ArchiveSettings *archive)
{
    if (*archive->library != '\0')
        return strstr(archive->library, "pgcairn") != NULL;
    return strstr(archive->command, "pgcairn") != NULL &&
           strstr(archive->command, "archive-push") != NULL;
}

static void judge_elsewhere(Health *health)
{
    const ServerLook *server = &health->server;

    if (*server->archives_to == '\0')
        return;
    health_add(
        health, HEALTH_WARNING, "settings",
        finding_text(health,
                     "the server's archive_command stores elsewhere: %s, and this is \"%s\" in %s",
                     server->archives_to, health->cluster.name,
                     storage_address(health->cluster.repo->storage)),
        "set --repo and --cluster in archive_command right, or ask status about that place; an "
        "archive that ends here takes a new backup when it goes on");
}

/* A command of another name that brings segments here is as good: a script around ours. */
static bool has_proven_itself(const Health *health)
{
    WalName name;

    return health_last_archived(health, &name) &&
           wal_inventory_has(&health->wal, name.timeline, name.segment);
}

static void judge_command(Health *health)
{
    const ArchiveSettings *archive = &health->server.archive;
    static const char next[] =
        "set archive_command = 'pgcairn archive-push %p' and reload the configuration";

    if (*archive->command == '\0' && *archive->library == '\0') {
        health_add(health, HEALTH_WARNING, "settings",
                   "archive_command is empty: WAL piles up in pg_wal", next);
    } else if (!archive_is_ours(archive) && !has_proven_itself(health)) {
        health_add(health, HEALTH_WARNING, "settings",
                   finding_text(
                       health,
                       "%s is not pgcairn's, and nothing that it archived is known to be here: %s",
                       *archive->library != '\0' ? "archive_library" : "archive_command",
                       *archive->library != '\0' ? archive->library : archive->command),
                   next);
    }
}

/* Without a time limit or a receiver a commit waits until its segment is full. */
static void judge_timeout(Health *health)
{
    const ArchiveSettings *archive = &health->server.archive;
    char timeout[32], objective[32];

    if (archive->timeout == 0) {
        health_add(
            health, HEALTH_WARNING, "settings",
            "archive_timeout is 0: a quiet server's commits wait until a segment is full",
            "set archive_timeout to a third of the objective or less, or run `pgcairn receive`");
    } else if (archive->timeout >= health->rpo) {
        /* What waits so long is archived a moment later. */
        health_add(
            health, HEALTH_WARNING, "settings",
            finding_text(
                health,
                "archive_timeout is %s, the objective %s: commits wait longer than is allowed",
                span_text(archive->timeout, timeout), span_text(health->rpo, objective)),
            "set archive_timeout to a third of the objective or less");
    }
}

static void judge_settings(Health *health)
{
    const ServerLook *server = &health->server;
    bool is_received = server_receives(server);

    if (server->answers && strcmp(server->archive.wal_level, "minimal") == 0) {
        health_add(health, HEALTH_CRITICAL, "settings",
                   "wal_level is minimal: what is committed now can't be restored, even if it is "
                   "archived later",
                   "set wal_level = replica and archive_mode = on, restart the server, then "
                   "`pgcairn backup`");
        return;
    }
    /* A standby archives only when it is told to; its primary does. */
    if (!server->answers || (server->in_recovery && !server->archive.is_on))
        return;
    if (!server->archive.is_on) {
        if (!is_received) {
            health_add(health, HEALTH_WARNING, "settings",
                       "the server does not archive its WAL: archive_mode is off",
                       "set archive_mode = on and archive_command = 'pgcairn archive-push %p', "
                       "restart the server");
        }
        return;
    }
    judge_command(health);
    judge_elsewhere(health);
    if (!is_received)
        judge_timeout(health);
}

static const char *lost_slot_advice(Health *health, const SlotLook *slot)
{
    const char *drop =
        arena_format(&health->arena, "SELECT pg_drop_replication_slot('%s')", slot->name);

    return slot->is_ours
               ? arena_format(&health->arena,
                              "drop it (%s) and start `pgcairn receive` again; take a backup, "
                              "unless archive_command has archived what was lost",
                              drop)
               : arena_format(&health->arena,
                              "whoever read from it has to be set up anew; drop the slot: %s",
                              drop);
}

static void judge_slots(Health *health)
{
    const ServerLook *server = &health->server;

    for (size_t i = 0; i < server->slot_count; i++) {
        const SlotLook *slot = &server->slots[i];

        if (strcmp(slot->wal_status, "lost") == 0) {
            health_add(
                health, HEALTH_WARNING, "slot",
                finding_text(health, "slot %s has lost WAL that it still needed", slot->name),
                lost_slot_advice(health, slot));
        } else if (slot->is_ours && !slot->is_active) {
            health_add(health, HEALTH_WARNING, "slot",
                       finding_text(health,
                                    "pgcairn receive is not connected: slot %s holds back %" PRIu64
                                    " MiB of WAL",
                                    slot->name, slot->held >> 20),
                       arena_format(&health->arena,
                                    "start `pgcairn receive`, or drop the slot if it is no longer "
                                    "wanted: SELECT pg_drop_replication_slot('%s')",
                                    slot->name));
        } else if (!slot->is_active && server->archive.max_wal_size != 0 &&
                   slot->held > server->archive.max_wal_size) {
            health_add(
                health, HEALTH_WARNING, "slot",
                finding_text(health,
                             "slot %s holds back %" PRIu64 " MiB of WAL and nobody reads from it",
                             slot->name, slot->held >> 20),
                arena_format(
                    &health->arena,
                    "connect its reader, or SELECT pg_drop_replication_slot('%s'): pg_wal fills",
                    slot->name));
        } else if (strcmp(slot->wal_status, "unreserved") == 0) {
            health_add(
                health, HEALTH_WARNING, "slot",
                finding_text(health, "slot %s is about to lose WAL: it is %" PRIu64 " MiB behind",
                             slot->name, slot->held >> 20),
                "its reader is too slow: raise max_slot_wal_keep_size, or see what holds it up");
        }
    }
}

static const char *duty_command(Duty duty)
{
    switch (duty) {
    case DUTY_BACKUP:
        return "`pgcairn backup`";
    case DUTY_VERIFY:
        return "`pgcairn verify`";
    case DUTY_RESTORE:
        return "`pgcairn drill --scratch=DIR`";
    case DUTY_DRILL:
        return "`pgcairn drill --scratch=DIR --target=random --read-all`";
    case DUTY_COUNT:
        break;
    }
    return "";
}

/* How old a backup may get is judged by --backup-age, which may be less strict. */
static void judge_duties(Health *health)
{
    char age[32], period[32];

    for (int i = 0; health->has_repository && i < DUTY_COUNT; i++) {
        const DutyState *duty = &health->duties[i];
        const char *done = "never done";

        if (!duty->is_overdue || i == DUTY_BACKUP)
            continue;
        if (duty->last != TIME_US_NONE) {
            done = finding_text(
                health, "done %s ago",
                span_text(health->now > duty->last ? health->now - duty->last : 0, age));
        }
        health_add(health, HEALTH_WARNING, "duty",
                   finding_text(health, "%s is overdue: it was %s, every %s it is due",
                                duty_text((Duty)i), done, span_text(duty->period, period)),
                   duty_command((Duty)i));
    }
}

/* What would bring it below the objective, from what was measured. */
static const char *remedy_advice(Health *health)
{
    const ForecastRemedy *remedy = &health->outlook.remedy;
    char every[32], faster[32];
    const char *often = "";
    const char *other = "";

    if (remedy->backup_every == 0) {
        often = "no backup is recent enough: files, start and checkpoint alone take longer";
    } else if (remedy->backup_every != TIME_US_NONE) {
        often = arena_format(&health->arena, "a backup every %s keeps it below",
                             span_text(remedy->backup_every, every));
    } else {
        often = "a newer backup leaves less WAL to replay: `pgcairn backup`";
    }
    if (remedy->faster != NULL) {
        other = arena_format(&health->arena, "; with --jobs=%u%s it was measured to take %s",
                             remedy->faster->kind.jobs,
                             remedy->faster->kind.is_delta ? " and --delta" : "",
                             span_text(remedy->faster_time, faster));
    }
    return arena_format(&health->arena, "%s%s", often, other);
}

static void judge_outlook(Health *health)
{
    const RestoreOutlook *outlook = &health->outlook;
    bool is_known = health->has_repository && outlook->has_window && outlook->worst.is_known;
    char time[32], objective[32];

    if (!is_known || !outlook->remedy.is_needed)
        return;
    health_add(health, HEALTH_WARNING, "rto",
               finding_text(health,
                            "a restore to the worst instant of the window takes %s%s, the "
                            "objective is %s",
                            outlook->worst.has_p90 ? "up to " : "",
                            span_text(forecast_time(&outlook->worst), time),
                            span_text(health->rto, objective)),
               remedy_advice(health));
}

void health_judge(Health *health)
{
    assert(health->finding_count == 0);
    health->level = HEALTH_OK;
    judge_exposure(health);
    judge_repository(health);
    judge_backups(health);
    judge_windows(health);
    judge_branches(health);
    judge_server(health);
    judge_archiver(health);
    judge_space(health);
    judge_room(health);
    judge_settings(health);
    judge_slots(health);
    judge_clock(health);
    judge_outlook(health);
    judge_duties(health);
}
