#include "replace/old_directory.h"

#include "base/file.h"
#include "catalog/branches.h"
#include "walk/wal_source.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

enum { HISTORY_TEXT_MAX = 4 << 20 };

bool old_commits_any(const OldCommits *commits)
{
    return commits->count > 0 || commits->prepared > 0 || commits->is_least;
}

const char *old_commits_text(const OldCommits *commits, Arena *arena)
{
    const BranchGain gain = {.commits = commits->count, .prepared = commits->prepared};
    char time[TIME_TEXT_SIZE];

    if (commits->count == 0 && commits->prepared == 0)
        return commits->is_least ? "perhaps commits that can't be counted" : "no commit";
    return arena_format(arena, "%s%s until %s", commits->is_least ? "at least " : "",
                        branch_gain_text(&gain, arena), time_text_postgres(commits->last, time));
}

/* The data directory whose pg_wal this is, moved aside whole; NULL: a pg_wal alone. */
static const char *data_of_wal(const char *wal_path, Arena *arena)
{
    static const char name[] = "/pg_wal";
    const size_t size = strlen(wal_path), name_size = sizeof name - 1;

    if (size <= name_size || strcmp(wal_path + size - name_size, name) != 0)
        return NULL;
    const char *data = arena_text_part(arena, wal_path, size - name_size);
    return file_exists_in(data, "global") ? data : NULL;
}

/*
 * A half-restored directory holds what was restored; what it was before went where the marker says,
 * the first attempt's first. Until then it is still there.
 */
static OldPlaces places_of_own(const char *data, const DataLook *look, Arena *arena)
{
    const RestoreMarker *marker = &look->marker;
    const char **paths = arena_alloc(arena, (marker->wal_kept_count + 1) * sizeof *paths);
    OldPlaces places = {.place = data, .wal_paths = paths};
    const char *pg_wal = arena_format(arena, "%s/pg_wal", data);

    if (look->state == DATA_CLUSTER) {
        places.data = data;
        paths[places.wal_count++] = pg_wal;
    }
    for (size_t i = 0; look->state != DATA_CLUSTER && i < marker->wal_kept_count; i++) {
        if (places.data == NULL)
            places.data = data_of_wal(marker->wal_kept[i], arena);
    }
    for (size_t i = 0; i < marker->wal_kept_count; i++)
        paths[places.wal_count++] = marker->wal_kept[i];
    /* It may not be put away yet; what comes in its place was restored, and says nothing. */
    if (look->state != DATA_CLUSTER && !marker->has_new_wal)
        paths[places.wal_count++] = pg_wal;
    return places;
}

static bool is_known(const OldPlaces *own, const char *wal_path)
{
    for (size_t i = 0; i < own->wal_count; i++) {
        if (strcmp(own->wal_paths[i], wal_path) == 0)
            return true;
    }
    return false;
}

typedef struct KeptSearch {
    const Cluster *cluster;
    const WalInventory *inventory;
    const OldPlaces *own;
    Arena *arena;
    OldDirectory *directory;
} KeptSearch;

static bool look_at_kept(const KeptSearch *search, const char *path, Error *err)
{
    OldDirectory *directory = search->directory;
    const char *inside = arena_format(search->arena, "%s/pg_wal", path);
    const char *wal_path = file_is_directory(inside) ? inside : arena_text(search->arena, path);
    const OldPlaces places = {.place = wal_path,
                              .data = data_of_wal(wal_path, search->arena),
                              .wal_paths = &wal_path,
                              .wal_count = 1};
    OldBranch branch;

    if (is_known(search->own, wal_path))
        return true;
    if (!old_branch_look(search->cluster, search->inventory, &places, search->arena, &branch, err))
        return false;
    if (branch.wal.count == 0)
        return true;
    OldBranch *kept =
        arena_alloc(search->arena, (directory->kept_count + 1) * sizeof *directory->kept);
    if (directory->kept_count > 0)
        memcpy(kept, directory->kept, directory->kept_count * sizeof *kept);
    kept[directory->kept_count++] = branch;
    directory->kept = kept;
    return true;
}

static bool look_in(const KeptSearch *search, const char *folder, const char *prefix, Error *err)
{
    CLEANUP(directory_done) DIR *list = opendir(folder);

    if (list == NULL && errno != ENOENT)
        return error_set_errno(err, ERR_IO, errno, "list %s", folder);
    for (const struct dirent *entry = list != NULL ? readdir(list) : NULL; entry != NULL;
         entry = readdir(list)) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        CLEANUP(text_freep) char *path = text_format("%s/%s", folder, entry->d_name);
        if (file_is_directory(path) && !look_at_kept(search, path, err))
            return false;
    }
    return true;
}

/* What earlier restores put beside the place, under its name, or could only leave in it. */
static bool look_for_kept(const KeptSearch *search, const char *data, Error *err)
{
    CLEANUP(text_freep) char *parent = text_format("%s", data);
    char *slash = strrchr(parent, '/');
    CLEANUP(text_freep) char *prefix = text_format("%s.pgcairn-", slash + 1);

    slash[slash == parent ? 1 : 0] = '\0';
    return look_in(search, parent, prefix, err) && look_in(search, data, KEPT_WAL_INSIDE, err);
}

/*
 * Where it parts from the archive by its content, its path says nothing to those who only know
 * paths. Nor does one that was never opened, and has only what the archive gave to it.
 */
static void describe_server(OldDirectory *directory)
{
    const OldBranch *own = &directory->own;
    const bool is_nobodys = own->was_never_opened && own->verdict == OLD_ARCHIVED;

    directory->has_server = directory->has_own && own->path.count > 0 && own->reached != 0 &&
                            own->verdict != OLD_APART && !is_nobodys;
    directory->server = (ServerBranch){.path = own->path,
                                       .reached = own->reached,
                                       .commit_end = own->commit_end,
                                       .commit_time = own->commit_time};
}

bool old_directory_look(const Cluster *cluster, const RestoreRequest *request, const char *data,
                        Arena *arena, OldDirectory *directory, Error *err)
{
    CLEANUP(wal_inventory_done) WalInventory inventory = {0};
    DataLook look;
    OldPlaces places = {.place = data};
    Error running = {0}; /* for whoever only looks it is told elsewhere */

    *directory = (OldDirectory){0};
    if (!(request->only_looks ? data_look_while_running(data, cluster, arena, &look, &running, err)
                              : data_look(data, cluster, arena, &look, err)))
        return false;
    directory->has_own =
        look.same_cluster && (look.state == DATA_CLUSTER || look.state == DATA_HALF_RESTORED);
    if (!wal_inventory_load(&inventory, cluster, err))
        return false;
    if (directory->has_own) {
        places = places_of_own(data, &look, arena);
        if (!old_branch_look(cluster, &inventory, &places, arena, &directory->own, err))
            return false;
    }
    describe_server(directory);
    const KeptSearch search = {.cluster = cluster,
                               .inventory = &inventory,
                               .own = &places,
                               .arena = arena,
                               .directory = directory};
    return request->discard_wal || look_for_kept(&search, data, err);
}

static void add_files(const OldBranch *branch, WalInventory *inventory, uint32_t segment_size)
{
    CLEANUP(arena_done) Arena arena = {0};
    WalFile *files = arena_alloc(&arena, (branch->wal.count + 1) * sizeof *files);
    size_t count = 0;

    for (size_t i = 0; i < branch->wal.count; i++) {
        const OldSegment *file = &branch->wal.items[i];
        if (!old_branch_proves(branch, file, segment_size) ||
            wal_inventory_has(inventory, file->name.timeline, file->name.segment))
            continue;
        files[count++] = (WalFile){
            .timeline = file->name.timeline, .segment = file->name.segment, .path = file->path};
    }
    wal_inventory_add_local(inventory, files, count);
}

/* Of its timeline, and of those that led to it. */
static bool add_histories(const OldBranch *own, WalInventory *inventory, Error *err)
{
    for (size_t i = 0; i < own->path.count; i++) {
        const uint32_t timeline = own->path.steps[i].timeline;
        const OldHistory *history = old_wal_history(&own->wal, timeline);
        CLEANUP(buffer_done) Buffer text = {0};

        if (history == NULL || timeline == 1 || wal_inventory_has_history(inventory, timeline))
            continue;
        if (!file_read_whole(history->path, HISTORY_TEXT_MAX, &text, err))
            return error_context(err, "read %s", history->path);
        wal_inventory_add_history(inventory, timeline, (const char *)text.data);
    }
    return true;
}

bool old_directory_add(const OldDirectory *directory, WalInventory *inventory,
                       uint32_t segment_size, Error *err)
{
    const OldBranch *own = &directory->own;

    for (size_t i = 0; i < directory->kept_count; i++)
        add_files(&directory->kept[i], inventory, segment_size);
    if (!directory->has_own)
        return true;
    add_files(own, inventory, segment_size);
    return own->verdict == OLD_APART || add_histories(own, inventory, err);
}
