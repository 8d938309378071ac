#include "scan.h"

#include "base/file.h"
#include "base/log.h"
#include "base/tree.h"

#include "stream/digest.h"

#include "base/bytes.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* A listing that leaves out a name, as btrfs may do with one that is replaced meanwhile. */
static const char *const *unlisted;

static bool is_unlisted(const char *name)
{
    for (const char *const *at = unlisted; at != NULL && *at != NULL; at++) {
        if (strcmp(*at, name) == 0)
            return true;
    }
    return false;
}

struct dirent *readdir(DIR *directory)
{
    static struct dirent *(*real)(DIR *);
    struct dirent *found;

    if (real == NULL) {
        void *symbol = dlsym(RTLD_NEXT, "readdir64");
        memcpy(&real, &symbol, sizeof real);
    }
    do {
        found = real(directory);
    } while (found != NULL && is_unlisted(found->d_name));
    return found;
}

/* Every test has a folder with a data directory in it, and works in that. */
static int make_tree(void **state)
{
    static const char *const directories[] = {
        "data",
        "data/base",
        "data/base/5",
        "data/global",
        "data/pg_tblspc",
        "data/pg_wal",
        "data/pg_wal/archive_status",
        "data/pg_notify",
        "data/pg_replslot",
        "data/pg_replslot/slot",
        "data/pg_xact",
    };
    char *path = text_format("/tmp/test-scan-XXXXXX");

    *state = path;
    if (mkdtemp(path) == NULL || chdir(path) != 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
        if (mkdir(directories[i], 0700) != 0)
            return -1;
    }
    return 0;
}

static int remove_tree(void **state)
{
    Error err = {0};
    bool ok = chdir("/") == 0 && tree_remove(*state, &err);

    mem_free(*state);
    return ok ? 0 : -1;
}

static void make_file(const char *path, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    assert_int_equal(close(fd), 0);
}

static void scan(Scan *result)
{
    Error err = {0};

    if (!scan_data_directory(result, "data", 15, NULL, &err))
        fail_msg("%s: %s", err.context, err.message);
    for (size_t i = 1; i < result->count; i++)
        assert_true(strcmp(result->entries[i - 1].path, result->entries[i].path) < 0);
}

static const ManifestEntry *find(const Scan *result, const char *path)
{
    for (size_t i = 0; i < result->count; i++) {
        if (strcmp(result->entries[i].path, path) == 0)
            return &result->entries[i];
    }
    return NULL;
}

static void assert_kind(const Scan *result, const char *path, EntryKind kind)
{
    const ManifestEntry *entry = find(result, path);

    if (entry == NULL)
        fail_msg("%s is missing", path);
    assert_int_equal(entry->kind, kind);
}

static void assert_absent(const Scan *result, const char *path)
{
    if (find(result, path) != NULL)
        fail_msg("%s is there", path);
}

static void what_belongs_is_taken_and_nothing_else(void **state)
{
    static const char *const taken[] = {
        "PG_VERSION",
        "postgresql.auto.conf",
        "backup_label.old",
        "global/pg_control",
        "global/1262",
        "base/5/1259",
        "base/5/1259_fsm",
        "base/5/1259_vm",
        "base/5/1259.1",
        "base/5/PG_VERSION",
        "base/5/pg_filenode.map",
        "pg_xact/0000",
        "base/5/stray file",
        "core",
        "pgcairn.restored",
        "pgcairn.recovery.md",
    };
    static const char *const left[] = {
        "postmaster.pid",
        "postmaster.opts",
        "backup_label",
        "tablespace_map",
        "backup_manifest",
        "postgresql.auto.conf.tmp",
        "pg_internal.init",
        "global/pg_internal.init",
        "base/5/pg_internal.init.4711",
        "base/5/t3_16384",
        "base/5/t12_16384_fsm",
        "pg_wal/000000010000000000000001",
        "pg_notify/0000",
        "pg_replslot/slot/state",
        "current_logfiles.tmp",
        "pgcairn.recovery",
        "pgcairn.restore",
        "base/pgsql_tmp4711.0",
        "pgcairn.restore.tmp-0123456789abcdef",
        "pgcairn.restore-pg_wal-20261122T101112.345Z",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
        CLEANUP(text_freep) char *path = text_format("data/%s", taken[i]);
        make_file(path, i + 1);
    }
    for (size_t i = 0; i < ARRAY_SIZE(left); i++) {
        CLEANUP(text_freep) char *path = text_format("data/%s", left[i]);
        make_file(path, 1000);
    }
    CLEANUP(scan_done) Scan result = {0};
    scan(&result);

    uint64_t bytes = 0;
    for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
        assert_kind(&result, taken[i], ENTRY_FILE);
        assert_int_equal(find(&result, taken[i])->size, i + 1);
        assert_int_equal(find(&result, taken[i])->mode, 0600);
        bytes += i + 1;
    }
    for (size_t i = 0; i < ARRAY_SIZE(left); i++)
        assert_absent(&result, left[i]);
    assert_int_equal(result.bytes, bytes);
    assert_int_equal(result.skipped_count, 0);
    assert_kind(&result, "pg_wal", ENTRY_DIRECTORY);
    assert_kind(&result, "pg_wal/archive_status", ENTRY_DIRECTORY);
    assert_kind(&result, "pg_notify", ENTRY_DIRECTORY);
    assert_kind(&result, "pg_replslot", ENTRY_DIRECTORY);
    assert_absent(&result, "pg_replslot/slot");
}

static void of_an_unlogged_relation_only_the_init_fork_is_taken(void **state)
{
    static const char *const taken[] = {"16385_init", "16386", "16386_fsm", "163850", "1638"};
    static const char *const left[] = {"16385", "16385.1", "16385_fsm", "16385_vm"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
        CLEANUP(text_freep) char *path = text_format("data/base/5/%s", taken[i]);
        make_file(path, 8192);
    }
    for (size_t i = 0; i < ARRAY_SIZE(left); i++) {
        CLEANUP(text_freep) char *path = text_format("data/base/5/%s", left[i]);
        make_file(path, 8192);
    }
    /* The same number in another database is another relation. */
    assert_int_equal(mkdir("data/base/6", 0700), 0);
    make_file("data/base/6/16385", 8192);
    CLEANUP(scan_done) Scan result = {0};
    scan(&result);

    for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
        CLEANUP(text_freep) char *path = text_format("base/5/%s", taken[i]);
        assert_kind(&result, path, ENTRY_FILE);
    }
    for (size_t i = 0; i < ARRAY_SIZE(left); i++) {
        CLEANUP(text_freep) char *path = text_format("base/5/%s", left[i]);
        assert_absent(&result, path);
    }
    assert_kind(&result, "base/6/16385", ENTRY_FILE);
    assert_int_equal(result.bytes, 8192 * (ARRAY_SIZE(taken) + 1));
}

static void make_location(const char *path)
{
    static const char *const below[] = {"", "/PG_15_202209061", "/PG_15_202209061/5",
                                        "/PG_13_202007201"};

    for (size_t i = 0; i < ARRAY_SIZE(below); i++) {
        CLEANUP(text_freep) char *directory = text_format("%s%s", path, below[i]);
        assert_int_equal(mkdir(directory, 0700), 0);
    }
    CLEANUP(text_freep) char *file = text_format("%s/PG_15_202209061/5/16400", path);
    make_file(file, 8192);
    CLEANUP(text_freep) char *other = text_format("%s/PG_13_202007201/old", path);
    make_file(other, 8192);
    CLEANUP(text_freep) char *foreign = text_format("%s/somebody", path);
    make_file(foreign, 8192);
}

static void a_tablespace_is_its_link_and_its_own_version(void **state)
{
    CLEANUP(text_freep) char *location = text_format("%s/location", (const char *)*state);

    make_location(location);
    assert_int_equal(symlink(location, "data/pg_tblspc/16390"), 0);
    assert_int_equal(symlink("/nowhere", "data/pg_tblspc/16391"), 0);
    CLEANUP(scan_done) Scan result = {0};
    scan(&result);

    assert_kind(&result, "pg_tblspc/16390", ENTRY_LINK);
    assert_string_equal(find(&result, "pg_tblspc/16390")->target, location);
    assert_kind(&result, "pg_tblspc/16390/PG_15_202209061", ENTRY_DIRECTORY);
    assert_kind(&result, "pg_tblspc/16390/PG_15_202209061/5/16400", ENTRY_FILE);
    assert_absent(&result, "pg_tblspc/16390/PG_13_202007201");
    assert_absent(&result, "pg_tblspc/16390/PG_13_202007201/old");
    assert_absent(&result, "pg_tblspc/16390/somebody");
    assert_kind(&result, "pg_tblspc/16391", ENTRY_LINK);
    assert_int_equal(result.bytes, 8192);
}

/* Where it leads depends on who follows it: restore could put the files anywhere. */
static void a_relative_link_of_a_tablespace_is_kept_as_where_it_leads(void **state)
{
    CLEANUP(text_freep) char *location = text_format("%s/location", (const char *)*state);
    CLEANUP(scan_done) Scan result = {0};
    CLEANUP(scan_done) Scan lost = {0};
    Error err = {0};

    make_location(location);
    assert_int_equal(symlink("../../location", "data/pg_tblspc/16390"), 0);
    scan(&result);
    assert_string_equal(scan_find(&result, "pg_tblspc/16390")->target, location);
    assert_kind(&result, "pg_tblspc/16390/PG_15_202209061", ENTRY_DIRECTORY);
    assert_int_equal(symlink("../../nowhere", "data/pg_tblspc/16391"), 0);
    assert_false(scan_data_directory(&lost, "data", 15, NULL, &err));
    assert_int_equal(err.code, ERR_REFUSED);
}

static void a_tablespace_inside_the_data_directory_is_taken_once(void **state)
{
    CLEANUP(text_freep) char *location = text_format("%s/data/space", (const char *)*state);

    make_location(location);
    assert_int_equal(symlink(location, "data/pg_tblspc/16390"), 0);
    CLEANUP(scan_done) Scan result = {0};
    scan(&result);

    assert_kind(&result, "space", ENTRY_DIRECTORY);
    assert_absent(&result, "space/PG_15_202209061");
    assert_kind(&result, "pg_tblspc/16390/PG_15_202209061/5/16400", ENTRY_FILE);
    assert_int_equal(result.bytes, 8192);
}

static void a_tablespace_that_the_server_does_not_list_is_left_out(void **state)
{
    static const char *const directories[] = {
        "one", "one/PG_15_202209061", "one/PG_15_202209061/5",
        "two", "two/PG_15_202209061", "two/PG_15_202209061/5",
    };
    static const struct {
        uint32_t oids[2];
        size_t count;
    } cases[] = {{{0, 0}, 0}, {{1640, 0}, 1}, {{16400, 0}, 1}, {{1640, 16400}, 2}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
        assert_int_equal(mkdir(directories[i], 0700), 0);
    make_file("one/PG_15_202209061/5/16384", 11);
    make_file("two/PG_15_202209061/5/16384", 22);
    make_file("data/pg_xact/0000", 33);
    CLEANUP(text_freep) char *one = text_format("%s/one", (const char *)*state);
    CLEANUP(text_freep) char *two = text_format("%s/two", (const char *)*state);
    assert_int_equal(symlink(one, "data/pg_tblspc/1640"), 0);
    assert_int_equal(symlink(two, "data/pg_tblspc/16400"), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(scan_done) Scan result = {0};
        Tablespace items[2] = {{.oid = cases[i].oids[0]}, {.oid = cases[i].oids[1]}};
        uint64_t bytes = 33;

        scan(&result);
        scan_drop_new_tablespaces(&result, &(TablespaceList){items, cases[i].count});
        for (size_t j = 0; j < cases[i].count; j++)
            bytes += items[j].oid == 1640 ? 11 : 22;
        assert_int_equal(result.bytes, bytes);
        assert_kind(&result, "pg_xact/0000", ENTRY_FILE);
        assert_kind(&result, "pg_tblspc", ENTRY_DIRECTORY);
        for (uint32_t oid = 1640; oid <= 16400; oid += 16400 - 1640) {
            bool is_known = items[0].oid == oid || (cases[i].count == 2 && items[1].oid == oid);
            CLEANUP(text_freep) char *link = text_format("pg_tblspc/%u", oid);
            CLEANUP(text_freep) char *directory = text_format("%s/PG_15_202209061", link);
            CLEANUP(text_freep) char *file = text_format("%s/5/16384", directory);

            assert_int_equal(find(&result, link) != NULL, is_known);
            assert_int_equal(find(&result, directory) != NULL, is_known);
            assert_int_equal(find(&result, file) != NULL, is_known);
        }
    }
}

static void an_in_place_tablespace_is_a_directory(void **state)
{
    (void)state;
    make_location("data/pg_tblspc/16390");
    CLEANUP(scan_done) Scan result = {0};
    scan(&result);

    assert_kind(&result, "pg_tblspc/16390", ENTRY_DIRECTORY);
    assert_kind(&result, "pg_tblspc/16390/PG_15_202209061/5/16400", ENTRY_FILE);
}

static void links_to_elsewhere_become_directories_or_are_left(void **state)
{
    (void)state;
    assert_int_equal(mkdir("wal-disk", 0700), 0);
    assert_int_equal(chmod("wal-disk", 0750), 0); /* whatever the umask is */
    make_file("wal-disk/000000010000000000000001", 1 << 20);
    assert_int_equal(rmdir("data/pg_wal/archive_status"), 0);
    assert_int_equal(rmdir("data/pg_wal"), 0);
    assert_int_equal(symlink("../wal-disk", "data/pg_wal"), 0);
    assert_int_equal(symlink("/nowhere", "data/pg_stat_tmp"), 0);
    assert_int_equal(symlink("/etc", "data/log"), 0);
    make_file("huge", 2 << 20);
    assert_int_equal(symlink("../huge", "data/dump"), 0);
    assert_int_equal(symlink("/nowhere", "data/.#postgresql.conf"), 0);
    CLEANUP(scan_done) Scan result = {0};
    scan(&result);

    assert_kind(&result, "pg_wal", ENTRY_DIRECTORY);
    assert_int_equal(find(&result, "pg_wal")->mode, 0750);
    assert_kind(&result, "pg_wal/archive_status", ENTRY_DIRECTORY);
    assert_absent(&result, "pg_wal/000000010000000000000001");
    assert_kind(&result, "pg_stat_tmp", ENTRY_DIRECTORY);
    assert_int_equal(find(&result, "pg_stat_tmp")->mode, 0700);
    assert_absent(&result, "log");
    assert_absent(&result, "dump");
    assert_int_equal(result.skipped_count, 3);
    assert_int_equal(result.followed_count, 0);
}

/* Where the server follows a link, so does the backup. */
static void links_in_place_of_what_the_server_opens_are_followed(void **state)
{
    static const struct {
        const char *link, *inside; /* a directory: a file in it */
    } cases[] = {
        {"data/base/7", "1259"},
        {"data/base/5/16384", NULL},
        {"data/base/5/pg_filenode.map", NULL},
        {"data/pg_multixact", NULL},
        {"data/pg_xact/0000", NULL},
        {"data/postgresql.conf", NULL},
        {"data/pg_tblspc/16390/PG_15_202209061", "5"},
        {"data/pg_twophase", "0000000A"},
    };

    CLEANUP(text_freep) char *location = text_format("%s/location", (const char *)*state);
    assert_int_equal(mkdir("location", 0700), 0);
    assert_int_equal(symlink(location, "data/pg_tblspc/16390"), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        bool is_directory = cases[i].inside != NULL || i == 3;
        CLEANUP(text_freep) char *there = text_format("%s/there-%zu", (const char *)*state, i);
        CLEANUP(text_freep)
        char *inside =
            text_format("%s/%s", there, cases[i].inside != NULL ? cases[i].inside : "members");
        CLEANUP(scan_done) Scan result = {0};
        if (is_directory) {
            assert_int_equal(mkdir(there, 0700), 0);
            make_file(inside, 9);
        } else {
            make_file(there, 9);
        }
        assert_int_equal(symlink(there, cases[i].link), 0);
        scan(&result);

        const char *path = cases[i].link + strlen("data/");
        assert_kind(&result, path, is_directory ? ENTRY_DIRECTORY : ENTRY_FILE);
        const FollowedLink *followed = scan_followed(&result, path);
        assert_non_null(followed);
        assert_string_equal(followed->target, there);
        if (is_directory) {
            CLEANUP(text_freep) char *file = text_format("%s%s", path, inside + strlen(there));
            assert_kind(&result, file, ENTRY_FILE);
            assert_true(scan_has_below(&result, path));
        } else {
            assert_int_equal(find(&result, path)->size, 9);
        }
    }
}

static void a_link_that_leads_the_server_nowhere_is_refused(void **state)
{
    static const char *const links[] = {"data/base/6", "data/base/5/16384", "data/pg_xact/0001",
                                        "data/pg_commit_ts", "data/global/pg_filenode.map"};

    (void)state;
    make_file("file", 9);
    for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
        CLEANUP(scan_done) Scan result = {0};
        Error err = {0};
        assert_int_equal(symlink("/nowhere", links[i]), 0);
        assert_false(scan_data_directory(&result, "data", 15, NULL, &err));
        assert_int_equal(err.code, ERR_REFUSED);
        assert_non_null(strstr(err.message, links[i]));
        assert_int_equal(unlink(links[i]), 0);
    }
    CLEANUP(scan_done) Scan result = {0};
    Error err = {0};
    assert_int_equal(symlink("../../file", "data/base/6"), 0);
    assert_false(scan_data_directory(&result, "data", 15, NULL, &err));
    assert_int_equal(err.code, ERR_REFUSED);
}

/* pg_filenode.map of 512 bytes that names one file. */
static void make_map(const char *path, uint32_t file)
{
    uint8_t bytes[512] = {0};
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    put_le32(bytes, 0x592717);
    put_le32(bytes + 4, 1);
    put_le32(bytes + 8, 1259);
    put_le32(bytes + 12, file);
    put_le32(bytes + 504, crc32c_update(0, bytes, 504));
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, sizeof bytes), sizeof bytes);
    assert_int_equal(close(fd), 0);
}

static void what_must_be_there_is_found_though_no_listing_has_it(void **state)
{
    static const char *const names[] = {"PG_VERSION",
                                        "postgresql.auto.conf",
                                        "pg_filenode.map",
                                        "pg_control",
                                        "16444",
                                        "replorigin_checkpoint",
                                        NULL};
    static const char *const paths[] = {"PG_VERSION",        "postgresql.auto.conf",
                                        "global/pg_control", "global/pg_filenode.map",
                                        "base/5/PG_VERSION", "base/5/pg_filenode.map",
                                        "base/5/16444",      "pg_logical/replorigin_checkpoint"};

    (void)state;
    assert_int_equal(mkdir("data/pg_logical", 0700), 0);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        CLEANUP(text_freep) char *path = text_format("data/%s", paths[i]);
        if (strstr(path, "pg_filenode.map") != NULL) {
            make_map(path, 16444);
        } else {
            make_file(path, 3);
        }
    }
    unlisted = names;
    CLEANUP(scan_done) Scan result = {0};
    scan(&result);
    unlisted = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        assert_kind(&result, paths[i], ENTRY_FILE);
    assert_int_equal(result.map_count, 2);
    assert_int_equal(result.maps[0].map.files[0], 16444);
}

static void of_the_directory_of_statistics_only_itself_is_kept(void **state)
{
    static const struct {
        const char *statistics;
        const char *file;
        bool is_taken;
    } cases[] = {
        {"stats", "stats/global.stat", false},
        {"stats", "stats/deep/db_5.stat", false},
        {"stats", "statsbook", true},
        {"stats", "base/stats", true},
        {"stats/deep", "stats/global.stat", true},
        {"stats/deep", "stats/deep/db_5.stat", false},
        {"base", "base/5/1259", true},
        {"base/5", "base/5/1259", true},
        {"global", "global/1262", true},
        {NULL, "stats/global.stat", true},
    };

    (void)state;
    assert_int_equal(mkdir("data/stats", 0700), 0);
    assert_int_equal(mkdir("data/stats/deep", 0700), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(text_freep) char *path = text_format("data/%s", cases[i].file);
        CLEANUP(scan_done) Scan result = {0};
        Error err = {0};

        (void)unlink(path);
        make_file(path, 7);
        assert_true(scan_data_directory(&result, "data", 13, cases[i].statistics, &err));
        if (cases[i].is_taken) {
            assert_kind(&result, cases[i].file, ENTRY_FILE);
        } else {
            assert_absent(&result, cases[i].file);
            assert_kind(&result, cases[i].statistics, ENTRY_DIRECTORY);
        }
    }
}

static void what_is_no_file_is_left(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "data/.s.PGSQL.5432"};
    CLEANUP(fd_done) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(mkfifo("data/base/5/16384", 0600), 0);
    CLEANUP(scan_done) Scan result = {0};
    scan(&result);

    assert_absent(&result, ".s.PGSQL.5432");
    assert_absent(&result, "base/5/16384");
    assert_int_equal(result.skipped_count, 2);
}

static void names_of_any_bytes_are_kept(void **state)
{
    static const char name[] = "\xff line\nfeed\ttab %41";
    CLEANUP(text_freep) char *path = text_format("data/%s", name);

    (void)state;
    make_file(path, 3);
    CLEANUP(scan_done) Scan result = {0};
    scan(&result);
    assert_kind(&result, name, ENTRY_FILE);
}

static void a_missing_data_directory_is_an_error(void **state)
{
    CLEANUP(scan_done) Scan result = {0};
    Error err = {0};

    (void)state;
    assert_false(scan_data_directory(&result, "nothing", 15, NULL, &err));
    assert_int_equal(err.code, ERR_IO);
}

#define TREE_TEST(function) cmocka_unit_test_setup_teardown(function, make_tree, remove_tree)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE_TEST(what_belongs_is_taken_and_nothing_else),
        TREE_TEST(of_an_unlogged_relation_only_the_init_fork_is_taken),
        TREE_TEST(of_the_directory_of_statistics_only_itself_is_kept),
        TREE_TEST(a_tablespace_is_its_link_and_its_own_version),
        TREE_TEST(a_relative_link_of_a_tablespace_is_kept_as_where_it_leads),
        TREE_TEST(a_tablespace_inside_the_data_directory_is_taken_once),
        TREE_TEST(a_tablespace_that_the_server_does_not_list_is_left_out),
        TREE_TEST(an_in_place_tablespace_is_a_directory),
        TREE_TEST(links_to_elsewhere_become_directories_or_are_left),
        TREE_TEST(links_in_place_of_what_the_server_opens_are_followed),
        TREE_TEST(a_link_that_leads_the_server_nowhere_is_refused),
        TREE_TEST(what_must_be_there_is_found_though_no_listing_has_it),
        TREE_TEST(what_is_no_file_is_left),
        TREE_TEST(names_of_any_bytes_are_kept),
        TREE_TEST(a_missing_data_directory_is_an_error),
    };

    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
