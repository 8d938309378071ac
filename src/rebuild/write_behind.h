/*
 * write_behind.h - writes one piece of a file while the next one is read and decompressed.
 *
 * A direct write keeps its thread waiting for the disk, so each worker has a second thread that
 * does nothing else. Pieces change hands with their buffers: nothing is copied.
 */
#pragma once

#include "rebuild/restored_file.h"

typedef struct WriteBehind WriteBehind;

WriteBehind *write_behind_new(Error *err) MUST_CHECK; /* NULL on failure */
void write_behind_freep(WriteBehind **behind);        /* for CLEANUP() */

/*
 * restored_file_write(), later. *data is a buffer of EXTENT_SIZE bytes from mem_alloc_aligned() and
 * is exchanged for another such, which is free. The file must stay open until
 * write_behind_finish(). False with its error when this or an earlier piece could not be written.
 */
bool write_behind_put(WriteBehind *behind, RestoredFile *file, uint8_t **data, size_t size,
                      uint64_t offset, Error *err) MUST_CHECK;

/* Waits: afterwards no file is in use, and when it is true, all that was put is written. */
bool write_behind_finish(WriteBehind *behind, Error *err) MUST_CHECK;
