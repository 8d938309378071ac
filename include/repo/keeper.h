/*
 * keeper.h - a thread that does one small thing again and again while its owner is busy: renewing a
 * lease during a restore of days.
 *
 * What it runs must not touch what its owner touches meanwhile. Signals stay the main thread's.
 */
#pragma once

#include "base/memory.h"

#include <stdint.h>

typedef struct Keeper Keeper;
typedef void KeeperFunction(void *context);

/* First after every_ms, then each every_ms. NULL: no thread could be started. */
Keeper *keeper_new(KeeperFunction *run, void *context, uint64_t every_ms);
/* For CLEANUP(): when it returns, nothing runs any more. */
void keeper_freep(Keeper **keeper);
