#include "catalog/backups.h"

#include "pack_shares.h"

#include "repo/layout.h"
#include "walk/wal_source.h"
#include "walk/wal_walk.h"

#include <inttypes.h>

/* The strings go from the head's arena into the list's: its packs may be many, and die. */
static ManifestHeader copy_header(const ManifestHeader *header, Arena *arena)
{
    ManifestHeader copy = *header;
    const char **const texts[] = {
        &copy.cluster,        &copy.tool_version,   &copy.history,
        &copy.label,          &copy.tablespace_map, &copy.host,
        &copy.boot_id,        &copy.options,        &copy.libc_version,
        &copy.data_directory, &copy.config_file,    &copy.hba_file,
        &copy.ident_file,     &copy.followed_links, &copy.server_directory,
        &copy.databases,      &copy.source_fs,      &copy.machine_id,
        &copy.base,           &copy.changes_by,
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        *texts[i] = arena_text(arena, *texts[i] != NULL ? *texts[i] : "");
    return copy;
}

static void set_damaged(BackupInfo *info, const char *reason, Arena *arena)
{
    info->state = BACKUP_DAMAGED;
    info->reason = arena_text(arena, reason);
}

/* Of which nothing but its id is known. */
static void set_unreadable(BackupInfo *info, const char *id, const char *reason, Arena *arena)
{
    ManifestHeader header = {.commit_time_max = TIME_US_NONE};

    memcpy(header.id, id, sizeof header.id);
    *info = (BackupInfo){.reason = ""};
    info->header = copy_header(&header, arena);
    set_damaged(info, reason, arena);
}

static void set_unread(BackupInfo *info, const char *id, const Error *cause, Arena *arena)
{
    set_unreadable(info, id, cause->message, arena);
    if (cause->code == ERR_VERSION)
        info->state = BACKUP_NEWER;
}

/* WAL from its start to its stop that was found damaged: it can't become consistent. */
static const char *find_damaged_wal(const ManifestHeader *header, const WalInventory *inventory,
                                    const TimelinePath *path, Arena *arena)
{
    const uint32_t size = header->wal_segment_size;
    const uint64_t last = wal_segment_before(header->stop, size);
    const MarkList *marks = &inventory->marks;

    for (size_t i = 0; i < marks->count; i++) {
        const Mark *mark = &marks->items[i];
        Error ignored = {0}; /* not a segment's name */
        WalName name;

        if (mark->is_void || mark->what != MARK_OF_WAL || strcmp(mark->kind, MARK_DAMAGE) != 0 ||
            !wal_name_parse(mark->subject, size, &name, &ignored) || name.kind != WAL_SEGMENT ||
            name.segment < wal_segment_of(header->start, size) || name.segment > last ||
            path_timeline_of_segment(path, name.segment, size) != name.timeline)
            continue;
        return arena_format(arena, "WAL that it needs: %s: %s", mark->subject,
                            mark_text(mark, arena));
    }
    return NULL;
}

/* What was found bad when all of it was read, which a look at its manifest can't show. */
static const char *find_known_damage(const BackupInfo *info, const WalInventory *inventory,
                                     const TimelinePath *path, Arena *arena)
{
    const Mark *mark = mark_find(&inventory->marks, MARK_DAMAGE, MARK_OF_BACKUP, info->header.id);

    if (mark != NULL)
        return mark_text(mark, arena);
    return find_damaged_wal(&info->header, inventory, path, arena);
}

static void set_waiting(BackupInfo *info, const TimelinePath *path, uint64_t segment, Arena *arena)
{
    const uint32_t segment_size = info->header.wal_segment_size;
    char text[WAL_NAME_SIZE];

    info->state = BACKUP_WAITING;
    wal_name_text(&(WalName){.kind = WAL_SEGMENT,
                             .timeline = path_timeline_of_segment(path, segment, segment_size),
                             .segment = segment},
                  segment_size, text);
    info->reason = arena_format(arena, "WAL segment %s is not in the archive", text);
}

static void set_foreign(BackupInfo *info, const TimelinePath *path, uint64_t segment, Arena *arena)
{
    char text[WAL_NAME_SIZE];

    info->state = BACKUP_WAITING;
    wal_name_text(&(WalName){.kind = WAL_SEGMENT,
                             .timeline = path_timeline_of_segment(path, segment,
                                                                  info->header.wal_segment_size),
                             .segment = segment},
                  info->header.wal_segment_size, text);
    info->reason = arena_format(arena,
                                "WAL segment %s in the archive is another server's: this backup "
                                "does not end in it",
                                text);
}

/*
 * Whether what there is of its last segment goes as far as the backup does: its server may have
 * left the timeline there, or be writing it still.
 */
static bool ends_within(const ManifestHeader *header, const Cluster *cluster,
                        const WalInventory *inventory, const TimelinePath *path, bool *ends,
                        Error *err)
{
    const uint64_t last = wal_segment_before(header->stop, header->wal_segment_size);
    WalSource source;

    if (!wal_source_on_path(cluster, inventory, path, last, &source, err))
        return false;
    *ends = source.form != WAL_NOWHERE &&
            wal_segment_start(last, header->wal_segment_size) + source.size >= header->stop;
    return true;
}

bool backup_wal_is_foreign(Lsn start, Lsn stop, const WalTrailer *trailer)
{
    const WalReaderState *reader = &trailer->summary.reader;
    const Lsn last = (trailer->summary.backup_end + 7) & ~(Lsn)7; /* that ends a backup */

    if (reader->end == WAL_END_BROKEN || last > stop)
        return false; /* only the last such record is known */
    if (last == stop)
        return trailer->summary.backup_end_start != start;
    /* Begun in the segment before, it is in neither's summary. */
    return reader->first_record != 0 && stop > reader->first_record;
}

/* Two servers archive as one: the names are there, and the WAL is not this backup's. */
static bool find_foreign_wal(const BackupInfo *info, const Cluster *cluster,
                             const WalInventory *inventory, const TimelinePath *path,
                             uint64_t *segment, Error *err)
{
    const ManifestHeader *header = &info->header;
    const WalWalk walk = {.cluster = cluster, .inventory = inventory, .path = path, .threads = 1};
    const uint64_t last = wal_segment_before(header->stop, header->wal_segment_size);
    uint32_t timeline = path_timeline_of_segment(path, last, header->wal_segment_size);
    Error attempt = {0};
    WalTrailer trailer;
    bool is_open = false;

    *segment = 0;
    if (header->from_standby || !wal_inventory_has(inventory, timeline, last))
        return true;
    if (!wal_walk_trailer(&walk, last, &trailer, &is_open, &attempt)) {
        if (attempt.code == ERR_CORRUPT || attempt.code == ERR_NOT_FOUND)
            return true; /* what its content is worth, verification says */
        return error_pass(err, &attempt);
    }
    if (!is_open && backup_wal_is_foreign(header->start, header->stop, &trailer))
        *segment = last;
    return true;
}

/*
 * WAL from start to stop must be there without a gap, along the path that the backup's own
 * history tells. What its content is worth, verification says.
 */
static bool backup_judge(BackupInfo *info, const Cluster *cluster, const WalInventory *inventory,
                         Arena *arena, Error *err)
{
    const ManifestHeader *header = &info->header;
    const uint32_t segment_size = header->wal_segment_size;
    const uint64_t last = wal_segment_before(header->stop, segment_size);
    uint64_t reached = wal_segment_of(header->start, segment_size) - 1;
    Error attempt = {0};
    TimelinePath path;
    uint32_t timeline;
    bool ends = false;
    uint64_t foreign;

    if (!timeline_path_parse(header->timeline, header->history, arena, &path, &attempt)) {
        set_damaged(info, attempt.message, arena);
        return true;
    }
    const char *known = find_known_damage(info, inventory, &path, arena);
    if (known != NULL) {
        set_damaged(info, known, arena);
        return true;
    }
    wal_inventory_reach(inventory, &path, header->start, segment_size, &reached, &timeline);
    if (reached + 1 == last && !ends_within(header, cluster, inventory, &path, &ends, err))
        return false;
    if (reached >= last || ends) {
        info->state = BACKUP_RESTORABLE;
        info->reason = "";
        if (!find_foreign_wal(info, cluster, inventory, &path, &foreign, err))
            return false;
        if (foreign != 0)
            set_foreign(info, &path, foreign, arena);
        return true;
    }
    set_waiting(info, &path, reached + 1, arena);
    return true;
}

/* What a head with a good checksum can still say wrong. */
static const char *find_fault(const ManifestHeader *header, const Cluster *cluster, Arena *arena)
{
    ManifestFault fault;

    if (header->wal_segment_size != cluster->wal_segment_size)
        return "its WAL segment size is not the cluster's";
    if (header->timeline == 0 || header->start < header->wal_segment_size ||
        header->stop <= header->start)
        return "its manifest names no place in the WAL";
    return manifest_find_head_fault(header, &fault) ? manifest_fault_text(&fault, arena) : NULL;
}

typedef struct BackupLoader {
    const Cluster *cluster;
    const WalInventory *inventory;
    /* They are listed after the backups, so that what a new backup needs is among them. */
    ObjectList packs;
    PackShares shares;
    HeadVisitor *visit; /* It is NULL when nobody wants the heads. */
    void *context;
} BackupLoader;

static void loader_done(BackupLoader *loader)
{
    object_list_done(&loader->packs);
    pack_shares_done(&loader->shares);
}

static void add_pack_size(BackupInfo *info, const PackInfo *pack)
{
    info->pack_bytes += pack->size;
    if (strcmp(pack->backup, info->header.id) == 0)
        info->stored_bytes += pack->size;
}

/*
 * Its packs are counted and looked up. Of one that is gone or has another size nothing needs to be
 * read to know: that is the fault; NULL: there is none.
 */
static const char *take_packs(BackupInfo *info, const ManifestHead *head, size_t number,
                              PackShares *shares, Arena *arena)
{
    const char *fault = NULL;

    for (size_t i = 0; i < head->pack_count; i++) {
        const PackInfo *pack = &head->packs[i];
        const ObjectInfo *found = pack_shares_add(shares, pack->id, number);

        add_pack_size(info, pack);
        if (fault != NULL)
            continue;
        if (found == NULL) {
            fault = arena_format(arena, "pack %s is missing", pack->id);
        } else if (found->size != pack->size) {
            fault = arena_format(arena, "pack %s has %" PRIu64 " bytes, not %" PRIu64, pack->id,
                                 found->size, pack->size);
        }
    }
    return fault;
}

/*
 * number: of the item. *exists is false when it was removed since the listing. An error that says
 * nothing about the manifest itself (the store does not answer) is one here too.
 */
static bool load_backup(BackupInfo *info, size_t number, bool *exists, const char *id,
                        BackupLoader *loader, Arena *arena, Error *err)
{
    const Cluster *cluster = loader->cluster;
    CLEANUP(manifest_head_done) ManifestHead head = {0};
    Error attempt = {0};
    const char *missing;
    const char *fault;

    *exists = true;
    *info = (BackupInfo){.reason = ""};
    if (manifest_head_load(&head, cluster, id, &attempt)) {
        info->header = copy_header(&head.header, arena);
        info->has_header = true;
        if (loader->visit != NULL)
            loader->visit(loader->context, &head);
        missing = take_packs(info, &head, number, &loader->shares, arena);
        fault = find_fault(&head.header, cluster, arena);
        if (fault == NULL)
            fault = missing;
        if (fault == NULL)
            return backup_judge(info, cluster, loader->inventory, arena, err);
        set_damaged(info, fault, arena);
        return true;
    }
    *exists = attempt.code != ERR_NOT_FOUND;
    if (attempt.code != ERR_CORRUPT && attempt.code != ERR_VERSION && *exists) {
        *err = attempt;
        return error_context(err, "read the manifest of backup %s", id);
    }
    set_unread(info, id, &attempt, arena);
    return true;
}

/* Marked, and nothing of them is listed any more. */
static void add_lost(BackupList *list, const MarkList *marks)
{
    for (size_t i = 0; i < marks->count; i++) {
        const Mark *mark = &marks->items[i];

        if (mark->is_void || mark->what != MARK_OF_BACKUP || strcmp(mark->kind, MARK_DAMAGE) != 0 ||
            !backup_id_is_valid(mark->subject, strlen(mark->subject)) ||
            backup_list_find(list, mark->subject) != NULL)
            continue;
        set_unreadable(&list->items[list->count++], mark->subject, mark_text(mark, &list->arena),
                       &list->arena);
    }
}

static int backups_by_place(const void *a, const void *b)
{
    const BackupInfo *first = a;
    const BackupInfo *second = b;
    bool first_is_out = backup_is_out(first);
    bool second_is_out = backup_is_out(second);

    if (first_is_out != second_is_out)
        return first_is_out ? 1 : -1;
    if (first->header.timeline != second->header.timeline)
        return first->header.timeline < second->header.timeline ? -1 : 1;
    if (first->header.stop != second->header.stop)
        return first->header.stop < second->header.stop ? -1 : 1;
    return strcmp(first->header.id, second->header.id);
}

/* What drills have shown of them. */
static void backups_take_drills(BackupList *list, const MarkList *marks)
{
    for (size_t i = 0; i < list->count; i++) {
        BackupInfo *info = &list->items[i];
        const Mark *suspect = mark_find(marks, MARK_SUSPECT, MARK_OF_BACKUP, info->header.id);
        const Mark *proven = mark_find(marks, MARK_PROVEN, MARK_OF_BACKUP, info->header.id);

        if (suspect != NULL)
            info->suspect = mark_text(suspect, &list->arena);
        if (proven != NULL && proven->at != TIME_US_NONE)
            info->proven_at = proven->at;
    }
}

/* Give away what a list owns, and leave it empty. */
static BackupList backups_take_list(BackupList *list)
{
    BackupList taken = *list;

    *list = (BackupList){0};
    return taken;
}

bool backup_list_load(BackupList *list, const Cluster *cluster, const WalInventory *inventory,
                      Error *err)
{
    return backup_list_load_visiting(list, cluster, inventory, NULL, NULL, err);
}

bool backup_list_load_visiting(BackupList *list, const Cluster *cluster,
                               const WalInventory *inventory, HeadVisitor *visit, void *context,
                               Error *err)
{
    CLEANUP(text_freep) char *prefix = layout_backup_prefix(cluster->name);
    CLEANUP(text_freep) char *pack_prefix = layout_pack_prefix(cluster->name);
    CLEANUP(object_list_done) ObjectList objects = {0};
    CLEANUP(loader_done)
    BackupLoader loader = {
        .cluster = cluster, .inventory = inventory, .visit = visit, .context = context};
    CLEANUP(backup_list_done) BackupList loaded = {0};

    if (!storage_list(cluster->repo->storage, prefix, &objects, err) ||
        !storage_list(cluster->repo->storage, pack_prefix, &loader.packs, err))
        return error_context(err, "list the backups of %s", cluster->name);
    pack_shares_begin(&loader.shares, &loader.packs);
    loaded.items = arena_alloc(&loaded.arena,
                               (objects.count + inventory->marks.count + 1) * sizeof(BackupInfo));
    for (size_t i = 0; i < objects.count; i++) {
        BackupInfo *info = &loaded.items[loaded.count];
        char id[BACKUP_ID_SIZE];
        bool exists;

        if (!layout_backup_id_of(cluster->name, objects.objects[i].name, id))
            continue;
        if (!load_backup(info, loaded.count, &exists, id, &loader, &loaded.arena, err))
            return false;
        loaded.count += exists;
    }
    pack_shares_settle(&loader.shares, loaded.items);
    add_lost(&loaded, &inventory->marks);
    backups_take_drills(&loaded, &inventory->marks);
    qsort(loaded.items, loaded.count, sizeof(BackupInfo), backups_by_place);
    *list = backups_take_list(&loaded);
    return true;
}

void backup_list_done(BackupList *list)
{
    arena_done(&list->arena);
    *list = (BackupList){0};
}

const BackupInfo *backup_list_find(const BackupList *list, const char *id)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].header.id, id) == 0)
            return &list->items[i];
    }
    return NULL;
}

void backup_list_put_out(BackupList *list, const char *id, const Error *cause)
{
    for (size_t i = 0; i < list->count; i++) {
        char known[BACKUP_ID_SIZE];

        memcpy(known, list->items[i].header.id, sizeof known);
        if (strcmp(known, id) == 0)
            set_unread(&list->items[i], known, cause, &list->arena);
    }
    qsort(list->items, list->count, sizeof(BackupInfo), backups_by_place);
}

bool backup_is_on_path(const BackupInfo *backup, const TimelinePath *path)
{
    const PathStep *step = path_step_of(path, backup->header.timeline);

    return !backup_is_out(backup) && step != NULL &&
           (step->end == 0 || backup->header.stop <= step->end);
}
