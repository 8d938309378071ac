#include "postgres/wal_effect.h"

#include "base/bytes.h"
#include "postgres/wal_summary.h"
#include "wal_record.h"

enum {
    /* A page of a visibility map is for this many heap blocks (visibilitymap.c). */
    VM_BLOCKS = 32672,
    OID_SIZE = 4,
};

typedef struct EffectSink {
    WalEffectFunction *on_effect;
    void *context;
} EffectSink;

static void tell_cut(const EffectSink *sink, RelationFile file, ForkKind fork, uint32_t block)
{
    sink->on_effect(sink->context,
                    &(WalEffect){.kind = EFFECT_CUT, .file = file, .fork = fork, .block = block});
}

static void tell_place(const EffectSink *sink, WalEffectKind kind, uint32_t tablespace,
                       uint32_t database)
{
    sink->on_effect(
        sink->context,
        &(WalEffect){.kind = kind, .file = {.tablespace = tablespace, .database = database}});
}

/* False: it is not the end of a transaction. */
static bool tell_removed(const WalRecord *record, const PgVersion *version, const EffectSink *sink)
{
    const unsigned op = record->info & 0x70;
    WalTransactionEnd end;

    if (op != XACT_COMMIT && op != XACT_ABORT && op != XACT_COMMIT_PREPARED &&
        op != XACT_ABORT_PREPARED)
        return false;
    if (!wal_transaction_end_of(record, version, &end))
        return true;
    for (uint32_t i = 0; i < end.file_count; i++)
        tell_cut(sink, wal_removed_file(&end, i), FORK_MAIN, 0);
    return true;
}

static bool tell_truncated(const WalRecord *record, const EffectSink *sink)
{
    RelationFile file;
    uint32_t pages;
    unsigned forks;

    if (!wal_truncated_forks_of(record, &file, &pages, &forks))
        return false;
    if ((forks & TRUNCATES_MAIN) != 0)
        tell_cut(sink, file, FORK_MAIN, pages);
    if ((forks & TRUNCATES_VM) != 0)
        tell_cut(sink, file, FORK_VM, pages / VM_BLOCKS);
    if ((forks & TRUNCATES_FSM) != 0)
        tell_cut(sink, file, FORK_FSM, 0);
    return (forks & ~(unsigned)(TRUNCATES_MAIN | TRUNCATES_VM | TRUNCATES_FSM)) == 0;
}

static bool tell_stored(const WalRecord *record, const EffectSink *sink)
{
    RelationFile file;
    uint32_t fork;

    if (!wal_created_fork_of(record, &file, &fork))
        return tell_truncated(record, sink);
    if (fork > FORK_INIT)
        return false;
    tell_cut(sink, file, (ForkKind)fork, 0);
    return true;
}

/* xl_dbase_create_rec, xl_dbase_create_wal_log_rec, xl_dbase_drop_rec (dbcommands_xlog.h). */
static bool tell_database(const WalRecord *record, const PgVersion *version, const EffectSink *sink)
{
    const unsigned op = record->info & 0xF0;
    const bool has_ways = version->major >= 15;
    const uint8_t *tablespaces;
    uint32_t count;
    Payload payload;

    if (record->bytes == NULL || !payload_of(record, &payload) ||
        payload.size < (size_t)2 * OID_SIZE)
        return false;
    const uint32_t database = get_le32(payload.bytes);
    if (op == XLOG_DBASE_COPY || (has_ways && op == XLOG_DBASE_WRITE)) {
        tell_place(sink, EFFECT_DATABASE, get_le32(payload.bytes + OID_SIZE), database);
        return true;
    }
    payload_skip(&payload, OID_SIZE);
    if (op != (has_ways ? XLOG_DBASE_DROP : XLOG_DBASE_DROP_TO_14) ||
        !payload_skip_items(&payload, OID_SIZE, &tablespaces, &count))
        return false;
    for (uint32_t i = 0; i < count; i++)
        tell_place(sink, EFFECT_DATABASE, get_le32(tablespaces + (size_t)OID_SIZE * i), database);
    return true;
}

static bool tell_tablespace(const WalRecord *record, const EffectSink *sink)
{
    const char *path;
    uint32_t oid;

    if (!wal_tablespace_of(record, &oid, &path) && !wal_dropped_tablespace_of(record, &oid))
        return false;
    tell_place(sink, EFFECT_TABLESPACE, oid, 0);
    return true;
}

void wal_effects_of(const WalRecord *record, const PgVersion *version, WalEffectFunction *on_effect,
                    void *context)
{
    const EffectSink sink = {.on_effect = on_effect, .context = context};
    bool is_known = false;

    if (!wal_effect_is_possible(record))
        return;
    if (record->rmgr == RMGR_TRANSACTION)
        is_known = tell_removed(record, version, &sink);
    if (record->rmgr == RMGR_STORAGE)
        is_known = tell_stored(record, &sink);
    if (record->rmgr == RMGR_DATABASE)
        is_known = tell_database(record, version, &sink);
    if (record->rmgr == RMGR_TABLESPACE)
        is_known = tell_tablespace(record, &sink);
    if (!is_known)
        on_effect(context, &(WalEffect){.kind = EFFECT_UNKNOWN});
}
