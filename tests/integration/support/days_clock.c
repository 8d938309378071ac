/*
 * days_clock.c - days that go by in seconds: a library that is loaded before others (LD_PRELOAD)
 * and adds to the wall clock what a file says.
 *
 * DAYS_CLOCK names the file: a count, then so many pairs of when, by the real clock, a day was left
 * out, and how much was left out in all from then on, in nanoseconds. It is mapped, so that
 * processes that run already (the server) follow. Times of files are moved by what was left out
 * when they were set: so the store's clock, which nobody can set, and the hosts' go together.
 * DAYS_HOST: what the host is called.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

enum { PAIRS_MAX = 4000 };

struct leaps {
    uint64_t count;
    struct {
        int64_t from, left_out;
    } pairs[PAIRS_MAX];
};

static const struct leaps *leaps;

__attribute__((constructor)) static void load(void)
{
    const char *path = getenv("DAYS_CLOCK");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0)
        return;
    void *mapped = mmap(NULL, sizeof *leaps, PROT_READ, MAP_SHARED, fd, 0);
    leaps = mapped != MAP_FAILED ? mapped : NULL;
    close(fd);
}

/* By the real clock. */
static int64_t left_out_at(int64_t real)
{
    uint64_t count = leaps != NULL ? __atomic_load_n(&leaps->count, __ATOMIC_ACQUIRE) : 0;

    while (count > 0 && leaps->pairs[count - 1].from > real)
        count--;
    return count > 0 ? leaps->pairs[count - 1].left_out : 0;
}

static int64_t real_now(void)
{
    struct timespec now;

    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int status = (int)syscall(SYS_clock_gettime, clock, time);

    if (status == 0 &&
        (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_BOOTTIME)) {
        int64_t moved = time->tv_sec * SECOND + time->tv_nsec + left_out_at(INT64_MAX);
        time->tv_sec = moved / SECOND;
        time->tv_nsec = moved % SECOND;
    }
    return status;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    struct timespec now;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (at != NULL)
        *at = now.tv_sec;
    return now.tv_sec;
}

/* A time that somebody set (utimensat) is one of these days already. */
static void move(struct timespec *time)
{
    int64_t real = time->tv_sec * SECOND + time->tv_nsec;

    if (real <= real_now()) {
        real += left_out_at(real);
        time->tv_sec = real / SECOND;
        time->tv_nsec = real % SECOND;
    }
}

static int moved(int status, struct stat *info)
{
    if (status == 0) {
        move(&info->st_atim);
        move(&info->st_mtim);
        move(&info->st_ctim);
    }
    return status;
}

static int look_at(int folder, const char *path, struct stat *info, int flags)
{
    return moved((int)syscall(SYS_newfstatat, folder, path, info, flags), info);
}

static int look_fd(int fd, struct stat *info)
{
    return moved((int)syscall(SYS_fstat, fd, info), info);
}

/* Both names of each: with and without large files (sys/stat.h). */
#define LOOKS(suffix)                                                                              \
    int stat##suffix(const char *restrict path, struct stat##suffix *restrict info)                \
    {                                                                                              \
        return look_at(AT_FDCWD, path, (struct stat *)info, 0);                                    \
    }                                                                                              \
    int lstat##suffix(const char *restrict path, struct stat##suffix *restrict info)               \
    {                                                                                              \
        return look_at(AT_FDCWD, path, (struct stat *)info, AT_SYMLINK_NOFOLLOW);                  \
    }                                                                                              \
    int fstat##suffix(int fd, struct stat##suffix *info)                                           \
    {                                                                                              \
        return look_fd(fd, (struct stat *)info);                                                   \
    }                                                                                              \
    int fstatat##suffix(int folder, const char *restrict path, struct stat##suffix *restrict info, \
                        int flags)                                                                 \
    {                                                                                              \
        return look_at(folder, path, (struct stat *)info, flags);                                  \
    }
LOOKS()
LOOKS(64)

static void move_x(struct statx_timestamp *time)
{
    struct timespec moved_time = {.tv_sec = time->tv_sec, .tv_nsec = time->tv_nsec};

    move(&moved_time);
    time->tv_sec = moved_time.tv_sec;
    time->tv_nsec = (uint32_t)moved_time.tv_nsec;
}

int statx(int folder, const char *restrict path, int flags, unsigned mask,
          struct statx *restrict info)
{
    int status = (int)syscall(SYS_statx, folder, path, flags, mask, info);

    if (status == 0) {
        move_x(&info->stx_atime);
        move_x(&info->stx_btime);
        move_x(&info->stx_ctime);
        move_x(&info->stx_mtime);
    }
    return status;
}

int gethostname(char *name, size_t size)
{
    const char *host = getenv("DAYS_HOST");
    struct utsname system;

    if (host == NULL) {
        if (syscall(SYS_uname, &system) != 0)
            return -1;
        host = system.nodename;
    }
    strncpy(name, host, size);
    return 0;
}
