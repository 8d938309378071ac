#include "stall.h"

#include "../scene.h"

static void a_stall_says_whether_the_archive_has_the_segment(void **state)
{
    static const struct {
        const char *segment, *words;
    } cases[] = {
        {"", ""},
        {"000000010000000000000002", "has it"},
        {"000000010000000000000003", "does not have it, and has later ones: a hole"},
        {"000000010000000000000009", "does not have it, nor a later one"},
        {"000000020000000000000002", "does not have it, nor a later one"},
    };
    CLEANUP(scene_done) Scene scene;
    CLEANUP(arena_done) Arena arena = {0};

    (void)state;
    scene_init(&scene);
    archive_put_segments(&scene.archive, &scene.wal, 1, 1, SCENE_LAST);
    archive_remove(&scene.archive, 1, 3);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_string_equal(stall_in_words(&scene.archive.cluster, cases[i].segment, &arena),
                            cases[i].words);
    }
    assert_non_null(strstr(stall_in_words(NULL, cases[1].segment, &arena), "--repo"));
    assert_non_null(
        strstr(stall_in_words(&scene.archive.cluster, "nonsense", &arena), "can't be looked at"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stall_says_whether_the_archive_has_the_segment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
