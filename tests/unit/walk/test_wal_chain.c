#include "walk/wal_chain.h"

#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MIB = 1 << 20 };

/* What a segment's trailer says, and whether it goes on from what is before it. */
typedef struct Case {
    WalChain before;
    WalReaderState state;
    bool fits, completes;
} Case;

static const Case cases[] = {
    /* Nothing is known: anything fits. */
    {{0}, {.head_size = 100, .first_record = 500, .first_prev = 7}, true, false},
    /* No record is open: none may go on, and the first one's link is the last one's place. */
    {{.has_before = true, .last_record = 400},
     {.first_record = 500, .first_prev = 400},
     true,
     false},
    {{.has_before = true, .last_record = 400},
     {.first_record = 500, .first_prev = 392},
     false,
     false},
    {{.has_before = true, .last_record = 400},
     {.head_size = 8, .first_record = 500, .first_prev = 400},
     false,
     false},
    {{.has_before = true, .last_record = 400}, {.head_size = 8}, false, false},
    {{.has_before = true, .last_record = 400}, {0}, true, false},
    /* One is: exactly its rest comes first. */
    {{.has_before = true, .last_record = 400, .pending = 450, .missing = 30},
     {.head_size = 30, .first_record = 500, .first_prev = 450},
     true,
     true},
    {{.has_before = true, .last_record = 400, .pending = 450, .missing = 30},
     {.head_size = 31, .first_record = 500, .first_prev = 450},
     false,
     true},
    {{.has_before = true, .last_record = 400, .pending = 450, .missing = 30},
     {.head_size = 0, .first_record = 500, .first_prev = 450},
     false,
     true},
    {{.has_before = true, .last_record = 400, .pending = 450, .missing = 30},
     {.head_size = 30, .first_record = 500, .first_prev = 440},
     false,
     false},
    {{.has_before = true, .last_record = 400, .pending = 450, .missing = 30},
     {.head_size = 30},
     true,
     true},
    /* It was given up after a crash: the link leads to the one before it. */
    {{.has_before = true, .last_record = 400, .pending = 450, .missing = 30},
     {.starts_with_overwrite = true, .first_record = 500, .first_prev = 400},
     true,
     false},
    {{.has_before = true, .last_record = 400, .pending = 450, .missing = 30},
     {.starts_with_overwrite = true, .first_record = 500, .first_prev = 360},
     false,
     false},
    /* It is longer than a segment. */
    {{.has_before = true, .last_record = 400, .pending = 450, .missing = 3 * MIB},
     {.head_size = 3 * MIB},
     true,
     false},
};

static void a_segment_goes_on_where_the_one_before_ended(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (wal_chain_fits(&cases[i].before, &cases[i].state) != cases[i].fits)
            fail_msg("case %zu fits or not", i);
        if (wal_chain_completes(&cases[i].before, &cases[i].state, MIB) != cases[i].completes)
            fail_msg("case %zu completes or not", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_goes_on_where_the_one_before_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
