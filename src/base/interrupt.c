#include "base/interrupt.h"

#include <signal.h>
#include <stdatomic.h>

static atomic_int caught;

static void catch_signal(int number)
{
    int none = 0;

    /* The first one is kept: it is what the operator or the server wanted. */
    (void)atomic_compare_exchange_strong(&caught, &none, number);
}

void interrupt_setup(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction catch = {.sa_handler = catch_signal};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    /* No SA_RESTART: a call that waits comes back and the loop around it asks. */
    (void)sigemptyset(&catch.sa_mask);
    (void)sigemptyset(&ignore.sa_mask);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        struct sigaction before;

        /* What was ignored when we were started stays so: nohup(1) means it. */
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler == SIG_IGN)
            continue;
        (void)sigaction(numbers[i], &catch, NULL);
    }
    (void)sigaction(SIGPIPE, &ignore, NULL);
    /* A limit on file sizes: the write fails with EFBIG then, and says where. */
    (void)sigaction(SIGXFSZ, &ignore, NULL);
}

int interrupt_signal(void)
{
    return atomic_load_explicit(&caught, memory_order_relaxed);
}

bool interrupt_check(Error *err)
{
    int number = interrupt_signal();

    if (number == 0)
        return true;
    return error_set(err, ERR_INTERRUPTED, "interrupted by SIG%s", sigabbrev_np(number));
}

void interrupt_heard(void)
{
    atomic_store(&caught, 0);
}
