#include "repo/layout.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { SEGMENT_SIZE = 16 << 20 };

static void names_are_those_of_the_format(void **state)
{
    CLEANUP(text_freep) char *registration = layout_registration("main", 1);
    CLEANUP(text_freep) char *manifest = layout_manifest("main", "20261122T031500Z-k3v7qa");
    CLEANUP(text_freep) char *pack = layout_pack("main", "7f3a0000000000000000000000000001");

    (void)state;
    assert_string_equal(registration, "main/registration/0001");
    assert_string_equal(manifest, "main/backup/20261122T031500Z-k3v7qa/manifest");
    assert_string_equal(pack, "main/pack/7f/7f3a0000000000000000000000000001");
}

static const struct {
    const char *name, *object, *folder;
} wal_files[] = {
    {"000000010000000100000042", "main/wal/0000000100000001/000000010000000100000042.wal",
     "main/wal/0000000100000001/"},
    {"000000010000000100000042.partial",
     "main/wal/0000000100000001/000000010000000100000042.partial.wal",
     "main/wal/0000000100000001/"},
    {"000000010000000100000042.00000028.backup",
     "main/wal/0000000100000001/000000010000000100000042.00000028.backup.wal",
     "main/wal/0000000100000001/"},
    {"00000002.history", "main/wal/00000002.history.wal", "main/wal/"},
};

static void wal_names_go_to_objects_and_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wal_files); i++) {
        CLEANUP(text_freep) char *object = layout_wal("main", wal_files[i].name);
        CLEANUP(text_freep) char *folder = layout_wal_folder("main", wal_files[i].name);
        char text[WAL_NAME_SIZE];
        WalName name;

        assert_string_equal(object, wal_files[i].object);
        assert_string_equal(folder, wal_files[i].folder);
        assert_true(layout_wal_name_of("main", object, SEGMENT_SIZE, &name));
        assert_string_equal(wal_name_text(&name, SEGMENT_SIZE, text), wal_files[i].name);
    }
}

static void names_of_pieces_go_to_objects_and_back(void **state)
{
    CLEANUP(text_freep)
    char *object = layout_piece("main", "000000010000000100000042", 0, 0x12340);
    char text[WAL_NAME_SIZE];
    WalName name;
    uint32_t from;
    uint32_t to;

    (void)state;
    assert_string_equal(object, "main/open/000000010000000100000042.00000000-00012340");
    assert_true(layout_piece_of("main", object, SEGMENT_SIZE, &name, &from, &to));
    assert_string_equal(wal_name_text(&name, SEGMENT_SIZE, text), "000000010000000100000042");
    assert_int_equal(from, 0);
    assert_int_equal(to, 0x12340);
}

static void other_objects_are_no_pieces(void **state)
{
    static const char *const foreign[] = {
        "main/open/000000010000000100000042.00000000-00000000", /* empty */
        "main/open/000000010000000100000042.00000010-00000001",
        "main/open/000000010000000100000042.00000000-01000001", /* beyond the segment's end */
        "main/open/000000010000000100000042.0000000a-0000000f", /* lower case */
        "main/open/000000010000000100000042.00000000_00012340",
        "main/open/000000010000000100000042-00000000-00012340",
        "main/open/000000010000000100000042.00000000-0001234",
        "main/open/000000010000000100000042.00000000-000123400",
        "main/open/000000000000000100000042.00000000-00012340", /* timeline 0 */
        "main/open/000000010000000100000142.00000000-00012340", /* not with 16 MiB */
        "main/open/x/000000010000000100000042.00000000-00012340",
        "main/wal/000000010000000100000042.00000000-00012340",
        "other/open/000000010000000100000042.00000000-00012340",
        "main/open/",
        "",
    };
    WalName name;
    uint32_t from;
    uint32_t to;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
        assert_false(layout_piece_of("main", foreign[i], SEGMENT_SIZE, &name, &from, &to));
}

static void other_objects_are_no_wal(void **state)
{
    static const char *const foreign[] = {
        "main/wal/0000000100000001/000000010000000100000042",
        "main/wal/0000000100000001/000000010000000100000042.wal.damaged-0a1b2c3d",
        "main/wal/0000000100000001/000000010000000100000042.wal.gz",
        "main/wal/0000000100000002/000000010000000100000042.wal", /* in another one's folder */
        "main/wal/000000010000000100000042.wal",
        "main/wal/0000000100000001/00000002.history.wal",
        "main/wal/0000000100000001/x/000000010000000100000042.wal",
        "main/wal/0000000100000001/000000010000000100000142.wal", /* not with 16 MiB */
        "main/wal/0000000100000001/00000001000000010000004a.wal", /* lower case */
        "main/wal/.wal",
        "main/wal/00000002.history.wax",
        "main/wal/0000000100000001/000000010000000100000042.wax",
        "main/wal/00000001/000000010000000100000042.wal",
        "main/wal/",
        "main/wal",
        "main",
        "main/backup/000000010000000100000042.wal",
        "mainx/wal/00000002.history.wal",
        "mai/wal/00000002.history.wal",
        "main/wal/0000000100000001/000000010000000100000042000000000000000000000000000000000.wal",
        "",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
        WalName name;

        assert_false(layout_wal_name_of("main", foreign[i], SEGMENT_SIZE, &name));
    }
}

static void only_manifests_tell_backup_ids(void **state)
{
    static const char *const foreign[] = {
        "main/backup/20261122T031500Z-k3v7qa/other",
        "main/backup/20261122T031500Z-k3v7qa",
        "main/backup/20261122T031500Z-k3v9qa/manifest", /* 9 is not of a-z2-7 */
        "main/backup/20261122X031500Z-k3v7qa/manifest",
        "main/backup/20261122T031500Z-k3v7q/manifest",
        "main/backup//manifest",
        "other/backup/20261122T031500Z-k3v7qa/manifest",
        "main/backup/x/20261122T031500Z-k3v7qa/manifest",
    };
    char id[BACKUP_ID_SIZE];

    (void)state;
    assert_true(layout_backup_id_of("main", "main/backup/20261122T031500Z-k3v7qa/manifest", id));
    assert_string_equal(id, "20261122T031500Z-k3v7qa");
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
        assert_false(layout_backup_id_of("main", foreign[i], id));
}

static void cluster_names_are_checked(void **state)
{
    static const char longest[] = "a23456789-123456789-123456789-123456789-123456789-123456789-123";
    static const char *const good[] = {"main", "a", "0", "Main_2-x", longest};
    static const char *const bad[] = {"",    "repository", "keys", ".a", "-a", "_a",
                                      "a/b", "a.b",        "a b",  "..", "ä",  "a\n"};
    char too_long[sizeof longest + 1];

    (void)state;
    assert_int_equal(strlen(longest), 63);
    snprintf(too_long, sizeof too_long, "%sx", longest);
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        Error err = {0};

        assert_true(cluster_name_check(good[i], &err));
    }
    for (size_t i = 0; i <= ARRAY_SIZE(bad); i++) {
        Error err = {0};

        assert_false(cluster_name_check(i < ARRAY_SIZE(bad) ? bad[i] : too_long, &err));
        assert_int_equal(err.code, ERR_USAGE);
    }
}

static void names_of_what_is_known_go_to_objects_and_back(void **state)
{
    CLEANUP(text_freep) char *wal = layout_known_wal("main", 10, 0x12345678000, 0xfedc);
    CLEANUP(text_freep) char *backup = layout_known_backup("main", "20261122T031500Z-k3v7qa", 7);
    char id[BACKUP_ID_SIZE];
    uint32_t timeline;
    uint64_t first;

    (void)state;
    assert_string_equal(wal, "main/known/0000000A-0000012345678000.000000000000fedc");
    assert_string_equal(backup, "main/known/20261122T031500Z-k3v7qa.0000000000000007");
    assert_true(layout_known_wal_of("main", wal, &timeline, &first));
    assert_int_equal(timeline, 10);
    assert_true(first == 0x12345678000);
    assert_true(layout_known_backup_of("main", backup, id));
    assert_string_equal(id, "20261122T031500Z-k3v7qa");
    assert_false(layout_known_backup_of("main", wal, id));
    assert_false(layout_known_wal_of("main", backup, &timeline, &first));
}

static void other_objects_are_about_nothing(void **state)
{
    static const char *const foreign[] = {
        "other/known/0000000A-0000012345678000.000000000000fedc",
        "main/wal/0000000A-0000012345678000.000000000000fedc",
        "main/known/00000000-0000012345678000.000000000000fedc",
        "main/known/0000000a-0000012345678000.000000000000fedc",
        "main/known/0000000A_0000012345678000.000000000000fedc",
        "main/known/0000000A-000001234567800G.000000000000fedc",
        "main/known/0000000A-0000012345678000-000000000000fedc",
        "main/known/0000000A-0000012345678000.000000000000FEDC",
        "main/known/0000000A-0000012345678000.000000000000fed",
        "main/known/0000000A-0000012345678000.000000000000fedc0",
        "main/known/20261122T031500Z-k3v7q1.0000000000000007",
        "main/known/20261122T031500Z-k3v7qa.000000000000000g",
        "main/known/20261122T031500Z-k3v7qa",
        "main/known/",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
        char id[BACKUP_ID_SIZE];
        uint32_t timeline;
        uint64_t first;

        assert_false(layout_known_wal_of("main", foreign[i], &timeline, &first));
        assert_false(layout_known_backup_of("main", foreign[i], id));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_those_of_the_format),
        cmocka_unit_test(wal_names_go_to_objects_and_back),
        cmocka_unit_test(names_of_pieces_go_to_objects_and_back),
        cmocka_unit_test(other_objects_are_no_pieces),
        cmocka_unit_test(other_objects_are_no_wal),
        cmocka_unit_test(names_of_what_is_known_go_to_objects_and_back),
        cmocka_unit_test(other_objects_are_about_nothing),
        cmocka_unit_test(only_manifests_tell_backup_ids),
        cmocka_unit_test(cluster_names_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
