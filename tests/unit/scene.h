/*
 * scene.h - a server's pg_wal in a temporary directory and an archive whose storage can fail.
 */
#pragma once

#include "storage/wrap.h"

#include "stores.h"
#include "walk/archive_builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

typedef struct Scene {
    StorageFault fault; /* all zero: nothing fails */
    Archive archive;
    char directory[64]; /* plays pg_wal */
    WalBuilder wal;     /* timeline 1, segments 1 to 4 whole */
} Scene;

enum { SCENE_LAST = 4 };

/* In place: the storage borrows fault. */
void scene_init(Scene *scene);
void scene_done(Scene *scene); /* for CLEANUP() */

/* A file in the directory; gives its path, which the caller frees. */
char *scene_file(const Scene *scene, const char *name, const void *data, size_t size);
char *scene_segment_file(const Scene *scene, uint64_t segment);
const char *scene_segment_name(uint32_t timeline, uint64_t segment, char text[WAL_NAME_SIZE]);
/* What the archive has under this name, decompressed and verified. */
void scene_archived(const Scene *scene, const char *name, Buffer *content);
size_t scene_objects(const Scene *scene, const char *prefix);
