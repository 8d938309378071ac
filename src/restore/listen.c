#include "listen.h"

#include "restore/restore.h"

#include "rebuild/recovery_settings.h"

#include "base/file.h"
#include "base/process.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PORT_USUAL = 5432,
    /* It is the size of sun_path in sockaddr_un without its zero (pqcomm.h). */
    SOCKET_PATH_MAX = 107,
    LOCK_SIZE_MAX = 4096,
};

/* Where servers are compiled to put their sockets: PostgreSQL itself, Debian, RPM. */
static const char usual_directories[] = "/tmp, /var/run/postgresql";

unsigned listen_port(const SettingList *settings)
{
    const char *text = settings_value(settings, "port");

    /* As the server takes it (guc.c, InitializeGUCOptionsFromEnvironment). */
    if (text == NULL)
        text = getenv("PGPORT");
    unsigned long port = text != NULL ? strtoul(text, NULL, 0) : 0;
    return port > 0 && port < 65536 ? (unsigned)port : PORT_USUAL;
}

static bool listen_read_settings(const RestorePlan *plan, SettingList *settings)
{
    CLEANUP(text_freep) char *own = text_format("%s/postgresql.conf", plan->placement.data);
    CLEANUP(text_freep)
    char *automatic = text_format("%s/postgresql.auto.conf", plan->placement.data);
    Error unread = {0}, unread_too = {0}; /* the server will say what is wrong with them */

    return settings_read(plan->configuration.config_file != NULL ? plan->configuration.config_file
                                                                 : own,
                         settings, &unread) &&
           settings_read(automatic, settings, &unread_too);
}

/* Who listens there has a lock file beside the socket, which begins with its process id. */
static bool is_taken(const char *directory, unsigned port)
{
    CLEANUP(text_freep) char *path = text_format("%s/.s.PGSQL.%u.lock", directory, port);
    CLEANUP(buffer_done) Buffer text = {0};
    Error none = {0};

    if (!file_read_whole(path, LOCK_SIZE_MAX, &text, &none))
        return none.code != ERR_NOT_FOUND;
    long pid = strtol((const char *)text.data, NULL, 10);
    return pid > 0 && process_exists((pid_t)pid);
}

char *listen_next_directory(const char **list)
{
    const char *begin = *list + strspn(*list, " \",");
    const char *end = begin + strcspn(begin, ",");

    *list = end;
    while (end > begin && strchr(" \"", end[-1]) != NULL)
        end--;
    return end > begin ? text_format("%.*s", (int)(end - begin), begin) : NULL;
}

static bool is_any_unusable(const char *list, unsigned port, bool must_be_there)
{
    for (;;) {
        CLEANUP(text_freep) char *directory = listen_next_directory(&list);

        if (directory == NULL)
            return false;
        if (*directory != '@' &&
            (is_taken(directory, port) || (must_be_there && !file_is_directory(directory))))
            return true;
    }
}

/* A path that a socket's name does not fit after needs another one, which is short. */
static bool choose_directory(RestorePlan *plan, const char **directory, Error *err)
{
    char path[] = "/tmp/pgcairn-XXXXXX";

    if (strlen(plan->placement.data) + strlen("/.s.PGSQL.65535") <= SOCKET_PATH_MAX) {
        *directory = plan->placement.data;
        return true;
    }
    if (mkdtemp(path) == NULL)
        return error_set_errno(err, ERR_IO, errno, "make a directory for the server's socket");
    *directory = arena_text(&plan->arena, path);
    return true;
}

bool restore_listen_beside(RestorePlan *plan, const char **directory, Error *err)
{
    CLEANUP(settings_done) SettingList settings = {0};

    *directory = NULL;
    if (!listen_read_settings(plan, &settings))
        return true;
    const char *list = settings_value(&settings, "unix_socket_directories");
    if (!is_any_unusable(list != NULL ? list : usual_directories, listen_port(&settings),
                         list != NULL))
        return true;
    return choose_directory(plan, directory, err) &&
           recovery_settings_set_socket(plan->placement.data, *directory, err);
}
