#include "posix.h"
#include "storage/wrap.h"

static const char file_scheme[] = "file://";

static Storage *unknown_address(const char *address, Error *err)
{
    const char *scheme = strstr(address, "://");

    if (scheme != NULL && strncmp(address, file_scheme, strlen(file_scheme)) != 0) {
        error_set(err, ERR_USAGE, "a repository at \"%.*s://\" is not supported yet",
                  (int)(scheme - address), address);
        error_hint(err, "it has to be a directory of this host, a mounted one too: an absolute "
                        "path, or file:///path");
        return NULL;
    }
    error_set(err, ERR_USAGE, "\"%s\" is not the address of a repository", address);
    error_hint(err, "give an absolute path or file:///path: a relative one depends on where the "
                    "program is started");
    return NULL;
}

static Storage *open_driver(const char *address, Error *err)
{
    const char *path = address;

    if (strncmp(address, file_scheme, strlen(file_scheme)) == 0)
        path += strlen(file_scheme);
    if (path[0] != '/')
        return unknown_address(address, err);

    Storage *storage = storage_posix_new(path);
    storage->address = text_format("%s", address);
    return storage;
}

/* The limit is inside: what has to be read again is a load, too. */
Storage *storage_wrap(Storage *inner, const StorageSetup *setup)
{
    Storage *storage = inner;

    if (setup->bytes_per_s > 0)
        storage = storage_limit_new(storage, setup->bytes_per_s);
    if (setup->attempts > 1)
        storage = storage_retry_new(storage, setup->attempts, setup->pause_ms);
    return storage;
}

Storage *storage_open(const StorageSetup *setup, Error *err)
{
    Storage *storage = open_driver(setup->address, err);

    return storage != NULL ? storage_wrap(storage, setup) : NULL;
}
