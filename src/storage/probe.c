#include "storage/storage.h"

#include "base/random.h"

#include <inttypes.h>

static const char first[] = "This object may be removed. It only tries out the storage.\n";
static const char second[] = "This should not be here: there was an object of that name.\n";

static bool probe_broken(const Storage *storage, const char *what, Error *err)
{
    return error_set(err, ERR_REFUSED, "the storage at %s %s", storage_address(storage), what);
}

/* A second object of the same name must not replace the first, nor pretend to have done so. */
static bool try_second(Storage *storage, const char *name, Error *err)
{
    if (storage_put(storage, name, WRITE_NEW, second, strlen(second), err))
        return probe_broken(storage, "lets a second object take the name of the first", err);
    if (err->code != ERR_EXISTS)
        return false;
    error_clear(err);
    return true;
}

static bool try_read(Storage *storage, const char *name, Error *err)
{
    CLEANUP(buffer_done) Buffer whole = {0};
    CLEANUP(buffer_done) Buffer suffix = {0};
    char range[5];
    uint64_t size;

    if (!storage_read(storage, name, 4096, &whole, err) ||
        !storage_read_range(storage, name, 5, sizeof(range), range, err) ||
        !storage_read_suffix(storage, name, 4, &suffix, &size, err))
        return false;
    if (whole.size != strlen(first) || memcmp(whole.data, first, whole.size) != 0)
        return probe_broken(storage, "reads back something else than was written", err);
    if (memcmp(range, first + 5, sizeof(range)) != 0 || size != strlen(first) || suffix.size != 4 ||
        memcmp(suffix.data, first + strlen(first) - 4, 4) != 0)
        return probe_broken(storage, "does not give the part of an object that is asked for", err);
    return true;
}

static bool try_list(Storage *storage, const char *name, bool is_expected, Error *err)
{
    CLEANUP(object_list_done) ObjectList list = {0};

    if (!storage_list(storage, name, &list, err))
        return false;
    if (list.count != (is_expected ? 1 : 0))
        return probe_broken(storage, "does not list what is there", err);
    if (is_expected &&
        (strcmp(list.objects[0].name, name) != 0 || list.objects[0].size != strlen(first)))
        return probe_broken(storage, "lists an object with another name or size", err);
    return true;
}

/* Whether nothing is left out, and nothing given twice, by whoever asks for names from one on. */
static bool try_part(Storage *storage, const char *name, Error *err)
{
    CLEANUP(object_list_done) ObjectList list = {0};
    CLEANUP(text_freep) char *before = text_format("%.*s", (int)strlen(name) - 1, name);
    const ListRequest from = {.prefix = name, .after = before, .limit = 2};
    const ListRequest past = {.prefix = name, .after = name, .limit = 2};

    if (!storage_list_part(storage, &from, &list, err))
        return false;
    if (list.count != 1)
        return probe_broken(storage, "does not list what sorts after a name", err);
    return storage_list_part(storage, &past, &list, err) &&
           (list.count == 0 ||
            probe_broken(storage, "lists a name when asked for those after it", err));
}

static bool try_all(Storage *storage, const char *name, Error *err)
{
    return storage_put(storage, name, WRITE_NEW, first, strlen(first), err) &&
           try_second(storage, name, err) && try_list(storage, name, true, err) &&
           try_part(storage, name, err) && try_read(storage, name, err) &&
           storage_remove(storage, name, err) && try_list(storage, name, false, err);
}

bool storage_probe(Storage *storage, Error *err)
{
    uint64_t number;

    if (!random_u64(&number, err))
        return false;
    CLEANUP(text_freep) char *name = text_format("probe-%016" PRIx64, number);
    if (try_all(storage, name, err))
        return true;

    Error ignored = {0}; /* what went wrong before is what counts */
    (void)!storage_remove(storage, name, &ignored);
    return error_context(err, "try out the repository's storage");
}
