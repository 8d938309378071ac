#include "health/health.h"
#include "stores.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MIB = 1 << 20 };

static const TimeUs second = 1000000;

/* A cluster with which all is well; each test breaks one thing. */
typedef struct Case {
    Health health;
    BackupInfo backup;
    RecoveryWindow window;
    WalRun run;
    SlotLook slots[80];
} Case;

static Case *setup(void)
{
    Case *it = mem_alloc(sizeof *it);

    it->backup = (BackupInfo){.header = {.id = "20261122T000001Z-aaaaaa", .stopped_at = second},
                              .state = BACKUP_RESTORABLE,
                              .reason = ""};
    it->window = (RecoveryWindow){.timeline = 1, .until = 5 * MIB};
    it->run = (WalRun){.timeline = 1, .first = 1, .last = 4};
    it->health = (Health){
        .name = "main",
        .rpo = 3600 * second,
        .has_repository = true,
        .cluster = {.name = "main", .wal_segment_size = MIB},
        .wal = {.runs = &it->run, .run_count = 1},
        .backups = {.items = &it->backup, .count = 1},
        .windows = {.items = &it->window, .count = 1},
        .has_end = true,
        .end = {.durable = 5 * MIB, .segments = 4, .last_segment = 4, .base = &it->backup},
        .server = {.is_known = true,
                   .no_data = "",
                   .no_answer = "",
                   .archives_to = "",
                   .answers = true,
                   .now = 100000 * second,
                   .timeline = 1,
                   .archive = {.is_on = true,
                               .mode = "on",
                               .command = "pgcairn archive-push --repo=/r %p",
                               .library = "",
                               .wal_level = "replica",
                               .timeout = 300 * second,
                               .max_wal_size = 1024ULL * MIB},
                   .archiver = {.last_archived = "000000010000000000000004",
                                .last_failed = "",
                                .last_archived_at = 99000 * second,
                                .last_failed_at = TIME_US_NONE},
                   .slots = it->slots,
                   .knows_slots = true},
        .pile = {.is_known = true, .reason = "", .full_in = TIME_US_NONE},
        .exposure = {.state = EXPOSURE_NONE, .since = TIME_US_NONE},
    };
    for (size_t i = 0; i < ARRAY_SIZE(it->slots); i++)
        it->slots[i] = (SlotLook){.name = "slot", .wal_status = "reserved", .is_active = true};
    return it;
}

static void done(Case *it)
{
    arena_done(&it->health.arena);
    mem_free(it);
}

/* Judge, and expect this level and (unless NULL) a finding of that level that says these words. */
static void expect_kept(Case *it, HealthLevel level, const char *words)
{
    Health *health = &it->health;
    bool is_said = words == NULL;

    health_judge(health);
    for (size_t i = 0; i < health->finding_count; i++) {
        assert_true(i == 0 || health->findings[i - 1].level >= health->findings[i].level);
        assert_non_null(health->findings[i].next);
        is_said = is_said || (health->findings[i].level == level &&
                              strstr(health->findings[i].what, words) != NULL);
    }
    if (health->level != level || !is_said) {
        fail_msg("%s, not %s with \"%s\"; the worst: %s", health_level_name(health->level),
                 health_level_name(level), words != NULL ? words : "",
                 health->finding_count > 0 ? health->findings[0].what : "nothing");
    }
    assert_int_equal(health->finding_count == 0, level == HEALTH_OK);
}

static void expect(Case *it, HealthLevel level, const char *words)
{
    expect_kept(it, level, words);
    done(it);
}

static void a_repository_that_fills_is_told_before_it_is_full(void **state)
{
    Case *it = setup();

    (void)state;
    it->health.room = (RepositoryRoom){
        .is_known = true, .place = {200ULL * MIB, 1000ULL * MIB}, .next_bytes = 100ULL * MIB};
    it->health.room.full_in = TIME_US_NONE;
    expect(it, HEALTH_WARNING, "has 200 MiB free, and the last backups stored up to 100 MiB");
    it = setup();
    it->health.room = (RepositoryRoom){.is_known = true, .place = {MIB, MIB}};
    it->health.room.full_in = 7200 * second;
    expect(it, HEALTH_CRITICAL, "is full in 2 h, by what was stored");
    it = setup();
    it->health.room = (RepositoryRoom){.is_known = true, .full_in = TIME_US_NONE};
    expect(it, HEALTH_CRITICAL, "file system is full");
}

static void all_is_well(void **state)
{
    (void)state;
    expect(setup(), HEALTH_OK, NULL);
}

static void half_of_the_objective_warns_and_all_of_it_is_critical(void **state)
{
    static const struct {
        TimeUs age;
        HealthLevel known, bound;
    } cases[] = {
        {0, HEALTH_OK, HEALTH_OK},
        {1800 * 1000000LL - 1, HEALTH_OK, HEALTH_OK},
        {1800 * 1000000LL, HEALTH_WARNING, HEALTH_UNKNOWN},
        {3600 * 1000000LL - 1, HEALTH_WARNING, HEALTH_UNKNOWN},
        {3600 * 1000000LL, HEALTH_CRITICAL, HEALTH_UNKNOWN},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Case *it = setup();
        it->health.exposure = (Exposure){.state = EXPOSURE_KNOWN, .age = cases[i].age};
        expect(it, cases[i].known, cases[i].known == HEALTH_OK ? NULL : "the oldest commit");

        /* A bound within the limits is enough to know that all is well, and never proves more. */
        it = setup();
        it->health.exposure = (Exposure){.state = EXPOSURE_AT_MOST, .age = cases[i].age};
        expect(it, cases[i].bound, cases[i].bound == HEALTH_OK ? NULL : "at most");

        /* Without the repository nothing is known, unless it is bad enough as it is. */
        it = setup();
        it->health.has_repository = false;
        it->health.exposure =
            (Exposure){.state = EXPOSURE_KNOWN, .age = cases[i].age, .by_archiver = true};
        expect(it, cases[i].known == HEALTH_CRITICAL ? HEALTH_CRITICAL : HEALTH_UNKNOWN,
               cases[i].known == HEALTH_CRITICAL ? "by the server's own account"
                                                 : "can't be asked");
    }
}

static void what_is_not_known_is_unknown(void **state)
{
    Case *it = setup();

    (void)state;
    it->health.exposure = (Exposure){.state = EXPOSURE_UNKNOWN, .reason = "the moon is full"};
    expect(it, HEALTH_UNKNOWN, "the moon is full");

    it = setup();
    it->health.has_repository = false;
    it->health.exposure = (Exposure){.state = EXPOSURE_NONE, .by_archiver = true};
    expect(it, HEALTH_UNKNOWN, "can't be read");

    it = setup();
    it->health.exposure = (Exposure){.state = EXPOSURE_EVERYTHING};
    expect(it, HEALTH_CRITICAL, "nothing of this cluster's WAL");
}

static void clocks_that_disagree_are_told(void **state)
{
    Case *it = setup();

    (void)state;
    it->health.server.clock_ahead = 9 * second;
    expect(it, HEALTH_OK, NULL);
    it = setup();
    it->health.server.clock_ahead = 11 * second;
    expect(it, HEALTH_WARNING, "ahead of this host's");
    it = setup();
    it->health.server.clock_ahead = -7200 * second;
    expect(it, HEALTH_WARNING, "2 h behind this host's");
    it = setup();
    it->health.exposure = (Exposure){
        .state = EXPOSURE_KNOWN, .since = 90 * second, .at = 30 * second, .is_from_future = true};
    expect(it, HEALTH_WARNING, "60 s in the future");
}

static void backups_that_cannot_be_restored_are_told(void **state)
{
    Case *it = setup();

    (void)state;
    it->health.backups.count = 0;
    it->health.end.base = NULL;
    expect(it, HEALTH_CRITICAL, "there is no backup");
    it = setup();
    it->backup.state = BACKUP_WAITING;
    it->backup.reason = "segment 5 is missing";
    expect(it, HEALTH_CRITICAL, "segment 5 is missing");
    it = setup();
    it->health.end.base = NULL;
    expect(it, HEALTH_CRITICAL, "leads to this server's timeline");

    BackupInfo two[2];
    static const struct {
        BackupState state;
        HealthLevel level;
        const char *words;
    } others[] = {{BACKUP_WAITING, HEALTH_WARNING, "can't be restored yet"},
                  {BACKUP_DAMAGED, HEALTH_CRITICAL, "is damaged"},
                  {BACKUP_NEWER, HEALTH_WARNING, "can't be judged"}};
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        it = setup();
        two[0] = it->backup;
        two[1] = it->backup;
        two[1].state = others[i].state;
        it->health.backups = (BackupList){.items = two, .count = 2};
        expect(it, others[i].level, others[i].words);
    }
}

static void gaps_in_the_archive_are_told(void **state)
{
    Case *it = setup();

    (void)state;
    it->health.end.is_hole = true;
    it->window.ends_in_hole = true;
    expect(it, HEALTH_CRITICAL, "WAL is missing after 0/500000");
    it = setup();
    it->health.end.is_broken = true;
    (void)snprintf(it->health.end.reason, sizeof it->health.end.reason, "bad bytes");
    expect(it, HEALTH_CRITICAL, "WAL is damaged after 0/500000, bad bytes");
    /* What begins there may be another server's. */
    it = setup();
    it->health.end.is_broken = true;
    (void)snprintf(it->health.end.reason, sizeof it->health.end.reason,
                   "the next segment does not go on where this one ends");
    expect_kept(it, HEALTH_CRITICAL, "does not go on");
    assert_non_null(strstr(it->health.findings[0].next, "wal-quarantine"));
    assert_non_null(strstr(it->health.findings[0].next, "--from=000000010000000000000005"));
    done(it);
    /* One that a later backup has left behind costs only what was between them. */
    it = setup();
    it->window.ends_in_hole = true;
    it->window.until = 3 * MIB;
    expect(it, HEALTH_WARNING, "is missing after 0/300000");
    it = setup();
    it->health.windows.unreadable = 3;
    expect(it, HEALTH_WARNING, "WAL of timeline 3");
    it = setup();
    it->health.end.lost_history = 2;
    expect(it, HEALTH_WARNING, "history of timeline 2");
    it = setup();
    it->health.is_ahead = true;
    expect(it, HEALTH_CRITICAL, "has not written");
    it = setup();
    it->health.fork = (WalFork){.is_found = true, .lsn = 4 * MIB + 0x28};
    expect(it, HEALTH_CRITICAL, "from 0/400028 on the archive holds other WAL than this server");
    it = setup();
    it->health.end.lost_history = 2;
    it->health.end.is_other_history = true;
    expect(it, HEALTH_CRITICAL, "history of timeline 2 that is not this server's");
}

static void wal_in_which_data_is_missing_is_told(void **state)
{
    Case *it = setup();

    (void)state;
    it->health.end.minimal_at = 4 * MIB + 0x28;
    expect(it, HEALTH_CRITICAL, "from 0/400028 on WAL was written with wal_level=minimal");
    it = setup();
    it->health.server.archive.wal_level = "minimal";
    it->health.server.archive.is_on = false;
    expect(it, HEALTH_CRITICAL, "wal_level is minimal");
}

static void an_old_backup_is_told(void **state)
{
    static const struct {
        TimeUs now, limit;
        HealthLevel level;
    } cases[] = {
        {129601 * 1000000LL, 129600 * 1000000LL, HEALTH_OK},
        {129602 * 1000000LL, 129600 * 1000000LL, HEALTH_WARNING},
        {3456000 * 1000000LL, 129600 * 1000000LL, HEALTH_WARNING},
        {3456000 * 1000000LL, 0, HEALTH_OK}, /* any age */
        {0, 129600 * 1000000LL, HEALTH_OK},  /* from the future: clocks */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Case *it = setup();
        it->health.now = cases[i].now;
        it->health.backup_age = cases[i].limit;
        expect(it, cases[i].level, cases[i].level == HEALTH_OK ? NULL : "the newest backup");
    }
}

/* A clock was set back between the two; and a stray timeline's is not the server's. */
static void the_newest_backup_is_the_one_that_reaches_furthest(void **state)
{
    PathStep steps[2] = {{.timeline = 1, .end = 8 * MIB}, {.timeline = 3, .begin = 8 * MIB}};
    BackupInfo all[4];
    Case *it = setup();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        all[i] = it->backup;
    all[0].header =
        (ManifestHeader){.id = "early", .timeline = 1, .stop = 2 * MIB, .stopped_at = 90 * second};
    all[1].header =
        (ManifestHeader){.id = "late", .timeline = 1, .stop = 3 * MIB, .stopped_at = 10 * second};
    all[2].header =
        (ManifestHeader){.id = "beyond", .timeline = 1, .stop = 9 * MIB, .stopped_at = 95 * second};
    all[3].header =
        (ManifestHeader){.id = "stray", .timeline = 2, .stop = 9 * MIB, .stopped_at = 99 * second};
    it->health.backups = (BackupList){.items = all, .count = 4};
    it->health.path = (TimelinePath){.steps = steps, .count = 2};
    assert_string_equal(health_newest_backup(&it->health, BACKUP_RESTORABLE)->header.id, "late");
    /* Of a server that is not known the latest timeline's. */
    it->health.has_end = false;
    assert_string_equal(health_newest_backup(&it->health, BACKUP_RESTORABLE)->header.id, "stray");
    done(it);
}

static void a_command_that_stores_elsewhere_is_told(void **state)
{
    static const struct {
        const char *command, *option, *value;
    } cases[] = {
        {"pgcairn archive-push --repo=/r %p", "repo", "/r"},
        {"pgcairn archive-push --repo /r %p", "repo", "/r"},
        {"pgcairn archive-push --repo='/r x' %p", "repo", "/r x"},
        {"pgcairn archive-push --repo=\"/r x\" %p", "repo", "/r x"},
        {"pgcairn archive-push --repo=/a --repo=/r %p; true", "repo", "/r"},
        {"pgcairn archive-push --repo=/r; true", "repo", "/r"},
        {"pgcairn archive-get '--repo=/r '\\''x' %f \"%p\"", "repo", "/r 'x"},
        {"pgcairn archive-push --repo=\"/r \\\"x\" %p", "repo", "/r \"x"},
        {"sh -c 'pgcairn archive-push --repo=/r %p'", "repo", "/r"},
        {"pgcairn archive-push --repo", "repo", NULL},
        {"pgcairn archive-push --repository=/r %p", "repo", NULL},
        {"pgcairn archive-push %p --repo=", "repo", NULL},
        {"pgcairn archive-push %p", "repo", NULL},
    };
    CLEANUP(arena_done) Arena arena = {0};
    Case *it = setup();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *value = command_option(cases[i].command, cases[i].option, &arena);
        if (cases[i].value == NULL ? value != NULL
                                   : value == NULL || strcmp(value, cases[i].value) != 0)
            fail_msg("case %zu: %s", i, value != NULL ? value : "-");
    }
    CLEANUP(repo_done) Repo repo = {.storage = storage_memory_new()};
    it->health.server.archives_to = "/elsewhere";
    it->health.cluster.repo = &repo;
    expect_kept(it, HEALTH_WARNING, "stores elsewhere: /elsewhere");
    done(it);
}

static void archivers_that_fail_or_deceive_are_told(void **state)
{
    Case *it = setup();
    ArchiverLook *archiver = &it->health.server.archiver;

    (void)state;
    archiver->last_failed = "000000010000000000000005";
    archiver->last_failed_at = 98000 * second;
    archiver->failed_count = 3;
    expect(it, HEALTH_OK, NULL); /* it went well since */
    it = setup();
    archiver = &it->health.server.archiver;
    archiver->last_failed = "000000010000000000000005";
    archiver->last_failed_at = 99500 * second;
    archiver->failed_count = 3;
    it->health.pile.others = 1;
    expect(it, HEALTH_WARNING, "000000010000000000000005, last tried 8 min ago, 3 failures");
    it = setup();
    archiver = &it->health.server.archiver;
    archiver->last_failed = "000000010000000000000005";
    archiver->last_failed_at = 99500 * second;
    expect(it, HEALTH_OK, NULL); /* nothing waits any more, whatever the statistics say yet */
    it = setup();
    it->health.server.archiver.last_archived = "000000010000000000000005";
    expect(it, HEALTH_CRITICAL, "counts 000000010000000000000005 as archived");
    it = setup();
    it->health.server.archiver.last_archived = "000000010000000000000005.00000028.backup";
    expect(it, HEALTH_CRITICAL, "counts 000000010000000000000005.00000028.backup as archived");
    /* Before the repository's time: another archive had it. */
    it = setup();
    it->run.first = 3;
    it->health.server.archiver.last_archived = "000000010000000000000002";
    expect(it, HEALTH_OK, NULL);
    it = setup();
    it->health.pile.full_in = 3600 * second;
    expect(it, HEALTH_CRITICAL, "pg_wal is full in 60 min");
    it = setup();
    it->health.pile.full_in = 3601 * second;
    expect(it, HEALTH_WARNING, "pg_wal is full in");
    it = setup();
    it->health.pile.full_in = 90000 * second;
    expect(it, HEALTH_OK, NULL);
}

static void settings_that_do_not_fit_are_told(void **state)
{
    Case *it = setup();

    (void)state;
    it->health.server.archive.timeout = 3599 * second;
    expect(it, HEALTH_OK, NULL);
    it = setup();
    it->health.server.archive.timeout = 3600 * second;
    expect(it, HEALTH_WARNING, "commits wait longer than is allowed");
    it = setup();
    it->health.server.archive.timeout = 0;
    expect(it, HEALTH_WARNING, "archive_timeout is 0");
    /* With pgcairn receive nothing waits for a segment. */
    it = setup();
    it->health.server.archive.timeout = 0;
    it->health.server.slot_count = 1;
    it->slots[0].is_ours = true;
    expect(it, HEALTH_OK, NULL);
    it = setup();
    it->health.server.archive.is_on = false;
    it->health.server.slot_count = 1;
    it->slots[0].is_ours = true;
    expect(it, HEALTH_OK, NULL);

    it = setup();
    it->health.server.archive.is_on = false;
    expect(it, HEALTH_WARNING, "archive_mode is off");
    /* A standby's primary archives. */
    it = setup();
    it->health.server.archive.is_on = false;
    it->health.server.in_recovery = true;
    expect(it, HEALTH_OK, NULL);
    it = setup();
    it->health.server.archive.command = "";
    expect(it, HEALTH_WARNING, "archive_command is empty");
    it = setup();
    it->health.server.archive.command = "";
    it->health.server.archive.library = "pgcairn_archive";
    expect(it, HEALTH_OK, NULL);
    it = setup();
    it->health.server.archive.command = "/usr/local/bin/push %p";
    expect(it, HEALTH_OK, NULL); /* the last archived segment is here */
    it = setup();
    it->health.server.archive.command = "cp %p /mnt";
    it->health.server.archiver.last_archived = "";
    expect(it, HEALTH_WARNING, "archive_command is not pgcairn's");
}

static void slots_that_hold_back_wal_are_told(void **state)
{
    static const struct {
        SlotLook slot;
        HealthLevel level;
        const char *words;
    } cases[] = {
        {{.name = "a", .wal_status = "reserved", .held = 1024ULL * MIB}, HEALTH_OK, NULL},
        {{.name = "a", .wal_status = "extended", .held = 1024ULL * MIB + 1},
         HEALTH_WARNING,
         "slot a holds back 1024 MiB"},
        {{.name = "a", .wal_status = "extended", .held = 1025ULL * MIB, .is_active = true},
         HEALTH_OK,
         NULL},
        {{.name = "a", .wal_status = "unreserved", .is_active = true},
         HEALTH_WARNING,
         "about to lose WAL"},
        {{.name = "a", .wal_status = "lost"}, HEALTH_WARNING, "has lost WAL"},
        {{.name = "pgcairn", .wal_status = "reserved", .is_ours = true},
         HEALTH_WARNING,
         "receive is not connected"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Case *it = setup();

        it->slots[0] = cases[i].slot;
        it->health.server.slot_count = 1;
        expect(it, cases[i].level, cases[i].words);
    }
}

/* However many there are, the worst are told. */
static void too_many_findings_leave_out_the_mildest(void **state)
{
    Case *it = setup();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(it->slots); i++)
        it->slots[i].wal_status = "lost";
    it->health.server.slot_count = ARRAY_SIZE(it->slots);
    it->health.exposure = (Exposure){.state = EXPOSURE_KNOWN, .age = 9999 * second};
    it->health.server.clock_ahead = 60 * second;
    expect(it, HEALTH_CRITICAL, "the oldest commit");
}

/* Timeline 2 left timeline 1 at 4 MiB; 1 went on, and reaches furthest. */
static void the_window_is_the_one_of_the_servers_history(void **state)
{
    PathStep parent[] = {{.timeline = 1}};
    PathStep child[] = {{.timeline = 1, .end = 4 * MIB}, {.timeline = 2, .begin = 4 * MIB}};
    PathStep later[] = {{.timeline = 1, .end = 9 * MIB}, {.timeline = 3, .begin = 9 * MIB}};
    const struct {
        bool is_known;
        TimelinePath path;
        size_t windows; /* that are there */
        uint32_t window;
        bool is_own;
    } cases[] = {
        {true, {child, 2}, 2, 2, true},  {true, {parent, 1}, 2, 1, true},
        {true, {child, 2}, 1, 1, false}, /* none of its WAL is archived */
        {true, {later, 2}, 2, 1, true},  /* nor here: all of 1 is its own */
        {false, {NULL, 0}, 2, 1, true},
    };
    RecoveryWindow windows[] = {
        {.timeline = 1, .until = 9 * MIB, .until_time = 90 * second},
        {.timeline = 2, .until = 5 * MIB, .until_time = 50 * second},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Case *it = setup();

        it->health.has_end = cases[i].is_known;
        it->health.path = cases[i].path;
        it->health.windows = (WindowList){.items = windows, .count = cases[i].windows};
        const RecoveryWindow *window = health_window(&it->health);
        assert_int_equal(window->timeline, cases[i].window);
        assert_int_equal(health_is_own_window(&it->health, window), cases[i].is_own);
        it->health.windows.count = 0;
        assert_null(health_window(&it->health));
        done(it);
    }
}

static void a_duty_that_is_overdue_warns_and_one_that_is_due_does_not(void **state)
{
    static const TimeUs day = 86400 * 1000000LL;
    static const struct {
        Duty duty;
        bool is_overdue, is_done;
        const char *words; /* NULL: no warning */
    } cases[] = {
        {DUTY_VERIFY, true, true, "verify is overdue: it was done"},
        {DUTY_VERIFY, true, false, "verify is overdue: it was never done"},
        {DUTY_VERIFY, false, false, NULL},
        {DUTY_RESTORE, true, true, "test restore is overdue"},
        {DUTY_DRILL, true, true, "full drill is overdue"},
        {DUTY_BACKUP, true, true, NULL}, /* --backup-age says how old it may get */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Case *it = setup();

        it->health.now = 100 * day;
        it->health.duties[cases[i].duty] =
            (DutyState){.period = day,
                        .last = cases[i].is_done ? 90 * day : TIME_US_NONE,
                        .is_due = true,
                        .is_overdue = cases[i].is_overdue};
        expect(it, cases[i].words != NULL ? HEALTH_WARNING : HEALTH_OK, cases[i].words);
    }
}

static void a_restore_that_takes_too_long_warns_and_says_what_helps(void **state)
{
    static const RestoreRates four = {.kind = {.jobs = 4}};
    static const struct {
        ForecastRemedy remedy;
        bool has_window;
        const char *next; /* NULL: no warning */
    } cases[] = {
        {{.is_needed = true, .backup_every = 7200 * 1000000LL}, true, "a backup every 2 h keeps"},
        {{.is_needed = true, .backup_every = 0}, true, "no backup is recent enough"},
        {{.is_needed = true, .backup_every = TIME_US_NONE}, true, "`pgcairn backup`"},
        {{.is_needed = true, .backup_every = 0, .faster = &four, .faster_time = 60 * 1000000LL},
         true,
         "with --jobs=4 it was measured to take 60 s"},
        {{.is_needed = false}, true, NULL},
        {{.is_needed = true}, false, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Case *it = setup();

        it->health.rto = 3600 * second;
        it->health.outlook = (RestoreOutlook){
            .rates = &four,
            .has_window = cases[i].has_window,
            .worst = {.is_known = true, .has_p90 = true, .p90 = 7200 * second},
            .remedy = cases[i].remedy,
        };
        expect_kept(it, cases[i].next != NULL ? HEALTH_WARNING : HEALTH_OK,
                    cases[i].next != NULL ? "takes up to 2 h, the objective is 60 min" : NULL);
        if (cases[i].next != NULL)
            assert_non_null(strstr(it->health.findings[0].next, cases[i].next));
        done(it);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_well),
        cmocka_unit_test(a_repository_that_fills_is_told_before_it_is_full),
        cmocka_unit_test(a_duty_that_is_overdue_warns_and_one_that_is_due_does_not),
        cmocka_unit_test(a_restore_that_takes_too_long_warns_and_says_what_helps),
        cmocka_unit_test(half_of_the_objective_warns_and_all_of_it_is_critical),
        cmocka_unit_test(what_is_not_known_is_unknown),
        cmocka_unit_test(clocks_that_disagree_are_told),
        cmocka_unit_test(backups_that_cannot_be_restored_are_told),
        cmocka_unit_test(gaps_in_the_archive_are_told),
        cmocka_unit_test(wal_in_which_data_is_missing_is_told),
        cmocka_unit_test(an_old_backup_is_told),
        cmocka_unit_test(the_newest_backup_is_the_one_that_reaches_furthest),
        cmocka_unit_test(a_command_that_stores_elsewhere_is_told),
        cmocka_unit_test(archivers_that_fail_or_deceive_are_told),
        cmocka_unit_test(settings_that_do_not_fit_are_told),
        cmocka_unit_test(slots_that_hold_back_wal_are_told),
        cmocka_unit_test(too_many_findings_leave_out_the_mildest),
        cmocka_unit_test(the_window_is_the_one_of_the_servers_history),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
