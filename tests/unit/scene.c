#include "scene.h"

#include "base/file.h"
#include "base/tree.h"
#include "stores.h"
#include "wal/wal_object.h"

#include <unistd.h>

/* A switch in each segment, commits before it. */
static void write_wal(WalBuilder *wal)
{
    *wal = wal_builder_begin(15, MIB, MIB, 1);
    for (uint32_t segment = 1; segment <= SCENE_LAST; segment++) {
        for (uint32_t i = 0; i < 20; i++) {
            wal_builder_filler(wal, 1000 + 37 * i);
            wal_builder_commit(wal, 700 + 100 * segment + i, 1000 * segment + i);
        }
        wal_builder_switch(wal);
    }
}

void scene_init(Scene *scene)
{
    Error err = {0};
    bool created;

    *scene = (Scene){.directory = "/tmp/pgcairn-archive-XXXXXX"};
    assert_non_null(mkdtemp(scene->directory));
    assert_true(repo_create(&scene->archive.repo,
                            storage_fault_new(storage_memory_new(), &scene->fault), &created,
                            &err));
    assert_true(cluster_register(&scene->archive.repo, "main", BUILDER_SYSTEM, 15, MIB,
                                 &scene->archive.cluster, &created, &err));
    write_wal(&scene->wal);
}

void scene_done(Scene *scene)
{
    Error ignored = {0};

    wal_builder_done(&scene->wal);
    archive_done(&scene->archive);
    (void)!tree_remove(scene->directory, &ignored);
}

char *scene_file(const Scene *scene, const char *name, const void *data, size_t size)
{
    char *path = text_format("%s/%s", scene->directory, name);
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    return path;
}

const char *scene_segment_name(uint32_t timeline, uint64_t segment, char text[WAL_NAME_SIZE])
{
    return wal_name_text(&(WalName){.kind = WAL_SEGMENT, .timeline = timeline, .segment = segment},
                         MIB, text);
}

char *scene_segment_file(const Scene *scene, uint64_t segment)
{
    char name[WAL_NAME_SIZE];

    return scene_file(scene, scene_segment_name(1, segment, name),
                      wal_builder_segment(&scene->wal, segment), MIB);
}

static bool take(void *context, const void *data, size_t size, Error *err)
{
    (void)err;
    buffer_append(context, data, size);
    return true;
}

void scene_archived(const Scene *scene, const char *name, Buffer *content)
{
    Error err = {0};

    content->size = 0;
    assert_true(wal_object_read(&scene->archive.cluster, name, 1, take, content, NULL, &err));
}

size_t scene_objects(const Scene *scene, const char *prefix)
{
    CLEANUP(object_list_done) ObjectList list = {0};
    Error err = {0};

    assert_true(storage_list(scene->archive.repo.storage, prefix, &list, &err));
    return list.count;
}
