#include "listing.h"

static int compare_name(const void *key, const void *object)
{
    return strcmp(key, ((const ObjectInfo *)object)->name);
}

const ObjectInfo *listing_find(const VerifyRun *run, const char *name)
{
    if (run->list.count == 0)
        return NULL;
    return bsearch(name, run->list.objects, run->list.count, sizeof run->list.objects[0],
                   compare_name);
}
