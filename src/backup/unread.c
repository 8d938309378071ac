#include "unread.h"

#include "base/file.h"
#include "stream/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
    SECOND_US = 1000000,
    /*
     * This much time must lie between the last change and the reading. It is more than the tick of
     * a kernel's clock, in which a second write leaves no trace. It is also more than a write takes
     * whose time was set when it began.
     */
    QUIET_US = 10 * SECOND_US,
    CLOCK_BACK_US = SECOND_US,
};

/* File systems of this machine that set ctime at each write (statfs(2)): no network, no FUSE. */
static const uint32_t trusted_types[] = {
    0xEF53,     /* ext2, ext3, ext4 */
    0x58465342, /* xfs */
    0x9123683E, /* btrfs */
    0x2FC12FC1, /* zfs */
    0xF2F52010, /* f2fs */
};

static bool has_clock_gone_back(const UnreadFacts *facts)
{
    return facts->now < facts->base->stopped_at ||
           (facts->store_ahead != TIME_US_NONE && facts->store_was_ahead != TIME_US_NONE &&
            facts->store_ahead > facts->store_was_ahead + CLOCK_BACK_US);
}

/* What speaks against both ways: it must be this very directory, and its pages must prove
 * themselves.
 */
static const char *common_objection(const UnreadFacts *facts)
{
    const ManifestHeader *base = facts->base;

    if (facts->is_forbidden)
        return "--no-reuse-unread was given";
    if (facts->is_set_back)
        return "the server is older than that backup: it was set back";
    if (*facts->machine_id == '\0' || strcmp(base->machine_id, facts->machine_id) != 0)
        return "that backup was taken on another machine";
    if (strcmp(base->data_directory, facts->data_directory) != 0)
        return "that backup was taken of another directory";
    if (base->checksums != 1 || facts->checksums != 1)
        return "without data checksums a page in the middle of a write can't be told";
    if (base->block_size != facts->block_size)
        return "the server has another block size";
    return NULL;
}

const char *unread_objection(const UnreadFacts *facts)
{
    const ManifestHeader *base = facts->base;
    const char *common = common_objection(facts);

    if (common != NULL)
        return common;
    if (*facts->boot_id == '\0' || strcmp(base->boot_id, facts->boot_id) != 0)
        return "the machine was started anew since that backup";
    if (has_clock_gone_back(facts))
        return "this host's clock has gone back since that backup";
    return NULL;
}

/*
 * What leads over a fork is right by its content, but a standby, pg_rewind or a restore in place
 * leaves other hint bits in files that were not the base's; and pages of another size are not ours.
 */
const char *unread_wal_objection(const UnreadFacts *facts)
{
    const char *common = common_objection(facts);

    if (common != NULL)
        return common;
    if (facts->base->timeline != facts->timeline)
        return "the server has another timeline since that backup";
    if (facts->block_size != PAGE_BYTES)
        return "the server's pages have not 8192 bytes";
    return NULL;
}

static TimeUs unread_time_of(struct timespec time)
{
    return (TimeUs)time.tv_sec * SECOND_US + time.tv_nsec / 1000;
}

/* The data directory's, or its tablespace's; NULL when there is none of that name. */
static const UnreadRoot *root_of(const UnreadRule *rule, const char *path)
{
    for (size_t i = 1; i < rule->root_count; i++) {
        const size_t length = strlen(rule->roots[i].path);

        if (strncmp(path, rule->roots[i].path, length) == 0 && path[length] == '/')
            return &rule->roots[i];
    }
    return strncmp(path, "pg_tblspc/", strlen("pg_tblspc/")) == 0 ? NULL : &rule->roots[0];
}

bool unread_is_as_before(const UnreadRule *rule, const ManifestEntry *base, const struct stat *info)
{
    const UnreadRoot *root = root_of(rule, base->path);

    return root != NULL && root->is_as_before && info->st_dev == root->device &&
           base->kind == ENTRY_FILE && !base->is_small && base->inode == info->st_ino;
}

bool unread_was_written(const ManifestEntry *base, const struct stat *info)
{
    return base->size != (uint64_t)info->st_size || base->mtime != unread_time_of(info->st_mtim) ||
           base->ctime != unread_time_of(info->st_ctim);
}

bool unread_file_is_unchanged(const UnreadRule *rule, const ManifestEntry *base,
                              const struct stat *info)
{
    const UnreadRoot *root = root_of(rule, base->path);
    const TimeUs mtime = unread_time_of(info->st_mtim), ctime = unread_time_of(info->st_ctim);
    const TimeUs last = mtime > ctime ? mtime : ctime;

    return rule->is_on && root != NULL && root->is_trusted &&
           unread_is_as_before(rule, base, info) && !unread_was_written(base, info) &&
           ctime <= rule->now && rule->base_started - last >= QUIET_US;
}

bool unread_is_due(const UnreadRule *rule, UnreadBy by, const char *path, uint32_t range)
{
    const uint64_t rounds = by == UNREAD_BY_TIMES ? UNREAD_ROUNDS : UNREAD_WAL_ROUNDS;

    return rule->checks_all || (xxh3_of(0, path, strlen(path)) + range + rule->round) % rounds == 0;
}

static bool is_trusted_type(uint32_t type)
{
    for (size_t i = 0; i < ARRAY_SIZE(trusted_types); i++) {
        if (trusted_types[i] == type)
            return true;
    }
    return false;
}

/* What can't be looked at, as a tablespace that was dropped meanwhile, is not trusted. */
static void look_at_root(BackupRun *run, const char *path, UnreadRoot *root)
{
    CLEANUP(text_freep) char *place = text_format("%s/%s", run->data, path);
    CLEANUP(fd_done) int fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct statfs system;
    struct stat info;

    *root = (UnreadRoot){.path = path, .line = ""};
    if (fd < 0 || fstatfs(fd, &system) != 0 || fstat(fd, &info) != 0)
        return;
    const uint32_t type = (uint32_t)system.f_type;
    const int *const id = (const int *)(const void *)&system.f_fsid;
    *root = (UnreadRoot){
        .path = path,
        .line = arena_format(&run->arena, "%s %" PRIx32 " %08x%08x %" PRIu64 " %" PRIu64 "\n", path,
                             type, (unsigned)id[0], (unsigned)id[1], (uint64_t)info.st_dev,
                             (uint64_t)info.st_ino),
        .is_trusted = is_trusted_type(type),
        .device = info.st_dev,
    };
}

static size_t count_links(const Scan *scan)
{
    size_t count = 0;

    for (size_t i = 0; i < scan->count; i++)
        count += scan->entries[i].kind == ENTRY_LINK;
    return count;
}

const char *unread_find_roots(BackupRun *run, UnreadRule *rule)
{
    CLEANUP(buffer_done) Buffer lines = {0};
    const Scan *scan = &run->scan;

    rule->root_count = 0;
    rule->roots = arena_alloc(&run->arena, (count_links(scan) + 1) * sizeof rule->roots[0]);
    look_at_root(run, ".", &rule->roots[rule->root_count++]);
    for (size_t i = 0; i < scan->count; i++) {
        if (scan->entries[i].kind == ENTRY_LINK)
            look_at_root(run, scan->entries[i].path, &rule->roots[rule->root_count++]);
    }
    for (size_t i = 0; i < rule->root_count; i++)
        buffer_print(&lines, "%s", rule->roots[i].line);
    buffer_append(&lines, "", 1);
    return arena_text(&run->arena, (const char *)lines.data);
}

void unread_compare_roots(UnreadRule *rule, const char *base_text)
{
    for (size_t i = 0; i < rule->root_count; i++) {
        const char *found = strstr(base_text, rule->roots[i].line);

        rule->roots[i].is_as_before = *rule->roots[i].line != '\0' && found != NULL &&
                                      (found == base_text || found[-1] == '\n');
    }
}
