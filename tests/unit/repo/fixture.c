#include "fixture.h"
#include "stores.h"

static void open_storage(Fixture *fixture, Storage *storage, uint32_t segment_size)
{
    bool created = false;
    Error err = {0};

    *fixture = (Fixture){0};
    assert_non_null(storage);
    assert_true(repo_create(&fixture->repo, storage, &created, &err));
    assert_true(created);
    assert_true(cluster_register(&fixture->repo, "main", FIXTURE_SYSTEM, FIXTURE_MAJOR,
                                 segment_size, &fixture->cluster, &created, &err));
    assert_true(created);
}

void fixture_open(Fixture *fixture, uint32_t segment_size)
{
    open_storage(fixture, storage_memory_new(), segment_size);
}

void fixture_open_at(Fixture *fixture, const char *address)
{
    Error err = {0};

    open_storage(fixture, storage_open(&(StorageSetup){.address = address}, &err),
                 FIXTURE_SEGMENT_SIZE);
}

void fixture_done(Fixture *fixture)
{
    repo_done(&fixture->repo);
}

void object_get(const Fixture *fixture, const char *name, Buffer *content)
{
    Error err = {0};

    content->size = 0;
    assert_true(storage_read(fixture->repo.storage, name, SIZE_MAX, content, &err));
}

void object_put(const Fixture *fixture, const char *name, const void *data, size_t size)
{
    Error err = {0};

    assert_true(storage_put(fixture->repo.storage, name, WRITE_REPLACE, data, size, &err));
}

size_t object_count(const Fixture *fixture, const char *prefix)
{
    CLEANUP(object_list_done) ObjectList list = {0};
    Error err = {0};

    assert_true(storage_list(fixture->repo.storage, prefix, &list, &err));
    return list.count;
}

void fill_bytes(uint8_t *bytes, size_t size, uint32_t seed)
{
    uint32_t state = seed * 2654435761U + 12345;

    for (size_t i = 0; i < size; i++) {
        state = state * 1664525U + 1013904223U;
        bytes[i] = (uint8_t)(state >> 24 & 0x0f);
    }
}
