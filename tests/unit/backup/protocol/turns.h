/*
 * turns.h - actors that each run real code against one store in memory, and of which one at a time
 * does one call of the store: who is next, how late it is by the clock of all, and who is killed is
 * said by a schedule. So what happens between any two calls can be tried out, and again.
 *
 * An actor is a coroutine. It stands before its next call when it is not its turn; killed, that
 * call and all after it fail and change nothing. Clock, sleep and random numbers (clock_gettime(),
 * nanosleep(), getrandom()) are the schedule's as long as there is one: the same seed gives the
 * same run. Each actor has a row of random numbers of its own, so what it does follows from what
 * its calls have told it. One thread; one Turns at a time.
 */
#pragma once

#include "base/time.h"
#include "storage/storage.h"

#include <ucontext.h>

enum { TURN_ACTORS = 6, TURN_OBJECTS = 128 };

#define TURN_SECOND INT64_C(1000000)

typedef void TurnBody(void *argument);

typedef enum TurnKind {
    TURN_READ, /* and looking at one object */
    TURN_LIST,
    TURN_STORE,
    TURN_REMOVE,
    TURN_SLEEP,
    TURN_KINDS
} TurnKind;

/* A call of the store. */
typedef struct TurnCall {
    TurnKind kind;
    char name[104]; /* the object's, or the prefix of a listing; "" of a sleep */
} TurnCall;

static inline bool turn_call_changes(const TurnCall *call)
{
    return call->kind == TURN_STORE || call->kind == TURN_REMOVE;
}

typedef struct TurnActor {
    ucontext_t context;
    void *fiber; /* the thread sanitizer's */
    TurnBody *body;
    void *argument;
    bool is_done, is_killed;
    TurnCall next;  /* the call before which it stands */
    uint64_t ids;   /* where its random numbers come from */
    uint64_t seen;  /* of all that its calls have told it; Turns.is_noted only */
    uint64_t calls; /* how many it has done */
} TurnActor;

/* What whoever watches is told, and may change. */
typedef struct TurnWatch {
    /* The actor does this call now. */
    void (*called)(void *context, size_t actor, const TurnCall *call);
    /* Whether this object is left out of what the actor lists. */
    bool (*is_hidden)(void *context, size_t actor, const ObjectInfo *object);
    /* The actor has stored or removed it. */
    void (*changed)(void *context, size_t actor, const char *name, bool is_removed);
    void *context;
} TurnWatch;

typedef struct TurnObject {
    char name[104];
    uint64_t content; /* stands for it: who stored it when, having seen what */
} TurnObject;

typedef struct Turns {
    ucontext_t scheduler;
    void *fiber;
    TurnActor actors[TURN_ACTORS];
    size_t count;
    size_t current; /* whose turn it is; TURN_ACTORS: nobody's */
    TimeUs now;
    uint64_t ids; /* where random numbers come from */
    TurnWatch watch;
    bool is_noted;     /* what calls tell is noted: turns_state() */
    bool is_timeless;  /* a sleep takes no time */
    uint64_t contents; /* of all that the actors stored and that is there */
    TurnObject objects[TURN_OBJECTS];
    size_t object_count;
} Turns;

/* In place. Clock and random numbers are its own until turns_done(), which all actors end before.
 */
void turns_begin(Turns *turns, uint64_t seed, TimeUs now);
void turns_done(Turns *turns);

/* Its number. It is run up to its first call. */
size_t turns_add(Turns *turns, TurnBody *body, void *argument);
/* The store as this actor has it. inner is borrowed. */
Storage *turns_storage(Turns *turns, size_t actor, Storage *inner);
/* Let it do its next call and go on up to the one after. */
void turns_let(Turns *turns, size_t actor);
/* It does nothing more, and is done. */
void turns_kill(Turns *turns, size_t actor);

/*
 * A number for all that decides what may happen from here on: what is in the store, how late it is,
 * and of each actor what its calls have told it, which says where it stands and what it knows.
 */
uint64_t turns_state(const Turns *turns);
uint64_t turns_mix(uint64_t a, uint64_t b);

/* The next of a row of random numbers. */
uint64_t turns_draw(uint64_t *state);
