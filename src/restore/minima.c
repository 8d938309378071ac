#include "minima.h"

#include "stored_settings.h"

#include "rebuild/unlogged.h"

#include "pack/backed_up_file.h"
#include "postgres/control.h"

/* CheckRequiredParameterValues(), xlogrecovery.c; what they are when nobody sets them. */
static const struct {
    const char *name;
    size_t offset; /* It is the offset in WalParameters. */
    uint32_t unset;
} parameters[] = {
    {"max_connections", offsetof(WalParameters, max_connections), 100},
    {"max_worker_processes", offsetof(WalParameters, max_worker_processes), 8},
    {"max_wal_senders", offsetof(WalParameters, max_wal_senders), 10},
    {"max_prepared_transactions", offsetof(WalParameters, max_prepared_xacts), 0},
    {"max_locks_per_transaction", offsetof(WalParameters, max_locks_per_xact), 64},
};

static uint32_t value_of(const WalParameters *values, size_t index)
{
    uint32_t value;

    memcpy(&value, (const uint8_t *)values + parameters[index].offset, sizeof value);
    return value;
}

static void raise_to(WalParameters *minima, const WalParameters *values)
{
    for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
        uint32_t value = value_of(values, i);
        if (value > value_of(minima, i))
            memcpy((uint8_t *)minima + parameters[i].offset, &value, sizeof value);
    }
}

/* Of several changes in one segment only the last is known: each takes a restart of the server. */
static WalkStep minima_note_segment(void *context, uint32_t timeline, uint64_t segment,
                                    const WalTrailer *trailer, Error *err)
{
    RestorePlan *plan = context;
    const WalSummary *summary = &trailer->summary;

    (void)timeline, (void)segment, (void)err;
    if (summary->parameters_at != 0)
        raise_to(&plan->decision.minima, &summary->parameters);
    plan->decision.makes_init_forks =
        plan->decision.makes_init_forks || (summary->changes & WAL_CREATES_INIT_FORKS) != 0 ||
        init_forks_in_tail(&summary->reader, plan->decision.manifest.header.major);
    return WALK_ON;
}

static bool minima_read_control(const Cluster *cluster, RestorePlan *plan, Error *err)
{
    const ManifestEntry *entry = backed_up_file_find(&plan->decision.manifest, "global/pg_control");
    CLEANUP(buffer_done) Buffer bytes = {0};
    PgControl control;

    if (entry == NULL) {
        return error_set(err, ERR_CORRUPT, "backup %s has no global/pg_control",
                         plan->decision.manifest.header.id);
    }
    if (!backed_up_file_read(cluster, &plan->decision.manifest, entry, &bytes, err) ||
        !pg_control_decode(bytes.data, bytes.size, &control, err))
        return error_context(err, "backup %s", plan->decision.manifest.header.id);
    plan->decision.minima = (WalParameters){
        .max_connections = control.max_connections,
        .max_worker_processes = control.max_worker_processes,
        .max_wal_senders = control.max_wal_senders,
        .max_prepared_xacts = control.max_prepared_xacts,
        .max_locks_per_xact = control.max_locks_per_xact,
    };
    return true;
}

bool minima_find(const Cluster *cluster, const WalInventory *inventory, unsigned threads,
                 RestorePlan *plan, Error *err)
{
    WalWalk walk = {.cluster = cluster,
                    .inventory = inventory,
                    .path = &plan->decision.path,
                    .from = plan->decision.manifest.header.start,
                    .to = plan->decision.point.replay_end,
                    .threads = threads > 0 ? threads : 1};
    WalWalkEnd end;

    if (!minima_read_control(cluster, plan, err) ||
        !wal_walk_trailers(&walk, minima_note_segment, plan, &end, err))
        return false;
    plan->decision.wal_stored_bytes = end.stored_bytes;
    return true;
}

/* Whether the restored configuration has it as high. What can't be read is not known to be. */
static bool minima_are_enough(const SettingList *settings, size_t index, uint32_t least)
{
    const char *text = settings_value(settings, parameters[index].name);
    char *end;

    if (text == NULL)
        return parameters[index].unset >= least;
    unsigned long value = strtoul(text, &end, 0);
    return *text != '\0' && *end == '\0' && value >= least;
}

void minima_warn(const Cluster *cluster, RestorePlan *plan)
{
    CLEANUP(arena_done) Arena arena = {0};
    StoredSettings stored;
    const char *names = "";

    stored_settings_read(cluster, plan, &stored);
    for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
        const uint32_t least = value_of(&plan->decision.minima, i);
        if (!minima_are_enough(&stored.settings, i, least)) {
            names = arena_format(&arena, "%s%s%s=%u", names, *names != '\0' ? ", " : "",
                                 parameters[i].name, least);
        }
    }
    /* What an included file says can't be seen from here. */
    if (*names != '\0' && stored.is_certain) {
        plan_warn(plan,
                  "the WAL needs more than the backup's configuration has: %s; --start sets it for "
                  "the recovery",
                  names);
    }
    settings_done(&stored.settings);
}

static uint64_t in_mib(const char *size)
{
    char *unit;
    uint64_t value = strtoull(size, &unit, 0);

    while (*unit == ' ')
        unit++;
    return *unit == 'k'   ? value >> 10
           : *unit == 'G' ? value << 10
           : *unit == 'T' ? value << 20
                          : value;
}

/*
 * The checkpoint at the end of a recovery recycles segments that nobody archived: the server takes
 * the archive for the place that they came from (xlogarchive.c, XLogArchiveCheckDone). What restore
 * put into pg_wal did not come from there, and shall get there. 0: nothing to keep.
 */
static uint64_t wal_to_keep_mib(const RestorePlan *plan, const SettingList *settings)
{
    const uint64_t last = plan->decision.target.kind == TARGET_LATEST
                              ? plan->decision.last_segment
                              : plan->decision.point.segment;
    const char *mode = settings_value(settings, "archive_mode");
    const char *kept = settings_value(settings, "wal_keep_size");
    uint64_t first = last;

    for (size_t i = 0; i < plan->old.local_wal_count; i++) {
        const WalName *name = &plan->old.local_wal[i].name;
        if (name->kind == WAL_SEGMENT && name->segment < first)
            first = name->segment;
    }
    uint64_t mib = ((last - first + 2) * plan->decision.manifest.header.wal_segment_size) >> 20;
    return first == last || mode == NULL || strcmp(mode, "off") == 0 ||
                   (kept != NULL && in_mib(kept) >= mib)
               ? 0
               : mib;
}

/* "pg_tblspc/16400", a directory. */
static bool is_in_place(const ManifestEntry *entry)
{
    static const char folder[] = "pg_tblspc/";
    const char *name = entry->path + sizeof folder - 1;

    return entry->kind == ENTRY_DIRECTORY && strncmp(entry->path, folder, sizeof folder - 1) == 0 &&
           *name != '\0' && name[strspn(name, "0123456789")] == '\0';
}

/*
 * A tablespace that is a directory in the place of a link, made so (allow_in_place_tablespaces) or
 * copied there: a server works with it, and a recovery ends at it (CheckTablespaceDirectory(), from
 * these versions on, which also have the setting).
 */
static bool stops_at_tablespaces(const Manifest *manifest)
{
    const unsigned version = manifest->header.server_version;
    const unsigned first = version / 10000 == 13 ? 130008 : version / 10000 == 14 ? 140005 : 150000;

    for (size_t i = 0; version >= first && i < manifest->entry_count; i++) {
        if (is_in_place(&manifest->entries[i]))
            return true;
    }
    return false;
}

const char *const *restore_raised_parameters(RestorePlan *plan)
{
    CLEANUP(settings_done) SettingList settings = {0};
    CLEANUP(text_freep) char *own = text_format("%s/postgresql.conf", plan->placement.data);
    CLEANUP(text_freep)
    char *automatic = text_format("%s/postgresql.auto.conf", plan->placement.data);
    const char **raised = arena_alloc(&plan->arena, (ARRAY_SIZE(parameters) + 3) * sizeof *raised);
    Error unread = {0}, unread_too = {0}; /* the server will say what is wrong with them */
    size_t count = 0;

    (void)!settings_read(plan->configuration.config_file != NULL ? plan->configuration.config_file
                                                                 : own,
                         &settings, &unread);
    (void)!settings_read(automatic, &settings, &unread_too);
    for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
        uint32_t least = value_of(&plan->decision.minima, i);
        if (!minima_are_enough(&settings, i, least))
            raised[count++] = arena_format(&plan->arena, "%s=%u", parameters[i].name, least);
    }
    const uint64_t mib = wal_to_keep_mib(plan, &settings);
    if (mib > 0) {
        raised[count++] =
            arena_format(&plan->arena, "wal_keep_size=%lluMB", (unsigned long long)mib);
    }
    if (stops_at_tablespaces(&plan->decision.manifest))
        raised[count++] = "allow_in_place_tablespaces=on";
    return (const char *const *)raised;
}
