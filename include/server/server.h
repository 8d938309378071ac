/*
 * server.h - a server's programs and the traces that it leaves in its data directory.
 */
#pragma once

#include "base/buffer.h"
#include "base/memory.h"
#include "base/time.h"

#include <sys/types.h>

/*
 * The directory of the server programs of this major version: `wanted` (--pg-bin) when given,
 * else PATH, /usr/lib/postgresql/N/bin (Debian), /usr/pgsql-N/bin (RPM). Checked by running
 * `postgres --version`. ERR_NOT_FOUND, with a hint; ERR_VERSION when `wanted` is of another major.
 */
bool server_find_programs(const char *wanted, unsigned major, Arena *arena, const char **directory,
                          Error *err) MUST_CHECK;

typedef enum ServerStatus {
    SERVER_STARTING,
    SERVER_STANDBY, /* It is in recovery, and takes no connections. */
    SERVER_READY,   /* It accepts connections, though perhaps only for reading. */
    SERVER_STOPPING,
    SERVER_UNKNOWN,
} ServerStatus;

/* postmaster.pid (miscadmin.h: LOCK_FILE_LINE_*). */
typedef struct ServerLock {
    pid_t pid;
    const char *data;
    TimeUs started_at;
    unsigned port;
    const char *socket_directory; /* It is the first one, or "" when there is none. */
    const char *listen_address;   /* It is "" when there is none. */
    /*
     * They are the key and id of the server's System V shared memory. When both are 0, the file
     * does not say.
     */
    uint64_t memory_key, memory_id;
    ServerStatus status;
    bool is_alive; /* A process with this pid exists, and it is a postgres or postmaster. */
} ServerLock;

/* *found is false when there is no lock file. Strings go into arena. */
bool server_lock_read(const char *data, Arena *arena, ServerLock *lock, bool *found,
                      Error *err) MUST_CHECK;

/*
 * How libpq reaches the server of this lock file, as keywords and values: by its first socket, else
 * by its address. given: a connection string or URI from the operator, whose words stay; where
 * neither it nor the environment (PGHOST, PGHOSTADDR, PGSERVICE) says where the server is, the lock
 * file does. Without it (NULL) the environment does not count. lock may be NULL: nobody knows the
 * place. database, unless NULL, takes the place of the one that given names. Appended to conninfo;
 * more may follow. What libpq can't read is appended as it is: whoever connects is told.
 */
void server_conninfo(const ServerLock *lock, const char *given, const char *database,
                     Buffer *conninfo);

/* How a server was started last (postmaster.opts). Strings go into arena. */
typedef struct ServerStart {
    const char *programs; /* Its programs are in this directory. */
    const char *data;     /* -D said this. NULL means that the environment did. */
    /* -c and --name said these, as "name=value". The list ends with NULL. */
    const char *const *settings;
} ServerStart;

/* *found is false when there is no such file, or it says something else. */
bool server_start_read(const char *data, Arena *arena, ServerStart *start, bool *found,
                       Error *err) MUST_CHECK;

/*
 * What the startup process says in its title ("startup recovering 00000001…03", "startup waiting
 * for …"); "" when there is none or titles are off. pid is the postmaster's.
 */
bool server_startup_title(pid_t pid, Arena *arena, const char **title);
