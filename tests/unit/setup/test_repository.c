#include "setup/repository.h"

#include "../repo/fixture.h"
#include "storage/wrap.h"
#include "stores.h"

enum { RATE = 1 << 20, PAUSE_MAX_MS = 5000 };

/* As the header promises it, with --retries=3 and --rate-limit=1MiB. */
static const struct {
    RepositoryUse use;
    unsigned attempts;
    uint64_t waits_ms; /* in all, while nothing answers */
    uint64_t bytes_per_s;
} policies[] = {
    {REPOSITORY_FOR_SERVER, 4, 1400, 0},  {REPOSITORY_FOR_READING, 6, 7750, RATE},
    {REPOSITORY_FOR_WRITING, 6, 7750, 0}, {REPOSITORY_FOR_ANSWER, 3, 300, 0},
    {REPOSITORY_ONCE, 1, 0, 0},
};

static const Options options = {
    .repo = "/some/where", .cluster = "main", .retries = 3, .rate_limit = RATE, .jobs = 8};

/* storage_retry_new(): twice as long each time, up to 5 s. */
static uint64_t waits_ms(const StorageSetup *setup)
{
    uint64_t pause_ms = setup->pause_ms, sum_ms = 0;

    for (unsigned attempt = 1; attempt < setup->attempts; attempt++) {
        sum_ms += pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS;
        pause_ms *= 2;
    }
    return sum_ms;
}

static void each_use_has_the_patience_that_is_promised(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
        StorageSetup setup = repository_setup(&options, policies[i].use);
        assert_string_equal(setup.address, "/some/where");
        assert_int_equal(setup.attempts, policies[i].attempts);
        assert_int_equal(waits_ms(&setup), policies[i].waits_ms);
        assert_int_equal(setup.bytes_per_s, policies[i].bytes_per_s);
    }
}

static void retries_are_what_the_operator_says_for_the_server_s_calls_alone(void **state)
{
    (void)state;
    for (uint64_t retries = 0; retries <= 100; retries += 50) {
        Options other = options;
        other.retries = retries;
        for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
            unsigned expected = policies[i].use == REPOSITORY_FOR_SERVER ? (unsigned)retries + 1
                                                                         : policies[i].attempts;
            assert_int_equal(repository_setup(&other, policies[i].use).attempts, expected);
        }
    }
}

/* As repository_open() does, of a repository that the first `failures` calls don't reach. */
static bool open_after(unsigned failures, const StorageSetup *setup, Error *err)
{
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(repo_done) Repo repo = {0};
    const StorageFault fault = {
        .fail_at = failures > 0 ? 1 : 0, .fail_count = failures, .code = ERR_UNREACHABLE};
    StorageSetup hurried = *setup;
    Cluster cluster;

    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    hurried.pause_ms = 0;
    Storage *away = storage_fault_new(TAKE(fixture.repo.storage), &fault);
    return repo_open(&repo, storage_wrap(away, &hurried), err) &&
           cluster_open(&repo, fixture.cluster.name, &cluster, err);
}

static void a_repository_that_is_away_for_a_moment_is_opened_and_one_that_stays_away_is_not(
    void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
        const StorageSetup setup = repository_setup(&options, policies[i].use);
        for (unsigned failures = 0; failures <= policies[i].attempts; failures++) {
            Error err = {0};
            bool is_open = open_after(failures, &setup, &err);
            assert_int_equal(is_open, failures < policies[i].attempts);
            assert_int_equal(err.code, is_open ? ERR_NONE : ERR_UNREACHABLE);
        }
    }
}

static void what_is_opened_is_closed_whatever_it_was(void **state)
{
    Options nothing = options;
    CLEANUP(repo_done) Repo repo = {0};
    Cluster cluster;
    Error err = {0};

    (void)state;
    nothing.repo = "not/absolute";
    assert_false(repository_open(&nothing, REPOSITORY_FOR_ANSWER, &repo, &cluster, &err));
    assert_int_equal(err.code, ERR_USAGE);
    assert_int_equal(repo.id[0], '\0');
    error_clear(&err);
    nothing.repo = "/no/such/place";
    assert_false(repository_open(&nothing, REPOSITORY_ONCE, &repo, &cluster, &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
    assert_int_equal(repo.id[0], '\0');
}

static void a_segment_gets_no_more_threads_than_it_has_work_for(void **state)
{
    static const uint64_t jobs[] = {1, 2, 4, 5, 64};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
        const Options asked = {.jobs = jobs[i]};
        assert_int_equal(repository_segment_threads(&asked), jobs[i] < 4 ? jobs[i] : 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_use_has_the_patience_that_is_promised),
        cmocka_unit_test(retries_are_what_the_operator_says_for_the_server_s_calls_alone),
        cmocka_unit_test(
            a_repository_that_is_away_for_a_moment_is_opened_and_one_that_stays_away_is_not),
        cmocka_unit_test(what_is_opened_is_closed_whatever_it_was),
        cmocka_unit_test(a_segment_gets_no_more_threads_than_it_has_work_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
