#include "get_parts.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/random.h"
#include "delivery.h"

#include <fcntl.h>
#include <inttypes.h>

/*
 * Named so that a killed run leaves nothing behind in pg_wal: the server removes xlogtemp.* there
 * when it starts (xlog.c, RemoveTempXlogFiles).
 */
bool get_temp_path(const Get *get, char **path, Error *err)
{
    CLEANUP(text_freep) char *folder = file_folder(get->request->path);
    uint64_t number;

    if (!random_u64(&number, err))
        return false;
    *path = text_format("%s/xlogtemp.%016" PRIx64, folder, number);
    return true;
}

bool get_deliver(const Get *get, Error *err)
{
    CLEANUP(delivery_done)
    Delivery delivery = {.cluster = get->cluster,
                         .name = &get->name,
                         .file = get->request->name,
                         .folder = AT_FDCWD,
                         .fd = -1};
    char *temp_path;

    return get_temp_path(get, &temp_path, err) && delivery_open(&delivery, temp_path, err) &&
           delivery_fetch(&delivery, get->request->threads, err) &&
           FAULT_POINT("get.before-rename", err) &&
           delivery_publish(&delivery, get->request->path, err) &&
           FAULT_POINT("get.after-rename", err);
}
