/*
 * tree.h - a tree of directories, walked by descriptors.
 *
 * Each part is opened relative to the directory that holds it, and a symbolic link is never
 * followed. So whoever renames things or puts links in their place meanwhile can't lead the walk
 * out of the tree (a path that is looked up anew each time can be). Links in the path of the root
 * are refused, too: give a resolved one.
 */
#pragma once

#include "base/held.h"

#include <sys/stat.h>

typedef struct TreeEntry {
    int directory;     /* This directory has the entry. */
    const char *name;  /* The entry has this name in it. */
    const char *path;  /* It is the root's path and what follows it, and messages show it. */
    const char *below; /* It is what follows the root's path: "base/1/2619". */
    /*
     * It is what lstat(2) says, but only st_mode, _dev, _ino, _nlink, _uid, _gid and _blocks are
     * set.
     */
    struct stat found;
    /* The entry is the root of a mount, which may be of the same file system (bind). */
    bool is_mount;
} TreeEntry;

/*
 * Called for each entry. For a directory *descends is true at first: with false its content is left
 * out. False: the walk ends with that error.
 */
typedef bool TreeVisit(void *context, const TreeEntry *entry, bool *descends, Error *err);

typedef struct TreeVisitor {
    TreeVisit *before; /* It is called before the content of a directory. */
    /* It is called after a directory that was descended into. NULL calls nothing. */
    TreeVisit *after;
    void *context;
} TreeVisitor;

/*
 * Walks over everything in the directory `root`, except `root` itself. What vanishes meanwhile is
 * ignored. ERR_IO, also for a directory that can't be read; ERR_INTERRUPTED.
 */
bool tree_walk(const char *root, const TreeVisitor *visitor, Error *err) MUST_CHECK;

/* The same in a directory that is held. */
bool tree_walk_in(const HeldDirectory *directory, const TreeVisitor *visitor,
                  Error *err) MUST_CHECK;

/*
 * The directory `path`, or the nearest one above it that is there, and all above that up to the
 * root, as the kernel knows them: links and second mounts are followed. `fd` is open with O_PATH.
 * False: it ends with that error.
 */
typedef bool TreeVisitAbove(void *context, int fd, const struct stat *found, Error *err);
bool tree_walk_up(const char *path, TreeVisitAbove *each, void *context, Error *err) MUST_CHECK;

/*
 * Whether `path` is the root of a mount, so that it can't be renamed. The parent's file system
 * need not be a different one. False when it is not there.
 */
bool tree_is_mount(const char *path);

/*
 * Remove a tree, whatever it is. Missing is fine. The root of a mount in it is ERR_REFUSED, and is
 * left with its content.
 */
bool tree_remove(const char *path, Error *err) MUST_CHECK;

/* The same of what a walk has come to; *descends is to be false then. */
bool tree_remove_entry(const TreeEntry *entry, Error *err) MUST_CHECK;
