#include "explore.h"

#include "base/buffer.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
    DEPTH_MAX = 4096,
    ACTIONS_MAX = 2 * TURN_ACTORS,
    TOUCHED_MAX = 96,
    WALKS = 500, /* to find out beforehand most of what each actor reads and changes */
    WALKS_LONG = 5000,
    CALLS_MORE = 4, /* what it was seen to do it is taken to do so many calls later, too */
};

/* What one actor does next: its call, or it dies. */
typedef struct Action {
    uint8_t actor;
    bool dies;
} Action;

/* A set of actions: a bit for each actor's call, another for its death. */
typedef uint16_t ActionSet;

static ActionSet action_bit(const Action *action)
{
    return (ActionSet)(1U << (action->actor + (action->dies ? TURN_ACTORS : 0)));
}

typedef struct Choice {
    Action actions[ACTIONS_MAX];
    uint8_t count, taken;
    ActionSet asleep; /* what was tried elsewhere, and would come to the same */
} Choice;

typedef struct SeenState {
    uint64_t state; /* 0: free */
    ActionSet asleep;
} SeenState;

/* The objects, or folders of them, that an actor reads or changes, and by which call at the last.
 */
typedef struct Touched {
    char names[TOUCHED_MAX][56];
    uint64_t last[TOUCHED_MAX];
    size_t count;
} Touched;

typedef struct Search {
    const SmallCase *small;
    World world;
    Choice path[DEPTH_MAX];
    size_t length; /* of the path as it was chosen */
    size_t at;
    unsigned kills;
    ActionSet asleep;
    Touched read[TURN_ACTORS], changed[TURN_ACTORS];
    bool has_grown;
    SeenState *seen; /* a hash table */
    size_t seen_size;
    Explored *explored;
} Search;

static bool is_in_folder(const char *name, const char *folder)
{
    return strncmp(name, folder, strlen(folder)) == 0;
}

/* Each backup and pack, and the leases of each holder; else the folder is enough. */
static void touched_name(const char *name, char into[56])
{
    const char *slash = is_in_folder(name, "main/") ? strchr(name + 5, '/') : NULL;
    size_t length = strlen(name);

    if (is_in_folder(name, "main/lease/")) {
        length = strcspn(name, ".");
    } else if (slash != NULL && !is_in_folder(name, "main/backup/") &&
               !is_in_folder(name, "main/pack/")) {
        length = (size_t)(slash - name) + 1;
    }
    (void)snprintf(into, 56, "%.*s", (int)(length < 55 ? length : 55), name);
}

static bool touch_each_other(const char *a, const char *b)
{
    const size_t length = strlen(a) < strlen(b) ? strlen(a) : strlen(b);

    return strncmp(a, b, length) == 0;
}

/* By the call of this number, or a later one. */
static bool is_touched(const Touched *touched, uint64_t from, const char *name)
{
    for (size_t i = 0; i < touched->count; i++) {
        if (touched->last[i] >= from && touch_each_other(touched->names[i], name))
            return true;
    }
    return false;
}

static bool touch(Touched *touched, uint64_t number, const char *name)
{
    size_t i = 0;

    while (i < touched->count && strcmp(touched->names[i], name) != 0)
        i++;
    if (i < touched->count && touched->last[i] >= number)
        return false;
    assert_in_range(i, 0, TOUCHED_MAX - 1);
    (void)snprintf(touched->names[i], sizeof touched->names[i], "%s", name);
    touched->last[i] = number + CALLS_MORE;
    touched->count += i == touched->count;
    return true;
}

static void note_touched(Search *search, size_t number)
{
    const TurnActor *actor = &search->world.turns.actors[number];
    const bool changes = turn_call_changes(&actor->next);
    char name[56];

    if (actor->next.kind == TURN_SLEEP)
        return;
    touched_name(actor->next.name, name);
    if (touch(changes ? &search->changed[number] : &search->read[number], actor->calls, name))
        search->has_grown = true;
}

/* No call of another one has to do with it, as far as is known. */
static bool is_alone(const Search *search, size_t actor)
{
    const TurnCall *call = &search->world.turns.actors[actor].next;
    const bool changes = turn_call_changes(call);
    char name[56];

    if (call->kind == TURN_SLEEP)
        return false; /* others go on meanwhile */
    touched_name(call->name, name);
    if (changes && (touch_each_other(name, "main/backup/") || touch_each_other(name, "main/pack/")))
        return false; /* the invariants look at these */
    for (size_t i = 0; i < search->world.turns.count; i++) {
        const TurnActor *other = &search->world.turns.actors[i];

        if (i != actor && !other->is_done &&
            (is_touched(&search->changed[i], other->calls, name) ||
             (changes && is_touched(&search->read[i], other->calls, name))))
            return false;
    }
    return true;
}

static SeenState *find_seen(SeenState *seen, size_t size, uint64_t state)
{
    size_t place = state & (size - 1);

    while (seen[place].state != 0 && seen[place].state != state)
        place = (place + 1) & (size - 1);
    return &seen[place];
}

static void grow_seen(Search *search)
{
    const size_t size = search->seen_size == 0 ? 1 << 16 : 2 * search->seen_size;
    SeenState *longer = mem_alloc(size * sizeof longer[0]);

    for (size_t i = 0; i < search->seen_size; i++) {
        if (search->seen[i].state != 0)
            *find_seen(longer, size, search->seen[i].state) = search->seen[i];
    }
    mem_free(search->seen);
    search->seen = longer;
    search->seen_size = size;
}

/*
 * What is left to be tried in this state: all but what is asleep, and where it was before, only
 * what was asleep then and is not now.
 */
static ActionSet left_to_try(Search *search)
{
    uint64_t state = turns_mix(world_state(&search->world), search->kills);
    SeenState *seen;
    ActionSet left;

    if (2 * search->explored->states >= search->seen_size)
        grow_seen(search);
    state += state == 0;
    seen = find_seen(search->seen, search->seen_size, state);
    if (seen->state == 0) {
        *seen = (SeenState){.state = state, .asleep = search->asleep};
        search->explored->states++;
        return (ActionSet)~search->asleep;
    }
    left = (ActionSet)(seen->asleep & ~search->asleep);
    seen->asleep &= search->asleep;
    return left;
}

static void add_action(Choice *choice, ActionSet wanted, size_t actor, bool dies)
{
    const Action action = {.actor = (uint8_t)actor, .dies = dies};

    if (wanted & action_bit(&action))
        choice->actions[choice->count++] = action;
}

static void add_actions_of(const Search *search, Choice *choice, ActionSet wanted, size_t actor)
{
    add_action(choice, wanted, actor, false);
    if (search->kills < search->small->kills &&
        turn_call_changes(&search->world.turns.actors[actor].next))
        add_action(choice, wanted, actor, true);
}

/* What may be done next, of what is wanted; nothing: all are done, or it was all tried. */
static void find_actions(const Search *search, ActionSet wanted, Choice *choice)
{
    const Turns *turns = &search->world.turns;

    *choice = (Choice){.asleep = search->asleep};
    for (size_t i = 0; i < turns->count; i++) {
        if (!turns->actors[i].is_done && is_alone(search, i)) {
            add_actions_of(search, choice, wanted, i);
            return;
        }
    }
    for (size_t i = 0; i < turns->count; i++) {
        if (!turns->actors[i].is_done)
            add_actions_of(search, choice, wanted, i);
    }
}

static bool is_judged(const TurnCall *call)
{
    return turn_call_changes(call) &&
           (is_in_folder(call->name, "main/backup/") || is_in_folder(call->name, "main/pack/") ||
            is_in_folder(call->name, "main/condemned/"));
}

/* Whether it is all the same which of them is done first. */
static bool are_independent(const Search *search, const Action *a, const Action *b)
{
    const TurnCall *one = &search->world.turns.actors[a->actor].next;
    const TurnCall *other = &search->world.turns.actors[b->actor].next;

    if (a->actor == b->actor || (a->dies && b->dies))
        return false;
    if (a->dies || b->dies)
        return true;
    if (one->kind == TURN_SLEEP || other->kind == TURN_SLEEP ||
        (is_judged(one) && is_judged(other)))
        return false;
    return (!turn_call_changes(one) && !turn_call_changes(other)) ||
           !touch_each_other(one->name, other->name);
}

/* After this action: what was asleep, or was tried before it, and has nothing to do with it. */
static ActionSet asleep_after(const Search *search, const Choice *choice)
{
    const Action *action = &choice->actions[choice->taken];
    ActionSet before = choice->asleep, after = 0;

    for (uint8_t i = 0; i < choice->taken; i++)
        before |= action_bit(&choice->actions[i]);
    for (size_t i = 0; i < ACTIONS_MAX; i++) {
        const Action other = {.actor = (uint8_t)(i % TURN_ACTORS), .dies = i >= TURN_ACTORS};

        if ((before & action_bit(&other)) && are_independent(search, action, &other))
            after |= action_bit(&other);
    }
    return after;
}

static void take_action(Search *search, const Action *action)
{
    if (action->dies) {
        search->kills++;
        world_kill(&search->world, action->actor);
        return;
    }
    note_touched(search, action->actor);
    search->explored->calls++;
    turns_let(&search->world.turns, action->actor);
}

/* From the beginning to the end, or to what was seen before. */
static void follow_path(Search *search)
{
    for (search->at = 0; search->world.failure[0] == '\0'; search->at++) {
        Choice *choice = &search->path[search->at];

        assert_in_range(search->at, 0, DEPTH_MAX - 1);
        if (search->at >= search->length) {
            find_actions(search, search->has_grown ? (ActionSet)~0U : left_to_try(search), choice);
            if (choice->count == 0)
                break;
            search->length++;
        }
        search->asleep = asleep_after(search, choice);
        take_action(search, &choice->actions[choice->taken]);
    }
}

static void begin_small_world(Search *search)
{
    const SmallCase *small = search->small;
    World *world = &search->world;

    world_begin(world, 1, small->omitted, true);
    world->turns.is_noted = true;
    for (size_t i = 0; i < small->count; i++)
        world_add(world, small->actors[i].kind, small->actors[i].rounds);
    search->kills = 0;
    search->asleep = 0;
}

/* Any path, to its end. */
static void walk_at_random(Search *search, uint64_t *random)
{
    Choice choice;

    begin_small_world(search);
    const ActionSet all = (ActionSet)~0U;
    for (find_actions(search, all, &choice); choice.count > 0 && search->world.failure[0] == '\0';
         find_actions(search, all, &choice))
        take_action(search, &choice.actions[turns_draw(random) % choice.count]);
    world_end(&search->world);
}

/* The last choice that has another way. False: there is none, all was seen. */
static bool next_path(Search *search)
{
    while (search->length > 0) {
        Choice *choice = &search->path[search->length - 1];

        if (++choice->taken < choice->count)
            return true;
        search->length--;
    }
    return false;
}

/* Who did how many calls in a row: "0:12 1:3 0 dies". */
static void tell_failure(const Search *search)
{
    CLEANUP(buffer_done) Buffer text = {0};
    size_t run = 0;

    for (size_t i = 0; i < search->length; i++) {
        const Choice *choice = &search->path[i];
        const Action *action = &choice->actions[choice->taken];
        const Choice *after = &search->path[i + 1];
        const bool is_last = i + 1 == search->length ||
                             after->actions[after->taken].actor != action->actor || action->dies;

        run++;
        if (is_last) {
            buffer_print(&text, " %u:%zu%s", action->actor, run, action->dies ? " dies" : "");
            run = 0;
        }
    }
    (void)snprintf(search->explored->failure, sizeof search->explored->failure, "%s: %s; %.300s",
                   search->small->name, search->world.failure,
                   text.size > 0 ? (const char *)text.data : "");
}

static void start_over(Search *search)
{
    search->explored->restarts++;
    search->length = 0;
    search->has_grown = false;
    search->explored->states = 0;
    memset(search->seen, 0, search->seen_size * sizeof search->seen[0]);
}

void explore(const SmallCase *small, Explored *explored)
{
    static Search search;
    uint64_t random = 1;
    bool has_more = true;

    *explored = (Explored){.paths = 0};
    search = (Search){.small = small, .explored = explored};
    grow_seen(&search);
    for (int i = 0; i < (small->is_long ? WALKS_LONG : WALKS); i++)
        walk_at_random(&search, &random);
    search.has_grown = false;
    explored->calls = 0;
    while (has_more) {
        begin_small_world(&search);
        follow_path(&search);
        if (++explored->paths % 5000 == 0) {
            print_message("%llu paths, %llu states, length %zu\n",
                          (unsigned long long)explored->paths, (unsigned long long)explored->states,
                          search.length);
        }
        if (search.world.failure[0] != '\0')
            tell_failure(&search);
        has_more = explored->failure[0] == '\0';
        world_end(&search.world);
        if (search.has_grown) {
            start_over(&search);
        } else if (has_more) {
            has_more = next_path(&search);
        }
    }
    mem_free(search.seen);
    search.seen = NULL;
}
