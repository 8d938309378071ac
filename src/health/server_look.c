#include "look.h"

#include "server/presence.h"
#include "server/server.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "base/file.h"

TimeUs server_look_now(const ServerLook *server)
{
    return server->answers ? server->now + (time_monotonic() - server->asked_at) : time_now();
}

static const char *text_of(const char *value)
{
    return value != NULL ? value : "";
}

static uint64_t value_number(const char *value)
{
    return value != NULL ? strtoull(value, NULL, 10) : 0;
}

/* Microseconds since 1970. */
static TimeUs value_time(const char *value)
{
    return value != NULL ? (TimeUs)strtoll(value, NULL, 10) : TIME_US_NONE;
}

static bool value_is_true(const char *value)
{
    return value != NULL && strcmp(value, "t") == 0;
}

static bool value_lsn(const char *value, Lsn *lsn, Error *err)
{
    *lsn = 0;
    return value == NULL || lsn_parse(value, lsn, err);
}

/* One row: its columns, in the order of the query below. */
enum {
    NOW,
    INSERT_LSN,
    FLUSH_LSN,
    TIMELINE,
    IS_STREAMING,
    IS_HIDDEN,
    HEARD_AT,
    TOLD_LSN,
    ARCHIVE_MODE,
    ARCHIVE_COMMAND,
    ARCHIVE_LIBRARY,
    ARCHIVE_TIMEOUT,
    WAL_LEVEL,
    MAX_WAL_SIZE,
    ARCHIVED_COUNT,
    LAST_ARCHIVED,
    LAST_ARCHIVED_AT,
    FAILED_COUNT,
    LAST_FAILED,
    LAST_FAILED_AT,
    COLUMN_COUNT,
};

/*
 * Functions of a primary are errors on a standby and the other way round, hence the CASEs. On a
 * standby the timeline is the highest of those that its control file and its receiver know; what it
 * received lies in its pg_wal, what it fetched with restore_command does not.
 */
static const char state_query[] =
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,"
    " CASE WHEN r THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"
    "  ELSE pg_current_wal_insert_lsn() END,"
    " CASE WHEN r THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"
    "  ELSE pg_current_wal_flush_lsn() END,"
    " CASE WHEN r THEN greatest((SELECT timeline_id FROM pg_control_checkpoint()),"
    "  (SELECT min_recovery_end_timeline FROM pg_control_recovery()),"
    "  (SELECT received_tli FROM pg_stat_wal_receiver))"
    "  ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int END,"
    " (SELECT status = 'streaming' FROM pg_stat_wal_receiver),"
    " (SELECT status IS NULL FROM pg_stat_wal_receiver)," /* the row shows to everybody */
    " (SELECT (extract(epoch FROM last_msg_receipt_time) * 1000000)::bigint"
    "  FROM pg_stat_wal_receiver),"
    " (SELECT latest_end_lsn FROM pg_stat_wal_receiver),"
    " (SELECT setting FROM pg_settings WHERE name = 'archive_mode'),"
    " (SELECT nullif(setting, '(disabled)') FROM pg_settings WHERE name = 'archive_command'),"
    " (SELECT setting FROM pg_settings WHERE name = 'archive_library'),"
    " (SELECT setting FROM pg_settings WHERE name = 'archive_timeout'),"
    " (SELECT setting FROM pg_settings WHERE name = 'wal_level'),"
    " (SELECT setting::bigint * 1048576 FROM pg_settings WHERE name = 'max_wal_size'),"
    " archived_count, last_archived_wal,"
    " (extract(epoch FROM last_archived_time) * 1000000)::bigint,"
    " failed_count, last_failed_wal,"
    " (extract(epoch FROM last_failed_time) * 1000000)::bigint"
    " FROM pg_stat_archiver, (SELECT pg_is_in_recovery() AS r) AS what";

static void take_archive(ServerLook *server, const char *const *values)
{
    const char *mode = text_of(values[ARCHIVE_MODE]);

    server->archive = (ArchiveSettings){
        .is_on = strcmp(mode, "always") == 0 || (strcmp(mode, "on") == 0 && !server->in_recovery),
        .mode = mode,
        .command = text_of(values[ARCHIVE_COMMAND]),
        .library = text_of(values[ARCHIVE_LIBRARY]),
        .wal_level = text_of(values[WAL_LEVEL]),
        .timeout = (TimeUs)value_number(values[ARCHIVE_TIMEOUT]) * 1000000,
        .max_wal_size = value_number(values[MAX_WAL_SIZE]),
    };
    server->archiver = (ArchiverLook){
        .archived_count = value_number(values[ARCHIVED_COUNT]),
        .failed_count = value_number(values[FAILED_COUNT]),
        .last_archived = text_of(values[LAST_ARCHIVED]),
        .last_failed = text_of(values[LAST_FAILED]),
        .last_archived_at = value_time(values[LAST_ARCHIVED_AT]),
        .last_failed_at = value_time(values[LAST_FAILED_AT]),
    };
}

typedef struct SlotTaking {
    ServerLook *server;
    Arena *arena;
    size_t capacity;
} SlotTaking;

enum {
    SLOT_NAME,
    SLOT_IS_PHYSICAL,
    SLOT_IS_ACTIVE,
    SLOT_IS_READ_BY_US,
    SLOT_WAL_STATUS,
    SLOT_RESTART,
    SLOT_COLUMNS,
};

/* pgcairn receive calls itself and its slot so, unless it is told otherwise. */
static const char slots_query[] =
    "SELECT slot_name, slot_type = 'physical', active,"
    " (SELECT application_name LIKE 'pgcairn%' FROM pg_stat_replication WHERE pid = active_pid),"
    " wal_status, restart_lsn FROM pg_replication_slots ORDER BY 1";

static bool server_take_slot(void *context, const char *const *values, Error *err)
{
    SlotTaking *taking = context;
    ServerLook *server = taking->server;
    SlotLook slot = {
        .name = arena_text(taking->arena, text_of(values[SLOT_NAME])),
        .is_physical = value_is_true(values[SLOT_IS_PHYSICAL]),
        .is_active = value_is_true(values[SLOT_IS_ACTIVE]),
        .wal_status = arena_text(taking->arena, text_of(values[SLOT_WAL_STATUS])),
    };

    if (!value_lsn(values[SLOT_RESTART], &slot.restart, err))
        return false;
    slot.is_ours = slot.is_physical && (strncmp(slot.name, "pgcairn", 7) == 0 ||
                                        value_is_true(values[SLOT_IS_READ_BY_US]));
    if (slot.restart != 0 && slot.restart < server->insert)
        slot.held = server->insert - slot.restart;
    if (server->slot_count == taking->capacity) {
        size_t capacity = taking->capacity * 2 + 8;
        SlotLook *slots = arena_alloc(taking->arena, capacity * sizeof *slots);

        if (server->slot_count > 0)
            memcpy(slots, server->slots, server->slot_count * sizeof *slots);
        server->slots = slots;
        taking->capacity = capacity;
    }
    server->slots[server->slot_count++] = slot;
    return true;
}

static bool ask_slots(Session *session, Arena *arena, ServerLook *server, Error *err)
{
    SlotTaking taking = {.server = server, .arena = arena};
    Error attempt = {0};

    server->slot_count = 0;
    server->knows_slots =
        session_rows(session, slots_query, SLOT_COLUMNS, server_take_slot, &taking, &attempt);
    if (!server->knows_slots && is_final(&attempt))
        return error_pass(err, &attempt);
    return true;
}

bool server_look_again(Session *session, Arena *arena, ServerLook *server, Error *err)
{
    const char *values[COLUMN_COUNT] = {0};
    bool found;

    if (!session_row(session, state_query, arena, values, COLUMN_COUNT, &found, err))
        return error_context(err, "ask the server for its state");
    if (!found || values[NOW] == NULL || values[TIMELINE] == NULL)
        return error_set(err, ERR_POSTGRES, "the server does not tell its state");
    server->now = value_time(values[NOW]);
    server->asked_at = time_monotonic();
    server->clock_ahead = server->now - time_now();
    server->timeline = (uint32_t)value_number(values[TIMELINE]);
    server->is_streaming = value_is_true(values[IS_STREAMING]);
    server->is_hidden = value_is_true(values[IS_HIDDEN]);
    server->heard_at = value_time(values[HEARD_AT]);
    if (!value_lsn(values[INSERT_LSN], &server->insert, err) ||
        !value_lsn(values[TOLD_LSN], &server->told, err) ||
        !value_lsn(values[FLUSH_LSN], &server->flushed, err))
        return false;
    take_archive(server, values);
    return ask_slots(session, arena, server, err);
}

/* The server was started when the lock file says so, on the port that it says. */
static bool is_of_directory(Session *session, const ServerLock *lock, bool *is, Error *err)
{
    static const int64_t seconds_apart_max = 30; /* the file is written before memory is set up */
    CLEANUP(arena_done) Arena arena = {0};
    const char *values[2] = {0};
    bool found;

    if (!session_row(session,
                     "SELECT extract(epoch FROM pg_postmaster_start_time())::bigint,"
                     " current_setting('port')",
                     &arena, values, ARRAY_SIZE(values), &found, err))
        return false;
    int64_t apart =
        found && values[0] != NULL ? strtoll(values[0], NULL, 10) - lock->started_at / 1000000 : 99;
    *is = apart <= seconds_apart_max && apart >= -seconds_apart_max &&
          value_number(values[1]) == lock->port;
    return true;
}

static bool can_list(const char *data, Arena *arena, const char **why)
{
    CLEANUP(text_freep) char *path = text_format("%s/pg_wal", data);
    CLEANUP(directory_done) DIR *directory = opendir(path);

    if (directory == NULL)
        *why = arena_format(arena, "%s can't be read: %s", path, strerror(errno));
    return directory != NULL;
}

/* What the directory says by itself. False: it can't be used, server->no_data says why. */
static bool server_look_at_data(const char *data, Arena *arena, ServerLook *server,
                                ServerLock *lock)
{
    Error attempt = {0};
    bool has_lock = false;

    if (!pg_control_read(data, &server->control, NULL, &attempt) ||
        !server_lock_read(data, arena, lock, &has_lock, &attempt)) {
        server->no_data = arena_format(arena, "%s: %s", data, attempt.message);
        return false;
    }
    if (!can_list(data, arena, &server->no_data))
        return false;
    server->is_running = has_lock && presence_answers(data, lock);
    server->data = data;
    return true;
}

static void identify_by_control(ServerLook *server)
{
    const PgControl *control = &server->control;

    server->is_known = true;
    server->system_identifier = control->system_identifier;
    server->major = control->version->major;
    server->wal_segment_size = control->wal_segment_size;
    /* After a promotion the timeline is that of the end of recovery until the next checkpoint. */
    server->timeline = control->min_recovery_timeline > control->timeline
                           ? control->min_recovery_timeline
                           : control->timeline;
    server->in_recovery =
        control->state == PG_IN_ARCHIVE_RECOVERY || control->state == PG_SHUT_DOWN_IN_RECOVERY;
}

static bool identify_by_sql(Session *session, Arena *arena, ServerLook *server,
                            const char **directory, Error *err)
{
    ServerIdentity identity;

    if (!session_identify(session, arena, &identity, err))
        return false;
    server->is_known = true;
    server->system_identifier = identity.system_identifier;
    server->major = identity.major;
    server->wal_segment_size = identity.wal_segment_size;
    server->in_recovery = identity.in_recovery;
    *directory = *identity.data_directory != '\0' ? identity.data_directory : NULL;
    return server_look_again(session, arena, server, err);
}

static Session *server_open_session(const HealthRequest *request, const ServerLook *server,
                                    const ServerLock *lock, Error *err)
{
    CLEANUP(buffer_done) Buffer own = {0};
    const char *conninfo = request->conninfo;

    if (conninfo == NULL && request->data == NULL) {
        error_set(err, ERR_UNREACHABLE, "neither --data nor --conninfo says where the server is");
        return NULL;
    }
    if (conninfo == NULL && server->data == NULL) {
        error_set(err, ERR_UNREACHABLE, "%s", server->no_data);
        return NULL;
    }
    if (conninfo == NULL && !server->is_running && !presence_check_none(request->data, err))
        return NULL;
    if (conninfo == NULL && !server->is_running) {
        error_set(err, ERR_UNREACHABLE, "no server runs on %s", request->data);
        return NULL;
    }
    server_conninfo(server->is_running ? lock : NULL, conninfo, NULL, &own);
    if (conninfo == NULL)
        buffer_print(&own, "connect_timeout=5");
    return session_open((const char *)own.data, err);
}

/* The directory that the server names may be here, or a directory of that name of another one. */
static bool adopt_directory(Session *session, const char *directory, Arena *arena,
                            ServerLook *server, Error *err)
{
    ServerLook look = *server;
    ServerLock lock;
    bool is_that = false;

    if (directory == NULL || !server_look_at_data(directory, arena, &look, &lock)) {
        server->no_data = directory == NULL
                              ? "the server does not tell this role where its data directory is"
                              : look.no_data;
        return true;
    }
    if (look.is_running && look.control.system_identifier == server->system_identifier &&
        !is_of_directory(session, &lock, &is_that, err))
        return false;
    if (is_that) {
        *server = look;
    } else {
        server->no_data = arena_format(arena, "%s on this host is another server's", directory);
    }
    return true;
}

static bool check_same(Session *session, const HealthRequest *request, const ServerLook *server,
                       const ServerLock *lock, Error *err)
{
    bool is_that = server->control.system_identifier == server->system_identifier;

    if (is_that && !server->is_running)
        return error_set(err, ERR_REFUSED, "a server answers, but none runs on %s", request->data);
    if (is_that && !is_of_directory(session, lock, &is_that, err))
        return false;
    if (is_that)
        return true;
    error_set(err, ERR_REFUSED, "the connection leads to another server than the one of %s",
              request->data);
    return error_hint(err, "check --data and --conninfo");
}

static bool server_ask(const HealthRequest *request, Arena *arena, ServerLook *server,
                       const ServerLock *lock, Session **session, Error *err)
{
    CLEANUP(session_freep) Session *opened = server_open_session(request, server, lock, err);
    const char *directory;

    if (opened == NULL || !identify_by_sql(opened, arena, server, &directory, err))
        return false;
    if (server->data != NULL ? !check_same(opened, request, server, lock, err)
                             : !adopt_directory(opened, directory, arena, server, err))
        return false;
    server->answers = true;
    *session = TAKE(opened);
    return true;
}

bool server_look(const HealthRequest *request, Arena *arena, ServerLook *server, Session **session,
                 Error *err)
{
    ServerLock lock = {0};
    Error attempt = {0};

    *session = NULL;
    *server = (ServerLook){.no_data = "", .no_answer = "", .archives_to = ""};
    if (request->data == NULL) {
        server->no_data = "no --data was given";
    } else if (server_look_at_data(request->data, arena, server, &lock)) {
        identify_by_control(server);
    }
    if (server_ask(request, arena, server, &lock, session, &attempt))
        return true;
    if (is_final(&attempt) || attempt.code == ERR_REFUSED || attempt.code == ERR_USAGE)
        return error_pass(err, &attempt);
    server->answers = false;
    server->no_answer = arena_text(arena, attempt.message);
    return true;
}

bool look_ask_again(Look *look, Error *err)
{
    ServerLook *server = &look->health->server;
    Error attempt = {0};

    if (look->session == NULL || server_look_again(look->session, look->arena, server, &attempt))
        return true;
    if (is_final(&attempt))
        return error_pass(err, &attempt);
    session_freep(&look->session);
    look->files.session = NULL;
    server->answers = false;
    server->no_answer = arena_text(look->arena, attempt.message);
    return true;
}
