#include "libpq.h"
#include "server/server.h"

#include <stdlib.h>

/* A value in a connection string: quoted, ' and \ escaped. */
static void conninfo_add(Buffer *conninfo, const char *name, const char *value)
{
    buffer_print(conninfo, "%s='", name);
    for (; *value != '\0'; value++) {
        if (*value == '\'' || *value == '\\')
            buffer_append(conninfo, "\\", 1);
        buffer_append(conninfo, value, 1);
    }
    buffer_print(conninfo, "' ");
}

static const char *lock_host(const ServerLock *lock)
{
    const char *host = lock->socket_directory;

    if (*host == '\0')
        host = lock->listen_address;
    if (*host == '\0' || strcmp(host, "*") == 0 || strcmp(host, "0.0.0.0") == 0)
        return "localhost";
    return host;
}

static void conninfo_add_place(Buffer *conninfo, const ServerLock *lock, bool has_port)
{
    conninfo_add(conninfo, "host", lock_host(lock));
    if (!has_port)
        buffer_print(conninfo, "port=%u ", lock->port);
}

static bool conninfo_names(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword != NULL; options++) {
        if (strcmp(options->keyword, keyword) == 0)
            return options->val != NULL && *options->val != '\0';
    }
    return false;
}

/* Whether it says where the server is. A service's file may, too: libpq alone reads that. */
static bool names_place(const PQconninfoOption *options)
{
    static const char *const variables[] = {"PGHOST", "PGHOSTADDR", "PGSERVICE"};
    static const char *const keywords[] = {"host", "hostaddr", "service"};

    for (size_t i = 0; i < ARRAY_SIZE(keywords); i++) {
        const char *variable = getenv(variables[i]);
        if (conninfo_names(options, keywords[i]) || (variable != NULL && *variable != '\0'))
            return true;
    }
    return false;
}

static void conninfo_complete(Buffer *conninfo, const PQconninfoOption *options,
                              const ServerLock *lock, const char *database)
{
    for (const PQconninfoOption *option = options; option->keyword != NULL; option++) {
        if (option->val != NULL && (database == NULL || strcmp(option->keyword, "dbname") != 0))
            conninfo_add(conninfo, option->keyword, option->val);
    }
    /* Last: what comes later wins over an empty value. */
    if (lock != NULL && !names_place(options))
        conninfo_add_place(conninfo, lock, conninfo_names(options, "port"));
}

void server_conninfo(const ServerLock *lock, const char *given, const char *database,
                     Buffer *conninfo)
{
    Error no_library = {0}; /* whoever connects is told */
    const Libpq *pq = given != NULL ? libpq_load(&no_library) : NULL;
    PQconninfoOption *options = pq != NULL ? pq->PQconninfoParse(given, NULL) : NULL;

    if (options != NULL) {
        conninfo_complete(conninfo, options, lock, database);
        pq->PQconninfoFree(options);
    } else if (given != NULL) {
        buffer_print(conninfo, "%s", given);
        return;
    } else if (lock != NULL) {
        conninfo_add_place(conninfo, lock, false);
    }
    if (database != NULL)
        conninfo_add(conninfo, "dbname", database);
}
