/*
 * mark.h - what was found out, or is wanted, about a backup or a WAL object: a small record of its
 * own, so that nobody has to change what it speaks of. docs/format.md, chapter 7.5.
 *
 *     CLEANUP(mark_list_done) MarkList marks = {.count = 0};
 *     if (!mark_list_load(&marks, &cluster, err))
 *         return false;
 *     const Mark *damage = mark_find(&marks, MARK_DAMAGE, MARK_OF_BACKUP, id);
 *
 * Marks are immutable, and several may speak of one thing: of one kind, about one subject, the one
 * with the highest number counts. Clocks don't: they differ from host to host. Unlike known/ a mark
 * must not be removed by anybody but its next: it is not told anywhere else.
 */
#pragma once

#include "repo/record.h"
#include "repo/repo.h"

/*
 * Kinds. A word each; of one that it does not know a program says and removes nothing, so that
 * later versions can add theirs.
 */
/* verify read it back and found it bad. A void one says that it was read again, and good. */
#define MARK_DAMAGE "damage"
/* A drill from it failed. A void one says that a later drill passed. */
#define MARK_SUSPECT "suspect"
/* A drill from it passed. A void one says that a later drill failed. */
#define MARK_PROVEN "proven"
/* It must not be removed before `until`. A void one says that it was let go. */
#define MARK_PIN "pin"
/* Retention removed WAL, from the subject to `evidence`. */
#define MARK_REMOVED "removed"

typedef enum MarkSubject {
    MARK_OF_BACKUP,  /* The subject is the backup's id. */
    MARK_OF_WAL,     /* The subject is the name of a WAL file. */
    MARK_OF_PACK,    /* The subject has 32 hex digits. Nobody writes this one and the next yet. */
    MARK_OF_CLUSTER, /* The subject is the cluster's name. */
} MarkSubject;

typedef struct Mark {
    const char *kind;
    MarkSubject what;
    const char *subject;
    bool is_void;         /* What the marks before it say is no longer true. */
    TimeUs at;            /* It was said then, by the clock of that host. */
    TimeUs until;         /* TIME_US_NONE means that it has no end. */
    const char *by;       /* It is, for example, "verify". */
    const char *host;     /* That ran on this host. */
    const char *reason;   /* It has one line, for people. */
    const char *evidence; /* It is the name of an object that tells more, or "". */
} Mark;

/* Text of a mark, complete; and back. What the mark points to is in the arena. ERR_CORRUPT when it
 * is none; ERR_VERSION. */
void mark_encode(const Mark *mark, const Cluster *cluster, RecordWriter *text);
bool mark_decode(Mark *mark, const Cluster *cluster, const char *text, size_t size, Arena *arena,
                 Error *err) MUST_CHECK;

/* What counts now, of each kind and subject, also what is void. */
typedef struct MarkList {
    Mark *items; /* They are sorted by kind, what and subject. Each is there once. */
    size_t count;
    Arena arena;
} MarkList;

/*
 * One that can't be read, or that a newer version wrote, holds, and its reason says so: to forget
 * damage would be worse. ERR_UNREACHABLE, ERR_IO.
 */
bool mark_list_load(MarkList *list, const Cluster *cluster, Error *err) MUST_CHECK;
void mark_list_done(MarkList *list); /* for CLEANUP() */

/* The one that holds; NULL: there is none, or it is void. */
const Mark *mark_find(const MarkList *list, const char *kind, MarkSubject what,
                      const char *subject);

/*
 * Store it as the newest of its kind about its subject, then remove those before it (best effort).
 * by, host and at are the caller's.
 */
bool mark_store(const Cluster *cluster, const Mark *mark, Error *err) MUST_CHECK;

/*
 * What was read whole now, and is good: a mark of damage about it is made void, if there is one.
 * All of it costs a listing where there is none.
 */
bool mark_take_back_damage(const Cluster *cluster, MarkSubject what, const char *subject,
                           const char *by, Error *err) MUST_CHECK;

/* Of damage: "verify found it bad at 2026-11-22T13:30:00.123Z: REASON". In the arena. */
const char *mark_text(const Mark *mark, Arena *arena);
