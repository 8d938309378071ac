#include "drill/safe_copy.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/held.h"
#include "postgres/settings.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SETTINGS_MAX = 128,
    BUFFERS_PART = 8, /* Buffers get the memory divided by this. */
};

#define BUFFERS_MAX (UINT64_C(128) << 20)
#define BUFFERS_MIN (UINT64_C(1) << 20)

/*
 * Each line is one way in which a copy could do harm, or a drill pass that should not. Since: the
 * major that knows it; until: the last one (0: all).
 */
static const struct {
    const char *setting;
    unsigned since, until;
} fixed_settings[] = {
    /* nobody else comes in */
    {"listen_addresses=", 13, 0},
    {"unix_socket_permissions=0700", 13, 0},
    {"unix_socket_group=", 13, 0},
    {"bonjour=off", 13, 0},
    {"ssl=off", 13, 0},
    /* nothing goes out: archive, primary, publishers */
    {"archive_mode=off", 13, 0},
    {"archive_command=", 13, 0},
    {"archive_library=", 15, 0},
    {"primary_conninfo=", 13, 0},
    {"primary_slot_name=", 13, 0},
    {"max_logical_replication_workers=0", 13, 0},
    {"sync_replication_slots=off", 17, 0},
    /* nobody's commits are waited for */
    {"synchronous_standby_names=", 13, 0},
    {"recovery_min_apply_delay=0", 13, 0},
    /* no program and no library of the original's runs */
    {"session_preload_libraries=", 13, 0},
    {"local_preload_libraries=", 13, 0},
    {"recovery_end_command=", 13, 0},
    {"archive_cleanup_command=", 13, 0},
    {"ssl_passphrase_command=", 13, 0},
    {"event_triggers=off", 17, 0},
    {"jit=off", 13, 0},
    {"cron.launch_active_jobs=off", 13, 0}, /* of pg_cron, should --preload name it */
    /* files of the original's are left alone (external_pid_file has no empty value that means none:
       nothing sets it, as no file of the original's is read) */
    {"temp_tablespaces=", 13, 0},
    {"logging_collector=off", 13, 0},
    {"log_destination=stderr", 13, 0},
    /* nothing personal gets into the log, which is kept */
    {"log_statement=none", 13, 0},
    {"log_min_duration_statement=-1", 13, 0},
    {"log_min_error_statement=panic", 13, 0},
    {"log_parameter_max_length_on_error=0", 13, 0},
    {"log_line_prefix=%m [%p] ", 13, 0},
    {"lc_messages=C", 13, 0},
    /* damage is not passed over */
    {"ignore_checksum_failure=off", 13, 0},
    {"zero_damaged_pages=off", 13, 0},
    {"ignore_invalid_pages=off", 13, 0},
    {"ignore_system_indexes=off", 13, 0},
    {"allow_system_table_mods=off", 13, 0},
    {"restart_after_crash=off", 13, 0},
    /* a small host, a container */
    {"dynamic_shared_memory_type=mmap", 13, 0},
    {"huge_pages=off", 13, 0},
    {"io_method=sync", 18, 0},
    {"autovacuum=off", 13, 0},
    {"hot_standby=on", 13, 0},
    {"cluster_name=pgcairn drill", 13, 0},
};

typedef struct SafeSettings {
    const char **items;
    size_t count;
    Arena *arena;
} SafeSettings;

static void safe_put(SafeSettings *settings, const char *name, const char *value)
{
    settings->items[settings->count++] = arena_format(settings->arena, "%s=%s", name, value);
}

static void safe_put_number(SafeSettings *settings, const char *name, uint64_t number)
{
    settings->items[settings->count++] =
        arena_format(settings->arena, "%s=%llu", name, (unsigned long long)number);
}

static void put_places(SafeSettings *settings, const SafeCopy *copy)
{
    Arena *arena = settings->arena;

    safe_put(settings, "config_file", arena_format(arena, "%s/postgresql.conf", copy->conf));
    safe_put(settings, "hba_file", arena_format(arena, "%s/pg_hba.conf", copy->conf));
    safe_put(settings, "ident_file", arena_format(arena, "%s/pg_ident.conf", copy->conf));
    safe_put(settings, "data_directory", copy->data);
    safe_put(settings, "unix_socket_directories", arena_format(arena, "\"%s\"", copy->socket));
    safe_put_number(settings, "port", SAFE_PORT);
    safe_put(settings, "shared_preload_libraries", copy->preload);
    if (copy->library_path != NULL)
        safe_put(settings, "dynamic_library_path", copy->library_path);
}

/* At least what they are when nobody sets them, so that a small original gives no smaller copy. */
static void put_minima(SafeSettings *settings, const SafeCopy *copy)
{
    const struct {
        const char *name;
        uint32_t usual, needed;
    } minima[] = {
        {"max_connections", 100, copy->minima.max_connections},
        {"max_worker_processes", 8, copy->minima.max_worker_processes},
        {"max_wal_senders", 10, copy->minima.max_wal_senders},
        {"max_prepared_transactions", 0, copy->minima.max_prepared_xacts},
        {"max_locks_per_transaction", 64, copy->minima.max_locks_per_xact},
    };

    for (size_t i = 0; i < ARRAY_SIZE(minima); i++) {
        safe_put_number(settings, minima[i].name,
                        minima[i].needed > minima[i].usual ? minima[i].needed : minima[i].usual);
    }
}

static void put_memory(SafeSettings *settings, uint64_t memory)
{
    uint64_t buffers = memory == 0 ? BUFFERS_MAX : memory / BUFFERS_PART;

    if (buffers > BUFFERS_MAX)
        buffers = BUFFERS_MAX;
    if (buffers < BUFFERS_MIN)
        buffers = BUFFERS_MIN;
    settings->items[settings->count++] =
        arena_format(settings->arena, "shared_buffers=%llukB", (unsigned long long)(buffers >> 10));
}

const char *const *safe_copy_settings(const SafeCopy *copy, Arena *arena)
{
    size_t raised = 0;

    while (copy->raised != NULL && copy->raised[raised] != NULL)
        raised++;
    SafeSettings settings = {.arena = arena,
                             .items = arena_alloc(arena, (SETTINGS_MAX + raised) * sizeof(char *))};
    for (size_t i = 0; i < ARRAY_SIZE(fixed_settings); i++) {
        if (copy->major >= fixed_settings[i].since &&
            (fixed_settings[i].until == 0 || copy->major <= fixed_settings[i].until))
            settings.items[settings.count++] = fixed_settings[i].setting;
    }
    put_places(&settings, copy);
    put_minima(&settings, copy);
    put_memory(&settings, copy->memory);
    for (size_t i = 0; i < raised; i++)
        settings.items[settings.count++] = copy->raised[i];
    return (const char *const *)settings.items;
}

static bool conf_write_file(const HeldDirectory *conf, const char *name, const char *text,
                            Error *err)
{
    CLEANUP(file_writer_done) FileWriter file = FILE_WRITER_CLOSED;

    return held_writer_open(&file, held_at(conf, name), 0600, err) &&
           file_writer_write(&file, text, strlen(text), err) && file_writer_replace(&file, err);
}

bool safe_copy_write_files(const char *conf, Error *err)
{
    CLEANUP(held_done) HeldDirectory held = HELD_NONE;

    /* The directory of the socket lets nobody in but the user that all of this runs as. */
    return held_open(&held, conf, err) &&
           conf_write_file(&held, "postgresql.conf", "# of a drill: all is said with -c\n", err) &&
           conf_write_file(&held, "pg_hba.conf", "local all all trust\n", err) &&
           conf_write_file(&held, "pg_ident.conf", "", err);
}

static bool is_of_recovery(const char *name)
{
    for (const char *const *known = recovery_parameters; *known != NULL; known++) {
        if (strcmp(name, *known) == 0)
            return true;
    }
    return false;
}

/* recovery_parameters has what an earlier recovery may have left, too; the last line counts. */
static void keep_settings(const SettingList *list, Arena *arena, Buffer *text, const char **dropped)
{
    CLEANUP(buffer_done) Buffer names = {0};

    buffer_print(&names, "%s", "");
    for (size_t i = 0; i < list->count; i++) {
        const Setting *setting = &list->items[i];

        if (is_of_recovery(setting->name)) {
            buffer_print(text, "%s = ", setting->spelling);
            settings_quote(setting->value, text);
            buffer_print(text, "\n");
        } else {
            buffer_print(&names, "%s%s", names.size > 0 ? ", " : "", setting->name);
        }
    }
    *dropped = arena_text_part(arena, (const char *)names.data, names.size);
}

bool safe_copy_strip_auto_conf(const char *data, Arena *arena, const char **dropped, Error *err)
{
    CLEANUP(held_done) HeldDirectory held = HELD_NONE;
    CLEANUP(settings_done) SettingList list = {0};
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(text_freep) char *path = text_format("%s/postgresql.auto.conf", data);

    if (!held_open(&held, data, err) || !settings_read(path, &list, err))
        return false;
    buffer_print(&text, "%s", "");
    keep_settings(&list, arena, &text, dropped);
    return conf_write_file(&held, "postgresql.auto.conf", (const char *)text.data, err);
}

/*
 * Settings of a role or a database come after the command line and before what a client asks for
 * (guc.h, GucSource), so each that could do harm is asked for. What ends a question that takes long
 * session_open() sets to 0 itself; it comes too late for a role's own 1 ms.
 */
static const struct {
    const char *setting;
    unsigned since;
} session_settings[] = {
    {"session_preload_libraries=", 13},
    {"local_preload_libraries=", 13},
    {"role=none", 13},
    /* no trigger runs, but those that are enabled always: before 17 that is how those of events
       are kept still when we install what a probe needs */
    {"session_replication_role=replica", 13},
    {"event_triggers=off", 17},
    {"jit=off", 13},
    {"temp_tablespaces=", 13},
    {"default_tablespace=", 13},
    {"default_transaction_deferrable=off", 13},
    {"synchronous_commit=local", 13},
    /* no question is ended */
    {"statement_timeout=0", 13},
    {"lock_timeout=0", 13},
    {"idle_in_transaction_session_timeout=0", 13},
    {"idle_session_timeout=0", 14},
    {"transaction_timeout=0", 17},
    /* damage is not passed over */
    {"ignore_checksum_failure=off", 13},
    {"zero_damaged_pages=off", 13},
    {"ignore_system_indexes=off", 13},
    {"allow_system_table_mods=off", 13},
    /* nothing personal gets into the log */
    {"log_statement=none", 13},
    {"log_duration=off", 13},
    {"log_min_duration_statement=-1", 13},
    {"log_min_duration_sample=-1", 13},
    {"log_transaction_sample_rate=0", 13},
    {"log_min_error_statement=panic", 13},
    {"log_parameter_max_length_on_error=0", 13},
    {"debug_print_parse=off", 13},
    {"debug_print_rewritten=off", 13},
    {"debug_print_plan=off", 13},
};

static void print_word(Buffer *text, const char *keyword, const char *value)
{
    buffer_print(text, "%s='", keyword);
    for (const char *c = value; *c != '\0'; c++)
        buffer_print(text, *c == '\'' || *c == '\\' ? "\\%c" : "%c", *c);
    buffer_print(text, "' ");
}

const char *safe_session(const SafeSession *session, Arena *arena)
{
    CLEANUP(buffer_done) Buffer text = {0};

    print_word(&text, "host", session->socket);
    print_word(&text, "user", session->role);
    print_word(&text, "dbname", session->database);
    buffer_print(&text, "port=%d sslmode=disable gssencmode=disable options='", (int)SAFE_PORT);
    for (size_t i = 0; i < ARRAY_SIZE(session_settings); i++) {
        if (session->major >= session_settings[i].since)
            buffer_print(&text, "-c %s ", session_settings[i].setting);
    }
    buffer_print(&text, "-c default_transaction_read_only=%s'",
                 session->is_read_only ? "on" : "off");
    return arena_text_part(arena, (const char *)text.data, text.size);
}
