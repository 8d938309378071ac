/*
 * buffer.h - bytes that grow. Zeroed to begin with ({0}); buffer_done() releases them.
 *
 * Reused by setting size to 0. A Buffer belongs to one thread at a time.
 */
#pragma once

#include "base/base.h"

typedef struct Buffer {
    uint8_t *data; /* It is page-aligned, so that direct I/O can use it. */
    size_t size;
    size_t capacity;
} Buffer;

/* Room for at least capacity bytes in all. Keeps content. */
void buffer_reserve(Buffer *buffer, size_t capacity);
void buffer_append(Buffer *buffer, const void *data, size_t size);
/* Formatted text, without its terminating zero; the byte after the end is always zero after it. */
void buffer_print(Buffer *buffer, const char *format, ...) PRINTF_LIKE(2, 3);
void buffer_done(Buffer *buffer); /* for CLEANUP() */
