#include "syncs.h"

#include "folder.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

char syncs_done[1024];
int syncs_fail_directories, syncs_fail_files;

void syncs_begin(void)
{
    syncs_done[0] = '\0';
    syncs_fail_directories = syncs_fail_files = 0;
}

static void note(const char *call, int fd)
{
    char link[32], path[256] = "";
    const size_t above = strlen(folder_path()), size = strlen(syncs_done);

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    assert_true(readlink(link, path, sizeof path - 1) > 0);
    path[strcspn(path, " ")] = '\0'; /* "... (deleted)" */
    if (strstr(path, ".tmp-") != NULL)
        *strstr(path, ".tmp-") = '\0';
    (void)snprintf(syncs_done + size, sizeof syncs_done - size, "%s%s ", call,
                   strncmp(path, folder_path(), above) != 0 ? path
                   : path[above] == '/'                     ? path + above + 1
                                                            : ".");
}

int fsync(int fd)
{
    struct stat found;

    note("", fd);
    assert_int_equal(fstat(fd, &found), 0);
    errno = S_ISDIR(found.st_mode) ? syncs_fail_directories : syncs_fail_files;
    return errno == 0 ? 0 : -1;
}

int syncfs(int fd)
{
    note("all:", fd);
    return 0;
}
