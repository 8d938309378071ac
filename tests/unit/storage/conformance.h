/*
 * conformance.h - what every storage promises, as tests that run on any of them.
 *
 * Each test gets a fresh, empty storage by opening `make`; `destroy` removes what it left.
 */
#pragma once

#include "storage/storage.h"

typedef struct StorageMaker {
    const char *name;
    Storage *(*make)(void **place);
    void (*destroy)(void *place); /* NULL: nothing to do */
} StorageMaker;

/* Number of failed tests. */
int run_conformance(const StorageMaker *maker);
