#include "server/replication.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* protocol-replication.html; big-endian. */
static const uint8_t data_message[] = {
    'w', 0,   0,   0, 1,    0x12, 0x34, 0x56, 0x78, /* first byte */
    0,   0,   0,   1, 0x23, 0,    0,    0,          /* end of the server's WAL */
    0,   0,   0,   0, 0,    0,    0,    9,          /* time */
    'W', 'A', 'L',
};
static const uint8_t keepalive[] = {'k', 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 9, 1};

static void messages_say_what_the_manual_says(void **state)
{
    StreamMessage message;
    Error err = {0};

    (void)state;
    assert_true(stream_message_decode(data_message, sizeof data_message, &message, &err));
    assert_int_equal(message.kind, STREAM_DATA);
    assert_true(message.position == UINT64_C(0x112345678));
    assert_true(message.server_end == UINT64_C(0x123000000));
    assert_int_equal(message.size, 3);
    assert_memory_equal(message.data, "WAL", 3);

    assert_true(stream_message_decode(keepalive, sizeof keepalive, &message, &err));
    assert_int_equal(message.kind, STREAM_KEEPALIVE);
    assert_true(message.server_end == 0x102);
    assert_true(message.reply_requested);
}

static void messages_that_are_cut_or_unknown_are_refused(void **state)
{
    static const uint8_t unknown[] = "x123456789012345678901234567890";
    StreamMessage message;

    (void)state;
    for (size_t size = 0; size < sizeof data_message - 3; size++) {
        Error err = {0};

        assert_false(stream_message_decode(data_message, size, &message, &err));
        assert_int_equal(err.code, ERR_POSTGRES);
    }
    for (size_t size = 0; size < sizeof keepalive; size++) {
        Error err = {0};

        assert_false(stream_message_decode(keepalive, size, &message, &err));
    }
    Error err = {0};
    assert_false(stream_message_decode(unknown, sizeof unknown, &message, &err));
}

static void a_status_says_what_is_durable_and_that_nothing_is_applied(void **state)
{
    uint8_t bytes[STREAM_STATUS_SIZE];
    static const uint8_t expected[STREAM_STATUS_SIZE] = {
        'r', 0, 0, 0, 1, 0, 0, 0, 2, /* received */
        0,   0, 0, 1, 0, 0, 0, 1,    /* durable */
        0,   0, 0, 0, 0, 0, 0, 0,    /* applied */
        0,   0, 0, 0, 0, 0, 1, 0,    /* time: 256 microseconds after 2000 began */
        0,
    };

    (void)state;
    stream_status_encode(bytes, UINT64_C(0x100000002), UINT64_C(0x100000001),
                         time_from_postgres(256));
    assert_memory_equal(bytes, expected, sizeof expected);
}

static void slot_names_are_those_that_the_server_takes(void **state)
{
    static const char *const bad[] = {
        "",    "A",   "a-b",
        "a b", "a'b", "a234567890123456789012345678901234567890123456789012345678901234",
    };
    Error fine = {0};

    (void)state;
    assert_true(replication_slot_name_check("pgcairn_2", &fine));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        Error err = {0};

        assert_false(replication_slot_name_check(bad[i], &err));
        assert_int_equal(err.code, ERR_USAGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_say_what_the_manual_says),
        cmocka_unit_test(messages_that_are_cut_or_unknown_are_refused),
        cmocka_unit_test(a_status_says_what_is_durable_and_that_nothing_is_applied),
        cmocka_unit_test(slot_names_are_those_that_the_server_takes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
