/*
 * owner.h - whose a directory is, when root asks, and becoming that user for good.
 *
 *     owner_find(path, &owner, err)      whose is it? touches nothing inside it
 *     owner_open_file(path, ...)         a file that says what is to be done: and who says so?
 *     account_find(uid, &account, err)   name, groups, home
 *     account_become(&account, err)      once, before anything of that user's is opened
 *
 * Who can write a directory on the way to a path decides what is at its end. So the way is walked
 * part by part with descriptors, no link is left to the kernel, and each part must belong to root
 * or to the user who is found at the end: nobody else can lead root anywhere.
 */
#pragma once

#include "base/error.h"
#include "base/memory.h"

#include <sys/stat.h>
#include <sys/types.h>

typedef struct DirectoryOwner {
    bool is_there; /* When it is false, uid is that of the nearest existing directory above it. */
    uid_t uid;     /* It is the directory's own when is_there. */
    /* It is the path of that nearest directory, in the arena. Only set when is_there is false. */
    const char *parent;
    /*
     * It is a directory on the way, or the one at its end, that users other than its owner may
     * write to, for example by the right of the group. NULL means that there is none.
     */
    const char *shared;
} DirectoryOwner;

/*
 * Whose the directory at path is; relative paths begin at the working directory. ERR_REFUSED when
 * the way leads through a directory or a link of a third user, or through a directory in which
 * everybody can rename (mode o+w without the sticky bit); when it is not a directory; or through
 * more than 40 links. ERR_IO when a part can't be looked at.
 */
bool owner_find(const char *path, Arena *arena, DirectoryOwner *owner, Error *err) MUST_CHECK;

/*
 * Open a file for root, who is nobody else yet, and tell whose it is (*found). The way to it is
 * walked as above, so a file that is another user's, or that another user has led to, says so. A
 * file of another user's must be regular; of root's own a pipe or a device will do, which is not
 * waited for. ERR_NOT_FOUND; ERR_IO when it is not regular; ERR_REFUSED also when others than its
 * owner can write to it.
 */
bool owner_open_file(const char *path, Arena *arena, int *fd, struct stat *found,
                     Error *err) MUST_CHECK;

typedef struct Account {
    uid_t uid;
    gid_t gid;
    const char *name; /* It is "12345" when passwd has no entry. */
    const char *home; /* It is "/" when passwd has no entry. */
    gid_t *groups;
    size_t group_count;
} Account;

/* A user without an entry (a container's) gets gid as its only group. */
bool account_find(uid_t uid, gid_t gid, Arena *arena, Account *account, Error *err) MUST_CHECK;
/* ERR_NOT_FOUND when this host has no such user. */
bool account_find_name(const char *name, Arena *arena, Account *account, Error *err) MUST_CHECK;

/*
 * Root only. Real, effective and saved ids and the groups become the account's, no new privileges
 * can be obtained (PR_SET_NO_NEW_PRIVS), no capability is left, what root's process held can't be
 * looked at by the account (PR_SET_DUMPABLE), HOME, USER and LOGNAME say so. There is no way back:
 * that is tried, and a process that could go back ends at once.
 */
bool account_become(const Account *account, Error *err) MUST_CHECK;
