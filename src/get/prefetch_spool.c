#include "prefetch_spool.h"

#include "base/fault.h"
#include "base/file.h"
#include "stream/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

enum { WIPE_ATTEMPTS = 1000 };

static const char state_file[] = "state";

/* Two clusters of one repository may be clones of each other: same identifier, other content. */
static char *make_key(const Cluster *cluster, const char *boot)
{
    return text_format("repository=%s\ncluster=%s\nsystem_identifier=%" PRIu64 "\nboot=%s\n",
                       cluster->repo->id, cluster->name, cluster->system_identifier, boot);
}

/* Only we may write there: what somebody else put there would become part of a database. */
static bool is_ours(int fd)
{
    struct stat found;

    return fstat(fd, &found) == 0 && file_is_ours_alone(&found);
}

static bool open_files(PrefetchSpool *spool, const char *path)
{
    spool->folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (spool->folder < 0 || !is_ours(spool->folder))
        return false;
    spool->state =
        openat(spool->folder, state_file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    return spool->state >= 0;
}

bool prefetch_spool_open(const char *path, const Cluster *cluster, const char *boot, bool create,
                         PrefetchSpool *spool)
{
    CLEANUP(prefetch_spool_done) PrefetchSpool opened = PREFETCH_SPOOL_CLOSED;

    /* Without an id of the boot nobody can say whether what was written has survived a crash. */
    if (boot[0] == '\0')
        return false;
    if (create)
        (void)mkdir(path, 0700); /* whatever is wrong with it shows below */
    if (!open_files(&opened, path))
        return false;
    opened.key = make_key(cluster, boot);
    opened.seed = cluster->repo->hash_seed;
    opened.segment_size = cluster->wal_segment_size;
    *spool = opened;
    opened = PREFETCH_SPOOL_CLOSED;
    return true;
}

void prefetch_spool_done(PrefetchSpool *spool)
{
    fd_done(&spool->folder);
    fd_done(&spool->state);
    text_freep(&spool->key);
}

void prefetch_spool_name(const PrefetchSpool *spool, const char *segment, const struct stat *found,
                         char name[PREFETCH_NAME_SIZE])
{
    CLEANUP(text_freep)
    char *text = text_format("%ssegment=%s\ndevice=%" PRIu64 "\ninode=%" PRIu64 "\nsize=%" PRIu64
                             "\nmtime=%" PRIu64 ".%09ld\n",
                             spool->key, segment, (uint64_t)found->st_dev, (uint64_t)found->st_ino,
                             (uint64_t)found->st_size, (uint64_t)found->st_mtim.tv_sec,
                             found->st_mtim.tv_nsec);
    uint8_t digest[XXH128_SIZE];
    char seal[PREFETCH_SEAL_SIZE];

    xxh128_of(spool->seed, text, strlen(text), digest);
    (void)snprintf(name, PREFETCH_NAME_SIZE, "%s.%s", segment,
                   hex_text(digest, sizeof digest, seal));
}

/* The segment whose name the file has, sealed or not. */
static bool segment_of(const PrefetchSpool *spool, const char *file, char segment[WAL_NAME_SIZE],
                       WalName *name)
{
    const size_t size = strcspn(file, ".");
    Error ignored = {0}; /* then it is none of ours */

    if (file[size] != '.' || size >= WAL_NAME_SIZE)
        return false;
    (void)snprintf(segment, WAL_NAME_SIZE, "%.*s", (int)size, file);
    return wal_name_parse(segment, spool->segment_size, name, &ignored) &&
           name->kind == WAL_SEGMENT;
}

/* Whether the file is what was put there under this name. */
static bool is_sealed(const PrefetchSpool *spool, const char *file, const char *segment)
{
    char expected[PREFETCH_NAME_SIZE];
    struct stat found;

    /* A second link could be written to when this one is part of a database. */
    if (fstatat(spool->folder, file, &found, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(found.st_mode) ||
        found.st_nlink != 1)
        return false;
    prefetch_spool_name(spool, segment, &found, expected);
    return strcmp(file, expected) == 0;
}

/* A stream of its own each time, since descriptors that were dup()ed share their position. */
static DIR *list_of(const PrefetchSpool *spool)
{
    int fd = openat(spool->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);

    if (list == NULL)
        fd_done(&fd);
    return list;
}

bool prefetch_spool_take(const PrefetchSpool *spool, const char *segment, const char *path)
{
    CLEANUP(directory_done) DIR *list = list_of(spool);
    const size_t size = strlen(segment);
    const struct dirent *entry;
    Error injected = {0}; /* then it stays, and the request fetches */

    while (list != NULL && (entry = readdir(list)) != NULL) {
        if (strncmp(entry->d_name, segment, size) != 0 || entry->d_name[size] != '.' ||
            !is_sealed(spool, entry->d_name, segment))
            continue;
        /* Of two requests at once one finds it gone, and fetches. */
        if (FAULT_POINT("prefetch.before-take", &injected) &&
            renameat(spool->folder, entry->d_name, AT_FDCWD, path) == 0)
            return FAULT_POINT("prefetch.after-take", &injected);
    }
    return false;
}

void prefetch_spool_scan(const PrefetchSpool *spool, PrefetchRemove what, PrefetchKeep *keep,
                         void *context)
{
    CLEANUP(directory_done) DIR *list = list_of(spool);
    const struct dirent *entry;

    while (list != NULL && (entry = readdir(list)) != NULL) {
        const char *file = entry->d_name;
        char segment[WAL_NAME_SIZE];
        WalName name;

        if (file[0] == '.' || strcmp(file, state_file) == 0)
            continue;
        const bool is_segment = segment_of(spool, file, segment, &name);
        if (is_segment && is_sealed(spool, file, segment) && keep(context, &name))
            continue;
        if (what == PREFETCH_REMOVE_TEMPORARY_TOO ||
            (what == PREFETCH_REMOVE_SEGMENTS && is_segment))
            (void)unlinkat(spool->folder, file, 0);
    }
}

bool prefetch_spool_is_gone(const PrefetchSpool *spool)
{
    struct stat own, named;

    /* Not by the count of links: NFS keeps an open file under another name. */
    return fstat(spool->state, &own) != 0 ||
           fstatat(spool->folder, state_file, &named, AT_SYMLINK_NOFOLLOW) != 0 ||
           own.st_dev != named.st_dev || own.st_ino != named.st_ino;
}

static void remove_entries(int folder)
{
    CLEANUP(directory_done) DIR *list = fdopendir(folder);
    const struct dirent *entry;

    if (list == NULL)
        fd_done(&folder);
    while (list != NULL && (entry = readdir(list)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(dirfd(list), entry->d_name, 0);
    }
}

void prefetch_spool_wipe(const char *path)
{
    /* Again while somebody puts files there; that takes longer than to remove them. */
    for (unsigned i = 0; i < WIPE_ATTEMPTS; i++) {
        int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (folder < 0)
            return;
        remove_entries(folder);
        if (rmdir(path) == 0 || (errno != ENOTEMPTY && errno != EEXIST))
            return;
    }
}
