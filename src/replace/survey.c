#include "replace/survey.h"

#include "base/file.h"
#include "base/shell_word.h"
#include "base/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINKS_TOLD = 8, BLOCK_OF_STAT = 512 };

/* What will be needed later, as the kernel knows it: whatever path leads there. */
typedef struct Needed {
    const NeededPlace *place;
    dev_t device;
    ino_t inode;
} Needed;

typedef struct Survey {
    RestorePlan *plan;
    const Needed *needed;
    size_t needed_count;
    const char *root;
    bool is_removed; /* The place is removed rather than renamed. */
    bool is_data;    /* It is the data directory itself. */
    size_t links_told;
    uint64_t bytes, wal_bytes;
} Survey;

static const char *what_becomes(const Survey *survey)
{
    return survey->is_removed ? "is to be removed" : "is to be moved away";
}

static bool refuse_needed(const Survey *survey, const char *what, const char *where, Error *err)
{
    error_set(err, ERR_REFUSED, "%s is %s, in %s, which %s", what, where, survey->root,
              what_becomes(survey));
    CLEANUP(text_freep) char *word = shell_word(where);
    return error_hint(err, "put it elsewhere first, `mv %s /SOME/OTHER/PLACE`, and name that place",
                      word);
}

static const NeededPlace *find_needed(const Survey *survey, const struct stat *found)
{
    for (size_t i = 0; i < survey->needed_count; i++) {
        const Needed *needed = &survey->needed[i];
        if (needed->inode == found->st_ino && needed->device == found->st_dev)
            return needed->place;
    }
    return NULL;
}

/* Our own records begin with "pgcairn KIND " (docs/format.md, chapter 3). */
static bool is_record(const TreeEntry *entry, const char *name, const char *first_words)
{
    char text[32] = "";

    if (strcmp(entry->name, name) != 0 || !S_ISREG(entry->found.st_mode))
        return false;
    CLEANUP(fd_done)
    int fd = openat(entry->directory, entry->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    return fd >= 0 && read(fd, text, sizeof text - 1) > 0 &&
           strncmp(text, first_words, strlen(first_words)) == 0;
}

/* Whose ever they are: nothing here can bring them back. */
static bool check_content(const Survey *survey, const TreeEntry *entry, Error *err)
{
    const char *what = NULL;

    if (is_record(entry, "repository", "pgcairn repository "))
        what = "a repository of pgcairn";
    if (is_record(entry, "receive-spool", "pgcairn spool "))
        what = "a spool of pgcairn receive, which may hold WAL that the archive lacks,";
    if (what == NULL)
        return true;
    CLEANUP(text_freep)
    char *folder =
        text_format("%.*s", (int)(strlen(entry->path) - strlen(entry->name) - 1), entry->path);
    return refuse_needed(survey, what, folder, err);
}

static void tell_link(Survey *survey, const TreeEntry *entry)
{
    char target[1024];

    if (!S_ISLNK(entry->found.st_mode) || survey->links_told == LINKS_TOLD || !survey->is_data ||
        strncmp(entry->below, "pg_tblspc/", strlen("pg_tblspc/")) == 0 ||
        strcmp(entry->below, "pg_wal") == 0)
        return;
    ssize_t size = readlinkat(entry->directory, entry->name, target, sizeof target - 1);
    if (size <= 0)
        return;
    target[size] = '\0';
    survey->links_told++;
    plan_warn(survey->plan, "%s was a link to %s: what is there stays", entry->path, target);
}

static bool check_mount(const Survey *survey, const TreeEntry *entry, Error *err)
{
    if (!entry->is_mount || !survey->is_removed)
        return true;
    error_set(err, ERR_REFUSED, "%s is the root of a mount: it can't be replaced", entry->path);
    return error_hint(err, "--move-aside keeps the whole directory under another name, what is "
                           "mounted in it included");
}

/* Found out when half of it is gone, it would cost the directory. */
static bool check_removable(const Survey *survey, const TreeEntry *entry, Error *err)
{
    if (!survey->is_removed || !S_ISDIR(entry->found.st_mode) || entry->found.st_uid == geteuid() ||
        strcmp(entry->below, "lost+found") == 0 ||
        faccessat(entry->directory, entry->name, W_OK | X_OK, AT_EACCESS) == 0)
        return true;
    error_set(err, ERR_REFUSED, "%s belongs to another user: what is in it can't be removed",
              entry->path);
    return error_hint(
        err, "let root put it elsewhere, or give it to the user that owns the data directory");
}

static bool look_at(void *context, const TreeEntry *entry, bool *descends, Error *err)
{
    Survey *survey = context;
    const NeededPlace *needed = find_needed(survey, &entry->found);

    /* A file system's own, and only root may look into it. */
    if (strcmp(entry->below, "lost+found") == 0)
        *descends = false;
    if (needed != NULL)
        return refuse_needed(survey, needed->what, entry->path, err);
    if (!check_mount(survey, entry, err) || !check_removable(survey, entry, err) ||
        !check_content(survey, entry, err))
        return false;
    tell_link(survey, entry);
    if (S_ISREG(entry->found.st_mode) && entry->found.st_nlink == 1) {
        uint64_t bytes = (uint64_t)entry->found.st_blocks * BLOCK_OF_STAT;
        survey->bytes += bytes;
        if (survey->is_data && strncmp(entry->below, "pg_wal/", strlen("pg_wal/")) == 0)
            survey->wal_bytes += bytes;
    }
    return true;
}

static bool survey_tree(Survey *survey, Error *err)
{
    const TreeVisitor visitor = {.before = look_at, .context = survey};

    if (tree_walk(survey->root, &visitor, err))
        return true;
    if (err->code == ERR_IO && (err->os_errno == EACCES || err->os_errno == EPERM))
        err->code = ERR_REFUSED;
    return error_context(err, "look through what is to be replaced");
}

static size_t identify_needed(const RestoreRequest *request, Needed *needed)
{
    size_t count = 0;

    for (size_t i = 0; i < request->needed_count; i++) {
        struct stat found;
        if (stat(request->needed[i].path, &found) != 0 ||
            (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode)))
            continue;
        needed[count++] =
            (Needed){.place = &request->needed[i], .device = found.st_dev, .inode = found.st_ino};
    }
    return count;
}

bool survey_old(const RestoreRequest *request, RestorePlan *plan, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    Needed *needed = arena_alloc(&arena, (request->needed_count + 1) * sizeof *needed);
    Survey survey = {.plan = plan,
                     .needed = needed,
                     .needed_count = identify_needed(request, needed),
                     .root = plan->placement.data,
                     .is_removed = plan->old.choice != OCCUPIED_MOVE_ASIDE,
                     .is_data = true};

    if (!plan->old.is_occupied || plan->old.choice == OCCUPIED_REFUSE)
        return true;
    if (!survey_tree(&survey, err))
        return false;
    plan->old.bytes = survey.bytes;
    plan->old.wal_bytes = survey.wal_bytes;
    plan->old.version_bytes =
        arena_alloc(&plan->arena, (plan->old.version_count + 1) * sizeof *plan->old.version_bytes);
    survey.is_data = false;
    for (size_t i = 0; i < plan->old.version_count; i++) {
        survey.root = plan->old.versions[i];
        survey.bytes = 0;
        if (!survey_tree(&survey, err))
            return false;
        plan->old.version_bytes[i] = survey.bytes;
    }
    return true;
}

/* A place that is to be written to. */
typedef struct NewPlace {
    const Survey *survey;
    const char *path;
    uint32_t tablespace; /* 0 means the data directory. */
} NewPlace;

static bool look_above(void *context, int fd, const struct stat *found, Error *err)
{
    const NewPlace *place = context;
    const NeededPlace *needed = find_needed(place->survey, found);

    (void)fd;
    if (needed == NULL)
        return true;
    error_set(err, ERR_REFUSED, "%s would be in %s, %s", place->path, needed->what, needed->path);
    return place->tablespace == 0
               ? error_hint(err, "choose another directory")
               : error_hint(err, "choose another place: --tablespace=%u=PATH", place->tablespace);
}

bool survey_new(const RestoreRequest *request, const RestorePlan *plan, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    Needed *needed = arena_alloc(&arena, (request->needed_count + 1) * sizeof *needed);
    const Survey survey = {.needed = needed, .needed_count = identify_needed(request, needed)};
    NewPlace place = {.survey = &survey, .path = plan->placement.data};

    if (!tree_walk_up(place.path, look_above, &place, err))
        return false;
    for (size_t i = 0; i < plan->placement.tablespace_count; i++) {
        place.path = plan->placement.tablespaces[i].path;
        place.tablespace = plan->placement.tablespaces[i].oid;
        if (!tree_walk_up(place.path, look_above, &place, err))
            return false;
    }
    return true;
}
