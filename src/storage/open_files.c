#include "open_files.h"

#include "base/file.h"
#include "base/memory.h"

void open_files_init(OpenFiles *files)
{
    *files = (OpenFiles){0};
    pthread_mutex_init(&files->mutex, NULL);
}

static void close_slot(OpenFile *slot)
{
    fd_done(&slot->fd);
    text_freep(&slot->name);
    *slot = (OpenFile){.fd = -1};
}

void open_files_done(OpenFiles *files)
{
    for (size_t i = 0; i < OPEN_FILES_MAX; i++) {
        if (files->slots[i].name != NULL)
            close_slot(&files->slots[i]);
    }
    pthread_mutex_destroy(&files->mutex);
}

static OpenFile *open_files_find(OpenFiles *files, const char *name)
{
    for (size_t i = 0; i < OPEN_FILES_MAX; i++) {
        OpenFile *slot = &files->slots[i];
        if (slot->name != NULL && !slot->is_stale && strcmp(slot->name, name) == 0)
            return slot;
    }
    return NULL;
}

int open_files_take(OpenFiles *files, const char *name)
{
    int fd = -1;

    pthread_mutex_lock(&files->mutex);
    OpenFile *slot = open_files_find(files, name);
    if (slot != NULL) {
        slot->users++;
        slot->used_at = ++files->clock;
        fd = slot->fd;
    }
    pthread_mutex_unlock(&files->mutex);
    return fd;
}

/* A free slot, or the one whose last use is the longest ago; NULL when all are in use. */
static OpenFile *find_room(OpenFiles *files)
{
    OpenFile *oldest = NULL;

    for (size_t i = 0; i < OPEN_FILES_MAX; i++) {
        OpenFile *slot = &files->slots[i];
        if (slot->name == NULL)
            return slot;
        if (slot->users == 0 && (oldest == NULL || slot->used_at < oldest->used_at))
            oldest = slot;
    }
    return oldest;
}

void open_files_add(OpenFiles *files, const char *name, int fd)
{
    pthread_mutex_lock(&files->mutex);
    /* Two threads may have opened it at once: one is kept, the other closed when given back. */
    OpenFile *slot = open_files_find(files, name) == NULL ? find_room(files) : NULL;
    if (slot != NULL) {
        if (slot->name != NULL)
            close_slot(slot);
        *slot = (OpenFile){
            .name = text_format("%s", name), .fd = fd, .users = 1, .used_at = ++files->clock};
    }
    pthread_mutex_unlock(&files->mutex);
}

void open_files_give_back(OpenFiles *files, int fd)
{
    OpenFile *slot = NULL;

    pthread_mutex_lock(&files->mutex);
    for (size_t i = 0; i < OPEN_FILES_MAX && slot == NULL; i++) {
        if (files->slots[i].name != NULL && files->slots[i].fd == fd)
            slot = &files->slots[i];
    }
    if (slot == NULL) {
        fd_done(&fd);
    } else if (--slot->users == 0 && slot->is_stale) {
        close_slot(slot);
    }
    pthread_mutex_unlock(&files->mutex);
}

void open_files_forget(OpenFiles *files, const char *name)
{
    pthread_mutex_lock(&files->mutex);
    OpenFile *slot = open_files_find(files, name);
    if (slot != NULL) {
        slot->is_stale = true;
        if (slot->users == 0)
            close_slot(slot);
    }
    pthread_mutex_unlock(&files->mutex);
}
