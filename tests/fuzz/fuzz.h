/*
 * fuzz.h - what every fuzz target has, and what it builds its cases from.
 *
 * A target is LLVMFuzzerTestOneInput(): libFuzzer calls it with bytes that it makes up,
 * run_corpus.c with the files of the target's corpus, as an ordinary test. It asserts more than "no
 * crash": what is accepted must say the same when it is encoded and read again. Where a checksum
 * would stop everything that is made up, the target puts the right one in, and fuzz_accepted()
 * tells that the decoder took something: a corpus of which nothing is accepted fails its test.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Calls fuzz_seed() with examples made by the real encoders: what a corpus begins with. */
void fuzz_seeds(void);
void fuzz_seed(const char *name, const void *bytes, size_t size);
extern const char *fuzz_seed_directory;

void fuzz_accepted(void);
uint64_t fuzz_accepted_count(void);

/* Bytes taken from the front; zeros once there are none left. */
typedef struct FuzzInput {
    const uint8_t *at;
    size_t left;
} FuzzInput;

uint8_t fuzz_u8(FuzzInput *input);
uint16_t fuzz_u16(FuzzInput *input);
uint32_t fuzz_u32(FuzzInput *input);
uint64_t fuzz_u64(FuzzInput *input);
void fuzz_bytes(FuzzInput *input, void *to, size_t size);

/*
 * All the rest (up to its first zero), and so many bytes or up to the next zero: in memory of
 * exactly that size, so that ASan sees one byte too far. Caller frees (mem_free, text_freep).
 */
char *fuzz_rest_text(FuzzInput *input);
char *fuzz_text(FuzzInput *input);
uint8_t *fuzz_copy(const void *bytes, size_t size);

/* A directory in memory if there is such a place; removed at exit with the files in it. */
const char *fuzz_directory(void);
/* Its file of that name, with that content. */
void fuzz_write_file(const char *name, const void *bytes, size_t size);
