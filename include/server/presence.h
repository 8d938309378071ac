/*
 * presence.h - does a server work on this data directory, also one that can't be seen from here?
 *
 * A lock file tells that only to whoever sees the server's processes. A server in a container calls
 * itself process 1; one on another host has a number that means nothing here; its lock file may
 * have been removed, or be left over from a crash. So everything that tells is asked, and where
 * nothing is proven, that is the answer.
 *
 *     PresenceFacts facts;
 *     if (!presence_look(data, &facts, err))
 *         return false;
 *     if (presence_judge(&facts) != PRESENCE_NONE) ...
 *
 * Facts of the server: ChangeToDataDir() and RecheckDataDirLockFile() (miscinit.c), the lock files
 * of sockets (CreateSocketLockFile()), sysv_shmem.c for the shared memory, pg_control's state
 * (xlog.c).
 */
#pragma once

#include "base/error.h"
#include "base/time.h"
#include "server/server.h"

#include <sys/types.h>

typedef enum Presence {
    PRESENCE_NONE, /* It is proven that no server works there. */
    /* A server works there, or what is left of one, or a program that changes its files. */
    PRESENCE_SERVER,
    PRESENCE_DOUBT, /* A server may work there, where it can't be seen. */
} Presence;

/* The small System V segment that each server has (its lock file names it). */
typedef enum MemoryState {
    /* There is no segment: it belongs to another host, boot or container, or was removed. */
    MEMORY_UNKNOWN,
    MEMORY_LEFT, /* That very server left it, and no process is attached any more. */
    MEMORY_ATTACHED,
} MemoryState;

/* Its socket, when the socket's own lock file says that it is this server's. */
typedef enum SocketState {
    SOCKET_UNKNOWN,
    SOCKET_REFUSES, /* Nobody listens any more. */
    SOCKET_ANSWERS,
} SocketState;

typedef struct PresenceFacts {
    /*
     * It is a server's process, with this directory as its working directory. 0 means that there is
     * none.
     */
    pid_t process;
    bool is_elsewhere; /* That server is in another name space of processes: a container. */
    /*
     * It is one of the server's programs at work on the directory, such as pg_rewind. 0 means that
     * there is none.
     */
    pid_t tool;
    char tool_name[16]; /* It is the name of that program. */
    /* By its name it is a server, but we may not see where it works. 0 means that there is none. */
    pid_t unseen;
    bool sees_all;      /* A process anywhere on this host would have been seen. */
    bool may_be_shared; /* Another host or a virtual machine may have the same file system. */
    /* pg_control says that the server was shut down, or shut down in recovery. */
    bool is_stopped;
    bool is_untouched; /* No server was ever started on it: it was restored or copied. */
    bool has_lock;     /* There is a postmaster.pid. */
    pid_t lock_pid;
    bool is_lock_before_boot; /* postmaster.pid is older than this host's last boot. */
    TimeUs lock_age;          /* The server of postmaster.pid was started this long ago. */
    TimeUs quiet;             /* Names in the directory last changed this long ago. */
    MemoryState memory;
    SocketState socket;
} PresenceFacts;

/* ERR_IO when lock file or directory can't be read. */
bool presence_look(const char *data, PresenceFacts *facts, Error *err) MUST_CHECK;

Presence presence_judge(const PresenceFacts *facts);

/*
 * Whether the server of this lock file can be talked to: its process is seen, or its own socket
 * takes connections (in another container that shares the socket's directory).
 */
bool presence_answers(const char *data, const ServerLock *lock);

/*
 * For a caller that sees no server there and is about to say so. False when one may still be there,
 * with ERR_UNREACHABLE and a hint where to look from. What can't be read proves nothing either.
 */
bool presence_check_none(const char *data, Error *err) MUST_CHECK;

/*
 * What of PRESENCE_DOUBT time alone will settle: how long until then, in microseconds; 0: nothing.
 * A server whose lock file is gone ends by itself.
 */
TimeUs presence_wait(const PresenceFacts *facts);
