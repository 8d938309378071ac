#include "drill/evidence.h"

#include "stores.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char id[] = "20261122T031500Z-k3v7qa";

typedef struct Place {
    Repo repo;
    Cluster cluster;
    Arena arena;
} Place;

static void place_open(Place *place)
{
    *place = (Place){
        .repo = {.storage = storage_memory_new(), .id = "00112233445566778899aabbccddeeff"}};
    place->cluster = (Cluster){.repo = &place->repo, .name = "main", .system_identifier = 7};
}

static void place_done(Place *place)
{
    arena_done(&place->arena);
    repo_done(&place->repo);
}

static const char *const settings[] = {"archive_mode=off", "log_line_prefix=%m [%p] ", NULL};
static Probe probes[] = {
    {.result = PROBE_PASSED,
     .name = "connect",
     .where = "shop",
     .text = "410 relations",
     .elapsed = 12},
    {.result = PROBE_NOTED, .name = "unlogged", .where = "shop", .text = ""},
    {.result = PROBE_HOST, .name = "library", .where = "", .text = "gone\tand\nlost"},
    {.result = PROBE_FAILED, .name = "a = b", .where = "o\xc3\xa4", .text = "expected 1, found 2"},
};
static Count counts[] = {
    {.is_sequence = true, .where = "shop", .name = "public.s", .number = -3},
    {.where = "shop", .name = "public.\"a b\"", .number = INT64_MAX},
};

static Evidence sample(void)
{
    Evidence evidence = {
        .verdict = "failed",
        .status = 13,
        .error = "4 probes failed",
        .started = 1795354200123456,
        .finished = 1795354260000001,
        .host = "db1",
        .user = "postgres",
        .tool = "1.0",
        .options = "drill --seed=7",
        .server_version = 150018,
        .system_identifier = UINT64_MAX,
        .jobs = 2,
        .seed = 7,
        .has_seed = true,
        .chosen = "commit 1 of 2 in 000000010000000000000004",
        .target = "LSN 0/4000028",
        .target_timeline = 1,
        .backup = id,
        .reached = 0x4000050,
        .last_commit = 1795354190000007,
        .new_timeline = 2,
        .phases = {1, 2, 3, 4, 5, 6, 7},
        .files = 10,
        .bytes = 20,
        .read_bytes = 15,
        .wal_segments = 3,
        .wal_stored_bytes = 99,
        .has_network = false,
        .read_all = true,
        .settings = settings,
        .probes = probes,
        .probe_count = ARRAY_SIZE(probes),
        .counts = counts,
        .count_count = ARRAY_SIZE(counts),
        .log_sha256 = "",
    };

    memcpy(evidence.id, id, sizeof id);
    return evidence;
}

static void assert_same_numbers(const Evidence *found, const Evidence *kept)
{
    assert_int_equal(found->status, kept->status);
    assert_true(found->started == kept->started && found->finished == kept->finished);
    assert_int_equal(found->server_version, kept->server_version);
    assert_true(found->system_identifier == kept->system_identifier);
    assert_int_equal(found->jobs, kept->jobs);
    assert_int_equal(found->seed, kept->seed);
    assert_int_equal(found->has_seed, kept->has_seed);
    assert_int_equal(found->target_timeline, kept->target_timeline);
    assert_true(found->reached == kept->reached && found->last_commit == kept->last_commit);
    assert_int_equal(found->new_timeline, kept->new_timeline);
    assert_memory_equal(found->phases, kept->phases, sizeof kept->phases);
    assert_int_equal(found->files, kept->files);
    assert_int_equal(found->bytes, kept->bytes);
    assert_int_equal(found->read_bytes, kept->read_bytes);
    assert_int_equal(found->wal_segments, kept->wal_segments);
    assert_int_equal(found->wal_stored_bytes, kept->wal_stored_bytes);
    assert_int_equal(found->has_network, kept->has_network);
    assert_int_equal(found->read_all, kept->read_all);
}

static void assert_same_texts(const Evidence *found, const Evidence *kept)
{
    assert_string_equal(found->id, kept->id);
    assert_string_equal(found->verdict, kept->verdict);
    assert_string_equal(found->error, kept->error);
    assert_string_equal(found->host, kept->host);
    assert_string_equal(found->user, kept->user);
    assert_string_equal(found->tool, kept->tool);
    assert_string_equal(found->options, kept->options);
    assert_string_equal(found->chosen, kept->chosen);
    assert_string_equal(found->target, kept->target);
    assert_string_equal(found->backup, kept->backup);
}

static void what_is_kept_is_read(void **state)
{
    CLEANUP(place_done) Place place;
    CLEANUP(buffer_done) Buffer log = {0};
    CLEANUP(buffer_done) Buffer read = {0};
    Evidence kept = sample(), found;
    Error err = {0};

    (void)state;
    place_open(&place);
    buffer_print(&log, "LOG:  redo starts\nFATAL:  %s\n", "no");
    if (!evidence_store(&place.cluster, &kept, &log, &place.arena, &err) ||
        !evidence_load(&place.cluster, id, &found, &place.arena, &err) ||
        !evidence_load_log(&place.cluster, &found, &read, &err))
        fail_msg("%s", err.message);

    assert_same_texts(&found, &kept);
    assert_same_numbers(&found, &kept);
    assert_int_equal(read.size, log.size);
    assert_memory_equal(read.data, log.data, log.size);
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        if (settings[i] == NULL)
            assert_null(found.settings[i]);
        else
            assert_string_equal(found.settings[i], settings[i]);
    }
    assert_int_equal(found.probe_count, ARRAY_SIZE(probes));
    for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
        assert_int_equal(found.probes[i].result, probes[i].result);
        assert_string_equal(found.probes[i].name, probes[i].name);
        assert_string_equal(found.probes[i].where, probes[i].where);
        assert_int_equal(found.probes[i].elapsed, probes[i].elapsed);
    }
    assert_string_equal(found.probes[2].text, "gone and\nlost");
    assert_int_equal(found.count_count, ARRAY_SIZE(counts));
    assert_true(found.counts[0].is_sequence && found.counts[0].number == -3);
    assert_true(!found.counts[1].is_sequence && found.counts[1].number == INT64_MAX);
    assert_string_equal(found.counts[1].name, "public.\"a b\"");
}

static void the_end_of_a_long_log_is_kept(void **state)
{
    CLEANUP(place_done) Place place;
    CLEANUP(buffer_done) Buffer log = {0};
    CLEANUP(buffer_done) Buffer read = {0};
    Evidence kept = sample();
    Error err = {0};

    (void)state;
    place_open(&place);
    while (log.size <= EVIDENCE_LOG_MAX)
        buffer_print(&log, "line %zu\n", log.size);

    assert_true(evidence_store(&place.cluster, &kept, &log, &place.arena, &err));
    assert_true(evidence_load_log(&place.cluster, &kept, &read, &err));

    assert_int_equal(read.size, EVIDENCE_LOG_MAX);
    assert_memory_equal(read.data, log.data + (log.size - read.size), read.size);
}

static void another_log_is_noticed(void **state)
{
    CLEANUP(place_done) Place place;
    CLEANUP(buffer_done) Buffer log = {0};
    CLEANUP(buffer_done) Buffer read = {0};
    Evidence kept = sample();
    Error err = {0};

    (void)state;
    place_open(&place);
    buffer_print(&log, "LOG:  all is well\n");
    assert_true(evidence_store(&place.cluster, &kept, &log, &place.arena, &err));
    kept.log_sha256 = "0000000000000000000000000000000000000000000000000000000000000000";

    assert_false(evidence_load_log(&place.cluster, &kept, &read, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

static void a_list_has_what_can_not_be_read_too(void **state)
{
    static const char other[] = "20261121T031500Z-k3v7qa";
    CLEANUP(place_done) Place place;
    CLEANUP(evidence_list_done) EvidenceList list = {0};
    CLEANUP(text_freep) char *object = layout_evidence_record("main", other);
    const Buffer none = {0};
    Evidence kept = sample();
    Error err = {0};

    (void)state;
    place_open(&place);
    assert_true(evidence_store(&place.cluster, &kept, &none, &place.arena, &err));
    assert_true(
        storage_put(place.repo.storage, object, WRITE_NEW, "pgcairn evidence 1\n", 19, &err));

    assert_true(evidence_list_load(&list, &place.cluster, &err));

    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0].id, other);
    assert_string_equal(list.items[0].verdict, "unreadable");
    assert_string_equal(list.items[1].id, id);
    assert_string_equal(list.items[1].verdict, "failed");
    assert_false(
        evidence_load(&place.cluster, "20261120T031500Z-k3v7qa", &kept, &place.arena, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

/* Ten thousand tables with long names in another script: all is there but the last of the counts.
 */
static void evidence_never_grows_too_large_to_be_read(void **state)
{
    enum { MANY = 10000, SIZE = 300 };
    static Count many[MANY];
    static Probe found_bad[600];
    CLEANUP(place_done) Place place;
    CLEANUP(buffer_done) Buffer log = {0};
    char name[SIZE + 1];
    Evidence kept = sample(), found;
    Error err = {0};

    (void)state;
    memset(name, '\xd0', SIZE);
    name[SIZE] = '\0';
    for (size_t i = 0; i < MANY; i++)
        many[i] = (Count){.where = name, .name = name, .number = (int64_t)i};
    for (size_t i = 0; i < ARRAY_SIZE(found_bad); i++)
        found_bad[i] = (Probe){.result = PROBE_FAILED, .name = name, .where = name, .text = name};
    kept.counts = many;
    kept.count_count = MANY;
    kept.probes = found_bad;
    kept.probe_count = ARRAY_SIZE(found_bad);
    place_open(&place);

    if (!evidence_store(&place.cluster, &kept, &log, &place.arena, &err) ||
        !evidence_load(&place.cluster, id, &found, &place.arena, &err))
        fail_msg("%s", err.message);

    assert_true(found.probe_count > 100 && found.count_count < MANY);
    assert_string_equal(found.probes[0].text, name);
    assert_string_equal(found.error, kept.error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evidence_never_grows_too_large_to_be_read),
        cmocka_unit_test(what_is_kept_is_read),
        cmocka_unit_test(the_end_of_a_long_log_is_kept),
        cmocka_unit_test(another_log_is_noticed),
        cmocka_unit_test(a_list_has_what_can_not_be_read_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
