/* Who asks: a recovery, a standby, a server that is about to open, a program. */
#include "get_parts.h"

#include "base/file.h"
#include "postgres/control.h"

bool archive_get_is_known(const char *name, Error *err)
{
    if (strcmp(name, "00000001.history") != 0)
        return false;
    error_set(err, ERR_ABSENT, "timeline 1 has no history");
    return true;
}

/*
 * Before a database opens the server asks for the history of the timeline that it leaves, to copy
 * it into that of its new one (timeline.c, writeTimeLineHistory). By then it has removed its signal
 * files (xlog.c and xlogrecovery.c, up to 18 at least). Stopped here it would start again as after
 * a crash: on the old timeline, which another server may have gone on with.
 */
bool archive_get_is_promoting(const GetRequest *request)
{
    static const char suffix[] = ".history";
    const char *slash = strrchr(request->path, '/');
    const size_t size = strlen(request->name);
    CLEANUP(text_freep) char *local = NULL;

    if (request->data == NULL ||
        strcmp(slash == NULL ? request->path : slash + 1, "RECOVERYHISTORY") != 0 ||
        size < sizeof suffix || strcmp(request->name + size - (sizeof suffix - 1), suffix) != 0 ||
        file_exists_in(request->data, "recovery.signal") ||
        file_exists_in(request->data, "standby.signal"))
        return false;
    local = text_format("pg_wal/%s", request->name);
    return file_exists_in(request->data, local);
}

bool archive_get_is_standby(const char *data)
{
    return data != NULL && file_exists_in(data, "standby.signal");
}

bool get_is_for_tool(const Get *get)
{
    CLEANUP(text_freep) char *path = text_format("%s", get->request->path);
    char *name = strrchr(path, '/');
    PgControl control;
    Error ignored = {0}; /* then it is not known what is there */

    if (name == NULL || strcmp(name + 1, get->request->name) != 0)
        return false;
    *name = '\0';
    char *folder = strrchr(path, '/');
    const char *data = ".";
    if (strcmp(folder == NULL ? path : folder + 1, "pg_wal") != 0)
        return false;
    if (folder != NULL) {
        *folder = '\0';
        data = path;
    }
    return !file_exists_in(data, "postmaster.pid") &&
           pg_control_read(data, &control, NULL, &ignored) &&
           control.system_identifier == get->cluster->system_identifier &&
           (control.state == PG_SHUT_DOWN || control.state == PG_SHUT_DOWN_IN_RECOVERY);
}
