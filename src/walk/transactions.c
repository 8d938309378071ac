#include "transactions.h"

#include "base/memory.h"

enum { SIZE_MIN = 64 };

static void transaction_done(Transaction *transaction)
{
    buffer_done(&transaction->created);
    buffer_done(&transaction->databases);
    buffer_done(&transaction->tablespaces);
    *transaction = (Transaction){0};
}

void transactions_done(Transactions *open)
{
    for (size_t i = 0; i < open->size; i++)
        transaction_done(&open->slots[i]);
    mem_free(open->slots);
    *open = (Transactions){0};
}

/* xids come one after another: spread them. */
static size_t transaction_home(const Transactions *open, uint32_t xid)
{
    return (size_t)(xid * UINT32_C(2654435769) >> 7) & (open->size - 1);
}

/* Its slot, or the free one where it belongs. */
static Transaction *slot_of(const Transactions *open, uint32_t xid)
{
    size_t i = transaction_home(open, xid);

    while (open->slots[i].xid != 0 && open->slots[i].xid != xid)
        i = (i + 1) & (open->size - 1);
    return &open->slots[i];
}

static void transactions_grow(Transactions *open)
{
    Transactions larger = {.size = open->size > 0 ? 2 * open->size : SIZE_MIN,
                           .count = open->count};

    larger.slots = mem_alloc(larger.size * sizeof larger.slots[0]);
    for (size_t i = 0; i < open->size; i++) {
        if (open->slots[i].xid != 0)
            *slot_of(&larger, open->slots[i].xid) = open->slots[i];
    }
    mem_free(open->slots);
    *open = larger;
}

Transaction *transactions_find(const Transactions *open, uint32_t xid)
{
    if (open->size == 0 || xid == 0)
        return NULL;

    Transaction *slot = slot_of(open, xid);
    return slot->xid == xid ? slot : NULL;
}

Transaction *transactions_add(Transactions *open, uint32_t xid)
{
    if (2 * (open->count + 1) > open->size)
        transactions_grow(open);

    Transaction *slot = slot_of(open, xid);
    if (slot->xid == 0) {
        slot->xid = xid;
        open->count++;
    }
    return slot;
}

/* Those after the gap that must be found across it move up. */
static void close_gap(Transactions *open, size_t gap)
{
    size_t mask = open->size - 1;

    for (size_t i = (gap + 1) & mask; open->slots[i].xid != 0; i = (i + 1) & mask) {
        size_t home = transaction_home(open, open->slots[i].xid);

        if (((i - home) & mask) >= ((i - gap) & mask)) {
            open->slots[gap] = open->slots[i];
            open->slots[i] = (Transaction){0};
            gap = i;
        }
    }
}

void transactions_remove(Transactions *open, uint32_t xid)
{
    Transaction *slot = transactions_find(open, xid);

    if (slot == NULL)
        return;
    transaction_done(slot);
    open->count--;
    close_gap(open, (size_t)(slot - open->slots));
}

void transactions_forget(Transactions *open, uint32_t oldest)
{
    for (size_t i = 0; i < open->size;) {
        const Transaction *transaction = &open->slots[i];

        if (transaction->xid == 0 || !xid_precedes(transaction->xid, oldest)) {
            i++;
            continue;
        }
        transactions_remove(open, transaction->xid); /* another one may have moved here: stay */
    }
}
