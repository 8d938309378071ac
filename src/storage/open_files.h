/*
 * open_files.h - a few files kept open, since a restore reads many parts of the same pack.
 *
 * Objects are immutable, so an open file stays right; one that was removed is noticed by its
 * link count. Any thread.
 */
#pragma once

#include "base/base.h"

#include <pthread.h>

enum { OPEN_FILES_MAX = 16 };

typedef struct OpenFile {
    char *name; /* NULL means that the slot is free. */
    int fd;
    unsigned users;   /* This many reads are going on. */
    bool is_stale;    /* The last user has to close it. */
    uint64_t used_at; /* It is what OpenFiles.clock was then. */
} OpenFile;

typedef struct OpenFiles {
    pthread_mutex_t mutex; /* It guards everything below. */
    uint64_t clock;
    OpenFile slots[OPEN_FILES_MAX];
} OpenFiles;

void open_files_init(OpenFiles *files);
void open_files_done(OpenFiles *files);

/* The descriptor of an open file, or -1. To be given back. */
int open_files_take(OpenFiles *files, const char *name);
/* Keep a newly opened file if there is room; the caller has it as if taken. */
void open_files_add(OpenFiles *files, const char *name, int fd);
/* Ends a use; closes what is not kept. */
void open_files_give_back(OpenFiles *files, int fd);
/* The name may mean another file from now on. */
void open_files_forget(OpenFiles *files, const char *name);
