/*
 * plain.h - texts of others, made fit for a terminal and for one line.
 *
 * Names of relations, databases and restore points, labels, paths and a server's messages can hold
 * anything: escape sequences that rewrite the screen, line ends that forge a line of ours, marks
 * that turn the direction of writing round. None of it reaches whoever reads an answer or a log.
 */
#pragma once

#include "base/buffer.h"

/*
 * Whether the UTF-8 character of `size` bytes at `text` (utf8_size(), 0 for a stray byte) can be
 * shown as it is: not a control character (C0, C1, DEL), not a line or paragraph separator, and not
 * one that changes the direction of writing (UAX 9).
 */
bool plain_is_fit(const char *text, size_t size);

/* "\\u009b": one that is not fit, of more than one byte. */
void plain_append_character(Buffer *to, const char *text, size_t size);

/* The same text with "\n", "\t", "\x1b", "\u202e" or "\xff" in place of what is not fit. */
void plain_append(Buffer *to, const char *text);
