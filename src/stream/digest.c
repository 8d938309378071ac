#include "stream/digest.h"

#include "base/memory.h"

/*
 * The SHA256_* functions and not EVP: fetching a digest from an OpenSSL provider costs a process
 * more than a millisecond at its first use, which archive-push would pay for every segment, and
 * linked statically they are 20 KiB instead of a library of 5 MiB. It is the same code below,
 * with the SHA instructions of the machine.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

/* All of XXH3 in this file: its calls for short inputs are then a few instructions. */
#define XXH_INLINE_ALL
#include <xxhash.h>

struct Sha256 {
    SHA256_CTX context;
};

Sha256 *sha256_new(void)
{
    Sha256 *sha = mem_alloc(sizeof(*sha));

    SHA256_Init(&sha->context);
    return sha;
}

void sha256_update(Sha256 *sha, const void *data, size_t size)
{
    SHA256_Update(&sha->context, data, size);
}

void sha256_so_far(const Sha256 *sha, uint8_t digest[SHA256_SIZE])
{
    SHA256_CTX context = sha->context;

    SHA256_Final(digest, &context);
}

void sha256_final(Sha256 *sha, uint8_t digest[SHA256_SIZE])
{
    SHA256_Final(digest, &sha->context);
    SHA256_Init(&sha->context);
}

void sha256_freep(Sha256 **sha)
{
    mem_free(*sha);
    *sha = NULL;
}

void sha256_of(const void *data, size_t size, uint8_t digest[SHA256_SIZE])
{
    SHA256_CTX context;

    SHA256_Init(&context);
    SHA256_Update(&context, data, size);
    SHA256_Final(digest, &context);
}

const char *sha256_text(const uint8_t digest[SHA256_SIZE], char text[SHA256_TEXT_SIZE])
{
    return hex_text(digest, SHA256_SIZE, text);
}

const char *hex_text(const uint8_t *bytes, size_t size, char *text)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * size] = '\0';
    return text;
}

/* 16: that is none. Without a jump: digits of hashes follow no pattern that a processor could
 * guess. */
static unsigned hex_value(char digit)
{
    const unsigned number = (unsigned)digit - '0';
    const unsigned letter = (unsigned)digit - 'a';

    return number <= 9 ? number : letter <= 5 ? letter + 10 : 16;
}

/* Lower case only: what we write has one spelling, so names and texts compare as they are. */
bool hex_parse(const char *text, uint8_t *bytes, size_t size)
{
    if (strlen(text) != 2 * size)
        return false;
    unsigned all = 0;

    for (size_t i = 0; i < 2 * size; i++)
        all |= hex_value(text[i]);
    if (all > 15)
        return false;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(hex_value(text[2 * i]) << 4 | hex_value(text[2 * i + 1]));
    return true;
}

uint64_t xxh3_of(uint64_t seed, const void *data, size_t size)
{
    return XXH3_64bits_withSeed(data, size, seed);
}

void xxh128_of(uint64_t seed, const void *data, size_t size, uint8_t digest[XXH128_SIZE])
{
    XXH128_canonical_t canonical;

    XXH128_canonicalFromHash(&canonical, XXH3_128bits_withSeed(data, size, seed));
    memcpy(digest, canonical.digest, XXH128_SIZE);
}
