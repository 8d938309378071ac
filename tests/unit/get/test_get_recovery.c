#include "get/get.h"

#include "../scene.h"
#include "base/bytes.h"
#include "base/file.h"
#include "postgres/control.h"
#include "repo/layout.h"
#include "repo/recovery_plan.h"
#include "stores.h"
#include "stream/digest.h"

#include <sys/stat.h>
#include <unistd.h>

/*
 * archive-get beside a data directory in recovery (law 7): what restore left there, the settings,
 * and pg_wal decide together with the archive.
 */

/* Segments 1, 2 and 4 of timeline 1: 3 is a hole. The directory is the data directory. */
typedef struct Place {
    Scene scene;
    uint32_t timeline; /* as --recovery-timeline, 0: not given */
} Place;

static void put_file(const Place *place, const char *name, const char *text)
{
    mem_free(scene_file(&place->scene, name, text, strlen(text)));
}

static void put_folder(const Place *place, const char *name)
{
    CLEANUP(text_freep) char *path = text_format("%s/%s", place->scene.directory, name);

    assert_int_equal(mkdir(path, 0700), 0);
}

/* A server of version 15. */
static void put_control_of(const Place *place, uint64_t system_identifier, PgState state,
                           uint32_t timeline, Lsn checkpoint)
{
    const PgVersion *version = pg_version_of_major(15);
    const double float_format = 1234567.0;
    uint8_t bytes[PG_CONTROL_FILE_SIZE] = {0};

    put_le64(bytes, system_identifier);
    put_le32(bytes + 8, version->control_version);
    put_le32(bytes + 12, version->catalog_version);
    put_le32(bytes + 16, state);
    put_le64(bytes + 32, checkpoint);
    put_le64(bytes + 40, checkpoint);
    put_le32(bytes + 48, timeline);
    put_le32(bytes + 52, timeline);
    put_le32(bytes + 204, 8);
    memcpy(bytes + 208, &float_format, sizeof float_format);
    put_le32(bytes + 216, 8192);
    put_le32(bytes + 220, 131072);
    put_le32(bytes + 224, 8192);
    put_le32(bytes + 228, MIB);
    put_le32(bytes + 288, crc32c_update(0, bytes, 288));
    mem_free(scene_file(&place->scene, "global/pg_control", bytes, sizeof bytes));
}

static void put_state(const Place *place, uint64_t system_identifier, PgState state)
{
    put_control_of(place, system_identifier, state, 1, MIB + 40);
}

static void put_control(const Place *place, uint64_t system_identifier)
{
    put_state(place, system_identifier, PG_IN_ARCHIVE_RECOVERY);
}

static void place_init(Place *place)
{
    scene_init(&place->scene);
    place->timeline = 0;
    archive_put_segments(&place->scene.archive, &place->scene.wal, 1, 1, 2);
    archive_put_segment(&place->scene.archive, &place->scene.wal, 1, 4);
    put_folder(place, "global");
    put_folder(place, "pg_wal");
    put_file(place, "recovery.signal", "");
    put_control(place, BUILDER_SYSTEM);
}

static void place_done(Place *place)
{
    scene_done(&place->scene);
}

/* How archive-get ends, writing to this name. */
static Error ask(const Place *place, const char *name, const char *to)
{
    CLEANUP(text_freep) char *path = text_format("%s/%s", place->scene.directory, to);
    GetRequest request = {.name = name,
                          .path = path,
                          .data = place->scene.directory,
                          .timeline = place->timeline,
                          .threads = 1};
    Error err = {0};

    (void)unlink(path);
    bool ok = archive_get(&place->scene.archive.cluster, &request, &err);
    assert_int_equal(ok, err.code == ERR_NONE);
    assert_int_equal(file_exists(path), ok);
    return err;
}

static ErrorCode answer_to(const Place *place, const char *name, const char *to)
{
    return ask(place, name, to).code;
}

static ErrorCode answer(const Place *place, const char *name)
{
    return answer_to(place, name, "RECOVERYXLOG");
}

static void check_absent(const Place *place, const char *name, const char *why)
{
    const Error err = ask(place, name, "RECOVERYXLOG");

    assert_int_equal(err.code, ERR_ABSENT);
    assert_non_null(strstr(err.message, why));
}

/* What the message says besides "it is not in the archive". */
static const char left[] = "; the server takes the one in ";
static const char not_needed[] = ", and this recovery does not need it";

static const char target_setting[] = "recovery_target_time = '2026-01-01 00:00:00+00'\n";
static const char first[] = "000000010000000000000001";
static const char second[] = "000000010000000000000002";
static const char missing[] = "000000010000000000000003";
static const char fourth[] = "000000010000000000000004";

/* What restore leaves: a plan, and the settings that are in force with it. */
static void put_plan_of(const Place *place, const RecoveryPlan *made, const char *settings)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(held_done) HeldDirectory held = HELD_NONE;
    RecoveryPlan plan = *made;
    Error err = {0};

    put_file(place, "postgresql.auto.conf", settings);
    assert_true(recovery_settings_on_disk(place->scene.directory, &arena, &plan.settings, &err));
    assert_true(held_open(&held, place->scene.directory, &err));
    assert_true(recovery_plan_save(&held, &plan, &err));
}

/* For a target in segment `bound`. */
static void put_plan(const Place *place, uint32_t timeline, const char *bound, const char *settings)
{
    RecoveryPlan plan = {.timeline = timeline};

    (void)snprintf(plan.bound, sizeof plan.bound, "%s", bound);
    put_plan_of(place, &plan, settings);
}

/* For the end of the archive, which was there then. */
static void put_plan_to_end(const Place *place, const char *archive_end, const char *settings)
{
    RecoveryPlan plan = {.timeline = 1};

    (void)snprintf(plan.archive_end, sizeof plan.archive_end, "%s", archive_end);
    put_plan_of(place, &plan, settings);
}

static void what_the_target_does_not_need_is_no_hole(void **state)
{
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    assert_int_equal(answer(&place, missing), ERR_CORRUPT);
    put_plan(&place, 1, second, target_setting);
    assert_int_equal(answer(&place, second), ERR_NONE);
    check_absent(&place, missing, not_needed);
    archive_damage(&place.scene.archive, 1, 4, 500);
    assert_int_equal(answer(&place, fourth), ERR_ABSENT);
    archive_damage(&place.scene.archive, 1, 2, 500);
    assert_int_equal(answer(&place, second), ERR_CORRUPT); /* the bound itself is needed */
    /* Out of reach is never an answer. */
    for (uint64_t n = 1; n <= 3; n++) {
        place.scene.fault = (StorageFault){
            .fail_at = storage_fault_calls(place.scene.archive.repo.storage) + n,
            .fail_count = UINT64_MAX >> 1,
            .code = ERR_UNREACHABLE,
        };
        assert_int_equal(answer(&place, missing), ERR_UNREACHABLE);
    }
}

/* Whenever the plan may be another recovery's, every segment counts. */
static void a_bound_holds_for_its_own_recovery_only(void **state)
{
    static const struct {
        const char *bound, *settings; /* at the time of the plan */
        const char *file, *text;      /* put there later; NULL: nothing */
        uint32_t timeline, pinned;
        ErrorCode code;
    } cases[] = {
        {second, target_setting, NULL, NULL, 1, 0, ERR_ABSENT},
        {second, target_setting, NULL, NULL, 1, 1, ERR_ABSENT},
        {missing, target_setting, NULL, NULL, 1, 0, ERR_CORRUPT},
        {second, target_setting, NULL, NULL, 2, 1, ERR_CORRUPT},
        {second, "", NULL, NULL, 1, 0, ERR_CORRUPT},
        {second, "recovery_target_timeline = '1'\n", NULL, NULL, 1, 0, ERR_CORRUPT},
        {"", target_setting, NULL, NULL, 1, 0, ERR_CORRUPT},
        {"00000001.history", target_setting, NULL, NULL, 1, 0, ERR_CORRUPT},
        {second, target_setting, "postgresql.auto.conf",
         "recovery_target_time = '2026-01-01 00:00:01+00'\n", 1, 0, ERR_CORRUPT},
        {second, target_setting, "postgresql.auto.conf", "", 1, 0, ERR_CORRUPT},
        {second, target_setting, "postgresql.conf", "recovery_target_inclusive = off\n", 1, 0,
         ERR_CORRUPT},
        {second, target_setting, "postgresql.conf", "recovery_target_action = promote\n", 1, 0,
         ERR_ABSENT},
        {second, target_setting, "postmaster.opts",
         "/usr/bin/postgres \"-c\" \"recovery_target_xid=1\"\n", 1, 0, ERR_CORRUPT},
        {second, target_setting, "postmaster.opts",
         "/usr/bin/postgres \"-c\" \"recovery_target_action=shutdown\"\n", 1, 0, ERR_ABSENT},
        {second, target_setting, RECOVERY_PLAN_FILE, "damaged", 1, 0, ERR_CORRUPT},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(place_done) Place place;

        place_init(&place);
        put_plan(&place, cases[i].timeline, cases[i].bound, cases[i].settings);
        if (cases[i].file != NULL)
            put_file(&place, cases[i].file, cases[i].text);
        place.timeline = cases[i].pinned;
        ErrorCode code = answer(&place, missing);
        if (code != cases[i].code)
            fail_msg("case %zu: %d", i, (int)code);
    }
}

static void another_clusters_data_directory_gets_nothing(void **state)
{
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    assert_int_equal(answer(&place, first), ERR_NONE);
    put_control(&place, BUILDER_SYSTEM + 1);
    assert_int_equal(answer(&place, first), ERR_REFUSED);
    assert_int_equal(answer(&place, "000000010000000000000005"), ERR_REFUSED);
    put_file(&place, "global/pg_control", "damaged");
    assert_int_equal(answer(&place, "000000010000000000000005"), ERR_CORRUPT);
}

static void the_timeline_comes_from_the_settings(void **state)
{
    static const struct {
        const char *setting; /* NULL: none, which means latest */
        ErrorCode code;      /* for timeline 1 after the fork */
    } cases[] = {
        {NULL, ERR_REFUSED},  {"latest", ERR_REFUSED}, {"2", ERR_REFUSED},
        {"0x2", ERR_REFUSED}, {"current", ERR_NONE},   {"1", ERR_NONE},
        {"0", ERR_USAGE},     {"rubbish", ERR_USAGE},  {"4294967298", ERR_USAGE},
        {"3", ERR_CORRUPT}, /* whose history is nowhere */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(place_done) Place place;
        char text[80] = "";

        place_init(&place);
        archive_put_history(&place.scene.archive, 2, "1\t0/202000\tx\n");
        if (cases[i].setting != NULL) {
            (void)snprintf(text, sizeof text, "recovery_target_timeline = '%s'\n",
                           cases[i].setting);
        }
        put_file(&place, "postgresql.auto.conf", text);
        ErrorCode code = answer(&place, fourth);
        if (code != cases[i].code)
            fail_msg("case %zu: %d", i, (int)code);
    }
}

/* As the server does: what the archive has not, pg_wal may have. */
static void a_history_in_pg_wal_will_do(void **state)
{
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    place.timeline = 2;
    assert_int_equal(answer(&place, second), ERR_CORRUPT);
    put_file(&place, "pg_wal/00000002.history", "1\t0/202000\tx\n");
    assert_int_equal(answer(&place, second), ERR_NONE);
    assert_int_equal(answer(&place, fourth), ERR_REFUSED);
    put_file(&place, "pg_wal/00000002.history", "rubbish\n");
    assert_int_not_equal(answer(&place, second), ERR_NONE);
    assert_int_not_equal(answer(&place, second), ERR_ABSENT);

    /* One that can't be read is not one that isn't there. */
    CLEANUP(text_freep)
    char *path = text_format("%s/pg_wal/00000002.history", place.scene.directory);
    assert_int_equal(unlink(path), 0);
    put_folder(&place, "pg_wal/00000002.history");
    assert_int_equal(answer(&place, second), ERR_IO);
    assert_int_equal(rmdir(path), 0);

    /* A damaged one in the archive is not replaced by what lies about. */
    put_file(&place, "pg_wal/00000002.history", "1\t0/202000\tx\n");
    archive_put_history(&place.scene.archive, 2, "1\t0/202000\tx\n");
    CLEANUP(text_freep) char *object = layout_wal("main", "00000002.history");
    CLEANUP(buffer_done) Buffer content = {0};
    Storage *storage = place.scene.archive.repo.storage;
    Error err = {0};
    assert_true(storage_read(storage, object, MIB, &content, &err));
    content.data[0] ^= 1;
    assert_true(storage_put(storage, object, WRITE_REPLACE, content.data, content.size, &err));
    assert_int_equal(answer(&place, second), ERR_CORRUPT);
}

/* A segment of the builder's WAL in pg_wal, under the name of a timeline. */
static void put_tail(const Place *place, uint32_t timeline, uint64_t segment)
{
    char name[WAL_NAME_SIZE];
    char path[64];

    (void)snprintf(path, sizeof path, "pg_wal/%s", scene_segment_name(timeline, segment, name));
    mem_free(scene_file(&place->scene, path, wal_builder_segment(&place->scene.wal, segment), MIB));
}

/* The same as a server leaves it that crashed when it had begun it. */
static void put_cut_tail(const Place *place, uint32_t timeline, uint64_t segment)
{
    CLEANUP(buffer_done) Buffer content = {0};
    char name[WAL_NAME_SIZE];
    char path[64];

    buffer_append(&content, wal_builder_segment(&place->scene.wal, segment), MIB);
    memset(content.data + WAL_SEGMENT_HEADER_SIZE, 0, MIB - WAL_SEGMENT_HEADER_SIZE);
    (void)snprintf(path, sizeof path, "pg_wal/%s", scene_segment_name(timeline, segment, name));
    mem_free(scene_file(&place->scene, path, content.data, MIB));
}

/*
 * Timeline 2 leaves timeline 1 inside segment 2, and of its WAL the archive has nothing: "no such
 * file" only where pg_wal has it, whole and valid.
 */
static void a_tail_in_pg_wal_is_left_to_the_server(void **state)
{
    static const char child[] = "000000020000000000000002";
    static const char next[] = "000000020000000000000003";
    static const char after[] = "000000020000000000000004";
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    place.timeline = 2;
    archive_put_history(&place.scene.archive, 2, "1\t0/202000\tx\n");
    assert_int_equal(answer(&place, child), ERR_CORRUPT);
    put_tail(&place, 2, 1); /* before the timeline began: proves nothing */
    assert_int_equal(answer(&place, child), ERR_CORRUPT);
    put_file(&place, "pg_wal/000000020000000000000002", "not a segment");
    assert_int_equal(answer(&place, child), ERR_CORRUPT);
    put_tail(&place, 2, 2);
    check_absent(&place, child, left);
    check_absent(&place, next, ", and nothing of timeline 2 after it is");
    assert_int_equal(answer(&place, after), ERR_CORRUPT);

    /* Later WAL of the timeline in the archive makes a hole of what is not there itself. */
    archive_put_segment(&place.scene.archive, &place.scene.wal, 2, 4);
    assert_int_equal(answer(&place, next), ERR_CORRUPT);
    check_absent(&place, child, left);
    put_tail(&place, 2, 3);
    assert_int_equal(answer(&place, next), ERR_ABSENT);
    /* One that was archived is missing there: a hole all the same. */
    put_folder(&place, "pg_wal/archive_status");
    put_file(&place, "pg_wal/archive_status/000000020000000000000003.done", "");
    assert_int_equal(answer(&place, next), ERR_CORRUPT);
    char *mark = text_format("%s/pg_wal/archive_status/000000020000000000000003.done",
                             place.scene.directory);
    assert_int_equal(unlink(mark), 0);
    mem_free(mark);
    assert_int_equal(answer(&place, next), ERR_ABSENT);
    put_cut_tail(&place, 2, 3);
    assert_int_equal(answer(&place, next), ERR_CORRUPT);
    archive_remove(&place.scene.archive, 2, 4);

    /* And so does a timeline that the path leaves again; what is whole up to there is enough. */
    archive_put_history(&place.scene.archive, 3, "1\t0/202000\tx\n2\t0/402000\ty\n");
    place.timeline = 3;
    assert_int_equal(answer(&place, next), ERR_CORRUPT);
    assert_int_equal(answer(&place, child), ERR_ABSENT);
    put_tail(&place, 2, 3);
    assert_int_equal(answer(&place, next), ERR_ABSENT);
}

/* The server would read a file that ends early, and take that for the end of the WAL. */
static void a_segment_in_pg_wal_that_is_cut_short_is_not_whole(void **state)
{
    static const char next[] = "000000020000000000000003";
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    place.timeline = 2;
    archive_put_history(&place.scene.archive, 2, "1\t0/202000\tx\n");
    archive_put_segment(&place.scene.archive, &place.scene.wal, 2, 2);
    archive_put_segment(&place.scene.archive, &place.scene.wal, 2, 4);
    put_tail(&place, 2, 3);
    assert_int_equal(answer(&place, next), ERR_ABSENT);
    CLEANUP(text_freep) char *path = text_format("%s/pg_wal/%s", place.scene.directory, next);
    assert_int_equal(truncate(path, MIB / 2), 0);
    assert_int_equal(answer(&place, next), ERR_CORRUPT);
}

/* What the archive had when restore planned is lost when it is not there: no end of the WAL. */
static void what_the_archive_had_when_it_was_planned_is_not_absent(void **state)
{
    static const char fifth[] = "000000010000000000000005";
    static const struct {
        const char *archive_end, *settings;
        ErrorCode code;
    } cases[] = {
        {"", "", ERR_ABSENT},
        {"000000010000000000000004", "", ERR_ABSENT},
        {"000000010000000000000005", "", ERR_CORRUPT},
        {"000000010000000000000006", "", ERR_CORRUPT},
        /* With a target only the bound counts. */
        {"000000010000000000000006", target_setting, ERR_ABSENT},
    };
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        put_plan_to_end(&place, cases[i].archive_end, cases[i].settings);
        if (answer(&place, fifth) != cases[i].code)
            fail_msg("case %zu", i);
    }
}

/*
 * A server that looks for a free timeline takes the number of one that was set aside, but not while
 * the archive has WAL of it: the new timeline would be mixed with that.
 */
static void a_number_is_not_free_while_there_is_wal_of_it(void **state)
{
    static const char history[] = "00000003.history";
    CLEANUP(place_done) Place place;
    Error err = {0};

    (void)state;
    place_init(&place);
    put_file(&place, "postgresql.auto.conf", "recovery_target_timeline = '1'\n");
    archive_put_history(&place.scene.archive, 4, "1\t0/202000\tx\n");
    assert_int_equal(answer(&place, history), ERR_CORRUPT);
    assert_true(storage_put(place.scene.archive.repo.storage,
                            "main/quarantine/20261122T031500Z-k3v7qa/wal/00000003.history.wal",
                            WRITE_NEW, "x", 1, &err));
    check_absent(&place, history, not_needed);
    archive_put_segment(&place.scene.archive, &place.scene.wal, 3, 2);
    assert_int_equal(answer(&place, history), ERR_CORRUPT);
}

/* What only pg_wal has the server takes from there, also where the archive knows later ones. */
static void a_history_in_pg_wal_is_left_to_the_server(void **state)
{
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    archive_put_history(&place.scene.archive, 3, "1\t0/202000\tx\n");
    assert_int_equal(answer(&place, "00000002.history"), ERR_CORRUPT);
    put_file(&place, "pg_wal/00000002.history", "nonsense");
    assert_int_equal(answer(&place, "00000002.history"), ERR_CORRUPT);
    put_file(&place, "pg_wal/00000002.history", "1\t0/302000\tx\n");
    check_absent(&place, "00000002.history", left);
    check_absent(&place, "00000004.history", ", and no later timeline is");
}

static void without_a_data_directory_there_is_no_tail(void **state)
{
    CLEANUP(place_done) Place place;
    Error err = {0};

    (void)state;
    place_init(&place);
    archive_put_history(&place.scene.archive, 2, "1\t0/202000\tx\n");
    CLEANUP(text_freep) char *path = text_format("%s/RECOVERYXLOG", place.scene.directory);
    GetRequest request = {
        .name = "000000020000000000000002", .path = path, .timeline = 2, .threads = 1};
    assert_false(archive_get(&place.scene.archive.cluster, &request, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_false(archive_get_is_standby(NULL));
    assert_false(archive_get_is_standby(place.scene.directory));
    put_file(&place, "standby.signal", "");
    assert_true(archive_get_is_standby(place.scene.directory));
}

/* The segment as far as the archive has it, and zeros. */
static void check_delivered(const Place *place, const char *to, uint64_t segment, size_t until)
{
    CLEANUP(text_freep) char *path = text_format("%s/%s", place->scene.directory, to);
    CLEANUP(buffer_done) Buffer content = {0};
    Error err = {0};

    assert_true(file_read_whole(path, MIB, &content, &err));
    assert_int_equal(content.size, MIB);
    assert_memory_equal(content.data, wal_builder_segment(&place->scene.wal, segment), until);
    for (size_t i = until; i < MIB; i++)
        assert_int_equal(content.data[i], 0);
}

/*
 * The child has the segment of the fork. That the parent goes on after it shows a hole; otherwise
 * its WAL ends there, and who asks for it follows the parent only.
 */
static void a_parents_segment_at_the_fork_with_more_after_it_is_a_hole(void **state)
{
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    place.timeline = 2;
    archive_put_history(&place.scene.archive, 2, "1\t0/202000\tx\n");
    archive_put_segment(&place.scene.archive, &place.scene.wal, 2, 2);
    archive_remove(&place.scene.archive, 1, 2);
    assert_int_equal(answer(&place, second), ERR_CORRUPT);
    archive_remove(&place.scene.archive, 1, 4);
    assert_int_equal(answer(&place, second), ERR_NONE);
    check_delivered(&place, "RECOVERYXLOG", 2, 0x2000);

    /* A standby waits for the rest. */
    put_file(&place, "standby.signal", "");
    assert_int_equal(answer(&place, second), ERR_ABSENT);
}

/*
 * pg_rewind -c asks for the WAL of the server that it is to rewind, on that one's own timeline,
 * which others left before. A server may not have it: it would be led on the wrong history.
 */
static void a_program_that_looks_at_a_server_that_is_down_gets_its_wal(void **state)
{
    static const char own[] = "pg_wal/000000010000000000000004";
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    archive_put_history(&place.scene.archive, 2, "1\t0/202000\tx\n");
    archive_put_segment(&place.scene.archive, &place.scene.wal, 2, 2);
    assert_int_equal(answer_to(&place, fourth, own), ERR_REFUSED); /* in recovery */
    put_state(&place, BUILDER_SYSTEM, PG_IN_PRODUCTION);
    assert_int_equal(answer_to(&place, fourth, own), ERR_REFUSED); /* crashed */
    put_state(&place, BUILDER_SYSTEM, PG_SHUT_DOWN);
    assert_int_equal(answer_to(&place, fourth, own), ERR_NONE);
    check_delivered(&place, own, 4, MIB);
    assert_int_equal(answer_to(&place, fourth, "pg_wal/RECOVERYXLOG"), ERR_REFUSED);
    assert_int_equal(answer_to(&place, fourth, fourth), ERR_REFUSED);
    put_state(&place, BUILDER_SYSTEM, PG_SHUT_DOWN_IN_RECOVERY);
    assert_int_equal(answer_to(&place, fourth, own), ERR_NONE);

    /* The segment of the fork, of which only the child's copy is left; a hole does not harm. */
    archive_remove(&place.scene.archive, 1, 2);
    assert_int_equal(answer_to(&place, second, "pg_wal/000000010000000000000002"), ERR_NONE);
    check_delivered(&place, "pg_wal/000000010000000000000002", 2, 0x2000);

    put_file(&place, "postmaster.pid", "");
    assert_int_equal(answer_to(&place, fourth, own), ERR_REFUSED);
    assert_int_equal(answer_to(&place, second, "pg_wal/000000010000000000000002"), ERR_CORRUPT);
}

/* A bound makes a hole after it harmless: the server refuses to open before its target. */
static void a_target_in_a_segment_that_is_not_whole_is_reached(void **state)
{
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    archive_put_history(&place.scene.archive, 2, "1\t0/202000\tx\n");
    archive_put_segment(&place.scene.archive, &place.scene.wal, 2, 2);
    archive_remove(&place.scene.archive, 1, 2);
    place.timeline = 1;
    assert_int_equal(answer(&place, second), ERR_CORRUPT);
    put_plan(&place, 1, second, target_setting);
    assert_int_equal(answer(&place, second), ERR_NONE);
    check_delivered(&place, "RECOVERYXLOG", 2, 0x2000);
    put_plan(&place, 1, fourth, target_setting);
    assert_int_equal(answer(&place, second), ERR_CORRUPT);

    /* Nor does a damaged .partial, which might have gone on after that, unless it is needed. */
    static const char partial[] = "000000010000000000000002.partial";
    archive_remove(&place.scene.archive, 1, 4);
    assert_int_equal(answer(&place, second), ERR_NONE);
    archive_put(&place.scene.archive, partial, wal_builder_segment(&place.scene.wal, 2), MIB, NULL);
    archive_damage_name(&place.scene.archive, partial, 40);
    assert_int_equal(answer(&place, second), ERR_CORRUPT);
    put_plan(&place, 1, second, target_setting);
    assert_int_equal(answer(&place, second), ERR_NONE);
}

static void what_was_set_aside_is_not_absent(void **state)
{
    static const char last[] = "000000010000000000000005";
    CLEANUP(place_done) Place place;
    Error err = {0};

    (void)state;
    place_init(&place);
    assert_int_equal(answer(&place, last), ERR_ABSENT);
    CLEANUP(text_freep) char *object = layout_wal("main", last);
    CLEANUP(text_freep) char *aside = text_format("%s.damaged-0123abcd", object);
    assert_true(
        storage_put(place.scene.archive.repo.storage, aside, WRITE_NEW, "damaged", 7, &err));
    assert_int_equal(answer(&place, last), ERR_CORRUPT);

    /* A .partial of it may end long before. */
    archive_remove(&place.scene.archive, 1, 4);
    archive_put(&place.scene.archive, "000000010000000000000004.partial",
                wal_builder_segment(&place.scene.wal, 4), MIB, NULL);
    assert_int_equal(answer(&place, fourth), ERR_NONE);
    CLEANUP(text_freep) char *name = layout_wal("main", fourth);
    CLEANUP(text_freep) char *whole_aside = text_format("%s.damaged-0123abcd", name);
    assert_true(
        storage_put(place.scene.archive.repo.storage, whole_aside, WRITE_NEW, "damaged", 7, &err));
    assert_int_equal(answer(&place, fourth), ERR_CORRUPT);
}

static void a_piece_of_the_wrong_size_is_not_delivered(void **state)
{
    static const char piece[] = "000000010000000000000003.partial";
    CLEANUP(place_done) Place place;

    (void)state;
    place_init(&place);
    archive_put(&place.scene.archive, piece, wal_builder_segment(&place.scene.wal, 3), MIB / 2,
                NULL);
    assert_int_equal(answer(&place, piece), ERR_CORRUPT);
}

/*
 * Timeline 3, the newest, goes on where the archive's timeline 1 ends, at 0/300000; timeline 2 left
 * that at 0/200000 and has later commits.
 */
static void put_two_branches(const Place *place)
{
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, 2 * MIB, 2);
    Archive *archive = (Archive *)&place->scene.archive;

    wal_builder_commit(&wal, 3000, 9000);
    wal_builder_switch(&wal);
    archive_remove(archive, 1, 4);
    archive_put_history(archive, 2, "1\t0/200000\tx\n");
    archive_put_history(archive, 3, "1\t0/300000\tx\n");
    archive_put_history(archive, 4, "1\t0/300000\tx\n3\t0/310000\tx\n");
    archive_put_segment(archive, &wal, 2, 2);
}

/* Only what the data directory can still follow is a choice. */
static void the_newest_timeline_is_asked_about_while_there_is_a_choice(void **state)
{
    static const struct {
        uint32_t timeline;
        Lsn checkpoint;
        ErrorCode answer; /* to the newest history */
    } cases[] = {
        {1, MIB + 40, ERR_REFUSED},
        {1, 2 * MIB + 40, ERR_NONE}, /* past the place where timeline 2 left */
        {3, 3 * MIB + 40, ERR_NONE}, /* on a timeline that timeline 2 does not go on from */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(place_done) Place place;

        place_init(&place);
        put_two_branches(&place);
        put_control_of(&place, BUILDER_SYSTEM, PG_IN_ARCHIVE_RECOVERY, cases[i].timeline,
                       cases[i].checkpoint);
        assert_int_equal(answer_to(&place, "00000004.history", "RECOVERYHISTORY"), cases[i].answer);
        put_file(&place, "standby.signal", "");
        assert_int_equal(answer_to(&place, "00000004.history", "RECOVERYHISTORY"), ERR_NONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_target_does_not_need_is_no_hole),
        cmocka_unit_test(a_bound_holds_for_its_own_recovery_only),
        cmocka_unit_test(another_clusters_data_directory_gets_nothing),
        cmocka_unit_test(the_timeline_comes_from_the_settings),
        cmocka_unit_test(a_history_in_pg_wal_will_do),
        cmocka_unit_test(a_tail_in_pg_wal_is_left_to_the_server),
        cmocka_unit_test(a_segment_in_pg_wal_that_is_cut_short_is_not_whole),
        cmocka_unit_test(what_the_archive_had_when_it_was_planned_is_not_absent),
        cmocka_unit_test(a_number_is_not_free_while_there_is_wal_of_it),
        cmocka_unit_test(a_history_in_pg_wal_is_left_to_the_server),
        cmocka_unit_test(without_a_data_directory_there_is_no_tail),
        cmocka_unit_test(a_parents_segment_at_the_fork_with_more_after_it_is_a_hole),
        cmocka_unit_test(a_program_that_looks_at_a_server_that_is_down_gets_its_wal),
        cmocka_unit_test(a_target_in_a_segment_that_is_not_whole_is_reached),
        cmocka_unit_test(what_was_set_aside_is_not_absent),
        cmocka_unit_test(a_piece_of_the_wrong_size_is_not_delivered),
        cmocka_unit_test(the_newest_timeline_is_asked_about_while_there_is_a_choice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
