/*
 * manifest_example.h - the text of manifests as they are written, for the seeds of corpora.
 */
#pragma once

#include "base/buffer.h"

#define EXAMPLE_BACKUP "20261122T031500Z-k3v7qa"

/* Appended to out, with its end line: nothing in it, or a line of every kind. */
void manifest_example(bool has_files, Buffer *out);
/* Put the end line behind text that has none: the right count, the right SHA-256. */
void manifest_add_end(Buffer *text);
/* Bytes of the text without its end line. */
size_t manifest_body_size(const Buffer *text);
