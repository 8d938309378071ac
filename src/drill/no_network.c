#include "drill/no_network.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where socket(2) is a call of its own, the numbers of which no other ABI shares. */
#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define NATIVE_ARCH AUDIT_ARCH_RISCV64
#else
#define NATIVE_ARCH 0 /* It is not known here, so the network stays. */
#endif

/* x86-64 has a second ABI, whose numbers have this bit; on other processors no number has it. */
#define OTHER_ABI_BIT 0x40000000u

#define LOAD(field)                                                                                \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, field))
#define FAIL(number)             BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (number))
#define IF_EQUAL(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))

/* The low half of the first argument: an int, little-endian on all processors that are known. */
static const struct sock_filter only_local_sockets[] = {
    LOAD(arch),
    IF_EQUAL(NATIVE_ARCH, 1, 0),
    FAIL(ENOSYS),
    LOAD(nr),
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, OTHER_ABI_BIT, 0, 1),
    FAIL(ENOSYS),
    IF_EQUAL(__NR_io_uring_setup, 0, 1),
    FAIL(ENOSYS),
    IF_EQUAL(__NR_socket, 0, 3),
    LOAD(args[0]),
    IF_EQUAL(AF_UNIX, 1, 0),
    FAIL(EAFNOSUPPORT),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

bool network_leave(void)
{
    struct sock_filter filter[ARRAY_SIZE(only_local_sockets)];
    const struct sock_fprog program = {.len = ARRAY_SIZE(filter), .filter = filter};

    if (NATIVE_ARCH == 0) {
        errno = ENOSYS;
        return false;
    }
    memcpy(filter, only_local_sockets, sizeof filter);
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* That the call succeeds is not enough: some kernels only pretend. */
static bool network_is_left(void)
{
    const int local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    return local >= 0 && other < 0 && errno == EAFNOSUPPORT;
}

bool network_can_be_left(void)
{
    int status = -1;
    const pid_t child = fork();

    if (child == 0)
        _exit(network_leave() && network_is_left() ? 0 : 1);
    if (child < 0)
        return false;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            return false;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
