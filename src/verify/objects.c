#include "objects.h"

#include "packs.h"
#include "past.h"
#include "remembered.h"
#include "troubles.h"

#include "repo/layout.h"
#include "repo/record.h"
#include "stream/codec.h"
#include "stream/digest.h"

#include <inttypes.h>

static const char registration_meaning[] =
    "Backups and WAL are as they were, but what they belong to is told by this record: without it "
    "the cluster can't be opened, or those of before an upgrade can't be recognised.";
static const char journal_meaning[] =
    "No backup and no WAL is touched: it only tells what happened.";
static const char evidence_meaning[] =
    "No backup and no WAL is touched: it only tells what a drill has shown.";
static const char incident_meaning[] =
    "No backup and no WAL is touched: it is a note of what happened in an incident.";
static const char lease_meaning[] =
    "No backup and no WAL is touched. While it is unreadable nobody can tell whether its writer "
    "still works.";

static const char condemned_meaning[] =
    "No backup and no WAL is touched. While it can't be read nothing is removed: it may name "
    "anything. Remove it, and the next expire begins anew.";

enum { LOG_SIZE_MAX = 1 << 20 }; /* of a drill: docs/format.md, chapter 7.6 */

/* d: a digit; h: a hex digit; others stand for themselves. More may follow. */
static bool begins_like(const char *text, const char *pattern)
{
    for (; *pattern != '\0'; pattern++, text++) {
        bool is_digit = *text >= '0' && *text <= '9';
        bool fits = *pattern == 'd'   ? is_digit
                    : *pattern == 'h' ? is_digit || (*text >= 'a' && *text <= 'f')
                                      : *text == *pattern;
        if (!fits)
            return false;
    }
    return true;
}

static bool is_like(const char *text, const char *pattern)
{
    return strlen(text) == strlen(pattern) && begins_like(text, pattern);
}

/* What follows "CLUSTER/FOLDER/"; NULL when it is elsewhere. */
static const char *name_in(const Cluster *cluster, const char *folder, const char *object)
{
    size_t cluster_size = strlen(cluster->name);
    size_t folder_size = strlen(folder);

    if (strncmp(object, cluster->name, cluster_size) != 0 || object[cluster_size] != '/')
        return NULL;
    object += cluster_size + 1;
    if (strncmp(object, folder, folder_size) != 0 || object[folder_size] != '/')
        return NULL;
    return object + folder_size + 1;
}

static bool is_registration(const Cluster *cluster, const char *object)
{
    const char *name = name_in(cluster, "registration", object);

    return name != NULL && is_like(name, "dddd");
}

static bool is_lease(const Cluster *cluster, const char *object)
{
    const char *name = name_in(cluster, "lease", object);

    return name != NULL && is_like(name, "hhhhhhhhhhhhhhhh.dddddddd");
}

static bool is_journal(const Cluster *cluster, const char *object)
{
    const char *name = name_in(cluster, "journal", object);

    return name != NULL && begins_like(name, "ddddddddTdddddd.dddZ-") && strchr(name, '/') == NULL;
}

/* "evidence/ID/record" or "log"; *is_record tells which. */
static bool is_evidence(const Cluster *cluster, const char *object, bool *is_record)
{
    char id[BACKUP_ID_SIZE];
    const char *what;

    if (!layout_evidence_of(cluster->name, object, id, &what))
        return false;
    *is_record = strcmp(what, "record") == 0;
    return *is_record || strcmp(what, "log") == 0;
}

static bool is_incident(const Cluster *cluster, const char *object)
{
    char id[BACKUP_ID_SIZE];

    return layout_incident_of(cluster->name, object, id);
}

static bool is_condemned(const Cluster *cluster, const char *object)
{
    const char *name = name_in(cluster, "condemned", object);

    return name != NULL && backup_id_is_valid(name, strlen(name));
}

static const char *pack_id_of(const Cluster *cluster, const char *object)
{
    const char *name = name_in(cluster, "pack", object);

    if (name == NULL || !is_like(name, "hh/hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh") ||
        strncmp(name, name + 3, 2) != 0)
        return NULL;
    return name + 3;
}

static void count_object(VerifyRun *run, uint64_t size)
{
    run->report->objects++;
    run->report->records++;
    run->report->bytes += size;
    progress_add(run->request->progress, size, size);
}

/* *ok is false when it became a finding, or vanished as leases and what is condemned do. */
static bool load_record(VerifyRun *run, const char *object, const char *kind, const char *meaning,
                        Record *record, bool *ok, Error *err)
{
    Error attempt = {0};

    *ok = record_load(run->cluster->repo->storage, object, kind, 1, record, &attempt);
    if (*ok || (attempt.code == ERR_NOT_FOUND &&
                (strcmp(kind, "lease") == 0 || strcmp(kind, "condemned") == 0)))
        return true;
    if (!is_finding(&attempt)) {
        *err = attempt;
        return error_context(err, "read \"%s\"", object);
    }
    trouble_means(run, trouble_of_error(run, object, &attempt), meaning);
    return true;
}

static bool parse_identity(const VerifyRun *run, const Record *record, Identity *identity,
                           Error *err)
{
    const char *name;
    uint64_t major;
    uint64_t segment_size;

    if (!record_get_text(record, "cluster", &name, err) ||
        !record_get_u64(record, "system_identifier", &identity->system_identifier, err) ||
        !record_get_u64(record, "major", &major, err) ||
        !record_get_u64(record, "wal_segment_size", &segment_size, err))
        return false;
    if (strcmp(name, run->cluster->name) != 0)
        return error_set(err, ERR_CORRUPT, "it registers \"%s\"", name);
    if (!wal_segment_size_is_valid(segment_size) || major > UINT32_MAX)
        return error_set(err, ERR_CORRUPT, "it has an impossible version or segment size");
    identity->major = (unsigned)major;
    identity->wal_segment_size = (uint32_t)segment_size;
    return true;
}

static bool verify_registration(VerifyRun *run, const ObjectInfo *object, Error *err)
{
    CLEANUP(record_done) Record record = {0};
    Identity identity;
    Error attempt = {0};
    bool ok;

    count_object(run, object->size);
    if (!load_record(run, object->name, "registration", registration_meaning, &record, &ok, err))
        return false;
    if (!ok)
        return true;
    if (!parse_identity(run, &record, &identity, &attempt)) {
        trouble_means(run, trouble_of_error(run, object->name, &attempt), registration_meaning);
        return true;
    }
    run->identities[run->identity_count++] = identity;
    return true;
}

static bool verify_repository(VerifyRun *run, Error *err)
{
    static const char meaning[] =
        "All backups and WAL of all clusters: without this record the repository can't be opened. "
        "Bring back a copy of it.";
    CLEANUP(record_done) Record record = {0};
    bool ok;

    count_object(run, 0);
    return load_record(run, LAYOUT_REPOSITORY, "repository", meaning, &record, &ok, err);
}

static bool verify_small_record(VerifyRun *run, const ObjectInfo *object, Error *err)
{
    CLEANUP(record_done) Record record = {0};
    bool journal = is_journal(run->cluster, object->name);
    bool incident = is_incident(run->cluster, object->name);
    bool condemned = is_condemned(run->cluster, object->name);
    const char *kind = journal     ? "journal"
                       : incident  ? "incident"
                       : condemned ? "condemned"
                                   : "lease";
    const char *meaning = journal     ? journal_meaning
                          : incident  ? incident_meaning
                          : condemned ? condemned_meaning
                                      : lease_meaning;
    bool ok;
    Error ignored = {0};

    if (!journal && !incident && !condemned && !is_lease(run->cluster, object->name))
        return true;
    if (run->request->backup != NULL) {
        /* Only for what it says of that backup. */
        ok = journal && record_load(run->cluster->repo->storage, object->name, "journal", 1,
                                    &record, &ignored);
    } else {
        count_object(run, object->size);
        if (!load_record(run, object->name, kind, meaning, &record, &ok, err))
            return false;
    }
    if (ok && journal)
        note_past_backup(run, object->name, &record);
    return true;
}

static bool log_is_kept(VerifyRun *run, const char *object, const Record *record, Error *err)
{
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    CLEANUP(buffer_done) Buffer stored = {0};
    CLEANUP(buffer_done) Buffer raw = {0};
    uint8_t digest[SHA256_SIZE];
    char text[SHA256_TEXT_SIZE];
    const char *expected;
    uint64_t size;

    if (!record_get_text(record, "log_sha256", &expected, err) ||
        !record_get_u64(record, "log_bytes", &size, err))
        return false;
    if (size == 0)
        return true;
    if (size > LOG_SIZE_MAX)
        return error_set(err, ERR_CORRUPT, "a log of %" PRIu64 " bytes", size);
    buffer_reserve(&raw, size);
    if (!storage_read(run->cluster->repo->storage, object, (size_t)2 * LOG_SIZE_MAX, &stored,
                      err) ||
        !codec_decompress(codec, CODEC_ZSTD, stored.data, stored.size, raw.data, size, err))
        return false;
    count_object(run, stored.size);
    sha256_of(raw.data, size, digest);
    return strcmp(sha256_text(digest, text), expected) == 0 ||
           error_set(err, ERR_CORRUPT, "it is not the log that was kept");
}

/* The record, and the log whose content it vouches for. */
static bool verify_evidence(VerifyRun *run, const ObjectInfo *object, Error *err)
{
    CLEANUP(record_done) Record record = {0};
    CLEANUP(text_freep) char *log = NULL;
    Error attempt = {0};
    bool ok;

    count_object(run, object->size);
    if (!load_record(run, object->name, "evidence", evidence_meaning, &record, &ok, err))
        return false;
    log = text_format("%.*slog", (int)(strlen(object->name) - strlen("record")), object->name);
    if (!ok || log_is_kept(run, log, &record, &attempt))
        return true;
    if (!is_finding(&attempt)) {
        *err = attempt;
        return error_context(err, "read \"%s\"", log);
    }
    trouble_means(run, trouble_of_error(run, log, &attempt), evidence_meaning);
    return true;
}

/* Numbers begin at 1 and none is left out. */
static void check_registrations(VerifyRun *run)
{
    for (unsigned number = 1; number <= run->cluster->registration; number++) {
        CLEANUP(text_freep) char *object = layout_registration(run->cluster->name, number);
        bool is_there = false;

        for (size_t i = 0; i < run->list.count && !is_there; i++)
            is_there = strcmp(run->list.objects[i].name, object) == 0;
        if (!is_there) {
            trouble_means(
                run, trouble_add(run, FINDING_MISSING, object, "the object is missing", NULL, NULL),
                registration_meaning);
        }
    }
}

bool verify_records(VerifyRun *run, Error *err)
{
    size_t count = 0;

    for (size_t i = 0; i < run->list.count; i++)
        count += is_registration(run->cluster, run->list.objects[i].name);
    run->identities = arena_alloc(&run->arena, (count + 1) * sizeof run->identities[0]);
    if (!verify_repository(run, err))
        return false;
    check_registrations(run);
    for (size_t i = 0; i < run->list.count; i++) {
        const ObjectInfo *object = &run->list.objects[i];

        bool is_record = false;

        if (is_evidence(run->cluster, object->name, &is_record)) {
            if (is_record && run->request->backup == NULL && !verify_evidence(run, object, err))
                return false;
        } else if (is_registration(run->cluster, object->name)
                       ? !verify_registration(run, object, err)
                       : !verify_small_record(run, object, err)) {
            return false;
        }
    }
    /* As it was opened: also when its registration can't be read any more. */
    run->identities[run->identity_count++] =
        (Identity){.system_identifier = run->cluster->system_identifier,
                   .major = run->cluster->major,
                   .wal_segment_size = run->cluster->wal_segment_size};
    return true;
}

static bool is_reserve(const Cluster *cluster, const char *object)
{
    const char *name = name_in(cluster, "reserve", object);

    return name != NULL && is_like(name, "dd");
}

/* "....wal.damaged-0123abcd" */
static bool is_set_aside(const Cluster *cluster, const char *object)
{
    static const char mark[] = ".wal.damaged-";
    const char *name = name_in(cluster, "wal", object);
    const char *ending = name == NULL ? NULL : strstr(name, mark);

    return ending != NULL && is_like(ending + sizeof mark - 1, "hhhhhhhh");
}

/* What wal-quarantine has set aside: its record, or an object of it. */
static bool is_quarantined(const Cluster *cluster, const char *object, bool *is_record)
{
    char id[BACKUP_ID_SIZE];
    const char *what;

    if (!layout_quarantine_of(cluster->name, object, id, &what))
        return false;
    *is_record = strcmp(what, "record") == 0;
    return *is_record || begins_like(what, "wal/") || begins_like(what, "open/");
}

static bool object_is_known(const VerifyRun *run, const char *object)
{
    const Cluster *cluster = run->cluster;
    char id[BACKUP_ID_SIZE];
    WalName name;
    uint32_t from;
    uint32_t to;
    MarkName mark;
    bool is_record;

    return is_registration(cluster, object) || is_lease(cluster, object) ||
           is_journal(cluster, object) || is_condemned(cluster, object) ||
           is_reserve(cluster, object) || is_incident(cluster, object) ||
           is_evidence(cluster, object, &is_record) || pack_id_of(cluster, object) != NULL ||
           is_known_object(cluster, object) || layout_mark_of(cluster->name, object, &mark) ||
           layout_backup_id_of(cluster->name, object, id) ||
           layout_wal_name_of(cluster->name, object, cluster->wal_segment_size, &name) ||
           layout_piece_of(cluster->name, object, cluster->wal_segment_size, &name, &from, &to);
}

static void objects_note(VerifyRun *run, const ObjectInfo *object, const char *what,
                         const char *meaning)
{
    char size[32];

    snprintf(size, sizeof size, "%" PRIu64 " bytes", object->size);
    trouble_means(run, trouble_add(run, FINDING_NOTE, object->name, what, NULL, size), meaning);
}

static void note_pack(VerifyRun *run, const ObjectInfo *object)
{
    bool all_readable = true;

    for (size_t i = 0; i < run->backup_count; i++)
        all_readable = all_readable && run->backups[i].is_readable;
    objects_note(run, object, "unreferenced: no readable manifest refers to this pack",
                 all_readable
                     ? "No backup needs it: a backup is running, one was interrupted, or one was "
                       "removed; `pgcairn expire` removes it once it is sure. Its content was not "
                       "checked."
                     : "A backup whose manifest is damaged may consist of it. Its content was not "
                       "checked.");
}

bool verify_leftovers(VerifyRun *run, Error *err)
{
    (void)err;
    if (run->request->backup != NULL)
        return true;
    for (size_t i = 0; i < run->list.count; i++) {
        const ObjectInfo *object = &run->list.objects[i];
        const char *pack = pack_id_of(run->cluster, object->name);
        bool is_record = false;

        if (is_quarantined(run->cluster, object->name, &is_record)) {
            if (is_record) {
                objects_note(
                    run, object, "WAL was set aside by wal-quarantine",
                    "No recovery reads it, and it was not looked at here. `pgcairn "
                    "wal-quarantine` lists what was set aside, and puts it back with --undo.");
            }
        } else if (pack != NULL && pack_find(run, pack) == NULL) {
            note_pack(run, object);
        } else if (is_set_aside(run->cluster, object->name)) {
            objects_note(
                run, object, "set aside as damaged when the server archived it again",
                "No recovery reads it. `pgcairn expire` removes it once its good twin is 30 days "
                "old.");
        } else if (!object_is_known(run, object->name)) {
            objects_note(run, object, "an object of unknown kind",
                         "It is not pgcairn's: it is never read and never removed.");
        }
    }
    return true;
}
