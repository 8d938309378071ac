#include "minima.h"

#include "unlogged.h"

#include "postgres/control.h"
#include "restore/backed_up_file.h"

/* CheckRequiredParameterValues(), xlogrecovery.c; what they are when nobody sets them. */
static const struct {
    const char *name;
    size_t offset; /* in WalParameters */
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
static bool note_segment(void *context, uint32_t timeline, uint64_t segment,
                         const WalTrailer *trailer, Error *err)
{
    RestorePlan *plan = context;
    const WalSummary *summary = &trailer->summary;

    (void)timeline, (void)segment, (void)err;
    if (summary->parameters_at != 0)
        raise_to(&plan->minima, &summary->parameters);
    plan->makes_init_forks = plan->makes_init_forks ||
                             (summary->changes & WAL_CREATES_INIT_FORKS) != 0 ||
                             init_forks_in_tail(&summary->reader, plan->manifest.header.major);
    return true;
}

static bool read_control(const Cluster *cluster, RestorePlan *plan, Error *err)
{
    const ManifestEntry *entry = backed_up_file_find(&plan->manifest, "global/pg_control");
    CLEANUP(buffer_done) Buffer bytes = {0};
    PgControl control;

    if (entry == NULL) {
        return error_set(err, ERR_CORRUPT, "backup %s has no global/pg_control",
                         plan->manifest.header.id);
    }
    if (!backed_up_file_read(cluster, &plan->manifest, entry, &bytes, err) ||
        !pg_control_decode(bytes.data, bytes.size, &control, err))
        return error_context(err, "backup %s", plan->manifest.header.id);
    plan->minima = (WalParameters){
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
                    .path = &plan->path,
                    .from = plan->manifest.header.start,
                    .to = plan->point.replay_end,
                    .threads = threads > 0 ? threads : 1};
    WalWalkEnd end;

    if (!read_control(cluster, plan, err) ||
        !wal_walk_trailers(&walk, note_segment, plan, &end, err))
        return false;
    plan->wal_stored_bytes = end.stored_bytes;
    return true;
}

/* Whether the restored configuration has it as high. What can't be read is not known to be. */
static bool is_enough(const SettingList *settings, size_t index, uint32_t least)
{
    const char *text = settings_value(settings, parameters[index].name);
    char *end;

    if (text == NULL)
        return parameters[index].unset >= least;
    unsigned long value = strtoul(text, &end, 0);
    return *text != '\0' && *end == '\0' && value >= least;
}

const char *const *restore_raised_parameters(RestorePlan *plan)
{
    CLEANUP(settings_done) SettingList settings = {0};
    CLEANUP(text_freep) char *own = text_format("%s/postgresql.conf", plan->data);
    CLEANUP(text_freep) char *automatic = text_format("%s/postgresql.auto.conf", plan->data);
    const char **raised = arena_alloc(&plan->arena, (ARRAY_SIZE(parameters) + 1) * sizeof *raised);
    Error unread = {0}, unread_too = {0}; /* the server will say what is wrong with them */
    size_t count = 0;

    (void)!settings_read(plan->config_file != NULL ? plan->config_file : own, &settings, &unread);
    (void)!settings_read(automatic, &settings, &unread_too);
    for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
        uint32_t least = value_of(&plan->minima, i);
        if (!is_enough(&settings, i, least))
            raised[count++] = arena_format(&plan->arena, "%s=%u", parameters[i].name, least);
    }
    return (const char *const *)raised;
}
