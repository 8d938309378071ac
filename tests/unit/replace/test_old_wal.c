#include "replace/old_wal.h"

#include "../folder.h"
#include "base/bytes.h"
#include "base/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { SEGMENT = 1 << 20 };
#define SYSTEM UINT64_C(7300000000000000001)

static const Cluster cluster = {
    .name = "main", .system_identifier = SYSTEM, .major = 15, .wal_segment_size = SEGMENT};

static int setup(void **state)
{
    return enter_folder(state) == 0 && mkdir("archive_status", 0700) == 0 ? 0 : -1;
}

typedef struct Header {
    uint32_t timeline;
    uint64_t address;
    uint64_t system;
    uint32_t segment_size;
    off_t file_size;
} Header;

static void put_segment(const char *name, const Header *header)
{
    uint8_t bytes[40] = {0};
    CLEANUP(fd_done) int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    Error err = {0};

    put_le16(bytes, 0xD110);
    put_le16(bytes + 2, 2); /* long header */
    put_le32(bytes + 4, header->timeline);
    put_le64(bytes + 8, header->address);
    put_le64(bytes + 24, header->system);
    put_le32(bytes + 32, header->segment_size);
    put_le32(bytes + 36, 8192);
    assert_true(fd >= 0);
    assert_true(file_write_all(fd, bytes, sizeof bytes, name, &err));
    assert_int_equal(ftruncate(fd, header->file_size), 0);
}

static void put_mark(const char *name)
{
    CLEANUP(text_freep) char *path = text_format("archive_status/%s", name);
    CLEANUP(fd_done) int fd = open(path, O_WRONLY | O_CREAT, 0600);

    assert_true(fd >= 0);
}

static void only_segments_that_are_what_their_name_says_count(void **state)
{
    const Header good = {2, 5 * (uint64_t)SEGMENT, SYSTEM, SEGMENT, SEGMENT};
    Header header;
    CLEANUP(arena_done) Arena arena = {0};
    OldWal wal;
    Error err = {0};

    (void)state;
    put_segment("000000020000000000000005", &good);
    header = good, header.address = 6 * (uint64_t)SEGMENT;
    put_segment("000000020000000000000006", &header);
    header = good, header.timeline = 1, header.address = 4 * (uint64_t)SEGMENT;
    put_segment("000000020000000000000004", &header); /* begins with its parent's page */
    put_segment("000000020000000000000007", &good);   /* recycled: the address of another */
    header = good, header.address = 8 * (uint64_t)SEGMENT, header.system++;
    put_segment("000000020000000000000008", &header);
    header = good, header.address = 9 * (uint64_t)SEGMENT, header.file_size = SEGMENT - 1;
    put_segment("000000020000000000000009", &header);
    header = good, header.address = 10 * (uint64_t)SEGMENT, header.timeline = 3;
    put_segment("00000002000000000000000A", &header); /* of a later timeline than its name */
    header = good, header.address = 11 * (uint64_t)SEGMENT, header.segment_size *= 2;
    put_segment("00000002000000000000000B", &header);
    header = good, header.address = 12 * (uint64_t)SEGMENT, header.segment_size *= 2;
    put_segment("00000002000000000000000C", &header); /* the address fits both sizes */
    put_segment("00000002.history", &good);
    put_segment("00000003.history", &good);
    put_segment("RECOVERYXLOG", &good);
    put_mark("000000020000000000000005.ready");
    put_mark("000000020000000000000004.done");
    put_mark("00000003.history.ready");

    assert_true(old_wal_load(folder_path(), &cluster, &arena, &wal, &err));

    static const char *const expected[] = {"000000020000000000000004", "000000020000000000000005",
                                           "000000020000000000000006", "00000003.history"};
    assert_int_equal(wal.count, ARRAY_SIZE(expected));
    for (size_t i = 0; i < wal.count; i++)
        assert_string_equal(wal.items[i].file, expected[i]);
    assert_int_equal(wal.others, 1);
    assert_true(wal.items[0].is_done && !wal.items[0].is_ready);
    assert_true(!wal.items[1].is_done && wal.items[1].is_ready);
    assert_true(!wal.items[2].is_done && !wal.items[2].is_ready);
    assert_ptr_equal(old_wal_find(&wal, 2, 6), &wal.items[2]);
    assert_null(old_wal_find(&wal, 2, 7));
    assert_null(old_wal_find(&wal, 1, 4));
    assert_true(old_wal_archives(&wal, 2) && old_wal_archives(&wal, 3));
    assert_false(old_wal_archives(&wal, 1));
}

static void a_directory_that_is_not_there_holds_nothing(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};
    OldWal wal;
    Error err = {0};

    (void)state;
    assert_true(old_wal_load("/tmp/there/is/no/such/place", &cluster, &arena, &wal, &err));
    assert_int_equal(wal.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_segments_that_are_what_their_name_says_count),
        cmocka_unit_test(a_directory_that_is_not_there_holds_nothing),
    };

    return cmocka_run_group_tests(tests, setup, leave_folder);
}
