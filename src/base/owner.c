#include "base/owner.h"

#include "base/file.h"
#include "base/shell_word.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { LINKS_MAX = 40, STRINGS_SIZE = 64 << 10, GROUPS_MAX = 65536 }; /* SYMLOOP_MAX, NGROUPS_MAX */

/* A way through the file system, one part at a time. */
typedef struct OwnerWay {
    const char *path; /* It is the path as it was asked for. */
    Arena *arena;
    const char *rest; /* It is still to be walked. */
    /* It is where we are: an O_PATH descriptor, only ever given to the ...at() calls. */
    int fd;
    const char *here; /* It is the path of fd, for messages. */
    unsigned links;
    uid_t foreign; /* This user, other than root, owns a part of the way. */
    /* This part of the way belongs to `foreign`. NULL means that none does so far. */
    const char *foreign_part;
    const char *shared; /* Users other than its owner may write to this directory of the way. */
    bool to_file;       /* At the end of the way is a file, which is opened for reading. */
    int file;           /* It is that file, once we are there. */
} OwnerWay;

static void owner_way_done(OwnerWay *way)
{
    fd_done(&way->fd);
    fd_done(&way->file);
}

static const char *owner_way_join(const OwnerWay *way, const char *name)
{
    return arena_format(way->arena, "%s%s%s", way->here,
                        way->here[0] != '\0' && strcmp(way->here, "/") != 0 ? "/" : "", name);
}

static bool refuse_third(const OwnerWay *way, const char *part, uid_t uid, Error *err)
{
    error_set(err, ERR_REFUSED,
              "the way to %s leads through %s of user number %u, who could lead root anywhere",
              way->path, part, (unsigned)uid);
    return error_hint(err, "run this as the user whose directory it is, or give a path whose parts "
                           "belong to that user or to root");
}

/* Two users other than root on one way: one of them is not the one at its end. */
static bool note_owner(OwnerWay *way, const char *part, uid_t uid, Error *err)
{
    if (uid == 0)
        return true;
    if (way->foreign_part != NULL && way->foreign != uid)
        return refuse_third(way, way->foreign_part, way->foreign, err);
    if (way->foreign_part == NULL)
        way->foreign_part = part;
    way->foreign = uid;
    return true;
}

static bool start_at(OwnerWay *way, const char *directory, Error *err)
{
    fd_done(&way->fd);
    way->here = directory;
    way->fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (way->fd < 0)
        return error_set_errno(err, ERR_IO, errno, "open %s", directory);
    return true;
}

/* A link counts as a part of the way; where it leads is walked like the rest. */
static bool owner_way_follow(OwnerWay *way, const char *name, const struct stat *found, Error *err)
{
    char target[PATH_MAX];
    const char *part = owner_way_join(way, name);
    ssize_t size = readlinkat(way->fd, name, target, sizeof target - 1);

    if (size < 0)
        return error_set_errno(err, ERR_IO, errno, "read the link %s", part);
    target[size] = '\0';
    if (++way->links > LINKS_MAX) {
        return error_set(err, ERR_REFUSED, "%s leads through more than %d links", way->path,
                         LINKS_MAX);
    }
    if (!note_owner(way, part, found->st_uid, err))
        return false;
    way->rest = arena_format(way->arena, "%s/%s", target, way->rest);
    return target[0] != '/' || start_at(way, "/", err);
}

/* The group of number 0 is root's own. */
static bool others_may_write(const struct stat *found)
{
    return (found->st_mode & S_IWOTH) != 0 ||
           ((found->st_mode & S_IWGRP) != 0 && found->st_gid != 0);
}

/* Whoever can rename in a directory decides what it holds. */
static bool check_passage(OwnerWay *way, Error *err)
{
    struct stat found;

    if (fstat(way->fd, &found) != 0)
        return error_set_errno(err, ERR_IO, errno, "look at %s", way->here);
    if ((found.st_mode & S_IWOTH) != 0 && (found.st_mode & S_ISVTX) == 0) {
        error_set(err, ERR_REFUSED, "the way to %s leads through %s, in which everybody may write",
                  way->path, way->here);
        CLEANUP(text_freep) char *word = shell_word(way->here);
        return error_hint(err, "take the right to write from others: `chmod o-w %s`", word);
    }
    if (others_may_write(&found) && (found.st_mode & S_ISVTX) == 0)
        way->shared = way->here;
    return note_owner(way, way->here, found.st_uid, err);
}

/* A regular file, or root's own whatever it is; nobody is waited for. */
static bool open_file(OwnerWay *way, const char *name, const struct stat *found, Error *err)
{
    way->here = owner_way_join(way, name);
    if (!S_ISREG(found->st_mode) && found->st_uid != 0)
        return error_set(err, ERR_IO, "%s is not a regular file", way->here);
    way->file = openat(way->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return way->file >= 0 || error_set_errno(err, ERR_IO, errno, "open %s", way->here);
}

static bool owner_way_enter(OwnerWay *way, const char *name, Error *err)
{
    int next = openat(way->fd, name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);

    if (next < 0) {
        return error_set_errno(err, errno == ENOTDIR ? ERR_REFUSED : ERR_IO, errno, "open %s",
                               owner_way_join(way, name));
    }
    way->here = owner_way_join(way, name);
    fd_done(&way->fd);
    way->fd = next;
    return true;
}

/* The next part of the rest, "" at its end. */
static const char *take_part(OwnerWay *way)
{
    way->rest += strspn(way->rest, "/");
    size_t size = strcspn(way->rest, "/");
    const char *part = arena_text_part(way->arena, way->rest, size);

    way->rest += size;
    return part;
}

static bool is_last(const OwnerWay *way)
{
    return way->rest[strspn(way->rest, "/")] == '\0';
}

/* *is_there false: the part is missing, and we stand where it would be. */
static bool take_step(OwnerWay *way, const char *part, bool *is_there, Error *err)
{
    struct stat found;

    if (!check_passage(way, err))
        return false;
    if (fstatat(way->fd, part, &found, AT_SYMLINK_NOFOLLOW) != 0) {
        *is_there = false;
        return errno == ENOENT ||
               error_set_errno(err, ERR_IO, errno, "look at %s", owner_way_join(way, part));
    }
    if (S_ISLNK(found.st_mode))
        return owner_way_follow(way, part, &found, err);
    if (way->to_file && is_last(way) && !S_ISDIR(found.st_mode))
        return open_file(way, part, &found, err);
    return owner_way_enter(way, part, err);
}

/* Ends in the last directory that is there, or with the file open. */
static bool owner_way_walk(OwnerWay *way, bool *is_there, Error *err)
{
    *is_there = true;
    if (!start_at(way, way->path[0] == '/' ? "/" : ".", err))
        return false;
    for (const char *part = take_part(way); *is_there && *part != '\0'; part = take_part(way)) {
        if (!take_step(way, part, is_there, err))
            return false;
    }
    return true;
}

static bool owner_way_check_end(const OwnerWay *way, uid_t uid, Error *err)
{
    return way->foreign_part == NULL || way->foreign == uid ||
           refuse_third(way, way->foreign_part, way->foreign, err);
}

bool owner_find(const char *path, Arena *arena, DirectoryOwner *owner, Error *err)
{
    CLEANUP(owner_way_done)
    OwnerWay way = {.path = path, .arena = arena, .rest = path, .fd = -1, .file = -1};
    struct stat found;
    bool is_there;

    if (!owner_way_walk(&way, &is_there, err))
        return false;
    if (fstat(way.fd, &found) != 0)
        return error_set_errno(err, ERR_IO, errno, "look at %s", way.here);
    if (others_may_write(&found))
        way.shared = way.here;
    *owner = (DirectoryOwner){
        .is_there = is_there, .uid = found.st_uid, .parent = way.here, .shared = way.shared};
    return owner_way_check_end(&way, found.st_uid, err);
}

static bool owner_way_check_file(const OwnerWay *way, const struct stat *found, Error *err)
{
    if (!S_ISREG(found->st_mode) && found->st_uid != 0)
        return error_set(err, ERR_IO, "%s is not a regular file", way->here);
    if (!S_ISREG(found->st_mode) || !others_may_write(found) ||
        (found->st_uid != 0 && (found->st_mode & S_IWOTH) == 0))
        return true;
    CLEANUP(text_freep) char *word = shell_word(way->here);
    error_set(err, ERR_REFUSED, "others than its owner can write to %s", way->here);
    return error_hint(err, "take the right to write from them (chmod go-w %s)", word);
}

bool owner_open_file(const char *path, Arena *arena, int *fd, struct stat *found, Error *err)
{
    CLEANUP(owner_way_done)
    OwnerWay way = {
        .path = path, .arena = arena, .rest = path, .fd = -1, .file = -1, .to_file = true};
    bool is_there;

    *fd = -1;
    if (!owner_way_walk(&way, &is_there, err))
        return false;
    if (!is_there)
        return error_set_errno(err, ERR_NOT_FOUND, ENOENT, "open %s", path);
    if (way.file < 0)
        return error_set(err, ERR_IO, "%s is not a regular file", path);
    if (fstat(way.file, found) != 0)
        return error_set_errno(err, ERR_IO, errno, "look at %s", path);
    if (found->st_uid == 0 && way.shared != NULL) {
        error_set(err, ERR_REFUSED, "the way to %s leads through %s, in which others can write",
                  path, way.shared);
        CLEANUP(text_freep) char *word = shell_word(way.shared);
        return error_hint(err, "take the right to write from them (chmod go-w %s)", word);
    }
    if (!owner_way_check_end(&way, found->st_uid, err) || !owner_way_check_file(&way, found, err))
        return false;
    *fd = fd_take(&way.file);
    return true;
}

static bool take_groups(Account *account, bool has_entry, Arena *arena, Error *err)
{
    int count = GROUPS_MAX;
    gid_t *groups = arena_alloc(arena, (size_t)count * sizeof *groups);

    groups[0] = account->gid;
    if (!has_entry) {
        count = 1;
    } else if (getgrouplist(account->name, account->gid, groups, &count) < 0) {
        return error_set(err, ERR_IO, "user %s has too many groups", account->name);
    }
    account->groups = groups;
    account->group_count = (size_t)count;
    return true;
}

bool account_find(uid_t uid, gid_t gid, Arena *arena, Account *account, Error *err)
{
    struct passwd entry, *user = NULL;
    char *strings = arena_alloc(arena, STRINGS_SIZE);
    int failed = getpwuid_r(uid, &entry, strings, STRINGS_SIZE, &user);

    if (user == NULL && failed != 0)
        return error_set_errno(err, ERR_IO, failed, "look up user number %u", (unsigned)uid);
    *account = (Account){.uid = uid, .gid = gid, .home = "/"};
    account->name = arena_format(arena, "%u", (unsigned)uid);
    if (user != NULL) {
        account->gid = user->pw_gid;
        account->name = user->pw_name;
        account->home = user->pw_dir;
    }
    return take_groups(account, user != NULL, arena, err);
}

bool account_find_name(const char *name, Arena *arena, Account *account, Error *err)
{
    struct passwd entry, *user = NULL;
    char *strings = arena_alloc(arena, STRINGS_SIZE);
    int failed = getpwnam_r(name, &entry, strings, STRINGS_SIZE, &user);

    if (user == NULL && failed != 0)
        return error_set_errno(err, ERR_IO, failed, "look up user \"%s\"", name);
    if (user == NULL)
        return error_set(err, ERR_NOT_FOUND, "this host has no user \"%s\"", name);
    *account = (Account){
        .uid = user->pw_uid, .gid = user->pw_gid, .name = user->pw_name, .home = user->pw_dir};
    return take_groups(account, true, arena, err);
}

static bool set_environment(const Account *account)
{
    return setenv("HOME", account->home, 1) == 0 && setenv("USER", account->name, 1) == 0 &&
           setenv("LOGNAME", account->name, 1) == 0;
}

bool account_become(const Account *account, Error *err)
{
    if (setgroups(account->group_count, account->groups) != 0 ||
        setresgid(account->gid, account->gid, account->gid) != 0 ||
        setresuid(account->uid, account->uid, account->uid) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return error_set_errno(err, ERR_IO, errno, "become user %s", account->name);
    /* The kernel clears all capabilities when the last id 0 goes (capabilities(7)). */
    if (account->uid != 0 && (setuid(0) == 0 || seteuid(0) == 0))
        abort(); /* can't happen; to go on as somebody who can become root again would be worse */
    if (!set_environment(account))
        return error_set_errno(err, ERR_IO, errno, "set the environment");
    return true;
}
