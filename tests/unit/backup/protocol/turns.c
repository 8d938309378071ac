#include "turns.h"

#include "base/text.h"
#include "storage/driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
#define HAS_FIBERS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_FIBERS 1
#endif
#endif

#ifdef HAS_FIBERS
#include <sanitizer/tsan_interface.h>
#endif

enum { STACK_SIZE = 1 << 20 };

static Turns *present; /* whose clock it is; NULL: the real one */
static void *stacks[TURN_ACTORS];

uint64_t turns_draw(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t turns_mix(uint64_t a, uint64_t b)
{
    uint64_t state = a ^ (b * UINT64_C(0x9e3779b97f4a7c15) + UINT64_C(0x632be59bd9b4e019));

    return turns_draw(&state);
}

/* In place of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (present == NULL || (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC))
        return (int)syscall(SYS_clock_gettime, clock, time);
    *time = (struct timespec){.tv_sec = present->now / TURN_SECOND,
                              .tv_nsec = present->now % TURN_SECOND * 1000};
    return 0;
}

ssize_t getrandom(void *buffer, size_t size, unsigned flags)
{
    uint8_t *bytes = buffer;

    if (present == NULL)
        return syscall(SYS_getrandom, buffer, size, flags);
    uint64_t *ids =
        present->current == TURN_ACTORS ? &present->ids : &present->actors[present->current].ids;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(turns_draw(ids) >> 32);
    return (ssize_t)size;
}

/* Never a call of its own: its end would be noted on the stack that was switched to. */
static inline __attribute__((always_inline)) void switch_fiber(void *fiber)
{
#ifdef HAS_FIBERS
    __tsan_switch_to_fiber(fiber, 0);
#else
    (void)fiber;
#endif
}

static void *new_fiber(void)
{
#ifdef HAS_FIBERS
    return __tsan_create_fiber(0);
#else
    return NULL;
#endif
}

static void free_fiber(void *fiber)
{
#ifdef HAS_FIBERS
    __tsan_destroy_fiber(fiber);
#else
    (void)fiber;
#endif
}

static void *own_fiber(void)
{
#ifdef HAS_FIBERS
    return __tsan_get_current_fiber();
#else
    return NULL;
#endif
}

/* Of an actor: back to the schedule until it is its turn again. */
static void wait_for_turn(Turns *turns)
{
    switch_fiber(turns->fiber);
    assert_int_equal(swapcontext(&turns->actors[turns->current].context, &turns->scheduler), 0);
}

static void enter(Turns *turns, size_t actor)
{
    turns->current = actor;
    switch_fiber(turns->actors[actor].fiber);
    assert_int_equal(swapcontext(&turns->scheduler, &turns->actors[actor].context), 0);
    turns->current = TURN_ACTORS;
}

static void note_seen(TurnActor *actor, uint64_t told)
{
    if (present->is_noted)
        actor->seen = turns_mix(actor->seen, told);
}

static uint64_t mix_bytes(uint64_t state, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    uint64_t word;
    size_t at = 0;

    for (; size - at >= sizeof word; at += sizeof word) {
        memcpy(&word, bytes + at, sizeof word);
        state = turns_mix(state, word);
    }
    for (; at < size; at++)
        state = turns_mix(state, bytes[at]);
    return turns_mix(state, size);
}

static void note_bytes(TurnActor *actor, const void *data, size_t size)
{
    if (present->is_noted)
        actor->seen = mix_bytes(actor->seen, data, size);
}

int nanosleep(const struct timespec *wanted, struct timespec *left)
{
    if (present == NULL || present->current == TURN_ACTORS)
        return (int)syscall(SYS_nanosleep, wanted, left);
    TurnActor *actor = &present->actors[present->current];
    if (!present->is_timeless)
        present->now += wanted->tv_sec * TURN_SECOND + wanted->tv_nsec / 1000;
    actor->next = (TurnCall){.kind = TURN_SLEEP};
    if (!actor->is_killed)
        wait_for_turn(present);
    note_seen(actor, TURN_SLEEP);
    return 0;
}

static void actor_begins(void)
{
    TurnActor *actor = &present->actors[present->current];

    actor->body(actor->argument);
    actor->is_done = true;
    /* It never returns: that, too, would be noted on the scheduler's stack. */
    switch_fiber(present->fiber);
    (void)setcontext(&present->scheduler);
    abort();
}

void turns_begin(Turns *turns, uint64_t seed, TimeUs now)
{
    *turns = (Turns){.current = TURN_ACTORS, .now = now, .ids = seed, .fiber = own_fiber()};
    present = turns;
}

void turns_done(Turns *turns)
{
    for (size_t i = 0; i < turns->count; i++)
        free_fiber(turns->actors[i].fiber);
    present = NULL;
}

size_t turns_add(Turns *turns, TurnBody *body, void *argument)
{
    const size_t number = turns->count++;
    TurnActor *actor = &turns->actors[number];

    assert_in_range(number, 0, TURN_ACTORS - 1);
    if (stacks[number] == NULL) {
        stacks[number] =
            mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(stacks[number], MAP_FAILED);
    }
    *actor = (TurnActor){
        .body = body,
        .argument = argument,
        .fiber = new_fiber(),
        .ids = turns_draw(&turns->ids),
    };
    assert_int_equal(getcontext(&actor->context), 0);
    actor->context.uc_stack.ss_sp = stacks[number];
    actor->context.uc_stack.ss_size = STACK_SIZE;
    makecontext(&actor->context, actor_begins, 0);
    enter(turns, number);
    return number;
}

void turns_let(Turns *turns, size_t actor)
{
    if (!turns->actors[actor].is_done)
        enter(turns, actor);
}

void turns_kill(Turns *turns, size_t actor)
{
    turns->actors[actor].is_killed = true;
    while (!turns->actors[actor].is_done)
        enter(turns, actor);
}

typedef struct TurnStorage {
    Storage storage;
    Storage *inner;
    Turns *turns;
    size_t actor;
} TurnStorage;

typedef struct TurnWriter {
    ObjectWriter writer;
    ObjectWriter *inner;
    TurnStorage *own;
    char *name;
} TurnWriter;

static TurnActor *actor_of(const TurnStorage *own)
{
    return &own->turns->actors[own->actor];
}

/* Before each call. */
static bool await(const TurnStorage *own, TurnKind kind, const char *name, Error *err)
{
    TurnActor *actor = actor_of(own);

    actor->next.kind = kind;
    (void)snprintf(actor->next.name, sizeof actor->next.name, "%s", name);
    if (!actor->is_killed)
        wait_for_turn(own->turns);
    if (actor->is_killed)
        return error_set(err, ERR_IO, "killed");
    actor->calls++;
    note_bytes(actor, &kind, sizeof kind);
    note_bytes(actor, name, strlen(name));
    own->turns->watch.called(own->turns->watch.context, own->actor, &actor->next);
    return true;
}

static void forget_object(Turns *turns, const char *name)
{
    for (size_t i = 0; i < turns->object_count; i++) {
        TurnObject *object = &turns->objects[i];

        if (strcmp(object->name, name) == 0) {
            turns->contents ^= object->content;
            *object = turns->objects[--turns->object_count];
            return;
        }
    }
    /* It was there before the first turn. */
    turns->contents ^= mix_bytes(1, name, strlen(name));
}

static void remember_object(Turns *turns, const TurnActor *actor, const char *name)
{
    assert_in_range(turns->object_count, 0, TURN_OBJECTS - 1);
    TurnObject *object = &turns->objects[turns->object_count++];
    (void)snprintf(object->name, sizeof object->name, "%s", name);
    object->content = turns_mix(mix_bytes(actor->seen, name, strlen(name)), (uint64_t)turns->now);
    turns->contents ^= object->content;
}

static void tell_change(const TurnStorage *own, const char *name, bool is_removed)
{
    Turns *turns = own->turns;

    if (turns->is_noted && is_removed)
        forget_object(turns, name);
    if (turns->is_noted && !is_removed)
        remember_object(turns, actor_of(own), name);
    turns->watch.changed(turns->watch.context, own->actor, name, is_removed);
}

uint64_t turns_state(const Turns *turns)
{
    uint64_t state = turns_mix(turns->contents, (uint64_t)turns->now);

    for (size_t i = 0; i < turns->count; i++) {
        const TurnActor *actor = &turns->actors[i];

        state = turns_mix(state, actor->seen + 2 * actor->is_done + actor->is_killed);
    }
    return state;
}

/* What the call has told, unless it was killed. */
static bool note_answer(const TurnStorage *own, bool ok, const Error *err)
{
    note_seen(actor_of(own), ok ? 1 : 2 + (uint64_t)err->code);
    return ok;
}

static Storage *turn_inner(Storage *storage)
{
    return ((TurnStorage *)storage)->inner;
}

static bool turn_create(Storage *storage, Error *err)
{
    return turn_inner(storage)->ops->create(turn_inner(storage), err);
}

static bool turn_writer_write(ObjectWriter *writer, const void *data, size_t size, Error *err)
{
    return object_writer_write(((TurnWriter *)writer)->inner, data, size, err);
}

static bool turn_writer_commit(ObjectWriter *writer, Error *err)
{
    TurnWriter *out = (TurnWriter *)writer;

    if (!await(out->own, TURN_STORE, out->name, err))
        return false;
    if (!object_writer_commit(out->inner, err))
        return note_answer(out->own, false, err);
    tell_change(out->own, out->name, false);
    return true;
}

static void turn_writer_free(ObjectWriter *writer)
{
    TurnWriter *out = (TurnWriter *)writer;

    object_writer_freep(&out->inner);
    mem_free(out->name);
    mem_free(out);
}

static const ObjectWriterOps turn_writer_ops = {
    .write = turn_writer_write,
    .commit = turn_writer_commit,
    .free = turn_writer_free,
};

static bool turn_write(Storage *storage, const char *name, WriteMode mode, ObjectWriter **writer,
                       Error *err)
{
    ObjectWriter *inner = NULL;

    if (!turn_inner(storage)->ops->write(turn_inner(storage), name, mode, &inner, err))
        return false;
    TurnWriter *out = mem_alloc(sizeof *out);
    *out = (TurnWriter){.writer = {&turn_writer_ops},
                        .inner = inner,
                        .own = (TurnStorage *)storage,
                        .name = text_format("%s", name)};
    *writer = &out->writer;
    return true;
}

static bool turn_read(Storage *storage, const char *name, const Range *range, Buffer *content,
                      uint64_t *object_size, Error *err)
{
    const TurnStorage *own = (TurnStorage *)storage;
    const size_t before = content->size;

    if (!await(own, TURN_READ, name, err))
        return false;
    const bool ok = own->inner->ops->read(own->inner, name, range, content, object_size, err);
    if (ok)
        note_bytes(actor_of(own), content->data + before, content->size - before);
    return note_answer(own, ok, err);
}

static bool turn_read_range(Storage *storage, const char *name, uint64_t offset, size_t size,
                            void *to, Error *err)
{
    const TurnStorage *own = (TurnStorage *)storage;

    if (!await(own, TURN_READ, name, err))
        return false;
    const bool ok = own->inner->ops->read_range(own->inner, name, offset, size, to, err);
    if (ok)
        note_bytes(actor_of(own), to, size);
    return note_answer(own, ok, err);
}

static bool turn_list(Storage *storage, const ListRequest *request, ObjectList *list, Error *err)
{
    const TurnStorage *own = (TurnStorage *)storage;
    const TurnWatch *watch = &own->turns->watch;
    CLEANUP(object_list_done) ObjectList all = {.count = 0};

    if (!await(own, TURN_LIST, request->prefix, err) ||
        !own->inner->ops->list(own->inner, request, &all, err))
        return false;
    for (size_t i = 0; i < all.count; i++) {
        const ObjectInfo *object = &all.objects[i];

        if (watch->is_hidden(watch->context, own->actor, object))
            continue;
        object_list_add(list, object->name, object->size, object->stored_at);
        note_bytes(actor_of(own), object->name, strlen(object->name));
        note_seen(actor_of(own), turns_mix((uint64_t)object->stored_at, object->size));
    }
    return true;
}

static bool turn_stat(Storage *storage, const char *name, uint64_t *size, TimeUs *stored_at,
                      Error *err)
{
    const TurnStorage *own = (TurnStorage *)storage;

    if (!await(own, TURN_READ, name, err))
        return false;
    const bool ok = own->inner->ops->stat(own->inner, name, size, stored_at, err);
    if (ok)
        note_seen(actor_of(own), turns_mix((uint64_t)*stored_at, *size));
    return note_answer(own, ok, err);
}

static bool turn_identify(Storage *storage, const char *name, char identity[OBJECT_IDENTITY_SIZE],
                          Error *err)
{
    const TurnStorage *own = (TurnStorage *)storage;

    return await(own, TURN_READ, name, err) &&
           own->inner->ops->identify(own->inner, name, identity, err);
}

static bool turn_remove(Storage *storage, const char *name, Error *err)
{
    const TurnStorage *own = (TurnStorage *)storage;
    uint64_t size;
    TimeUs at;
    Error gone = {0};

    if (!await(own, TURN_REMOVE, name, err))
        return false;
    /* To remove what is not there changes nothing, and nobody is told. */
    if (!own->inner->ops->stat(own->inner, name, &size, &at, &gone))
        return true;
    if (!own->inner->ops->remove(own->inner, name, err))
        return false;
    tell_change(own, name, true);
    return true;
}

static bool turn_sync(Storage *storage, const char *name, Error *err)
{
    const TurnStorage *own = (TurnStorage *)storage;

    return await(own, TURN_READ, name, err) && own->inner->ops->sync(own->inner, name, err);
}

static void turn_free(Storage *storage)
{
    mem_free(storage);
}

static const StorageOps turn_ops = {
    .kind = "turns",
    .create = turn_create,
    .write = turn_write,
    .read = turn_read,
    .read_range = turn_read_range,
    .list = turn_list,
    .stat = turn_stat,
    .identify = turn_identify,
    .remove = turn_remove,
    .sync = turn_sync,
    .free = turn_free,
};

/* It tells of no room, so that nobody keeps any in reserve: the protocol does without. */
Storage *turns_storage(Turns *turns, size_t actor, Storage *inner)
{
    TurnStorage *own = mem_alloc(sizeof *own);

    *own = (TurnStorage){.storage = {.ops = &turn_ops,
                                     .address = text_format("%s", storage_address(inner)),
                                     .can = inner->can & ~(unsigned)CAN_TELL_ROOM},
                         .inner = inner,
                         .turns = turns,
                         .actor = actor};
    return &own->storage;
}
