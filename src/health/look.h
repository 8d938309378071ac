/*
 * look.h - the parts of health_look(): the server, what waits in its pg_wal, and its WAL.
 */
#pragma once

#include "health/health.h"
#include "server/session.h"

/*
 * Ask whatever can be reached of the server: by SQL, and through its data directory. What can't be
 * is a fact, see ServerLook. *session stays open when it answers; else NULL. ERR_INTERRUPTED;
 * ERR_REFUSED when data and conninfo are of two clusters.
 */
bool server_look(const HealthRequest *request, Arena *arena, ServerLook *server, Session **session,
                 Error *err) MUST_CHECK;
/* Again what changes from moment to moment. */
bool server_look_again(Session *session, Arena *arena, ServerLook *server, Error *err) MUST_CHECK;

/* ERR_INTERRUPTED; all else is a fact. */
bool ready_pile_look(const ServerLook *server, Session *session, Arena *arena, ReadyPile *pile,
                     Error *err) MUST_CHECK;
/* A name of archive_status: any. */
void ready_pile_add(ReadyPile *pile, const char *name, TimeUs marked_at, uint32_t segment_size);
/* Once all are added. now: the server's clock. last_archived_at: TIME_US_NONE when never. */
void ready_pile_measure(ReadyPile *pile, uint32_t segment_size, TimeUs now,
                        TimeUs last_archived_at);

/* Files of pg_wal: by the data directory, or by SQL for a role that may read them. */
typedef struct WalFiles {
    const char *directory; /* NULL means that SQL is used. */
    Session *session;
} WalFiles;
bool wal_files_read(void *context, const char *name, uint64_t offset, size_t size, Buffer *bytes,
                    bool *is_there, Error *err) MUST_CHECK;

/* Whether these are the first bytes of the segment that begins at start, and not an older one's. */
bool wal_file_begins_at(const Cluster *cluster, const Buffer *bytes, Lsn start, uint32_t timeline);
/* Whether the record that goes on in the next segment may be a commit. */
bool wal_tail_may_be_commit(const WalReaderState *reader);

/* One look in progress. */
typedef struct Look {
    Health *health;
    Session *session; /* NULL means that the server does not answer. */
    WalFiles files;
    /*
     * The server's WAL that follows what is archived was seen up to here. 0 means that there is
     * none.
     */
    Lsn seen_to;
    Arena *arena;
} Look;

/* Ask the server once more. It may have gone away meanwhile: then that is the fact. */
bool look_ask_again(Look *look, Error *err) MUST_CHECK;
bool exposure_unknown(Exposure *exposure, const char *reason); /* true */
/*
 * The exposure against what the archive holds, or, when the repository can't be asked, by what the
 * server has not marked as archived. *again: the server took away what was to be read, since it was
 * archived meanwhile.
 */
bool measure_by_archive(Look *look, Exposure *exposure, bool *again, Error *err) MUST_CHECK;
bool measure_by_archiver(Look *look, Exposure *exposure, Error *err) MUST_CHECK;

/* server->archives_to. store: how another repository is opened. ERR_INTERRUPTED; all else is a
 * fact.
 */
bool archive_place_look(const StorageSetup *store, Health *health, Arena *arena,
                        Error *err) MUST_CHECK;
/* health->branches, once path and listing are known. */
bool branches_look(Health *health, Error *err) MUST_CHECK;

/* health->room, once the backups are known. ERR_INTERRUPTED; all else is a fact. */
bool room_look(Health *health, Arena *arena, Error *err) MUST_CHECK;

/* health->duties and health->outlook, once backups and windows are known. */
bool ledger_look(Health *health, const HealthRequest *request, Arena *arena, Error *err) MUST_CHECK;

/* What cannot be ignored by a look that takes all else for a fact. */
static inline bool is_final(const Error *err)
{
    return err->code == ERR_INTERRUPTED || err->code == ERR_INTERNAL;
}
