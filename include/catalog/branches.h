/*
 * branches.h - which history is meant: the branches in the archive, and the one place that decides
 * which of them a restore follows.
 *
 * A branch is a path through timelines up to its tip. Where a server was restored to a point in the
 * past, or promoted beside a primary that went on, a timeline leaves another one, and that one may
 * go on beyond that place: then it is a branch of its own.
 */
#pragma once

#include "postgres/history.h"

#include "base/time.h"

/*
 * The history that a server is on, by its pg_control and its history file: of the directory that a
 * restore is to replace, or of a running server. The path says where each timeline was left, as
 * that server's own history file has it; the archive may know another one of the same number, or
 * none.
 */
typedef struct ServerBranch {
    TimelinePath path; /* borrowed; its last timeline is the server's */
    Lsn reached;       /* on that path its WAL goes at least this far */
    /*
     * The end of its last commit record, and when that was committed, as far as its WAL could be
     * read. 0: not known, then `reached` stands for it; TIME_US_NONE.
     */
    Lsn commit_end;
    TimeUs commit_time;
} ServerBranch;
