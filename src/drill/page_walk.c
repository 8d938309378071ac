#include "page_walk.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "base/time.h"
#include "base/tree.h"
#include "postgres/control.h"
#include "postgres/data_directory.h"
#include "postgres/page.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { STEP_SIZE = 1 << 20, READS_MAX = 4 };

/* The files of one directory tree. */
typedef struct PageTree {
    PageWalk *walk;
    /* Paths relative to the data directory begin with it: "base", "pg_tblspc/16384". */
    const char *prefix;
    PgControl control;
    PageRule rule;
    uint8_t *pages, *again;
} PageTree;

typedef struct PagedFile {
    const PageTree *tree;
    int fd;
    const char *path;
    uint32_t first_block; /* This segment begins with this block. */
    uint64_t bad, first_bad;
} PagedFile;

/* The server may be writing it: only what stays wrong and the same is wrong. */
static bool page_stays_bad(const PagedFile *file, const uint8_t *page, uint32_t block,
                           uint64_t offset, bool *is_bad, Error *err)
{
    const PageTree *tree = file->tree;
    const uint32_t size = tree->control.block_size;
    size_t got = 0;

    *is_bad = true;
    for (int i = 0; i < READS_MAX && *is_bad; i++) {
        time_sleep_ms(1U << i);
        if (!file_read_at(file->fd, tree->again, size, offset, &got, file->path, err))
            return false;
        *is_bad = got == size && page_check(tree->again, size, block, &tree->rule) == PAGE_BAD;
    }
    *is_bad = *is_bad && memcmp(page, tree->again, size) == 0;
    return true;
}

static bool check_step(PagedFile *file, size_t size, uint64_t offset, Error *err)
{
    const PageTree *tree = file->tree;
    const uint32_t page_size = tree->control.block_size;

    for (size_t at = 0; at + page_size <= size; at += page_size) {
        const uint32_t block = file->first_block + (uint32_t)((offset + at) / page_size);
        const uint8_t *page = tree->pages + at;
        bool is_bad = false;

        if (page_check(page, page_size, block, &tree->rule) != PAGE_BAD)
            continue;
        if (!page_stays_bad(file, page, block, offset + at, &is_bad, err))
            return false;
        if (is_bad && file->bad++ == 0)
            file->first_bad = block;
    }
    tree->walk->pages += size / page_size;
    return true;
}

static bool check_file(PagedFile *file, Error *err)
{
    uint64_t offset = 0;
    size_t got = 0;

    do {
        if (!interrupt_check(err) ||
            !file_read_at(file->fd, file->tree->pages, STEP_SIZE, offset, &got, file->path, err) ||
            !check_step(file, got, offset, err))
            return false;
        offset += got;
    } while (got == STEP_SIZE);
    return true;
}

static void tell_file(const PagedFile *file, uint64_t size)
{
    PageWalk *walk = file->tree->walk;

    walk->files++;
    if (file->bad == 0)
        return;
    walk->bad_files++;
    if (walk->told == PAGE_FINDINGS_MAX)
        return;
    walk->findings[walk->told++] = arena_format(
        &walk->arena, "%s: %llu of %llu pages are damaged, the first is block %llu", file->path,
        (unsigned long long)file->bad, (unsigned long long)(size / file->tree->control.block_size),
        (unsigned long long)file->first_bad);
}

static bool has_pages(const char *path, RelationFileName *name)
{
    const char *last = strrchr(path, '/');

    return data_plan_of(path, false) == PLAN_RELATION &&
           relation_file_parse(last != NULL ? last + 1 : path, name) && name->fork != FORK_FSM &&
           !name->is_temporary;
}

/* A TreeVisit. What goes meanwhile is not there. */
/* NOLINTNEXTLINE(readability-non-const-parameter): it is a TreeVisit */
static bool look_at_file(void *context, const TreeEntry *entry, bool *descends, Error *err)
{
    const PageTree *tree = context;
    CLEANUP(text_freep) char *path = text_format("%s/%s", tree->prefix, entry->below);
    RelationFileName name;

    (void)descends;
    if (!S_ISREG(entry->found.st_mode) || !has_pages(path, &name))
        return true;
    CLEANUP(fd_done)
    int fd = openat(entry->directory, entry->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat found;
    if (fd < 0 && errno == ENOENT)
        return true;
    if (fd < 0 || fstat(fd, &found) != 0)
        return error_set_errno(err, ERR_IO, errno, "open %s", path);
    PagedFile file = {.tree = tree,
                      .fd = fd,
                      .path = path,
                      .first_block = name.segment * tree->control.relation_segment_blocks};
    if (!check_file(&file, err))
        return false;
    tell_file(&file, (uint64_t)found.st_size);
    return true;
}

static bool walk_tree(PageTree *tree, const char *root, Error *err)
{
    const TreeVisitor visitor = {.before = look_at_file, .context = tree};
    char *real = realpath(root, NULL);

    if (real == NULL && errno == ENOENT)
        return true; /* the tablespace is missing: that is told by another probe */
    if (real == NULL)
        return error_set_errno(err, ERR_IO, errno, "find %s", root);
    const bool ok = tree_walk(real, &visitor, err);
    free(real);
    return ok;
}

static bool walk_tablespaces(PageTree *tree, Error *err)
{
    CLEANUP(text_freep) char *path = text_format("%s/pg_tblspc", tree->walk->data);
    CLEANUP(directory_done) DIR *list = opendir(path);

    if (list == NULL)
        return error_set_errno(err, ERR_IO, errno, "list %s", path);
    for (const struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
        CLEANUP(text_freep) char *root = text_format("%s/%s", path, entry->d_name);
        CLEANUP(text_freep) char *prefix = text_format("pg_tblspc/%s", entry->d_name);

        if (entry->d_name[0] == '.')
            continue;
        tree->prefix = prefix;
        if (!walk_tree(tree, root, err))
            return false;
    }
    return true;
}

static bool walk_all(PageTree *tree, Error *err)
{
    static const char *const places[] = {"global", "base"};

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        CLEANUP(text_freep) char *root = text_format("%s/%s", tree->walk->data, places[i]);

        tree->prefix = places[i];
        if (!walk_tree(tree, root, err))
            return false;
    }
    return walk_tablespaces(tree, err);
}

bool page_walk(PageWalk *walk, Error *err)
{
    PageTree tree = {.walk = walk};

    if (!pg_control_read(walk->data, &tree.control, NULL, err))
        return false;
    walk->has_checksums = tree.control.checksum_version != 0;
    tree.rule.has_checksums = walk->has_checksums;
    tree.pages = arena_alloc(&walk->arena, STEP_SIZE);
    tree.again = arena_alloc(&walk->arena, tree.control.block_size);
    return walk_all(&tree, err);
}

void page_walk_done(PageWalk *walk)
{
    arena_done(&walk->arena);
}
