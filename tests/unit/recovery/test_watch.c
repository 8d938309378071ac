#include "recovery/recovery.h"

#include "base/bytes.h"
#include "base/file.h"
#include "base/tree.h"
#include "glance.h"
#include "stream/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A data directory with nothing but what a look reads. */
typedef struct Place {
    char path[40];
} Place;

static Place place_new(void)
{
    Place place = {.path = "/tmp/test-watch-XXXXXX"};
    CLEANUP(text_freep) char *global = NULL;

    assert_non_null(mkdtemp(place.path));
    global = text_format("%s/global", place.path);
    assert_int_equal(mkdir(global, 0700), 0);
    return place;
}

static void place_done(Place *place)
{
    Error err = {0};

    assert_true(tree_remove(place->path, &err));
}

static void put(const Place *place, const char *name, const void *data, size_t size)
{
    CLEANUP(text_freep) char *path = text_format("%s/%s", place->path, name);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void put_control(const Place *place, PgState state, Lsn min_recovery_point)
{
    const PgVersion *version = pg_version_of_major(15);
    const double float_format = 1234567.0;
    uint8_t bytes[PG_CONTROL_FILE_SIZE] = {0};

    put_le64(bytes, 4711);
    put_le32(bytes + 8, version->control_version);
    put_le32(bytes + 12, version->catalog_version);
    put_le32(bytes + 16, (uint32_t)state);
    put_le32(bytes + 48, 1);
    put_le64(bytes + 136, min_recovery_point);
    put_le32(bytes + 204, 8);
    memcpy(bytes + 208, &float_format, sizeof float_format);
    put_le32(bytes + 216, 8192);
    put_le32(bytes + 220, 131072);
    put_le32(bytes + 224, 8192);
    put_le32(bytes + 228, 16 << 20);
    put_le32(bytes + 288, crc32c_update(0, bytes, 288));
    put(place, "global/pg_control", bytes, sizeof bytes);
}

/* Nothing runs: what pg_control and the files beside it say is all there is. */
static void a_dead_server_is_judged_by_what_it_left(void **state)
{
    enum { LABEL = 1, RECOVERY = 2, STANDBY = 4 };
    static const struct {
        PgState control;
        unsigned files;
        Lsn target;
        RecoveryState expected;
    } cases[] = {
        {PG_SHUT_DOWN_IN_RECOVERY, RECOVERY, 0, RECOVERY_TARGET_REACHED},
        {PG_SHUT_DOWN_IN_RECOVERY, RECOVERY, 0x5000100, RECOVERY_TARGET_REACHED},
        {PG_SHUT_DOWN_IN_RECOVERY, RECOVERY, 0x50000FF, RECOVERY_TARGET_REACHED},
        {PG_SHUT_DOWN_IN_RECOVERY, RECOVERY, 0x5000101, RECOVERY_FAILED},
        {PG_SHUT_DOWN_IN_RECOVERY, STANDBY, 0, RECOVERY_NOT_RUNNING},
        {PG_SHUT_DOWN_IN_RECOVERY, 0, 0, RECOVERY_NOT_RUNNING},
        {PG_SHUT_DOWN_IN_RECOVERY, LABEL | RECOVERY, 0, RECOVERY_NOT_RUNNING},
        {PG_IN_ARCHIVE_RECOVERY, RECOVERY, 0, RECOVERY_FAILED},
        {PG_IN_ARCHIVE_RECOVERY, LABEL | RECOVERY, 0, RECOVERY_NOT_RUNNING},
        {PG_IN_PRODUCTION, LABEL | RECOVERY, 0, RECOVERY_NOT_RUNNING},
        {PG_IN_PRODUCTION, 0, 0, RECOVERY_NOT_RUNNING},
        {PG_SHUT_DOWN, 0, 0, RECOVERY_NOT_RUNNING},
        {PG_IN_CRASH_RECOVERY, 0, 0, RECOVERY_FAILED},
        {PG_SHUTTING_DOWN, 0, 0, RECOVERY_FAILED},
        {PG_STARTUP, 0, 0, RECOVERY_FAILED},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(place_done) Place place = place_new();
        CLEANUP(recovery_watch_freep)
        RecoveryWatch *watch =
            recovery_watch_new(&(WatchSetup){.data = place.path, .target = cases[i].target});
        RecoverySight sight = {0};
        Error err = {0};
        put_control(&place, cases[i].control, 0x5000100);
        if ((cases[i].files & LABEL) != 0)
            put(&place, "backup_label", "x", 1);
        if ((cases[i].files & RECOVERY) != 0)
            put(&place, "recovery.signal", "", 0);
        if ((cases[i].files & STANDBY) != 0)
            put(&place, "standby.signal", "", 0);

        assert_true(recovery_watch_to_end(watch, 0, NULL, NULL, &sight, &err));

        if (sight.state != cases[i].expected)
            print_error("case %zu\n", i);
        assert_int_equal(sight.state, cases[i].expected);
        assert_int_equal(sight.reason[0] != '\0', cases[i].expected == RECOVERY_FAILED);
        assert_int_equal(sight.advice[0] != '\0', cases[i].expected == RECOVERY_FAILED);
        if (sight.state == RECOVERY_TARGET_REACHED)
            assert_int_equal(sight.replayed, 0x5000100);
    }
}

/* A record may end with its page, and the LSN asked for lie after the next page's header. */
static void a_target_after_a_page_header_is_reached_before_it(void **state)
{
    static const struct {
        Lsn reached, target;
        RecoveryState expected;
    } cases[] = {
        {0x5002000, 0x5002018, RECOVERY_TARGET_REACHED},
        {0x6000000, 0x6000028, RECOVERY_TARGET_REACHED},
        {0x5002000, 0x5002030, RECOVERY_FAILED},
        {0x5001FF8, 0x5002018, RECOVERY_FAILED},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(place_done) Place place = place_new();
        CLEANUP(recovery_watch_freep)
        RecoveryWatch *watch =
            recovery_watch_new(&(WatchSetup){.data = place.path, .target = cases[i].target});
        RecoverySight sight = {0};
        Error err = {0};
        put_control(&place, PG_SHUT_DOWN_IN_RECOVERY, cases[i].reached);
        put(&place, "recovery.signal", "", 0);
        assert_true(recovery_look(watch, &sight, &err));
        assert_int_equal(sight.state, cases[i].expected);
    }
}

static void what_can_not_be_looked_at_is_an_error(void **state)
{
    CLEANUP(place_done) Place place = place_new();
    CLEANUP(recovery_watch_freep)
    RecoveryWatch *watch = recovery_watch_new(&(WatchSetup){.data = place.path});
    RecoverySight sight;
    Error err = {0};

    (void)state;
    assert_false(recovery_look(watch, &sight, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);

    error_clear(&err);
    put(&place, "global/pg_control", "short", 5);
    assert_false(recovery_look(watch, &sight, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

static void nobody_promotes_what_does_not_run(void **state)
{
    static const PgState states[] = {PG_SHUT_DOWN, PG_SHUT_DOWN_IN_RECOVERY, PG_IN_ARCHIVE_RECOVERY,
                                     PG_IN_PRODUCTION};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        CLEANUP(place_done) Place place = place_new();
        CLEANUP(text_freep) char *promote = text_format("%s/promote", place.path);
        Error err = {0};
        put_control(&place, states[i], 0x5000100);
        put(&place, "recovery.signal", "", 0);
        assert_false(recovery_promote(place.path, NULL, 1000, &err));
        assert_int_equal(err.code, ERR_REFUSED);
        assert_false(file_exists(promote));

        error_clear(&err);
        assert_true(recovery_stop(place.path, 1000, &err)); /* none runs: nothing to do */
    }
}

static void titles_of_the_startup_process_are_understood(void **state)
{
    static const struct {
        const char *title;
        const char *segment; /* NULL: says nothing */
        bool is_waiting;
    } cases[] = {
        {"startup recovering 00000001000000000000000B", "00000001000000000000000B", false},
        {"startup waiting for 00000002000000000000000B", "00000002000000000000000B", true},
        {"startup", NULL, false},
        {"startup waiting for ", NULL, false},
        {"startup recovering 00000001000000000000000", NULL, false},
        {"startup recovering 00000001000000000000000B.partial", NULL, false},
        {"startup recovering 00000002.history", NULL, false},
        {"startup waiting for 0000000100000000000001FF", NULL, false}, /* not with 16 MiB */
        {"startup syncing data directory (fsync), elapsed time: 1.00 s", NULL, false},
        {"walreceiver streaming 0/B000000", NULL, false},
        {"", NULL, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        TitleGlance glance = {0};
        bool ok = title_parse(cases[i].title, 16 << 20, &glance);
        assert_int_equal(ok, cases[i].segment != NULL);
        if (!ok)
            continue;
        assert_string_equal(glance.segment, cases[i].segment);
        assert_int_equal(glance.is_waiting, cases[i].is_waiting);
        assert_int_equal(glance.name.segment, 11);
    }
}

static void every_state_has_a_name(void **state)
{
    (void)state;
    for (int i = RECOVERY_STARTING; i <= RECOVERY_NOT_RUNNING; i++)
        assert_string_not_equal(recovery_state_name((RecoveryState)i), "unknown");
    assert_string_equal(recovery_state_name(RECOVERY_REACHING_CONSISTENCY), "reaching consistency");
}

static void what_takes_the_time_has_a_name_of_its_own(void **state)
{
    static const struct {
        RecoveryState state;
        bool is_second, is_closing;
        const char *phase;
    } cases[] = {
        {RECOVERY_STARTING, false, false, "start of the server"},
        {RECOVERY_STARTING, true, false, "second start"},
        {RECOVERY_REPLAYING, false, false, "replay"},
        {RECOVERY_REACHING_CONSISTENCY, false, false, "replay"},
        {RECOVERY_REPLAYING, true, false, "second start"},
        {RECOVERY_REPLAYING, false, true, "checkpoint: the server shuts down at its target"},
        {RECOVERY_PROMOTING, true, false, "checkpoint at the end of recovery"},
        {RECOVERY_PAUSED, true, false, ""},
        {RECOVERY_OPEN, false, false, ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const RecoverySight sight = {.state = cases[i].state, .is_closing = cases[i].is_closing};
        assert_string_equal(recovery_phase_name(&sight, cases[i].is_second), cases[i].phase);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dead_server_is_judged_by_what_it_left),
        cmocka_unit_test(a_target_after_a_page_header_is_reached_before_it),
        cmocka_unit_test(what_can_not_be_looked_at_is_an_error),
        cmocka_unit_test(nobody_promotes_what_does_not_run),
        cmocka_unit_test(titles_of_the_startup_process_are_understood),
        cmocka_unit_test(every_state_has_a_name),
        cmocka_unit_test(what_takes_the_time_has_a_name_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
