/*
 * log_print.h - a line for each thing that happened, for people or for machines.
 */
#pragma once

#include "answer/log_branches.h"
#include "catalog/relation_names.h"
#include "cli/output.h"
#include "walk/happenings.h"
#include "walk/restore_points.h"

typedef struct LogPrinter {
    const WalWalk *walk;
    RelationNames *names;
    uint32_t target_timeline; /* Suggestions name it. 0 means that there is only one timeline. */
    /* They are those of the whole path. They are filled when the first one is met. */
    RestorePointList points;
    bool has_points;
    Buffer text; /* It is the line that is being made. */
} LogPrinter;

void log_printer_done(LogPrinter *printer); /* for CLEANUP() */

typedef struct LogEnd {
    WalScanEnd scan;
    bool is_limited; /* As many lines as --limit allows were shown, and there is more. */
    bool is_bounded; /* It ends where the user asked, not where the archive does. */
    uint32_t timeline;
    /* That timeline begins here, when none of its WAL is archived yet. Otherwise it is 0. */
    Lsn unborn;
    uint64_t shown, gaps;
} LogEnd;

bool log_print_line(LogPrinter *printer, const Happening *happening, Error *err) MUST_CHECK;
/* One object a line. */
bool log_print_json(LogPrinter *printer, const Happening *happening, Error *err) MUST_CHECK;
/* In front of each of several branches. */
bool log_print_branch(const LogBranch *branch, bool json, Error *err) MUST_CHECK;
/* Of a branch that was not looked at: which it is. */
void log_print_other(const LogBranch *branch);
bool log_print_end(LogPrinter *printer, bool json, const LogEnd *end, Error *err) MUST_CHECK;

/*
 * Where to stop a restore so that this did not happen; false when there is nothing to undo. A
 * database or tablespace goes as soon as the record that removes it is replayed, not at the commit.
 */
typedef struct LogUndo {
    uint32_t xid; /* Stop before this transaction's commit. */
    Lsn lsn;      /* Stop before this record. When both are 0, the place can't be said. */
} LogUndo;
bool log_undo(const LogPrinter *printer, const Happening *happening, LogUndo *undo, bool *has_undo,
              Error *err) MUST_CHECK;

/*
 * Of a restore point whose name was given several times on this path: which of them it is, from 1,
 * and how many there are; *count is 1 where there is only one.
 */
bool log_point_number(LogPrinter *printer, const Happening *happening, uint64_t *number,
                      uint64_t *count, Error *err) MUST_CHECK;
