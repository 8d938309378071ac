#include "postgres/control.h"

#include "base/bytes.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/tree.h"
#include "stream/digest.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static size_t crc_place(unsigned major)
{
    return major >= 18 ? 292 : 288;
}

static void seal(uint8_t *bytes, unsigned major)
{
    put_le32(bytes + crc_place(major), crc32c_update(0, bytes, crc_place(major)));
}

/* A control file as a server of this version leaves it in a recovery, by pg-control's offsets. */
static void make(uint8_t bytes[PG_CONTROL_FILE_SIZE], unsigned major)
{
    const PgVersion *version = pg_version_of_major(major);
    const double float_format = 1234567.0;

    assert_non_null(version);
    memset(bytes, 0, PG_CONTROL_FILE_SIZE);
    put_le64(bytes, UINT64_C(0xF234567890ABCDEF));
    put_le32(bytes + 8, version->control_version);
    put_le32(bytes + 12, version->catalog_version);
    put_le32(bytes + 16, PG_IN_ARCHIVE_RECOVERY);
    put_le64(bytes + 24, 1795000000);
    put_le64(bytes + 32, 0x2000060);
    put_le64(bytes + 40, 0x2000028);
    put_le32(bytes + 48, 3);
    put_le32(bytes + 52, 2);
    put_le64(bytes + 104, 1794999999);
    put_le64(bytes + 136, 0x3000100);
    put_le32(bytes + 144, 4);
    put_le64(bytes + 152, 0x2000028);
    put_le64(bytes + 160, 0x2000138);
    bytes[168] = 1;
    put_le32(bytes + 172, 1);
    put_le32(bytes + 180, 100);
    put_le32(bytes + 184, 8);
    put_le32(bytes + 188, 10);
    put_le32(bytes + 192, 2);
    put_le32(bytes + 196, 64);
    put_le32(bytes + 204, 8);
    memcpy(bytes + 208, &float_format, sizeof float_format);
    put_le32(bytes + 216, 8192);
    put_le32(bytes + 220, 131072);
    put_le32(bytes + 224, 8192);
    put_le32(bytes + 228, 16 << 20);
    put_le32(bytes + 252, 1);
    seal(bytes, major);
}

static void every_version_is_decoded(void **state)
{
    uint8_t bytes[PG_CONTROL_FILE_SIZE];

    (void)state;
    for (unsigned major = PG_MAJOR_MIN; major <= PG_MAJOR_MAX; major++) {
        PgControl control = {0};
        Error err = {0};
        make(bytes, major);

        assert_true(pg_control_decode(bytes, sizeof bytes, &control, &err));

        assert_int_equal(control.version->major, major);
        assert_true(control.system_identifier == UINT64_C(0xF234567890ABCDEF));
        assert_int_equal(control.state, PG_IN_ARCHIVE_RECOVERY);
        assert_int_equal(control.updated_at, INT64_C(1795000000000000));
        assert_int_equal(control.checkpoint, 0x2000060);
        assert_int_equal(control.redo, 0x2000028);
        assert_int_equal(control.timeline, 3);
        assert_int_equal(control.prev_timeline, 2);
        assert_int_equal(control.checkpoint_time, INT64_C(1794999999000000));
        assert_int_equal(control.min_recovery_point, 0x3000100);
        assert_int_equal(control.min_recovery_timeline, 4);
        assert_int_equal(control.backup_start, 0x2000028);
        assert_int_equal(control.backup_end, 0x2000138);
        assert_true(control.backup_end_required);
        assert_int_equal(control.wal_level, 1);
        assert_int_equal(control.max_connections, 100);
        assert_int_equal(control.max_worker_processes, 8);
        assert_int_equal(control.max_wal_senders, 10);
        assert_int_equal(control.max_prepared_xacts, 2);
        assert_int_equal(control.max_locks_per_xact, 64);
        assert_int_equal(control.block_size, 8192);
        assert_int_equal(control.relation_segment_blocks, 131072);
        assert_int_equal(control.wal_block_size, 8192);
        assert_int_equal(control.wal_segment_size, 16 << 20);
        assert_int_equal(control.checksum_version, 1);
    }
}

static void any_changed_bit_is_noticed(void **state)
{
    uint8_t bytes[PG_CONTROL_FILE_SIZE];

    (void)state;
    for (unsigned major = PG_MAJOR_MIN; major <= PG_MAJOR_MAX; major++) {
        make(bytes, major);
        for (size_t bit = 0; bit < (crc_place(major) + 4) * 8; bit++) {
            PgControl control;
            Error err = {0};
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_false(pg_control_decode(bytes, sizeof bytes, &control, &err));
            assert_true(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

static void a_short_file_is_refused_at_every_length(void **state)
{
    uint8_t bytes[PG_CONTROL_FILE_SIZE];

    (void)state;
    make(bytes, 18);
    for (size_t size = 0; size < 296; size++) {
        /* On the heap, so that a sanitizer sees any byte read too far. */
        uint8_t *copy = mem_alloc(size + 1);
        uint8_t *exact = mem_resize(copy, size > 0 ? size : 1);
        PgControl control;
        Error err = {0};
        memcpy(exact, bytes, size);
        assert_false(pg_control_decode(exact, size, &control, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
        mem_free(exact);
    }
}

static void impossible_values_are_refused_in_spite_of_their_crc(void **state)
{
    static const struct {
        size_t at;
        uint32_t value;
        ErrorCode code;
    } cases[] = {
        {8, 1300 << 16, ERR_VERSION}, /* the other byte order */
        {8, 1700, ERR_VERSION},       /* not the control version of this catalog version */
        {12, 202611221, ERR_VERSION},
        {16, 7, ERR_CORRUPT},
        {16, UINT32_MAX, ERR_CORRUPT},
        {48, 0, ERR_CORRUPT},
        {204, 4, ERR_VERSION}, /* a 32-bit server */
        {208, 1, ERR_VERSION},
        {216, 0, ERR_CORRUPT},
        {216, 8191, ERR_CORRUPT},
        {216, 65536, ERR_CORRUPT},
        {220, 0, ERR_CORRUPT},
        {224, 0, ERR_CORRUPT},
        {224, 12288, ERR_CORRUPT},
        {228, 0, ERR_CORRUPT},
        {228, 24 << 20, ERR_CORRUPT},
        {228, 1 << 19, ERR_CORRUPT},
        {228, UINT32_C(1) << 31, ERR_CORRUPT},
    };
    uint8_t bytes[PG_CONTROL_FILE_SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        PgControl control;
        Error err = {0};
        make(bytes, 15);
        put_le32(bytes + cases[i].at, cases[i].value);
        seal(bytes, 15);
        assert_false(pg_control_decode(bytes, sizeof bytes, &control, &err));
        assert_int_equal(err.code, cases[i].code);
    }
}

static char *make_directory(void)
{
    char *data = text_format("/tmp/test-control-XXXXXX");
    CLEANUP(text_freep) char *global = NULL;

    assert_non_null(mkdtemp(data));
    global = text_format("%s/global", data);
    assert_int_equal(mkdir(global, 0700), 0);
    return data;
}

static void remove_directory(char **data)
{
    Error err = {0};

    assert_true(tree_remove(*data, &err));
    text_freep(data);
}

static void write_control(const char *data, const void *bytes, size_t size)
{
    CLEANUP(text_freep) char *path = text_format("%s/global/pg_control", data);
    CLEANUP(fd_done) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
}

static void the_bytes_that_were_decoded_are_handed_out(void **state)
{
    CLEANUP(remove_directory) char *data = make_directory();
    uint8_t bytes[PG_CONTROL_FILE_SIZE], found[PG_CONTROL_FILE_SIZE] = {0};
    PgControl control;
    Error err = {0};

    (void)state;
    make(bytes, 15);
    write_control(data, bytes, sizeof bytes);

    assert_true(pg_control_read(data, &control, found, &err));
    assert_true(pg_control_read(data, &control, NULL, &err));

    assert_memory_equal(found, bytes, sizeof bytes);
}

static void a_missing_file_is_told_from_a_damaged_one(void **state)
{
    CLEANUP(remove_directory) char *data = make_directory();
    uint8_t bytes[PG_CONTROL_FILE_SIZE];
    PgControl control;
    Error err = {0};

    (void)state;
    assert_false(pg_control_read(data, &control, NULL, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);

    error_clear(&err);
    make(bytes, 15);
    bytes[40] ^= 1;
    write_control(data, bytes, sizeof bytes);
    assert_false(pg_control_read(data, &control, NULL, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_non_null(strstr(err.message, "wrong CRC"));

    error_clear(&err);
    make(bytes, 15);
    write_control(data, bytes, sizeof bytes - 1);
    assert_false(pg_control_read(data, &control, NULL, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

static void every_state_has_the_name_that_pg_controldata_prints(void **state)
{
    (void)state;
    assert_string_equal(pg_state_name(PG_STARTUP), "starting up");
    assert_string_equal(pg_state_name(PG_SHUT_DOWN), "shut down");
    assert_string_equal(pg_state_name(PG_SHUT_DOWN_IN_RECOVERY), "shut down in recovery");
    assert_string_equal(pg_state_name(PG_SHUTTING_DOWN), "shutting down");
    assert_string_equal(pg_state_name(PG_IN_CRASH_RECOVERY), "in crash recovery");
    assert_string_equal(pg_state_name(PG_IN_ARCHIVE_RECOVERY), "in archive recovery");
    assert_string_equal(pg_state_name(PG_IN_PRODUCTION), "in production");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_version_is_decoded),
        cmocka_unit_test(any_changed_bit_is_noticed),
        cmocka_unit_test(a_short_file_is_refused_at_every_length),
        cmocka_unit_test(impossible_values_are_refused_in_spite_of_their_crc),
        cmocka_unit_test(the_bytes_that_were_decoded_are_handed_out),
        cmocka_unit_test(a_missing_file_is_told_from_a_damaged_one),
        cmocka_unit_test(every_state_has_the_name_that_pg_controldata_prints),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
