#include "completeness.h"

#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"
#include "base/tree.h"
#include "stream/digest.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const directories[] = {
    "data",
    "data/base",
    "data/base/5",
    "data/global",
    "data/pg_tblspc",
    "data/pg_xact",
    "data/pg_multixact",
    "data/pg_multixact/members",
    "data/pg_multixact/offsets",
    "place",
    "place/PG_15_202209061",
    "place/PG_15_202209061/5",
};
static const char *const files[] = {
    "data/PG_VERSION",
    "data/global/pg_control",
    "data/global/1262",
    "data/pg_xact/0000",
    "data/pg_multixact/members/0000",
    "data/pg_multixact/offsets/0000",
    "data/base/5/1259",
    "data/base/5/16384",
    "data/base/5/PG_VERSION",
    "place/PG_15_202209061/5/16390",
};
static const CataloguePlace places[] = {
    {PLACE_DATABASE, 1663, 5}, {PLACE_TABLESPACE, 16400, 0}, {PLACE_PART, 16400, 5}};

static void make_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
}

/* pg_filenode.map that names one file. */
static void make_map(const char *path, uint32_t file)
{
    uint8_t bytes[512] = {0};
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    put_le32(bytes, 0x592717);
    put_le32(bytes + 4, 1);
    put_le32(bytes + 12, file);
    put_le32(bytes + 504, crc32c_update(0, bytes, 504));
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, sizeof bytes), sizeof bytes);
    assert_int_equal(close(fd), 0);
}

static int make_tree(void **state)
{
    char *path = text_format("/tmp/test-completeness-XXXXXX");

    *state = path;
    if (mkdtemp(path) == NULL || chdir(path) != 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
        if (mkdir(directories[i], 0700) != 0)
            return -1;
    }
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        make_file(files[i]);
    make_map("data/global/pg_filenode.map", 1262);
    make_map("data/base/5/pg_filenode.map", 1259);
    CLEANUP(text_freep) char *place = text_format("%s/place", path);
    return symlink(place, "data/pg_tblspc/16400");
}

static int remove_tree(void **state)
{
    Error err = {0};
    bool ok = chdir("/") == 0 && tree_remove(*state, &err);

    mem_free(*state);
    return ok ? 0 : -1;
}

static void scan(Scan *result)
{
    Error err = {0};

    if (!scan_data_directory(result, "data", 15, NULL, &err))
        fail_msg("%s: %s", err.context, err.message);
}

/* Whether the check is content with the scan, when these are the places before and now. */
static bool is_complete(const Scan *result, size_t before, size_t now, Error *err)
{
    CataloguePlace items[ARRAY_SIZE(places)];
    CLEANUP(fd_done) int fd = open("data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    memcpy(items, places, sizeof items);
    const Catalogue first = {.items = items, .count = before};
    const Catalogue second = {.items = items, .count = now};
    return completeness_check(&(Completeness){.scan = result,
                                              .data = "data",
                                              .data_fd = fd,
                                              .major = 15,
                                              .before = &first,
                                              .now = &second},
                              err);
}

static void all_that_must_be_there_is_missed(void **state)
{
    static const char *const missing[] = {
        "data/PG_VERSION",
        "data/global/pg_control",
        "data/global/1262",
        "data/global/pg_filenode.map",
        "data/pg_xact/0000",
        "data/pg_multixact/members/0000",
        "data/pg_multixact/offsets",
        "data/base/5",
        "data/base/5/1259",
        "data/base/5/PG_VERSION",
        "data/base/5/pg_filenode.map",
        "data/pg_tblspc/16400",
        "place",
        "place/PG_15_202209061",
        "place/PG_15_202209061/5",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(missing); i++) {
        CLEANUP(scan_done) Scan result = {0};
        Error err = {0};

        assert_int_equal(rename(missing[i], "aside"), 0);
        scan(&result);
        assert_int_equal(rename("aside", missing[i]), 0);
        if (is_complete(&result, 3, 3, &err))
            fail_msg("%s is not missed", missing[i]);
        assert_int_equal(err.code, ERR_REFUSED);
    }
    CLEANUP(scan_done) Scan result = {0};
    Error err = {0};
    scan(&result);
    if (!is_complete(&result, 3, 3, &err))
        fail_msg("%s", err.message);
}

/* Created, dropped or moved while the backup runs. */
static void what_was_not_there_all_the_while_is_not_missed(void **state)
{
    CLEANUP(scan_done) Scan result = {0};
    Error err = {0};

    (void)state;
    assert_int_equal(rename("data/pg_tblspc/16400", "aside"), 0);
    scan(&result);
    assert_true(is_complete(&result, 1, 3, &err));
    assert_true(is_complete(&result, 3, 1, &err));
    assert_false(is_complete(&result, 3, 3, &err));
}

static void a_tablespace_that_went_away_later_is_missed(void **state)
{
    CLEANUP(scan_done) Scan result = {0};
    Error err = {0}, other = {0};

    (void)state;
    scan(&result);
    assert_int_equal(rename("place", "aside"), 0);
    assert_false(is_complete(&result, 3, 3, &err));
    /* Another one of the same name is not it. */
    assert_int_equal(mkdir("place", 0700), 0);
    assert_int_equal(mkdir("place/PG_15_202209061", 0700), 0);
    assert_false(is_complete(&result, 3, 3, &other));
}

/* A catalog that is rewritten has a new file, which the listing may not have met. */
static void a_map_that_changes_is_the_business_of_wal(void **state)
{
    CLEANUP(scan_done) Scan result = {0};
    Error err = {0};

    (void)state;
    assert_int_equal(unlink("data/base/5/1259"), 0);
    scan(&result);
    make_map("data/base/5/pg_filenode.map", 16555);
    assert_true(is_complete(&result, 3, 3, &err));
}

static void a_database_that_moved_is_noticed(void **state)
{
    static const struct {
        CataloguePlace before[2], now[2];
        unsigned major;
        bool is_right;
    } cases[] = {
        {{{PLACE_HOME, 1663, 5}}, {{PLACE_HOME, 1663, 5}}, 15, true},
        {{{PLACE_HOME, 1663, 5}}, {{PLACE_HOME, 16400, 5}}, 15, false},
        {{{PLACE_HOME, 16400, 5}}, {{PLACE_HOME, 1663, 5}}, 13, false},
        {{{PLACE_HOME, 1663, 5}}, {{PLACE_HOME, 1663, 6}}, 15, true},
        {{{PLACE_HOME, 1663, 5}}, {{PLACE_HOME, 1663, 6}}, 14, false},
        {{{PLACE_HOME, 1663, 5}}, {{PLACE_HOME, 1663, 5}, {PLACE_HOME, 1663, 6}}, 13, true},
        {{{PLACE_HOME, 1663, 5}, {PLACE_HOME, 1663, 6}}, {{PLACE_HOME, 1663, 5}}, 13, true},
        {{{PLACE_PART, 16400, 5}}, {{PLACE_PART, 16401, 5}}, 13, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CataloguePlace before[2], now[2];
        Error err = {0};
        memcpy(before, cases[i].before, sizeof before);
        memcpy(now, cases[i].now, sizeof now);
        const Catalogue first = {.items = before, .count = before[1].database != 0 ? 2 : 1};
        const Catalogue second = {.items = now, .count = now[1].database != 0 ? 2 : 1};
        if (completeness_check_moved(&first, &second, cases[i].major, &err) != cases[i].is_right)
            fail_msg("case %zu", i);
    }
}

static void a_file_that_was_out_of_sight_is_told_from_a_dropped_one(void **state)
{
    CLEANUP(scan_done) Scan result = {0};
    CLEANUP(fd_done) int fd = open("data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    Error err = {0};

    (void)state;
    scan(&result);
    bool *is_gone = mem_alloc(result.count * sizeof *is_gone);
    is_gone[scan_find(&result, "base/5/16384") - result.entries] = true;
    assert_false(completeness_check_gone(&result, fd, is_gone, &err));
    assert_int_equal(unlink("data/base/5/16384"), 0);
    err = (Error){0};
    assert_true(completeness_check_gone(&result, fd, is_gone, &err));
    mem_free(is_gone);
}

static void the_main_fork_goes_when_an_init_fork_came_late(void **state)
{
    static const char *const gone[] = {"base/5/16500", "base/5/16500.1", "base/5/16500_fsm",
                                       "pg_tblspc/16400/PG_15_202209061/5/16500"};
    static const char *const kept[] = {"base/5/165001", "base/5/1650", "base/5/16384"};
    CLEANUP(scan_done) Scan result = {0};
    CLEANUP(fd_done) int fd = open("data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    Error err = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(gone); i++) {
        CLEANUP(text_freep) char *path = text_format("data/%s", gone[i]);
        make_file(path);
    }
    make_file("data/base/5/165001");
    make_file("data/base/5/1650");
    scan(&result);
    make_file("data/base/5/16500_init");
    make_file("place/PG_15_202209061/5/16500_init");
    bool *is_gone = mem_alloc(result.count * sizeof *is_gone);
    assert_true(completeness_drop_unlogged(&result, fd, is_gone, &err));
    for (size_t i = 0; i < ARRAY_SIZE(gone); i++)
        assert_true(is_gone[scan_find(&result, gone[i]) - result.entries]);
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        assert_false(is_gone[scan_find(&result, kept[i]) - result.entries]);
    mem_free(is_gone);
}

#define TREE_TEST(function) cmocka_unit_test_setup_teardown(function, make_tree, remove_tree)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE_TEST(all_that_must_be_there_is_missed),
        TREE_TEST(what_was_not_there_all_the_while_is_not_missed),
        TREE_TEST(a_tablespace_that_went_away_later_is_missed),
        TREE_TEST(a_map_that_changes_is_the_business_of_wal),
        cmocka_unit_test(a_database_that_moved_is_noticed),
        TREE_TEST(a_file_that_was_out_of_sight_is_told_from_a_dropped_one),
        TREE_TEST(the_main_fork_goes_when_an_init_fork_came_late),
    };

    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
