#include "base_backup.h"

#include "base_choice.h"

#include "base/log.h"
#include "base/process.h"
#include "pack/backed_up_file.h"
#include "postgres/history.h"

#include <stdlib.h>

/* What the repository says, as long as the base is being looked for. */
typedef struct BaseSearch {
    const BackupRun *run;
    BaseBackup *base; /* Its inventory and path are filled first. */
    BackupList list;
    ObjectList packs;
    bool *is_condemned; /* It has one element for each backup. */
    /* It holds a PackInfo for each pack that verify found damaged in a backup. */
    Buffer damaged;
} BaseSearch;

static void base_search_done(BaseSearch *search)
{
    backup_list_done(&search->list);
    object_list_done(&search->packs);
    mem_free(search->is_condemned);
    buffer_done(&search->damaged);
}

void base_backup_done(BaseBackup *base)
{
    manifest_done(&base->manifest);
    mem_free(base->is_usable);
    wal_inventory_done(&base->inventory);
    arena_done(&base->arena);
    *base = (BaseBackup){.why_not = ""};
}

/* A pack that such a backup refers to may be what was found bad: nobody says which one it was. */
static bool note_damaged_packs(BaseSearch *search, const BackupInfo *backup, Error *err)
{
    CLEANUP(manifest_head_done) ManifestHead head = {0};
    Error attempt = {0};

    if (!manifest_head_load(&head, search->run->cluster, backup->header.id, &attempt)) {
        if (attempt.code == ERR_CORRUPT || attempt.code == ERR_VERSION ||
            attempt.code == ERR_NOT_FOUND)
            return true;
        return error_pass(err, &attempt);
    }
    buffer_append(&search->damaged, head.packs, head.pack_count * sizeof head.packs[0]);
    return true;
}

static bool load_search(BaseSearch *search, Error *err)
{
    const BackupRun *run = search->run;
    const Cluster *cluster = run->cluster;
    BaseBackup *base = search->base;
    CLEANUP(text_freep) char *packs = layout_pack_prefix(cluster->name);

    if (!timeline_path_parse(run->timeline, run->history, &base->arena, &base->path, err) ||
        !wal_inventory_load(&base->inventory, cluster, err) ||
        !backup_list_load(&search->list, cluster, &base->inventory, err) ||
        !storage_list(cluster->repo->storage, packs, &search->packs, err))
        return false;
    search->is_condemned = mem_alloc((search->list.count + 1) * sizeof search->is_condemned[0]);
    for (size_t i = 0; i < search->list.count; i++) {
        const BackupInfo *backup = &search->list.items[i];

        search->is_condemned[i] = condemned_has_backup(&run->condemned, backup->header.id);
        if (backup->state == BACKUP_DAMAGED && !note_damaged_packs(search, backup, err))
            return false;
    }
    return true;
}

static bool is_in_damaged(const BaseSearch *search, const char *id)
{
    const PackInfo *packs = (const PackInfo *)(const void *)search->damaged.data;

    for (size_t i = 0; i < search->damaged.size / sizeof packs[0]; i++) {
        if (strcmp(packs[i].id, id) == 0)
            return true;
    }
    return false;
}

static int base_object_by_name(const void *name, const void *object)
{
    return strcmp(name, ((const ObjectInfo *)object)->name);
}

static bool is_usable_pack(const BaseSearch *search, const PackInfo *pack)
{
    CLEANUP(text_freep) char *name = layout_pack(search->run->cluster->name, pack->id);
    const ObjectInfo *found = search->packs.count == 0
                                  ? NULL
                                  : bsearch(name, search->packs.objects, search->packs.count,
                                            sizeof search->packs.objects[0], base_object_by_name);

    return found != NULL && found->size == pack->size && !is_in_damaged(search, pack->id) &&
           !condemned_has_pack(&search->run->condemned, pack->id) &&
           mark_find(&search->base->inventory.marks, MARK_DAMAGE, MARK_OF_PACK, pack->id) == NULL;
}

static void judge_base_packs(const BaseSearch *search, BaseBackup *base)
{
    const Manifest *manifest = &base->manifest;
    size_t bad = 0;

    base->is_usable = mem_alloc((manifest->pack_count + 1) * sizeof base->is_usable[0]);
    for (size_t i = 0; i < manifest->pack_count; i++) {
        base->is_usable[i] = is_usable_pack(search, &manifest->packs[i]);
        bad += !base->is_usable[i];
    }
    if (bad > 0) {
        log_warn("packs that may be damaged are not shared: what is in them is stored anew",
                 log_str("base", manifest->header.id), log_u64("packs", bad));
    }
}

static const char *explain_no_base(const BaseAnswer *answer, Arena *arena)
{
    if (answer->newest == NULL)
        return "there is no earlier backup";
    return arena_format(arena, "backup %s %s", answer->newest->header.id,
                        base_verdict_text(answer->verdict));
}

/* *goes_on: that one can't be read, the next one is to be looked for. */
static bool take_base(BaseSearch *search, const BaseAnswer *answer, BaseBackup *base, bool *goes_on,
                      Error *err)
{
    const char *id = answer->base->header.id;
    Error attempt = {0};

    *goes_on = false;
    if (manifest_load(&base->manifest, search->run->cluster, id, &attempt)) {
        base->is_there = true;
        base->is_set_back = answer->is_set_back;
        judge_base_packs(search, base);
        return true;
    }
    if (attempt.code != ERR_CORRUPT && attempt.code != ERR_VERSION && attempt.code != ERR_NOT_FOUND)
        return error_pass(err, &attempt);
    log_warn("an earlier backup can't be read: nothing is shared with it", log_str("backup", id),
             log_str("error", attempt.message));
    search->is_condemned[answer->base - search->list.items] = true;
    *goes_on = true;
    return true;
}

bool run_find_base(BackupRun *run, BaseBackup *base, Error *err)
{
    CLEANUP(base_search_done) BaseSearch search = {.run = run, .base = base};
    bool goes_on = true;

    *base = (BaseBackup){.why_not = ""};
    if (run->request->is_full) {
        base->why_not = "--full was given";
        return true;
    }
    if (!load_search(&search, err))
        return error_context(err, "look for an earlier backup to share with");
    const BaseQuestion question = {.list = &search.list,
                                   .is_condemned = search.is_condemned,
                                   .path = &base->path,
                                   .start = run->start,
                                   .system_identifier = run->identity.system_identifier,
                                   .major = run->identity.major};
    while (goes_on) {
        const BaseAnswer answer = base_choose(&question);

        if (answer.base == NULL) {
            base->why_not = explain_no_base(&answer, &base->arena);
            return true;
        }
        if (!take_base(&search, &answer, base, &goes_on, err))
            return error_context(err, "look for an earlier backup to share with");
    }
    return true;
}

const ManifestEntry *base_entry_find(const BaseBackup *base, const char *path)
{
    return base == NULL || !base->is_there ? NULL : backed_up_entry_find(&base->manifest, path);
}

bool base_frame_is_usable(const BaseBackup *base, const Frame *frame)
{
    return frame->pack < base->manifest.pack_count && base->is_usable[frame->pack];
}

bool base_range_is_usable(const BaseBackup *base, const ManifestRange *range)
{
    for (uint8_t i = 0; i < range->fragment_count; i++) {
        const Fragment *fragment = &range->fragments[i];

        if (!base_frame_is_usable(base, &fragment->table) ||
            fragment->data_pack >= base->manifest.pack_count ||
            !base->is_usable[fragment->data_pack])
            return false;
    }
    return range->fragment_count > 0;
}

/* How far the store's clock is ahead: by when it stored the lease that was renewed at the start. */
static TimeUs store_ahead_now(const BackupRun *run)
{
    const TimeUs stored_at = lease_stored_at(run->lease);

    return stored_at == TIME_US_NONE ? TIME_US_NONE : stored_at - run->lease_at;
}

/* What it was when the base was stored, or more: that was some time after it had ended. */
static bool ask_store_then(const BackupRun *run, const ManifestHeader *base, TimeUs *ahead,
                           Error *err)
{
    CLEANUP(text_freep) char *name = layout_manifest(run->cluster->name, base->id);
    TimeUs stored_at = TIME_US_NONE;
    uint64_t size;

    if (!storage_stat(run->cluster->repo->storage, name, &size, &stored_at, err))
        return false;
    *ahead = stored_at == TIME_US_NONE ? TIME_US_NONE : stored_at - base->stopped_at;
    return true;
}

bool run_judge_unread(BackupRun *run, const BaseBackup *base, UnreadRule *rule, Error *err)
{
    const ManifestHeader *header = &base->manifest.header;
    UnreadFacts facts = {.base = header,
                         .is_forbidden = run->request->must_read_all,
                         .is_set_back = base->is_set_back,
                         .machine_id = process_machine_id(),
                         .boot_id = process_boot_id(),
                         .data_directory = run->data,
                         .timeline = run->timeline,
                         .checksums = run->control.checksum_version,
                         .block_size = run->control.block_size,
                         .store_ahead = store_ahead_now(run),
                         .now = time_now()};

    if (!ask_store_then(run, header, &facts.store_was_ahead, err))
        return error_context(err, "compare this host's clock with the repository's");
    const char *objection = unread_objection(&facts);
    unread_compare_roots(rule, header->source_fs);
    const char *against_wal = unread_wal_objection(&facts);
    rule->is_on = objection == NULL;
    rule->why_not = objection != NULL ? objection : "";
    rule->wal_why_not = against_wal != NULL ? against_wal : "";
    rule->checks_all = run->request->must_check_unchanged;
    rule->may_be_stale =
        against_wal == NULL && strcmp(header->changes_by, "wal") == 0 && header->bad_pages == 0;
    rule->has_bad_pages = header->bad_pages > 0;
    rule->base_started = header->started_at;
    rule->now = facts.now;
    rule->round = header->check_round + 1;
    return true;
}
