/*
 * manifest_example.h - the text of manifests as they are written, for the seeds of corpora.
 */
#pragma once

#include "base/buffer.h"

#define EXAMPLE_BACKUP "20261122T031500Z-k3v7qa"

/* Appended to out, with its end line: nothing in it, or a line of every kind. */
void manifest_example(bool has_files, Buffer *out);
/*
 * Make text without an end line what a writer would have made of it: the right count and SHA-256 in
 * its first line of type "head", if it has one, and an end line.
 */
void manifest_seal(Buffer *text);
/* The line that ends a head, or the whole ("head", "end"), of the lines that are there. */
void manifest_add_end(Buffer *text, const char *type);
/* Bytes of the text without its end line. */
size_t manifest_body_size(const Buffer *text);
