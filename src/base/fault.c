#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How often the wanted point was reached; by any thread, hence atomic. */
static atomic_ulong hits;

static const struct {
    const char *name;
    int signal; /* The process sends itself this signal. 0 lets the call fail. */
} actions[] = {{"crash", SIGKILL}, {"fail", 0}, {"stop", SIGSTOP}};

/* The rest of PGCAIRN_FAULT after "name:", "crash" or "crash:3". False when it is misspelled. */
static bool parse_fault_action(const char *text, int *number, unsigned long *wanted_hit)
{
    size_t size = strcspn(text, ":");
    size_t i = 0;
    char *end = NULL;

    while (i < ARRAY_SIZE(actions) &&
           (strlen(actions[i].name) != size || strncmp(text, actions[i].name, size) != 0))
        i++;
    if (i == ARRAY_SIZE(actions))
        return false;
    *number = actions[i].signal;
    *wanted_hit = 1;
    if (text[size] == '\0')
        return true;
    errno = 0;
    *wanted_hit = strtoul(text + size + 1, &end, 10);
    return errno == 0 && *end == '\0' && *wanted_hit > 0;
}

/* One write(2) a line, so that threads don't mix theirs. */
static void log_hit(const char *name)
{
    const char *path = getenv("PGCAIRN_FAULT_LOG");
    int fd = path == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

    if (fd < 0)
        return;
    (void)dprintf(fd, "%s\n", name);
    (void)close(fd);
}

bool fault_point(const char *name, Error *err)
{
    const char *wanted = getenv("PGCAIRN_FAULT");
    size_t name_size = strlen(name);
    unsigned long wanted_hit;
    int number;

    log_hit(name);
    if (wanted == NULL || strncmp(wanted, name, name_size) != 0 || wanted[name_size] != ':')
        return true;
    if (!parse_fault_action(wanted + name_size + 1, &number, &wanted_hit))
        return error_set(err, ERR_USAGE, "PGCAIRN_FAULT is not NAME:crash|fail|stop[:N]");
    if (atomic_fetch_add(&hits, 1) + 1 != wanted_hit)
        return true;
    if (number != 0)
        (void)raise(number);
    return number == SIGSTOP || error_set(err, ERR_IO, "fault injected at %s", name);
}
