#include "drill/safe_copy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static bool has(const char *const *settings, const char *wanted)
{
    for (; *settings != NULL; settings++) {
        if (strcmp(*settings, wanted) == 0)
            return true;
    }
    return false;
}

static bool names(const char *const *settings, const char *name)
{
    for (; *settings != NULL; settings++) {
        if (strncmp(*settings, name, strlen(name)) == 0 && (*settings)[strlen(name)] == '=')
            return true;
    }
    return false;
}

static SafeCopy copy_of(unsigned major)
{
    return (SafeCopy){.major = major,
                      .data = "/s/data",
                      .socket = "/s/socket",
                      .conf = "/s/conf",
                      .preload = "",
                      .minima = {.max_connections = 250, .max_worker_processes = 2}};
}

/* What could reach others, or run something of the original's: each by its name. */
static void nothing_gets_out_or_in(void **state)
{
    static const char *const wanted[] = {
        "listen_addresses=",
        "archive_mode=off",
        "archive_command=",
        "primary_conninfo=",
        "primary_slot_name=",
        "max_logical_replication_workers=0",
        "synchronous_standby_names=",
        "shared_preload_libraries=",
        "session_preload_libraries=",
        "local_preload_libraries=",
        "recovery_end_command=",
        "archive_cleanup_command=",
        "ssl=off",
        "unix_socket_directories=\"/s/socket\"",
        "unix_socket_permissions=0700",
        "config_file=/s/conf/postgresql.conf",
        "hba_file=/s/conf/pg_hba.conf",
        "ident_file=/s/conf/pg_ident.conf",
        "data_directory=/s/data",
        "zero_damaged_pages=off",
        "ignore_checksum_failure=off",
        "ignore_invalid_pages=off",
        "logging_collector=off",
        "log_statement=none",
        "dynamic_shared_memory_type=mmap",
    };

    (void)state;
    for (unsigned major = 13; major <= 18; major++) {
        CLEANUP(arena_done) Arena arena = {0};
        const SafeCopy copy = copy_of(major);
        const char *const *settings = safe_copy_settings(&copy, &arena);

        for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
            assert_true(has(settings, wanted[i]));
    }
}

static void each_version_gets_what_it_knows(void **state)
{
    static const struct {
        const char *name;
        unsigned since;
    } settings_since[] = {{"archive_library", 15},
                          {"event_triggers", 17},
                          {"sync_replication_slots", 17},
                          {"io_method", 18}};

    (void)state;
    for (unsigned major = 13; major <= 18; major++) {
        CLEANUP(arena_done) Arena arena = {0};
        const SafeCopy copy = copy_of(major);
        const char *const *settings = safe_copy_settings(&copy, &arena);

        for (size_t i = 0; i < ARRAY_SIZE(settings_since); i++) {
            assert_int_equal(names(settings, settings_since[i].name),
                             major >= settings_since[i].since);
        }
    }
}

static void a_small_host_gets_a_small_server_that_can_replay(void **state)
{
    static const char *const raised[] = {"allow_in_place_tablespaces=on", NULL};
    CLEANUP(arena_done) Arena arena = {0};
    SafeCopy copy = copy_of(15);
    copy.memory = UINT64_C(256) << 20;
    copy.raised = raised;

    const char *const *settings = safe_copy_settings(&copy, &arena);

    (void)state;
    assert_true(has(settings, "shared_buffers=32768kB"));
    assert_true(has(settings, "max_connections=250"));
    assert_true(has(settings, "max_worker_processes=8"));
    assert_true(has(settings, "allow_in_place_tablespaces=on"));
    assert_false(names(settings, "dynamic_library_path"));
    copy.library_path = "/opt/lib:$libdir";
    assert_true(has(safe_copy_settings(&copy, &arena), "dynamic_library_path=/opt/lib:$libdir"));
    copy.memory = UINT64_C(64) << 30;
    assert_true(has(safe_copy_settings(&copy, &arena), "shared_buffers=131072kB"));
}

/* Settings of a role or a database come after the command line, and before the client's. */
static void a_session_loads_nothing_and_writes_nothing(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};

    const SafeSession session = {.socket = "/s/it's",
                                 .role = "O'Neil\\",
                                 .database = "shop",
                                 .major = 15,
                                 .is_read_only = true};
    const char *conninfo = safe_session(&session, &arena);

    (void)state;
    assert_non_null(strstr(conninfo, "host='/s/it\\'s' user='O\\'Neil\\\\' dbname='shop'"));
    assert_non_null(strstr(conninfo, "-c default_transaction_read_only=on"));
    SafeSession writer = session;
    writer.is_read_only = false;
    assert_non_null(strstr(safe_session(&writer, &arena), "read_only=off"));
}

/* What `ALTER ROLE ... SET` could do to it: each by its name, in the versions that know it. */
static void a_roles_own_settings_count_for_nothing(void **state)
{
    static const struct {
        const char *setting;
        unsigned since;
    } wanted[] = {
        {"session_preload_libraries= ", 13},
        {"local_preload_libraries= ", 13},
        {"statement_timeout=0 ", 13},
        {"lock_timeout=0 ", 13},
        {"idle_session_timeout=0 ", 14},
        {"transaction_timeout=0 ", 17},
        {"zero_damaged_pages=off ", 13},
        {"ignore_checksum_failure=off ", 13},
        {"ignore_system_indexes=off ", 13},
        {"log_statement=none ", 13},
        {"log_min_error_statement=panic ", 13},
        {"event_triggers=off ", 17},
        {"role=none ", 13},
    };

    (void)state;
    for (unsigned major = 13; major <= 18; major++) {
        CLEANUP(arena_done) Arena arena = {0};
        const SafeSession session = {
            .socket = "/s", .role = "a", .database = "b", .major = major, .is_read_only = true};
        const char *conninfo = safe_session(&session, &arena);

        for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
            CLEANUP(text_freep) char *option = text_format("-c %s", wanted[i].setting);
            assert_int_equal(strstr(conninfo, option) != NULL, major >= wanted[i].since);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_gets_out_or_in),
        cmocka_unit_test(each_version_gets_what_it_knows),
        cmocka_unit_test(a_small_host_gets_a_small_server_that_can_replay),
        cmocka_unit_test(a_session_loads_nothing_and_writes_nothing),
        cmocka_unit_test(a_roles_own_settings_count_for_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
