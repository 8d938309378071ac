#include "remembered.h"

#include "listing.h"
#include "packs.h"

#include "base/random.h"
#include "repo/layout.h"
#include "repo/record.h"
#include "stream/digest.h"

#include <inttypes.h>

/*
 * docs/format.md, chapter 7.4: what was found good, and by what it is recognised. Of a backup that
 * is its manifest, and of its packs what the listing says, as one digest.
 */
static const char kind[] = "verified";

enum { KIND_VERSION = 1 };

/* Like learning.h: what was stored just before can't be told from what took its place. */
static const TimeUs settled_after = 10 * INT64_C(1000000);

typedef struct BackupIdentity {
    char packs[SHA256_TEXT_SIZE];
    uint64_t manifest_size;
    TimeUs manifest_at;
    TimeUs newest_at; /* It is the newest time of all its objects. */
    bool is_whole;    /* The listing has all its objects. */
} BackupIdentity;

void note_unremembered(VerifyRun *run, const Error *problem)
{
    VerifyReport *report = run->report;

    if (report->unremembered[0] == '\0') {
        snprintf(report->unremembered, sizeof report->unremembered, "%.*s",
                 (int)sizeof report->unremembered - 1, problem->message);
    }
}

void count_believed(VerifyRun *run, uint64_t bytes, TimeUs verified_at)
{
    VerifyBelief *believed = &run->report->believed;

    believed->bytes += bytes;
    if (believed->oldest_at == TIME_US_NONE || verified_at < believed->oldest_at)
        believed->oldest_at = verified_at;
}

bool is_known_object(const Cluster *cluster, const char *object)
{
    char id[BACKUP_ID_SIZE];
    uint32_t timeline;
    uint64_t first;

    return layout_known_wal_of(cluster->name, object, &timeline, &first) ||
           layout_known_backup_of(cluster->name, object, id) ||
           layout_known_folders_of(cluster->name, object);
}

static void take_newer(BackupIdentity *identity, TimeUs stored_at)
{
    if (stored_at > identity->newest_at)
        identity->newest_at = stored_at;
}

static void remembered_add_pack(const VerifyRun *run, const PackInfo *info, Sha256 *sha,
                                BackupIdentity *identity)
{
    CLEANUP(text_freep) char *name = layout_pack(run->cluster->name, info->id);
    CLEANUP(text_freep) char *line = NULL;
    const ObjectInfo *object = listing_find(run, name);

    if (object == NULL) {
        identity->is_whole = false;
        return;
    }
    line = text_format("%s %" PRIu64 " %" PRId64 "\n", info->id, object->size, object->stored_at);
    sha256_update(sha, line, strlen(line));
    take_newer(identity, object->stored_at);
}

static BackupIdentity backup_identify(const VerifyRun *run, size_t backup, const PackInfo *packs,
                                      size_t pack_count)
{
    CLEANUP(text_freep)
    char *name = layout_manifest(run->cluster->name, run->backups[backup].id);
    CLEANUP(sha256_freep) Sha256 *sha = sha256_new();
    const ObjectInfo *object = listing_find(run, name);
    BackupIdentity identity = {.is_whole = object != NULL};
    uint8_t digest[SHA256_SIZE];

    if (object == NULL)
        return identity;
    identity.manifest_size = object->size;
    identity.manifest_at = object->stored_at;
    identity.newest_at = object->stored_at;
    for (size_t i = 0; i < pack_count; i++)
        remembered_add_pack(run, &packs[i], sha, &identity);
    sha256_final(sha, digest);
    sha256_text(digest, identity.packs);
    return identity;
}

/* False: not of this backup as it is now, or it can't be read. */
static bool read_remembered(const VerifyRun *run, const char *object, const char *backup,
                            const BackupIdentity *identity, TimeUs *verified_at)
{
    CLEANUP(record_done) Record record = {0};
    Error ignored = {0}; /* what can't be read is not trusted */
    const char *repository;
    const char *cluster;
    const char *of;
    const char *packs;
    uint64_t manifest_size;
    TimeUs manifest_at;

    return record_load(run->cluster->repo->storage, object, kind, KIND_VERSION, &record,
                       &ignored) &&
           record_get_text(&record, "repository", &repository, &ignored) &&
           record_get_text(&record, "cluster", &cluster, &ignored) &&
           record_get_text(&record, "backup", &of, &ignored) &&
           record_get_u64(&record, "manifest_size", &manifest_size, &ignored) &&
           record_get_time(&record, "manifest_stored", &manifest_at, &ignored) &&
           record_get_text(&record, "packs", &packs, &ignored) &&
           record_get_time(&record, "verified", verified_at, &ignored) &&
           strcmp(repository, run->cluster->repo->id) == 0 &&
           strcmp(cluster, run->cluster->name) == 0 && strcmp(of, backup) == 0 &&
           manifest_size == identity->manifest_size && manifest_at == identity->manifest_at &&
           strcmp(packs, identity->packs) == 0;
}

static bool is_of_backup(const VerifyRun *run, const ObjectInfo *object, const char *backup)
{
    char id[BACKUP_ID_SIZE];

    return layout_known_backup_of(run->cluster->name, object->name, id) && strcmp(id, backup) == 0;
}

static bool is_fresh(const VerifyRun *run, TimeUs verified_at)
{
    return verified_at != TIME_US_NONE && verified_at >= run->request->believe_since &&
           verified_at <= run->now;
}

void believe_backup(VerifyRun *run, size_t backup, const ManifestHead *head)
{
    BackupFacts *facts = &run->backups[backup];
    TimeUs best = TIME_US_NONE;

    if (run->request->believe_since == 0)
        return;
    const BackupIdentity identity = backup_identify(run, backup, head->packs, head->pack_count);
    for (size_t i = 0; identity.is_whole && i < run->list.count; i++) {
        TimeUs verified_at;

        if (is_of_backup(run, &run->list.objects[i], facts->id) &&
            read_remembered(run, run->list.objects[i].name, facts->id, &identity, &verified_at) &&
            is_fresh(run, verified_at) && (best == TIME_US_NONE || verified_at > best))
            best = verified_at;
    }
    if (best == TIME_US_NONE)
        return;
    facts->is_believed = true;
    facts->verified_at = best;
    facts->pack_count = head->pack_count;
    facts->packs = arena_alloc(&run->arena, (head->pack_count + 1) * sizeof facts->packs[0]);
    for (size_t i = 0; i < head->pack_count; i++)
        memcpy(facts->packs[i], head->packs[i].id, sizeof facts->packs[i]);
}

static bool shares_what_is_read(const VerifyRun *run, const BackupFacts *facts)
{
    for (size_t i = 0; i < facts->pack_count; i++) {
        if (pack_find(run, facts->packs[i])->users > 0)
            return true;
    }
    return false;
}

/*
 * Should a pack be found bad, each backup that needs it is to be told; and it costs little more to
 * check such a backup, too.
 */
void doubt_shared(VerifyRun *run)
{
    bool any = true;

    while (any) {
        any = false;
        for (size_t i = 0; i < run->backup_count; i++) {
            BackupFacts *facts = &run->backups[i];

            if (!facts->is_believed || !shares_what_is_read(run, facts))
                continue;
            facts->is_believed = false;
            any = true;
            for (size_t p = 0; p < facts->pack_count; p++)
                pack_find(run, facts->packs[p])->users++;
        }
    }
    for (size_t i = 0; i < run->backup_count; i++) {
        const BackupFacts *facts = &run->backups[i];

        if (!facts->is_believed)
            continue;
        run->report->believed.backups++;
        count_believed(run, 0, facts->verified_at);
    }
    for (size_t i = 0; i < run->pack_count; i++) {
        run->report->believed.packs += run->packs[i].users == 0;
        run->report->believed.bytes += run->packs[i].users == 0 ? run->packs[i].info.size : 0;
    }
}

static void remembered_forget(VerifyRun *run, const char *object)
{
    Error problem = {0};

    if (!wal_known_remove(run->cluster, object, &problem))
        note_unremembered(run, &problem);
}

static bool remembered_store(const VerifyRun *run, size_t backup, const BackupIdentity *identity,
                             Error *err)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};
    CLEANUP(text_freep) char *object = NULL;
    uint64_t number;

    if (!random_u64(&number, err))
        return false;
    object = layout_known_backup(run->cluster->name, run->backups[backup].id, number);
    record_begin(&record, kind, KIND_VERSION);
    record_text(&record, "repository", run->cluster->repo->id);
    record_text(&record, "cluster", run->cluster->name);
    record_text(&record, "backup", run->backups[backup].id);
    record_u64(&record, "manifest_size", identity->manifest_size);
    record_time(&record, "manifest_stored", identity->manifest_at);
    record_text(&record, "packs", identity->packs);
    record_time(&record, "verified", run->now);
    return record_store(&record, run->cluster->repo->storage, object, err) ||
           error_context(err, "store \"%s\"", object);
}

/* First what is new: a crash in between leaves both. */
void remember_backup(VerifyRun *run, size_t backup, const Manifest *manifest, bool is_good)
{
    const char *id = run->backups[backup].id;
    Error problem = {0};

    if (is_good) {
        const BackupIdentity identity =
            backup_identify(run, backup, manifest->packs, manifest->pack_count);

        if (!identity.is_whole || identity.newest_at > run->now - settled_after)
            return;
        if (!remembered_store(run, backup, &identity, &problem)) {
            note_unremembered(run, &problem);
            return;
        }
    }
    for (size_t i = 0; i < run->list.count; i++) {
        if (is_of_backup(run, &run->list.objects[i], id))
            remembered_forget(run, run->list.objects[i].name);
    }
}

static bool backup_is_there(const VerifyRun *run, const char *id)
{
    for (size_t i = 0; i < run->backup_count; i++) {
        if (strcmp(run->backups[i].id, id) == 0)
            return true;
    }
    return false;
}

void forget_lost_backups(VerifyRun *run)
{
    if (run->request->backup != NULL)
        return;
    for (size_t i = 0; i < run->list.count; i++) {
        const char *object = run->list.objects[i].name;
        char id[BACKUP_ID_SIZE];

        if (layout_known_backup_of(run->cluster->name, object, id) && !backup_is_there(run, id))
            remembered_forget(run, object);
    }
}
