/*
 * memory.h - allocation that does not fail, and memory that dies together.
 *
 * When memory runs out the process says so and aborts. A repository survives kill -9 at any
 * instant, so it survives this; in exchange no caller carries an out-of-memory path.
 * Sizes read from files or the network are checked against a limit before they come here.
 */
#pragma once

#include "base/base.h"

/* Zeroed. Free with mem_free(). */
void *mem_alloc(size_t size) MUST_CHECK __attribute__((malloc, returns_nonnull));
/* Page-aligned, not zeroed, for buffers of direct I/O. Free with mem_free(). */
void *mem_alloc_aligned(size_t size) MUST_CHECK __attribute__((malloc, returns_nonnull));
/*
 * For buffers of megabytes that are filled at once, not zeroed: in huge pages where the system has
 * them. A process that lives for milliseconds spends a good part of them in page faults, one for
 * every 4 KiB that it touches for the first time. Aligned for direct I/O. Free with mem_free().
 */
void *mem_alloc_large(size_t size) MUST_CHECK __attribute__((malloc, returns_nonnull));
/* realloc(): what is beyond the old size is not zeroed. */
void *mem_resize(void *memory, size_t size) MUST_CHECK __attribute__((returns_nonnull));
void mem_free(void *memory);

/* Formatted text of whatever length. Free with mem_free(), or CLEANUP(text_freep) char *. */
char *text_format(const char *format, ...) MUST_CHECK PRINTF_LIKE(1, 2);
char *text_format_list(const char *format, va_list args) MUST_CHECK PRINTF_LIKE(1, 0);
void text_freep(char **text);

/*
 * Many small things with one lifetime: a file list, the strings of a manifest. An Arena is zeroed
 * to begin with ({0}) and emptied by arena_done(). Not shared between threads.
 */
typedef struct ArenaBlock ArenaBlock;
typedef struct Arena {
    ArenaBlock *block; /* The arena allocates from this block, the newest. */
    size_t used;       /* This many bytes of that block are in use. */
    size_t total;      /* All blocks together hold this many bytes. */
} Arena;

void *arena_alloc(Arena *arena, size_t size) MUST_CHECK; /* zeroed, aligned to 16 */
char *arena_chars(Arena *arena, size_t size) MUST_CHECK; /* zeroed, not aligned: for texts */
char *arena_text(Arena *arena, const char *text) MUST_CHECK;
char *arena_text_part(Arena *arena, const char *text, size_t size) MUST_CHECK;
char *arena_format(Arena *arena, const char *format, ...) MUST_CHECK PRINTF_LIKE(2, 3);
void arena_done(Arena *arena); /* for CLEANUP() */
