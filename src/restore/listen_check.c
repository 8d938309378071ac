/*
 * listen_check.c - a server that could not listen once all is restored, told of before anything is
 * touched.
 *
 * Source: utils/init/miscinit.c (CreateLockFile), libpq/pqcomm.c (StreamServerPort), postmaster.c:
 * a socket that another server holds ends the server; TCP addresses do when none of them is free.
 */
#include "listen_check.h"

#include "listen.h"
#include "stored_settings.h"

#include "base/file.h"
#include "base/process.h"
#include "base/shell_word.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT_MAX = 65535, PORTS_TRIED = 100 };

/* How the restored server will listen. */
typedef struct Listening {
    StoredSettings stored;
    unsigned port;
    const char *directories, *addresses;
} Listening;

static void listening_done(Listening *listening)
{
    settings_done(&listening->stored.settings);
}

static void find_listening(const Cluster *cluster, const RestoreRequest *request,
                           const RestorePlan *plan, Listening *listening)
{
    *listening = (Listening){.port = 0};
    stored_settings_read(cluster, plan, &listening->stored);
    listening->port = request->port != 0 ? request->port : listen_port(&listening->stored.settings);
    listening->directories = settings_value(&listening->stored.settings, "unix_socket_directories");
    listening->addresses = settings_value(&listening->stored.settings, "listen_addresses");
    if (request->as_copy && request->port == 0)
        listening->addresses = ""; /* recovery_settings.c: a private one */
}

/* `data`: of the server whose socket it is; NULL where its lock file can't be read. */
static bool is_socket_held(const char *directory, unsigned port, const RestorePlan *plan,
                           const char **data, Arena *arena)
{
    enum { LOCK_SIZE_MAX = 4096 };
    CLEANUP(text_freep) char *path = text_format("%s/.s.PGSQL.%u.lock", directory, port);
    CLEANUP(buffer_done) Buffer text = {0};
    Error failure = {0};

    *data = NULL;
    if (!file_read_whole(path, LOCK_SIZE_MAX, &text, &failure))
        return access(path, F_OK) == 0 && access(path, R_OK) != 0;
    const char *lock = (const char *)text.data;
    long pid = strtol(lock, NULL, 10);
    const char *line = lock + strcspn(lock, "\n");
    line += *line == '\n';
    *data = arena_text_part(arena, line, strcspn(line, "\n"));
    /* One of another user is not a server in the eyes of one that starts. */
    return pid > 0 && process_exists((pid_t)pid) && kill((pid_t)pid, 0) == 0 &&
           strcmp(*data, plan->placement.data) != 0;
}

/* 1: free, 0: no such address here, -1: somebody listens there. */
static int try_address(const struct addrinfo *address)
{
    CLEANUP(fd_done) int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int one = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0)
        return 0;
    if (address->ai_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) != 0)
        return 0;
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0)
        return 1;
    return errno == EADDRINUSE ? -1 : 0;
}

/* Only names that need no name server: what it says later is not known. */
static bool look_up(const char *name, unsigned port, struct addrinfo **found)
{
    char service[16];
    bool is_local = strcmp(name, "localhost") == 0;
    const struct addrinfo wanted = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | (is_local ? 0 : AI_NUMERICHOST),
    };

    (void)snprintf(service, sizeof service, "%u", port);
    return getaddrinfo(strcmp(name, "*") == 0 ? NULL : name, service, &wanted, found) == 0;
}

/* Whether somebody listens at each address of "localhost, 10.0.0.1" that this host has. */
static bool is_tcp_held(const char *list, unsigned port)
{
    size_t held = 0;

    for (const char *rest = list; *rest != '\0'; rest += *rest == ',') {
        const char *begin = rest + strspn(rest, " \"");
        size_t size = strcspn(begin, ", \"");
        CLEANUP(text_freep) char *name = text_format("%.*s", (int)size, begin);
        struct addrinfo *found = NULL;
        bool is_free = size > 0 && !look_up(name, port, &found);

        for (struct addrinfo *at = found; at != NULL; at = at->ai_next) {
            int is = try_address(at);
            held += is < 0;
            is_free = is_free || is > 0;
        }
        if (found != NULL)
            freeaddrinfo(found);
        if (is_free)
            return false;
        rest += strcspn(rest, ",");
    }
    return held > 0;
}

/* What is in use, as "socket …" or "port …"; NULL: nothing. */
static const char *held_place(const RestoreRequest *request, RestorePlan *plan,
                              const Listening *listening, unsigned port, const char **data)
{
    const char *list = listening->directories != NULL ? listening->directories : "";
    const char *addresses = listening->addresses != NULL ? listening->addresses : "localhost";
    CLEANUP(text_freep) char *directory = NULL;

    *data = NULL;
    if (request->socket != NULL && is_socket_held(request->socket, port, plan, data, &plan->arena))
        return arena_format(&plan->arena, "the socket %s/.s.PGSQL.%u", request->socket, port);
    while (request->socket == NULL && (directory = listen_next_directory(&list)) != NULL) {
        if (*directory != '@' && is_socket_held(directory, port, plan, data, &plan->arena)) {
            return arena_format(&plan->arena, "the socket %s/.s.PGSQL.%u", directory, port);
        }
        text_freep(&directory);
    }
    return is_tcp_held(addresses, port) ? arena_format(&plan->arena, "port %u", port) : NULL;
}

/* ": `pg_ctl stop …`" where the data directory is known, else "". */
static const char *stop_command(RestorePlan *plan, const char *data)
{
    CLEANUP(text_freep) char *quoted = data != NULL ? shell_word(data) : NULL;

    if (quoted == NULL)
        return "";
    return arena_format(&plan->arena, ": `%s%spg_ctl stop -D %s`",
                        plan->programs != NULL ? plan->programs : "",
                        plan->programs != NULL ? "/" : "", quoted);
}

static void hint_at_place(const RestoreRequest *request, RestorePlan *plan,
                          const Listening *listening, const char *data, Error *err)
{
    const char *unused;
    unsigned port = listening->port;

    do {
        port = port < PORT_MAX ? port + 1 : 1024;
    } while (port < listening->port + PORTS_TRIED &&
             held_place(request, plan, listening, port, &unused) != NULL);
    error_hint(err, "give the restored server another port: --port=%u; or stop the other one%s",
               port, stop_command(plan, data));
}

bool listen_check(const Cluster *cluster, const RestoreRequest *request, RestorePlan *plan,
                  Error *err)
{
    bool finds_its_place = request->as_copy && request->port == 0 && request->socket == NULL;
    CLEANUP(listening_done) Listening listening = {0};
    const char *data;
    Error refusal = {0};

    /* What runs in the old directory, and listens there, is stopped first. */
    if (!request->will_start || finds_its_place || plan->running.code != ERR_NONE)
        return true;
    find_listening(cluster, request, plan, &listening);
    const char *held = held_place(request, plan, &listening, listening.port, &data);
    if (held == NULL)
        return true;
    error_set(&refusal, ERR_REFUSED, "the restored server could not listen: another %s%s has %s",
              data != NULL ? "server on " : "program", data != NULL ? data : "", held);
    hint_at_place(request, plan, &listening, data, &refusal);
    if (!listening.stored.is_certain) {
        plan_warn(plan, "%s; %s", refusal.message, refusal.hint);
        return true;
    }
    if (request->only_looks) {
        if (plan->undecided.code == ERR_NONE)
            plan->undecided = refusal;
        return true;
    }
    return error_pass(err, &refusal);
}
