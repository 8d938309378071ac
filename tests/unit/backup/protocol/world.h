/*
 * world.h - a repository and who is at work in it: expire, backups, readers and a person, each the
 * real code, and what must be so after each change. One at a time.
 */
#pragma once

#include "turns.h"

#include "pack/manifest.h"
#include "repo/repo.h"

enum { KNOWN_MAX = 12, PACKS_MAX = 8, RECORDS_MAX = 64 };

#define MINUTE (60 * TURN_SECOND)
#define HOUR   (60 * MINUTE)

/* Rules left out, to see that what they are for is found. Bits: several may be. */
typedef enum Omission {
    OMIT_NOTHING = 0,
    OMIT_BACKUP_LOOKS = 1,  /* a backup does not see what is condemned */
    OMIT_READ_LEASE = 2,    /* expire does not see who reads */
    OMIT_SECOND_LOOK = 4,   /* what came since it was condemned is not seen when it is removed */
    OMIT_CHECK_AFTER = 8,   /* a backup ends with its manifest */
    OMIT_BACKUP_LEASE = 16, /* expire does not see backups at work */
    OMIT_NEWCOMERS = 32,    /* who came while a record was stored is not looked for */
    OMIT_LOOK_AGAIN = 64,   /* who came since the look is not seen right before a removal */
    OMIT_GRACE = 128,       /* what is condemned goes at once */
    OMIT_WITHDRAWAL = 256,  /* a backup does not say that it is about to be withdrawn */
    OMIT_LISTING = 512,     /* what another one stored is in no listing for five seconds */
} Omission;

/* "check-after,second-look"; unknown words fail the test. */
unsigned omissions_of(const char *text);

typedef struct KnownBackup {
    char id[BACKUP_ID_SIZE];
    char packs[PACKS_MAX][33];
    size_t pack_count;
    bool is_acknowledged; /* whoever took it was told that there is a backup */
    uint64_t pinned;      /* when, in events; 0: not */
} KnownBackup;

typedef enum ActorKind {
    ACTOR_EXPIRE,
    ACTOR_BACKUP,
    ACTOR_READER,
    ACTOR_GUEST,  /* reads, and may not write */
    ACTOR_PERSON, /* brings back what is condemned, or pins a backup */
    ACTOR_KINDS
} ActorKind;

typedef struct World World;

typedef struct WorldRecord {
    char id[BACKUP_ID_SIZE];
    uint64_t looked; /* when leases were listed before it was stored, in events */
    TimeUs looked_at;
    size_t actor;
} WorldRecord;

typedef struct Actor {
    World *world;
    ActorKind kind;
    unsigned rounds; /* how many runs, or backups */
    Repo repo;
    Cluster cluster;
    /* A reader. */
    const KnownBackup *reads; /* NULL: nothing now */
    TimeUs reads_since;
    uint64_t reads_event; /* when its lease was stored */
    size_t wanted;
    /* A backup. */
    bool has_committed;
    uint64_t began;              /* when its lease was stored, in events */
    TimeUs renewed_at;           /* last */
    bool was_late;               /* longer than a lease holds */
    const WorldRecord *named_by; /* its packs, by an expire that had looked before it began */
    const KnownBackup *takes;
    /* An expire. */
    uint64_t looked_for_leases, looked_for_pins; /* last, in events */
    bool stood[KNOWN_MAX];                       /* was there whole when the run began */
    bool has_condemned;                          /* and lists who came meanwhile */
    bool looks_first;                            /* what is removed is told by this look */
    TimeUs looked_at;
    char lists[2][16]; /* the last listing, and the one before: which step it is in */
} Actor;

struct World {
    Turns turns;
    Repo repo;
    Cluster cluster;
    uint64_t random;
    unsigned omitted;
    KnownBackup known[KNOWN_MAX];
    size_t known_count;
    TimeUs grace;
    uint64_t minimum;
    bool at_once;
    bool is_small; /* nothing is drawn, the clock moves between two runs of expire alone, no WAL
                      goes */
    Actor actors[TURN_ACTORS];
    WorldRecord records[RECORDS_MAX];
    size_t record_count;
    uint64_t events;
    char failure[256]; /* "": nothing went wrong */
    bool is_told;      /* each run's end is printed */
    char label[320];   /* of the manifest that is being stored */
};

/* Of all runs: what never happened was not tested. */
typedef struct Happened {
    uint64_t manifests_gone, packs_gone, committed, withdrawn, shared, read, spared, pinned;
} Happened;
extern Happened happened;

/* Two backups that share a pack, a pack of a killed run, and WAL. grace 0: --now --grace=0s. */
void world_begin(World *world, uint64_t seed, unsigned omitted, bool is_small);
void world_end(World *world);
/* rounds: runs of expire, or backups. */
void world_add(World *world, ActorKind kind, unsigned rounds);
void world_kill(World *world, size_t actor);
/* What the invariants know beside the store. */
uint64_t world_state(const World *world);
uint64_t world_draw(World *world, uint64_t below);
