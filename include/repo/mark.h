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
#define MARK_DAMAGE  "damage"  /* read back and found bad, by verify; void: read again, and good */
#define MARK_SUSPECT "suspect" /* a drill from it failed; void: a later one passed */
#define MARK_PROVEN  "proven"  /* a drill from it passed; void: a later one failed */
#define MARK_PIN     "pin"     /* not to be removed before `until`; void: it was let go */
#define MARK_REMOVED "removed" /* retention took WAL away: from the subject to `evidence` */

typedef enum MarkSubject {
    MARK_OF_BACKUP,  /* subject: its id */
    MARK_OF_WAL,     /* a WAL file's name */
    MARK_OF_PACK,    /* 32 hex digits. Nobody writes these two yet */
    MARK_OF_CLUSTER, /* its name */
} MarkSubject;

typedef struct Mark {
    const char *kind;
    MarkSubject what;
    const char *subject;
    bool is_void;         /* what the marks before it say holds no longer */
    TimeUs at;            /* When it was said, by the clock of that host. */
    TimeUs until;         /* TIME_US_NONE: for good */
    const char *by;       /* "verify" */
    const char *host;     /* where that ran */
    const char *reason;   /* one line, for people */
    const char *evidence; /* name of an object that tells more; "" */
} Mark;

/* Text of a mark, complete; and back. What the mark points to is in the arena. ERR_CORRUPT when it
 * is none; ERR_VERSION. */
void mark_encode(const Mark *mark, const Cluster *cluster, RecordWriter *text);
bool mark_decode(Mark *mark, const Cluster *cluster, const char *text, size_t size, Arena *arena,
                 Error *err) MUST_CHECK;

/* What counts now, of each kind and subject, also what is void. */
typedef struct MarkList {
    Mark *items; /* Sorted by kind, what and subject, each once. */
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
