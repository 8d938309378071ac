#include "world.h"

#include "backup_run.h"
#include "base_backup.h"
#include "repo/layout.h"
#include "repo/mark.h"
#include "retention/expiry.h"
#include "stores.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { SYSTEM = 4711, MIB = 1 << 20, SEGMENTS = 16, ATTEMPTS = 12 };

#define LEASE_LIFE    (10 * MINUTE)
#define LISTED_WITHIN (5 * TURN_SECOND)

Happened happened;

static const char pack_bytes[4096]; /* nobody looks what is in it */

static const struct {
    const char *word;
    Omission omission;
} omission_words[] = {
    {"backup-looks", OMIT_BACKUP_LOOKS}, {"read-lease", OMIT_READ_LEASE},
    {"second-look", OMIT_SECOND_LOOK},   {"check-after", OMIT_CHECK_AFTER},
    {"backup-lease", OMIT_BACKUP_LEASE}, {"newcomers", OMIT_NEWCOMERS},
    {"look-again", OMIT_LOOK_AGAIN},     {"grace", OMIT_GRACE},
    {"withdrawal", OMIT_WITHDRAWAL},     {"listing", OMIT_LISTING},
};

unsigned omissions_of(const char *text)
{
    unsigned omitted = OMIT_NOTHING;

    while (*text != '\0') {
        const size_t length = strcspn(text, ",");
        const unsigned before = omitted;

        for (size_t i = 0; i < ARRAY_SIZE(omission_words); i++) {
            if (strlen(omission_words[i].word) == length &&
                strncmp(omission_words[i].word, text, length) == 0)
                omitted |= omission_words[i].omission;
        }
        if (omitted == before)
            fail_msg("no rule, or twice: %s", text);
        text += length + (text[length] == ',');
    }
    return omitted;
}

uint64_t world_draw(World *world, uint64_t below)
{
    return turns_draw(&world->random) % below;
}

static bool omits(const World *world, Omission omission)
{
    return (world->omitted & omission) != 0;
}

static bool starts_with(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool is_there(const World *world, const char *name)
{
    uint64_t size;
    TimeUs at;
    Error ignored = {0};

    return storage_stat(world->repo.storage, name, &size, &at, &ignored);
}

static bool has_manifest(const World *world, const KnownBackup *backup)
{
    CLEANUP(text_freep) char *name = layout_manifest("main", backup->id);

    return is_there(world, name);
}

static const char *missing_pack(const World *world, const KnownBackup *backup)
{
    for (size_t i = 0; i < backup->pack_count; i++) {
        CLEANUP(text_freep) char *name = layout_pack("main", backup->packs[i]);

        if (!is_there(world, name))
            return backup->packs[i];
    }
    return NULL;
}

static bool is_condemned(const World *world, const KnownBackup *backup)
{
    CLEANUP(condemned_list_done) CondemnedList list = {.count = 0};
    Error err = {0};

    assert_true(condemned_load(&list, &world->cluster, &err));
    return condemned_find(&list, backup->id) != NULL;
}

__attribute__((format(printf, 2, 3))) static void fail_world(World *world, const char *format, ...)
{
    va_list arguments;

    if (world->failure[0] != '\0')
        return;
    va_start(arguments, format);
    (void)vsnprintf(world->failure, sizeof world->failure, format, arguments);
    va_end(arguments);
}

/* What must be so after each change. */
static void check_backups(World *world)
{
    bool any = false;

    for (size_t i = 0; i < world->known_count; i++) {
        const KnownBackup *backup = &world->known[i];
        bool is_whole;

        if (backup->id[0] == '\0' || !has_manifest(world, backup))
            continue;
        is_whole = missing_pack(world, backup) == NULL;
        any = any || is_whole;
        if (!is_whole && backup->is_acknowledged && !is_condemned(world, backup))
            fail_world(world, "backup %s has lost a pack", backup->id);
    }
    if (!any)
        fail_world(world, "no backup can be restored any more");
}

/* A lease holds for a day; who has none has the grace of what a backup leaves when it goes. */
static void check_readers(World *world)
{
    for (size_t i = 0; i < world->turns.count; i++) {
        const Actor *actor = &world->actors[i];
        const TimeUs promised = actor->kind == ACTOR_READER ? 24 * HOUR : world->grace;

        if (actor->reads != NULL && world->turns.now - actor->reads_since < promised &&
            missing_pack(world, actor->reads) != NULL)
            fail_world(world, "a reader of %s has lost a pack", actor->reads->id);
    }
}

/* Nobody takes a manifest who could know that it is read, or was pinned. */
static void check_manifest_removal(World *world, const Actor *actor, const char *name)
{
    for (size_t i = 0; i < world->known_count; i++) {
        const KnownBackup *backup = &world->known[i];

        if (backup->id[0] == '\0' || strstr(name, backup->id) == NULL)
            continue;
        if (backup->pinned != 0 && backup->pinned < actor->looked_for_pins)
            fail_world(world, "backup %s went though it was pinned", backup->id);
        for (size_t at = 0; at < world->turns.count; at++) {
            const Actor *reader = &world->actors[at];

            if (reader->kind == ACTOR_READER && reader->reads == backup &&
                world->turns.now - reader->reads_since < 24 * HOUR &&
                reader->reads_event < actor->looked_for_leases)
                fail_world(world, "backup %s went though it was being read", backup->id);
        }
    }
}

static bool refers_to(const KnownBackup *backup, const char *pack)
{
    for (size_t i = 0; i < backup->pack_count; i++) {
        if (strstr(pack, backup->packs[i]) != NULL)
            return true;
    }
    return false;
}

/* Whether or not anybody was told of it: what was whole when a run began is not broken by it. */
static void check_pack_removal(World *world, const Actor *actor, const char *name)
{
    for (size_t i = 0; i < world->known_count; i++) {
        const KnownBackup *backup = &world->known[i];

        if (actor->stood[i] && refers_to(backup, name) && has_manifest(world, backup))
            fail_world(world, "expire took a pack from %s, which it could see", backup->id);
    }
}

static void note_removal(World *world, Actor *actor, const char *name)
{
    const bool is_manifest = starts_with(name, "main/backup/");
    const bool is_pack = starts_with(name, "main/pack/");

    happened.manifests_gone += is_manifest && actor->kind == ACTOR_EXPIRE;
    happened.withdrawn += is_manifest && actor->kind == ACTOR_BACKUP;
    happened.packs_gone += is_pack;
    if (is_manifest && actor->kind == ACTOR_EXPIRE)
        check_manifest_removal(world, actor, name);
    if (is_pack)
        check_pack_removal(world, actor, name);
}

/* Who looked before a backup began may take its packs for leftovers, until it looks around. */
static void note_named(World *world, const WorldRecord *record)
{
    CLEANUP(condemned_list_done) CondemnedList list = {.count = 0};
    Error err = {0};

    assert_true(condemned_load(&list, &world->cluster, &err));
    for (size_t i = 0; i < world->turns.count; i++) {
        Actor *actor = &world->actors[i];

        for (size_t at = 0; at < list.pack_count && actor->takes != NULL; at++) {
            if (record->looked < actor->began && refers_to(actor->takes, list.packs[at]))
                actor->named_by = record;
        }
    }
}

static void note_record(World *world, Actor *actor, size_t number, const char *name)
{
    WorldRecord *record = &world->records[world->record_count++ % RECORDS_MAX];

    (void)snprintf(record->id, sizeof record->id, "%s", name + strlen("main/condemned/"));
    record->looked = actor->looked_for_leases;
    record->looked_at = actor->looked_at;
    record->actor = number;
    actor->has_condemned = true;
    note_named(world, record);
}

static void note_lease(const World *world, Actor *actor)
{
    if (actor->began == 0) {
        actor->began = world->events;
    } else if (world->turns.now - actor->renewed_at > LEASE_LIFE) {
        actor->was_late = true;
    }
    actor->renewed_at = world->turns.now;
}

static void note_change(void *context, size_t number, const char *name, bool is_removed)
{
    World *world = context;
    Actor *actor = &world->actors[number];
    const bool is_manifest = starts_with(name, "main/backup/");

    if (is_removed) {
        note_removal(world, actor, name);
    } else if (starts_with(name, "main/condemned/")) {
        note_record(world, actor, number, name);
    } else if (starts_with(name, "main/lease/")) {
        note_lease(world, actor);
    }
    if (is_manifest && !is_removed)
        actor->has_committed = true;
    if (is_manifest && !is_removed && omits(world, OMIT_CHECK_AFTER))
        world->turns.actors[number].is_killed = true;
    if (is_manifest || starts_with(name, "main/pack/")) {
        check_backups(world);
        check_readers(world);
    }
}

static void note_call(void *context, size_t number, const TurnCall *call)
{
    World *world = context;
    Actor *actor = &world->actors[number];

    world->events++;
    if (call->kind != TURN_LIST)
        return;
    memcpy(actor->lists[1], actor->lists[0], sizeof actor->lists[1]);
    (void)snprintf(actor->lists[0], sizeof actor->lists[0], "%.15s", call->name);
    if (starts_with(actor->lists[1], "main/known/"))
        actor->looks_first = false; /* a survey ends with these */
    if (starts_with(call->name, "main/lease/")) {
        actor->looked_for_leases = world->events;
        actor->looked_at = world->turns.now;
    } else if (starts_with(call->name, "main/mark/")) {
        actor->looked_for_pins = world->events;
    }
    if (!starts_with(call->name, "main/lease/") && !starts_with(call->name, "main/condemned/"))
        actor->has_condemned = false;
}

static bool lease_is_for(const World *world, const char *name, const char *purpose)
{
    CLEANUP(record_done) Record record = {0};
    Error ignored = {0};
    const char *found = NULL;

    return record_load(world->repo.storage, name, "lease", 1, &record, &ignored) &&
           (found = record_find(&record, "purpose")) != NULL && strcmp(found, purpose) == 0;
}

static const WorldRecord *find_record(const World *world, const char *name)
{
    for (size_t i = 0; i < world->record_count && i < RECORDS_MAX; i++) {
        if (strstr(name, world->records[i].id) != NULL)
            return &world->records[i];
    }
    return NULL;
}

/* In the first look of a run, which is what removals go by. */
static bool came_since_condemned(const World *world, const Actor *actor, const ObjectInfo *object)
{
    for (size_t i = 0; i < world->record_count && i < RECORDS_MAX && actor->looks_first; i++) {
        const WorldRecord *record = &world->records[i];
        CLEANUP(text_freep) char *name = text_format("main/condemned/%s", record->id);

        if (world->actors[record->actor].kind == ACTOR_EXPIRE && is_there(world, name) &&
            record->looked_at + world->grace <= world->turns.now &&
            object->stored_at >= record->looked_at)
            return true;
    }
    return false;
}

/* Records, leases and marks are listed in this order then, and in no other step. */
static bool is_right_before_removal(const Actor *actor)
{
    return (starts_with(actor->lists[1], "main/condemned/") &&
            starts_with(actor->lists[0], "main/lease/")) ||
           (starts_with(actor->lists[1], "main/lease/") &&
            starts_with(actor->lists[0], "main/mark/"));
}

static bool is_hidden_from_expire(const World *world, size_t number, const ObjectInfo *object)
{
    const Actor *actor = &world->actors[number];
    const bool is_lease = starts_with(object->name, "main/lease/");
    const bool is_record = starts_with(object->name, "main/condemned/");
    const WorldRecord *record = is_record ? find_record(world, object->name) : NULL;

    if (is_lease &&
        ((omits(world, OMIT_READ_LEASE) && lease_is_for(world, object->name, "read")) ||
         (omits(world, OMIT_BACKUP_LEASE) && lease_is_for(world, object->name, "backup"))))
        return true;
    if (omits(world, OMIT_NEWCOMERS) && actor->has_condemned &&
        ((is_lease && !lease_is_for(world, object->name, "expire")) ||
         (record != NULL && record->actor != number && object->stored_at >= actor->looked_at)))
        return true;
    if (omits(world, OMIT_LOOK_AGAIN) && is_right_before_removal(actor) && !is_record &&
        !lease_is_for(world, object->name, "expire"))
        return true;
    return omits(world, OMIT_SECOND_LOOK) && starts_with(object->name, "main/backup/") &&
           came_since_condemned(world, actor, object);
}

static bool is_left_out(void *context, size_t number, const ObjectInfo *object)
{
    const World *world = context;
    const Actor *actor = &world->actors[number];
    const bool is_record = starts_with(object->name, "main/condemned/");
    const WorldRecord *record = is_record ? find_record(world, object->name) : NULL;

    if (record != NULL && omits(world, OMIT_WITHDRAWAL) &&
        world->actors[record->actor].kind == ACTOR_BACKUP)
        return true;
    if (is_record && omits(world, OMIT_BACKUP_LOOKS) && actor->kind == ACTOR_BACKUP)
        return true;
    if (omits(world, OMIT_LISTING) && object->stored_at > world->turns.now - LISTED_WITHIN &&
        (record == NULL || record->actor != number) &&
        !(actor->kind == ACTOR_EXPIRE && lease_is_for(world, object->name, "expire")))
        return true;
    return actor->kind == ACTOR_EXPIRE && is_hidden_from_expire(world, number, object);
}

static void put_bytes(Storage *storage, const char *name)
{
    Error err = {0};

    assert_true(storage_put(storage, name, WRITE_NEW, pack_bytes, sizeof pack_bytes, &err));
}

static void new_pack(uint64_t *ids, char id[33])
{
    (void)snprintf(id, 33, "%016llx%016llx", (unsigned long long)turns_draw(ids),
                   (unsigned long long)turns_draw(ids));
}

/* Where the backup of this number begins: in a segment of its own, or all in one. */
static Lsn start_of(const World *world, unsigned number)
{
    return world->is_small ? 2 * MIB + 0x28 + number * 0x2000 : (2 + number) * MIB + 0x28;
}

static void make_header(World *world, const KnownBackup *backup, Lsn start, ManifestHeader *header)
{
    (void)snprintf(world->label, sizeof world->label,
                   "START WAL LOCATION: 0/%X (file 0000000100000000%08X)\n"
                   "CHECKPOINT LOCATION: 0/%X\nBACKUP METHOD: streamed\nBACKUP FROM: standby\n"
                   "START TIME: 2000-01-01 00:00:00 UTC\nLABEL: test\nSTART TIMELINE: 1\n",
                   (unsigned)start, (unsigned)(start / MIB), (unsigned)start);
    *header = (ManifestHeader){.cluster = "main",
                               .system_identifier = SYSTEM,
                               .server_version = 150018,
                               .major = 15,
                               .tool_version = "0.1.0",
                               .timeline = 1,
                               .history = "",
                               .start = start,
                               .stop = start + 0x1000,
                               .started_at = world->turns.now,
                               .stopped_at = world->turns.now,
                               .from_standby = true,
                               .commit_time_max = TIME_US_NONE,
                               .label = world->label,
                               .tablespace_map = "",
                               .host = "db1",
                               .boot_id = "b",
                               .data_directory = "/data",
                               .options = "",
                               .file_count = 2,
                               .wal_segment_size = MIB,
                               .libc_version = "2.36"};
    memcpy(header->id, backup->id, sizeof header->id);
}

typedef struct MadeManifest {
    ManifestEntry entries[4];
    PackInfo packs[PACKS_MAX];
    Manifest manifest;
} MadeManifest;

static void make_manifest(World *world, const KnownBackup *backup, Lsn start, MadeManifest *made)
{
    *made = (MadeManifest){
        .entries = {{.kind = ENTRY_FILE, .path = "PG_VERSION"},
                    {.kind = ENTRY_DIRECTORY, .path = "base"},
                    {.kind = ENTRY_DIRECTORY, .path = "global"},
                    {.kind = ENTRY_FILE, .path = "global/pg_control"}},
        .manifest = {.entry_count = 4, .pack_count = backup->pack_count},
    };
    for (size_t i = 0; i < 4; i++) {
        made->entries[i].is_small = true;
        made->entries[i].owner = made->entries[i].group = "postgres";
    }
    for (size_t i = 0; i < backup->pack_count; i++) {
        made->packs[i] = (PackInfo){.size = sizeof pack_bytes};
        memcpy(made->packs[i].id, backup->packs[i], sizeof made->packs[i].id);
        memcpy(made->packs[i].backup, backup->id, sizeof made->packs[i].backup);
    }
    made->manifest.entries = made->entries;
    made->manifest.packs = made->packs;
    make_header(world, backup, start, &made->manifest.header);
}

static void put_old_backup(World *world, KnownBackup *backup)
{
    MadeManifest made;
    Error err = {0};

    assert_true(backup_id_new(backup->id, &err));
    make_manifest(world, backup, start_of(world, (unsigned)world->known_count++), &made);
    if (!manifest_save(&made.manifest, &world->cluster, &err))
        fail_msg("%s %s", err.context, err.message);
    backup->is_acknowledged = true;
    world->turns.now += 24 * HOUR;
}

static void put_wal(World *world)
{
    const unsigned first = world->is_small ? 2 : 1;
    const unsigned last = world->is_small ? 3 : SEGMENTS;

    for (unsigned i = first; i <= last; i++) {
        CLEANUP(text_freep) char *file = text_format("0000000100000000%08X", i);
        CLEANUP(text_freep) char *name = layout_wal("main", file);
        put_bytes(world->repo.storage, name);
    }
}

static void put_packs(World *world)
{
    KnownBackup *first = &world->known[0], *second = &world->known[1];
    char orphan[33];

    first->pack_count = second->pack_count = 2;
    new_pack(&world->turns.ids, first->packs[0]);
    new_pack(&world->turns.ids, first->packs[1]);
    memcpy(second->packs[0], first->packs[0], 33);
    new_pack(&world->turns.ids, second->packs[1]);
    new_pack(&world->turns.ids, orphan);
    const char *packs[] = {first->packs[0], first->packs[1], second->packs[1], orphan};
    for (size_t i = 0; i < 4; i++) {
        CLEANUP(text_freep) char *name = layout_pack("main", packs[i]);
        put_bytes(world->repo.storage, name);
    }
}

void world_begin(World *world, uint64_t seed, unsigned omitted, bool is_small)
{
    Error err = {0};
    bool created;

    *world = (World){.random = seed,
                     .omitted = omitted,
                     .is_small = is_small,
                     .minimum = 1,
                     .grace = RETENTION_GRACE_MIN};
    turns_begin(&world->turns, ~seed, INT64_C(1780000000) * TURN_SECOND);
    world->turns.is_timeless = is_small;
    world->turns.watch = (TurnWatch){
        .called = note_call, .is_hidden = is_left_out, .changed = note_change, .context = world};
    assert_true(repo_create(&world->repo, storage_memory_new(), &created, &err));
    assert_true(
        cluster_register(&world->repo, "main", SYSTEM, 15, MIB, &world->cluster, &created, &err));
    put_wal(world);
    put_packs(world);
    put_old_backup(world, &world->known[0]);
    put_old_backup(world, &world->known[1]);
}

void world_kill(World *world, size_t actor)
{
    world->actors[actor].reads = NULL;
    turns_kill(&world->turns, actor);
}

void world_end(World *world)
{
    for (size_t i = 0; i < world->turns.count; i++) {
        world_kill(world, i);
        storage_freep(&world->actors[i].repo.storage);
    }
    turns_done(&world->turns);
    repo_done(&world->repo);
}

static void mix_flag(uint64_t *state, bool flag)
{
    *state = turns_mix(*state, flag);
}

uint64_t world_state(const World *world)
{
    uint64_t state = turns_mix(turns_state(&world->turns), world->known_count);

    for (size_t i = 0; i < world->known_count; i++) {
        mix_flag(&state, world->known[i].is_acknowledged);
        mix_flag(&state, world->known[i].pinned != 0);
    }
    for (size_t i = 0; i < world->turns.count; i++) {
        const Actor *actor = &world->actors[i];

        mix_flag(&state, actor->reads != NULL);
        mix_flag(&state, actor->was_late);
        mix_flag(&state, actor->named_by != NULL);
        for (size_t at = 0; at < KNOWN_MAX; at++) {
            mix_flag(&state, actor->stood[at]);
            mix_flag(&state, world->known[at].pinned < actor->looked_for_pins);
        }
        for (size_t at = 0; at < world->turns.count; at++) {
            mix_flag(&state, world->actors[at].reads_event < actor->looked_for_leases);
            mix_flag(&state, world->actors[at].began < actor->looked_for_leases);
        }
    }
    return state;
}

static void note_stood(World *world, Actor *actor)
{
    for (size_t i = 0; i < world->known_count; i++) {
        const KnownBackup *backup = &world->known[i];

        actor->stood[i] = backup->id[0] != '\0' && has_manifest(world, backup) &&
                          missing_pack(world, backup) == NULL;
    }
    memset(actor->lists, 0, sizeof actor->lists);
    actor->has_condemned = false;
    actor->looks_first = true;
}

/*
 * The grace is over, or it looks in again a minute later. In a small world the clock moves in a
 * step of its own, which has to do with all others.
 */
static void pause_expire(World *world, bool was_busy)
{
    if (world->is_small)
        time_sleep_ms(1);
    if (!world->is_small && (was_busy || world_draw(world, 3) == 0)) {
        world->turns.now += MINUTE;
    } else {
        world->turns.now += world->grace + MINUTE;
    }
}

static bool run_expire_once(Actor *actor)
{
    World *world = actor->world;
    CLEANUP(expire_report_done) ExpireReport report = {0};
    Error err = {0};
    const bool at_once = world->at_once || omits(world, OMIT_GRACE);
    const ExpireRequest request = {.policy = {.minimum = world->minimum},
                                   .zone = "UTC",
                                   .at_once = at_once,
                                   .grace = at_once ? 0 : world->grace};

    note_stood(world, actor);
    if (!expire_run(&actor->cluster, &request, &report, &err) && err.code == ERR_INTERNAL)
        fail_world(world, "expire: %.200s", err.message);
    if (world->is_told) {
        print_message("expire: %s %s; %s; %s\n", err.context, err.message,
                      report.obstacle != NULL ? report.obstacle : "",
                      report.held != NULL ? report.held : "");
    }
    happened.spared += report.spared.backups + report.spared.packs;
    return err.code == ERR_BUSY;
}

static void run_expire(void *argument)
{
    Actor *actor = argument;
    World *world = actor->world;
    unsigned rounds = 0;

    for (unsigned i = 0; i < ATTEMPTS && rounds < actor->rounds && world->failure[0] == '\0'; i++) {
        const bool was_busy = run_expire_once(actor);

        rounds += !was_busy || world->is_small;
        if (rounds < actor->rounds)
            pause_expire(world, was_busy);
    }
}

/* Those of the base that may be shared, and two of its own. */
/* Of a backup that has chosen its base only now, what was stored meanwhile. */
static void note_named_meanwhile(World *world)
{
    for (uint64_t i = 0; i < world->record_count && i < RECORDS_MAX; i++) {
        CLEANUP(text_freep) char *name = text_format("main/condemned/%s", world->records[i].id);

        if (is_there(world, name))
            note_named(world, &world->records[i]);
    }
}

static bool copy_packs(Actor *actor, BackupRun *run, KnownBackup *backup, const BaseBackup *base,
                       Error *err)
{
    World *world = actor->world;
    uint64_t *ids = &world->turns.actors[actor - world->actors].ids;

    for (size_t i = 0; base->is_there && i < base->manifest.pack_count && i < PACKS_MAX - 2; i++) {
        if (!base->is_usable[i] || (!world->is_small && world_draw(world, 4) == 0))
            continue;
        memcpy(backup->packs[backup->pack_count++], base->manifest.packs[i].id, 33);
        happened.shared++;
    }
    note_named_meanwhile(world);
    for (size_t i = 0; i < (world->is_small ? 1 : 2); i++) {
        char *id = backup->packs[backup->pack_count];
        new_pack(ids, id);
        backup->pack_count++;
        CLEANUP(text_freep) char *name = layout_pack("main", id);
        if (!storage_put(actor->repo.storage, name, WRITE_NEW, pack_bytes, sizeof pack_bytes,
                         err) ||
            !lease_renew(run->lease, 1, run->start, err))
            return false;
    }
    return true;
}

/* A record that is about to be taken back, or would be if who stored it had not died. */
static bool is_passing(const World *world, const WorldRecord *record)
{
    CLEANUP(text_freep) char *name = text_format("main/condemned/%s", record->id);

    return !is_there(world, name) || world->actors[record->actor].has_condemned ||
           world->turns.actors[record->actor].is_killed;
}

/* Nobody who holds a lease is turned away because of expire. */
static void check_refusal(World *world, const Actor *actor, const Error *err)
{
    const bool is_lively = !actor->was_late && world->turns.now - actor->renewed_at <= LEASE_LIFE;

    if (err->code == ERR_BUSY && starts_with(err->message, "pack ") && is_lively &&
        (actor->named_by == NULL || !is_passing(world, actor->named_by)))
        fail_world(world, "a backup that held its lease was refused: %.200s", err->message);
}

static bool commit_backup(Actor *actor, BackupRun *run, KnownBackup *backup, Error *err)
{
    World *world = actor->world;
    MadeManifest made;

    memcpy(backup->id, run->report->id, sizeof backup->id);
    make_manifest(world, backup, run->start, &made);
    return run_commit_manifest(run, &made.manifest, err) ||
           (actor->has_committed && omits(world, OMIT_CHECK_AFTER));
}

static void take_one_backup(Actor *actor)
{
    World *world = actor->world;
    const BackupRequest asked = {.jobs = 1};
    BackupReport report = {0};
    CLEANUP(base_backup_done) BaseBackup base = {.why_not = ""};
    KnownBackup *backup = &world->known[world->known_count];
    BackupRun run = {.cluster = &actor->cluster,
                     .request = &asked,
                     .report = &report,
                     .timeline = 1,
                     .history = "",
                     .start = start_of(world, (unsigned)world->known_count++),
                     .identity = {.timeline = 1, .system_identifier = SYSTEM, .major = 15}};
    Error err = {0};

    actor->has_committed = actor->was_late = false;
    actor->named_by = NULL;
    actor->began = 0;
    actor->takes = backup;
    if (run_take_lease(&run, &err) && backup_id_new(report.id, &err) &&
        lease_renew(run.lease, 1, run.start, &err) && run_find_base(&run, &base, &err) &&
        copy_packs(actor, &run, backup, &base, &err)) {
        backup->is_acknowledged = commit_backup(actor, &run, backup, &err);
        happened.committed += backup->is_acknowledged;
        check_refusal(world, actor, &err);
    }
    if (world->is_told) {
        print_message("backup %s: %s %s; base: %s\n", report.id, err.context, err.message,
                      base.why_not);
    }
    if (err.code == ERR_INTERNAL)
        fail_world(world, "backup: %.200s", err.message);
    lease_freep(&run.lease);
    condemned_list_done(&run.condemned);
    actor->takes = NULL;
}

static void run_backups(void *argument)
{
    Actor *actor = argument;

    for (unsigned i = 0; i < actor->rounds && actor->world->failure[0] == '\0'; i++)
        take_one_backup(actor);
}

static void read_packs(Actor *actor, const Manifest *manifest)
{
    Error err = {0};

    for (size_t i = 0; i < 2 * manifest->pack_count; i++) {
        CLEANUP(text_freep) char *name = layout_pack("main", manifest->packs[i / 2].id);
        char bytes[sizeof pack_bytes];
        if (!storage_read_range(actor->repo.storage, name, 0, sizeof bytes, bytes, &err))
            break;
    }
    happened.read += err.code == ERR_NONE;
}

/* What lease_take_to_read() does, without the thread that renews it; or without a lease. */
static void run_reader(void *argument)
{
    Actor *actor = argument;
    World *world = actor->world;
    const KnownBackup *backup = &world->known[actor->wanted];
    CLEANUP(manifest_done) Manifest manifest = {0};
    CLEANUP(lease_freep) Lease *lease = NULL;
    Error err = {0};

    if (actor->kind == ACTOR_READER) {
        if (!lease_take(&actor->cluster, &(LeaseRequest){.kind = LEASE_READ, .backup = backup->id},
                        &lease, &err))
            return;
        actor->reads_event = world->events;
    }
    if (!manifest_load(&manifest, &actor->cluster, backup->id, &err))
        return;
    actor->reads_since = lease != NULL ? lease_stored_at(lease) : world->turns.now;
    actor->reads = backup;
    read_packs(actor, &manifest);
    actor->reads = NULL;
}

/* `expire --spare` of one of the old backups, or `pin` where it is not condemned. */
static void run_person(void *argument)
{
    Actor *actor = argument;
    World *world = actor->world;
    KnownBackup *backup = &world->known[actor->wanted];
    CLEANUP(expire_report_done) ExpireReport report = {0};
    Error err = {0};

    if (!expire_spare(&actor->cluster, backup->id, &report, &err)) {
        error_clear(&err);
        if (!mark_store(&actor->cluster,
                        &(Mark){.kind = MARK_PIN,
                                .what = MARK_OF_BACKUP,
                                .subject = backup->id,
                                .at = world->turns.now,
                                .until = TIME_US_NONE,
                                .by = "pin",
                                .host = "db1",
                                .reason = "test",
                                .evidence = ""},
                        &err))
            return;
    }
    backup->pinned = world->events;
    happened.pinned++;
}

void world_add(World *world, ActorKind kind, unsigned rounds)
{
    static TurnBody *const bodies[ACTOR_KINDS] = {run_expire, run_backups, run_reader, run_reader,
                                                  run_person};
    Actor *actor = &world->actors[world->turns.count];

    *actor = (Actor){.world = world,
                     .kind = kind,
                     .rounds = rounds,
                     .repo = world->repo,
                     .cluster = world->cluster,
                     .wanted = world->is_small ? 0 : (size_t)world_draw(world, 2)};
    actor->repo.storage = turns_storage(&world->turns, world->turns.count, world->repo.storage);
    actor->cluster.repo = &actor->repo;
    (void)turns_add(&world->turns, bodies[kind], actor);
}
