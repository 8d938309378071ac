/*
 * stored_bytes.h - what is on disk stays as it is: the bytes that an encoder makes of a fixed input
 * are compared with those that it made when they were recorded, as a SHA-256.
 *
 * Such a test fails when an encoder changes what is stored. Then docs/format.md, chapter 10, says
 * what that takes; a new hash alone is never the answer once there is a release.
 */
#pragma once

#include "stream/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static inline void assert_stored_bytes(const void *data, size_t size, const char *recorded)
{
    uint8_t digest[SHA256_SIZE];
    char text[SHA256_TEXT_SIZE];

    sha256_of(data, size, digest);
    assert_string_equal(sha256_text(digest, text), recorded);
}

/* Bytes that no compressor makes smaller: each of its versions stores them as they are. */
static inline void fill_incompressible(uint8_t *bytes, size_t size)
{
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

    for (size_t i = 0; i < size; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (uint8_t)(state >> 32);
    }
}
