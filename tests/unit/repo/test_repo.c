#include "repo/repo.h"

#include "base/tree.h"
#include "fixture.h"
#include "repo/layout.h"
#include "repo/record.h"
#include "storage/wrap.h"
#include "stores.h"

/* A repository record as a newer or stranger program would write it. */
static void put_repository(Storage *storage, const char *format, const char *encryption)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};
    Error err = {0};

    record_begin(&record, "repository", 1);
    record_text(&record, "format", format);
    record_text(&record, "id", "00112233445566778899aabbccddeeff");
    record_text(&record, "hash_seed", "0123456789abcdef");
    record_text(&record, "encryption", encryption);
    assert_true(record_store(&record, storage, LAYOUT_REPOSITORY, &err));
}

static void a_created_repository_opens_with_the_same_identity(void **state)
{
    char address[] = "/tmp/test_repo_XXXXXX";
    CLEANUP(repo_done) Repo first = {0};
    CLEANUP(repo_done) Repo again = {0};
    CLEANUP(repo_done) Repo opened = {0};
    bool created = false;
    Error err = {0};

    (void)state;
    assert_non_null(mkdtemp(address));
    assert_true(repo_create(&first, storage_open(&(StorageSetup){.address = address}, &err),
                            &created, &err));
    assert_true(created);
    assert_true(repo_create(&again, storage_open(&(StorageSetup){.address = address}, &err),
                            &created, &err));
    assert_false(created);
    assert_true(repo_open(&opened, storage_open(&(StorageSetup){.address = address}, &err), &err));

    assert_int_equal(strlen(first.id), 32);
    assert_string_equal(again.id, first.id);
    assert_string_equal(opened.id, first.id);
    assert_true(again.hash_seed == first.hash_seed && opened.hash_seed == first.hash_seed);
    assert_false(opened.is_encrypted);
    assert_true(storage_remove(first.storage, LAYOUT_REPOSITORY, &err));
    CLEANUP(text_freep) char *command = text_format("rm -r %s", address);
    assert_int_equal(system(command), 0);
}

static void two_repositories_differ(void **state)
{
    CLEANUP(fixture_done) Fixture a;
    CLEANUP(fixture_done) Fixture b;

    (void)state;
    fixture_open(&a, FIXTURE_SEGMENT_SIZE);
    fixture_open(&b, FIXTURE_SEGMENT_SIZE);
    assert_string_not_equal(a.repo.id, b.repo.id);
    assert_true(a.repo.hash_seed != b.repo.hash_seed);
}

static void a_place_that_lost_its_repository_or_got_another_one_is_noticed(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    assert_true(repo_check(&fixture.repo, &err));
    assert_true(storage_remove(fixture.repo.storage, LAYOUT_REPOSITORY, &err));
    assert_false(repo_check(&fixture.repo, &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
    error_clear(&err);
    put_repository(fixture.repo.storage, "1", "none");
    assert_false(repo_check(&fixture.repo, &err));
    assert_int_equal(err.code, ERR_REFUSED);
}

static void an_empty_place_is_no_repository(void **state)
{
    CLEANUP(repo_done) Repo repo = {0};
    Error err = {0};

    (void)state;
    assert_false(repo_open(&repo, storage_memory_new(), &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.hint, "pgcairn init"));
}

static void a_missing_place_is_out_of_reach(void **state)
{
    CLEANUP(repo_done) Repo repo = {0};
    Error err = {0};

    (void)state;
    assert_false(repo_open(
        &repo, storage_open(&(StorageSetup){.address = "/tmp/no/such/place"}, &err), &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
}

static void newer_and_encrypted_repositories_are_refused(void **state)
{
    static const struct {
        const char *format, *encryption, *message;
    } cases[] = {
        {"2", "none", "repository has format 2, this program knows 1"},
        {"2", "aes-256-gcm", "repository has format 2, this program knows 1"},
        {"1", "aes-256-gcm",
         "repository is encrypted (\"aes-256-gcm\"), which this program can't read"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (int create = 0; create < 2; create++) {
            CLEANUP(repo_done) Repo repo = {0};
            Storage *storage = storage_memory_new();
            bool created;
            Error err = {0};

            put_repository(storage, cases[i].format, cases[i].encryption);
            assert_false(create ? repo_create(&repo, storage, &created, &err)
                                : repo_open(&repo, storage, &err));
            assert_int_equal(err.code, ERR_VERSION);
            assert_string_equal(err.message, cases[i].message);
            assert_true(err.hint[0] != '\0');
        }
    }
}

static void any_changed_bit_of_the_repository_record_is_noticed(void **state)
{
    CLEANUP(buffer_done) Buffer content = {0};
    CLEANUP(fixture_done) Fixture fixture;

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    object_get(&fixture, LAYOUT_REPOSITORY, &content);
    for (size_t bit = 0; bit < content.size * 8; bit++) {
        CLEANUP(repo_done) Repo repo = {0};
        Storage *storage = storage_memory_new();
        Error err = {0};

        content.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_true(
            storage_put(storage, LAYOUT_REPOSITORY, WRITE_NEW, content.data, content.size, &err));
        assert_false(repo_open(&repo, storage, &err));
        assert_true(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
        content.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void nothing_begins_anew_on_top_of_a_cluster(void **state)
{
    CLEANUP(repo_done) Repo repo = {0};
    Storage *storage = storage_memory_new();
    bool created;
    Error err = {0};

    (void)state;
    assert_true(storage_put(storage, "main/registration/0001", WRITE_NEW, "x", 1, &err));
    assert_false(repo_create(&repo, storage, &created, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_false(storage_stat(storage, LAYOUT_REPOSITORY, NULL, NULL, &(Error){0}));
}

static void a_registered_cluster_opens_as_it_was_registered(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    Cluster cluster = {0};
    bool created = true;
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    assert_true(cluster_open(&fixture.repo, "main", &cluster, &err));
    assert_string_equal(cluster.name, "main");
    assert_true(cluster.system_identifier == FIXTURE_SYSTEM);
    assert_int_equal(cluster.major, FIXTURE_MAJOR);
    assert_int_equal(cluster.wal_segment_size, FIXTURE_SEGMENT_SIZE);
    assert_int_equal(cluster.registration, 1);
    assert_true(cluster.registered_at == fixture.cluster.registered_at);

    assert_true(cluster_register(&fixture.repo, "main", FIXTURE_SYSTEM, FIXTURE_MAJOR,
                                 FIXTURE_SEGMENT_SIZE, &cluster, &created, &err));
    assert_false(created);
    assert_int_equal(object_count(&fixture, "main/"), 1);
}

static void another_cluster_does_not_take_a_name(void **state)
{
    static const struct {
        uint64_t system_identifier;
        unsigned major;
        uint32_t segment_size;
    } others[] = {
        {FIXTURE_SYSTEM + 1, FIXTURE_MAJOR, FIXTURE_SEGMENT_SIZE},
        {FIXTURE_SYSTEM, FIXTURE_MAJOR + 1, FIXTURE_SEGMENT_SIZE},
        {FIXTURE_SYSTEM, FIXTURE_MAJOR, FIXTURE_SEGMENT_SIZE * 2},
    };
    CLEANUP(fixture_done) Fixture fixture;

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        Cluster cluster = {0};
        bool created;
        Error err = {0};

        assert_false(cluster_register(&fixture.repo, "main", others[i].system_identifier,
                                      others[i].major, others[i].segment_size, &cluster, &created,
                                      &err));
        assert_int_equal(err.code, ERR_EXISTS);
        assert_true(cluster.system_identifier == FIXTURE_SYSTEM);
    }
}

static void the_highest_registration_counts(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(record_writer_done) RecordWriter record = {0};
    Cluster cluster = {0};
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    record_begin(&record, "registration", 1);
    record_text(&record, "cluster", "main");
    record_u64(&record, "system_identifier", 77);
    record_u64(&record, "major", 16);
    record_u64(&record, "wal_segment_size", 1 << 20);
    record_time(&record, "registered", 5);
    assert_true(record_store(&record, fixture.repo.storage, "main/registration/0002", &err));
    object_put(&fixture, "main/registration/0003.tmp", "x", 1); /* not ours */
    object_put(&fixture, "main/registration/12345", "x", 1);

    assert_true(cluster_open(&fixture.repo, "main", &cluster, &err));
    assert_int_equal(cluster.registration, 2);
    assert_true(cluster.system_identifier == 77);
    assert_int_equal(cluster.wal_segment_size, 1 << 20);
}

static void a_registration_of_another_cluster_is_damage(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(buffer_done) Buffer content = {0};
    Cluster cluster = {0};
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    object_get(&fixture, "main/registration/0001", &content);
    object_put(&fixture, "other/registration/0001", content.data, content.size);

    assert_false(cluster_open(&fixture.repo, "other", &cluster, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

/* Signed, and yet no cluster that there can be. */
static void a_registration_that_makes_no_sense_is_damage(void **state)
{
    static const struct {
        uint64_t system_identifier, major, segment_size;
        bool is_good;
    } cases[] = {
        {7, 15, 1 << 20, true},
        {0, 15, 1 << 20, false},
        {7, 0, 1 << 20, false},
        {7, 1000, 1 << 20, false},
        {7, 15, 3 << 20, false},
        {7, 15, 0, false},
        {7, UINT64_C(1) << 32 | 15, 1 << 20, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(fixture_done) Fixture fixture;
        CLEANUP(record_writer_done) RecordWriter record = {0};
        Cluster cluster;
        Error err = {0};

        fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
        record_begin(&record, "registration", 1);
        record_text(&record, "cluster", "main");
        record_u64(&record, "system_identifier", cases[i].system_identifier);
        record_u64(&record, "major", cases[i].major);
        record_u64(&record, "wal_segment_size", cases[i].segment_size);
        record_time(&record, "registered", 0);
        record_finish(&record);
        object_put(&fixture, "main/registration/0001", record.text.data, record.text.size);
        if (cluster_open(&fixture.repo, "main", &cluster, &err) != cases[i].is_good)
            fail_msg("case %zu: %s", i, err.message);
        assert_int_equal(err.code, cases[i].is_good ? ERR_NONE : ERR_CORRUPT);
    }
}

/* What is not exactly a registration registers nothing. */
static void only_registrations_make_a_cluster(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(object_list_done) ObjectList list = {0};
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    object_put(&fixture, "one/registered/0001", "x", 1);
    object_put(&fixture, "two/elsewhere000/0001", "x", 1);
    object_put(&fixture, "three/registration/1", "x", 1);
    object_put(&fixture, "four/registration/0001x", "x", 1);
    assert_true(repo_clusters(&fixture.repo, &list, &err));
    assert_int_equal(list.count, 1);
    assert_string_equal(list.objects[0].name, "main");
}

static void a_repository_record_that_makes_no_sense_is_damage(void **state)
{
    static const char good_id[] = "00112233445566778899aabbccddeeff";
    static const struct {
        const char *format, *id, *seed;
        ErrorCode code;
    } cases[] = {
        {"1", good_id, "0123456789abcdef", ERR_NONE},
        {"0", good_id, "0123456789abcdef", ERR_CORRUPT},
        {"2", good_id, "0123456789abcdef", ERR_VERSION},
        {"1", "00112233445566778899aabbccddeef", "0123456789abcdef", ERR_CORRUPT},
        {"1", "00112233445566778899aabbccddeefg", "0123456789abcdef", ERR_CORRUPT},
        {"1", good_id, "0123456789abcde", ERR_CORRUPT},
        {"1", good_id, "0123456789abcdefa", ERR_CORRUPT},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(record_writer_done) RecordWriter record = {0};
        CLEANUP(repo_done) Repo repo = {0};
        Storage *storage = storage_memory_new();
        Error err = {0};

        record_begin(&record, "repository", 1);
        record_text(&record, "format", cases[i].format);
        record_text(&record, "id", cases[i].id);
        record_text(&record, "hash_seed", cases[i].seed);
        record_text(&record, "encryption", "none");
        assert_true(record_store(&record, storage, "repository", &err));
        if (repo_open(&repo, storage, &err) != (cases[i].code == ERR_NONE) ||
            err.code != cases[i].code)
            fail_msg("case %zu: %d", i, (int)err.code);
    }
}

static void an_unknown_cluster_is_not_found(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    Cluster cluster = {0};
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    assert_false(cluster_open(&fixture.repo, "mai", &cluster, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_string_equal(err.hint, "it holds main: --cluster=main");
    err = (Error){0};
    assert_false(cluster_open(&fixture.repo, "../x", &cluster, &err));
    assert_int_equal(err.code, ERR_USAGE);
}

static void an_unreachable_store_is_no_absence(void **state)
{
    Storage *inner = storage_memory_new();
    StorageFault fault = {.fail_at = 1, .fail_count = 1000, .code = ERR_UNREACHABLE};
    CLEANUP(repo_done) Repo repo = {0};
    bool created;
    Error err = {0};

    (void)state;
    put_repository(inner, "1", "none");
    Storage *storage = storage_fault_new(inner, &fault);
    assert_false(repo_create(&repo, storage, &created, &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
}

static void what_is_another_cluster_is_refused(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    assert_true(cluster_check(&fixture.cluster, FIXTURE_SYSTEM, FIXTURE_MAJOR, "the server", &err));
    assert_false(
        cluster_check(&fixture.cluster, FIXTURE_SYSTEM + 1, FIXTURE_MAJOR, "the server", &err));
    assert_int_equal(err.code, ERR_REFUSED);
    assert_non_null(strstr(err.message, "7300000000000000001"));
    assert_non_null(strstr(err.message, "7300000000000000002"));
    err = (Error){0};
    assert_false(
        cluster_check(&fixture.cluster, FIXTURE_SYSTEM, FIXTURE_MAJOR + 1, "the server", &err));
    assert_int_equal(err.code, ERR_REFUSED);
}

static void assert_hint_names(const char *hint, const char *words)
{
    if (strstr(hint, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", hint, words);
}

static void register_upgraded(Fixture *fixture, const char *name, Cluster *cluster)
{
    bool created;
    Error err = {0};

    assert_true(cluster_register(&fixture->repo, name, FIXTURE_SYSTEM + 1, FIXTURE_MAJOR + 2,
                                 FIXTURE_SEGMENT_SIZE, cluster, &created, &err));
}

/* Also when the first call died between the two registrations. */
static void an_upgraded_cluster_and_the_old_one_know_each_other(void **state)
{
    for (int was_killed = 0; was_killed < 2; was_killed++) {
        CLEANUP(fixture_done) Fixture fixture;
        Cluster old;
        Cluster next;
        Error err = {0};

        (void)state;
        fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
        register_upgraded(&fixture, "main-17", &next);
        assert_true(cluster_open(&fixture.repo, "main", &old, &err));
        assert_true(cluster_succeed(&old, &next, &err));
        if (was_killed > 0) {
            assert_true(storage_remove(fixture.repo.storage, "main/registration/0002", &err));
            assert_true(cluster_open(&fixture.repo, "main", &old, &err));
            assert_string_equal(old.successor, "");
            assert_true(cluster_succeed(&old, &next, &err));
        }
        assert_true(cluster_succeed(&old, &next, &err)); /* once more changes nothing */
        assert_true(cluster_open(&fixture.repo, "main", &old, &err));
        assert_true(cluster_open(&fixture.repo, "main-17", &next, &err));
        assert_int_equal(old.registration, 2);
        assert_int_equal(next.registration, 2);
        assert_string_equal(old.successor, "main-17");
        assert_true(old.successor_identifier == FIXTURE_SYSTEM + 1);
        assert_true(old.system_identifier == FIXTURE_SYSTEM);
        assert_string_equal(next.predecessor, "main");
        assert_string_equal(next.successor, "");
    }
}

/* A way back to the old server, and another upgrade: both names stay, the later one is named. */
static void the_later_upgrade_is_the_successor(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    Cluster old;
    Cluster first;
    Cluster second;
    Error err = {0};
    bool created;

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    register_upgraded(&fixture, "first", &first);
    assert_true(cluster_register(&fixture.repo, "second", FIXTURE_SYSTEM + 2, FIXTURE_MAJOR + 2,
                                 FIXTURE_SEGMENT_SIZE, &second, &created, &err));
    assert_true(cluster_open(&fixture.repo, "main", &old, &err));
    assert_true(cluster_succeed(&old, &first, &err));
    assert_true(cluster_succeed(&old, &second, &err));
    assert_true(cluster_open(&fixture.repo, "main", &old, &err));
    assert_string_equal(old.successor, "second");
    assert_true(old.successor_identifier == FIXTURE_SYSTEM + 2);
    assert_false(cluster_succeed(&first, &second, &err)); /* it came from "main" */
    assert_int_equal(err.code, ERR_REFUSED);
}

static void what_no_upgrade_makes_is_refused(void **state)
{
    static const struct {
        const char *name;
        uint64_t system_identifier;
        unsigned major;
        bool is_fine;
    } cases[] = {
        {"next", FIXTURE_SYSTEM + 1, FIXTURE_MAJOR + 2, true},
        {"next", FIXTURE_SYSTEM + 1, FIXTURE_MAJOR, true}, /* of a development version */
        {"next", FIXTURE_SYSTEM, FIXTURE_MAJOR, false},
        {"next", FIXTURE_SYSTEM + 1, FIXTURE_MAJOR - 1, false},
        {"main", FIXTURE_SYSTEM + 1, FIXTURE_MAJOR + 2, false},
        {"before", FIXTURE_SYSTEM + 1, FIXTURE_MAJOR + 2, false},
    };
    CLEANUP(fixture_done) Fixture fixture;
    Cluster old;

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    old = fixture.cluster;
    (void)snprintf(old.predecessor, sizeof old.predecessor, "before");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Error err = {0};

        assert_int_equal(cluster_check_successor(&old, cases[i].name, cases[i].system_identifier,
                                                 cases[i].major, &err),
                         cases[i].is_fine);
        assert_int_equal(err.code, cases[i].is_fine ? ERR_NONE : ERR_REFUSED);
    }
}

static void a_server_that_was_upgraded_is_told_its_name(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    assert_false(
        cluster_check(&fixture.cluster, FIXTURE_SYSTEM + 1, FIXTURE_MAJOR + 2, "the server", &err));
    assert_hint_names(err.hint, "--upgrade=main");
    (void)snprintf(fixture.cluster.successor, sizeof fixture.cluster.successor, "next");
    fixture.cluster.successor_identifier = FIXTURE_SYSTEM + 1;
    err = (Error){0};
    assert_false(
        cluster_check(&fixture.cluster, FIXTURE_SYSTEM + 1, FIXTURE_MAJOR + 2, "the server", &err));
    assert_hint_names(err.hint, "--cluster=next");
    err = (Error){0};
    assert_false(
        cluster_check(&fixture.cluster, FIXTURE_SYSTEM + 2, FIXTURE_MAJOR, "the server", &err));
    assert_hint_names(err.hint, "another cluster");
}

static void clusters_are_listed_once_each(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(object_list_done) ObjectList list = {0};
    Cluster cluster;
    bool created;
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    assert_true(cluster_register(&fixture.repo, "a", 5, 15, 1 << 20, &cluster, &created, &err));
    assert_true(
        cluster_register(&fixture.repo, "main-2", 6, 15, 1 << 20, &cluster, &created, &err));
    object_put(&fixture, "main/registration/0002", "x", 1);
    object_put(&fixture, "main/wal/00000002.history.wal", "x", 1);
    object_put(&fixture, "stranger/file", "x", 1);

    assert_true(repo_clusters(&fixture.repo, &list, &err));
    assert_int_equal(list.count, 3);
    assert_string_equal(list.objects[0].name, "a");
    assert_string_equal(list.objects[1].name, "main");
    assert_string_equal(list.objects[2].name, "main-2");
}

/* However much there is in a cluster. */
static void the_names_of_clusters_cost_no_listing_of_objects(void **state)
{
    char address[] = "/tmp/test-clusters-XXXXXX";
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(object_list_done) ObjectList list = {0};
    StorageCount count = {0};
    Error err = {0};

    (void)state;
    assert_non_null(mkdtemp(address));
    fixture_open_at(&fixture, address);
    for (unsigned i = 0; i < 20; i++) {
        CLEANUP(text_freep) char *name = text_format("main/wal/0000000100000001/%u", i);
        object_put(&fixture, name, "x", 1);
    }
    fixture.repo.storage = storage_count_new(fixture.repo.storage, &count);
    assert_true(repo_clusters(&fixture.repo, &list, &err));
    assert_int_equal(list.count, 1);
    assert_string_equal(list.objects[0].name, "main");
    assert_int_equal(count.listed, 2); /* the folder, and the registration in it */
    assert_true(tree_remove(address, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_created_repository_opens_with_the_same_identity),
        cmocka_unit_test(two_repositories_differ),
        cmocka_unit_test(a_place_that_lost_its_repository_or_got_another_one_is_noticed),
        cmocka_unit_test(an_empty_place_is_no_repository),
        cmocka_unit_test(a_missing_place_is_out_of_reach),
        cmocka_unit_test(newer_and_encrypted_repositories_are_refused),
        cmocka_unit_test(any_changed_bit_of_the_repository_record_is_noticed),
        cmocka_unit_test(nothing_begins_anew_on_top_of_a_cluster),
        cmocka_unit_test(a_registered_cluster_opens_as_it_was_registered),
        cmocka_unit_test(another_cluster_does_not_take_a_name),
        cmocka_unit_test(the_highest_registration_counts),
        cmocka_unit_test(a_registration_of_another_cluster_is_damage),
        cmocka_unit_test(an_unknown_cluster_is_not_found),
        cmocka_unit_test(an_unreachable_store_is_no_absence),
        cmocka_unit_test(what_is_another_cluster_is_refused),
        cmocka_unit_test(an_upgraded_cluster_and_the_old_one_know_each_other),
        cmocka_unit_test(the_later_upgrade_is_the_successor),
        cmocka_unit_test(what_no_upgrade_makes_is_refused),
        cmocka_unit_test(a_server_that_was_upgraded_is_told_its_name),
        cmocka_unit_test(clusters_are_listed_once_each),
        cmocka_unit_test(the_names_of_clusters_cost_no_listing_of_objects),
        cmocka_unit_test(a_registration_that_makes_no_sense_is_damage),
        cmocka_unit_test(only_registrations_make_a_cluster),
        cmocka_unit_test(a_repository_record_that_makes_no_sense_is_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
