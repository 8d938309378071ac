#include "base/buffer.h"

#include "base/memory.h"

#include <stdarg.h>

enum { SMALLEST = 4096 };

void buffer_reserve(Buffer *buffer, size_t capacity)
{
    if (capacity <= buffer->capacity)
        return;

    /* Doubled, so that appending byte by byte stays linear; an exact large request is honoured. */
    size_t grown = buffer->capacity < SIZE_MAX / 2 ? buffer->capacity * 2 : SIZE_MAX;
    if (grown < capacity)
        grown = capacity;
    if (grown < SMALLEST)
        grown = SMALLEST;

    uint8_t *data = mem_alloc_aligned(grown);
    if (buffer->size > 0)
        memcpy(data, buffer->data, buffer->size);
    mem_free(buffer->data);
    buffer->data = data;
    buffer->capacity = grown;
}

/* Room for more bytes. A sum that overflows could never be held: mem_alloc_aligned() gives up. */
static void reserve_more(Buffer *buffer, size_t more)
{
    buffer_reserve(buffer, more > SIZE_MAX - buffer->size ? SIZE_MAX : buffer->size + more);
}

void buffer_append(Buffer *buffer, const void *data, size_t size)
{
    if (size == 0)
        return;
    reserve_more(buffer, size);
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
}

void buffer_print(Buffer *buffer, const char *format, ...)
{
    va_list args;

    /* Most lines fit in what is there; only then is formatting done once. */
    reserve_more(buffer, 128);
    size_t room = buffer->capacity - buffer->size;
    va_start(args, format);
    int size = vsnprintf((char *)buffer->data + buffer->size, room, format, args);
    va_end(args);
    if (size < 0)
        abort(); /* a format the C library cannot print is a bug of ours */
    if ((size_t)size >= room) {
        reserve_more(buffer, (size_t)size + 1);
        va_start(args, format);
        (void)vsnprintf((char *)buffer->data + buffer->size, (size_t)size + 1, format, args);
        va_end(args);
    }
    buffer->size += (size_t)size;
}

void buffer_done(Buffer *buffer)
{
    mem_free(buffer->data);
    *buffer = (Buffer){0};
}
