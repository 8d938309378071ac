/*
 * Before a database opens the server asks for the history of the timeline that it leaves, to copy
 * it into that of its new one (timeline.c, writeTimeLineHistory). By then it has removed its signal
 * files (xlog.c and xlogrecovery.c, up to 18 at least). Stopped here it would start again as after
 * a crash: on the old timeline, which another server may have gone on with.
 */
#include "get/get.h"

#include "base/file.h"

bool archive_get_is_known(const char *name, Error *err)
{
    if (strcmp(name, "00000001.history") != 0)
        return false;
    error_set(err, ERR_ABSENT, "timeline 1 has no history");
    return true;
}

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
