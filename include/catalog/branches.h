/*
 * branches.h - which history is meant: the branches in the archive, and the one place that decides
 * which of them a restore follows.
 *
 * A branch is a path through timelines up to its tip. Where a server was restored to a point in the
 * past, or promoted beside a primary that went on, a timeline leaves another one, and that one may
 * go on beyond that place: then it is a branch of its own.
 *
 *     branch_list_load()      what there is: paths, by the histories and the listing
 *     branch_list_compare()   what each has that a path has not; reads the WAL beyond the place
 *                             where they part, and only if there is more than one branch
 *     branch_judge()          pure: may a restore that was not told which branch is meant go along
 *                             this path?
 */
#pragma once

#include "catalog/backups.h"
#include "catalog/target.h"

/*
 * The history that a server is on, by its pg_control and its history file: of the directory that a
 * restore is to replace, or of a running server. The path says where each timeline was left, as
 * that server's own history file has it; the archive may know another one of the same number, or
 * none.
 */
typedef struct ServerBranch {
    TimelinePath path; /* It is borrowed. Its last timeline is the server's. */
    Lsn reached;       /* Its WAL goes at least this far on that path. */
    /*
     * They are the end of its last commit record and the time of that commit, as far as its WAL
     * could be read. When commit_end is 0, it is not known, and `reached` stands for it.
     * commit_time may be TIME_US_NONE.
     */
    Lsn commit_end;
    TimeUs commit_time;
} ServerBranch;

/* A commit record; time TIME_US_NONE: there is none. */
typedef struct BranchCommit {
    TimeUs time;
    Lsn lsn;
    uint32_t xid;
} BranchCommit;

/* What a branch has beyond the place where it parts from another path. */
typedef struct BranchGain {
    /* The branches part here. LSN_NEVER means that the path has all that this branch has. */
    Lsn from;
    uint64_t commits;
    TimeUs first, last; /* They are the earliest and the latest commit times, or TIME_US_NONE. */
    /*
     * This many transactions are open at its end, of those that were prepared in the segment of the
     * last commit or later. What only a PREPARE TRANSACTION says was acknowledged as well.
     */
    uint64_t prepared;
    TimeUs prepared_last; /* It is TIME_US_NONE when there are none. */
} BranchGain;

/* "3 commits", "1 prepared transaction", "3 commits and 1 prepared transaction"; in the arena. */
const char *branch_gain_text(const BranchGain *gain, Arena *arena);
/* The latest of the times of what it has; TIME_US_NONE: it has nothing. */
TimeUs branch_gain_last(const BranchGain *gain);

typedef struct Branch {
    uint32_t timeline; /* It is the last one of its path. */
    TimelinePath path;
    uint32_t parent; /* 0 means that it begins with its first timeline. */
    Lsn begin;       /* It left its parent here. */
    bool has_wal;    /* There is WAL of its own timeline, not only a history. */
    BranchCommit last_commit;
    const BackupInfo *backup; /* It is the newest backup on it that can be restored, or NULL. */
    BranchGain gain;
    /* The target is beyond gain.from. Whoever looks for a target sets it (branch_holds_target). */
    bool holds_target;
    /* Nobody is asked about it, because what is to be recovered does not lead to it. */
    bool is_passed;
} Branch;

#define LSN_NEVER UINT64_MAX

typedef struct BranchList {
    Branch *items; /* They are sorted by timeline. */
    size_t count;
    /* They are all timelines that there are, branches or not, in ascending order. */
    uint32_t *timelines;
    size_t timeline_count;
    /* It is the newest timeline whose history is missing or damaged. 0 means that there is none. */
    uint32_t unreadable;

    /* The next fields are of the path that the branches were compared with. */
    Lsn end; /* Its last complete record ends here. 0 means that it has none. */
    BranchCommit last_commit;
    const BackupInfo *backup; /* It is the newest backup on it that can be restored, or NULL. */
    /*
     * Its last timeline began then. TIME_US_NONE means that this is not known, or that it is the
     * first.
     */
    TimeUs begins;
    Arena arena;
} BranchList;

/*
 * Borrows the backups. A timeline that others go on from, all of whose WAL they have, is not a
 * branch.
 */
bool branch_list_load(BranchList *list, const Cluster *cluster, const WalInventory *inventory,
                      const BackupList *backups, Error *err) MUST_CHECK;
void branch_list_done(BranchList *list); /* for CLEANUP() */

/*
 * The one that a restore takes when it is told nothing: the highest number, as with the server's
 * own "latest". NULL when there is none.
 */
const Branch *branch_list_newest(const BranchList *list);
/* "1, 2, 3": all timelines, in the arena. */
const char *branch_list_timelines(const BranchList *list, Arena *arena);

/*
 * Fill gain and last_commit of every branch, and what the list says about this path. What can't be
 * read (a damaged segment) is left out. ERR_UNREACHABLE and the like.
 */
bool branch_list_compare(BranchList *list, const Cluster *cluster, const WalInventory *inventory,
                         const BackupList *backups, const TimelinePath *path, unsigned threads,
                         Error *err) MUST_CHECK;

/* Where two paths part: the first place that is not on the same timeline in both; LSN_NEVER when
 * they never do. */
Lsn paths_part(const TimelinePath *one, const TimelinePath *other);

/*
 * Whether the target lies on the branch beyond gain.from. TARGET_TIME: whether something that was
 * committed there belongs to that instant. Others: whether the record is there.
 */
bool branch_holds_target(const Branch *branch, const Cluster *cluster,
                         const WalInventory *inventory, const Target *target, unsigned threads,
                         bool *holds, Error *err) MUST_CHECK;

typedef enum BranchReason {
    BRANCH_FITS,
    BRANCH_TARGET_ELSEWHERE, /* The target exists on another branch only, beyond the fork. */
    /* The target exists on this branch and on another one, beyond the fork. */
    BRANCH_TARGET_TWICE,
    BRANCH_NOT_SERVERS,   /* The directory that is replaced is on another branch. */
    BRANCH_OLDER_COMMITS, /* Another branch has later commits. */
    BRANCH_OLDER_BACKUP,  /* Another branch has a newer base backup. */
} BranchReason;

/* A restore that was not given a timeline. */
typedef struct BranchQuestion {
    const BranchList *list;   /* It was compared with path. */
    const TimelinePath *path; /* The restore would go along this path. */
    TargetKind kind;
    bool is_found; /* The target is on this path, or the archive's end is taken for it. */
    /* Its replay would end here. It is not read when the target was not found. */
    Lsn until;
    Lsn stop; /* This record ends it. 0 means that none does. */
    /* It would replay this commit as the last one. 0 means that there is none. */
    Lsn last_commit;
    /* The kind is TARGET_IMMEDIATE, and the operator did not choose a backup. */
    bool takes_newest_backup;
    const ServerBranch *server; /* It is NULL when it is not known. */
} BranchQuestion;

typedef struct BranchAnswer {
    BranchReason reason;
    /*
     * It is the first branch that speaks against it. It is NULL when there is none, or with
     * BRANCH_NOT_SERVERS when the archive does not have that branch.
     */
    const Branch *other;
} BranchAnswer;

BranchAnswer branch_judge(const BranchQuestion *question);
/* What the other one has: "later commits", "later prepared transactions", "a newer base backup". */
const char *branch_answer_text(const BranchAnswer *answer);

/*
 * Whether a recovery along the path has all that the server has committed, if it goes far enough;
 * else *part is where the two histories part.
 */
bool server_branch_fits(const ServerBranch *server, const TimelinePath *path, Lsn *part);
/*
 * The answer to a restore with neither target nor timeline: compares the branches with the newest,
 * which must be there.
 */
bool branch_judge_default(BranchList *list, const Cluster *cluster, const WalInventory *inventory,
                          const BackupList *backups, const ServerBranch *server,
                          BranchAnswer *answer, Error *err) MUST_CHECK;

/* The branch in the list that the server is on, or that goes on from where it is; NULL. */
const Branch *branch_list_of_server(const BranchList *list, const ServerBranch *server);
/* ERR_REFUSED: names each branch that is meant, with its last commit and the option that picks it.
 */
bool branch_refuse(const BranchQuestion *question, const BranchAnswer *answer, const char *target,
                   Error *err) MUST_CHECK;
