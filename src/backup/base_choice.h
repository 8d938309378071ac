/*
 * base_choice.h - which earlier backup a new one may share with. Pure: nothing is read.
 *
 * The newest one that can be restored, that no drill has made suspect and that is not about to be
 * removed, that lies on the server's own history and ended before this backup began. One of the
 * server's timeline that ended after that shows that the server was set back (a snapshot, a copied
 * directory): what it has is compared page by page, and nothing is taken for unchanged unread.
 */
#pragma once

#include "catalog/backups.h"

typedef enum BaseVerdict {
    BASE_FITS,
    BASE_ENDS_LATER,
    BASE_IS_OUT, /* The backup is damaged, or a newer pgcairn wrote it. */
    BASE_IS_WAITING,
    BASE_IS_SUSPECT,
    BASE_IS_CONDEMNED,
    BASE_IS_FOREIGN, /* The backup is of another cluster, or of another major version. */
    /* Its timeline does not lead here, or was left before the backup ended. */
    BASE_ON_OTHER_HISTORY,
} BaseVerdict;

typedef struct BaseQuestion {
    const BackupList *list;
    /*
     * It has one element for each backup of the list. It is also true for one that can't be used
     * for another reason.
     */
    const bool *is_condemned;
    const TimelinePath *path; /* It is the server's path. */
    Lsn start;
    uint64_t system_identifier;
    unsigned major;
} BaseQuestion;

typedef struct BaseAnswer {
    const BackupInfo *base; /* It is NULL when there is none. */
    bool is_set_back;       /* The server is older than a backup of it. */
    /*
     * When base is NULL, it is the newest backup that there is, or NULL when there is none at all.
     */
    const BackupInfo *newest;
    BaseVerdict verdict; /* It says why `newest` is not taken. */
} BaseAnswer;

BaseAnswer base_choose(const BaseQuestion *question);

/* "is damaged": what is wrong with it, for a sentence that begins with the backup. */
const char *base_verdict_text(BaseVerdict verdict);
