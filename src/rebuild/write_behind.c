#include "write_behind.h"

#include "base/memory.h"
#include "base/work_queue.h"
#include "pack/pack.h"

enum { DEPTH = 2 }; /* pieces on their way; besides there is the one that is being filled */

typedef struct Piece {
    RestoredFile *file;
    uint8_t *data;
    size_t size;
    uint64_t offset;
} Piece;

struct WriteBehind {
    WorkQueue *queue; /* It has one thread, so the pieces come back in the order of the ring. */
    Piece pieces[DEPTH];
    size_t next;
};

static bool write_behind_piece(void *worker, void *job, Error *err)
{
    const Piece *piece = job;

    (void)worker;
    return restored_file_write(piece->file, piece->data, piece->size, piece->offset, err);
}

WriteBehind *write_behind_new(Error *err)
{
    static const WorkQueueSetup setup = {
        .threads = 1, .capacity = DEPTH, .order = WORK_IN_ORDER, .run = write_behind_piece};
    CLEANUP(write_behind_freep) WriteBehind *behind = mem_alloc(sizeof *behind);

    for (size_t i = 0; i < DEPTH; i++)
        behind->pieces[i].data = mem_alloc_aligned(EXTENT_SIZE);
    behind->queue = work_queue_new(&setup, err);
    return behind->queue != NULL ? TAKE(behind) : NULL;
}

void write_behind_freep(WriteBehind **behind)
{
    if (*behind == NULL)
        return;
    work_queue_free((*behind)->queue);
    for (size_t i = 0; i < DEPTH; i++)
        mem_free((*behind)->pieces[i].data);
    mem_free(*behind);
    *behind = NULL;
}

bool write_behind_put(WriteBehind *behind, RestoredFile *file, uint8_t **data, size_t size,
                      uint64_t offset, Error *err)
{
    Piece *piece = &behind->pieces[behind->next];
    void *written;

    if (!work_queue_has_room(behind->queue) && !work_queue_next(behind->queue, &written, err))
        return false;
    behind->next = (behind->next + 1) % DEPTH;
    uint8_t *free_buffer = piece->data;
    *piece = (Piece){.file = file, .data = *data, .size = size, .offset = offset};
    *data = free_buffer;
    return work_queue_submit(behind->queue, piece, err);
}

bool write_behind_finish(WriteBehind *behind, Error *err)
{
    return work_queue_finish(behind->queue, err);
}
