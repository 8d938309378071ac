#include "conformance.h"

#include "base/file.h"
#include "base/tree.h"
#include "storage/driver.h"
#include "storage/wrap.h"
#include "stores.h"

static const StorageFault no_fault = {0};

static Storage *make_memory(void **place)
{
    *place = NULL;
    return storage_memory_new();
}

static Storage *make_posix(void **place)
{
    Error err = {0};
    char *root = text_format("/tmp/test-storage-XXXXXX");
    CLEANUP(text_freep) char *address = NULL;

    if (mkdtemp(root) == NULL)
        abort();
    *place = root;
    address = text_format("file://%s/deep/root/", root); /* created with its parents */
    return storage_open(&(StorageSetup){.address = address}, &err);
}

static void remove_posix(void *place)
{
    Error err = {0};

    if (!tree_remove(place, &err))
        abort();
    mem_free(place);
}

static Storage *make_retry(void **place)
{
    *place = NULL;
    return storage_retry_new(storage_memory_new(), 3, 0);
}

static Storage *make_limit(void **place)
{
    *place = NULL;
    return storage_limit_new(storage_memory_new(), UINT64_C(1) << 40);
}

static Storage *make_fault(void **place)
{
    *place = NULL;
    return storage_fault_new(storage_memory_new(), &no_fault);
}

/* A store that can do the least: storage.h makes up for what it can't. */
static Storage *make_plain(void **place)
{
    Storage *memory = storage_memory_new();

    *place = NULL;
    storage_memory_limit(memory, CAN_CREATE_NEW);
    return memory;
}

static Storage *make_count(void **place)
{
    static StorageCount count;

    *place = NULL;
    return storage_count_new(storage_memory_new(), &count);
}

/* As the tool uses them, one in the other. */
static Storage *make_all(void **place)
{
    Storage *posix = make_posix(place);

    return storage_retry_new(storage_limit_new(storage_fault_new(posix, &no_fault), UINT64_MAX), 3,
                             0);
}

int main(void)
{
    static const StorageMaker makers[] = {
        {"memory", make_memory, NULL}, {"posix", make_posix, remove_posix},
        {"retry", make_retry, NULL},   {"limit", make_limit, NULL},
        {"fault", make_fault, NULL},   {"all", make_all, remove_posix},
        {"plain", make_plain, NULL},   {"count", make_count, NULL},
    };
    int failed = 0;

    for (size_t i = 0; i < ARRAY_SIZE(makers); i++)
        failed += run_conformance(&makers[i]);
    return failed;
}
