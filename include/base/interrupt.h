/*
 * interrupt.h - SIGINT, SIGTERM and SIGHUP set a flag; loops that move bytes ask for it.
 *
 * The normal error path then cleans up, so a signal leaves what a failed call leaves.
 */
#pragma once

#include "base/error.h"

/* Once, at program start. SIGPIPE and SIGXFSZ are ignored from here on: the write fails. */
void interrupt_setup(void);

/* False with ERR_INTERRUPTED once a signal has come; true otherwise. Any thread. */
bool interrupt_check(Error *err) MUST_CHECK;

/* The signal, or 0. */
int interrupt_signal(void);

/*
 * The signal was heard, and what it has ended is being put in order: only another one counts from
 * now on. For who removes what must not stay.
 */
void interrupt_heard(void);
