/*
 * digest.h - checksums, each for what it is good at.
 *
 *   SHA-256    identity of packs and texts: an adversary can't make two alike
 *   XXH3-128   whether WAL is what was archived; seeded, memory speed
 *   XXH3-64    pages and stored frames, seeded with the repository's secret; memory speed
 *   CRC-32C    what PostgreSQL itself uses: pg_control, WAL records, backup_manifest
 */
#pragma once

#include "base/base.h"

enum { SHA256_SIZE = 32, SHA256_TEXT_SIZE = 65 };

/* Streaming SHA-256. Free with sha256_freep(). */
typedef struct Sha256 Sha256;
Sha256 *sha256_new(void);
void sha256_update(Sha256 *sha, const void *data, size_t size);
/* The digest of all bytes so far; more may follow. */
void sha256_so_far(const Sha256 *sha, uint8_t digest[SHA256_SIZE]);
/* The digest of all bytes so far. The state starts again. */
void sha256_final(Sha256 *sha, uint8_t digest[SHA256_SIZE]);
void sha256_freep(Sha256 **sha); /* for CLEANUP() */

void sha256_of(const void *data, size_t size, uint8_t digest[SHA256_SIZE]);
const char *sha256_text(const uint8_t digest[SHA256_SIZE], char text[SHA256_TEXT_SIZE]);
/* Lower-case hex of `size` bytes back and forth; text holds 2 * size + 1. False: not such a text.
 */
const char *hex_text(const uint8_t *bytes, size_t size, char *text);
bool hex_parse(const char *text, uint8_t *bytes, size_t size) MUST_CHECK;

/* XXH3, 64 bit, seeded. */
uint64_t xxh3_of(uint64_t seed, const void *data, size_t size);

/* XXH3, 128 bit, seeded: as sure as SHA-256 against accidents, not against malice. */
enum { XXH128_SIZE = 16 };
void xxh128_of(uint64_t seed, const void *data, size_t size, uint8_t digest[XXH128_SIZE]);

/*
 * CRC-32C (Castagnoli, port/pg_crc32c.h). Start with 0; crc of a then b is
 * crc32c_update(crc32c_update(0, a), b): initial and final inversion are inside.
 * Uses SSE 4.2 or the ARMv8 CRC instructions where the machine has them.
 */
uint32_t crc32c_update(uint32_t crc, const void *data, size_t size);

/* The CRC of a followed by b, from crc(a), crc(b) and the size of b. */
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t size_b);
