/*
 * mutant.h - the switches of scripts/mutate, in front of every file of its build.
 *
 * MUTANT(n) is true in a process whose environment has MUTANT=n. MUTANT_REACHED names a
 * file of MUTANTS_MAX bytes, of which byte n becomes 1 when any process passes the place of mutant n,
 * however it ends. MUTANT_TEST names the one test of a cmocka program that shall run.
 */
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MUTANTS_MAX = 1 << 16 };

#define MUTANT(n) (mutant_reached[n] = 1, mutant_chosen == (n))

/* Weak: each file of a program brings them, and the program has one of each. */
__attribute__((weak)) int mutant_chosen;
__attribute__((weak)) unsigned char mutant_nowhere[MUTANTS_MAX];
__attribute__((weak)) unsigned char *mutant_reached = mutant_nowhere;
__attribute__((weak)) int mutant_is_ready;

extern void cmocka_set_test_filter(const char *pattern) __attribute__((weak));

/* Before any other constructor: they may pass mutants, too. */
__attribute__((constructor(101))) static void mutant_get_ready(void)
{
    const char *chosen = getenv("MUTANT"), *reached = getenv("MUTANT_REACHED");
    const char *test = getenv("MUTANT_TEST");
    int fd = -1;

    if (mutant_is_ready)
        return;
    mutant_is_ready = 1;
    if (chosen != NULL)
        mutant_chosen = atoi(chosen);
    if (test != NULL && cmocka_set_test_filter != NULL)
        cmocka_set_test_filter(test);
    if (reached != NULL)
        fd = open(reached, O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        void *map = mmap(NULL, MUTANTS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (map != MAP_FAILED)
            mutant_reached = (unsigned char *)map;
        (void)close(fd);
    }
}
