/*
 * backups.h - which backups there are, and whether each can be restored: derived from what is in
 * the archive, never a flag, and from what verify found bad when it read all of it (repo/mark.h).
 */
#pragma once

#include "pack/manifest.h"
#include "wal/wal_object.h"
#include "walk/inventory.h"

typedef enum BackupState {
    BACKUP_RESTORABLE,
    /* WAL between its start and stop is not, or not yet, complete in the archive. */
    BACKUP_WAITING,
    /*
     * Its manifest or a pack is missing or unreadable, or it or WAL that it needs was found
     * damaged. `reason` says why.
     */
    BACKUP_DAMAGED,
    BACKUP_NEWER, /* A newer pgcairn wrote its manifest, so nothing is known of it. */
} BackupState;

typedef struct BackupInfo {
    ManifestHeader header; /* Without has_header only .id is set. Texts are never NULL. */
    bool has_header;       /* The head of its manifest can be read. */
    BackupState state;
    const char *reason;    /* It says why the backup can't be restored, or is "". */
    uint64_t stored_bytes; /* The packs that the backup stored itself have this many bytes. */
    uint64_t pack_bytes;   /* All packs that it refers to have this many bytes. */
    /*
     * The packs that no other backup refers to have this many bytes: removing the backup frees
     * them.
     */
    uint64_t freed_bytes;
    /*
     * It says why a drill from the backup failed. It is NULL when none did, or a later one passed.
     */
    const char *suspect;
    TimeUs proven_at; /* A drill from the backup passed last at this time. 0 means that none did. */
} BackupInfo;

/* Out: damaged, or of a newer pgcairn. No recovery begins with it; perhaps only its id is known. */
static inline bool backup_is_out(const BackupInfo *backup)
{
    return backup->state == BACKUP_DAMAGED || backup->state == BACKUP_NEWER;
}

typedef struct BackupList {
    /* They are sorted by stop LSN within a timeline path. Those that can't be used come last. */
    BackupInfo *items;
    size_t count;
    Arena arena;
} BackupList;

/*
 * Load the head of every manifest (pack/manifest.h says what that promises). Damaged ones are
 * listed, not an error; so are those that verify missed: their manifest is gone.
 */
bool backup_list_load(BackupList *list, const Cluster *cluster, const WalInventory *inventory,
                      Error *err) MUST_CHECK;
/* The same, and each head that can be read is shown once, with its packs: they are too many to
 * keep. */
typedef void HeadVisitor(void *context, const ManifestHead *head);
bool backup_list_load_visiting(BackupList *list, const Cluster *cluster,
                               const WalInventory *inventory, HeadVisitor *visit, void *context,
                               Error *err) MUST_CHECK;
void backup_list_done(BackupList *list); /* for CLEANUP() */
/*
 * The whole manifest was read, and can't be (ERR_CORRUPT, ERR_VERSION: `cause`): from now on that
 * backup is out, with nothing known but its id, as if its head had been so. Moves the items.
 */
void backup_list_put_out(BackupList *list, const char *id, const Error *cause);
const BackupInfo *backup_list_find(const BackupList *list, const char *id);

/*
 * Whether the archived segment in which a backup ends is proven to be of another server's WAL: a
 * backup of a primary ends with a record that says where it began (XLOG_BACKUP_END, at `stop`), and
 * that WAL has another record there, or none. Pure; trailer: of that segment, whole.
 */
bool backup_wal_is_foreign(Lsn start, Lsn stop, const WalTrailer *trailer);

/* Whether a backup can start a recovery along this path: its timeline is on it, stop before the
 * path leaves that timeline. */
bool backup_is_on_path(const BackupInfo *backup, const TimelinePath *path);
