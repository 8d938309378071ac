/*
 * The real code of expire, of a backup's lease, base and commit, of readers and of `pin`, mixed
 * call by call, with sleeps and kills. A seed gives the same run each time:
 *
 *     PROTOCOL_RUNS=1000000   so many schedules (default: 600)
 *     PROTOCOL_SEED=N         the first one (default: 1)
 *     PROTOCOL_TELL=1         one, with each call told
 *     PROTOCOL_OMIT=WORD,...  without these rules (omissions_of())
 *     PROTOCOL_CASE=N         all schedules of this small case (others than the quick ones, too)
 */
#include "world.h"

#include "explore.h"

#include "base/log.h"
#include "base/text.h"
#include "retention/expiry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { STEPS_MAX = 20000 };

/* How a schedule goes about it. */
typedef struct Manner {
    unsigned stays, jumps, kills; /* per cent; per thousand */
    /* One actor stands still before its call of this number, for so many steps of others. */
    size_t sleeper;
    uint64_t sleeps_before, sleeps_for;
    uint64_t naps_before; /* and, earlier, for longer than a lease holds: 0 */
    bool dies_asleep;
} Manner;

static bool is_asleep(const World *world, const Manner *manner, size_t actor)
{
    return actor == manner->sleeper && manner->sleeps_for > 0 &&
           world->turns.actors[actor].calls >= manner->sleeps_before;
}

static bool pick(World *world, Manner *manner, size_t *next)
{
    size_t alive[TURN_ACTORS], count = 0;
    bool has_sleeper = false;

    for (size_t i = 0; i < world->turns.count; i++) {
        if (world->turns.actors[i].is_done)
            continue;
        if (is_asleep(world, manner, i)) {
            has_sleeper = true;
        } else {
            alive[count++] = i;
        }
    }
    if (count == 0 && has_sleeper) {
        manner->sleeps_for = 0;
        alive[count++] = manner->sleeper;
    }
    if (count == 0)
        return false;
    manner->sleeps_for -= has_sleeper && manner->sleeps_for > 0;
    if (*next >= world->turns.count || world->turns.actors[*next].is_done ||
        is_asleep(world, manner, *next) || world_draw(world, 100) >= manner->stays)
        *next = alive[world_draw(world, count)];
    return true;
}

/* Mostly milliseconds; and now and then as long as a host that was suspended. */
static void let_time_go_by(World *world, unsigned jumps)
{
    static const TimeUs long_ones[] = {MINUTE, 2 * MINUTE, 11 * MINUTE, 45 * MINUTE, 25 * HOUR};

    world->turns.now += (TimeUs)(1 + world_draw(world, 20000));
    if (world_draw(world, 1000) < jumps)
        world->turns.now += long_ones[world_draw(world, 5)];
}

static const char *call_text(TurnKind kind)
{
    static const char *const texts[] = {
        [TURN_READ] = "read",     [TURN_LIST] = "list",   [TURN_STORE] = "store",
        [TURN_REMOVE] = "remove", [TURN_SLEEP] = "sleep",
    };

    return texts[kind];
}

static void tell_step(const World *world, unsigned step, size_t actor, bool dies)
{
    static const char *const kinds[] = {"expire", "backup", "reader", "guest", "person"};

    if (world->is_told) {
        print_message(
            "%5u %lld %zu %s%s %s %s\n", step, (long long)(world->turns.now / TURN_SECOND), actor,
            kinds[world->actors[actor].kind], dies ? " dies before" : "",
            call_text(world->turns.actors[actor].next.kind), world->turns.actors[actor].next.name);
    }
}

static Manner draw_manner(World *world)
{
    Manner manner = {
        .stays = 30 + (unsigned)world_draw(world, 69),
        .jumps = (unsigned)world_draw(world, 12),
        .kills = world_draw(world, 2) == 0 ? 0 : (unsigned)world_draw(world, 8),
        .sleeper = TURN_ACTORS,
    };

    if (world_draw(world, 2) != 0) {
        manner.sleeper = (size_t)world_draw(world, world->turns.count);
        manner.sleeps_before = world_draw(world, 60);
        manner.sleeps_for = 1 + world_draw(world, 400);
        manner.dies_asleep = world_draw(world, 4) == 0;
        if (turns_mix(world->random, 1) % 4 == 0 && manner.sleeps_before > 16)
            manner.naps_before = manner.sleeps_before - 1 - turns_mix(world->random, 2) % 16;
    }
    return manner;
}

static unsigned follow_schedule(World *world)
{
    Manner manner = draw_manner(world);
    size_t next = TURN_ACTORS;
    unsigned step = 0;

    while (world->failure[0] == '\0' && step < STEPS_MAX && pick(world, &manner, &next)) {
        const bool dies = world_draw(world, 1000) < manner.kills ||
                          (next == manner.sleeper && manner.sleeps_for == 0 && manner.dies_asleep &&
                           world->turns.actors[next].calls >= manner.sleeps_before);

        step++;
        let_time_go_by(world, manner.jumps);
        if (next == manner.sleeper && manner.naps_before != 0 &&
            world->turns.actors[next].calls == manner.naps_before) {
            world->turns.now += 11 * MINUTE;
            manner.naps_before = 0;
        }
        tell_step(world, step, next, dies);
        if (dies) {
            world_kill(world, next);
        } else {
            turns_let(&world->turns, next);
        }
    }
    return step;
}

static void add_actors(World *world)
{
    world->at_once = world_draw(world, 6) == 0;
    world->minimum = 1 + world_draw(world, 2);
    world->grace = world_draw(world, 2) == 0 ? RETENTION_GRACE_MIN : 24 * HOUR;
    world_add(world, ACTOR_EXPIRE, 4);
    world_add(world, ACTOR_BACKUP, 2);
    if (world_draw(world, 3) == 0)
        world_add(world, ACTOR_READER, 0);
    if (world_draw(world, 3) == 0 && !world->at_once)
        world_add(world, ACTOR_GUEST, 0);
    if (world_draw(world, 3) == 0)
        world_add(world, ACTOR_EXPIRE, 4);
    if (world_draw(world, 4) == 0)
        world_add(world, ACTOR_BACKUP, 2);
    if (world_draw(world, 4) == 0 && world->turns.count < TURN_ACTORS)
        world_add(world, ACTOR_PERSON, 0);
}

/* One schedule. "" or what went wrong, in a text that the caller frees. */
static char *run_schedule(uint64_t seed, unsigned omitted, bool is_told, unsigned *steps)
{
    static World world;

    world_begin(&world, seed, omitted, false);
    world.is_told = is_told;
    add_actors(&world);
    *steps = follow_schedule(&world);
    char *found = text_format("%s", *steps >= STEPS_MAX ? "it does not end" : world.failure);
    world_end(&world);
    return found;
}

static uint64_t asked_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void print_happened(void)
{
    print_message("manifests gone %llu, packs gone %llu, committed %llu, withdrawn %llu, shared "
                  "%llu, read %llu, spared %llu, pinned %llu\n",
                  (unsigned long long)happened.manifests_gone,
                  (unsigned long long)happened.packs_gone, (unsigned long long)happened.committed,
                  (unsigned long long)happened.withdrawn, (unsigned long long)happened.shared,
                  (unsigned long long)happened.read, (unsigned long long)happened.spared,
                  (unsigned long long)happened.pinned);
}

static void no_schedule_loses_anything(void **state)
{
    const bool is_told = getenv("PROTOCOL_TELL") != NULL;
    const uint64_t first = asked_number("PROTOCOL_SEED", 1);
    const uint64_t runs = is_told ? 1 : asked_number("PROTOCOL_RUNS", 600);
    const char *omitted = getenv("PROTOCOL_OMIT");

    (void)state;
    happened = (Happened){.read = 0};
    for (uint64_t seed = first; seed < first + runs; seed++) {
        unsigned steps;
        CLEANUP(text_freep)
        char *found =
            run_schedule(seed, omissions_of(omitted != NULL ? omitted : ""), is_told, &steps);

        if (found[0] != '\0')
            fail_msg("seed %llu, step %u: %s", (unsigned long long)seed, steps, found);
    }
    print_happened();
    if (runs < 600)
        return;
    assert_true(happened.manifests_gone > 0 && happened.packs_gone > 0 && happened.committed > 0 &&
                happened.shared > 0 && happened.read > 0 && happened.spared > 0 &&
                happened.withdrawn > 0 && happened.pinned > 0);
}

/* Of each rule that is left out, a schedule in which that does harm, and which. */
static const struct {
    const char *rule;
    uint64_t seed;
    const char *harm;
} needed[] = {
    {"read-lease", 3086, "went though it was being read"},
    {"check-after", 128, "has lost a pack"},
    {"backup-lease", 25, "that held its lease was refused"},
    {"newcomers", 1099, "that held its lease was refused"},
    {"look-again", 1996, "went though it was pinned"},
    {"withdrawal", 6885, "no backup can be restored any more"},
    {"listing", 16, "that held its lease was refused"},
};

static void each_rule_is_needed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        unsigned steps;
        CLEANUP(text_freep)
        char *found = run_schedule(needed[i].seed, omissions_of(needed[i].rule), false, &steps);
        CLEANUP(text_freep) char *with_all = run_schedule(needed[i].seed, 0, false, &steps);

        if (strstr(found, needed[i].harm) == NULL) {
            fail_msg("without %s seed %llu says \"%s\"", needed[i].rule,
                     (unsigned long long)needed[i].seed, found);
        }
        assert_string_equal(with_all, "");
    }
}

/* Found by many random ones, and too rare for those that run each time. */
static void schedules_that_once_failed_hold(void **state)
{
    static const uint64_t seeds[] = {
        612027, /* A backup had chosen its base after a record was stored that is taken back. */
        705189, /* A record was taken back while another one of the same run was carried out. */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(seeds); i++) {
        unsigned steps;
        CLEANUP(text_freep) char *found = run_schedule(seeds[i], 0, false, &steps);

        assert_string_equal(found, "");
    }
}

static const SmallCase small_cases[] = {
    {"a guest, three runs, a kill", {{ACTOR_GUEST, 1}, {ACTOR_EXPIRE, 3}}, 2, .kills = 1},
    {"a reader, three runs", {{ACTOR_READER, 1}, {ACTOR_EXPIRE, 3}}, 2},
    {"a person, a run", {{ACTOR_PERSON, 1}, {ACTOR_EXPIRE, 1}}, 2},
    {"a person, two runs", {{ACTOR_PERSON, 1}, {ACTOR_EXPIRE, 2}}, 2, .is_long = true},
    {"a backup, a run", {{ACTOR_BACKUP, 1}, {ACTOR_EXPIRE, 1}}, 2, .is_long = true},
    {"two expires", {{ACTOR_EXPIRE, 1}, {ACTOR_EXPIRE, 1}}, 2, .is_long = true},
    {"a reader, three runs, a kill",
     {{ACTOR_READER, 1}, {ACTOR_EXPIRE, 3}},
     2,
     .kills = 1,
     .is_long = true},
    {"a backup, a run, a kill",
     {{ACTOR_BACKUP, 1}, {ACTOR_EXPIRE, 1}},
     2,
     .kills = 1,
     .is_long = true},
};

/* Up to its next call of this kind, of an object that begins so; or to its end. */
static void let_until(World *world, size_t number, TurnKind kind, const char *name)
{
    const TurnActor *actor = &world->turns.actors[number];

    while (!actor->is_done &&
           (actor->next.kind != kind || strncmp(actor->next.name, name, strlen(name)) != 0))
        turns_let(&world->turns, number);
}

/*
 * A backup begins after expire has looked for leases, and ends before it says that its packs, which
 * it saw without their manifest, are leftovers.
 */
static void run_overtaking(unsigned omitted, char failure[256])
{
    static World world;

    world_begin(&world, 1, omitted, true);
    world_add(&world, ACTOR_BACKUP, 1);
    world_add(&world, ACTOR_EXPIRE, 3);
    let_until(&world, 1, TURN_LIST, "main/pack/");
    let_until(&world, 0, TURN_STORE, "main/backup/");
    let_until(&world, 1, TURN_STORE, "main/condemned/");
    let_until(&world, 0, TURN_KINDS, "");
    let_until(&world, 1, TURN_KINDS, "");
    (void)snprintf(failure, 256, "%s", world.failure);
    world_end(&world);
}

static void overtaken_looks_are_made_anew(void **state)
{
    char failure[256];

    (void)state;
    run_overtaking(OMIT_SECOND_LOOK, failure);
    assert_non_null(strstr(failure, "expire took a pack from"));
    run_overtaking(OMIT_NOTHING, failure);
    assert_string_equal(failure, "");
}

/* A reader that may not write has nothing but the grace. */
static void guests_need_the_grace(void **state)
{
    const SmallCase small = {.name = "a guest, and no grace",
                             .actors = {{ACTOR_GUEST, 1}, {ACTOR_EXPIRE, 1}},
                             .count = 2,
                             .omitted = OMIT_GRACE};
    Explored explored;

    (void)state;
    explore(&small, &explored);
    assert_non_null(strstr(explored.failure, "has lost a pack"));
}

static void small_cases_hold(void **state)
{
    const char *only = getenv("PROTOCOL_CASE");

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(small_cases); i++) {
        Explored explored;

        if (only != NULL ? strtoul(only, NULL, 10) != i : small_cases[i].is_long)
            continue;
        explore(&small_cases[i], &explored);
        print_message("%s: %llu paths, %llu states, %llu calls, %llu restarts\n",
                      small_cases[i].name, (unsigned long long)explored.paths,
                      (unsigned long long)explored.states, (unsigned long long)explored.calls,
                      (unsigned long long)explored.restarts);
        if (explored.failure[0] != '\0')
            fail_msg("%s", explored.failure);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rule_is_needed),
        cmocka_unit_test(schedules_that_once_failed_hold),
        cmocka_unit_test(overtaken_looks_are_made_anew),
        cmocka_unit_test(guests_need_the_grace),
        cmocka_unit_test(small_cases_hold),
        cmocka_unit_test(no_schedule_loses_anything),
    };

    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
