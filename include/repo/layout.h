/*
 * layout.h - the names of objects. docs/format.md, chapter 1, is the authority.
 *
 * Each returns text that the caller frees (CLEANUP(text_freep)).
 */
#pragma once

#include "base/base.h"
#include "postgres/wal_name.h"

#define LAYOUT_REPOSITORY "repository"

enum { BACKUP_ID_SIZE = 24 };

/*
 * [a-zA-Z0-9][a-zA-Z0-9_-]{0,62}, and none of the names of the repository itself.
 * ERR_USAGE with what is wrong.
 */
bool cluster_name_check(const char *name, Error *err) MUST_CHECK;

char *layout_registration(const char *cluster, unsigned number);
char *layout_registration_prefix(const char *cluster);
char *layout_manifest(const char *cluster, const char *backup);
char *layout_backup_prefix(const char *cluster);
char *layout_pack(const char *cluster, const char *pack_id); /* 32 hex digits */
char *layout_pack_prefix(const char *cluster);
char *layout_wal(const char *cluster,
                 const char *wal_name); /* "main/wal/0000000100000001/....wal" */
char *layout_wal_prefix(const char *cluster);
/* All segments of one timeline and high half; the folder a name is in. */
char *layout_wal_folder(const char *cluster, const char *wal_name);
/* Pieces of segments that are still being written: wal/wal_piece.h. */
char *layout_open_prefix(const char *cluster);
char *layout_piece(const char *cluster, const char *wal_name, uint32_t from, uint32_t to);
char *layout_lease_prefix(const char *cluster);
/* Room for the records of whoever makes room: repo/reserve.h. */
char *layout_reserve_prefix(const char *cluster);
char *layout_journal_prefix(const char *cluster);
char *layout_incident_prefix(const char *cluster);
char *layout_condemned_prefix(const char *cluster);
/* What was set aside, under an id like a backup's: a record, and objects as they were called. */
char *layout_quarantine_prefix(const char *cluster);
char *layout_quarantine_record(const char *cluster, const char *id);
/* Where an object of wal/ or open/ goes; object is its whole name. */
char *layout_quarantined(const char *cluster, const char *id, const char *object);
/* What a drill has shown, under an id like a backup's: a record, and the server's log. */
char *layout_evidence_prefix(const char *cluster);
char *layout_evidence_record(const char *cluster, const char *id);
char *layout_evidence_log(const char *cluster, const char *id);
/* What was found out once: of a timeline's segments from this one on, or of a backup. */
char *layout_known_prefix(const char *cluster);
char *layout_known_wal_prefix(const char *cluster, uint32_t timeline, uint64_t first);
char *layout_known_wal(const char *cluster, uint32_t timeline, uint64_t first, uint64_t number);
char *layout_known_backup(const char *cluster, const char *backup, uint64_t number);
/* What the older folders of WAL had in them: walk/known_folders.h. */
char *layout_known_folders_prefix(const char *cluster);
char *layout_known_folders(const char *cluster, uint64_t number);
/* Marks (repo/mark.h); all of one kind about one subject begin with layout_mark_about(). */
char *layout_mark_prefix(const char *cluster);
char *layout_mark_about(const char *cluster, const char *kind, const char *what,
                        const char *subject);
char *layout_mark(const char *cluster, const char *kind, const char *what, const char *subject,
                  unsigned number, uint32_t random);

/*
 * The WAL file's name in an object's name under wal/; false for anything else there (objects set
 * aside as damaged, foreign files). segment_size tells which names a cluster can have.
 */
bool layout_wal_name_of(const char *cluster, const char *object, uint32_t segment_size,
                        WalName *name);
/* The segment, and the bytes of it, in the name of an object under open/; false: no piece. */
bool layout_piece_of(const char *cluster, const char *object, uint32_t segment_size, WalName *name,
                     uint32_t *from, uint32_t *to);
/*
 * The id in the name of an object under quarantine/, and what follows it: "record", or the object's
 * name before, without the cluster's; false: another name.
 */
bool layout_quarantine_of(const char *cluster, const char *object, char id[BACKUP_ID_SIZE],
                          const char **what);
/* The same of an object under evidence/; what follows is "record" or "log". */
bool layout_evidence_of(const char *cluster, const char *object, char id[BACKUP_ID_SIZE],
                        const char **what);
/* The incident's id in the name of an object under incident/. */
bool layout_incident_of(const char *cluster, const char *object, char id[BACKUP_ID_SIZE]);
/* What an object under known/ is about, by its name; false: about no WAL. */
bool layout_known_wal_of(const char *cluster, const char *object, uint32_t *timeline,
                         uint64_t *first);
/* A new id "20261122T031500Z-k3v7qa" for what begins now. */
bool backup_id_new(char id[BACKUP_ID_SIZE], Error *err) MUST_CHECK;
/* Whether a text of this size can be a backup's id: "20261122T031500Z-k3v7qa". */
bool backup_id_is_valid(const char *text, size_t size);
/* The id out of ".../manifest", in arena-free storage of the caller. */
bool layout_backup_id_of(const char *cluster, const char *object, char id[BACKUP_ID_SIZE]);
/* The backup's id in the name of an object under known/; false: it is about no backup. */
bool layout_known_backup_of(const char *cluster, const char *object, char id[BACKUP_ID_SIZE]);
/* Whether an object under known/ is about the folders of WAL, by its name. */
bool layout_known_folders_of(const char *cluster, const char *object);

enum { MARK_WORD_SIZE = 24, MARK_SUBJECT_SIZE = 64 };
/* What the name of an object under mark/ says about it. */
typedef struct MarkName {
    char kind[MARK_WORD_SIZE]; /* It is a word of a-z and _. */
    char what[MARK_WORD_SIZE];
    char subject[MARK_SUBJECT_SIZE]; /* It has letters, digits, ".", "_" and "-". */
    unsigned number;
} MarkName;
bool layout_mark_of(const char *cluster, const char *object, MarkName *name);
