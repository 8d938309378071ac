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
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(turns_draw(&present->ids) >> 32);
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

int nanosleep(const struct timespec *wanted, struct timespec *left)
{
    if (present == NULL || present->current == TURN_ACTORS)
        return (int)syscall(SYS_nanosleep, wanted, left);
    present->now += wanted->tv_sec * TURN_SECOND + wanted->tv_nsec / 1000;
    if (!present->actors[present->current].is_killed)
        wait_for_turn(present);
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
    *actor = (TurnActor){.body = body, .argument = argument, .fiber = new_fiber()};
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

/* Before each call. */
static bool await(const TurnStorage *own, const char *call, const char *name, Error *err)
{
    TurnActor *actor = &own->turns->actors[own->actor];

    (void)snprintf(actor->next, sizeof actor->next, "%s %.80s", call, name);
    if (!actor->is_killed)
        wait_for_turn(own->turns);
    return !actor->is_killed || error_set(err, ERR_IO, "killed");
}

static void tell_change(const TurnStorage *own, const char *name, bool is_removed)
{
    own->turns->watch.changed(own->turns->watch.context, own->actor, name, is_removed);
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

    if (!await(out->own, "store", out->name, err) || !object_writer_commit(out->inner, err))
        return false;
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
    return await((TurnStorage *)storage, "read", name, err) &&
           turn_inner(storage)->ops->read(turn_inner(storage), name, range, content, object_size,
                                          err);
}

static bool turn_read_range(Storage *storage, const char *name, uint64_t offset, size_t size,
                            void *to, Error *err)
{
    return await((TurnStorage *)storage, "read", name, err) &&
           turn_inner(storage)->ops->read_range(turn_inner(storage), name, offset, size, to, err);
}

static bool turn_list(Storage *storage, const ListRequest *request, ObjectList *list, Error *err)
{
    const TurnStorage *own = (TurnStorage *)storage;
    const TurnWatch *watch = &own->turns->watch;
    CLEANUP(object_list_done) ObjectList all = {.count = 0};

    if (!await(own, "list", request->prefix, err) ||
        !own->inner->ops->list(own->inner, request, &all, err))
        return false;
    for (size_t i = 0; i < all.count; i++) {
        const ObjectInfo *object = &all.objects[i];

        if (!watch->is_hidden(watch->context, own->actor, object->name))
            object_list_add(list, object->name, object->size, object->stored_at);
    }
    return true;
}

static bool turn_stat(Storage *storage, const char *name, uint64_t *size, TimeUs *stored_at,
                      Error *err)
{
    return await((TurnStorage *)storage, "look at", name, err) &&
           turn_inner(storage)->ops->stat(turn_inner(storage), name, size, stored_at, err);
}

static bool turn_identify(Storage *storage, const char *name, char identity[OBJECT_IDENTITY_SIZE],
                          Error *err)
{
    return await((TurnStorage *)storage, "identify", name, err) &&
           turn_inner(storage)->ops->identify(turn_inner(storage), name, identity, err);
}

static bool turn_remove(Storage *storage, const char *name, Error *err)
{
    if (!await((TurnStorage *)storage, "remove", name, err) ||
        !turn_inner(storage)->ops->remove(turn_inner(storage), name, err))
        return false;
    tell_change((TurnStorage *)storage, name, true);
    return true;
}

static bool turn_sync(Storage *storage, const char *name, Error *err)
{
    return await((TurnStorage *)storage, "sync", name, err) &&
           turn_inner(storage)->ops->sync(turn_inner(storage), name, err);
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

Storage *turns_storage(Turns *turns, size_t actor, Storage *inner)
{
    TurnStorage *own = mem_alloc(sizeof *own);

    *own = (TurnStorage){.storage = {.ops = &turn_ops,
                                     .address = text_format("%s", storage_address(inner)),
                                     .can = inner->can},
                         .inner = inner,
                         .turns = turns,
                         .actor = actor};
    return &own->storage;
}
