#include "drill/no_network.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* What a process that has left the network says of a socket: 0, or errno. */
static int errno_of_socket(int family)
{
    int status = 0;
    const pid_t child = fork();

    if (child == 0) {
        if (!network_leave())
            _exit(255);
        _exit(socket(family, SOCK_DGRAM, 0) >= 0 ? 0 : errno);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void only_local_sockets_are_left(void **state)
{
    static const int others[] = {AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK};

    (void)state;
    if (!network_can_be_left())
        skip();
    assert_int_equal(errno_of_socket(AF_UNIX), 0);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        assert_int_equal(errno_of_socket(others[i]), EAFNOSUPPORT);
}

/* In the program that is started, and in what it starts; here, all is as it was. */
static void programs_that_it_starts_have_none_either(void **state)
{
    static const char *const script[] = {"/bin/sh", "-c",
                                         "grep -q '^NoNewPrivs:.1' /proc/self/status && grep -q "
                                         "'^Seccomp:.2' /proc/self/status",
                                         NULL};
    int status = 0;

    (void)state;
    if (!network_can_be_left())
        skip();
    const pid_t child = fork();
    if (child == 0) {
        if (network_leave())
            (void)execv(script[0], (char *const *)script);
        _exit(255);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    const int here = socket(AF_INET, SOCK_DGRAM, 0);
    assert_true(here >= 0);
    (void)close(here);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_local_sockets_are_left),
        cmocka_unit_test(programs_that_it_starts_have_none_either),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
