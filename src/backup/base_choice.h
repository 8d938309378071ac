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
    BASE_IS_OUT, /* damaged, or of a newer pgcairn */
    BASE_IS_WAITING,
    BASE_IS_SUSPECT,
    BASE_IS_CONDEMNED,
    BASE_IS_FOREIGN,       /* of another cluster, or of another major version */
    BASE_ON_OTHER_HISTORY, /* its timeline does not lead here, or was left before it ended */
} BaseVerdict;

typedef struct BaseQuestion {
    const BackupList *list;
    const bool *is_condemned; /* one for each; or of which something else is known */
    const TimelinePath *path; /* the server's */
    Lsn start;
    uint64_t system_identifier;
    unsigned major;
} BaseQuestion;

typedef struct BaseAnswer {
    const BackupInfo *base;   /* NULL: none */
    bool is_set_back;         /* the server is older than a backup of it */
    const BackupInfo *newest; /* base is NULL: the newest one that there is; NULL: none at all */
    BaseVerdict verdict;      /* ... and why it is not taken */
} BaseAnswer;

BaseAnswer base_choose(const BaseQuestion *question);

/* "is damaged": what is wrong with it, for a sentence that begins with the backup. */
const char *base_verdict_text(BaseVerdict verdict);
