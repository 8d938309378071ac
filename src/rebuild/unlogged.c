#include "rebuild/unlogged.h"

#include "base/log.h"
#include "postgres/data_directory.h"
#include "postgres/wal_summary.h"
#include "walk/wal_scan.h"

enum { TABLESPACE_DEFAULT = 1663 };

typedef struct InitForks {
    RestorePlan *plan;
    const PgVersion *version;
    Lsn from;
} InitForks;

bool init_forks_in_tail(const WalReaderState *reader, unsigned major)
{
    return reader->tail_record != 0 &&
           (!reader->tail_has_kind || (wal_changes_possible(reader->tail_rmgr, reader->tail_info,
                                                            pg_version_of_major(major)) &
                                       WAL_CREATES_INIT_FORKS) != 0);
}

static char *main_fork_path(const RelationFile *file, unsigned major)
{
    char version[TABLESPACE_DIRECTORY_SIZE];

    if (file->tablespace == GLOBAL_TABLESPACE)
        return text_format("global/%u", file->number);
    if (file->tablespace == TABLESPACE_DEFAULT)
        return text_format("base/%u/%u", file->database, file->number);
    return text_format("pg_tblspc/%u/%s/%u/%u", file->tablespace,
                       tablespace_directory_text(major, version), file->database, file->number);
}

/* The first entry that does not come before the path; extras come last. */
static size_t lower_bound(const Manifest *manifest, const char *path)
{
    size_t low = 0, high = manifest->entry_count;

    while (high > 0 && manifest->entries[high - 1].kind == ENTRY_EXTRA)
        high--;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(manifest->entries[middle].path, path) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* What follows the relation's number: nothing, a segment's number, another fork. */
static bool is_of_relation(const char *end)
{
    return *end == '\0' || *end == '.' || (*end == '_' && strncmp(end, "_init", 5) != 0);
}

size_t unlogged_drop(Manifest *manifest, const RelationFile *file)
{
    CLEANUP(text_freep) char *path = main_fork_path(file, manifest->header.major);
    size_t length = strlen(path);
    size_t kept = lower_bound(manifest, path), count = 0;

    for (size_t i = kept; i < manifest->entry_count; i++) {
        const ManifestEntry *entry = &manifest->entries[i];
        if (entry->kind == ENTRY_FILE && strncmp(entry->path, path, length) == 0 &&
            is_of_relation(entry->path + length)) {
            count++;
        } else if (count == 0 && strncmp(entry->path, path, length) != 0) {
            return 0; /* the main fork would be the first of them */
        } else {
            manifest->entries[kept++] = *entry;
            continue;
        }
    }
    manifest->entry_count = kept;
    return count;
}

static bool unlogged_want_segment(void *context, const WalTrailer *trailer)
{
    (void)context;
    return (trailer->summary.changes & WAL_CREATES_INIT_FORKS) != 0;
}

static bool is_tail_wanted(void *context, const WalTrailer *trailer, uint8_t rmgr, uint8_t info)
{
    const InitForks *forks = context;

    (void)trailer;
    return (wal_changes_possible(rmgr, info, forks->version) & WAL_CREATES_INIT_FORKS) != 0;
}

static WalkStep unlogged_take_record(void *context, const WalRecord *record, Error *err)
{
    const InitForks *forks = context;
    RelationFile file;

    (void)err;
    if (record->lsn < forks->from || !wal_created_init_fork_of(record, &file))
        return WALK_ON;
    if (unlogged_drop(&forks->plan->decision.manifest, &file) > 0) {
        log_info(
            "an unlogged relation that was being built at the backup: its init fork is replayed",
            log_u64("database", file.database), log_u64("file", file.number));
    }
    return WALK_ON;
}

/* Replay ends there, too: or the choice of the backup has refused it already. */
static WalkStep pass_gap(void *context, const WalGap *gap, Error *err)
{
    (void)context, (void)gap, (void)err;
    return WALK_ON;
}

bool unlogged_leave_out(const Cluster *cluster, const WalInventory *inventory, unsigned threads,
                        RestorePlan *plan, Error *err)
{
    InitForks forks = {.plan = plan,
                       .version = pg_version_of_major(plan->decision.manifest.header.major),
                       .from = plan->decision.manifest.header.start};
    WalScan scan = {.walk = {.cluster = cluster,
                             .inventory = inventory,
                             .path = &plan->decision.path,
                             .from = plan->decision.manifest.header.start,
                             .to = plan->decision.point.replay_end,
                             .threads = threads > 0 ? threads : 1},
                    .is_wanted = unlogged_want_segment,
                    .is_tail_wanted = is_tail_wanted,
                    .on_record = unlogged_take_record,
                    .on_gap = pass_gap,
                    .context = &forks};
    WalScanEnd end;

    return !plan->decision.makes_init_forks || wal_scan(&scan, &end, err) ||
           error_context(err, "look for unlogged relations in the WAL to be replayed");
}
