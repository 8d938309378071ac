#include "retention/retention_survey.h"

#include "base/text.h"
#include "catalog/listed_pack.h"
#include "retention/periods.h"

#include <inttypes.h>
#include <stdlib.h>

typedef struct Visit {
    RetentionSurvey *survey;
    PackIndex packs;
    /* They are in the order in which heads were shown, which is that of the ids. */
    char (*ids)[BACKUP_ID_SIZE];
    uint64_t *bytes; /* They are the bytes of packs that only this backup refers to. */
    uint32_t count, capacity;
} Visit;

static void visit_done(Visit *visit)
{
    pack_index_done(&visit->packs);
    mem_free(visit->ids);
    mem_free(visit->bytes);
}

static uint32_t visit_add(Visit *visit, const char *id)
{
    if (visit->count == visit->capacity) {
        visit->capacity = visit->capacity * 2 + 64;
        visit->ids = mem_resize(visit->ids, visit->capacity * sizeof visit->ids[0]);
    }
    (void)snprintf(visit->ids[visit->count], sizeof visit->ids[0], "%s", id);
    return visit->count++;
}

/* Increments one after another refer to the same packs: a stretch grows. */
static void add_user(RetentionSurvey *survey, RetentionPack *pack, uint32_t number)
{
    PackUsers *users = pack->users;

    if (users != NULL && (users->last == number || users->last + 1 == number)) {
        users->last = number;
        return;
    }
    users = arena_alloc(&survey->arena, sizeof *users);
    *users = (PackUsers){.first = number, .last = number, .next = pack->users};
    pack->users = users;
}

/* Which packs it refers to: of each is noted whether there are others that do. */
static void visit_head(void *context, const ManifestHead *head)
{
    Visit *visit = context;
    RetentionSurvey *survey = visit->survey;
    const uint32_t number = visit_add(visit, head->header.id);

    for (size_t i = 0; i < head->pack_count; i++) {
        const ObjectInfo *pack = pack_index_find(&visit->packs, head->packs[i].id);

        if (pack != NULL)
            add_user(survey, &survey->uses[pack - survey->packs.objects], number);
    }
}

static void visit_count_bytes(Visit *visit)
{
    const RetentionSurvey *survey = visit->survey;

    visit->bytes = mem_alloc((visit->count + 1) * sizeof visit->bytes[0]);
    for (size_t i = 0; i < survey->packs.count; i++) {
        const RetentionPack *pack = &survey->uses[i];

        if (pack->users != NULL && !pack_is_shared(pack))
            visit->bytes[pack->users->first] += pack->bytes;
    }
}

static int compare_ids(const void *id, const void *one)
{
    return strcmp(id, one);
}

/* UINT32_MAX: its head was not shown, since it can't be read. */
static uint32_t visit_find(const Visit *visit, const char *id)
{
    const char(*found)[BACKUP_ID_SIZE] =
        visit->count == 0
            ? NULL
            : bsearch(id, visit->ids, visit->count, sizeof visit->ids[0], compare_ids);

    return found == NULL ? UINT32_MAX : (uint32_t)(found - visit->ids);
}

static uint64_t visit_bytes_of(const Visit *visit, const char *id)
{
    const uint32_t number = visit_find(visit, id);

    return number == UINT32_MAX ? 0 : visit->bytes[number];
}

/* What stands in the way of removing anything, for want of knowing. */
static void add_obstacle(RetentionSurvey *survey, const char *text)
{
    if (survey->input.obstacle == NULL)
        survey->input.obstacle = text;
}

/* An id that no backup of the listing has: a manifest that was there a moment ago, or will be. */
static bool load_all(RetentionSurvey *survey, Visit *visit, const SurveyRequest *request,
                     Error *err)
{
    const Cluster *cluster = survey->cluster;
    Storage *storage = cluster->repo->storage;
    CLEANUP(text_freep) char *packs = layout_pack_prefix(cluster->name);

    if (!lease_list_load(&survey->leases, cluster, request->own, request->now, err) ||
        !condemned_load(&survey->condemned, cluster, err) ||
        !storage_list(storage, packs, &survey->packs, err))
        return false;
    pack_index_make(&visit->packs, &survey->packs);
    survey->uses = arena_alloc(&survey->arena, (survey->packs.count + 1) * sizeof survey->uses[0]);
    for (size_t i = 0; i < survey->packs.count; i++)
        survey->uses[i].bytes = survey->packs.objects[i].size;
    if (!(request->is_only_told ? wal_inventory_load_remembered
                                : wal_inventory_load)(&survey->wal, cluster, err) ||
        !backup_list_load_visiting(&survey->backups, cluster, &survey->wal, visit_head, visit,
                                   err) ||
        !branch_list_load(&survey->branches, cluster, &survey->wal, &survey->backups, err))
        return false;
    visit_count_bytes(visit);
    if (survey->branches.unreadable != 0) {
        add_obstacle(survey,
                     arena_format(&survey->arena,
                                  "the history of timeline %" PRIu32 " is missing or damaged",
                                  survey->branches.unreadable));
    }
    for (size_t i = 0; i < survey->condemned.count; i++) {
        if (!survey->condemned.records[i].is_readable) {
            add_obstacle(survey, arena_format(&survey->arena, "%s/condemned/%s can't be read",
                                              cluster->name, survey->condemned.records[i].id));
        }
    }
    return true;
}

const LeaseInfo *survey_find_lease(const RetentionSurvey *survey, const char *purpose)
{
    for (size_t i = 0; i < survey->leases.count; i++) {
        const LeaseInfo *lease = &survey->leases.items[i];

        if (!lease->is_void && (lease->purpose[0] == '\0' || strcmp(lease->purpose, purpose) == 0))
            return lease;
    }
    return NULL;
}

bool lease_is_of_user(const LeaseInfo *lease)
{
    return !lease->is_void &&
           (lease->purpose[0] == '\0' || strcmp(lease->purpose, LEASE_BACKUP) == 0 ||
            strcmp(lease->purpose, LEASE_READ) == 0);
}

static bool is_read_lease(const LeaseInfo *lease)
{
    return !lease->is_void &&
           (lease->purpose[0] == '\0' || strcmp(lease->purpose, LEASE_READ) == 0);
}

const LeaseInfo *leases_find_reader(const LeaseList *leases, const BackupList *backups)
{
    for (size_t i = 0; i < leases->count; i++) {
        const LeaseInfo *lease = &leases->items[i];

        if (is_read_lease(lease) &&
            (lease->backup[0] == '\0' || backup_list_find(backups, lease->backup) == NULL))
            return lease;
    }
    return NULL;
}

const LeaseInfo *survey_find_reader(const RetentionSurvey *survey)
{
    return leases_find_reader(&survey->leases, &survey->backups);
}

static bool is_leased(const RetentionSurvey *survey, const char *id)
{
    for (size_t i = 0; i < survey->leases.count; i++) {
        const LeaseInfo *lease = &survey->leases.items[i];

        if (is_read_lease(lease) && strcmp(lease->backup, id) == 0)
            return true;
    }
    return false;
}

/* A pin that can't be read, or has no end, lasts forever. */
static TimeUs pinned_until(const RetentionSurvey *survey, const char *id)
{
    const Mark *pin = mark_find(&survey->wal.marks, MARK_PIN, MARK_OF_BACKUP, id);

    if (pin == NULL)
        return TIME_US_NONE;
    return pin->until == TIME_US_NONE ? TIME_US_MAX : pin->until;
}

static bool read_verified(const RetentionSurvey *survey, const char *object, const char *id,
                          TimeUs *verified_at)
{
    CLEANUP(record_done) Record record = {0};
    Error ignored = {0}; /* nobody needs what is in known/ */
    const char *repository, *cluster, *of;

    return record_load(survey->cluster->repo->storage, object, "verified", 1, &record, &ignored) &&
           record_get_text(&record, "repository", &repository, &ignored) &&
           record_get_text(&record, "cluster", &cluster, &ignored) &&
           record_get_text(&record, "backup", &of, &ignored) &&
           record_get_time(&record, "verified", verified_at, &ignored) &&
           strcmp(repository, survey->cluster->repo->id) == 0 &&
           strcmp(cluster, survey->cluster->name) == 0 && strcmp(of, id) == 0;
}

static RetentionBackup *find_input(const RetentionSurvey *survey, RetentionBackup *backups,
                                   const char *id)
{
    for (size_t i = 0; i < survey->input.backup_count; i++) {
        if (strcmp(backups[i].id, id) == 0)
            return &backups[i];
    }
    return NULL;
}

static bool take_verified(const RetentionSurvey *survey, RetentionBackup *backups, Error *err)
{
    CLEANUP(text_freep) char *prefix = layout_known_prefix(survey->cluster->name);
    CLEANUP(object_list_done) ObjectList objects = {0};

    if (!storage_list(survey->cluster->repo->storage, prefix, &objects, err))
        return false;
    for (size_t i = 0; i < objects.count; i++) {
        char id[BACKUP_ID_SIZE];
        RetentionBackup *backup;
        TimeUs at;

        if (!layout_known_backup_of(survey->cluster->name, objects.objects[i].name, id))
            continue;
        backup = find_input(survey, backups, id);
        if (backup != NULL && read_verified(survey, objects.objects[i].name, id, &at) &&
            at > backup->verified_at)
            backup->verified_at = at;
    }
    return true;
}

static RetentionBackup input_of(RetentionSurvey *survey, const Visit *visit, const BackupInfo *info,
                                const SurveyRequest *request)
{
    const ManifestHeader *header = &info->header;
    Error ignored = {0}; /* then it is damaged, and so it was listed */
    RetentionBackup backup = {
        .id = header->id,
        .state = info->state,
        .is_suspect = info->suspect != NULL,
        .proven_at = info->proven_at,
        .pinned_until = pinned_until(survey, header->id),
        .is_leased = is_leased(survey, header->id),
        .is_given_up = request->given_up != NULL && strcmp(request->given_up, header->id) == 0,
        .is_condemned = condemned_find(&survey->condemned, header->id) != NULL,
        .is_condemned_by_hand = condemned_find_by_hand(&survey->condemned, header->id) != NULL,
        .bytes = visit_bytes_of(visit, header->id),
    };

    if (!info->has_header)
        return backup;
    backup.timeline = header->timeline;
    backup.start = header->start;
    backup.stop = header->stop;
    backup.at = header->stopped_at;
    if (!timeline_path_parse(header->timeline, header->history, &survey->arena, &backup.path,
                             &ignored))
        backup.state = BACKUP_DAMAGED;
    retention_periods(backup.at, request->zone, backup.periods);
    return backup;
}

static TimeUs newest_wal_of(const WalInventory *wal, uint32_t timeline)
{
    TimeUs newest = TIME_US_NONE;

    for (size_t i = 0; i < wal->run_count; i++) {
        const WalRun *run = &wal->runs[i];

        for (uint64_t at = 0; run->timeline == timeline && at <= run->last - run->first; at++)
            newest = run->stored[at].at > newest ? run->stored[at].at : newest;
    }
    return newest;
}

/* Writers that may need WAL from where they began. */
static void add_needs(RetentionSurvey *survey)
{
    RetentionNeed *needs =
        arena_alloc(&survey->arena, (survey->leases.count + 1) * sizeof needs[0]);

    survey->input.needs = needs;
    for (size_t i = 0; i < survey->leases.count; i++) {
        const LeaseInfo *lease = &survey->leases.items[i];

        if (!lease->is_void && lease->timeline != 0) {
            needs[survey->input.need_count++] =
                (RetentionNeed){.timeline = lease->timeline, .start = lease->start};
        }
    }
}

/* Of each head that was shown, where its backup is in the list. */
static const size_t *places_by_id(RetentionSurvey *survey, const Visit *visit)
{
    size_t *places = arena_alloc(&survey->arena, (visit->count + 1) * sizeof places[0]);

    for (uint32_t number = 0; number < visit->count; number++)
        places[number] = SIZE_MAX;
    for (size_t i = 0; i < survey->backups.count; i++) {
        const uint32_t number = visit_find(visit, survey->backups.items[i].header.id);

        if (number != UINT32_MAX)
            places[number] = i;
    }
    return places;
}

static bool make_input(RetentionSurvey *survey, const Visit *visit, const SurveyRequest *request,
                       Error *err)
{
    RetentionBackup *backups =
        arena_alloc(&survey->arena, (survey->backups.count + 1) * sizeof backups[0]);
    RetentionBranch *branches =
        arena_alloc(&survey->arena, (survey->branches.count + 1) * sizeof branches[0]);
    RetentionInput *input = &survey->input;

    for (size_t i = 0; i < survey->backups.count; i++)
        backups[i] = input_of(survey, visit, &survey->backups.items[i], request);
    for (size_t i = 0; i < survey->branches.count; i++) {
        branches[i] = (RetentionBranch){
            .path = survey->branches.items[i].path,
            .newest_at = newest_wal_of(&survey->wal, survey->branches.items[i].timeline),
        };
    }
    input->backup_count = survey->backups.count;
    input->packs = survey->uses;
    input->pack_count = survey->packs.count;
    input->by_id = places_by_id(survey, visit);
    input->backups = backups;
    input->branches = branches;
    input->branch_count = survey->branches.count;
    input->runs = survey->wal.runs;
    input->run_count = survey->wal.run_count;
    add_needs(survey);
    return take_verified(survey, backups, err);
}

bool retention_survey(RetentionSurvey *survey, const Cluster *cluster, const SurveyRequest *request,
                      Error *err)
{
    CLEANUP(visit_done) Visit visit = {.survey = survey};

    *survey = (RetentionSurvey){
        .cluster = cluster,
        .input = {.now = request->now,
                  .policy = request->policy,
                  .segment_size = cluster->wal_segment_size},
    };
    return (load_all(survey, &visit, request, err) && make_input(survey, &visit, request, err)) ||
           error_context(err, "look at what there is in cluster \"%s\"", cluster->name);
}

void retention_survey_done(RetentionSurvey *survey)
{
    object_list_done(&survey->packs);
    branch_list_done(&survey->branches);
    backup_list_done(&survey->backups);
    wal_inventory_done(&survey->wal);
    condemned_list_done(&survey->condemned);
    lease_list_done(&survey->leases);
    arena_done(&survey->arena);
}

bool condemned_wal_parse(const char *text, uint32_t segment_size, WalName *first, WalName *last)
{
    const char *space = strchr(text, ' ');
    char begin[WAL_NAME_SIZE];
    Error ignored = {0};

    if (space == NULL || (size_t)(space - text) >= sizeof begin)
        return false;
    (void)snprintf(begin, sizeof begin, "%.*s", (int)(space - text), text);
    return wal_name_parse(begin, segment_size, first, &ignored) &&
           wal_name_parse(space + 1, segment_size, last, &ignored) && first->kind == WAL_SEGMENT &&
           last->kind == WAL_SEGMENT && first->timeline == last->timeline &&
           first->segment <= last->segment;
}

static bool record_has_wal(const CondemnedRecord *record, uint32_t segment_size, uint32_t timeline,
                           uint64_t segment)
{
    for (size_t i = 0; i < record->count; i++) {
        WalName first, last;

        if (record->items[i].kind == CONDEMNED_WAL &&
            condemned_wal_parse(record->items[i].name, segment_size, &first, &last) &&
            first.timeline == timeline && first.segment <= segment && segment <= last.segment)
            return true;
    }
    return false;
}

bool survey_wal_is_condemned(const RetentionSurvey *survey, uint32_t timeline, uint64_t segment)
{
    for (size_t i = 0; i < survey->condemned.count; i++) {
        if (record_has_wal(&survey->condemned.records[i], survey->cluster->wal_segment_size,
                           timeline, segment))
            return true;
    }
    return false;
}

/*
 * A manifest that can't be read refers to packs that nobody knows: nothing that is not referred to
 * goes while there is one.
 */
bool survey_knows_references(const RetentionSurvey *survey)
{
    for (size_t i = 0; i < survey->backups.count; i++) {
        if (!survey->backups.items[i].has_header)
            return false;
    }
    return true;
}
