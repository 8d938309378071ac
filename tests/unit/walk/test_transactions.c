#include "transactions.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MANY = 5000 };

static void what_was_added_is_found_until_it_is_removed(void **state)
{
    CLEANUP(transactions_done) Transactions open = {0};
    uint64_t random = 1;
    bool *is_open = mem_alloc(MANY);

    (void)state;
    for (int step = 0; step < 60000; step++) {
        random = random * UINT64_C(6364136223846793005) + 1;
        uint32_t xid = (uint32_t)(random >> 33) % MANY;

        if (xid == 0)
            continue;
        if (random >> 63 != 0) {
            transactions_add(&open, xid)->database = xid + 1;
        } else {
            transactions_remove(&open, xid);
        }
        is_open[xid] = random >> 63 != 0;
    }
    for (uint32_t xid = 0; xid < MANY; xid++) {
        const Transaction *found = transactions_find(&open, xid);

        assert_int_equal(found != NULL, is_open[xid]);
        if (found != NULL)
            assert_int_equal(found->database, xid + 1);
    }
    mem_free(is_open);
}

static void those_before_an_xid_are_forgotten_also_where_xids_wrap(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        CLEANUP(transactions_done) Transactions open = {0};
        uint32_t first = round == 0 ? 1000 : UINT32_MAX - 499;

        for (uint32_t i = 0; i < 1000; i++) {
            if (first + i != 0)
                buffer_append(&transactions_add(&open, first + i)->created, "x", 1);
        }
        transactions_forget(&open, first + 600);
        for (uint32_t i = 0; i < 1000; i++) {
            if (first + i != 0)
                assert_int_equal(transactions_find(&open, first + i) != NULL, i >= 600);
        }
        assert_int_equal(open.count, 400);
    }
}

static void memory_follows_what_is_open_not_what_was(void **state)
{
    CLEANUP(transactions_done) Transactions open = {0};

    (void)state;
    for (uint32_t xid = 1; xid < 1000000; xid++) {
        transactions_add(&open, xid);
        if (xid > 20)
            transactions_remove(&open, xid - 20);
    }
    assert_true(open.size <= 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_is_found_until_it_is_removed),
        cmocka_unit_test(those_before_an_xid_are_forgotten_also_where_xids_wrap),
        cmocka_unit_test(memory_follows_what_is_open_not_what_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
