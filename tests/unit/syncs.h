/*
 * syncs.h - what a program asks the kernel to put on disk. A test that links syncs.c has its own
 * fsync(2) and syncfs(2) in place of the C library's: they write down what they were asked for, in
 * a folder of folder.h, and fail when they are told to.
 */
#pragma once

/* Names below the folder of the test, a blank after each; "." is the folder itself; others in full.
 */
extern char syncs_done[1024];

/* What fsync(2) fails with, for directories and for files; 0: it does not fail. */
extern int syncs_fail_directories, syncs_fail_files;

/* Forget what was done, and fail no more. */
void syncs_begin(void);
