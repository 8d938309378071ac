/*
 * fixture.h - a repository in memory with one cluster, and hands on its objects.
 */
#pragma once

#include "repo/repo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { FIXTURE_SEGMENT_SIZE = 16 << 20, FIXTURE_MAJOR = 15 };
#define FIXTURE_SYSTEM UINT64_C(7300000000000000001)

typedef struct Fixture {
    Repo repo;
    Cluster cluster;
} Fixture;

/* In memory, or at an address of storage_open(). */
void fixture_open(Fixture *fixture, uint32_t segment_size);
void fixture_open_at(Fixture *fixture, const char *address);
void fixture_done(Fixture *fixture); /* for CLEANUP() */

/* The whole object, in place of what content held. */
void object_get(const Fixture *fixture, const char *name, Buffer *content);
/* Whatever is there is replaced. */
void object_put(const Fixture *fixture, const char *name, const void *data, size_t size);
size_t object_count(const Fixture *fixture, const char *prefix);

/* Bytes that compress to about half, the same for the same seed. */
void fill_bytes(uint8_t *bytes, size_t size, uint32_t seed);
