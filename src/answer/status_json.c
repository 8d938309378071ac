#include "answer/status_json.h"

#include "answer/duties_tell.h"
#include "answer/expire_tell.h"
#include "answer/forecast_tell.h"

#include "answer/branch_tell.h"

#include "cli/output.h"

/* docs/status.md names every field. */

static const double MICROSECONDS = 1e6;

static void put_seconds(Json *json, const char *key, bool is_known, TimeUs time)
{
    if (is_known) {
        json_double(json, key, (double)time / MICROSECONDS);
    } else {
        json_text(json, key, NULL);
    }
}

static void put_known_number(Json *json, const char *key, bool is_known, uint64_t value)
{
    if (is_known) {
        json_u64(json, key, value);
    } else {
        json_text(json, key, NULL);
    }
}

static const char *text_or_null(const char *text)
{
    return *text != '\0' ? text : NULL;
}

static void exposure_to_json(const Exposure *exposure, Json *json)
{
    bool is_commit = exposure->lsn != 0;

    json_begin_object(json, "exposure");
    json_text(json, "state", exposure_state_name(exposure->state));
    put_seconds(json, "age_s",
                exposure->state == EXPOSURE_NONE ||
                    (exposure->since != TIME_US_NONE && exposure->state != EXPOSURE_EVERYTHING),
                exposure->age);
    json_time(json, "since_time", exposure->since);
    json_time(json, "measured_time", exposure->at);
    json_text(json, "kind", is_commit ? promise_name(exposure->kind) : NULL);
    put_known_number(json, "xid", is_commit, exposure->xid);
    json_lsn(json, "lsn", exposure->lsn);
    json_text(json, "segment", text_or_null(exposure->segment));
    json_text(json, "by", exposure->by_archiver ? "archiver" : "repository");
    json_text(json, "reason", text_or_null(exposure->reason));
    json_end_object(json);
}

static void archive_to_json(const Health *health, Json *json)
{
    const ArchiveEnd *end = &health->end;
    char name[WAL_NAME_SIZE] = "";

    json_begin_object(json, "repository");
    json_bool(json, "answers", health->has_repository);
    json_text(json, "reason", health->has_repository ? NULL : health->no_repository.message);
    if (health->has_repository && health->has_end && !end->is_empty) {
        if (end->segments > 0) {
            wal_name_text(&(WalName){.kind = WAL_SEGMENT,
                                     .timeline = end->last_timeline,
                                     .segment = end->last_segment},
                          health->cluster.wal_segment_size, name);
        }
        json_text(json, "last_segment", text_or_null(name));
        json_bool(json, "has_pieces", end->is_open);
        json_lsn(json, "until_lsn", end->durable);
        json_lsn(json, "differs_from_lsn", health->fork.is_found ? health->fork.lsn : 0);
        json_bool(json, "is_other_history", end->is_other_history);
        json_time(json, "last_commit_time", end->last_commit);
        json_bool(json, "is_hole", end->is_hole);
        json_bool(json, "is_damaged", end->is_broken);
    }
    json_end_object(json);
}

static void server_to_json(const ServerLook *server, Json *json)
{
    json_begin_object(json, "server");
    json_bool(json, "answers", server->answers);
    json_text(json, "reason", text_or_null(server->no_answer));
    put_known_number(json, "timeline", server->is_known, server->timeline);
    if (server->answers) {
        json_bool(json, "in_recovery", server->in_recovery);
        json_time(json, "time", server->now);
        put_seconds(json, "clock_ahead_s", true, server->clock_ahead);
        json_lsn(json, "insert_lsn", server->insert);
        json_lsn(json, "flushed_lsn", server->flushed);
        json_text(json, "archive_mode", server->archive.mode);
        json_text(json, "archive_command", text_or_null(server->archive.command));
        json_text(json, "archive_library", text_or_null(server->archive.library));
        put_seconds(json, "archive_timeout_s", true, server->archive.timeout);
    }
    json_end_object(json);
}

static void archiver_to_json(const ServerLook *server, Json *json)
{
    const ArchiverLook *archiver = &server->archiver;

    if (!server->answers) {
        json_text(json, "archiver", NULL);
        return;
    }
    json_begin_object(json, "archiver");
    json_u64(json, "archived", archiver->archived_count);
    json_text(json, "last_archived", text_or_null(archiver->last_archived));
    json_time(json, "last_archived_time", archiver->last_archived_at);
    json_u64(json, "failed", archiver->failed_count);
    json_text(json, "last_failed", text_or_null(archiver->last_failed));
    json_time(json, "last_failed_time", archiver->last_failed_at);
    json_bool(json, "is_failing", archiver_is_failing(archiver));
    json_end_object(json);
}

static void pile_to_json(const ReadyPile *pile, Json *json)
{
    bool grows = pile->growth_bytes_per_s > 0;

    json_begin_object(json, "waiting");
    put_known_number(json, "segments", pile->is_known, pile->count);
    put_known_number(json, "others", pile->is_known, pile->others);
    put_known_number(json, "bytes", pile->is_known, pile->bytes);
    json_text(json, "oldest", text_or_null(pile->oldest));
    put_seconds(json, "oldest_s", pile->is_known && pile->count > 0, pile->measured);
    put_known_number(json, "growth_bytes_per_s", grows, (uint64_t)pile->growth_bytes_per_s);
    put_known_number(json, "free_bytes", pile->knows_free, pile->free_bytes);
    put_seconds(json, "full_in_s", pile->is_known && pile->full_in != TIME_US_NONE, pile->full_in);
    json_text(json, "reason", text_or_null(pile->reason));
    json_end_object(json);
}

static void slots_to_json(const ServerLook *server, Json *json)
{
    if (!server->knows_slots) {
        json_text(json, "slots", NULL);
        return;
    }
    json_begin_array(json, "slots");
    for (size_t i = 0; i < server->slot_count; i++) {
        const SlotLook *slot = &server->slots[i];

        json_begin_object(json, NULL);
        json_text(json, "name", slot->name);
        json_bool(json, "is_physical", slot->is_physical);
        json_bool(json, "is_active", slot->is_active);
        json_bool(json, "is_ours", slot->is_ours);
        json_text(json, "wal_status", text_or_null(slot->wal_status));
        json_lsn(json, "restart_lsn", slot->restart);
        json_u64(json, "held_bytes", slot->held);
        json_end_object(json);
    }
    json_end_array(json);
}

static void backups_to_json(const Health *health, Json *json)
{
    const BackupInfo *newest = health_newest_backup(health, BACKUP_RESTORABLE);
    const RecoveryWindow *window = health_window(health);

    put_known_number(json, "backups", health->has_repository, health->backups.count);
    if (newest == NULL) {
        json_text(json, "newest_backup", NULL);
    } else {
        TimeUs age = health->now - newest->header.stopped_at;

        json_begin_object(json, "newest_backup");
        json_text(json, "backup", newest->header.id);
        json_time(json, "stop_time", newest->header.stopped_at);
        put_seconds(json, "age_s", true, age > 0 ? age : 0);
        json_end_object(json);
    }
    branches_to_json(&health->branches, &health->branch_answer, json);
    put_known_number(json, "windows", health->has_repository, health->windows.count);
    if (window == NULL) {
        json_text(json, "window", NULL);
        return;
    }
    json_begin_object(json, "window");
    json_u64(json, "timeline", window->timeline);
    json_bool(json, "of_server", health_is_own_window(health, window));
    json_text(json, "backup", window->backup);
    json_time(json, "from_time", window->from_time);
    json_time(json, "until_time", window->until_time);
    json_time_exact(json, "from_time_exact", window->from_time);
    json_time_exact(json, "until_time_exact", window->until_time);
    json_lsn(json, "until_lsn", window->until);
    json_end_object(json);
}

static void growth_to_json(const RoomGrowth *growth, const char *key, Json *json)
{
    json_begin_object(json, key);
    put_known_number(json, "bytes_per_day", growth->is_known, (uint64_t)growth->bytes_per_day);
    put_seconds(json, "measured_s", growth->is_known, growth->measured);
    json_end_object(json);
}

static void room_to_json(const Health *health, const KeepingOutlook *keeping, Json *json)
{
    const RepositoryRoom *room = &health->room;

    if (!health->has_repository) {
        json_text(json, "space", NULL);
        return;
    }
    json_begin_object(json, "space");
    put_known_number(json, "free_bytes", room->is_known, room->place.free_bytes);
    put_known_number(json, "size_bytes", room->is_known, room->place.size_bytes);
    growth_to_json(&room->backups, "backups", json);
    growth_to_json(&room->wal, "wal", json);
    put_known_number(json, "next_backup_bytes", room->next_bytes > 0, room->next_bytes);
    put_seconds(json, "full_in_s", room->full_in != TIME_US_NONE, room->full_in);
    json_bool(json, "is_at_most", room->full_in != TIME_US_NONE && room->is_at_most);
    json_text(json, "reason", text_or_null(room->reason));
    json_bool(json, "has_policy", health->has_policy);
    keeping_outlook_to_json(keeping, json);
    json_end_object(json);
}

bool status_print_json(const Health *health, const KeepingOutlook *keeping, Error *err)
{
    CLEANUP(json_done) Json json = {0};

    json_begin_object(&json, NULL);
    json_text(&json, "cluster", health->name);
    json_text(&json, "status", health_level_name(health->level));
    json_time(&json, "time", health->now);
    put_seconds(&json, "rpo_s", true, health->rpo);
    put_seconds(&json, "rto_s", true, health->rto);
    exposure_to_json(&health->exposure, &json);
    archive_to_json(health, &json);
    server_to_json(&health->server, &json);
    archiver_to_json(&health->server, &json);
    pile_to_json(&health->pile, &json);
    slots_to_json(&health->server, &json);
    backups_to_json(health, &json);
    room_to_json(health, keeping, &json);
    outlook_to_json(&health->outlook, health->rto, &json);
    duties_to_json(health->duties, &json);
    json_begin_array(&json, "findings");
    for (size_t i = 0; i < health->finding_count; i++) {
        const HealthFinding *finding = &health->findings[i];

        json_begin_object(&json, NULL);
        json_text(&json, "level", health_level_name(finding->level));
        json_text(&json, "topic", finding->topic);
        json_text(&json, "what", finding->what);
        json_text(&json, "next", text_or_null(finding->next));
        json_end_object(&json);
    }
    json_end_array(&json);
    json_end_object(&json);
    return json_print(&json, err);
}
