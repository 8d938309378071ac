/*
 * The real code of expire, of a backup's lease, base and commit, and of a reader's lease, mixed
 * call by call, with sleeps and kills. A seed gives the same run each time:
 *
 *     PROTOCOL_RUNS=1000000   so many schedules (default: 600)
 *     PROTOCOL_SEED=N         the one of this number, with each call told
 *     PROTOCOL_OMIT=N         without the rule of this number (enum Omission)
 */
#include "turns.h"

#include "backup_run.h"
#include "base/log.h"
#include "base_backup.h"
#include "repo/layout.h"
#include "retention/expiry.h"
#include "stores.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
    SYSTEM = 4711,
    MIB = 1 << 20,
    SEGMENTS = 16,
    KNOWN_MAX = 12,
    PACKS_MAX = 8,
    STEPS_MAX = 20000
};

#define MINUTE (60 * TURN_SECOND)
#define HOUR   (60 * MINUTE)

/* Rules left out, to see that what they are for is found. */
typedef enum Omission {
    OMIT_NOTHING,
    OMIT_BACKUP_CHECKS, /* a backup never looks at what is condemned, nor at its packs afterwards */
    OMIT_READ_LEASE,    /* expire does not see who reads */
    OMIT_SECOND_LOOK,   /* expire does not see the manifests that came since something was condemned
                         */
    OMIT_CHECK_AFTER,   /* a backup ends with its manifest */
    OMIT_BACKUP_LEASE,  /* expire does not see backups at work */
    OMISSIONS
} Omission;

static const char pack_bytes[4096]; /* nobody looks what is in it */

typedef struct KnownBackup {
    char id[BACKUP_ID_SIZE];
    char packs[PACKS_MAX][33];
    size_t pack_count;
    bool is_acknowledged; /* whoever took it was told that there is a backup */
} KnownBackup;

typedef enum ActorKind { ACTOR_EXPIRE, ACTOR_BACKUP, ACTOR_READER } ActorKind;

typedef struct World World;

typedef struct Actor {
    World *world;
    ActorKind kind;
    Repo repo;
    Cluster cluster;
    const KnownBackup *reads; /* NULL: nothing now */
    TimeUs reads_since;
    bool has_committed;
} Actor;

struct World {
    Turns turns;
    Repo repo;
    Cluster cluster;
    uint64_t random;
    Omission omission;
    KnownBackup known[KNOWN_MAX];
    size_t known_count;
    uint64_t next_segment;
    TimeUs grace;
    uint64_t minimum;
    Actor actors[TURN_ACTORS];
    char failure[256];
    bool is_told;
    unsigned steps;
    TimeUs condemned_at;
    char label[320]; /* of the manifest that is being stored */
};

/* Of all runs: what never happened was not tested. */
static struct {
    uint64_t manifests_gone, packs_gone, committed, withdrawn, shared, read, spared;
} happened;

static uint64_t draw(World *world, uint64_t below)
{
    return turns_draw(&world->random) % below;
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

/* What must be so after each change. */
static void check_backups(World *world)
{
    bool any = false;

    for (size_t i = 0; i < world->known_count; i++) {
        const KnownBackup *backup = &world->known[i];
        const char *missing;

        if (!has_manifest(world, backup))
            continue;
        missing = missing_pack(world, backup);
        any = any || missing == NULL;
        if (missing != NULL && backup->is_acknowledged && !is_condemned(world, backup))
            (void)snprintf(world->failure, sizeof world->failure, "backup %s has lost pack %s",
                           backup->id, missing);
    }
    if (!any)
        (void)snprintf(world->failure, sizeof world->failure, "no backup can be restored any more");
}

static void check_readers(World *world)
{
    for (size_t i = 0; i < world->turns.count; i++) {
        const Actor *actor = &world->actors[i];

        if (actor->reads != NULL && world->turns.now - actor->reads_since < 24 * HOUR &&
            missing_pack(world, actor->reads) != NULL)
            (void)snprintf(world->failure, sizeof world->failure, "a reader of %s lost a pack",
                           actor->reads->id);
    }
}

static bool starts_with(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static void note_change(void *context, size_t number, const char *name, bool is_removed)
{
    World *world = context;
    Actor *actor = &world->actors[number];
    const bool is_manifest = starts_with(name, "main/backup/");
    const bool is_pack = starts_with(name, "main/pack/");

    happened.manifests_gone += is_manifest && is_removed && actor->kind == ACTOR_EXPIRE;
    happened.withdrawn += is_manifest && is_removed && actor->kind == ACTOR_BACKUP;
    happened.packs_gone += is_pack && is_removed;
    if (starts_with(name, "main/condemned/") && !is_removed)
        world->condemned_at = world->turns.now;
    if (is_manifest && !is_removed)
        actor->has_committed = true;
    if (actor->has_committed &&
        (world->omission == OMIT_CHECK_AFTER || world->omission == OMIT_BACKUP_CHECKS))
        world->turns.actors[number].is_killed = true;
    if (world->failure[0] == '\0' && (is_manifest || is_pack)) {
        check_backups(world);
        check_readers(world);
    }
}

static TimeUs stored_when(const World *world, const char *name)
{
    uint64_t size;
    TimeUs at = 0;
    Error ignored = {0};

    return storage_stat(world->repo.storage, name, &size, &at, &ignored) ? at : 0;
}

static bool lease_is_for(const World *world, const char *name, const char *purpose)
{
    CLEANUP(record_done) Record record = {0};
    Error ignored = {0};
    const char *found = NULL;

    return record_load(world->repo.storage, name, "lease", 1, &record, &ignored) &&
           (found = record_find(&record, "purpose")) != NULL && strcmp(found, purpose) == 0;
}

static bool is_left_out(void *context, size_t number, const char *name)
{
    const World *world = context;
    const bool is_expire = world->actors[number].kind == ACTOR_EXPIRE;

    switch (world->omission) {
    case OMIT_BACKUP_CHECKS:
        return world->actors[number].kind == ACTOR_BACKUP && starts_with(name, "main/condemned/");
    case OMIT_READ_LEASE:
        return is_expire && starts_with(name, "main/lease/") &&
               lease_is_for(world, name, LEASE_READ);
    case OMIT_BACKUP_LEASE:
        return is_expire && starts_with(name, "main/lease/") &&
               lease_is_for(world, name, LEASE_BACKUP);
    case OMIT_SECOND_LOOK:
        return is_expire && starts_with(name, "main/backup/") && world->condemned_at != 0 &&
               stored_when(world, name) > world->condemned_at;
    case OMIT_NOTHING:
    case OMIT_CHECK_AFTER:
    case OMISSIONS:
        break;
    }
    return false;
}

static void put_bytes(const Cluster *cluster, const char *name)
{
    Error err = {0};

    assert_true(
        storage_put(cluster->repo->storage, name, WRITE_NEW, pack_bytes, sizeof pack_bytes, &err));
}

static void new_pack(World *world, char id[33])
{
    (void)snprintf(id, 33, "%016llx%016llx", (unsigned long long)turns_draw(&world->turns.ids),
                   (unsigned long long)turns_draw(&world->turns.ids));
}

/* The manifest of a backup in this segment, with its packs in *packs. */
static void make_manifest(World *world, const KnownBackup *backup, uint64_t segment,
                          ManifestEntry *entries, PackInfo *packs, Manifest *manifest)
{
    (void)snprintf(world->label, sizeof world->label,
                   "START WAL LOCATION: 0/%X (file 0000000100000000%08X)\n"
                   "CHECKPOINT LOCATION: 0/%X\nBACKUP METHOD: streamed\nBACKUP FROM: standby\n"
                   "START TIME: 2000-01-01 00:00:00 UTC\nLABEL: test\nSTART TIMELINE: 1\n",
                   (unsigned)(segment * MIB + 0x28), (unsigned)segment,
                   (unsigned)(segment * MIB + 0x28));
    entries[0] = (ManifestEntry){.kind = ENTRY_FILE, .path = "PG_VERSION"};
    entries[1] = (ManifestEntry){.kind = ENTRY_DIRECTORY, .path = "base"};
    entries[2] = (ManifestEntry){.kind = ENTRY_DIRECTORY, .path = "global"};
    entries[3] = (ManifestEntry){.kind = ENTRY_FILE, .path = "global/pg_control"};
    for (size_t i = 0; i < 4; i++) {
        entries[i].is_small = true;
        entries[i].owner = entries[i].group = "postgres";
    }
    for (size_t i = 0; i < backup->pack_count; i++) {
        packs[i] = (PackInfo){.size = sizeof pack_bytes};
        memcpy(packs[i].id, backup->packs[i], sizeof packs[i].id);
        memcpy(packs[i].backup, backup->id, sizeof packs[i].backup);
    }
    *manifest = (Manifest){.header = {.cluster = "main",
                                      .system_identifier = SYSTEM,
                                      .server_version = 150018,
                                      .major = 15,
                                      .tool_version = "0.1.0",
                                      .timeline = 1,
                                      .history = "",
                                      .start = segment * MIB + 0x28,
                                      .stop = segment * MIB + 0x1000,
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
                                      .libc_version = "2.36"},
                           .entries = entries,
                           .entry_count = 4,
                           .packs = packs,
                           .pack_count = backup->pack_count};
    memcpy(manifest->header.id, backup->id, sizeof manifest->header.id);
}

static void put_old_backup(World *world, KnownBackup *backup)
{
    ManifestEntry entries[4];
    PackInfo packs[PACKS_MAX];
    Manifest manifest;
    Error err = {0};

    assert_true(backup_id_new(backup->id, &err));
    make_manifest(world, backup, world->next_segment++, entries, packs, &manifest);
    if (!manifest_save(&manifest, &world->cluster, &err))
        fail_msg("%s %s", err.context, err.message);
    backup->is_acknowledged = true;
}

/* Two backups that share a pack, one of a killed run, and WAL. */
static void world_begin(World *world)
{
    Error err = {0};
    bool created;
    KnownBackup *first = &world->known[0], *second = &world->known[1];
    char orphan[33];

    assert_true(repo_create(&world->repo, storage_memory_new(), &created, &err));
    assert_true(
        cluster_register(&world->repo, "main", SYSTEM, 15, MIB, &world->cluster, &created, &err));
    for (unsigned i = 1; i <= SEGMENTS; i++) {
        CLEANUP(text_freep) char *file = text_format("0000000100000000%08X", i);
        CLEANUP(text_freep) char *name = layout_wal("main", file);
        put_bytes(&world->cluster, name);
    }
    first->pack_count = second->pack_count = 2;
    new_pack(world, first->packs[0]);
    new_pack(world, first->packs[1]);
    memcpy(second->packs[0], first->packs[0], 33);
    new_pack(world, second->packs[1]);
    new_pack(world, orphan);
    const char *packs[] = {first->packs[0], first->packs[1], second->packs[1], orphan};
    for (size_t i = 0; i < 4; i++) {
        CLEANUP(text_freep) char *name = layout_pack("main", packs[i]);
        put_bytes(&world->cluster, name);
    }
    world->next_segment = 2;
    world->known_count = 2;
    put_old_backup(world, first);
    world->turns.now += 24 * HOUR;
    put_old_backup(world, second);
    world->turns.now += 24 * HOUR;
}

static void run_expire(void *argument)
{
    Actor *actor = argument;
    World *world = actor->world;

    for (unsigned i = 0; i < 4 && world->failure[0] == '\0'; i++) {
        CLEANUP(expire_report_done) ExpireReport report = {0};
        Error err = {0};
        const ExpireRequest request = {
            .policy = {.minimum = world->minimum}, .zone = "UTC", .grace = world->grace};

        if (!expire_run(&actor->cluster, &request, &report, &err) && err.code == ERR_INTERNAL)
            (void)snprintf(world->failure, sizeof world->failure, "expire: %.200s", err.message);
        if (world->is_told)
            print_message("expire: %s %s; %s; %s\n", err.context, err.message,
                          report.obstacle != NULL ? report.obstacle : "",
                          report.held != NULL ? report.held : "");
        happened.spared += report.spared.backups + report.spared.packs;
        world->turns.now += draw(world, 2) == 0 ? MINUTE : world->grace + MINUTE;
    }
}

static bool copy_packs(Actor *actor, BackupRun *run, KnownBackup *backup, const BaseBackup *base,
                       Error *err)
{
    World *world = actor->world;

    for (size_t i = 0; base->is_there && i < base->manifest.pack_count && i < PACKS_MAX - 2; i++) {
        if (!base->is_usable[i] || draw(world, 4) == 0)
            continue;
        memcpy(backup->packs[backup->pack_count++], base->manifest.packs[i].id, 33);
        happened.shared++;
    }
    for (size_t i = 0; i < 2; i++) {
        char *id = backup->packs[backup->pack_count];
        new_pack(world, id);
        CLEANUP(text_freep) char *name = layout_pack("main", id);
        if (!storage_put(actor->repo.storage, name, WRITE_NEW, pack_bytes, sizeof pack_bytes,
                         err) ||
            !lease_renew(run->lease, 1, run->start, err))
            return false;
        backup->pack_count++;
    }
    return true;
}

static void take_one_backup(Actor *actor)
{
    World *world = actor->world;
    const uint64_t segment = world->next_segment++;
    const BackupRequest asked = {.jobs = 1};
    BackupReport report = {0};
    BackupRun run = {.cluster = &actor->cluster,
                     .request = &asked,
                     .report = &report,
                     .timeline = 1,
                     .history = "",
                     .start = segment * MIB + 0x28,
                     .identity = {.timeline = 1, .system_identifier = SYSTEM, .major = 15}};
    CLEANUP(base_backup_done) BaseBackup base = {.why_not = ""};
    KnownBackup *backup = &world->known[world->known_count++];
    ManifestEntry entries[4];
    PackInfo packs[PACKS_MAX];
    Manifest manifest;
    Error err = {0};

    actor->has_committed = false;
    if (run_take_lease(&run, &err) && backup_id_new(report.id, &err) &&
        lease_renew(run.lease, 1, run.start, &err) && run_find_base(&run, &base, &err) &&
        copy_packs(actor, &run, backup, &base, &err)) {
        memcpy(backup->id, report.id, sizeof backup->id);
        make_manifest(world, backup, segment, entries, packs, &manifest);
        backup->is_acknowledged = run_commit_manifest(&run, &manifest, &err) ||
                                  (actor->has_committed && (world->omission == OMIT_CHECK_AFTER ||
                                                            world->omission == OMIT_BACKUP_CHECKS));
        happened.committed += backup->is_acknowledged;
    }
    if (world->is_told)
        print_message("backup %s: %s; base: %s\n", report.id, err.message, base.why_not);
    if (err.code == ERR_INTERNAL)
        (void)snprintf(world->failure, sizeof world->failure, "backup: %.200s", err.message);
    lease_freep(&run.lease);
    condemned_list_done(&run.condemned);
}

static void run_backups(void *argument)
{
    Actor *actor = argument;

    for (unsigned i = 0; i < 2 && actor->world->failure[0] == '\0'; i++)
        take_one_backup(actor);
}

static void run_reader(void *argument)
{
    Actor *actor = argument;
    World *world = actor->world;
    const KnownBackup *backup = &world->known[draw(world, 2)];
    CLEANUP(manifest_done) Manifest manifest = {0};
    CLEANUP(lease_freep) Lease *lease = NULL;
    Error err = {0};

    /* What lease_take_to_read() does, without the thread that renews it. */
    if (!lease_take(&actor->cluster, &(LeaseRequest){.kind = LEASE_READ, .backup = backup->id},
                    &lease, &err) ||
        !manifest_load(&manifest, &actor->cluster, backup->id, &err))
        return;
    actor->reads_since = lease_stored_at(lease);
    actor->reads = backup;
    for (size_t i = 0; i < 2 * manifest.pack_count; i++) {
        CLEANUP(text_freep) char *name = layout_pack("main", manifest.packs[i / 2].id);
        char bytes[sizeof pack_bytes];
        if (!storage_read_range(actor->repo.storage, name, 0, sizeof bytes, bytes, &err))
            break;
    }
    happened.read += err.code == ERR_NONE;
    actor->reads = NULL;
}

static void add_actor(World *world, ActorKind kind)
{
    static TurnBody *const bodies[] = {run_expire, run_backups, run_reader};
    Actor *actor = &world->actors[world->turns.count];

    *actor = (Actor){.world = world, .kind = kind, .repo = world->repo, .cluster = world->cluster};
    actor->repo.storage = turns_storage(&world->turns, world->turns.count, world->repo.storage);
    actor->cluster.repo = &actor->repo;
    (void)turns_add(&world->turns, bodies[kind], actor);
}

static bool pick(World *world, size_t *next, unsigned stays)
{
    size_t alive[TURN_ACTORS], count = 0;

    for (size_t i = 0; i < world->turns.count; i++) {
        if (!world->turns.actors[i].is_done)
            alive[count++] = i;
    }
    if (count == 0)
        return false;
    if (*next >= world->turns.count || world->turns.actors[*next].is_done ||
        draw(world, 100) >= stays)
        *next = alive[draw(world, count)];
    return true;
}

/* Mostly milliseconds; and now and then as long as a host that was suspended. */
static void let_time_go_by(World *world, unsigned jumps)
{
    static const TimeUs long_ones[] = {MINUTE, 2 * MINUTE, 11 * MINUTE, 45 * MINUTE, 25 * HOUR};

    world->turns.now += (TimeUs)(1 + draw(world, 20000));
    if (draw(world, 1000) < jumps)
        world->turns.now += long_ones[draw(world, 5)];
}

static void schedule(World *world)
{
    const unsigned stays = 30 + (unsigned)draw(world, 69), jumps = (unsigned)draw(world, 12);
    const unsigned kills = draw(world, 2) == 0 ? 0 : (unsigned)draw(world, 8);
    size_t next = TURN_ACTORS;

    while (world->failure[0] == '\0' && world->steps < STEPS_MAX && pick(world, &next, stays)) {
        const bool dies = draw(world, 1000) < kills;

        world->steps++;
        let_time_go_by(world, jumps);
        if (world->is_told)
            print_message("%5u %lld %zu%s %s\n", world->steps,
                          (long long)(world->turns.now / TURN_SECOND), next,
                          dies ? " dies before" : "", world->turns.actors[next].next);
        if (dies) {
            world->actors[next].reads = NULL;
            turns_kill(&world->turns, next);
        } else {
            turns_let(&world->turns, next);
        }
    }
}

/* One schedule. "" or what went wrong, in a text that the caller frees. */
static char *run_schedule(uint64_t seed, Omission omission, bool is_told, unsigned *steps)
{
    static World world;

    world = (World){.random = seed, .omission = omission, .is_told = is_told};
    turns_begin(&world.turns, ~seed, INT64_C(1780000000) * TURN_SECOND);
    world.turns.watch =
        (TurnWatch){.is_hidden = is_left_out, .changed = note_change, .context = &world};
    world_begin(&world);
    world.minimum = 1 + draw(&world, 2);
    world.grace = draw(&world, 2) == 0 ? RETENTION_GRACE_MIN : 24 * HOUR;
    add_actor(&world, ACTOR_EXPIRE);
    add_actor(&world, ACTOR_BACKUP);
    if (draw(&world, 2) == 0)
        add_actor(&world, ACTOR_READER);
    if (draw(&world, 3) == 0)
        add_actor(&world, ACTOR_EXPIRE);
    if (draw(&world, 3) == 0)
        add_actor(&world, ACTOR_BACKUP);
    schedule(&world);
    *steps = world.steps;
    char *found = text_format("%s", world.steps >= STEPS_MAX ? "it does not end" : world.failure);
    for (size_t i = 0; i < world.turns.count; i++) {
        world.actors[i].reads = NULL;
        turns_kill(&world.turns, i);
        storage_freep(&world.actors[i].repo.storage);
    }
    turns_done(&world.turns);
    repo_done(&world.repo);
    return found;
}

static uint64_t asked_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void no_schedule_loses_anything(void **state)
{
    const bool is_one = getenv("PROTOCOL_SEED") != NULL;
    const uint64_t first = asked_number("PROTOCOL_SEED", 1);
    const uint64_t runs = is_one ? 1 : asked_number("PROTOCOL_RUNS", 600);
    const Omission omission = (Omission)asked_number("PROTOCOL_OMIT", OMIT_NOTHING);

    (void)state;
    for (uint64_t seed = first; seed < first + runs; seed++) {
        unsigned steps;
        CLEANUP(text_freep) char *found = run_schedule(seed, omission, is_one, &steps);

        if (found[0] != '\0')
            fail_msg("seed %llu, step %u: %s", (unsigned long long)seed, steps, found);
    }
    print_message(
        "manifests gone %llu, packs gone %llu, committed %llu, withdrawn %llu, shared %llu, "
        "read %llu, spared %llu\n",
        (unsigned long long)happened.manifests_gone, (unsigned long long)happened.packs_gone,
        (unsigned long long)happened.committed, (unsigned long long)happened.withdrawn,
        (unsigned long long)happened.shared, (unsigned long long)happened.read,
        (unsigned long long)happened.spared);
    if (is_one)
        return;
    assert_true(happened.manifests_gone > 0 && happened.packs_gone > 0 && happened.committed > 0 &&
                happened.shared > 0 && happened.read > 0 && happened.spared > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_schedule_loses_anything),
    };

    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
