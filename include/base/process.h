/*
 * process.h - other programs and other processes of this machine.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

#include <sys/types.h>

typedef struct ProcessSetup {
    const char *const *argv; /* It ends with NULL. argv[0] is a path or is found on PATH. */
    const char *directory;   /* The program runs in it. NULL means that it runs where we are. */
    const char *const
        /*
         * These "NAME=value" are added to the environment. The list ends with NULL, or is NULL. Of
         * our own environment only PATH, HOME, USER, LOGNAME, LANG, LC_*, TZ and PGPORT are passed
         * on.
         */
        *env;
    /* Standard output and error are appended to this file. NULL leaves them as they are. */
    const char *log_path;
    /*
     * It is called in the child just before the program begins, to give up rights and the like. It
     * may do what a signal handler may. When it returns false, errno says why, and the program is
     * not started. It may be NULL.
     */
    bool (*in_child)(void);
} ProcessSetup;

/* Start it in a session of its own, so that it outlives us and gets no signal of our terminal. */
bool process_start(const ProcessSetup *setup, pid_t *pid, Error *err) MUST_CHECK;

/*
 * Run to the end, output (stdout and stderr, at most 1 MiB is kept) appended to output.
 * *status is the exit status, or 128 + signal. ERR_UNREACHABLE after timeout_ms (it is killed).
 */
bool process_run(const ProcessSetup *setup, uint64_t timeout_ms, int *status, Buffer *output,
                 Error *err) MUST_CHECK;

/* Whether a child has ended; *status as above. Does not wait. */
bool process_has_ended(pid_t pid, int *status);

/* Whether a process with this pid lives (also one of another user): a zombie does not. */
bool process_exists(pid_t pid);

/*
 * What tells a process from a later one with the same pid: start time in clock ticks since boot
 * (proc(5), stat field 22), 0 when there is no such process.
 */
uint64_t process_start_time(pid_t pid);

/* This machine's name and the id of its current boot (/proc/sys/kernel/random/boot_id). */
const char *process_host_name(void);
const char *process_boot_id(void);
/* The id that its installation got (machine-id(5)); "" where there is none, as in a container. */
const char *process_machine_id(void);
