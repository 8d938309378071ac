#include "prefetch_pace.h"

#include "../scene.h"

#include <fcntl.h>
#include <unistd.h>

static const uint64_t ms = 1000;

/* Requests for one segment after the other. */
typedef struct Requests {
    Pace pace;
    TimeUs now;
    uint64_t segment;
} Requests;

static uint32_t answered(Requests *requests, uint64_t replay_us, uint64_t fetch_us, bool was_ready)
{
    requests->now += (TimeUs)replay_us;
    pace_advance(&requests->pace, &(PaceRequest){.timeline = 1,
                                                 .segment = ++requests->segment,
                                                 .asked_at = requests->now,
                                                 .answered_at = requests->now,
                                                 .fetch_us = fetch_us,
                                                 .depth_max = 16,
                                                 .was_ready = was_ready});
    return requests->pace.depth;
}

static void a_segment_that_was_not_ready_doubles_the_depth(void **state)
{
    Requests requests = {.now = 1};
    const uint32_t first = answered(&requests, 0, 0, false);

    (void)state;
    assert_in_range(first, 1, 8);
    assert_int_equal(answered(&requests, 100 * ms, 0, false), 2 * first);
    for (unsigned i = 0; i < 10; i++)
        assert_in_range(answered(&requests, 100 * ms, 0, false), 2 * first, 16);
    assert_int_equal(requests.pace.depth, 16);
}

static void what_is_replayed_during_a_fetch_lies_ready_twice(void **state)
{
    Requests requests = {.now = 1};

    (void)state;
    answered(&requests, 0, 0, false);
    assert_in_range(answered(&requests, 10 * ms, 40 * ms, true), 10, 16);
    answered(&requests, 10 * ms, 4000 * ms, true);
    assert_int_equal(requests.pace.depth, 16);
}

static void a_slow_replay_shrinks_it_step_by_step(void **state)
{
    Requests requests = {.now = 1, .pace = {.depth = 16}};

    (void)state;
    answered(&requests, 0, 0, true);
    assert_int_equal(answered(&requests, 1000 * ms, 30 * ms, true), 15);
    for (unsigned i = 0; i < 30; i++)
        answered(&requests, 1000 * ms, 30 * ms, true);
    assert_int_equal(requests.pace.depth, 2);
    /* As long as the speed of a fetch is not known nothing is slow. */
    requests.pace.depth = 9;
    assert_int_equal(answered(&requests, 1000 * ms, 0, true), 9);
}

static void a_jump_begins_anew_and_keeps_the_depth(void **state)
{
    Requests requests = {.now = 1, .pace = {.depth = 7}};

    (void)state;
    answered(&requests, 0, 0, true);
    answered(&requests, 5 * ms, 5 * ms, true);
    requests.segment += 100;
    assert_int_equal(answered(&requests, 5 * ms, 5 * ms, false), 7);
    assert_int_equal(requests.pace.replay_us, 0);
    requests.segment -= 50;
    assert_int_equal(answered(&requests, 5 * ms, 5 * ms, false), 7);
    assert_int_equal(requests.pace.segment, requests.segment);
}

static void no_depth_is_above_the_bound(void **state)
{
    (void)state;
    for (uint32_t bound = 1; bound <= 5; bound++) {
        Pace pace = {.timeline = 0};

        for (uint64_t segment = 1; segment < 20; segment++) {
            pace_advance(&pace, &(PaceRequest){.timeline = 1,
                                               .segment = segment,
                                               .asked_at = (TimeUs)(segment * ms),
                                               .answered_at = (TimeUs)(segment * ms),
                                               .fetch_us = segment * 100 * ms,
                                               .depth_max = bound,
                                               .was_ready = segment % 2 == 0});
            assert_in_range(pace.depth, 1, bound);
        }
    }
}

static void a_clock_that_stands_still_or_goes_back_does_no_harm(void **state)
{
    Requests requests = {.now = (TimeUs)(1000 * ms)};

    (void)state;
    answered(&requests, 0, 0, true);
    answered(&requests, 0, 5 * ms, true);
    requests.now = 1;
    assert_in_range(answered(&requests, 0, 5 * ms, true), 1, 16);
}

static void the_farthest_segment_that_was_handed_over_is_kept(void **state)
{
    static const struct {
        PaceRequest request;
        uint32_t timeline;
        uint64_t segment;
    } steps[] = {
        {{.timeline = 1, .segment = 5, .depth_max = 4}, 1, 5},
        {{.timeline = 1, .segment = 6, .depth_max = 4}, 1, 6},
        {{.timeline = 1, .segment = 3, .depth_max = 4}, 1, 6}, /* the server has started again */
        {{.timeline = 2, .segment = 6, .depth_max = 4}, 2, 6},
    };
    Pace pace = {.timeline = 0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        pace_advance(&pace, &steps[i].request);
        assert_int_equal(pace.given_timeline, steps[i].timeline);
        assert_int_equal(pace.given_segment, steps[i].segment);
    }
}

static void what_was_saved_is_loaded_and_every_changed_byte_is_noticed(void **state)
{
    CLEANUP(scene_done) Scene scene;
    const Pace saved = {.timeline = 3,
                        .depth = 5,
                        .segment = 77,
                        .answered_at = 88,
                        .replay_us = 9,
                        .given_timeline = 2,
                        .given_segment = 99};
    Pace loaded;

    (void)state;
    scene_init(&scene);
    CLEANUP(text_freep) char *path = text_format("%s/spool", scene.directory);
    CLEANUP(prefetch_spool_done) PrefetchSpool spool = PREFETCH_SPOOL_CLOSED;
    assert_true(prefetch_spool_open(path, &scene.archive.cluster, "boot", true, &spool));

    pace_load(&spool, &loaded);
    assert_int_equal(loaded.timeline, 0);
    assert_int_equal(pace_load_fetch(&spool), 0);
    pace_save(&spool, &saved);
    pace_save_fetch(&spool, 4711);
    pace_load(&spool, &loaded);
    assert_int_equal(loaded.timeline, 3);
    assert_int_equal(loaded.depth, 5);
    assert_int_equal(loaded.segment, 77);
    assert_int_equal(loaded.answered_at, 88);
    assert_int_equal(loaded.replay_us, 9);
    assert_int_equal(loaded.given_timeline, 2);
    assert_int_equal(loaded.given_segment, 99);
    assert_int_equal(pace_load_fetch(&spool), 4711);
    for (off_t at = 0; at < 64; at++) {
        uint8_t byte, changed;

        assert_int_equal(pread(spool.state, &byte, 1, at), 1);
        changed = byte ^ 0x10;
        assert_int_equal(pwrite(spool.state, &changed, 1, at), 1);
        pace_load(&spool, &loaded);
        assert_int_equal(loaded.timeline, 0);
        assert_int_equal(pwrite(spool.state, &byte, 1, at), 1);
    }

    CLEANUP(prefetch_spool_done) PrefetchSpool later = PREFETCH_SPOOL_CLOSED;
    assert_true(prefetch_spool_open(path, &scene.archive.cluster, "another boot", false, &later));
    pace_load(&later, &loaded);
    assert_int_equal(loaded.timeline, 0);
    assert_int_equal(pace_load_fetch(&later), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_that_was_not_ready_doubles_the_depth),
        cmocka_unit_test(what_is_replayed_during_a_fetch_lies_ready_twice),
        cmocka_unit_test(a_slow_replay_shrinks_it_step_by_step),
        cmocka_unit_test(a_jump_begins_anew_and_keeps_the_depth),
        cmocka_unit_test(no_depth_is_above_the_bound),
        cmocka_unit_test(a_clock_that_stands_still_or_goes_back_does_no_harm),
        cmocka_unit_test(the_farthest_segment_that_was_handed_over_is_kept),
        cmocka_unit_test(what_was_saved_is_loaded_and_every_changed_byte_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
