#include "walk/wal_chain.h"

enum {
    XLOG_FPI_FOR_HINT = 0xA0,
    XLOG_FPI = 0xB0,
    PAGE_HEADER_SIZE = 24,
};

/* Bytes of records that a whole segment holds. */
static uint64_t segment_capacity(uint32_t segment_size)
{
    uint64_t pages = segment_size / WAL_BLOCK_SIZE;

    return segment_size - WAL_SEGMENT_HEADER_SIZE - (pages - 1) * PAGE_HEADER_SIZE;
}

/* May this record be an event? Its header can be cut: then it may. */
static bool tail_matters(const WalReaderState *state)
{
    unsigned op = state->tail_info & 0xF0;

    if (!state->tail_has_kind)
        return true;
    if (state->tail_rmgr == RMGR_TRANSACTION)
        return true;
    return state->tail_rmgr == RMGR_XLOG && op != XLOG_FPI_FOR_HINT && op != XLOG_FPI;
}

/*
 * Whether this segment goes on where the one before ended: the record that was begun, or the back
 * link. A record that its server gave up after a crash is followed by the one before it.
 */
bool wal_chain_fits(const WalChain *chain, const WalReaderState *state)
{
    if (!chain->has_before)
        return true;
    if (chain->pending == 0) {
        if (state->head_size != 0)
            return false;
    } else if (!state->starts_with_overwrite && state->head_size != chain->missing) {
        return false;
    }
    return state->first_record == 0 || chain->last_record == 0 ||
           state->first_prev == chain->last_record ||
           (chain->pending != 0 && state->first_prev == chain->pending);
}

/* Whether the pending record is complete in this segment: the back link says so, if there is one.
 */
bool wal_chain_completes(const WalChain *chain, const WalReaderState *state, uint32_t segment_size)
{
    if (chain->pending == 0 || state->starts_with_overwrite)
        return false;
    if (state->first_record != 0)
        return state->first_prev == chain->pending;
    return state->head_size <= segment_capacity(segment_size);
}

void wal_chain_add(WalChain *chain, const WalReaderState *state, uint32_t segment_size)
{
    uint64_t capacity = segment_capacity(segment_size);

    if (state->first_record == 0 && state->head_size > capacity) {
        /* All of it is the middle of one record; of which, is known if we saw it begin. */
        chain->has_before = chain->pending != 0;
        chain->missing = state->head_size - capacity;
        return;
    }
    if (state->first_record != 0) {
        chain->last_record = state->last_record;
    } else if (wal_chain_completes(chain, state, segment_size)) {
        chain->last_record = chain->pending;
    }
    chain->has_before = true;
    chain->pending = state->tail_record;
    chain->missing = state->tail_total - state->tail_have;
    chain->pending_matters = state->tail_record != 0 && tail_matters(state);
}
