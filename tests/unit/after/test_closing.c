#include "after/closing.h"

#include "../scene.h"

#include <sys/stat.h>

static void the_rpo_is_what_lies_between_kept_and_known(void **state)
{
    static const struct {
        bool is_counted;
        uint64_t lost, in_directory;
        TimeUs kept, lost_last, rpo;
    } cases[] = {
        {false, 0, 0, 100, TIME_US_NONE, TIME_US_NONE}, /* nobody has looked */
        {true, 0, 0, 100, TIME_US_NONE, 0},
        {true, 0, 0, TIME_US_NONE, TIME_US_NONE, 0},
        {true, 3, 0, 100, 170, 70},
        {true, 3, 0, TIME_US_NONE, 170, TIME_US_NONE},
        {true, 3, 0, 200, 170, 0},                     /* commit times need not be in order */
        {true, 0, 2, 100, TIME_US_NONE, TIME_US_NONE}, /* when, is not known */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Closing closing;

        closing_init(&closing);
        closing.is_counted = cases[i].is_counted;
        closing.lost = cases[i].lost;
        closing.lost_in_directory = cases[i].in_directory;
        closing.last_commit = cases[i].kept;
        closing.lost_last = cases[i].lost_last;
        assert_int_equal(closing_rpo(&closing), cases[i].rpo);
    }
}

static void the_rto_counts_from_the_incident_and_ends_when_it_is_open(void **state)
{
    Closing closing;

    (void)state;
    closing_init(&closing);
    assert_int_equal(closing_rto(&closing), TIME_US_NONE);
    closing.began = 1000;
    assert_int_equal(closing_rto(&closing), TIME_US_NONE); /* not open yet */
    closing.open_at = 1600;
    assert_int_equal(closing_rto(&closing), 600);
    closing.incident_began = 300;
    assert_int_equal(closing_rto(&closing), 1300);
    closing.open_at = 200; /* a clock was set back */
    assert_int_equal(closing_rto(&closing), TIME_US_NONE);
}

static void what_is_not_a_phase_is_when_people_looked(void **state)
{
    Closing closing;

    (void)state;
    closing_init(&closing);
    closing.began = 1000;
    closing.open_at = 2000;
    closing.phases[PHASE_FILES] = 300;
    closing.phases[PHASE_REPLAY] = 100;
    assert_int_equal(closing_looked(&closing), 0); /* it was not promoted later */
    closing.opening = 50;
    assert_int_equal(closing_looked(&closing), 550);
    closing.phases[PHASE_REPLAY] = 5000;
    assert_int_equal(closing_looked(&closing), 0);
}

/* Timelines 2 and 3 leave the first at the end of its second segment; what it did then is lost. */
static void what_the_archive_has_after_the_fork_is_counted(void **state)
{
    static const char history[] = "1\t0/300000\tno reason\n";
    CLEANUP(scene_done) Scene scene;
    Closing closing;
    Error err = {0};

    (void)state;
    scene_init(&scene);
    archive_put_segments(&scene.archive, &scene.wal, 1, 1, SCENE_LAST);
    archive_put_history(&scene.archive, 2, history);
    CLEANUP(text_freep) char *folder = text_format("%s/pg_wal", scene.directory);
    assert_int_equal(mkdir(folder, 0700), 0);
    mem_free(scene_file(&scene, "pg_wal/00000003.history", history, strlen(history)));

    closing_init(&closing);
    assert_true(closing_count_lost(&closing, &scene.archive.cluster, scene.directory, 3, 1, &err));
    assert_true(closing.is_counted);
    assert_int_equal(closing.lost, 40);
    assert_int_equal(closing.lost_timeline, 1);
    assert_int_equal(closing.lost_last, INT64_C(946684800000000) + 4019); /* since 2000 */

    /* What parts before that was given up by somebody else. */
    static const char further[] = "1\t0/400000\tno reason\n";
    mem_free(scene_file(&scene, "pg_wal/00000004.history", further, strlen(further)));
    closing_init(&closing);
    assert_true(closing_count_lost(&closing, &scene.archive.cluster, scene.directory, 4, 1, &err));
    assert_int_equal(closing.lost, 20);

    closing_init(&closing);
    assert_true(closing_count_lost(&closing, &scene.archive.cluster, scene.directory, 1, 1, &err));
    assert_int_equal(closing.lost, 0);
    closing_init(&closing);
    assert_false(closing_count_lost(&closing, &scene.archive.cluster, scene.directory, 9, 1, &err));
    assert_false(closing.is_counted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rpo_is_what_lies_between_kept_and_known),
        cmocka_unit_test(the_rto_counts_from_the_incident_and_ends_when_it_is_open),
        cmocka_unit_test(what_is_not_a_phase_is_when_people_looked),
        cmocka_unit_test(what_the_archive_has_after_the_fork_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
